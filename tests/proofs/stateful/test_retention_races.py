"""Clients that save, publish, delete, clear and read at once, in threads, in random order: no alias ever dangles."""

import dataclasses
import functools
import random
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend
from tests import invariants
from tests.proofs.stateful.stepping import Inline

KEY = "gru/BTCEUR"
ALIASES = ("latest", "production")
OLD = ["20240101_000000", "20240102_000000"]
LIVE = ["20240103_000000", "20240104_000000"]
LATE = "20240105_000000"
GRACE = timedelta(days=7)
ROUNDS, LONG = 200, 2_000


class Clock:
    """The time of the storage and of every client."""

    def __init__(self):
        self.now = datetime(2024, 2, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


def client(backend, clock):
    store = ArtifactStore(backend, clock=clock)
    store._context = dataclasses.replace(store._context, workers=Inline(), tasks=Inline())
    return store


class Unsteady(FaultyBackend):
    """A backend that dawdles before some operations, so that every round has another order."""

    def __init__(self, inner, seed):
        super().__init__(inner, Faults())
        self._random = random.Random(seed)

    def _meet(self, op, key):
        if self._random.random() < 0.4:
            time.sleep(self._random.choice((0, 0, 0, 0.0005)))
        return super()._meet(op, key)


def publish(store, chances):
    """Save a run, then serve one of those that are there; each may be deleted at that very moment."""
    run = store.save({"n": chances.random()}, KEY)
    for other in chances.sample(list(store.runs(KEY)), 1):
        try:
            store.promote(chances.choice([run, other]), "production")
        except errors.RunDeleted:
            continue


def delete(store, chances):
    """Delete and prune whatever may go."""
    for run in list(store.runs(KEY)):
        try:
            store.delete(run).apply()
        except (errors.RunInUse, errors.RunDeleted, errors.Conflict):
            continue
    store.prune(KEY, keep_last=chances.randint(0, 2), grace=timedelta(0)).apply()


def collect(store, chances):
    """Sweep and clear what is old: what the others bring back, publish and commit at this very moment."""
    del chances
    assert store.gc(grace=GRACE).apply().ok


def bring_back(store, chances):
    """Bring back what is about to be swept, and serve it."""
    for run_id in chances.sample(OLD, len(OLD)):
        try:
            store.promote(store.undelete(f"{KEY}:{run_id}"), chances.choice(ALIASES))
        except errors.RunDeleted:
            continue


def end_late(store, chances):
    """Go on with a save that was given up, while its files are being cleared away."""
    del chances
    try:
        store.save({"n": "late"}, KEY, run_id=LATE)
    except errors.RunDeleted:
        return


def read(store, chances):
    """Load what the aliases name; a run that went away between two looks is said to be deleted, never half there."""
    for alias in chances.sample(ALIASES, 2):
        try:
            assert set(store.load(f"{KEY}@{alias}")) == {"n"}
        except (errors.AliasNotFound, errors.AliasRetired):
            continue
    for run in store.runs(KEY):
        try:
            assert set(run.load()) == {"n"}
        except errors.RunDeleted:
            continue


@functools.cache
def beginning():
    """Two runs that were deleted long ago, two that are served or may be, and a save that was given up."""
    clock = Clock()
    inner = MemoryBackend(clock=clock)
    store = client(inner, clock)
    for run_id in (*OLD, *LIVE, LATE):
        store.save({"n": run_id if run_id != LATE else "late"}, KEY, run_id=run_id, publish="never")
    inner.delete(keys.manifest(ModelKey.parse(KEY), RunId(LATE)))
    for run_id in OLD:
        store.delete(f"{KEY}:{run_id}").apply()
    for alias in ALIASES:
        store.promote(f"{KEY}:{LIVE[0]}", alias)
    return dict(inner._space.objects)


def one_round(seed, problems):
    clock = Clock()
    clock.now += GRACE
    inner = MemoryBackend(clock=clock)
    inner._space.objects.update(beginning())
    sound = client(inner, clock)
    chances = random.Random(seed)

    def run(work, number):
        store = client(Unsteady(inner, f"{seed}/{number}"), clock)
        try:
            work(store, random.Random(f"{seed}/{number}/work"))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the test is to see it
            problems.append((seed, work.__name__, error))
        finally:
            store.close()

    works = [publish, collect, bring_back, end_late, delete, read, chances.choice([publish, collect, delete])]
    chances.shuffle(works)
    threads = [threading.Thread(target=run, args=(work, number)) for number, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle(sound, clock)


def settle(store, clock):
    """After everybody has ended, gc comes by another grace period later: every alias names a whole, visible run."""
    whole(store)
    clock.now += GRACE
    assert store.gc(grace=GRACE).apply().ok
    whole(store)
    invariants.check(store, KEY, ALIASES)
    store.gc(grace=GRACE).apply()  # of a run that was brought back, what another save left beside it
    assert store.gc(grace=GRACE).changes == ()


def whole(store):
    """Every alias can be loaded, before gc has mended anything as well as afterwards."""
    for alias in ALIASES:
        try:
            assert set(store.load(f"{KEY}@{alias}")) == {"n"}
        except (errors.AliasNotFound, errors.AliasRetired):
            continue
    for run in store.runs(KEY):
        assert run.verify().ok


def rounds(first, count):
    problems = []
    for seed in range(first, first + count):
        one_round(seed, problems)
    assert problems == []


def test_random_orders_of_publishing_deleting_clearing_and_reading_leave_no_alias_dangling():
    rounds(0, ROUNDS)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_two_thousand_random_orders_leave_no_alias_dangling():
    rounds(10_000, LONG)
