"""What can still be made out in the bytes of a pointer that cannot be believed. Pure; a hint and no proof.

A pointer is one JSON object with its keys in order, so that a part of it can be read although the rest is cut off or
spoilt. Whoever uses it holds it against what else is stored: a run counts only if its manifest has the very digest.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from pydantic import ValidationError

from artifact_store.core.canonical import canonical
from artifact_store.core.keys import ModelKey
from artifact_store.core.pointer import MAX_POINTER, Publish

_HISTORY = '"history":['
_HEAD = re.compile(r'\{"alias":"([a-z0-9_-]+)"')
_TAIL = re.compile(
    r'"run_id":(?:"(?P<run>\d{8}_\d{6}[a-z0-9_-]{0,41})"|(?P<none>null)),"seq":\d{1,9},"symbol":(?P<symbol>null|"(?:[^"\\]|\\.)*")',
    re.ASCII,
)
_DIGEST = re.compile(r'"manifest_sha256":"([0-9a-f]{64})","model_type":"([^"]*)"')
_SEQ = re.compile(r'"seq":(\d{1,9})\b', re.ASCII)
_FIELDS = frozenset(Publish.model_fields)


@dataclass(frozen=True, slots=True)
class Salvage:
    """What the bytes seem to say.

    ``entries`` are publishes of the history, without a hole, and ``closed`` says that there were no more. ``current``
    is the publish in force, where all of it can be read; ``named`` the run and the digest of its manifest.
    """

    entries: tuple[Publish, ...] = ()
    closed: bool = False
    current: Publish | None = None
    named: tuple[str, str] | None = None
    retired: bool = False
    highest: int = 0
    is_pointer: bool = False
    is_signed: bool = False


def salvage(data: bytes, key: ModelKey, alias: str) -> Salvage:
    """Return what the bytes of a pointer that cannot be believed seem to say; nothing if it is one of another alias.

    Bytes beyond the limit of a pointer are no part of one, and are not looked at.
    """
    text = data[:MAX_POINTER].decode("utf-8", "replace")
    digests, tail = _DIGEST.findall(text), _TAIL.search(text)
    symbol = canonical(key.symbol).decode()
    others = (digests and digests[-1][1] != key.model_type) or (tail is not None and tail["symbol"] != symbol)
    head = _HEAD.match(text)
    if others or (head[1] != alias if head is not None else not (digests and tail)):
        return Salvage()
    entries, closed = _entries(text)
    named = (tail["run"], digests[-1][0]) if tail is not None and tail["run"] and digests else None
    return Salvage(
        entries=entries,
        closed=closed,
        current=_current(text),
        named=named,
        retired=tail is not None and tail["none"] is not None,
        highest=max((int(seq) for seq in _SEQ.findall(text)), default=0),
        is_pointer=True,
        is_signed='"signature":{' in text,
    )


def _entries(text: str) -> tuple[tuple[Publish, ...], bool]:
    """Return the publishes of the history as far as they can be read and follow on, and whether that is all of them."""
    at = text.find(_HISTORY)
    if at < 0:
        return (), False
    at += len(_HISTORY)
    decoder, found = json.JSONDecoder(), list[Publish]()
    while text[at : at + 1] == "{":
        try:
            value, at = decoder.raw_decode(text, at)
            entry = Publish.model_validate(value)
        except (ValueError, RecursionError):  # a ValidationError is a ValueError
            return tuple(found), False
        if found and entry.seq != found[-1].seq + 1:
            return tuple(found), False
        found.append(entry)
        at += text[at : at + 1] == ","
    return tuple(found), text[at : at + 1] == "]"


def _current(text: str) -> Publish | None:
    try:
        value = json.loads(text)
        return Publish.model_validate({name: value[name] for name in _FIELDS})
    except (ValidationError, ValueError, RecursionError, KeyError, TypeError):
        return None
