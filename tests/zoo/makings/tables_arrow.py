"""Tables of Arrow, which load without pandas."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from tests.zoo.making import Making, plain, refused

WITHOUT = ("torch", "lightgbm", "sklearn", "scipy", "pandas", "polars")


def arrows(name: str, values: Any, kind: Any = None) -> Making:
    return plain(name, pa.table({"a": pa.array(values, kind)}), "arrow", without=WITHOUT)


MAKINGS: tuple[Making, ...] = (
    arrows("numbers", [1, None], pa.uint8()),
    arrows("seconds of a zone", [0, None], pa.timestamp("s", "Europe/Berlin")),
    arrows("lists of lists", [[[1], None], None]),
    arrows("records", [{"x": 1, "y": "z"}, None]),
    arrows("maps", [[("a", 1)], None], pa.map_(pa.string(), pa.int8())),
    arrows("a dictionary", pa.array(["b", "a", None]).dictionary_encode()),
    arrows("decimals", [Decimal("1.10"), None], pa.decimal256(50, 2)),
    arrows("halves", np.array([1.5, -0.0], np.float16)),
    plain("metadata", pa.table({"a": [1]}).replace_schema_metadata({"k": "v"}), "arrow", without=WITHOUT),
    refused(
        "a dictionary of numbers",
        pa.table({"odd": pa.array([3, 2]).dictionary_encode()}),
        "arrow",
        "'odd'",
        lambda t: t.cast(pa.schema([("odd", pa.int64())])),
    ),
    refused(
        "months, days and nanoseconds",
        pa.table({"odd": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
        "arrow",
        "'odd'",
        lambda t: pa.table({"odd": pa.array(map(str, t["odd"].to_pylist()))}),
    ),
    refused("a batch", pa.record_batch({"a": [1]}), "arrow", "RecordBatch", lambda b: pa.Table.from_batches([b])),
)
