"""Whether a run may be traded: it is validated when it is first met, and not again as long as nothing has changed.

The verdict is remembered in memory, by the digest of the manifest, which pins every byte of the run, and by the
versions of the libraries. A run that failed is looked at again, since it may have been repaired.
"""

from __future__ import annotations

import sys
import threading
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from artifact_store import Run

COMPARED: Final = "compared"
NOT_COMPARED: Final = "not compared"
UNCHECKED: Final = "unchecked"
_LIBRARIES: Final = (
    *("artifact-store", "artifact-store-models", "gymnasium", "lightgbm", "numpy", "pandas", "polars", "pyarrow"),
    *("scikit-learn", "skops", "stable-baselines3", "torch"),
)


class ValidatedRuns:
    """The runs that were found to be sound. Safe to use from many threads."""

    def __init__(self) -> None:
        self._sound: dict[tuple[str, tuple[str, ...]], str] = {}
        self._lock = threading.Lock()

    def __call__(self, run: Run) -> str:
        """Return ``compared`` if the run repeats its golden predictions, ``not compared`` if it has none.

        Raises:
            ArtifactStoreError: what is wrong with it, or why it cannot be checked here.
            Unavailable: the storage does not answer.
        """
        known = run.manifest.digest, _versions(tuple(sys.path))
        if known in self._sound:
            return self._sound[known]
        found = run.validate()
        for problem in (*found.problems, *found.unchecked):
            raise problem.error
        with self._lock:
            return self._sound.setdefault(known, COMPARED if found.compared else NOT_COMPARED)


@lru_cache(maxsize=4)
def _versions(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the versions of the libraries on this path, an empty text for each that is not there."""
    del path
    return tuple(map(_version, _LIBRARIES))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
