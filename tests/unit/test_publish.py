"""The two conditional writes: what they read back, and what an error about them tells."""

import pytest

from artifact_store import ArtifactStore
from artifact_store.core import keys
from artifact_store.core.manifest import FileEntry, PublishIntent
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import PublishInfo, advance
from artifact_store.core.policy import IfBetter, PublishAlways
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import (
    ContainerNotFound,
    Corrupt,
    MetricMissing,
    OutcomeUnknown,
    PointerConflict,
    RunDeleted,
    RunExists,
    RunNotFound,
    Unreachable,
)
from artifact_store.ops.publish import commit, manifest_of, publish, swap
from artifact_store.storage.base import Always
from artifact_store.storage.memory import MemoryBackend
from tests.unit.samples import KEY, NOW, RUN_ID, context, manifest, records, retry

RUN = RunId(RUN_ID)


def note(number=1, **more):
    return PublishInfo(f"{number:032x}", NOW, "somebody", **more)


def publishing(backend, run, policy, *, number=1, seconds=30.0):
    """Publish a run as the policy says, over what is there now."""
    here = context(backend, retry(seconds))
    return publish(here, "latest", run, policy, note(number), seen=here.records.pointer(KEY, "latest"))


def swapping(backend, seen, number, run=None):
    """Publish a run over the pointer that was seen, once."""
    return swap(context(backend, retry()), KEY, "latest", run or manifest(), note(number), seen=seen)


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
        commit(records(Dead()), run)
    error = caught.value
    assert (error.key, error.write_id, error.run_id) == (keys.manifest(KEY, RUN), run.write_id, RUN_ID)


def test_a_publish_of_which_nothing_is_known_names_its_run_and_its_write():
    backend = Dead()
    with pytest.raises(OutcomeUnknown) as caught:
        publishing(backend, manifest(), PublishAlways())
    error = caught.value
    assert (error.key, error.write_id, error.run_id) == ("gru/BTCEUR/latest.json", f"{1:032x}", RUN_ID)


@pytest.mark.parametrize("makes_root", [True, False])
def test_a_folder_that_is_not_there_holds_nothing_and_a_bucket_is_missed(makes_root):
    backend = NoBucket()
    backend.makes_root = makes_root
    for call, empty in (
        (lambda: records(backend).run(KEY, RUN), RunNotFound),
        (lambda: records(backend).pointer(KEY, "latest"), None),
    ):
        if not makes_root:
            with pytest.raises(ContainerNotFound):
                call()
        elif empty is None:
            assert call() is None
        else:
            with pytest.raises(empty):
                call()


def test_a_document_in_the_place_of_another_is_not_believed():
    backend = MemoryBackend()
    other_run, other_key = RunId("20240101_000000"), ModelKey("gru", "ETHEUR")
    for data in (manifest().to_bytes(), Tombstone.mark(manifest(), note()).to_bytes()):
        for key, run_id in ((KEY, other_run), (other_key, RUN)):
            backend.write(keys.manifest(key, run_id), data, when=Always())
            with pytest.raises(Corrupt, match=f"belongs to (gru/BTCEUR|the run {RUN_ID}): it was copied or swapped"):
                records(backend).run(key, run_id)
    pointer = advance(None, KEY, "latest", manifest(), note()).pointer.to_bytes()
    for key, alias in ((KEY, "best"), (other_key, "latest")):
        backend.write(keys.pointer(key, alias), pointer, when=Always())
        with pytest.raises(Corrupt, match="belongs to (gru/BTCEUR|the alias 'latest'): it was copied or swapped"):
            records(backend).pointer(key, alias)
    backend = MemoryBackend()
    published(backend, 70)
    block = backend.read(keys.history_block(KEY, "latest", 32), limit=1 << 20).data
    for key, alias, seq in ((KEY, "best", 32), (other_key, "latest", 32), (KEY, "latest", 96)):
        backend.write(keys.history_block(key, alias, seq), block, when=Always())
        with pytest.raises(Corrupt, match="copied or swapped"):
            records(backend).block(key, alias, seq)


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
    assert commit(records(backend), first) is first
    assert commit(records(backend), manifest(**same)) == first
    assert commit(records(backend), first) == first


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
    commit(records(backend), first)
    with pytest.raises(RunExists, match="at 2024-08-16 14:23:01 UTC"):
        commit(records(backend), manifest(**other))
    assert records(backend).manifest(KEY, RUN) == first


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
            commit(records(backend), manifest())
        assert records(backend).run(KEY, RUN).value == stone


def test_a_conflict_tells_what_is_there_and_whose_publish_was_refused():
    backend = MemoryBackend()
    swapping(backend, None, 1)
    with pytest.raises(PointerConflict, match=f"moved on to {RUN_ID} meanwhile") as caught:
        swapping(backend, None, 2, manifest(run_id="20250101_000000"))
    assert (caught.value.actual.run_id, caught.value.run_id) == (RUN_ID, "20250101_000000")


def test_a_publish_is_made_once_though_it_is_asked_for_again():
    backend = MemoryBackend()
    first = publishing(backend, manifest(), PublishAlways())
    again = publishing(backend, manifest(), PublishAlways())
    assert again.pointer == first.pointer
    assert again.refusal is None
    assert first.pointer.seq == 1


class Overtaken(MemoryBackend):
    """Somebody else is always faster."""

    number = 100

    def write(self, key, data, *, when):
        seen = records(self).pointer(KEY, "latest")
        self.number += 1
        before = None if seen is None else seen.value
        step = advance(before, KEY, "latest", manifest(run_id="20250101_000000"), note(self.number))
        super().write(key, step.pointer.to_bytes(), when=Always())
        return super().write(key, data, when=when)


def test_who_is_always_beaten_gives_up_when_the_time_is_over():
    with pytest.raises(PointerConflict) as caught:
        publishing(Overtaken(), manifest(), PublishAlways(), seconds=2)
    assert caught.value.run_id == RUN_ID
    assert caught.value.actual.run_id == "20250101_000000"


class OvertakenOnce(Overtaken):
    """Somebody else is faster with the first write, and every read afterwards is counted."""

    reads = None

    def write(self, key, data, *, when):
        if self.reads is not None:
            return MemoryBackend.write(self, key, data, when=when)
        try:
            return super().write(key, data, when=when)
        finally:
            self.reads = 0

    def read(self, key, *, limit, unless=None):
        if self.reads is not None:
            self.reads += 1
        return super().read(key, limit=limit, unless=unless)


def test_who_was_beaten_reads_the_pointer_twice_to_settle_it_and_to_decide_again():
    backend = OvertakenOnce()
    assert publishing(backend, manifest(), PublishAlways()).pointer.seq == 2
    assert backend.reads == 2


class SilentAfterwards(OvertakenOnce):
    """Answers one more read after it was overtaken, and then none."""

    def read(self, key, *, limit, unless=None):
        found = super().read(key, limit=limit, unless=unless)
        if (self.reads or 0) > 1:
            raise Unreachable("away")
        return found


def test_a_lost_publish_is_a_conflict_though_it_cannot_be_read_what_is_there_now():
    with pytest.raises(PointerConflict, match="away") as caught:
        swapping(SilentAfterwards(), None, 1)
    assert (caught.value.actual, caught.value.run_id) == (None, RUN_ID)


def published(backend, count):
    """Publish the run so often, and return the pointer as it is read."""
    seen = None
    for number in range(1, count + 1):
        swapping(backend, seen, number)
        seen = records(backend).pointer(KEY, "latest")
    return seen


def test_the_archive_and_the_pointer_tell_every_publish_in_order():
    backend = MemoryBackend()
    seen = published(backend, 130)
    assert [entry.seq for entry in records(backend).history(seen)] == list(range(1, 131))
    assert records(backend).history(None) == []
    block = keys.history_block(KEY, "latest", 64)
    held = backend.read(keys.history_block(KEY, "latest", 32), limit=1 << 20).data
    backend.write(block, held, when=Always())
    with pytest.raises(Corrupt, match="changed afterwards"):
        records(backend).history(seen)
    backend.delete(block)
    with pytest.raises(Corrupt, match="missing from the history") as caught:
        records(backend).history(seen)
    assert caught.value.key == block


def test_nothing_is_published_over_a_history_that_is_another():
    backend = MemoryBackend()
    seen = published(backend, 64)
    block = keys.history_block(KEY, "latest", 32)
    backend.write(block, b"{}", when=Always())
    with pytest.raises(Corrupt, match="another history") as caught:
        swapping(backend, seen, 65)
    assert caught.value.key == block
    assert records(backend).pointer(KEY, "latest").value.seq == 64


class Unheard(MemoryBackend):
    """Loses the reply to one write of a key, after something has happened meanwhile."""

    def __init__(self, key, meanwhile, *, landed):
        super().__init__()
        self.key, self.meanwhile, self.landed = key, meanwhile, landed

    def write(self, key, data, *, when):
        if key != self.key:
            return super().write(key, data, when=when)
        self.key = None
        if self.landed:
            super().write(key, data, when=when)
        self.meanwhile(self)
        raise Unreachable("the reply is lost")


def test_a_pointer_that_was_taken_away_does_not_hold_our_publish():
    backend = Unheard("gru/BTCEUR/latest.json", lambda it: it.delete("gru/BTCEUR/latest.json"), landed=True)
    seen = published(plain := MemoryBackend(), 1)
    backend._space = plain._space
    with pytest.raises(PointerConflict, match="moved on to no run meanwhile") as caught:
        swapping(backend, seen, 2)
    assert caught.value.actual is None


@pytest.mark.parametrize("place", [31, 32, 33])
def test_our_publish_is_found_though_others_have_archived_it_meanwhile(place):
    plain = MemoryBackend()
    seen = published(plain, place - 1)

    def others(backend):
        for number in range(place + 1, 70):
            swapping(backend, records(backend).pointer(KEY, "latest"), number)

    backend = Unheard("gru/BTCEUR/latest.json", others, landed=True)
    backend._space = plain._space
    assert swapping(backend, seen, place).write_id == note(place).write_id
    assert records(backend).pointer(KEY, "latest").value.seq == 69


@pytest.mark.parametrize("landed", [True, False])
def test_a_block_of_history_is_there_before_the_pointer_lets_go_of_it(landed):
    plain = MemoryBackend()
    seen = published(plain, 64)
    block = keys.history_block(KEY, "latest", 32)
    backend = Unheard(block, lambda _: None, landed=landed)
    backend._space = plain._space
    assert swapping(backend, seen, 65).seq == 65
    now = records(backend).pointer(KEY, "latest")
    assert [entry.seq for entry in now.value.entries] == list(range(33, 66))
    assert [entry.seq for entry in records(backend).history(now)] == list(range(1, 66))


def test_a_run_replaces_a_worse_one_only_where_the_policy_asks_for_that():
    backend = MemoryBackend()
    policy = IfBetter("score")

    def offer(run_id, score, number):
        run = manifest(run_id=run_id, metrics={"score": score})
        commit(records(backend), run)
        return publishing(backend, run, policy, number=number)

    assert offer("20240101_000000", 1.0, 1).pointer.seq == 1
    assert isinstance(offer("20240102_000000", 1.0, 2).refusal, PointerConflict)
    assert isinstance(offer("20240103_000000", "NaN", 3).refusal, MetricMissing)
    assert offer("20240104_000000", 2.0, 4).pointer.run_id == "20240104_000000"
    backend.delete(keys.manifest(KEY, RunId("20240104_000000")))  # a copy of it is in the pointer
    assert isinstance(offer("20240105_000000", 1.5, 5).refusal, PointerConflict)


def test_a_manifest_too_large_for_the_pointer_is_read_and_compared():
    backend = MemoryBackend()
    large = manifest(config={"a": "x" * 70_000})
    commit(records(backend), large)
    pointer = publishing(backend, large, PublishAlways()).pointer
    assert pointer.manifest is None
    assert manifest_of(records(backend), pointer) == large
    backend.write(keys.manifest(KEY, RUN), manifest().to_bytes(), when=Always())
    with pytest.raises(Corrupt, match="it was replaced"):
        manifest_of(records(backend), pointer)
    backend.delete(keys.manifest(KEY, RUN))
    assert manifest_of(records(backend), pointer) is None
    with ArtifactStore(backend) as store, pytest.raises(RunDeleted, match="which is gone"):
        store.get(str(KEY))


def test_a_retired_alias_has_no_manifest():
    pointer = advance(None, KEY, "latest", None, note()).pointer
    assert manifest_of(records(MemoryBackend()), pointer) is None


def test_what_a_run_has_to_beat_is_read_if_it_is_too_large_for_the_pointer():
    backend, policy = MemoryBackend(), IfBetter("score")
    for run_id, score, number in ((RUN_ID, 2.0, 1), ("20250101_000000", 1.0, 2), ("20250102_000000", 3.0, 3)):
        run = manifest(run_id=run_id, metrics={"score": score}, config={"a": "x" * 70_000})
        commit(records(backend), run)
        made = publishing(backend, run, policy, number=number)
        assert (made.refusal is None) is (score != 1.0)
