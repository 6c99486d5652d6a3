"""Arrays and scalars of numpy, and dicts and lists of them."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy as np

from tests.zoo.making import Making, plain, refused

ROWS = np.random.default_rng(1).normal(size=(7, 3))
KINDS = ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
WITHOUT = ("torch", "pandas", "sklearn", "lightgbm", "scipy", "pyarrow", "polars")
RECORDS = np.array([(1, 2.5, "ä"), (2, np.nan, "b")], [("id", "i4"), ("price", "<f8"), ("name", "U3")])


class Fold(NamedTuple):
    """A result of one fold."""

    y: Any
    loss: float


def array(name: str, value: Any, **more: Any) -> Making:
    return plain(name, value, "arrays", without=WITHOUT, **more)


def tree(name: str, value: Any, **more: Any) -> Making:
    return plain(name, value, "array-tree", without=WITHOUT, **more)


MAKINGS: tuple[Making, ...] = (
    *(array(f"an array of {np.dtype(kind).name}", (ROWS * 3).astype(kind)) for kind in KINDS),
    array("big-endian", ROWS.astype(">f4")),
    array("in Fortran's order", np.asfortranarray(ROWS)),
    array("transposed", ROWS.T),
    array("every second row", np.ascontiguousarray(ROWS[::2])),
    array("without sides", np.array(1.5)),
    array("without rows", np.empty((0, 3))),
    array(
        "NaN with its bits, infinities, a negative zero",
        np.array([0x7FF8000000000001, 0xFFF << 52, 1 << 63], "u8").view("f8"),
    ),
    array("text", np.array(["ä", "bc"])),
    array("bytes", np.array([b"a\0b", b"c"])),
    array("days with gaps", np.array(["2024-01-01", "NaT"], "M8[D]")),
    array("durations", np.array([1, 2], "m8[25s]")),
    array("records", RECORDS),
    array("a scalar", np.float32(0.1)),
    array("a scalar of time", np.datetime64("2024-01-01T12", "ns")),
    array("an embedding by name", {"tokens": ROWS, "layer/0.bias": ROWS[0]}),
    array("a tuple of arrays", (ROWS, ROWS[0], np.arange(3))),
    tree("weights by layer", {"dense_1": {"w": ROWS, "b": ROWS[0]}, "dense_0": {"w": ROWS.T, "b": ROWS[:, 0]}}),
    tree("a list of arrays", [ROWS, ROWS[0]]),
    tree("results of folds", [{"fold": n, "y": ROWS[n], "loss": np.float64(n / 3), "best": None} for n in range(3)]),
    tree(
        "coefficients and how they were found", {"coef": ROWS[0], "intercept": 0.5, "shape": (3,), "nan": float("nan")}
    ),
    tree("integer keys", {0: ROWS, 7: ROWS[0]}),
    tree("keys that name no file", {"../x": ROWS, "a\\b": ROWS}),
    tree("an ordered dict", OrderedDict(b=ROWS, a=ROWS[0])),
    tree("numbers of numpy in a configuration", {"lr": np.float32(1e-3), "n": np.int64(5), "ok": np.bool_(True)}),
    tree("times and text", {"day": np.datetime64("2024", "D"), "name": np.str_("ü"), "z": np.complex64(1j)}),
    tree("Q values by state", {"q": {"flat": ROWS[0], "long": ROWS[1]}, "visits": {"flat": 3}}),
    refused(
        "objects",
        np.array(["a", None], object),
        "arrays",
        "objects|Python objects",
        lambda a: np.array(a.tolist(), dtype="U"),
    ),
    refused(
        "text of any length",
        np.array(["a", "bc"], np.dtypes.StringDType()),
        "arrays",
        "StringDType",
        lambda a: np.array(a.tolist(), dtype="U"),
    ),
    refused(
        "a masked array",
        np.ma.array([1.0, 2], mask=[0, 1]),
        "arrays",
        "mask",
        lambda a: {"data": a.data, "mask": np.ma.getmaskarray(a)},
    ),
    Making(
        "a matrix", lambda _: np.matrix([[1.0]]), "arrays", refused="matrix", follow=lambda a: np.array(a, subok=False)
    ),
    refused(
        "a record array",
        RECORDS.view(np.recarray),
        "arrays",
        "recarray",
        lambda a: np.array(a, subok=False).astype(RECORDS.dtype),
    ),
    refused(
        "long doubles", np.ones(2, np.longdouble), "arrays", "float128|longdouble|float96", lambda a: a.astype("f8")
    ),
    refused("a defaultdict", defaultdict(list, w=ROWS), "array-tree", "defaultdict", dict),
    refused("a named tuple", Fold(ROWS, 0.5), "array-tree", "Fold", tuple),
    refused(
        "objects inside",
        {"w": ROWS, "o": np.array([None])},
        "array-tree",
        r"\['o'\]",
        lambda d: {**d, "o": np.array(d["o"].tolist(), dtype="U")},
    ),
)
