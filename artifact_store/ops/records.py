"""The stored documents of one store: read with retries, written under a condition, never guessed.

Store record, manifest, tombstone, pointer, history block and signature go through here and nowhere else: this is the
only module that passes the key of a document to a backend. A read repeats what the storage could not do for the
moment, holds the bytes to the limit of their kind, and refuses a document that belongs elsewhere. A write ends as
``WON`` or ``LOST``, or raises ``OutcomeUnknown``; what a lost reply hides is settled by reading back. A container that
is missing is an empty one where the first write makes it, and an error where it does not.

Decides nothing: which document to write, and what to do about one that lost, is for ``publish``, ``promote`` and
``delete``. Files are for :mod:`artifact_store.storage.transfer`.

Why: docs/decisions/0003-one-object-for-stored-documents.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from artifact_store.canonical import sha256
from artifact_store.core import keys
from artifact_store.core.manifest import MAX_MANIFEST, Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.note import MAX_NOTE_BYTES, Note
from artifact_store.core.origin import MAX_ORIGIN, Origin
from artifact_store.core.outline import Outline
from artifact_store.core.pointer import MAX_BLOCK, MAX_POINTER, HistoryBlock, Pointer, Publish, block_of
from artifact_store.core.shell import quoted
from artifact_store.core.statement import MAX_BUNDLE
from artifact_store.core.store_record import MAX_STORE_RECORD, StoreRecord
from artifact_store.core.tombstone import MAX_TOMBSTONE, Tombstone
from artifact_store.errors import (
    ArtifactStoreError,
    ContainerNotFound,
    Corrupt,
    FormatUnsupported,
    ObjectNotFound,
    PreconditionFailed,
    RunDeleted,
    RunNotFound,
)
from artifact_store.storage.base import Backend, Blob, Entry, IfAbsent, Version
from artifact_store.storage.budget import DOCUMENTS_AT_ONCE, MOST_AT_ONCE
from artifact_store.storage.conditional_write import Outcome, read_or_none, write_settled
from artifact_store.storage.retry import RetryPolicy, with_retry
from artifact_store.storage.threads import result_of
from artifact_store.storage.workers import Workers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A document as it was read, with the version to replace."""

    value: T
    version: Version


SeenPointer = Stored[Pointer] | None
"""The pointer of an alias as it was read; ``None`` where the alias was never published."""


@dataclass(frozen=True, slots=True)
class Records:
    """Every stored document of one store."""

    backend: Backend
    retry: RetryPolicy
    workers: Workers = field(default_factory=Workers)

    # ------------------------------------------------------------ reading

    @property
    def at_once(self) -> int:
        """How many documents are to be asked for together: one, where that is faster than handing it to a thread."""
        return 1 if self.backend.is_near else DOCUMENTS_AT_ONCE

    def run(self, key: ModelKey, run_id: RunId) -> Stored[Manifest | Tombstone]:
        """Return what stands in the place of a run's manifest: that, or its tombstone. One request.

        Raises:
            RunNotFound: no such run was ever committed.
            Corrupt: what is there is neither, or not that of this run.
        """
        blob = self._commit_record(key, run_id)
        return Stored(_parse_record(blob.data, key, run_id), blob.version)

    def record(self, key: ModelKey, run_id: RunId) -> Outline | Manifest | Tombstone:
        """Return the same for who looks at many runs: of a manifest that is plainly sound its outline. One request."""
        data = self._commit_record(key, run_id).data
        return Outline.read(data, key, run_id) or _parse_record(data, key, run_id)

    def outline(self, key: ModelKey, run_id: RunId) -> Outline | Manifest:
        """Return what :meth:`manifest` does, in outline where it is plainly sound. One request."""
        record = self.record(key, run_id)
        if isinstance(record, Tombstone):
            raise deleted(record)
        return record

    def _commit_record(self, key: ModelKey, run_id: RunId) -> Blob:
        blob = self._read(keys.manifest(key, run_id), MAX_TOMBSTONE)
        if blob is None:
            raise RunNotFound(
                f"no run {key}:{run_id} was committed in {self.backend.url}; `artifact-store ls {quoted(str(key))}` "
                "lists those of this model"
            )
        return blob

    def manifest(self, key: ModelKey, run_id: RunId) -> Manifest:
        """Return the manifest of a committed run. One request.

        Raises:
            RunNotFound: no such run was committed.
            RunDeleted: it was, and is gone; the text says since when, by whom, and whether it can come back.
            Corrupt: what is there is not this run's manifest.
        """
        record = self.run(key, run_id).value
        if isinstance(record, Tombstone):
            raise deleted(record)
        return record

    def pointer(self, key: ModelKey, alias: str) -> SeenPointer:
        """Return the pointer of an alias. One request. ``Corrupt``: damaged, or another's; not published over."""
        blob = self._read(keys.pointer(key, alias), MAX_POINTER)
        return None if blob is None else Stored(parse_pointer(blob.data, key, alias), blob.version)

    def changed_pointer(self, key: ModelKey, alias: str, seen: Version) -> SeenPointer:
        """Return the pointer of an alias, or ``None`` if it still is the version that was seen. One request.

        Raises:
            ObjectNotFound: there is none any more.
        """
        read = partial(self.backend.read, keys.pointer(key, alias), limit=MAX_POINTER, unless=seen)
        blob = with_retry(read, self.retry)
        return None if blob is None else Stored(parse_pointer(blob.data, key, alias), blob.version)

    def block(self, key: ModelKey, alias: str, last_seq: int, *, pinned: str | None = None) -> HistoryBlock:
        """Return a block of the archive, of the sha256 ``pinned`` if given, or raise ``Corrupt``. One request."""
        return _parse_block(self._stored_block(key, alias, last_seq), key, alias, last_seq, pinned)

    def _stored_block(self, key: ModelKey, alias: str, last_seq: int) -> Blob | None:
        return self._read(keys.history_block(key, alias, last_seq), MAX_BLOCK)

    def history(self, seen: SeenPointer) -> list[Publish]:
        """Return every publish of an alias, oldest first, the archive included: one request for a block, all at once.

        The pointer pins the newest block, and each block the one before it: so to trust the pointer is to trust all.
        ``Corrupt``: a block is missing, or not the one that was archived.
        """
        if seen is None:
            return []
        pointer = seen.value
        parts, pinned = [pointer.entries], pointer.archive
        read = partial(self._stored_block, pointer.key, pointer.alias)
        named = range(pointer.archived, 0, -block_of(1))  # so each can be asked for before the one that pins it
        with closing(self.workers.ahead(named, read, at_once=MOST_AT_ONCE)) as blocks:
            for last_seq, blob in blocks:
                block = _parse_block(result_of(blob), pointer.key, pointer.alias, last_seq, pinned)
                parts.append(block.entries)
                pinned = block.previous
        return [publish for entries in reversed(parts) for publish in entries]

    def store(self) -> StoreRecord | None:
        """Return what the root says about itself, or ``None`` if it says nothing. One request."""
        blob = self._read(keys.STORE_MARKER, MAX_STORE_RECORD)
        if blob is None:
            return None
        return StoreRecord.from_bytes(blob.data, what=f"{keys.STORE_MARKER} of {self.backend.url}")

    def verdict(self, record: StoreRecord, endpoint: str, engine: str) -> Mapping[str, bool] | None:
        """Return what was kept for this store of the conditions at an endpoint; ``None`` if nothing that counts."""
        where = keys.kept_verdict(endpoint, engine)
        blob = self._read(where, MAX_STORE_RECORD)
        try:
            kept = None if blob is None else StoreRecord.from_bytes(blob.data, what=f"{where!r}")
        except (Corrupt, FormatUnsupported):
            return None
        if kept is None or kept.store_id != record.store_id:
            return None
        found = kept.verdict(endpoint, engine)
        return found if found is not None and all(found.values()) else None  # a failure is never kept by a writer

    def keep_verdict(self, record: StoreRecord, endpoint: str, engine: str, held: Mapping[str, bool]) -> None:
        """Keep what was found out about an endpoint, unless this writer may not, or another was first."""
        kept = record.model_copy(update={"probed": {endpoint: dict(held)}, "probed_by": engine})
        with suppress(ArtifactStoreError):  # the next writer finds it out again
            self.replace_raw(keys.kept_verdict(endpoint, engine), None, kept.to_bytes(), limit=MAX_STORE_RECORD)

    def origin(self, manifest: Manifest) -> Origin | None:
        """Return the record that a run was copied here, or ``None``; ``Corrupt`` if it is damaged. One request."""
        return self.origin_at(keys.origin(manifest.key, RunId(manifest.run_id), manifest.digest))

    def origin_at(self, where: str) -> Origin | None:
        """Return the record of origin under a key; as :meth:`origin`."""
        blob = self._read(where, MAX_ORIGIN)
        return None if blob is None else Origin.from_bytes(blob.data, what=f"{where!r}")

    def note(self, where: str) -> Note:
        """Return the note under a key; ``Corrupt`` if it is damaged, ``ObjectNotFound`` without one. One request."""
        blob = self._read(where, MAX_NOTE_BYTES)
        if blob is None:
            raise ObjectNotFound(where)
        return Note.from_bytes(blob.data, what=f"{where!r}")

    def signature(self, manifest: Manifest, key_id: str) -> bytes | None:
        """Return the stored signature of a run by a key, not verified, or ``None``; ``Corrupt`` if it is too large."""
        blob = self._read(signature_key(manifest, key_id), MAX_BUNDLE)
        return None if blob is None else blob.data

    # ------------------------------------------------------------ writing

    def write(
        self,
        document: Manifest | Tombstone | Pointer | HistoryBlock | StoreRecord | Origin | Note,
        *,
        over: Stored[Any] | None,
    ) -> Outcome:
        """Write a document over the one that was seen (``None``: where nothing is), once.

        Exactly one of several concurrent callers that saw the same succeeds. ``WON`` says that ours was in force at
        some moment during the call; it may already have been replaced. A pointer and a mark are known by their write
        id; of any other document, equal bytes that another writer stored count as ours.

        Raises:
            OutcomeUnknown: it may have been in force. Nothing was cleaned up.
        """
        is_ours: Callable[[bytes], bool] | None = None
        if isinstance(document, Pointer):
            is_ours = partial(self._holds, document)
        elif isinstance(document, Tombstone) and document.seal is None:
            is_ours = partial(_marked_by, document)
        body, write_id = document.to_bytes(), getattr(document, "write_id", None)
        where, limit = document.storage_key, MAX_TOMBSTONE  # whatever kind may lie there is read back
        return self.replace_raw(where, over, body, limit=limit, write_id=write_id, is_ours=is_ours)

    def create_signature(
        self, manifest: Manifest, key_id: str, bundle: bytes, *, is_ours: Callable[[bytes], bool]
    ) -> Outcome:
        """Store a signature of a run by a key where there is none yet; ``OutcomeUnknown`` if it may be stored."""
        return self.replace_raw(signature_key(manifest, key_id), None, bundle, limit=MAX_BUNDLE, is_ours=is_ours)

    def create_notice(self, key: str) -> None:
        """Write a notice of the index: its name is its content, and nobody else writes that name."""

        def write() -> None:
            with suppress(PreconditionFailed):  # the echo of our own write, after a lost reply
                self.backend.write(key, b"{}", when=IfAbsent())

        with_retry(write, self.retry)

    def _holds(self, ours: Pointer, data: bytes) -> bool:
        """Tell whether our publish is in the pointer, or in the archive when others have moved far ahead."""
        entries = (found := parse_pointer(data, ours.key, ours.alias)).entries
        if ours.seq <= found.archived:
            block = read_or_none(
                self.backend, keys.history_block(ours.key, ours.alias, block_of(ours.seq)), limit=MAX_BLOCK
            )
            entries = _parse_block(block, ours.key, ours.alias, block_of(ours.seq)).entries
        return any(entry.write_id == ours.write_id for entry in entries)

    # ------------------------------------------------------------ what may be damaged

    def raw(self, key: str, *, limit: int) -> Stored[bytes] | None:
        """Return what is in the place of a document, or ``None``; ``Corrupt`` if it is too large or no object."""
        blob = self._read(key, limit)
        return None if blob is None else Stored(blob.data, blob.version)

    def replace_raw(
        self,
        key: str,
        over: Stored[Any] | None,
        body: bytes,
        *,
        limit: int,
        write_id: str | None = None,
        is_ours: Callable[[bytes], bool] | None = None,
    ) -> Outcome:
        """Write bytes over what was seen (``None``: nothing), once; ``OutcomeUnknown`` if they may be there."""
        seen, retry = None if over is None else over.version, self.retry
        return write_settled(
            self.backend, key, body, over=seen, limit=limit, retry=retry, is_ours=is_ours, write_id=write_id
        )

    # ------------------------------------------------------------ names and objects

    def children(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix, folders with a slash."""
        return self._listed(lambda: list(self.backend.children(prefix)))

    def children_beginning(self, prefix: str, *beginnings: str) -> list[str]:
        """Return the names directly below a prefix that begin with one of these, folders with a slash."""
        return self._listed(lambda: list(self.backend.children_beginning(prefix, *beginnings)))

    def folders_beginning(self, prefix: str, *beginnings: str) -> list[str]:
        """Return the names of the folders directly below a prefix that begin with one of these, without a slash."""
        return self._listed(lambda: list(self.backend.folders_beginning(prefix, *beginnings)))

    def objects(self, prefix: str) -> list[Entry]:
        """Return every object below a prefix."""
        return self._listed(lambda: list(self.backend.list(prefix)))

    def remove(self, key: str) -> None:
        """Remove exactly this object; one that is not there is not an error."""
        with_retry(lambda: self.backend.delete(key), self.retry)

    def _listed(self, read: Callable[[], list[T]]) -> list[T]:
        try:
            return with_retry(read, self.retry)
        except ContainerNotFound:
            if self.backend.makes_root:
                return []
            raise

    def _read(self, key: str, limit: int) -> Blob | None:
        return with_retry(lambda: read_or_none(self.backend, key, limit=limit), self.retry)


def signature_key(manifest: Manifest, key_id: str) -> str:
    """Return where the signature of a run by a key is stored."""
    return keys.signature(manifest.key, RunId(manifest.run_id), manifest.digest, key_id)


def deleted(stone: Tombstone) -> RunDeleted:
    """Return the error for a run of which only a tombstone is left."""
    if stone.manifest is None:
        return RunDeleted(f"{stone}; save under another run id")
    if stone.state == "marked":
        return RunDeleted(f"{stone}; until it is swept, undelete brings it back")
    return RunDeleted(f"{stone}; its files are gone")


def _parse_record(data: bytes, key: ModelKey, run_id: RunId) -> Manifest | Tombstone:
    what = f"{keys.manifest(key, run_id)!r}"
    record = _manifest_or_tombstone(data, what)
    record.check_identity(key, run_id, what)
    return record


def _manifest_or_tombstone(data: bytes, what: str) -> Manifest | Tombstone:
    if len(data) <= MAX_MANIFEST:
        try:
            return Manifest.from_bytes(data, what=what)
        except RunDeleted:  # it says that it is a tombstone
            pass
    return Tombstone.from_bytes(data, what=what)


def _parse_block(
    blob: Blob | None, key: ModelKey, alias: str, last_seq: int, pinned: str | None = None
) -> HistoryBlock:
    """Return the block of this very place from what is stored there, or raise ``Corrupt`` if it is something else."""
    where = keys.history_block(key, alias, last_seq)
    if blob is None:
        raise Corrupt(f"{where!r} is missing from the history of {key}@{alias}", key=where)
    if pinned is not None and sha256(blob.data) != pinned:
        raise Corrupt(
            f"{where!r} is not the history that was archived: it was changed afterwards. Restore it from a copy",
            key=where,
        )
    block = HistoryBlock.from_bytes(blob.data, what=f"{where!r}")
    block.check_identity(key, alias, last_seq, f"{where!r}")
    return block


def parse_pointer(data: bytes, key: ModelKey, alias: str) -> Pointer:
    """Return the pointer of this very alias from its bytes, or raise ``Corrupt`` if they are something else."""
    what = f"{keys.pointer(key, alias)!r}"
    pointer = Pointer.from_bytes(data, what=what)
    pointer.check_identity(key, alias, what)
    return pointer


def _marked_by(ours: Tombstone, data: bytes) -> bool:
    """Tell whether what is stored is our mark, or our mark that another process has sealed since."""
    try:
        return Tombstone.from_bytes(data, what=f"{ours.storage_key!r}").write_id == ours.write_id
    except Corrupt:  # a manifest: the run was brought back
        return False
