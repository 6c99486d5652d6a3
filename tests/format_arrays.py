"""A second reader of the files of numpy and scipy: made from section 2.12 of ``FORMAT.md``, without either of them.

Arrays become nested lists of Python's numbers and text, sparse matrices their places and elements.
"""

from __future__ import annotations

import ast
import json
import struct
import zipfile
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

MAGIC = b"\x93NUMPY"
LETTERS = {"b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
LETTERS |= {"f2": "e", "f4": "f", "f8": "d"}
TEXTS = {"nan": float("nan"), "-nan": -float("nan"), "inf": float("inf"), "-inf": -float("inf")}
Places = Mapping[tuple[int, ...], Any]


def entries(path: Path) -> dict[str, tuple[tuple[int, ...], list[Any]]]:
    """Return shape and elements, in C order, of each array of an archive."""
    with zipfile.ZipFile(path) as archive:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        return {name.removesuffix(".npy"): array(archive.read(name)) for name in archive.namelist()}


def array(data: bytes) -> tuple[tuple[int, ...], list[Any]]:
    assert data[:6] == MAGIC
    start = {1: 10, 3: 12}[data[6]]
    end = start + int.from_bytes(data[8:start], "little")
    header = ast.literal_eval(data[start:end].decode())
    shape = header["shape"]
    flat = elements(data[end:], header["descr"], prod(shape))
    return shape, in_c_order(flat, shape) if header["fortran_order"] else flat


def elements(data: bytes, descr: str, count: int) -> list[Any]:
    order, kind = descr[0].replace("|", "<"), descr[1:].partition("[")[0]
    if kind[0] in "Mm":
        kind = "i8"
    if kind[0] == "c":
        parts = elements(data, f"{order}f{int(kind[1:]) // 2}", 2 * count)
        return [complex(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
    if kind[0] in "US":
        width = int(kind[1:]) * (4 if kind[0] == "U" else 1)
        pieces = [data[place * width : (place + 1) * width] for place in range(count)]
        if kind[0] == "S":
            return [piece.rstrip(b"\0") for piece in pieces]
        return [piece.decode("utf-32-le" if order == "<" else "utf-32-be").rstrip("\0") for piece in pieces]
    return list(struct.unpack(f"{order}{count}{LETTERS[kind]}", data))


def in_c_order(flat: list[Any], shape: tuple[int, ...]) -> list[Any]:
    steps = [prod(shape[:side]) for side in range(len(shape))]
    places = product(*map(range, shape))
    return [flat[sum(at * step for at, step in zip(place, steps, strict=True))] for place in places]


def nested(shape: tuple[int, ...], flat: list[Any]) -> Any:
    if not shape:
        return flat[0]
    size = prod(shape[1:])
    return [nested(shape[1:], flat[place * size : (place + 1) * size]) for place in range(shape[0])]


# ---------------------------------------------------------------- trees


def tree(folder: Path, component: str) -> Any:
    found = entries(folder / f"{component}.npz")
    document = json.loads((folder / f"{component}.json").read_text(encoding="utf-8"))
    return value(document["tree"], {name: nested(*part) for name, part in found.items()})


def value(record: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(record, list):
        return [value(part, arrays) for part in record]
    if not isinstance(record, dict):
        return record
    ((kind, inside),) = record.items()
    if kind in {"array", "scalar"}:
        return arrays[inside]
    return TEXTS[inside] if kind == "float" else KINDS[kind](inside, arrays)


def _pairs(flat: list[Any], arrays: Mapping[str, Any]) -> Any:
    return zip(flat[::2], [value(part, arrays) for part in flat[1::2]], strict=True)


def _number(record: Mapping[str, Any]) -> Any:
    number = record["values"][0]
    return TEXTS[number] if isinstance(number, str) else number


KINDS = {
    "number": lambda inside, _: _number(inside),
    "tuple": lambda inside, arrays: tuple(value(part, arrays) for part in inside),
    "dict": lambda inside, arrays: dict(_pairs(inside, arrays)),
    "ordered": lambda inside, arrays: OrderedDict(_pairs(inside, arrays)),
    "counter": lambda inside, arrays: Counter(dict(_pairs(inside, arrays))),
}


# ---------------------------------------------------------------- sparse matrices


def sparse(folder: Path, component: str, options: Mapping[str, Any]) -> Places:
    """Return the elements that are there by their places; those that are there twice are added."""
    parts = {name: nested(*part) for name, part in entries(folder / f"{component}.npz").items()}
    found: dict[tuple[int, ...], Any] = defaultdict(int)
    for place, number in READERS[options["format"]](parts, options["shape"]):
        found[place] += number
    return dict(found)


def _compressed(parts: Mapping[str, Any], shape: list[int]) -> Any:
    for row, (begin, end) in enumerate(zip(parts["indptr"], parts["indptr"][1:], strict=False)):
        for place in range(begin, end):
            where = (row, parts["indices"][place]) if len(shape) > 1 else (parts["indices"][place],)
            yield where, parts["data"][place]


def _blocks(parts: Mapping[str, Any], shape: list[int]) -> Any:
    for (row, column), block in _compressed(parts, shape):
        for down, line in enumerate(block):
            for along, number in enumerate(line):
                yield (row * len(block) + down, column * len(line) + along), number


def _coordinates(parts: Mapping[str, Any], shape: list[int]) -> Any:
    sides = [parts[f"coords_{side}"] for side in range(len(shape))]
    return zip(zip(*sides, strict=True), parts["data"], strict=True)


def _diagonals(parts: Mapping[str, Any], shape: list[int]) -> Any:
    for offset, line in zip(parts["offsets"], parts["data"], strict=True):
        for column, number in enumerate(line[: shape[1]]):
            if 0 <= column - offset < shape[0]:
                yield (column - offset, column), number


READERS = {
    "csr": _compressed,
    "csc": lambda parts, shape: (((row, column), part) for (column, row), part in _compressed(parts, shape)),
    "bsr": _blocks,
    "coo": _coordinates,
    "dia": _diagonals,
}
