"""A limit of the system on threads: a store does with few, and says what is the matter where there are none."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.storage.base import Always
from artifact_store.testing import backend_tools
from tests.stores import place_of

resource = pytest.importorskip("resource")

ROOT = Path(__file__).parents[3]
KEY = "gru/BTCEUR"
USER = 1_000_000
"""With the id of a process the user without any other one: the limit counts all of them, also those of other tests."""
MANY = 20
WORKERS = 2
"""Threads that obstore wants: as many as there are processors, unless it is told how many."""
ACTIONS = ("small", "large", "read", "stream", "list", "children", "delete", "load", "save")

CHILD = """
import ctypes, json, os, resource, sys, time
place, user, many, threads, actions = json.loads(sys.argv[1])
from artifact_store import ArtifactStore, errors
from artifact_store.storage.base import Always
store = ArtifactStore(**place, timeout=3)
backend = store._context.backend
small, large = b"x", b"x" * (9 << 20)

def load():
    assert store.load("gru/BTCEUR") == {"n": 1}

def listed(names):
    assert "large" in [getattr(name, "key", name) for name in names]

calls = {
    "small": lambda: backend.put_file("small", [small], size=1, when=Always()),
    "large": lambda: backend.put_file("large", [large], size=len(large), when=Always()),
    "read": lambda: backend.read("large", limit=len(large)),
    "stream": lambda: list(backend.stream("large", size=len(large))),
    "list": lambda: listed(backend.list("")),
    "children": lambda: listed(backend.children("")),
    "delete": lambda: backend.delete("nothing"),
    "load": load,
    "save": lambda: store.save({"n": 1}, "gru/BTCEUR"),
}

def outcome(action):
    begun = time.monotonic()
    try:
        calls[action]()
    except errors.ArtifactStoreError as error:
        told = {"error": type(error).__name__, "unavailable": isinstance(error, errors.Unavailable), "text": str(error)}
    except BaseException as error:
        told = {"error": type(error).__name__, "unavailable": False, "text": str(error)}
    else:
        told = {"error": None}
    return {"action": action, "seconds": time.monotonic() - begun, **told}

os.setresuid(user + os.getpid(), user + os.getpid(), 0)
ctypes.CDLL(None).setfsuid(0)  # still reads the interpreter's files
resource.setrlimit(resource.RLIMIT_NPROC, (1 + threads, 1 + many))
limited = [outcome(action) for action in actions]
resource.setrlimit(resource.RLIMIT_NPROC, (1 + many, 1 + many))
lifted = []
for action in actions:
    told = outcome(action)
    # obstore starts the worker that it could not start before, and then has no thread for this call
    lifted.append(outcome(action) if told["error"] == "DeadlineExceeded" else told)
print(json.dumps([limited, lifted]), flush=True)
os._exit(0)
"""

pytestmark = [
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user"),
]


def limited(threads):
    """Be a user who may have so many threads beside this one."""
    os.setuid(USER + os.getpid())
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


@pytest.fixture(params=["obstore", "s3fs"])
def place(request):
    """Where a store is that was filled before there was a limit."""
    place = place_of(request.param, request)
    store = ArtifactStore(**place)
    store.save({"n": 1}, KEY)
    backend, data = store._context.backend, bytes(9 << 20)
    backend.put_file("large", [data], size=len(data), when=Always())
    return place


def outcomes(place, threads, actions):
    """What the actions come to in a process of its own with so many spare threads, and then with enough of them."""
    told = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps([place, USER, MANY, threads, actions])],
        cwd=ROOT, env=os.environ | {"TOKIO_WORKER_THREADS": str(WORKERS)}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


def check(place, threads, actions):
    limited, lifted = outcomes(place, threads, actions)
    for told in limited:
        assert told["error"] is None or told["unavailable"], told
        assert told["seconds"] < 30, told
    assert [told for told in lifted if told["error"] is not None] == []
    return limited


@pytest.mark.parametrize("first", ["large", "list", "load"])
def test_without_a_thread_s3_names_the_limit_and_works_once_it_is_lifted(place, first):
    (told,) = check(place, 0, [first])
    assert "ulimit -u" in told["text"]


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_with_few_threads_s3_does_what_it_can_and_all_of_it_once_there_are_more(place, threads):
    check(place, threads, ACTIONS)


@pytest.mark.parametrize("threads", [1, 2])
def test_where_obstore_has_no_thread_to_look_up_an_address_the_limit_is_named(seaweed, seaweed_prefix, threads):
    options = seaweed.storage_options(endpoint=seaweed.endpoint.replace("127.0.0.1", "localhost"))
    place = {"url": seaweed.url(seaweed_prefix), "engine": "obstore", "storage_options": options}
    (told,) = check(place, threads, ["small"])
    assert "ulimit -u" in told["text"]
