"""Processes that die at any step of a save, a promotion, a rollback: nothing is lost, nothing is half there."""

import json
import multiprocessing

import pytest

import tests.worker
from artifact_store import ArtifactStore
from tests import invariants
from tests.stores import place_of

KEY = "gru/BTCEUR"


@pytest.fixture(params=["local", "obstore", "s3fs"])
def shared(request):
    """The arguments of a store that several processes can open."""
    return place_of(request.param, request)


def dying(command, *arguments):
    """Run a worker that is to be killed, and return its exit code. It is forked from one that has imported already.

    That one has imported no storage client: some cannot be used in a child.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.worker"])
    process = context.Process(target=command, args=arguments)
    process.start()
    process.join(280)
    return process.exitcode


def check_after_a_death(shared, before):
    """The invariants hold, every acknowledged publish is there, and the next save succeeds."""
    store = ArtifactStore(**shared)
    seqs = invariants.check(store, KEY, ("latest", "production"))
    assert all(seqs.get(alias, 0) in {seq, seq + 1} for alias, seq in before.items())
    run = store.save({"writer": "next", "number": 1}, KEY)
    assert run.published
    assert store.load(KEY) == {"writer": "next", "number": 1}
    return invariants.check(store, KEY, ("latest", "production"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("shared", ["local", "obstore"], indirect=True)
@pytest.mark.parametrize("action", ["save", "promote", "rollback"])
def test_a_process_may_be_killed_before_any_storage_operation(shared, action):
    kill_everywhere(shared, action, ["before"])


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("action", ["save", "promote", "rollback"])
def test_a_process_may_be_killed_before_and_after_any_storage_operation(shared, action):
    kill_everywhere(shared, action, ["before", "landed"])


def kill_everywhere(shared, action, moments):
    place = json.dumps(shared)
    store = ArtifactStore(**shared)
    for number in range(2):
        store.save({"writer": "first", "number": number}, KEY)
    seqs = {"latest": 2, "production": 0}
    deaths = 0
    for number in range(1, 60):
        finished = []
        for landed in moments:
            code = dying(tests.worker.kill, place, action, str(number), landed)
            assert code in {0, -9}
            finished.append(code == 0)
            deaths += code == -9
            seqs = {"latest": 0, "production": 0} | check_after_a_death(shared, seqs)
        if all(finished):
            break
    else:
        pytest.fail("the action never came to its end")
    assert deaths >= 4


@pytest.mark.timeout(900)
@pytest.mark.parametrize("shared", ["local"], indirect=True)
@pytest.mark.parametrize("action", ["save", "promote"])
def test_a_process_may_be_killed_at_any_change_of_the_disk(shared, action):
    place = json.dumps(shared)
    ArtifactStore(**shared).save({"writer": "first", "number": 0}, KEY)
    seqs = {"latest": 1, "production": 0}
    for number in range(1, 200):
        code = dying(tests.worker.kill_syscall, place, action, str(number))
        assert code in {0, -9}
        seqs = {"latest": 0, "production": 0} | check_after_a_death(shared, seqs)
        if code == 0:
            break
    assert number > 8


@pytest.mark.timeout(900)
@pytest.mark.parametrize("shared", ["local"], indirect=True)
def test_the_very_first_save_may_be_killed_at_any_change_of_the_disk(tmp_path, shared):
    for number in range(1, 200):
        place = {"url": str(tmp_path / f"store{number}")}
        code = dying(tests.worker.kill_syscall, json.dumps(place), "save", str(number))
        assert code in {0, -9}
        store = ArtifactStore(**place)
        store.save({"writer": "next", "number": number}, KEY)
        invariants.check(store, KEY)
        if code == 0:
            break
    assert number > 12
