"""Save a trained model anywhere; load exactly what was trained."""

from artifact_store._version import __version__

__all__ = ["__version__"]
