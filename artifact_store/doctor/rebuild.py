"""Rebuild the pointer of an alias that is lost or cannot be read: the one case in which something is written over it.

What a rebuilt pointer says comes from the archive of the alias and from the runs of the model, never from the damaged
bytes. Up to 64 publishes, the newest ones, were recorded in the pointer alone: any of them may have been a promotion or
a rollback. So the run that the alias named is known only where there is no choice, and everything else a person has to
say (``to``). FORMAT.md has the rule. It is written by compare-and-swap against the damaged bytes: a pointer that can
be read again is left alone.

Why: docs/decisions/0010-rebuilding-a-pointer.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from artifact_store.canonical import sha256
from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import BLOCK, GATHERED, HistoryBlock, Pointer, Publish, PublishInfo, advance
from artifact_store.errors import Corrupt, FormatUnsupported, InvalidOption, NotFound, PointerConflict
from artifact_store.ops import listing, opening, pointer_trust, publish, resolve, signing
from artifact_store.ops.context import Context
from artifact_store.ops.delete import StepResult
from artifact_store.ops.records import Stored, parse_pointer
from artifact_store.storage.conditional_write import Outcome

_LIMIT: Final = 8 << 20
_LOST: Final = "lost with the damaged pointer"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the store still has of an alias whose pointer is lost, and with it the pointer to write next."""

    seen: Stored[bytes] | None
    """The damaged bytes, which are replaced if they are still there."""
    archived: int
    """The last ``seq`` of the archive; 0 where nothing is archived."""
    pin: str | None
    """The sha256 of the newest block of the archive, where that can be read."""
    run: Manifest | None
    """The run that the pointer is to name; ``None``: no run, or it is not known which."""
    reason: str
    """Why it is this one."""
    question: str = ""
    """Why a person has to say which run it is; empty where that is known."""
    is_known: bool = True
    """Whether anything but the damaged object says that there ever was such an alias."""

    @property
    def next_seq(self) -> int:
        """The ``seq`` of the rebuilt pointer, higher than any that a reader can have seen.

        A pointer has at most 64 publishes, itself included, before the oldest go to the archive: so the lost one
        was at most 64 beyond it. The rebuilt one has 65, and is published over at once. This client's own record of
        what it has seen of the alias has raised ``archived`` where newer blocks are missing as well. What other
        clients have seen of missing blocks is unknown.
        """
        return self.archived + GATHERED + 1

    @property
    def message(self) -> str:
        """What it comes to, in a sentence."""
        names = "no run" if self.run is None else self.run.run_id
        return (
            f"rebuilt with seq {self.next_seq + 1} it names {names}: {self.reason}; up to {GATHERED} publishes of its "
            "history are lost"
        )


def find_recovery(context: Context, key: ModelKey, alias: str, *, to: Manifest | None = None) -> Recovery | None:
    """Return what is known of an alias whose pointer is lost, or ``None`` where the pointer can be read.

    ``to`` is the run that it is to name, if a person has said so.

    Raises:
        Corrupt: the object is too large for a pointer, or is not a plain object.
        RunNotFound, RunDeleted: the run ``to`` is not there any more.
        Untrusted: signatures are in use here, and the run ``to`` has none that is trusted.
        Unavailable, AccessDenied: it is not known what is stored.
    """
    seen = context.records.raw(keys.pointer(key, alias), limit=_LIMIT)
    if seen is not None and _pointer(seen.value, key, alias) is not None:
        return None
    blocks = _blocks(context, key, alias)
    archived = max(max(blocks, default=0), _archived_when_seen(context, key, alias))
    newest = _newest_block(context, key, alias, blocks)
    pin = sha256(newest.to_bytes()) if newest is not None and newest.last_seq == archived else None
    if to is not None:
        return Recovery(seen, archived, pin, _still_there(context, to), "chosen by hand")
    runs = _runs(context, key)
    is_known = bool(blocks) or any(_was_intended(run, alias) for run in runs.committed + runs.deleted)
    last = () if newest is None else newest.entries
    question = next(_questions(context, alias, runs, last), "")
    if not is_known:
        question = "nothing here says that there was such an alias"
    elif runs.committed and blocks and pin is None:
        question = "the newest part of its archive is missing or cannot be read"
    if question:
        return Recovery(seen, archived, pin, None, "", f"{question}{_likely(alias, runs, last)}", is_known=is_known)
    if not runs.committed:
        return Recovery(seen, archived, pin, None, "no run is left that it could name")
    return Recovery(seen, archived, pin, runs.committed[0], "it is the only run that is left")


def _pointer(data: bytes, key: ModelKey, alias: str) -> Pointer | None:
    try:
        return parse_pointer(data, key, alias)
    except Corrupt:
        return None


def is_lost(entry: Publish) -> bool:
    """Tell whether an entry of a history only holds the place of a publish that was lost, or of none."""
    return entry.run_id is None and entry.reason == _LOST


def _blocks(context: Context, key: ModelKey, alias: str) -> list[int]:
    children = context.records.children(keys.history_prefix(key, alias))
    return sorted(seq for child in children if (seq := keys.block_in(child)) and seq % BLOCK == 0)


def _archived_when_seen(context: Context, key: ModelKey, alias: str) -> int:
    """Return how far the archive must have gone when this client saw the alias last; 0 if it never did.

    A pointer at ``seq`` of more than 64 has 33 to 64 publishes, and all before them are archived.
    """
    seq = 0 if context.last_seen is None else context.last_seen.highest(context.backend, key, alias)
    return 0 if seq <= GATHERED else (seq - BLOCK - 1) // BLOCK * BLOCK


def _newest_block(context: Context, key: ModelKey, alias: str, blocks: Sequence[int]) -> HistoryBlock | None:
    """Return the newest block that can be read."""
    for last_seq in reversed(blocks):
        try:
            return context.records.block(key, alias, last_seq)
        except Corrupt:  # it is a finding of its own
            continue
    return None


# ---------------------------------------------------------------- which run


@dataclass(frozen=True, slots=True)
class _Runs:
    """The runs of a model, each oldest first: those that are there, those that were deleted, and what is damaged."""

    committed: list[Manifest]
    deleted: list[Manifest]
    unreadable: list[RunId]


def _runs(context: Context, key: ModelKey) -> _Runs:
    found = _Runs([], [], [])
    ids = sorted(listing.run_ids(context, key))
    with closing(context.workers.ahead(ids, lambda run_id: context.records.run(key, run_id).value)) as records:
        for run_id, future in records:
            try:
                record = future.result()
                if isinstance(record, Manifest):
                    found.committed.append(record)
                elif record.manifest is not None:
                    found.deleted.append(record.restored())
            except NotFound:  # never committed
                continue
            except (Corrupt, FormatUnsupported):
                found.unreadable.append(run_id)
    return found


def _was_intended(run: Manifest, alias: str) -> bool:
    return run.publish.alias == alias and run.publish.policy != "never"


def _names(entry: Publish, run: Manifest) -> bool:
    return (entry.run_id, entry.manifest_sha256) == (run.run_id, run.digest)


def _questions(context: Context, alias: str, runs: _Runs, last: Sequence[Publish]) -> Iterator[str]:
    """Yield why a person has to say which run the alias named; nothing where it can have named only one, or none.

    ``last`` are the publishes of the newest block of the archive, oldest first. That the alias was retired in a publish
    that only the lost pointer recorded cannot be excluded; of everything else one trace is enough to ask.
    """
    if runs.committed and (context.signer is not None or context.policy.require_signature):
        yield "signatures are in use, and neither the archive nor a run proves what was published"
    if runs.unreadable:
        yield f"it may have named {runs.unreadable[-1]}, whose manifest cannot be read"
    if not runs.committed:
        return
    if len(runs.committed) > 1:
        several = len(runs.committed)
        yield f"it may have named any of {several} runs: only the pointer recorded its last promotions and rollbacks"
    run = runs.committed[-1]
    if last and last[-1].at > run.created_at and not _names(last[-1], run):
        yield f"the last publish in its archive names {last[-1].run_id or 'no run'}"
    archived = bool(last) and _names(last[-1], run)
    if not archived and not (_was_intended(run, alias) and run.publish.policy == "always"):
        yield f"nothing says that it named {run.run_id}, the only run that is left"
    for gone in runs.deleted:
        if _was_intended(gone, alias) and gone.created_at > run.created_at:
            yield f"{gone.run_id} was saved later to be published there and was deleted: the alias was moved or retired"


def _likely(alias: str, runs: _Runs, last: Sequence[Publish]) -> str:
    """Return what helps a person to choose."""
    saved = [run for run in runs.committed if _was_intended(run, alias)]
    newest = max(saved, key=lambda run: run.created_at, default=None)
    hints = [] if newest is None else [f"the newest that was saved to be published there is {newest.run_id}"]
    if last and last[-1].run_id is not None:
        hints.append(f"the last in its archive is {last[-1].run_id}")
    return f" ({'; '.join(hints)})" if hints else ""


def _still_there(context: Context, run: Manifest) -> Manifest:
    """Return the manifest of a chosen run as it is stored now, if this client may publish it."""
    stored = context.records.manifest(run.key, RunId(run.run_id))
    pointer_trust.check_run_for_publish(replace(context, verified={}), stored)
    return stored


# ---------------------------------------------------------------- write it


def rebuild(context: Context, key: ModelKey, alias: str, *, to: Manifest | None = None) -> StepResult:
    """Write the pointer anew, if it still cannot be read, and check that the run that it names is still there.

    ``to`` is the run that a person has chosen; without it nothing is written unless it is known which one it was.

    Raises:
        InvalidOption: the run is signed, and this store has no signer.
        Conflict: the chosen run belongs to another store.
        RunNotFound, RunDeleted, Untrusted: as for :func:`find_recovery`.
        OutcomeUnknown: it may be written.
    """
    found = find_recovery(context, key, alias, to=to)
    if found is None:
        return StepResult("kept", "it can be read again")
    if found.question:
        return StepResult("kept", f"it is not known which run it named: {found.question}")
    opening.ensure_open_existing(context)
    if found.run is not None:
        _check_may_be_named(context, f"{key}@{alias}", found.run)
    pointer_trust.check_able(context)
    info = context.publish_info(f"rebuilt: {found.reason}")
    pointer = _next(context, key, alias, found, info)
    if _swap(context, key, alias, found.seen, pointer) is Outcome.LOST:
        return StepResult("kept", "another writer was faster")
    gone = found.run is not None and publish.stored_manifest(context.records, key, found.run.run_id) is None
    again = replace(info, write_id=context.new_write_id())
    _publish_over(context, key, alias, pointer, None if gone else found.run, again)
    if gone:
        return StepResult("rebuilt", "it names no run: the one that it should name was deleted at this moment")
    return StepResult("rebuilt", found.message)


def _check_may_be_named(context: Context, ref: str, run: Manifest) -> None:
    resolve.check_lives_here(context, run)
    if context.signer is None and (run.signed_by or signing.signers(context, run)):
        raise InvalidOption(
            f"{run.label} is signed, and readers that demand signatures refuse a pointer without one: repair {ref} "
            "with the key that signs here (signer=, or --signer)"
        )


def _next(context: Context, key: ModelKey, alias: str, found: Recovery, info: PublishInfo) -> Pointer:
    first = advance(None, key, alias, found.run, info).pointer
    lost = dict(first.current) | {"run_id": None, "manifest_sha256": None, "reason": _LOST}
    history = tuple(
        Publish(**lost | {"seq": seq, "write_id": context.new_write_id()})
        for seq in range(found.archived + 1, found.next_seq)
    )
    follows = {"seq": found.next_seq, "history": history, "archive": found.pin}
    return pointer_trust.sign_pointer(context, Pointer(**dict(first) | follows))  # made anew, so that it is validated


def _swap(context: Context, key: ModelKey, alias: str, seen: Stored[bytes] | None, pointer: Pointer) -> Outcome:
    def is_ours(data: bytes) -> bool:
        now = _pointer(data, key, alias)
        return now is not None and any(entry.write_id == pointer.write_id for entry in now.entries)

    return context.records.replace_raw(
        pointer.storage_key, seen, pointer.to_bytes(), limit=_LIMIT, write_id=pointer.write_id, is_ours=is_ours
    )


def _publish_over(
    context: Context, key: ModelKey, alias: str, pointer: Pointer, run: Manifest | None, info: PublishInfo
) -> None:
    """Publish over the rebuilt pointer what it names, or no run, unless another publish came in between.

    That moves the oldest of the lost publishes to the archive, by which the ``seq`` of a second repair is chosen.
    """
    seen = context.records.pointer(key, alias)
    if seen is None or seen.value.write_id != pointer.write_id:
        return
    try:
        publish.swap(context, key, alias, run, info, seen=seen)
    except PointerConflict:
        return
