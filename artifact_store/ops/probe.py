"""Probe the storage with throw-away objects: may it be written, what is its time, does it keep its conditions.

Each object has a key of its own below ``_probe/`` and is removed at once; ``gc`` clears what a client that died or may
not delete has left.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime
from typing import Any

from artifact_store.core import keys
from artifact_store.errors import AccessDenied, PreconditionFailed, Unavailable, Unreachable
from artifact_store.storage.base import Always, Backend, IfAbsent, IfVersion, Version
from artifact_store.storage.retry import RetryPolicy, with_retry


def try_to_write(backend: Backend, retry: RetryPolicy) -> None:
    """Write a throw-away object, and remove it where that is allowed; raises if it cannot be written."""
    key = keys.probe(secrets.token_hex(16))
    with suppress(PreconditionFailed):  # it is there already: the reply to the first try got lost
        with_retry(lambda: backend.write(key, b"?", when=IfAbsent()), retry)
    with_retry(lambda: _remove(backend, key), retry)


def storage_time(backend: Backend, retry: RetryPolicy) -> datetime:
    """Return the time now by the storage's own clock: that of an object which is written for the purpose.

    Ages are compared with it, since the times in a listing are the storage's, and a client's clock may be wrong.
    """
    key = keys.probe(secrets.token_hex(16))  # the same for every try, so that the last one removes what others left

    def ask() -> datetime:
        try:
            backend.write(key, b"?", when=Always())
            found = [entry.modified for entry in backend.list(keys.PROBES) if entry.key == key]
        finally:
            backend.delete(key)  # not forgiven here: who may not delete is stopped before a plan is begun
        if not found:
            raise Unavailable(f"{backend.url}: a listing did not show what was just written; try again")
        return found[0]

    return with_retry(ask, retry)


def conditions(backend: Backend, retry: RetryPolicy) -> dict[str, bool]:
    """Find out whether create-only and compare-and-swap of a single write hold, each twice, on a throw-away key.

    A lost reply can make a condition look broken, never look sound; so a verdict of "broken" is asked for again.
    """
    verdict: dict[str, bool] = {}
    for _ in range(3):
        verdict = with_retry(lambda: _probe_once(backend), retry)
        if all(verdict.values()):
            break
    return verdict


def _probe_once(backend: Backend) -> dict[str, bool]:
    key = keys.probe(secrets.token_hex(16))
    held: dict[str, Any] = {"create_only": False, "compare_and_swap": False}
    try:
        first = backend.write(key, b"1", when=IfAbsent())
        held["create_only"] = _refused(backend, key, IfAbsent()) and _refused(backend, key, IfAbsent())
        if not held["create_only"]:  # something was written over it
            first = _version_now(backend, key)
        second = backend.write(key, b"2", when=IfVersion(first))
        stale = _refused(backend, key, IfVersion(first)) and _refused(backend, key, IfVersion(Version('"none"')))
        held["compare_and_swap"] = stale and bool(backend.write(key, b"3", when=IfVersion(second)))
    except PreconditionFailed as error:
        # the echo of our own write after a lost reply: it proves nothing, and the probe is made again on another key
        raise Unreachable(f"{backend.url}: a write whose condition held was refused; try again") from error
    finally:
        _remove(backend, key)
    return held


def _version_now(backend: Backend, key: str) -> Version:
    found = backend.read(key, limit=1)
    assert found is not None  # no version was given that it may still have
    return found.version


def _remove(backend: Backend, key: str) -> None:
    with suppress(AccessDenied):  # a writer needs no right to delete: gc clears the probe of one who has none
        backend.delete(key)


def _refused(backend: Backend, key: str, when: IfAbsent | IfVersion) -> bool:
    try:
        backend.write(key, b"0", when=when)
    except PreconditionFailed:
        return True
    return False
