"""What a client has seen of the aliases that it follows, in a folder of its own: the highest ``seq`` of each.

A signature cannot tell an old pointer from the current one; a client that saw a later one can. Kept by store id and
alias, and by URL, so that neither an older state nor another store can take the place. Never goes back. Safe for many
threads and processes at once. Owns the folder and the comparison; the signature of a pointer is checked before.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, TypeVar

from artifact_store.core import keys
from artifact_store.core.documents import Document, Kind, WriteId
from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import Pointer
from artifact_store.errors import ContainerNotFound, Contended, ObjectNotFound, PreconditionFailed, RolledBack
from artifact_store.storage.base import IfAbsent, IfVersion, Precondition, Version
from artifact_store.storage.open import open_backend
from artifact_store.storage.retry import RetryPolicy

_LIMIT: Final = 64 << 10


class SeenStore(Document):
    """Which store a URL led to when it was used first."""

    KIND: ClassVar[Kind] = "seen"
    LIMIT: ClassVar[int] = _LIMIT

    url: str
    store_id: str


class SeenAlias(Document):
    """The latest publish that was seen of an alias."""

    KIND: ClassVar[Kind] = "seen"
    LIMIT: ClassVar[int] = _LIMIT

    store_id: str
    ref: str
    seq: int
    write_id: WriteId


T = TypeVar("T", SeenStore, SeenAlias)


class LastSeen:
    """The folder, made with the first write, readable by its owner only."""

    def __init__(self, folder: Path, retry: RetryPolicy) -> None:
        self._files = open_backend(folder, filesystem=None, storage_options=None, engine="local", timeout=retry.seconds)
        self._retry = retry

    def see(self, url: str, store_id: str, pointer: Pointer) -> None:
        """Remember a pointer with a good signature of the store at this URL.

        Raises:
            RolledBack: a later one was seen, another one with the same ``seq``, or one of another store.
            AccessDenied, StorageFull, Contended: it cannot be remembered, so it is not trusted.
        """
        self._same_store(url, store_id, pointer)
        where = keys.seen_alias(store_id, pointer.key, pointer.alias)
        now = SeenAlias(store_id=store_id, ref=pointer.label, seq=pointer.seq, write_id=pointer.write_id)
        for _ in self._retry.tries():
            before, version = self._read(SeenAlias, where)
            if before is not None and before.seq >= now.seq:
                _check_same(before, now)
                return
            if self._write(where, now, version):
                return
        raise Contended(f"{now.ref}: other processes kept recording what they saw of it, until the timeout; try again")

    def check_absence(self, url: str, key: ModelKey, alias: str) -> None:
        """Raise ``RolledBack`` if this client has seen this alias published."""
        before = self._last(url, key, alias)
        if before is not None:
            raise RolledBack(
                f"{before.ref} is gone, and this client has seen it at seq {before.seq}: pointers are never removed. "
                "Restore it, and find out who removed it",
                seen=before.seq,
                seq=0,
            )

    def highest(self, url: str, key: ModelKey, alias: str) -> int:
        """Return the highest ``seq`` seen of an alias of the store at this URL, or 0; ``Corrupt`` if it is damaged."""
        before = self._last(url, key, alias)
        return 0 if before is None else before.seq

    def _last(self, url: str, key: ModelKey, alias: str) -> SeenAlias | None:
        store, _ = self._read(SeenStore, keys.seen_store(url))
        return None if store is None else self._read(SeenAlias, keys.seen_alias(store.store_id, key, alias))[0]

    def _same_store(self, url: str, store_id: str, pointer: Pointer) -> None:
        where = keys.seen_store(url)
        first, _ = self._read(SeenStore, where)
        if first is None and not self._write(where, SeenStore(url=url, store_id=store_id), None):
            first, _ = self._read(SeenStore, where)
        if first is not None and first.store_id != store_id:
            raise RolledBack(
                f"the pointer at {url} is one of another store than this client has seen there: it was copied over. "
                "If the store was replaced on purpose, use a new folder for what was seen",
                seen=pointer.seq,
                seq=pointer.seq,
            )

    def _read(self, kind: type[T], where: str) -> tuple[T | None, Version | None]:
        try:
            blob = self._files.read(where, limit=_LIMIT)
        except (ObjectNotFound, ContainerNotFound):  # the first write makes the folder
            return None, None
        assert blob is not None
        return kind.from_bytes(blob.data, what=f"{where!r} of {self._files.url}"), blob.version

    def _write(self, where: str, document: Document, version: Version | None) -> bool:
        """Replace what was read, and tell whether it was still that."""
        when: Precondition = IfAbsent() if version is None else IfVersion(version)
        try:
            self._files.write(where, document.to_bytes(), when=when)
        except PreconditionFailed:
            return False
        return True


def _check_same(before: SeenAlias, now: SeenAlias) -> None:
    if before.seq > now.seq:
        raise RolledBack(
            f"{now.ref} is at seq {now.seq}, and this client has seen {before.seq}: an older state was put back. "
            "Restore the pointer, or publish again what should be served",
            seen=before.seq,
            seq=now.seq,
        )
    if before.write_id != now.write_id:
        raise RolledBack(
            f"{now.ref} at seq {now.seq} is another publish than the one that this client has seen with that seq: "
            "the store was restored from a copy, or two histories are shown",
            seen=before.seq,
            seq=now.seq,
        )
