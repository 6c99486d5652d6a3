"""Bytes in this process's memory: the reference implementation of the backend contract, and the test double.

Guarantees everything that :mod:`artifact_store.storage.base` asks for, among the threads of one process. Does not
guarantee anything beyond that process: a forked child works on a copy, and nothing survives the end.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from artifact_store.errors import Corrupt, ObjectNotFound, PreconditionFailed
from artifact_store.process import Process, this_process
from artifact_store.storage.base import Always, Backend, Blob, Capabilities, Entry, IfAbsent, Precondition, Version
from artifact_store.storage.exact_size import exactly, wrong_size

_PIECE = 1 << 20


class _Object(NamedTuple):
    data: bytes
    version: Version
    modified: datetime


@dataclass
class _Space:
    """The objects that all backends of one name share."""

    objects: dict[str, _Object] = field(default_factory=dict)
    locks: dict[Process, threading.Lock] = field(default_factory=dict)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def lock(self) -> threading.Lock:
        """One lock per process: a thread that a fork left behind in the parent may hold the parent's for ever."""
        return self.locks.setdefault(this_process(), threading.Lock())


_spaces: dict[str, _Space] = {}


class MemoryBackend(Backend):
    """Objects in a dictionary.

    Backends of the same ``name`` share one space for as long as the process lives; one without a name has its
    own. Every write makes a version that was never there before, so A, B, A are three versions. ``clock`` tells the
    times of its listings.
    """

    engine = "memory"
    is_near = True
    endpoint = "memory"
    capabilities = Capabilities(
        create_only=True, compare_and_swap=True, durable=False, reason="memory is lost when the process ends"
    )

    def __init__(self, name: str = "", *, clock: Callable[[], datetime] | None = None) -> None:
        self.url = f"memory://{name}"
        self._name = name
        self._clock = clock or partial(datetime.now, UTC)
        # dict.setdefault is one step: two threads that ask for a new name get the same space
        self._space = _spaces.setdefault(name, _Space()) if name else _Space()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    @property
    def places(self) -> tuple[str, ...]:
        """This very space: the next process has another one of the same name."""
        return (f"memory://{self._name} {self._space.token}",)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the name; the receiving process has its own space of that name."""
        if not self._name:
            raise TypeError("a MemoryBackend without a name is private to its process and cannot be pickled")
        return type(self), (self._name,)

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        found = self._get(key)
        if found.version == unless:
            return None
        if len(found.data) > limit:
            held = f"{key!r} in {self.url} holds {len(found.data)} bytes"
            raise Corrupt(f"{held}, more than the {limit} that it may hold", key=key)
        return Blob(found.data, found.version)

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Yield the object as it was when the first piece was asked for."""
        data = self._get(key).data
        if len(data) != size:
            raise wrong_size(key, expected=size, actual=len(data))
        for start in range(0, size, _PIECE):
            yield data[start : start + _PIECE]

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        written = _Object(bytes(data), Version(uuid.uuid4().hex), self._clock())
        with self._space.lock:
            _check(key, self._space.objects.get(key), when)
            self._space.objects[key] = written
        return written.version

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Gather ``chunks`` and store them in one step; memory is the one place where they all have to fit."""
        self.write(key, b"".join(exactly(chunks, size=size, key=key)), when=when)

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects that are there at the moment of the call, in key order."""
        with self._space.lock:
            found = [(key, held) for key, held in self._space.objects.items() if key.startswith(prefix)]
        return iter([Entry(key, len(held.data), held.modified) for key, held in sorted(found)])

    def children(self, prefix: str) -> Iterator[str]:
        below = (entry.key[len(prefix) :].partition("/") for entry in self.list(prefix))
        return iter(sorted({name + slash for name, slash, _rest in below}))

    def delete(self, key: str) -> None:
        with self._space.lock:
            self._space.objects.pop(key, None)

    def _get(self, key: str) -> _Object:
        # one look-up in a dict is one step; readers need no lock
        found = self._space.objects.get(key)
        if found is None:
            raise ObjectNotFound(key, f"nothing is stored at {key!r} in {self.url}")
        return found


def _check(key: str, current: _Object | None, when: Precondition) -> None:
    match when:
        case Always():
            return
        case IfAbsent():
            holds = current is None
        case _:
            holds = current is not None and current.version == when.version
    if not holds:
        raise PreconditionFailed(key)
