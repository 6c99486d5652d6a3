"""Several processes on one folder: one winner, nothing lost, nothing torn, and no harm from a kill."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter

import pytest

from artifact_store.errors import ObjectNotFound
from artifact_store.storage.base import Always, IfAbsent
from artifact_store.storage.local.backend import LocalBackend

pytestmark = pytest.mark.windows

PROCESSES = 8

COMMON = """
import json, sys
from pathlib import Path
from artifact_store.errors import PreconditionFailed
from artifact_store.storage.base import Always, IfAbsent, IfVersion
from artifact_store.storage.local.backend import LocalBackend
backend, me = LocalBackend(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
"""

CREATE = """
won = []
for turn in range(25):
    try:
        backend.write(f"race/{turn}/manifest.json", me.encode(), when=IfAbsent())
    except PreconditionFailed:
        continue
    won.append(turn)
print(json.dumps(won))
"""

STREAM = """
won = []
for turn in range(10):
    try:
        backend.put_file(f"race/{turn}", (me.encode() * 100_000 for _ in range(5)), size=500_000, when=IfAbsent())
    except PreconditionFailed:
        continue
    won.append(turn)
print(json.dumps(won))
"""

INCREMENT = """
done = 0
while done < 10:
    seen = backend.read("a/latest.json", limit=99)
    try:
        backend.write("a/latest.json", str(int(seen.data) + 1).encode(), when=IfVersion(seen.version))
    except PreconditionFailed:
        continue
    done += 1
print(json.dumps(done))
"""

REPLACE = """
for turn in range(60):
    body = (me * 200_000).encode() if turn % 2 else str(turn % 10).encode() * 100_000
    backend.write("a/latest.json", body, when=Always())
print(json.dumps(turn))
"""

UPLOAD = """
import time
def source():
    yield b"x" * 1_000_000
    print("half", flush=True)
    time.sleep(600)
backend.put_file("a/model", source(), size=2_000_000, when=IfAbsent())
"""


@contextlib.contextmanager
def processes(root, script, number):
    """Start processes that wait for each other, and let them go at the same moment."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", COMMON + script, str(root), str(index)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(number)
    ]
    try:
        for process in started:
            assert process.stdout.readline() == "ready\n"
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def results(started):
    answers = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(started)
    return [json.loads(answer) for answer in answers]


@pytest.mark.parametrize(("script", "turns", "name"), [(CREATE, 25, "/manifest.json"), (STREAM, 10, "")])
def test_one_of_many_processes_creates(tmp_path, script, turns, name):
    with processes(tmp_path, script, PROCESSES) as started:
        won = results(started)
    assert Counter(turn for mine in won for turn in mine) == Counter(range(turns))
    backend = LocalBackend(tmp_path)
    for index, mine in enumerate(won):
        for turn in mine:
            assert set(backend.read(f"race/{turn}{name}", limit=1 << 20).data.decode()) == {str(index)}
    assert list(tmp_path.rglob(".tmp-*")) == []


def test_no_increment_of_many_processes_is_lost(tmp_path):
    backend = LocalBackend(tmp_path)
    backend.write("a/latest.json", b"0", when=IfAbsent())
    with processes(tmp_path, INCREMENT, PROCESSES) as started:
        assert results(started) == [10] * PROCESSES
    assert backend.read("a/latest.json", limit=99).data == b"80"


def test_a_reader_never_sees_torn_bytes(tmp_path):
    backend = LocalBackend(tmp_path)
    seen = Counter()
    with processes(tmp_path, REPLACE, 2) as started:
        while any(process.poll() is None for process in started):
            try:
                data = backend.read("a/latest.json", limit=1 << 20).data
            except ObjectNotFound:  # only before the first write
                assert not seen
                continue
            assert len(set(data)) == 1
            assert len(data) in {100_000, 200_000}
            seen[data[:1]] += 1
        results(started)
    assert seen


def test_a_killed_upload_is_not_there_and_in_nobodys_way(tmp_path):
    with processes(tmp_path, UPLOAD, 1) as (uploader,):
        assert uploader.stdout.readline() == "half\n"
        uploader.kill()
        uploader.wait()
    backend = LocalBackend(tmp_path)
    assert list(backend.list("")) == []
    with pytest.raises(ObjectNotFound):
        backend.read("a/model", limit=9)
    (left,) = tmp_path.rglob(".tmp-*")
    backend.put_file("a/model", [b"again"], size=5, when=IfAbsent())
    (upload,) = backend.unfinished()
    assert tmp_path / upload.key == left
    backend.discard(upload)
    assert not left.exists()
    backend.write("a/other", b"", when=Always())
    assert [entry.key for entry in backend.list("")] == ["a/model", "a/other"]
