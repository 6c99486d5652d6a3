"""The environment of a store: its `_store.json`, the clock and conditions of the storage, the rules of its bucket.

Writes throw-away objects only, and none without probes. What cannot be found out is ``unknown``, never ``fine``.
"""

from __future__ import annotations

import secrets
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from artifact_store.core import keys
from artifact_store.core.store_record import Concurrency, StoreRecord
from artifact_store.doctor.examination import Examination
from artifact_store.doctor.report import Repair, Severity
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    ConditionsUnsupported,
    ContainerNotFound,
    Corrupt,
    Unavailable,
    Unsupported,
)
from artifact_store.ops import opening, probe
from artifact_store.ops.delete import StepResult, duration_text
from artifact_store.ops.plan import PlanStep
from artifact_store.storage.base import Always, Backend, Unfinished
from artifact_store.storage.owned_folder import Leftover, remove_leftover
from artifact_store.storage.single_writer import SingleWriter

_SKEWED: Final = timedelta(minutes=1)
_REFUSED: Final = timedelta(minutes=15)  # from here on S3 refuses every request
_SECOND: Final = timedelta(seconds=1)  # as exact as the times of most object stores are


def check_mode(exam: Examination, record: StoreRecord, concurrency: Concurrency) -> None:
    """Report a client whose ``concurrency`` differs from that of the store, so that it cannot write."""
    message = f"store {record.store_id}, made at {record.created_at:%Y-%m-%d %H:%M:%S} UTC for "
    exam.fact("store", "fine", f"{message}{'several writers' if record.concurrency == 'safe' else 'a single writer'}")
    if record.concurrency != concurrency:
        made = f"concurrency={record.concurrency!r}"
        message = f"the store was made with {made}, and this client uses {concurrency!r}: it can read and cannot write"
        remedy = f"open it with {made}, if that is true of all writers"
        exam.add("warning", "mode-differs", keys.STORE_MARKER, message, remedy=remedy)


# ---------------------------------------------------------------- the clock


def check_clock(exam: Examination, *, probes: bool) -> bool:
    """Compare the clocks, go by the storage's from now on, and return whether objects can be written here."""
    backend = exam.context.backend
    before = exam.context.now()
    moment = exam.ask(partial(_written_at, backend)) if probes else None
    writes = isinstance(moment, datetime)
    how = "the modification time of a probe object"
    if isinstance(moment, ArtifactStoreError):
        _cannot_write(exam, moment)
    if not isinstance(moment, datetime):
        before, how = exam.context.now(), "the date in an answer of the server"
        moment = exam.ask(backend.server_time)
    after = exam.context.now()
    if not isinstance(moment, datetime):
        cause = f": {moment}" if isinstance(moment, ArtifactStoreError) else ", since nothing was written here"
        exam.fact("clock", "unknown", f"the clock of the storage could not be read{cause}")
        if isinstance(moment, ArtifactStoreError):
            exam.add("unknown", "clock", backend.url, f"the clock of the storage could not be read{cause}")
        return writes
    _compare(exam, moment, before, after, how)
    exam.now = moment
    return writes


def _written_at(backend: Backend) -> datetime | None:
    key = keys.probe(secrets.token_hex(16))
    try:
        backend.write(key, b"?", when=Always())
        return next((entry.modified for entry in backend.list(keys.PROBES) if entry.key == key), None)
    finally:
        with suppress(AccessDenied):  # a writer needs no right to delete, and what was refused above says more
            backend.delete(key)


def _compare(exam: Examination, moment: datetime, before: datetime, after: datetime, how: str) -> None:
    """Report how far the clock of this machine is off, beyond what the request and the rounding explain."""
    skew = max(before - _SECOND - moment, moment - after - _SECOND, timedelta(0))
    if skew < _SKEWED:
        exam.fact("clock", "fine", f"as the storage's, within {duration_text(skew + _SECOND)} ({how})")
        return
    word = "behind" if moment > after else "ahead"
    text = f"the clock of this machine is {duration_text(skew)} {word} of the storage's ({how})"
    severity: Severity = "error" if skew >= _REFUSED else "warning"
    exam.fact("clock", severity, text)
    message = f"{text}: run ids are made of it, and S3 refuses requests beyond 15 minutes"
    exam.add(severity, "clock", exam.context.backend.url, message, remedy="set the clock, and keep it with NTP")


def _cannot_write(exam: Examination, error: ArtifactStoreError) -> None:
    if isinstance(error, Unavailable):
        exam.add("error", "unreachable", exam.context.backend.url, f"a probe failed: {error}", remedy="try again later")
        return
    severity: Severity = "note" if isinstance(error, AccessDenied) else "warning"
    remedy = "nothing to do for a reader; a writer needs other credentials or permissions"
    exam.add(severity, "cannot-write", exam.context.backend.url, str(error), remedy=remedy)


# ---------------------------------------------------------------- conditions


def check_conditions(exam: Examination, record: StoreRecord | None, *, writes: bool) -> None:
    """Probe whether conditional writes hold here now, and compare that with what ``_store.json`` records."""
    wrapped = exam.context.backend
    backend = wrapped.inner if isinstance(wrapped, SingleWriter) else wrapped
    able = backend.capabilities
    safe = record is None or record.concurrency == "safe"
    before = None if record is None else record.verdict(backend.endpoint, backend.engine)
    if backend.read_only:
        exam.fact("conditions", "note", f"nothing is written here: {backend.read_only}")
    elif not (able.create_only and able.compare_and_swap):
        _not_able(exam, able.reason, safe=safe)
    elif not writes:
        recorded = "nothing about this endpoint and engine" if before is None else _spelt(before)
        exam.fact("conditions", "unknown", f"not probed; recorded when the store was made: {recorded}")
    else:
        held = exam.ask(lambda: probe.conditions(backend, exam.context.retry))
        _judge(exam, held, before, safe=safe)
    if safe and backend.exclusive_limit is not None:
        limit = f"{backend.exclusive_limit / (1 << 20):g} MiB"
        message = f"above {limit} they are stored under names that only their save knows: no condition is relied on"
        exam.fact("large-files", "fine", message)
    durable = "acknowledged writes survive a power cut" if able.durable else f"not in every case: {able.reason}"
    exam.fact("durability", "fine" if able.durable else "note", durable)


def _spelt(verdict: Mapping[str, bool]) -> str:
    return ", ".join(
        f"{name.replace('_', '-')} {'holds' if held else 'DOES NOT HOLD'}" for name, held in verdict.items()
    )


def _not_able(exam: Examination, reason: str, *, safe: bool) -> None:
    exam.fact("conditions", "note", f"none: {reason}")
    known = {found.code for found in exam.findings}
    if safe and "network-mount" not in known:
        message = f"this client cannot write here: {reason}"
        remedy = "use an engine with conditional writes; concurrency='single-writer' has to be true of all writers"
        exam.add("warning", "conditions", exam.context.backend.url, message, remedy=remedy)


def _judge(
    exam: Examination, held: dict[str, bool] | ArtifactStoreError, before: Mapping[str, bool] | None, *, safe: bool
) -> None:
    url, endpoint = exam.context.backend.url, exam.context.backend.endpoint
    if isinstance(held, ConditionsUnsupported):
        _not_able(exam, str(held), safe=safe)
        return
    if isinstance(held, ArtifactStoreError):
        exam.fact("conditions", "unknown", f"could not be probed: {held}")
        exam.add("unknown", "conditions", url, f"conditional writes could not be probed: {held}")
        return
    sound = all(held.values())
    then = "" if before is None else ", as recorded" if dict(before) == held else f"; recorded was: {_spelt(before)}"
    exam.fact("conditions", "fine" if sound or not safe else "error", f"{_spelt(held)}{then} (probed twice each)")
    if sound and not safe:
        message = "conditional writes hold here, and the store was made for a single writer"
        exam.add("note", "conditions", url, message, remedy="for several writers, copy its runs into a new store")
    elif not sound and safe:
        message = f"the server at {endpoint} does not honour conditional writes ({_spelt(held)}): writers can lose runs"
        exam.add("error", "conditions", url, message, remedy="write through another endpoint, and look at its proxy")
    elif sound and before is not None and not all(before.values()):
        message = (
            f"{keys.STORE_MARKER} records that conditions do not hold at {endpoint}, and they do: "
            "every safe writer is refused"
        )
        exam.add("warning", "conditions", url, message, remedy="use another name of the endpoint, such as its address")


# ---------------------------------------------------------------- rules, permissions, uploads


def check_traits(exam: Examination, *, probes: bool) -> None:
    """Report what the backend says about the bucket or the folder."""
    try:
        traits = list(exam.context.backend.traits(probes=probes))
    except ArtifactStoreError as error:
        exam.fact("place", "unknown", str(error))
        return
    for trait in traits:
        exam.facts.append(trait)
        if trait.state != "fine":
            repair = None if trait.fix is None else Repair("fix", trait.message, partial(_fix, trait.fix))
            url = exam.context.backend.url
            exam.add(trait.state, trait.name, url, trait.message, remedy=trait.remedy, repair=repair)


def _fix(fix: Callable[[], object], _: datetime) -> StepResult:
    fix()
    return StepResult("fixed")


def check_uploads(exam: Examination) -> None:
    """Report unfinished uploads, and leftover temporary files of a disk."""
    url = exam.context.backend.url
    found = exam.ask(lambda: list(exam.context.backend.unfinished()))
    if isinstance(found, ContainerNotFound):
        return
    if isinstance(found, Unsupported | AccessDenied | Corrupt):
        exam.fact("uploads", "unknown", str(found))
        exam.add("unknown", "uploads", url, f"unfinished uploads could not be listed: {found}")
        return
    if isinstance(found, ArtifactStoreError):
        exam.refused(url, found, what="the list of unfinished uploads")
        return
    for upload in sorted(found, key=lambda upload: (upload.key, upload.upload)):
        if not exam.young(upload.begun):
            _upload(exam, upload)


# ---------------------------------------------------------------- temporary space


def check_staging(exam: Examination) -> None:
    """Report where temporary files go, and those of processes that were killed, with the room that they take."""
    below = opening.staged_below(exam.context)
    try:
        base = exam.context.staging.base
        told = [] if below is None else [f"what is saved waits in {below}, where {_free(below.parent)}"]
        told.append(f"{'other ' * bool(told)}temporary files go to {base}, where {_free(base)}")
    except (OSError, ArtifactStoreError) as error:
        message = f"temporary files have no place: {error}"
        exam.fact("staging", "warning", message)
        remedy = "name a folder with staging=FOLDER or --staging, or in the environment variable TMPDIR"
        exam.add("warning", "staging", exam.context.backend.url, message, remedy=remedy)
    else:
        exam.fact("staging", "fine", "; ".join(told))
    places: dict[Path, list[Leftover]] = defaultdict(list)
    for left in exam.context.leftovers():
        if left.is_dead or not exam.young(left.since):
            places[left.path.parent].append(left)
    for place, found in sorted(places.items()):
        _leftovers(exam, place, found)


def _free(folder: Path) -> str:
    return f"{shutil.disk_usage(folder).free:,} bytes are free"


def _leftovers(exam: Examination, place: Path, found: list[Leftover]) -> None:
    room = sum(left.bytes for left in found)
    several = "a process that was killed" if len(found) == 1 else f"{len(found)} processes that were killed"
    message = f"temporary files of {several} take {room:,} bytes"

    def clear(now: datetime) -> StepResult:
        before = now - exam.options.grace
        cleared = [remove_leftover(left.path, before=before) for left in found]
        kept = "they are in use or gone, or cannot be removed"
        return StepResult("cleared") if any(cleared) else StepResult("kept", kept)

    remedy = "artifact-store gc --apply"
    exam.add(
        "warning", "leftover-staging", str(place), message, remedy=remedy, repair=Repair("clear", message, clear, room)
    )


def _upload(exam: Examination, upload: Unfinished) -> None:
    begun = f"begun at {upload.begun:%Y-%m-%d %H:%M:%S} UTC"
    code, message = "orphan-upload", f"an unfinished multipart upload, {begun}, takes room that no listing shows"
    if upload.key.rpartition("/")[2] == upload.upload:
        code, message = "leftover-file", f"a leftover temporary file of a writer that crashed, {begun}"
    exam.add_for_gc("warning", code, PlanStep(upload.key, "abort", message, upload.size, upload=upload))
