"""The disk that fails on demand, and what only it can show: a name that the disk does not confirm is not acknowledged."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from artifact_store.errors import OutcomeUnknown, PreconditionFailed, StorageFull
from artifact_store.storage.base import Always, IfAbsent
from artifact_store.storage.local.backend import LocalBackend
from tests.proofs.matrix.bench import Aim, Fault, Point, Strike
from tests.proofs.matrix.disk import FaultyDisk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="intercepts the calls of Linux")


def struck(root, code, what, where, nth=1, **more):
    return FaultyDisk(root, Aim([Strike(Fault("test", (), code, **more), Point(what, where, nth))]))


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("when", [IfAbsent(), Always()], ids=["created", "replaced"])
def test_a_name_that_the_disk_does_not_confirm_is_unknown_and_not_told_as_done_or_failed(tmp_path, when, code):
    LocalBackend(tmp_path).write("a/first", b"1", when=IfAbsent())
    backend = LocalBackend(tmp_path)
    backend.write("a/second", b"1", when=IfAbsent())  # which settles the folders
    disk = struck(tmp_path, code, "fsync", "a")
    with disk.in_force(), pytest.raises(OutcomeUnknown, match="did not confirm") as caught:
        backend.write("a/k", b"new", when=when)
    assert caught.value.key == "a/k"
    assert (tmp_path / "a" / "k").read_bytes() == b"new"
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["first", "k", "second"]


def test_a_temporary_name_that_cannot_be_removed_is_no_failure(tmp_path):
    backend = LocalBackend(tmp_path)
    disk = struck(tmp_path, errno.EIO, "unlink", "a/.tmp-*", sticky=False)
    with disk.in_force():
        backend.write("a/k", b"new", when=IfAbsent())
    assert (tmp_path / "a" / "k").read_bytes() == b"new"
    assert list(backend.unfinished()) == []


def test_a_descriptor_that_was_read_from_may_fail_to_close(tmp_path):
    backend = LocalBackend(tmp_path)
    backend.write("a/k", b"old", when=IfAbsent())
    for where in ("a/k", "a", ""):
        with struck(tmp_path, errno.EIO, "close", where).in_force():
            assert backend.read("a/k", limit=9).data == b"old"


def test_a_full_disk_leaves_half_a_file_that_nobody_sees(tmp_path):
    backend = LocalBackend(tmp_path)
    with struck(tmp_path, errno.ENOSPC, "write", "a/.tmp-*").in_force(), pytest.raises(StorageFull):
        backend.write("a/k", b"new", when=IfAbsent())
    assert [path.name for path in (tmp_path / "a").iterdir()] == []


def test_the_disk_counts_only_what_is_below_its_root_and_is_itself_again_afterwards(tmp_path):
    before = os.open, os.fsync, open
    aim = Aim(())
    root, other = LocalBackend(tmp_path / "root"), LocalBackend(tmp_path / "other")
    with FaultyDisk(tmp_path / "root", aim).in_force():
        other.write("a/k", b"1", when=IfAbsent())
        assert not [point for point in aim.trace if "a" in point.where]
        root.write("a/k", b"1", when=IfAbsent())
        with pytest.raises(PreconditionFailed):
            root.write("a/k", b"2", when=IfAbsent())
    calls = {point.what for point in aim.trace}
    assert {"create", "write", "fsync", "link", "unlink", "mkdir", "open", "close"} <= calls
    assert (os.open, os.fsync, open) == before
