"""Models that follow their alias, on every backend alike: the newest good one is served, whatever goes wrong."""

import gc
import threading
import time
import weakref
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from artifact_store import ArtifactStore, LoadPolicy, errors
from artifact_store.core import keys
from artifact_store.storage import poller
from artifact_store.storage.base import Always
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.threads import Cancelled
from artifact_store.testing import Faults, FaultyBackend, backend_tools
from tests.keys import signer

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"
LINEAR = "linear/BTCEUR"
QUICK = 0.05
SOON = 20.0


def until(true):
    """Wait until something holds, as it soon will."""
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def damage(store, run):
    backend = store._context.backend
    key = keys.data_file(run.key, run.run_id, run.manifest.file(run.manifest.component("model").files[0]).key)
    data = backend.read(key, limit=1 << 20).data
    backend.delete(key)
    backend.write(key, data[::-1], when=Always())


def test_what_is_published_is_served_and_whoever_waits_is_told(store, open_store):
    first = store.save({"n": 1}, KEY)
    told = []
    with open_store().watch(KEY, every=QUICK, on_change=lambda watched: told.append(watched.model)) as watched:
        assert (watched.model, watched.run, watched.error) == ({"n": 1}, first, None)
        assert watched.wait(2 * QUICK) is None
        second = store.save({"n": 2}, KEY)
        assert watched.wait(SOON, after=first) == second
        assert (watched.model, watched.run) == ({"n": 2}, second)
        store.rollback(KEY)
        assert watched.wait(SOON, after=second) == first
        until(lambda: told == [{"n": 2}, {"n": 1}])
    store.save({"n": 3}, KEY)
    assert watched.wait(2 * QUICK) is None
    assert watched.model == {"n": 1}


def test_a_run_that_is_broken_is_not_served_and_the_next_good_one_is(store):
    good = store.save({"n": 1}, KEY)
    with store.watch(KEY, every=QUICK) as watched:
        bad = store.save({"n": 2}, KEY, publish="never")
        damage(store, bad)
        store.promote(bad, "latest")
        until(lambda: watched.error is not None)
        assert isinstance(watched.error, errors.Corrupt)
        assert (watched.model, watched.run) == ({"n": 1}, good)
        assert "DigestMismatch" in repr(watched)
        third = store.save({"n": 3}, KEY)
        assert watched.wait(SOON, after=good) == third
        until(lambda: watched.error is None)


def test_an_alias_that_is_retired_leaves_what_it_named_in_use(store):
    good = store.save({"n": 1}, KEY)
    with store.watch(KEY, every=QUICK) as watched:
        store.retire(KEY)
        until(lambda: isinstance(watched.error, errors.AliasRetired))
        assert watched.run == good


def test_what_cannot_be_watched_is_refused_at_once(store):
    run = store.save({"n": 1}, KEY)
    with pytest.raises(errors.InvalidReference, match=r"watch an alias, such as gru/BTCEUR@latest"):
        store.watch(run.ref)
    with pytest.raises(errors.AliasNotFound):
        store.watch(f"{KEY}@nowhere")
    for wrong in ({"every": 0}, {"every": "1"}, {"max_stale": 5}, {"max_stale": timedelta(0)}, {"on_change": 1}):
        with pytest.raises(errors.InvalidOption, match=next(iter(wrong))):
            store.watch(KEY, **wrong)
    with pytest.raises(errors.InvalidOption, match="load"):
        store.watch(KEY, load="model")


def test_many_aliases_share_one_poller_and_one_that_is_missing_comes_later(store):
    names = [f"gru/S{number}" for number in range(6)]
    runs = [store.save({"n": number}, name) for number, name in enumerate(names[:5])]
    with store.watcher(every=QUICK) as watcher:
        watched = watcher.add_many(names)
        assert [one.run for one in watched[:5]] == runs
        with pytest.raises(errors.AliasNotFound):
            watched[5].model  # noqa: B018 -- it raises
        assert len(watcher) == 6
        assert len([t for t in threading.enumerate() if t.name == "artifact-store-poll"]) == 1
        last = store.save({"n": 5}, names[5])
        assert watched[5].wait(SOON) in {last, None}
        until(lambda: watched[5].error is None)
        assert watched[5].model == {"n": 5}
        watched[0].close()
        assert [one.ref for one in watcher] == [one.ref for one in watched[1:]]
        extra = watcher.add(names[0], load=lambda run: run.run_id)
        assert extra.model == runs[0].run_id
    until(lambda: not [t for t in threading.enumerate() if t.name == "artifact-store-poll"])


# ---------------------------------------------------------------- on one backend


class Switch(FaultyBackend):
    """A storage that can be away, and counts what it is asked."""

    def __init__(self):
        super().__init__(MemoryBackend(), Faults())

    def away(self):
        self.plan = Faults().on("read", "stream").unavailable()

    def back(self):
        self.plan = Faults()

    def asked(self):
        return [operation for operation in self.log if operation.op == "read" and operation.key.endswith("latest.json")]


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


def test_while_the_storage_is_away_what_is_there_is_served_for_so_long_and_no_longer():
    backend, clock = Switch(), Clock()
    store = ArtifactStore(backend, clock=clock, timeout=0.05)
    first = store.save({"n": 1}, KEY)
    with store.watch(KEY, every=QUICK, max_stale=timedelta(minutes=5)) as watched:
        backend.away()
        until(lambda: watched.error is not None)
        clock.now += timedelta(minutes=4)
        assert (watched.model, watched.run) == ({"n": 1}, first)
        assert timedelta(minutes=4) <= watched.age < timedelta(minutes=5)
        clock.now += timedelta(minutes=2)
        with pytest.raises(errors.Unconfirmed, match=r"confirmed 0:06:00.*allows 0:05:00.*last look failed") as caught:
            watched.model  # noqa: B018 -- it raises
        assert isinstance(caught.value.__cause__, errors.Unreachable)
        with pytest.raises(errors.Unavailable):
            watched.run  # noqa: B018 -- it raises
        backend.back()
        until(lambda: watched.error is None)
        assert watched.model == {"n": 1}


def test_what_is_served_was_confirmed_when_it_was_asked_for_and_not_when_the_answer_came():
    clock = Clock()

    class Slow(MemoryBackend):
        def read(self, key, *, limit, unless=None):
            answer = super().read(key, limit=limit, unless=unless)
            clock.now += timedelta(minutes=10)
            return answer

    store = ArtifactStore(Slow(), clock=clock)
    store.save({"n": 1}, KEY)
    with store.watch(KEY, max_stale=timedelta(minutes=5)) as watched:
        assert watched.age >= timedelta(minutes=10)
        with pytest.raises(errors.Unconfirmed):
            watched.model  # noqa: B018 -- it raises


def test_while_the_storage_is_away_one_asks_for_all_and_less_and_less_often():
    backend = Switch()
    store = ArtifactStore(backend, timeout=0.05)
    names = [f"gru/S{number}" for number in range(20)]
    for name in names:
        store.save({"n": 1}, name)
    with store.watcher(every=QUICK) as watcher:
        watched = watcher.add_many(names)
        backend.away()
        until(lambda: all(one.error is not None for one in watched))
        before = len(backend.asked())
        time.sleep(20 * QUICK)
        assert len(backend.asked()) - before <= 8
        assert all(isinstance(one.error, errors.Unreachable) for one in watched)
        backend.back()
        until(lambda: all(one.error is None for one in watched))


def test_it_is_asked_no_more_often_than_was_said_and_with_what_it_has():
    backend = Switch()
    store = ArtifactStore(backend)
    store.save({"n": 1}, KEY)
    with store.watch(KEY, every=QUICK):
        backend.log.clear()
        begun = time.monotonic()
        time.sleep(10 * QUICK)
        asked = backend.asked()
        assert 2 <= len(asked) <= (time.monotonic() - begun) / QUICK + 1
        assert len(backend.log) == len(asked)  # nothing else is asked for


def test_what_does_not_repeat_its_golden_predictions_is_not_served_unless_they_are_not_asked_for():
    linear = pytest.importorskip("sklearn.linear_model")
    rows = np.arange(12.0).reshape(6, 2)
    model = linear.LinearRegression().fit(rows, rows.sum(axis=1))
    said = model.predict(rows)
    store = ArtifactStore(MemoryBackend())
    good = store.save(model, LINEAR, components={"example_inputs": rows, "example_outputs": said})
    with store.watch(LINEAR, every=QUICK) as watched, store.watch(LINEAR, every=QUICK, golden=False) as trusting:
        bad = store.save(model, LINEAR, components={"example_inputs": rows, "example_outputs": said + 1.0})
        assert trusting.wait(SOON, after=good) == bad
        until(lambda: watched.error is not None)
        assert "predicts something else" in str(watched.error)
        assert watched.run == good
        np.testing.assert_array_equal(watched.model.predict(rows), said)
    with pytest.raises(errors.Corrupt, match="predicts something else"):
        store.watch(LINEAR)


def test_a_pointer_that_the_policy_does_not_trust_any_more_is_not_confirmed():
    clock, backend = Clock(), MemoryBackend()
    ArtifactStore(backend, signer=signer(), clock=clock).save({"n": 1}, KEY)
    policy = LoadPolicy(trusted_keys=[signer().public_key], require_signature=True, max_age=timedelta(hours=1))
    store = ArtifactStore(backend, policy=policy, clock=clock)
    with store.watch(KEY, every=QUICK, max_stale=timedelta(hours=2)) as watched:
        clock.now += timedelta(minutes=90)
        until(lambda: isinstance(watched.error, errors.Stale))
        assert watched.model == {"n": 1}
        ArtifactStore(backend).save({"n": 2}, KEY, alias="latest")  # by somebody without a key
        until(lambda: isinstance(watched.error, errors.SignatureMissing))
        assert watched.model == {"n": 1}


class Panic(BaseException):
    """What a library in Rust raises when it fails within itself: no ``Exception``."""


def test_a_library_that_panics_and_a_change_that_wants_to_exit_do_not_end_the_watching(caplog):
    store = ArtifactStore(MemoryBackend())
    store.save({"n": 0}, KEY)

    def load(run):
        if (found := run.load())["n"] == 1:
            raise Panic("index out of bounds")
        return found

    def leave(_):
        raise SystemExit

    with store.watch(KEY, load=load, every=QUICK, on_change=leave) as watched:
        store.save({"n": 1}, KEY)
        until(lambda: watched.error is not None)
        assert (type(watched.error), watched.model) == (errors.Corrupt, {"n": 0})
        assert isinstance(watched.error.__cause__, Panic)
        for number in (2, 3):
            store.save({"n": number}, KEY)
            until(lambda number=number: watched.model == {"n": number})
        assert watched.error is None
    assert "on_change failed" in caplog.text


@pytest.mark.parametrize("where", ["load", "on_change"])
def test_who_looks_himself_is_stopped_by_ctrl_c(where):
    store = ArtifactStore(MemoryBackend())
    store.save({"n": 0}, KEY)

    def load(run):
        if (found := run.load())["n"] == 1 and where == "load":
            raise KeyboardInterrupt
        return found

    def told(_):
        raise KeyboardInterrupt

    with store.watch(KEY, load=load, every=3600.0, on_change=told if where == "on_change" else None) as watched:
        store.save({"n": 1}, KEY)
        with pytest.raises(KeyboardInterrupt):
            watched.poll()
        assert watched.model == {"n": 0 if where == "load" else 1}


def test_a_look_that_somebody_else_cut_short_is_repeated(monkeypatch):
    monkeypatch.setattr(poller, "_AGAIN", QUICK)
    cut = iter([True])

    class Cut(MemoryBackend):
        def read(self, key, *, limit, unless=None):
            if unless is not None and next(cut, False):
                raise Cancelled  # as where another thread closes the store
            return super().read(key, limit=limit, unless=unless)

    store = ArtifactStore(Cut())
    store.save({"n": 0}, KEY)
    with store.watch(KEY, every=QUICK) as watched:
        store.save({"n": 1}, KEY)
        until(lambda: watched.model == {"n": 1})


def test_what_a_caller_does_on_a_change_does_not_end_the_watching(caplog):
    store = ArtifactStore(MemoryBackend())
    before = store.save({"n": 0}, KEY)
    with store.watch(KEY, every=QUICK, on_change=lambda _: 1 / 0) as watched:
        for number in (1, 2):
            run = store.save({"n": number}, KEY)
            assert watched.wait(SOON, after=before) == run
            before = run
    assert "on_change failed" in caplog.text


def test_a_watch_that_nobody_holds_ends():
    store = ArtifactStore(MemoryBackend())
    store.save({"n": 1}, KEY)
    gone = weakref.ref(store.watch(KEY, every=QUICK))
    for _ in range(100):
        gc.collect()
        if gone() is None:
            break
        time.sleep(0.02)
    assert gone() is None
    until(lambda: not [t for t in threading.enumerate() if t.name == "artifact-store-poll"])


@pytest.mark.skipif(not hasattr(backend_tools.os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_watches_on(tmp_path):
    store = ArtifactStore(tmp_path / "store")
    first = store.save({"n": 1}, KEY)
    with store.watch(KEY, every=QUICK) as watched:

        def child():
            second = store.save({"n": 2}, KEY)
            assert watched.wait(SOON, after=first) == second
            assert watched.model == {"n": 2}

        backend_tools.run_in_a_fork(child)
        until(lambda: watched.model == {"n": 2})
