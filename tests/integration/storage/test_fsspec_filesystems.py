"""Filesystems that are not s3fs, or that somebody hands over: what is used, what is refused, what is told."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import fsspec
import pytest
import s3fs
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.implementations.zip import ZipFileSystem

from artifact_store import ArtifactStore, errors
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    ConditionsUnsupported,
    ContainerNotFound,
    DeadlineExceeded,
    DigestMismatch,
    EngineUnavailable,
    InvalidOption,
    ObjectNotFound,
    StorageFull,
    Unreachable,
    Unsupported,
)
from artifact_store.storage.base import Always, Backend, IfAbsent, IfVersion, Version
from artifact_store.storage.fsspec.backend import FsspecBackend, open_filesystem
from artifact_store.storage.fsspec.errors import translate_fsspec_error
from artifact_store.storage.http import Attempt
from artifact_store.storage.s3fs.backend import S3fsBackend
from artifact_store.testing.backend_suite import run_in_a_fork
from tests.servers import SeaweedServer

NAIVE = datetime.fromisoformat("2024-08-16T14:23:01")
MARKER = "mArKeR-secret/with+signs=="
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


class Bucket(MemoryFileSystem):
    """An object store with one bucket, as far as its name goes: it does not make buckets on the way."""

    protocol = "gs"
    store: dict[str, object] = {}  # noqa: RUF012 -- as in the class below it, one store for all instances
    pseudo_dirs: list[str] = ["", "/there"]  # noqa: RUF012 -- the same

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: object) -> None:
        if not self._strip_protocol(path).startswith("/there/"):
            raise FileNotFoundError(path)
        super().pipe_file(path, value, mode=mode, **kwargs)

    def makedirs(self, path: str, **kwargs: object) -> None:
        raise AssertionError("a bucket would have been made")


class Broken(MemoryFileSystem):
    """A filesystem on which everything fails in the same way."""

    protocol = "broken"
    trouble: Exception = OSError("it broke")

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: object) -> bytes:
        raise self.trouble

    def info(self, path: str, **kwargs: object) -> dict[str, object]:
        raise self.trouble

    def ls(self, path: str, **kwargs: object) -> list[object]:
        raise self.trouble

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: object) -> None:
        raise self.trouble

    def rm_file(self, path: str) -> None:
        raise self.trouble


class Hanging(MemoryFileSystem):
    """A filesystem whose server has stopped answering."""

    protocol = "hanging"
    release = threading.Event()

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: object) -> bytes:
        self.release.wait(30)
        return b"late"


class Strict(MemoryFileSystem):
    """A filesystem that takes no options but its own."""

    protocol = "strict"

    def __init__(self, path: str) -> None:
        super().__init__()
        self.shelf = path


class Odd(MemoryFileSystem):
    """A filesystem with an option of its own."""

    protocol = "odd"

    def __init__(self, greeting: str) -> None:
        super().__init__()
        self.greeting = greeting


def every_call(backend: Backend) -> list[Callable[[], object]]:
    return [
        lambda: backend.read("k", limit=9),
        lambda: list(backend.stream("k", size=1)),
        lambda: backend.write("k", b"x", when=Always()),
        lambda: list(backend.list("")),
        lambda: list(backend.children("")),
        lambda: backend.delete("k"),
    ]


# ---------------------------------------------------------------- conditions


def test_a_refused_condition_names_the_filesystem_and_the_ways_out():
    backend = open_filesystem(f"memory://{uuid.uuid4().hex}")
    version = backend.write("k", b"old", when=Always())
    for when in (IfAbsent(), IfVersion(version), IfVersion(Version("stale"))):
        with pytest.raises(ConditionsUnsupported, match=r"MemoryFileSystem.*another engine.*single-writer"):
            backend.write("k", b"new", when=when)
        with pytest.raises(ConditionsUnsupported):
            backend.put_file("k", [b"new"], size=3, when=when)
    assert backend.read("k", limit=9).data == b"old"


def test_the_obstore_adapter_of_fsspec_is_not_trusted_with_conditions():
    """Its ``mode="create"`` overwrites; whoever wants conditions takes the obstore engine itself."""
    pytest.importorskip("obstore")
    from obstore.fsspec import FsspecStore

    backend = open_filesystem("s3://bucket/models", filesystem=FsspecStore("s3"))
    assert isinstance(backend, FsspecBackend)
    with pytest.raises(ConditionsUnsupported):
        backend.write("k", b"x", when=IfAbsent())


# ---------------------------------------------------------------- a filesystem that is handed over


def test_a_ready_filesystem_is_used_as_it_is():
    ready = fsspec.filesystem("memory")
    root = f"/{uuid.uuid4().hex}"
    backend = open_filesystem(root, filesystem=ready)
    backend.write("a/b", b"one", when=Always())
    assert ready.cat_file(f"{root}/a/b") == b"one"
    backend.close()
    assert backend.read("a/b", limit=9).data == b"one"


def test_a_filesystem_below_a_folder_of_another_one_is_used(tmp_path):
    ready = DirFileSystem(path=str(tmp_path), fs=fsspec.filesystem("file"))
    backend = open_filesystem("models", filesystem=ready)
    backend.write("a/b", b"one", when=Always())
    assert (tmp_path / "models" / "a" / "b").read_bytes() == b"one"
    assert [entry.key for entry in backend.list("")] == ["a/b"]
    assert list(backend.children("")) == ["a/"]


@forks
@pytest.mark.parametrize("concurrency", ["safe", "single-writer"])
def test_a_store_in_an_archive_is_read_and_says_that_it_cannot_be_written(tmp_path, concurrency):
    folder = ArtifactStore(tmp_path / "store")
    folder.save({"n": 1}, "gru/BTCEUR")
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "store")
    archive = ZipFileSystem(fo=str(tmp_path / "packed.zip"))
    store = ArtifactStore("store", filesystem=archive, concurrency=concurrency)
    assert store.load("gru/BTCEUR") == {"n": 1}
    assert store.verify().ok
    for change in (lambda: store.save({"n": 2}, "gru/BTCEUR"), lambda: store.promote("gru/BTCEUR", "production")):
        with pytest.raises(Unsupported, match="ZipFileSystem writes an archive once.*save into a folder or a bucket"):
            change()


def test_a_wrapped_filesystem_is_refused_in_a_forked_child(tmp_path):
    ready = DirFileSystem(path=str(tmp_path), fs=fsspec.filesystem("file"))
    backend = open_filesystem("models", filesystem=ready)
    backend.write("k", b"one", when=Always())

    def child() -> None:
        with pytest.raises(Unsupported, match="another process"):
            backend.read("k", limit=9)

    run_in_a_fork(child)
    assert backend.read("k", limit=9).data == b"one"


@forks
def test_a_ready_filesystem_is_made_anew_in_a_forked_child(tmp_path):
    backend = open_filesystem(tmp_path.as_posix(), filesystem=fsspec.filesystem("file"))
    backend.write("k", b"one", when=Always())

    def child() -> None:
        assert backend.read("k", limit=9).data == b"one"

    run_in_a_fork(child)


def test_a_ready_s3fs_is_a_description_and_stays_untouched(seaweed: SeaweedServer, seaweed_prefix: str):
    ready = s3fs.S3FileSystem(**seaweed.storage_options())
    root = f"{seaweed.bucket}/{seaweed_prefix}"
    ready.pipe_file(f"{root}/before", b"x")
    listed = ready.ls(root)
    backend = open_filesystem(root, filesystem=ready)
    assert isinstance(backend, S3fsBackend)
    backend.write("after", b"one", when=IfAbsent())
    assert [entry.key for entry in backend.list("")] == ["after", "before"]
    backend.delete("after")
    backend.delete("before")
    assert list(backend.list("")) == []
    assert ready.ls(root) == listed  # its cache is its own business
    backend.close()
    ready.pipe_file(f"{root}/still", b"at work")


def test_a_ready_s3fs_with_positional_credentials_hides_them(seaweed: SeaweedServer):
    ready = s3fs.S3FileSystem(False, seaweed.endpoint, seaweed.access_key, MARKER)
    backend = open_filesystem("bucket/models", filesystem=ready)
    with pytest.raises(InvalidOption) as refused:
        pickle.dumps(backend)
    assert MARKER not in str(refused.value) + repr(backend) + repr(vars(backend))
    backend.close()


def test_a_subclass_of_s3fs_keeps_its_class(seaweed: SeaweedServer, seaweed_prefix: str):
    class Mine(s3fs.S3FileSystem):
        pass

    backend = open_filesystem(f"{seaweed.bucket}/{seaweed_prefix}", filesystem=Mine(**seaweed.storage_options()))
    assert isinstance(backend, S3fsBackend)
    assert backend.write("k", b"one", when=IfAbsent())
    assert "Mine" in repr(vars(backend)["_calls"].recipe)
    backend.close()


def test_options_beside_a_ready_filesystem_are_refused():
    with pytest.raises(InvalidOption, match="not both"):
        open_filesystem("models", {"key": "k"}, filesystem=fsspec.filesystem("memory"))


def test_a_filesystem_that_is_strict_about_its_options_can_be_used():
    backend = open_filesystem(f"/{uuid.uuid4().hex}", filesystem=Strict("left"))
    backend.write("k", b"one", when=Always())
    revived = pickle.loads(pickle.dumps(backend))
    assert revived.read("k", limit=9).data == b"one"


def test_a_filesystem_with_an_option_that_is_not_known_is_used_and_not_pickled():
    backend = open_filesystem(f"/{uuid.uuid4().hex}", filesystem=Odd(MARKER))
    backend.write("k", b"one", when=Always())
    assert backend.read("k", limit=9).data == b"one"
    with pytest.raises(InvalidOption, match=r"\(greeting\) are not pickled") as refused:
        pickle.dumps(backend)
    assert MARKER not in str(refused.value) + repr(backend) + repr(vars(backend))


# ---------------------------------------------------------------- URLs and options


def test_an_unknown_protocol_is_unavailable():
    with pytest.raises(EngineUnavailable):
        open_filesystem("no-such-protocol://host/models")


def test_a_protocol_whose_package_is_missing_names_it_and_the_command_for_the_other_engine():
    try:
        import gcsfs  # noqa: F401 -- only to know whether it is there
    except ImportError:
        with pytest.raises(EngineUnavailable, match="gcsfs.*; or, for the engine 'obstore': pip install .*obstore"):
            open_filesystem("gs://bucket/models")
    else:
        pytest.skip("gcsfs is installed here")


@pytest.mark.parametrize(
    "url", [f"sftp://me:{MARKER}@host/models", f"s3://KEY:{MARKER}@bucket/models", "filecache::s3://bucket/models"]
)
def test_passwords_and_chains_in_urls_are_refused(url: str):
    with pytest.raises(InvalidOption) as caught:
        open_filesystem(url)
    assert MARKER not in str(caught.value)


def test_a_place_without_a_bucket_is_refused():
    with pytest.raises(InvalidOption, match="bucket"):
        open_filesystem("/", filesystem=s3fs.S3FileSystem(anon=True))


def test_opening_sends_nothing_and_asks_nobody():
    backend = open_filesystem("s3://bucket/models", {"endpoint_url": "http://127.0.0.1:1", "key": "a", "secret": "b"})
    assert backend.url == "s3://bucket/models"
    assert backend.endpoint == "http://127.0.0.1:1"


def test_an_option_that_the_filesystem_does_not_take_is_named():
    backend = open_filesystem("models", filesystem=Strict("left"))
    assert backend.endpoint == "fsspec:strict"
    revived = pickle.loads(pickle.dumps(backend))
    revived._recipe.options = type(revived._recipe.options)({"no_such": MARKER, "secret": MARKER})
    with pytest.raises(Unsupported, match="no_such") as caught:
        revived.read("k", limit=9)
    assert MARKER not in str(caught.value)


# ---------------------------------------------------------------- buckets of other clouds


def test_a_write_into_a_bucket_that_is_not_there_makes_none():
    backend = open_filesystem("absent/models", filesystem=Bucket())
    assert not backend.makes_root
    for call in (
        lambda: backend.write("a/k", b"x", when=Always()),
        lambda: list(backend.list("")),
        lambda: list(backend.children("")),
    ):
        with pytest.raises(ContainerNotFound):
            call()


def test_a_bucket_that_is_there_is_written():
    backend = open_filesystem("there/models", filesystem=Bucket())
    backend.write("a/k", b"x", when=Always())
    assert [entry.key for entry in backend.list("")] == ["a/k"]


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (PermissionError("no"), AccessDenied),
        (OSError(errno.ENOSPC, "full"), StorageFull),
        (TimeoutError("slow"), DeadlineExceeded),
        (ConnectionResetError("gone"), Unreachable),
        (OSError("it broke"), Unreachable),
        (RuntimeError("a library's own"), Unreachable),
    ],
)
def test_whatever_a_filesystem_raises_is_translated(trouble: Exception, expected: type[ArtifactStoreError]):
    broken = Broken()
    broken.trouble = trouble
    backend = open_filesystem("/root", filesystem=broken)
    # also from a listing: one that fails is not one that is empty
    for call in every_call(backend)[:5]:
        with pytest.raises(expected) as caught:
            call()
        assert type(caught.value.__cause__).__name__ == "ForeignError"
        assert str(trouble) in str(caught.value.__cause__)


class AzureLike(Exception):
    def __init__(self, status_code: int, error_code: str) -> None:
        self.status_code, self.error_code = status_code, error_code
        super().__init__(f"the server said {error_code}, and my key is {MARKER}")


class GoogleLike(Exception):
    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__("google said so")


@pytest.mark.parametrize(
    ("foreign", "expected"),
    [
        (AzureLike(404, "ContainerNotFound"), ContainerNotFound),
        (AzureLike(403, "AuthorizationFailure"), AccessDenied),
        (GoogleLike(404), ObjectNotFound),
        (GoogleLike(503), Unreachable),
    ],
)
def test_a_status_tells_more_than_a_type(foreign: Exception, expected: type[ArtifactStoreError]):
    outer = OSError(22, "Invalid argument")
    outer.__cause__ = foreign
    ours = translate_fsspec_error(outer, Attempt("read", "k", "az://container"), [MARKER])
    assert isinstance(ours, expected)
    assert MARKER not in str(ours) + str(ours.__cause__)


def test_a_hanging_filesystem_is_given_up_when_the_time_is_over():
    backend = open_filesystem("/root", filesystem=Hanging(), timeout=0.3)
    backend._instant = False  # a memory filesystem in disguise: treat it as the remote one that it plays
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"0\.3 seconds"):
        backend.read("k", limit=9)
    Hanging.release.set()
    assert time.monotonic() - began < 30


# ---------------------------------------------------------------- streams, sizes and times


def test_a_stream_of_an_object_that_is_replaced_is_a_mismatch(tmp_path):
    backend = open_filesystem(f"file://{tmp_path.as_posix()}")
    size = 9 << 20
    backend.put_file("k", [b"a" * size], size=size, when=Always())
    stream = backend.stream("k", size=size)
    assert set(next(stream)) == {ord("a")}
    backend.put_file("k", [b"b" * size], size=size, when=Always())
    with pytest.raises(DigestMismatch, match="replaced"):
        list(stream)


def test_an_object_of_a_store_that_refuses_ranges_of_nothing_is_empty():
    class NoRange(MemoryFileSystem):
        protocol = "norange"

        def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: object) -> bytes:
            if self.info(path)["size"] == 0:
                raise GoogleLike(416)
            return super().cat_file(path, start=start, end=end)

    backend = open_filesystem(f"/{uuid.uuid4().hex}", filesystem=NoRange())
    backend.write("empty", b"", when=Always())
    assert backend.read("empty", limit=0).data == b""
    assert list(backend.stream("empty", size=0)) == []


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"mtime": 1_700_000_000.0}, datetime.fromtimestamp(1_700_000_000, UTC)),
        ({"LastModified": NAIVE}, NAIVE.replace(tzinfo=UTC)),
        ({"updated": "2024-08-16T14:23:01Z"}, NAIVE.replace(tzinfo=UTC)),
        ({"updated": "2024-08-16T16:23:01+02:00"}, NAIVE.replace(tzinfo=UTC)),
    ],
)
def test_times_are_aware_however_a_filesystem_spells_them(told: dict[str, object], expected: datetime):
    assert listed_time(told) == expected


@pytest.mark.parametrize("told", [{}, {"mtime": None}, {"updated": "yesterday"}])
def test_an_object_without_a_time_is_as_new_as_can_be(told: dict[str, object]):
    """So that no clean-up ever takes it for old."""
    assert datetime.now(UTC) - listed_time(told) < timedelta(minutes=1)


def listed_time(told: dict[str, object]) -> datetime:
    class Timed(MemoryFileSystem):
        protocol = "timed"

        def ls(self, path: str, **kwargs: object) -> list[object]:
            return [{"name": "/root/k", "size": 1, "type": "file", **told}]

    (entry,) = open_filesystem("/root", filesystem=Timed()).list("")
    assert entry.modified.utcoffset() == timedelta(0)
    return entry.modified


@pytest.mark.parametrize(("operation", "kind"), [("read", errors.TooManyOpenFiles), ("write", errors.Unreachable)])
def test_without_descriptors_a_write_may_have_been_sent_before(operation, kind):
    """A client sends a write again by itself when its connection breaks; the repetition may be what found none."""
    failure = OSError(errno.EMFILE, "Too many open files")
    ours = translate_fsspec_error(failure, Attempt(operation, "k", "s3://bucket"), [])
    assert type(ours) is kind
    assert "ulimit -n" in str(ours)
