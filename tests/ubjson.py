"""XGBoost's file of a model, read and written from ``FORMAT.md`` alone, and asked for what it predicts.

Nothing of the library or of XGBoost is in it. A value of UBJSON is Python's; an integer keeps its width, as a pair of its
mark and itself; an array of numbers is one of numpy, of big-endian numbers.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

WIDE = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
MARKS = {np.dtype(dtype).str: mark for mark, dtype in WIDE.items()}


def read(data: bytes) -> Any:
    value, end = _read(data, 0)
    assert end == len(data)
    return value


def _length(data: bytes, at: int) -> tuple[int, int]:
    assert data[at : at + 1] == b"L"
    return struct.unpack_from(">q", data, at + 1)[0], at + 9


def _text(data: bytes, at: int) -> tuple[str, int]:
    length, at = _length(data, at)
    return data[at : at + length].decode(), at + length


def _read(data: bytes, at: int) -> tuple[Any, int]:
    mark, at = data[at : at + 1], at + 1
    if mark == b"S":
        return _text(data, at)
    if mark == b"{":
        found = {}
        while data[at : at + 1] != b"}":
            name, at = _text(data, at)
            found[name], at = _read(data, at)
        return found, at + 1
    if mark == b"[" and data[at : at + 1] == b"$":
        dtype = np.dtype(WIDE[data[at + 1 : at + 2]])
        count, at = _length(data, at + 3)
        return np.frombuffer(data, dtype, count, at).copy(), at + count * dtype.itemsize
    if mark == b"[":
        count, at = _length(data, at + 1)
        parts = []
        for _ in range(count):
            part, at = _read(data, at)
            parts.append(part)
        return parts, at
    dtype = np.dtype(WIDE[mark])
    return (mark, np.frombuffer(data, dtype, 1, at)[0].item()), at + dtype.itemsize


def written(value: Any) -> bytes:
    if isinstance(value, str):
        return b"S" + _key(value)
    if isinstance(value, dict):
        return b"{" + b"".join(_key(name) + written(part) for name, part in value.items()) + b"}"
    if isinstance(value, list):
        return b"[#" + _count(len(value)) + b"".join(map(written, value))
    if isinstance(value, np.ndarray):
        return b"[$" + MARKS[value.dtype.str] + b"#" + _count(len(value)) + value.tobytes()
    mark, number = value
    return mark + np.array(number, WIDE[mark]).tobytes()


def _count(count: int) -> bytes:
    return b"L" + struct.pack(">q", count)


def _key(text: str) -> bytes:
    return _count(len(text.encode())) + text.encode()


# ---------------------------------------------------------------- predicting


def margins(model: dict[str, Any], rows: Any) -> Any:
    """Return the sums of the leaves and the base score of a model of trees with one value for each leaf."""
    learner = model["learner"]
    booster, numbers = learner["gradient_booster"], learner["learner_model_param"]
    groups = max(int(numbers["num_class"]), 1) * int(numbers["num_target"])
    weights = booster.get("weight_drop")
    trees = booster.get("gbtree", booster)["model"]
    sums = np.zeros((len(rows), groups), np.float32)
    for place, (tree, (_, group)) in enumerate(zip(trees["trees"], trees["tree_info"], strict=True)):
        leaves = np.array([_leaf(tree, row) for row in rows.astype(np.float32)], np.float32)
        sums[:, group] += leaves if weights is None else leaves * np.float32(weights[place][1])
    return sums + _bases(learner)


def _bases(learner: dict[str, Any]) -> Any:
    """Return the base score as a margin: that of logistic objectives is a probability."""
    bases = np.array(learner["learner_model_param"]["base_score"].strip("[]").split(","), np.float32)
    return np.log(bases / (1 - bases)) if "logi" in learner["objective"]["name"] else bases


def _leaf(tree: dict[str, Any], row: Any) -> float:
    node = 0
    while tree["left_children"][node] != -1:
        value = row[tree["split_indices"][node]]
        if np.isnan(value):
            left = bool(tree["default_left"][node])
        elif tree["split_type"][node]:
            at = int(np.flatnonzero(tree["categories_nodes"] == node)[0])
            begin = tree["categories_segments"][at]
            left = int(value) not in tree["categories"][begin : begin + tree["categories_sizes"][at]]
        else:
            left = bool(value < tree["split_conditions"][node])
        node = tree["left_children" if left else "right_children"][node]
    return float(tree["split_conditions"][node])
