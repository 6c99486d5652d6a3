"""Restore what is known byte for byte, and put what is damaged into quarantine without losing a byte of it.

Every write is a compare-and-swap against what was seen, settled by reading it back. What an alias names is never put
into quarantine.
"""

from __future__ import annotations

from artifact_store.core import keys
from artifact_store.core.errors import ArtifactStoreError, ContainerNotFound, Corrupt, ObjectNotFound
from artifact_store.core.keys import ModelKey, RunId
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import Note
from artifact_store.core.tombstone import MAX_QUARANTINE, Tombstone
from artifact_store.ops import deletion, publish
from artifact_store.ops.context import Context
from artifact_store.ops.deletion import Ending
from artifact_store.ops.marker import StoreRecord
from artifact_store.ops.publish import SeenRun
from artifact_store.storage.base import Blob, IfAbsent, IfVersion, Precondition
from artifact_store.storage.settle import Outcome, Seen, patiently, settle


def undelete(context: Context, key: ModelKey, run_id: RunId, alias: str) -> Ending:
    """Bring back a run that is marked as deleted, if the alias still names it."""
    pointer = patiently(lambda: publish.read_pointer(context.backend, key, alias), context.patience).pointer
    if pointer is None or pointer.run_id != run_id:
        return Ending("kept", f"{alias} does not name it any more")
    deletion.undelete(context, key, run_id)
    return Ending("restored", f"{alias} names it")


def has_files(context: Context, manifest: Manifest) -> bool:
    """Tell whether all files of a run are there, with their sizes."""
    run_id = RunId(manifest.run_id)
    try:
        found = deletion.objects(context, manifest.key, run_id)
    except ArtifactStoreError:  # then it is not known, and nothing is offered
        return False
    sizes = {entry.key: entry.size for entry in found}
    return all(sizes.get(keys.data_file(manifest.key, run_id, entry.key)) == entry.size for entry in manifest.files)


def manifest(context: Context, copy: Manifest, alias: str) -> Ending:
    """Write a manifest again that is lost or damaged, from the copy in a pointer that names the run by its digest.

    Raises:
        OutcomeUnknown: it may be written.
    """
    key, run_id = copy.key, RunId(copy.run_id)
    pointer = patiently(lambda: publish.read_pointer(context.backend, key, alias), context.patience).pointer
    if pointer is None or (pointer.run_id, pointer.manifest_sha256) != (run_id, copy.digest):
        return Ending("kept", f"{alias} does not name it any more")
    if not has_files(context, copy):
        return Ending("kept", "not all of its files are there any more")
    seen = raw(context, keys.manifest(key, run_id))
    if seen is not None and _record(context, key, run_id) is not None:
        return Ending("kept", "it is not damaged any more")
    outcome = replace(context, keys.manifest(key, run_id), seen, copy.to_bytes(), write_id=copy.write_id)
    return Ending("restored") if outcome is Outcome.WON else Ending("kept", "another writer was faster")


def quarantine(context: Context, key: ModelKey, run_id: RunId) -> Ending:
    """Put a tombstone in the place of a manifest that cannot be read, and keep its bytes inside.

    The pointers are read before and after; if one names the run then, the damaged bytes are put back.

    Raises:
        Corrupt: a pointer cannot be read, so it is not known what it names; or the damaged object is too large.
        OutcomeUnknown: it may be in quarantine.
    """
    place = keys.manifest(key, run_id)
    if aliases := deletion.named_by(context, key, run_id):
        return Ending("kept", f"{', '.join(aliases)} names it")
    seen = raw(context, place)
    if seen is None or _record(context, key, run_id) is not None:
        return Ending("kept", "it is not damaged any more" if seen is not None else "it is gone")
    note = Note(context.new_write_id(), context.now(), context.actor, "its manifest cannot be read")
    stone = Tombstone.quarantined(key, run_id, seen.data, note)
    if replace(context, place, seen, stone.to_bytes(), write_id=note.write_id) is Outcome.LOST:
        return Ending("kept", "another writer was faster")
    if aliases := deletion.named_by(context, key, run_id):
        now = raw(context, place)
        if now is not None and now.data == stone.to_bytes():
            replace(context, place, now, seen.data, write_id=note.write_id)
        return Ending("kept", f"{', '.join(aliases)} names it now")
    return Ending("quarantined")


def marker(context: Context, record: StoreRecord) -> Ending:
    """Write ``_store.json`` again, with the id that all runs of the store have, unless it can be read again.

    Raises:
        OutcomeUnknown: it may be written.
    """
    seen = raw(context, keys.STORE_MARKER)
    if seen is not None:
        try:
            StoreRecord.from_bytes(seen.data, what=keys.STORE_MARKER)
        except Corrupt:
            pass
        else:
            return Ending("kept", "it can be read again")
    outcome = replace(context, keys.STORE_MARKER, seen, record.to_bytes(), write_id=record.store_id)
    return Ending("rebuilt") if outcome is Outcome.WON else Ending("kept", "another writer was faster")


def raw(context: Context, key: str, limit: int = MAX_QUARANTINE) -> Blob | None:
    """Return the bytes of an object that may be damaged, with their version; ``None`` if it is gone."""

    def read() -> Blob | None:
        try:
            return context.backend.read(key, limit=limit)
        except (ObjectNotFound, ContainerNotFound):
            return None

    return patiently(read, context.patience)


def _record(context: Context, key: ModelKey, run_id: RunId) -> SeenRun | None:
    """Return what is in the place of the manifest, or ``None`` if it cannot be read."""
    try:
        return patiently(lambda: publish.read_run(context.backend, key, run_id), context.patience)
    except Corrupt:
        return None


def replace(context: Context, key: str, seen: Blob | None, body: bytes, *, write_id: str) -> Outcome:
    """Write ``body`` in place of what was ``seen`` there, or of nothing, unless another writer was faster."""
    when: Precondition = IfAbsent() if seen is None else IfVersion(seen.version)

    def find() -> Seen:
        found = raw(context, key)
        if found is not None and found.data == body:
            return Seen.OURS
        same = found is seen if found is None or seen is None else found.version == seen.version
        return Seen.AS_BEFORE if same else Seen.FOREIGN

    def send() -> None:
        context.backend.write(key, body, when=when)

    return settle(send, find, patience=context.patience, key=key, write_id=write_id)
