"""A store against a plain-Python model: any order of saves, promotions, rollbacks and retirements by two clients."""

import uuid

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from artifact_store import ArtifactStore, errors
from artifact_store.core.keys import ModelKey

KEYS = ("gru/BTCEUR", "gru/ETHEUR", "gbm")
ALIASES = ("latest", "production")
NOTHING = "nothing"


class Model:
    """What a store should hold: committed values, and per alias everything that it ever named."""

    def __init__(self):
        self.values = {}
        self.past = {}

    def named(self, key, alias):
        return self.past[key, alias][-1] if (key, alias) in self.past else NOTHING

    def publish(self, key, alias, run_id):
        self.past.setdefault((key, alias), []).append(run_id)

    def before(self, key, alias):
        """The run that served before the current one first served."""
        past = self.past[key, alias]
        current = past[-1]
        earlier = past[:-1] if current is None else past[: past.index(current)]
        return next((run_id for run_id in reversed(earlier) if run_id not in {None, current}), None)


class StoreMachine(RuleBasedStateMachine):
    """Two clients of one store do what they like."""

    runs = Bundle("runs")

    def __init__(self):
        super().__init__()
        url = f"memory://{uuid.uuid4().hex}"
        self.clients = (ArtifactStore(url), ArtifactStore(url))
        self.model = Model()
        self.counter = 0

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
        run = self.clients[client].save({"n": self.counter}, key, alias=alias, publish=policy, run_id=run_id)
        named = self.model.named(key, alias)
        wanted = {
            "always": True,
            "never": False,
            "if_newer": named in {NOTHING, None} or run_id > named,
            "expect=0": named == NOTHING,
        }[policy]
        assert bool(run.published) is wanted
        self.model.values[key, run_id] = {"n": self.counter}
        if wanted:
            self.model.publish(key, alias, run_id)
        return key, run_id

    @rule(client=client, run=runs, alias=st.sampled_from(ALIASES))
    def promote(self, client, run, alias):
        key, run_id = run
        self.clients[client].promote(f"{key}:{run_id}", alias)
        self.model.publish(key, alias, run_id)

    @rule(client=client, key=st.sampled_from(KEYS), alias=st.sampled_from(ALIASES))
    def rollback(self, client, key, alias):
        try:
            pointer = self.clients[client].rollback(f"{key}@{alias}")
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
            pass
        else:
            raise AssertionError(run)

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
        assert listed == sorted(self.model.values)
        assert {str(key) for key in store.models()} == {key for key, _ in self.model.values}

    @invariant()
    def every_history_is_complete(self):
        for (key, alias), past in self.model.past.items():
            entries = self.clients[1].history(f"{key}@{alias}")
            assert [entry.run_id for entry in entries] == past
            assert [entry.seq for entry in entries] == list(range(1, len(past) + 1))

    def teardown(self):
        report = self.clients[0].verify()
        assert report.ok, report.problems
        assert all(ModelKey.parse(key) for key, _ in self.model.values)
        for client in self.clients:
            client.close()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
