"""One examination from beginning to end: the root, the place, then every model, run and alias; and the plan of repairs.

Never raises on what is stored. Reads only, but for throw-away objects that try out the storage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from artifact_store.core import keys
from artifact_store.core.errors import ArtifactStoreError, Unavailable
from artifact_store.core.manifest import Manifest
from artifact_store.diagnosis import aliases, deep, inventory, place, restore, runs
from artifact_store.diagnosis.choice import read_choices
from artifact_store.diagnosis.finding import BY_REPAIR, SEVERITIES, Counts, Diagnosis, Finding, Repair
from artifact_store.diagnosis.inventory import Inventory
from artifact_store.diagnosis.look import GaveUp, Look, Options, shown
from artifact_store.ops import deletion
from artifact_store.ops.context import Context
from artifact_store.ops.deletion import Ending
from artifact_store.ops.marker import Concurrency, StoreRecord
from artifact_store.ops.plan import Plan, Step
from artifact_store.ops.survey import Group

Begin = Callable[[], object]
_ORDER: Final = ("fix", "restore", "rebuild", "quarantine", "sweep", "clear", "abort", "keep")
_COPY = "restore it from a copy of the store"


def examine(context: Context, options: Options, concurrency: Concurrency, begin: Begin) -> Diagnosis:
    """Look at everything, and return what was found. ``begin`` opens the store for writing before a repair."""
    look = Look(context, options, context.now())
    counts = Counts()
    backend = context.backend
    look.fact("engine", "fine", f"{backend.engine} at {backend.endpoint}")
    try:
        counts = _everything(look, concurrency)
    except GaveUp as error:
        told = f"the storage does not answer any more, and the rest was not looked at: {error}"
        look.add("error", "unreachable", backend.url, told, remedy="try again later")
    worst = list(SEVERITIES)
    findings = sorted(look.findings, key=lambda found: (worst.index(found.severity), found.target, found.code))
    make_plan = partial(plan, context, begin)
    return Diagnosis(backend.url, tuple(findings), tuple(look.facts), counts, options.deep, make_plan)


def _everything(look: Look, concurrency: Concurrency) -> Counts:
    url = look.context.backend.url
    record = place.read_marker(look)
    if isinstance(record, Unavailable):
        look.refused(url, record, what=keys.STORE_MARKER)
        return Counts()
    found = inventory.take(look)
    if found is None or (record is None and not _has_runs(look, found)):
        _no_store(look, found)
        return Counts()
    sound = record if isinstance(record, StoreRecord) else None
    _place(look, sound, concurrency)
    inventory.examine(look, found)
    manifests = [manifest for shelf in _models(look, found) for manifest in shelf]
    _store_ids(look, record, manifests, concurrency)
    read = deep.examine(look, manifests) if look.options.deep else 0
    aliased = sum(len(set(shelf.aliases)) for shelf in found.shelves.values())
    return Counts(found.objects, found.bytes, len(found.shelves), len(manifests), aliased, read)


def _place(look: Look, record: StoreRecord | None, concurrency: Concurrency) -> None:
    """Look at the place; nothing is tried out where it is not sure that there is a store."""
    probes = look.options.probes and record is not None and not look.context.backend.read_only
    if record is not None:
        place.check_mode(look, record, concurrency)
    writes = place.check_clock(look, probes=probes)
    place.check_traits(look, probes=probes and writes)
    place.check_conditions(look, record, writes=writes)
    place.check_uploads(look)


def _models(look: Look, found: Inventory) -> list[list[Manifest]]:
    committed = []
    for _, shelf in sorted(found.shelves.items()):
        records = runs.examine(look, shelf)
        aliases.examine(look, shelf, records)
        committed.append(records.manifests)
    return committed


# ---------------------------------------------------------------- the root


def _has_runs(look: Look, found: Inventory) -> bool:
    """Tell whether a run lies where one belongs: what does not say that it is a store is otherwise none."""

    def read(group: Group) -> object:
        return deletion.look(look.context, group.key, group.run_id).record

    groups = (group for shelf in found.shelves.values() for group in shelf.groups if group.manifest is not None)
    return any(not isinstance(record, ArtifactStoreError) for _, record in look.every(groups, read))


def _no_store(look: Look, found: Inventory | None) -> None:
    url = look.context.backend.url
    look.findings = [one for one in look.findings if one.code == "cannot-list"]
    if found is None or found.objects == 0:
        look.add("error", "no-store", url, "there is nothing here yet", remedy="check the URL; the first save makes it")
        return
    told = f"it holds {shown(found.top)} and no run of a store, so nothing else was looked at"
    remedy = "check the URL; `artifact-store migrate` reads an old tree"
    if found.inner:
        remedy = f"name the store itself: {shown([keys.below(url, place) for place in found.inner])}"
    look.add("error", "not-a-store", url, told, remedy=remedy)


def _store_ids(
    look: Look, record: StoreRecord | ArtifactStoreError | None, manifests: Sequence[Manifest], concurrency: Concurrency
) -> None:
    """Compare the id of the store with what the runs say, and offer to write the marker again where they all agree."""
    told = Counter(manifest.store_id for manifest in manifests)
    if isinstance(record, StoreRecord):
        for store_id in sorted(set(told) - {record.store_id}):
            _foreign(
                look, record, store_id, [run.label for run in manifests if run.store_id == store_id], of=len(manifests)
            )
        return
    if isinstance(record, ArtifactStoreError) and look.refused(keys.STORE_MARKER, record, what="it"):
        return
    code = "marker-missing" if record is None else "marker-corrupt"
    what = "it is not there, and runs are: nothing can be written or deleted" if record is None else str(record)
    repair, remedy = None, f"{_COPY}: it is the same in every copy"
    if len(told) == 1:
        why = f"all {len(manifests)} runs say that they belong to the store {next(iter(told))}"
        new = StoreRecord(store_id=next(iter(told)), created_at=look.now, concurrency=_mode(look, concurrency))
        repair = Repair("rebuild", why, lambda _: restore.marker(look.context, new))
        remedy = f"{BY_REPAIR} ({why}), or {_COPY}"
    look.add("error", code, keys.STORE_MARKER, what, remedy=remedy, repair=repair)


def _foreign(look: Look, record: StoreRecord, store_id: str, labels: Sequence[str], *, of: int) -> None:
    told = (
        f"{len(labels)} of {of} runs ({shown(labels)}) say that they belong to the store {store_id}; this one is "
        f"{record.store_id}: they were copied here, or {keys.STORE_MARKER} was"
    )
    remedy = "copy whole stores with their marker; single runs are downloaded and saved again"
    look.add("error", "store-id-differs", keys.STORE_MARKER, told, remedy=remedy)


def _mode(look: Look, concurrency: Concurrency) -> Concurrency:
    """Return the mode of the store, by what is left of its marker, or else by how this client was opened."""
    seen = look.ask(lambda: restore.raw(look.context, keys.STORE_MARKER))
    data = b"" if isinstance(seen, ArtifactStoreError) or seen is None else seen.data
    return "single-writer" if b'"single-writer"' in data else concurrency


# ---------------------------------------------------------------- the repairs


def plan(
    context: Context,
    begin: Begin,
    findings: Sequence[Finding],
    quarantine: bool,  # noqa: FBT001 -- named at the door
    choices: Sequence[str],
) -> Plan:
    """Return the repairs of these findings as a plan; what cannot be undone is in it only if it was asked for.

    What leaves a choice is in it only with the run that was chosen.
    """
    offered = {found: found.repair for found in findings if found.repair is not None}
    damaged = [found.target for found, repair in offered.items() if repair.choose is not None]
    chosen = read_choices(context, damaged, choices)
    repairs: dict[Step, Repair] = {}
    for found, offer in offered.items():
        run = chosen.get(found.target)
        repair = offer if run is None or offer.choose is None else offer.choose(run)
        repairs.setdefault(_step(found, repair, quarantine=quarantine), repair)
    steps = sorted(repairs, key=lambda step: (step.target != keys.STORE_MARKER, _ORDER.index(step.action), step.target))

    def start() -> Callable[[Step], Ending]:
        times: list[datetime] = []

        def carry_out(step: Step) -> Ending:
            if not times and step.target != keys.STORE_MARKER:
                begin()  # after the marker was written again, if it was missing
                times.append(deletion.storage_time(context))
            return repairs[step].carry_out(times[0] if times else context.now())

        return carry_out

    return Plan(steps, start)


def _step(found: Finding, repair: Repair, *, quarantine: bool) -> Step:
    if repair.only_if_asked and not quarantine:
        return Step(found.target, "keep", f"only if it is asked for (quarantine): {repair.reason}", repair.bytes)
    if repair.question:
        return Step(found.target, "keep", f"only with the run that it is to name (--to RUN): {repair.question}")
    return Step(found.target, repair.action, repair.reason, repair.bytes)
