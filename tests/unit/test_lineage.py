"""The data that a run was trained on, by digest: of files and of folders, by rules that FORMAT.md tells."""

import hashlib
import os
from pathlib import Path

import pytest

from artifact_store import Digest
from artifact_store.errors import InvalidInput, InvalidOption
from artifact_store.lineage import digest_of, digests
from tests.format_reader import digest_of as digest_by_the_document

pytestmark = pytest.mark.windows


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(tmp_path):
    """``b.csv``, ``a/é.csv``, ``a.csv``: in an order that differs from that of their folders."""
    (tmp_path / "data" / "a").mkdir(parents=True)
    for name, text in (("b.csv", b"22"), ("a/é.csv", b"1"), ("a.csv", b"")):
        (tmp_path / "data" / name).write_bytes(text)
    return tmp_path / "data"


def test_a_file_is_its_size_and_the_hash_of_its_bytes(folder):
    assert digest_of(folder / "b.csv", "x") == Digest(2, sha(b"22"))
    assert digests({"x": str(folder / "b.csv")}, None)["x"] == Digest(2, sha(b"22"))


def test_a_folder_is_the_hash_of_the_list_of_its_files(folder):
    listing = f'{{"a.csv":"{sha(b"")}","a/é.csv":"{sha(b"1")}","b.csv":"{sha(b"22")}"}}'
    assert digest_of(folder, "x") == Digest(3, sha(listing.encode()))
    assert digest_by_the_document(folder) == {"size": 3, "sha256": sha(listing.encode())}


def test_every_name_and_every_byte_counts_and_an_empty_folder_does_not(folder):
    before = digest_of(folder, "x")
    (folder / "empty").mkdir()
    assert digest_of(folder, "x") == before
    (folder / "b.csv").rename(folder / "c.csv")
    renamed = digest_of(folder, "x")
    (folder / "c.csv").write_bytes(b"23")
    assert len({before, renamed, digest_of(folder, "x")}) == 3


def test_a_digest_is_taken_as_it_is():
    assert digests({"x": Digest(7, "a" * 64)}, None)["x"] == Digest(7, "a" * 64)


def test_progress_is_told_while_a_file_is_read(folder):
    (folder / "b.csv").write_bytes(bytes(600_000))
    told = []
    digest_of(folder, "candles", told.append)
    of_large = [found for found in told if found.total == 600_000]
    assert {(found.direction, found.path) for found in told} == {("hash", "candles")}
    assert [found.done for found in of_large] == [262_144, 524_288, 600_000]


@pytest.mark.parametrize("value", [b"bytes", 3, None, ["a"], {"sha256": "a" * 64}])
def test_what_is_no_data_is_refused(value):
    with pytest.raises(InvalidOption, match="the data 'x' is a "):
        digests({"x": value}, None)


def test_what_cannot_be_read_is_refused_and_named(folder, tmp_path):
    (tmp_path / "nothing").mkdir()
    for path, why in (("nothing", "has no file in it"), ("gone", "nothing is at"), ("a\0b", "cannot be read")):
        with pytest.raises(InvalidOption, match=why):
            digest_of(tmp_path / path, "x")


@pytest.mark.skipif(os.name == "nt", reason="of POSIX systems")
class TestPosix:
    def test_links_to_files_are_read_and_links_to_folders_refused(self, folder, tmp_path):
        before = digest_of(folder, "x")
        (tmp_path / "kept").write_bytes(b"22")
        (folder / "b.csv").unlink()
        (folder / "b.csv").symlink_to(tmp_path / "kept")
        assert digest_of(folder, "x") == before
        (folder / "up").symlink_to(folder)
        with pytest.raises(InvalidOption, match="up leads to another folder"):
            digest_of(folder, "x")
        assert digest_of(folder / "up" / "b.csv", "x") == Digest(2, sha(b"22"))

    def test_pipes_and_links_to_nothing_are_refused(self, folder):
        os.mkfifo(folder / "pipe")
        with pytest.raises(InvalidOption, match="pipe is neither a file nor a folder"):
            digest_of(folder, "x")
        (folder / "pipe").unlink()
        (folder / "dangling").symlink_to("gone")
        with pytest.raises(InvalidOption, match="dangling cannot be read"):
            digest_of(folder, "x")

    def test_a_name_that_is_no_text_is_refused(self, folder):
        (folder / os.fsdecode(b"\xff.csv")).write_bytes(b"1")
        with pytest.raises(InvalidOption, match="a name that is not valid text"):
            digest_of(folder, "x")

    @pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root may read everything")
    def test_what_may_not_be_read_is_refused(self, folder):
        (folder / "b.csv").chmod(0)
        with pytest.raises(InvalidInput, match=r"b\.csv cannot be read"):
            digest_of(folder, "x")
        (folder / "a").chmod(0)
        with pytest.raises(InvalidOption, match="cannot be listed"):
            digest_of(Path(folder), "x")
