"""The aliases of a model: is each pointer readable, does it name a run that is there, and is its history whole?

What looks wrong is read once more before it is reported, since aliases move during an examination.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import BLOCK, HistoryBlock, Pointer, Publish
from artifact_store.core.shell import quoted
from artifact_store.core.tombstone import Tombstone
from artifact_store.doctor import rebuild, restore
from artifact_store.doctor.examination import Examination, shown
from artifact_store.doctor.objects import ModelObjects
from artifact_store.doctor.rebuild import Recovery
from artifact_store.doctor.report import BY_REPAIR, COPY, Repair
from artifact_store.doctor.runs import ModelRuns
from artifact_store.errors import ArtifactStoreError, Corrupt, NotFound, ObjectNotFound
from artifact_store.ops import publish
from artifact_store.ops.delete import StepResult

_PUBLISHING: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Alias:
    """One alias of a model, under examination."""

    key: ModelKey
    name: str
    blocks: frozenset[int]

    @property
    def ref(self) -> str:
        """``type/symbol@alias``, as references are written."""
        return f"{self.key}@{self.name}"

    def block(self, last_seq: int) -> str:
        """Return the key of one block of its archive."""
        return keys.history_block(self.key, self.name, last_seq)


def examine_aliases(exam: Examination, model: ModelObjects, records: ModelRuns) -> None:
    """Examine every alias of a model, and report what is wrong with each."""
    names = sorted({*model.aliases, *model.blocks})
    aliases = [Alias(model.key, name, frozenset(model.blocks.get(name, ()))) for name in names]
    pointers: dict[Alias, Pointer] = {}
    complete = True
    for alias, seen in exam.every(aliases, partial(_read, exam)):
        if isinstance(seen, ObjectNotFound):
            if alias.blocks:  # else it was listed and is gone again: nothing that a store does, and nothing is left
                complete = False
                message = f"the archive of its history goes to seq {max(alias.blocks)}, and the pointer is missing: "
                _report(exam, alias, "pointer-missing", f"{message}it was removed")
        elif isinstance(seen, ArtifactStoreError):
            complete = False
            if not exam.refused(alias.ref, seen, what="the pointer"):
                _report(exam, alias, "pointer-corrupt", str(seen))
        else:
            pointers[alias] = seen
    for alias, pointer in pointers.items():
        _archive(exam, alias, pointer)
        _named(exam, alias, pointer, records)
    _never_published(exam, model, records, {*names})
    _offer_quarantine(exam, records, pointers.values(), complete=complete)


def _read(exam: Examination, alias: Alias) -> Pointer:
    seen = exam.context.records.pointer(alias.key, alias.name)
    if seen is None:
        raise ObjectNotFound(keys.pointer(alias.key, alias.name))
    seen.value.embedded(f"the pointer {alias.ref}")
    return seen.value


# ---------------------------------------------------------------- pointers that are not there, or cannot be read


def _report(exam: Examination, alias: Alias, code: str, message: str) -> None:
    """Report it, with the offer to rebuild the pointer: at once where it is known what it named, else with a choice."""
    found = exam.ask(lambda: rebuild.find_recovery(exam.context, alias.key, alias.name))
    if found is None:
        again = exam.ask(lambda: _read(exam, alias))
        if isinstance(again, ArtifactStoreError):  # the pointer is whole, and what it names is not
            exam.add("error", code, alias.ref, str(again), remedy=f"promote a run to it, or {COPY}")
        return
    stuck = f". Until then no run of {alias.key.display_name} can be deleted" if code == "pointer-corrupt" else ""
    move_away = ", or move it away if it never was the pointer of an alias"
    if isinstance(found, ArtifactStoreError):
        cause = "" if str(found) == message else f". What it named is not known: {found}"
        exam.add("error", code, alias.ref, f"{message}{cause}{stuck}", remedy=f"{COPY}{move_away}")
        return
    if found.question:
        example = f"`artifact-store doctor --repair --apply --to {quoted(f'{alias.key}:RUN_ID')}`"
        remedy = f"choose the run that it is to name: {example} ({found.question}), or {COPY}"
    else:
        remedy = f"{BY_REPAIR} ({found.message}), or {COPY}"
    remedy += "" if found.is_known else move_away
    exam.add("error", code, alias.ref, f"{message}{stuck}", remedy=remedy, repair=_rebuilding(exam, alias, found))


def _rebuilding(exam: Examination, alias: Alias, found: Recovery, *, to: Manifest | None = None) -> Repair:
    """Return the repair that rebuilds a pointer; with ``to`` it names the run that a person has chosen."""

    def carry_out(_: datetime) -> StepResult:
        return rebuild.rebuild(exam.context, alias.key, alias.name, to=to)

    def choose(run: Manifest) -> Repair:
        return _rebuilding(exam, alias, replace(found, run=run, reason="chosen by hand", question=""), to=run)

    return Repair("rebuild", found.message, carry_out, question=found.question, choose=choose)


# ---------------------------------------------------------------- the history


def _archive(exam: Examination, alias: Alias, pointer: Pointer) -> None:
    """Compare the archive with what the pointer says that it holds."""
    expected = set(range(BLOCK, pointer.archived + 1, BLOCK))
    ahead = {last_seq for last_seq in alias.blocks if last_seq > pointer.archived}
    known: list[Publish] = list(pointer.entries)
    damaged = False
    read = partial(exam.context.records.block, alias.key, alias.name)
    for last_seq, block in exam.every(sorted(alias.blocks | expected), read):
        if isinstance(block, ArtifactStoreError):
            damaged = True
            _broken_block(exam, alias, last_seq, block, expected=last_seq in expected)
        elif last_seq in expected:
            known += block.entries
        else:
            damaged = _is_ahead(exam, alias, pointer, block) or damaged
    if not damaged and len({entry.write_id for entry in known}) != len(known) and not ahead:
        message = "the same publish is in the history more than once"
        exam.add("error", "history-corrupt", alias.ref, message, remedy=COPY)


def _broken_block(exam: Examination, alias: Alias, last_seq: int, error: ArtifactStoreError, *, expected: bool) -> None:
    where = alias.block(last_seq)
    if exam.refused(where, error, what="the block"):
        return
    remedy = f"{COPY}; the alias serves what it names, and its history and its rollbacks end there"
    if last_seq not in alias.blocks:
        message = f"the publishes {last_seq - BLOCK + 1} to {last_seq} of {alias.ref} are missing from the archive"
        exam.add("error", "history-gap", where, message, remedy=remedy)
    else:
        effect = "" if expected else ": no publish can be archived over it, so the alias cannot be published again"
        exam.add("error", "history-corrupt", where, f"{error}{effect}", remedy=remedy)


def _is_ahead(exam: Examination, alias: Alias, pointer: Pointer, block: HistoryBlock) -> bool:
    """Report a block that the pointer does not know of, and return whether it is wrong.

    It is not where a publisher crashed after it had written the block.
    """
    where = alias.block(block.last_seq)
    if block.entries == pointer.entries[:BLOCK]:
        return False
    if block.last_seq > pointer.seq:
        fresh = exam.ask(lambda: _read(exam, alias))
        if isinstance(fresh, Pointer) and fresh.seq >= block.last_seq:
            return False  # the alias has moved meanwhile
        if block.last_seq < max(alias.blocks):
            return True  # reported with the last one
        message = (
            f"{where} ends at seq {block.last_seq}, and the pointer is at {pointer.seq}: an older pointer was "
            "restored, which may name an older run"
        )
        remedy = "find out who restored it; restore the later pointer from a copy of the store"
        exam.add("error", "pointer-behind-history", alias.ref, message, remedy=remedy)
    else:
        message = "it contradicts the history of the pointer, so the next publish cannot be archived"
        remedy = "find out which of the two is right; remove the other"
        exam.add("error", "history-corrupt", where, message, remedy=remedy)
    return True


# ---------------------------------------------------------------- what it names


def _named(exam: Examination, alias: Alias, pointer: Pointer, records: ModelRuns) -> None:
    """Report a run that an alias names and that is missing, after both were read once more: the alias last.

    A run may go as soon as no alias names it; one that was gone before its alias was read is missing.
    """
    if pointer.run_id is None:
        return
    run_id = RunId(pointer.run_id)
    record = records.committed.get(run_id)
    if record is not None and record.digest == pointer.manifest_sha256:
        return
    now = exam.ask(lambda: exam.context.records.run(alias.key, run_id).value)
    fresh = exam.ask(lambda: _read(exam, alias))
    if not isinstance(fresh, Pointer) or fresh.run_id != run_id:
        return  # it has moved meanwhile
    if isinstance(now, Manifest) and now.digest != fresh.manifest_sha256:
        _other_manifest(exam, alias, fresh, now)
    elif isinstance(now, Tombstone):
        _deleted(exam, alias, now)
    elif isinstance(now, NotFound | Corrupt):
        _lost(exam, alias, fresh, missing=isinstance(now, NotFound))


def _other_manifest(exam: Examination, alias: Alias, pointer: Pointer, manifest: Manifest) -> None:
    message = (
        f"{publish.other_manifest(manifest, alias.name)} (sha256 {manifest.digest[:16]}, published was "
        f"{(pointer.manifest_sha256 or '')[:16]})"
    )
    remedy = f"artifact-store rollback {quoted(alias.ref)}"
    exam.add("error", "pointer-other-manifest", alias.ref, message, remedy=remedy)


def _deleted(exam: Examination, alias: Alias, stone: Tombstone) -> None:
    if stone.state == "sealed":
        message = f"it names {stone.run_id}, which was {stone.summary} and is gone"
        exam.add("error", "pointer-dangling", alias.ref, message, remedy=f"artifact-store rollback {quoted(alias.ref)}")
        return
    exam.withdraw("sweep-due", stone.label)  # gc brings it back as well
    message = (
        f"it names {stone.run_id}, which was {stone.summary}: a promotion or a deletion crashed before it was complete"
    )
    run_id, remedy = RunId(stone.run_id), f"artifact-store undelete {quoted(stone.label)}"
    repair = Repair("restore", message, lambda _: restore.restore_run(exam.context, alias.key, run_id, alias.name))
    exam.add("error", "pointer-names-deleted", alias.ref, message, remedy=remedy, repair=repair)


def _lost(exam: Examination, alias: Alias, pointer: Pointer, *, missing: bool) -> None:
    """Report a run without a readable manifest; the copy in the pointer restores it if its files are there."""
    run_id = RunId(pointer.run_id or "")
    copy = pointer.embedded(f"the pointer {alias.ref}")
    repair, remedy = None, f"artifact-store rollback {quoted(alias.ref)}"
    if copy is not None and restore.has_files(exam.context, copy):
        reason = "the pointer has a copy of the manifest, and all files are there"
        repair = Repair("restore", reason, lambda _: restore.restore_manifest(exam.context, copy, alias.name))
        remedy = f"{BY_REPAIR}: {reason}"
    label = f"{alias.key}:{run_id}"
    if missing:
        exam.withdraw("torn-run", label)
        exam.withdraw("save-in-progress", label)
        message = f"it names {run_id}, which has no manifest"
        exam.add("error", "pointer-dangling", alias.ref, message, remedy=remedy, repair=repair)
    else:
        message = exam.withdraw("manifest-corrupt", label) or "its manifest is damaged"
        exam.add("error", "manifest-corrupt", label, f"{message}; {alias.ref} names it", remedy=remedy, repair=repair)


def _never_published(exam: Examination, model: ModelObjects, records: ModelRuns, names: set[str]) -> None:
    """Report runs that were saved to be published at once, under an alias that does not exist."""
    waiting: dict[str, list[str]] = {}
    if exam.context.backend.read_only:
        return  # an old tree has no publishes
    for run in records.committed.values():
        if run.awaited is not None and run.awaited not in names and exam.now - run.created_at > _PUBLISHING:
            waiting.setdefault(run.awaited, []).append(run.run_id)
    for alias, run_ids in sorted(waiting.items()):
        message = (
            f"{shown(run_ids)} {'was' if len(run_ids) == 1 else 'were'} saved to be published as {alias!r}, which was "
            "never published or has lost its pointer"
        )
        remedy = f"artifact-store promote {quoted(f'{model.key}:{run_ids[-1]}')} {alias}"
        exam.add("warning", "never-published", f"{model.key}@{alias}", message, remedy=remedy)


def _offer_quarantine(exam: Examination, records: ModelRuns, pointers: Iterable[Pointer], *, complete: bool) -> None:
    """Offer quarantine for damaged runs that no alias names, if it is known what all aliases name."""
    named = {pointer.run_id for pointer in pointers}
    for run_id, group in records.damaged.items():
        if complete and run_id not in named:
            reason = "it cannot be loaded, and no alias names it; the damaged bytes stay in its tombstone"
            carry_out = partial(restore.quarantine, exam.context, group.key, run_id)
            repair = Repair("quarantine", reason, lambda _, do=carry_out: do(), only_if_asked=True)  # type: ignore[misc]
            exam.offer("manifest-corrupt", group.label, repair)
