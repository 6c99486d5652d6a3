"""The cache: what it keeps and what goes, whoever reads it meanwhile, and that nothing wrong ever comes out of it."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, Cache
from artifact_store.core.files import Digest
from artifact_store.errors import InvalidOption
from artifact_store.storage.cache import FileCache
from artifact_store.storage.cache_folder import Usage
from artifact_store.storage.file_lock import try_lock, unlock
from artifact_store.storage.sizes import bytes_of
from artifact_store.storage.transfer import hash_pieces

pytestmark = pytest.mark.windows

PLACE, KEY = "s3://bucket/models at https://here", "gru/BTCEUR/latest.json"
SIZE = 1000


class Files:
    """A cache, and files of a thousand bytes each by number."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir(exist_ok=True)
        self.cache = FileCache(folder / "cache", limit)

    def data(self, number: int) -> bytes:
        return f"{number:04}".encode() * (SIZE // 4)

    def digest(self, number: int) -> Digest:
        return hash_pieces([self.data(number)])

    def path(self, number: int) -> Path:
        return self.cache.folder.place("file", self.digest(number).sha256)

    def keep(self, *numbers: int, by: FileCache | None = None) -> None:
        """Keep files, each used a second after the one before."""
        for number in numbers:
            source = self.scratch / secrets.token_hex(8)
            source.write_bytes(self.data(number))
            (by or self.cache).keep(self.digest(number), source)
            if self.path(number).exists():
                used = time.time() - 1000 + number
                os.utime(self.path(number), (used, used))

    def takes(self, number: int) -> bool:
        target = self.scratch / secrets.token_hex(8)
        found = self.cache.take(self.digest(number), target)
        assert target.exists() == found
        assert not found or target.read_bytes() == self.data(number)
        return found

    def kept(self) -> set[int]:
        return {number for number in range(100) if self.path(number).exists()}


def test_at_the_limit_what_was_used_longest_ago_goes(tmp_path: Path) -> None:
    files = Files(tmp_path, limit=10 * SIZE)
    files.keep(*range(10))
    assert files.kept() == set(range(10))
    assert files.takes(0)  # which is a use
    files.keep(10)
    assert files.kept() == {0, *range(3, 11)}  # a tenth is freed beyond what was needed
    assert sum(entry.bytes for entry in files.cache.folder.entries()) <= 10 * SIZE


def test_a_time_that_no_calendar_has_stops_nothing(tmp_path: Path) -> None:
    files = Files(tmp_path, limit=3 * SIZE)
    files.keep(1, 2)
    files.cache.see(PLACE, KEY, b"{}")
    for number, when in ((1, 1e12), (2, -1e12)):
        os.utime(files.path(number), (when, when))
    (document,) = (entry for entry in files.cache.folder.entries() if entry.kind == "document")
    os.utime(document.path, (1e12, 1e12))
    seen = files.cache.recall(PLACE, KEY, limit=100)
    assert seen is not None
    assert seen.data == b"{}"
    files.keep(3, 4)  # for which others go
    assert 4 in files.kept()
    assert Cache(tmp_path / "cache").prune(size=1).apply().ok
    assert files.kept() == set()


def test_a_use_touches_a_file_and_writes_nothing(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.keep(1)
    files.cache.see(PLACE, KEY, b"{}")
    before = {path: path.stat() for path in (tmp_path / "cache").rglob("*")}
    time.sleep(0.02)
    assert files.takes(1)
    files.cache.see(PLACE, KEY, b"{}")
    after = {path: path.stat() for path in (tmp_path / "cache").rglob("*")}
    assert before.keys() == after.keys()
    changed = {path for path in before if before[path].st_mtime_ns != after[path].st_mtime_ns}
    assert {path.parent.name for path in changed} == {files.path(1).parent.name, "seen"}
    assert all(before[path].st_ino == after[path].st_ino for path in before)


def test_a_file_that_is_larger_than_the_limit_is_not_kept_and_removes_nothing(tmp_path: Path) -> None:
    files = Files(tmp_path, limit=SIZE - 1)
    files.cache.see(PLACE, KEY, b"{}")
    files.keep(1)
    assert files.kept() == set()
    assert files.cache.recall(PLACE, KEY, limit=100) is not None


def test_two_clients_of_one_folder_hold_the_limit_together(tmp_path: Path) -> None:
    files = Files(tmp_path, limit=10 * SIZE)
    other = FileCache(tmp_path / "cache", 10 * SIZE)
    for number in range(40):
        files.keep(number, by=other if number % 2 else None)
        assert len(files.kept()) <= 10
    assert 39 in files.kept()


@pytest.mark.parametrize(
    "line", [b"", b"{", b'{"bytes": -1, "limit": null}', b'{"bytes": 0, "limit": null}', b'{"bytes": 9e99, "limit": 1}']
)
def test_a_sum_that_is_damaged_or_too_low_is_put_right_by_the_next_process(tmp_path: Path, line: bytes) -> None:
    files = Files(tmp_path, limit=10 * SIZE)
    files.keep(*range(10))
    (tmp_path / "cache" / "usage").write_bytes(line)
    files.keep(10, by=FileCache(tmp_path / "cache", 10 * SIZE))
    assert len(files.kept()) == 9
    assert files.cache.folder.usage() == Usage(9 * SIZE, 10 * SIZE)


def test_a_sum_that_is_too_high_removes_nothing(tmp_path: Path) -> None:
    files = Files(tmp_path, limit=10 * SIZE)
    files.keep(*range(5))
    (tmp_path / "cache" / "usage").write_bytes(b'{"bytes": 1000000, "limit": null}')
    files.keep(5)
    assert files.kept() == set(range(6))


def test_a_lock_that_is_not_let_go_keeps_nobody_waiting(tmp_path: Path) -> None:
    files = Files(tmp_path, limit=10 * SIZE)
    files.keep(1)
    descriptor = os.open(tmp_path / "cache" / "usage", os.O_RDWR)
    try:
        assert try_lock(descriptor)
        began = time.monotonic()
        files.keep(2)  # once it waits a moment, and from then on not at all
        waited = time.monotonic() - began
        files.keep(*range(3, 40))
        assert time.monotonic() - began < waited + 2
        assert files.kept() == {1}
        assert files.takes(1)
        unlock(descriptor)
    finally:
        os.close(descriptor)
    files.keep(2)
    assert files.kept() == {1, 2}


def test_without_a_limit_a_file_is_kept_even_then(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.keep(1)
    descriptor = os.open(tmp_path / "cache" / "usage", os.O_RDWR)
    try:
        assert try_lock(descriptor)
        files.keep(2)
        assert files.kept() == {1, 2}
    finally:
        os.close(descriptor)


def test_who_has_a_file_open_reads_it_to_the_end_while_it_goes(tmp_path: Path) -> None:
    files = Files(tmp_path, limit=2 * SIZE)
    files.keep(1)
    with files.cache.folder.open(files.path(1)) as reader:
        begun = os.read(reader.fileno(), 10)
        files.keep(2, 3, 4)
        assert begun + os.read(reader.fileno(), SIZE) == files.data(1)
        assert files.kept() == ({1, 4} if os.name == "nt" else {3, 4})  # Windows removes no file that is open
    files.keep(5)
    assert files.kept() == {5}


def test_what_dead_processes_began_to_write_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    files = Files(tmp_path, limit=10 * SIZE)
    files.keep(1)
    unfinished = tmp_path / "cache" / "tmp"
    (unfinished / f"{'a' * 16}-{SIZE}").write_bytes(b"half")
    alive = unfinished / f"{'b' * 16}-{8 * SIZE}"
    alive.write_bytes(b"half")
    descriptor = os.open(alive, os.O_RDWR)
    try:
        assert try_lock(descriptor)
        files.keep(2, 3, by=FileCache(tmp_path / "cache", 10 * SIZE))
        assert [path.name for path in unfinished.iterdir()] == [alive.name]
        assert len(files.kept()) == 1  # the rest of the room is reserved
    finally:
        os.close(descriptor)
    files.keep(4, by=FileCache(tmp_path / "cache", 10 * SIZE))
    assert list(unfinished.iterdir()) == []


def test_what_is_not_of_the_cache_is_neither_counted_nor_removed(tmp_path: Path) -> None:
    files = Files(tmp_path, limit=2 * SIZE)
    files.keep(1)
    folder = tmp_path / "cache"
    foreign = [
        folder / "notes.txt",
        files.path(1).with_name("README"),
        files.path(1).with_name("0" * 64 if not files.path(1).name.startswith("00") else "f" * 64),
        folder / "tmp" / "mine",
        folder / "seen" / "mine.json",
        folder / "abc" / ("a" * 64),
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 10 * SIZE)
        os.utime(path, (1, 1))
    (folder / "ff").mkdir(exist_ok=True)
    inner = folder / "ff" / ("f" * 64)  # a folder with the name of a file
    inner.mkdir()
    files.keep(2, 3)
    Cache(folder).prune(size=1, older_than=timedelta(0)).apply()
    Cache(folder).verify()
    assert all(path.stat().st_size == 10 * SIZE for path in foreign)
    assert inner.is_dir()
    assert files.kept() == set()


@pytest.mark.skipif(sys.platform == "win32", reason="only administrators make links there")
def test_what_was_used_is_read_from_a_plain_file_alone(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text('{"bytes": 5, "limit": 7}')
    cache = Cache(tmp_path / "cache")
    for make in (lambda place: place.symlink_to(other), os.mkfifo, Path.mkdir):
        place = tmp_path / "cache" / "usage"
        shutil.rmtree(place.parent, ignore_errors=True)
        place.parent.mkdir()
        make(place)
        assert cache.limit is None  # and nobody waits for somebody who writes


@pytest.mark.skipif(sys.platform == "win32", reason="only administrators make links there")
def test_nothing_behind_a_link_is_counted_or_removed(tmp_path: Path) -> None:
    files = Files(tmp_path, limit=2 * SIZE)
    files.keep(1)
    outside = tmp_path / "outside"
    for name in (files.path(1).parent.name, "seen", "tmp"):
        (outside / name).mkdir(parents=True)
    victims = [
        outside / files.path(1).parent.name / files.path(1).name,
        outside / "seen" / ("a" * 64),
        outside / "tmp" / f"{'a' * 16}-10",
    ]
    for victim in victims:
        victim.write_bytes(b"precious")
        os.utime(victim, (1, 1))
    folder = tmp_path / "linked"
    folder.mkdir()
    for path in outside.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "ff").mkdir()
    (folder / "ff" / ("f" * 64)).symlink_to(victims[0])
    cache = FileCache(folder, 10)
    assert cache.folder.entries() == []
    cache.keep(files.digest(2), files.path(1))
    cache.see(PLACE, KEY, b"{}")
    Cache(folder).prune(size=1).apply()
    assert all(victim.read_bytes() == b"precious" for victim in victims)


def test_a_copy_is_its_owners_and_the_cache_stays_as_it_is(tmp_path: Path) -> None:
    """Also where the file system lets the two share their room."""
    files = Files(tmp_path)
    files.keep(1)
    target = tmp_path / "target"
    assert files.cache.take(files.digest(1), target)
    with target.open("r+b") as copy:
        copy.write(b"mine")
    assert files.takes(1)
    assert Cache(tmp_path / "cache").verify().ok
    if os.name == "posix":
        assert target.stat().st_mode & 0o777 == 0o600
        assert target.stat().st_nlink == 1


@pytest.mark.parametrize("damage", ["cut", "longer", "flipped", "empty"])
def test_a_file_that_is_not_what_it_was_is_a_miss_and_goes(tmp_path: Path, damage: str) -> None:
    files = Files(tmp_path)
    files.keep(1, 2)
    data = files.data(1)
    damaged = {"cut": data[:-1], "longer": data + b"x", "flipped": b"x" + data[1:], "empty": b""}[damage]
    files.path(1).write_bytes(damaged)
    assert not files.takes(1)
    assert files.kept() == {2}
    files.keep(1)
    assert files.takes(1)


# ---------------------------------------------------------------- documents


def test_a_document_comes_back_with_the_time_at_which_it_was_seen_last(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache")
    assert cache.recall(PLACE, KEY, limit=100) is None
    cache.see(PLACE, KEY, b'{"seq":1}\n')
    found = cache.recall(PLACE, KEY, limit=100)
    assert found is not None
    assert (found.data, found.place, found.key) == (b'{"seq":1}\n', PLACE, KEY)
    assert abs(datetime.now(UTC) - found.at) < timedelta(minutes=1)
    (path,) = (tmp_path / "cache" / "seen").iterdir()
    os.utime(path, (1_000_000, 1_000_000))
    again = cache.recall(PLACE, KEY, limit=100)
    assert again is not None
    assert again.at == datetime.fromtimestamp(1_000_000, UTC)  # to read it is not to see it in the store
    cache.see(PLACE, KEY, b'{"seq":1}\n')
    assert path.stat().st_mtime > 1_000_000
    cache.see(PLACE, KEY, None)
    gone = cache.recall(PLACE, KEY, limit=100)
    assert gone is not None
    assert gone.data is None
    assert cache.recall("s3://another at https://here", KEY, limit=100) is None


def test_a_place_that_is_no_text_has_documents_too(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache")
    cache.see("file:///models/\udcff", KEY, b"{}")
    found = cache.recall("file:///models/\udcff", KEY, limit=100)
    assert found is not None
    assert found.data == b"{}"


def test_a_document_that_was_flipped_cut_or_swapped_is_not_there(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache")
    cache.see(PLACE, "other", b'{"n":2}')
    (other,) = (tmp_path / "cache" / "seen").iterdir()
    cache.see(PLACE, KEY, b'{"n":1}')
    (path,) = set((tmp_path / "cache" / "seen").iterdir()) - {other}
    whole = path.read_bytes()
    changes = [bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]) for at in range(len(whole))]
    for changed in [
        other.read_bytes(),
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        *(whole[:cut] for cut in range(len(whole))),
        *changes,
    ]:
        path.write_bytes(changed)
        assert cache.recall(PLACE, KEY, limit=100) is None, changed
    cache.see(PLACE, KEY, b'{"n":1}')
    assert path.read_bytes() == whole
    assert cache.recall(PLACE, KEY, limit=100) is not None


# ---------------------------------------------------------------- what its owner sees


def test_the_owner_sees_what_is_there_by_name_and_what_was_used_last_first(tmp_path: Path) -> None:
    with ArtifactStore("memory://cache-names", cache=tmp_path / "cache", cache_size="1MB") as store:
        run = store.save({"n": 1}, "gru/BTCEUR")
        assert store.load("gru/BTCEUR") == {"n": 1}
        assert store.cache is not None
        file, pointer = sorted(store.cache.entries(), key=lambda entry: entry.kind, reverse=True)
    assert file.what == f"{run.ref} model.json"
    assert file.sha256 == run.files["model.json"].sha256
    assert pointer.what.startswith("gru/BTCEUR/latest.json of memory://cache-names")
    assert Cache(tmp_path / "cache").limit == 1_000_000  # of the client that added a file last
    assert Cache(tmp_path / "cache", size="5MB").limit == 5_000_000
    assert Cache(tmp_path / "nowhere").entries() == []
    assert Cache(tmp_path / "nowhere").limit is None
    assert ArtifactStore("memory://cache-names").cache is None


def test_a_plan_removes_what_was_used_longest_ago_and_what_is_used_meanwhile_stays(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.keep(*range(10))
    cache = Cache(tmp_path / "cache")
    plan = cache.prune(size=4 * SIZE)
    assert files.kept() == set(range(10))
    assert [step.target for step in plan] == [str(files.path(number)) for number in range(6)]
    assert plan.bytes == 6 * SIZE
    assert files.takes(2)
    files.path(3).unlink()
    result = plan.apply()
    assert result.ok
    assert files.kept() == {2, 6, 7, 8, 9}
    assert {one.detail for one in result if one.result == "kept"} == {"it was used meanwhile", "it is gone already"}
    assert not cache.prune(older_than=timedelta(days=1)).changes
    assert len(cache.prune(older_than=timedelta(minutes=5)).changes) == 4


def test_all_of_it_is_compared_and_what_is_damaged_is_named_and_goes(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.keep(1, 2)
    files.cache.see(PLACE, KEY, b"{}")
    files.cache.see(PLACE, "other", b"{}")
    cache = Cache(tmp_path / "cache")
    assert cache.verify().ok
    files.path(1).write_bytes(b"x" * SIZE)
    document = files.cache.folder.place("document", next((tmp_path / "cache" / "seen").iterdir()).name)
    document.write_bytes(b"{")
    report = cache.verify()
    assert not report.ok
    assert report.checked == 4
    assert {entry.path for entry in report.damaged} == {files.path(1), document}
    assert not files.path(1).exists()
    assert not document.exists()
    assert cache.verify().ok


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GB", 10**10), ("512 MiB", 512 << 20), ("1.5k", 1500), ("2tib", 2 << 40), ("700", 700), ("3b", 3), (12, 12)],
)
def test_a_size_is_written_as_people_write_it(text: str | int, size: int) -> None:
    assert bytes_of("cache_size", text) == size


@pytest.mark.parametrize(
    "value",
    ["", "GB", "10 GBs", "-1", "0", "0.4", "1e9", "ten", "1" * 16, "1\n2", 0, -1, 1.5, True, [], b"1", object()],
)
def test_anything_else_is_refused_by_name(tmp_path: Path, value: object) -> None:
    with pytest.raises(InvalidOption, match="cache_size"):
        ArtifactStore("memory://", cache=tmp_path, cache_size=value)  # type: ignore[arg-type]


def test_a_size_or_a_look_offline_without_a_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="cache="):
        ArtifactStore("memory://", cache_size="1GB")
    with pytest.raises(InvalidOption, match="cache="):
        ArtifactStore("memory://", offline=True)
    with pytest.raises(InvalidOption, match="not cached"):
        ArtifactStore(tmp_path / "store", cache=tmp_path / "cache", offline=True)
    with pytest.raises(InvalidOption, match="folder"):
        Cache(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{}, {"older_than": 3}, {"older_than": timedelta(seconds=-1)}, {"size": "much"}])
def test_a_plan_needs_to_know_what_is_to_go(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption):
        Cache(tmp_path).prune(**options)  # type: ignore[arg-type]
