"""Many runs without saving each: what a save would have left, written at once. The fills of listings and deletions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_store.canonical import canonical, checksum
from artifact_store.storage.base import IfAbsent
from benchmarks.place import Place
from benchmarks.workloads.models import FEW, MANY, STORE, TEN

if TYPE_CHECKING:
    from artifact_store import ArtifactStore

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def manifests(template: Mapping[str, object], count: int) -> Iterator[tuple[str, bytes]]:
    """Yield the run ids and the manifests of runs that differ in what a listing shows."""
    for number in range(count):
        moment = FIRST + timedelta(minutes=number)
        run_id = f"{moment:%Y%m%d_%H%M%S}_{number:06d}"
        value = dict(template) | {
            "run_id": run_id,
            "write_id": f"{number:032x}",
            "created_at": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}",
            "metrics": {"sharpe": number % 997 / 100, "ic": 0.01, "loss": 1.5},
            "tags": {"fold": str(number % 7)},
        }
        value.pop("checksum")
        yield run_id, canonical(value | {"checksum": checksum(value)})


def add(place: Place, store: ArtifactStore, key: str, count: int, *, whole: bool = False) -> None:
    """Let a model have so many runs, of which one is saved and named ``latest``; the others are manifests alone.

    Nothing else is read by listings and deletions. In a folder they have all files if they are to be ``whole``.
    """
    run = store.save({"n": 1}, key, config={"lr": 0.001}, metrics={"sharpe": 0.0})
    template = json.loads(run.manifest.to_bytes())
    found = manifests(template, count - 1)
    if place.kind == "local":
        in_folder(place.path(STORE) / key, run.run_id, found, whole=whole)
    else:
        in_bucket(store, key, found)


def in_folder(model: Path, saved: str, found: Iterable[tuple[str, bytes]], *, whole: bool) -> None:
    """Write runs, unflushed: the manifests, and the files of the one that was saved."""
    files = {path.name: path.read_bytes() for path in (model / saved).iterdir() if path.name != "manifest.json"}
    for name, manifest in found:
        home = model / name
        home.mkdir()
        for file, data in ((files if whole else {}) | {"manifest.json": manifest}).items():
            (home / file).write_bytes(data)


def in_bucket(store: ArtifactStore, key: str, found: Iterable[tuple[str, bytes]]) -> None:
    """Write the manifests."""
    backend = store._context.backend  # noqa: SLF001 -- runs without saving them
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda one: backend.write(f"{key}/{one[0]}/manifest.json", one[1], when=IfAbsent()), found))


def filled(place: Place, sizes: Mapping[str, int], *, whole: bool = False) -> ArtifactStore:
    """Make a store with models of these sizes."""
    store = place.store(STORE, provenance=False)
    for key, count in sizes.items():
        add(place, store, key, count, whole=whole)
    return store


def indexed(place: Place, *, runs: int) -> None:
    """Fill: a model of so many runs, one of a tenth, one of ten, and the index of all."""
    filled(place, {MANY: runs, FEW: max(2, runs // 10), TEN: 10}).index.rebuild()


def names(place: Place, *, runs: int) -> None:
    """Fill: a model of so many runs and one of ten, without an index."""
    filled(place, {MANY: runs, TEN: 10})


def whole(place: Place, *, runs: int) -> None:
    """Fill: a model of so many runs with all their files, without an index."""
    filled(place, {MANY: runs}, whole=True)


def three_sizes(place: Place, *, small: int, middle: int, large: int) -> None:
    """Fill: a model of each size."""
    filled(place, {f"gru/N{count}": count for count in (small, middle, large)})
