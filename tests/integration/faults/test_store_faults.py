"""A store over a backend that fails: correct, a typed error, or unknown; never a false success, never a loss."""

import threading

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.pointer import PublishInfo
from artifact_store.errors import ArtifactStoreError, OutcomeUnknown
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend, SimulatedCrash
from tests import invariants

KEY = "gru/BTCEUR"
PLANS = {
    "lost reply": lambda f, on: on(f).lose_reply(0.3),
    "lost request": lambda f, on: on(f).lose_request(0.3),
    "echo": lambda f, on: on(f).echo(0.3),
    "409": lambda f, on: on(f).contend(0.3),
    "409 that landed": lambda f, on: on(f).contend(0.3, landed=True),
    "503": lambda f, on: on(f).unavailable(0.3),
    "delayed": lambda f, on: on(f).delay(0.2, operations=7),
}


def faulty(inner, plan):
    return ArtifactStore(FaultyBackend(inner, plan, sleep=lambda _: None), timeout=20.0)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("seed", range(4))
def test_every_acknowledged_publish_is_there_once_whatever_fails(name, seed):
    inner = MemoryBackend()
    ArtifactStore(inner).save({"n": -1}, KEY, alias="other")
    ops = ("write", "put_file") if name == "echo" else ("write", "put_file", "read")  # a read is never refused so
    plan = PLANS[name](Faults(seed=seed), lambda faults: faults.on(*ops))
    told, unknown = [], []

    def write(writer):
        store = faulty(inner, plan)
        for number in range(5):
            try:
                run = store.save({"writer": writer, "n": number}, KEY)
            except OutcomeUnknown as error:
                unknown.append(error)
            else:
                told.append((run.published.pointer.seq, run.run_id))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sound = ArtifactStore(inner)
    past = [(entry.seq, entry.run_id) for entry in sound.history(KEY)]
    assert len(told) + len(unknown) == 20
    assert set(told) <= set(past)
    assert len(past) <= 20
    assert unknown or sorted(told) == past
    invariants.check(sound, KEY)


ACTIONS = {
    "save": lambda store: store.save({"n": 9}, KEY),
    "promote": lambda store: store.promote(store.get(KEY), "production"),
    "rollback": lambda store: store.rollback(KEY),
    "retire": lambda store: store.retire(KEY),
    "load": lambda store: store.load(KEY),
    "find": lambda store: store.find(KEY),
    "history": lambda store: store.history(KEY),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("landed", [False, True])
def test_a_crash_at_any_operation_leaves_a_sound_store(action, landed):
    for number in range(1, 60):
        inner = MemoryBackend()
        first = ArtifactStore(inner)
        for n in range(2):
            first.save({"n": n}, KEY)
        backend = FaultyBackend(inner, Faults().crash_at(number, landed=landed))
        try:
            ACTIONS[action](ArtifactStore(backend))
        except SimulatedCrash:
            pass
        else:
            break
        seqs = invariants.check(ArtifactStore(inner), KEY, ("latest", "production"))
        assert seqs["latest"] in {2, 3}
        assert ArtifactStore(inner).save({"n": 10}, KEY).published
        assert ArtifactStore(inner).load(KEY) == {"n": 10}
    else:
        pytest.fail("the action never came to its end")


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("fault", ["lose_reply", "lose_request", "echo", "contend", "unavailable"])
def test_one_fault_at_any_operation_changes_nothing_of_the_outcome(action, fault):
    for number in range(60):
        inner = MemoryBackend()
        first = ArtifactStore(inner)
        for n in range(2):
            first.save({"n": n}, KEY)
        ops = ("write", "put_file") if fault == "echo" else ()
        plan = getattr(Faults().on(*ops, after=number, times=1), fault)()
        backend = FaultyBackend(inner, plan, sleep=lambda _: None)
        ACTIONS[action](ArtifactStore(backend))
        invariants.check(first, KEY, ("latest", "production"))
        if not any(operation.fault for operation in backend.log):
            break
    else:
        pytest.fail("the action never came to its end")


def test_a_dead_backend_is_unavailable_and_nothing_is_lost():
    inner = MemoryBackend()
    store = ArtifactStore(inner)
    store.save({"n": 1}, KEY)
    dead = ArtifactStore(FaultyBackend(inner, Faults().on().unavailable()), timeout=0.3)
    for work in (lambda: dead.load(KEY), lambda: dead.save({"n": 2}, KEY), lambda: dead.rollback(KEY), dead.models):
        with pytest.raises(errors.Unavailable):
            work()
    assert store.load(KEY) == {"n": 1}


def test_a_commit_whose_outcome_stays_unknown_says_so_and_cleans_nothing_up():
    inner = MemoryBackend()
    ArtifactStore(inner).save({"n": 1}, KEY)
    plan = Faults().on("write", key="*/manifest.json").lose_reply().on("read", key="*/manifest.json").unavailable()
    store = ArtifactStore(FaultyBackend(inner, plan), timeout=0.3)
    with pytest.raises(OutcomeUnknown) as caught:
        store.save({"n": 2}, KEY)
    assert caught.value.run_id
    assert ArtifactStore(inner).load(f"{KEY}:{caught.value.run_id}") == {"n": 2}
    assert ArtifactStore(inner).load(KEY) == {"n": 1}


def test_a_publish_that_fails_names_the_run_that_is_safe():
    inner = MemoryBackend()
    ArtifactStore(inner).save({"n": 1}, KEY)
    plan = (
        Faults().on("write", key="*/latest.json").lose_request().on("read", key="*/latest.json", after=1).unavailable()
    )
    store = ArtifactStore(FaultyBackend(inner, plan), timeout=0.3)
    with pytest.raises(ArtifactStoreError) as caught:
        store.save({"n": 2}, KEY)
    assert caught.value.committed is not None
    assert f"{caught.value.committed} is committed" in str(caught.value)
    assert ArtifactStore(inner).load(caught.value.committed) == {"n": 2}


def test_a_run_that_is_deleted_during_its_promotion_is_taken_back():
    inner = MemoryBackend()
    store = ArtifactStore(inner)
    one, two = store.save({"n": 1}, KEY), store.save({"n": 2}, KEY, publish="never")
    store.promote(one, "production")

    class Deletes(FaultyBackend):
        """Marks the run as deleted at the moment when the pointer is swapped to it."""

        def write(self, key, data, *, when):
            version = super().write(key, data, when=when)
            if key == keys.pointer(two.key, "production"):
                bury(inner, two)
            return version

    with pytest.raises(errors.RunDeleted):
        ArtifactStore(Deletes(inner, Faults())).promote(two, "production")
    assert store.get(f"{KEY}@production") == one
    assert [entry.run_id for entry in store.history(f"{KEY}@production")] == [one.run_id, two.run_id, one.run_id]
    with pytest.raises(errors.RunDeleted):
        store.get(str(two.ref))
    with pytest.raises(errors.RunDeleted):
        store.save({"n": 3}, KEY, run_id=str(two.run_id))
    assert [run.run_id for run in store.runs(KEY)] == [one.run_id]


def bury(backend, run):
    """Put a tombstone in the place of the manifest."""
    from artifact_store.core.tombstone import Tombstone
    from artifact_store.storage.base import Always

    stone = Tombstone.mark(run.manifest, PublishInfo("0" * 32, run.created_at, "somebody"))
    backend.write(keys.manifest(run.key, run.run_id), stone.to_bytes(), when=Always())


@pytest.mark.parametrize("fault", ["unavailable", "flip", "cut"])
def test_a_publish_that_cannot_be_looked_after_is_not_told_as_one_that_failed(fault):
    inner = MemoryBackend()
    store = ArtifactStore(inner)
    one, _ = (store.save({"n": n}, KEY) for n in range(2))
    plan = getattr(Faults().on("read", key=f"*/{one.run_id}/manifest.json", after=2), fault)()
    with pytest.raises(errors.OutcomeUnknown, match="@latest was moved to") as caught:
        ArtifactStore(FaultyBackend(inner, plan), timeout=0.3).rollback(KEY)
    assert store.history(KEY)[-1].write_id == caught.value.write_id
    assert store.load(KEY) == {"n": 0}


def test_a_rollback_passes_over_deleted_runs():
    inner = MemoryBackend()
    store = ArtifactStore(inner)
    one, two, _ = (store.save({"n": n}, KEY) for n in range(3))
    bury(inner, two)
    assert store.rollback(KEY).run_id == one.run_id


def test_a_rollback_is_not_repeated_after_a_genuine_conflict():
    inner = MemoryBackend()
    store = ArtifactStore(inner)
    for n in range(3):
        store.save({"n": n}, KEY)

    class Overtaken(FaultyBackend):
        """Somebody else publishes right before the first write of the pointer."""

        def write(self, key, data, *, when):
            if key.endswith("latest.json"):
                store.save({"n": "other"}, KEY)
            return super().write(key, data, when=when)

    with pytest.raises(errors.PointerConflict) as caught:
        ArtifactStore(Overtaken(inner, Faults())).rollback(KEY)
    assert caught.value.actual.seq == 4
    assert store.load(KEY) == {"n": "other"}


@pytest.mark.parametrize("fault", ["flip", "cut"])
def test_bytes_that_change_on_the_way_are_noticed(fault):
    inner = MemoryBackend()
    ArtifactStore(inner).save({"n": 1}, KEY)
    plan = getattr(Faults().on("stream"), fault)()
    with pytest.raises((errors.Corrupt, errors.Unavailable)):
        ArtifactStore(FaultyBackend(inner, plan), timeout=0.3).load(KEY)
    plan = Faults().on("read").flip()
    with pytest.raises(errors.Corrupt):
        ArtifactStore(FaultyBackend(inner, plan), timeout=0.3).load(KEY)


def test_a_server_that_ignores_conditions_is_found_out_before_anything_is_written():
    class Deaf(MemoryBackend):
        """Accepts every condition and honours none, as some S3-compatible servers do."""

        def write(self, key, data, *, when):
            from artifact_store.storage.base import Always

            return super().write(key, data, when=Always())

    backend = Deaf()
    with pytest.raises(errors.ConditionsUnsupported, match="does not honour"):
        ArtifactStore(backend).save({"n": 1}, KEY)
    assert list(backend.list("")) == []
    single = ArtifactStore(backend, concurrency="single-writer")
    assert single.save({"n": 1}, KEY).published


def forged(inner, run):
    """Replace the manifest of a run by a sound one that says something else."""
    import json

    from artifact_store.storage.base import Always
    from tests.unit.samples import resealed

    value = resealed(json.loads(run.manifest.to_bytes()) | {"tags": {"forged": "yes"}})
    inner.write(keys.manifest(run.key, run.run_id), value, when=Always())


def test_a_manifest_that_was_replaced_is_neither_promoted_nor_what_an_alias_names():
    inner = MemoryBackend()
    store = ArtifactStore(inner)
    small = store.save({"n": 1}, KEY)
    forged(inner, small)
    with pytest.raises(errors.Corrupt, match="not the one that was committed"):
        store.promote(small, "production")
    assert not store.verify(KEY).ok
    large = store.save({"n": 1}, "gru/LARGE", config={"a": "x" * 70_000})
    assert store.get("gru/LARGE") == large
    forged(inner, large)
    with pytest.raises(errors.Corrupt, match="replaced"):
        store.get("gru/LARGE")


def test_what_somebody_published_since_is_not_taken_back():
    inner = MemoryBackend()
    store = ArtifactStore(inner)
    one, two, three = (store.save({"n": n}, KEY) for n in range(3))
    store.promote(one, "production")

    class Busy(FaultyBackend):
        """Deletes the run and publishes another one right after the pointer was swapped."""

        done = False

        def write(self, key, data, *, when):
            version = super().write(key, data, when=when)
            if key == keys.pointer(two.key, "production") and not self.done:
                self.done = True
                bury(inner, two)
                store.promote(three, "production")
            return version

    with pytest.raises(errors.RunDeleted):
        ArtifactStore(Busy(inner, Faults())).promote(two, "production")
    assert store.get(f"{KEY}@production") == three


def test_another_endpoint_is_probed_before_it_is_written_through():
    from artifact_store.storage.base import Always

    class Elsewhere(MemoryBackend):
        endpoint = "elsewhere"

        def write(self, key, data, *, when):
            return super().write(key, data, when=Always())

    ArtifactStore("memory://probed").save({"n": 1}, KEY)
    with pytest.raises(errors.ConditionsUnsupported, match="elsewhere"):
        ArtifactStore(Elsewhere("probed")).save({"n": 2}, KEY)
    assert ArtifactStore("memory://probed").load(KEY) == {"n": 1}


def test_who_may_not_delete_makes_a_store_all_the_same():
    class Careful(MemoryBackend):
        def delete(self, key):
            raise errors.AccessDenied(f"cannot delete {key!r}")

    inner = Careful()
    assert ArtifactStore(inner).save({"n": 1}, KEY).published
    assert [entry.key.partition("/")[0] for entry in inner.list("_probe/")] == ["_probe"]  # for gc, by who may


def test_a_publish_is_recognised_in_the_archive_when_others_are_far_ahead():
    inner = MemoryBackend()
    store = ArtifactStore(inner)
    one = store.save({"n": 1}, KEY)

    class Overtaken(FaultyBackend):
        """Stores the pointer, lets a hundred others publish, and then loses the reply."""

        done = False

        def write(self, key, data, *, when):
            version = super().write(key, data, when=when)
            if key.endswith("latest.json") and not self.done:
                self.done = True
                for _ in range(100):
                    store.promote(one, "latest")
                raise errors.Unreachable("the reply got lost")
            return version

    pointer = ArtifactStore(Overtaken(inner, Faults())).promote(one, "latest", reason="first")
    assert pointer.seq == 2
    past = store.history(KEY)
    assert [entry.seq for entry in past] == list(range(1, 103))
    assert [entry.reason for entry in past if entry.write_id == pointer.write_id] == ["first"]


def test_a_broken_newest_run_is_no_reason_to_take_an_older_one():
    from artifact_store.storage.base import Always

    inner = MemoryBackend()
    store = ArtifactStore(inner)
    store.save({"n": 1}, KEY, alias="nightly", run_id="20240101_000000")
    newest = store.save({"n": 2}, KEY, alias="nightly", run_id="20240201_000000")
    inner.write(keys.manifest(newest.key, newest.run_id), b"{", when=Always())
    with pytest.raises(errors.Corrupt):
        store.find(KEY)


def test_a_read_back_that_is_denied_leaves_the_outcome_unknown():
    inner = MemoryBackend()
    ArtifactStore(inner).save({"n": 1}, KEY)
    denied = lambda op, key: errors.AccessDenied(f"{op} {key}")  # noqa: E731
    plan = Faults().on("write", key="*/manifest.json").lose_reply().on("read", key="*/manifest.json").fail(denied)
    with pytest.raises(OutcomeUnknown) as caught:
        ArtifactStore(FaultyBackend(inner, plan), timeout=0.3).save({"n": 2}, KEY)
    assert isinstance(caught.value.__cause__, errors.AccessDenied)


def test_a_publish_of_unknown_outcome_does_not_guess():
    inner = MemoryBackend()
    ArtifactStore(inner).save({"n": 1}, KEY)
    plan = Faults().on("write", key="*/latest.json").lose_reply().on("read", key="*/latest.json", after=1).unavailable()
    with pytest.raises(OutcomeUnknown, match="its alias tells") as caught:
        ArtifactStore(FaultyBackend(inner, plan), timeout=0.3).save({"n": 2}, KEY)
    assert "not published" not in str(caught.value)
    assert ArtifactStore(inner).load(KEY) == {"n": 2}


def test_a_draft_whose_publish_failed_is_committed_once():
    inner = MemoryBackend()
    store = ArtifactStore(inner)
    store.save({"n": 1}, KEY)
    plan = Faults().on("write", key="*/latest.json").unavailable()
    faulty_store = ArtifactStore(FaultyBackend(inner, plan), timeout=0.3)
    with faulty_store.new_run(KEY) as draft:
        draft.add("model", {"n": 2})
        with pytest.raises(ArtifactStoreError):
            draft.commit()
        assert draft.run is not None
        with pytest.raises(errors.InvalidOption, match="already"):
            draft.commit()
    assert len(list(store.runs(KEY))) == 2


def test_a_failure_stops_the_retries_of_the_others():
    inner = MemoryBackend()
    ArtifactStore(inner).save({"n": 1}, KEY)
    waited = []
    denied = lambda op, key: errors.AccessDenied(key)  # noqa: E731
    plan = Faults().on("put_file", key="*/bad.json").fail(denied).on("put_file", key="*/model.json").unavailable()
    backend = FaultyBackend(inner, plan, sleep=waited.append)
    with pytest.raises(errors.AccessDenied):
        ArtifactStore(backend, timeout=60).save({"n": 2}, KEY, components={"bad": {"n": 3}})
    assert len([operation for operation in backend.log if operation.key.endswith("/model.json")]) < 20


class MadeMeanwhile(MemoryBackend):
    """An empty root in which somebody else makes a store at the moment that it is listed.

    A listing that began before shows what was written meanwhile in part: ``shown`` says which part.
    """

    def __init__(self, shown):
        super().__init__()
        self._shown, self._made = shown, False

    def children(self, prefix):
        if prefix == "" and not self._made:
            self._made = True
            ArtifactStore(self).save({"n": "theirs"}, KEY)
            return iter([name for name in super().children(prefix) if name in self._shown])
        return super().children(prefix)


@pytest.mark.parametrize(
    "shown", [("_store.json", "gru/"), ("gru/",), ("_store.json",), ()], ids=["all", "models", "marker", "nothing"]
)
def test_a_store_that_is_made_at_this_moment_is_not_taken_for_something_else(shown):
    with pytest.raises(errors.AliasNotFound):  # it was there a moment too late; the next read finds it
        ArtifactStore(MadeMeanwhile(shown)).get(KEY)
    writer = ArtifactStore(MadeMeanwhile(shown))
    assert writer.save({"n": "ours"}, KEY).published.pointer.seq == 2
    assert [entry.seq for entry in writer.history(KEY)] == [1, 2]
