"""Fuzzing of everything that reads bytes of strangers: ``python -m tests.proofs.fuzz --minutes 10``.

A target reads its input in every way that the package would, and ends in a value or in one of our own errors.
Anything else is a finding: another exception, an input that takes too long or too much memory, a crash of the
process, a property that does not hold. A finding is written to a file; moved to ``tests/data/fuzz/{target}`` it is
replayed by the normal tests from then on. With ``atheris`` installed (``pip install -e '.[fuzz]'``) what is reached in
``artifact_store`` steers the search; without it the same mutators run unguided, and repeatably with ``--seed``.
"""
