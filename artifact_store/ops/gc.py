"""``gc``: find what was never committed and what was deleted long enough ago, in one listing of the store.

Committed runs are never touched here. Every age is compared with the storage's own clock when it counts, at the time
of the change; a plan goes by the clock of its client. Only keys that a listing showed are ever removed, and only those
that a store itself would write: what else lies below the root is not ours. Temporary files need not be old if their
process is known to be gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Final

from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.outline import Outline
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import AccessDenied, ArtifactStoreError, Unavailable, Unsupported
from artifact_store.ops import delete, index_writing, listing, notes, opening, probe
from artifact_store.ops.context import Context
from artifact_store.ops.delete import StepResult, duration_text
from artifact_store.ops.plan import Action, CarryOut, Plan, PlanStep, one_by_one
from artifact_store.ops.prune import check_span
from artifact_store.problems import Problem
from artifact_store.storage.base import Entry, Unfinished
from artifact_store.storage.owned_folder import remove_leftover
from artifact_store.storage.retry import with_retry

_AT_ONCE: Final = 8
"""So many runs are swept at once; each of them removes its files side by side."""
_OF_DELETED: Final = frozenset({"sweep", "restore"})


@dataclass(frozen=True)
class RunObjects:
    """The objects of one run, as a listing shows them."""

    key: ModelKey
    run_id: RunId
    entries: list[Entry]

    @property
    def label(self) -> str:
        """``type/symbol:run_id``, as references are written."""
        return f"{self.key}:{self.run_id}"

    @cached_property
    def named(self) -> Mapping[str, Entry]:
        """The objects by their names below the run."""
        start = len(keys.run_prefix(self.key, self.run_id))
        return {entry.key[start:]: entry for entry in self.entries}

    @property
    def manifest(self) -> Entry | None:
        """What is in the place of the manifest, if something is."""
        return self.named.get(keys.MANIFEST)

    @property
    def others(self) -> list[Entry]:
        """Everything but that."""
        return [entry for name, entry in self.named.items() if name != keys.MANIFEST]

    def strays(self, manifest: Outline | Manifest) -> list[tuple[str, Entry]]:
        """Return what does not belong to the committed run, by its names below the run."""
        its = {keys.MANIFEST, *(entry.key for entry in manifest.files)}
        strange = self.named.keys() - its  # nothing, of nearly every run
        return [(name, self.named[name]) for name in sorted(strange) if not delete.belongs(name, manifest)]

    @property
    def modified(self) -> datetime:
        """When what is in the place of the manifest was written."""
        assert self.manifest is not None
        return self.manifest.modified


def plan_gc(context: Context, *, grace: timedelta) -> Plan:
    """Return the plan to clear away what was never committed, and to sweep what was deleted ``grace`` ago.

    Raises:
        InvalidOption: ``grace`` is not a span of time.
        NotAStore: the root holds something else. In an empty one there is nothing to do.
    """
    check_span("grace", grace)
    if not opening.check_store(context.records):
        return Plan((), lambda: one_by_one(lambda _: StepResult("kept")), notes=[opening.no_store(context.backend)])
    found = _Scan(context, grace, context.now())
    steps = [*found.runs(), *found.uploads(), *found.probes(), *found.index(), *found.noted(), *found.staged()]

    def start() -> CarryOut:
        opening.ensure_open_existing(context)
        now = probe.storage_time(context.backend, context.retry)

        def one(step: PlanStep) -> StepResult:
            if step.target == keys.INDEX:
                return index_writing.take_in(context)
            return carry_out(context, step, grace=grace, now=now)

        def carried(steps: Sequence[PlanStep]) -> Iterator[StepResult | ArtifactStoreError]:
            for is_sweep, some in groupby(steps, key=lambda step: step.action in _OF_DELETED):
                if is_sweep:
                    yield from delete.outcomes(context, list(some), one)
                else:  # what goes with a run that was swept comes after that
                    yield from one_by_one(one)(list(some))

        return carried

    return Plan(steps, start, problems=found.problems, notes=found.notes, at_once=_AT_ONCE)


def carry_out(context: Context, step: PlanStep, *, grace: timedelta, now: datetime) -> StepResult:
    """Carry out one step, if its reasons still hold at ``now``, the storage's time."""
    if step.upload is not None:
        return abort(context, step.upload, grace=grace, now=now)
    if step.leftover is not None:
        cleared = remove_leftover(step.leftover.path, before=now - grace)
        return StepResult("cleared") if cleared else StepResult("kept", "it is in use or gone, or cannot be removed")
    if step.key is not None and step.run_id is not None:
        return _carry_out_on_run(context, step, step.key, step.run_id, grace=grace, now=now)
    context.records.remove(step.target)
    return StepResult("cleared")


def _carry_out_on_run(
    context: Context, step: PlanStep, key: ModelKey, run_id: RunId, *, grace: timedelta, now: datetime
) -> StepResult:
    if step.action in _OF_DELETED:
        return delete.sweep(context, key, run_id, grace=grace, now=now)
    if step.target == keys.notes_prefix(key, run_id):
        return notes.clear_notes(context, key, run_id)
    stray = keys.run_of(step.target)
    if stray is None:
        return delete.clear(context, key, run_id, grace=grace, now=now)
    return delete.clear_stray(context, key, run_id, stray[2])


def abort(context: Context, upload: Unfinished, *, grace: timedelta, now: datetime) -> StepResult:
    """Abort an upload that was begun at least ``grace`` before ``now``, the storage's time."""
    if now - upload.begun < grace:
        return StepResult("kept", f"it was begun less than {duration_text(grace)} ago")
    with_retry(lambda: context.backend.discard(upload), context.retry)
    return StepResult("aborted")


@dataclass
class _Scan:
    """One look at everything below the root."""

    context: Context
    grace: timedelta
    now: datetime
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _named: dict[ModelKey, dict[str, list[str]]] = field(default_factory=dict)
    _has_notes: bool = False
    _gone: set[tuple[ModelKey, RunId]] = field(default_factory=set)
    """The runs that can never come back, once this plan is carried out."""

    def runs(self) -> Iterator[PlanStep]:
        """Yield what becomes of each run that is not simply committed."""
        at_once = self.context.records.at_once
        with closing(self.context.workers.ahead(self._groups(), self._record, at_once=at_once)) as read:
            for group, record in read:
                try:
                    yield from self._judge(group, record.result())
                except (Unavailable, AccessDenied):
                    raise
                except ArtifactStoreError as error:
                    self.problems.append(Problem(group.label, error))

    def _groups(self) -> Iterator[RunObjects]:
        records = self.context.records
        for child in records.children(""):
            self._has_notes |= child == keys.NOTES
            model_type = keys.model_type_in(child)
            if model_type is not None:
                yield from _grouped(records.objects(keys.type_prefix(model_type)))

    def _record(self, group: RunObjects) -> Outline | Manifest | Tombstone | None:
        return None if group.manifest is None else self.context.records.record(group.key, group.run_id)

    def _judge(self, group: RunObjects, record: Outline | Manifest | Tombstone | None) -> Iterator[PlanStep]:
        if record is None:
            yield self._crashed(group)
        elif not isinstance(record, Tombstone):
            yield from self._strays(group, record)
        elif record.state == "marked":
            yield self._marked(group, record)
        elif group.others and record.quarantine is not None and self.now - group.modified < self.grace:
            yield self._step(group, "keep", f"{record.summary}; its files stay for {duration_text(self.grace)}")
        elif group.others:
            why = "an earlier sweep was cut short" if record.quarantine is None else record.summary
            yield self._step(group, "sweep", why)
        else:
            self._gone.add((group.key, group.run_id))

    def _crashed(self, group: RunObjects) -> PlanStep:
        why = delete.why_kept(group.entries, group.key, group.run_id, grace=self.grace, now=self.now)
        if why is not None:
            return self._step(group, "keep", f"it was never committed, and {why}")
        newest = f"{max(entry.modified for entry in group.entries):%Y-%m-%d %H:%M:%S} UTC"
        return self._step(group, "clear", f"it was never committed; its newest part is of {newest}")

    def _strays(self, group: RunObjects, manifest: Outline | Manifest) -> Iterator[PlanStep]:
        """Yield the files of other saves under the same id, which lost to this run."""
        for _, entry in group.strays(manifest):
            action: Action = "clear"
            why = "another save under this run id left it; the run does not have it"
            until = entry.modified + self.grace
            if self.now < until:
                action = "keep"
                why += f", and it can be cleared from {until:%Y-%m-%d %H:%M:%S} UTC"
            yield PlanStep(entry.key, action, why, entry.size, group.key, group.run_id)

    def _marked(self, group: RunObjects, stone: Tombstone) -> PlanStep:
        until = group.modified + self.grace
        if self.now < until:
            why = f"{stone.summary}; it can be brought back until {until:%Y-%m-%d %H:%M:%S} UTC"
            return self._step(group, "keep", why)
        aliases = self._aliases(group.key).get(group.run_id, [])
        if aliases:
            return self._step(group, "restore", f"it was deleted, and {', '.join(aliases)} still names it")
        return self._step(group, "sweep", stone.summary)

    def _aliases(self, key: ModelKey) -> dict[str, list[str]]:
        """Return the aliases of a model by the run that they name."""
        if key not in self._named:
            named: dict[str, list[str]] = {}
            for alias, pointer in listing.aliases(self.context, key).items():
                named.setdefault(pointer.run_id or "", []).append(alias)
            self._named[key] = named
        return self._named[key]

    def _step(self, group: RunObjects, action: Action, why: str) -> PlanStep:
        size = sum(entry.size for entry in group.others)
        if action in {"sweep", "clear"}:
            self._gone.add((group.key, group.run_id))
        return PlanStep(group.label, action, why, size, group.key, group.run_id)

    def uploads(self) -> Iterator[PlanStep]:
        """Yield the unfinished uploads."""
        try:
            found = with_retry(lambda: list(self.context.backend.unfinished()), self.context.retry)
        except Unsupported as error:
            self.notes.append(str(error))
            return
        except AccessDenied as error:
            self.notes.append(f"unfinished uploads cannot be listed with these credentials ({error})")
            return
        for upload in sorted(found, key=lambda upload: (upload.key, upload.upload)):
            action: Action = "abort"
            why = f"an upload that was begun at {upload.begun:%Y-%m-%d %H:%M:%S} UTC and never ended"
            if self.now - upload.begun < self.grace:
                action, why = "keep", f"an upload that was begun less than {duration_text(self.grace)} ago"
            yield PlanStep(upload.key, action, why, upload.size, upload=upload)

    def probes(self) -> Iterator[PlanStep]:
        """Yield the probes that writers left when they crashed."""
        for entry in self.context.records.objects(keys.PROBES):
            ours = keys.probe_in(entry.key.removeprefix(keys.PROBES)) == entry.key
            if ours and self.now - entry.modified >= self.grace:
                yield PlanStep(entry.key, "clear", "leftover probe of a writer that crashed", entry.size)

    def index(self) -> Iterator[PlanStep]:
        """Yield what the index does not need any more, and what is to be taken into it."""
        left = index_writing.unneeded(self.context, self.now)
        for key, (why, size) in sorted(left.removable.items()):
            yield PlanStep(key, "clear", why, size)
        if left.piled >= index_writing.PILED:
            yield PlanStep(keys.INDEX, "fix", f"{left.piled} saves and deletions are not in the index yet")

    def noted(self) -> Iterator[PlanStep]:
        """Yield the notes about runs that are gone for ever, once :meth:`runs` has looked at all of them."""
        left: dict[tuple[ModelKey, RunId], int] = {}
        for entry in self.context.records.objects(keys.NOTES) if self._has_notes else ():
            about = keys.note_of(entry.key)
            if about is not None and about[:2] in self._gone:
                left[about[:2]] = left.get(about[:2], 0) + entry.size
        for (key, run_id), size in sorted(left.items()):
            where = keys.notes_prefix(key, run_id)
            yield PlanStep(where, "clear", "notes about a run that is gone", size, key, run_id)

    def staged(self) -> Iterator[PlanStep]:
        """Yield what killed processes left in the temporary space: below the root, and that of this client."""
        for left in self.context.leftovers():
            begun = f"{left.since:%Y-%m-%d %H:%M:%S} UTC"
            action: Action = "clear"
            why = f"temporary files of {begun}, whose process was killed"
            if not left.is_dead:
                why = f"temporary files of {begun}, whose process does not run here"
                if self.now - left.since < self.grace:
                    action = "keep"
                    why += f", perhaps on another machine, and less than {duration_text(self.grace)} old"
            yield PlanStep(str(left.path), action, why, left.bytes, leftover=left)


def _grouped(entries: list[Entry]) -> Iterator[RunObjects]:
    """Yield the objects of a listing run by run; what belongs to no run is left out."""
    entries.sort(key=attrgetter("key"))  # the objects of one run have their folder in common
    run, folder = None, ""
    for entry in entries:
        if run is not None and entry.key.startswith(folder):
            run.entries.append(entry)
            continue
        if run is not None:
            yield run
        found = keys.run_of(entry.key)
        run = None if found is None else RunObjects(found[0], found[1], [entry])
        folder = "" if found is None else entry.key.removesuffix(found[2])
    if run is not None:
        yield run
