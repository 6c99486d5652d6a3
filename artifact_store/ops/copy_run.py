"""Copy a run from one store to another: the same bytes, manifest and signatures, whole or not at all.

The order is that of a save: files, signatures, notes, the record of origin, and then the manifest, create-only, which
commits. What an interrupted copy left is compared and used, so the same call goes on where that one stopped.

Why: docs/decisions/0031-a-run-that-moves-keeps-its-bytes.md
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

from artifact_store.core import keys, symbols
from artifact_store.core.files import Outgoing
from artifact_store.core.manifest import FileEntry, Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.origin import Origin
from artifact_store.core.statement import MAX_BUNDLE
from artifact_store.errors import Corrupt, DigestMismatch, RunExists, RunNotFound
from artifact_store.ops import delete, index, notes, opening, publish, read, resolve, signing
from artifact_store.ops.context import Context
from artifact_store.storage.conditional_write import Outcome
from artifact_store.storage.transfer import Destination, name_taken, upload


def is_there(target: Context, manifest: Manifest) -> bool:
    """Tell whether a store has this very run.

    Raises:
        RunExists: it has another run under this id.
        RunDeleted: it had a run of this id, which was deleted there.
    """
    try:
        stored = target.records.manifest(manifest.key, RunId(manifest.run_id))
    except RunNotFound:
        return False
    if stored.digest != manifest.digest:
        raise another_run(target, manifest)
    return True


def another_run(target: Context, manifest: Manifest) -> RunExists:
    """Return the error for a run of the target that has the id of one that is to be copied."""
    return RunExists(
        f"{target.backend.url} has another run under the id {manifest.label}, which stays as it is; to have both, copy "
        "to another store"
    )


def copy_run(source: Context, target: Context, manifest: Manifest) -> bool:
    """Copy a run of ``source`` that was read there; tell whether there was anything to do.

    Signatures and notes that were made since the run was copied are copied, too.

    Raises:
        SignatureMissing, SignatureInvalid, UntrustedKey: the policy of the source requires a signature.
        DigestMismatch, Corrupt, RunDeleted: the run is damaged, or was deleted; nothing is visible in the target.
        RunExists, RunDeleted: as for :func:`is_there`.
        Conflict: another save left a file where one of this run has to lie.
        OutcomeUnknown: the run may be there.
    """
    signing.check_signed(source, manifest)
    there = is_there(target, manifest)
    _check_symbol(target, manifest.key)
    store_id = opening.ensure_open(target).store_id
    is_own = there and resolve.lives_here(target, manifest, store_id)
    if not there:
        index.announce_save(target, manifest.key, manifest.run_id, target.new_write_id()[:8])
    if not is_own:  # a manifest that came by other hands says nothing about the files beside it
        _copy_files(source, target, manifest, committed=there)
    _copy_signatures(source, target, manifest)
    notes.copy_notes(source, target, manifest)  # before the run is visible: one of them may say that nobody trades it
    if not is_own and manifest.store_id != store_id:
        _record_origin(target, manifest, store_id)
    if there:
        return False
    if publish.commit(target.records, manifest).digest != manifest.digest:
        raise another_run(target, manifest)
    target.opened.models.add(str(manifest.key))
    return True


def _check_symbol(target: Context, key: ModelKey) -> None:
    """Raise ``InvalidName`` if the store has a symbol that Windows would take for this one."""
    if key.symbol is not None and str(key) not in target.opened.models:
        symbols.check_symbol_twin(key.symbol, target.records.children(keys.type_prefix(key.model_type)))


def _copy_files(source: Context, target: Context, manifest: Manifest, *, committed: bool) -> None:
    run_id = RunId(manifest.run_id)
    left = _missing(target, manifest, committed=committed)
    to = Destination(
        manifest.key, run_id, target.new_write_id()[:8], own_id=False, names={entry.path: entry.key for entry in left}
    )
    beside = partial(opening.staging_folder, target)
    plain = [entry for entry in left if entry.zstd is None]
    with (
        read.materialised(source, manifest, plain, in_place=True, copied_to=beside) as folder,
        read.as_stored(source, manifest, [entry for entry in left if entry.zstd is not None], beside) as packed,
    ):
        files = [packed.get(entry.path) or Outgoing(entry.path, folder / entry.path, staged=True) for entry in left]
        stored = upload(target.backend, files, to, workers=target.workers, retry=target.retry, report=target.report)
    if changed := [entry.path for entry, wanted in zip(stored, left, strict=True) if entry != wanted]:
        raise Corrupt(f"{changed[0]} of {manifest.label} was changed while it was copied; copy the run again")


def _missing(target: Context, manifest: Manifest, *, committed: bool) -> Sequence[FileEntry]:
    """Return the files that the target lacks; those that it has are compared, as its own once they are committed."""
    run_id = RunId(manifest.run_id)
    there = {entry.key for entry in delete.run_objects(target, manifest.key, run_id)}

    def is_missing(entry: FileEntry) -> bool:
        key = keys.data_file(manifest.key, run_id, entry.key)
        if key not in there:
            return True
        try:
            read.compare_file(target, read.incoming(manifest, entry), threading.Event())
        except DigestMismatch as error:
            if committed:
                raise
            raise name_taken(key) from error
        return False

    return [entry for entry in manifest.files if is_missing(entry)]


def _copy_signatures(source: Context, target: Context, manifest: Manifest) -> None:
    """Copy the signatures as they are: a reader in the target decides which of them count."""
    for name, data in signing.stored_signatures(source, manifest).items():
        where = keys.data_file(manifest.key, RunId(manifest.run_id), name)
        target.records.replace_raw(where, None, data, limit=MAX_BUNDLE)  # one that is there stays


def _record_origin(target: Context, manifest: Manifest, store_id: str) -> None:
    record = Origin(
        model_type=manifest.model_type,
        symbol=manifest.symbol,
        run_id=manifest.run_id,
        store_id=store_id,
        origin=manifest.store_id,
        manifest_sha256=manifest.digest,
        at=target.now(),
        by=target.actor,
    )
    if target.records.write(record, over=None) is Outcome.LOST:
        found = target.records.origin(manifest)
        if found is None or not found.admits(manifest, store_id):
            raise Corrupt(
                f"{record.storage_key!r} says something else than that {manifest.label} was copied here: it was copied "
                "along with the folder of the run. Remove that file, and copy the run again",
                key=record.storage_key,
            )
