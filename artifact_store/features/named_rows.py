"""Which inputs carry names, beside the tables that we know; and what they hold under which name.

A named row turned into an array loses its names without a word, and its values are then taken in whatever order they
stand. So this is asked before anything is read by position. Knows no schema and gives no value another form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

from artifact_store.errors import InvalidInput
from artifact_store.features import tables

_AS_ARRAY: Final = frozenset({"__array__", "__array_interface__", "__array_struct__", "toarray"})
_DEEPEST: Final = 64
"""Levels of lists within lists; numpy has no more dimensions."""
_OF_TABLES: Final = frozenset({"columns", "column_names", "schema"})
_NAMING: Final = _OF_TABLES | {
    *("keys", "_fields", "__fields__", "__dataclass_fields__", "__attrs_attrs__", "__struct_fields__"),
    "indexes",  # of an array with labels
}
"""Attributes that only what carries names has."""
_NUMBERS: Final = frozenset({float, int, bool, type(None)})
_NO_ROWS: Final = (str, bytes, bytearray, memoryview)


@dataclass(frozen=True, slots=True)
class Record:
    """Names, as they are, and for each of them a value: of one row, or a column of several.

    ``shape`` is that of the rows, where the record is of several for certain.
    """

    names: Sequence[Any]
    values: Sequence[Any]
    shape: tuple[int, ...] | None = None


def read_named_rows(rows: Any) -> list[Record] | None:
    """Return a record for each row, or one with columns; nothing if ``rows`` carries no names.

    Raises:
        InvalidInput: it carries names, and in a way that does not say what is a row.
    """
    if _is_plain_array(rows):
        return None
    one = record(rows)
    if one is not None:
        return [one]
    items = _items(rows)
    if any(map(carries_names, _not_plain(items))):
        records = [_row(item) for item in items]
        found = [each for each in records if each is not None]
        if len(found) < len(records):
            raise refusal(rows)
        return found
    if names_itself(rows):
        raise refusal(rows)
    return None


def refusal(rows: Any) -> InvalidInput:
    """Return the error of rows whose names an array would lose."""
    kind = type(rows)
    held = "" if names_itself(rows) else ", or what it holds"
    return InvalidInput(
        f"{kind.__module__}.{kind.__name__}{held}, carries names that would be lost in an array, and does not say what "
        "is a row: make one pandas, polars or arrow table of it (collect a lazy one). Align windows one by one, and "
        "stack what comes of them"
    )


def carries_names(rows: Any, /) -> bool:
    """Tell whether there are names in ``rows``, at whatever depth: a table, a row or rows with names.

    What carries none is taken by position.

    Raises:
        InvalidInput: it holds itself, or something else in more levels than an array can have.
    """
    return _holds_names(rows, _DEEPEST)


def _holds_names(rows: Any, deep: int) -> bool:
    if _is_plain_array(rows):
        return False
    if tables.table_of(rows) is not None or names_itself(rows):
        return True
    if not deep:
        raise InvalidInput(f"this {type(rows).__name__} is nested more than {_DEEPEST} deep, and no array can be")
    return any(_holds_names(item, deep - 1) for item in _not_plain(_items(rows)))


def _is_plain_array(rows: Any) -> bool:
    return tables.is_a(rows, "numpy", "ndarray") and rows.dtype.names is None


def names_itself(rows: Any) -> bool:
    """Tell whether ``rows`` itself says what its values are called: a type that is known for it, or looks like one."""
    if getattr(getattr(rows, "dtype", None), "names", None) is not None or tables.is_struct(rows):
        return True
    if tables.is_a(rows, "polars", "Series"):
        return bool(rows.name)
    if tables.is_a(rows, "pyarrow", "MapScalar"):  # old releases give it no keys()
        return True
    kind: Any = type(rows)
    return _names_by_type(kind) or not _NAMING.isdisjoint(getattr(rows, "__dict__", ()))


@lru_cache(maxsize=256)
def _names_by_type(kind: type) -> bool:
    index = getattr(kind, "index", None)  # a list has a method of this name; a series, of whatever library, a property
    return not _NAMING.isdisjoint(dir(kind)) or (index is not None and not callable(index))


def record(value: Any) -> Record | None:
    """Return the names and values of one object that has them, or nothing.

    In front of a row of ``DataFrame.itertuples()`` stands its index, which is not a feature. A column whose name is not
    an identifier has lost its name there; so has one that begins with an underscore.
    """
    kind = type(value)
    if kind in _NUMBERS or tables.is_a(value, "pyarrow", "MapScalar"):  # whose names are data
        return None
    if isinstance(value, Mapping):
        pairs = list(value.items())
        return Record([name for name, _ in pairs], [cell for _, cell in pairs])
    dtype = getattr(value, "dtype", None)
    names = getattr(dtype, "names", None)
    if names is not None:
        shape = value.shape or None
        cells = value if shape else value[()]
        return Record(names, [cells[name] for name in names], shape)
    if tables.is_a(value, "pandas", "Series"):
        return Record(value.index.tolist(), value.tolist())
    if tables.is_a(value, "sqlite3", "Row"):
        return Record(value.keys(), tuple(value))  # which finds its values by name without regard to case
    return _of_tuple(value) or _of_class(value) or _of_keys(value)


def _of_tuple(value: Any) -> Record | None:
    if not isinstance(value, Sequence):
        return None
    names = getattr(value, "_fields", None) or getattr(value, "__fields__", None)
    if not isinstance(names, Sequence) or len(names) != len(value):
        return None
    pairs = list(zip(names, value, strict=True))
    if hasattr(type(value), "_make"):  # a namedtuple, whose fields cannot begin with an underscore: those are made up
        pairs = [(name, cell) for name, cell in pairs if not name.startswith("_")]
    if type(value).__module__.partition(".")[0] == "pandas" and names[0] == "Index":
        del pairs[0]
    return Record([name for name, _ in pairs], [cell for _, cell in pairs])


def _of_class(value: Any) -> Record | None:
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        names: Any = [field.name for field in fields(value)]
    elif hasattr(kind, "__attrs_attrs__"):
        names = [attribute.name for attribute in kind.__attrs_attrs__]
    else:  # of msgspec, and of pydantic
        names = getattr(kind, "__struct_fields__", None) or getattr(kind, "__pydantic_fields__", None)
    return None if names is None else Record(list(names), [getattr(value, name) for name in names])


def _of_keys(value: Any) -> Record | None:
    kind = type(value)
    if not callable(getattr(kind, "keys", None)) or not hasattr(kind, "__getitem__"):
        return None
    if not _OF_TABLES.isdisjoint(dir(kind)):
        return None
    names = list(value.keys())
    return Record(names, [value[name] for name in names])


def _row(item: Any) -> Record | None:
    """Return what an element of a list says of one row; nothing where it is a column, several rows, or unnamed."""
    found = record(item)
    if found is None or found.shape is not None:
        return None
    if tables.is_a(item, "pandas", "Series") and not any(isinstance(name, str) for name in found.names):
        return None
    return found


def _items(rows: Any) -> Sequence[Any]:
    """Return the elements of what numpy would take for a nesting of lists; nothing of what is an array itself."""
    kind = type(rows)
    if kind in _NUMBERS or isinstance(rows, _NO_ROWS) or any(hasattr(kind, name) for name in _AS_ARRAY):
        return ()
    if not hasattr(kind, "__len__") or not hasattr(kind, "__getitem__"):
        return ()
    return rows if isinstance(rows, list | tuple) else list(rows)


def _not_plain(items: Sequence[Any]) -> list[Any]:
    if set(map(type, items)) <= _NUMBERS:
        return []
    return [item for item in items if not isinstance(item, int | float | None)]
