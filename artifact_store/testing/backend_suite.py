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
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import ClassVar

import pytest

from artifact_store.errors import ArtifactStoreError, Corrupt, ObjectNotFound, PreconditionFailed
from artifact_store.storage.base import Always, Backend, Blob, IfAbsent, IfVersion, Version
from artifact_store.testing.backend_conditions import ConditionTests
from artifact_store.testing.backend_files import FileTests
from artifact_store.testing.backend_tools import (
    LIMIT,
    MIB,
    WRITERS,
    keys,
    name,
    needs_create,
    needs_swap,
    pieces,
    race,
    read_blob,
    received,
    run_in_a_fork,
    some_bytes,
)

__all__ = ["MIB", "BackendSuite", "pieces", "run_in_a_fork", "some_bytes"]


class BackendSuite(ConditionTests, FileTests):
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
        pytest.fail(f"{type(self).__name__} has to define a fixture named 'backend'")

    @pytest.fixture
    def other(self, backend: Backend) -> Backend:
        """Return a second, independent backend on the same root as ``backend``."""
        pytest.skip(f"no second instance of {backend.engine} shares its root")

    # ------------------------------------------------------------ what it says about itself

    def test_it_introduces_itself(self, backend: Backend) -> None:
        assert backend.engine
        assert backend.url
        assert backend.endpoint
        assert all(backend.places)
        promised = backend.capabilities
        assert promised.reason or (promised.create_only and promised.compare_and_swap and promised.durable)

    # ------------------------------------------------------------ read and write

    @pytest.mark.parametrize("data", [b"", b"x", b"\x00\xff\r\n" * 300, some_bytes(3 * MIB)])
    def test_what_is_written_is_read_back_with_its_version(self, backend: Backend, data: bytes) -> None:
        version = backend.write("a/b.json", data, when=Always())
        assert read_blob(backend, "a/b.json") == Blob(data, version)

    def test_a_second_write_replaces_the_first(self, backend: Backend) -> None:
        first = backend.write("k", b"a long first text", when=Always())
        second = backend.write("k", b"short", when=Always())
        assert read_blob(backend, "k") == Blob(b"short", second)
        assert first != second

    def test_equal_versions_mean_equal_bytes(self, backend: Backend) -> None:
        seen: dict[Version, bytes] = {}
        for data in (b"A", b"B", b"A", b"", b"B", b"A"):
            version = backend.write("k", data, when=Always())
            assert seen.setdefault(version, data) == data

    def test_reading_twice_gives_the_same_version(self, backend: Backend) -> None:
        backend.write("k", b"same", when=Always())
        assert read_blob(backend, "k") == read_blob(backend, "k")

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
        assert read_blob(backend, "k", limit=5).data == b"12345"
        assert read_blob(backend, "empty", limit=0).data == b""

    @pytest.mark.parametrize("size", [6, 9 * MIB])
    def test_an_object_above_the_limit_is_corrupt(self, backend: Backend, size: int) -> None:
        backend.write("k", some_bytes(size), when=Always())
        with pytest.raises(Corrupt) as caught:
            backend.read("k", limit=5)
        assert caught.value.key == "k"

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
            assert read_blob(backend, key).data == data
            assert received(backend, key, len(data)) == data
            version = backend.write(key, data + b"!", when=Always())
            assert read_blob(backend, key) == Blob(data + b"!", version)
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
            assert read_blob(backend, key) == Blob(b"two", second)

    # ------------------------------------------------------------ two instances, threads, processes

    def test_another_instance_sees_every_write_at_once(self, backend: Backend, other: Backend) -> None:
        for turn in range(5):
            assert keys(other, "a/") == []
            with pytest.raises(ObjectNotFound):
                other.read("a/k", limit=LIMIT)
            version = backend.write("a/k", str(turn).encode(), when=Always())
            assert read_blob(other, "a/k") == Blob(str(turn).encode(), version)
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
        def work(index: int) -> None:
            data = some_bytes(50_000, index)
            for turn in range(3):
                key = f"t{index:02}/{turn}"
                backend.put_file(key, pieces(data, each=8192), size=len(data), when=Always())
                assert received(backend, key, len(data)) == data
                assert keys(backend, f"t{index:02}/")[-1] == key
                backend.write(key, data[:10], when=Always())
                assert read_blob(backend, key).data == data[:10]

        _won, lost = race(work)
        assert lost == []
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
                assert read_blob(backend, "k").data in bodies

        _won, lost = race(lambda index: (look if index else write)(index), threads=4)
        assert lost == []

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
    def test_a_forked_child_can_use_it(self, backend: Backend) -> None:
        backend.write("a/parent", b"from the parent", when=Always())
        assert keys(backend) == ["a/parent"]

        def child() -> None:
            assert read_blob(backend, "a/parent").data == b"from the parent"
            assert keys(backend) == ["a/parent"]
            data = some_bytes(9 * MIB)
            backend.put_file("a/child", pieces(data), size=len(data), when=Always())
            assert received(backend, "a/child", len(data)) == data
            if backend.capabilities.compare_and_swap:
                backend.write("a/child", b"swapped", when=IfVersion(read_blob(backend, "a/child").version))
            backend.write("a/child", b"from the child", when=Always())

        run_in_a_fork(child)
        assert read_blob(backend, "a/parent").data == b"from the parent"
        if self.across_processes:
            assert read_blob(backend, "a/child").data == b"from the child"
        backend.write("a/parent", b"still at work", when=Always())
        assert read_blob(backend, "a/parent").data == b"still at work"

    def test_it_can_be_used_again_after_it_was_closed(self, backend: Backend) -> None:
        backend.write("k", b"one", when=Always())
        backend.close()
        backend.close()
        assert read_blob(backend, "k").data == b"one"
        backend.write("k", b"two", when=Always())
        assert received(backend, "k", 3) == b"two"

    # ------------------------------------------------------------ secrets and paths

    def test_nothing_it_shows_holds_a_secret(self, backend: Backend) -> None:
        shown = [
            repr(backend),
            str(backend),
            backend.url,
            backend.endpoint,
            repr(backend.capabilities),
            *backend.places,
        ]
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
        pickled, refusal = b"", ""
        try:
            pickled = pickle.dumps(backend)
        except (TypeError, pickle.PicklingError, ArtifactStoreError) as error:
            refusal = str(error)
        assert not [secret for secret in self.secrets if secret in refusal or secret.encode() in pickled]
        if not pickled:
            return
        revived = pickle.loads(pickled)  # noqa: S301 -- made a few lines above
        assert isinstance(revived, type(backend))
        assert revived.url == backend.url

    def test_a_local_path_is_the_object_itself(self, backend: Backend) -> None:
        backend.write("a/b", b"one", when=Always())
        path = backend.local_path("a/b")
        assert path is None or path.read_bytes() == b"one"
        assert backend.local_path("a/absent") is None
