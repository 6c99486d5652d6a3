"""Doctor over a storage that fails, at every operation: it never raises, and a repair is done, not done, or unknown."""

import dataclasses
import itertools
import json
import random
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import PublishInfo, advance
from artifact_store.core.statement import decode64
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import OutcomeUnknown
from artifact_store.storage.base import Always, Unfinished
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.retry import RetryPolicy
from artifact_store.testing import Faults, FaultyBackend
from tests import invariants
from tests.doctor_page import CODES
from tests.integration.faults import worlds
from tests.integration.faults.test_retention_faults import Before
from tests.integration.faults.worlds import GRACE, KEY, Clock, crash_after_crash
from tests.unit.samples import resealed

OTHER = "gbm"
MODEL = ModelKey.parse(KEY)
POINTER = keys.pointer(MODEL, "latest")
RUNS = ("spoilt", "shown", "named", "swept", "newest")


class World(worlds.World):
    """A store in which everything is broken that doctor repairs, long ago."""

    def __init__(self):
        self.ids = {name: f"2024010{day}_000000_{name}" for day, name in enumerate(RUNS, start=1)}
        begun = datetime(2024, 2, 1, tzinfo=UTC)
        super().__init__(Unfinished(f"{KEY}/20240109_000000/model.bin", "id-1", 5, begun))

    def place(self, name):
        return keys.manifest(MODEL, RunId(self.ids[name]))

    def put(self, key, data):
        self.inner.write(key, data, when=Always())

    def get(self, key):
        return self.inner.read(key, limit=1 << 24).data

    def fill(self):
        for name, run_id in self.ids.items():
            run = self.store.save({"n": name}, KEY, run_id=run_id, publish="always" if name == "newest" else "never")
            if name in {"shown", "named"}:
                self.store.promote(run, name)
        self.store.save({"n": 1}, OTHER)
        torn = self.store.save({"n": "torn"}, KEY, run_id="20231231_000000_torn", publish="never")
        self.inner.delete(keys.manifest(torn.key, torn.run_id))
        swept = self.store.get(f"{KEY}:{self.ids['swept']}").manifest
        note = PublishInfo("1" * 32, self.clock(), "me", "test")
        self.put(self.place("swept"), Tombstone.mark(swept, note).sealed(note).to_bytes())
        named = self.store.get(f"{KEY}:{self.ids['named']}").manifest
        self.put(self.place("named"), Tombstone.mark(named, note).to_bytes())
        self.put(self.place("shown"), b"{")
        self.put(POINTER, self.get(POINTER)[:-30])

    def spoil(self):
        """Damage a run that no alias names, once it is known what all of them name."""
        self.put(self.place("spoilt"), b"spoilt")

    def check(self):
        """What holds whatever happened: nothing sound is lost, no history is shorter, and no alias dangles for good."""
        store = self.store
        assert store.load(f"{KEY}:{self.ids['newest']}") == {"n": "newest"}
        assert store.load(OTHER) == {"n": 1}
        for name in ("shown", "named", "newest"):
            assert f"{KEY}/{self.ids[name]}/model.json" in self.inner._space.objects
        spoilt = self.get(self.place("spoilt"))
        assert spoilt == b"spoilt" or decode64(Tombstone.from_bytes(spoilt, what="it").quarantine.data) == b"spoilt"

    def finish(self):
        """After everything: what is left is repaired, and nothing is wrong any more."""
        applied = repair(self.store, quarantine=False)
        assert applied.ok, [str(problem) for problem in applied.problems]
        assert repair(self.store).ok
        self.clock.now += GRACE
        assert self.store.gc(grace=GRACE).apply().ok
        report = self.store.doctor(deep=True)
        assert report.findings == (), str(report)
        invariants.check(self.store, KEY, ("latest", "shown", "named"))
        for alias, name in {"latest": "newest", "shown": "shown", "named": "named"}.items():
            assert self.store.load(f"{KEY}@{alias}") == {"n": name}
        assert self.store.history(KEY)[-1].seq >= 2
        assert self.inner.open == []


NEWEST = f"{KEY}:20240105_000000_newest"


def repair(store, *, quarantine=True):
    """Repair all of it; a person says what ``latest`` named, as long as its pointer is damaged."""
    report = store.doctor()
    asked = any(found.code == "pointer-corrupt" and found.target == f"{KEY}@latest" for found in report)
    return report.repair(quarantine=quarantine, to=NEWEST if asked else ()).apply()


def test_all_of_it_is_found_and_repaired_at_once():
    world = World()
    world.spoil()
    report = world.store.doctor()
    assert sorted(report.codes) == sorted(
        [
            "manifest-corrupt", "manifest-corrupt", "pointer-corrupt", "pointer-names-deleted", "torn-run",
            "sweep-unfinished", "orphan-upload",
        ]
    )  # fmt: skip
    results = {done.step.target: done.result for done in repair(world.store)}
    assert results == {
        f"{KEY}:{world.ids['shown']}": "restored",
        f"{KEY}@named": "restored",
        f"{KEY}@latest": "rebuilt",
        f"{KEY}:{world.ids['swept']}": "swept",
        f"{KEY}:20231231_000000_torn": "cleared",
        f"{KEY}/20240109_000000/model.bin": "aborted",
    }
    assert world.store.doctor().codes == ("manifest-corrupt",)
    assert [done.result for done in repair(world.store)] == ["quarantined"]
    world.finish()


FAULTS = {
    "lost reply": lambda on: on.lose_reply(),
    "lost request": lambda on: on.lose_request(),
    "echo": lambda on: on.echo(),
    "409 that landed": lambda on: on.contend(landed=True),
    "503": lambda on: on.unavailable(),
    "delayed": lambda on: on.delay(operations=3),
    "delayed for long": lambda on: on.delay(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_at_any_operation_changes_nothing_of_the_outcome(fault, request):
    step = 1 if request.config.getoption("--nightly") else 13
    echo = {"ops": ("write",), "key": f"{KEY}/*"} if fault == "echo" else {"ops": (), "key": "*"}
    for number in range(0, 2000, step):
        world = World()
        world.spoil()
        plan = FAULTS[fault](Faults().on(*echo["ops"], key=echo["key"], after=number, times=1))
        backend = FaultyBackend(world.inner, plan, sleep=lambda _: None)
        store = world.client(backend)
        for _ in range(2):
            applied = repair(store)
            assert all(isinstance(problem.error, OutcomeUnknown | errors.Corrupt) for problem in applied.problems)
        backend.deliver()  # what was on its way comes now, too late
        if not any(operation.fault for operation in backend.log):
            break
        world.check()
        world.finish()
    else:
        pytest.fail("the repair never came to its end")
    assert number > 3


def repair_twice(store):
    repair(store)
    repair(store)


def spoilt():
    world = World()
    world.spoil()
    return world


def repairable(worlds_after_a_crash):
    """Check that each world is sound and can be repaired, and return how many there were."""
    number = 0
    for number, world in enumerate(worlds_after_a_crash, start=1):  # noqa: B007 -- the last one is asked for
        world.check()
        world.finish()
    return number


@pytest.mark.parametrize("landed", [False, True], ids=["before", "landed"])
def test_a_crash_at_any_operation_leaves_a_store_that_can_be_repaired(landed, request):
    step = 1 if request.config.getoption("--nightly") else 11
    plans = (Faults().crash_at(number, landed=landed) for number in range(1, 2000, step))
    assert repairable(crash_after_crash(spoilt, plans, repair_twice)) > 50 // step


@pytest.mark.parametrize("landed", [False, True], ids=["before", "landed"])
def test_a_crash_at_any_write_leaves_a_store_that_can_be_repaired(landed, request):
    step = 1 if request.config.getoption("--nightly") else 3
    changing = ("write", "delete", "discard")
    plans = (Faults().on(*changing, after=number, times=1).crash(landed=landed) for number in range(0, 200, step))
    assert repairable(crash_after_crash(spoilt, plans, repair_twice)) > 15 // step


# ---------------------------------------------------------------- others at work


def test_a_pointer_that_somebody_restores_meanwhile_is_left_alone():
    world = World()
    good = good_pointer(world)
    backend = Before(world.inner, "latest.json", lambda: world.put(POINTER, good))
    results = {done.step.target: done for done in repair(world.client(backend))}
    assert results[f"{KEY}@latest"].result == "kept"
    assert world.get(POINTER) == good
    assert world.store.doctor().of("error") == ()


def good_pointer(world):
    """What was stored before it was damaged: the first publish of the newest run."""
    run = world.store.get(f"{KEY}:{world.ids['newest']}").manifest
    return advance(None, MODEL, "latest", run, PublishInfo("2" * 32, world.clock(), "me")).pointer.to_bytes()


def test_of_two_that_repair_at_once_one_wins_and_the_history_is_whole():
    world = World()
    other = world.client(world.inner)
    backend = Before(world.inner, "latest.json", lambda: repair(other))
    results = {done.step.target: done.result for done in repair(world.client(backend))}
    assert results[f"{KEY}@latest"] == "kept"
    assert [entry.reason[:7] for entry in world.store.history(KEY)].count("rebuilt") == 2
    world.spoil()
    world.finish()


def test_a_publish_right_after_the_repair_is_kept():
    world = World()

    def publish():
        world.store.save({"n": "newest"}, KEY, run_id="20240110_000000_more")

    backend = Before(world.inner, "latest.json", publish, after=True)
    faulty = FaultyBackend(backend, Faults().on("write", key="*/latest.json", times=1).lose_reply())
    results = {done.step.target: done.result for done in repair(world.client(faulty))}
    assert results[f"{KEY}@latest"] == "rebuilt"
    assert world.store.history(KEY)[-1].run_id == "20240110_000000_more"
    world.spoil()
    world.finish()


def test_a_run_that_is_deleted_while_its_alias_is_rebuilt_is_not_named():
    world = World()
    run = world.store.get(f"{KEY}:{world.ids['newest']}")
    stone = Tombstone.mark(run.manifest, PublishInfo("3" * 32, world.clock(), "me"))

    def delete():
        world.put(world.place("newest"), stone.to_bytes())

    backend = Before(world.inner, "latest.json", delete)
    results = {done.step.target: done for done in repair(world.client(backend))}
    assert results[f"{KEY}@latest"].result == "rebuilt"
    assert "deleted at this moment" in results[f"{KEY}@latest"].detail
    assert world.store.aliases(KEY)["latest"].run_id is None
    assert world.store.doctor().of("error") == ()


def test_a_run_that_an_alias_names_at_the_last_moment_is_not_left_in_quarantine():
    world = World()
    repair(world.store)
    world.spoil()
    pointer = world.store.aliases(KEY)["named"]

    def name_it():
        newest = world.store.get(f"{KEY}:{world.ids['newest']}").manifest
        run = newest.model_copy(update={"run_id": world.ids["spoilt"]})
        step = advance(pointer, MODEL, "named", run, PublishInfo("4" * 32, world.clock(), "me"))
        world.put(keys.pointer(MODEL, "named"), step.pointer.to_bytes())

    backend = Before(world.inner, f"{world.ids['spoilt']}/manifest.json", name_it)
    (done,) = repair(world.client(backend))
    assert (done.result, "named names it now" in done.detail) == ("kept", True)
    assert world.get(world.place("spoilt")) == b"spoilt"


# ---------------------------------------------------------------- what cannot be read


def denied(op, key):
    return errors.AccessDenied(f"{op} {key}: no right")


def sound(**options):
    """A sound store of two models, and a client for a storage that fails."""
    inner = MemoryBackend()
    store = ArtifactStore(inner, **options)
    runs = [store.save({"n": 1}, KEY), store.save({"n": 2}, OTHER)]

    def client(plan):
        faulty = ArtifactStore(FaultyBackend(inner, plan, sleep=lambda _: None), timeout=0.2)
        faulty._context = dataclasses.replace(faulty._context, retry=RetryPolicy(seconds=0.2, sleep=lambda _: None))
        return faulty

    return runs, client


def elsewhere(op, key):
    return errors.InvalidOption(f"{op} {key}: the bucket is in another region")


def encrypted(op, key):
    return errors.Unsupported(f"{op} {key}: the server refuses such a request")


@pytest.mark.parametrize("refusal", [denied, elsewhere, encrypted])
@pytest.mark.parametrize(("name", "where"), [("latest.json", "@latest"), ("*/manifest.json", ":")])
def test_what_may_not_be_read_is_no_damage_and_hides_nothing(name, where, refusal):
    _, client = sound()
    report = client(Faults().on("read", key=f"{KEY}/{name}").fail(refusal)).doctor()
    assert report.codes == ("cannot-read",)
    assert report.findings[0].target.startswith(f"{KEY}{where}")
    assert not report.ok
    assert report.repair(quarantine=True).changes == ()
    assert report.counts.models == 2


@pytest.mark.parametrize("refusal", [denied, elsewhere, encrypted])
def test_a_store_of_which_nothing_may_be_read_is_not_touched(refusal):
    _, client = sound()
    report = client(Faults().on("read").fail(refusal)).doctor()
    assert set(report.codes) == {"cannot-read"}
    assert report.repair(quarantine=True).changes == ()


def test_a_folder_that_cannot_be_listed_hides_only_itself():
    _, client = sound()
    plan = Faults().on("list", key="").fail(denied).on("list", "children", key=f"{KEY}/*").fail(denied)
    plan = plan.on("list", key="gru/").fail(denied)
    report = client(plan).doctor()
    assert {found.code for found in report} == {"cannot-list"}
    assert [found.target for found in report] == [f"{KEY}/"]
    assert (report.counts.models, report.counts.runs) == (1, 1)


def test_a_storage_that_may_not_be_written_is_a_note():
    _, client = sound()
    report = client(Faults().on("write").fail(denied)).doctor()
    assert [(found.code, found.severity) for found in report] == [("cannot-write", "note")]
    assert {fact.name: fact.state for fact in report.facts}["conditions"] == "unknown"


def test_a_dead_storage_is_one_finding_after_a_bounded_time():
    _, client = sound()
    report = client(Faults().on().unavailable()).doctor()
    assert report.codes == ("unreachable",)
    assert not report.ok
    report = client(Faults().on("read", after=2).unavailable()).doctor(probes=False)
    assert "unreachable" in report.codes
    assert set(report.codes) == {"unreachable"}


def test_a_file_that_does_not_arrive_is_not_called_damaged():
    (run, _), client = sound()
    report = client(Faults().on("stream", key=f"{KEY}/*").unavailable()).doctor(deep=True)
    assert set(report.codes) == {"unreachable"}
    assert all(found.target.startswith(str(run.ref)) for found in report)


@pytest.mark.parametrize("how", ["flip", "cut"])
def test_bytes_that_change_on_their_way_are_told_and_nothing_raises(how):
    _, client = sound()
    for number in range(12):
        plan = getattr(Faults(seed=number).on("read", "stream", after=number, times=1), how)()
        report = client(plan).doctor(deep=True)
        assert all(
            found.code in {"manifest-corrupt", "pointer-corrupt", "marker-corrupt", "file-hash"} for found in report
        )


class Deaf(MemoryBackend):
    """A server that takes conditions and ignores them."""

    def write(self, key, data, *, when):
        return super().write(key, data, when=Always())


def test_conditions_that_do_not_hold_any_more_are_an_error():
    name = f"deaf-{datetime.now(UTC).timestamp()}"
    store = ArtifactStore(MemoryBackend(name))
    store.save({"n": 1}, KEY)
    report = ArtifactStore(Deaf(name)).doctor()
    assert [(found.code, found.severity) for found in report] == [("conditions", "error")]
    (fact,) = [fact for fact in report.facts if fact.name == "conditions"]
    assert (fact.state, "recorded was" in fact.message) == ("error", True)
    assert store.doctor().findings == ()


def test_a_marker_that_denies_what_holds_is_told():
    name = f"denied-{datetime.now(UTC).timestamp()}"
    store = ArtifactStore(MemoryBackend(name))
    store.save({"n": 1}, KEY)
    inner = MemoryBackend(name)
    value = json.loads(inner.read("_store.json", limit=1 << 16).data)
    value["probed"]["memory"]["create_only"] = False
    inner.write("_store.json", resealed(value), when=Always())
    report = ArtifactStore(MemoryBackend(name)).doctor()
    assert [(found.code, found.severity) for found in report] == [("conditions", "warning")]
    assert "every safe writer is refused" in report.findings[0].message
    with pytest.raises(errors.ConditionsUnsupported):
        ArtifactStore(MemoryBackend(name)).save({"n": 2}, KEY)


class Mute(MemoryBackend):
    """A storage that does not tell of uploads in parts, nor of anything around its objects."""

    def unfinished(self):
        raise errors.AccessDenied("no right to list uploads")

    def traits(self, *, probes):
        raise errors.AccessDenied("no right to ask")


def test_what_cannot_be_asked_is_unknown_and_never_fine():
    store = ArtifactStore(Mute())
    store.save({"n": 1}, KEY)
    report = store.doctor()
    assert [(found.code, found.severity) for found in report] == [("uploads", "unknown")]
    states = {fact.name: fact.state for fact in report.facts}
    assert (states["uploads"], states["place"]) == ("unknown", "unknown")
    assert report.ok


def test_a_store_of_a_single_writer_whose_storage_could_do_more_is_a_note():
    name = f"single-{datetime.now(UTC).timestamp()}"
    single = ArtifactStore(MemoryBackend(name), concurrency="single-writer")
    single.save({"n": 1}, KEY)
    report = single.doctor()
    assert [(found.code, found.severity) for found in report] == [("conditions", "note")]
    deaf = ArtifactStore(Deaf(name), concurrency="single-writer").doctor()
    assert deaf.findings == ()


# ---------------------------------------------------------------- whatever is damaged


class Ruins:
    """A sound store, in which anything may be damaged by chance."""

    made: ClassVar = {}

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.clock = Clock()
        self.inner = MemoryBackend(clock=self.clock)
        self.store = ArtifactStore(self.inner, clock=self.clock)
        if not self.made:
            self.fill()
            self.made.update(self.inner._space.objects)
        self.inner._space.objects.update(self.made)
        self.clock.now += GRACE
        self.touched = set()

    def fill(self):
        for key in (KEY, OTHER):
            runs = [self.store.save({"n": n}, key) for n in range(3)]
            for _ in range(35):
                self.store.promote(runs[1], "production")
        self.store.delete(runs[0]).apply()

    def damage(self):
        known = sorted(self.made)
        for _ in range(self.random.randint(1, 4)):
            key, other = self.random.sample(known, 2)
            data = self.made[key].data
            self.touched.add(key)
            match self.random.randrange(7):
                case 0:
                    self.inner.delete(key)
                case 1:
                    self.put(key, data[: self.random.randrange(len(data))])
                case 2:
                    self.put(key, b"")
                case 3:
                    spoilt = bytearray(data)
                    spoilt[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
                    self.put(key, bytes(spoilt))
                case 4:
                    self.put(key, self.made[other].data)
                case 5:
                    self.put(f"{key}.{self.random.choice(['x', '0a1b2c3d', 'json', 'history/0000000032.json'])}", data)
                case _:
                    self.put(key, bytes(self.random.randrange(256) for _ in range(300)))

    def put(self, key, data):
        self.inner.write(key, data, when=Always())


@pytest.mark.parametrize("batch", range(4))
def test_whatever_is_damaged_doctor_answers_and_no_repair_makes_it_worse(batch, request):
    several = 400 if request.config.getoption("--nightly") else 25
    for number in range(several):
        ruins = Ruins(seed=batch * 1000 + number)
        ruins.damage()
        before = dict(ruins.inner._space.objects)
        report = ruins.store.doctor(deep=True)
        assert ruins.inner._space.objects == before
        assert all(found.code in CODES and found.message for found in report), str(report)
        applied = report.repair(quarantine=True).apply()
        after = dict(ruins.inner._space.objects)
        for key, held in before.items():
            found = keys.run_of(key)
            if key in ruins.touched or key not in ruins.made or after.get(key) == held:
                continue
            # a pointer that can be read is never written, and a run only if the plan said so
            assert found is not None, f"{key}: {applied}"
            assert any(found[1] in one.step.target and one.result != "kept" for one in applied), key
        again = ruins.store.doctor(deep=True)
        assert len(again.of("error")) <= len(report.of("error")), f"{ruins.touched}\n{report}\n{applied}\n{again}"
        last = again.repair(quarantine=True).apply()
        assert ruins.store.doctor().repair(quarantine=True).changes == tuple(
            one.step for one in last if one.result == "kept"
        )


# ---------------------------------------------------------------- while others are at work


class Meddled:
    """Numbers the reads and listings of a store, and lets another client have its turns before some of them."""

    def __init__(self, store, turns):
        self.numbers, self.count = itertools.count(), 0
        backend = store._context.backend
        read, listed = backend.read, backend.list

        def turn():
            self.count = next(self.numbers)
            turns.get(self.count, lambda: None)()

        backend.read = lambda *args, **options: turn() or read(*args, **options)
        backend.list = lambda *args: turn() or listed(*args)


def test_no_turn_of_another_client_between_two_reads_looks_like_damage(tmp_path):
    def look(turns):
        name = f"memory://{tmp_path.name}-{'-'.join(map(str, turns))}"
        with ArtifactStore(name) as store, ArtifactStore(name) as other:
            store.save({"n": 1}, KEY)
            saved = []

            def save():
                saved.append(other.save({"n": len(saved)}, KEY))
                for run in saved[:-1]:
                    other.delete(run).apply()

            meddled = Meddled(store, dict.fromkeys(turns, save))
            report = store.doctor(probes=False)
            assert report.of("error") == (), f"{turns}: {report}"
            return meddled.count

    for first in range(look(()) + 1):
        for second in range(first + 1, look((first,)) + 1):
            look((first, second))


def one_turn(store, number, count):
    run = store.save({"n": count}, KEY)
    store.promote(run, f"alias{number}")
    store.prune(KEY, keep_last=3, grace=timedelta(0)).apply()
    if number == 0:
        store.gc(grace=timedelta(0)).apply()


def go_on(url, number, done, failures):
    """Do all that one does with a store until it is enough."""
    with ArtifactStore(url) as store:
        for count in itertools.count():
            try:
                one_turn(store, number, count)
            except (errors.Conflict, errors.RunDeleted):
                pass  # the others were faster, which is their right
            except BaseException as error:  # noqa: BLE001 -- told by the test
                failures.append(error)
                return
            if done.is_set():
                return


@pytest.mark.parametrize("place", ["memory", "local"])
def test_nobody_is_accused_while_others_save_publish_delete_and_sweep(place, tmp_path, request, monkeypatch):
    temporary = tmp_path / "temporary"  # of this test alone: others leave what the processes left that they killed
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    rounds = 60 if request.config.getoption("--nightly") else 8
    url = f"memory://{tmp_path.name}" if place == "memory" else tmp_path / "store"
    first = ArtifactStore(url)
    first.save({"n": 0}, KEY)
    done = threading.Event()
    failures = []

    threads = [threading.Thread(target=go_on, args=(url, number, done, failures)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(rounds):
            report = first.doctor(deep=number % 2 == 0)
            assert report.of("error") == (), str(report)
            assert set(report.codes) <= {"save-in-progress", "sweep-unfinished"}, str(report)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert first.doctor(deep=True).of("error") == ()
