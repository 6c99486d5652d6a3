"""Open a store for writing: find its record, or make one in an empty root, and probe what the storage really does.

``_store.json`` is created in an empty root only and never changed, so that no housekeeping ever runs over the files of
another program. A reader does not need it.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from artifact_store.core import keys
from artifact_store.core.store_record import Concurrency, StoreRecord
from artifact_store.core.trust import LoadPolicy
from artifact_store.errors import (
    ArtifactStoreError,
    ConditionsUnsupported,
    ContainerNotFound,
    Corrupt,
    FormatUnsupported,
    InvalidOption,
    NotAStore,
    Unavailable,
    Unsupported,
)
from artifact_store.nearby import near_to
from artifact_store.ops import probe
from artifact_store.ops.context import Context
from artifact_store.ops.keypairs import Signer
from artifact_store.ops.records import Records
from artifact_store.storage.base import Backend
from artifact_store.storage.conditional_write import Outcome
from artifact_store.storage.retry import RetryPolicy
from artifact_store.storage.staging import StagedFolder
from artifact_store.wording import brief

_IGNORED = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "lost+found/", keys.LOCKS, keys.PROBES})
_SHOWN = 3
_LISTINGS = 40


LargeFiles = Literal["as-others", "own-name"]


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
    large_files: LargeFiles
    """How a file that one request does not hold is kept from being overwritten: ``as-others``, or by an ``own-name``
    that only its save knows, so that no condition is needed.
    """
    vouches_for: tuple[str, ...] = ()
    """Ids of the keys over whose runs and aliases the signer of this store publishes; empty without a signer."""


def guarantees(context: Context) -> Guarantees:
    """Return what is known without asking the storage."""
    backend, concurrency = context.backend, context.concurrency
    able = backend.capabilities
    return Guarantees(
        engine=backend.engine,
        url=backend.url,
        concurrency=concurrency,
        create_only=able.create_only,
        compare_and_swap=able.compare_and_swap,
        durable=able.durable,
        probed=context.opened.record is not None and concurrency == "safe",
        reason=able.reason,
        large_files="as-others" if backend.exclusive_limit is None else "own-name",
        vouches_for=() if context.signer is None else _vouched(context.signer, context.policy),
    )


def _vouched(signer: Signer, policy: LoadPolicy) -> tuple[str, ...]:
    return tuple(dict.fromkeys([signer.key_id, *(key.key_id for key in policy.trusted_keys)]))


def store_exists(records: Records) -> bool:
    """Tell whether the root says that it is a store, even in a record that is damaged."""
    try:
        return records.store() is not None
    except ContainerNotFound:
        return False
    except (Corrupt, FormatUnsupported):
        return True


def check_store(records: Records) -> bool:
    """Tell whether the root is a store; if not, it is empty, or a folder that the first save will make.

    Raises:
        NotAStore: it holds something else.
        ContainerNotFound: the bucket does not exist.
    """
    return (records.store() or _find_in_root(records)) is not None


def no_store(backend: Backend) -> str:
    """Return what to say where there is no store, and nothing else either."""
    return f"there is no store at {backend.url} yet: {without_store(backend)}"


def without_store(backend: Backend) -> str:
    """Return what to do where there is no store."""
    near = near_to(Path(backend.url)) if backend.engine == "local" else None
    meant = f"; did you mean {brief(str(near))}?" if near is not None else ""
    return f"check the path, or save the first model{meant}"


def ensure_open(context: Context) -> StoreRecord:
    """Return the record of the store, which the first call opens for writing (:func:`open_for_writing`).

    The record is not signed, and what is written and signed afterwards names the store in it: so a client that
    remembers stores compares it first, and remembers it.

    Raises:
        StoreReplaced: this client has seen another store at this root; no run was written, and nothing signed.
    """
    return _opened(context, None)


def _opened(context: Context, found: StoreRecord | None) -> StoreRecord:
    """Return the record of the store, opened for writing by what was ``found`` in its root, if that was read."""
    if context.opened.record is None:
        record = open_for_writing(context.records, context.concurrency, now=context.now, found=found)
        if context.last_seen is not None:
            context.last_seen.check_store(context.backend, record.store_id)
        context.opened.record = record
    return context.opened.record


def ensure_open_existing(context: Context) -> StoreRecord:
    """Return the record of the store, opened for writing, if the root still says that it is one; else ``NotAStore``."""
    found = context.records.store()
    if found is None:
        raise NotAStore(
            f"{context.backend.url} is not a store: it has no {keys.STORE_MARKER}. Nothing was touched: check the path"
        )
    return _opened(context, found)


def staging_folder(context: Context) -> StagedFolder:
    """Return a new folder for what is to be stored: beside its destination, if that is a store or a place for one.

    Raises:
        StorageFull, StagingUnavailable: as for :meth:`Staging.folder`.
    """
    return context.staging.folder(beside=staged_below(context))


def staged_below(context: Context) -> Path | None:
    """Return where below its root a store keeps what is to be stored; ``None`` if that waits in temporary space."""
    place = context.backend.staging_place
    return place if context.staging.chosen is None and place is not None and _may_be_opened(context) else None


def _may_be_opened(context: Context) -> bool:
    try:
        if context.opened.record is None:
            check_store(Records(context.backend, RetryPolicy(seconds=0.0), context.workers))
    except ArtifactStoreError:  # the commit says what is wrong
        return False
    return True


def open_for_writing(
    records: Records, concurrency: Concurrency, *, now: Callable[[], datetime], found: StoreRecord | None = None
) -> StoreRecord:
    """Return the record of the store, which may have been ``found``, after making one if the root is empty.

    One request where the store exists and records what this engine found at this endpoint, two where that was kept.

    Raises:
        Unsupported: the backend only reads.
        NotAStore: the root holds something else; nothing was written.
        ConditionsUnsupported: the storage ignores conditions, or cannot do them, and ``concurrency`` is ``safe``.
        InvalidOption: the store was made for the other mode.
    """
    backend = records.backend
    if backend.read_only:
        raise Unsupported(backend.read_only)
    record = found or records.store()
    if record is None:
        if concurrency == "safe":
            _check_capable(backend)
        record = _create(records, concurrency, now)
    if record.concurrency != concurrency:
        raise InvalidOption(
            f"{backend.url} was made with concurrency={record.concurrency!r} and all its writers have to use that; "
            f"this one uses {brief(concurrency)}"
        )
    if concurrency == "safe":
        _check_capable(backend)
        _check_endpoint(records, record)
    return record


def _check_endpoint(records: Records, record: StoreRecord) -> None:
    """Raise unless conditions hold at this endpoint: as is recorded or kept, or as is found out and kept now."""
    backend = records.backend
    where = backend.endpoint, backend.engine
    known = record.verdict(*where) or records.verdict(record, *where)
    held = known or probe.conditions(backend, records.retry)
    _check_verdict(backend, held)
    if known is None:
        records.keep_verdict(record, *where, held)


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


def _create(records: Records, concurrency: Concurrency, now: Callable[[], datetime]) -> StoreRecord:
    """Make the record, or return the one that another writer made meanwhile."""
    made = _find_in_root(records)
    if made is not None:
        return made
    backend = records.backend
    verdict = probe.conditions(backend, records.retry) if concurrency == "safe" else {}
    if verdict:
        _check_verdict(backend, verdict)
    record = StoreRecord(
        store_id=uuid.uuid4().hex,
        created_at=now(),
        concurrency=concurrency,
        probed={backend.endpoint: verdict} if verdict else {},
        probed_by=backend.engine if verdict else "",
    )
    if records.write(record, over=None) is Outcome.WON:
        return record
    found = records.store()
    if found is None:
        raise NotAStore(f"{backend.url}: {keys.STORE_MARKER} was there and is gone; another program clears this root")
    return found


def _find_in_root(records: Records) -> StoreRecord | None:
    """Return ``None`` if the root is empty, or the record of a store made a moment ago, else raise ``NotAStore``.

    The record is the first object of a store, so a client that sees another object can read the record afterwards:
    a listing alone could have begun before the one and ended after the other.
    """
    others = [name for name in records.children("") if name not in _IGNORED]
    if not others:
        return None
    made = records.store()
    if made is not None:
        return made
    shown = ", ".join(others[:_SHOWN]) + (", …" if len(others) > _SHOWN else "")
    advice = (
        "Name the root of a store, or an empty folder or prefix for a new one; an old tree of models is read "
        "with ArtifactStore.open_legacy(path), and brought into one with `artifact-store migrate OLD NEW`"
    )
    if inner := _stores_below(records, others):
        named = [keys.below(records.backend.url, folder) for folder in inner[:_SHOWN]]
        advice = f"Name the store itself: {', '.join(named)}{', …' if len(inner) > _SHOWN else ''}"
    raise NotAStore(
        f"{records.backend.url} is not a store and not empty: it holds {shown}. Nothing was written. {advice}"
    )


def _stores_below(records: Records, names: Sequence[str]) -> list[str]:
    """Return the folders below that are stores themselves, the nearest first, as far as a few listings show."""
    found: list[str] = []
    folders = deque(name for name in names if name.endswith("/"))
    for _ in range(_LISTINGS):
        if not folders:
            break
        folder = folders.popleft()
        try:
            below = records.children(folder)
        except Unavailable:
            break
        except ArtifactStoreError:  # it may not be listed, say: this is only about what to advise
            continue
        if keys.STORE_MARKER in below:
            found.append(folder.removesuffix("/"))
        else:
            folders.extend(folder + name for name in below if name.endswith("/"))
    return found
