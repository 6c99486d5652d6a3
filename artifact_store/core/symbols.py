"""Symbols as the exchange spells them, and the one spelling that each has in keys and in file names.

``BTC/USDT``, ``EURUSD=X`` and ``C:EURUSD`` are symbols, and no names that a folder can have everywhere. So each symbol
has a *spelling*: ``A-Z a-z 0-9 . _ -`` stand for themselves, and every other character becomes ``;XX`` for each byte of
its UTF-8, in upper-case digits: ``BTC;2FUSDT``. Where the result would mean something else in a store or to Windows
(``20240816_142301``, ``CON.DE``, ``_X``, ``BF.``, ``X.json``), one character more is escaped: the first, or the dot at
the end. Each symbol has exactly one spelling; any other text that could be decoded is the spelling of none.

A *reference* is what people type, and there a symbol is as raw as it can be (:func:`typed`): only ``/ @ ;`` are
escaped, and a ``:`` that could be that of a run id. Owns these two spellings and the grammar of symbols. Whatever is
read is decoded once, and the result is never read again.

Why: docs/decisions/0007-symbols-by-reversible-escape.md
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from artifact_store.core.grammar import BEFORE_A_RUN, RUN_ID, WINDOWS_DEVICE
from artifact_store.errors import InvalidName
from artifact_store.wording import brief

ESCAPE: Final = ";"
MAX_SYMBOL: Final = 100
"""Characters of the longest spelling of a symbol: with the longest type and run id a key has room for file names."""
ESCAPED_SYMBOLS: Final = "symbols"
"""What a document names in ``must_understand`` if its symbol is not its own spelling."""

_OTHER = re.compile(r"[^A-Za-z0-9._-]")
_DOT_AT_THE_END = re.compile(r"\.(?=(?:json|history)?\Z)")
_KEPT = 4096
"""Spellings that are kept: a store with many symbols asks for each of them again and again."""
_FIRST = re.compile(r"[A-Za-z0-9;]")
_IN_REFERENCES = re.compile("[/@;]|" + BEFORE_A_RUN)
_SELECTING = re.compile("@|" + BEFORE_A_RUN)
_ESCAPED = re.compile(r"(?:;[0-9A-F]{2})+")
_HALF_ESCAPED = re.compile(r";(?![0-9A-F]{2})")
_IN_ANY_CASE = re.compile(r";[0-9A-Fa-f]{2}")
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)  # a list of our own: what Python holds to be printable changes from release to release


def check_symbol(symbol: object) -> str:
    """Return ``symbol`` if it can be one: any text that can be seen, and whose spelling is not too long.

    Raises:
        InvalidName: it cannot; the text says why and, where there is one, suggests a symbol.
    """
    if not isinstance(symbol, str):
        raise InvalidName("symbol", symbol, "it is not text")
    if not symbol:
        raise InvalidName("symbol", symbol, "it is empty")
    if _UNSEEN.search(symbol) or symbol != symbol.strip(" "):
        seen = _UNSEEN.sub("", symbol).strip(" ")
        why = "it has a character that cannot be seen, or a space at an end"
        raise InvalidName("symbol", symbol, why, suggestion=seen if 0 < len(spelled(seen)) <= MAX_SYMBOL else None)
    length = len(spelled(symbol))
    if length > MAX_SYMBOL:
        raise InvalidName(
            "symbol",
            symbol,
            f"it takes {length} characters in a key, and {MAX_SYMBOL} are allowed; each character that is not a "
            "letter A-Z, a digit, '.', '_' or '-' takes three for each of its bytes in UTF-8",
        )
    return symbol


def check_symbol_twin(symbol: str, children: Iterable[str]) -> None:
    """Raise ``InvalidName`` for a symbol that Windows could not tell from one of the ``children`` of its type."""
    mine = spelled(symbol)
    for child in children:
        name = child.removesuffix("/")
        sibling = unspelled(name) if child.endswith("/") else None
        if sibling not in {None, symbol} and _folded(sibling) == _folded(symbol):
            why = f"{brief(sibling)} is there, which differs by case only, and Windows could not tell them apart"
            raise InvalidName("symbol", symbol, why, suggestion=sibling)
        if name != mine and child.endswith(("/", ".json")) and name.casefold() == mine.casefold():
            raise InvalidName("symbol", symbol, f"{brief(child)} is there, and Windows could not tell them apart")


def _folded(symbol: str | None) -> str:
    """Return what two symbols have in common that differ by case, or by how an accent is encoded, and nothing else."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", symbol or "").casefold())


# ---------------------------------------------------------------- in keys and file names


@lru_cache(_KEPT)
def spelled(symbol: str) -> str:
    """Return how a symbol is spelled in keys and file names: a name that every platform holds, and one per symbol."""
    text = _DOT_AT_THE_END.sub(_escaped, _OTHER.sub(_escaped, symbol))
    if text and (not _FIRST.match(text) or RUN_ID.fullmatch(text) or WINDOWS_DEVICE.fullmatch(text)):
        return f"{ESCAPE}{ord(text[0]):02X}{text[1:]}"
    return text


def unspelled(text: str) -> str | None:
    """Return the symbol whose spelling this is; ``None`` if it is that of none."""
    symbol = _decoded(text)
    if symbol is None or spelled(symbol) != text:
        return None
    try:
        return check_symbol(symbol)
    except InvalidName:
        return None


# ---------------------------------------------------------------- in references


def typed(symbol: str) -> str:
    """Return how a symbol is written in a reference."""
    return _IN_REFERENCES.sub(_escaped, symbol)


def untyped(text: str) -> str | None:
    """Return the symbol that is written so in a reference, or in a key; ``None`` if a ``;`` begins no escape."""
    return None if _HALF_ESCAPED.search(text) else _decoded(text)


def is_selecting(text: str) -> bool:
    """Tell whether something in what stands for a symbol would be read as the selector of an alias or a run."""
    return _SELECTING.search(text) is not None


def before_selector(text: str) -> str:
    """Return the symbol without what :func:`is_selecting` found."""
    return _SELECTING.split(text, maxsplit=1)[0]


def mended(text: str) -> str:
    """Return how the symbol is written that was probably meant: what could not stand there is escaped.

    Escapes stay as they are; a ``;`` that begins none is escaped itself.
    """
    upper = _IN_ANY_CASE.sub(lambda match: match[0].upper(), text)
    meant = _HALF_ESCAPED.sub(f"{ESCAPE}3B", upper)
    if _decoded(meant) is None:
        meant = text.replace(ESCAPE, f"{ESCAPE}3B")
    return _SELECTING.sub(_escaped, meant.replace("/", f"{ESCAPE}2F"))


def escaped(text: str) -> str:
    """Return every character of a text as escapes."""
    return "".join(f"{ESCAPE}{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def is_unseen(text: str) -> bool:
    """Tell whether a text has a character that cannot be seen."""
    return _UNSEEN.search(text) is not None


def _escaped(match: re.Match[str]) -> str:
    return escaped(match[0])


def _decoded(text: str) -> str | None:
    """Return the text with its escapes replaced, once; ``None`` if they are the bytes of no text."""
    try:
        return _ESCAPED.sub(lambda match: bytes.fromhex(match[0].replace(ESCAPE, "")).decode("utf-8"), text)
    except UnicodeDecodeError:
        return None
