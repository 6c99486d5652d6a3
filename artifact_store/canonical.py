"""Canonical JSON out, strict JSON in.

Canonical form: UTF-8 without a byte order mark, keys sorted by code point, no white space, no escapes but those that
JSON requires, integers in full, floats in Python's shortest round-trip form, no NaN or Infinity. Equal values give
equal bytes, so a sha256 of the bytes identifies the value.

The strict decoder refuses whatever two readers could understand in two ways. Owns no meaning of any document.

Why: docs/decisions/0004-canonical-json.md
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json

from artifact_store.errors import Corrupt

MAX_DEPTH = 32
"""Deepest nesting of a document; the document itself is level 1."""


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_CHECKSUM = "checksum"
_CONTAINERS = frozenset({dict, list})


def canonical(value: Any) -> bytes:
    """Return the one spelling of a JSON value.

    Raises:
        ValueError: the value holds a NaN, an infinity, a lone surrogate, or something that JSON cannot represent.
    """
    try:
        text = _ENCODER.encode(value)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return text.encode("utf-8")


def sha256(data: bytes) -> str:
    """Return the digest in lower-case hexadecimal, as every document of the store writes it."""
    return hashlib.sha256(data).hexdigest()


def checksum(document: dict[str, Any]) -> str:
    """Return the sha256 of the canonical document without its own field ``checksum``."""
    return sha256(canonical({name: value for name, value in document.items() if name != _CHECKSUM}))


def with_checksum(document: Mapping[str, Any]) -> bytes:
    """Return the canonical document with its own field ``checksum`` in it, which it must not have yet."""
    before = canonical({name: value for name, value in document.items() if name < _CHECKSUM})[1:-1]
    behind = canonical({name: value for name, value in document.items() if name > _CHECKSUM})[1:-1]
    comma = b"," if before and behind else b""
    field = _field(sha256(b"{%b%b%b}" % (before, comma, behind)))
    return b"{%b}" % b",".join(filter(None, (before, field, behind)))


def _field(digest: str) -> bytes:
    return f'"{_CHECKSUM}":"{digest}"'.encode()


def parse_json(data: bytes, *, limit: int, what: str) -> Any:
    """Decode a JSON document that came from outside. ``what`` names it in errors.

    Refused: more than ``limit`` bytes (before anything is parsed), other encodings than UTF-8, a byte order mark,
    duplicate keys, NaN, Infinity, numbers that overflow, lone surrogates, nesting deeper than ``MAX_DEPTH``.

    Raises:
        Corrupt: for any of these, and for what is not JSON at all.
    """
    if len(data) > limit:
        raise Corrupt(f"{what} has {len(data):,} bytes, more than the {limit:,} that one may have; it is not ours")
    if not data:
        raise Corrupt(f"{what} is empty: a write by something other than the store, or a damaged disk")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
    except RecursionError as error:
        raise Corrupt(f"{what} is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError, a number of too many digits, our own hooks
        raise Corrupt(f"{what} is not strict JSON: {error}") from error
    _check_tree(value, what)
    return value


def parse_document(data: bytes, *, limit: int, what: str) -> dict[str, Any]:
    """Decode a canonical JSON object that carries its own ``checksum``, which is compared before anything else is used.

    Raises:
        Corrupt: as for :func:`parse_json`; not an object; not canonical; the checksum is missing or wrong.
    """
    sound = sound_document(data, limit=limit)
    return thoroughly(data, limit=limit, what=what) if sound is None else sound


def thoroughly(data: bytes, *, limit: int, what: str) -> dict[str, Any]:
    """Decode a document as :func:`parse_document` does, step by step, so that the error says what is wrong."""
    value = parse_json(data, limit=limit, what=what)
    if not isinstance(value, dict):
        raise Corrupt(f"{what} is not a JSON object")
    if canonical(value) != data:  # 1e-09 as 1E-09: one flipped bit, the same value, and the same checksum
        raise Corrupt(f"{what} is not in canonical form, so something else wrote or changed it. Restore it from a copy")
    if value.get("checksum") != checksum(value):
        raise Corrupt(f"{what} was changed after it was written: its checksum does not fit. Restore it from a copy")
    return value


def parse_part(data: bytes, *, limit: int, what: str) -> dict[str, Any]:
    """Decode an object from within a document that was read: as :func:`parse_document`, of canonical bytes."""
    value = json.loads(data) if len(data) <= limit else None
    return (
        value if value is not None and has_own_checksum(value, data) else parse_document(data, limit=limit, what=what)
    )


def sound_document(data: bytes, *, limit: int) -> dict[str, Any] | None:
    """Return the document if nothing is wrong with it, found out in one parse and one serialisation.

    What comes back to the same bytes has no key twice, no NaN, no number out of range and no lone surrogate, and its
    checksum can be cut out of them. ``None``: something is wrong, and the longer way says what.
    """
    if len(data) > limit:
        return None
    try:
        value = from_json(data)
        same = type(value) is dict and canonical(value) == data
    except (ValueError, RecursionError):
        return None
    flat = data.count(b"{") + data.count(b"[") <= MAX_DEPTH
    return value if same and (flat or not _too_deep(value)) and has_own_checksum(value, data) else None


def has_own_checksum(value: Mapping[str, Any], data: bytes) -> bool:
    """Tell whether the checksum in a canonical document is there once, and is that of the rest of its bytes."""
    digest = value.get(_CHECKSUM)
    if not isinstance(digest, str) or data.count(field := _field(digest)) != 1:
        return False
    before, _, behind = data.partition(field)
    if before.endswith(b",") or behind.startswith(b","):  # the comma goes with it
        before, behind = (before[:-1], behind) if before.endswith(b",") else (before, behind[1:])
    return sha256(before + behind) == digest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} appears twice")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is out of range")
    return number


def _check_tree(value: Any, what: str) -> None:
    if _too_deep(value):
        raise Corrupt(f"{what} is nested deeper than {MAX_DEPTH} levels")
    try:
        canonical(value)
    except ValueError as error:  # an escape such as \ud800 makes one, in a key or in a value
        raise Corrupt(f"{what} holds a lone surrogate, which is not valid text") from error


def _too_deep(value: Any) -> bool:
    """Tell whether anything, an empty container excepted, is below the level ``MAX_DEPTH``."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_DEPTH - 1):
        if not level:
            return False
        level = [child for node in level for child in _children(node) if type(child) in _CONTAINERS]
    return any(level)


def _children(node: Any) -> Iterable[Any]:
    return node.values() if type(node) is dict else node
