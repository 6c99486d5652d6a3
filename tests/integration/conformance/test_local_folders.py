"""Folders by path, as Windows has them, behave like folders by descriptor; and patience has an end."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from artifact_store.errors import AccessDenied, ConditionsUnsupported, Corrupt, Unreachable
from artifact_store.storage.base import Backend, IfAbsent
from artifact_store.storage.local import backend as local
from artifact_store.storage.local import folders, new_file
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.local.errors import translated
from artifact_store.storage.local.folders import PathFolder, retry_while_in_use
from artifact_store.testing import BackendSuite

pytestmark = pytest.mark.windows


def rename_new(source: Path, target: Path) -> None:
    """Do what os.rename does on Windows: fail if the target exists."""
    os.link(source, target)
    source.unlink()


@pytest.mark.skipif(os.name == "nt", reason="there the ordinary tests use these folders")
class TestLocalByPaths(BackendSuite):
    """The whole contract once more, through the folders that Windows gets."""

    @pytest.fixture(autouse=True)
    def by_paths(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (folders, local, new_file):
            monkeypatch.setattr(module, "open_root", lambda path: PathFolder(path, rename=rename_new))

    @pytest.fixture
    def backend(self, tmp_path: Path, by_paths: None) -> LocalBackend:
        (tmp_path / "store").mkdir()
        return LocalBackend(tmp_path / "store")

    @pytest.fixture
    def other(self, backend: Backend) -> LocalBackend:
        return LocalBackend(Path(backend.url))

    def leftovers(self, backend: Backend) -> Sequence[str]:
        return [str(path) for path in Path(backend.url).rglob(".tmp-*")]

    def test_a_symlink_is_not_entered(self, backend: Backend, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "store" / "a").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(Corrupt, match="symlink"):
            backend.write("a/k", b"", when=IfAbsent())
        with pytest.raises(Corrupt, match="symlink"):
            backend.read("a/k", limit=9)
        assert list((tmp_path / "elsewhere").iterdir()) == []


class Windows:
    """A clock that only sleeping moves, and steps that fail like Windows does."""

    def __init__(self) -> None:
        self.now = 0.0
        self.tries = 0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def step(self, *, succeeds_at: float, code: int) -> str:
        self.tries += 1
        if self.now < succeeds_at:
            raise refused(code)
        return "done"


def refused(code: int) -> PermissionError:
    error = PermissionError(13, "Permission denied")
    error.winerror = code  # as the platform itself sets it
    return error


@pytest.mark.parametrize("code", [5, 32, 33, None])  # the C runtime, and so os.open, leaves the code out
def test_a_file_in_use_is_waited_for(code):
    windows = Windows()
    step = lambda: windows.step(succeeds_at=1.5, code=code)  # noqa: E731 -- one step, used once
    assert retry_while_in_use(step, clock=windows.clock, sleep=windows.sleep) == "done"
    assert windows.tries > 3


def test_patience_ends_after_two_seconds():
    windows = Windows()
    with pytest.raises(PermissionError):
        retry_while_in_use(lambda: windows.step(succeeds_at=99, code=32), clock=windows.clock, sleep=windows.sleep)
    assert 1.5 < windows.now <= 2.0


def test_any_other_refusal_is_reported_at_once():
    windows = Windows()
    with pytest.raises(PermissionError):
        retry_while_in_use(lambda: windows.step(succeeds_at=99, code=1314), clock=windows.clock, sleep=windows.sleep)
    assert (windows.tries, windows.now) == (1, 0.0)


def test_a_file_that_stays_in_use_is_unreachable_not_forbidden(tmp_path):
    with pytest.raises(Unreachable, match="Another program"), translated(tmp_path):
        raise refused(32)
    with pytest.raises(AccessDenied), translated(tmp_path):
        raise refused(1314)


@pytest.mark.skipif(os.name == "nt", reason="descriptors of folders are a POSIX thing")
def test_without_hard_links_a_rename_that_replaces_nothing_creates(tmp_path, monkeypatch):
    def no_links(*_args: object, **_options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    backend = LocalBackend(tmp_path)
    try:
        backend.write("a/k", b"first", when=IfAbsent())
    except ConditionsUnsupported as missing:
        pytest.skip(str(missing))
    with pytest.raises(Exception, match="is there already"):
        backend.write("a/k", b"second", when=IfAbsent())
    assert backend.read("a/k", limit=9).data == b"first"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["k"]


@pytest.mark.skipif(os.name == "nt", reason="descriptors of folders are a POSIX thing")
def test_without_any_way_to_create_it_refuses_and_writes_nothing(tmp_path, monkeypatch):
    import ctypes

    def no_links(*_args: object, **_options: object) -> None:
        raise OSError(95, "Operation not supported")

    class NoSuchCalls:
        def __init__(self, *_args: object, **_options: object) -> None:
            pass

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(ctypes, "CDLL", NoSuchCalls)
    with pytest.raises(ConditionsUnsupported, match="hard links"):
        LocalBackend(tmp_path).write("k", b"first", when=IfAbsent())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="modes are a POSIX thing")
@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_folders_and_files_are_for_their_owner_alone(tmp_path, umask):
    root = tmp_path / "new" / "store"
    before = os.umask(umask)
    try:
        LocalBackend(root).write("a/b/k", b"", when=IfAbsent())
    finally:
        os.umask(before)
    for folder in (root.parent, root, root / "a", root / "a" / "b"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "a" / "b" / "k").stat().st_mode) == 0o600
