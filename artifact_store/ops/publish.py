"""Commit a run, and move an alias: the two conditional writes of the protocol.

Commit is the create-only write of the manifest; publish is the compare-and-swap of a pointer. Each ends in one of
three ways: it landed, it lost to another writer, or that cannot be known (``OutcomeUnknown``). ``FORMAT.md`` has the
protocol, :mod:`artifact_store.ops.records` the writes themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from artifact_store.canonical import canonical
from artifact_store.core import keys
from artifact_store.core.documents import check_readable
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import Advance, Pointer, PublishInfo, advance
from artifact_store.core.policy import IfBetter, Policy, decide
from artifact_store.errors import (
    ArtifactStoreError,
    Corrupt,
    NotFound,
    OutcomeUnknown,
    PointerConflict,
    RunDeleted,
    RunExists,
)
from artifact_store.ops import pointer_trust, remembering
from artifact_store.ops.context import Context
from artifact_store.ops.records import Records, SeenPointer
from artifact_store.storage.conditional_write import Outcome


def commit(records: Records, manifest: Manifest) -> Manifest:
    """Write the manifest if there is none; from then on the run exists. Return the manifest that is there.

    Where another saver was first with the same files, its manifest is returned: the two saves are one.

    Raises:
        RunExists: another run was committed under this id.
        RunDeleted: this id was used, and its run deleted.
        OutcomeUnknown: the run may be committed.
    """
    check_readable(Manifest, manifest.to_bytes())
    try:
        outcome = records.write(manifest, over=None)
    except OutcomeUnknown as error:
        error.run_id = manifest.run_id
        raise
    if outcome is Outcome.WON:
        return manifest
    first = records.manifest(manifest.key, RunId(manifest.run_id))
    if _content(first) != _content(manifest):
        raise RunExists(
            f"another run was committed as {manifest.label}, at {first.created_at:%Y-%m-%d %H:%M:%S} UTC; "
            "it is untouched. Save under another run id, or let the store choose one"
        )
    return first


_INCIDENTAL: Final = frozenset(
    {"write_id", "created_at", "environment", "provenance", "publish", "files", "checksum", "signed_by"}
)


def _content(manifest: Manifest) -> bytes:
    """Return what makes two saves one: the same files, and the same words about them."""
    said = {name: value for name, value in manifest.to_json().items() if name not in _INCIDENTAL}
    files = {entry.path: entry.sha256 for entry in manifest.files if entry.path != keys.METADATA}
    return canonical([said, files])


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of a publish: the pointer that was written, or why it was not."""

    pointer: Pointer | None
    refusal: ArtifactStoreError | None


def publish(
    context: Context, alias: str, manifest: Manifest, policy: Policy, info: PublishInfo, *, seen: SeenPointer
) -> Decision:
    """Publish a committed run under an alias of its model as the policy says, whatever others publish meanwhile.

    ``seen`` is the pointer as it was read before. After every conflict with another writer the policy is asked again.

    Raises:
        Untrusted: the policy of the store does not trust the pointer that is there.
        OutcomeUnknown: the publish may have landed.
        PointerConflict: other writers were first each time, until the timeout.
    """
    key, overtaken = manifest.key, False
    for _ in context.retry.tries():
        if overtaken:
            seen = context.records.pointer(key, alias)
        before = None if seen is None else seen.value
        if before is not None and info.write_id in {entry.write_id for entry in before.entries}:
            return Decision(before, None)
        incumbent = (
            manifest_of(context.records, before) if before is not None and isinstance(policy, IfBetter) else None
        )
        refusal = decide(policy, manifest, before, incumbent)
        if refusal is not None:
            return Decision(None, refusal)
        published = _swap_once(context, seen, advance(before, key, alias, manifest, info))
        if published is not None:
            return Decision(published, None)
        overtaken = True
    raise _conflict(context, key, alias, manifest.run_id)


def swap(
    context: Context, key: ModelKey, alias: str, manifest: Manifest | None, info: PublishInfo, *, seen: SeenPointer
) -> Pointer:
    """Publish a run (``None``: no run) over the pointer that was ``seen``, once.

    Exactly one of several concurrent callers that saw the same pointer succeeds. On success the returned pointer was
    in force at some moment during the call; it may already have been replaced.

    Raises:
        Untrusted: the policy of the store does not trust the pointer that was seen; nothing was done.
        PointerConflict: another publish came first, and nothing was done; ``actual`` is its pointer, if it can be read.
        OutcomeUnknown: the write may have landed and could not be read back.
    """
    return swap_to(context, seen, advance(None if seen is None else seen.value, key, alias, manifest, info))


def swap_to(context: Context, seen: SeenPointer, step: Advance) -> Pointer:
    """Write a pointer over the one that was ``seen``, once, with what has to be there before; as :func:`swap`."""
    published = _swap_once(context, seen, step)
    if published is None:
        raise _conflict(context, step.pointer.key, step.pointer.alias, step.pointer.run_id)
    return published


def _swap_once(context: Context, seen: SeenPointer, step: Advance) -> Pointer | None:
    """Return the pointer that was published, or ``None`` if another publish came first."""
    # its history is carried on, and signed
    pointer_trust.check_pointer_for_publish(context, step.pointer.key, step.pointer.alias, seen)
    for block in step.blocks:
        if context.records.write(block, over=None) is Outcome.LOST:
            where = block.storage_key
            text = f"{where!r} holds another history than the pointer leads up to; nothing was published"
            raise Corrupt(text, key=where)
    pointer = pointer_trust.sign_pointer(context, step.pointer)
    try:
        outcome = context.records.write(pointer, over=seen)
    except OutcomeUnknown as error:
        error.run_id = pointer.run_id
        raise
    return pointer if outcome is Outcome.WON else None


def _conflict(context: Context, key: ModelKey, alias: str, run_id: str | None) -> PointerConflict:
    """Return the error for a publish that lost, with the pointer that is there now if that can be read."""
    try:
        found = context.records.pointer(key, alias)
    except ArtifactStoreError as error:  # that the publish lost is certain all the same
        text = f"{key}@{alias} moved on meanwhile, and what it names now could not be read: {error}"
        return PointerConflict(f"{text}; look at it and decide again", run_id=run_id)
    actual = None if found is None else found.value
    now = (actual.run_id if actual is not None else None) or "no run"
    text = f"{key}@{alias} moved on to {now} meanwhile; look at it and decide again"
    return PointerConflict(text, actual=actual, run_id=run_id)


def manifest_of(records: Records, pointer: Pointer) -> Manifest | None:
    """Return the manifest that a pointer names: the copy in it, else the stored one; ``None`` if that is gone."""
    embedded = pointer.embedded(f"the pointer {pointer.label}")
    if embedded is not None or pointer.run_id is None:
        return embedded
    manifest = stored_manifest(records, pointer.key, pointer.run_id)
    if manifest is not None and manifest.digest != pointer.manifest_sha256:
        raise other_manifest(manifest, pointer.alias)
    return manifest


def stored_manifest(records: Records, key: ModelKey, run_id: str) -> Manifest | None:
    """Return the manifest of a run, or ``None`` if the run is not there (any more)."""
    try:
        return records.manifest(key, RunId(run_id))
    except NotFound:
        return None


def published_manifest(context: Context, pointer: Pointer) -> Manifest:
    """Return the manifest of the run that a pointer names, for it to be loaded.

    Raises:
        RunDeleted: the run is gone.
        Corrupt: its manifest is not the one that was published.
    """
    manifest = manifest_of(context.records, pointer)
    if manifest is None:
        raise RunDeleted(
            f"{pointer.label} names the run {pointer.run_id}, which is gone; roll the alias back, or promote another "
            "run to it"
        )
    if pointer.manifest is None:
        remembering.remember_document(context, manifest.storage_key, manifest.to_bytes())
    return manifest


def other_manifest(manifest: Manifest, alias: str) -> Corrupt:
    """Return the error for a stored manifest that is sound and is not the one that a pointer pins."""
    return Corrupt(f"the manifest of {manifest.label} is not the one that was published as {alias!r}: it was replaced")
