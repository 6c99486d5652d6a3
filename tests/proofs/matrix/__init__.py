"""The fault matrix: every operation of a store by every fault by every backend, at every step on the storage.

``python -m tests.proofs.matrix`` prints it. What is tried is data: ``operations`` says what is done and which states it passes
through, ``faults`` what goes wrong and which errors that may give; ``cells`` lists what is to be tried. A bench carries
one cell out on one backend, and ``oracle`` judges it: by what a sound client finds in the storage before and after.
"""
