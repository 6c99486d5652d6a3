"""Model families on top of :mod:`artifact_store`: trainers, and the adapters that save and load what they train.

Uses the store through its public names only; the store does not know this package. It is a distribution of its
own, because a top-level ``models`` in site-packages would collide with every trainer's own folder of that name.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
