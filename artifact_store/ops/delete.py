"""Delete a run in steps (mark, bring back, sweep), and clear what an interrupted save has left.

Every step is a conditional write of the object in the place of the manifest, settled by its own write id, so it is
known who did what. Nothing else of a run is touched before its tombstone is sealed. ``FORMAT.md`` has the protocol.
What may stand in the place of the manifest, and which step leads where::

    nothing ──commit──▶ manifest ──mark──▶ tombstone, marked ──sweep──▶ tombstone, sealed ──▶ its files are removed
       │                   ▲                  │    (the files are there, and the run is hidden)
       │                   └────undelete──────┘
       └──clear──▶ tombstone, sealed, without a manifest: a late saver loses to it, and what it left is removed

    step        reads before              writes over            reads after                    lost to another
    ----        ------------              -----------            -----------                    ---------------
    mark        manifest, pointers        that manifest          pointers; named: undelete it   RunDeleted, or Conflict
    undelete    tombstone                 that tombstone                                        what it left counts
    sweep       tombstone, pointers       that tombstone                                        the run stays
                (named: undelete it)
    clear       objects below the run     nothing                                               the run stays

A client that dies after ``mark`` wrote, and before it read the pointers again, leaves a run that an alias may name: the
next sweep finds that out before it seals, and brings the run back. A lost reply is settled by the write id in the
tombstone. Where the pointers cannot be read after the write, the outcome is unknown, and nothing is undone.
Decides nothing: which runs may go is for :mod:`artifact_store.ops.prune` and :mod:`artifact_store.ops.gc`.

Why: docs/decisions/0009-two-phase-deletion.md
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, TypeVar, cast

from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.outline import Outline
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import AccessDenied, ArtifactStoreError, Conflict, OutcomeUnknown, RunInUse, Unavailable
from artifact_store.ops import index, listing
from artifact_store.ops.context import Context
from artifact_store.ops.outage import Outage
from artifact_store.ops.records import Stored, deleted
from artifact_store.storage.base import Entry
from artifact_store.storage.conditional_write import Outcome

A = TypeVar("A")
T = TypeVar("T")
Result = Literal["deleted", "restored", "swept", "cleared", "aborted", "rebuilt", "quarantined", "fixed", "kept"]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of a run, or of something left over: the result, and why it was kept if it was."""

    result: Result
    detail: str = ""


def named_by(context: Context, key: ModelKey, run_id: RunId) -> list[str]:
    """Return the aliases that name a run now: a listing, and a read of each; ``Corrupt`` if a pointer is damaged."""
    return [alias for alias, pointer in listing.aliases(context, key).items() if pointer.run_id == run_id]


def run_objects(context: Context, key: ModelKey, run_id: RunId) -> list[Entry]:
    """Return every object below the prefix of a run."""
    return context.records.objects(keys.run_prefix(key, run_id))


# ---------------------------------------------------------------- mark, and bring back


def mark(context: Context, key: ModelKey, run_id: RunId, *, reason: str) -> Tombstone:
    """Hide a committed run; its files stay until it is swept, and ``undelete`` brings it back until then.

    The pointers are read before and after. If one names the run afterwards, the run is brought back. The index is told
    before, so that no listing by it shows the run afterwards.

    Raises:
        RunNotFound, RunDeleted: there is no such run (any more).
        RunInUse, Corrupt: an alias names it, or a pointer is damaged.
        Conflict: another client changed it at this moment.
        OutcomeUnknown: it may be marked.
    """
    (found,) = mark_all(context, key, [(run_id, reason)])
    if isinstance(found, ArtifactStoreError):
        raise found
    return found


def mark_all(
    context: Context, key: ModelKey, runs: Sequence[tuple[RunId, str]]
) -> list[Tombstone | ArtifactStoreError]:
    """Hide runs of a model, each for its reason; return the tombstone of each, or why it is not hidden, in their order.

    As :func:`mark` does, with one look at the pointers before all of them, and one after all.
    """
    seen = outcomes(context, [run_id for run_id, _ in runs], partial(_committed, context, key))
    if all(isinstance(found, ArtifactStoreError) for found in seen):
        return cast("list[Tombstone | ArtifactStoreError]", seen)
    before = _named(context, key)

    def one(told: tuple[tuple[RunId, str], Stored[Manifest] | ArtifactStoreError]) -> Tombstone:
        (run_id, reason), found = told
        if isinstance(found, ArtifactStoreError):
            raise found
        if isinstance(before, ArtifactStoreError):
            raise before
        refuse_named(key, run_id, before.get(run_id, ()))
        return _write_mark(context, found, reason)

    stones = outcomes(context, list(zip(runs, seen, strict=True)), one)
    if all(isinstance(stone, ArtifactStoreError) for stone in stones):
        return stones
    return outcomes(context, stones, partial(_confirmed, context, key, _named(context, key)))


def outcomes(context: Context, items: Sequence[A], call: Callable[[A], T]) -> list[T | ArtifactStoreError]:
    """Return what ``call`` returns of each item, or raises: side by side, where the storage is far away.

    Once the storage has failed several times in a row, what is left is not tried.
    """
    outage = Outage(Unavailable, AccessDenied, OutcomeUnknown)

    def one(item: A, stop: object = None) -> T | ArtifactStoreError:
        del stop  # one failure does not stop the others
        if outage.has_begun:
            return Unavailable("it was not tried, since the storage had failed again and again: try again later")
        try:
            found: T | ArtifactStoreError = call(item)
        except ArtifactStoreError as error:
            found = error
        outage.record(found)
        return found

    if len(items) == 1 or context.backend.is_near:
        return [one(item) for item in items]
    return context.tasks.every(one, items, size=lambda _: 0)


def _committed(context: Context, key: ModelKey, run_id: RunId) -> Stored[Manifest]:
    seen = context.records.run(key, run_id)
    if isinstance(seen.value, Tombstone):
        raise deleted(seen.value)
    return cast("Stored[Manifest]", seen)


def _named(context: Context, key: ModelKey) -> Mapping[str, Sequence[str]] | ArtifactStoreError:
    """Return the aliases that name each run of a model now, or why that cannot be told."""
    found: dict[str, list[str]] = {}
    try:
        for alias, pointer in listing.aliases(context, key).items():
            if pointer.run_id is not None:
                found.setdefault(pointer.run_id, []).append(alias)
    except ArtifactStoreError as error:
        return error
    return found


def _write_mark(context: Context, seen: Stored[Manifest], reason: str) -> Tombstone:
    manifest = seen.value
    key, run_id = manifest.key, RunId(manifest.run_id)
    stone = Tombstone.mark(manifest, context.publish_info(reason))
    index.announce(context, "gone", key, run_id, stone.write_id[:8])
    if context.records.write(stone, over=seen) is Outcome.LOST:
        context.records.manifest(key, run_id)  # raises RunDeleted where another client was faster
        raise Conflict(f"{stone.label} was deleted and brought back by another client at this moment; look at it again")
    return stone


def _confirmed(
    context: Context,
    key: ModelKey,
    named: Mapping[str, Sequence[str]] | ArtifactStoreError,
    stone: Tombstone | ArtifactStoreError,
) -> Tombstone:
    """Return the tombstone if no alias names the run; else bring the run back, and raise why."""
    if isinstance(stone, ArtifactStoreError):
        raise stone
    run_id = RunId(stone.run_id)
    trouble = _trouble(key, run_id, named)
    if trouble is None:
        return stone
    try:
        # a run that an alias names comes back, and so does one of which that cannot be known, now or later
        back = not isinstance(trouble, Unavailable) and unmark(context, key, run_id, stone)
    except OutcomeUnknown:
        raise
    except ArtifactStoreError as error:
        back, trouble = False, error
    if back:
        raise trouble
    raise OutcomeUnknown(  # any other error would say that nothing has happened
        f"{stone.label} is marked as deleted, and it could not be looked up whether an alias names it meanwhile "
        f"({trouble}). If one does, gc brings it back",
        key=keys.manifest(key, run_id),
        write_id=stone.write_id,
        run_id=run_id,
    ) from trouble


def _trouble(
    key: ModelKey, run_id: RunId, named: Mapping[str, Sequence[str]] | ArtifactStoreError
) -> ArtifactStoreError | None:
    """Return why a marked run may not stay so: an alias names it, or that could not be looked up."""
    if isinstance(named, ArtifactStoreError):
        return named
    try:
        refuse_named(key, run_id, named.get(run_id, ()))
    except RunInUse as error:
        return error
    return None


def refuse_named(key: ModelKey, run_id: str, aliases: Sequence[str]) -> None:
    """Raise ``RunInUse`` if there are aliases that name the run."""
    if aliases:
        named = ", ".join(f"{key}@{alias}" for alias in aliases)
        raise RunInUse(
            f"{key}:{run_id} is what {named} names, so it is not deleted: promote another run there, or retire it",
            aliases=aliases,
        )


def undelete(context: Context, key: ModelKey, run_id: RunId) -> Manifest:
    """Bring a run back that is marked and not swept. One that was not deleted is returned as it is.

    Raises:
        RunNotFound: no such run was ever committed.
        RunDeleted: its files are gone, or another client deleted it again at this moment.
        OutcomeUnknown: it may be back.
    """
    seen = context.records.run(key, run_id)
    if isinstance(seen.value, Manifest):
        return seen.value
    if seen.value.state == "sealed":
        raise deleted(seen.value)
    manifest = seen.value.restored()
    _announce_back(context, key, run_id)
    if context.records.write(manifest, over=seen) is Outcome.LOST:
        return context.records.manifest(key, run_id)
    return manifest


def unmark(context: Context, key: ModelKey, run_id: RunId, stone: Tombstone) -> bool:
    """Bring the run back if this is still its tombstone, and return whether it is back."""
    seen = context.records.run(key, run_id)
    if isinstance(seen.value, Manifest):
        return True
    if seen.value != stone:
        return False
    _announce_back(context, key, run_id)
    return context.records.write(stone.restored(), over=seen) is Outcome.WON


def _announce_back(context: Context, key: ModelKey, run_id: RunId) -> None:
    index.announce(context, "back", key, run_id, context.new_write_id()[:8])


# ---------------------------------------------------------------- sweep


def sweep(context: Context, key: ModelKey, run_id: RunId, *, grace: timedelta, now: datetime) -> StepResult:
    """Remove the files of a run whose tombstone is at least ``grace`` old; the tombstone stays, sealed.

    The pointers are read once more before it is sealed: a run that one of them names is brought back. ``now`` is the
    storage's time. What an earlier sweep left behind is removed.

    Raises:
        OutcomeUnknown: it may be sealed; none of its files was removed.
        Corrupt: a pointer, or the tombstone, is damaged; nothing was removed.
    """
    # read before the listing: a tombstone that is younger than the listed one is not sealed
    seen = context.records.run(key, run_id)
    stone = seen.value
    if isinstance(stone, Manifest):
        return StepResult("kept", "it was brought back")
    if stone.state == "marked":
        if now - _since(context, key, run_id, now) < grace:
            return StepResult("kept", f"it was deleted less than {duration_text(grace)} ago")
        if aliases := named_by(context, key, run_id):
            why = f"{', '.join(aliases)} {'names' if len(aliases) == 1 else 'name'} it"
            return StepResult("restored" if unmark(context, key, run_id, stone) else "kept", why)
        if context.records.write(stone.sealed(context.publish_info()), over=seen) is Outcome.LOST:
            found = context.records.run(key, run_id).value
            if isinstance(found, Manifest) or found.state == "marked":
                return StepResult("kept", "another client brought it back at this moment")
    elif stone.quarantine is not None and now - _since(context, key, run_id, now) < grace:
        return StepResult("kept", f"it was put into quarantine less than {duration_text(grace)} ago")
    return remove_files(context, key, run_id, "swept")


def _since(context: Context, key: ModelKey, run_id: RunId, now: datetime) -> datetime:
    """Return since when the tombstone is there, by the storage's own time of it."""
    place = keys.manifest(key, run_id)
    return next((entry.modified for entry in run_objects(context, key, run_id) if entry.key == place), now)


def remove_files(context: Context, key: ModelKey, run_id: RunId, result: Result) -> StepResult:
    """Remove everything of a sealed run but its tombstone: exact keys from a listing of its own prefix.

    A file that cannot be removed, such as one that another program has open on Windows, does not stop the others; a
    storage that does not answer does. The first failure is raised, and the next sweep goes on.
    """
    place = keys.manifest(key, run_id)
    left = [entry.key for entry in run_objects(context, key, run_id) if entry.key != place]
    outage = Outage(limit=1)  # several are removed at once, and each failure has taken all the time for retries

    def one(where: str, stop: threading.Event) -> ArtifactStoreError | None:
        del stop  # one failure does not stop the others
        if outage.has_begun:
            return None
        try:
            context.records.remove(where)
        except ArtifactStoreError as error:
            outage.record(error)
            return error
        return None

    failures = [error for error in context.workers.every(one, left, size=lambda _: 0) if error is not None]
    if failures:
        raise failures[0]
    return StepResult(result)


# ---------------------------------------------------------------- what was never committed


def clear(context: Context, key: ModelKey, run_id: RunId, *, grace: timedelta, now: datetime) -> StepResult:
    """Remove what a save that was cut short has left, if nothing of it is younger than ``grace``.

    A tombstone comes first, in the place where the manifest would be: so a saver that is merely late cannot commit a
    run any more whose files are being removed. ``OutcomeUnknown``: it may be there, and nothing was removed.
    """
    found = run_objects(context, key, run_id)
    if why := why_kept(found, key, run_id, grace=grace, now=now):
        return StepResult("kept", why)
    stone = Tombstone.never_committed(key, run_id, context.publish_info("a save that was never finished"))
    if context.records.write(stone, over=None) is Outcome.LOST:
        record = context.records.run(key, run_id).value
        if isinstance(record, Manifest) or record.state == "marked":
            return StepResult("kept", "it was committed at this moment")
    return remove_files(context, key, run_id, "cleared")


def why_kept(found: Sequence[Entry], key: ModelKey, run_id: RunId, *, grace: timedelta, now: datetime) -> str | None:
    """Return why these objects are not the leftovers of a save that was cut short, or ``None`` if they are."""
    if not found:
        return "nothing is left of it"
    if any(entry.key == keys.manifest(key, run_id) for entry in found):
        return "it was committed"
    if any(now - entry.modified < grace for entry in found):
        return f"a part of it is younger than {duration_text(grace)}, so its save may be under way"
    return None


def belongs(name: str, manifest: Outline | Manifest) -> bool:
    """Tell whether what lies under this name below a committed run is a part of it.

    Beside its files these are its signatures, by whatever key, and the record that it was copied here. A signature of
    another manifest is what a save left that lost to this run; anything else below the folder of the signatures was
    left by no save.
    """
    if name == keys.MANIFEST or name in {entry.key for entry in manifest.files}:
        return True
    if not name.startswith(keys.SIGNATURES):
        return False
    child = name.removeprefix(keys.SIGNATURES)
    return not keys.is_signature(child) or keys.signer_in(child, manifest.digest) is not None


def clear_stray(context: Context, key: ModelKey, run_id: RunId, name: str) -> StepResult:
    """Remove what lies below a committed run and does not belong to it: another save under the id had left it."""
    record = context.records.run(key, run_id).value
    if isinstance(record, Tombstone) or belongs(name, record):
        return StepResult("kept", "it belongs to the run")
    context.records.remove(keys.data_file(key, run_id, name))
    return StepResult("cleared")


_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def duration_text(span: timedelta) -> str:
    """Return a span in the largest unit that it fills: ``7 days``, ``2 hours``, ``30 seconds``."""
    seconds = span.total_seconds()
    for name, size in _UNITS:
        if seconds >= size:
            amount = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{amount} {name}" if amount == "1" else f"{amount} {name}s"
    return "1 second" if seconds == 1 else f"{seconds:g} seconds"
