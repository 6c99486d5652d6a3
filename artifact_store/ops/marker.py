"""``_store.json``: that a root is a store, which id it has, and how its writers keep out of each other's way.

It is created in an empty root only and never changed, so that no housekeeping ever runs over somebody else's files.
A reader does not need it. Owns the opening of a store for writing, and the probe of what its storage really does.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from artifact_store.core import keys
from artifact_store.core.documents import Document, Kind, Time
from artifact_store.core.errors import (
    AccessDenied,
    ConditionsUnsupported,
    ContainerNotFound,
    Corrupt,
    FormatUnsupported,
    InvalidOption,
    NotAStore,
    ObjectNotFound,
    PreconditionFailed,
    Unreachable,
    Unsupported,
)
from artifact_store.storage.base import Always, Backend, IfAbsent, IfVersion, Precondition, Version
from artifact_store.storage.settle import Outcome, Patience, Seen, patiently, settle

MAX_MARKER: Final = 64 << 10
_IGNORED = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "lost+found/", keys.LOCKS, keys.PROBES})
_GLIMPSE = 3

Concurrency = Literal["safe", "single-writer"]


class StoreRecord(Document):
    """What ``_store.json`` says."""

    KIND: ClassVar[Kind] = "store"
    LIMIT: ClassVar[int] = MAX_MARKER

    store_id: str
    created_at: Time
    concurrency: Concurrency
    probed: Mapping[str, Mapping[str, bool]] = Field(default_factory=dict)
    """Endpoint → condition → whether it held, twice."""


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What holds for writes through a store, and who says so."""

    engine: str
    url: str
    concurrency: Concurrency
    create_only: bool
    compare_and_swap: bool
    durable: bool
    probed: bool
    """The conditions were seen to hold on this endpoint: recorded in ``_store.json``, or tried by this process."""
    reason: str
    """Why something does not hold, in a line."""


def guarantees(backend: Backend, concurrency: Concurrency, record: StoreRecord | None) -> Guarantees:
    """Return what is known without asking the storage; ``record`` is there once this process has written."""
    able = backend.capabilities
    return Guarantees(
        engine=backend.engine,
        url=backend.url,
        concurrency=concurrency,
        create_only=able.create_only,
        compare_and_swap=able.compare_and_swap,
        durable=able.durable,
        probed=record is not None and concurrency == "safe",
        reason=able.reason,
    )


def read_marker(backend: Backend) -> StoreRecord | None:
    """Return what the root says about itself, or ``None`` if it says nothing."""
    try:
        blob = backend.read(keys.STORE_MARKER, limit=MAX_MARKER)
    except (ObjectNotFound, ContainerNotFound):
        return None
    assert blob is not None
    return StoreRecord.from_bytes(blob.data, what=f"{keys.STORE_MARKER} of {backend.url}")


def is_there(backend: Backend, patience: Patience) -> bool:
    """Tell whether the root says that it is a store, be it in words that cannot be read."""
    try:
        return patiently(lambda: read_marker(backend), patience) is not None
    except (Corrupt, FormatUnsupported):
        return True


def try_to_write(backend: Backend, patience: Patience) -> None:
    """Write a throw-away object, and remove it where that is allowed; ``gc`` clears it where it is not.

    Raises:
        AccessDenied, StorageFull, Unavailable: the storage takes nothing.
    """
    key = keys.probe(secrets.token_hex(16))
    with suppress(PreconditionFailed):  # it is there already: the reply to the first try got lost
        patiently(lambda: backend.write(key, b"?", when=IfAbsent()), patience)
    with suppress(AccessDenied):  # a writer needs no right to delete
        patiently(lambda: backend.delete(key), patience)


def check_store(backend: Backend, patience: Patience) -> bool:
    """Tell whether the root is a store; if not, it is empty, or a folder that the first save will make.

    Raises:
        NotAStore: it holds something else.
        ContainerNotFound: the bucket does not exist.
    """
    found = patiently(lambda: read_marker(backend), patience)
    return (_look_into_the_root(backend, patience) if found is None else found) is not None


def open_for_writing(
    backend: Backend, concurrency: Concurrency, *, now: Callable[[], datetime], patience: Patience
) -> StoreRecord:
    """Return the record of the store, after making one if the root is empty.

    One request where the store exists and names this endpoint.

    Raises:
        Unsupported: the backend only reads.
        NotAStore: the root holds something else; nothing was written.
        ConditionsUnsupported: the storage ignores conditions, or cannot do them, and ``concurrency`` is ``safe``.
        InvalidOption: the store was made for the other mode.
    """
    if backend.read_only:
        raise Unsupported(backend.read_only)
    record = patiently(lambda: read_marker(backend), patience)
    if record is None:
        if concurrency == "safe":
            _check_capable(backend)
        record = _create(backend, concurrency, now, patience)
    if record.concurrency != concurrency:
        raise InvalidOption(
            f"{backend.url} was made with concurrency={record.concurrency!r} and all its writers have to use that; "
            f"this one uses {concurrency!r}"
        )
    if concurrency == "safe":
        _check_capable(backend)
        _check_verdict(backend, record.probed.get(backend.endpoint) or probe(backend, patience))
    return record


def _check_capable(backend: Backend) -> None:
    able = backend.capabilities
    if not (able.create_only and able.compare_and_swap):
        raise ConditionsUnsupported(
            f"{backend.url} cannot be written safely: {able.reason or 'no conditional writes'}. "
            "If only one process ever writes, say so with concurrency='single-writer'"
        )


def _check_verdict(backend: Backend, verdict: Mapping[str, bool]) -> None:
    failed = sorted(name for name, held in verdict.items() if not held)
    if failed:
        raise ConditionsUnsupported(
            f"{backend.url}: the server at {backend.endpoint} accepts conditional writes and does not honour them "
            f"({', '.join(failed)}), so concurrent writers would lose runs. Use another endpoint, or "
            "concurrency='single-writer' if only one process ever writes"
        )


def _create(backend: Backend, concurrency: Concurrency, now: Callable[[], datetime], patience: Patience) -> StoreRecord:
    """Make the marker, or return the one that somebody else made meanwhile."""
    made = _look_into_the_root(backend, patience)
    if made is not None:
        return made
    verdict = probe(backend, patience) if concurrency == "safe" else {}
    if verdict:
        _check_verdict(backend, verdict)
    record = StoreRecord(
        store_id=uuid.uuid4().hex,
        created_at=now(),
        concurrency=concurrency,
        probed={backend.endpoint: verdict} if verdict else {},
    )
    body = record.to_bytes()

    def look() -> Seen:
        found = read_marker(backend)
        if found is None:
            return Seen.AS_BEFORE
        return Seen.OURS if found.store_id == record.store_id else Seen.FOREIGN

    def send() -> None:
        backend.write(keys.STORE_MARKER, body, when=IfAbsent())

    if settle(send, look, patience=patience, key=keys.STORE_MARKER) is Outcome.WON:
        return record
    found = patiently(lambda: read_marker(backend), patience)
    if found is None:
        raise NotAStore(f"{backend.url}: {keys.STORE_MARKER} was there and is gone; another program clears this root")
    return found


def _look_into_the_root(backend: Backend, patience: Patience) -> StoreRecord | None:
    """Return ``None`` if the root is empty, or the record of a store that was made a moment ago.

    The marker is the first object of a store, so whoever sees another object sees the marker by reading it afterwards:
    a listing alone could have begun before the one and ended after the other.

    Raises:
        NotAStore: the root holds something else.
    """
    others = patiently(lambda: _strangers(backend), patience)
    if not others:
        return None
    made = patiently(lambda: read_marker(backend), patience)
    if made is None:
        raise _not_a_store(backend, others)
    return made


def _strangers(backend: Backend) -> list[str]:
    """Return what lies in the root and is neither ours to ignore nor litter of the system."""
    try:
        return [name for name in backend.children("") if name not in _IGNORED]
    except ContainerNotFound:
        if backend.makes_root:
            return []
        raise


def _not_a_store(backend: Backend, others: list[str]) -> NotAStore:
    shown = ", ".join(others[:_GLIMPSE]) + (", …" if len(others) > _GLIMPSE else "")
    return NotAStore(
        f"{backend.url} is not a store and not empty: it holds {shown}. Nothing was written. "
        "Name the root of a store, or an empty folder or prefix for a new one; an old tree of models is brought "
        "into one with `artifact-store migrate OLD NEW`"
    )


def probe(backend: Backend, patience: Patience) -> dict[str, bool]:
    """Find out whether create-only and compare-and-swap hold, each twice, on a throw-away key.

    A lost reply can make a condition look broken, never look sound; so a verdict of "broken" is asked for again.
    """
    verdict: dict[str, bool] = {}
    for _ in range(3):
        verdict = patiently(lambda: _probe_once(backend), patience)
        if all(verdict.values()):
            break
    return verdict


def _probe_once(backend: Backend) -> dict[str, bool]:
    key = keys.probe(secrets.token_hex(16))
    held: dict[str, Any] = {"create_only": False, "compare_and_swap": False}
    try:
        first = backend.write(key, b"1", when=IfAbsent())
        held["create_only"] = _refused(backend, key, IfAbsent()) and _refused(backend, key, IfAbsent())
        second = backend.write(key, b"2", when=IfVersion(first))
        stale = _refused(backend, key, IfVersion(first)) and _refused(backend, key, IfVersion(Version('"none"')))
        held["compare_and_swap"] = stale and bool(backend.write(key, b"3", when=IfVersion(second)))
    except PreconditionFailed as error:
        # the echo of our own write after a lost reply: it proves nothing, and the probe is made again on another key
        raise Unreachable(f"{backend.url}: a write that nothing stood against was refused; try again") from error
    finally:
        with suppress(AccessDenied):  # a writer needs no right to delete: gc clears the probe of one who has none
            backend.delete(key)
    return held


def _refused(backend: Backend, key: str, when: Precondition) -> bool:
    assert not isinstance(when, Always)
    try:
        backend.write(key, b"0", when=when)
    except PreconditionFailed:
        return True
    return False
