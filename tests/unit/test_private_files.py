"""What the store makes on a disk is for its owner alone, and below its root nothing leads elsewhere."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from artifact_store import ArtifactStore, errors, private_files
from artifact_store.cli.app import app
from artifact_store.core import keys
from artifact_store.core.files import Digest
from artifact_store.core.pointer import GATHERED
from artifact_store.storage.cache import FileCache
from artifact_store.storage.hashing import hash_pieces
from artifact_store.storage.local import locks
from tests.keys import signer, strict

if sys.platform == "win32":
    pytest.skip("Windows has other permissions, and links that only some users may make", allow_module_level=True)

KEY = "gru/BTCEUR"


@pytest.fixture
def open_to_all() -> Iterator[None]:
    """The most careless of all umasks."""
    before = os.umask(0)
    yield
    os.umask(before)


def everything(root: Path) -> Iterator[tuple[Path, int]]:
    for path in (root, *root.rglob("*")):
        yield path, stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("open_to_all")
def test_whatever_the_store_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    made = tmp_path / "made"
    with ArtifactStore(made / "deep" / "store", signer=signer(), cache=made / "cache" / "deep") as store:
        runs = [store.save({"number": number}, KEY) for number in range(3)]
        for turn in range(GATHERED + 1):
            store.promote(runs[turn % 2].ref, "latest")
        store.delete(str(runs[2].ref)).apply()
        runs[0].download(made / "downloads" / "one", all_signatures=True)
    policy = strict()
    with ArtifactStore(
        made / "deep" / "store", policy=policy, state=made / "seen" / "deep", cache=made / "cache2"
    ) as store:
        store.load(KEY)
        store.get(KEY).download(made / "downloads" / "two")
    FileCache(made / "cache3" / "deep").keep(Digest(1, "ab" * 32), _written(tmp_path / "source", b"x"))
    (made / "keys").mkdir(mode=0o700)
    assert CliRunner().invoke(app, ["keygen", str(made / "keys" / "mine")]).exit_code == 0
    found = dict(everything(made))
    public = made / "keys" / "mine.pub"
    assert {path.name for path, mode in found.items() if path.is_dir() and mode != 0o700} == set()
    assert {path.name for path, mode in found.items() if path.is_file() and mode != 0o600} <= {public.name}
    for part in ("_locks", "_signatures", "latest.history", "seen", "cache3", "manifest.json", "mine.key"):
        assert any(path.name == part for path in found), part


@pytest.mark.usefixtures("open_to_all")
def test_a_private_folder_in_a_folder_that_is_there_leaves_that_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    private_files.make_folder(tmp_path / "shared" / "a" / "b", private_files.PRIVATE)
    modes = {path.name: mode for path, mode in everything(tmp_path / "shared")}
    assert modes == {"shared": 0o755, "a": 0o700, "b": 0o700}


@pytest.mark.usefixtures("open_to_all")
def test_what_is_decoded_lies_in_a_folder_that_nobody_else_can_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in MLflow's CVE-2026-4137: a file in a folder that all may write is exchanged by another user."""
    from artifact_store.codecs.documents import DocumentCodec

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with ArtifactStore(f"memory://{tmp_path.name}") as store:
        store.save({"a": 1}, KEY)
        seen: list[int] = []
        decode = DocumentCodec.decode

        def looking(self: Any, directory: Path, stem: str, options: Any, **more: Any) -> Any:
            seen.extend(mode for path, mode in everything(directory) if path.is_dir())
            between = directory.parents[: directory.parents.index(tmp_path)]
            seen.extend(stat.S_IMODE(os.lstat(path).st_mode) for path in between)
            return decode(self, directory, stem, options, **more)

        monkeypatch.setattr(DocumentCodec, "decode", looking)
        assert store.load(KEY) == {"a": 1}
    assert seen == [0o700] * 3  # the files, what belongs to this load, and what belongs to this user
    assert list(tmp_path.iterdir()) == []


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# ---------------------------------------------------------------- links


class World:
    """A store with every kind of object in it, and a folder outside that must not be touched."""

    def __init__(self, folder: Path) -> None:
        self.root, self.outside = folder / "store", folder / "outside"
        self.outside.mkdir()
        with ArtifactStore(self.root, signer=signer()) as store:
            one, two = (store.save({"number": n}, KEY, run_id=f"2024081{n}_142301") for n in range(2))
            for turn in range(GATHERED):
                store.promote((one, two)[turn % 2].ref, "latest")
            store.save({"number": 7}, KEY, run_id="20240815_142301", publish="never")
            self.run, digest = one, one.manifest.digest
        key, run_id = one.key, one.run_id
        self.places = {
            "model type": "gru",
            "symbol": "gru/BTCEUR",
            "run": f"gru/BTCEUR/{run_id}",
            "file": keys.data_file(key, run_id, "model.json"),
            "manifest": keys.manifest(key, run_id),
            "pointer": keys.pointer(key, "latest"),
            "history": "gru/BTCEUR/latest.history",
            "block": keys.history_block(key, "latest", 32),
            "marker": keys.STORE_MARKER,
            "signatures": f"gru/BTCEUR/{run_id}/_signatures",
            "signature": keys.signature(key, run_id, digest, signer().key_id),
        }

    def lead_away(self, place: str) -> None:
        """Put the object outside, and a link in its place that leads to it: whoever follows it finds it sound."""
        path = self.root / self.places[place]
        path.rename(self.outside / "it")
        path.symlink_to(self.outside / "it")

    def look_outside(self) -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in sorted(self.outside.rglob("*"))
        }

    def operations(self) -> dict[str, Callable[[ArtifactStore], object]]:
        run, other = str(self.run.ref), f"{KEY}:20240815_142301"
        return {
            "load": lambda store: store.load(run),
            "load latest": lambda store: store.load(f"{KEY}@latest"),
            "get": lambda store: store.get(run),
            "history": lambda store: store.history(KEY),
            "models": lambda store: list(store.models()),
            "runs": lambda store: list(store.runs(KEY)),
            "aliases": lambda store: store.aliases(KEY),
            "verify": lambda store: store.verify(KEY),
            "verify all": lambda store: store.verify(),
            "sign": lambda store: store.sign(run, signer()),
            "save": lambda store: store.save({"a": 1}, KEY),
            "save again": lambda store: store.save({"number": 0}, KEY, run_id=self.run.run_id),
            "promote": lambda store: store.promote(run, "latest"),
            "promote best": lambda store: store.promote(run, "best"),
            "rollback": lambda store: store.rollback(KEY),
            "retire": lambda store: store.retire(KEY),
            "delete": lambda store: store.delete(other).apply(),
            "delete it": lambda store: store.delete(run).apply(),
            "prune": lambda store: store.prune(KEY, keep_last=1).apply(),
            "gc": lambda store: store.gc(grace=timedelta(0)).apply(),
            "download": lambda store: store.get(run).download(self.outside.parent / f"copy-{os.urandom(4).hex()}"),
        }


REFUSED = {
    "model type": ("load", "load latest", "get", "save", "promote", "sign"),
    "symbol": ("load", "load latest", "get", "save", "promote", "sign"),
    "run": ("load", "get", "sign", "promote best"),
    "file": ("load", "sign", "download"),
    "manifest": ("load", "get", "sign", "promote best"),
    "pointer": ("load latest", "history", "promote", "rollback"),
    "history": ("history",),
    "block": ("history",),
    "marker": ("save", "promote best"),
    "signatures": (),
    "signature": (),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("links"))


@pytest.fixture
def world(built: World, tmp_path: Path) -> World:
    """A copy of the whole, to be spoilt."""
    copy = object.__new__(World)
    copy.__dict__.update(built.__dict__)
    copy.root, copy.outside = tmp_path / "store", tmp_path / "outside"
    shutil.copytree(built.root, copy.root)
    copy.outside.mkdir()
    return copy


@pytest.mark.parametrize("place", REFUSED)
def test_no_link_is_followed_whatever_is_done(world: World, place: str) -> None:
    world.lead_away(place)
    before = world.look_outside()
    done = []
    for name, operation in world.operations().items():
        with ArtifactStore(world.root, timeout=5) as store:
            try:
                operation(store)
            except errors.ArtifactStoreError:
                continue
            finally:
                assert world.look_outside() == before, name
        done.append(name)
    assert not {*done} & {*REFUSED[place]}


@pytest.mark.parametrize("place", ["signatures", "signature"])
def test_nor_for_a_signature(world: World, place: str) -> None:
    world.lead_away(place)
    with ArtifactStore(world.root, policy=strict()) as store, pytest.raises((errors.Untrusted, errors.Corrupt)):
        store.load(str(world.run.ref))


def test_nor_by_locks(world: World) -> None:
    shutil.rmtree(world.root / locks.FOLDER)
    (world.root / locks.FOLDER).symlink_to(world.outside)
    with ArtifactStore(world.root) as store, pytest.raises(errors.Corrupt):
        store.promote(world.run.ref, "latest")
    (world.root / locks.FOLDER).unlink()
    where = locks.path_for(world.root, keys.pointer(world.run.key, "latest"))
    where.parent.mkdir()
    where.symlink_to(_written(world.outside / "victim", b"precious"))
    with ArtifactStore(world.root) as store, pytest.raises(errors.Corrupt):
        store.promote(world.run.ref, "latest")
    assert (world.outside / "victim").read_bytes() == b"precious"


@pytest.mark.parametrize("place", ["folder", "file"])
def test_nor_in_what_a_client_has_seen(world: World, tmp_path: Path, place: str) -> None:
    seen = tmp_path / "seen"
    with ArtifactStore(world.root, policy=strict(), state=seen) as store:
        store.load(f"{KEY}@latest")
    victim = _written(world.outside / "victim", b"precious")
    if place == "file":
        for mark in seen.glob("*.json"):
            mark.unlink()
            mark.symlink_to(victim)
    else:
        shutil.rmtree(seen / locks.FOLDER, ignore_errors=True)
        (seen / locks.FOLDER).symlink_to(world.outside)
        with ArtifactStore(world.root, signer=signer()) as store:
            store.promote(world.run.ref, "latest")
    with ArtifactStore(world.root, policy=strict(), state=seen) as store, pytest.raises(errors.Corrupt):
        store.load(f"{KEY}@latest")
    assert victim.read_bytes() == b"precious"
    assert [path.name for path in world.outside.iterdir()] == ["victim"]


@pytest.mark.parametrize("place", ["folder", "file"])
def test_nor_in_the_cache(tmp_path: Path, place: str) -> None:
    cache, outside = FileCache(tmp_path / "cache"), tmp_path / "outside"
    outside.mkdir()
    source = _written(tmp_path / "source", b"content")
    digest = hash_pieces([b"content"])
    cache.keep(digest, source)
    kept = tmp_path / "cache" / digest.sha256[:2] / digest.sha256
    assert cache.take(digest, tmp_path / "target")
    moved = kept if place == "file" else kept.parent
    moved.rename(outside / "it")
    moved.symlink_to(outside / "it")
    before = sorted(path.stat().st_mtime_ns for path in outside.rglob("*"))
    assert not cache.take(digest, tmp_path / "another")
    other = hash_pieces([b"other"])
    (tmp_path / "cache" / other.sha256[:2]).symlink_to(outside) if place == "folder" else None
    cache.keep(other, _written(source, b"other"))
    if place == "folder":
        assert sorted(path.stat().st_mtime_ns for path in outside.rglob("*")) == before
        assert not cache.take(other, tmp_path / "third")
    cache.keep(digest, _written(source, b"content"))
    if place == "file":
        assert not kept.is_symlink()  # our own name in our own folder: the link is replaced, and what it led to is not
        assert (outside / "it").read_bytes() == b"content"


def test_leftovers_are_looked_for_without_following_a_link(world: World) -> None:
    (world.outside / ".tmp-0123456789abcdef").write_bytes(b"not ours")
    (world.root / "gru" / "elsewhere").symlink_to(world.outside)
    old = datetime.now(UTC) + timedelta(days=900)
    with ArtifactStore(world.root, clock=lambda: old) as store:
        store.gc(grace=timedelta(0)).apply()
    assert (world.outside / ".tmp-0123456789abcdef").exists()
