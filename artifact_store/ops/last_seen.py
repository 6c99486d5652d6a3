"""What a client has seen of the aliases that it follows, in a folder of its own: the highest ``seq`` of each.

A signature cannot tell an old pointer from the current one; a client that saw a later one can. Kept by store id and
alias, and by place (:mod:`artifact_store.storage.places`), so that neither an older state nor another store can take
the place, however its URL is spelled. Never goes back. Safe for many threads and processes at once. Owns the folder and
the comparison; the signature of a pointer is checked before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from artifact_store.core import keys
from artifact_store.core.documents import Document, Kind, WriteId
from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import Pointer
from artifact_store.errors import (
    ContainerNotFound,
    Contended,
    ObjectNotFound,
    PreconditionFailed,
    RolledBack,
    StoreReplaced,
)
from artifact_store.storage.base import Backend, IfAbsent, IfVersion, Precondition, Version
from artifact_store.storage.open import open_backend
from artifact_store.storage.retry import RetryPolicy

_LIMIT: Final = 64 << 10


class SeenStore(Document):
    """Which store was seen at a place first."""

    KIND: ClassVar[Kind] = "seen"
    LIMIT: ClassVar[int] = _LIMIT

    url: str
    """The name of the place; in folders of earlier versions the URL as it was spelled."""
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

    def see(self, root: Backend, store_id: str, pointer: Pointer) -> None:
        """Remember a pointer with a good signature, found at this root, for the store with this id.

        Raises:
            StoreReplaced: this client has seen another store at this root.
            RolledBack: a later one was seen, or another one with the same ``seq``.
            AccessDenied, StorageFull, Contended: it cannot be remembered, so it is not trusted.
        """
        self.check_store(root, store_id, seq=pointer.seq)
        where = keys.seen_alias(store_id, pointer.key, pointer.alias)
        now = SeenAlias(store_id=store_id, ref=pointer.label, seq=pointer.seq, write_id=pointer.write_id)
        for _ in self._retry.tries():
            before, version = self._read(SeenAlias, where)
            if before is not None and before.seq >= now.seq:
                _check_same(before, now)
                return
            if self._write(where, now, version):
                return
        raise _contended(now.ref)

    def check_store(self, root: Backend, store_id: str, *, seq: int = 0) -> None:
        """Raise ``StoreReplaced`` if another store was seen under any name of this root; remember it under all.

        ``seq`` is that of the pointer that names the store; 0: it is what the root says of itself.
        """
        for _ in self._retry.tries():
            seen = self._stores(root)
            other = next((known for known in seen.values() if known != store_id), None)
            if other is not None:
                raise _replaced(root, other, store_id, seen=seq, seq=seq)
            new = [place for place in root.places if place not in seen]
            won = [self._write(keys.seen_store(each), SeenStore(url=each, store_id=store_id), None) for each in new]
            if all(won):
                return
        raise _contended(root.url)

    def accept(self, root: Backend, store_id: str) -> None:
        """Remember from now on that this store is the one at this root, whatever was there before.

        What was seen of the aliases of the other one stays, so that it cannot come back older than it was.
        """
        for place in root.places:
            where = keys.seen_store(place)
            for _ in self._retry.tries():
                _, version = self._read(SeenStore, where)
                if self._write(where, SeenStore(url=place, store_id=store_id), version):
                    break
            else:
                raise _contended(root.url)

    def check_absence(self, root: Backend, key: ModelKey, alias: str, store_there: Callable[[], str | None]) -> None:
        """Raise if this client has seen this alias published; ``store_there`` tells which store is there now.

        Raises:
            StoreReplaced: another store is there now.
            RolledBack: the alias is gone.
        """
        before = self._latest(root, key, alias)
        if before is None:
            return
        found = store_there()
        if found is not None and found != before.store_id:
            raise _replaced(root, before.store_id, found, seen=before.seq, seq=0)
        raise RolledBack(
            f"{before.ref} is gone, and this client has seen it at seq {before.seq}: pointers are never removed. "
            "Restore it, and find out who removed it",
            seen=before.seq,
            seq=0,
        )

    def highest(self, root: Backend, key: ModelKey, alias: str) -> int:
        """Return the highest ``seq`` seen of an alias of the store at this root, or 0; ``Corrupt`` if it is damaged."""
        before = self._latest(root, key, alias)
        return 0 if before is None else before.seq

    def _latest(self, root: Backend, key: ModelKey, alias: str) -> SeenAlias | None:
        stores = set(self._stores(root).values())
        seen = [self._read(SeenAlias, keys.seen_alias(store_id, key, alias))[0] for store_id in stores]
        return max((each for each in seen if each is not None), key=lambda each: each.seq, default=None)

    def _stores(self, root: Backend) -> dict[str, str]:
        """Return which store was seen under each name of this root; names under which none was seen are left out.

        A folder that an earlier version wrote has the URL as it was spelled instead, which counts until one is known.
        """
        for names in (root.places, (root.url,)):
            found = {name: self._read(SeenStore, keys.seen_store(name))[0] for name in names}
            if known := {name: store.store_id for name, store in found.items() if store is not None}:
                return known
        return {}

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


def _replaced(root: Backend, known: str, found: str, *, seen: int, seq: int) -> StoreReplaced:
    return StoreReplaced(
        f"what {root.url} holds is of another store, {found}, than this client has seen there, {known}: the store was "
        "replaced, or something was copied over it. If it was replaced on purpose, ask its owner for the id of the new "
        f"one, compare, and call store.accept_store({found!r}) once with this state folder",
        seen=seen,
        seq=seq,
        known=known,
        found=found,
    )


def _contended(what: str) -> Contended:
    return Contended(f"{what}: other processes kept recording what they saw of it, until the timeout; try again")


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
