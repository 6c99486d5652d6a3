"""Bring one input into the form that a model was trained on: a table, an array, or a single row.

Owns the order of the steps: find the columns, give them their dtypes, pick the selection, run a preprocessor.
Every function returns what it was given, or something new; it changes neither. Owns no schema and no storage.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn

from artifact_store.core import casting, matching, tables
from artifact_store.core.columns import Columns, listed
from artifact_store.core.errors import FeatureMismatch, InvalidInput
from artifact_store.core.matching import Extra
from artifact_store.core.tables import Table

_DIMENSIONS: Final = (1, 2, 3)
_NUMERIC: Final = "fiub"


def align(
    columns: Columns,
    rows: Any,
    *,
    extra: Extra = "ignore",
    fill: Mapping[str, Any],
    by_position: bool = False,
    as_pandas: bool = False,
) -> Any:
    """Return the trained columns of ``rows``, in training order and dtype, in the same kind of container.

    ``as_pandas`` makes a pandas table of one of another library.

    Raises:
        FeatureMismatch: they are not all there, or not as they were in training.
        InvalidInput: this is nothing that holds features.
        Unsupported: ``as_pandas``, and pandas is not installed.
    """
    kind = tables.table_of(rows)
    if kind is not None:
        if (by_position or not columns.inferred) and _is_ready(columns, rows, kind):
            return rows
        found = _find(columns, rows, kind, extra=extra, fill=fill, by_position=by_position)
        return _conform(columns, found, kind, as_pandas=as_pandas and not isinstance(kind, tables.Pandas))
    if isinstance(rows, Mapping):
        names, values = list(rows), list(rows.values())
        row = _align_row(columns, names, values, extra=extra, fill=fill, by_position=by_position)
        return row.reshape(1, -1)
    if tables.is_a(rows, "pandas", "Series"):
        names, values = rows.index.tolist(), rows.tolist()
        row = _align_row(columns, names, values, extra=extra, fill=fill, by_position=by_position)
        return type(rows)(row, index=list(columns.names), name=rows.name)
    if fill:
        raise InvalidInput("fill gives values to columns by name, and an array has no names; complete the array itself")
    return fit_array(columns, as_array(rows), columns.expected)


def for_model(columns: Columns, rows: Any) -> Any:
    """Return a table with categories as the pandas table that a model is given; anything else as it is.

    A model takes the code of a category, and no other table says both the code and the value: polars has no type for
    whole numbers that are categories, and LightGBM takes the numbers of any other table for codes.

    Raises:
        FeatureMismatch: the columns cannot be had as they were in training; an array holds numbers for categories.
        Unsupported: pandas is not installed.
    """
    kind = tables.table_of(rows)
    if not columns.categories or isinstance(kind, tables.Pandas):
        return rows
    if kind is None:
        _refuse_wordy(columns, as_array(rows))
    return casting.conform(columns, rows, kind, as_pandas=True)


def pick(columns: Columns, selected: Sequence[int], chosen: Columns, rows: Any) -> Any:
    """Return the selected columns of rows that :func:`align` returned, or of any table that has them by name."""
    kind = tables.table_of(rows)
    if kind is not None:
        found = kind.names(rows)
        if found != list(columns.names):
            places = matching.by_name(chosen, found, extra="ignore", fillable=())
            return kind.take(rows, [place for place in places if place is not None])
        return rows if chosen is columns else kind.take(rows, selected)
    if tables.is_a(rows, "pandas", "Series") and rows.index.tolist() == list(columns.names):
        return rows.iloc[list(selected)]
    if isinstance(rows, Mapping) or tables.is_a(rows, "pandas", "Series"):
        return align(chosen, rows, fill={})
    array = as_array(rows)
    _check_width(array, columns, columns.expected)
    return array if chosen is columns else array[..., list(selected)]


def pick_processed(columns: Columns, selected: Sequence[int], chosen: Columns, rows: Any) -> Any:
    """Return the selected columns of what a preprocessor made of all columns.

    Raises:
        FeatureMismatch: it did not return exactly the columns that it was given, in their order, so that nobody can
            tell which of them the selection means.
    """
    kind = tables.table_of(rows)
    found = kind.names(rows) if kind is not None else None
    if found is not None and found != list(columns.names):
        raise FeatureMismatch(
            f"the preprocessor returned other columns than the {len(columns.names)} that the selection was made on: "
            f"{listed(found)}; let it return arrays, or keep names and order",
            reordered=sorted(map(str, found)) == sorted(columns.names),
        )
    if kind is None:
        _check_width(as_array(rows), columns, f"{len(columns.names)} columns from the preprocessor, to select from")
    return pick(columns, selected, chosen, rows)


def process(preprocessor: Any, rows: Any) -> Any:
    """Return what a callable, or an object with ``transform``, makes of the rows.

    ``transform`` is given rows, as in scikit-learn: windows and a single row are laid out as rows and get their shape
    back; a pandas Series becomes a table of one row. A callable is given the rows as they are.

    Raises:
        InvalidInput: this is no preprocessor.
        FeatureMismatch: it did not return one row for each one that it was given.
    """
    import numpy as np

    transform = getattr(preprocessor, "transform", None)
    if transform is None:
        if not callable(preprocessor):
            raise InvalidInput(f"a preprocessor is callable or has transform(); {type(preprocessor).__name__} has none")
        return preprocessor(rows)
    if tables.is_a(rows, "pandas", "Series"):
        return transform(rows.to_frame().T)
    if not isinstance(rows, np.ndarray) or rows.ndim == 2:  # noqa: PLR2004 -- rows and columns
        return transform(rows)
    flat = rows.reshape(-1, rows.shape[-1])
    made = np.asarray(transform(flat))
    if made.ndim != 2 or len(made) != len(flat):  # noqa: PLR2004 -- as above
        raise FeatureMismatch(f"the preprocessor made {made.shape} of {flat.shape}; expected as many rows")
    return made.reshape(*rows.shape[:-1], made.shape[1])


def check(columns: Columns, rows: Any) -> None:
    """Raise if the rows hold NaN or infinities that the model must not be given.

    Raises:
        FeatureMismatch: they do.
        InvalidInput: a preprocessor returned something whose values cannot be looked at.
    """
    if not columns.strict:
        return
    kind = tables.table_of(rows)
    if kind is not None:
        casting.check_values(columns, rows, kind.names(rows))
        return
    array = as_array(rows)
    if array.ndim == 0 or array.dtype.kind not in _NUMERIC:
        raise InvalidInput(
            f"{type(rows).__name__} cannot be checked for NaN and infinities as this model asks; "
            "let the preprocessor return an array or a table of numbers"
        )
    casting.check_array(columns, array)


def as_array(rows: Any) -> Any:
    """Return anything that is an array, or a nesting of lists, as numpy's; an array of numpy is returned itself.

    Raises:
        InvalidInput: it is a table that we do not know, whose names would be lost, or hides values behind a mask.
    """
    import numpy as np

    if isinstance(rows, np.ma.MaskedArray):
        raise InvalidInput("a masked array would lose its mask; fill it with NaN first: X.filled(np.nan)")
    if isinstance(rows, np.ndarray):
        return rows
    attributes = {*dir(type(rows)), *getattr(rows, "__dict__", ())}  # asking a lazy table itself may start its work
    if attributes & {"columns", "column_names", "schema"}:
        raise InvalidInput(
            f"{type(rows).__module__}.{type(rows).__name__} is a table whose names would be lost; "
            "turn it into a pandas, polars or arrow table first (collect a lazy one)"
        )
    try:
        return np.asarray(rows)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"no array can be made of this {type(rows).__name__}: {error}") from error


def fit_array(columns: Columns, array: Any, expected: str) -> Any:
    """Return an array with the trained columns in its last axis, in the dtype that holds all recorded ones.

    Raises:
        FeatureMismatch: the width, the number of dimensions or the dtype is another; or there are features that an
            array of numbers cannot hold.
    """
    _check_width(array, columns, expected)
    if array.dtype.kind not in _NUMERIC:
        raise FeatureMismatch(
            f"expected numbers; got an array of {array.dtype}; convert it, or give a table",
            dtype=dict.fromkeys(columns.names, ("a number", str(array.dtype))),
        )
    if columns.wordy:
        _refuse_wordy(columns, array)
    target, groups = _array_plan(columns.kinds)
    if target == array.dtype.name and not groups:
        return array
    _check_exact(columns, array, target, groups)
    return array if target is None else array.astype(target, copy=False)


def _refuse_wordy(columns: Columns, array: Any) -> NoReturn:
    raise FeatureMismatch(
        f"{listed(columns.wordy)} hold categories or text, which an array of numbers cannot say: a number in it "
        "may be a code or a value; give a table, be it of one row",
        dtype={name: (columns.dtypes[name], str(array.dtype)) for name in columns.wordy},
    )


def _find(
    columns: Columns, table: Any, kind: Table, *, extra: Extra, fill: Mapping[str, Any], by_position: bool
) -> Any:
    found = kind.names(table)
    if by_position:
        matching.by_position(columns, found)
        return kind.rename(table, columns.names)
    places = matching.by_name(columns, found, extra=extra, fillable=fill)
    picked = kind.take(table, [place for place in places if place is not None])
    absent = {name: fill[name] for name, place in zip(columns.names, places, strict=True) if place is None}
    if absent:
        picked = tables.fill(picked, absent, {name: columns.dtypes.get(name) for name in absent})
        now = {name: place for place, name in enumerate(kind.names(picked))}
        picked = kind.take(picked, [now[name] for name in columns.names])
    return picked


def _conform(columns: Columns, table: Any, kind: Table, *, as_pandas: bool) -> Any:
    return table if _is_ready(columns, table, kind) else casting.conform(columns, table, kind, as_pandas=as_pandas)


def _align_row(
    columns: Columns,
    names: list[Any],
    values: list[Any],
    *,
    extra: Extra,
    fill: Mapping[str, Any],
    by_position: bool,
) -> Any:
    import numpy as np

    if by_position:
        matching.by_position(columns, names)
    else:
        places = matching.by_name(columns, names, extra=extra, fillable=fill)
        values = [
            fill[name] if place is None else values[place] for name, place in zip(columns.names, places, strict=True)
        ]
    not_available = getattr(sys.modules.get("pandas"), "NA", None)
    numbers = [np.nan if value is None or value is not_available else value for value in values]
    strange = {
        name: (columns.dtypes.get(name, "a number"), type(value).__name__)
        for name, value in zip(columns.names, numbers, strict=True)
        if type(value) is not float and (np.ndim(value) or np.asarray(value).dtype.kind not in _NUMERIC)
    }
    if strange:
        raise FeatureMismatch(
            f"a single row holds numbers; {listed(strange)} are something else. Give a table of one row for text and "
            "categories",
            dtype=strange,
        )
    return fit_array(columns, np.array(numbers), columns.expected)


def _check_width(array: Any, columns: Columns, expected: str) -> None:
    if array.ndim not in _DIMENSIONS:
        raise FeatureMismatch(
            f"expected one row (1-D), rows (2-D) or windows of rows (3-D) with features last; got {array.ndim}-D"
        )
    if array.shape[-1] != len(columns.names):
        raise FeatureMismatch(f"expected {expected}; got {array.shape[-1]}")


@lru_cache(maxsize=64)
def _array_plan(kinds: tuple[str | None, ...]) -> tuple[str | None, dict[str, list[int]]]:
    """Return the dtype that holds all columns (none if one is unknown), and the places of those with narrower ones."""
    import numpy as np

    places: dict[str, list[int]] = {}
    for place, kind in enumerate(kinds):
        if kind is not None:
            places.setdefault(kind, []).append(place)
    target = None if None in kinds else str(np.result_type(*places))
    return target, {kind: where for kind, where in places.items() if kind != target}


def _check_exact(columns: Columns, array: Any, target: str | None, groups: Mapping[str, list[int]]) -> None:
    narrow = {kind: places for kind, places in groups.items() if not kind.startswith("float")}
    if target is not None:
        held = {place for places in narrow.values() for place in places}
        narrow[target] = [place for place in range(len(columns.names)) if place not in held]
    problems = {
        columns.names[place]: (kind, str(array.dtype))
        for kind, places in narrow.items()
        if not casting.is_exact(array[..., places], kind)
        for place in places
        if not casting.is_exact(array[..., place], kind)
    }
    casting.report(problems, {}, columns)


def _is_ready(columns: Columns, table: Any, kind: Table) -> bool:
    """Tell whether a pandas frame already is what :func:`align` would return: the path of one row at a time."""
    wanted = _numpy_dtypes(columns.kinds)
    if wanted is None or not isinstance(kind, tables.Pandas):
        return False
    if not table.columns.equals(_pandas_index(columns.names)):
        return False
    found = table.dtypes.tolist()
    for name, categories in columns.categories.items():
        if not kind.has(table[name], categories):
            return False
        found[columns.index[name]] = None
    return bool(found == wanted)


@lru_cache(maxsize=64)
def _pandas_index(names: tuple[str, ...]) -> Any:
    import pandas as pd

    return pd.Index(names)


@lru_cache(maxsize=64)
def _numpy_dtypes(kinds: tuple[str | None, ...]) -> list[Any] | None:
    """Return numpy's dtypes, ``None`` for a category; nothing at all if a column has to be looked at each time."""
    import numpy as np

    if any(kind in (None, "string") for kind in kinds):
        return None
    return [None if kind == "category" else np.dtype(str(kind)) for kind in kinds]
