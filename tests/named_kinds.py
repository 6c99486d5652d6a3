"""Every kind of input that carries names, made of one table of numbers in a given order of its columns."""

from __future__ import annotations

import collections
import dataclasses
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import attrs
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic

Row = Mapping[str, float]


class Fixed(NamedTuple):
    """A row whose order of fields is that of the class."""

    c: float
    a: float
    b: float


class Keyed:
    """As the rows of some databases: sized, indexed by name, and iterated by value."""

    def __init__(self, row: Row) -> None:
        self._row = dict(row)

    def keys(self) -> list[str]:
        return list(self._row)

    def __len__(self) -> int:
        return len(self._row)

    def __iter__(self) -> Any:
        return iter(self._row.values())

    def __getitem__(self, name: str | int) -> float:
        return self._row[name] if isinstance(name, str) else list(self._row.values())[name]


class Fielded(collections.abc.Sequence[float]):
    """As the rows of other databases: a sequence that says ``_fields``."""

    def __init__(self, row: Row) -> None:
        self._fields, self._values = tuple(row), tuple(row.values())

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: Any) -> Any:
        return self._values[place]


class SparkLike(tuple[float, ...]):  # noqa: SLOT001 -- the names are of each object
    """A tuple that says ``__fields__``."""

    __fields__: list[str]


def spark_like(row: Row) -> SparkLike:
    made = SparkLike(row.values())
    made.__fields__ = list(row)
    return made


def sqlite(row: Row) -> sqlite3.Row:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    wanted = ", ".join(f'? AS "{name}"' for name in row)
    found: sqlite3.Row = connection.execute(f"SELECT {wanted}", tuple(row.values())).fetchone()
    connection.close()
    return found


def record_array(rows: Sequence[Row]) -> Any:
    return pd.DataFrame(list(rows)).to_records(index=False)


ONE: dict[str, Callable[[Row], Any]] = {
    "dict": dict,
    "namedtuple": lambda row: collections.namedtuple("namedtuple", row)(**row),  # type: ignore[arg-type]  # noqa: PYI024 -- fields of a test
    "itertuples": lambda row: next(pd.DataFrame([row], index=[77.0]).itertuples()),
    "itertuples with a name of its own": lambda row: next(pd.DataFrame([row], index=[77.0]).itertuples(name="Bar")),
    "itertuples without index": lambda row: next(pd.DataFrame([row]).itertuples(index=False)),
    "sqlite3.Row": sqlite,
    "keys()": Keyed,
    "_fields": Fielded,
    "__fields__": spark_like,
    "dataclass": lambda row: dataclasses.make_dataclass("D", [(name, float) for name in row])(**row),
    "attrs": lambda row: attrs.make_class("A", list(row))(**row),
    "pydantic": lambda row: pydantic.create_model("P", **dict.fromkeys(row, (float, ...)))(**row),  # type: ignore[call-overload]
    "pandas Series": lambda row: pd.Series(dict(row)),
    "pandas row": lambda row: pd.DataFrame([row]).iloc[0],
    "numpy void": lambda row: record_array([row])[0],
    "structured array of no dimension": lambda row: np.array(tuple(row.values()), dtype=[(name, "f8") for name in row]),
    "arrow StructScalar": lambda row: pa.scalar(dict(row), pa.struct([(name, pa.float64()) for name in row])),
}
"""One row."""

MANY: dict[str, Callable[[Sequence[Row]], Any]] = {
    **{
        f"{container.__name__} of {kind}": lambda rows, make=make, container=container: container(map(make, rows))
        for kind, make in ONE.items()
        for container in ((list, tuple) if kind == "namedtuple" else (list,))
    },
    "list of kinds mixed": lambda rows: [
        make(row) for row, make in zip(rows, [ONE["sqlite3.Row"], dict, ONE["pandas row"]] * len(rows), strict=False)
    ],
    "deque of dict": collections.deque,
    "dict of lists": lambda rows: {name: [row[name] for row in rows] for name in rows[0]},
    "dict of arrays": lambda rows: {name: np.array([row[name] for row in rows]) for name in rows[0]},
    "dict of polars Series": lambda rows: dict(zip(rows[0], pl.DataFrame(list(rows)), strict=True)),
    "dict of arrow columns": lambda rows: dict(zip(rows[0], pa.Table.from_pylist(list(rows)), strict=True)),
    "namedtuple of lists": lambda rows: ONE["namedtuple"](MANY["dict of lists"](rows)),
    "record array": record_array,
    "structured array": lambda rows: np.array(record_array(rows).tolist(), dtype=[(name, "f8") for name in rows[0]]),
    "pandas": lambda rows: pd.DataFrame(list(rows)),
    "polars": lambda rows: pl.DataFrame(list(rows)),
    "polars structs": lambda rows: pl.Series(list(rows)),
    "polars named structs": lambda rows: pl.Series("bars", list(rows)),
    "arrow": lambda rows: pa.Table.from_pylist(list(rows)),
    "arrow RecordBatch": lambda rows: pa.RecordBatch.from_pylist(list(rows)),
    "arrow StructArray": lambda rows: pa.array(list(rows)),
    "arrow structs in chunks": lambda rows: pa.chunked_array([pa.array(list(rows))]),
}
"""Several rows."""

WITHOUT_A_ROW: dict[str, Callable[[Sequence[Row]], Any]] = {
    "list of pandas columns": lambda rows: [column for _, column in pd.DataFrame(list(rows)).items()],
    "list of pandas columns with an index of numbers": lambda rows: [
        column for _, column in pd.DataFrame(list(rows)).set_axis(np.arange(len(rows)) * 2.0).items()
    ],
    "list of polars columns": lambda rows: list(pl.DataFrame(list(rows))),
    "a named polars column": lambda rows: pl.DataFrame({"x": list(rows[0].values())})["x"],
    "list of frames": lambda rows: [pd.DataFrame(list(rows)), pd.DataFrame(list(rows))],
    "list of lists of dict": lambda rows: [list(rows), list(rows)],
    "list of lists of namedtuple": lambda rows: [list(map(ONE["namedtuple"], rows))] * 2,
    "list of record arrays": lambda rows: [record_array(rows)] * 2,
    "list of rows and lists": lambda rows: [ONE["namedtuple"](rows[0]), list(rows[0].values())],
    "list of RecordBatch": lambda rows: [pa.RecordBatch.from_pylist(list(rows))],
    "dict of pandas columns": lambda rows: dict(pd.DataFrame(list(rows)).items()),
    "dict of dict": lambda rows: pd.DataFrame(list(rows)).to_dict(),
    "lazy polars": lambda rows: pl.DataFrame(list(rows)).lazy(),
    "pandas column of dict": lambda rows: pd.Series(list(rows)),
}
"""Carries names in a way that does not say what is a row, or hides them: refused."""
