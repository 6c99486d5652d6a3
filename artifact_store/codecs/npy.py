"""One array as bytes: numpy's ``.npy`` format, read strictly: nothing is allocated because an untrusted header says so.

The format is https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1.0 and 3.0. numpy
writes it; reading is our own, since numpy allocates what the header claims before it checks the size of the file.
"""

from __future__ import annotations

import ast
import contextlib
import math
import re
import struct
from io import BytesIO
from typing import IO, Any, Final

from artifact_store.errors import NotEncodable

MAX_HEADER: Final = 10_000
"""Characters, as in ``numpy.load``: Python's parser may not survive longer hostile text."""

_MAGIC = b"\x93NUMPY"
_DTYPE = re.compile(r"[<>|][biufcmMSUV]\d{1,9}(\[([1-9]\d{0,8})?[A-Za-z]{1,3}\])?", re.ASCII)
"""No part of a unit of time, which numpy reads and never writes: dividing by zero, it would end the process."""
_READINGS: Final = 8
LONG_DOUBLES: Final = frozenset("gG")
"""Characters of dtypes that take 8, 12 or 16 bytes, by the platform; where it is 8, they have the names of others."""
_CHUNK = 1 << 20


def write_npy(file: IO[bytes], array: Any, np: Any) -> None:
    """Append ``array`` to ``file``; refuse a dtype that cannot be described without a pickle, or on every platform."""
    check_dtype(array.dtype, np)
    version = (3, 0) if array.dtype.names else (1, 0)  # names may be any text, and many of them exceed 64 KiB
    np.lib.format.write_array(file, _without_padding(array, np), version=version, allow_pickle=False)


def read_npy(file: IO[bytes], size: int, np: Any) -> Any:
    """Read the one array, without Python objects, that fills all of ``size`` bytes, or raise ``ValueError``."""
    descr, fortran, shape, used = _header(file, size)
    dtype = _dtype(descr, np)
    count = math.prod(shape)
    if dtype.itemsize == 0 or count * dtype.itemsize != size - used:
        raise ValueError(f"the header claims {count} times {dtype}, and {size - used} bytes follow")
    flat = np.empty(count, dtype)
    _fill(file, memoryview(flat.view(np.uint8)) if count else memoryview(b""))
    return flat.reshape(shape[::-1]).transpose() if fortran else flat.reshape(shape)


def check_dtype(dtype: Any, np: Any) -> None:
    """Raise ``NotEncodable`` for a dtype that cannot be described without a pickle, or on every platform."""
    for part in _parts(dtype):
        if part.hasobject:
            raise NotEncodable(
                f"an array of the dtype {part} holds Python objects and would need a pickle: convert it to numbers or "
                "text, for instance with numpy.array(obj.tolist(), dtype='U')"
            )
        if part.char in LONG_DOUBLES:
            raise NotEncodable(f"{part} has another size on other platforms: convert it to float64 or complex128")
        if part.metadata:
            raise NotEncodable(f"the metadata of the dtype {part} would be lost: use an array without")
        plain = part.names is None and part.subdtype is None
        if part.itemsize == 0 or (plain and not _DTYPE.fullmatch(part.str)):
            raise NotEncodable(f"the dtype {part} cannot be described in a .npy file")
    try:
        descr = np.lib.format.dtype_to_descr(dtype)
    except ValueError as error:
        raise NotEncodable(f"the dtype {dtype} cannot be described in a .npy file: {error}") from error
    if np.lib.format.descr_to_dtype(descr) != dtype:
        raise NotEncodable(f"the dtype {dtype} would come back as another one: repack its fields")
    header = BytesIO()
    np.lib.format.write_array_header_2_0(header, {"descr": descr, "fortran_order": False, "shape": (1 << 60,) * 64})
    if header.tell() > MAX_HEADER:
        raise NotEncodable(f"the dtype has so many fields that its description exceeds {MAX_HEADER} characters")


def _parts(dtype: Any) -> list[Any]:
    if dtype.subdtype is not None:
        return [dtype, *_parts(dtype.subdtype[0])]
    return [dtype, *(part for name in dtype.names or () for part in _parts(dtype.fields[name][0]))]


def _without_padding(array: Any, np: Any) -> Any:
    """Return the array with zeros between its fields: what is there now is whatever memory held before."""
    if not _has_padding(array.dtype):
        return array
    clean = np.zeros(array.shape, array.dtype, order="F" if array.flags.fnc else "C")
    for name in array.dtype.names:
        clean[name] = _without_padding(array[name], np)
    return clean


def _has_padding(dtype: Any) -> bool:
    """Return whether some bytes of an element belong to no field, or to several."""
    if dtype.subdtype is not None:
        return _has_padding(dtype.subdtype[0])
    fields = [dtype.fields[name][0] for name in dtype.names or ()]
    held = sum(field.itemsize for field in fields)
    return bool(fields) and (held != dtype.itemsize or any(map(_has_padding, fields)))


def _literal(text: str) -> Any:
    """Return the value of a literal. Python 3.11 now and then fails where several threads read some at once."""
    for _ in range(_READINGS - 1):
        with contextlib.suppress(SystemError):  # "AST constructor recursion depth mismatch"
            return ast.literal_eval(text)
    return ast.literal_eval(text)


def _header(file: IO[bytes], size: int) -> tuple[Any, bool, tuple[int, ...], int]:
    """Return dtype description, memory order, shape, and how many bytes all that took."""
    start = file.read(8)
    form = {b"\x01\x00": "<H", b"\x03\x00": "<I"}.get(start[6:])
    if start[:6] != _MAGIC or form is None:
        raise ValueError("no .npy array of version 1.0 or 3.0")
    width = struct.calcsize(form)
    prefix = file.read(width)
    length = struct.unpack(form, prefix)[0] if len(prefix) == width else size
    used = len(start) + width + length
    if length > MAX_HEADER or used > size:
        raise ValueError("a header longer than the entry, or than any that is written")
    text = file.read(length).decode("latin-1" if form == "<H" else "utf-8")
    try:
        header = _literal(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:  # MemoryError: too many nested brackets
        raise ValueError(f"a header that is not a Python literal: {type(error).__name__}") from error
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise ValueError("a header without descr, fortran_order and shape")
    shape, fortran = header["shape"], header["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("a shape that is not a tuple of sizes")
    return header["descr"], fortran is True, shape, used


def _dtype(descr: Any, np: Any) -> Any:
    """Build the dtype, from nothing but plain types in the spelling that numpy itself writes."""
    _check_descr(descr, depth=8)
    try:
        dtype = np.lib.format.descr_to_dtype(descr)
    except (TypeError, IndexError, KeyError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"a dtype that numpy does not know: {error}") from error
    if dtype.hasobject:
        raise ValueError("an array of Python objects")
    return dtype


def _check_descr(descr: Any, depth: int) -> None:
    if depth == 0:
        raise ValueError("a dtype nested too deeply")
    if isinstance(descr, str):
        if not _DTYPE.fullmatch(descr):
            raise ValueError(f"the dtype {descr[:40]!r}")
    elif isinstance(descr, list):
        for part in descr:
            if not isinstance(part, tuple) or len(part) not in (2, 3):
                raise ValueError("a field that is not (name, dtype) or (name, dtype, shape)")
            _check_descr(part[1], depth - 1)
    elif isinstance(descr, tuple) and descr:
        _check_descr(descr[0], depth - 1)
    else:
        raise ValueError(f"the dtype {str(descr)[:40]!r}")


def _fill(file: IO[bytes], target: memoryview) -> None:
    """Read until ``target`` is full; the last, empty read makes the archive compare its checksum."""
    at = 0
    while at < len(target):
        piece = file.read(min(_CHUNK, len(target) - at))
        if not piece:
            raise ValueError("the entry ends early")
        target[at : at + len(piece)] = piece
        at += len(piece)
    if file.read(1):
        raise ValueError("the entry goes on after the array")
