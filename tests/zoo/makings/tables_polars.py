"""Tables of polars, which load without pandas."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl

from tests.zoo.making import Making, plain, refused

WITHOUT = ("torch", "lightgbm", "sklearn", "scipy", "pandas", "pyarrow")


def polar(name: str, values: Any, **more: Any) -> Making:
    return plain(name, pl.DataFrame({"a": values}), "polars", without=WITHOUT, **more)


def as_text(table: Any) -> Any:
    return table.with_columns(pl.Series("odd", map(str, table["odd"])))


MAKINGS: tuple[Making, ...] = (
    polar("numbers, NaN and null apart", [1.5, float("nan"), None]),
    polar("categories", pl.Series(["b", "a", None], dtype=pl.Categorical)),
    polar("an enum", pl.Series(["b", None], dtype=pl.Enum(["c", "b"]))),
    polar("decimals", pl.Series([Decimal("1.10"), None], dtype=pl.Decimal(10, 2))),
    polar("times of a zone", pl.Series([dt.datetime(2024, 1, 1)], dtype=pl.Datetime("ns", "Europe/Berlin"))),  # noqa: DTZ001
    polar("lists", [[1, None], None, []]),
    polar("arrays", pl.Series([[1, 2]], dtype=pl.Array(pl.Int8, 2))),
    polar("records", [{"x": 1, "y": None}, None]),
    polar("times of day and durations", [dt.timedelta(1), None]),
    refused(
        "objects",
        pl.DataFrame({"odd": pl.Series([print], dtype=pl.Object)}),
        "polars",
        "'odd'",
        as_text,
    ),
    refused(
        "records without fields",
        pl.DataFrame({"odd": pl.Series([{}], dtype=pl.Struct([]))}),
        "polars",
        "'odd'",
        lambda t: t.drop("odd"),
    ),
    refused("a series", pl.Series("a", [1]), "polars", r"to_frame", lambda s: s.to_frame()),
    refused("a lazy frame", pl.LazyFrame({"a": [1]}), "polars", r"collect", lambda s: s.collect()),
)
