"""What an optimiser keeps: nested dicts, lists and tuples of tensors and plain values, as JSON and named tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from artifact_store.codecs.files import dotted
from artifact_store.codecs.json_arrays import plain_array, plain_float, read_array, read_float
from artifact_store.codecs.trees import is_key
from artifact_store.errors import Corrupt, NotEncodable

MAX_DEPTH: Final = 7
"""Deepest nesting that is kept: JSON takes three levels for one of these, and the strict reader 32 in all."""


def pack(value: Any, where: str, tensors: dict[str, Any], depth: int = MAX_DEPTH) -> Any:
    """Return ``value`` as JSON, and put its tensors into ``tensors`` under names that begin with ``where``.

    Raises:
        NotEncodable: it holds an object or a function.
    """
    if hasattr(value, "untyped_storage"):
        if where in tensors:
            raise NotEncodable(f"two tensors are called {where!r}: rename the part whose name has a slash in it")
        tensors[where] = value
        return {"tensor": where}
    if isinstance(value, bool | str | None) or type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": plain_float(value)}
    if isinstance(value, Mapping) and depth and all(map(is_key, value)):
        return {"dict": [[key, pack(part, f"{where}/{key}", tensors, depth - 1)] for key, part in value.items()]}
    if type(value) in (list, tuple) and depth:
        parts = [pack(part, f"{where}/{place}", tensors, depth - 1) for place, part in enumerate(value)]
        return parts if type(value) is list else {"tuple": parts}
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return {"number": plain_array(value, where)}
    raise NotEncodable(
        f"{where} is a {dotted(type(value))}; kept are tensors, numbers, text, and lists, tuples and dicts of them"
    )


def unpack(record: Any, where: str, tensors: Mapping[str, Any]) -> Any:
    """Return what :func:`pack` was given; raise ``Corrupt`` if there is something else."""
    if isinstance(record, bool | str | int | float | None):
        return record
    if isinstance(record, list):
        return [unpack(part, where, tensors) for part in record]
    if isinstance(record, dict) and len(record) == 1:
        ((kind, value),) = record.items()
        if kind in {"tuple", "dict"} and isinstance(value, list):
            if kind == "tuple":
                return tuple(unpack(part, where, tensors) for part in value)
            return dict(_pair(part, where, tensors) for part in value)
        if kind in _LEAVES:
            return _LEAVES[kind](value, where, tensors)
    raise _nothing(record, where)


def _tensor(value: Any, where: str, tensors: Mapping[str, Any]) -> Any:
    if not isinstance(value, str) or value not in tensors:
        raise _nothing(value, where)
    return tensors[value]


_LEAVES: Final[dict[str, Callable[[Any, str, Mapping[str, Any]], Any]]] = {
    "tensor": _tensor,
    "float": lambda value, where, _: float(read_float(value, where)),
    "number": lambda value, where, _: read_array(value, where)[()],
}


def _nothing(record: Any, where: str) -> Corrupt:
    return Corrupt(f"{where} is recorded as {str(record)[:60]!r}, which is not valid")


def _pair(part: Any, where: str, tensors: Mapping[str, Any]) -> tuple[Any, Any]:
    if not isinstance(part, list) or len(part) != 2 or not is_key(part[0]):  # noqa: PLR2004 -- key and value
        raise Corrupt(f"{where} is recorded with {str(part)[:40]!r}, which is not a key and a value")
    return part[0], unpack(part[1], f"{where}/{part[0]}", tensors)
