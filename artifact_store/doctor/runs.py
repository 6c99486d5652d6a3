"""The runs of a model: saves that were cut short, damaged manifests, files that are missing or wrong, tombstones.

One manifest is read for each run; sizes come from the listing. Before a run is reported, it is listed once more, since
it may have been changed meanwhile. Of each run a few words are kept, for the examination of the aliases, and not its
manifest, whatever was saved in it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from artifact_store.core import keys
from artifact_store.core.index_rows import Row
from artifact_store.core.manifest import FileEntry, Manifest
from artifact_store.core.names import RunId
from artifact_store.core.tombstone import Tombstone
from artifact_store.doctor.examination import Examination, shown
from artifact_store.doctor.files import StoredFile
from artifact_store.doctor.objects import UNKNOWN_SIZE, ModelObjects
from artifact_store.doctor.report import COPY
from artifact_store.errors import ArtifactStoreError, Corrupt, NotFound, RunNotFound
from artifact_store.ops import delete
from artifact_store.ops.gc import RunObjects
from artifact_store.ops.plan import PlanStep
from artifact_store.storage.base import Entry

_RESTORE = f"{COPY}; or roll the alias back and delete the run"
_MANIFEST = (
    "restore its manifest from a copy of the store; without a copy, "
    "`artifact-store doctor --repair --quarantine --apply` takes the run out of the way"
)


@dataclass(frozen=True, slots=True)
class CommittedRun:
    """What is kept of a committed run that was examined."""

    label: str
    run_id: RunId
    store_id: str
    digest: str
    listed: str
    """The fingerprint of its row in the index."""
    created_at: datetime
    awaited: str | None
    """The alias that it was saved to be published as at once, if it was."""
    origin: str | None
    """Where the record lies that it was copied here, if there is one."""

    @classmethod
    def of(cls, manifest: Manifest, group: RunObjects) -> CommittedRun:
        """Return what is kept of this one."""
        origin = keys.origin(manifest.key, group.run_id, manifest.digest)
        awaited = sys.intern(manifest.publish.alias) if manifest.publish.policy == "always" else None
        store_id, run_id = sys.intern(manifest.store_id), RunId(manifest.run_id)
        listed, found = Row.of(manifest).fingerprint, any(entry.key == origin for entry in group.others)
        at = manifest.created_at
        return cls(manifest.label, run_id, store_id, manifest.digest, listed, at, awaited, origin if found else None)


@dataclass
class ModelRuns:
    """What is known of the runs of a model."""

    committed: dict[RunId, CommittedRun] = field(default_factory=dict)
    """Oldest first."""
    damaged: dict[RunId, RunObjects] = field(default_factory=dict)
    """Those whose manifest is there and cannot be read."""
    files: list[StoredFile] = field(default_factory=list)
    """Those of the committed runs, where they are to be read."""


def examine_runs(exam: Examination, model: ModelObjects) -> ModelRuns:
    """Examine every run of a model, and report what is wrong with each."""
    found = ModelRuns()

    def read(group: RunObjects) -> Manifest | Tombstone:
        if group.manifest is None:
            raise RunNotFound(group.label)
        return exam.context.records.run(group.key, group.run_id).value

    for group, record in exam.every(model.groups, read):
        if isinstance(record, Manifest):
            found.committed[group.run_id] = CommittedRun.of(record, group)
            found.files += StoredFile.of(record) if exam.options.deep else ()
            _committed(exam, group, record)
        elif isinstance(record, Tombstone):
            _deleted(exam, group, record)
        elif isinstance(record, NotFound):
            _torn(exam, group)
        elif not exam.refused(group.label, record, what="the manifest"):
            exam.add("error", "manifest-corrupt", group.label, str(record), remedy=_MANIFEST)
            if isinstance(record, Corrupt):
                found.damaged[group.run_id] = group
    return found


# ---------------------------------------------------------------- what was never committed


def _torn(exam: Examination, group: RunObjects) -> None:
    newest = max(entry.modified for entry in group.entries)
    when = f"the newest is of {newest:%Y-%m-%d %H:%M:%S} UTC"
    if exam.young(newest):
        exam.add("note", "save-in-progress", group.label, f"{_count(group.entries)} without a manifest; {when}")
        return
    message = f"{_count(group.entries)} of a save that was never committed; {when}"
    clear = PlanStep(group.label, "clear", message, _size(group.entries), group.key, group.run_id)
    exam.add_for_gc("warning", "torn-run", clear)


# ---------------------------------------------------------------- committed runs


def _committed(exam: Examination, group: RunObjects, manifest: Manifest) -> None:
    if _wrong(group, manifest):
        group = _again(exam, group)
        now = exam.ask(lambda: exam.context.records.run(group.key, group.run_id).value)
        if isinstance(now, Tombstone):
            return  # it was deleted meanwhile, and its files are being removed
    for entry, found in _wrong(group, manifest):
        where = keys.below(group.label, entry.path)
        if found is None:
            message = f"the file of {entry.stored_size:,} bytes is not there ({_key(group, entry)})"
            exam.add("error", "file-missing", where, message, remedy=_RESTORE)
        else:
            message = f"the file has {found:,} bytes, and {entry.stored_size:,} were stored ({_key(group, entry)})"
            exam.add("error", "file-size", where, message, remedy=_RESTORE)
    for name, other in group.strays(manifest):
        _stray(exam, group, manifest, other, name)


def _wrong(group: RunObjects, manifest: Manifest) -> list[tuple[FileEntry, int | None]]:
    """Return the files that the listing shows with another size, or does not show."""
    wrong = []
    for entry in manifest.files:
        stored = group.named.get(entry.key)
        if stored is None or stored.size not in {entry.stored_size, UNKNOWN_SIZE}:
            wrong.append((entry, None if stored is None else stored.size))
    return wrong


def _again(exam: Examination, group: RunObjects) -> RunObjects:
    """Return the run as it is listed now: it may have been committed while the store was listed."""
    found = exam.ask(lambda: delete.run_objects(exam.context, group.key, group.run_id))
    return group if isinstance(found, ArtifactStoreError) or not found else RunObjects(group.key, group.run_id, found)


def _key(group: RunObjects, entry: FileEntry) -> str:
    return keys.data_file(group.key, group.run_id, entry.key)


def _stray(exam: Examination, group: RunObjects, manifest: Manifest, other: Entry, name: str) -> None:
    if not (name.startswith(keys.SIGNATURES) or any(keys.may_be_of(name, entry.path) for entry in manifest.files)):
        message = f"{other.size:,} bytes below the run {group.label}, which has no such file"
        remedy = "move it away if it is yours; `artifact-store gc --apply` removes it after the grace period"
        exam.add("warning", "unlisted-file", other.key, message, remedy=remedy)
        return
    message = f"left over from another save under the id of {group.label}, which lost to this run"
    if exam.young(other.modified):
        message += ", if it is not still under way"
        remedy = f"gc clears it from {other.modified + exam.options.grace:%Y-%m-%d %H:%M:%S} UTC"
        exam.add("note", "orphan-attempt", other.key, message, remedy=remedy)
        return
    clear = PlanStep(other.key, "clear", message, other.size, group.key, group.run_id)
    exam.add_for_gc("warning", "orphan-attempt", clear)


# ---------------------------------------------------------------- deleted runs


def _deleted(exam: Examination, group: RunObjects, stone: Tombstone) -> None:
    if stone.state == "marked":
        if not exam.young(group.modified):
            message = f"it was {stone.summary}, and its files ({_size(group.others):,} bytes) can go"
            exam.add("note", "sweep-due", group.label, message, remedy=exam.gc_command)
    elif group.others and stone.quarantine is not None:
        message = f"it was {stone.summary}; the damaged bytes are in its tombstone, {_count(group.others)} beside it"
        remedy = "`artifact-store gc --apply`, after the grace period"
        exam.add("note", "quarantined", group.label, message, remedy=remedy)
    elif group.others:
        names = shown([entry.key.rpartition("/")[2] for entry in group.others])
        message = (
            f"it is sealed, and {_count(group.others)} are still there ({names}): a sweep was cut short, or a save late"
        )
        sweep = PlanStep(group.label, "sweep", message, _size(group.others), group.key, group.run_id)
        exam.add_for_gc("warning", "sweep-unfinished", sweep)


def _count(entries: Sequence[Entry]) -> str:
    amount = len(entries)
    return f"{amount} file{'s' * (amount != 1)}"


def _size(entries: Sequence[Entry]) -> int:
    return sum(max(entry.size, 0) for entry in entries)
