"""References to runs, and paths and URLs that lead to one: everything that people type to say which run they mean.

``type/symbol@alias``, ``type/symbol:run_id``, ``type@alias``, ``type:run_id``; a key alone means ``@latest``. In the
symbol everything is raw but ``/ @ ;``, which are written ``;2F ;40 ;3B``. A ``:`` selects a run only before at least a
whole date, eight digits that end there or at a ``_``; any other ``:`` belongs to the symbol, and one of a symbol that
stands before such digits is written ``;3A``. So the text of a reference means one run, and ``parse(str(ref)) == ref``.

One reader for the store and for tools that take paths (:class:`Location`). Judges text; reads no storage.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from artifact_store.core.grammar import RUN_ID, RUN_PREFIX, RUN_SELECTOR
from artifact_store.core.names import LATEST, KeyLike, ModelKey, RunId, can_be_read, check_alias, parse_model_key
from artifact_store.errors import InvalidName, InvalidReference
from artifact_store.wording import brief


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run by its id, by a unique beginning of one from its whole date on, or by an alias. ``str`` is its text."""

    key: ModelKey
    alias: str | None = LATEST
    run: str | None = None

    def __post_init__(self) -> None:
        if (self.alias is None) == (self.run is None):
            raise InvalidReference("a reference has either an alias or a run id")
        if self.alias is not None:
            check_alias(self.alias)
        else:
            _run(self.run or "")

    def __str__(self) -> str:
        return f"{self.key}@{self.alias}" if self.alias is not None else f"{self.key}:{self.run}"

    @property
    def run_id(self) -> RunId | None:
        """The full run id, if ``run`` is one."""
        return RunId(self.run) if self.run is not None and RUN_ID.fullmatch(self.run) else None

    @classmethod
    def parse(cls, text: RefLike) -> RunRef:
        """Read a reference; a key alone, or a pair of type and symbol, means ``@latest``.

        Raises:
            InvalidReference, InvalidName: the text is not a reference. A ``suggestion`` is what to type instead.
        """
        if isinstance(text, RunRef):
            return text
        if not isinstance(text, str):
            return cls(ModelKey.parse(text))
        head, alias, run = _split(text)
        if alias is not None:
            return cls(parse_model_key(head, f"@{_alias(head, alias)}"), alias)
        return cls(parse_model_key(head)) if run is None else cls(parse_model_key(head, f":{_run(run)}"), None, run)


RefLike = RunRef | KeyLike
"""What names a run: a reference, or a model, of which it is the latest."""


def has_selector(ref: RefLike) -> bool:
    """Tell whether a reference names an alias or a run, and not a model alone."""
    return isinstance(ref, RunRef) or (isinstance(ref, str) and _split(ref)[1:] != (None, None))


def _split(text: str) -> tuple[str, str | None, str | None]:
    """Return what stands before the selector, the alias, and the run."""
    head, at, alias = text.rpartition("@")
    if at:
        return head, alias, None
    match = RUN_SELECTOR.fullmatch(text)
    return (text, None, None) if match is None else (match[1], None, match[2])


def _run(text: str) -> str:
    if not RUN_PREFIX.fullmatch(text):
        what = f"{brief(text)} is neither a run id nor the beginning of one with its whole date, such as 20240816"
        raise InvalidReference(what)
    return text


def _alias(head: str, text: str) -> str:
    """Return the alias behind a ``@``, or raise, and say how to write the ``@`` if it is probably the symbol's."""
    try:
        return check_alias(text)
    except InvalidName as error:
        meant = f"{head};40{text}"
        if error.suggestion is not None or not can_be_read(meant):
            raise
        what = f"{brief(text)} cannot be an alias: {error.why}; in a symbol '@' is written ';40'"
        raise InvalidReference(what, suggestion=meant) from None


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:///?")


@dataclass(frozen=True, slots=True)
class Location:
    """What a path or URL says: the root of a store, and as much of the key, the alias and the run as it names."""

    root: str
    key: ModelKey | None = None
    alias: str | None = None
    run: str | None = None

    @classmethod
    def parse(cls, text: str | Path, types: Sequence[str]) -> Location:
        """Read a path or URL that may go on behind the root with ``type/symbol``, and an alias or a run.

        The symbol is written as in a reference, or as keys spell it (which is what ``Run.url`` gives); the run or the
        alias stands behind a sign, or as a part of its own. The last part that is one of ``types`` is taken for the
        model type. ``type/symbol/type/run`` is the nesting of some old trees.

        Raises:
            InvalidReference, InvalidName: the symbol is not valid.
        """
        parts = _Parts.of(os.fspath(text))
        rest, alias, run = _selector(parts, types)
        names = rest.names
        if run and len(names) > 2 and names[-1] in types and names[-3] == names[-1]:  # noqa: PLR2004
            rest = rest.without_last(1)
        for named in (2, 1):  # type and symbol, or the type alone
            root = rest.without_last(named)
            if len(rest.names) >= named and rest.names[-named] in types and root.can_be_a_root:
                return cls(root.text or os.curdir, parse_model_key("/".join(rest.names[-named:])), alias, run)
        return cls(parts.text or os.curdir)

    @property
    def is_url(self) -> bool:
        """Whether the root is written as a URL, and not as a path on this machine."""
        return _URL.match(self.root) is not None

    def ref(self) -> RunRef:
        """Return the run that is meant, the latest if no other is named; raise ``InvalidReference`` if no model is."""
        if self.key is None:
            raise InvalidReference(
                f"{self.root!r} names no model: end it in TYPE/SYMBOL, TYPE/SYMBOL/RUN_ID or TYPE/SYMBOL@ALIAS (a '/' "
                "of the symbol is written ';2F'), or give the reference and the store: "
                "load('gru/BTCEUR@latest', store='./store/models')"
            )
        return RunRef(self.key, None, self.run) if self.run else RunRef(self.key, self.alias or LATEST)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A path or URL, cut at its slashes; ``head`` comes before the first name: ``s3://``, ``file:///``, ``/``."""

    head: str
    names: tuple[str, ...]
    slash: str

    @classmethod
    def of(cls, text: str) -> Self:
        url = _URL.match(text)
        if url is not None:
            return cls(url[0], tuple(name for name in text[url.end() :].split("/") if name), "/")
        body = text.replace(os.altsep, os.sep) if os.altsep else text
        below = body.lstrip(os.sep)
        names = tuple(name for name in re.split(re.escape(os.sep), below) if name not in {"", os.curdir})
        head = body[: len(body) - len(below)]
        if names and names[0].startswith("~") and not body.startswith((names[0], os.sep)):
            head = os.curdir + os.sep  # a folder of that name, and no home
        return cls(head, names, os.sep)

    @property
    def text(self) -> str:
        return self.head + self.slash.join(self.names)

    @property
    def can_be_a_root(self) -> bool:
        return bool(self.names) or "://" not in self.head

    def without_last(self, count: int, instead: str = "") -> _Parts:
        kept = self.names[: len(self.names) - count] + ((instead,) if instead else ())
        return _Parts(self.head, kept, self.slash)


_PATH_ALIASES = frozenset({LATEST, "best_wf"})
"""Aliases that a path may end in where it names no symbol; elsewhere any alias may stand behind the symbol."""


def _selector(parts: _Parts, types: Sequence[str]) -> tuple[_Parts, str | None, str | None]:
    """Return what stands before the alias or the run, the alias, and the run."""
    last = parts.names[-1] if parts.names else ""
    head, alias, run = _split(last)
    if head and (alias or run):
        return parts.without_last(1, head), alias, run
    if RUN_ID.fullmatch(last):
        return parts.without_last(1), None, last
    before = parts.names[-2] if len(parts.names) > 1 else ""
    behind_symbol = before not in types and len(parts.names) > 2 and parts.names[-3] in types  # noqa: PLR2004
    if (behind_symbol and _is_alias(last)) or (before in types and last in _PATH_ALIASES):
        return parts.without_last(1), last, None
    return parts, None, None


def _is_alias(name: str) -> bool:
    try:
        check_alias(name)
    except InvalidName:
        return False
    return True
