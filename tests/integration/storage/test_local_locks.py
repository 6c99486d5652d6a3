"""Locks: released by death, waited for with patience and an end, and never through a symlink."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import filelock
import pytest

from artifact_store.errors import ConditionsUnsupported, Corrupt, DeadlineExceeded
from artifact_store.storage.base import Always, IfVersion
from artifact_store.storage.local import locks
from artifact_store.storage.local.backend import LocalBackend

pytestmark = pytest.mark.windows

HOLD = """
import sys, time
from pathlib import Path
from artifact_store.storage.local import locks
with locks.held(Path(sys.argv[1]), sys.argv[2], timeout=10):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), "a/latest.json"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_living_holder_is_waited_for_until_the_deadline(tmp_path, holder):
    backend = LocalBackend(tmp_path, timeout=0.2)
    with pytest.raises(DeadlineExceeded) as caught:
        backend.write("a/latest.json", b"{}", when=Always())
    assert str(locks.path_for(tmp_path, "a/latest.json")) in str(caught.value)
    assert list(backend.list("")) == []


def test_the_lock_of_another_key_is_not_waited_for(tmp_path, holder):
    assert locks.path_for(tmp_path, "a/latest.json") != locks.path_for(tmp_path, "another/latest.json")
    LocalBackend(tmp_path, timeout=0.2).write("another/latest.json", b"{}", when=Always())


def test_the_lock_of_a_killed_holder_is_free(tmp_path, holder):
    backend = LocalBackend(tmp_path, timeout=5)
    holder.kill()
    holder.wait()
    version = backend.write("a/latest.json", b"{}", when=Always())
    backend.write("a/latest.json", b"{1}", when=IfVersion(version))
    assert locks.path_for(tmp_path, "a/latest.json").exists()


def test_a_waiting_writer_goes_on_when_the_holder_is_killed(tmp_path, holder):
    timer = threading.Timer(0.3, holder.kill)
    timer.start()
    LocalBackend(tmp_path, timeout=60).write("a/latest.json", b"{}", when=Always())
    timer.join()


def test_lock_files_are_never_removed_and_few(tmp_path):
    backend = LocalBackend(tmp_path)
    for index in range(40):
        backend.write(f"k{index}", b"", when=Always())
        backend.delete(f"k{index}")
    left = [path.name for path in (tmp_path / "_locks").iterdir()]
    assert {name.rpartition(".")[2] for name in left} == {"lock"}
    assert all(len(name) == len("00.lock") for name in left)


def test_a_symlink_at_the_lock_is_refused_and_its_target_untouched(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    root = tmp_path / "store"
    backend = LocalBackend(root)
    version = backend.write("a/latest.json", b"{}", when=Always())
    lock = locks.path_for(root, "a/latest.json")
    lock.unlink()
    lock.symlink_to(victim)
    for when in (IfVersion(version), Always()):
        with pytest.raises(Corrupt, match="lock"):
            backend.write("a/latest.json", b"{1}", when=when)
    assert victim.read_bytes() == b"precious"
    assert backend.read("a/latest.json", limit=9).data == b"{}"


def test_a_dangling_symlink_at_the_lock_creates_no_target(tmp_path):
    root = tmp_path / "store"
    root.mkdir()
    (root / "_locks").mkdir()
    locks.path_for(root, "k").symlink_to(tmp_path / "made")
    with pytest.raises(Corrupt, match="lock"):
        LocalBackend(root).write("k", b"", when=Always())
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", ["symlink", "file"])
def test_a_folder_of_locks_that_is_none_is_refused(tmp_path, kind):
    root, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    if kind == "symlink":
        (root / "_locks").symlink_to(elsewhere)
    else:
        (root / "_locks").write_bytes(b"")
    with pytest.raises(Corrupt, match="_locks"):
        LocalBackend(root).write("k", b"", when=Always())
    assert list(elsewhere.iterdir()) == []


def test_locks_hold_on_the_disk_of_this_test(tmp_path):
    assert locks.hold_here(tmp_path) is True
    assert list((tmp_path / "_locks").iterdir()) == []


class _Ignored(filelock.FileLock):
    """What some network file systems do: every lock is granted."""

    def _acquire(self) -> None:
        self._context.lock_file_fd = os.open(os.devnull, os.O_RDONLY)

    def _release(self) -> None:
        os.close(self._context.lock_file_fd)
        self._context.lock_file_fd = None


def test_a_file_system_that_ignores_locks_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(filelock, "FileLock", _Ignored)
    assert locks.hold_here(tmp_path) is False
    backend = LocalBackend(tmp_path)
    assert backend.capabilities.compare_and_swap  # nothing was tried yet: looking does not write
    version = backend.write("k", b"old", when=Always())
    assert not backend.capabilities.compare_and_swap
    assert backend.capabilities.create_only
    with pytest.raises(ConditionsUnsupported, match="ignores locks"):
        backend.write("k", b"new", when=IfVersion(version))
    with pytest.raises(ConditionsUnsupported, match="ignores locks"):
        LocalBackend(tmp_path).write("k", b"new", when=IfVersion(version))
    assert backend.read("k", limit=9).data == b"old"


def test_a_lock_that_is_only_emulated_is_refused(tmp_path, monkeypatch):
    def soft(path, **_options):
        return filelock.SoftFileLock(path)

    monkeypatch.setattr(filelock, "FileLock", soft)
    assert locks.hold_here(tmp_path) is False
    refused = pytest.raises(ConditionsUnsupported, match="does not support locks")
    with refused, locks.held(tmp_path, "k", timeout=1):
        pytest.fail("an emulated lock was taken for a real one")
