"""A store of a few real runs whose index knows very many others: rows that were made, written by the product's own code."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from artifact_store import ArtifactStore
from artifact_store.core.documents import write_time
from artifact_store.core.index_rows import BlockHead, RowDict
from artifact_store.core.names import RunId
from artifact_store.ops import index_writing

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
REAL = "gru/A0"  # stands before the models that were made


def rows(runs: int, models: int) -> Iterator[RowDict]:
    """Yield a row for each of ``runs`` runs of ``models`` models, in their order."""
    chance = random.Random(1)
    for number in range(models):
        symbol = f"S{number:05d}"
        for place in range(runs // models):
            moment = BEGIN + timedelta(minutes=place, seconds=number % 60)
            yield {
                "model": f"gru/{symbol}",
                "model_type": "gru",
                "symbol": symbol,
                "run_id": f"{moment:%Y%m%d_%H%M%S}_{chance.getrandbits(30):08x}",
                "created_at": write_time(moment),
                "state": "live",
                "description": "",
                "files": 4,
                "size": 100_000 + place,
                "manifest_sha256": f"{chance.getrandbits(256):064x}",
                "metrics": {
                    **{name: chance.gauss(1, 1) for name in ("sharpe", "ic", "loss", "drawdown")},
                    "trades": chance.randrange(1000),
                },
                "tags": {"fold": str(place % 7)},
            }


def make(root: Path, runs: int, models: int) -> None:
    """Make a store with one run, and an index of very many more."""
    store = ArtifactStore(root, provenance=False)
    store.save({"n": 1}, REAL, run_id=RunId("20231231_000000"), metrics={"sharpe": 0.5})
    index_writing.write_block(store._context, BlockHead(1, datetime.now(UTC)), rows(runs, models))
