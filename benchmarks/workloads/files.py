"""Files that belong together, saved as the newest and brought back: by this store and by others.

Every way is an adapter in ``benchmarks.peers``; large files are random bytes too, written once for all ways.
"""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.place import Place
from benchmarks.work import Work

PIECE = 1 << 20


def sources(place: Place, *, files: int, size: int) -> dict[str, list[str]]:
    """Write files of random bytes, and return their paths: the fill of these rows."""
    folder = place.path("sources")
    folder.mkdir(parents=True)
    paths = [folder / f"{number:03}.bin" for number in range(files)]
    for path in paths:
        with path.open("wb") as sink:
            for begin in range(0, size, PIECE):
                sink.write(os.urandom(min(PIECE, size - begin)))
    return {"sources": [str(path) for path in paths]}


def given(place: Place) -> list[Path]:
    """Return the files that the fill wrote."""
    return [Path(path) for path in place.facts["sources"]]


def adapted(place: Place, peer: str, options: dict[str, Any]) -> Any:
    """Return the adapter of a peer, in a place that no other row has."""
    own = replace(place, prefix=f"{place.prefix}/{place.row}")
    return import_module(f"benchmarks.peers.{peer}").adapter(own, **options)


def saved(place: Place, *, peer: str, files: int, size: int, **options: Any) -> None:
    """Save the files once, for ways that load them."""
    del files, size
    adapted(place, peer, options).save(given(place))


def save(place: Place, *, peer: str, files: int, size: int, **options: Any) -> Work:
    """Save the files; a small one before, so that nothing is done for the first time."""
    del files, size
    adapter, paths = adapted(place, peer, options), given(place)
    _small_one_first(place, adapter)

    def changed(_: int) -> None:  # some save nothing where nothing changed
        with paths[0].open("r+b") as file:
            file.write(os.urandom(16))

    return Work(lambda _: adapter.save(paths), before=changed)


def load(place: Place, *, peer: str, files: int, size: int, **options: Any) -> Work:
    """Load the newest files into a new folder, which is removed after the turn."""
    del files
    adapter, target = adapted(place, peer, options), place.folder / uuid.uuid4().hex

    def removed(_: int) -> None:
        held = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        assert held >= size, f"{peer} brought back {held} bytes"
        shutil.rmtree(target)

    return Work(lambda _: adapter.load(target), after=removed)


def _small_one_first(place: Place, adapter: Any) -> None:
    folder = place.folder / "small"
    folder.mkdir(exist_ok=True)
    path = folder / "small.bin"
    path.write_bytes(b"x" * 100_000)
    adapter.save([path])
