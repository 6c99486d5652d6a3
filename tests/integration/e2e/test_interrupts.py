"""Ctrl-C while the network is slow: the process ends at once, and nothing of it is half visible."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from artifact_store import ArtifactStore
from tests.servers import Hang, Trickle

ROOT = Path(__file__).parents[3]
KEY = "gru/BTCEUR"
MIB = 1 << 20
WITHIN = 1.0
BUSY = 2.0
"""Seconds that a busy machine may add to that."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a console of Windows in another way")

CHILD = """
import json, os, pathlib, signal, sys, tempfile
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests were started with Ctrl-C turned off
action, options = sys.argv[1], json.loads(sys.argv[2])
from artifact_store import ArtifactStore
store = ArtifactStore(**options)
print("ready", flush=True)
if action == "load":
    store.load("gru/BTCEUR")
elif action == "get":
    store.get("gru/BTCEUR")
elif action == "ls":
    store.models()
elif action == "verify":
    store.verify()
elif action == "save":
    folder = pathlib.Path(options["cache"])
    with store.new_run("gru/BTCEUR") as draft:
        for path in sorted(folder.glob("*.bin")):
            draft.add_file(path.name, path)
"""
CLI = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from artifact_store.cli import main
print("ready", flush=True)
main()
"""


@pytest.fixture(params=["obstore", "fsspec"])
def engine(request):
    return request.param


@pytest.fixture
def files(tmp_path):
    """Two large files and twelve small ones: more than there are threads."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(2):
        (folder / f"large{number}.bin").write_bytes(bytes([number]) * (20 * MIB))
    for number in range(12):
        (folder / f"small{number}.bin").write_bytes(bytes([number]) * (MIB // 2))
    return folder


@pytest.fixture
def sound(seaweed, seaweed_prefix):
    """The store as who has a good line to it sees it."""
    return ArtifactStore(seaweed.url(seaweed_prefix), storage_options=seaweed.storage_options())


def interrupted(command, proxy, requests, *, environment=None):
    """Run it, press Ctrl-C once so many requests are stuck, and return its exit status, its stderr and the seconds."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            end = time.monotonic() + 60
            while sum(bool(record.fault) for record in proxy.records) < requests:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < end, [(record.method, record.key) for record in proxy.records]
                time.sleep(0.02)
            time.sleep(0.5)  # the others have begun as well
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=100)
            return process.returncode, told, time.monotonic() - begun
        finally:
            process.kill()


def child(action, engine, proxy, prefix, **more):
    options = {"url": proxy.url(prefix), "engine": engine, "storage_options": proxy.storage_options(), **more}
    return [sys.executable, "-c", CHILD, action, json.dumps(options)]


def ended_at_once(result):
    status, told, seconds = result
    print(f"ended after {seconds:.2f} s")
    assert status == -signal.SIGINT, told  # what Python ends with after an interrupt that was not caught
    assert told.rstrip().endswith("KeyboardInterrupt"), told
    assert "Exception ignored" not in told
    assert seconds < WITHIN + BUSY


@pytest.mark.parametrize("action", ["get", "ls", "load", "verify"])
def test_ctrl_c_ends_a_read(engine, action, proxy, sound, seaweed_prefix, files):
    with sound.new_run(KEY) as draft:
        for path in sorted(files.glob("*.bin")):
            draft.add_file(path.name, path)
        draft.add("model", files)
    small = action in {"get", "ls"}
    chosen = {"method": "GET"} if small else {"key": "*.bin"}
    proxy.on(Trickle(), **chosen)
    ended_at_once(interrupted(child(action, engine, proxy, seaweed_prefix), proxy, 1 if small else 8))


@pytest.mark.parametrize("fault", [Trickle(size=4096, up=True), Hang()], ids=["trickle", "hang"])
def test_ctrl_c_ends_a_save_and_leaves_nothing_to_see(engine, fault, proxy, sound, seaweed_prefix, files):
    sound.save({"n": 1}, KEY)
    before = sound.get(KEY)
    proxy.on(fault, method="PUT", key="*.bin")
    ended_at_once(interrupted(child("save", engine, proxy, seaweed_prefix, cache=str(files)), proxy, 8))
    proxy.off()
    assert [run.run_id for run in sound.runs(KEY)] == [before.run_id]
    assert sound.get(KEY) == before
    assert sound.verify().ok


def test_ctrl_c_ends_the_command_line_with_its_status(engine, proxy, sound, seaweed, seaweed_prefix, tmp_path):
    sound.save(bytes(20 * MIB), KEY)
    proxy.on(Trickle(), when=lambda request: "range" in request.headers)
    command = [sys.executable, "-c", CLI, "--store", proxy.url(seaweed_prefix), "--engine", engine]
    command += ["--endpoint-url", proxy.endpoint, "get", KEY, str(tmp_path / "copy")]
    keys = {"AWS_ACCESS_KEY_ID": seaweed.access_key, "AWS_SECRET_ACCESS_KEY": seaweed.secret_key}
    environment = keys | {"AWS_DEFAULT_REGION": "us-east-1"}
    status, told, seconds = interrupted(command, proxy, 2, environment=environment)
    assert (status, told.strip()) == (130, "Interrupted.")
    assert seconds < WITHIN + BUSY
    whole = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert whole <= {"metadata.json"}  # a file that was complete may be there
