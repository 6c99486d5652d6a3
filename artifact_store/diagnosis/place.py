"""The place where a store is: its marker, the clock and the conditions of the storage, the rules of its bucket.

Writes throw-away objects only, and none where that is not wanted. What cannot be asked is ``unknown``, never fine.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from artifact_store.core import keys
from artifact_store.core.errors import (
    AccessDenied,
    ArtifactStoreError,
    ConditionsUnsupported,
    ContainerNotFound,
    Corrupt,
    Unavailable,
    Unsupported,
)
from artifact_store.diagnosis.finding import Fact, Repair, Severity
from artifact_store.diagnosis.look import Look
from artifact_store.ops import marker, survey
from artifact_store.ops.deletion import Ending, spoken
from artifact_store.ops.marker import Concurrency, StoreRecord
from artifact_store.storage.base import Always, Backend, Trait, Unfinished
from artifact_store.storage.single_writer import SingleWriter

_SKEWED: Final = timedelta(minutes=1)
_REFUSED: Final = timedelta(minutes=15)  # from here on S3 refuses every request
_SECOND: Final = timedelta(seconds=1)  # as exact as the times of most object stores are


def read_marker(look: Look) -> StoreRecord | ArtifactStoreError | None:
    """Return what the root says about itself, ``None`` if it says nothing, or why that cannot be read."""
    return look.ask(lambda: marker.read_marker(look.context.backend))


def check_mode(look: Look, record: StoreRecord, concurrency: Concurrency) -> None:
    """Note if this client could not write because it would do so in another way than all others."""
    told = f"store {record.store_id}, made at {record.created_at:%Y-%m-%d %H:%M:%S} UTC for writers that are "
    look.fact("store", "fine", f"{told}{'safe together' if record.concurrency == 'safe' else 'alone'}")
    if record.concurrency != concurrency:
        look.add(
            "warning",
            "mode-differs",
            keys.STORE_MARKER,
            f"the store was made with concurrency={record.concurrency!r}, and this client uses {concurrency!r}: it can "
            "read, and not write",
            remedy=f"open it with concurrency={record.concurrency!r}, if that is true of you",
        )


# ---------------------------------------------------------------- the clock


def check_clock(look: Look, *, probes: bool) -> bool:
    """Compare the clocks, from now on go by the storage's, and tell whether objects can be written here."""
    backend = look.context.backend
    before = look.context.now()
    told = look.ask(partial(_written_at, backend)) if probes else None
    writes = isinstance(told, datetime)
    how = "the time that an object got which was written for this"
    if isinstance(told, ArtifactStoreError):
        _cannot_write(look, told)
    if not isinstance(told, datetime):
        before, how = look.context.now(), "the date in an answer of the server"
        told = look.ask(backend.server_time)
    after = look.context.now()
    if not isinstance(told, datetime):
        why = f": {told}" if isinstance(told, ArtifactStoreError) else ", since nothing was written here"
        look.fact("clock", "unknown", f"the clock of the storage could not be asked{why}")
        if isinstance(told, ArtifactStoreError):
            look.add("unknown", "clock", backend.url, f"the clock of the storage could not be asked{why}")
        return writes
    _compare(look, told, before, after, how)
    look.now = told
    return writes


def _written_at(backend: Backend) -> datetime | None:
    key = keys.probe(secrets.token_hex(16))
    try:
        backend.write(key, b"?", when=Always())
        return next((entry.modified for entry in backend.list(keys.PROBES) if entry.key == key), None)
    finally:
        with suppress(AccessDenied):  # a writer needs no right to delete, and what was refused above tells more
            backend.delete(key)


def _compare(look: Look, told: datetime, before: datetime, after: datetime, how: str) -> None:
    """Note how far the clock of this machine is off, beyond what the request and the rounding explain."""
    skew = timedelta(0)
    if told < before - _SECOND:
        skew = before - _SECOND - told
    elif told > after + _SECOND:
        skew = told - after - _SECOND
    if skew < _SKEWED:
        look.fact("clock", "fine", f"as the storage's, within {spoken(skew + _SECOND)} ({how})")
        return
    word = "behind" if told > after else "ahead"
    text = f"the clock of this machine is {spoken(skew)} {word} of the storage's ({how})"
    severity: Severity = "error" if skew >= _REFUSED else "warning"
    look.fact("clock", severity, text)
    effect = "run ids are made of it, and S3 refuses requests beyond 15 minutes"
    look.add(severity, "clock", look.context.backend.url, f"{text}: {effect}", remedy="set the clock; let NTP keep it")


def _cannot_write(look: Look, error: ArtifactStoreError) -> None:
    if isinstance(error, Unavailable):
        look.add("error", "unreachable", look.context.backend.url, f"a probe failed: {error}", remedy="try again later")
        return
    severity: Severity = "note" if isinstance(error, AccessDenied) else "warning"
    remedy = "fine for a reader; a writer needs other credentials or permissions"
    look.add(severity, "cannot-write", look.context.backend.url, str(error), remedy=remedy)


# ---------------------------------------------------------------- conditions


def check_conditions(look: Look, record: StoreRecord | None, *, writes: bool) -> None:
    """Try out whether conditional writes hold here now, and compare that with what the marker says."""
    wrapped = look.context.backend
    backend = wrapped.inner if isinstance(wrapped, SingleWriter) else wrapped
    able = backend.capabilities
    safe = record is None or record.concurrency == "safe"
    if backend.read_only:
        look.fact("conditions", "note", f"nothing is written here: {backend.read_only}")
    elif not (able.create_only and able.compare_and_swap):
        _not_able(look, able.reason, safe=safe)
    elif not writes:
        look.fact("conditions", "unknown", _recorded(record, backend.endpoint))
    else:
        held = look.ask(lambda: marker.probe(backend, look.context.patience))
        _judge(look, held, record, backend.endpoint, safe=safe)
    durable = "acknowledged writes survive a power cut" if able.durable else f"not in every case: {able.reason}"
    look.fact("durability", "fine" if able.durable else "note", durable)


def _recorded(record: StoreRecord | None, endpoint: str) -> str:
    verdict = None if record is None else record.probed.get(endpoint)
    told = "nothing about this endpoint" if verdict is None else _spelt(verdict)
    return f"not tried; recorded when the store was made: {told}"


def _spelt(verdict: Mapping[str, bool]) -> str:
    return ", ".join(
        f"{name.replace('_', '-')} {'holds' if held else 'DOES NOT HOLD'}" for name, held in verdict.items()
    )


def _not_able(look: Look, reason: str, *, safe: bool) -> None:
    look.fact("conditions", "note", f"none: {reason}")
    known = {found.code for found in look.findings}
    if safe and "network-mount" not in known:
        told = f"this client cannot write here: {reason}"
        remedy = "use an engine with conditional writes; concurrency='single-writer' has to be true of all writers"
        look.add("warning", "conditions", look.context.backend.url, told, remedy=remedy)


def _judge(
    look: Look, held: dict[str, bool] | ArtifactStoreError, record: StoreRecord | None, endpoint: str, *, safe: bool
) -> None:
    url = look.context.backend.url
    if isinstance(held, ConditionsUnsupported):
        _not_able(look, str(held), safe=safe)
        return
    if isinstance(held, ArtifactStoreError):
        look.fact("conditions", "unknown", f"could not be tried: {held}")
        look.add("unknown", "conditions", url, f"conditional writes could not be tried: {held}")
        return
    before = None if record is None else record.probed.get(endpoint)
    sound = all(held.values())
    as_before = (
        "" if before is None else ", as recorded" if dict(before) == held else f"; recorded was: {_spelt(before)}"
    )
    look.fact("conditions", "fine" if sound or not safe else "error", f"{_spelt(held)}{as_before} (tried twice each)")
    if sound and not safe:
        told = "conditional writes hold here, and the store was made for one writer alone"
        look.add("note", "conditions", url, told, remedy="for several writers, copy its runs into a new store")
    elif not sound and safe:
        told = f"the server at {endpoint} does not honour conditional writes ({_spelt(held)}): writers can lose runs"
        look.add("error", "conditions", url, told, remedy="write through another endpoint, and look at its proxy")
    elif sound and before is not None and not all(before.values()):
        told = f"the marker says that conditions do not hold at {endpoint}, and they do: every safe writer is refused"
        look.add("warning", "conditions", url, told, remedy="use another name of the endpoint, such as its address")


# ---------------------------------------------------------------- rules, permissions, uploads


def check_traits(look: Look, *, probes: bool) -> None:
    """Note what the backend says about the bucket or the folder."""
    try:
        traits = list(look.context.backend.traits(probes=probes))
    except ArtifactStoreError as error:
        look.fact("place", "unknown", str(error))
        return
    for trait in traits:
        look.facts.append(Fact.of(trait))
        if trait.state != "fine":
            repair = None if trait.fix is None else Repair("fix", trait.message, partial(_fix, trait))
            url = look.context.backend.url
            look.add(trait.state, trait.name, url, trait.message, remedy=trait.remedy, repair=repair)


def _fix(trait: Trait, now: datetime) -> Ending:
    del now
    assert trait.fix is not None
    trait.fix()
    return Ending("fixed")


def check_uploads(look: Look) -> None:
    """Note the uploads that somebody began and did not end, and the temporary files of a disk."""
    url = look.context.backend.url
    found = look.ask(lambda: list(look.context.backend.unfinished()))
    if isinstance(found, ContainerNotFound):
        return
    if isinstance(found, Unsupported | AccessDenied | Corrupt):
        look.fact("uploads", "unknown", str(found))
        look.add("unknown", "uploads", url, f"unfinished uploads could not be listed: {found}")
        return
    if isinstance(found, ArtifactStoreError):
        look.refused(url, found, what="the list of unfinished uploads")
        return
    for upload in sorted(found, key=lambda upload: (upload.key, upload.upload)):
        if not look.young(upload.begun):
            _upload(look, upload)


def _upload(look: Look, upload: Unfinished) -> None:
    def abort(now: datetime) -> Ending:
        return survey.abort(look.context, upload, grace=look.options.grace, now=now)

    begun = f"{upload.begun:%Y-%m-%d %H:%M:%S} UTC"
    code, told = (
        "orphan-upload",
        f"an upload in parts, begun at {begun} and never ended, takes room that no listing shows",
    )
    if upload.key.rpartition("/")[2] == upload.upload:
        code, told = "leftover-file", f"a temporary file of a writer that was killed, begun at {begun}"
    repair = Repair("abort", told, abort, upload.size)
    look.add("warning", code, upload.key, told, remedy="artifact-store gc --apply", repair=repair)
