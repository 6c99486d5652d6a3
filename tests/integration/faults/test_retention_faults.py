"""Deletion over a storage that fails, at every operation: done, refused, or unknown; never a dangling alias, no loss."""

from datetime import UTC, datetime, timedelta

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import ArtifactStoreError, OutcomeUnknown
from artifact_store.ops import prune
from artifact_store.ops.verify import verify_run
from artifact_store.storage.base import Unfinished
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend, SimulatedCrash
from tests import invariants
from tests.integration.faults import worlds
from tests.integration.faults.worlds import GRACE, KEY

IDS = {name: f"2024010{day}_000000_{name}" for day, name in enumerate(("gone", "old", "mid", "new"), start=1)}
CRASHED = "20231231_000000_crash"


class World(worlds.World):
    """Four runs, the newest published, the first deleted long ago, and a save that died long ago."""

    def __init__(self):
        begun = datetime(2024, 2, 1, tzinfo=UTC)
        super().__init__(Unfinished(f"{KEY}/{CRASHED}/model.bin", "id-1", 5, begun))

    def fill(self):
        for name, run_id in IDS.items():
            self.store.save({"n": name}, KEY, run_id=run_id, publish="always" if name == "new" else "never")
        run = self.store.save({"n": "crash"}, KEY, run_id=CRASHED, publish="never")
        self.inner.delete(keys.manifest(run.key, run.run_id))
        self.delete("gone")

    def ref(self, name):
        return f"{KEY}:{IDS[name]}"

    def delete(self, name):
        self.store.delete(self.ref(name)).apply()

    def state(self, name):
        try:
            self.store.get(self.ref(name))
        except errors.RunDeleted as error:
            return "marked" if "undelete" in str(error) else "sealed"
        return "live"

    def check(self):
        """What holds whatever happened: the published run is whole, and what is not sealed has all its files."""
        invariants.check(self.store, KEY)
        assert self.store.load(KEY) == {"n": "new"}
        for run_id in IDS.values():
            record = self.store._context.records.run(ModelKey.parse(KEY), RunId(run_id)).value
            if isinstance(record, Tombstone) and record.state == "marked":
                assert verify_run(self.store._context, record.restored()).ok

    def finish(self):
        """After everything: gc comes again and leaves nothing that should not be there."""
        self.clock.now += GRACE
        assert self.store.gc(grace=GRACE).apply().ok
        self.check()
        assert self.store.gc(grace=GRACE).changes == ()
        assert self.inner.open == []
        for name, run_id in IDS.items():
            run_prefix = f"{KEY}/{run_id}/"
            left = [entry.key.removeprefix(run_prefix) for entry in self.inner.list(run_prefix)]
            assert (left == ["manifest.json"]) is (self.state(name) != "live")
        assert [entry.key for entry in self.inner.list(f"{KEY}/{CRASHED}/")] == [f"{KEY}/{CRASHED}/manifest.json"]


ACTIONS = {
    "delete": lambda store, world: store.delete(world.ref("old"), reason="test").apply(),
    "undelete": lambda store, world: store.undelete(world.ref("gone")),
    "prune": lambda store, world: store.prune(KEY, keep_last=2, grace=timedelta(0)).apply(),
    "gc": lambda store, world: store.gc(grace=GRACE).apply(),
}
EXPECTED = {
    "delete": {"gone": "marked", "old": "marked", "mid": "live", "new": "live"},
    "undelete": {"gone": "live", "old": "live", "mid": "live", "new": "live"},
    "prune": {"gone": "marked", "old": "marked", "mid": "live", "new": "live"},
    "gc": {"gone": "sealed", "old": "live", "mid": "live", "new": "live"},
}


def test_the_expectations_are_those_of_a_sound_storage():
    for action, expected in EXPECTED.items():
        world = World()
        ACTIONS[action](world.store, world)
        assert {name: world.state(name) for name in IDS} == expected
        world.check()
        world.finish()


FAULTS = {
    "lost reply": lambda on: on.lose_reply(),
    "lost request": lambda on: on.lose_request(),
    "echo": lambda on: on.echo(),
    "409": lambda on: on.contend(),
    "409 that landed": lambda on: on.contend(landed=True),
    "503": lambda on: on.unavailable(),
    "delayed": lambda on: on.delay(operations=3),
    "delayed for long": lambda on: on.delay(),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_at_any_operation_changes_nothing_of_the_outcome(action, fault):
    chosen = {"key": "*/manifest.json"} if fault == "echo" else {}  # only a condition is ever refused
    ops = ("write",) if fault == "echo" else ()
    for number in range(80):
        world = World()
        plan = FAULTS[fault](Faults().on(*ops, **chosen, after=number, times=1))
        backend = FaultyBackend(world.inner, plan, sleep=lambda _: None)
        result = ACTIONS[action](world.client(backend), world)
        assert getattr(result, "ok", True)
        backend.deliver()  # what was on its way comes now, too late
        if not any(operation.fault for operation in backend.log):
            break
        assert {name: world.state(name) for name in IDS} == EXPECTED[action]
        world.check()
        world.finish()
    else:
        pytest.fail("the action never came to its end")
    assert number >= (1 if fault == "echo" else 5)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("landed", [False, True], ids=["before", "landed"])
def test_a_crash_at_any_operation_leaves_a_sound_store(action, landed):
    for number in range(1, 80):
        world = World()
        backend = FaultyBackend(world.inner, Faults().crash_at(number, landed=landed))
        try:
            ACTIONS[action](world.client(backend), world)
        except SimulatedCrash:
            pass
        else:
            break
        before = {"gone": "marked", "old": "live", "mid": "live", "new": "live"}
        for name in IDS:
            assert world.state(name) in {before[name], EXPECTED[action][name]}
        world.check()
        if action != "delete" or world.state("old") == "live":
            ACTIONS[action](world.store, world)
        assert {name: world.state(name) for name in IDS} == EXPECTED[action]
        world.finish()
    else:
        pytest.fail("the action never came to its end")
    assert number > 5


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("seed", range(6))
def test_many_faults_at_once_lose_nothing(action, seed):
    world = World()
    plan = (
        Faults(seed=seed)
        .on("write").lose_reply(0.2)
        .on("write", key="*/manifest.json").echo(0.1)
        .on("write", "delete", "discard").delay(0.15, operations=4)
        .on("write", "delete", "read", "list", "children", "unfinished").unavailable(0.15)
    )  # fmt: skip
    backend = FaultyBackend(world.inner, plan, sleep=lambda _: None)
    for _ in range(3):
        try:
            ACTIONS[action](world.client(backend), world)
        except (OutcomeUnknown, errors.RunDeleted):
            continue
    backend.deliver()
    world.check()
    world.finish()


@pytest.mark.parametrize("action", ["delete", "undelete", "prune", "gc"])
def test_a_read_back_that_fails_is_an_unknown_outcome_and_nothing_is_removed(action):
    """Nothing is cleaned up after an unknown commit."""
    world = World()
    where = IDS["old" if action in {"delete", "prune"} else "gone"]
    place = f"*/{where}/manifest.json"
    before = {entry.key for entry in world.inner.list("") if not entry.key.endswith(CRASHED + "/")}
    reads = {"delete": 3, "undelete": 2, "prune": 3, "gc": 2}[action]
    plan = (
        Faults()
        .on("write", key=place).lose_reply()
        .on("read", key=place, after=reads).fail(lambda op, key: errors.AccessDenied(f"{op} {key}"))
    )  # fmt: skip
    store = world.client(FaultyBackend(world.inner, plan, sleep=lambda _: None))
    try:
        applied = ACTIONS[action](store, world)
    except OutcomeUnknown as error:
        assert error.write_id  # noqa: PT017 -- or else it is reported
    else:
        assert [type(problem.error) for problem in applied.problems] == [OutcomeUnknown]
    after = {entry.key for entry in world.inner.list("")}
    assert {key for key in before if where in key} <= after
    assert world.store.load(KEY) == {"n": "new"}
    world.finish()


def test_a_dead_storage_ends_a_plan_after_a_few_steps():
    world = World()
    plan = world.store.prune(KEY, keep_last=0, grace=timedelta(0))
    assert len(plan.changes) >= 2
    backend = FaultyBackend(
        world.inner, Faults().on("write", key="*/manifest.json").unavailable(), sleep=lambda _: None
    )
    store = ArtifactStore(backend, clock=world.clock, timeout=0.05)
    for name in range(prune.AT_ONCE + 20):
        world.store.save({"n": name}, KEY, run_id=f"20230101_0000{name:02}", publish="never")
    with pytest.raises((errors.Unavailable, OutcomeUnknown)):
        store.prune(KEY, keep_last=0, grace=timedelta(0)).apply()
    tried = {one.key for one in backend.log if one.op == "write" and one.fault}
    assert 3 <= len(tried) <= prune.AT_ONCE  # those that were asked for together
    world.finish()


class Between(MemoryBackend):
    """A memory that lets something happen before a certain object is written."""

    def __init__(self, inner, key, happens):
        super().__init__()
        self._space, self._clock = inner._space, inner._clock
        self._key, self._happens = key, happens

    def write(self, key, data, *, when):
        if key == self._key and self._happens is not None:
            happens, self._happens = self._happens, None
            happens()
        return super().write(key, data, when=when)


def test_of_runs_that_are_hidden_together_one_comes_back_that_an_alias_came_to_name():
    world = World()
    runs = [world.store.save({"n": n}, KEY, run_id=f"20230101_0000{n:02}", publish="never") for n in range(40)]
    hidden, named = runs[30], runs[20]  # the newest ones are hidden first

    def promote():
        with pytest.raises(errors.RunDeleted):
            world.store.promote(hidden, "production")
        world.store.promote(named, "production")

    middle = keys.manifest(ModelKey.parse(KEY), RunId(runs[25].run_id))
    client = world.client(Between(world.inner, middle, promote))
    applied = client.prune(KEY, keep_last=0, grace=timedelta(0)).apply()
    results = {one.step.target: one for one in applied}
    assert [type(problem.error) for problem in applied.problems] == [errors.RunInUse]
    assert results[str(named.ref)].result == "kept"
    assert world.store.load(f"{KEY}@production") == {"n": 20}
    visible = {run.run_id for run in world.store.runs(KEY)}
    assert {run.run_id for run in runs} & visible == {named.run_id}
    assert results[str(hidden.ref)].result == "deleted"
    world.finish()


def test_a_file_that_is_in_use_is_reported_and_removed_by_the_next_gc():
    world = World()
    key = f"{KEY}/{IDS['gone']}/metadata.json"
    denied = Faults().on("delete", key=key).fail(lambda op, key: errors.AccessDenied(f"{key}: in use"))
    applied = world.client(FaultyBackend(world.inner, denied)).gc(grace=GRACE).apply()
    assert [problem.where for problem in applied.problems] == [world.ref("gone")]
    assert [done.result for done in applied] == ["cleared", "kept", "aborted"]
    left = [entry.key for entry in world.inner.list(f"{KEY}/{IDS['gone']}/")]
    assert left == [f"{KEY}/{IDS['gone']}/manifest.json", key]
    (step,) = world.store.gc(grace=GRACE).changes
    assert (step.target, step.action) == (world.ref("gone"), "sweep")
    world.finish()


@pytest.mark.parametrize("how", ["omit", "stop"])
def test_a_listing_that_breaks_off_never_makes_gc_take_a_committed_run_for_a_crashed_one(how):
    world = World()
    for _ in range(2):
        backend = FaultyBackend(world.inner, Faults().on("list", times=3).tear(how), sleep=lambda _: None)
        try:
            world.client(backend).gc(grace=timedelta(0)).apply()
        except ArtifactStoreError:
            continue
    for name in ("old", "mid", "new"):
        assert world.store.get(world.ref(name)).verify().ok
    world.check()


# ---------------------------------------------------------------- races, step by step


class Before(FaultyBackend):
    """Does something once, right before or after a write of a key."""

    def __init__(self, inner, key, do, *, after=False, op="write", skip=0):
        super().__init__(inner, Faults())
        self._key, self._do, self._after, self._op, self._skip = key, do, after, op, skip

    def _strike(self, op, key):
        if self._do is None or op != self._op or not key.endswith(self._key):
            return
        if self._skip:
            self._skip -= 1
            return
        do, self._do = self._do, None
        do()

    def write(self, key, data, *, when):
        if not self._after:
            self._strike("write", key)
        version = super().write(key, data, when=when)
        if self._after:
            self._strike("write", key)
        return version

    def delete(self, key):
        self._strike("delete", key)
        super().delete(key)


def manifest_of(name):
    return f"{IDS[name]}/manifest.json"


def test_a_deleter_yields_to_an_alias_that_names_the_run_right_after_it_was_marked():
    world = World()
    run = world.store.get(world.ref("old"))

    def dying_promoter():
        """Swap the pointer as a promotion that checked the run before it was marked, and die."""
        from dataclasses import replace

        from artifact_store.ops.publish import swap

        context = world.store._context
        swap(
            replace(context, backend=world.inner),
            run.key,
            "production",
            run.manifest,
            context.publish_info(),
            seen=None,
        )

    backend = Before(world.inner, manifest_of("old"), dying_promoter, after=True)
    with pytest.raises(errors.RunInUse):
        world.client(backend).delete(world.ref("old")).apply()
    assert world.store.load(f"{KEY}@production") == {"n": "old"}
    invariants.check(world.store, KEY, ("latest", "production"))


def test_a_run_that_is_undeleted_while_it_is_being_sealed_stays():
    world = World()
    backend = Before(world.inner, manifest_of("gone"), lambda: world.store.undelete(world.ref("gone")))
    applied = world.client(backend).gc(grace=GRACE).apply()
    assert [done.result for done in applied] == ["cleared", "kept", "aborted"]
    assert world.store.get(world.ref("gone")).verify().ok


def test_a_tombstone_that_is_younger_than_the_one_that_was_seen_is_not_sealed():
    world = World()

    def delete_anew():
        world.store.undelete(world.ref("gone"))
        world.delete("gone")

    backend = Before(world.inner, manifest_of("gone"), delete_anew)
    applied = world.client(backend).gc(grace=GRACE).apply()
    assert [done.result for done in applied] == ["cleared", "kept", "aborted"]
    assert world.state("gone") == "marked"
    world.check()


def test_two_sweeps_of_one_run_at_once_are_one():
    world = World()
    backend = Before(world.inner, manifest_of("gone"), lambda: world.store.gc(grace=GRACE).apply())
    assert world.client(backend).gc(grace=GRACE).apply().ok
    assert world.state("gone") == "sealed"
    world.finish()


def test_a_mark_that_another_has_sealed_before_it_was_read_back_is_ours():
    world = World()

    class Lost(Before):
        def write(self, key, data, *, when):
            version = super().write(key, data, when=when)
            if key.endswith(manifest_of("old")):
                raise errors.Unreachable("the reply got lost")
            return version

    backend = Lost(world.inner, manifest_of("old"), lambda: world.store.gc(grace=timedelta(0)).apply(), after=True)
    assert world.client(backend).delete(world.ref("old")).apply().ok
    assert world.state("old") == "sealed"


@pytest.mark.parametrize(("theirs", "kind"), [("delete", errors.RunDeleted), ("both", errors.Conflict)])
def test_a_deletion_that_somebody_else_did_first_is_said_to_be_theirs(theirs, kind):
    world = World()

    def act():
        world.delete("old")
        if theirs == "both":
            world.store.undelete(world.ref("old"))

    with pytest.raises(kind) as caught:
        world.client(Before(world.inner, manifest_of("old"), act)).delete(world.ref("old")).apply()
    assert isinstance(caught.value, errors.RunDeleted) is (theirs == "delete")
    world.check()


@pytest.mark.parametrize("theirs", ["undelete", "seal", "delete anew"])
def test_an_undelete_that_loses_a_race_says_what_is_there(theirs):
    world = World()

    def act():
        if theirs == "seal":
            world.store.gc(grace=GRACE).apply()
        else:
            world.store.undelete(world.ref("gone"))
            if theirs == "delete anew":
                world.delete("gone")

    store = world.client(Before(world.inner, manifest_of("gone"), act))
    if theirs == "undelete":
        assert store.undelete(world.ref("gone")).load() == {"n": "gone"}
    else:
        with pytest.raises(errors.RunDeleted):
            store.undelete(world.ref("gone"))
    world.check()


def test_a_save_that_commits_while_it_is_being_cleared_is_kept():
    world = World()
    backend = Before(
        world.inner, f"{CRASHED}/manifest.json", lambda: world.store.save({"n": "crash"}, KEY, run_id=CRASHED)
    )
    applied = world.client(backend).gc(grace=GRACE).apply()
    assert [done.result for done in applied] == ["kept", "swept", "aborted"]
    assert world.store.load(KEY) == {"n": "crash"}
    assert world.store.verify().ok


def test_a_save_that_comes_too_late_is_told_and_nothing_of_it_is_visible():
    world = World()
    backend = Before(world.inner, f"{CRASHED}/manifest.json", lambda: world.store.gc(grace=timedelta(0)).apply())
    with pytest.raises(errors.RunDeleted):
        world.client(backend).save({"n": "crash"}, KEY, run_id=CRASHED)
    assert CRASHED not in [run.run_id for run in world.store.runs(KEY)]
    world.check()
    world.finish()


def test_an_alias_that_becomes_unreadable_after_the_mark_brings_the_run_back():
    from artifact_store.storage.base import Always

    world = World()
    pointer = keys.pointer(world.store.get(KEY).key, "production")
    backend = Before(
        world.inner, manifest_of("old"), lambda: world.inner.write(pointer, b"{", when=Always()), after=True
    )
    with pytest.raises(errors.Corrupt):
        world.client(backend).delete(world.ref("old")).apply()
    assert world.state("old") == "live"


def test_pointers_that_cannot_be_read_after_the_mark_leave_it_and_say_so():
    world = World()
    plan = Faults().on("read", key="*/latest.json", after=2).unavailable()
    store = ArtifactStore(FaultyBackend(world.inner, plan), clock=world.clock, timeout=0.1)
    with pytest.raises(errors.OutcomeUnknown, match="is marked as deleted") as caught:
        store.delete(world.ref("old")).apply()
    assert isinstance(caught.value.__cause__, errors.Unavailable)
    assert world.state("old") == "marked"
    world.check()


def test_a_promotion_that_is_taken_back_to_a_run_that_goes_away_as_well_ends_in_a_retired_alias():
    world = World()
    store = world.store
    store.promote(world.ref("mid"), "production")

    def delete_both():
        world.delete("mid")  # the alias has just left it

    class Chain(Before):
        pointers = 0

        def write(self, key, data, *, when):
            version = FaultyBackend.write(self, key, data, when=when)
            if key.endswith("production.json"):
                self.pointers += 1
                if self.pointers == 1:  # ours is there: the run that it names was marked before it
                    bury(world, "old")
                if self.pointers == 2:  # what was there before is published again, and was deleted in between
                    bury(world, "mid")
            return version

    with pytest.raises(errors.RunDeleted):
        world.client(Chain(world.inner, "", delete_both)).promote(world.ref("old"), "production")
    assert [entry.run_id for entry in store.history(f"{KEY}@production")] == [IDS["mid"], IDS["old"], IDS["mid"], None]
    invariants.check(store, KEY, ("latest", "production"))


def bury(world, name):
    """Mark a run as a deleter does that read the pointers before."""
    from artifact_store.storage.base import Always

    run = world.store.get(world.ref(name))
    stone = Tombstone.mark(run.manifest, world.store._context.publish_info())
    world.inner.write(keys.manifest(run.key, run.run_id), stone.to_bytes(), when=Always())
