"""The notes about runs: whether each can be read and is about the run that it lies with, and whether that is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from artifact_store.core import keys
from artifact_store.core.note import Note
from artifact_store.doctor.examination import Examination
from artifact_store.errors import ArtifactStoreError, ObjectNotFound
from artifact_store.storage.base import Entry


def examine_notes(
    exam: Examination, entries: Sequence[Entry], digests: Mapping[str, str], known: Collection[str]
) -> None:
    """Report what is wrong with notes, in a store with these runs.

    ``digests`` are those of the manifests of the committed runs by label; ``known`` are the labels of all runs, deleted
    ones included.
    """
    labels = {entry.key: _label(entry.key) for entry in entries}

    def read(where: str) -> Note:
        note = exam.context.records.note(where)
        note.check_about(where, digests.get(labels[where]))
        return note

    for where, note in exam.every(labels, read):
        if not isinstance(note, ArtifactStoreError) or isinstance(note, ObjectNotFound):
            continue  # one that was removed meanwhile says nothing any more
        if not exam.refused(where, note, what="the note"):
            message = f"it may say 'do not trade', so {labels[where]} is not traded: {note}"
            remedy = "restore it from a copy of the store; or remove it, if you know what it said"
            exam.add("error", "note-corrupt", where, message, remedy=remedy)
    for label, count in sorted(Counter(label for label in labels.values() if label not in known).items()):
        message = f"{count} of them, and nothing else is stored of {label}"
        remedy = "restore the run from a copy of the store; or remove them, if nobody needs them"
        exam.add("note", "note-orphan", label, message, remedy=remedy)


def _label(where: str) -> str:
    about = keys.note_of(where)
    assert about is not None
    return f"{about[0]}:{about[1]}"
