"""Listings with what a table of runs shows: by the index, without it, and beside reading one file of the index."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from artifact_store.core import keys
from benchmarks.place import Place
from benchmarks.work import Work
from benchmarks.workloads.models import FEW, MANY, STORE, Question

if TYPE_CHECKING:
    from artifact_store import Run

HALF = 5.0
"""What about half of the runs exceed."""
BLOCK = keys.index_block(1, "jsonl.gz")


def shown(runs: Iterable[Run]) -> list[tuple[Any, ...]]:
    """Ask for what a table of runs shows."""
    return [(run.run_id, run.created_at, run.metrics, run.tags, run.description, run.size) for run in runs]


QUESTIONS: dict[str, Question] = {
    "all": lambda store: shown(store.runs(MANY)),
    "only": lambda store: shown(store.runs(MANY, index="only")),
    "where": lambda store: shown(store.runs(MANY, where=lambda run: run.metrics["sharpe"] > HALF)),
    "best": lambda store: shown(store.runs(FEW, order_by="-sharpe", limit=10)),
    "off": lambda store: shown(store.runs(MANY, index="off")),
}


def ours(place: Place, *, question: str, runs: int, engine: str = "obstore") -> Work:
    """Ask the store."""
    store, asked = place.store(STORE, engine=engine), QUESTIONS[question]
    assert question not in {"all", "only", "off"} or len(asked(store)) == runs  # type: ignore[arg-type]

    def run(_: int) -> None:
        asked(store)

    return Work(run)


def one_file(place: Place, *, runs: int, engine: str = "obstore") -> Work:
    """Get the newest file of the index by hand, and decode its lines."""
    key = place.key(f"{STORE}/{BLOCK}")
    if engine == "fsspec":
        fs = place.s3fs()
        return Work(lambda _: decoded(fs.cat_file(f"{place.bucket}/{key}"), runs))
    import obstore

    client = place.obstore()
    return Work(lambda _: decoded(bytes(obstore.get(client, key).bytes()), runs))


def decoded(data: bytes, runs: int) -> None:
    """Decode the lines of a file of the index."""
    assert len([json.loads(line) for line in gzip.decompress(data).splitlines()[1:]]) >= runs


def every_manifest(place: Place, *, runs: int) -> Work:
    """Find and get all manifests by s3fs's own calls, as many at once as it likes."""
    fs, model = place.s3fs(), f"{place.bucket}/{place.key(f'{STORE}/{MANY}')}"

    def run(_: int) -> None:
        fs.invalidate_cache()
        names = [name for name in fs.find(model) if name.endswith("/manifest.json")]
        assert len([json.loads(data) for data in fs.cat(names).values()]) == runs

    return Work(run)
