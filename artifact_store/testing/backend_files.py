"""Tests of the backend contract: files in streams, there and back. Part of ``BackendSuite``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pytest

from artifact_store.errors import DigestMismatch, ObjectNotFound, PreconditionFailed, Unavailable, Unsupported
from artifact_store.storage.base import Always, Backend, Blob, IfAbsent
from artifact_store.testing.backend_tools import (
    LIMIT,
    MIB,
    SIZES,
    SourceBroke,
    SourceStopped,
    keys,
    needs_create,
    pieces,
    read_blob,
    received,
    some_bytes,
)


def broken() -> Iterator[bytes]:
    """Give some bytes and then fail."""
    yield some_bytes(6 * MIB)
    raise SourceBroke


class FileTests:
    """What every engine does with files of all sizes, whole or broken off."""

    def leftovers(self, backend: Backend) -> Sequence[str]:
        """Return what failed writes left behind the back of ``list``: temporary files, open uploads."""
        del backend
        return ()

    @pytest.mark.parametrize("when", [Always(), IfAbsent()], ids=["always", "if-absent"])
    @pytest.mark.parametrize("size", SIZES)
    def test_a_file_is_streamed_there_and_back(self, backend: Backend, size: int, when: Always | IfAbsent) -> None:
        if isinstance(when, IfAbsent):
            needs_create(backend, size)
        data = some_bytes(size)
        backend.put_file("run/model.bin", pieces(data), size=size, when=when)
        assert read_blob(backend, "run/model.bin").data == data
        assert received(backend, "run/model.bin", size) == data
        assert [(entry.key, entry.size) for entry in backend.list("run/")] == [("run/model.bin", size)]

    def test_what_has_ended_is_no_unfinished_upload(self, backend: Backend) -> None:
        for key, size in (("a/small", 10), ("a/large", 9 * MIB)):
            backend.put_file(key, pieces(some_bytes(size)), size=size, when=Always())
        with pytest.raises(SourceBroke):
            backend.put_file("a/broken", broken(), size=9 * MIB, when=Always())
        try:
            found = list(backend.unfinished())
        except Unsupported as error:
            pytest.skip(str(error))
        assert found == []

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
        assert read_blob(backend, "k").data == data

    @pytest.mark.parametrize("size", [0, 10, 12 * MIB])
    def test_creating_a_file_leaves_what_is_there(self, backend: Backend, size: int) -> None:
        needs_create(backend, size)
        version = backend.write("a/k", b"old", when=Always())
        with pytest.raises(PreconditionFailed):
            backend.put_file("a/k", pieces(some_bytes(size)), size=size, when=IfAbsent())
        assert read_blob(backend, "a/k") == Blob(b"old", version)
        assert keys(backend) == ["a/k"]
        assert list(self.leftovers(backend)) == []

    @pytest.mark.parametrize("when", [Always(), IfAbsent()], ids=["always", "if-absent"])
    @pytest.mark.parametrize("error", [SourceBroke, SourceStopped])
    @pytest.mark.parametrize(
        ("size", "given"), [(10, 0), (10, 4), (10, 10), (20 * MIB, 12 * MIB), (20 * MIB, 20 * MIB)]
    )
    def test_a_source_that_fails_leaves_nothing(
        self, backend: Backend, size: int, given: int, error: type[SourceBroke | SourceStopped], when: Always | IfAbsent
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
        ("size", "given"), [(0, 1), (10, 9), (10, 11), (10, 0), (12 * MIB, 12 * MIB - 1), (12 * MIB, 12 * MIB + 1)]
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
        assert read_blob(backend, "a/k") == Blob(b"old", version)
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
