"""Find the categories of training among the values of a column, by value: never by the codes that the column has.

Knows values, not tables. Values that are not categories are returned for the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from types import NoneType
from typing import Final

from artifact_store.features.columns import Category
from artifact_store.features.values import EXACT, is_missing
from artifact_store.wording import brief

MISSING: Final = -1
_UNSEEN: Final = -2


class NoCategory(ValueError):
    """A value is of another type than the categories, or may have been another one; the text says what it is."""


def encode(values: Sequence[object], categories: Sequence[Category], dtype: str) -> tuple[list[int], list[object]]:
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
    known: dict[object, int] = {None: MISSING} | {value: code for code, value in enumerate(categories)}
    codes = [known.get(value, _UNSEEN) for value in values]
    if _UNSEEN not in codes:
        return codes, []
    unseen = dict.fromkeys(value for value in values if value not in known)
    return [max(code, MISSING) for code in codes], list(unseen)


def _is_like(value: object, categories: Sequence[Category], dtype: str) -> bool:
    """Tell whether a value is of the type of the categories, and certainly is what it was before it came here."""
    if isinstance(categories[0], str):
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    if isinstance(value, Integral):
        return True
    # integers turn into whole floats as soon as one of them is missing; large ones may have lost digits in that
    limit = EXACT.get(dtype, EXACT["float64"])
    return isinstance(value, Real) and float(value).is_integer() and abs(float(value)) < limit
