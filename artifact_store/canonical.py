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
from collections.abc import Iterable
from typing import Any

from artifact_store.errors import Corrupt

MAX_DEPTH = 32
"""Deepest nesting of a document; the document itself is level 1."""


def canonical(value: Any) -> bytes:
    """Return the one spelling of a JSON value.

    Raises:
        ValueError: the value holds a NaN, an infinity, a lone surrogate, or something that JSON cannot represent.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return text.encode("utf-8")


def sha256(data: bytes) -> str:
    """Return the digest in lower-case hexadecimal, as every document of the store writes it."""
    return hashlib.sha256(data).hexdigest()


def checksum(document: dict[str, Any]) -> str:
    """Return the sha256 of the canonical document without its own field ``checksum``."""
    return sha256(canonical({name: value for name, value in document.items() if name != "checksum"}))


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
    value = parse_json(data, limit=limit, what=what)
    if not isinstance(value, dict):
        raise Corrupt(f"{what} is not a JSON object")
    if canonical(value) != data:  # 1e-09 as 1E-09: one flipped bit, the same value, and the same checksum
        raise Corrupt(f"{what} is not in canonical form, so something else wrote or changed it. Restore it from a copy")
    if value.get("checksum") != checksum(value):
        raise Corrupt(f"{what} was changed after it was written: its checksum does not fit. Restore it from a copy")
    return value


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
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
    if level:
        raise Corrupt(f"{what} is nested deeper than {MAX_DEPTH} levels")
    try:
        canonical(value)
    except ValueError as error:  # an escape such as \ud800 makes one, in a key or in a value
        raise Corrupt(f"{what} holds a lone surrogate, which is not valid text") from error


def _children(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
