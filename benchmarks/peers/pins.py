"""pins: a board in the bucket, and a pin with all files. What is downloaded goes through its cache, which is empty."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.place import Place

NAME = "btceur"


class Pins:
    """A board; its cache is in the scratch folder of the way."""

    def __init__(self, place: Place) -> None:
        self._cache = place.folder / "cache"
        os.environ["PINS_CACHE_DIR"] = str(self._cache)
        from pins import board_s3

        self._board = board_s3(f"{place.bucket}/{place.key('pins')}", **place.options())

    def save(self, files: Sequence[Path]) -> None:
        """Upload the files as one pin."""
        self._board.pin_upload([str(path) for path in files], NAME)

    def load(self, target: Path) -> None:
        """Download the newest version, and take it out of the cache."""
        shutil.rmtree(self._cache, ignore_errors=True)
        target.mkdir(parents=True)
        for path in self._board.pin_download(NAME):
            Path(path).rename(target / Path(path).name)


def adapter(place: Place, **_: Any) -> Pins:
    """Return the board."""
    return Pins(place)
