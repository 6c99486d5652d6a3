"""Missing values in tables: what a training table had where there is no value, and how another one comes to have it.

NaN, ``None``, ``pandas.NA`` and null mean the same. A model for numbers takes them alike; an encoder of text does not:
what it was not fitted on is another category to it, and not a missing one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from artifact_store.errors import InvalidInput
from artifact_store.features import tables
from artifact_store.features.cast import is_exact
from artifact_store.features.columns import FLOATS, INTEGERS, NUMBERS, Columns, Missing
from artifact_store.features.tables import Table, narwhal, word
from artifact_store.features.values import NoNumber, as_number, from_decimal, holds_exactly, is_missing
from artifact_store.wording import brief

_TEXT: Final = ("string", "empty")
"""What pandas says of a column of objects that are text, or missing."""


def widened(table: Any, dtypes: Mapping[str, str]) -> dict[str, str]:
    """Return the dtypes of a training table, where whole numbers and booleans with gaps are floats.

    Only a float can have a gap in every kind of table and in an array, and it is what LightGBM makes of them. Whole
    numbers that no float holds stay what they are in polars and arrow, which have gaps of their own.

    Raises:
        InvalidInput: pandas has such whole numbers; text stands beside something else in a column.
    """
    kind = tables.table_of(table)
    assert kind is not None
    frame, found = narwhal(table), dict(dtypes)
    for name, dtype in dtypes.items():
        column = frame[name]
        if dtype == "string" and _is_mixed(column, kind):
            raise InvalidInput(f"{name!r} holds text and other values; convert it to one of both")
        if dtype not in (*INTEGERS, "bool") or not column.null_count():
            continue
        if is_exact(column.drop_nulls().to_numpy().astype(dtype), "float64"):
            found[name] = "float64"
        elif not kind.holds_missing(dtype):
            raise InvalidInput(
                f"{name!r} has gaps, and whole numbers from 2**53 on that no float holds: fill the gaps, or drop it"
            )
    return found


def recorded(table: Any, dtypes: Mapping[str, str]) -> dict[str, Missing]:
    """Return what stands for a missing value in each column of text, where that is one and the same."""
    text = [name for name, dtype in dtypes.items() if dtype == "string"]
    forms = {name: _form(table[name]) if hasattr(table, "iloc") else "none" for name in text}
    return {name: form for name, form in forms.items() if form is not None}


def settled(columns: Columns, table: Any, kind: Table) -> tuple[Any, dict[str, tuple[str, str]]]:
    """Return the table with plain columns for decimals, objects, and no value at all; and what cannot be had.

    A column of which every value is missing has no dtype of its own, whatever its library says of it.
    """
    frame = narwhal(table)
    made: dict[str, tuple[list[Any], str]] = {}
    problems: dict[str, tuple[str, str]] = {}
    for name, dtype in frame.schema.items():
        want, have, column = columns.dtypes.get(name), word(dtype), frame[name]
        if want == "string" == have and _is_mixed(column, kind):
            problems[name] = (want, "text and other values")
        if want in ("category", have) or (have in NUMBERS and want in (None, *NUMBERS)):
            continue
        if _is_empty(column):
            made[name] = ([None] * len(column), "string" if want == "string" else "float64")
        elif want != "string" and (read := _reader(column)) is not None:
            try:
                made[name] = read(column, want, kind)
            except NoNumber as found:
                problems[name] = (want or "a number", str(found))
    return (tables.replace_columns(table, made) if made else table), problems


def as_trained(columns: Columns, table: Any) -> Any:
    """Return a pandas table with the trained form of missing values in its columns of text."""
    import numpy as np
    import pandas as pd

    made = None
    value: dict[Missing, Any] = {"nan": np.nan, "none": None, "NA": pd.NA}
    for name, form in columns.missing.items():
        column = table[name]
        holes = column.isna().to_numpy()
        if not holes.any() or _form(column) == form:
            continue
        cells = column.to_numpy(dtype=object, copy=True)
        cells[holes] = value[form]
        made = table.copy(deep=False) if made is None else made
        made[name] = pd.Series(cells, index=table.index, dtype=object)
    return table if made is None else made


def _form(column: Any) -> Missing | None:
    """Return what a pandas column has for a missing value; nothing where it has several, or none among objects."""
    import pandas as pd

    if column.dtype != object:
        return "NA" if column.dtype.na_value is pd.NA else "nan"
    holes = column[column.isna()]
    found: set[Missing] = {"none" if value is None else "NA" if value is pd.NA else "nan" for value in holes}
    return found.pop() if len(found) == 1 else None


def _is_mixed(column: Any, kind: Table) -> bool:
    native = column.to_native()
    if kind is not tables.PANDAS or native.dtype != object:
        return False
    import pandas as pd

    return pd.api.types.infer_dtype(native, skipna=True) not in _TEXT


def _is_empty(column: Any) -> bool:
    holes = column.is_null()
    if word(column.dtype) in FLOATS:
        holes = holes | column.is_nan()
    return bool(holes.all())


def _reader(column: Any) -> Callable[[Any, str | None, Table], tuple[list[Any], str]] | None:
    """Return what reads the numbers of a column that has no dtype for them: decimals, and objects of any type."""
    text = str(column.dtype)
    if text.startswith("Decimal"):
        return _from_decimals
    if text != "Object" and str(getattr(column.to_native(), "dtype", "")) != "object":  # narwhals says "String" of text
        return None
    decimals = all(isinstance(value, Decimal) or is_missing(value) for value in column.to_list())
    return _from_decimals if decimals else _from_objects


def _from_objects(column: Any, want: str | None, _: Table) -> tuple[list[Any], str]:
    """Return the numbers that a column of objects holds, and a dtype that holds each of them.

    Raises:
        NoNumber: one of them is not a number, or no dtype holds them all.
    """
    import numpy as np

    values = column.to_list()
    advice = f"table[{column.name!r}].astype(float)"
    found = []
    for row, value in enumerate(values):
        try:
            found.append(as_number(value, want))
        except NoNumber as error:
            what = str(error) if isinstance(value, Decimal) else f"{brief(value)} ({error})"
            raise NoNumber(
                f"objects, and {what} in row {row} (counted from 0) is not a number: make it one, then {advice}"
            ) from error
    made = np.array(found)
    if not holds_exactly(found, made):
        raise NoNumber("objects, among them whole numbers that no dtype holds beside the others, or beside gaps")
    dtype = {"b": "bool", "i": "int64", "u": "uint64"}.get(made.dtype.kind, "float64")
    gaps = [is_missing(value) for value in values]
    return [None if gap else number for gap, number in zip(gaps, made.astype(dtype).tolist(), strict=True)], dtype


def _from_decimals(column: Any, want: str | None, kind: Table) -> tuple[list[Any], str]:
    """Return the numbers that a column of decimals holds, and their dtype.

    Raises:
        NoNumber: one of them is not to be had in the trained dtype.
    """
    values = [None if is_missing(value) else from_decimal(value, want) for value in column.to_list()]
    whole = want is not None and want not in FLOATS
    if whole and None in values and not kind.holds_missing(str(want)):
        raise NoNumber("Decimal with missing values")
    return values, str(want) if whole else "float64"
