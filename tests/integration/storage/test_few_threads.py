"""A limit of the system on threads: a store does with few, and says what is the matter where there are none."""

import os
import tempfile
import threading
import time
import warnings
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.testing import backend_tools

resource = pytest.importorskip("resource")

KEY = "gru/BTCEUR"
USER = 61_234
"""The first of the users without any other process: the limit counts all of them, also those of other workers' tests."""
MANY = 20

pytestmark = [
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user"),
]


def limited(threads):
    """Be a user who may have so many threads beside this one."""
    os.setuid(USER + threads)  # each test is another one
    resource.setrlimit(resource.RLIMIT_NPROC, (1 + threads, 1 + MANY))


@pytest.fixture
def in_a_fork(monkeypatch):
    monkeypatch.setattr(backend_tools, "CHILD_SECONDS", 30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield backend_tools.run_in_a_fork


@pytest.fixture
def store():
    """One that has saved before, so that nothing has to be imported for a user who may not read it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as everybodys:
        Path(everybodys).chmod(0o777)
        store = ArtifactStore("memory://", staging=everybodys)
        saved(store, -1)
        yield store


def saved(store, number):
    with store.new_run(KEY) as draft:
        for part in range(20):
            draft.add(f"part{part}", number)
    return draft.run


@pytest.mark.parametrize("threads", [1, 2])
def test_few_threads_are_enough(in_a_fork, store, threads):
    def child():
        limited(threads)
        assert saved(store, 1).load("part7") == 1
        assert len([one for one in threading.enumerate() if one.name == "artifact-store"]) <= threads

    in_a_fork(child)


def test_without_one_the_limit_is_named_and_the_next_save_works(in_a_fork, store):
    def child():
        limited(0)
        begun = time.monotonic()
        with pytest.raises(errors.Unavailable, match="ulimit -u"):
            saved(store, 1)
        assert time.monotonic() - begun < 5
        resource.setrlimit(resource.RLIMIT_NPROC, (1 + MANY, 1 + MANY))
        assert [run.load("part7") for run in store.runs(KEY)] == [-1]
        assert saved(store, 2).load("part7") == 2

    in_a_fork(child)
