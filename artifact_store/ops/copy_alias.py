"""Copy what an alias names from one store to another: with its whole history, or as one more publish there.

With its history it is written in one swap, as if every publish had been made there: at the same time, by the same
person, for the same reason. What is there already has to be the beginning of it, and is recognised by its content.

Why: docs/decisions/0031-a-run-that-moves-keeps-its-bytes.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import Pointer, Publish
from artifact_store.core.policy import PublishAlways
from artifact_store.core.references import RunRef
from artifact_store.core.replay import parting, replay
from artifact_store.errors import Conflict, RunNotFound
from artifact_store.ops import pointer_trust, promote, publish, resolve
from artifact_store.ops.context import Context
from artifact_store.ops.copy_run import is_there
from artifact_store.ops.records import SeenPointer

AliasOutcome = Literal["copied", "published", "would copy", "already there", "ahead"]


def copy_alias(
    source: Context, target: Context, key: ModelKey, alias: str, *, history: bool, dry_run: bool = False
) -> AliasOutcome:
    """Let an alias name in ``target`` what it names in ``source``, where the run is in both.

    With ``history`` every publish is copied; without, the run is published there once more, unless it is in force. With
    ``dry_run`` nothing is written, and the run need not be there yet.

    Raises:
        Conflict: the alias has another history in the target; nothing was done.
        AliasNotFound, Corrupt, Untrusted: it cannot be read in the source.
        RunNotFound, RunDeleted: the run is not in the target.
        UnverifiedHistory, Untrusted: the target signs, and the run or the alias there is not signed by a trusted key.
        PointerConflict, OutcomeUnknown: as for a publish.
    """
    past = resolve.history(source, RunRef(key, alias, None))
    pointer = past.pointer
    manifest = None if pointer.run_id is None else publish.published_manifest(source, pointer)
    if history and target.signer is not None:  # what it signs has to be vouched for already
        pointer_trust.check_pointer_history(replace(source, policy=pointer_trust.vouching(target).policy), pointer)
    if not dry_run:
        pointer_trust.open_to_publish(target)
        if manifest is not None:
            _check_there(target, manifest)
    seen = target.records.pointer(key, alias)
    already = _compared(target, past, seen) if history else _in_force(pointer, seen)
    if already is not None or dry_run:
        return already or "would copy"
    if not history:
        _publish(source, target, pointer, manifest, seen)
        return "published"
    step = replay(None if seen is None else seen.value, key, alias, past, manifest)
    published = publish.swap_to(target, seen, step)
    if manifest is not None:
        promote.check_still_there(target, published, manifest, target.publish_info(_reason(source)))
    return "copied"


def _compared(target: Context, past: Sequence[Publish], seen: SeenPointer) -> AliasOutcome | None:
    """Return what there is to say of an alias that has all of this history; ``None`` if it has a beginning of it."""
    there = target.records.history(seen)
    common = parting(past, there)
    if common < min(len(past), len(there)):
        assert seen is not None
        raise Conflict(
            f"{seen.value.label} has another history in {target.backend.url}: the two differ from seq {common + 1} on. "
            "To publish the run there over what it names now, copy it with history=False, or --no-history"
        )
    if len(there) < len(past):
        return None
    return "already there" if len(there) == len(past) else "ahead"


def _in_force(pointer: Pointer, seen: SeenPointer) -> AliasOutcome | None:
    """Tell whether an alias names what this pointer does."""
    same = seen is not None and seen.value.manifest_sha256 == pointer.manifest_sha256
    return "already there" if same else None


def _check_there(target: Context, manifest: Manifest) -> None:
    if not is_there(target, manifest):
        raise RunNotFound(f"{manifest.label} is not in {target.backend.url}: copy it first")
    resolve.check_lives_here(target, manifest)
    pointer_trust.check_run_for_publish(target, manifest)


def _publish(source: Context, target: Context, pointer: Pointer, manifest: Manifest | None, seen: SeenPointer) -> None:
    info = target.publish_info(_reason(source))
    if manifest is not None:
        promote.promote(target, pointer.alias, manifest, PublishAlways(), info)
    elif seen is None:
        raise RunNotFound(f"{pointer.label} names no run: copy it with its history, or leave it out")
    else:
        promote.retire(target, seen, info)


def _reason(source: Context) -> str:
    return f"copied from {source.backend.url}"
