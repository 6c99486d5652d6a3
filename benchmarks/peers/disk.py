"""A folder by hand, the floor of a disk: one loop that copies, hashes and flushes; back without flushing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.place import Place


class Disk:
    """A new folder for each save, and the newest is the last one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, files: Sequence[Path]) -> None:
        """Copy and flush the files."""
        self._folder.mkdir(parents=True, exist_ok=True)
        _copy(files, self._folder / f"{len(list(self._folder.iterdir())):06}", flushed=True)

    def load(self, target: Path) -> None:
        """Copy the files of the newest folder."""
        _copy(max(self._folder.iterdir()).iterdir(), target, flushed=False)


def _copy(files: Iterable[Path], target: Path, *, flushed: bool) -> None:
    target.mkdir(parents=True)
    for path in files:
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        with (target / path.name).open("xb") as sink:
            sink.write(data)
            if flushed:
                sink.flush()
                os.fsync(sink.fileno())


def adapter(place: Place, **_: Any) -> Disk:
    """Return a folder of this place."""
    return Disk(place.path("disk"))
