"""Single values, of whatever library: as numbers that numpy holds, or as the codes of trained categories.

A value that would become another one is refused: an integer among floats that cannot hold it, a decimal that the
trained float does not give back digit for digit. Categories are found by value, never by the codes that a column has.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal
from numbers import Integral, Real
from types import NoneType
from typing import Any, Final

from artifact_store.features.columns import Category
from artifact_store.wording import brief

NUMERIC: Final = "fiub"
"""The kinds of numpy's dtypes that are numbers or booleans."""
EXACT: Final = {"float16": 1 << 11, "float32": 1 << 24, "float64": 1 << 53}
"""From here on a float of this dtype cannot represent every integer."""
_WHOLE: Final = EXACT["float64"]
_MISSING: Final = -1
_UNSEEN: Final = -2


class NoNumber(ValueError):
    """A value is not a number, or cannot be represented exactly; the text says what it is."""


class NoCategory(ValueError):
    """A value is of another type than the categories, or may have been another one; the text says what it is."""


def is_missing(value: Any) -> bool:
    """Tell whether this is what some library writes where there is no value."""
    if value is None or value is getattr(sys.modules.get("pandas"), "NA", None):
        return True
    if isinstance(value, Real):
        return bool(value != value)  # noqa: PLR0124 -- true of a NaN only, of whatever float type
    if isinstance(value, Decimal):
        return value.is_nan()
    return value is getattr(getattr(sys.modules.get("numpy"), "ma", None), "masked", None)


def as_number(value: Any, dtype: str | None) -> Any:
    """Return a value as a number, to become one of ``dtype``.

    Raises:
        NoNumber: it is something else.
    """
    if is_missing(value):
        return float("nan")
    if isinstance(value, int | float):
        return value
    if isinstance(value, Decimal):
        return from_decimal(value, dtype)
    if hasattr(value, "as_py"):
        return as_number(value.as_py(), dtype)
    import numpy as np

    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise NoNumber(type(value).__name__) from error
    if array.ndim or array.dtype.kind not in NUMERIC:
        raise NoNumber(type(value).__name__)
    return array[()]


def from_decimal(value: Decimal, dtype: str | None) -> int | float:
    """Return a decimal as the float, or the integer, that is written with the same digits.

    A float64 gives back every decimal of up to 15 digits, a float32 of up to 6, though in binary hardly any is equal.

    Raises:
        NoNumber: ``dtype`` cannot represent it.
    """
    import numpy as np

    target = np.dtype(dtype if dtype is not None else "float64")
    if target.kind == "f":
        made = float(value)
        with np.errstate(over="ignore"):
            if Decimal(str(target.type(made))) == value:
                return made
    elif value.is_finite() and value == value.to_integral_value():
        low, high = (0, 1) if target.kind == "b" else (np.iinfo(target).min, np.iinfo(target).max)
        if low <= value <= high:
            return bool(value) if target.kind == "b" else int(value)
    raise NoNumber(f"Decimal {value}, which {target} cannot give back")


def is_large(value: Any) -> bool:
    """Tell whether this is an integer that a float64 may not represent exactly."""
    return isinstance(value, Integral) and abs(int(value)) >= _WHOLE


def holds_exactly(values: Sequence[Any], made: Any) -> bool:
    """Tell whether an array that numpy made of these numbers holds each of them."""
    if made.dtype.kind == "O":
        return False
    if made.dtype.kind != "f" or not (abs(made) >= _WHOLE).any():
        return True
    pairs = zip(values, made.reshape(-1).tolist(), strict=True)
    return all(int(value) == found for value, found in pairs if isinstance(value, Integral))


def codes_of(values: Sequence[object], categories: Sequence[Category], dtype: str) -> tuple[list[int], list[object]]:
    """Return the code of each value of a column of this dtype (in our word), and the values unseen in training.

    The code is -1 where a value is missing, as ``None`` and NaN are, or unseen.

    Raises:
        NoCategory: nothing can be coded because of the first such value.
    """
    kinds = {*map(type, values)}
    if not kinds <= {type(categories[0]), NoneType}:
        for value in values:
            if not (is_missing(value) or _is_like(value, categories, dtype)):
                raise NoCategory(f"{type(value).__name__} {brief(value)}")
        values = [None if is_missing(value) else value for value in values]
    known: dict[object, int] = {None: _MISSING} | {value: code for code, value in enumerate(categories)}
    codes = [known.get(value, _UNSEEN) for value in values]
    if _UNSEEN not in codes:
        return codes, []
    unseen = dict.fromkeys(value for value in values if value not in known)
    return [max(code, _MISSING) for code in codes], list(unseen)


def _is_like(value: object, categories: Sequence[Category], dtype: str) -> bool:
    """Tell whether a value is of the type of the categories, and certainly is what it was before it came here."""
    if isinstance(categories[0], str):
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    if isinstance(value, Integral):
        return True
    # integers turn into whole floats as soon as one of them is missing; large ones may have lost digits in that
    limit = EXACT.get(dtype, _WHOLE)
    return isinstance(value, Real) and float(value).is_integer() and abs(float(value)) < limit
