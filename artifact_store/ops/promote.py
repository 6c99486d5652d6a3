"""Move an alias to a run that was committed earlier: promote, roll back, retire.

Unlike the publish at the end of a save, the run may be deleted at the same moment; so its manifest is read before and
after, and what was published before is published again if it went away in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from artifact_store.core import keys
from artifact_store.core.errors import (
    ArtifactStoreError,
    Corrupt,
    NotFound,
    NothingToRollBackTo,
    OutcomeUnknown,
    PointerConflict,
)
from artifact_store.core.keys import ModelKey, RunId
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import Note, Pointer, Publish, advance
from artifact_store.core.policy import Policy
from artifact_store.core.references import RunRef
from artifact_store.ops import signing
from artifact_store.ops.context import Context
from artifact_store.ops.publish import SeenPointer, publish, read_manifest, read_pointer, swap
from artifact_store.storage.settle import patiently

MakeNote = Callable[[], Note]


def promote(context: Context, alias: str, manifest: Manifest, policy: Policy, *, note: MakeNote) -> Pointer:
    """Publish a committed run as the policy says, deciding again after every genuine conflict.

    Raises:
        RunNotFound, RunDeleted: it is not there, or was deleted meanwhile; the alias is as it was before.
        PointerConflict, MetricMissing: the policy refuses; the alias is as it was before.
        OutcomeUnknown: the publish may have landed, or has, and the run may be deleted.
    """
    _check(context, manifest)
    decision = publish(context.backend, alias, manifest, policy, note=note, patience=context.patience)
    if decision.pointer is None:
        assert decision.refusal is not None
        raise decision.refusal
    return kept(context, decision.pointer, manifest, note)


def republish(context: Context, alias: str, manifest: Manifest, *, note: MakeNote, seen: SeenPointer) -> Pointer:
    """Publish a committed run over the pointer that was ``seen``, or not at all.

    Raises:
        RunNotFound, RunDeleted: as for :func:`promote`.
        PointerConflict: somebody published since; nothing was done.
        OutcomeUnknown: the publish may have landed.
    """
    _check(context, manifest)
    step = advance(seen.pointer, manifest.key, alias, manifest, note())
    pointer = swap(context.backend, manifest.key, alias, seen, step, context.patience)
    return kept(context, pointer, manifest, note)


def retire(context: Context, ref: RunRef, alias: str, seen: SeenPointer, *, note: MakeNote) -> Pointer:
    """Publish that the alias names no run, over the pointer that was ``seen``, or not at all.

    Raises:
        PointerConflict: somebody published since; nothing was done.
        OutcomeUnknown: the publish may have landed.
    """
    step = advance(seen.pointer, ref.key, alias, None, note())
    return swap(context.backend, ref.key, alias, seen, step, context.patience)


def candidates(past: Sequence[Publish]) -> Iterator[RunId]:
    """Yield what a rollback may serve again, best first: what served before the current run *first* served, and so on.

    So a second rollback goes one further back instead of returning to what the first one left. A retired alias goes
    back to what it named last.
    """
    current = past[-1].run_id
    first = next(place for place, entry in enumerate(past) if entry.run_id == current)
    before = past if current is None else past[:first]
    tried = {current}
    for entry in reversed(before):
        if entry.run_id is not None and entry.run_id not in tried:
            tried.add(entry.run_id)
            yield RunId(entry.run_id)


def choose(context: Context, ref: RunRef, past: Sequence[Publish]) -> Manifest:
    """Return the run that a rollback serves again; deleted runs are passed over.

    Raises:
        NothingToRollBackTo: no earlier run is left.
    """
    for run_id in candidates(past):
        try:
            return _read(context, ref, run_id)
        except NotFound:
            continue
    raise NothingToRollBackTo(f"{ref} never named another run that still exists; promote the one that you want")


def _read(context: Context, ref: RunRef, run_id: RunId) -> Manifest:
    return patiently(lambda: read_manifest(context.backend, ref.key, run_id), context.patience)


def _check(context: Context, manifest: Manifest) -> None:
    """Raise unless the run is committed and not deleted, with exactly this manifest, signed if the policy says so."""
    stored = _read(context, RunRef(manifest.key), RunId(manifest.run_id))
    if stored.digest != manifest.digest:
        raise Corrupt(f"the manifest of {manifest.label} is not the one that was committed")
    if context.policy.require_signature:
        signing.check_run(context, manifest)


def kept(context: Context, pointer: Pointer, manifest: Manifest, note: MakeNote) -> Pointer:
    """Return the pointer if its run is still there; else publish what was in force before, and raise.

    Raises:
        RunNotFound, RunDeleted: it is gone, and the alias does not name it any more.
        OutcomeUnknown: it is published, and whether it is still there, or what was before is back, nobody could tell.
    """
    try:
        try:
            _check(context, manifest)
        except NotFound:
            _restore(context, pointer, manifest, note)
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


def _restore(context: Context, ours: Pointer, manifest: Manifest, note: MakeNote) -> None:
    """Publish again what was in force before ``ours``, unless somebody has published since.

    What was in force may be deleted as well, even at this moment, since nothing named it: then the alias names nothing.
    """
    key, alias = manifest.key, ours.alias
    seen = patiently(lambda: read_pointer(context.backend, key, alias), context.patience)
    if seen.pointer is None or seen.pointer.write_id != ours.write_id:
        return
    previous = seen.pointer.history[-1].run_id if seen.pointer.history else None
    before = None if previous is None else _still_there(context, key, RunId(previous))
    try:
        pointer = swap(
            context.backend, key, alias, seen, advance(seen.pointer, key, alias, before, note()), context.patience
        )
        if before is not None and _still_there(context, key, RunId(before.run_id)) is None:
            seen = patiently(lambda: read_pointer(context.backend, key, alias), context.patience)
            if seen.pointer is not None and seen.pointer.write_id == pointer.write_id:
                swap(
                    context.backend, key, alias, seen, advance(seen.pointer, key, alias, None, note()), context.patience
                )
    except PointerConflict:
        return  # somebody has published since, and looks after it


def _still_there(context: Context, key: ModelKey, run_id: RunId) -> Manifest | None:
    try:
        return _read(context, RunRef(key), run_id)
    except NotFound:
        return None
