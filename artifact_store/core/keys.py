"""Identity, and the one place that spells keys.

The grammar is the same on every platform, so that a store can be copied anywhere: nothing is ever folded, and what one
platform could not hold is refused on all. Symbols alone are escaped (:mod:`artifact_store.core.symbols`): ``str`` of a
key is what people type, :func:`model_prefix` is how it is stored. A value of a type below cannot exist in a bad state.

Owns names and the layout of keys; references are in :mod:`artifact_store.core.references`. Does not know storage or
what the objects hold.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self, TypeVar

from artifact_store.canonical import canonical, sha256
from artifact_store.core import reference_hints as hints
from artifact_store.core import symbols
from artifact_store.core.grammar import COMPONENT, MODEL_TYPE, RUN_ID, WINDOWS_DEVICE
from artifact_store.errors import InvalidName, InvalidReference
from artifact_store.wording import brief

Name = TypeVar("Name", bound=str)

MAX_KEY: Final = 240
"""Longest key below the root, in characters: with a short root it stays under Windows' limit of 260."""

STORE_MARKER: Final = "_store.json"
LOCKS: Final = "_locks/"
PROBES: Final = "_probe/"
MANIFEST: Final = "manifest.json"
METADATA: Final = "metadata.json"
SIGNATURES: Final = "_signatures/"
LATEST: Final = "latest"

_SEGMENT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9 ._+=@-]{0,98}[A-Za-z0-9_+=@-])?")
_ATTEMPT = re.compile(r"[0-9a-f]{8}")
_PROBE = re.compile(r"[0-9a-f]{32}")
_BLOCK = re.compile(r"[0-9]{10}\.json")
_SIGNATURE = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{16})\.json")
_SHORT = 16
_LONGEST = 64
_DEVICE = "Windows keeps this name for a device, and stores nothing under it"
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
    return _DEVICE if WINDOWS_DEVICE.fullmatch(name) else None


def _no_alias(name: str) -> str | None:
    return "the files of a run are called so" if name in _RESERVED_ALIASES else _no_model_type(name)


def _no_component(name: str) -> str | None:
    if not COMPONENT.fullmatch(name):
        return f"use a-z, 0-9 and '_', beginning with a letter, at most {_LONGEST}"
    return _DEVICE if WINDOWS_DEVICE.fullmatch(name) else None


def check_model_type(name: object) -> str:
    """Return ``name`` if it can be a model type.

    Raises:
        InvalidName: it cannot; the text says why and, where there is one, suggests a name.
    """
    return _check("model type", name, _no_model_type)


def check_alias(name: object) -> str:
    """Return ``name`` if it can be an alias, else raise ``InvalidName``."""
    return _check("alias", name, _no_alias)


def check_component(name: object) -> str:
    """Return ``name`` if it can be a component, else raise ``InvalidName``."""
    return _check("component", name, _no_component)


def check_path(path: object) -> str:
    """Return ``path`` if a file of a run may have it: plain segments joined by ``/``, and none that we use.

    Raises:
        InvalidName: a segment is empty, hidden, a device, ends in a dot or a space, or the name is ours.
    """
    if not isinstance(path, str):
        raise InvalidName("file name", path, "it is not text")
    segments = path.split("/")
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            raise InvalidName(
                "file name",
                path,
                "use letters, digits and ' ._+=@-' in each part, at most 100, not ending in '.' or ' '",
            )
        if WINDOWS_DEVICE.fullmatch(segment):
            raise InvalidName("file name", path, _DEVICE)
    if segments[0].casefold() in {MANIFEST, METADATA} or segments[0].startswith("_"):
        raise InvalidName("file name", path, "the store itself writes this name")
    if len(path) > MAX_KEY:
        raise InvalidName("file name", path, f"it is longer than {MAX_KEY} characters")
    return path


def check_twins(paths: Iterable[str]) -> None:
    """Raise ``InvalidName`` if Windows would merge two names, or if one is also the folder of another."""
    seen: dict[str, str] = {}
    for path in paths:
        twin = seen.setdefault(path.casefold(), path)
        if twin is not path:
            raise InvalidName("file name", path, f"Windows could not tell it from {twin!r}")
    for path in seen.values():
        parts = path.casefold().split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in seen:
                raise InvalidName("file name", path, "another file of the run has the name of its folder")


class RunId(str):
    """``YYYYMMDD_HHMMSS`` in UTC with an optional ``_suffix``: sorts by time, never mistaken for a symbol."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the form, and that the digits are a date and a time."""
        match = RUN_ID.fullmatch(str(text))
        rule = "use YYYYMMDD_HHMMSS, or YYYYMMDD_HHMMSS_suffix with a-z, 0-9 and '-' (at most 40) in the suffix"
        if match is None:
            raise InvalidName("run id", text, rule)
        try:
            datetime.strptime(match[1] + match[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError as error:
            raise InvalidName("run id", text, "that date or time does not exist") from error
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


# ---------------------------------------------------------------- the layout


def _bounded(key: str) -> str:
    if len(key) > MAX_KEY:
        raise InvalidName("key", key, f"it is longer than {MAX_KEY} characters; use shorter names")
    return key


def model_prefix(key: ModelKey) -> str:
    """Return the prefix of everything about one model: how it is stored, where ``str`` of it is how it is typed."""
    return f"{key.model_type}/" if key.symbol is None else f"{key.model_type}/{symbols.spelled(key.symbol)}/"


def type_prefix(model_type: str) -> str:
    """Return the prefix of everything of one model type."""
    return f"{model_type}/"


def run_prefix(key: ModelKey, run_id: RunId) -> str:
    """Return the prefix of everything of one run."""
    return f"{model_prefix(key)}{run_id}/"


def below(url: str, key: str) -> str:
    """Return the URL of a key below the URL of a root, for people and other programs."""
    return f"{url.rstrip('/')}/{key.rstrip('/')}"


def manifest(key: ModelKey, run_id: RunId) -> str:
    """Return the key of the commit record."""
    return _bounded(run_prefix(key, run_id) + MANIFEST)


def data_file(key: ModelKey, run_id: RunId, name: str) -> str:
    """Return the key of a file of a run."""
    return _bounded(run_prefix(key, run_id) + name)


def attempt_name(path: str, attempt: str) -> str:
    """Return the name that only this attempt uses for the file ``path``."""
    return f"{path}.{attempt}"


def is_name_of(name: str, path: str) -> bool:
    """Tell whether the file ``path`` may be stored under ``name``: its own, or one of an attempt."""
    return name == path or (name[: len(path) + 1] == f"{path}." and bool(_ATTEMPT.fullmatch(name[len(path) + 1 :])))


def signature_name(manifest_sha256: str, key_id: str) -> str:
    """Return the name within its run of the signature of a manifest by a key, so that both are enough to find it."""
    return f"{SIGNATURES}{manifest_sha256[:_SHORT]}.{key_id[:_SHORT]}.json"


def signature(key: ModelKey, run_id: RunId, manifest_sha256: str, key_id: str) -> str:
    """Return the key of the signature of a manifest by a key."""
    return data_file(key, run_id, signature_name(manifest_sha256, key_id))


def signatures_prefix(key: ModelKey, run_id: RunId) -> str:
    """Return the prefix of all signatures of a run."""
    return run_prefix(key, run_id) + SIGNATURES


def pointer(key: ModelKey, alias: str) -> str:
    """Return the key of the pointer object of an alias: it is too long if the key of a history block would be."""
    history_block(key, alias, 0)
    return _bounded(f"{model_prefix(key)}{alias}.json")


def history_block(key: ModelKey, alias: str, last_seq: int) -> str:
    """Return the key of the block of history that ends with ``last_seq``."""
    return _bounded(f"{history_prefix(key, alias)}{last_seq:010d}.json")


def history_prefix(key: ModelKey, alias: str) -> str:
    """Return the prefix of the archive of an alias."""
    return f"{model_prefix(key)}{alias}.history/"


def probe(token: str) -> str:
    """Return a throw-away key for finding out what a storage can do."""
    return f"{PROBES}{token}"


def seen_alias(store_id: str, key: ModelKey, alias: str) -> str:
    """Return under which name a client remembers what it saw of an alias."""
    return f"{sha256(canonical([store_id, str(key), alias]))}.json"


def seen_store(url: str) -> str:
    """Return under which name a client remembers which store a URL led to."""
    return f"{sha256(canonical([url]))}.json"


# ---------------------------------------------------------------- reading a listing


def _named(child: str, ending: str, check: Callable[[str], Name]) -> Name | None:
    """Return what stands before the ending, if that is a name as ``check`` wants it."""
    try:
        return check(child.removesuffix(ending)) if child.endswith(ending) else None
    except InvalidName:
        return None


def run_in(child: str) -> RunId | None:
    """Return the run id if this child of a model (``name/``) is a run."""
    return _named(child, "/", RunId)


def is_signature(child: str) -> bool:
    """Tell whether this child of the signatures of a run has the name of one, of whatever manifest."""
    return _SIGNATURE.fullmatch(child) is not None


def signer_in(child: str, manifest_sha256: str) -> str | None:
    """Return the beginning of the key id if this child of the signatures of a run is one of that manifest."""
    match = _SIGNATURE.fullmatch(child)
    return match[2] if match is not None and match[1] == manifest_sha256[:_SHORT] else None


def symbol_in(child: str) -> str | None:
    """Return the symbol if this child of a model type (``name/``) is the spelling of one."""
    return symbols.unspelled(child.removesuffix("/")) if child.endswith("/") else None


def alias_in(child: str) -> str | None:
    """Return the alias if this child of a model (``name.json``) is a pointer."""
    return _named(child, ".json", check_alias)


def history_in(child: str) -> str | None:
    """Return the alias if this child of a model (``name.history/``) is the archive of one."""
    return _named(child, ".history/", check_alias)


def block_in(child: str) -> int | None:
    """Return the last ``seq`` of the block if this child of an archive has the name of one."""
    return int(child.removesuffix(".json")) if _BLOCK.fullmatch(child) else None


def run_of(key: str) -> tuple[ModelKey, RunId, str] | None:
    """Return which run an object belongs to, and its name below the run; ``None`` if it belongs to none."""
    parts = key.split("/")
    for depth in (1, 2):
        name = "/".join(parts[depth + 1 :])
        run_id = run_in(f"{parts[depth]}/") if name else None
        if run_id is not None:
            model = model_in([f"{part}/" for part in parts[:depth]])
            return None if model is None else (model, run_id, name)
    return None


def model_in(folders: Sequence[str]) -> ModelKey | None:
    """Return the model if these folders (``type/``, ``symbol/``) below the root are those of one."""
    model_type = model_type_in(folders[0])
    symbol = symbol_in(folders[1]) if len(folders) > 1 else None
    if model_type is None or (symbol is None and len(folders) > 1):
        return None
    return ModelKey(model_type, symbol)


def probe_in(child: str) -> str | None:
    """Return the key of a throw-away object, if this child of the folder of probes is one of ours."""
    return probe(child) if _PROBE.fullmatch(child) else None


def model_type_in(child: str) -> str | None:
    """Return the model type if this child of the root (``name/``) is one."""
    return _named(child, "/", check_model_type)
