"""What the JSON documents of the store have in common: format version, kind, times, and how one is read.

The rule of versions: a reader accepts every minor format of its own major one, keeps the fields that it does not
know, and refuses a newer major format by name. What a reader has to know, so that it does not misread the document,
has a name in the field ``must_understand``, which is left out if empty. The field ``checksum`` and its
meaning are the same in all formats.

Why: docs/decisions/0006-must-understand.md
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from artifact_store.canonical import MAX_DEPTH, canonical, parse_document, parse_json, parse_part, with_checksum
from artifact_store.core import keys
from artifact_store.core.file_names import ESCAPED_FILES, is_spelled_otherwise
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.symbols import ESCAPED_SYMBOLS, spelled
from artifact_store.core.values import ValidationError, Value, pattern, read_by
from artifact_store.core.ways_out import as_mapping, kept_instead
from artifact_store.errors import Corrupt, FormatTooNew, FormatUnsupported, InvalidOption, RunDeleted
from artifact_store.wording import brief

FORMAT: Final = "1.0"
_MAJOR = 1
REQUIRES: Final = "requires"
"""In ``must_understand`` of a run that lacks a component which its predictions need."""
PACKED_FILES: Final = "zstd"
"""In ``must_understand`` of a run of which a file is stored as a frame of zstd."""
UNDERSTOOD: Final = frozenset({ESCAPED_FILES, ESCAPED_SYMBOLS, REQUIRES, PACKED_FILES})
"""The names in ``must_understand`` that this release knows."""
_FORMAT = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)

_TOO_LARGE = 1 << 1024

NonFinite = Literal["NaN", "Infinity", "-Infinity"]
NON_FINITE: Final[Mapping[str, float]] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How metrics and configurations write the numbers that JSON does not support."""

Kind = Literal["run", "pointer", "history", "store", "tombstone", "origin", "note", "seen"]


def write_time(value: datetime) -> str:
    """Return the one spelling of an instant: UTC, microseconds, ``Z``."""
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def read_time(value: object) -> object:
    """Turn the one spelling into an aware datetime; leave a datetime alone."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without a zone is ambiguous")
        return value.astimezone(UTC)
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError("a time is written YYYY-MM-DDTHH:MM:SS.ffffffZ")
    try:
        if value[11:13] < "24":  # which later Pythons take for the midnight after
            return datetime.fromisoformat(value)
    except ValueError:
        pass
    return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)  # says what is wrong


Time = Annotated[datetime, read_by(read_time, written_by=write_time)]
Sha256 = Annotated[str, pattern(r"^[0-9a-f]{64}$")]
WriteId = Annotated[str, pattern(r"^[0-9a-f]{32}$")]


class Document(Value):
    """A whole document. Subclasses set ``KIND``, and ``LIMIT`` in bytes."""

    KIND: ClassVar[Kind]
    LIMIT: ClassVar[int]
    LEFT_OUT_IF_EMPTY: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after the first release: not written where they say nothing, so older documents stay equal."""
    __slots__ = ("_bytes",)

    format: str = FORMAT

    @classmethod
    def from_bytes(cls, data: bytes, *, what: str) -> Self:
        """Decode bytes that came from outside; ``what`` names them in errors.

        Raises:
            Corrupt: they are not such a document, or were changed after they were written.
            FormatUnsupported: a newer release wrote them, with something that this one does not know.
            RunDeleted: they say that the run was deleted.
        """
        return cls._decoded(parse_document(data, limit=cls.LIMIT, what=what), bytes(data), what)

    @classmethod
    def from_part(cls, data: bytes, *, what: str) -> Self:
        """Decode a part of a document that was read, in its canonical bytes; the errors are those of `from_bytes`."""
        return cls._decoded(parse_part(data, limit=cls.LIMIT, what=what), data, what)

    @classmethod
    def _decoded(cls, value: dict[str, Any], data: bytes, what: str) -> Self:
        check_format(value, kind=cls.KIND, what=what)
        return cls.from_json(value, what=what, written=data)

    @classmethod
    def from_json(cls, value: dict[str, Any], *, what: str, written: bytes | None = None) -> Self:
        """Check a decoded document, and remember it as it was ``written``: in canonical form, unless given."""
        fields = {name: part for name, part in value.items() if name not in {"kind", "checksum"}}
        try:
            document = cls.model_validate(fields)
        except ValidationError as error:
            raise Corrupt(f"{what} is not as this format demands: {_first(error)}") from error
        object.__setattr__(document, "_bytes", canonical(value) if written is None else written)
        return document

    def to_bytes(self) -> bytes:
        """Return the canonical bytes, with the checksum in them; what was read comes back as it was read."""
        if not hasattr(self, "_bytes"):
            left_out = self.LEFT_OUT_IF_EMPTY
            fields = self.model_dump(mode="json").items()
            value = {"kind": self.KIND, **{name: part for name, part in fields if part or name not in left_out}}
            if names := _to_be_understood(value):
                value["must_understand"] = names
            object.__setattr__(self, "_bytes", with_checksum(value))
        written: bytes = getattr(self, "_bytes")  # noqa: B009 -- a slot, which is no field
        return written

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`to_bytes` writes, as a value of its own."""
        value: dict[str, Any] = json.loads(self.to_bytes())
        return value

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Return a copy; one with changes is a new document, which is written as it is then."""
        copied = super().model_copy(update=update)
        if not update:
            object.__setattr__(copied, "_bytes", self.to_bytes())
        return copied

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())


@lru_cache(maxsize=1024)
def _model_key(model_type: str, symbol: str | None) -> ModelKey:
    """Return a model; many documents are about the same."""
    return ModelKey(model_type, symbol)


class ModelDocument(Document):
    """A document about one model."""

    model_type: str
    symbol: str | None

    @property
    def key(self) -> ModelKey:
        """The model that this is about."""
        return _model_key(self.model_type, self.symbol)

    def check_key(self, key: ModelKey, what: str) -> None:
        """Raise ``Corrupt`` unless this is about that very model."""
        if self.key != key:
            raise Corrupt(f"{what} belongs to {self.key.display_name}: it was copied or swapped")


class RunDocument(ModelDocument):
    """What may stand in the place of a run's manifest."""

    run_id: str

    @property
    def label(self) -> str:
        """``type/symbol:run_id``, as references are written."""
        return f"{self.key}:{self.run_id}"

    @property
    def storage_key(self) -> str:
        """Where it is stored."""
        return keys.manifest(self.key, RunId(self.run_id))

    def check_identity(self, key: ModelKey, run_id: str, what: str) -> None:
        """Raise ``Corrupt`` unless this is the document of that very run."""
        self.check_key(key, what)
        if self.run_id != run_id:
            raise Corrupt(f"{what} belongs to the run {self.run_id}: it was copied or swapped")


def _to_be_understood(value: Mapping[str, Any]) -> list[str]:
    """Return the names of what a reader has to know so that it does not misread a document.

    What a run has lost is among them, since predictions without it are wrong.
    """
    symbol = value.get("symbol")
    lost = set(value.get("requires", ())) - value.get("components", {}).keys()
    escaped = symbol is not None and spelled(symbol) != symbol
    files = is_spelled_otherwise(file["path"] for file in value.get("files", ()))
    return [
        *([ESCAPED_FILES] if files else []),
        *([REQUIRES] if lost else []),
        *([ESCAPED_SYMBOLS] if escaped else []),
        *([PACKED_FILES] if any("zstd" in file for file in value.get("files", ())) else []),
    ]


def check_writable(kind: type[Document], fields: Mapping[str, Any], what: str) -> None:
    """Raise ``InvalidOption`` unless a document of these fields could be written and read; ``what`` names them."""
    try:
        check_readable(kind, kind(**fields).to_bytes())
    except ValidationError as error:
        raise InvalidOption(f"{what} cannot be stored: {_first(error)}") from error


def check_readable(kind: type[Document], data: bytes) -> None:
    """Raise ``InvalidOption`` unless bytes to be written could be read again, from within another document as well."""
    try:
        parse_json(b'{"within":%b}' % data, limit=kind.LIMIT, what=f"this {kind.KIND}")
    except Corrupt as error:
        raise InvalidOption(f"it could not be read again: {error}") from error


def check_format(value: Mapping[str, Any], *, kind: str, what: str) -> None:
    """Raise unless ``value`` is a document of this kind in a format that we can read.

    Raises:
        FormatUnsupported: it is not, and a newer release can read it. Found out before anything else is judged.
        RunDeleted: it is a tombstone in the place of a run.
        Corrupt: it is something else.
    """
    match = _FORMAT.fullmatch(str(value.get("format")))
    if match is None:
        raise Corrupt(f"{what} does not say which format it has")
    if int(match[1]) > _MAJOR:
        raise FormatTooNew(f"{what} has format {match[0]}; this release reads {_MAJOR}.x: upgrade artifact-store")
    _check_understood(value, what)
    if value.get("kind") == "tombstone" and kind == "run":
        raise RunDeleted(f"{what}: this run was deleted")
    if value.get("kind") != kind:
        raise Corrupt(f"{what} is not a {kind!r} document but {str(value.get('kind'))[:40]!r}")


def _check_understood(value: Mapping[str, Any], what: str) -> None:
    names = value.get("must_understand", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Corrupt(f"{what} does not list by name what a reader must understand")
    unknown = [name for name in names if name not in UNDERSTOOD]
    if unknown:
        raise FormatUnsupported(
            f"{what} can only be read by a release that knows {', '.join(map(brief, unknown))}: upgrade artifact-store",
            names=unknown,
        )


def mapping(what: str, value: Any) -> Mapping[str, Any]:
    """Return ``value`` if it is a mapping of names to values, else raise ``InvalidOption``."""
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return value
    instead = as_mapping(value)
    raise InvalidOption(
        f"{what} is a mapping of names to values, not {brief(value)}{f': {instead}' if instead else ''}"
    )


def named_values(what: str, value: Any) -> dict[str, Any]:
    """Return a mapping of names to values as JSON; the errors are those of :func:`mapping` and :func:`plain`."""
    return dict(plain(mapping(what, value), what))


def stored_text(what: str, value: Any) -> str:
    """Return text that can be stored, or raise ``InvalidOption``."""
    if isinstance(value, str):
        return str(plain(value, what))
    raise InvalidOption(f"{what} is text, not a {type(value).__name__}")


def stored_tags(value: Any) -> dict[str, str]:
    """Return tags as they are stored; the errors are those of :func:`mapping` and :func:`plain`."""
    return dict(plain({name: str(part) for name, part in mapping("tags", value).items()}, "tags"))


def stored_metrics(value: Any) -> dict[str, float | int | str]:
    """Return metrics as they are stored, or raise ``InvalidOption``."""
    return {name: _number(name, part) for name, part in named_values("metrics", value).items()}


def _number(name: str, value: Any) -> float | int | str:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float) or (isinstance(value, str) and value in NON_FINITE):
        return value
    raise InvalidOption(f"the metric {name!r} is {value!r}, which is not a number; put text in tags")


def plain(value: Any, where: str, depth: int = MAX_DEPTH) -> Any:
    """Return ``value`` as JSON: tuples as lists, numpy scalars and arrays as numbers, NaN and infinities as text.

    Raises:
        InvalidOption: there is something else in it; ``where`` and the path to it are in the text.
    """
    if depth == 0:
        raise InvalidOption(f"{where[:200]} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise InvalidOption(f"{where} has the key {name!r}; in JSON keys are text: use {str(name)!r}")
        return {_text(name, where): plain(part, f"{where}[{name!r}]", depth - 1) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        parts = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [plain(part, f"{where}[{place}]", depth - 1) for place, part in enumerate(parts)]
    if is_array(value):
        return plain(value.tolist(), where, depth)
    return _scalar(value, where)


def is_array(value: object) -> bool:
    """Tell whether this is a scalar or an array of numpy, or of a library like it, without importing any."""
    return hasattr(value, "tolist") and hasattr(value, "dtype") and not isinstance(value, type)


def _scalar(value: Any, where: str) -> bool | int | float | str | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, int):
        if abs(value) >= _TOO_LARGE:
            raise InvalidOption(f"{where} is a number of more than 1024 bits")
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _non_finite(value)
    raise InvalidOption(
        f"{where} is a {type(value).__module__}.{type(value).__qualname__}, which JSON cannot represent: "
        f"{kept_instead(value)}"
    )


def _text(value: str, where: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidOption(f"{where} holds {value!r}, which is not valid text") from error
    return str(value)


def _non_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _first(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in details['loc']) or 'it'}: {details['msg']}"
