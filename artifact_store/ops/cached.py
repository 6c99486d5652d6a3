"""A cache as its owner looks at it: what is in it, which of that goes, and whether all of it is still what it was.

Owns what an entry is called: a file has the name that a document which is there as well gives it. How entries are
stored, and what is removed when there is no room, is in :mod:`artifact_store.storage.cache_folder`.

Why: docs/decisions/0029-the-cache.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import Pointer
from artifact_store.errors import AccessDenied, ArtifactStoreError, InvalidOption
from artifact_store.ops.delete import StepResult
from artifact_store.ops.plan import CarryOut, Plan, PlanStep, one_by_one
from artifact_store.storage.cache import FileCache, Seen
from artifact_store.storage.cache_folder import CacheEntry
from artifact_store.storage.sizes import bytes_of
from artifact_store.wording import brief


@dataclass(frozen=True, slots=True)
class Cached(CacheEntry):
    """One entry of a cache: ``path, kind, bytes, used_at, sha256``, and what it is."""

    what: str
    """The run and the file, or where the document is stored; of a file that no document names, its sha256."""


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What came of comparing everything in a cache. What was damaged has been removed, and is fetched again."""

    checked: int
    bytes: int
    damaged: tuple[Cached, ...]
    unreadable: tuple[Cached, ...]
    """What could not be read, or is damaged and could not be removed; nobody uses it unseen."""

    @property
    def ok(self) -> bool:
        """Everything is still what it was."""
        return not (self.damaged or self.unreadable)


class Cache:
    """A folder of what was fetched from stores, and its ``limit`` in bytes; nothing is read before it is asked for.

    Raises:
        InvalidOption: this is no folder, or no size.
    """

    def __init__(self, folder: str | Path | FileCache, size: int | str | None = None) -> None:
        files = folder if isinstance(folder, FileCache) else FileCache.of(folder, size)
        if files is None:
            raise InvalidOption("name the folder of the cache")
        self._files = files

    def __repr__(self) -> str:
        return f"<Cache {self.folder}>"

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._files.folder.path

    @property
    def limit(self) -> int | None:
        """How many bytes it may hold: as given here, or to the client that added a file last; ``None``: any."""
        if self._files.folder.limit is not None:
            return self._files.folder.limit
        usage = self._files.folder.usage()
        return None if usage is None else usage.limit

    def entries(self) -> list[Cached]:
        """Return what is in it, what was used last first; a folder that is missing is empty.

        Raises:
            AccessDenied: the folder cannot be listed.
        """
        found = self._listed()
        documents = {entry: seen for entry in found if (seen := self._files.document(entry)) is not None}
        names = _names(documents.values())
        return [_cached(entry, documents.get(entry), names) for entry in found]

    def prune(self, *, size: int | str | None = None, older_than: timedelta | None = None) -> Plan:
        """Return the plan to remove what was used longest ago until ``size`` is left, and what is ``older_than`` that.

        What is used between the plan and :meth:`Plan.apply` stays. Whoever reads an entry meanwhile goes on reading.

        Raises:
            InvalidOption: neither is given, or one means nothing.
            AccessDenied: the folder cannot be listed.
        """
        goal = None if size is None else bytes_of("size", size)
        longest = _span(older_than)
        if goal is None and longest is None:
            raise InvalidOption("say what is to go: size='5GB', older_than=timedelta(days=30), or both")
        now = datetime.now(UTC)
        entries = self.entries()
        left, kept, steps = sum(entry.bytes for entry in entries), 0, []
        for entry in reversed(entries):
            age = now - entry.used_at
            if (goal is not None and left > goal) or (longest is not None and age > longest):
                left -= entry.bytes
                reason = f"{entry.what}, used last at {entry.used_at:%Y-%m-%d %H:%M:%S} UTC"
                steps.append(PlanStep(str(entry.path), "clear", reason, entry.bytes))
            else:
                kept += 1
        planned = {str(entry.path): entry for entry in entries}
        note = f"{kept} of {len(entries)} entries stay, with {left:,} bytes"
        return Plan(steps, lambda: self._removing(planned), notes=[note])

    def verify(self) -> CacheReport:
        """Hash everything, and remove what is damaged.

        Raises:
            AccessDenied: the folder cannot be listed.
        """
        checked, read = 0, 0
        damaged: list[Cached] = []
        unreadable: list[Cached] = []
        for entry in self.entries():
            try:
                sound = self._files.is_sound(entry)
            except OSError:
                unreadable.append(entry)
                continue
            if sound is not None:
                checked, read = checked + 1, read + entry.bytes
            if sound is False:
                (damaged if self._files.folder.remove(entry.path) else unreadable).append(entry)
        return CacheReport(checked, read, tuple(damaged), tuple(unreadable))

    def _listed(self) -> list[CacheEntry]:
        try:
            found = self._files.folder.entries()
        except OSError as error:
            raise AccessDenied(f"the cache {self.folder} cannot be listed: {error.strerror or error}") from error
        return sorted(found, key=lambda entry: entry.used_at, reverse=True)

    def _removing(self, planned: Mapping[str, Cached]) -> CarryOut:
        self._files.folder.clear_unfinished()

        def remove(step: PlanStep) -> StepResult:
            entry = planned[step.target]
            try:
                used = self._files.folder.used_at(entry.path)
            except OSError:
                return StepResult("kept", "it is gone already")
            if used != entry.used_at:
                return StepResult("kept", "it was used meanwhile")
            if not self._files.folder.remove(entry.path):
                raise AccessDenied(f"{entry.path} cannot be removed: it is in use, or the folder may not be written")
            return StepResult("cleared")

        return one_by_one(remove)


def _span(value: object) -> timedelta | None:
    if value is None or (isinstance(value, timedelta) and value >= timedelta(0)):
        return value
    raise InvalidOption(f"older_than is a timedelta, such as timedelta(days=30), not {brief(value)}")


def _cached(entry: CacheEntry, seen: Seen | None, names: Mapping[str, str]) -> Cached:
    what = names.get(entry.sha256, entry.sha256) if seen is None else f"{seen.key} of {seen.place}"
    return Cached(entry.path, entry.kind, entry.bytes, entry.used_at, what)


def _names(documents: Iterable[Seen]) -> dict[str, str]:
    """Return what the files are, by their sha256, as far as the documents say it."""
    found: dict[str, str] = {}
    for seen in documents:
        manifest = _manifest(seen)
        if manifest is not None:
            found |= {file.sha256: f"{manifest.label} {file.path}" for file in manifest.files}
    return found


def _manifest(seen: Seen) -> Manifest | None:
    """Return the manifest that a document is, or holds."""
    if seen.data is None:
        return None
    with suppress(ArtifactStoreError):  # it is another document
        return Manifest.from_bytes(seen.data, what=seen.key)
    with suppress(ArtifactStoreError):  # or a signature, which names no file
        return Pointer.from_bytes(seen.data, what=seen.key).embedded(seen.key)
    return None
