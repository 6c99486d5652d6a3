"""Settle a conditional write whose reply was lost or is not reliable: won, lost, or unknown.

Object stores lose replies. Their clients then send the request again by themselves and report the conflict with their
own first attempt, so neither an error nor a 412 says what happened. What is stored does: the writer reads it back and
looks for its own write. PROTOCOL in ``FORMAT.md`` states the rules that this module carries out.

Owns the order of sending, reading back and waiting. What identifies a write, :func:`write_settled` is given for whole
small objects, and :func:`settle` for anything else.

Why: docs/decisions/0002-lost-replies.md
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from artifact_store import errors
from artifact_store.storage.base import Backend, Blob, IfAbsent, IfVersion, Version
from artifact_store.storage.retry import RetryPolicy


class Observed(enum.Enum):
    """What reading the key back found."""

    OURS = "our write is there, or was there before later ones"
    OTHER = "another writer's write is there, so ours can never land"
    UNCHANGED = "what the write expects is still so: it did not land, or not yet"


class Outcome(enum.Enum):
    """How a conditional write ended, where that is known at all."""

    WON = "our write landed"
    LOST = "our write did not land and never will"


def settle(
    send: Callable[[], object],
    look: Callable[[], Observed],
    *,
    retry: RetryPolicy,
    key: str,
    write_id: str | None = None,
) -> Outcome:
    """Send the same write until it is known to have landed, or to have lost.

    ``send`` makes the same write with the same precondition each time; ``look`` reads what is stored.

    Raises:
        OutcomeUnknown: neither could be established in time. Nothing was cleaned up.
        TooManyOpenFiles: it could not be sent in all of that time.
        ArtifactStoreError: the storage refused the write for good, and no earlier attempt can have landed.
    """
    doubt: errors.ArtifactStoreError | None = None
    unsent: errors.TooManyOpenFiles | None = None
    for _ in retry.tries():
        try:
            send()
        except errors.TooManyOpenFiles as error:
            unsent = error
            continue
        except errors.ArtifactStoreError as error:
            doubt = _doubt(error, doubt, key, write_id)
        else:
            return Outcome.WON
        try:
            seen = look()
        except errors.Unavailable as error:
            doubt = error
        except errors.ArtifactStoreError as error:  # it cannot be read or understood, so the outcome is unknown
            raise _unknown(key, write_id) from error
        else:
            if seen is not Observed.UNCHANGED:
                return Outcome.WON if seen is Observed.OURS else Outcome.LOST
    if doubt is None and unsent is not None:
        raise unsent
    raise _unknown(key, write_id) from doubt


def write_settled(
    backend: Backend,
    key: str,
    body: bytes,
    *,
    over: Version | None,
    limit: int,
    retry: RetryPolicy,
    is_ours: Callable[[bytes], bool] | None = None,
    write_id: str | None = None,
) -> Outcome:
    """Write one object over the version that was seen (``None``: nothing), and find out how that ended.

    ``is_ours`` recognises the write in what is stored afterwards; without it these are the same bytes. ``limit`` bounds
    what is read back.

    Raises:
        OutcomeUnknown, ArtifactStoreError: as for :func:`settle`.
    """
    when = IfAbsent() if over is None else IfVersion(over)

    def send() -> None:
        backend.write(key, body, when=when)

    def look() -> Observed:
        found = read_or_none(backend, key, limit=limit)
        if found is None:  # a version that was taken away cannot come again
            return Observed.UNCHANGED if over is None else Observed.OTHER
        if found.version == over:
            return Observed.UNCHANGED
        ours = found.data == body if is_ours is None else is_ours(found.data)
        return Observed.OURS if ours else Observed.OTHER

    return settle(send, look, retry=retry, key=key, write_id=write_id)


def read_or_none(backend: Backend, key: str, *, limit: int) -> Blob | None:
    """Return an object, or ``None`` if it is not there. One request.

    A container that is missing is an empty one where the first write makes it, and an error where it does not.
    """
    try:
        return backend.read(key, limit=limit)
    except errors.ObjectNotFound:
        return None
    except errors.ContainerNotFound:
        if backend.makes_root:
            return None
        raise


def _doubt(
    error: errors.ArtifactStoreError, before: errors.ArtifactStoreError | None, key: str, write_id: str | None
) -> errors.ArtifactStoreError:
    """Return an error after which the write may have landed; raise any other, or what it means after such a one."""
    unproven = isinstance(error, errors.PreconditionFailed | errors.Unavailable)
    if unproven and not isinstance(error, errors.StorageFull | errors.StagingUnavailable | errors.LockHeld):
        return error
    if before is None:
        raise error
    raise _unknown(key, write_id) from error


def _unknown(key: str, write_id: str | None) -> errors.OutcomeUnknown:
    return errors.OutcomeUnknown(
        f"the write of {key!r} may have landed, and it could not be read back in time; nothing was cleaned up. "
        "Look at it again later: repeating the same save or promote is safe, a repeated rollback goes further back",
        key=key,
        write_id=write_id,
    )
