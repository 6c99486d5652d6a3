"""What a dead storage costs: a bounded number of requests, and a time that ``timeout`` gives, however much is stored."""

from __future__ import annotations

from datetime import timedelta

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from artifact_store.storage.budget import DOCUMENTS_AT_ONCE
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend
from tests.proofs.matrix.memory import Clock, client
from tests.proofs.matrix.views import REGISTRY

KEY = "gru/BTCEUR"
RUNS = 160


@pytest.fixture(scope="module")
def full():
    """A memory with more runs than are ever asked for at once, one of them deleted with all of its files."""
    memory = MemoryBackend()
    store = ArtifactStore(memory, registry=REGISTRY)
    for number in range(RUNS):
        store.save({"n": number}, KEY, run_id=f"20240101_00{number // 60:02}{number % 60:02}", publish="never")
    with store.new_run(KEY, run_id="20240201_000000", publish="never") as draft:
        for number in range(RUNS):
            draft.add(f"part{number}", {"n": number})
    store.delete(f"{KEY}:20240201_000000").apply()
    return memory


def dying(full, plan):
    """A client whose storage answers to listings, and to nothing else."""
    clock = Clock()
    backend = FaultyBackend(full, plan, sleep=clock.sleep)
    return client(backend, clock), backend


def asked(backend, op):
    """How often each key was asked for."""
    keys = [operation.key for operation in backend.log if operation.op == op]
    return {key: keys.count(key) for key in keys}


def test_a_listing_whose_storage_dies_after_it_gives_up_and_tells_of_every_run(full):
    store, backend = dying(full, Faults().on("read", key="*/manifest.json").unavailable())
    runs = store.runs(KEY)
    assert list(runs) == []
    assert len({problem.where for problem in runs.problems}) == RUNS + 1
    assert {type(problem.error) for problem in runs.problems} == {errors.Unreachable}
    assert len(asked(backend, "read")) <= 2 * DOCUMENTS_AT_ONCE


def test_one_run_that_cannot_be_read_does_not_hide_the_others(full):
    broken = keys.manifest(ModelKey.parse(KEY), RunId("20240101_000030"))
    store, _ = dying(full, Faults().on("read", key=broken).unavailable())
    runs = store.runs(KEY)
    assert len(list(runs)) == RUNS - 1
    assert [problem.where for problem in runs.problems] == [f"{KEY}:20240101_000030"]


def test_a_sweep_whose_storage_dies_gives_up_and_the_next_one_ends_it(full):
    plan = Faults().on("delete", key="gru/BTCEUR/20240201_000000/*").unavailable()
    store, backend = dying(full, plan)
    applied = store.gc(grace=timedelta(0)).apply()
    assert [type(problem.error) for problem in applied.problems] == [errors.Unreachable]
    assert len(asked(backend, "delete")) <= 1 + 8 + 8
    sound = ArtifactStore(full, registry=REGISTRY)
    assert sound.gc(grace=timedelta(0)).apply().ok
    assert sound.gc(grace=timedelta(0)).changes == ()
