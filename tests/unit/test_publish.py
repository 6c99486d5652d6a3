"""The two conditional writes: what they read back, and what an error about them tells."""

import pytest

from artifact_store.core import keys
from artifact_store.core.errors import (
    ContainerNotFound,
    Corrupt,
    OutcomeUnknown,
    PointerConflict,
    RunDeleted,
    RunExists,
    RunNotFound,
    Unreachable,
)
from artifact_store.core.keys import ModelKey, RunId
from artifact_store.core.manifest import FileEntry, PublishIntent
from artifact_store.core.pointer import Note, advance
from artifact_store.core.policy import Always as PublishAlways
from artifact_store.core.tombstone import Tombstone
from artifact_store.ops.publish import (
    SeenPointer,
    commit,
    history,
    publish,
    read_manifest,
    read_pointer,
    read_run,
    swap,
)
from artifact_store.storage.base import Always
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.settle import Patience
from tests.unit.samples import KEY, NOW, RUN_ID, manifest

RUN = RunId(RUN_ID)


class Time:
    now = 0.0

    def sleep(self, seconds):
        self.now += seconds


def patience(seconds=5.0):
    time = Time()
    return Patience(seconds=seconds, clock=lambda: time.now, sleep=time.sleep)


def note(number=1, **more):
    return Note(f"{number:032x}", NOW, "somebody", **more)


class Dead(MemoryBackend):
    """Answers no write, and no read after one."""

    written = False

    def write(self, key, data, *, when):
        self.written = True
        raise Unreachable("away")

    def read(self, key, *, limit, unless=None):
        if self.written:
            raise Unreachable("away")
        return super().read(key, limit=limit, unless=unless)


class NoBucket(MemoryBackend):
    """Nothing is there, not even the root."""

    def read(self, key, *, limit, unless=None):
        raise ContainerNotFound("no such bucket")


def test_a_commit_of_which_nothing_is_known_names_its_run_and_its_write():
    run = manifest()
    with pytest.raises(OutcomeUnknown) as caught:
        commit(Dead(), run, patience())
    error = caught.value
    assert (error.key, error.write_id, error.run_id) == (keys.manifest(KEY, RUN), run.write_id, RUN_ID)


def test_a_publish_of_which_nothing_is_known_names_its_run_and_its_write():
    backend = Dead()
    with pytest.raises(OutcomeUnknown) as caught:
        publish(backend, "latest", manifest(), PublishAlways(), note=note, patience=patience())
    error = caught.value
    assert (error.key, error.write_id, error.run_id) == ("gru/BTCEUR/latest.json", f"{1:032x}", RUN_ID)


@pytest.mark.parametrize("makes_root", [True, False])
def test_a_folder_that_is_not_there_holds_nothing_and_a_bucket_is_missed(makes_root):
    backend = NoBucket()
    backend.makes_root = makes_root
    for call, empty in (
        (lambda: read_run(backend, KEY, RUN), RunNotFound),
        (lambda: read_pointer(backend, KEY, "latest"), None),
    ):
        if not makes_root:
            with pytest.raises(ContainerNotFound):
                call()
        elif empty is None:
            assert call() == SeenPointer()
        else:
            with pytest.raises(empty):
                call()


def test_a_document_in_the_place_of_another_is_not_believed():
    backend = MemoryBackend()
    other_run, other_key = RunId("20240101_000000"), ModelKey("gru", "ETHEUR")
    for data in (manifest().to_bytes(), Tombstone.mark(manifest(), note()).to_bytes()):
        for key, run_id in ((KEY, other_run), (other_key, RUN)):
            backend.write(keys.manifest(key, run_id), data, when=Always())
            with pytest.raises(Corrupt, match="copied or swapped"):
                read_run(backend, key, run_id)
    pointer = advance(None, KEY, "latest", manifest(), note()).pointer.to_bytes()
    for key, alias in ((KEY, "best"), (other_key, "latest")):
        backend.write(keys.pointer(key, alias), pointer, when=Always())
        with pytest.raises(Corrupt, match="copied or swapped"):
            read_pointer(backend, key, alias)


@pytest.mark.parametrize(
    "same",
    [
        {"write_id": "b" * 32},
        {"created_at": NOW.replace(year=2025)},
        {"environment": {"host": "b"}},
        {"publish": PublishIntent(alias="best", policy="never")},
        {"signed_by": ("0" * 64,)},
        {"files": (FileEntry(path="model.json", key="model.json.01234567", size=2, sha256="0" * 64),)},
    ],
    ids=lambda same: next(iter(same)),
)
def test_two_saves_that_differ_in_what_happened_by_the_way_are_one(same):
    backend, first = MemoryBackend(), manifest()
    assert commit(backend, first, patience()) is first
    assert commit(backend, manifest(**same), patience()) == first
    assert commit(backend, first, patience()) == first


@pytest.mark.parametrize(
    "other",
    [
        {"tags": {"a": "b"}},
        {"metrics": {"a": 1}},
        {"is_fitted": False},
        {"store_id": "e" * 32},
        {"files": (FileEntry(path="model.json", key="model.json", size=2, sha256="1" * 64),)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_two_saves_that_say_something_else_are_two_and_the_first_stays(other):
    backend, first = MemoryBackend(), manifest()
    commit(backend, first, patience())
    with pytest.raises(RunExists, match="at 2024-08-16 14:23:01 UTC"):
        commit(backend, manifest(**other), patience())
    assert read_manifest(backend, KEY, RUN) == first


def test_an_id_whose_run_was_deleted_is_not_used_again():
    backend = MemoryBackend()
    marked = Tombstone.mark(manifest(), note(reason="old"))
    never = Tombstone.never_committed(KEY, RUN, note())
    for stone, said in (
        (marked, "until it is swept, undelete brings it back"),
        (marked.sealed(note()), "its files are gone"),
        (never, "save under another run id"),
    ):
        backend.write(keys.manifest(KEY, RUN), stone.to_bytes(), when=Always())
        with pytest.raises(RunDeleted, match=said):
            commit(backend, manifest(), patience())
        assert read_run(backend, KEY, RUN).record == stone


def test_a_conflict_tells_what_is_there_and_whose_publish_was_refused():
    backend = MemoryBackend()
    swap(backend, KEY, "latest", SeenPointer(), advance(None, KEY, "latest", manifest(), note()), patience())
    late = advance(None, KEY, "latest", manifest(run_id="20250101_000000"), note(2))
    with pytest.raises(PointerConflict, match=f"moved on to {RUN_ID} meanwhile") as caught:
        swap(backend, KEY, "latest", SeenPointer(), late, patience())
    assert (caught.value.actual.run_id, caught.value.run_id) == (RUN_ID, "20250101_000000")


def test_a_publish_is_made_once_though_it_is_asked_for_again():
    backend = MemoryBackend()
    first = publish(backend, "latest", manifest(), PublishAlways(), note=note, patience=patience())
    again = publish(backend, "latest", manifest(), PublishAlways(), note=note, patience=patience())
    assert again.pointer == first.pointer
    assert again.refusal is None
    assert first.pointer.seq == 1


class Overtaken(MemoryBackend):
    """Somebody else is always faster."""

    number = 100

    def write(self, key, data, *, when):
        seen = read_pointer(self, KEY, "latest")
        self.number += 1
        step = advance(seen.pointer, KEY, "latest", manifest(run_id="20250101_000000"), note(self.number))
        super().write(key, step.pointer.to_bytes(), when=Always())
        return super().write(key, data, when=when)


def test_who_is_always_beaten_gives_up_when_the_time_is_over():
    with pytest.raises(PointerConflict) as caught:
        publish(Overtaken(), "latest", manifest(), PublishAlways(), note=note, patience=patience(2))
    assert caught.value.run_id == RUN_ID
    assert caught.value.actual.run_id == "20250101_000000"


def published(backend, count):
    """Publish the run so often, and return the pointer as it is read."""
    seen = SeenPointer()
    for number in range(1, count + 1):
        step = advance(seen.pointer, KEY, "latest", manifest(), note(number))
        swap(backend, KEY, "latest", seen, step, patience())
        seen = read_pointer(backend, KEY, "latest")
    return seen


def test_the_archive_and_the_pointer_tell_every_publish_in_order():
    backend = MemoryBackend()
    seen = published(backend, 130)
    assert [entry.seq for entry in history(backend, KEY, "latest", seen)] == list(range(1, 131))
    assert history(backend, KEY, "latest", SeenPointer()) == []
    block = keys.history_block(KEY, "latest", 64)
    held = backend.read(keys.history_block(KEY, "latest", 32), limit=1 << 20).data
    backend.write(block, held, when=Always())
    with pytest.raises(Corrupt, match="copied or swapped"):
        history(backend, KEY, "latest", seen)
    backend.delete(block)
    with pytest.raises(Corrupt, match="missing from the history") as caught:
        history(backend, KEY, "latest", seen)
    assert caught.value.key == block


def test_nothing_is_published_over_a_history_that_is_another():
    backend = MemoryBackend()
    seen = published(backend, 64)
    block = keys.history_block(KEY, "latest", 32)
    backend.write(block, b"{}", when=Always())
    step = advance(seen.pointer, KEY, "latest", manifest(), note(65))
    with pytest.raises(Corrupt, match="another history") as caught:
        swap(backend, KEY, "latest", seen, step, patience())
    assert caught.value.key == block
    assert read_pointer(backend, KEY, "latest").pointer.seq == 64
