"""Notes about runs, written after saving: add one, read those of a run, copy them, clear those of a run that is gone.

Each is an object of its own below ``_notes/``, created once under a name that nobody else uses, so writers need not
know of each other, and a run and its manifest are never touched. Owns when notes are written, read and removed; what
they say together is in ``core``.

Why: docs/decisions/0034-notes-outside-of-runs.md
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from artifact_store.core import keys
from artifact_store.core.documents import check_writable
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.note import MAX_NOTE_BYTES, Note, RunNotes
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Conflict,
    InvalidOption,
    RunNotFound,
    Unavailable,
    Untrusted,
)
from artifact_store.ops import opening, resolve
from artifact_store.ops.context import Context
from artifact_store.ops.delete import StepResult
from artifact_store.storage.conditional_write import Outcome


def annotate(context: Context, manifest: Manifest, said: Mapping[str, Any], *, lift: bool = False) -> Note:
    """Write a note about a run of this store, signed where there is a signer, and return it.

    With ``lift`` it lifts the marks that are in force now.

    Raises:
        InvalidOption: it says nothing, or cannot be stored; or there is no mark to lift.
        RunNotFound, RunDeleted: the run is not there (any more).
        Conflict: it is a run of another store, or another run has its id.
        Corrupt, Unsupported: a note that may be a mark cannot be read, so that not all could be lifted.
        OutcomeUnknown: the note may be stored.
    """
    key, run_id = manifest.key, RunId(manifest.run_id)
    info = context.publish_info()
    fields = {
        "model_type": manifest.model_type,
        "symbol": manifest.symbol,
        "run_id": manifest.run_id,
        "manifest_sha256": manifest.digest,
        "write_id": info.write_id,
        "at": info.at,
        "by": info.by,
        **said,
    }
    check_writable(Note, fields, "this note")
    opening.ensure_open_existing(context)
    resolve.check_lives_here(context, manifest)
    if context.records.manifest(key, run_id).digest != manifest.digest:
        raise Conflict(f"{manifest.label} of {context.backend.url} is another run than the one that was given")
    if lift:
        found = read_notes(context, manifest)
        for problem in found.problems:
            if not isinstance(problem.error, Untrusted):
                raise problem.error  # it may be a mark, and would stay
        fields["lifts"] = [mark.write_id for mark in found.marks]
        if not fields["lifts"]:
            raise InvalidOption(f"{manifest.label} has no mark 'do not trade' that could be lifted")
    note = Note(**fields)
    if context.signer is not None:
        note = note.announced(context.signer.key_id)
        note = note.signed(context.signer.sign(note.signed_message()))
    if context.records.write(note, over=None) is Outcome.LOST:
        raise Conflict(f"{note.storage_key!r} holds something else than this note, which was not written: try again")
    return note


def read_notes(context: Context, manifest: Manifest) -> RunNotes:
    """Return what was noted about a run: one listing, and one request for each note.

    What is wrong with a note is in the answer.

    Raises:
        Unavailable, AccessDenied: the storage does not answer.
    """
    prefix = keys.notes_prefix(manifest.key, RunId(manifest.run_id))
    names = [entry.key for entry in context.records.objects(prefix) if keys.note_of(entry.key) is not None]

    def one(where: str) -> Note | ArtifactStoreError:
        try:
            return stored_note(context, where, manifest)
        except (Unavailable, AccessDenied):
            raise
        except ArtifactStoreError as error:
            return error

    with closing(context.workers.ahead(names, one, at_once=context.records.at_once)) as found:
        return RunNotes.of(manifest.label, [(where, note.result()) for where, note in found], context.policy)


def stored_note(context: Context, where: str, manifest: Manifest) -> Note:
    """Return the note under a key; ``Corrupt`` or ``Unsupported`` unless it is one about this very run."""
    note = context.records.note(where)
    note.check_about(where, manifest.digest)
    return note


def runs_with_notes(context: Context, key: ModelKey) -> frozenset[RunId]:
    """Return the runs of a model about which there are notes, by one listing."""
    found = (keys.note_of(entry.key) for entry in context.records.objects(keys.notes_of_model(key)))
    return frozenset(run_id for model, run_id, _ in filter(None, found) if model == key)


# ---------------------------------------------------------------- copies


def stored_notes(context: Context, manifest: Manifest) -> dict[str, bytes]:
    """Return every note about a run by its key, as it is stored: a reader decides which of them count."""
    prefix = keys.notes_prefix(manifest.key, RunId(manifest.run_id))
    found = {}
    for entry in context.records.objects(prefix):
        if keys.note_of(entry.key) is not None:
            raw = context.records.raw(entry.key, limit=MAX_NOTE_BYTES)
            if raw is not None:
                found[entry.key] = raw.value
    return found


def copy_notes(source: Context, target: Context, manifest: Manifest) -> None:
    """Copy the notes about a run, byte for byte; those that are there stay.

    Raises:
        Conflict: the target has something else under the name of one.
        OutcomeUnknown: one may be there.
    """
    for where, data in stored_notes(source, manifest).items():
        if target.records.replace_raw(where, None, data, limit=MAX_NOTE_BYTES) is Outcome.LOST:
            raise Conflict(
                f"{where!r} of {target.backend.url} is not the note of that name in {source.backend.url}: one of the "
                "two was changed. Find out which, remove it, and copy the run again"
            )


# ---------------------------------------------------------------- what is left of a run that is gone


def clear_notes(context: Context, key: ModelKey, run_id: RunId) -> StepResult:
    """Remove the notes about a run that can never come back: its tombstone is sealed."""
    try:
        record = context.records.run(key, run_id).value
    except RunNotFound:
        return StepResult("kept", "nothing says that the run was deleted")
    if not isinstance(record, Tombstone) or record.state != "sealed":
        return StepResult("kept", "the run is there, or can be brought back")
    for entry in context.records.objects(keys.notes_prefix(key, run_id)):
        if keys.note_of(entry.key) is not None:
            context.records.remove(entry.key)
    return StepResult("cleared")
