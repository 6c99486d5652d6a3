"""Rows without names: anything that is an array, and values that were matched by name, as one array of numbers.

Owns the width, the dimensions and the dtype of an array. No value is changed on the way, or the array is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import cycle
from typing import Any, Final, NoReturn

from artifact_store.errors import FeatureMismatch, InvalidInput
from artifact_store.features import cast, named_rows, tables
from artifact_store.features.columns import Columns, quote_names
from artifact_store.features.values import NUMERIC, NoNumber, as_number, holds_exactly, is_large
from artifact_store.wording import brief

_DIMENSIONS: Final = (1, 2, 3)
_PLAIN: Final = frozenset({float, int, bool})


def as_array(rows: Any) -> Any:
    """Return anything that is an array, or a nesting of lists, as numpy's; an array of numpy is returned itself.

    Raises:
        InvalidInput: its names would be lost, it hides values behind a mask, or it is a sparse matrix.
    """
    if named_rows.carries_names(rows):
        raise named_rows.refusal(rows)
    return without_names(rows)


def without_names(rows: Any) -> Any:
    """Return what was found to carry no names as an array of numpy; see :func:`as_array`."""
    import numpy as np

    if isinstance(rows, np.ma.MaskedArray):
        raise InvalidInput("a masked array would lose its mask; fill it with NaN first: X.filled(np.nan)")
    if isinstance(rows, np.ndarray):
        return rows
    if hasattr(rows, "toarray"):
        raise InvalidInput(
            f"a sparse matrix ({type(rows).__name__}) is not taken: give X.toarray(), and let a preprocessor return "
            "arrays (scikit-learn: sparse_output=False, or sparse_threshold=0)"
        )
    try:
        array = np.asarray(rows)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"no array can be made of this {type(rows).__name__}: {error}") from error
    if array.dtype.names is not None:
        raise named_rows.refusal(rows)
    return array


def fit_array(columns: Columns, array: Any) -> Any:
    """Return an array with the trained columns in its last axis, in the dtype that holds all recorded ones.

    Raises:
        FeatureMismatch: the width, the number of dimensions or the dtype is another; or there are features that an
            array of numbers cannot hold.
    """
    check_width(array, columns, columns.expected)
    if not array.dtype.isnative:  # which torch refuses, and LightGBM reads as float32
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind == "O" and not columns.not_numbers:
        array = _of_objects(columns, array)
    if array.dtype.kind not in NUMERIC:
        raise FeatureMismatch(
            f"expected numbers; got an array of {array.dtype}; convert it, or give a table",
            dtype=dict.fromkeys(columns.names, ("a number", str(array.dtype))),
        )
    if columns.not_numbers:
        refuse_words(columns, array)
    target, groups = _array_plan(columns.kinds)
    if target == array.dtype.name and not groups:
        return array
    if target is not None and not groups and (made := cast.narrowed(array, target)) is not None:
        return made
    _check_exact(columns, array, target, groups)
    return array if target is None else array.astype(target, copy=False)


def _of_objects(columns: Columns, array: Any) -> Any:
    """Return an array of objects as one of numbers, NaN where one is missing.

    Raises:
        FeatureMismatch: a value is not a number, or is one that floats beside it do not hold.
    """
    import numpy as np

    flat = []
    for place, value in enumerate(array.reshape(-1).tolist()):
        column = place % len(columns.names)
        name, dtype = columns.names[column], columns.kinds[column]
        try:
            flat.append(as_number(value, dtype))
        except NoNumber as found:
            raise FeatureMismatch(
                f"expected numbers; got an array of objects, and {name!r} holds {brief(value)} ({found}): "
                "make it a number, then X.astype(float), or give a table",
                dtype={name: (dtype or "a number", str(found))},
            ) from found
    made = np.array(flat)
    if not holds_exactly(flat, made):
        large = {name for name, value in zip(cycle(columns.names), flat, strict=False) if is_large(value)}
        _refuse_large(columns, [name for name in columns.names if name in large])
    return made.reshape(array.shape)


def refuse_words(columns: Columns, array: Any) -> NoReturn:
    """Raise ``FeatureMismatch``: columns of categories or text cannot be told from an array of numbers."""
    verb = "hold" if len(columns.not_numbers) > 1 else "holds"
    raise FeatureMismatch(
        f"{quote_names(columns.not_numbers)} {verb} categories or text, which an array of numbers cannot say: "
        "a number in it may be a code or a value; give a table, even of one row",
        dtype={name: (columns.dtypes[name], str(array.dtype)) for name in columns.not_numbers},
    )


def check_width(array: Any, columns: Columns, expected: str) -> None:
    """Raise unless the array is a row, rows or windows of rows, as wide as the columns."""
    if array.ndim not in _DIMENSIONS:
        raise FeatureMismatch(
            f"expected one row (1-D), rows (2-D) or windows of rows (3-D) with features last; got {array.ndim}-D"
        )
    if array.shape[-1] != len(columns.names):
        raise FeatureMismatch(f"expected {expected}; got {array.shape[-1]}")


def of_rows(columns: Columns, rows: Sequence[Sequence[Any]]) -> Any:
    """Return rows of values, which stand in training order, as an array ``(rows, features)``.

    Raises:
        FeatureMismatch: a value is not a number, or the array cannot hold it.
    """
    import numpy as np

    flat: list[Any] = []
    unfit: dict[str, tuple[str, str]] = {}
    types: set[type] = set()
    for row in rows:
        kinds = set(map(type, row))
        types |= kinds
        if kinds <= _PLAIN:
            flat += row
            continue
        for name, dtype, value in zip(columns.names, columns.kinds, row, strict=True):
            try:
                flat.append(as_number(value, dtype))
            except NoNumber as found:
                unfit.setdefault(name, (dtype or "a number", str(found)))
    _refuse(unfit)
    made = np.array(flat).reshape(len(rows), -1)
    if types != {float} and not holds_exactly(flat, made):
        cells = zip(columns.names, zip(*rows, strict=True), strict=True)
        _refuse_large(columns, [name for name, column in cells if any(map(is_large, column))])
    return fit_array(columns, made)


def of_columns(columns: Columns, values: Sequence[Any], shape: tuple[int, ...] | None) -> Any:
    """Return whole columns, which stand in training order, as an array with the features in its last axis.

    A single value among them stands for a column of it.

    Raises:
        FeatureMismatch: a column holds something else than numbers, or another number of them than the others.
    """
    import numpy as np

    unfit: dict[str, tuple[str, str]] = {}
    made = {}
    for name, dtype, value in zip(columns.names, columns.kinds, values, strict=True):
        try:
            made[name] = _column(value, dtype) if is_column(value) else as_number(value, dtype)
        except NoNumber as found:
            unfit[name] = (dtype or "a number", str(found))
    _refuse(unfit)
    shapes = {name: array.shape for name, array in made.items() if is_column(array)}
    shape = next(iter(shapes.values())) if shape is None else shape
    if set(shapes.values()) != {shape}:
        raise FeatureMismatch(f"expected columns of one shape, {shape}; got {shapes}")
    made = {name: np.broadcast_to(array, shape) for name, array in made.items()}
    together = np.stack(list(made.values()), axis=-1)
    _refuse_large(columns, [name for name, array in made.items() if not cast.is_exact(array, together.dtype.name)])
    return fit_array(columns, together)


def is_column(value: Any) -> bool:
    """Tell a column from a single value."""
    kind = type(value)
    if not hasattr(kind, "__len__") or not hasattr(kind, "__getitem__") or isinstance(value, str | bytes):
        return False
    return bool(getattr(value, "ndim", 1))


def _column(value: Any, dtype: str | None) -> Any:
    """Return a column of numbers as an array of them.

    Raises:
        NoNumber: it holds something else.
    """
    import numpy as np

    if tables.is_a(value, "pandas", "Series") or isinstance(value, Mapping | np.ma.MaskedArray):
        raise NoNumber(f"{type(value).__name__}, which says more than its values: make a table of all columns")
    if isinstance(value, np.ndarray) and value.dtype.kind in NUMERIC:
        return value
    flat = [as_number(each, dtype) for each in value]
    made = np.array(flat)
    if not holds_exactly(flat, made):
        raise NoNumber("whole numbers beyond 2**53 among floats")
    return made


def _refuse(unfit: Mapping[str, tuple[str, str]]) -> None:
    if unfit:
        shown = ", ".join(f"{name!r} is {found}" for name, (_, found) in list(unfit.items())[:10])
        raise FeatureMismatch(
            f"a row with names holds numbers, but {shown}. Give a table, even of one row, for text and categories "
            "(pandas.DataFrame makes one of rows)",
            dtype=unfit,
        )


def _refuse_large(columns: Columns, names: Sequence[str]) -> None:
    found = "whole numbers from 2**53 on, which an array cannot hold beside floats (a table can)"
    cast.report({name: (columns.dtypes.get(name, "a number"), found) for name in names}, {}, columns)


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


def _found(values: Any) -> str:
    import numpy as np

    holed = values.dtype.kind == "f" and bool(np.isnan(values).any())
    return f"{values.dtype} with missing values" if holed else str(values.dtype)


def _check_exact(columns: Columns, array: Any, target: str | None, groups: Mapping[str, list[int]]) -> None:
    narrow = {kind: places for kind, places in groups.items() if not kind.startswith("float")}
    if target is not None:  # a float may hold a column of integers, and not every one of them
        narrow[target] = list(range(len(columns.names)))
    problems = {
        columns.names[place]: (str(columns.kinds[place]), _found(array[..., place]))
        for kind, places in narrow.items()
        if not cast.is_exact(array[..., places], kind)
        for place in places
        if not cast.is_exact(array[..., place], kind)
    }
    cast.report(problems, {}, columns)
