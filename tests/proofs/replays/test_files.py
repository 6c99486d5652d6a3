"""Files, links and rights: what is checked is what is read, and nothing is reached through a link."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import filelock
import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, CodecRegistry, Risk, errors
from artifact_store.cli.app import app
from artifact_store.storage.local import locks
from tests.proofs.replays.surroundings import photograph, untouched

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a right there, and there are no modes")

KEY = "gru/BTCEUR"
RUN = "20240101_000000"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    store = ArtifactStore(tmp_path / "store", timeout=5.0)
    store.save({"a": 1}, KEY, run_id=RUN)
    return store


# ---------------------------------------------------------------- 4: a folder that all may write


@pytest.fixture
def open_to_all() -> Iterator[None]:
    """A process without an umask, as in many containers."""
    before = os.umask(0)
    yield
    os.umask(before)


class Looking:
    """A codec whose decoding looks at who may write to what it is given."""

    name, version, types, extra = "looking", 1, ("builtins.bytearray",), None

    def __init__(self, risk: Risk, look: Callable[[Path], None]) -> None:
        self.risk, self.look = risk, look

    def encode(self, obj: Any, directory: Path, stem: str) -> dict[str, Any]:
        (directory / f"{stem}.bin").write_bytes(obj)
        return {}

    def decode(self, directory: Path, stem: str, options: Any, *, into: Any = None) -> bytes:
        self.look(directory)
        return (directory / f"{stem}.bin").read_bytes()


def writable_by_others(folder: Path) -> dict[str, str]:
    return {
        name: what
        for name, what in {".": f"{stat.filemode(folder.stat().st_mode)} ", **photograph(folder)}.items()
        if not what.startswith("l") and (what[5] == "w" or what[8] == "w")
    }


@pytest.mark.usefixtures("open_to_all")
@pytest.mark.parametrize("risk", list(Risk))
def test_row_04_nobody_else_can_write_where_a_model_is_read(tmp_path: Path, risk: Risk) -> None:
    (tmp_path / "made").mkdir()
    assert writable_by_others(tmp_path / "made")  # what a plain mkdir gives here
    seen: list[Path] = []

    def look(directory: Path) -> None:
        seen.append(directory)
        assert not writable_by_others(directory)

    registry = CodecRegistry()
    registry.register(Looking(risk, look))
    store = ArtifactStore(tmp_path / "store", registry=registry, cache=tmp_path / "cache")
    with store.new_run(KEY) as draft:
        draft.add("model", bytearray(b"model"), codec="looking")
        run = draft.commit()
    for _ in range(2):
        assert store.load(KEY, allow_code=True) == b"model"
        assert store.load(KEY, sha256=run.manifest.digest) == b"model"
    with store.get(KEY).open("model.bin") as file:
        assert file.read() == b"model"
    assert len(seen) == 4
    for made in (tmp_path / "store", *(path for path in [tmp_path / "cache"] if path.exists())):
        assert not writable_by_others(made)


@pytest.mark.usefixtures("open_to_all")
def test_row_04_nobody_else_can_write_what_was_copied_out(store: ArtifactStore, tmp_path: Path) -> None:
    from tests.keys import signer

    store.sign(KEY, signer())
    store.get(KEY).download(tmp_path / "downloaded", all_signatures=True)
    for command in (["get", KEY, str(tmp_path / "got")], ["get", KEY, str(tmp_path / "file"), "--file", "model.json"]):
        done = CliRunner().invoke(app, ["--store", store.url, *command])
        assert done.exit_code == 0, done.output
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "weights.bin").write_bytes(b"weights")
    store.save(tmp_path / "folder", "gru/TREE")
    store.load("gru/TREE", into=tmp_path / "tree")
    done = CliRunner().invoke(app, ["keygen", str(tmp_path / "mine")])
    assert done.exit_code == 0
    for made in ("downloaded", "got", "tree"):
        assert not writable_by_others(tmp_path / made), made
    for name in ("file", "mine.key", "mine.pub"):
        assert not (tmp_path / name).stat().st_mode & 0o022, name


def test_row_04_bytes_swapped_after_the_comparison_are_not_decoded(tmp_path: Path) -> None:
    """What could do harm is decoded from a copy that nobody else knows, made of the very bytes that were compared."""
    stored: list[Path] = []

    def swap(directory: Path) -> None:
        stored[0].write_bytes(b"hostile")
        assert not directory.is_relative_to(tmp_path)

    registry = CodecRegistry()
    registry.register(Looking(Risk.VETTED, swap))
    store = ArtifactStore(tmp_path / "store", registry=registry)
    run = store.save(bytearray(b"model"), KEY)
    stored.append(tmp_path / "store" / KEY / run.run_id / "model.bin")
    assert store.load(KEY) == b"model"
    assert stored[0].read_bytes() == b"hostile"
    with pytest.raises(errors.DigestMismatch):
        store.load(KEY)


# ---------------------------------------------------------------- 7: symlinks


def links(store: Path, elsewhere: Path) -> dict[str, tuple[Path, Path]]:
    """What is put in the place of what, by name: a link to the very same thing, in another place."""
    folder = store / KEY
    return {
        "a file": (folder / RUN / "model.json", elsewhere / "model.json"),
        "a manifest": (folder / RUN / "manifest.json", elsewhere / "manifest.json"),
        "a pointer": (folder / "latest.json", elsewhere / "latest.json"),
        "a run": (folder / RUN, elsewhere / RUN),
        "a symbol": (folder, elsewhere / "BTCEUR"),
        "a model type": (store / "gru", elsewhere / "gru"),
        "the locks": (store / "_locks", elsewhere / "_locks"),
        "the marker": (store / "_store.json", elsewhere / "_store.json"),
    }


@pytest.mark.parametrize("what", list(links(Path(), Path())))
def test_row_07_nothing_is_reached_through_a_link(store: ArtifactStore, tmp_path: Path, what: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place, target = links(tmp_path / "store", elsewhere)[what]
    place.rename(target)
    place.symlink_to(target)
    assert place.exists()  # whoever follows it finds everything in order
    acts: dict[str, Callable[[], Any]] = {
        "load": lambda: ArtifactStore(store.url).load(KEY),
        "save": lambda: ArtifactStore(store.url).save({"a": 2}, KEY),
        "promote": lambda: ArtifactStore(store.url).promote(f"{KEY}:{RUN}", "production"),
        "publish": lambda: ArtifactStore(store.url).promote(f"{KEY}:{RUN}", "latest"),
        "retire": lambda: ArtifactStore(store.url).retire(KEY),
        "gc": lambda: ArtifactStore(store.url).gc(grace=timedelta(0)).apply(),
        "download": lambda: ArtifactStore(store.url).get(KEY).download(tmp_path / f"out-{time.time_ns()}"),
    }
    spared = {"a file": {"save", "promote", "publish", "retire"}, "the locks": {"load", "download", "save", "promote"}}
    spared["a pointer"] = {"promote"}
    spared["a manifest"] = {"save", "load", "retire"}  # the pointer holds its own copy of it
    spared["a run"] = {"save", "retire"}
    spared["the marker"] = {"load", "download"}
    with untouched(elsewhere):
        for name, act in acts.items():
            if name == "gc" or name in spared.get(what, set()):  # which has nothing to do with it, or passes it over
                with suppress(errors.ArtifactStoreError):
                    act()
                continue
            with pytest.raises((errors.Corrupt, errors.NotAStore, errors.NotFound)):
                act()
                pytest.fail(f"{name} went through the link that is {what}")
        if what in {"a file", "a manifest", "a pointer"}:
            assert not ArtifactStore(store.url).verify().ok


def test_row_07_a_run_that_is_a_link_is_not_deleted_through(store: ArtifactStore, tmp_path: Path) -> None:
    store.save({"a": 2}, KEY)
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "store" / KEY / RUN).rename(elsewhere)
    (tmp_path / "store" / KEY / RUN).symlink_to(elsewhere, target_is_directory=True)
    with untouched(elsewhere):
        for act in (
            lambda: store.delete(f"{KEY}:{RUN}").apply(),
            lambda: store.prune(KEY, keep_last=0, grace=timedelta(0)).apply(),
            lambda: store.gc(grace=timedelta(0)).apply(),
        ):
            with suppress(errors.ArtifactStoreError):
                act()


def test_row_07_a_file_that_becomes_a_link_between_look_and_open_is_not_read(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment that a check of the path would miss."""
    path = tmp_path / "store" / KEY / RUN / "model.json"
    (tmp_path / "same.json").write_bytes(path.read_bytes())
    real = os.open

    def swapping(name: Any, flags: int, *more: Any, **named: Any) -> int:
        if Path(os.fspath(name)).name == "model.json" and not path.is_symlink():
            path.unlink()
            path.symlink_to(tmp_path / "same.json")
        return real(name, flags, *more, **named)

    monkeypatch.setattr(os, "open", swapping)
    with pytest.raises(errors.Corrupt):
        store.load(KEY)
    assert path.is_symlink()


# ---------------------------------------------------------------- 13: a lock that is a link


def test_row_13_a_lock_that_is_a_link_cuts_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    other = store.save({"a": 2}, KEY, publish="never")
    for number in range(256):
        lock = tmp_path / "store" / locks.FOLDER / f"{number:02x}.lock"
        lock.unlink(missing_ok=True)
        lock.symlink_to(victim)
    with untouched(tmp_path / "store" / "gru", tmp_path / "store" / locks.FOLDER):
        for write in (
            lambda: store.promote(f"{KEY}:{RUN}", "latest"),
            lambda: store.retire(KEY),
            lambda: store.delete(f"{KEY}:{other.run_id}").apply(),
        ):
            with pytest.raises(errors.Corrupt, match="not a plain file"):
                write()
        assert store.load(KEY) == {"a": 1}
    assert victim.read_text() == "precious"
    os.close(os.open(tmp_path / "store" / locks.FOLDER / "00.lock", os.O_RDWR | os.O_TRUNC))
    assert victim.read_text() == ""  # what opening a lock in the old way does


def test_row_13_the_library_below_does_not_follow_one_either(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    (tmp_path / "x.lock").symlink_to(victim)
    with suppress(OSError, filelock.Timeout), filelock.FileLock(tmp_path / "x.lock", timeout=0):
        pass
    assert victim.read_text() == "precious"


# ---------------------------------------------------------------- 20: a lock whose holder was killed

HOLDER = """
import sys, time
from pathlib import Path
from artifact_store.storage.local import locks
root = Path(sys.argv[1])
import contextlib
with contextlib.ExitStack() as held:
    for number in range(256):
        lock = locks._lock(root / locks.FOLDER / f"{number:02x}.lock")
        lock.acquire(timeout=5)
        held.callback(lock.release)
    print("held", flush=True)
    time.sleep(600)
"""


def test_row_20_the_lock_of_a_killed_process_keeps_nobody(store: ArtifactStore, tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, store.url], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        waiting = ArtifactStore(store.url, timeout=0.3)
        with untouched(tmp_path), pytest.raises(errors.LockHeld, match=r"\.lock"):  # alive: a typed time-out
            waiting.promote(f"{KEY}:{RUN}", "latest")
    finally:
        holder.kill()
        holder.communicate()
    assert ArtifactStore(store.url, timeout=5.0).promote(f"{KEY}:{RUN}", "latest").seq == 2  # dead: nobody waits
    left = {path.name for path in (tmp_path / "store" / locks.FOLDER).iterdir()}
    assert len(left) == 256  # they lie there for ever, and stop nobody


# ---------------------------------------------------------------- 44: a file believed for its size


def test_row_44_a_cached_file_is_compared_and_not_only_measured(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    store = ArtifactStore("memory://cached", cache=cache)
    run = store.save(b"weights", KEY)
    assert store.load(KEY) == b"weights"
    kept = [path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == b"weights"]
    assert kept
    for swap in (b"WEIGHTS", b"weight", b""):
        for path in kept:
            path.write_bytes(swap)
        assert store.load(KEY) == b"weights"
    for path in kept:
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(b"WEIGHTS")
    assert store.load(KEY) == b"weights"
    assert (tmp_path / "elsewhere").read_bytes() == b"WEIGHTS"
    assert run.files["model.bin"].size == len(b"WEIGHTS")  # its size alone would have let it pass


def test_row_44_a_leftover_of_the_same_size_is_no_download(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "dest").mkdir()
    leftover = tmp_path / "dest" / "model.json"
    leftover.write_bytes(b'{"a":2}')
    with untouched(tmp_path / "dest"):
        with pytest.raises(errors.InvalidOption, match="not empty"):
            store.get(KEY).download(tmp_path / "dest")
        for more in ([], ["--file", "model.json"], ["--component", "model"]):
            done = CliRunner().invoke(app, ["--store", store.url, "get", KEY, str(tmp_path / "dest"), *more])
            assert done.exit_code == 2, done.output


def test_row_44_a_stored_file_of_the_same_size_is_not_taken_for_the_own_one(tmp_path: Path) -> None:
    """A save that finds other bytes of the same length under its name does not use them."""
    store = ArtifactStore(tmp_path / "store")
    store.save({"a": 0}, KEY)
    place = tmp_path / "store" / KEY / "20240301_000000"
    place.mkdir()
    (place / "model.json").write_bytes(b'{"a":2}')
    run = store.save({"a": 1}, KEY, run_id="20240301_000000")
    assert store.load(str(run.ref)) == {"a": 1}
    assert (place / "model.json").read_bytes() == b'{"a":2}'
