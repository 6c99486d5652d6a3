"""What a folder on a disk adds to the contract: symlinks, foreign things, durability, and names at the OS's door."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    ContainerNotFound,
    Corrupt,
    DigestMismatch,
    InvalidName,
    NotAStore,
    PreconditionFailed,
    StorageFull,
    TooManyOpenFiles,
    Unreachable,
)
from artifact_store.storage.base import Always, IfAbsent, IfVersion, Version
from artifact_store.storage.local import folders, new_file
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.local.errors import translated
from tests.unit.samples import make_socket_file

pytestmark = pytest.mark.windows

posix = pytest.mark.skipif(os.name == "nt", reason="a POSIX thing")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def backend(root):
    return LocalBackend(root)


def keys(backend):
    return [entry.key for entry in backend.list("")]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- the root


def test_a_missing_root_is_named_when_it_is_read(backend, root):
    for look in (
        lambda: backend.read("k", limit=9),
        lambda: list(backend.stream("k", size=1)),
        lambda: list(backend.list("")),
        lambda: list(backend.children("a/")),
        lambda: backend.local_path("k"),
    ):
        with pytest.raises(ContainerNotFound) as caught:
            look()
        assert str(root) in str(caught.value)
    assert not root.exists()


def test_deleting_below_a_missing_root_is_no_error_and_makes_nothing(backend, root):
    backend.delete("a/k")
    assert not root.exists()


def test_the_first_write_makes_the_root(tmp_path):
    backend = LocalBackend(tmp_path / "deep" / "er" / "store")
    backend.write("k", b"x", when=IfAbsent())
    assert keys(backend) == ["k"]


def test_looking_at_it_does_no_harm(backend, root):
    repr(backend)
    assert backend.capabilities.create_only
    assert not root.exists()


def test_a_root_that_is_a_file_is_reported(root):
    root.write_bytes(b"")
    with pytest.raises(ContainerNotFound):
        LocalBackend(root).read("k", limit=9)
    with pytest.raises(NotAStore, match="is not a folder"):
        LocalBackend(root / "below").write("k", b"", when=IfAbsent())


@posix
def test_the_root_itself_may_be_a_symlink(tmp_path, root):
    (tmp_path / "real").mkdir()
    root.symlink_to(tmp_path / "real")
    backend = LocalBackend(root)
    version = backend.write("a/k", b"x", when=IfAbsent())
    backend.write("a/k", b"y", when=IfVersion(version))
    assert (tmp_path / "real" / "a" / "k").read_bytes() == b"y"
    assert keys(backend) == ["a/k"]


def test_another_working_directory_does_not_move_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = LocalBackend(Path("store"))
    backend.write("k", b"x", when=IfAbsent())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert backend.read("k", limit=9).data == b"x"
    assert backend.url == "store"


# ---------------------------------------------------------------- names at the door

BAD_KEYS = [
    "",
    "/etc/passwd",
    "a//b",
    "a/",
    ".",
    "..",
    "../k",
    "a/../../k",
    "a/./b",
    "a\\..\\..\\b",
    "C:/k",
    "c:k",
    "k:stream",
    "a\0b",
    "_locks/00.lock",
    ".tmp-0123",
    "a/.tmp-0123",
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_means_something_to_the_system_is_refused(backend, root, key):
    for act in (
        lambda: backend.read(key, limit=9),
        lambda: list(backend.stream(key, size=1)),
        lambda: backend.write(key, b"", when=Always()),
        lambda: backend.write(key, b"", when=IfAbsent()),
        lambda: backend.write(key, b"", when=IfVersion(Version("0"))),
        lambda: backend.put_file(key, [b""], size=0, when=Always()),
        lambda: backend.delete(key),
        lambda: backend.local_path(key),
    ):
        with pytest.raises(InvalidName):
            act()
    assert not root.exists()


@pytest.mark.parametrize("prefix", ["..", "../", "/", "a", "a/../", "_locks/", "a\\/"])
def test_a_prefix_that_means_something_to_the_system_is_refused(backend, prefix):
    backend.write("a/k", b"", when=Always())
    with pytest.raises(InvalidName):
        list(backend.list(prefix))
    with pytest.raises(InvalidName):
        list(backend.children(prefix))


@posix
def test_a_name_too_long_for_the_disk_is_refused(backend):
    with pytest.raises(InvalidName, match="too long"):
        backend.write("a/" + "n" * 300, b"", when=IfAbsent())
    assert keys(backend) == []


# ---------------------------------------------------------------- symlinks and other foreign things


@pytest.fixture
def outside(tmp_path):
    """Return a folder beside the store, with things that nobody may read or change through it."""
    outside = tmp_path / "outside"
    (outside / "run").mkdir(parents=True)
    (outside / "run" / "model").write_bytes(b"precious")
    return outside


def untouched(outside):
    return (
        names(outside) == ["run"]
        and names(outside / "run") == ["model"]
        and ((outside / "run" / "model").read_bytes() == b"precious")
    )


def refuses(backend, key):
    with pytest.raises(Corrupt):
        backend.read(key, limit=99)
    with pytest.raises(Corrupt):
        list(backend.stream(key, size=8))
    with pytest.raises(Corrupt):
        backend.local_path(key)
    with pytest.raises(Corrupt):
        backend.write(key, b"mine", when=Always())
    with pytest.raises(Corrupt):
        backend.write(key, b"mine", when=IfVersion(Version("0" * 64)))
    with pytest.raises(Corrupt):
        backend.put_file(key, [b"mine"], size=4, when=Always())
    with pytest.raises((Corrupt, PreconditionFailed)):
        backend.write(key, b"mine", when=IfAbsent())


@posix
def test_a_symlinked_file_is_not_followed(backend, root, outside):
    backend.write("a/latest.json", b"x", when=Always())
    (root / "a" / "latest.json").unlink()
    (root / "a" / "latest.json").symlink_to(outside / "run" / "model")
    refuses(backend, "a/latest.json")
    assert keys(backend) == ["a/latest.json"]
    assert names(root / "a") == ["latest.json"]
    assert untouched(outside)


@posix
@pytest.mark.parametrize("depth", [1, 2])
def test_a_symlinked_folder_is_not_followed(backend, root, outside, depth):
    backend.write("a/b/k", b"x", when=Always())
    link = root.joinpath(*["a", "linked"][2 - depth :])
    link.symlink_to(outside)
    key = f"{link.relative_to(root).as_posix()}/run/model"
    refuses(backend, key)
    with pytest.raises(Corrupt):
        backend.delete(key)
    with pytest.raises(Corrupt):
        list(backend.list(f"{link.relative_to(root).as_posix()}/"))
    assert keys(backend) == ["a/b/k", "a/linked"] if depth == 2 else ["a/b/k", "linked"]
    assert untouched(outside)


@posix
def test_a_dangling_symlink_is_seen_and_creates_no_target(backend, root, outside):
    backend.write("a/k", b"x", when=Always())
    (root / "a" / "gone").symlink_to(outside / "made")
    refuses(backend, "a/gone")
    assert keys(backend) == ["a/gone", "a/k"]
    assert untouched(outside)


@posix
def test_deleting_a_symlink_removes_the_link_alone(backend, root, outside):
    backend.write("a/k", b"x", when=Always())
    (root / "a" / "file").symlink_to(outside / "run" / "model")
    (root / "a" / "folder").symlink_to(outside / "run")
    backend.delete("a/file")
    backend.delete("a/folder")
    assert keys(backend) == ["a/k"]
    assert untouched(outside)


@posix
@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "folder"])
def test_only_plain_files_are_objects(backend, root, kind):
    backend.write("a/k", b"x", when=Always())
    path = root / "a" / "odd"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        make_socket_file(path)
    elif kind == "folder":
        path.mkdir()
    else:
        try:
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("only root makes devices")
    for act in (
        lambda: backend.read("a/odd", limit=99),
        lambda: list(backend.stream("a/odd", size=1)),
        lambda: backend.write("a/odd", b"", when=Always()),
        lambda: backend.write("a/odd", b"", when=IfVersion(Version("0"))),
    ):
        with pytest.raises(Corrupt, match="odd"):
            act()
    assert names(root / "a") == ["k", "odd"]
    assert keys(backend) == (["a/k"] if kind == "folder" else ["a/k", "a/odd"])


def test_a_file_where_a_folder_is_needed_is_reported(backend):
    backend.write("a", b"x", when=Always())
    with pytest.raises(Corrupt, match="file where it needs a folder"):
        backend.write("a/k", b"", when=IfAbsent())
    assert backend.read("a", limit=9).data == b"x"


def test_a_folder_where_a_file_is_wanted_has_a_path(backend, root):
    """Harmless codecs read a run in place."""
    backend.write("a/run/model", b"x", when=Always())
    assert backend.local_path("a/run") == root / "a" / "run"


# ---------------------------------------------------------------- listings


def test_temporary_files_and_locks_are_not_listed(backend, root):
    version = backend.write("a/k", b"x", when=Always())
    backend.write("a/k", b"y", when=IfVersion(version))
    (root / "a" / ".tmp-left").write_bytes(b"half")
    (root / ".tmp-left").write_bytes(b"half")
    (root / "a" / "_locks").mkdir()
    (root / "a" / "_locks" / "k").write_bytes(b"not at the root: an object like any other")
    assert (root / "_locks").is_dir()
    assert keys(backend) == ["a/_locks/k", "a/k"]
    assert list(backend.children("")) == ["a/"]
    assert list(backend.children("a/")) == ["_locks/", "k"]


@posix
def test_names_that_are_no_text_do_not_stop_a_listing(backend, root):
    backend.write("a/k", b"x", when=Always())
    try:
        Path(os.fsdecode(bytes(root / "a") + b"/\xff\xfe")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert len(keys(backend)) == 2


@pytest.mark.parametrize("seconds", [-(2.0**40), 2.0**60])
def test_impossible_times_do_not_stop_a_listing(backend, root, seconds):
    backend.write("a/k", b"x", when=Always())
    try:
        os.utime(root / "a" / "k", (seconds, seconds))
    except (OSError, OverflowError):
        pytest.skip("this system keeps no such time")
    (entry,) = backend.list("")
    assert 1970 <= entry.modified.year <= 3000


def test_deep_folders_are_listed_and_emptied(backend, root):
    key = "/".join("d" * (40 if os.name == "nt" else 300)) + "/k"
    backend.write("a", b"", when=Always())
    backend.write(key, b"", when=Always())
    assert keys(backend) == ["a", key]
    backend.delete(key)
    assert names(root) == ["_locks", "a"]


def test_a_listing_goes_on_while_things_appear_and_vanish(backend):
    backend.write("m/stays", b"", when=Always())
    done = threading.Event()
    problems = []

    def churn():
        try:
            for turn in range(60):
                backend.write(f"{turn % 3}/x/k", b"", when=Always())
                backend.delete(f"{(turn + 1) % 3}/x/k")
        except Exception as error:  # noqa: BLE001 -- judged below
            problems.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=churn)
    thread.start()
    while not done.is_set():
        assert "m/stays" in keys(backend)
    thread.join()
    assert problems == []


def test_emptied_folders_go_and_the_root_stays(backend, root):
    backend.write("a/b/c/k", b"", when=Always())
    backend.write("a/other", b"", when=Always())
    backend.delete("a/b/c/k")
    assert names(root / "a") == ["other"]
    backend.delete("a/other")
    assert names(root) == ["_locks"]


def test_making_a_folder_wins_against_removing_it(root):
    problems = []

    def churn(name):
        backend = LocalBackend(root)
        try:
            for _turn in range(80):
                backend.write(f"a/b/c/{name}", b"x", when=IfAbsent())
                backend.delete(f"a/b/c/{name}")
        except Exception as error:  # noqa: BLE001 -- judged below
            problems.append(error)

    threads = [threading.Thread(target=churn, args=(name,)) for name in "pqrs"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


# ---------------------------------------------------------------- versions and sizes


def test_a_version_is_the_hash_of_the_bytes(backend):
    first = backend.write("k", b"A", when=Always())
    assert first == "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd"
    backend.write("k", b"B", when=Always())
    assert backend.write("k", b"A", when=Always()) == first


def test_a_file_that_shrinks_or_grows_under_a_stream_is_a_mismatch(backend, root):
    """Nobody of ours does that: a store's files are only ever replaced."""
    data = b"x" * (3 << 20)
    for size in (1 << 20, 4 << 20):
        backend.put_file("k", [data], size=len(data), when=Always())
        stream = backend.stream("k", size=len(data))
        got = [next(stream)]
        with (root / "k").open("r+b") as file:
            file.truncate(size)
        with pytest.raises(DigestMismatch):
            got.extend(stream)
        assert sum(map(len, got)) <= len(data)


# ---------------------------------------------------------------- leftovers


def test_the_temporary_file_of_a_killed_writer_is_an_unfinished_upload(backend, root):
    backend.write("a/k", b"x", when=Always())
    left = root / "a" / ".tmp-0123456789abcdef"
    left.write_bytes(b"half")
    (upload,) = backend.unfinished()
    assert (root / upload.key, upload.size) == (left, 4)
    assert abs(datetime.now(UTC) - upload.begun) < timedelta(hours=1)
    backend.discard(upload)
    assert not left.exists()
    assert keys(backend) == ["a/k"]


# ---------------------------------------------------------------- durability


@linux
@pytest.mark.parametrize("when", [Always(), IfAbsent()])
def test_the_bytes_and_every_new_folder_are_flushed_before_a_write_is_acknowledged(backend, root, monkeypatch, when):
    flushed = record_flushes(monkeypatch)
    backend.write("a/b/k", b"x", when=when)
    for folder in (root.parent, root, root / "a", root / "a" / "b"):
        assert str(folder) in flushed
    file = next(path for path in flushed if ".tmp-" in path)
    assert flushed.index(file) < len(flushed) - 1
    assert flushed[-1] == str(root / "a" / "b")


@linux
def test_folders_that_another_process_made_are_flushed_once(root, monkeypatch):
    LocalBackend(root).write("a/b/first", b"x", when=IfAbsent())
    backend = LocalBackend(root)
    flushed = record_flushes(monkeypatch)
    backend.write("a/b/second", b"x", when=IfAbsent())
    assert {str(root), str(root / "a"), str(root / "a" / "b")} <= set(flushed)
    flushed.clear()
    backend.write("a/b/third", b"x", when=IfAbsent())
    assert [path for path in flushed if ".tmp-" not in path] == [str(root / "a" / "b")]


@linux
def test_a_swap_and_a_deletion_are_flushed(backend, root, monkeypatch):
    version = backend.write("a/k", b"x", when=IfAbsent())
    flushed = record_flushes(monkeypatch)
    backend.write("a/k", b"y", when=IfVersion(version))
    assert ".tmp-" in flushed[-2]
    assert flushed[-1] == str(root / "a")
    flushed.clear()
    backend.delete("a/k")
    assert flushed == [str(root / "a")]


@linux
def test_names_of_files_are_flushed_once_for_a_folder_before_the_document_that_speaks_of_them(
    backend, root, monkeypatch
):
    backend.write("a/latest.json", b"0", when=Always())
    flushed = record_flushes(monkeypatch)
    for name in ("one", "two", "three"):
        backend.put_file(f"a/run/{name}", [b"x"], size=1, when=Always())
    assert [path for path in flushed if ".tmp-" not in path] == []
    flushed.clear()
    backend.write("a/run/manifest.json", b"1", when=IfAbsent())
    assert ".tmp-" in flushed[2]
    assert sorted(flushed[:2]) == [str(root / "a"), str(root / "a" / "run")]
    assert flushed[3:] == [str(root / "a" / "run")]
    flushed.clear()
    backend.write("a/run/another.json", b"1", when=IfAbsent())
    assert len(flushed) == 2


@posix
def test_a_document_is_not_written_if_the_names_of_files_cannot_be_flushed(backend, monkeypatch):
    backend.put_file("a/run/one", [b"x"], size=1, when=Always())

    def broken(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(folders, "flush", broken)
        with pytest.raises(Unreachable):
            backend.write("a/run/manifest.json", b"1", when=IfAbsent())
    assert keys(backend) == ["a/run/one"]
    backend.write("a/run/manifest.json", b"1", when=IfAbsent())


def test_names_of_files_that_were_removed_meanwhile_need_no_flush(backend):
    backend.put_file("a/run/one", [b"x"], size=1, when=Always())
    backend.delete("a/run/one")
    backend.write("b", b"1", when=IfAbsent())
    assert keys(backend) == ["b"]


def record_flushes(monkeypatch):
    flushed = []
    real = folders.flush

    def flush(descriptor):
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(folders, "flush", flush)
    monkeypatch.setattr(new_file, "flush", flush)
    return flushed


# ---------------------------------------------------------------- what the system refuses


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EMFILE, TooManyOpenFiles),
        (errno.ENFILE, TooManyOpenFiles),
        (getattr(errno, "EDQUOT", errno.ENOSPC), StorageFull),
        (errno.EACCES, Unreachable if os.name == "nt" else AccessDenied),  # there it also means: in use
        (errno.EPERM, AccessDenied),
        (errno.EROFS, AccessDenied),
        (errno.EIO, Unreachable),
        (errno.ENOENT, Unreachable),
        (errno.ELOOP, Corrupt),
    ],
)
def test_every_refusal_has_a_type_and_names_the_path(tmp_path, code, kind):
    with pytest.raises(kind) as caught, translated(tmp_path / "k"):
        raise OSError(code, os.strerror(code))
    assert str(tmp_path / "k") in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_absence_is_let_through_where_it_is_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError), translated(tmp_path, absence=True):
        raise FileNotFoundError(errno.ENOENT, "no such file")


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("when", ["create", "swap", "replace"])
def test_a_flush_that_fails_leaves_what_was_there(backend, root, monkeypatch, code, when):
    old = backend.write("a/k", b"old", when=Always())

    def broken(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(new_file, "flush", broken)
    condition = {"create": IfAbsent(), "swap": IfVersion(old), "replace": Always()}[when]
    with pytest.raises((Unreachable, StorageFull)):
        backend.write("a/new" if when == "create" else "a/k", b"new", when=condition)
    assert names(root / "a") == ["k"]
    assert backend.read("a/k", limit=9).data == b"old"


def test_what_the_source_of_a_file_raises_is_not_taken_for_the_disk(backend):
    def source():
        yield b"x"
        raise OSError(errno.ENOSPC, "somebody else's disk")

    with pytest.raises(OSError, match="somebody else") as caught:
        backend.put_file("k", source(), size=2, when=IfAbsent())
    assert type(caught.value) is OSError
    assert keys(backend) == []


@posix
def test_a_store_that_is_moved_takes_its_unfinished_files_along(backend, root):
    backend.write("a/k", b"x", when=Always())

    def source():
        root.rename(root.with_name("moved"))
        yield b"y"

    backend.put_file("a/f", source(), size=1, when=IfAbsent())
    assert names(root.with_name("moved") / "a") == ["f", "k"]


@posix
def test_no_descriptor_stays_open(backend, root):
    backend.write("a/b/c/k", b"x", when=IfAbsent())
    (root / "a" / "link").symlink_to(root)
    before = next_descriptor()
    for act in (
        lambda: backend.write("a/b/d/k", b"x", when=IfAbsent()),
        lambda: backend.write("a/b/c/k", b"x", when=IfAbsent()),
        lambda: backend.write("a/b/c/k", b"x", when=IfVersion(Version("0"))),
        lambda: backend.write("a/link/k", b"x", when=IfAbsent()),
        lambda: backend.write("a/b/c/k/below", b"x", when=IfAbsent()),
        lambda: backend.put_file("a/b/c/new", [b"x"], size=2, when=IfAbsent()),
        lambda: next(backend.stream("a/b/c/k", size=1)),
        lambda: backend.read("a/b/c/k/below", limit=9),
        lambda: backend.read("a/link/k", limit=9),
        lambda: list(backend.list("")),
        lambda: backend.delete("a/b/d/k"),
    ):
        with contextlib.suppress(ArtifactStoreError):
            act()
        assert next_descriptor() == before


def next_descriptor():
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor
