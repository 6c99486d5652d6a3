"""The pointer: which run an alias names, since when, by whom, and all that it named before.

A pointer is a value; publishing means writing the value that :func:`advance` returns, on the condition that the one
it was made from is still there. Owns the sequence, the history and its archive blocks. Knows no files and no codecs.

Why: docs/decisions/0005-the-pointer-is-an-object.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from artifact_store.canonical import canonical, sha256
from artifact_store.core import keys
from artifact_store.core.documents import Kind, ModelDocument, Sha256, Time, WriteId
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId, check_alias
from artifact_store.core.statement import encode64, message
from artifact_store.core.values import Value, at_least
from artifact_store.errors import Corrupt, InvalidOption

MAX_POINTER: Final = 256 << 10
"""Bytes; more is refused before it is parsed."""
MAX_EMBEDDED: Final = 64 << 10
"""Bytes; a larger manifest is not copied into the pointer."""
MAX_BLOCK: Final = 256 << 10
BLOCK: Final = 32
"""Publishes in one archive block."""
GATHERED: Final = 64
"""With this many publishes in a pointer, the oldest ``BLOCK`` move to the archive."""
MAX_NOTE: Final = 200
"""Characters that are kept of ``by`` and of ``reason``."""
POINTER_TYPE: Final = "application/vnd.artifact-store.pointer+json"
"""What is signed is a pointer, and can be taken for nothing else."""


class Publish(Value):
    """One publish of an alias. Without ``run_id`` it retired the alias."""

    seq: Annotated[int, at_least(1)]
    run_id: str | None
    manifest_sha256: Sha256 | None
    write_id: WriteId
    at: Time
    by: str
    reason: str

    def _check(self) -> None:
        if (self.run_id is None) != (self.manifest_sha256 is None):
            raise ValueError("a run and the digest of its manifest come together")
        if self.run_id is not None:
            RunId(self.run_id)


class PointerSignature(Value):
    """Who vouches for a pointer, and for which store: a pointer of one store means nothing in another."""

    key_id: Sha256
    store_id: str
    sig: str = ""
    """Base64 of the signature over the pointer without this field and without its checksum."""


class Pointer(ModelDocument, Publish):
    """What ``{alias}.json`` holds: the publish that is in force, and those before it that are not archived yet."""

    KIND: ClassVar[Kind] = "pointer"
    LIMIT: ClassVar[int] = MAX_POINTER
    LEFT_OUT_IF_EMPTY: ClassVar[frozenset[str]] = frozenset({"archive", "signature"})

    __slots__ = ("_body",)

    alias: str
    manifest: Mapping[str, Any] | None
    history: tuple[Publish, ...]
    archive: Sha256 | None = None
    """The sha256 of the newest block of the archive, which pins the ones before it."""
    signature: PointerSignature | None = None

    def __repr__(self) -> str:
        """Say what is in force, and neither the manifest nor the history."""
        return f"<Pointer {self.label}, seq {self.seq}: {self.run_id or 'retired'}, at {self.at:%Y-%m-%d %H:%M:%S} UTC>"

    __str__ = __repr__

    def _check(self) -> None:
        """Refuse bad names, a history with holes, and an embedded manifest that is not the one that was published."""
        ModelKey(self.model_type, self.symbol)
        check_alias(self.alias)
        begin = self.seq - len(self.history)
        if [entry.seq for entry in self.history] != list(range(begin, self.seq)) or begin % BLOCK != 1:
            raise ValueError("the history does not lead up to this publish")
        if self.archive is not None and not self.archived:
            raise ValueError("it pins the archive, and nothing is archived")
        body = None if self.manifest is None else canonical(self.manifest)
        object.__setattr__(self, "_body", body)
        if body is not None and sha256(body) != self.manifest_sha256:
            raise ValueError("the embedded manifest is not the one that was published")

    @property
    def label(self) -> str:
        """``type/symbol@alias``, as references are written."""
        return f"{self.key}@{self.alias}"

    @property
    def digest(self) -> str:
        """The sha256 of the bytes of ``{alias}.json``, which pins the whole history as far as it pins its archive."""
        return sha256(self.to_bytes())

    @property
    def storage_key(self) -> str:
        """Where it is stored."""
        return keys.pointer(self.key, self.alias)

    @property
    def current(self) -> Publish:
        """The publish in force, as an entry of the history."""
        return Publish.model_validate({name: getattr(self, name) for name in Publish.FIELDS})

    @property
    def entries(self) -> tuple[Publish, ...]:
        """All publishes that this object records, oldest first, the one in force last."""
        return (*self.history, self.current)

    @property
    def archived(self) -> int:
        """The last ``seq`` that is in the archive; 0: nothing is."""
        return self.seq - len(self.history) - 1

    def signed_message(self) -> bytes:
        """Return what the signature that it has covers: every other field, those that we do not know included."""
        value = {name: part for name, part in self.to_json().items() if name != "checksum"}
        value["signature"] = {name: part for name, part in value["signature"].items() if name != "sig"}
        return message(canonical(value), POINTER_TYPE)

    def announced(self, key_id: str, store_id: str) -> Pointer:
        """Return the pointer as it is signed: with whose key and for which store, and without the signature itself."""
        return self.model_copy(update={"signature": PointerSignature(key_id=key_id, store_id=store_id)})

    def signed(self, signature: bytes) -> Pointer:
        """Return an announced pointer with the signature of its :meth:`signed_message`."""
        assert self.signature is not None
        with_it = self.signature.model_copy(update={"sig": encode64(signature)})
        return self.model_copy(update={"signature": with_it})

    def embedded(self, what: str) -> Manifest | None:
        """Return the manifest that travels with the pointer, if one does; ``Corrupt`` if it belongs to another run."""
        if self.manifest is None or self.run_id is None:
            return None
        body = getattr(self, "_body", None) or canonical(self.manifest)
        manifest = Manifest.from_part(body, what=f"the manifest in {what}")
        manifest.check_identity(self.key, self.run_id, what)
        return manifest

    def check_identity(self, key: ModelKey, alias: str, what: str) -> None:
        """Raise ``Corrupt`` unless this is the pointer of that alias of that model."""
        self.check_key(key, what)
        if self.alias != alias:
            raise Corrupt(f"{what} belongs to the alias {self.alias!r}: it was copied or swapped")


class HistoryBlock(ModelDocument):
    """``BLOCK`` publishes that left the pointer: immutable, and the same bytes from every writer."""

    KIND: ClassVar[Kind] = "history"
    LIMIT: ClassVar[int] = MAX_BLOCK
    LEFT_OUT_IF_EMPTY: ClassVar[frozenset[str]] = frozenset({"previous"})

    alias: str
    entries: tuple[Publish, ...]
    previous: Sha256 | None = None
    """The sha256 of the block before."""

    def _check(self) -> None:
        ModelKey(self.model_type, self.symbol)
        check_alias(self.alias)
        first = self.entries[0].seq if self.entries else 0
        if [entry.seq for entry in self.entries] != list(range(first, first + BLOCK)) or first % BLOCK != 1:
            raise ValueError(f"a block holds {BLOCK} publishes without a hole")
        if self.previous is not None and first == 1:
            raise ValueError("it is the first block, and pins one before it")

    @property
    def last_seq(self) -> int:
        """What the block is named after."""
        return self.entries[-1].seq

    @property
    def storage_key(self) -> str:
        """Where it is stored."""
        return keys.history_block(self.key, self.alias, self.last_seq)

    def check_identity(self, key: ModelKey, alias: str, last_seq: int, what: str) -> None:
        """Raise ``Corrupt`` unless this is that block of that alias."""
        self.check_key(key, what)
        if (self.alias, self.last_seq) != (alias, last_seq):
            raise Corrupt(f"{what} belongs elsewhere: it was copied or swapped")


@dataclass(frozen=True, slots=True)
class PublishInfo:
    """Who publishes, when, why, and under which id the write can be recognised."""

    write_id: str
    at: datetime
    by: str
    reason: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str):
            raise InvalidOption(f"a reason is text, not a {type(self.reason).__name__}")


@dataclass(frozen=True, slots=True)
class Advance:
    """The pointer to write next, and the archive blocks that have to be there before, oldest first."""

    pointer: Pointer
    blocks: tuple[HistoryBlock, ...]


def advance(seen: Pointer | None, key: ModelKey, alias: str, manifest: Manifest | None, info: PublishInfo) -> Advance:
    """Return what publishing ``manifest`` (none: retiring) over the pointer that was ``seen`` has to write.

    ``seq`` grows by one. Of several callers that saw the same pointer at most one can write what it got.
    """
    history = () if seen is None else seen.entries
    archive = None if seen is None else seen.archive
    blocks: tuple[HistoryBlock, ...] = ()
    if len(history) >= GATHERED:
        block = HistoryBlock(
            model_type=key.model_type, symbol=key.symbol, alias=alias, entries=history[:BLOCK], previous=archive
        )
        history, archive, blocks = history[BLOCK:], sha256(block.to_bytes()), (block,)
    body = None if manifest is None else manifest.to_bytes()
    try:
        pointer = Pointer(
            model_type=key.model_type,
            symbol=key.symbol,
            alias=alias,
            seq=1 if seen is None else seen.seq + 1,
            run_id=None if manifest is None else manifest.run_id,
            manifest_sha256=None if body is None else sha256(body),
            manifest=None if body is None else embeddable(body),
            write_id=info.write_id,
            at=info.at,
            by=info.by[:MAX_NOTE],
            reason=info.reason[:MAX_NOTE],
            history=history,
            archive=archive,
        )
        pointer.to_bytes()
    except UnicodeEncodeError as error:
        raise InvalidOption(f"the name or the reason of this publish is not valid text: {error}") from error
    return Advance(pointer, blocks)


def embeddable(manifest: bytes) -> dict[str, Any] | None:
    """Return the manifest as it travels in a pointer, or ``None`` if it is too large for that."""
    return json.loads(manifest) if len(manifest) <= MAX_EMBEDDED else None


def block_of(seq: int) -> int:
    """Return the last ``seq`` of the archive block that a publish goes into."""
    return -(-seq // BLOCK) * BLOCK
