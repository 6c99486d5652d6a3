"""Notes over a storage that fails, at every operation: none is half there, and no mark is lost or lifted by a fault."""

import dataclasses
from contextlib import suppress

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.errors import ArtifactStoreError, OutcomeUnknown
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.retry import RetryPolicy
from artifact_store.testing import Faults, FaultyBackend, SimulatedCrash
from tests.integration.faults import worlds
from tests.integration.faults.worlds import GRACE, KEY, crash_after_crash

MARKED, GONE = "20240101_000000_marked", "20240102_000000_gone"


def ref(run_id):
    return f"{KEY}:{run_id}"


class World(worlds.World):
    """A run that is marked, and one that was noted about and deleted."""

    def fill(self):
        for run_id in (MARKED, GONE):
            run = self.store.save({"n": run_id}, KEY, run_id=run_id, publish="never")
            run.annotate(do_not_trade=True, reason="at first")
        self.store.delete(ref(GONE)).apply()

    def notes(self):
        """What a sound client reads of the marked run: every note is whole."""
        found = self.client(self.inner).get(ref(MARKED)).notes()
        assert found.problems == ()
        return found

    def kept(self):
        return [entry.key for entry in self.inner.list(keys.NOTES) if GONE in entry.key]


def mark(store):
    return store.get(ref(MARKED)).annotate(do_not_trade=True, reason="again")


def lift(store):
    return store.get(ref(MARKED)).annotate(do_not_trade=False)


def clear(store):
    return store.gc(grace=GRACE).apply()


@pytest.mark.parametrize("landed", [False, True], ids=["before", "after"])
def test_a_crash_leaves_a_mark_or_none_and_never_lifts_another(landed):
    plans = (Faults(seed=number).crash_at(number, landed=landed) for number in range(1, 60))
    count = 0
    for world in crash_after_crash(World, plans, mark):
        count += 1
        assert len(world.notes().marks) in {1, 2}
        mark(world.client(world.inner))
        assert world.notes().do_not_trade
    assert count >= 3


@pytest.mark.parametrize("landed", [False, True], ids=["before", "after"])
def test_a_mark_is_lifted_or_not_and_the_call_can_be_repeated(landed):
    plans = (Faults(seed=number).crash_at(number, landed=landed) for number in range(1, 60))
    for world in crash_after_crash(World, plans, lift):
        if world.notes().do_not_trade:
            lift(world.client(world.inner))
        assert world.notes().is_tradable


@pytest.mark.parametrize("landed", [False, True], ids=["before", "after"])
def test_gc_that_crashes_removes_notes_of_runs_that_are_gone_alone(landed):
    plans = (Faults(seed=number).crash_at(number, landed=landed) for number in range(1, 60))
    for world in crash_after_crash(World, plans, clear):
        assert world.notes().do_not_trade
        assert world.kept() or not list(world.inner.list(f"{KEY}/{GONE}/model"))  # files go first
        assert clear(world.client(world.inner)).ok
        assert world.kept() == []
        assert world.notes().do_not_trade


@pytest.mark.parametrize("landed", [False, True], ids=["before", "after"])
def test_a_copy_that_crashes_shows_no_run_without_its_mark(landed):
    world = World()
    for number in range(1, 80):
        inner = MemoryBackend()
        target = FaultyBackend(inner, Faults(seed=number).crash_at(number, landed=landed))
        with suppress(SimulatedCrash):
            assert world.store.copy(ref(MARKED), world.client(target)).ok
            break
        seen = world.client(inner)
        with suppress(errors.NotFound):
            assert seen.get(ref(MARKED)).notes().do_not_trade
        assert world.store.copy(ref(MARKED), seen).ok
        assert seen.get(ref(MARKED)).notes().do_not_trade
    else:
        pytest.fail("it never came to its end")


@pytest.mark.parametrize("work", [mark, lift], ids=["mark", "lift"])
@pytest.mark.parametrize("landed", [False, True], ids=["before", "after"])
def test_an_error_says_what_has_happened(work, landed):
    """The storage goes away for good at each operation in turn, which has landed or not."""
    for number in range(1, 60):
        world = World()
        begun = Faults(seed=number).on(after=number - 1)
        backend = FaultyBackend(world.inner, begun.lose_reply() if landed else begun.lose_request())
        store = world.client(backend)
        store._context = dataclasses.replace(store._context, retry=RetryPolicy(seconds=0.0))
        before = len(world.notes())
        try:
            note = work(store)
        except OutcomeUnknown:
            assert len(world.notes()) in {before, before + 1}
        except ArtifactStoreError:
            assert len(world.notes()) == before
        else:
            assert note in list(world.notes())
            if not any(operation.fault for operation in backend.log):
                return
    pytest.fail("it never came to its end")


def test_two_clients_lift_and_mark_at_once_and_the_new_mark_stays():
    """One reads the marks, and before it writes its note another client marks the run again."""
    world = World()

    class Between(MemoryBackend):
        once = True

        def write(self, key, data, *, when):
            if key.startswith(keys.NOTES) and self.once:
                type(self).once = False
                mark(world.client(self))
            return super().write(key, data, when=when)

    inner = Between(clock=world.clock)
    inner._space.objects.update(world.inner._space.objects)
    lift(world.client(inner))
    found = ArtifactStore(inner).get(ref(MARKED)).notes()
    assert [note.reason for note in found.marks] == ["again"]
