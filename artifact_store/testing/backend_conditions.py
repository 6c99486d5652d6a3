"""Tests of the backend contract: create only, compare and swap, and honest refusals. Part of ``BackendSuite``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from artifact_store.errors import ConditionsUnsupported, Contended, ObjectNotFound, PreconditionFailed
from artifact_store.storage.base import Always, Backend, Blob, IfAbsent, IfVersion
from artifact_store.testing.backend_tools import (
    LIMIT,
    keys,
    needs_create,
    needs_swap,
    one_winner,
    pieces,
    race,
    read_blob,
    some_bytes,
    swap_until_it_holds,
)


class ConditionTests:
    """What every engine does with a condition, alone and in a race."""

    def test_create_only_stores_what_was_not_there(self, backend: Backend) -> None:
        needs_create(backend)
        version = backend.write("a/b", b"one", when=IfAbsent())
        assert read_blob(backend, "a/b") == Blob(b"one", version)

    @pytest.mark.parametrize("held", [b"one", b""])
    def test_create_only_leaves_what_is_there(self, backend: Backend, held: bytes) -> None:
        needs_create(backend)
        version = backend.write("a/b", held, when=Always())
        for data in (b"two", b"", held):
            with pytest.raises(PreconditionFailed) as caught:
                backend.write("a/b", data, when=IfAbsent())
            assert caught.value.key == "a/b"
        assert read_blob(backend, "a/b") == Blob(held, version)

    def test_a_deleted_key_can_be_created_again(self, backend: Backend) -> None:
        needs_create(backend)
        backend.write("a/b", b"one", when=IfAbsent())
        backend.delete("a/b")
        backend.write("a/b", b"two", when=IfAbsent())
        assert read_blob(backend, "a/b").data == b"two"

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
        assert read_blob(backend, "race/file").data == won[0]

    def test_a_swap_from_the_current_version_succeeds(self, backend: Backend) -> None:
        needs_swap(backend)
        first = backend.write("k", b"one", when=Always())
        second = backend.write("k", b"two", when=IfVersion(first))
        third = backend.write("k", b"three", when=IfVersion(second))
        assert read_blob(backend, "k") == Blob(b"three", third)

    def test_a_swap_from_a_created_object_succeeds(self, backend: Backend) -> None:
        needs_create(backend)
        needs_swap(backend)
        first = backend.write("k", b"one", when=IfAbsent())
        backend.write("k", b"two", when=IfVersion(first))
        assert read_blob(backend, "k").data == b"two"

    def test_a_swap_from_a_stale_version_fails(self, backend: Backend) -> None:
        needs_swap(backend)
        first = backend.write("k", b"one", when=Always())
        second = backend.write("k", b"two", when=Always())
        with pytest.raises(PreconditionFailed) as caught:
            backend.write("k", b"three", when=IfVersion(first))
        assert caught.value.key == "k"
        assert read_blob(backend, "k") == Blob(b"two", second)

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
        assert read_blob(backend, "counter").data == str(threads * turns).encode()

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
            assert read_blob(backend, "k").data == b"old"

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
