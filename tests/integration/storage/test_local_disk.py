"""Real trouble with a real disk: full, read-only, somebody else's, out of descriptors.

Needs to mount a file system of its own, or to become another user, and so mostly runs as root on Linux.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from artifact_store.errors import AccessDenied, StorageFull, TooManyOpenFiles, Unsupported
from artifact_store.storage.base import Always, IfAbsent, IfVersion
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.testing.backend_tools import run_in_a_fork

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts and limits as on Linux")
MIB = 1 << 20
NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 1 MiB."""
    point = tmp_path / "disk"
    point.mkdir()
    done = mount("-t", "tmpfs", "-o", "size=1m", "none", str(point))
    if done.returncode != 0:
        pytest.skip(f"may not mount a file system: {done.stderr.strip()}")
    yield point
    subprocess.run(["umount", "--lazy", str(point)], check=True)


def mount(*arguments):
    return subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)


@pytest.fixture
def foreign():
    """Give a folder that every user can reach, and root owns."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    folder = Path(tempfile.mkdtemp(prefix="artifact-store-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_nobody(work):
    def child():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        work()

    run_in_a_fork(child)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(path):
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"f" * 4096)


def test_a_full_disk_leaves_what_was_there(small_disk):
    backend = LocalBackend(small_disk)
    version = backend.write("a/latest.json", b"old", when=IfAbsent())
    backend.write("a/latest.json", b"old", when=IfVersion(version))
    two = b"x" * (2 * MIB)
    for key in ("a/new", "a/latest.json"):
        with pytest.raises(StorageFull, match=str(small_disk)):
            backend.put_file(key, [two], size=len(two), when=Always())
    for act in (
        lambda: backend.put_file("a/new", [two], size=len(two), when=IfAbsent()),
        lambda: backend.write("a/new", two, when=IfAbsent()),
        lambda: backend.write("a/latest.json", two, when=Always()),
        lambda: backend.write("a/latest.json", two, when=IfVersion(version)),
    ):
        with pytest.raises(StorageFull):
            act()
    assert names(small_disk / "a") == ["latest.json"]
    assert backend.read("a/latest.json", limit=9).data == b"old"
    backend.write("a/latest.json", b"there is room for this", when=IfVersion(version))


def test_a_disk_without_one_free_byte_can_be_read_and_cleared(small_disk):
    backend = LocalBackend(small_disk)
    version = backend.write("a/latest.json", b"old", when=IfAbsent())
    backend.write("a/model", b"m" * 1000, when=Always())
    with pytest.raises(OSError, match="No space"):
        fill(small_disk / "filler")
    with pytest.raises(StorageFull):
        backend.write("a/latest.json", b"new", when=IfVersion(version))
    assert backend.read("a/latest.json", limit=9).data == b"old"
    assert names(small_disk / "a") == ["latest.json", "model"]
    backend.delete("a/model")
    backend.write("a/latest.json", b"new", when=IfVersion(version))


def test_a_read_only_disk_can_be_read_and_refuses_writes(small_disk):
    backend = LocalBackend(small_disk)
    version = backend.write("a/latest.json", b"old", when=IfAbsent())
    backend.write("a/latest.json", b"old", when=Always())
    assert mount("-o", "remount,ro", str(small_disk)).returncode == 0
    fresh = LocalBackend(small_disk)
    for act in (
        lambda: fresh.write("a/new", b"", when=IfAbsent()),
        lambda: fresh.write("b/new", b"", when=IfAbsent()),
        lambda: fresh.write("a/latest.json", b"", when=Always()),
        lambda: fresh.write("a/latest.json", b"", when=IfVersion(version)),
        lambda: fresh.delete("a/latest.json"),
    ):
        with pytest.raises(AccessDenied, match=str(small_disk)):
            act()
    assert fresh.read("a/latest.json", limit=9).data == b"old"
    assert [entry.key for entry in fresh.list("")] == ["a/latest.json"]


def test_somebody_elses_files_are_denied_and_not_reported_as_missing(foreign):
    LocalBackend(foreign).write("a/k", b"private", when=IfAbsent())
    (foreign / "open").mkdir(mode=0o755)
    (foreign / "open" / "k").write_bytes(b"private")
    (foreign / "open" / "k").chmod(0o600)

    def work():
        backend = LocalBackend(foreign)
        for act in (
            lambda: backend.read("a/k", limit=9),
            lambda: backend.read("open/k", limit=9),
            lambda: list(backend.stream("open/k", size=7)),
            lambda: list(backend.list("")),
            lambda: list(backend.children("a/")),
            lambda: backend.write("open/new", b"", when=IfAbsent()),
            lambda: backend.write("new", b"", when=Always()),
            lambda: backend.delete("open/k"),
            lambda: LocalBackend(foreign / "a" / "store").write("k", b"", when=IfAbsent()),
            lambda: LocalBackend(foreign / "a" / "store").read("k", limit=9),
            lambda: LocalBackend(foreign / "a" / "store").delete("k"),
        ):
            with pytest.raises(AccessDenied, match=str(foreign)):
                act()
        assert list(backend.children("open/")) == ["k"]

    as_nobody(work)
    assert (foreign / "open" / "k").read_bytes() == b"private"


def test_a_store_that_may_only_be_read_can_be_read(foreign):
    LocalBackend(foreign).write("a/k", b"public", when=IfAbsent())
    (foreign / "a").chmod(0o755)
    (foreign / "a" / "k").chmod(0o644)

    def work():
        backend = LocalBackend(foreign)
        assert backend.read("a/k", limit=9).data == b"public"
        assert b"".join(backend.stream("a/k", size=6)) == b"public"
        assert [entry.key for entry in backend.list("a/")] == ["a/k"]

    as_nobody(work)


def test_without_descriptors_it_is_unavailable_and_recovers(tmp_path):
    backend = LocalBackend(tmp_path)
    version = backend.write("a/k", b"old", when=IfAbsent())
    backend.write("a/k", b"old", when=IfVersion(version))

    def work():
        import resource

        used = os.open(os.devnull, os.O_RDONLY)
        os.close(used)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for spare in range(4):
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, hard))
            try:
                backend.write("a/k", b"new", when=Always())
            except TooManyOpenFiles as error:
                assert str(tmp_path) in str(error)  # noqa: PT017 -- with a few spare ones it may succeed
            else:
                assert spare > 0
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        with pytest.raises(TooManyOpenFiles):
            backend.read("a/k", limit=9)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        assert backend.read("a/k", limit=9).data in {b"old", b"new"}

    run_in_a_fork(work)
    assert names(tmp_path / "a") == ["k"]


def test_a_limit_on_the_size_of_files_is_told_from_a_full_disk(tmp_path):
    backend = LocalBackend(tmp_path)

    def work():
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        with pytest.raises(Unsupported, match="no file as large"):
            backend.write("a/k", b"x" * 20_000, when=IfAbsent())

    run_in_a_fork(work)
    assert names(tmp_path / "a") == []
