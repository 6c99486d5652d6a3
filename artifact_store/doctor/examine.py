"""One examination from beginning to end: root, environment, every model, run and alias; and the plan of repairs.

Never raises on what is stored. Reads only, but for throw-away objects that try out the storage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from artifact_store.core import keys
from artifact_store.core.origin import Origin
from artifact_store.core.store_record import Concurrency, StoreRecord
from artifact_store.doctor import aliases, environment, files, index, notes, objects, restore, runs
from artifact_store.doctor.examination import Examination, Options, StorageUnreachable, shown
from artifact_store.doctor.files import StoredFile
from artifact_store.doctor.objects import StoreObjects
from artifact_store.doctor.pointer_choices import read_choices
from artifact_store.doctor.report import BY_REPAIR, COPY, SEVERITIES, Counts, Diagnosis, Finding, Repair
from artifact_store.doctor.runs import CommittedRun
from artifact_store.errors import ArtifactStoreError, ContainerNotFound, Unavailable
from artifact_store.ops import opening, probe
from artifact_store.ops.context import Context
from artifact_store.ops.delete import StepResult
from artifact_store.ops.gc import RunObjects
from artifact_store.ops.plan import CarryOut, Plan, PlanStep, one_by_one
from artifact_store.ops.prune import check_span

_ORDER: Final = ("fix", "restore", "rebuild", "quarantine", "sweep", "clear", "abort", "keep")


def examine(context: Context, options: Options) -> Diagnosis:
    """Examine the whole store, and return the findings.

    Raises:
        InvalidOption: the grace period is not a span of time.
    """
    check_span("grace", options.grace)
    exam = Examination(context, options, context.now())
    counts = Counts()
    backend = context.backend
    exam.fact("engine", "fine", f"{backend.engine} at {backend.endpoint}")
    try:
        counts = _everything(exam, context.concurrency)
    except StorageUnreachable as error:
        message = f"the storage does not answer any more, and the rest was not examined: {error}"
        exam.add("error", "unreachable", backend.url, message, remedy="try again later")
    findings = sorted(exam.findings, key=lambda found: (SEVERITIES.index(found.severity), found.target, found.code))
    make_plan = partial(plan_repairs, context)
    return Diagnosis(backend.url, tuple(findings), tuple(exam.facts), counts, options.deep, make_plan)


def _everything(exam: Examination, concurrency: Concurrency) -> Counts:
    url = exam.context.backend.url
    record = exam.ask(exam.context.records.store)
    if isinstance(record, ContainerNotFound):
        record = None
    if isinstance(record, Unavailable):
        exam.refused(url, record, what=keys.STORE_MARKER)
        return Counts()
    found = objects.list_store(exam)
    if found is None or (record is None and not _has_runs(exam, found)):
        _no_store(exam, found)
        return Counts()
    sound = record if isinstance(record, StoreRecord) else None
    _environment(exam, sound, concurrency)
    objects.examine_names(exam, found)
    committed: list[CommittedRun] = []
    stored: list[StoredFile] = []
    damaged: list[str] = []
    for _, model in sorted(found.models.items()):
        known = runs.examine_runs(exam, model)
        aliases.examine_aliases(exam, model, known)
        committed += known.committed.values()
        stored += known.files
        damaged += [group.label for group in known.damaged.values()]
    _store_ids(exam, record, committed, concurrency)
    index.examine_index(exam, found.index, {run.label: run.listed for run in committed}, damaged)
    everything = [f"{model.key}:{run_id}" for model in found.models.values() for run_id in model.entries]
    notes.examine_notes(exam, found.notes, {run.label: run.digest for run in committed}, set(everything))
    read = files.hash_files(exam, stored) if exam.options.deep else 0
    aliased = sum(len(set(model.aliases)) for model in found.models.values())
    return Counts(found.objects, found.bytes, len(found.models), len(committed), aliased, read)


def _environment(exam: Examination, record: StoreRecord | None, concurrency: Concurrency) -> None:
    """Examine the environment; nothing is written where it is not certain that there is a store."""
    probes = exam.options.probes and record is not None and not exam.context.backend.read_only
    if record is not None:
        environment.check_mode(exam, record, concurrency)
    writes = environment.check_clock(exam, probes=probes)
    environment.check_traits(exam, probes=probes and writes)
    environment.check_conditions(exam, record, writes=writes)
    environment.check_uploads(exam)
    environment.check_staging(exam)


# ---------------------------------------------------------------- the root


def _has_runs(exam: Examination, found: StoreObjects) -> bool:
    """Return whether there is a committed run: without ``_store.json``, nothing else shows that this is a store."""

    def read(group: RunObjects) -> object:
        return exam.context.records.run(group.key, group.run_id).value

    groups = (group for model in found.models.values() for group in model.groups if group.manifest is not None)
    return any(not isinstance(record, ArtifactStoreError) for _, record in exam.every(groups, read))


def _no_store(exam: Examination, found: StoreObjects | None) -> None:
    url = exam.context.backend.url
    exam.findings = [one for one in exam.findings if one.code == "cannot-list"]
    if found is None or found.objects == 0:
        message = "the root is empty or does not exist"
        exam.add("error", "no-store", url, message, remedy="check the URL; the first save makes it")
        return
    message = f"it holds {shown(found.top)} and no run of a store, so nothing else was examined"
    remedy = "check the URL; `artifact-store migrate` reads an old tree"
    if found.inner:
        remedy = f"name the store itself: {shown([keys.below(url, folder) for folder in found.inner])}"
    exam.add("error", "not-a-store", url, message, remedy=remedy)


def _store_ids(
    exam: Examination,
    record: StoreRecord | ArtifactStoreError | None,
    committed: Sequence[CommittedRun],
    concurrency: Concurrency,
) -> None:
    """Compare the store id with that of the runs, and offer to write ``_store.json`` again where all runs agree."""
    claimed = Counter(run.store_id for run in committed)
    if isinstance(record, StoreRecord):
        strangers = _strangers(exam, record.store_id, committed)
        for store_id in sorted({run.store_id for run in strangers}):
            labels = [run.label for run in strangers if run.store_id == store_id]
            message = (
                f"{len(labels)} of {len(committed)} runs ({shown(labels)}) say that they belong to the store "
                f"{store_id}; this one is {record.store_id}, and nothing says that they were copied here on purpose: "
                f"their folders were, or {keys.STORE_MARKER} was"
            )
            remedy = f"copy whole stores with their {keys.STORE_MARKER}; copy single runs with `artifact-store cp`"
            exam.add("error", "store-id-differs", keys.STORE_MARKER, message, remedy=remedy)
        return
    if isinstance(record, ArtifactStoreError) and exam.refused(keys.STORE_MARKER, record, what="it"):
        return
    code, message = "marker-corrupt", str(record)
    if record is None:
        code, message = "marker-missing", "it is missing, although there are runs: nothing can be written or deleted"
    repair, remedy = None, f"{COPY}: it is the same in every copy"
    if len(claimed) == 1:
        (store_id,) = claimed
        reason = f"all {len(committed)} runs say that they belong to the store {store_id}"
        new = StoreRecord(store_id=store_id, created_at=exam.now, concurrency=_mode(exam, concurrency))
        repair = Repair("rebuild", reason, lambda _: restore.restore_store_record(exam.context, new))
        remedy = f"{BY_REPAIR} ({reason}), or {COPY}"
    exam.add("error", code, keys.STORE_MARKER, message, remedy=remedy, repair=repair)


def _strangers(exam: Examination, store_id: str, committed: Sequence[CommittedRun]) -> list[CommittedRun]:
    """Return the runs that were saved in another store, and of which no record says that they were copied here."""
    others = [run for run in committed if run.store_id != store_id]
    found = [run for run in others if run.origin is None]

    def origin(run: CommittedRun) -> Origin | None:
        return exam.context.records.origin_at(str(run.origin))

    for run, record in exam.every([run for run in others if run.origin is not None], origin):
        if isinstance(record, ArtifactStoreError):
            if not exam.refused(str(run.origin), record, what="the record of its origin"):
                found.append(run)
        elif record is None or (record.manifest_sha256, record.origin, record.store_id) != (
            run.digest,
            run.store_id,
            store_id,
        ):
            found.append(run)
    return found


def _mode(exam: Examination, concurrency: Concurrency) -> Concurrency:
    """Return the mode of the store, by what is left of ``_store.json``, or else by how this client was opened."""
    seen = exam.ask(lambda: restore.raw(exam.context, keys.STORE_MARKER))
    data = b"" if isinstance(seen, ArtifactStoreError) or seen is None else seen.value
    return "single-writer" if b'"single-writer"' in data else concurrency


# ---------------------------------------------------------------- the repairs


def plan_repairs(
    context: Context,
    findings: Sequence[Finding],
    quarantine: bool,  # noqa: FBT001 -- a keyword of Diagnosis.repair
    choices: Sequence[str],
) -> Plan:
    """Return the repairs of these findings as a plan; what cannot be undone is in it only if it was asked for.

    What leaves a choice is in it only with the run that was chosen.
    """
    offered = [(found.target, found.repair) for found in findings if found.repair is not None]
    chosen = read_choices(context, [target for target, offer in offered if offer.choose is not None], choices)
    repairs: dict[PlanStep, Repair] = {}
    for target, offer in offered:
        repair = offer if offer.choose is None or target not in chosen else offer.choose(chosen[target])
        repairs.setdefault(_step(target, repair, quarantine=quarantine), repair)
    steps = sorted(repairs, key=lambda step: (step.target != keys.STORE_MARKER, _ORDER.index(step.action), step.target))

    def start() -> CarryOut:
        times: list[datetime] = []

        def carry_out(step: PlanStep) -> StepResult:
            if not times and step.target != keys.STORE_MARKER:
                opening.ensure_open_existing(context)  # after ``_store.json`` was written again, if it was missing
                times.append(probe.storage_time(context.backend, context.retry))
            return repairs[step].carry_out(times[0] if times else context.now())

        return one_by_one(carry_out)

    return Plan(steps, start)


def _step(target: str, repair: Repair, *, quarantine: bool) -> PlanStep:
    if repair.only_if_asked and not quarantine:
        return PlanStep(target, "keep", f"only if it is asked for (quarantine): {repair.reason}", repair.bytes)
    if repair.question:
        return PlanStep(target, "keep", f"only with the run that it is to name (--to RUN): {repair.question}")
    return PlanStep(target, repair.action, repair.reason, repair.bytes)
