"""Descriptors that run out, and many failures in a row: what is unavailable comes back, and nothing piles up."""

import gc
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.storage.patience import Patience
from tests.servers import CutBody, LostReply, Trickle
from tests.stores import place_of

ROOT = Path(__file__).parents[3]
KEY = "gru/BTCEUR"
MIB = 1 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors as Linux shows them")

CHILD = """
import json, os, resource, sys, time
place, free, action = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
from artifact_store import ArtifactStore, errors
store = ArtifactStore(**place, timeout=3)
actions = {
    "get": lambda: store.get("gru/BTCEUR"),
    "load": lambda: store.load("gru/BTCEUR"),
    "ls": lambda: store.models(),
    "save": lambda: store.save({"n": 2}, "gru/BTCEUR"),
}
if free >= 0:
    actions["load"]()  # what is imported and opened once is there
store._context.backend.close()
time.sleep(0.5)  # its connections close behind its back, and would give a descriptor back later
held = []
resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for _ in range(free):
    os.close(held.pop())
try:
    actions[action]()
    told = {"error": None}
except errors.ArtifactStoreError as error:
    told = {"error": type(error).__name__, "text": str(error)}
for descriptor in held:
    os.close(descriptor)
ArtifactStore(**place).get("gru/BTCEUR")  # it passes
print(json.dumps(told))
"""


@pytest.fixture(params=["local", "obstore", "s3fs"])
def place(request):
    return place_of(request.param, request)


def starved(place, free, action):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(place), str(free), action],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("action", ["get", "load", "ls", "save"])
def test_without_descriptors_it_is_unavailable_and_told_what_to_do(place, action):
    store = ArtifactStore(**place)
    store.save({"n": 1}, KEY)
    told = starved(place, 0, action)
    assert told["error"] == "TooManyOpenFiles", told
    assert "ulimit -n" in told["text"]
    assert "jobs" in told["text"]
    assert len(list(store.runs(KEY))) == 1


@pytest.mark.parametrize("free", range(1, 12, 2))
def test_with_a_few_a_save_is_whole_or_nothing(place, free):
    store = ArtifactStore(**place)
    store.save({"n": 1}, KEY)
    told = starved(place, free, "save")
    runs = list(store.runs(KEY))
    assert len(runs) == (2 if told["error"] is None else 1), told
    assert told["error"] in {None, "TooManyOpenFiles", "OutcomeUnknown"}, told
    assert store.verify().ok


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
def test_fifty_failures_leave_no_descriptor_and_no_thread_behind(engine, proxy, seaweed, seaweed_prefix):
    sound = ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, storage_options=seaweed.storage_options())
    sound.save(bytes(MIB), KEY)
    store = ArtifactStore(
        sound.url, engine=engine, storage_options=proxy.storage_options(), timeout=0.1, min_rate=64 * MIB
    )
    if engine == "fsspec":
        calls = store._context.backend._calls
        patience, calls.patience = calls.patience, Patience(60.0)
        calls.address()  # makes the client, which takes as long as it takes on a busy machine
        calls.patience = patience
    counts = []
    for number in range(50):
        if number in {10, 49}:
            counts.append(counted())
        proxy.off()
        proxy.on(
            [Trickle(seconds=0.05), CutBody(), LostReply()][number % 3],
            method="GET",
            key="*.json" if number % 2 else "*.bin",
        )
        with pytest.raises((errors.Unavailable, errors.Corrupt)):
            store.load(KEY)
    (files, threads), (files_after, threads_after) = counts
    assert files_after <= files + 10
    assert threads_after <= threads + 2


def counted():
    """The open descriptors and the threads of this process, once those of what has failed are gone."""
    gc.collect()
    time.sleep(0.5)
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
