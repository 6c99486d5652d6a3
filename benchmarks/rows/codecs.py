"""Models in their codecs, beside what their own library writes and reads."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.model import Row, Way
from benchmarks.rows.ways import hand, ours

TITLES = {
    "xgboost": "XGBoost, 1,500 small trees",
    "xgboost-large-trees": "XGBoost, 250 large trees",
    "catboost": "CatBoost",
    "lightgbm": "LightGBM, 400 large trees",
    "boosting": "histogram boosting of scikit-learn",
    "neighbours": "neighbours of scikit-learn",
    "checkpoint": "a checkpoint of torch with its optimizer",
    "many-tensors": "1,600 small tensors of torch",
}


OTHERS = dict.fromkeys(("boosting", "neighbours"), ("pickle", "joblib"))
"""By what a model is kept without this store; by its own library, if nothing is said here."""


def row(model: str, title: str) -> Row:
    """Return the row of one model: written, and read."""
    others = OTHERS.get(model, ("own",))
    ways = [
        way
        for what in ("save", "load")
        for way in (
            *(hand("codecs:work", f"{what}, {by}", what=what, by=by) for by in others),
            ours("codecs:work", f"{what}, codec", what=what),
        )
    ]
    return Row(
        f"codec-{model}",
        title,
        "local",
        tuple(replace(way, over=f"{way.name.partition(',')[0]}, {others[0]}") for way in ways),
        {"model": model, "percent": 100},
        {"percent": 2},
        fill="benchmarks.workloads.codecs:trained",
    )


def compressed(what: str) -> tuple[Way, Way]:
    """Return the ways of a LightGBM model as it is, and as a frame of zstd."""
    plain = f"{what}, as it is"
    return (
        ours(f"compression:{what}", plain, over=plain),
        ours(f"compression:{what}", f"{what}, zstd", over=plain, compression="zstd"),
    )


ROWS = (
    *(row(model, title) for model, title in TITLES.items()),
    Row(
        "zstd",
        "a LightGBM model of 1.4 MB, as text and as a frame of zstd",
        "line",
        (*compressed("save"), *compressed("load")),
        {"trees": 500},
        {"trees": 20},
    ),
)
