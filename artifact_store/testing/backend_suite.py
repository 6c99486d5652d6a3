"""The backend contract as tests: what every engine has to do alike.

A backend is proven by a subclass and a fixture::

    class TestMyBackend(BackendSuite):
        @pytest.fixture
        def backend(self, tmp_path):
            return MyBackend(tmp_path)

        @pytest.fixture
        def other(self, tmp_path, backend):      # a second, independent instance on the same root
            return MyBackend(tmp_path)

The root is empty and exists when a test begins. What a backend says that it cannot do (``capabilities``,
``create_limit``) is tested for an honest refusal. Needs pytest, and nothing else beyond the library.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import select
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import ClassVar, TypeVar

import pytest

from artifact_store.core.errors import (
    ArtifactStoreError,
    ConditionsUnsupported,
    Conflict,
    Contended,
    Corrupt,
    DigestMismatch,
    ObjectNotFound,
    PreconditionFailed,
    Unavailable,
)
from artifact_store.storage.base import Always, Backend, Blob, IfAbsent, IfVersion, Version

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


class BackendSuite:
    """Subclass this with a ``backend`` fixture, and with an ``other`` one where two instances can share a root."""

    secrets: ClassVar[tuple[str, ...]] = ()
    """Credentials that the fixture uses: they may appear in no pickle, repr or message."""
    across_processes: ClassVar[bool] = True
    """Whether a forked child shares the storage with its parent."""
    awkward_keys: ClassVar[tuple[str, ...]] = (
        "x/a b+c=d@e.txt",
        "x/100%.txt",
        "x/%2e%2e.txt",
        "x/a&b;c#d.txt",
        "x/~tilde'quote(1).txt",
        "x/größe-测试.txt",
        "x/run[1]/f.txt",
        "x/..dots..in..name",
        "x/-dash",
        "x/" + "n" * 200,
    )
    """Keys that exist to be mistreated: decoded, globbed or expanded. Leave out what the platform cannot name."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Return the backend to be tested, on a root that exists and is empty."""
        message = f"{type(self).__name__} has to define a fixture named 'backend'"
        raise NotImplementedError(message)

    @pytest.fixture
    def other(self, backend: Backend) -> Backend:
        """Return a second, independent backend on the same root as ``backend``."""
        pytest.skip(f"no second instance of {backend.engine} shares its root")

    def leftovers(self, backend: Backend) -> Sequence[str]:
        """Return what failed writes left behind the back of ``list``: temporary files, open uploads."""
        del backend
        return ()

    # ------------------------------------------------------------ what it says about itself

    def test_it_introduces_itself(self, backend: Backend) -> None:
        assert backend.engine
        assert backend.url
        assert backend.endpoint
        promised = backend.capabilities
        assert promised.reason or (promised.create_only and promised.compare_and_swap and promised.durable)

    # ------------------------------------------------------------ read and write

    @pytest.mark.parametrize("data", [b"", b"x", b"\x00\xff\r\n" * 300, some_bytes(3 * MIB)])
    def test_what_is_written_is_read_back_with_its_version(self, backend: Backend, data: bytes) -> None:
        version = backend.write("a/b.json", data, when=Always())
        assert read(backend, "a/b.json") == Blob(data, version)

    def test_a_second_write_replaces_the_first(self, backend: Backend) -> None:
        first = backend.write("k", b"a long first text", when=Always())
        second = backend.write("k", b"short", when=Always())
        assert read(backend, "k") == Blob(b"short", second)
        assert first != second

    def test_equal_versions_mean_equal_bytes(self, backend: Backend) -> None:
        seen: dict[Version, bytes] = {}
        for data in (b"A", b"B", b"A", b"", b"B", b"A"):
            version = backend.write("k", data, when=Always())
            assert seen.setdefault(version, data) == data

    def test_reading_twice_gives_the_same_version(self, backend: Backend) -> None:
        backend.write("k", b"same", when=Always())
        assert read(backend, "k") == read(backend, "k")

    @pytest.mark.parametrize("key", ["absent", "a/absent", "a/b/c/absent", "a/b.json/below"])
    def test_reading_what_is_not_there_says_so(self, backend: Backend, key: str) -> None:
        backend.write("a/b.json", b"{}", when=Always())
        with pytest.raises(ObjectNotFound) as caught:
            backend.read(key, limit=LIMIT)
        assert caught.value.key == key
        assert key in str(caught.value)

    def test_an_unchanged_object_is_not_read_again(self, backend: Backend) -> None:
        version = backend.write("k", b"one", when=Always())
        assert backend.read("k", limit=LIMIT, unless=version) is None
        newer = backend.write("k", b"two", when=Always())
        assert backend.read("k", limit=LIMIT, unless=version) == Blob(b"two", newer)

    def test_a_missing_object_is_missing_whatever_version_the_reader_knows(self, backend: Backend) -> None:
        version = backend.write("k", b"one", when=Always())
        backend.delete("k")
        with pytest.raises(ObjectNotFound):
            backend.read("k", limit=LIMIT, unless=version)

    def test_an_object_of_exactly_the_limit_is_read(self, backend: Backend) -> None:
        backend.write("k", b"12345", when=Always())
        backend.write("empty", b"", when=Always())
        assert read(backend, "k", limit=5).data == b"12345"
        assert read(backend, "empty", limit=0).data == b""

    @pytest.mark.parametrize("size", [6, 9 * MIB])
    def test_an_object_above_the_limit_is_corrupt(self, backend: Backend, size: int) -> None:
        backend.write("k", some_bytes(size), when=Always())
        with pytest.raises(Corrupt) as caught:
            backend.read("k", limit=5)
        assert caught.value.key == "k"

    # ------------------------------------------------------------ create only

    def test_create_only_stores_what_was_not_there(self, backend: Backend) -> None:
        needs_create(backend)
        version = backend.write("a/b", b"one", when=IfAbsent())
        assert read(backend, "a/b") == Blob(b"one", version)

    @pytest.mark.parametrize("held", [b"one", b""])
    def test_create_only_leaves_what_is_there(self, backend: Backend, held: bytes) -> None:
        needs_create(backend)
        version = backend.write("a/b", held, when=Always())
        for data in (b"two", b"", held):
            with pytest.raises(PreconditionFailed) as caught:
                backend.write("a/b", data, when=IfAbsent())
            assert caught.value.key == "a/b"
        assert read(backend, "a/b") == Blob(held, version)

    def test_a_deleted_key_can_be_created_again(self, backend: Backend) -> None:
        needs_create(backend)
        backend.write("a/b", b"one", when=IfAbsent())
        backend.delete("a/b")
        backend.write("a/b", b"two", when=IfAbsent())
        assert read(backend, "a/b").data == b"two"

    def test_one_of_many_creators_wins(self, backend: Backend) -> None:
        needs_create(backend)
        for turn in range(5):
            one_winner([backend], f"race/{turn}", IfAbsent())

    def test_one_of_many_creators_in_two_instances_wins(self, backend: Backend, other: Backend) -> None:
        needs_create(backend)
        for turn in range(5):
            one_winner([backend, other], f"race/{turn}", IfAbsent())

    def test_one_of_many_creators_of_a_streamed_file_wins(self, backend: Backend) -> None:
        needs_create(backend)

        def create(index: int) -> bytes:
            data = some_bytes(300_000, index)
            backend.put_file("race/file", pieces(data, each=64 * 1024), size=len(data), when=IfAbsent())
            return data

        won, lost = race(create)
        assert len(won) == 1
        assert all(isinstance(error, PreconditionFailed | Contended) for error in lost)
        assert read(backend, "race/file").data == won[0]

    # ------------------------------------------------------------ compare and swap

    def test_a_swap_from_the_current_version_succeeds(self, backend: Backend) -> None:
        needs_swap(backend)
        first = backend.write("k", b"one", when=Always())
        second = backend.write("k", b"two", when=IfVersion(first))
        third = backend.write("k", b"three", when=IfVersion(second))
        assert read(backend, "k") == Blob(b"three", third)

    def test_a_swap_from_a_created_object_succeeds(self, backend: Backend) -> None:
        needs_create(backend)
        needs_swap(backend)
        first = backend.write("k", b"one", when=IfAbsent())
        backend.write("k", b"two", when=IfVersion(first))
        assert read(backend, "k").data == b"two"

    def test_a_swap_from_a_stale_version_fails(self, backend: Backend) -> None:
        needs_swap(backend)
        first = backend.write("k", b"one", when=Always())
        second = backend.write("k", b"two", when=Always())
        with pytest.raises(PreconditionFailed) as caught:
            backend.write("k", b"three", when=IfVersion(first))
        assert caught.value.key == "k"
        assert read(backend, "k") == Blob(b"two", second)

    def test_a_swap_of_a_missing_object_fails_and_creates_nothing(self, backend: Backend) -> None:
        needs_swap(backend)
        version = backend.write("k", b"one", when=Always())
        backend.delete("k")
        for key in ("k", "never/there"):
            with pytest.raises(PreconditionFailed):
                backend.write(key, b"two", when=IfVersion(version))
            with pytest.raises(ObjectNotFound):
                backend.read(key, limit=LIMIT)

    def test_a_stale_version_passes_only_where_the_very_same_bytes_are_back(self, backend: Backend) -> None:
        """A content hash as version lets A, B, A through. So every pointer carries a write id of its own."""
        needs_swap(backend)
        first = backend.write("k", b"A", when=Always())
        between = backend.write("k", b"B", when=Always())
        again = backend.write("k", b"A", when=Always())
        assert between not in {first, again}
        if first == again:
            backend.write("k", b"C", when=IfVersion(first))
        else:
            with pytest.raises(PreconditionFailed):
                backend.write("k", b"C", when=IfVersion(first))

    def test_one_of_many_swaps_from_one_version_wins(self, backend: Backend) -> None:
        needs_swap(backend)
        for turn in range(5):
            seen = backend.write(f"race/{turn}", b"start", when=Always())
            one_winner([backend], f"race/{turn}", IfVersion(seen))

    def test_one_of_many_swaps_in_two_instances_wins(self, backend: Backend, other: Backend) -> None:
        needs_swap(backend)
        for turn in range(5):
            seen = backend.write(f"race/{turn}", b"start", when=Always())
            one_winner([backend, other], f"race/{turn}", IfVersion(seen))

    def test_no_increment_of_many_threads_is_lost(self, backend: Backend) -> None:
        needs_swap(backend)
        backend.write("counter", b"0", when=Always())
        threads, turns = 4, 10

        def increment(_index: int) -> None:
            for _turn in range(turns):
                swap_until_it_holds(backend, "counter", lambda data: str(int(data) + 1).encode())

        won, lost = race(increment, threads=threads)
        assert (len(won), lost) == (threads, [])
        assert read(backend, "counter").data == str(threads * turns).encode()

    # ------------------------------------------------------------ conditions that are not to be had

    def test_a_condition_that_cannot_be_honoured_is_refused(self, backend: Backend) -> None:
        promised = backend.capabilities
        if promised.create_only and promised.compare_and_swap:
            pytest.skip(f"{backend.engine} honours both conditions")
        assert promised.reason
        if not promised.create_only:
            with pytest.raises(ConditionsUnsupported):
                backend.write("k", b"x", when=IfAbsent())
            with pytest.raises(ConditionsUnsupported):
                backend.put_file("k", [b"x"], size=1, when=IfAbsent())
            assert keys(backend) == []
        if not promised.compare_and_swap:
            version = backend.write("k", b"old", when=Always())
            with pytest.raises(ConditionsUnsupported):
                backend.write("k", b"new", when=IfVersion(version))
            assert read(backend, "k").data == b"old"

    def test_a_file_too_large_to_be_created_is_refused_before_its_source_is_read(self, backend: Backend) -> None:
        needs_create(backend)
        if backend.create_limit is None:
            pytest.skip(f"{backend.engine} creates objects of any size")

        touched: list[bool] = []

        def source() -> Iterator[bytes]:
            touched.append(True)
            yield b""

        with pytest.raises(ConditionsUnsupported):
            backend.put_file("k", source(), size=backend.create_limit + 1, when=IfAbsent())
        assert touched == []
        assert keys(backend) == []

    # ------------------------------------------------------------ files

    @pytest.mark.parametrize("when", [Always(), IfAbsent()], ids=["always", "if-absent"])
    @pytest.mark.parametrize("size", SIZES)
    def test_a_file_is_streamed_there_and_back(self, backend: Backend, size: int, when: Always | IfAbsent) -> None:
        if isinstance(when, IfAbsent):
            needs_create(backend, size)
        data = some_bytes(size)
        backend.put_file("run/model.bin", pieces(data), size=size, when=when)
        assert read(backend, "run/model.bin").data == data
        assert received(backend, "run/model.bin", size) == data
        assert [(entry.key, entry.size) for entry in backend.list("run/")] == [("run/model.bin", size)]

    @pytest.mark.parametrize("each", [1000, 20 * MIB], ids=["crumbs", "one piece"])
    def test_the_size_of_the_pieces_does_not_matter(self, backend: Backend, each: int) -> None:
        data = some_bytes(9 * MIB + 7)
        backend.put_file("k", pieces(data, each=each), size=len(data), when=Always())
        assert received(backend, "k", len(data)) == data

    @pytest.mark.parametrize("size", [10, 12 * MIB])
    def test_a_file_replaces_a_file(self, backend: Backend, size: int) -> None:
        data = some_bytes(size)
        backend.write("k", b"what was there before", when=Always())
        backend.put_file("k", pieces(data), size=size, when=Always())
        assert read(backend, "k").data == data

    @pytest.mark.parametrize("size", [0, 10, 12 * MIB])
    def test_creating_a_file_leaves_what_is_there(self, backend: Backend, size: int) -> None:
        needs_create(backend, size)
        version = backend.write("a/k", b"old", when=Always())
        with pytest.raises(PreconditionFailed):
            backend.put_file("a/k", pieces(some_bytes(size)), size=size, when=IfAbsent())
        assert read(backend, "a/k") == Blob(b"old", version)
        assert keys(backend) == ["a/k"]
        assert list(self.leftovers(backend)) == []

    @pytest.mark.parametrize("when", [Always(), IfAbsent()], ids=["always", "if-absent"])
    @pytest.mark.parametrize("error", [SourceBroke, SourceStopped])
    @pytest.mark.parametrize(
        ("size", "given"), [(10, 0), (10, 4), (10, 10), (20 * MIB, 12 * MIB), (20 * MIB, 20 * MIB)]
    )
    def test_a_source_that_fails_leaves_nothing(
        self,
        backend: Backend,
        size: int,
        given: int,
        error: type[SourceBroke | SourceStopped],
        when: Always | IfAbsent,
    ) -> None:
        """Also when it fails after its last byte, as a source that checks a hash at the end does."""
        if isinstance(when, IfAbsent):
            needs_create(backend, size)

        def source() -> Iterator[bytes]:
            yield from pieces(some_bytes(size)[:given])
            raise error

        with pytest.raises(error):
            backend.put_file("a/k", source(), size=size, when=when)
        self._nothing_there(backend, "a/k")

    @pytest.mark.parametrize("when", [Always(), IfAbsent()], ids=["always", "if-absent"])
    @pytest.mark.parametrize(
        ("size", "given"),
        [(0, 1), (10, 9), (10, 11), (10, 0), (12 * MIB, 12 * MIB - 1), (12 * MIB, 12 * MIB + 1)],
    )
    def test_a_source_of_another_size_leaves_nothing(
        self, backend: Backend, size: int, given: int, when: Always | IfAbsent
    ) -> None:
        if isinstance(when, IfAbsent):
            needs_create(backend, size)
        with pytest.raises(DigestMismatch):
            backend.put_file("a/k", pieces(some_bytes(given)), size=size, when=when)
        self._nothing_there(backend, "a/k")

    @pytest.mark.parametrize("size", [10, 12 * MIB])
    def test_a_failed_replacement_leaves_the_old_file(self, backend: Backend, size: int) -> None:
        version = backend.write("a/k", b"old", when=Always())
        with pytest.raises(DigestMismatch):
            backend.put_file("a/k", pieces(some_bytes(size - 1)), size=size, when=Always())
        assert read(backend, "a/k") == Blob(b"old", version)
        assert list(self.leftovers(backend)) == []

    def test_a_file_is_not_visible_before_its_end(self, backend: Backend) -> None:
        size = 12 * MIB
        looked: list[list[str]] = []

        def source() -> Iterator[bytes]:
            for piece in pieces(some_bytes(size)):
                looked.append(keys(backend))
                yield piece

        backend.put_file("a/k", source(), size=size, when=Always())
        assert len(looked) > 1
        assert all(found == [] for found in looked)
        assert keys(backend) == ["a/k"]

    def _nothing_there(self, backend: Backend, key: str) -> None:
        with pytest.raises(ObjectNotFound):
            backend.read(key, limit=LIMIT)
        assert keys(backend) == []
        assert list(self.leftovers(backend)) == []

    # ------------------------------------------------------------ streams

    @pytest.mark.parametrize(
        ("size", "expected"),
        [(0, 1), (1, 0), (10, 9), (10, 11), (12 * MIB, 12 * MIB - 1), (12 * MIB, 12 * MIB + 1), (9 * MIB, 8 * MIB)],
    )
    def test_an_object_of_another_size_is_a_mismatch(self, backend: Backend, size: int, expected: int) -> None:
        data = some_bytes(size)
        backend.put_file("k", pieces(data), size=size, when=Always())
        got: list[bytes] = []
        with pytest.raises(DigestMismatch):
            got.extend(backend.stream("k", size=expected))
        assert sum(map(len, got)) <= expected
        assert data.startswith(b"".join(got))

    @pytest.mark.parametrize("size", [0, 10, 12 * MIB])
    def test_streaming_what_is_not_there_says_so(self, backend: Backend, size: int) -> None:
        with pytest.raises(ObjectNotFound):
            list(backend.stream("absent", size=size))

    @pytest.mark.parametrize("size", [10, 20 * MIB])
    @pytest.mark.parametrize("grown", [0, 1, -1])
    def test_an_object_replaced_while_it_is_streamed_is_never_a_mixture(
        self, backend: Backend, size: int, grown: int
    ) -> None:
        old, new = some_bytes(size, 1), some_bytes(size + grown, 2)
        backend.put_file("k", pieces(old), size=size, when=Always())
        stream = backend.stream("k", size=size)
        got = bytearray(next(stream))
        # a platform that locks open files refuses the replacement, which is just as safe
        with contextlib.suppress(Unavailable):
            backend.put_file("k", pieces(new), size=size + grown, when=Always())
        try:
            for piece in stream:
                got += piece
        except DigestMismatch:
            assert old.startswith(bytes(got))
        else:
            assert bytes(got) == old

    def test_a_stream_can_be_given_up(self, backend: Backend) -> None:
        data = some_bytes(20 * MIB)
        backend.put_file("k", pieces(data), size=len(data), when=Always())
        stream = backend.stream("k", size=len(data))
        assert data.startswith(next(stream))
        close = getattr(stream, "close", None)
        if close is not None:
            close()
        del stream
        backend.delete("k")
        assert keys(backend) == []

    # ------------------------------------------------------------ listings

    def test_an_empty_root_lists_nothing(self, backend: Backend) -> None:
        assert keys(backend) == []
        assert keys(backend, "no/such/") == []
        assert list(backend.children("")) == []
        assert list(backend.children("no/such/")) == []

    def test_a_listing_is_complete_exact_and_in_key_order(self, backend: Backend) -> None:
        stored = ["a-b/x", "a.json", "a/b-c", "a/b/c", "a/b/d/e", "a/bc", "a0/x", "ab/c", "z"]
        for key in reversed(stored):
            backend.write(key, key.encode(), when=Always())
        assert keys(backend) == stored == sorted(stored)
        assert keys(backend, "a/") == ["a/b-c", "a/b/c", "a/b/d/e", "a/bc"]
        assert keys(backend, "a/b/") == ["a/b/c", "a/b/d/e"]
        assert keys(backend, "a/b/c/") == []
        assert keys(backend, "b/") == []

    def test_children_are_complete_exact_and_in_order(self, backend: Backend) -> None:
        for key in ("a-b/x", "a.json", "a/b-c", "a/b/c", "a/b/d/e", "a/bc", "a0/x", "z"):
            backend.write(key, b"", when=Always())
        assert list(backend.children("")) == ["a-b/", "a.json", "a/", "a0/", "z"]
        assert list(backend.children("a/")) == ["b-c", "b/", "bc"]
        assert list(backend.children("a/b/")) == ["c", "d/"]
        assert list(backend.children("a/bc/")) == []

    def test_a_long_listing_is_complete(self, backend: Backend) -> None:
        """More than one page of a server that gives 1000 at a time."""
        stored = [f"runs/{index:04}" for index in range(1100)]
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda key: backend.write(key, b"", when=Always()), stored))
        assert keys(backend) == stored
        assert list(backend.children("runs/")) == [key.removeprefix("runs/") for key in stored]

    def test_an_entry_tells_size_and_time(self, backend: Backend) -> None:
        backend.write("a/empty", b"", when=Always())
        backend.write("a/full", b"12345", when=Always())
        empty, full = backend.list("a/")
        assert (empty.size, full.size) == (0, 5)
        assert empty.modified.utcoffset() == full.modified.utcoffset() == timedelta(0)
        # whole seconds on some servers
        assert full.modified - empty.modified >= timedelta(seconds=-1)

    # ------------------------------------------------------------ deletion

    def test_exactly_the_named_object_is_deleted(self, backend: Backend) -> None:
        for key in ("a/run", "a/run1", "a/run-1", "a/run.json", "b/run"):
            backend.write(key, b"", when=Always())
        backend.delete("a/run")
        assert keys(backend) == ["a/run-1", "a/run.json", "a/run1", "b/run"]

    def test_a_prefix_is_no_object(self, backend: Backend) -> None:
        backend.write("a/run/model", b"", when=Always())
        with contextlib.suppress(Corrupt):  # where folders are real, this names one
            backend.delete("a/run")
        backend.delete("a/ru")
        backend.delete("a/run/mod")
        assert keys(backend) == ["a/run/model"]

    def test_deleting_what_is_not_there_is_no_error(self, backend: Backend) -> None:
        backend.write("a/b", b"", when=Always())
        for key in ("c", "a/c", "d/e/f", "a/b/c", "a/b", "a/b"):
            backend.delete(key)
        assert keys(backend) == []

    def test_brackets_are_no_pattern(self, backend: Backend) -> None:
        named = [key for key in self.awkward_keys if "[" in key]
        if not named:
            pytest.skip("brackets are left out of awkward_keys")
        for key in [*named, "x/run1/f.txt"]:
            backend.write(key, b"", when=Always())
        for key in named:
            backend.delete(key)
        assert keys(backend) == ["x/run1/f.txt"]

    # ------------------------------------------------------------ names

    def test_no_name_is_decoded_globbed_or_expanded(self, backend: Backend) -> None:
        stored = {key: key.encode() for key in self.awkward_keys}
        for key, data in stored.items():
            backend.put_file(key, [data], size=len(data), when=Always())
        assert keys(backend) == sorted(stored)
        assert list(backend.children("x/")) == sorted({name(key) for key in stored})
        for key, data in stored.items():
            assert read(backend, key).data == data
            assert received(backend, key, len(data)) == data
            version = backend.write(key, data + b"!", when=Always())
            assert read(backend, key) == Blob(data + b"!", version)
        for key in stored:
            backend.delete(key)
        assert keys(backend) == []

    def test_awkward_names_can_be_created_and_swapped(self, backend: Backend) -> None:
        needs_create(backend)
        needs_swap(backend)
        for key in self.awkward_keys:
            first = backend.write(key, b"one", when=IfAbsent())
            with pytest.raises(PreconditionFailed):
                backend.write(key, b"two", when=IfAbsent())
            second = backend.write(key, b"two", when=IfVersion(first))
            assert read(backend, key) == Blob(b"two", second)

    # ------------------------------------------------------------ two instances, threads, processes

    def test_another_instance_sees_every_write_at_once(self, backend: Backend, other: Backend) -> None:
        for turn in range(5):
            assert keys(other, "a/") == []
            with pytest.raises(ObjectNotFound):
                other.read("a/k", limit=LIMIT)
            version = backend.write("a/k", str(turn).encode(), when=Always())
            assert read(other, "a/k") == Blob(str(turn).encode(), version)
            assert received(other, "a/k", 1) == str(turn).encode()
            assert keys(other, "a/") == ["a/k"]
            assert list(other.children("a/")) == ["k"]
            other.delete("a/k")
            assert keys(backend) == []

    def test_a_version_means_the_same_to_another_instance(self, backend: Backend, other: Backend) -> None:
        needs_swap(backend)
        first = backend.write("k", b"one", when=Always())
        second = other.write("k", b"two", when=IfVersion(first))
        assert backend.read("k", limit=LIMIT, unless=second) is None
        with pytest.raises(PreconditionFailed):
            backend.write("k", b"three", when=IfVersion(first))

    def test_many_threads_share_one_instance(self, backend: Backend) -> None:
        def work(index: int) -> bool:
            data = some_bytes(50_000, index)
            for turn in range(3):
                key = f"t{index:02}/{turn}"
                backend.put_file(key, pieces(data, each=8192), size=len(data), when=Always())
                if received(backend, key, len(data)) != data or keys(backend, f"t{index:02}/")[-1] != key:
                    return False
                backend.write(key, data[:10], when=Always())
                if read(backend, key).data != data[:10]:
                    return False
            return True

        won, lost = race(work)
        assert lost == []
        assert won == [True] * WRITERS
        assert len(keys(backend)) == 3 * WRITERS

    def test_readers_never_see_half_a_write(self, backend: Backend) -> None:
        bodies = {some_bytes(200_000, seed) for seed in range(4)}
        backend.write("k", min(bodies), when=Always())
        done = threading.Event()

        def write(_index: int) -> None:
            try:
                for _turn in range(5):
                    for body in bodies:
                        backend.write("k", body, when=Always())
            finally:
                done.set()

        def look(_index: int) -> None:
            while not done.is_set():
                assert read(backend, "k").data in bodies

        _won, lost = race(lambda index: (look if index else write)(index), threads=4)
        assert lost == []

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
    def test_a_forked_child_can_use_it(self, backend: Backend) -> None:
        backend.write("a/parent", b"from the parent", when=Always())
        assert keys(backend) == ["a/parent"]

        def child() -> None:
            assert read(backend, "a/parent").data == b"from the parent"
            assert keys(backend) == ["a/parent"]
            data = some_bytes(9 * MIB)
            backend.put_file("a/child", pieces(data), size=len(data), when=Always())
            assert received(backend, "a/child", len(data)) == data
            if backend.capabilities.compare_and_swap:
                backend.write("a/child", b"swapped", when=IfVersion(read(backend, "a/child").version))
            backend.write("a/child", b"from the child", when=Always())

        run_in_a_fork(child)
        assert read(backend, "a/parent").data == b"from the parent"
        if self.across_processes:
            assert read(backend, "a/child").data == b"from the child"
        backend.write("a/parent", b"still at work", when=Always())
        assert read(backend, "a/parent").data == b"still at work"

    def test_it_can_be_used_again_after_it_was_closed(self, backend: Backend) -> None:
        backend.write("k", b"one", when=Always())
        backend.close()
        backend.close()
        assert read(backend, "k").data == b"one"
        backend.write("k", b"two", when=Always())
        assert received(backend, "k", 3) == b"two"

    # ------------------------------------------------------------ secrets and paths

    def test_nothing_it_shows_holds_a_secret(self, backend: Backend) -> None:
        shown = [repr(backend), str(backend), backend.url, backend.endpoint, repr(backend.capabilities)]
        with pytest.raises(ObjectNotFound) as caught:
            backend.read("absent", limit=LIMIT)
        error: BaseException | None = caught.value
        while error is not None:
            shown.append(repr(error) + str(error))
            error = error.__cause__ or error.__context__
        for secret in self.secrets:
            assert not [text for text in shown if secret in text]

    def test_a_pickle_of_it_works_and_holds_no_secret_or_is_refused(self, backend: Backend) -> None:
        backend.write("k", b"one", when=Always())
        try:
            pickled = pickle.dumps(backend)
        except (TypeError, pickle.PicklingError, ArtifactStoreError) as error:
            refusal = str(error)
            pickled = b""
        else:
            refusal = ""
        assert not [secret for secret in self.secrets if secret in refusal or secret.encode() in pickled]
        if refusal:
            return
        revived = pickle.loads(pickled)  # noqa: S301 -- made a few lines above
        assert isinstance(revived, type(backend))
        assert revived.url == backend.url

    def test_a_local_path_is_the_object_itself(self, backend: Backend) -> None:
        backend.write("a/b", b"one", when=Always())
        path = backend.local_path("a/b")
        assert path is None or path.read_bytes() == b"one"
        assert backend.local_path("a/absent") is None


# ---------------------------------------------------------------- what the tests are written with


def read(backend: Backend, key: str, *, limit: int = LIMIT) -> Blob:
    """Read an object that must be there."""
    blob = backend.read(key, limit=limit)
    assert blob is not None, "read() without unless= returned None"
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
    assert [read(backend, key) for backend in backends] == won * len(backends)


def swap_until_it_holds(backend: Backend, key: str, change: Callable[[bytes], bytes]) -> None:
    """Read, change and swap until nobody came in between."""
    while True:
        seen = read(backend, key)
        with contextlib.suppress(Conflict, Contended):
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
