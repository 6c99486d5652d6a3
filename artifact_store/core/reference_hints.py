"""What is wrong with text that names no model, and what was probably meant: the advice in the errors about references.

Judges text only. A caller checks what is returned here before it suggests it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from artifact_store.core import symbols
from artifact_store.core.grammar import MODEL_TYPE, RUN_ID
from artifact_store.wording import brief

_LATEST = "latest"
_EXAMPLE = "lightgbm"
_PATH_HEADS = frozenset({".", "..", "~"})
_NO_TYPE = "does not begin with a model type, which is in lower case: if it is a symbol, put a type before it"

Meant = tuple[str, str]
"""A key as it is typed, and the selector behind it."""
Mistake = tuple[str, Sequence[Meant]]
"""What is wrong, and what was probably meant, the likeliest first."""


def without_symbol(text: str, selector: str) -> Mistake | None:
    """Return what is wrong with a key without a ``/``, as it was typed before ``selector``; ``None`` if nothing is."""
    backslash = _with_backslash(text, selector)
    if backslash is not None:
        return backslash
    if not re.search("[:@]", text):
        return None if not text or MODEL_TYPE.fullmatch(text) else (_NO_TYPE, [_meant(_EXAMPLE, text, selector)])
    what = "names no model: the symbol stands behind 'type/', and behind ':' at least the whole date of a run"
    head, _, tail = text.partition(":")
    if not MODEL_TYPE.fullmatch(head):
        return what, [_meant(_EXAMPLE, text, selector)]
    return what, [] if tail.isdecimal() else [_meant(head, tail, selector)]


def _with_backslash(text: str, selector: str) -> Mistake | None:
    head, backslash, tail = text.partition("\\")
    if not (backslash and MODEL_TYPE.fullmatch(head)):
        return None
    meant = _meant(head, tail, selector) if tail else (head, selector)
    return "has a backslash where '/' belongs, on Windows too", [meant]


def _with_a_stray_slash(model_type: str, symbol: str, selector: str) -> Mistake | None:
    if not model_type and symbol.strip("/"):
        return "begins with a '/', before which the model type is missing", [(symbol.strip("/"), selector)]
    if model_type and not symbol:
        return "ends in a '/', behind which the symbol is missing", [(model_type, selector)]
    return _with_backslash(f"{model_type}/{symbol}", selector) if "\\" in model_type else None


def with_symbol(model_type: str, symbol: str, selector: str) -> Mistake | None:
    """Return what is wrong with ``type/symbol``, as it was typed before ``selector``, or ``None`` if nothing is."""
    stray = _as_path(model_type, symbol, selector) or _with_a_stray_slash(model_type, symbol, selector)
    if stray is not None:
        return stray
    if not MODEL_TYPE.fullmatch(model_type) and MODEL_TYPE.fullmatch(model_type.lower()):
        lower = brief("".join(_meant(model_type.lower(), symbol, selector)))
        what = f"does not begin with a model type, which is in lower case. If {model_type} is the type, write {lower}"
        with_type = _meant(_EXAMPLE, f"{model_type}/{symbol}", selector)
        return f"{what}; if it belongs to the symbol, put a type before it", [with_type]
    if "/" in symbol:
        return _too_many_parts(model_type, symbol, selector)
    if symbols.is_selecting(symbol):
        what = "names more than a model: in a symbol '@' is written ';40', and ':' before a date is written ';3A'"
        whole = _meant(model_type, symbol, selector)
        return what, [whole] if selector else [_meant(model_type, symbols.before_selector(symbol), ""), whole]
    if symbols.untyped(symbol) is None:
        what = "has a ';' that begins no escape: two digits 0-9 A-F follow it, and ';' itself is written ';3B'"
        return what, [_meant(model_type, symbol, selector)]
    return None


def _as_path(model_type: str, symbol: str, selector: str) -> Mistake | None:
    is_absolute = not model_type and symbol.count("/") > 1
    if not (is_absolute or model_type in _PATH_HEADS or model_type.endswith(":")):
        return None
    what = "is a path or URL: give the store's to ArtifactStore, and here the model within it as type/symbol"
    parts = [part for part in symbol.split("/") if part]
    run = next((part for part in parts if RUN_ID.fullmatch(part)), None)
    named = parts if run is None else parts[: parts.index(run)]
    selects = selector if run is None else f":{run}"
    return what, [("/".join(named[-2:]), selects), *(_meant(_EXAMPLE, name, selects) for name in named[-1:])]


def _too_many_parts(model_type: str, symbol: str, selector: str) -> Mistake:
    bare = symbol.strip("/")
    if symbol.startswith("/") and not bare:
        return "ends in two '/', behind which the symbol is missing", [(model_type, selector)]
    if symbol.startswith("/"):
        what = "has a '/' too many behind the model type (one that belongs to the symbol is written ';2F')"
        return what, [_meant(model_type, bare, selector), _meant(model_type, symbol, selector)]
    head, _, tail = symbol.rpartition("/")
    if head and not tail and "/" not in head:
        return "ends in a '/': nothing stands behind the symbol", [_meant(model_type, head, selector)]
    if head and tail == _LATEST:
        return "has more than two parts: an alias stands behind '@'", [_meant(model_type, head, f"@{tail}")]
    if head and RUN_ID.fullmatch(tail):
        return "has more than two parts: a run stands behind ':'", [_meant(model_type, head, f":{tail}")]
    what = "has more than two parts: in a symbol '/' is written ';2F', and an alias stands behind '@'"
    return what, [_meant(model_type, symbol, selector)]


def _meant(model_type: str, symbol: str, selector: str) -> Meant:
    return f"{model_type}/{symbols.mended(symbol)}", selector
