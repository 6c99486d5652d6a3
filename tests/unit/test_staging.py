"""Temporary space: where it is, whose it is, what of it is known to be dead, and what is said where there is none."""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from artifact_store import ArtifactStore, Example, errors
from artifact_store.storage import owned_folder
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.owned_folder import OwnedFolder, leftovers, remove_leftover
from artifact_store.storage.staging import Staging, folder_in

if sys.platform == "win32":
    pytest.skip("what is left behind is imitated as POSIX leaves it", allow_module_level=True)

KEY = "gru/BTCEUR"
NEVER = timedelta(days=7)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this user in a temporary folder of its own, not made yet."""
    system = tmp_path / "system"
    system.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(system))
    return system / f"artifact-store-{os.geteuid()}"


def left_behind(parent: Path, **changes: Any) -> Path:
    """Leave a folder as a process that was killed does: all is there, and its lock is not held any more."""
    parent.mkdir(0o700, parents=True, exist_ok=True)
    owned = OwnedFolder(parent)
    (owned.path / "model.bin").write_bytes(b"x" * 1000)
    home = owned.path.parent
    owned._end.detach()
    os.close(owned._descriptor)
    if changes:
        record = json.loads((home / "owner").read_text())
        (home / "owner").write_text(json.dumps(record | changes))
    return home


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Be a user who may not do everything."""
    codecs.lookup("ascii")  # that user may not be able to read the standard library
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def aged(home: Path, **age: float) -> None:
    moment = time.time() - timedelta(**age).total_seconds()
    os.utime(home, (moment, moment))


class TestOwnedFolders:
    def test_one_of_a_living_process_is_left_alone(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o700)
        with OwnedFolder(tmp_path) as owned:
            home = owned.path.parent
            assert list(leftovers(tmp_path)) == []
            assert not remove_leftover(home, before=datetime.now(UTC) + NEVER)
            owned_folder.clear_dead(tmp_path, most=10)
            assert owned.path.is_dir()
        assert list(tmp_path.iterdir()) == []

    def test_one_of_a_dead_process_is_found_and_removed(self, tmp_path: Path) -> None:
        home = left_behind(tmp_path / "shared")
        (left,) = leftovers(home.parent)
        assert (left.path, left.is_dead) == (home, True)
        assert left.bytes >= 1000
        assert remove_leftover(home, before=None)
        assert list(tmp_path.iterdir()) == []
        assert not remove_leftover(home, before=None)

    @pytest.mark.parametrize("changes", [{"kernel": "another"}, {"mount": -1}, {"excludes": False}])
    def test_where_a_free_lock_proves_nothing_age_decides(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        home = left_behind(tmp_path / "shared", **changes)
        (left,) = leftovers(home.parent)
        assert not left.is_dead
        now = datetime.now(UTC)
        assert not remove_leftover(home, before=None)
        assert not remove_leftover(home, before=now - NEVER)
        owned_folder.clear_dead(home.parent, most=10)
        assert home.is_dir()
        aged(home, days=8)
        assert remove_leftover(home, before=now - NEVER)
        assert not home.exists()

    @pytest.mark.parametrize("record", [None, b"", b"{", b"[]"])
    def test_one_that_is_being_made_is_left_alone_for_a_minute(self, tmp_path: Path, record: bytes | None) -> None:
        home = left_behind(tmp_path / "shared")
        if record is None:
            (home / "owner").unlink()
        else:
            (home / "owner").write_bytes(record)
        if record == b"[]":  # a record, but not one of ours
            assert not remove_leftover(home, before=None)
            return
        assert list(leftovers(home.parent)) == []
        assert not remove_leftover(home, before=datetime.now(UTC) + NEVER)
        aged(home, minutes=2)
        assert remove_leftover(home, before=None)

    def test_what_is_not_ours_is_not_touched(self, tmp_path: Path) -> None:
        shared = tmp_path / "shared"
        home = left_behind(shared)
        (shared / "notes").mkdir()
        (shared / "0123456789abcdef").write_text("a file")
        (shared / "fedcba9876543210").symlink_to(home)
        elsewhere = left_behind(tmp_path / "elsewhere")
        (shared / "aaaaaaaaaaaaaaaa").symlink_to(elsewhere)
        wide = left_behind(shared)
        wide.chmod(0o777)
        assert [left.path for left in leftovers(shared)] == [home]
        owned_folder.clear_dead(shared, most=100)
        assert sorted(path.name for path in shared.iterdir()) == sorted(
            ["notes", "0123456789abcdef", "fedcba9876543210", "aaaaaaaaaaaaaaaa", wide.name]
        )
        assert (elsewhere / "files" / "model.bin").is_file()

    def test_a_link_in_one_is_removed_and_not_followed(self, tmp_path: Path) -> None:
        home = left_behind(tmp_path / "shared")
        kept = tmp_path / "kept"
        kept.mkdir()
        (kept / "file").write_text("kept")
        (home / "files" / "link").symlink_to(kept)
        assert remove_leftover(home, before=None)
        assert (kept / "file").read_text() == "kept"

    def test_one_that_cannot_be_emptied_is_found_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tmp_path.chmod(0o777)
        monkeypatch.chdir(tmp_path)  # what lies around it is not everybody's
        with unprivileged():
            home = left_behind(Path("shared"))
            closed = home / "files" / "closed"
            closed.mkdir()
            (closed / "part").write_bytes(b"x" * 1000)
            closed.chmod(0o500)
            assert not remove_leftover(home, before=None)
            (left,) = leftovers(home.parent)
            assert (left.path, left.is_dead) == (home, True)
            assert left.bytes >= 1000
            closed.chmod(0o700)
            assert remove_leftover(home, before=None)
            assert not Path("shared").exists()

    def test_one_whose_removal_is_interrupted_is_dead_while_its_process_lives(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object, **options: object) -> None:
            raise KeyboardInterrupt

        owned = OwnedFolder(tmp_path)
        monkeypatch.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            owned.remove()
        monkeypatch.undo()
        (left,) = leftovers(tmp_path)
        assert left.is_dead
        owned_folder.clear_dead(tmp_path, most=1)
        assert list(leftovers(tmp_path)) == []

    def test_only_so_many_are_looked_at(self, tmp_path: Path) -> None:
        shared = tmp_path / "shared"
        for _ in range(5):
            left_behind(shared)
        owned_folder.clear_dead(shared, most=3)
        assert len(list(shared.iterdir())) == 2
        owned_folder.clear_dead(shared, most=3)
        assert not shared.exists()

    def test_a_copy_in_another_process_removes_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        owned = OwnedFolder(tmp_path)
        descriptor = os.dup(owned._descriptor)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        owned.remove()
        monkeypatch.undo()
        assert owned.path.is_dir()
        tmp_path.chmod(0o700)
        assert list(leftovers(tmp_path)) == []  # the lock is that of the parent still
        os.close(descriptor)
        assert [left.is_dead for left in leftovers(tmp_path)] == [True]

    @pytest.mark.parametrize("then", ["gc", "doctor"])
    def test_one_that_another_machine_removes_meanwhile_needs_no_removing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
    ) -> None:
        import fcntl

        store = ArtifactStore(tmp_path / "store")
        store.save({"n": 1}, KEY)
        home = left_behind(tmp_path / "store" / ".tmp-staging", kernel="another")
        aged(home, days=8)
        plan = store.gc() if then == "gc" else store.doctor().repair()
        assert len(plan.changes) == 1

        def lock(descriptor: int, *_: object) -> None:  # one that says nothing about the other machine
            if home.exists() and os.path.sameopenfile(descriptor, owner):
                shutil.rmtree(home)

        monkeypatch.setattr(fcntl, "flock", lock)
        with (home / "owner").open("rb") as opened:
            owner = opened.fileno()
            assert [step.result for step in plan.apply()] == ["kept"]
        assert not home.exists()

    def test_without_locks_it_is_made_and_never_called_dead(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import fcntl

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", refuse)
        tmp_path.chmod(0o700)
        with OwnedFolder(tmp_path):
            assert [left.is_dead for left in leftovers(tmp_path)] == [False]


class TestPlaces:
    def test_a_store_that_is_not_on_this_machine_uses_the_folder_of_the_user(self, shared: Path) -> None:
        draft = ArtifactStore(MemoryBackend()).new_run(KEY)
        draft.add("model", {"n": 1})
        (found,) = shared.glob("*/files/model.json")
        assert {stat.S_IMODE(path.stat().st_mode) for path in (shared, *found.parents[:2])} == {0o700}
        draft.discard()
        assert list(shared.parent.iterdir()) == []

    def test_a_local_store_uses_its_own_place_and_shows_nothing_of_it(self, shared: Path, tmp_path: Path) -> None:
        root = tmp_path / "store"
        store = ArtifactStore(root)
        draft = store.new_run(KEY)
        draft.add("model", {"n": 1})
        assert len(list(root.glob(".tmp-staging/*/files/model.json"))) == 1
        assert not shared.exists()
        backend = LocalBackend(root)
        assert (list(backend.list("")), list(backend.children("")), list(backend.unfinished())) == ([], [], [])
        assert store.gc().steps == ()
        draft.commit()
        draft.discard()
        assert not (root / ".tmp-staging").exists()
        assert store.load(KEY) == {"n": 1}

    def test_a_root_that_was_made_for_nothing_is_removed(self, tmp_path: Path) -> None:
        with pytest.raises(errors.NoCodec), ArtifactStore(tmp_path / "a" / "store").new_run(KEY) as draft:
            draft.add("model", object())
        with pytest.raises(errors.NotEncodable), ArtifactStore(tmp_path / "a" / "store").new_run(KEY) as draft:
            draft.add("model", {1: 2})
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_of_something_else_is_not_staged_in(self, shared: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        (other / "notes.txt").write_text("mine")
        with pytest.raises(errors.NotAStore):
            ArtifactStore(other).save({"n": 1}, KEY)
        draft = ArtifactStore(other).new_run(KEY)
        draft.add("model", {"n": 1})
        assert [path.name for path in other.iterdir()] == ["notes.txt"]
        assert shared.exists()

    @pytest.mark.parametrize("mode", [0o777, 0o750])
    def test_a_folder_that_others_can_enter_is_not_used(self, shared: Path, mode: int) -> None:
        shared.mkdir()
        shared.chmod(mode)
        with Staging().folder() as folder:
            assert folder.parents[2] == shared.parent
            assert not folder.is_relative_to(shared)
            assert stat.S_IMODE(folder.parents[1].stat().st_mode) == 0o700
        assert list(shared.parent.iterdir()) == [shared]

    def test_a_link_in_the_place_of_the_folder_is_not_followed(self, shared: Path, tmp_path: Path) -> None:
        trap = tmp_path / "trap"
        left = left_behind(trap)
        shared.symlink_to(trap)
        with Staging().folder() as folder:
            assert not folder.is_relative_to(shared)
        assert [path.name for path in trap.iterdir()] == [left.name]

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
    def test_a_folder_of_another_user_is_not_used_and_not_cleared(self, shared: Path) -> None:
        left = left_behind(shared)
        os.chown(shared, 12345, 12345)
        with Staging().folder() as folder:
            assert not folder.is_relative_to(shared)
        assert left.is_dir()
        os.chown(shared, os.geteuid(), os.getegid())
        os.chown(left, 12345, 12345)
        with Staging().folder():
            assert left.is_dir()

    def test_the_folder_that_the_caller_chose_is_used_by_all(self, shared: Path, tmp_path: Path) -> None:
        chosen = tmp_path / "chosen"
        chosen.mkdir()
        for url in (tmp_path / "store", MemoryBackend()):
            draft = ArtifactStore(url, staging=chosen).new_run(KEY)
            draft.add("model", {"n": 1})
            assert len(list(chosen.glob("artifact-store-*/*/files/model.json"))) == 1
            draft.discard()
        assert not shared.exists()
        assert list(chosen.iterdir()) == []

    @pytest.mark.parametrize("staging", ["", 7, b""])
    def test_what_is_no_folder_is_refused_at_once(self, staging: Any) -> None:
        with pytest.raises(errors.InvalidOption, match="staging"):
            ArtifactStore(MemoryBackend(), staging=staging)

    @pytest.mark.parametrize("inside", ["", "gru", "deep/er"])
    def test_a_folder_inside_of_the_store_is_refused_at_once(self, tmp_path: Path, inside: str) -> None:
        with pytest.raises(errors.InvalidOption, match="inside of the store"):
            ArtifactStore(tmp_path / "store", staging=tmp_path / "store" / inside)

    @pytest.mark.parametrize("inside", ["", "gru", "deep/er"])
    def test_nor_by_way_of_links(self, tmp_path: Path, inside: str) -> None:
        real, root = tmp_path / "real", tmp_path / "root"
        (real / inside).mkdir(parents=True)
        root.symlink_to(real)
        way = tmp_path / "way"
        way.symlink_to(real / inside)
        for store, staging in ((root, real / inside), (real, root / inside), (real, way), (root, way / "new")):
            with pytest.raises(errors.InvalidOption, match="inside of the store"):
                ArtifactStore(store, staging=staging)
        out = real / "out"
        out.symlink_to(tmp_path)
        ArtifactStore(root, staging=out)

    def test_a_file_in_the_place_of_the_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        store = ArtifactStore(MemoryBackend(), staging=tmp_path / "file")
        with pytest.raises(errors.StagingUnavailable, match=r"file.*staging="):
            store.save({"n": 1}, KEY)

    def test_a_local_store_needs_no_other_folder_to_save(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        store = ArtifactStore(tmp_path / "store")
        run = store.save({"n": 1}, KEY)
        assert store.load(KEY) == {"n": 1}
        with pytest.raises(errors.StagingUnavailable, match="gone"):
            run.open("model.json")

    def test_a_system_without_a_folder_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def none() -> str:
            raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

        monkeypatch.setattr(tempfile, "gettempdir", none)
        with pytest.raises(errors.StagingUnavailable, match="TMPDIR"):
            ArtifactStore(MemoryBackend()).save({"n": 1}, KEY)

    def test_it_is_known_before_a_long_training_that_there_is_no_place(self, tmp_path: Path) -> None:
        store = ArtifactStore(MemoryBackend(), staging=tmp_path / "missing")
        with pytest.raises(errors.StagingUnavailable, match="missing"):
            store.check_writable(KEY)
        (tmp_path / "missing").mkdir()
        store.check_writable(KEY)
        assert list((tmp_path / "missing").iterdir()) == []

    def test_a_folder_that_goes_away_meanwhile_is_named(self, tmp_path: Path) -> None:
        chosen = tmp_path / "chosen"
        chosen.mkdir()
        draft = ArtifactStore(MemoryBackend(), staging=chosen).new_run(KEY)
        draft.add("model", {"n": 1})
        shutil.rmtree(chosen)
        with pytest.raises(errors.StagingUnavailable, match="chosen"):
            draft.add("more", {"n": 1})
        with pytest.raises(errors.StagingUnavailable, match="chosen"):
            draft.commit()

    @pytest.mark.parametrize(
        ("code", "kind", "advice"),
        [
            (errno.ENOSPC, errors.StorageFull, "make room on the disk of the store"),
            (errno.EDQUOT, errors.StorageFull, "make room on the disk of the store"),
            (errno.EFBIG, errors.Unsupported, "ulimit -f"),
            (errno.EROFS, errors.AccessDenied, "the mount"),
            (errno.EACCES, errors.AccessDenied, "the permissions"),
            (errno.EIO, errors.StagingUnavailable, "the disk of the store"),
        ],
    )
    def test_below_a_local_store_no_other_folder_is_advised(
        self, tmp_path: Path, code: int, kind: type[Exception], advice: str
    ) -> None:
        folder = Staging.of(tmp_path).folder(beside=tmp_path / "store" / ".tmp-staging")
        with pytest.raises(kind, match=advice) as caught, folder, folder.written():
            raise OSError(code, os.strerror(code), str(folder.path / "model.bin"))
        assert str(folder.path) in str(caught.value)
        assert not re.search("staging=|TMPDIR", str(caught.value))
        elsewhere = Staging.of(tmp_path).folder()
        with pytest.raises(errors.ArtifactStoreError, match="staging="), elsewhere, elsewhere.written():
            raise OSError(code, os.strerror(code), str(elsewhere.path / "model.bin"))

    @pytest.mark.parametrize("example", [False, True])
    def test_a_file_that_goes_away_meanwhile_is_named_before_anything_is_stored(
        self, tmp_path: Path, *, example: bool
    ) -> None:
        backend = MemoryBackend()
        draft = ArtifactStore(backend, staging=tmp_path).new_run(KEY)
        draft.add("model", {"n": 1})
        draft.add("more", {"n": 2})
        if example:
            draft.add_example(Example({"x": 1}, {"y": 2}))
        (found,) = tmp_path.rglob("more.json")
        found.unlink()
        with pytest.raises(errors.StagingUnavailable, match=r"more\.json.*staging="):
            draft.commit()
        assert [entry.key for entry in backend.list("") if "more" in entry.key or "model" in entry.key] == []
        draft.discard()

    def test_a_file_that_is_stored_from_where_it_is_is_not_looked_for(self, tmp_path: Path) -> None:
        source = tmp_path / "large.bin"
        source.write_bytes(b"x")
        with ArtifactStore(MemoryBackend()).new_run(KEY) as draft:
            draft.add("model", source, copy=False)
        assert draft.run is not None


def test_exports_wait_beside_their_destination_and_are_cleared_as_well(tmp_path: Path) -> None:
    left = [left_behind(tmp_path / name) for name in (".export", ".export-abcdefgh")]
    with folder_in(tmp_path) as folder:
        assert folder.is_relative_to(tmp_path / ".export")
        assert [one.parent.exists() for one in left] == [True, False]
        (folder / "run").mkdir()
        (folder / "run").rename(tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


class TestLeftovers:
    """What killed processes left is cleared by the next save and by gc, and doctor names it."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        store = ArtifactStore(tmp_path / "store")
        store.save({"n": 1}, KEY)
        return store

    def test_the_next_save_clears_both_places(self, store: ArtifactStore, shared: Path, tmp_path: Path) -> None:
        below = left_behind(tmp_path / "store" / ".tmp-staging")
        left_behind(shared)
        store.save({"n": 2}, KEY)
        assert not below.parent.exists()
        assert not shared.exists()

    def test_the_next_load_clears_what_is_not_of_the_store(self, shared: Path) -> None:
        store = ArtifactStore(MemoryBackend())
        store.save({"n": 1}, KEY)
        left_behind(shared)
        assert store.load(KEY) == {"n": 1}
        assert not shared.exists()

    @pytest.mark.parametrize("taken", ["wide", "link", "file", "private"])
    def test_what_was_left_beside_a_folder_that_is_taken_is_cleared_as_well(
        self, store: ArtifactStore, shared: Path, tmp_path: Path, taken: str
    ) -> None:
        match taken:
            case "wide":
                shared.mkdir(0o755)
            case "link":
                shared.symlink_to(tmp_path)
            case "file":
                shared.write_text("")
            case _:
                shared.mkdir(0o700)

        def leave() -> Path:
            return left_behind(Path(tempfile.mkdtemp(prefix=f"{shared.name}-", dir=shared.parent)))

        elsewhere = ArtifactStore(MemoryBackend())
        here = store if taken != "private" else elsewhere  # a save into a folder looks no further than it has to
        for clear in (
            lambda: here.save({"n": 2}, KEY),
            lambda: elsewhere.save({"n": 2}, KEY),
            lambda: store.gc().apply(),
            lambda: store.doctor().repair().apply(),
        ):
            left = {leave(), leave()}
            assert {one.path for one in Staging().leftovers(beside=None)} == left
            assert {Path(step.target) for step in store.gc().changes} == left
            clear()
            assert list(shared.parent.glob(f"{shared.name}-*")) == []

    def test_what_lies_beside_it_and_may_be_anothers_is_not_touched(self, shared: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir(0o700)
        trap = left_behind(tmp_path / "elsewhere")
        (shared.parent / f"{shared.name}-link").symlink_to(trap.parent)
        wide = left_behind(shared.parent / f"{shared.name}-wide")
        wide.parent.chmod(0o755)
        named = left_behind(shared.parent / f"{shared.name}0-another")
        mine = shared.parent / f"{shared.name}-mine"
        mine.mkdir(0o700)
        (mine / "notes.txt").write_text("")
        (shared.parent / f"{shared.name}-file").write_text("")
        kept = [trap, wide, named, mine / "notes.txt"]
        if os.geteuid() == 0:
            kept.append(left_behind(shared.parent / f"{shared.name}-theirs"))
            os.chown(kept[-1].parent, 12345, 12345)
        assert Staging().leftovers(beside=None) == []
        with Staging().folder():
            pass
        assert [path for path in kept if not path.exists()] == []

    def test_gc_clears_them_at_once_and_doubtful_ones_after_the_grace_period(
        self, store: ArtifactStore, shared: Path, tmp_path: Path
    ) -> None:
        dead = [left_behind(tmp_path / "store" / ".tmp-staging"), left_behind(shared)]
        young, old = (left_behind(home.parent, kernel="another") for home in dead)
        aged(old, days=8)
        plan = store.gc()
        assert {step.target for step in plan.changes} == {str(home) for home in (*dead, old)}
        assert [step.target for step in plan.kept] == [str(young)]
        assert plan.bytes >= 3000
        assert {step.result for step in plan.apply()} == {"cleared"}
        assert [home.exists() for home in (*dead, old, young)] == [False, False, False, True]

    def test_gc_leaves_what_came_to_life_after_the_plan(self, store: ArtifactStore, shared: Path) -> None:
        import fcntl

        home = left_behind(shared)
        plan = store.gc()
        with (home / "owner").open("r+b") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (step,) = plan.apply()
        assert step.result == "kept"
        assert home.is_dir()

    def test_doctor_names_and_repairs_them(self, store: ArtifactStore, shared: Path, tmp_path: Path) -> None:
        below = tmp_path / "store" / ".tmp-staging"
        for place in (below, shared, shared):
            left_behind(place)
        found = {one.target: one for one in store.doctor() if one.code == "leftover-staging"}
        assert set(found) == {str(below), str(shared)}
        assert "2 processes" in found[str(shared)].message
        assert "take 2," in found[str(shared)].message
        assert found[str(below)].remedy == "artifact-store gc --apply"
        assert store.doctor().repair().apply().ok
        assert not below.exists()
        assert not shared.exists()
        assert not [one for one in store.doctor() if one.code == "leftover-staging"]

    def test_doctor_says_where_temporary_files_go(self, store: ArtifactStore, shared: Path, tmp_path: Path) -> None:
        chosen = ArtifactStore(tmp_path / "store", staging=tmp_path)
        for one, places in ((store, (tmp_path / "store" / ".tmp-staging", shared.parent)), (chosen, (tmp_path,))):
            (fact,) = (fact for fact in one.doctor().facts if fact.name == "staging")
            assert fact.state == "fine"
            assert tuple(map(Path, re.findall(r" (/\S+), where [\d,]+ bytes are free", fact.message))) == places
        missing = ArtifactStore(tmp_path / "store", staging=tmp_path / "missing")
        (found,) = (one for one in missing.doctor() if one.code == "staging")
        assert (found.severity, "missing" in found.message) == ("warning", True)


class TestAdoption:
    """A file that waits beside its destination gets its name there, and is not copied."""

    def test_the_staged_file_is_the_stored_one(self, tmp_path: Path) -> None:
        store = ArtifactStore(tmp_path / "store")
        draft = store.new_run(KEY)
        draft.add("model", b"x" * 1000)
        (staged,) = (tmp_path / "store").glob(".tmp-staging/*/files/model.bin")
        inode = staged.stat().st_ino
        run = draft.commit()
        draft.discard()
        (stored,) = (tmp_path / "store").rglob("model.bin")
        assert stored.stat().st_ino == inode
        assert (stored.stat().st_nlink, stat.S_IMODE(stored.stat().st_mode)) == (1, 0o600)
        assert run.load() == b"x" * 1000
        assert store.verify(KEY).ok

    def test_without_hard_links_it_is_copied(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
        run = ArtifactStore(tmp_path / "store").save(b"x" * 1000, KEY)
        assert run.load() == b"x" * 1000

    def test_a_second_attempt_of_a_draft_leaves_the_files_of_the_first_as_they_are(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = ArtifactStore(tmp_path / "store")
        store.save({"n": 0}, KEY)
        draft = store.new_run(KEY)
        draft.add("model", {"n": 1})
        write = LocalBackend.write
        monkeypatch.setattr(
            LocalBackend, "write", lambda *_, **__: (_ for _ in ()).throw(errors.AccessDenied("not now"))
        )
        with pytest.raises(errors.AccessDenied):
            draft.commit()
        monkeypatch.setattr(LocalBackend, "write", write)
        (first,) = (path for path in (tmp_path / "store").rglob("metadata.json") if str(draft.run_id) in str(path))
        before = first.read_bytes()
        draft.tags["second"] = "attempt"
        draft.config["more"] = 1
        assert draft.commit().load() == {"n": 1}
        assert first.read_bytes() == before
        assert store.verify(KEY).ok

    def test_what_changes_while_it_is_saved_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file.bin").write_bytes(b"1" * 100)

        class Changing(MemoryBackend):
            def put_file(self, key: str, chunks: Any, **options: Any) -> None:
                super().put_file(key, chunks, **options)
                if key.endswith(".bin"):
                    (tmp_path / "file.bin").write_bytes(b"2" * 100)

        store = ArtifactStore(Changing())
        with pytest.raises(errors.Conflict, match="changed while"), store.new_run(KEY) as draft:
            draft.add_file("file.bin", tmp_path / "file.bin")
        assert list(store.runs(KEY)) == []


class TestFilesInPlace:
    """A file or folder of the caller's is uploaded from where it is, and takes no temporary space."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "mine"
        (folder / "deep" / "empty").mkdir(parents=True)
        (folder / "weights.bin").write_bytes(b"w" * 100_000)
        (folder / "deep" / "more.txt").write_text("more")
        return folder

    @pytest.mark.parametrize("name", ["weights.bin", ""])
    def test_it_is_stored_as_it_is_with_little_room(self, folder: Path, tmp_path: Path, name: str) -> None:
        chosen = tmp_path / "chosen"
        chosen.mkdir()
        sizes: list[int] = []

        class Looking(MemoryBackend):
            def put_file(self, *arguments: Any, **options: Any) -> None:
                super().put_file(*arguments, **options)
                sizes.append(sum(path.stat().st_size for path in chosen.rglob("*") if path.is_file()))

        source = folder / name
        store = ArtifactStore(Looking(), staging=chosen)
        run = store.save(source, KEY)
        assert 0 < max(sizes) < 2000  # metadata.json
        copied = ArtifactStore(MemoryBackend())
        with copied.new_run(KEY) as draft:
            draft.add("model", source)
        assert draft.run is not None
        assert run.manifest.components == draft.run.manifest.components
        assert {entry.path: entry.sha256 for entry in run.manifest.files if entry.path != "metadata.json"} == {
            entry.path: entry.sha256 for entry in draft.run.manifest.files if entry.path != "metadata.json"
        }
        back = run.load(into=tmp_path / "back")
        found = back if name else back / "weights.bin"
        assert found.read_bytes() == b"w" * 100_000
        assert store.verify(KEY).ok

    def test_it_is_read_where_it_was_although_the_process_goes_elsewhere(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)
        with ArtifactStore(MemoryBackend()).new_run(KEY) as draft:
            draft.add("model", Path("weights.bin"), copy=False)
            monkeypatch.chdir(tmp_path)
        assert draft.run is not None
        assert draft.run.load() == b"w" * 100_000

    def test_what_changes_while_it_is_saved_is_refused(self, folder: Path) -> None:
        class Changing(MemoryBackend):
            def put_file(self, key: str, chunks: Any, **options: Any) -> None:
                super().put_file(key, chunks, **options)
                if key.endswith(".bin"):
                    (folder / "weights.bin").write_bytes(b"v" * 100_000)

        store = ArtifactStore(Changing())
        with pytest.raises(errors.Conflict, match="changed while"):
            store.save(folder / "weights.bin", KEY)
        assert list(store.runs(KEY)) == []

    def test_with_an_example_it_is_there_when_the_model_is_asked(self, folder: Path) -> None:
        store = ArtifactStore(MemoryBackend())
        with pytest.raises(errors.InvalidInput, match="holds a bytes; expected a TorchState"):  # so it was read
            store.save(folder / "weights.bin", KEY, example=Example({"a": 1}, {"b": 2}))
        run = store.save(folder / "weights.bin", "files/OTHER", example=Example({"a": 1}, {"b": 2}))
        assert run.load() == b"w" * 100_000

    @pytest.mark.parametrize("name", ["model.bin", "model.dir/deep/more.txt"])
    def test_its_names_are_taken(self, folder: Path, name: str) -> None:
        draft = ArtifactStore(MemoryBackend()).new_run(KEY)
        draft.add("model", folder / "weights.bin" if name == "model.bin" else folder, copy=False)
        with pytest.raises(errors.InvalidName):
            draft.add_file(name, folder / "weights.bin")
        with pytest.raises(errors.InvalidName):
            draft.add("model", folder)
        draft.discard()

    def test_a_link_is_refused_as_ever(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(folder / "weights.bin")
        with pytest.raises(errors.NotEncodable, match="link"):
            ArtifactStore(MemoryBackend()).save(tmp_path / "link", KEY)
