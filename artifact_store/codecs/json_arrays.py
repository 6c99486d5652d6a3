"""Small arrays of numbers as JSON, bit for bit: statistics, bounds, scales.

Floats are written as Python's shortest text, which reads back to the same bits; infinities and NaN as ``"inf"``,
``"-inf"``, ``"nan"``. An array whose elements are all the same is one number and a shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from artifact_store.codecs.files import field
from artifact_store.codecs.npy import LONG_DOUBLES
from artifact_store.errors import Corrupt, NotEncodable

MAX_ELEMENTS: Final = 1 << 24
"""Elements of all arrays of a document that are written as one number: beyond any space or statistic."""

_BEYOND_FLOATS: Final = (1 << 1024) - (1 << 970)
"""The smallest integer that is rounded to no float."""
_NON_FINITE: Final = {"nan": math.nan, "-nan": -math.nan, "inf": math.inf, "-inf": -math.inf}
_DTYPES: Final = frozenset(
    {"float16", "float32", "float64", "bool"} | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)


def plain_float(value: float) -> float | str:
    """Return a float as JSON can hold it."""
    if math.isnan(value):
        return "nan" if math.copysign(1, value) > 0 else "-nan"  # inf - inf is the latter on some processors
    return value if math.isfinite(value) else repr(value)


def read_float(value: object, what: str) -> float:
    """Return what :func:`plain_float` was given; raise ``Corrupt`` if it is not a number."""
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _BEYOND_FLOATS:
        return value
    raise Corrupt(f"{what} is recorded as {str(value)[:40]!r}, which is not a number")


def plain_array(array: Any, what: str) -> dict[str, Any]:
    """Return an array of numbers or booleans as JSON; refuse any other, and a NaN of an unusual bit pattern."""
    import numpy as np

    array = np.asarray(array)
    if array.dtype.name not in _DTYPES or array.dtype.char in LONG_DOUBLES or not array.dtype.isnative:
        raise NotEncodable(f"{what} is of the dtype {array.dtype}, which is not kept exactly: convert it to float64")
    if array.size > MAX_ELEMENTS:
        raise NotEncodable(f"{what} has {array.size:,} elements, more than the {MAX_ELEMENTS:,} that are kept")
    flat = [plain_float(value) if isinstance(value, float) else value for value in array.ravel().tolist()]
    record = {"dtype": array.dtype.name, "shape": list(array.shape), "values": flat}
    if len(flat) > 1 and len({*array.ravel().view(f"V{array.dtype.itemsize}").tolist()}) == 1:
        record["values"] = flat[0]
    if read_array(record, what).tobytes() != array.tobytes():
        raise NotEncodable(f"{what} holds numbers that JSON would change: {str(array)[:60]}")
    return record


def check_expansion(document: Any, what: str) -> None:
    """Raise ``Corrupt`` if the arrays in a document that are written as one number would be too large together.

    Before any memory is used: a few bytes can stand for any number of numbers, many times.
    """
    total, waiting = 0, [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            shape = part.get("shape")
            if isinstance(shape, list) and "dtype" in part and not isinstance(part.get("values"), list):
                total += math.prod(side for side in shape if type(side) is int and side >= 0)
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    if total > MAX_ELEMENTS:
        raise Corrupt(f"{what} has arrays of {total:,} equal numbers, more than the {MAX_ELEMENTS:,} that are read")


def read_array(record: Any, what: str) -> Any:
    """Return the array that :func:`plain_array` was given; raise ``Corrupt`` if there is something else."""
    import numpy as np

    if not isinstance(record, Mapping):
        raise Corrupt(f"{what} is recorded as {str(record)[:40]!r}, which is not an array")
    dtype, shape, values = field(record, "dtype", str), field(record, "shape", list), record.get("values")
    if dtype not in _DTYPES or not all(type(side) is int and side >= 0 for side in shape):
        raise Corrupt(f"{what} is recorded with the dtype {dtype[:20]!r} and the shape {str(shape)[:40]}")
    size = math.prod(shape)
    alone = not isinstance(values, list)
    parts: Any = [values] if alone else values
    if size > MAX_ELEMENTS or (not size if alone else len(parts) != size):
        raise Corrupt(f"{what} is recorded with {len(parts)} values for the shape {str(shape)[:40]}")
    numbers = [part if isinstance(part, bool) else read_float(part, what) for part in parts]
    try:
        array = np.array(numbers, dtype)
        shaped = np.full(shape, array[0]) if alone else array.reshape(shape)
    except (ValueError, OverflowError, TypeError) as error:
        raise Corrupt(f"{what} is recorded with values or a shape that do not fit: {error}") from error
    if not dtype.startswith("float") and array.tolist() != numbers:
        raise Corrupt(f"{what} is recorded with {str(numbers)[:40]}, which are not all of the dtype {dtype}")
    return shaped
