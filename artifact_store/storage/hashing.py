"""Pieces of files that are hashed as they pass, here or in a thread that follows behind. Knows no keys."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Protocol

from artifact_store.core.files import Digest
from artifact_store.errors import Unavailable
from artifact_store.storage.budget import Budget
from artifact_store.storage.threads import Cancelled, Threads, result_of

_BEHIND = 16 << 20
"""Bytes that may wait to be hashed."""
_GATHERED = 1 << 20
"""Bytes that are handed over together: each time costs as much as hashing some kibibytes."""


class Hashed:
    """Pieces that are hashed and counted as they pass, until ``stop`` is set or it is closed: then ``Cancelled``.

    With ``behind`` they are hashed in another thread, so that hashing takes no time from reading and writing them.
    """

    def __init__(
        self, pieces: Iterable[bytes], stop: threading.Event, tell: Callable[[int], None], *, behind: bool = False
    ) -> None:
        self._pieces, self._stop, self._tell = pieces, stop, tell
        self._hash: _Hash = _Behind.begun() if behind else hashlib.sha256()
        self._size = 0
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if self._closed or self._stop.is_set():
                self.close()  # not possible from outside while this thread read the piece
                raise Cancelled
            self._hash.update(piece)
            self._size += len(piece)
            yield piece
            self._tell(self._size)
        if self._closed:  # by another thread: what it cut short must not look whole
            raise Cancelled

    def close(self) -> None:
        """Let the source of the pieces go; a thread that an engine left behind, and that reads just now, does so."""
        self._closed = True
        if isinstance(self._hash, _Behind):
            self._hash.end()
        if isinstance(self._pieces, Generator):
            with suppress(ValueError):  # that thread reads just now
                self._pieces.close()

    @property
    def digest(self) -> Digest:
        """What has passed so far."""
        return Digest(self._size, self._hash.hexdigest())


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Behind:
    """A sha256 that is formed in a thread of its own, at most 16 MiB behind; the digest waits for it, and ends it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._room = Budget(_BEHIND)
        self._work: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self._gathered: list[bytes] = []
        self._bytes = 0
        threads = Threads(1, "artifact-store-hash")
        self._done: Future[None] = threads.submit(self._follow)
        threads.leave()

    @classmethod
    def begun(cls) -> _Hash:
        """Return one; where there is no thread for it, a plain hash."""
        try:
            return cls()
        except Unavailable:
            return hashlib.sha256()

    def update(self, data: bytes, /) -> None:
        self._gathered.append(data)
        self._bytes += len(data)
        if self._bytes >= _GATHERED:
            self._hand_over()

    def hexdigest(self) -> str:
        self._hand_over()
        self.end()
        result_of(self._done)
        return self._hash.hexdigest()

    def end(self) -> None:
        """Let the thread end with what it was handed over."""
        self._work.put(None)

    def _hand_over(self) -> None:
        if self._bytes:
            self._room.take(min(self._bytes, _BEHIND), unless=self._done.done)
            self._work.put(self._gathered)
            self._gathered, self._bytes = [], 0

    def _follow(self) -> None:
        while (pieces := self._work.get()) is not None:
            for piece in pieces:
                self._hash.update(piece)
            self._room.give_back(min(sum(map(len, pieces)), _BEHIND))


def hash_pieces(pieces: Iterable[bytes]) -> Digest:
    """Return the digest of all ``pieces`` together."""
    found, size = hashlib.sha256(), 0
    for piece in pieces:
        found.update(piece)
        size += len(piece)
    return Digest(size, found.hexdigest())
