"""Tables and series of pandas."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.zoo.making import Making, plain, refused

WITHOUT = ("torch", "lightgbm", "sklearn", "scipy")
DAYS = pd.date_range("2024", periods=3, name="day")
CLOSES = pd.DataFrame({"open": [1.5, np.nan, 3], "volume": [1, 2, 3], "symbol": ["BTC", None, "ETH"]}, index=DAYS)
PANEL = pd.MultiIndex.from_product([DAYS, ["z", "a"]], names=["day", "symbol"])


def frame(name: str, value: Any, **more: Any) -> Making:
    return plain(name, value, "pandas", without=WITHOUT, **more)


def column(name: str, values: Any, **more: Any) -> Making:
    return frame(name, pd.DataFrame({"a": values}), **more)


def odd(name: str, values: Any, follow: Any, why: str = "the column 'odd'") -> Making:
    table = pd.DataFrame({"x": 1.5, "odd": pd.Series(values)})
    return refused(name, table, "pandas", why, lambda table: table.assign(odd=follow(table["odd"])))


def index(name: str, value: Any) -> Making:
    table = pd.DataFrame({"x": range(len(value))}, index=value)
    return refused(name, table, "pandas", "index", lambda table: table.reset_index())


def noted(table: Any) -> Any:
    table = table.copy()
    table.attrs = {"missing": None, "source": "exchange", "windows": [5, 20]}
    return table


def unfitting(table: Any) -> Any:
    table = table.copy()
    table.attrs = {"hook": print}
    return table


def without_attrs(table: Any) -> Any:
    table = table.copy()
    table.attrs = {}
    return table


def text(values: Any) -> Any:
    return values.astype(str)


def objects(*values: Any) -> Any:
    return pd.Series(list(values), dtype=object)


def arrow(values: list[Any], kind: Any) -> Any:
    return pd.arrays.ArrowExtensionArray(pa.array(values, kind))


NULLABLE = ("Int8", "Int64", "UInt64", "Float32", "Float64", "boolean")
MAKINGS: tuple[Making, ...] = (
    frame("prices by day", CLOSES),
    frame("a panel of days and symbols", pd.DataFrame({"x": range(6)}, index=PANEL)),
    frame(
        "the first rows of a panel, whose levels keep what no row uses", pd.DataFrame({"x": range(6)}, index=PANEL)[:1]
    ),
    frame(
        "levels in an order of their own",
        pd.DataFrame({"x": [1, 2]}, index=pd.MultiIndex([["z", "a"], [2, 1]], [[0, 1], [1, -1]])),
    ),
    frame(
        "levels of columns", pd.DataFrame([[1, 2, 3]], columns=pd.MultiIndex.from_product([["b", "a"], ["x", "y"]])[:3])
    ),
    frame("attrs", noted(CLOSES)),
    frame("a table that allows no label twice", CLOSES.set_flags(allows_duplicate_labels=False)),
    frame("a series with attrs", noted(CLOSES["open"])),
    frame("importances", pd.DataFrame({"feature": ["close", "volume"], "importance": [12.5, 3.0]})),
    frame("without columns", pd.DataFrame(index=DAYS)),
    frame("without anything", pd.DataFrame()),
    frame("without rows", CLOSES[:0]),
    frame("columns that are numbers", pd.DataFrame(np.eye(2), columns=[3, 1])),
    frame("a range with steps", pd.DataFrame({"x": [1, 2]}, index=pd.RangeIndex(4, 0, -2, name="r"))),
    column("decimals of one exponent", objects(Decimal("1.10"), None)),
    column("decimals of many exponents", objects(Decimal("1.1"), Decimal("2.000"), Decimal("1E+3"), Decimal("NaN"))),
    *(column(f"{kind} with gaps", pd.array([1, None, 0], dtype=kind)) for kind in NULLABLE),
    *(
        column(f"times in {unit} of a zone", pd.to_datetime(["2024", None]).as_unit(unit).tz_localize("Europe/Berlin"))
        for unit in ("s", "ms", "us", "ns")
    ),
    column("an hour that is there twice", pd.date_range("2024-10-27", periods=5, freq="h", tz="Europe/Berlin")),
    column(
        "categories with an order, and one that no row uses", pd.Categorical(["b", None], ["c", "b", "a"], ordered=True)
    ),
    column("categories of booleans", pd.Categorical([True, None, False])),
    column("categories of days", pd.Categorical(DAYS[:2], categories=DAYS)),
    column("labels of cut", pd.cut([1, 2, 3], 3, labels=["low", "mid", "high"])),
    column("objects: text with NaN", objects("x", np.nan)),
    column("objects: days", objects(dt.date(2024, 1, 1), None)),
    column("objects: bytes", objects(b"x", None)),
    column("text that Python holds", pd.array(["x", None], dtype=pd.StringDtype("python"))),
    column("text of pandas", pd.array(["x", None], dtype="string")),
    column("Arrow's text", arrow(["x", None], pa.string())),
    column("Arrow's numbers", arrow([1, None], pa.int64())),
    column("Arrow's lists", arrow([[1, None], None], pa.list_(pa.int8()))),
    column("Arrow's records", arrow([{"x": 1}, None], pa.struct([("x", pa.int64())]))),
    column("Arrow's decimals", arrow([Decimal("1.10"), None], pa.decimal128(10, 2))),
    odd("periods", pd.period_range("2024", periods=2, freq="M"), text),
    odd("intervals", pd.interval_range(0, 2), text),
    odd("cut", pd.cut([1, 2], 2), text),
    odd("a sparse column", pd.arrays.SparseArray([0, 1]), lambda a: a.sparse.to_dense()),
    odd("complex numbers", [1j, 2j], np.real),
    odd("a big-endian column", np.array([1.0, 2], ">f8"), lambda a: a.astype("float64")),
    odd("lists", [[1], [2]], text),
    odd("dicts", [{"a": 1}, {"b": 2}], text),
    odd("text and numbers", objects("x", 1), text),
    odd("gaps of two kinds", objects("x", None, np.nan), lambda a: a.where(a.notna(), None)),
    odd(
        "a zone with a name of its own",
        pd.to_datetime(["2024"]).tz_localize(dt.timezone(dt.timedelta(hours=2), "X")),
        lambda a: a.dt.tz_convert("UTC"),
    ),
    index("an index of nullable numbers", pd.Index([1, None], dtype="Int64")),
    index("an index of one level", pd.MultiIndex.from_arrays([["a", "b"]], names=["p"])),
    refused("attrs that are not JSON", unfitting(CLOSES), "pandas", r"attrs\['hook'\]", without_attrs),
    refused(
        "a column name twice",
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        "pandas",
        "several columns .* a;",
        lambda t: t.set_axis(["a", "b"], axis=1),
    ),
    refused(
        "names of two types",
        pd.DataFrame([[1, 2]], columns=["a", 1]),
        "pandas",
        "the column name 1",
        lambda t: t.set_axis(["a", "1"], axis=1),
    ),
    refused("an index alone", DAYS, "pandas", "DatetimeIndex", lambda days: days.to_frame()),
)
