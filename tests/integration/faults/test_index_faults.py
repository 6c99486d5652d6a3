"""The catalog index over a storage that fails, at every operation: listings stay right, and the index catches up."""

from contextlib import suppress

import pytest

from artifact_store import errors
from artifact_store.core import keys
from artifact_store.errors import ArtifactStoreError
from artifact_store.ops import index_writing
from artifact_store.testing import Faults, FaultyBackend
from tests.integration.faults import worlds
from tests.integration.faults.worlds import KEY, crash_after_crash

IDS = {name: f"2024010{day}_000000_{name}" for day, name in enumerate(("old", "mid", "new"), start=1)}


def ref(name):
    return f"{KEY}:{IDS[name]}"


class World(worlds.World):
    """An index of three runs, of which one was deleted since, and one was saved."""

    def fill(self):
        for name, run_id in IDS.items():
            self.save(run_id, publish="always" if name == "old" else "never")
        self.store.index.compact()
        self.store.delete(ref("mid")).apply()
        self.save("20240104_000000_late", publish="never")

    def save(self, run_id, **options):
        return self.store.save({"n": run_id}, KEY, run_id=run_id, metrics={"sharpe": len(run_id)}, **options)

    def check(self):
        """What holds whatever happened: a listing by the index shows what the manifests say, and nothing is in the way."""
        client = self.client(self.inner)
        truth = [(str(run.ref), run.metrics) for run in client.runs(index="off")]
        assert [(str(run.ref), run.metrics) for run in client.runs()] == truth
        assert [str(run.ref) for run in client.runs(index="only")] == [ref for ref, _ in truth]
        assert {"index-wrong", "index-corrupt"}.isdisjoint(client.doctor(probes=False).codes)

    def finish(self):
        """After everything: another client catches up, and nothing is left to be told."""
        client = self.client(self.inner)
        client.index.compact()
        self.check()
        self.clock.now += worlds.GRACE
        client.gc(grace=worlds.GRACE).apply()
        client.index.compact()
        assert client.index.status().unsettled == 0
        self.check()


def denied(op, key):
    return errors.AccessDenied(f"{op} {key}")


WORK = {
    "save": lambda store: store.save({"n": 1}, KEY, run_id="20240105_000000_more", metrics={"sharpe": 1}),
    "delete": lambda store: store.delete(ref("new")).apply(),
    "undelete": lambda store: store.undelete(ref("mid")),
    "compact": lambda store: store.index.compact(),
    "rebuild": lambda store: store.index.rebuild(),
    "gc": lambda store: store.gc(grace=worlds.GRACE).apply(),
    "list": lambda store: list(store.runs(KEY)),
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """What has piled up is taken in by gc at once."""
    monkeypatch.setattr(index_writing, "PILED", 1)


@pytest.mark.parametrize("landed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("work", WORK)
def test_a_crash_at_any_operation_leaves_listings_that_are_right(work, landed):
    plans = (Faults(seed=number).crash_at(number, landed=landed) for number in range(1, 200))
    count = 0
    for world in crash_after_crash(World, plans, WORK[work]):
        world.check()
        world.finish()
        count += 1
    assert count > 1


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("op", ["write", "read", "stream", "list", "delete", "children"])
def test_a_storage_that_fails_now_and_then_leaves_listings_that_are_right(work, op):
    for seed in range(4):
        world = World()
        plan = Faults(seed=seed).on(op).lose_reply(0.4).on(op).lose_request(0.3)
        store = world.client(FaultyBackend(world.inner, plan))
        with suppress(ArtifactStoreError):
            WORK[work](store)
        world.check()
        world.finish()


@pytest.mark.parametrize("work", ["save", "list", "compact"])
def test_an_index_that_nobody_reaches_keeps_nobody_from_saving_and_listing(work):
    world = World()
    truth = [str(run.ref) for run in world.store.runs(index="off")]
    plan = Faults(seed=1).on(key=f"{keys.INDEX}*").fail(denied)
    store = world.client(FaultyBackend(world.inner, plan))
    if work == "compact":
        with pytest.raises(errors.AccessDenied):
            WORK[work](store)
    else:
        WORK[work](store)
    assert [str(run.ref) for run in store.runs() if "more" not in run.run_id] == truth


def test_a_deletion_that_cannot_tell_the_index_does_not_happen():
    world = World()
    plan = Faults(seed=1).on("write", key=f"{keys.INDEX}*").fail(denied)
    store = world.client(FaultyBackend(world.inner, plan))
    for work in (lambda: store.delete(ref("new")).apply(), lambda: store.undelete(ref("mid"))):
        before = dict(world.inner._space.objects)
        with pytest.raises(errors.AccessDenied):
            work()
        assert dict(world.inner._space.objects) == before
    world.check()


def test_a_copy_that_cannot_be_written_is_told_and_the_block_counts():
    world = World()
    plan = Faults(seed=1).on("write", key="*.parquet").fail(denied)
    written = world.client(FaultyBackend(world.inner, plan)).index.compact()
    assert written
    assert "no copy in Parquet" in written.detail
    world.check()
