"""What a kind of setting is, and the kinds that are a number, a switch or a word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from artifact_store.codecs.json_arrays import plain_array, plain_float, read_array, read_float
from artifact_store.core.codec import Codec
from artifact_store.errors import Corrupt, NotEncodable

Convert = Callable[[Codec, Any, str], Any]
"""Makes JSON of a value, or a value of JSON; the text says of which setting."""


@dataclass(frozen=True)
class Kind:
    """How the values of one kind are written as JSON, and how they are read back."""

    write: Convert
    read: Convert


def not_valid(kind: str, value: object, what: str) -> NotEncodable:
    """Return the error for a value of another kind than its setting has."""
    return NotEncodable(f"{what} is {str(value)[:60]!r}, which is not a valid {kind}: give a plain Python value")


def not_recorded(kind: str, record: object, what: str) -> Corrupt:
    """Return the error for a record of another kind than its setting has."""
    return Corrupt(f"{what} is recorded as {str(record)[:60]!r}, which is not a valid {kind}")


def plain_kind(word: str, kind: type, fits: Callable[[object], bool]) -> Kind:
    """Return the kind of a value that JSON has as well."""

    def write(_: Codec, value: Any, what: str) -> Any:
        if not fits(value):
            raise not_valid(word, value, what)
        return kind(value)

    def read(_: Codec, record: Any, what: str) -> Any:
        if type(record) is not kind:
            raise not_recorded(word, record, what)
        return record

    return Kind(write, read)


def is_integer(value: Any) -> bool:
    """Tell whether a value is a whole number of Python or numpy."""
    return type(value) is int or (
        type(value).__module__ == "numpy" and str(getattr(value, "dtype", "")).startswith("int")
    )


def plain_number(_: Codec, value: Any, what: str) -> Any:
    """Return a number as JSON; one of numpy's keeps its dtype, since arithmetic with it has another precision."""
    if type(value) in (int, float):
        return plain_float(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return {"number": plain_array(value, what)}
    raise not_valid("number", value, what)


def read_number(_: Codec, record: Any, what: str) -> Any:
    """Return the number that :func:`plain_number` was given."""
    if isinstance(record, dict) and {*record} == {"number"}:
        return read_array(record["number"], what)[()]
    return read_float(record, what)
