"""Bring one input into the form that a model was trained on: a table, an array, or a single row.

Owns the order of the steps: find the columns, give them their dtypes, pick the selection, run a preprocessor.
Every function returns what it was given, or something new; it changes neither. Owns no schema and no storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from artifact_store.errors import FeatureMismatch, InvalidInput
from artifact_store.features import cast, gaps, named_rows, row_arrays, tables
from artifact_store.features.columns import Columns, quote_names
from artifact_store.features.match import Matching
from artifact_store.features.named_rows import Record
from artifact_store.features.tables import Table
from artifact_store.features.values import NUMERIC


def align(columns: Columns, rows: Any, matching: Matching, *, as_pandas: bool = False) -> Any:
    """Return the trained columns of ``rows``, in training order and dtype; see :meth:`FeatureSchema.align`.

    ``as_pandas`` makes a pandas table of one of another library.

    Raises:
        FeatureMismatch: they are not all there, or not as they were in training.
        InvalidInput: this is nothing that holds features.
        Unsupported: ``as_pandas``, and pandas is not installed.
    """
    kind = tables.table_of(rows)
    if kind is not None:
        if (matching.by_position or not columns.inferred) and _is_ready(columns, rows, kind):
            return rows
        found = _find(columns, rows, kind, matching)
        return _conform(columns, found, kind, as_pandas=as_pandas and kind is not tables.PANDAS)
    if not isinstance(rows, dict) and tables.is_struct(rows):
        return align(columns, tables.adopt(rows), matching, as_pandas=as_pandas)
    records = named_rows.read_named_rows(rows)
    if records is not None:
        return _align_named(columns, rows, records, matching)
    if matching.fill:
        raise InvalidInput("fill gives values to columns by name, and an array has no names; complete the array itself")
    return row_arrays.fit_array(columns, row_arrays.without_names(rows))


def for_model(columns: Columns, rows: Any) -> Any:
    """Return a table with categories as the pandas table that a model is given; anything else as it is.

    Raises:
        FeatureMismatch: the columns cannot be had as they were in training; an array holds numbers for categories.
        Unsupported: pandas is not installed.
    """
    kind = tables.table_of(rows)
    if not columns.categories or kind is tables.PANDAS:
        return rows
    if kind is None:
        row_arrays.refuse_words(columns, _values(rows))
    return _conform(columns, rows, kind, as_pandas=True)


def pick(columns: Columns, selected: Sequence[int], chosen: Columns, rows: Any) -> Any:
    """Return the selected columns of rows that :func:`align` returned, or of any table that has them by name."""
    kind = tables.table_of(rows)
    if kind is not None:
        found = kind.names(rows)
        if found != list(columns.names):
            return kind.take(rows, [place for place in Matching().places(chosen, found) if place is not None])
        return rows if chosen is columns else kind.take(rows, selected)
    if tables.is_a(rows, "pandas", "Series") and rows.index.tolist() == list(columns.names):
        return rows.iloc[list(selected)]
    if named_rows.carries_names(rows):
        return align(chosen, rows, Matching())
    array = row_arrays.without_names(rows)
    row_arrays.check_width(array, columns, columns.expected)
    return array if chosen is columns else array[..., list(selected)]


def pick_processed(columns: Columns, selected: Sequence[int], chosen: Columns, rows: Any) -> Any:
    """Return the selected columns of what a preprocessor made of all columns.

    Raises:
        FeatureMismatch: it did not return exactly the columns that it was given, in their order, so the
            selection is ambiguous.
    """
    kind = tables.table_of(rows)
    if kind is not None or tables.is_a(rows, "pandas", "Series"):
        found = rows.index.tolist() if kind is None else kind.names(rows)
        if found != list(columns.names):
            raise FeatureMismatch(
                f"the preprocessor returned other columns than the {len(columns.names)} that the selection was made "
                f"on: {quote_names(found)}; let it return arrays, or keep names and order",
                reordered=sorted(map(str, found)) == sorted(columns.names),
            )
    else:
        wide = f"{len(columns.names)} columns from the preprocessor, to select from"
        row_arrays.check_width(row_arrays.as_array(rows), columns, wide)
    return pick(columns, selected, chosen, rows)


def process(preprocessor: Any, rows: Any) -> Any:
    """Return what a callable, or an object with ``transform``, makes of the rows.

    ``transform`` is given rows, as in scikit-learn: windows and a single row are laid out as rows and get their shape
    back; a pandas Series becomes a table of one row. A callable is given the rows as they are.

    Raises:
        InvalidInput: this is not a preprocessor.
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


def check_missing_values(columns: Columns, rows: Any) -> None:
    """Raise if the rows hold NaN or infinities that the model must not be given.

    Raises:
        FeatureMismatch: they do.
        InvalidInput: a preprocessor returned something whose values cannot be checked.
    """
    if not columns.strict:
        return
    kind = tables.table_of(rows)
    if kind is not None:
        cast.check_values(columns, rows, kind.names(rows))
        return
    array = _values(rows)
    if array.ndim == 0 or array.dtype.kind not in NUMERIC:
        raise InvalidInput(
            f"{type(rows).__name__} cannot be checked for NaN and infinities as this model asks; "
            "let the preprocessor return an array or a table of numbers"
        )
    cast.check_array(columns, array)


def _values(rows: Any) -> Any:
    """Return an array, or a pandas Series whose names were compared before, as an array of numpy."""
    return rows.to_numpy() if tables.is_a(rows, "pandas", "Series") else row_arrays.as_array(rows)


def _find(columns: Columns, table: Any, kind: Table, matching: Matching) -> Any:
    places = matching.places(columns, kind.names(table))
    if matching.by_position:
        return kind.rename(table, columns.names)
    picked = kind.take(table, [place for place in places if place is not None])
    absent = {name: matching.fill[name] for name, place in zip(columns.names, places, strict=True) if place is None}
    if absent:
        picked = tables.add_constants(picked, absent, {name: columns.dtypes.get(name) for name in absent})
        now = {name: place for place, name in enumerate(kind.names(picked))}
        picked = kind.take(picked, [now[name] for name in columns.names])
    return picked


def _conform(columns: Columns, table: Any, kind: Table, *, as_pandas: bool) -> Any:
    if _is_ready(columns, table, kind):
        return table
    table, problems = gaps.settled(columns, table, kind)
    made = cast.conform(columns, table, kind, problems=problems, as_pandas=as_pandas)
    return gaps.as_trained(columns, made) if tables.is_a(made, "pandas", "DataFrame") else made


def _align_named(columns: Columns, rows: Any, records: Sequence[Record], matching: Matching) -> Any:
    matched = _match(columns, records, matching)
    if tables.is_a(rows, "pandas", "Series"):
        return type(rows)(row_arrays.of_rows(columns, matched)[0], index=list(columns.names), name=rows.name)
    shape, own = records[0].shape, set(columns.names if matching.by_position else records[0].names)
    cells = [value for name, value in zip(columns.names, matched[0], strict=True) if name in own]
    if shape is None and (len(records) > 1 or not all(map(row_arrays.is_column, cells))):
        return row_arrays.of_rows(columns, matched)
    return row_arrays.of_columns(columns, matched[0], shape)


def _match(columns: Columns, records: Sequence[Record], matching: Matching) -> list[list[Any]]:
    """Return the values of each record in training order."""
    known: dict[tuple[Any, ...], Sequence[int | None]] = {}
    matched = []
    for number, record in enumerate(records):
        names = tuple(record.names)
        if names not in known:
            try:
                known[names] = matching.places(columns, names)
            except FeatureMismatch as error:
                if len(records) > 1:
                    error.args = (f"in row {number}, counted from 0: {error}",)
                raise
        values = record.values
        matched.append(
            [
                matching.fill[name] if place is None else values[place]
                for name, place in zip(columns.names, known[names], strict=True)
            ]
        )
    if matching.by_position and len(known) > 1:
        raise FeatureMismatch(
            "by_position=True, but the rows do not all have the same names in the same order", reordered=True
        )
    return matched


def _is_ready(columns: Columns, table: Any, kind: Table) -> bool:
    """Tell whether a frame already is what :func:`align` would return: the path of one row at a time."""
    if kind is tables.POLARS:
        named = table.columns == list(columns.names)
        return named and None not in columns.kinds and tables.POLARS.numbers(table) == columns.kinds
    wanted = _numpy_dtypes(columns.kinds)
    if wanted is None or kind is not tables.PANDAS:
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
    """Return numpy's dtypes, ``None`` for a category; nothing at all if a column has to be checked each time."""
    import numpy as np

    if any(kind in (None, "string") for kind in kinds):
        return None
    return [None if kind == "category" else np.dtype(str(kind)) for kind in kinds]
