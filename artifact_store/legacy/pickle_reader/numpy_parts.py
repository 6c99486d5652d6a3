"""Arrays, dtypes and numpy's scalars, rebuilt from the raw bytes in a pickle. Numpy's own unpickling is not used.

Only dtypes of fixed meaning: booleans, integers, floats, complex numbers, text, bytes, times. Nothing is allocated that
the bytes do not fill. A subclass or another dtype is ``RiskRefused``, anything that does not fit is ``Corrupt``. The
only module here that knows how numpy spells an array.
"""

from __future__ import annotations

import math
import re
import sys
from contextlib import suppress
from typing import Any, Final

from artifact_store.errors import Corrupt
from artifact_store.legacy.libraries import old_form_library
from artifact_store.legacy.pickle_reader.stubs import Name, Unbuilt, refused

MAX_DIMENSIONS: Final = 32

_DTYPE: Final = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,9}|[mM]8|O8?)", re.ASCII)
_UNITS: Final = frozenset({"Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"})
_NDARRAYS: Final = frozenset({Name("numpy", "ndarray"), Name("numpy", "memmap")})


def numpy() -> Any:
    """Import numpy."""
    return old_form_library("numpy", "sklearn")


def dtype_of(args: tuple[Any, ...]) -> Any:
    """Return the dtype of ``numpy.dtype(*args)``, before its state is known."""
    text = args[0] if args else None
    if not isinstance(text, str) or len(args) > 3:  # noqa: PLR2004 -- (text, align, copy)
        raise Corrupt("a dtype that is not described by text")
    if not _DTYPE.fullmatch(text):
        raise refused("the dtype", repr(text[:40]))
    return numpy().dtype("O" if text.endswith("O8") else text)


def built_dtype(dtype: Any, state: Any) -> Any:
    """Return the dtype in the byte order, and with the unit, that the state says."""
    if not isinstance(state, tuple) or len(state) not in (8, 9) or not isinstance(state[0], int):
        raise Corrupt("a dtype without a usable state")
    order, base, names, fields = state[1:5]
    metadata = (*state, None)[8]
    if any(part is not None for part in (base, names, fields)):
        raise refused("a dtype", "with fields")
    order = order.decode("latin-1") if isinstance(order, bytes) else order
    if order not in ("<", ">", "|", "="):
        raise Corrupt("a dtype without a byte order")
    if dtype.kind in "mM":
        dtype = numpy().dtype(f"{dtype.kind}8[{_unit(metadata)}]")
    elif metadata:
        raise refused("a dtype", "with metadata")
    return dtype.newbyteorder(order) if order in "<>" else dtype


def _unit(metadata: Any) -> str:
    described = metadata[1] if isinstance(metadata, tuple) and len(metadata) == 2 else None  # noqa: PLR2004
    if not isinstance(described, tuple) or len(described) != 4:  # noqa: PLR2004 -- (unit, number, divisor, event)
        raise Corrupt("a dtype of times without a unit")
    unit, number, divisor, event = described
    unit = unit.decode("latin-1") if isinstance(unit, bytes) else unit
    if unit not in _UNITS or type(number) is not int or not 0 < number < 1 << 31 or (divisor, event) != (1, 1):
        raise Corrupt("a dtype of times with an unknown unit")
    return f"{number}{unit}"


def empty_array(args: tuple[Any, ...]) -> Unbuilt:
    """Return the empty array that ``numpy``'s ``_reconstruct`` makes, whose contents are still to come."""
    if len(args) != 3 or not isinstance(args[0], Name):  # noqa: PLR2004 -- (class, shape, letter)
        raise Corrupt("an array without a class")
    if args[0] not in _NDARRAYS:
        raise refused("an array of the class", str(args[0]))
    if args[1] != (0,):
        raise Corrupt("an array that is not empty before it is filled")
    return Unbuilt()


def built_array(state: Any) -> Any:
    """Return the array of numpy's state: (version,) shape, dtype, memory order, contents."""
    if isinstance(state, tuple) and len(state) == 5:  # noqa: PLR2004
        state = state[1:]
    if not isinstance(state, tuple) or len(state) != 4:  # noqa: PLR2004
        raise Corrupt("an array without a usable state")
    shape, dtype, fortran, contents = state
    if isinstance(contents, list):
        return _of_objects(shape, dtype, contents)
    return array_of(contents, shape, dtype, "F" if fortran else "C")


def from_buffer(args: tuple[Any, ...]) -> Any:
    """Return the array of numpy's ``_frombuffer(contents, dtype, shape, order, axes)``."""
    if len(args) not in (4, 5):
        raise Corrupt("an array that is not described by contents, dtype, shape and order")
    contents, dtype, shape, order, axes = (*args, None)[:5]
    array = array_of(contents, shape, dtype, "F" if order == "F" else "C")
    if order == "K" and axes is not None:
        if not isinstance(axes, tuple) or sorted(map(repr, axes)) != sorted(map(repr, range(array.ndim))):
            raise Corrupt("an array whose axes are not a permutation")
        return array.transpose(axes)
    if order not in ("C", "F"):
        raise Corrupt("an array in no known order")
    return array


def scalar_of(args: tuple[Any, ...]) -> Any:
    """Return the numpy number or text of ``numpy``'s ``scalar(dtype, contents)``."""
    if len(args) != 2:  # noqa: PLR2004
        raise Corrupt("a number without a dtype")
    return array_of(args[1], (), args[0], "C")[()]


def array_bytes(shape: Any, dtype: Any) -> int:
    """Return how many bytes such an array takes."""
    return _count(shape, dtype) * int(dtype.itemsize)


def array_of(contents: Any, shape: Any, dtype: Any, order: str) -> Any:
    """Return an array of exactly these bytes.

    Raises:
        Corrupt: they are more or less than the shape says, or not values of that dtype.
    """
    np = numpy()
    count = _count(shape, dtype)
    if isinstance(contents, str):  # a pickle of Python 2
        with suppress(UnicodeEncodeError):  # then they are not bytes
            contents = contents.encode("latin-1")
    if not isinstance(contents, bytes | bytearray):
        raise Corrupt("an array whose contents are not bytes")
    if dtype.hasobject or dtype.itemsize == 0 or count * dtype.itemsize != len(contents):
        raise Corrupt(f"an array of {count} times {dtype}, and there are {len(contents)} bytes")
    flat = np.frombuffer(contents, dtype).copy() if count else np.empty(0, dtype)
    _check_values(flat)
    return _shaped(flat, shape, order)


def _of_objects(shape: Any, dtype: Any, contents: list[Any]) -> Any:
    if _count(shape, dtype) != len(contents) or dtype.kind != "O":
        raise Corrupt(f"an array of {dtype} and of another size than the {len(contents)} objects that it holds")
    flat = numpy().empty(len(contents), dtype)
    for place, value in enumerate(contents):
        flat[place] = value
    return _shaped(flat, shape, "C")


def _shaped(flat: Any, shape: Any, order: str) -> Any:
    try:
        return flat.reshape(shape, order=order)
    except ValueError as error:  # no elements, and sides whose product is beyond all bounds
        raise Corrupt(f"an array of an impossible shape: {error}") from error


def _count(shape: Any, dtype: Any) -> int:
    np = numpy()
    if not isinstance(dtype, np.dtype):
        raise Corrupt("an array without a dtype")
    if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
        raise Corrupt("an array without a usable shape")
    whole = (int, *(np.dtype(kind).type for kind in "bBhHiIlLqQ"))  # a time is an integer to numpy, but not a size
    if not all(type(side) in whole and 0 <= side < 1 << 62 for side in shape):
        raise Corrupt("an array whose shape is not a tuple of sizes")
    return math.prod(int(side) for side in shape)


def _check_values(flat: Any) -> None:
    """Refuse bytes that numpy would hand out as broken Python objects."""
    np = numpy()
    if flat.dtype.kind == "b" and flat.view(np.uint8).max(initial=0) > 1:
        raise Corrupt("an array of booleans that are neither true nor false")
    if flat.dtype.kind == "U" and flat.size:
        letters = flat.view(np.dtype("u4").newbyteorder(flat.dtype.byteorder))
        if letters.max() > sys.maxunicode:
            raise Corrupt("an array of text with invalid characters")
