"""What a reference came to is remembered in the cache once it is trusted; offline, it is said how old that is.

So a pointer that was refused never takes the place of one that was believed. Nothing is decided here: offline, what is
remembered goes through the same checks again.

Why: docs/decisions/0029-the-cache.md
"""

from __future__ import annotations

import inspect
import warnings
from datetime import datetime, timedelta

from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import MAX_POINTER, Pointer
from artifact_store.core.tombstone import MAX_TOMBSTONE
from artifact_store.ops.context import Context
from artifact_store.storage.offline import Offline


class OfflineWarning(UserWarning):
    """A store that is opened offline answers with what was seen last: ``ref`` as it was at ``seen_at``, ``age`` ago."""

    def __init__(self, ref: str, seen_at: datetime, age: timedelta) -> None:
        super().__init__(f"offline: {ref} is as this cache saw it {_text(age)} ago, at {seen_at:%Y-%m-%d %H:%M:%S} UTC")
        self.ref, self.seen_at, self.age = ref, seen_at, age

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way to another process."""
        return type(self), (self.ref, self.seen_at, self.age)


def remember_pointer(context: Context, key: ModelKey, alias: str, found: Pointer | None) -> None:
    """Remember what an alias names, or that it was never published; offline, say how old that is."""
    _settled(context, f"{key}@{alias}", keys.pointer(key, alias), None if found is None else found.to_bytes())


def remember_run(context: Context, manifest: Manifest) -> None:
    """Remember the manifest of a run that was named by its id; offline, say how old that is."""
    _settled(context, manifest.label, manifest.storage_key, manifest.to_bytes())


def remember_document(context: Context, key: str, data: bytes | None) -> None:
    """Remember a document that something else led to. Of a folder of this machine, which needs no cache, nothing is."""
    if context.cache is not None and not context.is_offline and context.backend.staging_place is None:
        context.cache.see(context.backend.places[0], key, data)


def still_used(context: Context, key: str) -> None:
    """Say that a document is needed still, though it was not read again."""
    if context.cache is not None:
        context.cache.used(context.backend.places[0], key)


def _settled(context: Context, ref: str, key: str, data: bytes | None) -> None:
    remember_document(context, key, data)
    if isinstance(context.backend, Offline):
        seen = context.backend.seen(key, limit=max(MAX_POINTER, MAX_TOMBSTONE))
        if seen is not None:
            told = OfflineWarning(ref, seen.at, context.now() - seen.at)
            warnings.warn(told, stacklevel=_caller())


def _caller() -> int:
    """Return how many calls above :func:`_settled` the first one is that is not ours."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("artifact_store."):
        frame, level = frame.f_back, level + 1
    return level


def _text(age: timedelta) -> str:
    """Return a length of time in the unit that suits it."""
    seconds = age.total_seconds()
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"
