"""s3fs by hand: its own calls for many files, as many at once as it likes. Nothing is compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.place import Place


class RawS3fs:
    """Files below a prefix."""

    def __init__(self, place: Place) -> None:
        self._fs, self._at = place.s3fs(), f"{place.bucket}/{place.key('s3fs')}"

    def save(self, files: Sequence[Path]) -> None:
        """Put the files together."""
        self._fs.put([str(path) for path in files], [f"{self._at}/{path.name}" for path in files])

    def load(self, target: Path) -> None:
        """List the files, and get them together."""
        target.mkdir(parents=True)
        self._fs.invalidate_cache()
        found = self._fs.ls(self._at, detail=False)
        self._fs.get(found, [str(target / name.rpartition("/")[2]) for name in found])


def adapter(place: Place, **_: Any) -> RawS3fs:
    """Return s3fs's file system."""
    return RawS3fs(place)
