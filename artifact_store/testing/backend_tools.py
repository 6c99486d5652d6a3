"""What the tests of the backend contract are written with: bytes, races, forks, and short ways to look."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from artifact_store.errors import Conflict, Contended, PreconditionFailed
from artifact_store.storage.base import Backend, Blob, IfAbsent, IfVersion

MIB = 1 << 20
SIZES = (0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB)
LARGEST_PIECE = 8 * MIB
WRITERS = 16
LIMIT = 64 * MIB
CHILD_SECONDS = 60

Result = TypeVar("Result")


class SourceBroke(Exception):
    """Raised by the sources of bytes in this suite; a backend passes it on as it is."""


class SourceStopped(BaseException):
    """Like Ctrl-C: not an ``Exception``, and cleaned up after all the same."""


def some_bytes(size: int, seed: int = 0) -> bytes:
    """Return bytes that differ at every position and for every seed, so that no mixture passes for the whole."""
    return random.Random(f"{size}/{seed}").randbytes(size)  # noqa: S311 -- test data, the same in every run


def pieces(data: bytes, *, each: int = MIB) -> Iterator[bytes]:
    """Yield ``data`` in pieces, with an empty one in front."""
    yield b""
    for start in range(0, len(data), each):
        yield data[start : start + each]


def read_blob(backend: Backend, key: str, *, limit: int = LIMIT) -> Blob:
    """Read an object that must be there."""
    blob = backend.read(key, limit=limit)
    assert blob is not None, "read_blob() without unless= returned None"
    return blob


def received(backend: Backend, key: str, size: int) -> bytes:
    """Return what a stream yields, after a look at the sizes of its pieces."""
    got = list(backend.stream(key, size=size))
    assert all(len(piece) <= LARGEST_PIECE for piece in got)
    return b"".join(got)


def keys(backend: Backend, prefix: str = "") -> list[str]:
    """Return the keys of a listing."""
    return [entry.key for entry in backend.list(prefix)]


def name(key: str) -> str:
    """Return the name that ``children("x/")`` gives to ``key``."""
    first, slash, _rest = key.removeprefix("x/").partition("/")
    return first + slash


def needs_create(backend: Backend, size: int = 0) -> None:
    """Skip the test if the backend says that it cannot create an object of this size."""
    if not backend.capabilities.create_only:
        pytest.skip(f"no create-only writes: {backend.capabilities.reason}")
    if backend.create_limit is not None and size > backend.create_limit:
        pytest.skip(f"creates no object above {backend.create_limit} bytes")


def needs_swap(backend: Backend) -> None:
    """Skip the test if the backend says that it cannot compare and swap."""
    if not backend.capabilities.compare_and_swap:
        pytest.skip(f"no compare-and-swap: {backend.capabilities.reason}")


def race(work: Callable[[int], Result], *, threads: int = WRITERS) -> tuple[list[Result], list[Exception]]:
    """Start ``work`` in many threads at the same moment; return what it returned, and what it raised."""
    start = threading.Barrier(threads)
    won: list[Result] = []
    lost: list[Exception] = []

    def run(index: int) -> None:
        start.wait()
        try:
            won.append(work(index))
        except Exception as error:  # noqa: BLE001 -- handed to the test, which judges it
            lost.append(error)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))
    return won, lost


def one_winner(backends: Sequence[Backend], key: str, when: IfAbsent | IfVersion) -> None:
    """Let many threads write under one condition: exactly one may, and what it wrote is what is there."""

    def write(index: int) -> Blob:
        data = f"writer {index}".encode()
        return Blob(data, backends[index % len(backends)].write(key, data, when=when))

    won, lost = race(write)
    assert [error for error in lost if not isinstance(error, PreconditionFailed | Contended)] == []
    assert len(won) == 1
    assert [read_blob(backend, key) for backend in backends] == won * len(backends)


def swap_until_it_holds(backend: Backend, key: str, change: Callable[[bytes], bytes]) -> None:
    """Read, change and swap until no other writer was first."""
    while True:
        seen = read_blob(backend, key)
        with contextlib.suppress(Conflict, Contended):  # another writer was first: look again
            backend.write(key, change(seen.data), when=IfVersion(seen.version))
            return


def run_in_a_fork(child: Callable[[], None]) -> None:
    """Run ``child`` in a forked process; a failure, or no end within a minute, fails the test."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is the very thing to be tested
        pid = os.fork()
    if pid == 0:
        try:
            child()
        except BaseException:  # noqa: BLE001 -- nothing may escape into the parent's test run
            os.write(writer, traceback.format_exc()[-50_000:].encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ended, _, _ = select.select([reader], [], [], CHILD_SECONDS)
        if not ended:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        problem = os.read(reader, 60_000).decode() if ended else f"it did not end within {CHILD_SECONDS} s"
    finally:
        os.close(reader)
    if problem:
        pytest.fail(f"in the forked child: {problem}")
