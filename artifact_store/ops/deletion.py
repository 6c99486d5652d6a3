"""One run on its way out: marked, brought back, or swept; and what a save that was cut short has left.

Every step is a conditional write of the object in the place of the manifest, settled by its own write id, so it is
known who did what. Nothing else of a run is touched before its tombstone is sealed. ``FORMAT.md`` has the protocol.
Decides nothing: which runs may go is for :mod:`artifact_store.ops.retention` and :mod:`artifact_store.ops.survey`.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from artifact_store.core import keys
from artifact_store.core.errors import (
    ArtifactStoreError,
    Conflict,
    ContainerNotFound,
    NotFound,
    ObjectNotFound,
    OutcomeUnknown,
    RunInUse,
    Unavailable,
)
from artifact_store.core.keys import ModelKey, RunId
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import Note
from artifact_store.core.tombstone import MAX_TOMBSTONE, Tombstone
from artifact_store.ops import catalog
from artifact_store.ops.context import Context
from artifact_store.ops.publish import SeenRun, deleted, read_run
from artifact_store.storage.base import Always, Entry, IfAbsent, IfVersion
from artifact_store.storage.settle import Outcome, Seen, patiently, settle

Result = Literal["deleted", "restored", "swept", "cleared", "aborted", "rebuilt", "quarantined", "fixed", "kept"]


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a run, or of something left over: the result, and why it was kept if it was."""

    result: Result
    detail: str = ""


def storage_time(context: Context) -> datetime:
    """Return the time now by the storage's own clock: that of an object which is written for the purpose.

    Ages are compared with it, since the times in a listing are the storage's, and a client's clock may be wrong.
    """
    key = keys.probe(secrets.token_hex(16))  # the same for every try, so that the last one removes what others left

    def ask() -> datetime:
        try:
            context.backend.write(key, b"?", when=Always())
            found = [entry.modified for entry in context.backend.list(keys.PROBES) if entry.key == key]
        finally:
            context.backend.delete(key)
        if not found:
            raise Unavailable(f"{context.backend.url}: a listing did not show what was just written; try again")
        return found[0]

    return patiently(ask, context.patience)


def named_by(context: Context, key: ModelKey, run_id: RunId) -> list[str]:
    """Return the aliases that name a run now: one listing, and one read for each alias of the model.

    Raises:
        Corrupt: a pointer cannot be believed, so nobody knows.
    """
    return [alias for alias, pointer in catalog.aliases(context, key).items() if pointer.run_id == run_id]


def look(context: Context, key: ModelKey, run_id: RunId) -> SeenRun:
    """Return what stands in the place of a run's manifest."""
    return patiently(lambda: read_run(context.backend, key, run_id), context.patience)


def objects(context: Context, key: ModelKey, run_id: RunId) -> list[Entry]:
    """Return every object below the prefix of a run."""
    return patiently(lambda: list(context.backend.list(keys.run_prefix(key, run_id))), context.patience)


def _note(context: Context, reason: str = "") -> Note:
    """Return who deletes now, and why. A tombstone is not signed: it takes away, and makes nobody believe anything."""
    return Note(context.new_write_id(), context.now(), context.actor, reason)


# ---------------------------------------------------------------- mark, and bring back


def mark(context: Context, key: ModelKey, run_id: RunId, *, reason: str) -> Tombstone:
    """Hide a committed run; its files stay until it is swept, and ``undelete`` brings it back until then.

    The pointers are read before and after. If one names the run afterwards, the run is brought back.

    Raises:
        RunNotFound, RunDeleted: there is no such run (any more).
        RunInUse: an alias names it.
        Conflict: somebody else did something to it at this moment.
        OutcomeUnknown: it may be marked.
    """
    seen = look(context, key, run_id)
    if isinstance(seen.record, Tombstone):
        raise deleted(seen.record)
    refuse_named(key, run_id, named_by(context, key, run_id))
    stone = Tombstone.mark(seen.record, _note(context, reason))
    if _replace(context, key, run_id, seen, stone) is Outcome.LOST:
        found = look(context, key, run_id)
        if isinstance(found.record, Tombstone):
            raise deleted(found.record)
        raise Conflict(f"{stone.label} was deleted and brought back by somebody at this moment; look at it again")
    trouble = _trouble_with_aliases(context, key, run_id)
    if trouble is None:
        return stone
    try:
        # what an alias names comes back; so does what nobody can tell about, unless that is only for the moment
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


def _trouble_with_aliases(context: Context, key: ModelKey, run_id: RunId) -> ArtifactStoreError | None:
    try:
        refuse_named(key, run_id, named_by(context, key, run_id))
    except ArtifactStoreError as error:
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
    """Bring a run back that is marked and not swept. One that is there already is no error.

    Raises:
        RunNotFound: no such run was ever committed.
        RunDeleted: its files are gone, or somebody deleted it again at this moment.
        OutcomeUnknown: it may be back.
    """
    seen = look(context, key, run_id)
    if isinstance(seen.record, Manifest):
        return seen.record
    if seen.record.state == "sealed":
        raise deleted(seen.record)
    manifest = seen.record.restored()
    if _replace(context, key, run_id, seen, manifest) is Outcome.LOST:
        found = look(context, key, run_id).record
        if isinstance(found, Tombstone):
            raise deleted(found)
        return found
    return manifest


def unmark(context: Context, key: ModelKey, run_id: RunId, stone: Tombstone) -> bool:
    """Bring the run back if it still lies under this very stone, and tell whether it is back."""
    seen = look(context, key, run_id)
    if isinstance(seen.record, Manifest):
        return True
    if seen.record != stone:
        return False
    return _replace(context, key, run_id, seen, stone.restored()) is Outcome.WON


def _replace(context: Context, key: ModelKey, run_id: RunId, seen: SeenRun, document: Manifest | Tombstone) -> Outcome:
    """Swap what was ``seen`` in the place of the manifest for ``document``."""
    where, body = keys.manifest(key, run_id), document.to_bytes()

    def find() -> Seen:
        try:
            found = read_run(context.backend, key, run_id)
        except NotFound:
            return Seen.FOREIGN  # whatever took it away, the version that was seen cannot come again
        if _is_ours(found.record, document):
            return Seen.OURS
        return Seen.AS_BEFORE if found.version == seen.version else Seen.FOREIGN

    def send() -> None:
        context.backend.write(where, body, when=IfVersion(seen.version))

    return settle(send, find, patience=context.patience, key=where, write_id=document.write_id)


def _is_ours(found: Manifest | Tombstone, ours: Manifest | Tombstone) -> bool:
    """Tell whether what is there is our write, or a mark of ours that somebody has sealed since."""
    if isinstance(ours, Tombstone) and isinstance(found, Tombstone) and ours.seal is None:
        return found.write_id == ours.write_id
    return found == ours


# ---------------------------------------------------------------- sweep


def sweep(context: Context, key: ModelKey, run_id: RunId, *, grace: timedelta, now: datetime) -> Ending:
    """Remove the files of a run whose tombstone is at least ``grace`` old; the tombstone stays, sealed.

    The pointers are read once more before it is sealed: a run that one of them names is brought back. ``now`` is the
    storage's time. What an earlier sweep left behind is removed.

    Raises:
        OutcomeUnknown: it may be sealed; none of its files was removed.
        Corrupt: a pointer, or the tombstone, cannot be believed; nothing was removed.
    """
    seen = look(context, key, run_id)  # before the listing: a younger stone than the one that is listed is not sealed
    stone = seen.record
    if isinstance(stone, Manifest):
        return Ending("kept", "it was brought back")
    if stone.state == "marked":
        if now - _since(context, key, run_id, now) < grace:
            return Ending("kept", f"it was deleted less than {spoken(grace)} ago")
        if aliases := named_by(context, key, run_id):
            return _brought_back(context, key, run_id, stone, aliases)
        if _replace(context, key, run_id, seen, stone.sealed(_note(context))) is Outcome.LOST:
            found = look(context, key, run_id).record
            if isinstance(found, Manifest) or found.state == "marked":
                return Ending("kept", "somebody brought it back at this moment")
    elif stone.quarantine is not None and now - _since(context, key, run_id, now) < grace:
        return Ending("kept", f"it was put into quarantine less than {spoken(grace)} ago")
    return remove_files(context, key, run_id, "swept")


def _since(context: Context, key: ModelKey, run_id: RunId, now: datetime) -> datetime:
    """Return since when the tombstone is there, by the storage's own time of it."""
    place = keys.manifest(key, run_id)
    return next((entry.modified for entry in objects(context, key, run_id) if entry.key == place), now)


def _brought_back(context: Context, key: ModelKey, run_id: RunId, stone: Tombstone, aliases: Sequence[str]) -> Ending:
    why = f"{', '.join(aliases)} {'names' if len(aliases) == 1 else 'name'} it"
    return Ending("restored", why) if unmark(context, key, run_id, stone) else Ending("kept", why)


def remove_files(context: Context, key: ModelKey, run_id: RunId, result: Result) -> Ending:
    """Remove everything of a sealed run but its tombstone: exact keys from a listing of its own prefix.

    What cannot be removed, such as a file that another program has open on Windows, does not keep the rest from it; but
    once a failure has taken all of the patience, nothing more is begun.

    Raises:
        ArtifactStoreError: the first failure. The next sweep goes on.
    """
    place = keys.manifest(key, run_id)
    doomed = [entry.key for entry in objects(context, key, run_id) if entry.key != place]
    silent = threading.Event()

    def one(where: str, stop: threading.Event) -> ArtifactStoreError | None:
        del stop  # one failure is no reason to leave the others
        if silent.is_set():
            return None
        try:
            patiently(lambda: context.backend.delete(where), context.patience)
        except ArtifactStoreError as error:
            if isinstance(error, Unavailable):
                silent.set()
            return error
        return None

    failures = [error for error in context.workers.every(one, doomed, large=lambda _: False) if error is not None]
    if failures:
        raise failures[0]
    return Ending(result)


# ---------------------------------------------------------------- what was never committed


def clear(context: Context, key: ModelKey, run_id: RunId, *, grace: timedelta, now: datetime) -> Ending:
    """Remove what a save that was cut short has left, if nothing of it is younger than ``grace``.

    A tombstone comes first, in the place where the manifest would be: so a saver that is merely late cannot commit a
    run any more whose files are being removed.

    Raises:
        OutcomeUnknown: the tombstone may be there; nothing was removed.
    """
    found = objects(context, key, run_id)
    if why := unclear(found, key, run_id, grace=grace, now=now):
        return Ending("kept", why)
    stone = Tombstone.never_committed(key, run_id, _note(context, "a save that was never finished"))
    where, body = keys.manifest(key, run_id), stone.to_bytes()

    def find() -> Seen:
        try:
            blob = context.backend.read(where, limit=MAX_TOMBSTONE)
        except (ObjectNotFound, ContainerNotFound):
            return Seen.AS_BEFORE
        assert blob is not None
        return Seen.OURS if blob.data == body else Seen.FOREIGN

    def send() -> None:
        context.backend.write(where, body, when=IfAbsent())

    if settle(send, find, patience=context.patience, key=where, write_id=stone.write_id) is Outcome.LOST:
        record = look(context, key, run_id).record
        if isinstance(record, Manifest) or record.state == "marked":
            return Ending("kept", "it was committed at this moment")
    return remove_files(context, key, run_id, "cleared")


def unclear(found: Sequence[Entry], key: ModelKey, run_id: RunId, *, grace: timedelta, now: datetime) -> str | None:
    """Return why these objects are not the leftovers of a save that was cut short, or ``None`` if they are."""
    if not found:
        return "nothing is left of it"
    if any(entry.key == keys.manifest(key, run_id) for entry in found):
        return "it was committed"
    if any(now - entry.modified < grace for entry in found):
        return f"a part of it is younger than {spoken(grace)}, so it may be on its way"
    return None


def belongs(name: str, manifest: Manifest) -> bool:
    """Tell whether what lies under this name below a committed run is a part of it.

    Beside its files these are its signatures, whoever made them and when. A signature of another manifest is what a
    save left that lost to this run; anything else below the folder of the signatures was left by no save.
    """
    if name == keys.MANIFEST or name in {entry.key for entry in manifest.files}:
        return True
    if not name.startswith(keys.SIGNATURES):
        return False
    child = name.removeprefix(keys.SIGNATURES)
    return not keys.is_signature(child) or keys.signer_in(child, manifest.digest) is not None


def clear_stray(context: Context, key: ModelKey, run_id: RunId, name: str) -> Ending:
    """Remove what lies below a committed run and does not belong to it: another save under the id had left it."""
    record = look(context, key, run_id).record
    if isinstance(record, Tombstone) or belongs(name, record):
        return Ending("kept", "it belongs to the run")
    patiently(lambda: context.backend.delete(keys.data_file(key, run_id, name)), context.patience)
    return Ending("cleared")


_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def spoken(span: timedelta) -> str:
    """Return a span in the largest unit that it fills: ``7 days``, ``2 hours``, ``30 seconds``."""
    seconds = span.total_seconds()
    for name, size in _UNITS:
        if seconds >= size:
            amount = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{amount} {name}" if amount == "1" else f"{amount} {name}s"
    return "1 second" if seconds == 1 else f"{seconds:g} seconds"
