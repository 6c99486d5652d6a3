"""Several processes at once: nothing is lost, nothing is there twice."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artifact_store import ArtifactStore
from tests import invariants
from tests.stores import place_of

KEY = "gru/BTCEUR"
ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["local", "obstore", "s3fs"])
def shared(request):
    """The arguments of a store that several processes can open."""
    return place_of(request.param, request)


def worker(*arguments, **environment):
    """Run a worker to its end and return its exit code and what it was told."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker", *map(str, arguments)],
        cwd=ROOT, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.returncode, lines, done.stderr


def saved_by(shared, writers, each, readers=0):
    """Let writers and polling readers loose; return what the writers were told."""
    place = json.dumps(shared)
    with ThreadPoolExecutor(writers + readers) as pool:
        polls = [pool.submit(worker, "poll", place, 5) for _ in range(readers)]
        saves = [pool.submit(worker, "save", place, number, each) for number in range(writers)]
        results = [future.result() for future in saves]
        polled = [future.result() for future in polls]
    for code, _, stderr in results + polled:
        assert code == 0, stderr
    assert all(lines[-1]["last"] <= writers * each for _, lines, _ in polled)
    return [line for _, lines, _ in results for line in lines]


def check_told(shared, told):
    store = ArtifactStore(**shared)
    past = store.history(KEY)
    assert [entry.seq for entry in past] == list(range(1, len(told) + 1))
    assert sorted((line["seq"], line["run_id"], line["write_id"]) for line in told) == [
        (entry.seq, entry.run_id, entry.write_id) for entry in past
    ]
    assert len(list(store.runs(KEY))) == len(told)
    invariants.check(store, KEY)


@pytest.mark.windows
@pytest.mark.timeout(600)
def test_publishes_of_four_processes_are_each_there_once_while_others_read(tmp_path):
    shared = {"url": str(tmp_path / "store")}
    told = saved_by(shared, writers=4, each=25, readers=2)
    assert len(told) == 100
    check_told(shared, told)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shared", ["local", "obstore"], indirect=True)
def test_publishes_of_eight_processes_are_each_there_once(shared):
    told = saved_by(shared, writers=8, each=25)
    assert len(told) == 200
    check_told(shared, told)
