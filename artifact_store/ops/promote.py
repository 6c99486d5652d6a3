"""Move an alias to a run that was committed earlier: promote, roll back, retire.

Unlike the publish at the end of a save, the run may be deleted at the same moment; so its manifest is read before and
after, and what was published before is published again if it went away in between::

    manifest of the run     pointer of the alias     what this client does
    -------------------     --------------------     ------------------------------------------------------
    there                   names the run before     check: reads the manifest                  (1)
    there                   names our run            publish: swaps the pointer                 (2)
    there                   names our run            check again: returns the pointer           (3)  done
    tombstone               names our run            restore: swaps the run before back in      (4)  RunDeleted
    tombstone               names the run before     check again: is *that* run still there?    (5)  RunDeleted
    tombstone               names a deleted run      swaps in no run: the alias is retired      (6)  RunDeleted

A deletion reads the pointers before and after the tombstone (see :mod:`artifact_store.ops.delete`), so of a
promotion and a deletion that meet at least one sees the other. A client that dies between (2) and (3) leaves an alias
that may name a tombstone: a load says ``RunDeleted``, and the sweep brings the run back. At (4) and (6) another publish
may come first: it then stands, and its own client looks after it. A reply that is lost at (2), (4) or (6) is settled by
reading the pointer; where that cannot be read, ``OutcomeUnknown`` is raised and nothing is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import RunId
from artifact_store.core.pointer import Pointer, Publish, PublishInfo
from artifact_store.core.policy import Policy
from artifact_store.core.references import RunRef
from artifact_store.errors import (
    ArtifactStoreError,
    Corrupt,
    NotFound,
    NothingToRollBackTo,
    OutcomeUnknown,
    PointerConflict,
)
from artifact_store.ops import pointer_trust, resolve
from artifact_store.ops.context import Context
from artifact_store.ops.publish import publish, stored_manifest, swap
from artifact_store.ops.records import SeenPointer, Stored
from artifact_store.storage.threads import result_of


def promote(context: Context, alias: str, manifest: Manifest, policy: Policy, info: PublishInfo) -> Pointer:
    """Publish a committed run as the policy says, deciding again after every conflict.

    Raises:
        RunNotFound, RunDeleted: it is not there, or was deleted meanwhile; the alias is as it was before.
        PointerConflict, MetricMissing: the policy refuses; the alias is as it was before.
        OutcomeUnknown: the publish may have landed, or has, and the run may be deleted.
    """
    with context.workers.beside(lambda: context.records.pointer(manifest.key, alias)) as reading:
        _check(context, manifest)
    seen = result_of(reading)
    decision = publish(context, alias, manifest, policy, info, seen=seen)
    if decision.pointer is None:
        assert decision.refusal is not None
        raise decision.refusal
    context = replace(context, vouched="")  # what is there now is ours
    return check_still_there(context, decision.pointer, manifest, info)


def republish(context: Context, alias: str, manifest: Manifest, info: PublishInfo, *, seen: SeenPointer) -> Pointer:
    """Publish a committed run over the pointer that was ``seen``, or not at all.

    Raises:
        RunNotFound, RunDeleted, OutcomeUnknown: as for :func:`promote`.
        PointerConflict: as for :func:`artifact_store.ops.publish.swap`.
    """
    _check(context, manifest)
    pointer = swap(context, manifest.key, alias, manifest, info, seen=seen)
    return check_still_there(context, pointer, manifest, info)


def roll_back(
    context: Context, ref: RunRef, target: Callable[[], Manifest] | None = None, *, reason: str = ""
) -> Pointer:
    """Publish again the run that served before the current one first served, or what ``target`` returns.

    Raises:
        NothingToRollBackTo: no earlier run is left.
        PointerConflict: another client published meanwhile; nothing was done.
    """
    pointer_trust.open_to_publish(context)
    past = resolve.history(context, ref)
    manifest = choose_rollback(context, ref, past) if target is None else target()
    info = context.publish_info(reason or f"rollback from {past[-1].run_id or 'retired'}")
    return republish(context, past.seen.value.alias, manifest, info, seen=past.seen)


def retire(context: Context, seen: Stored[Pointer], info: PublishInfo) -> Pointer:
    """Publish that the alias names no run, over the pointer that was ``seen``, or raise as :func:`swap` does."""
    return swap(context, seen.value.key, seen.value.alias, None, info, seen=seen)


def rollback_candidates(past: Sequence[Publish]) -> Iterator[RunId]:
    """Yield what a rollback may serve again, best first: what served before the current run *first* served, and so on.

    So a second rollback goes one further back instead of returning to what the first one left. A retired alias goes
    back to what it named last.
    """
    current = past[-1].run_id
    first = next(place for place, entry in enumerate(past) if entry.run_id == current)
    before = past if current is None else past[:first]
    named = [entry.run_id for entry in reversed(before) if entry.run_id is not None and entry.run_id != current]
    yield from map(RunId, dict.fromkeys(named))


def choose_rollback(context: Context, ref: RunRef, past: Sequence[Publish]) -> Manifest:
    """Return the run that a rollback serves again, deleted ones passed over, or raise ``NothingToRollBackTo``."""
    for run_id in rollback_candidates(past):
        if (manifest := stored_manifest(context.records, ref.key, run_id)) is not None:
            return manifest
    raise NothingToRollBackTo(f"{ref} never named another run that still exists; promote the one that you want")


def _check(context: Context, manifest: Manifest) -> None:
    """Raise unless the run is committed and not deleted, with exactly this manifest, signed where that is needed."""
    stored = context.records.manifest(manifest.key, RunId(manifest.run_id))
    if stored.digest != manifest.digest:
        raise Corrupt(f"the manifest of {manifest.label} is not the one that was committed")
    pointer_trust.check_run_for_publish(context, manifest)


def check_still_there(context: Context, pointer: Pointer, manifest: Manifest, info: PublishInfo) -> Pointer:
    """Return the pointer if its run is still there; else publish what was in force before, and raise.

    Raises:
        RunNotFound, RunDeleted: it is gone, and the alias does not name it any more.
        OutcomeUnknown: it is published, and whether it is still there, or what was before is back, could not be read.
    """
    try:
        try:
            _check(context, manifest)
        except NotFound:
            _restore(context, pointer, info)
            raise
    except (NotFound, OutcomeUnknown):
        raise
    except ArtifactStoreError as error:  # this must not look like a publish that did not happen
        raise OutcomeUnknown(
            f"{manifest.key}@{pointer.alias} was moved to {manifest.run_id} (seq {pointer.seq}), and whether that run "
            f"was deleted at the same moment could not be read: {error}. Look at the alias before you repeat anything",
            key=keys.pointer(manifest.key, pointer.alias),
            write_id=pointer.write_id,
            run_id=manifest.run_id,
        ) from error
    return pointer


def _restore(context: Context, ours: Pointer, info: PublishInfo) -> None:
    """Publish again what was in force before ``ours``, unless another client has published since.

    What was in force may be deleted as well, even at this moment, since nothing named it: then the alias names nothing.
    """
    key, records = ours.key, context.records
    seen = records.pointer(key, ours.alias)
    if seen is None or seen.value.write_id != ours.write_id:
        return
    previous = seen.value.history[-1].run_id if seen.value.history else None
    before = None if previous is None else stored_manifest(records, key, previous)
    try:
        pointer = swap(context, key, ours.alias, before, _again(context, info), seen=seen)
        if before is None or stored_manifest(records, key, before.run_id) is not None:
            return
        seen = records.pointer(key, ours.alias)
        if seen is not None and seen.value.write_id == pointer.write_id:
            swap(context, key, ours.alias, None, _again(context, info), seen=seen)
    except PointerConflict:
        return  # another client has published since, and looks after it


def _again(context: Context, info: PublishInfo) -> PublishInfo:
    """Return what another write says of the same operation."""
    return replace(info, write_id=context.new_write_id(), at=context.now())
