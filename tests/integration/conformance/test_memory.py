"""The reference implementation is held to the contract like any other engine."""

from __future__ import annotations

import pickle
import uuid

import pytest

from artifact_store.errors import ObjectNotFound, PreconditionFailed
from artifact_store.storage.base import Always, IfVersion
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import BackendSuite


class TestPrivateMemory(BackendSuite):
    across_processes = False

    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend()


class TestNamedMemory(BackendSuite):
    across_processes = False

    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend(uuid.uuid4().hex)

    @pytest.fixture
    def other(self, backend: MemoryBackend) -> MemoryBackend:
        return pickle.loads(pickle.dumps(backend))


def test_memory_without_a_name_is_private():
    MemoryBackend().write("k", b"mine", when=Always())
    with pytest.raises(ObjectNotFound):
        MemoryBackend().read("k", limit=9)


def test_memory_of_another_name_is_another_space():
    MemoryBackend("one").write("k", b"mine", when=Always())
    with pytest.raises(ObjectNotFound, match="memory://two"):
        MemoryBackend("two").read("k", limit=9)


def test_the_same_bytes_again_are_a_new_version():
    memory = MemoryBackend()
    first = memory.write("k", b"A", when=Always())
    memory.write("k", b"B", when=Always())
    assert memory.write("k", b"A", when=Always()) != first
    with pytest.raises(PreconditionFailed):
        memory.write("k", b"C", when=IfVersion(first))


def test_what_the_caller_does_to_a_buffer_later_changes_nothing():
    memory = MemoryBackend()
    buffer = bytearray(b"before")
    memory.write("k", buffer, when=Always())
    memory.put_file("f", iter([buffer]), size=6, when=Always())
    buffer[:] = b"after!"
    assert memory.read("k", limit=9).data == b"before"
    assert memory.read("f", limit=9).data == b"before"


def test_private_memory_refuses_to_be_pickled():
    with pytest.raises(TypeError, match="private"):
        pickle.dumps(MemoryBackend())
