"""The catalog index against the manifests: saves, deletions and compactions in any order, and notices that get lost."""

import dataclasses
import math
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.ops import index, index_parquet
from artifact_store.storage.memory import MemoryBackend
from tests.proofs.stateful.stepping import Inline
from tests.slices import examples

KEYS = ("gru/BTCEUR", "gru-2/BTCEUR", "gru")  # in an order that no plain comparison of their parts gives
METRICS = st.dictionaries(st.sampled_from(["sharpe", "loss"]), st.sampled_from([0, 1, -2.5, math.nan, math.inf]))
QUESTIONS = (
    {},
    {"where": "sharpe >= 0"},
    {"order_by": "-sharpe", "limit": 3},
    {"order_by": "loss", "per_model": 1},
    {"order_by": "-created_at", "per_model": 2, "where": "loss != 1"},
    {"per_model": 1},
)


class IndexMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.now = datetime(2024, 2, 1, tzinfo=UTC)
        self.backend = MemoryBackend(clock=lambda: self.now)
        store = ArtifactStore(self.backend, clock=lambda: self.now, provenance=False)
        store._context = dataclasses.replace(store._context, workers=Inline())
        self.store = store
        self.gone = []
        self.unknown = set()  # runs of which the index was not told

    # ------------------------------------------------------------ what is done

    @rule(key=st.sampled_from(KEYS), metrics=METRICS, told=st.booleans())
    def save(self, key, metrics, told):
        self.now += timedelta(seconds=1)
        before = self.notices()
        run = self.store.save({}, key, metrics=metrics, tags={"told": told}, publish="never")
        if not told:
            for name in self.notices() - before:
                self.backend.delete(name)
            self.unknown.add(str(run.ref))

    @rule(data=st.data())
    def delete(self, data):
        runs = list(self.store.runs(index="off"))
        if runs:
            run = data.draw(st.sampled_from(runs), label="run")
            self.store.delete(run).apply()
            self.gone.append(run)
            self.unknown.discard(str(run.ref))  # a deletion always tells

    @rule(data=st.data())
    def undelete(self, data):
        if self.gone:
            run = data.draw(st.sampled_from(self.gone), label="run")
            self.gone.remove(run)
            try:
                self.store.undelete(run)
            except errors.RunDeleted:  # swept
                return

    @rule(data=st.data())
    def announce_only(self, data):
        """A client that dies behind its notice."""
        runs = list(self.store.runs(index="off"))
        if runs:
            run = data.draw(st.sampled_from(runs), label="run")
            index.announce(self.store._context, "gone", run.key, run.run_id, self.store._context.new_write_id()[:8])
            self.unknown.discard(str(run.ref))

    @rule(installed=st.booleans())
    def compact(self, installed):
        first = self.store.exists() and self.store.index.status().generation is None
        self.write(self.store.index.compact, installed=installed)
        if first:
            self.unknown.clear()

    @rule(installed=st.booleans())
    def rebuild(self, installed):
        self.write(self.store.index.rebuild, installed=installed)
        self.unknown.clear()

    def write(self, work, *, installed):
        whole, index_parquet.can_copy = index_parquet.can_copy, lambda: installed
        try:
            work()
        except errors.NotAStore:
            assert not self.store.exists()
        finally:
            index_parquet.can_copy = whole

    @rule()
    def gc(self):
        self.store.gc().apply()

    @rule(hours=st.sampled_from([1, 12, 24 * 8]))
    def time_goes_on(self, hours):
        self.now += timedelta(hours=hours)

    # ------------------------------------------------------------ what holds

    @invariant()
    def listings_are_the_same_with_the_index_and_without(self):
        there = self.store.exists() and self.store.index.status().generation is not None
        for question in QUESTIONS:
            for key in (None, *KEYS):
                truth = described(self.store.runs(key, index="off", **question))
                assert described(self.store.runs(key, **question)) == truth, question
                if there and not self.unknown:
                    assert described(self.store.runs(key, index="only", **question)) == truth, question
        if there:
            listed = {ref for ref, *_ in described(self.store.runs(index="only"))}
            truth = {ref for ref, *_ in described(self.store.runs(index="off"))}
            assert listed | (self.unknown & truth) == truth  # never one that is not there

    @invariant()
    def nothing_grows_for_ever(self):
        assert len(self.notices()) < 100
        assert self.store.doctor(probes=False).ok or not self.store.exists()

    def notices(self):
        return {entry.key for entry in self.backend.list(keys.INDEX) if "/blocks/" not in entry.key}


def described(runs):
    return [
        (str(run.ref), run.created_at, repr({n: float(v) for n, v in run.metrics.items()}), run.tags) for run in runs
    ]


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(
    max_examples=examples(5, 300), stateful_step_count=20, suppress_health_check=list(HealthCheck)
)
