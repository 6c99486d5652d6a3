"""Commit a run, and move an alias: the two conditional writes of the protocol.

Commit is the create-only write of the manifest; publish is the compare-and-swap of a pointer. Each ends in one of
three ways: it landed, it was beaten, or that cannot be known (``OutcomeUnknown``). ``FORMAT.md`` has the protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from artifact_store.core import keys
from artifact_store.core.canonical import canonical, sha256
from artifact_store.core.documents import check_readable
from artifact_store.core.errors import (
    ArtifactStoreError,
    ContainerNotFound,
    Corrupt,
    NotFound,
    ObjectNotFound,
    OutcomeUnknown,
    PointerConflict,
    RunDeleted,
    RunExists,
    RunNotFound,
)
from artifact_store.core.keys import ModelKey, RunId
from artifact_store.core.manifest import MAX_MANIFEST, Manifest
from artifact_store.core.pointer import (
    MAX_BLOCK,
    MAX_POINTER,
    Advance,
    HistoryBlock,
    Note,
    Pointer,
    Publish,
    advance,
    block_of,
)
from artifact_store.core.policy import Policy, decide, needs_incumbent
from artifact_store.core.shell import quoted
from artifact_store.core.tombstone import MAX_TOMBSTONE, Tombstone
from artifact_store.ops.context import Context
from artifact_store.storage.base import Backend, IfAbsent, IfVersion, Precondition, Version
from artifact_store.storage.settle import Outcome, Patience, Seen, patiently, settle


@dataclass(frozen=True, slots=True)
class SeenPointer:
    """A pointer as it was read, with the version to swap against; both none where the alias was never published."""

    pointer: Pointer | None = None
    version: Version | None = None

    @property
    def run_id(self) -> str | None:
        """The run that is published, if one is."""
        return None if self.pointer is None else self.pointer.run_id


@dataclass(frozen=True, slots=True)
class SeenRun:
    """What stands in the place of a run's manifest, with the version to swap against."""

    record: Manifest | Tombstone
    version: Version


def read_run(backend: Backend, key: ModelKey, run_id: RunId) -> SeenRun:
    """Return the manifest of a run, or its tombstone.

    Raises:
        RunNotFound: no such run was ever committed.
        Corrupt: what is there is neither, or not that of this run.
    """
    where = keys.manifest(key, run_id)
    try:
        blob = backend.read(where, limit=MAX_TOMBSTONE)
    except (ObjectNotFound, ContainerNotFound) as error:
        if isinstance(error, ContainerNotFound) and not backend.makes_root:
            raise
        raise RunNotFound(
            f"no run {key}:{run_id} was committed in {backend.url}; `artifact-store ls {quoted(str(key))}` lists "
            "those of this model"
        ) from error
    assert blob is not None
    record = _record(blob.data, f"{where!r}")
    record.check_identity(key, run_id, f"{where!r}")
    return SeenRun(record, blob.version)


def _record(data: bytes, what: str) -> Manifest | Tombstone:
    if len(data) <= MAX_MANIFEST:
        try:
            return Manifest.from_bytes(data, what=what)
        except RunDeleted:  # it says that it is a tombstone
            pass
    return Tombstone.from_bytes(data, what=what)


def read_manifest(backend: Backend, key: ModelKey, run_id: RunId) -> Manifest:
    """Return the manifest of a committed run.

    Raises:
        RunNotFound: no such run was committed.
        RunDeleted: it was, and is gone; the text tells since when, by whom, and whether it can come back.
        Corrupt: what is there is not this run's manifest.
    """
    record = read_run(backend, key, run_id).record
    if isinstance(record, Tombstone):
        raise deleted(record)
    return record


def deleted(stone: Tombstone) -> RunDeleted:
    """Return the error for a run of which only a tombstone is left."""
    if stone.manifest is None:
        return RunDeleted(f"{stone}; save under another run id")
    if stone.state == "marked":
        return RunDeleted(f"{stone}; until it is swept, undelete brings it back")
    return RunDeleted(f"{stone}; its files are gone")


def read_pointer(backend: Backend, key: ModelKey, alias: str) -> SeenPointer:
    """Return the pointer of an alias; an empty one where it was never published.

    Raises:
        Corrupt: what is there is not this alias's pointer. Nothing is ever published over it.
    """
    where = keys.pointer(key, alias)
    try:
        blob = backend.read(where, limit=MAX_POINTER)
    except (ObjectNotFound, ContainerNotFound) as error:
        if isinstance(error, ContainerNotFound) and not backend.makes_root:
            raise
        return SeenPointer()
    assert blob is not None
    pointer = Pointer.from_bytes(blob.data, what=f"{where!r}")
    pointer.check_identity(key, alias, f"{where!r}")
    return SeenPointer(pointer, blob.version)


def commit(backend: Backend, manifest: Manifest, patience: Patience) -> Manifest:
    """Write the manifest where none is; from then on the run exists. Return the manifest that is there.

    Where another saver was first with the same files, its manifest is returned: the two saves are one.

    Raises:
        RunExists: another run was committed under this id.
        RunDeleted: this id was used, and its run deleted.
        OutcomeUnknown: the run may be committed.
    """
    where, body = keys.manifest(manifest.key, RunId(manifest.run_id)), manifest.to_bytes()
    check_readable(manifest)

    def look() -> Seen:
        try:
            blob = backend.read(where, limit=MAX_TOMBSTONE)
        except (ObjectNotFound, ContainerNotFound):
            return Seen.AS_BEFORE
        assert blob is not None
        return Seen.OURS if blob.data == body else Seen.FOREIGN

    def send() -> None:
        backend.write(where, body, when=IfAbsent())

    try:
        outcome = settle(send, look, patience=patience, key=where, write_id=manifest.write_id)
    except OutcomeUnknown as error:
        error.run_id = manifest.run_id
        raise
    if outcome is Outcome.WON:
        return manifest
    first = patiently(lambda: read_manifest(backend, manifest.key, RunId(manifest.run_id)), patience)
    if _content(first) != _content(manifest):
        raise RunExists(
            f"another run was committed as {manifest.label}, at {first.created_at:%Y-%m-%d %H:%M:%S} UTC; "
            "it is untouched. Save under another run id, or let the store choose one"
        )
    return first


_INCIDENTAL = frozenset(
    {"write_id", "created_at", "environment", "provenance", "publish", "files", "checksum", "signed_by"}
)


def _content(manifest: Manifest) -> bytes:
    """Return what makes two saves one: the same files, and the same words about them."""
    said = {name: value for name, value in manifest.to_json().items() if name not in _INCIDENTAL}
    files = {entry.path: entry.sha256 for entry in manifest.files if entry.path != keys.METADATA}
    return canonical([said, files])


def swap(backend: Backend, key: ModelKey, alias: str, seen: SeenPointer, step: Advance, patience: Patience) -> Pointer:
    """Replace the pointer that was ``seen`` by ``step.pointer``, once.

    Exactly one of several concurrent callers that saw the same pointer succeeds. On success the returned pointer was
    in force at some moment during the call; it may already have been replaced.

    Raises:
        PointerConflict: another publish came first; ``actual`` is the pointer that is there.
        OutcomeUnknown: the write may have landed and could not be read back.
    """
    if step.block is not None:
        _archive(backend, step.block, patience)
    where, body = keys.pointer(key, alias), step.pointer.to_bytes()
    when: Precondition = IfAbsent() if seen.version is None else IfVersion(seen.version)
    found = seen

    def look() -> Seen:
        nonlocal found
        found = read_pointer(backend, key, alias)
        if found.version == seen.version:
            return Seen.AS_BEFORE
        return Seen.OURS if _holds(backend, key, alias, found, step.pointer) else Seen.FOREIGN

    def send() -> None:
        backend.write(where, body, when=when)

    try:
        outcome = settle(send, look, patience=patience, key=where, write_id=step.pointer.write_id)
    except OutcomeUnknown as error:
        error.run_id = step.pointer.run_id
        raise
    if outcome is Outcome.WON:
        return step.pointer
    raise PointerConflict(
        f"{key}@{alias} moved on to {found.run_id or 'no run'} meanwhile; look at it and decide again",
        actual=found.pointer,
        run_id=step.pointer.run_id,
    )


def _holds(backend: Backend, key: ModelKey, alias: str, found: SeenPointer, ours: Pointer) -> bool:
    """Tell whether our publish is in the pointer, or in the archive when others have moved far ahead."""
    pointer = found.pointer
    if pointer is None:
        return False
    entries = pointer.entries
    if ours.seq <= pointer.archived:
        entries = read_block(backend, key, alias, block_of(ours.seq)).entries
    return any(entry.write_id == ours.write_id for entry in entries)


def _archive(backend: Backend, block: HistoryBlock, patience: Patience) -> None:
    """Write a block of history where it is not yet; it is the same bytes whoever writes it.

    Raises:
        Corrupt: another block is there.
    """
    where = keys.history_block(ModelKey(block.model_type, block.symbol), block.alias, block.last_seq)
    body = block.to_bytes()

    def look() -> Seen:
        try:
            blob = backend.read(where, limit=MAX_BLOCK)
        except ObjectNotFound:
            return Seen.AS_BEFORE
        assert blob is not None
        return Seen.OURS if blob.data == body else Seen.FOREIGN

    def send() -> None:
        backend.write(where, body, when=IfAbsent())

    if settle(send, look, patience=patience, key=where) is Outcome.LOST:
        raise Corrupt(f"{where!r} holds another history than the pointer leads up to; nothing was published", key=where)


def read_block(
    backend: Backend, key: ModelKey, alias: str, last_seq: int, *, pinned: str | None = None
) -> HistoryBlock:
    """Return one block of the archive, whose bytes have to have the sha256 ``pinned`` if there is one.

    Raises:
        Corrupt: it is not there, or not what it should be.
    """
    where = keys.history_block(key, alias, last_seq)
    try:
        blob = backend.read(where, limit=MAX_BLOCK)
    except ObjectNotFound as error:
        raise Corrupt(f"{where!r} is missing from the history of {key}@{alias}", key=where) from error
    assert blob is not None
    if pinned is not None and sha256(blob.data) != pinned:
        raise Corrupt(
            f"{where!r} is not the history that was archived: it was changed afterwards. Restore it from a copy",
            key=where,
        )
    block = HistoryBlock.from_bytes(blob.data, what=f"{where!r}")
    block.check_identity(key, alias, last_seq, f"{where!r}")
    return block


def history(backend: Backend, key: ModelKey, alias: str, seen: SeenPointer) -> list[Publish]:
    """Return every publish of the alias, oldest first, archive included.

    The pointer pins the newest block, and each block the one before it: whoever believes the pointer believes all.
    """
    if seen.pointer is None:
        return []
    entries, pinned = seen.pointer.entries, seen.pointer.archive
    for last_seq in range(seen.pointer.archived, 0, -block_of(1)):
        block = read_block(backend, key, alias, last_seq, pinned=pinned)
        entries, pinned = (*block.entries, *entries), block.previous
    return list(entries)


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of a publish: the pointer that was written, or why none was."""

    pointer: Pointer | None
    refusal: ArtifactStoreError | None


def publish(
    backend: Backend,
    alias: str,
    manifest: Manifest,
    policy: Policy,
    *,
    note: Callable[[], Note],
    patience: Patience,
    seen: SeenPointer | None = None,
) -> Decision:
    """Publish a committed run under ``alias`` as the policy says, against whatever others publish meanwhile.

    The policy is asked again after every genuine conflict. ``seen`` saves the first read.

    Raises:
        OutcomeUnknown: the publish may have landed.
        PointerConflict: others were faster for as long as ``patience`` lasted.
    """
    key = manifest.key
    conflict: PointerConflict | None = None
    mark = note()
    for number in patience.tries():
        if seen is None or number:
            seen = patiently(lambda: read_pointer(backend, key, alias), patience)
        if seen.pointer is not None and mark.write_id in {entry.write_id for entry in seen.pointer.entries}:
            return Decision(seen.pointer, None)
        refusal = decide(policy, manifest, seen.pointer, _incumbent(backend, policy, seen, key))
        if refusal is not None:
            return Decision(None, refusal)
        try:
            return Decision(
                swap(backend, key, alias, seen, advance(seen.pointer, key, alias, manifest, mark), patience), None
            )
        except PointerConflict as error:
            conflict = error
    assert conflict is not None
    conflict.run_id = manifest.run_id
    raise conflict


def _incumbent(backend: Backend, policy: Policy, seen: SeenPointer, key: ModelKey) -> Manifest | None:
    if not needs_incumbent(policy) or seen.pointer is None or seen.pointer.run_id is None:
        return None
    return manifest_of(backend, key, seen.pointer)


def manifest_of(backend: Backend, key: ModelKey, pointer: Pointer) -> Manifest | None:
    """Return the manifest that a pointer names: the copy in it, else the stored one; ``None`` if that is gone."""
    embedded = pointer.embedded(f"the pointer {key}@{pointer.alias}")
    if embedded is not None or pointer.run_id is None:
        return embedded
    try:
        manifest = read_manifest(backend, key, RunId(pointer.run_id))
    except NotFound:
        return None
    if manifest.digest != pointer.manifest_sha256:
        raise other_manifest(manifest, pointer.alias)
    return manifest


def published_manifest(context: Context, key: ModelKey, pointer: Pointer) -> Manifest:
    """Return the manifest of the run that a pointer names.

    Raises:
        RunDeleted: the run is gone.
        Corrupt: its manifest is not the one that was published.
    """
    manifest = patiently(lambda: manifest_of(context.backend, key, pointer), context.patience)
    if manifest is None:
        raise RunDeleted(
            f"{key}@{pointer.alias} names the run {pointer.run_id}, which is gone; "
            "roll the alias back, or promote another run to it"
        )
    return manifest


def other_manifest(manifest: Manifest, alias: str) -> Corrupt:
    """Return the error for a stored manifest that is sound and is not the one that a pointer pins."""
    return Corrupt(f"the manifest of {manifest.label} is not the one that was published as {alias!r}: it was replaced")
