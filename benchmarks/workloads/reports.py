"""A report of a store with many runs, beside reading what is in it and writing as many bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.place import Place
from benchmarks.work import Work
from benchmarks.workloads.listing import shown
from benchmarks.workloads.models import STORE

if TYPE_CHECKING:
    from artifact_store import ArtifactStore

DETAILED = 20


def ours(place: Place, *, runs: int, details: int = DETAILED) -> Work:
    """Make the report again and again, over the one before."""
    store = place.store(STORE)

    def run(_: int) -> None:
        assert store.report(place.folder / "report", details=details).runs >= runs

    return Work(run)


def read_and_write(place: Place, *, runs: int, details: int = DETAILED) -> Work:
    """Read the index and the histories, and the manifests of which the report has everything; write as many bytes."""
    store, target = place.store(STORE), place.folder / "copy"
    store.report(place.folder / "report", details=details)
    report = place.folder / "report"
    sizes = {path.relative_to(report): path.stat().st_size for path in report.rglob("*") if path.is_file()}

    def run(_: int) -> None:
        read(store, runs, details)
        for name, size in sizes.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)

    return Work(run)


def read(store: ArtifactStore, runs: int, details: int) -> None:
    """Read what a report shows, as anyone would who knows the store."""
    assert len(shown(store.runs())) >= runs
    for key in store.models():
        for alias in store.aliases(key):
            assert store.history(f"{key}@{alias}")
        for run in store.runs(key, limit=details) if details else ():
            assert run.manifest.files
