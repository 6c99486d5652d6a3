"""Rebuild the pointer of an alias that is lost or cannot be read: the one case in which something is written over it.

The new pointer has a higher ``seq`` than any that the old one can have had, carries on the archive, and names a run
only if its stored manifest has the digest that speaks for it. What cannot be made out is said to be lost. It is written
by compare-and-swap against the damaged bytes: a pointer that can be read again is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from artifact_store.core import keys
from artifact_store.core.canonical import sha256
from artifact_store.core.errors import (
    Corrupt,
    InvalidOption,
    NotFound,
    PointerConflict,
    Untrusted,
)
from artifact_store.core.keys import ModelKey, RunId
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import (
    BLOCK,
    GATHERED,
    MAX_EMBEDDED,
    MAX_NOTE,
    HistoryBlock,
    Note,
    Pointer,
    Publish,
)
from artifact_store.diagnosis.salvage import Salvage, salvage
from artifact_store.ops import catalog, marker, publish, signing
from artifact_store.ops.audit import Problem
from artifact_store.ops.context import Context
from artifact_store.ops.deletion import Ending
from artifact_store.ops.records import Stored
from artifact_store.storage.settle import Outcome

_LIMIT: Final = 8 << 20
_FAR: Final = 256
"""A ``seq`` that lies so far beyond what there can be is itself damaged."""
_LOST = "lost with the damaged pointer"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for the next pointer: what it names and why, the history that is known, and the ``seq`` to beat."""

    seen: Stored[bytes] | None
    salvaged: Salvage
    archived: int
    pin: str | None
    """The sha256 of the newest block of the archive, where that can be read."""
    known: tuple[Publish, ...]
    beaten: int
    run: Manifest | None
    why: str

    @property
    def told(self) -> str:
        """What it comes to, in a sentence."""
        names = "no run" if self.run is None else self.run.run_id
        lost = self.beaten - self.archived - len(self.known)
        history = (
            f"; {'one publish' if lost == 1 else f'up to {lost} publishes'} of its history cannot be read"
            if lost
            else ""
        )
        return f"rebuilt with seq {self.beaten + 1} it names {names}: {self.why}{history}"


def gather(context: Context, key: ModelKey, alias: str) -> Evidence | None:
    """Return what the store still tells of an alias, or ``None`` if nothing says that there ever was one.

    Also ``None`` where the pointer can be read.

    Raises:
        Corrupt: what lies there is too large, or no object at all.
        Unavailable, AccessDenied: it is not known what is stored.
    """
    seen = context.records.raw(keys.pointer(key, alias), limit=_LIMIT)
    if seen is not None and _pointer(seen.value, key, alias) is not None:
        return None
    found = salvage(b"" if seen is None else seen.value, key, alias)
    blocks = _blocks(context, key, alias)
    problems: list[Problem] = []
    runs = list(catalog.manifests(context, key, catalog.Filter(), problems))
    wished = any(run.publish.alias == alias and run.publish.policy != "never" for run in runs)
    if not (blocks or found.is_pointer or (wished and seen is not None)):
        return None
    archived = max(blocks, default=0)
    if found.entries and (found.closed or len(found.entries) > 1) and found.entries[0].seq % BLOCK == 1:
        archived = max(archived, found.entries[0].seq - 1)  # blocks that should be there and are not
    known = _known(found, archived, trusted=_needs_no_trust(context))
    beaten = _beaten(found, archived, known)
    newest = _newest_block(context, key, alias, blocks)
    pin = sha256(newest.to_bytes()) if newest is not None and newest.last_seq == archived else None
    last = known[-1:] or (() if newest is None else newest.entries)
    run, why = _choose(context, alias, found, runs, last)
    return Evidence(seen, found, archived, pin, known, beaten, run, why)


def _pointer(data: bytes, key: ModelKey, alias: str) -> Pointer | None:
    where = keys.pointer(key, alias)
    try:
        pointer = Pointer.from_bytes(data, what=f"{where!r}")
        pointer.check_identity(key, alias, f"{where!r}")
    except Corrupt:
        return None
    return pointer


def _blocks(context: Context, key: ModelKey, alias: str) -> list[int]:
    children = context.records.children(keys.history_prefix(key, alias))
    return sorted(seq for child in children if (seq := keys.block_in(child)) and seq % BLOCK == 0)


def _needs_no_trust(context: Context) -> bool:
    return context.signer is None and not context.policy.require_signature


def _known(found: Salvage, archived: int, *, trusted: bool) -> tuple[Publish, ...]:
    """Return the publishes after the archive that can still be read; none where they would have to be signed."""
    if not trusted:
        return ()
    entries = [entry for entry in found.entries if entry.seq > archived]
    if found.closed and found.current is not None and (not entries or found.current.seq == entries[-1].seq + 1):
        entries.append(found.current)
    return tuple(entries) if entries and entries[0].seq == archived + 1 else ()


def _beaten(found: Salvage, archived: int, known: Sequence[Publish]) -> int:
    """Return the highest ``seq`` that the pointer can have had.

    It tells of 64 publishes at most, so without a better clue it is that many beyond the archive.
    """
    most = archived + GATHERED
    if found.closed:
        most = max(archived, found.entries[-1].seq if found.entries else archived) + 1
    clue = found.highest if found.highest <= archived + _FAR else 0
    return max(most, clue, archived + len(known))


def _newest_block(context: Context, key: ModelKey, alias: str, blocks: Sequence[int]) -> HistoryBlock | None:
    """Return the newest block that can be believed."""
    for last_seq in reversed(blocks):
        try:
            return context.records.block(key, alias, last_seq)
        except Corrupt:  # it is a finding of its own
            continue
    return None


# ---------------------------------------------------------------- which run


def _choose(
    context: Context, alias: str, found: Salvage, runs: Sequence[Manifest], last: Sequence[Publish]
) -> tuple[Manifest | None, str]:
    """Return the run that the alias is to name, and why."""
    if found.retired and found.current is not None:
        return None, "it was retired"
    for run, why in _candidates(alias, found, runs, last):
        if _may_be_named(context, run):
            return run, why
    return None, "nothing tells what it named; promote a run to it"


def _candidates(
    alias: str, found: Salvage, runs: Sequence[Manifest], last: Sequence[Publish]
) -> Iterator[tuple[Manifest, str]]:
    """Yield what the alias may have named, the likeliest first; ``runs`` are the newest first."""
    digests = {(run.run_id, run.digest): run for run in runs}
    if found.named is not None and found.named in digests:
        yield digests[found.named], "the damaged pointer names it, with the digest that its manifest has"
    served = [entry for entry in last if (entry.run_id, entry.manifest_sha256) in digests]
    since = served[-1].at if served else None
    for run in runs:
        wished = run.publish.alias == alias and run.publish.policy == "always"
        if wished and (since is None or run.created_at > since):
            yield run, f"the newest that was saved to be published as {alias!r}"
    for entry in reversed(served):
        yield digests[entry.run_id or "", entry.manifest_sha256 or ""], "the last in the history that is there"


def _may_be_named(context: Context, run: Manifest) -> bool:
    """Tell whether this client may vouch for a run: where signatures are used, it has to be signed."""
    if _needs_no_trust(context):
        return True
    trusted = [] if context.signer is None else [context.signer.public_key]
    policy = replace(context.policy, require_signature=True, trusted_keys=[*context.policy.trusted_keys, *trusted])
    try:
        signing.check_run(replace(context, policy=policy, vouched={}), run)
    except (Untrusted, NotFound):
        return False
    return True


# ---------------------------------------------------------------- write it


def rebuild(context: Context, key: ModelKey, alias: str) -> Ending:
    """Write the pointer anew, if it still cannot be read, and see that the run that it names is still there.

    Raises:
        InvalidOption: the damaged pointer was signed, and this store has no signer.
        OutcomeUnknown: it may be written.
    """
    evidence = gather(context, key, alias)
    if evidence is None:
        return Ending("kept", "it can be read again, or nothing is known of it any more")
    if evidence.salvaged.is_signed and context.signer is None:
        raise InvalidOption(
            f"{key}@{alias} was signed, and readers would refuse a pointer without a signature: repair it with the key "
            "that signs here (signer=, or --signer)"
        )
    marker.opened_if_there(context)
    signing.check_able(context)
    note = context.note(f"rebuilt: {evidence.why}")
    pointer = _next(context, key, alias, evidence, note)
    if _swap(context, key, alias, evidence.seen, pointer) is Outcome.LOST:
        return Ending("kept", "somebody was faster")
    if evidence.run is not None and not _is_there(context, evidence.run):
        _let_go(context, key, alias, pointer, replace(note, write_id=context.new_write_id()))
        return Ending("rebuilt", "it names no run: the one that it should name was deleted at this moment")
    return Ending("rebuilt", evidence.told)


def _next(context: Context, key: ModelKey, alias: str, evidence: Evidence, note: Note) -> Pointer:
    body = None if evidence.run is None else evidence.run.to_bytes()
    begun = evidence.archived + len(evidence.known) + 1
    lost = [
        Publish(
            seq=seq,
            run_id=None,
            manifest_sha256=None,
            write_id=context.new_write_id(),
            at=note.at,
            by=note.by[:MAX_NOTE],
            reason=_LOST,
        )
        for seq in range(begun, evidence.beaten + 1)
    ]
    fits = evidence.run is not None and body is not None and len(body) <= MAX_EMBEDDED
    pointer = Pointer(
        model_type=key.model_type,
        symbol=key.symbol,
        alias=alias,
        seq=evidence.beaten + 1,
        run_id=None if evidence.run is None else evidence.run.run_id,
        manifest_sha256=None if body is None else sha256(body),
        manifest=evidence.run.to_json() if evidence.run is not None and fits else None,
        write_id=note.write_id,
        at=note.at,
        by=note.by[:MAX_NOTE],
        reason=note.reason[:MAX_NOTE],
        history=(*evidence.known, *lost),
        archive=evidence.pin,
    )
    return signing.sign_pointer(context, pointer)


def _swap(context: Context, key: ModelKey, alias: str, seen: Stored[bytes] | None, pointer: Pointer) -> Outcome:
    def is_ours(data: bytes) -> bool:
        now = _pointer(data, key, alias)
        return now is not None and any(entry.write_id == pointer.write_id for entry in now.entries)

    return context.records.replace_raw(
        pointer.storage_key, seen, pointer.to_bytes(), limit=_LIMIT, write_id=pointer.write_id, is_ours=is_ours
    )


def _is_there(context: Context, run: Manifest) -> bool:
    try:
        context.records.manifest(run.key, RunId(run.run_id))
    except NotFound:
        return False
    return True


def _let_go(context: Context, key: ModelKey, alias: str, pointer: Pointer, note: Note) -> None:
    """Publish that the alias names no run, unless somebody has published since."""
    seen = context.records.pointer(key, alias)
    if seen is None or seen.value.write_id != pointer.write_id:
        return
    try:
        publish.swap(context, key, alias, None, note, seen=seen)
    except PointerConflict:
        return
