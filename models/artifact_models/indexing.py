"""Rows of tables and arrays: which are for training, a few of them as an example, all of them as numbers.

Knows numpy, and tables by what they can do; knows no store; of the schema only how names are found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from artifact_store import FeatureSchema, errors

Report = Callable[[int, int, Mapping[str, float]], None]
"""Told after each step of a training: the step (from 1), how many there may be, and what was measured."""


def is_table(rows: Any) -> bool:
    """Tell a table (pandas, polars, arrow) from an array."""
    kind = type(rows)
    return hasattr(kind, "columns") or hasattr(kind, "column_names")


def has_names(rows: Any) -> bool:
    """Tell whether the rows say what their values are called: a table, or rows with names."""
    return is_table(rows) or FeatureSchema.carries_names(rows)


def count(rows: Any) -> int:
    """Return the number of rows of a table or an array.

    Raises:
        InvalidInput: it is neither.
    """
    if not is_table(rows) and FeatureSchema.carries_names(rows):
        raise _nameless(rows)
    shape = getattr(rows, "shape", None)
    if shape:
        return int(shape[0])
    if not hasattr(type(rows), "__len__"):
        raise errors.InvalidInput(
            f"give a table or an array of rows, not a {type(rows).__name__} (collect a lazy table)"
        )
    return len(rows)


def column_names(rows: Any) -> list[str] | None:
    """Return what a table calls its columns; nothing for an array."""
    if not is_table(rows):
        return None
    return [str(name) for name in getattr(rows, "column_names", None) or rows.columns]


def named(rows: Any, names: Sequence[str]) -> Any:
    """Return the columns of a table that have these names, in this order; anything else as it is.

    Raises:
        FeatureMismatch: one is not there, or twice.
    """
    return FeatureSchema(names).select(rows) if is_table(rows) else rows


def slice_rows(rows: Any, start: int, stop: int) -> Any:
    """Return the rows from ``start`` up to ``stop``, in the same kind of container, with a fresh index in pandas."""
    if hasattr(rows, "iloc"):
        return rows.iloc[start:stop].reset_index(drop=True)
    if is_table(rows):
        return rows.slice(start, stop - start)
    return rows[start:stop]


def numbers(rows: Any) -> Any:
    """Return a table or an array as a numpy array of numbers; booleans among them are 0 and 1.

    Raises:
        FeatureMismatch: it holds something else.
        InvalidInput: it carries names and is not a table.
    """
    import numpy as np

    if not is_table(rows):
        array = rows.to_numpy() if hasattr(rows, "to_numpy") else None
        if array is None and FeatureSchema.carries_names(rows):
            raise _nameless(rows)
        return _numeric(np.asarray(rows) if array is None else array, "an array")
    if hasattr(rows, "to_pandas"):
        rows = rows.to_pandas()
    array = rows.to_numpy()
    if array.dtype != object:
        return _numeric(array, "a table")
    columns = [rows.iloc[:, place].to_numpy() for place in range(rows.shape[1])]  # of several dtypes, booleans too
    for name, column in zip(rows.columns, columns, strict=True):
        _numeric(column, repr(name))
    return np.column_stack(columns)


def _numeric(array: Any, what: str) -> Any:
    if array.dtype.kind not in "fiub":
        raise errors.FeatureMismatch(
            f"expected numbers; got {what} of {array.dtype}: encode text and categories first, fill gaps in booleans"
        )
    return array


def _nameless(rows: Any) -> errors.InvalidInput:
    return errors.InvalidInput(
        f"this {type(rows).__name__} carries names, which an array would lose, and is not a table: convert it to one, "
        "for instance pandas.DataFrame(rows)"
    )


def targets(y: Any, length: int) -> Any:
    """Return what is to be predicted as a one-dimensional array, one value for each row.

    Raises:
        InvalidInput: there are more or fewer, or more than one for a row.
    """
    import numpy as np

    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:  # noqa: PLR2004 -- a single column
        array = array[:, 0]
    if array.shape != (length,):
        raise errors.InvalidInput(f"expected one target for each of the {length} rows; got an array of {array.shape}")
    return array


def selection(width: int, selected: Sequence[int] | None) -> tuple[int, ...]:
    """Return the positions of the selected columns; all of them where nothing was selected (``None``, ``[]``).

    Raises:
        InvalidInput: a position is outside, or twice.
    """
    chosen = tuple(int(place) for place in selected) if selected is not None and len(selected) else tuple(range(width))
    if min(chosen) < 0 or max(chosen) >= width or len(set(chosen)) < len(chosen):
        raise errors.InvalidInput(
            f"selected_features holds each position once, from 0 to {width - 1}; got {chosen[:10]}"
        )
    return chosen


def split(length: int, train_idx: Any, valid_idx: Any) -> tuple[Any, Any]:
    """Return the positions of the rows for training and for validation, each sorted.

    Positions, slices and masks are taken. Validation may be empty (``None``).

    Raises:
        InvalidInput: there is no row to train on; a position is outside, or twice; a row is in both.
    """
    import numpy as np

    train, valid = (_positions(length, idx, what) for idx, what in ((train_idx, "train_idx"), (valid_idx, "valid_idx")))
    if not len(train):
        raise errors.InvalidInput("train_idx selects no rows: there is nothing to train on")
    both = np.intersect1d(train, valid)
    if len(both):
        raise errors.InvalidInput(
            f"{len(both)} rows are in train_idx and in valid_idx (the first is row {both[0]}): validation would be "
            "done on what was learnt"
        )
    return train, valid


def _positions(length: int, idx: Any, what: str) -> Any:
    import numpy as np

    everything = np.arange(length)
    if idx is None:
        return everything[:0]
    if isinstance(idx, slice):
        return np.sort(everything[idx])
    chosen = np.asarray(idx)
    if chosen.size == 0:
        return everything[:0]
    if chosen.dtype == bool and chosen.shape == (length,):
        return everything[chosen]
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise errors.InvalidInput(f"{what} is a list of row positions, a slice, or a mask of {length} booleans")
    if chosen.min() < 0 or chosen.max() >= length:
        raise errors.InvalidInput(
            f"{what} goes from {chosen.min()} to {chosen.max()}, and the rows from 0 to {length - 1}"
        )
    distinct = np.unique(chosen)
    if len(distinct) < len(chosen):
        raise errors.InvalidInput(f"{what} names {len(chosen) - len(distinct)} rows twice")
    return distinct
