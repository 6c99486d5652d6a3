"""A second reader of the files of estimators: made from section 2.10 of ``FORMAT.md``, of numpy and the standard library.

Nothing of the library or of scikit-learn is in it. An object is a dict of its attributes, with its class as ``of``.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np


class Reader:
    """What is in the files of one component."""

    def __init__(self, folder: Path, stem: str) -> None:
        record = json.loads((folder / f"{stem}.json").read_bytes())
        with np.load(folder / f"{stem}.npz", allow_pickle=False) as arrays:
            self._arrays = dict(arrays)
        self._objects: list[Any] = []
        for told in record["objects"]:
            state = {name: self.value(part) for name, part in told["state"].items()}
            self._objects.append({"of": told.get("of", "tree"), **state})
        self.root = self.value(record["root"])

    def value(self, record: Any) -> Any:
        if not isinstance(record, dict):
            return record
        kind, held = next(iter(record.items()))
        if kind in {"list", "tuple", "set"}:
            return [self.value(part) for part in held]
        if kind in {"dict", "ordered", "bunch"}:
            return OrderedDict((self.value(key), self.value(part)) for key, part in held)
        simple = {"array": self._arrays.get, "object": self._objects.__getitem__, "float": float}
        if kind == "predictors":
            return trees(self.value(held))
        return simple[kind](held) if kind in simple else record


def trees(columns: dict[str, Any]) -> list[list[Any]]:
    """Return the nodes of each tree, by round."""
    cuts = np.cumsum(columns["nodes_counts"])[:-1]
    single = iter(np.split(columns["nodes"], cuts))
    return [[next(single) for _ in range(count)] for count in columns["rounds"].tolist()]


def predict(model: dict[str, Any], rows: Any) -> Any:
    """Return what an estimator predicts, or makes of its input."""
    kind = model["of"].rpartition(".")[2]
    if kind == "Pipeline":
        for _, step in model["steps"]:
            rows = predict(step, rows)
        return rows
    if kind == "SelectKBest":
        return rows[:, np.sort(np.argsort(model["scores_"], kind="stable")[-model["k"] :])]
    if kind == "KNeighborsRegressor":
        away = ((rows[:, None, :] - model["_fit_X"][None]) ** 2).sum(axis=2)
        return model["_y"][np.argsort(away, axis=1)[:, : model["n_neighbors"]]].mean(axis=1)
    scores = np.array([sum(_leaf(tree, row) for each in model["_predictors"] for tree in each) for row in rows])
    scores = scores + float(model["_baseline_prediction"].item())
    return scores if kind == "HistGradientBoostingRegressor" else model["classes_"][(scores > 0).astype(int)]


def _leaf(tree: Any, row: Any) -> float:
    at = 0
    while not tree["is_leaf"][at]:
        value = row[tree["feature_idx"][at]]
        left = tree["missing_go_to_left"][at] if np.isnan(value) else value <= tree["num_threshold"][at]
        at = int(tree["left" if left else "right"][at])
    return float(tree["value"][at])
