"""Identity: the names of model types, aliases and components, run ids, and which model is meant.

The grammar is the same on every platform, so that a store can be copied anywhere: nothing is ever folded, and what one
platform could not hold is refused on all. Symbols alone are escaped (:mod:`artifact_store.core.symbols`). A value of a
type below cannot exist in a bad state.

Owns names; where what they name is stored is in :mod:`artifact_store.core.keys`, references are in
:mod:`artifact_store.core.references`.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from artifact_store.core import reference_hints as hints
from artifact_store.core import symbols
from artifact_store.core.grammar import COMPONENT, MODEL_TYPE, NO_DEVICE, RUN_ID, WINDOWS_DEVICE
from artifact_store.errors import InvalidName, InvalidReference
from artifact_store.wording import brief

LATEST: Final = "latest"
_LONGEST = 64
_RESERVED_ALIASES = frozenset({"manifest", "metadata", "config"})
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def _check(kind: str, name: object, why_not: Callable[[str], str | None]) -> str:
    if not isinstance(name, str):
        raise InvalidName(kind, name, "it is not text")
    why = why_not(name)
    if why is not None:
        raise InvalidName(kind, name, why, suggestion=_mended(name, why_not))
    return name


def _mended(name: str, why_not: Callable[[str], str | None]) -> str | None:
    """Return a name that is taken and is as near as possible; there is one wherever the name has a letter."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    for joiner in "-_":
        text = re.sub(r"[^a-z0-9_-]+" if joiner == "-" else r"[^a-z0-9]+", joiner, plain)
        text = re.sub(r"^[^a-z]+", "", text)[: _LONGEST - len("_1")].rstrip("-_")
        for candidate in (text, f"{text}_1"):
            if why_not(candidate) is None:
                return candidate
    return None


def _no_model_type(name: str) -> str | None:
    if not MODEL_TYPE.fullmatch(name):
        return f"use a-z, 0-9, '_' and '-', beginning with a letter, at most {_LONGEST}"
    return NO_DEVICE if WINDOWS_DEVICE.fullmatch(name) else None


def _no_alias(name: str) -> str | None:
    return "the files of a run are called so" if name in _RESERVED_ALIASES else _no_model_type(name)


def _no_component(name: str) -> str | None:
    if not COMPONENT.fullmatch(name):
        return f"use a-z, 0-9 and '_', beginning with a letter, at most {_LONGEST}"
    return NO_DEVICE if WINDOWS_DEVICE.fullmatch(name) else None


def check_model_type(name: object) -> str:
    """Return ``name`` if it can be a model type.

    Raises:
        InvalidName: it cannot; the text says why and, where there is one, suggests a name.
    """
    return _check("model type", name, _no_model_type)


def check_alias(name: object) -> str:
    """Return ``name`` if it can be an alias, else raise ``InvalidName``; of a reference, suggest its alias."""
    head, at, alias = name.rpartition("@") if isinstance(name, str) else ("", "", "")
    if head and at and _no_alias(alias) is None:
        raise InvalidName("alias", name, "the alias alone is asked for, and not a reference", suggestion=alias)
    return _check("alias", name, _no_alias)


def check_component(name: object) -> str:
    """Return ``name`` if it can be a component, else raise ``InvalidName``."""
    return _check("component", name, _no_component)


def _is_moment(day: str, time: str) -> bool:
    """Tell whether these digits, ``YYYYMMDD`` and ``HHMMSS``, are a date and a time."""
    try:
        datetime.fromisoformat(f"{day}T{time}+00:00")
    except ValueError:
        return False
    return time < "24"  # which later Pythons take for the midnight after


class RunId(str):
    """``YYYYMMDD_HHMMSS`` in UTC with an optional ``_suffix``: sorts by time, never mistaken for a symbol."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the form, and that the digits are a date and a time."""
        if type(text) is cls:
            return text
        match = RUN_ID.fullmatch(str(text))
        rule = "use YYYYMMDD_HHMMSS, or YYYYMMDD_HHMMSS_suffix with a-z, 0-9 and '-' (at most 40) in the suffix"
        if match is None:
            raise InvalidName("run id", text, rule)
        if not _is_moment(match[1], match[2]):
            raise InvalidName("run id", text, "that date or time does not exist")
        return super().__new__(cls, text)

    @classmethod
    def make(cls, now: datetime, random: str) -> RunId:
        """Return the id of a run that begins ``now``.

        The suffix begins with two characters for the 1024th of the second, so that ids of one second sort by time
        as well; ``random`` follows.
        """
        moment = now.astimezone(UTC)
        high, low = divmod(moment.microsecond * 1024 // 1_000_000, 32)
        return cls(f"{moment:%Y%m%d_%H%M%S}_{_CROCKFORD[high]}{_CROCKFORD[low]}{random}")


def random_suffix() -> str:
    """Return four characters of Crockford's base32 in lower case: 20 random bits for each 1024th of a second."""
    return "".join(secrets.choice(_CROCKFORD) for _ in range(4))


def random_write_id() -> str:
    """Return 32 random hexadecimal digits, by which a writer knows its own documents."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class ModelKey:
    """Which line of runs: one model type, trained on one symbol or on none.

    The symbol is the exchange's own: ``ModelKey("gru", "BTC/USDT")``. ``str`` gives ``type/symbol`` as a reference is
    typed, which :meth:`parse` takes: there a ``/``, a ``@`` or a ``;`` of the symbol is escaped (``gru/BTC;2FUSDT``).
    """

    model_type: str
    symbol: str | None = None

    def __post_init__(self) -> None:
        check_model_type(self.model_type)
        if self.symbol is not None:
            symbols.check_symbol(self.symbol)

    def __str__(self) -> str:
        return self.model_type if self.symbol is None else f"{self.model_type}/{symbols.typed(self.symbol)}"

    def __lt__(self, other: ModelKey) -> bool:
        return str(self) < str(other)

    @property
    def display_name(self) -> str:
        """``type/symbol`` with the symbol as it is, for tables and sentences; not every one can be parsed."""
        return self.model_type if self.symbol is None else f"{self.model_type}/{self.symbol}"

    def covers(self, other: ModelKey) -> bool:
        """Tell whether the other is this model, or of this type where no symbol is named."""
        return other == self or (self.symbol is None and other.model_type == self.model_type)

    @staticmethod
    def spell(symbol: str) -> str:
        """Return how a symbol is spelled in keys and in names of files: ``BTC;2FUSDT`` for ``BTC/USDT``.

        Raises:
            InvalidName: it cannot be a symbol.
        """
        return symbols.spelled(symbols.check_symbol(symbol))

    @classmethod
    def parse(cls, text: KeyLike) -> ModelKey:
        """Read ``type/symbol`` or ``type``, or take ``(type, symbol)`` as it is.

        Raises:
            InvalidReference: the text names no model; where there is one, ``suggestion`` is what to type.
            InvalidName: a part is outside the grammar.
        """
        if isinstance(text, ModelKey):
            return text
        if isinstance(text, tuple) and len(text) == 2:  # noqa: PLR2004 -- a type and a symbol
            return cls(*text)
        if not isinstance(text, str):
            raise InvalidReference(
                f"a model is named by text such as 'gru/BTCEUR', or by ('gru', 'BTC/USDT'), not by {brief(text)}"
            )
        return parse_model_key(text)


KeyLike = ModelKey | str | tuple[str, str | None]
"""What names a model: text is read as a reference, in a pair the symbol stands as it is."""


def parse_model_key(text: str, selector: str = "") -> ModelKey:
    """Read the part of a reference that names the model; ``selector`` is the rest of it.

    Raises:
        InvalidReference, InvalidName: it names none. What is suggested is taken, with the selector behind it.
    """
    model_type, slash, symbol = text.partition("/")
    mistake = hints.with_symbol(model_type, symbol, selector) if slash else hints.without_symbol(text, selector)
    if mistake is None:
        return ModelKey(model_type, symbols.untyped(symbol) if slash else None)
    what, meant = mistake
    taken = (key + behind for key, behind in meant if can_be_read(key))
    raise InvalidReference(f"{brief(text + selector)} {what}", suggestion=next(taken, None))


def can_be_read(text: str) -> bool:
    """Tell whether :func:`parse_model_key` takes the text."""
    try:
        parse_model_key(text)
    except (InvalidName, InvalidReference):
        return False
    return True
