"""Processes that die while they delete, bring back, prune and clear: what is left is sound, and the next one ends it."""

import json
from datetime import timedelta

import pytest

import tests.worker
from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from tests import invariants
from tests.proofs.kills.test_processes import dying
from tests.worker import CRASHED, DELETED, KEY, OLDEST

NEWER = ["20240104_000000", "20240105_000000", "20240106_000000"]


def filled(tmp_path, number):
    """A store with a deleted run, a save that died, and runs to prune."""
    place = {"url": str(tmp_path / f"store{number}")}
    store = ArtifactStore(**place)
    for run_id in (DELETED, OLDEST, CRASHED, *NEWER):
        store.save({"n": run_id}, KEY, run_id=run_id, publish="always" if run_id == NEWER[-1] else "never")
    store._context.backend.delete(keys.manifest(ModelKey.parse(KEY), RunId(CRASHED)))
    store.delete(f"{KEY}:{DELETED}").apply()
    return place, store


def check(store, action):
    invariants.check(store, KEY)
    assert store.load(KEY) == {"n": NEWER[-1]}
    for run in store.runs(KEY):
        assert run.load() == {"n": str(run.run_id)}
    if action != "delete" or has(store, OLDEST):
        tests.worker.act(store, action)
    assert has(store, OLDEST) is (action in {"undelete", "gc"})
    assert has(store, DELETED) is (action == "undelete")
    for _ in range(2):
        store.gc(grace=timedelta(0)).apply()
    assert store.gc(grace=timedelta(0)).changes == ()
    visible = {str(run.run_id) for run in store.runs(KEY)}
    for run_id in (DELETED, OLDEST, CRASHED):
        prefix = f"{KEY}/{run_id}/"
        left = [entry.key.removeprefix(prefix) for entry in store._context.backend.list(prefix)]
        assert (left == ["manifest.json"]) is (run_id not in visible)
    invariants.check(store, KEY)


def has(store, run_id):
    try:
        store.get(f"{KEY}:{run_id}")
    except errors.RunDeleted:
        return False
    return True


@pytest.mark.timeout(900)
@pytest.mark.parametrize("action", ["delete", "undelete", "prune", "gc"])
@pytest.mark.parametrize("landed", ["before", pytest.param("landed", marks=pytest.mark.nightly)])
def test_a_process_may_be_killed_at_any_storage_operation(tmp_path, action, landed):
    deaths = 0
    for number in range(1, 60):
        place, store = filled(tmp_path, number)
        code = dying(tests.worker.kill, json.dumps(place), action, str(number), landed)
        assert code in {0, -9}
        deaths += code == -9
        check(store, action)
        store.close()
        if code == 0:
            break
    else:
        pytest.fail("the action never came to its end")
    assert deaths >= 4


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("action", ["delete", "undelete", "gc"])
def test_a_process_may_be_killed_at_any_change_of_the_disk(tmp_path, action):
    for number in range(1, 200):
        place, store = filled(tmp_path, number)
        code = dying(tests.worker.kill_syscall, json.dumps(place), action, str(number))
        assert code in {0, -9}
        check(store, action)
        store.close()
        if code == 0:
            break
    assert number > 4
