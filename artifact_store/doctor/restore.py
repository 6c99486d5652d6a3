"""Restore what is known byte for byte, and put what is damaged into quarantine without losing a byte of it.

Every write is a compare-and-swap against what was seen, settled by reading it back. What an alias names is never put
into quarantine.
"""

from __future__ import annotations

from collections.abc import Callable

from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.store_record import StoreRecord
from artifact_store.core.tombstone import MAX_QUARANTINE, Tombstone
from artifact_store.errors import ArtifactStoreError, Corrupt
from artifact_store.ops import delete, index
from artifact_store.ops.context import Context
from artifact_store.ops.delete import StepResult
from artifact_store.ops.records import Stored
from artifact_store.storage.conditional_write import Outcome


def restore_run(context: Context, key: ModelKey, run_id: RunId, alias: str) -> StepResult:
    """Bring back a run that is marked as deleted, if the alias still names it."""
    pointer = context.records.pointer(key, alias)
    if pointer is None or pointer.value.run_id != run_id:
        return StepResult("kept", f"{alias} does not name it any more")
    delete.undelete(context, key, run_id)
    return StepResult("restored", f"{alias} names it")


def has_files(context: Context, manifest: Manifest) -> bool:
    """Tell whether all files of a run are there, with their sizes."""
    run_id = RunId(manifest.run_id)
    try:
        found = delete.run_objects(context, manifest.key, run_id)
    except ArtifactStoreError:  # then it is not known, and nothing is offered
        return False
    sizes = {entry.key: entry.size for entry in found}
    return all(
        sizes.get(keys.data_file(manifest.key, run_id, entry.key)) == entry.stored_size for entry in manifest.files
    )


def restore_manifest(context: Context, copy: Manifest, alias: str) -> StepResult:
    """Write a manifest again that is lost or damaged, from the copy in a pointer that names the run by its digest.

    Raises:
        OutcomeUnknown: it may be written.
    """
    key, run_id = copy.key, RunId(copy.run_id)
    pointer = context.records.pointer(key, alias)
    if pointer is None or (pointer.value.run_id, pointer.value.manifest_sha256) != (run_id, copy.digest):
        return StepResult("kept", f"{alias} does not name it any more")
    if not has_files(context, copy):
        return StepResult("kept", "not all of its files are there any more")
    seen = raw(context, keys.manifest(key, run_id))
    if seen is not None and _can_be_read(lambda: context.records.run(key, run_id)):
        return StepResult("kept", "it is not damaged any more")
    index.announce(context, "back", key, run_id, context.new_write_id()[:8])
    outcome = replace(context, keys.manifest(key, run_id), seen, copy.to_bytes(), write_id=copy.write_id)
    return StepResult("restored") if outcome is Outcome.WON else StepResult("kept", "another writer was faster")


def quarantine(context: Context, key: ModelKey, run_id: RunId) -> StepResult:
    """Put a tombstone in the place of a manifest that cannot be read, and keep its bytes inside.

    The pointers are read before and after; if one names the run then, the damaged bytes are put back.

    Raises:
        Corrupt: a pointer cannot be read, so it is not known what it names; or the damaged object is too large.
        OutcomeUnknown: it may be in quarantine.
    """
    place = keys.manifest(key, run_id)
    if aliases := delete.named_by(context, key, run_id):
        return StepResult("kept", f"{', '.join(aliases)} names it")
    seen = raw(context, place)
    if seen is None:
        return StepResult("kept", "it is gone")
    if _can_be_read(lambda: context.records.run(key, run_id)):
        return StepResult("kept", "it is not damaged any more")
    info = context.publish_info("its manifest cannot be read")
    stone = Tombstone.quarantined(key, run_id, seen.value, info)
    index.announce(context, "gone", key, run_id, info.write_id[:8])
    if replace(context, place, seen, stone.to_bytes(), write_id=info.write_id) is Outcome.LOST:
        return StepResult("kept", "another writer was faster")
    if aliases := delete.named_by(context, key, run_id):
        now = raw(context, place)
        if now is not None and now.value == stone.to_bytes():
            replace(context, place, now, seen.value, write_id=info.write_id)
        return StepResult("kept", f"{', '.join(aliases)} names it now")
    return StepResult("quarantined")


def restore_store_record(context: Context, record: StoreRecord) -> StepResult:
    """Write ``_store.json`` again, with the id that all runs of the store have, unless it can be read again.

    Raises:
        OutcomeUnknown: it may be written.
    """
    seen = raw(context, keys.STORE_MARKER)
    if seen is not None and _can_be_read(lambda: StoreRecord.from_bytes(seen.value, what=keys.STORE_MARKER)):
        return StepResult("kept", "it can be read again")
    outcome = replace(context, keys.STORE_MARKER, seen, record.to_bytes(), write_id=record.store_id)
    return StepResult("rebuilt") if outcome is Outcome.WON else StepResult("kept", "another writer was faster")


def raw(context: Context, key: str) -> Stored[bytes] | None:
    """Return the bytes of an object that may be damaged, with their version; ``None`` if it is gone."""
    return context.records.raw(key, limit=MAX_QUARANTINE)


def _can_be_read(read: Callable[[], object]) -> bool:
    try:
        read()
    except Corrupt:
        return False
    return True


def replace(context: Context, key: str, seen: Stored[bytes] | None, body: bytes, *, write_id: str) -> Outcome:
    """Write ``body`` in place of what was ``seen`` there, or of nothing, unless another writer was faster."""
    return context.records.replace_raw(key, seen, body, limit=MAX_QUARANTINE, write_id=write_id)
