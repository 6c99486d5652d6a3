"""Identity, and the one place that spells keys.

The grammar is the same on every platform, so that a store can be copied anywhere: nothing is ever decoded, escaped
or folded, and what one platform could not hold is refused on all. A value of a type below cannot exist in a bad state.

Owns names, references and the layout of keys. Does not know storage or what the objects hold.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self, TypeVar

from artifact_store.core.canonical import canonical, sha256
from artifact_store.core.errors import InvalidName, InvalidReference, brief

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

_MODEL_TYPE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RUN_ID = re.compile(r"([0-9]{8})_([0-9]{6})(?:_[a-z0-9][a-z0-9-]{0,39})?")  # \d would be the digits of any script
_RUN_PREFIX = re.compile(r"[0-9]{1,8}|[0-9]{8}_(?:[0-9]{1,6}|[0-9]{6}_(?:[a-z0-9][a-z0-9-]{0,39})?)?")
_COMPONENT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SEGMENT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9 ._+=@-]{0,98}[A-Za-z0-9_+=@-])?")
_ATTEMPT = re.compile(r"[0-9a-f]{8}")
_PROBE = re.compile(r"[0-9a-f]{32}")
_BLOCK = re.compile(r"[0-9]{10}\.json")
_SIGNATURE = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{16})\.json")
_SHORT = 16
WINDOWS_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?:\..*)?", re.IGNORECASE
)
_RESERVED_ALIASES = frozenset({"manifest", "metadata", "config"})
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def _check(kind: str, name: object, pattern: re.Pattern[str], rule: str) -> str:
    if not isinstance(name, str):
        raise InvalidName(kind, name, "it is not text")
    if not pattern.fullmatch(name):
        raise InvalidName(kind, name, rule, suggestion=_mended(name, pattern))
    if WINDOWS_DEVICE.fullmatch(name):
        raise InvalidName(kind, name, "Windows keeps this name for a device, and stores nothing under it")
    return name


def _mended(name: str, pattern: re.Pattern[str]) -> str | None:
    """Return the name with what the grammar forbids replaced by a hyphen, if that helps."""
    for candidate in (name.strip(), name.strip().lower()):
        mended = re.sub(r"[^A-Za-z0-9._-]+", "-", candidate).strip("-._")
        if pattern.fullmatch(mended) and not WINDOWS_DEVICE.fullmatch(mended):
            return mended
    return None


def check_model_type(name: object) -> str:
    """Return ``name`` if it can be a model type.

    Raises:
        InvalidName: it cannot; the text says why and, where there is one, suggests a name.
    """
    return _check("model type", name, _MODEL_TYPE, "use a-z, 0-9, '_' and '-', beginning with a letter, at most 64")


def check_alias(name: object) -> str:
    """Return ``name`` if it can be an alias, else raise ``InvalidName``."""
    text = _check("alias", name, _MODEL_TYPE, "use a-z, 0-9, '_' and '-', beginning with a letter, at most 64")
    if text in _RESERVED_ALIASES:
        raise InvalidName("alias", text, "the files of a run are called so")
    return text


def check_symbol(name: object) -> str:
    """Return ``name`` if it can be a symbol, else raise ``InvalidName``."""
    rule = "use A-Z, a-z, 0-9, '.', '_' and '-', beginning with a letter or digit, at most 100"
    text = _check("symbol", name, _SYMBOL, rule)
    if _RUN_ID.fullmatch(text):
        raise InvalidName("symbol", text, "it is shaped like a run id")
    if text.endswith((".", ".json", ".history")):
        raise InvalidName("symbol", text, "it ends in '.', '.json' or '.history', which are taken", suggestion=None)
    return text


def check_component(name: object) -> str:
    """Return ``name`` if it can be a component, else raise ``InvalidName``."""
    return _check("component", name, _COMPONENT, "use a-z, 0-9 and '_', beginning with a letter, at most 64")


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
            raise InvalidName("file name", path, "Windows keeps this name for a device, and stores nothing under it")
    if segments[0].casefold() in {MANIFEST, METADATA} or segments[0].startswith("_"):
        raise InvalidName("file name", path, "the store itself writes this name")
    if len(path) > MAX_KEY:
        raise InvalidName("file name", path, f"it is longer than {MAX_KEY} characters")
    return path


def check_twins(paths: Iterable[str]) -> None:
    """Refuse names that a file system without case would merge, and files that are also folders.

    Raises:
        InvalidName: two of ``paths`` are one on Windows.
    """
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


def check_symbol_twin(symbol: str, children: Iterable[str]) -> None:
    """Refuse a symbol beside one that differs by case only; ``children`` are the folders of its model type.

    Raises:
        InvalidName: Windows would merge the two.
    """
    for child in children:
        sibling = child.removesuffix("/")
        if child.endswith("/") and sibling != symbol and sibling.casefold() == symbol.casefold():
            raise InvalidName(
                "symbol", symbol, f"{sibling!r} is there, and Windows could not tell them apart", suggestion=sibling
            )


class RunId(str):
    """``YYYYMMDD_HHMMSS`` in UTC with an optional ``_suffix``: sorts by time, never mistaken for a symbol."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the form, and that the digits are a date and a time."""
        match = _RUN_ID.fullmatch(str(text))
        rule = "use YYYYMMDD_HHMMSS, or YYYYMMDD_HHMMSS_suffix with a-z, 0-9 and '-' (at most 40) in the suffix"
        if match is None:
            raise InvalidName("run id", text, rule)
        try:
            datetime.strptime(match[1] + match[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError as error:
            raise InvalidName("run id", text, "there is no such date or time") from error
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


@dataclass(frozen=True, slots=True)
class ModelKey:
    """Which line of runs: one model type, trained on one symbol or on none. ``str`` gives ``type/symbol``."""

    model_type: str
    symbol: str | None = None

    def __post_init__(self) -> None:
        check_model_type(self.model_type)
        if self.symbol is not None:
            check_symbol(self.symbol)

    def __str__(self) -> str:
        return self.model_type if self.symbol is None else f"{self.model_type}/{self.symbol}"

    def __lt__(self, other: ModelKey) -> bool:
        return str(self) < str(other)

    def covers(self, other: ModelKey) -> bool:
        """Tell whether the other is this model, or of this type where no symbol is named."""
        return other == self or (self.symbol is None and other.model_type == self.model_type)

    @classmethod
    def parse(cls, text: str | ModelKey) -> ModelKey:
        """Read ``type/symbol`` or ``type``.

        Raises:
            InvalidReference: there are more parts; a symbol such as ``BTC/EUR`` gets a suggestion.
            InvalidName: a part is outside the grammar.
        """
        if isinstance(text, ModelKey):
            return text
        if not isinstance(text, str):
            raise InvalidReference(f"a model is named by text such as 'gru/BTCEUR', not by {type(text).__name__}")
        model_type, slash, symbol = text.partition("/")
        if slash and not _MODEL_TYPE.fullmatch(model_type) and _MODEL_TYPE.fullmatch(model_type.lower()):
            hint = f"lightgbm/{text.replace('/', '-')}"
            raise InvalidReference(
                f"{brief(text)} does not begin with a model type, which is in lower case: if it is a symbol, write "
                f"{brief(hint)}"
            )
        if "/" in symbol:
            hint = f"{model_type}/{symbol.replace('/', '-')}"
            raise InvalidReference(f"{brief(text)} has more than two parts; a symbol has no '/': try {brief(hint)}")
        return cls(model_type, symbol if slash else None)


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run by its id, a unique beginning of one, or an alias. ``str`` gives the text form back."""

    key: ModelKey
    alias: str | None = LATEST
    run: str | None = None

    def __post_init__(self) -> None:
        if (self.alias is None) == (self.run is None):
            raise InvalidReference("a reference has either an alias or a run id")
        if self.alias is not None:
            check_alias(self.alias)
        elif not _RUN_PREFIX.fullmatch(self.run or ""):
            raise InvalidReference(f"{brief(self.run)} is neither a run id nor the beginning of one")

    def __str__(self) -> str:
        return f"{self.key}@{self.alias}" if self.alias is not None else f"{self.key}:{self.run}"

    @property
    def run_id(self) -> RunId | None:
        """The full run id, if ``run`` is one."""
        return RunId(self.run) if self.run is not None and _RUN_ID.fullmatch(self.run) else None

    @classmethod
    def parse(cls, text: str | RunRef | ModelKey) -> RunRef:
        """Read ``type/symbol@alias``, ``type/symbol:run_id``, or a key alone, which means ``@latest``.

        Raises:
            InvalidReference, InvalidName: the text is no reference.
        """
        if isinstance(text, RunRef):
            return text
        if isinstance(text, ModelKey):
            return cls(text)
        if not isinstance(text, str):
            raise InvalidReference(f"a run is named by text such as 'gru/BTCEUR@latest', not by {type(text).__name__}")
        key, at, alias = text.partition("@")
        if at:
            return cls(ModelKey.parse(key), alias)
        key, colon, run = text.partition(":")
        return cls(ModelKey.parse(key), None, run) if colon else cls(ModelKey.parse(key))


# ---------------------------------------------------------------- the layout


def _bounded(key: str) -> str:
    if len(key) > MAX_KEY:
        raise InvalidName("key", key, f"it is longer than {MAX_KEY} characters; use shorter names")
    return key


def model_prefix(key: ModelKey) -> str:
    """Return the prefix of everything about one model."""
    return f"{key}/"


def type_prefix(model_type: str) -> str:
    """Return the prefix of everything of one model type."""
    return f"{model_type}/"


def run_prefix(key: ModelKey, run_id: RunId) -> str:
    """Return the prefix of everything of one run."""
    return f"{key}/{run_id}/"


def below(url: str, key: str) -> str:
    """Return the URL of a key below the URL of a root, for people and other programs."""
    return f"{url.rstrip('/')}/{key.rstrip('/')}"


def manifest(key: ModelKey, run_id: RunId) -> str:
    """Return the key of the commit record."""
    return _bounded(f"{key}/{run_id}/{MANIFEST}")


def data_file(key: ModelKey, run_id: RunId, name: str) -> str:
    """Return the key of a file of a run."""
    return _bounded(f"{key}/{run_id}/{name}")


def attempt_name(path: str, attempt: str) -> str:
    """Return the name that only this attempt uses for the file ``path``."""
    return f"{path}.{attempt}"


def is_name_of(name: str, path: str) -> bool:
    """Tell whether the file ``path`` may be stored under ``name``: its own, or one of an attempt."""
    return name == path or (name[: len(path) + 1] == f"{path}." and bool(_ATTEMPT.fullmatch(name[len(path) + 1 :])))


def signature_name(manifest_sha256: str, key_id: str) -> str:
    """Return the name within its run of the signature of a manifest by a key: whoever has both knows where to look."""
    return f"{SIGNATURES}{manifest_sha256[:_SHORT]}.{key_id[:_SHORT]}.json"


def signature(key: ModelKey, run_id: RunId, manifest_sha256: str, key_id: str) -> str:
    """Return the key of the signature of a manifest by a key."""
    return data_file(key, run_id, signature_name(manifest_sha256, key_id))


def signatures_prefix(key: ModelKey, run_id: RunId) -> str:
    """Return the prefix of all signatures of a run."""
    return f"{key}/{run_id}/{SIGNATURES}"


def pointer(key: ModelKey, alias: str) -> str:
    """Return the key of the pointer object of an alias."""
    return _bounded(f"{key}/{alias}.json")


def history_block(key: ModelKey, alias: str, last_seq: int) -> str:
    """Return the key of the block of history that ends with ``last_seq``."""
    return _bounded(f"{key}/{alias}.history/{last_seq:010d}.json")


def history_prefix(key: ModelKey, alias: str) -> str:
    """Return the prefix of the archive of an alias."""
    return f"{key}/{alias}.history/"


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
    """Return the symbol if this child of a model type (``name/``) is one."""
    return _named(child, "/", check_symbol)


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
            try:
                return ModelKey(*parts[:depth]), run_id, name
            except InvalidName:
                return None
    return None


def probe_in(child: str) -> str | None:
    """Return the key of a throw-away object, if this child of the folder of probes is one of ours."""
    return probe(child) if _PROBE.fullmatch(child) else None


def model_type_in(child: str) -> str | None:
    """Return the model type if this child of the root (``name/``) is one."""
    return _named(child, "/", check_model_type)
