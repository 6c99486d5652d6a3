"""The text of a LightGBM model, saved and loaded with and without compression."""

from __future__ import annotations

from typing import Any

from benchmarks.place import Place
from benchmarks.work import Work

STORE, KEY = "compression", "lightgbm/NIGHTLY"


def _model(trees: int) -> Any:
    import lightgbm as lgb
    import numpy as np

    rows = np.random.default_rng(0).normal(size=(20_000, 20))
    params = {"objective": "regression", "verbose": -1, "num_threads": 1, "num_leaves": 31}
    return lgb.train(params, lgb.Dataset(rows, rows[:, 0] * rows[:, 1]), trees)


def save(place: Place, *, trees: int, compression: str | None = None) -> Work:
    """Save the model; returns the bytes that are stored of it."""
    store, model = place.store(STORE, provenance=False, compression=compression), _model(trees)

    def run(_: int) -> dict[str, float]:
        saved = store.save(model, KEY)
        return {"bytes": float(sum(entry.stored_size for entry in saved.manifest.files))}

    return Work(run)


def load(place: Place, *, trees: int, compression: str | None = None) -> Work:
    """Load the model."""
    store = place.store(STORE, provenance=False, compression=compression)
    run = store.save(_model(trees), KEY, publish="never")
    return Work(lambda _: run.load() and None)
