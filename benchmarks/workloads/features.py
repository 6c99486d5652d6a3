"""Rows and arrays that are brought into the form in which a model was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.place import Place
from benchmarks.work import Work, repeated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAMES = [f"f{number}" for number in range(20)]


def _values(rows: int) -> NDArray[np.float64]:
    import numpy as np

    return np.random.default_rng(0).normal(size=(rows, len(NAMES)))


def polars_row(_: Place, *, times: int, by_hand: bool = False) -> Work:
    """One row of polars, its columns in the order of training."""
    import polars as pl

    from artifact_store import FeatureSchema

    row = pl.DataFrame(_values(1), schema=NAMES, orient="row")
    if by_hand:
        return repeated(lambda: row.select(NAMES).to_numpy(), times)
    schema = FeatureSchema(NAMES, dtypes=dict.fromkeys(NAMES, "float64"))
    return repeated(lambda: schema.prepare(row), times)


def float32(_: Place, *, rows: int, by_hand: bool = False) -> Work:
    """An array of float64 as float32."""
    from artifact_store import FeatureSchema

    values = _values(rows)
    if by_hand:
        return repeated(lambda: values.astype("float32"), 3)
    schema = FeatureSchema(NAMES, dtypes=dict.fromkeys(NAMES, "float32"))
    return repeated(lambda: schema.prepare(values), 3)
