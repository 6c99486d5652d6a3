"""A store against a plain-Python model: two clients save, publish, delete, bring back and clear in any order, as time goes."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.names import ModelKey
from artifact_store.storage.memory import MemoryBackend
from tests.slices import examples

KEYS = ("gru/BTCEUR", "gru/ETHEUR", "gbm")
ALIASES = ("latest", "production")
NOTHING = "nothing"


TREES = "leaf_value=0.25 " * 1500
"""So long that a client that compresses does so."""


class Model:
    """What a store should hold: committed values, when they were deleted, and per alias everything that it named."""

    def __init__(self):
        self.values = {}
        self.marked = {}
        self.sealed = set()
        self.crashed = {}
        self.past = {}
        self.wishes = {}
        self.now = datetime(2024, 2, 1, tzinfo=UTC)

    @property
    def visible(self):
        return {run for run in self.values if run not in self.marked and run not in self.sealed}

    def named(self, key, alias):
        return self.past[key, alias][-1][0] if (key, alias) in self.past else NOTHING

    def aliases_of(self, run):
        return [alias for (key, alias), past in self.past.items() if (key, past[-1][0]) == run]

    def publish(self, key, alias, run_id):
        self.past.setdefault((key, alias), []).append((run_id, self.now))

    def rollbacks(self, key, alias):
        """The runs that served before the current one first served, the last one first."""
        past = [run_id for run_id, _ in self.past[key, alias]]
        current = past[-1]
        earlier = past[:-1] if current is None else past[: past.index(current)]
        return [run_id for run_id in reversed(earlier) if run_id not in {None, current}]

    def before(self, key, alias):
        """What a rollback serves: the first of them that still exists."""
        return next((run_id for run_id in self.rollbacks(key, alias) if (key, run_id) in self.visible), None)

    def safe(self, key, grace):
        """The runs of a model that no pruning may touch."""
        found = set()
        for (of, alias), past in self.past.items():
            if of != key:
                continue
            named = [run_id for run_id, _ in reversed(past) if run_id is not None]
            found |= set(list(dict.fromkeys(named))[:2]) | set(self.rollbacks(key, alias)[:1]) | {past[-1][0]}
            found |= {run_id for (run_id, _), (_, until) in itertools.pairwise(past) if self.now - until < grace}
        return found

    def publishing(self, run, grace):
        """Whether the save of the run may be about to publish it: it wished to, never did, and is young."""
        alias, policy, at = self.wishes[run]
        published = any(run_id == run[1] for run_id, _ in self.past.get((run[0], alias), ()))
        return policy != "never" and not published and self.now - at < min(grace, timedelta(hours=1))

    def prunable(self, key, keep_last, grace):
        newest_first = sorted((run_id for of, run_id in self.visible if of == key), reverse=True)
        going = set(newest_first[keep_last:]) - self.safe(key, grace)
        return {run_id for run_id in going if not self.publishing((key, run_id), grace)}


class StoreMachine(RuleBasedStateMachine):
    """Two clients of one store do what they like."""

    runs = Bundle("runs")

    def __init__(self):
        super().__init__()
        name = uuid.uuid4().hex
        self.model = Model()
        self.clients = tuple(
            ArtifactStore(MemoryBackend(name, clock=self.time), clock=self.time, compression=compression)
            for compression in (None, "zstd")
        )
        self.counter = 0

    def time(self):
        return self.model.now

    client = st.integers(0, 1)

    @rule(
        target=runs,
        client=client,
        key=st.sampled_from(KEYS),
        alias=st.sampled_from(ALIASES),
        policy=st.sampled_from(["always", "never", "if_newer", "expect=0"]),
        day=st.integers(1, 28),
    )
    def save(self, client, key, alias, policy, day):
        self.counter += 1
        run_id = f"202401{day:02d}_000000_n{self.counter}"
        value = {"n": self.counter, "trees": TREES}
        run = self.clients[client].save(value, key, alias=alias, publish=policy, run_id=run_id)
        assert any(entry.zstd for entry in run.manifest.files) is (client == 1)
        named = self.model.named(key, alias)
        wanted = {
            "always": True,
            "never": False,
            "if_newer": named in {NOTHING, None} or run_id > named,
            "expect=0": named == NOTHING,
        }[policy]
        assert bool(run.published) is wanted
        self.model.values[key, run_id] = value
        self.model.wishes[key, run_id] = (alias, policy, self.model.now)
        if wanted:
            self.model.publish(key, alias, run_id)
        return key, run_id

    @rule(client=client, run=runs, alias=st.sampled_from(ALIASES))
    def promote(self, client, run, alias):
        key, run_id = run
        try:
            self.clients[client].promote(f"{key}:{run_id}", alias)
        except errors.RunDeleted:
            assert run not in self.model.visible
        else:
            assert run in self.model.visible
            self.model.publish(key, alias, run_id)

    @rule(client=client, key=st.sampled_from(KEYS), alias=st.sampled_from(ALIASES))
    def rollback(self, client, key, alias):
        try:
            pointer = self.clients[client].rollback(f"{key}@{alias}")
        except errors.NotAStore:
            assert not self.model.values  # nothing was ever saved here
        except errors.AliasNotFound:
            assert (key, alias) not in self.model.past
        except errors.NothingToRollBackTo:
            assert self.model.before(key, alias) is None
        else:
            assert pointer.run_id == self.model.before(key, alias)
            self.model.publish(key, alias, pointer.run_id)

    @rule(client=client, key=st.sampled_from(KEYS), alias=st.sampled_from(ALIASES))
    def retire(self, client, key, alias):
        try:
            self.clients[client].retire(f"{key}@{alias}")
        except errors.NotAStore:
            assert not self.model.values  # nothing was ever saved here
        except errors.AliasNotFound:
            assert (key, alias) not in self.model.past
        else:
            self.model.publish(key, alias, None)

    @rule(client=client, run=runs)
    def save_the_same_id_again(self, client, run):
        key, run_id = run
        try:
            self.clients[client].save({"other": True}, key, run_id=run_id)
        except errors.RunExists:
            assert run in self.model.visible
        except errors.RunDeleted:
            assert run not in self.model.visible
        else:
            raise AssertionError(run)

    # ---- what is taken away

    grace = st.sampled_from([timedelta(0), timedelta(days=7)])

    @rule(days=st.sampled_from([1, 6, 8]))
    def time_passes(self, days):
        self.model.now += timedelta(days=days)

    @rule(client=client, run=runs)
    def delete(self, client, run):
        key, run_id = run
        try:
            self.clients[client].delete(f"{key}:{run_id}").apply()
        except errors.RunInUse as error:
            assert sorted(error.aliases) == sorted(self.model.aliases_of(run)) != []  # noqa: PT017 -- one of three ends
        except errors.RunDeleted:
            assert run not in self.model.visible
        else:
            assert run in self.model.visible
            assert self.model.aliases_of(run) == []
            self.model.marked[run] = self.model.now

    @rule(client=client, run=runs)
    def undelete(self, client, run):
        key, run_id = run
        try:
            back = self.clients[client].undelete(f"{key}:{run_id}")
        except errors.RunDeleted:
            assert run in self.model.sealed
        else:
            assert run not in self.model.sealed
            assert back.load() == self.model.values[run]
            self.model.marked.pop(run, None)

    @rule(client=client, key=st.sampled_from(KEYS), keep_last=st.integers(0, 2), grace=grace)
    def prune(self, client, key, keep_last, grace):
        expected = self.model.prunable(key, keep_last, grace)
        try:
            plan = self.clients[client].prune(key, keep_last=keep_last, grace=grace)
        except errors.ModelNotFound:
            assert key not in {of for of, _ in (*self.model.values, *self.model.crashed)}
            return
        assert {step.run_id for step in plan.changes} == expected
        assert not plan.problems
        assert plan.apply().ok
        self.model.marked |= {(key, run_id): self.model.now for run_id in expected}

    @rule(client=client, grace=grace)
    def gc(self, client, grace):
        old = {run for run, since in self.model.marked.items() if self.model.now - since >= grace}
        left = {run for run, since in self.model.crashed.items() if self.model.now - since >= grace}
        plan = self.clients[client].gc(grace=grace)
        planned = {step.target for step in plan.changes if step.action == "sweep"}
        assert {f"{key}:{run_id}" for key, run_id in old} <= planned
        assert planned <= {f"{key}:{run_id}" for key, run_id in old | self.model.sealed}
        cleared = {f"{key}:{run_id}" for key, run_id in left}
        assert {
            step.target for step in plan.changes if step.action == "clear" and "never committed" in step.reason
        } == cleared
        assert plan.apply().ok
        for run in old:
            self.model.sealed.add(run)
            del self.model.marked[run]
        for run in left:
            del self.model.crashed[run]

    @rule(client=client, key=st.sampled_from(KEYS))
    def a_save_dies(self, client, key):
        self.counter += 1
        run_id = f"20240131_000000_c{self.counter}"
        if not any(of == key for of, _ in self.model.values):
            return  # or else there would be a model of which the plain one knows nothing
        run = self.clients[client].save({"n": -1}, key, run_id=run_id, publish="never")
        self.clients[client]._context.backend.delete(keys.manifest(run.key, run.run_id))
        self.model.crashed[key, run_id] = self.model.now

    @rule(client=client, key=st.sampled_from(KEYS))
    def find(self, client, key):
        latest = self.model.named(key, "latest")
        if latest in {NOTHING, None}:
            return
        assert self.clients[client].find(key).run_id == latest

    @rule(client=client, key=st.sampled_from(KEYS), alias=st.sampled_from(ALIASES))
    def load(self, client, key, alias):
        named = self.model.named(key, alias)
        try:
            value = self.clients[client].load(f"{key}@{alias}")
        except errors.AliasNotFound:
            assert named == NOTHING
        except errors.AliasRetired:
            assert named is None
        else:
            assert value == self.model.values[key, named]

    @precondition(lambda self: self.model.values)
    @invariant()
    def every_run_is_listed_once(self):
        store = self.clients[0]
        listed = sorted((str(run.key), str(run.run_id)) for run in store.runs())
        assert listed == sorted(self.model.visible)
        assert {str(key) for key in store.models()} == {key for key, _ in self.model.values}

    @invariant()
    def every_history_is_complete(self):
        for (key, alias), past in self.model.past.items():
            entries = self.clients[1].history(f"{key}@{alias}")
            assert [entry.run_id for entry in entries] == [run_id for run_id, _ in past]
            assert [entry.seq for entry in entries] == list(range(1, len(past) + 1))

    def doctor_finds_what_is_left_and_nothing_else(self):
        """Of all that was done nothing is wrong but the saves that died; what waits for gc is a note."""
        grace, now = timedelta(days=7), self.model.now
        left = {(key, run): now - since >= grace for (key, run), since in self.model.crashed.items()}
        expected = {("torn-run" if old else "save-in-progress", f"{key}:{run}") for (key, run), old in left.items()}
        due = (run for run, since in self.model.marked.items() if now - since >= grace)
        expected |= {("sweep-due", f"{key}:{run}") for key, run in due}
        report = self.clients[1].doctor(deep=True, grace=grace)
        beaten = {"orphan-attempt", "sweep-unfinished"}  # what a save leaves whose id was used, or deleted
        assert {(found.code, found.target) for found in report if found.code not in beaten} == expected, str(report)
        assert report.repair().apply().ok
        assert set(self.clients[0].doctor().codes) <= {"save-in-progress", "sweep-due", "orphan-attempt"}

    def teardown(self):
        try:
            report = self.clients[0].verify()
        except errors.NotAStore:
            assert not self.model.values
        else:
            assert report.ok, report.problems
        assert all(ModelKey.parse(key) for key, _ in self.model.values)
        if self.model.values:
            self.doctor_finds_what_is_left_and_nothing_else()
        for client in self.clients:
            client.close()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=examples(10, 400), stateful_step_count=30, suppress_health_check=list(HealthCheck)
)
