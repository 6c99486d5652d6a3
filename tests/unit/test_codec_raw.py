"""Files and directories go where the caller says, under plain names, and no link is followed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from artifact_store.codecs.raw import RawCodec
from artifact_store.errors import Corrupt, InvalidOption, NotEncodable
from tests.unit.samples import make_socket_file

pytestmark = pytest.mark.windows

posix = pytest.mark.skipif(sys.platform == "win32", reason="makes what only POSIX systems have")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def written(path: Path, data: bytes = b"data") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def tree(root: Path) -> Path:
    written(root / "model.pb", b"graph")
    written(root / "variables" / "data-0", b"numbers")
    (root / "assets" / "inner").mkdir(parents=True)
    return root


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("name", "stored"),
    [("Policy.ONNX", "model.onnx"), ("a.tar.gz", "model.gz"), ("plain", "model.bin"), ("x.with space", "model.bin")],
)
def test_a_file_keeps_its_suffix_and_its_name(name: str, stored: str, files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    options = codec.encode(written(tmp_path / name), files, "model")
    assert [path.name for path in files.iterdir()] == [stored]
    assert codec.decode(files, "model", options) == b"data"
    target = codec.decode(files, "model", options, into=tmp_path / "new" / "folder")
    assert target == tmp_path / "new" / "folder" / name
    assert target.read_bytes() == b"data"


def test_bytes_can_be_copied_to_a_directory_too(files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    options = codec.encode(b"abc", files, "model")
    assert codec.decode(files, "model", options, into=tmp_path) == tmp_path / "model.bin"


def test_nothing_is_overwritten(files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    options = codec.encode(written(tmp_path / "a.bin"), files, "model")
    there = written(tmp_path / "out" / "a.bin", b"mine")
    with pytest.raises(InvalidOption, match="nothing is overwritten"):
        codec.decode(files, "model", options, into=there.parent)
    assert there.read_bytes() == b"mine"


@pytest.mark.parametrize("into", ["text", 7, b"bytes"])
def test_into_is_a_path(into: Any, files: Path) -> None:
    codec = RawCodec()
    with pytest.raises(InvalidOption, match="takes a pathlib"):
        codec.decode(files, "model", codec.encode(b"", files, "model"), into=into)


def test_into_is_a_directory(files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    with pytest.raises(InvalidOption, match="not a directory"):
        codec.decode(files, "model", codec.encode(b"", files, "model"), into=written(tmp_path / "file"))


@pytest.mark.parametrize(
    "name",
    ["../up.bin", "/etc/passwd", "a/b", "a\\b", "C:evil", "..", ".", "", "NUL", "con.txt", "a\0b", "end.", "e\u0301"],
)
def test_a_forged_name_leads_nowhere(name: str, files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    options = dict(codec.encode(written(tmp_path / "a.bin"), files, "model"))
    with pytest.raises(Corrupt):
        codec.decode(files, "model", options | {"name": name}, into=tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("suffix", ["/../../a.bin", ".", "", ".BIN", "bin", ".b/n", "." + "a" * 17])
def test_a_forged_suffix_leads_nowhere(suffix: str, files: Path) -> None:
    options: Mapping[str, Any] = {"kind": "bytes", "suffix": suffix}
    with pytest.raises(Corrupt):
        RawCodec().decode(files, "model", options)


@pytest.mark.parametrize("name", ["what?.bin", "a:b.bin", ".hidden", "end.", "nul.bin"])
@posix
def test_a_name_that_not_every_platform_holds_is_refused(name: str, files: Path, tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match="rename"):
        RawCodec().encode(written(tmp_path / name), files, "model")


def test_names_that_only_the_store_uses_are_fine_for_a_file_of_the_caller(files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    for name in ("manifest.json", "_private.bin"):
        options = codec.encode(written(tmp_path / name), files, "model")
        assert codec.decode(files, "model", options, into=tmp_path / "out").name == name


@posix
def test_a_pipe_is_refused_and_not_waited_for(files: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.bin")
    with pytest.raises(NotEncodable, match="neither a regular file"):
        RawCodec().encode(tmp_path / "pipe.bin", files, "model")


@posix
def test_a_socket_in_a_directory_is_refused(files: Path, tmp_path: Path) -> None:
    root = tree(tmp_path / "tree")
    make_socket_file(root / "s")
    with pytest.raises(NotEncodable, match="neither a regular file"):
        RawCodec().encode(root, files, "model")


@posix
def test_a_file_that_grows_while_it_is_copied_is_refused(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = written(tmp_path / "growing.bin", bytes(3 << 20))
    copy = shutil.copyfileobj

    def grows_after_the_copy(*arguments: Any) -> None:
        copy(*arguments)
        with source.open("ab") as file:
            file.write(b"x" * 4096)

    monkeypatch.setattr(shutil, "copyfileobj", grows_after_the_copy)
    with pytest.raises(NotEncodable, match="changed while"):
        RawCodec().encode(source, files, "model")
    assert not list(files.iterdir())


# ---------------------------------------------------------------- directories


def test_a_directory_comes_back_with_its_empty_folders(files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    options = codec.encode(tree(tmp_path / "saved"), files, "model")
    back = codec.decode(files, "model", options, into=tmp_path / "back")
    assert back == tmp_path / "back"
    assert sorted(path.relative_to(back).as_posix() for path in back.rglob("*")) == [
        "assets",
        "assets/inner",
        "model.pb",
        "variables",
        "variables/data-0",
    ]


def test_the_current_directory_can_be_stored(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree(tmp_path / "here"))
    assert RawCodec().encode(Path(), files, "model")["name"] == "here"


def test_a_directory_needs_a_place_to_go(files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    options = codec.encode(tree(tmp_path / "saved"), files, "model")
    with pytest.raises(InvalidOption, match="into=Path"):
        codec.decode(files, "model", options)
    with pytest.raises(InvalidOption, match="not empty"):
        codec.decode(files, "model", options, into=tmp_path / "saved")


@posix
def test_a_link_among_the_stored_files_is_corrupt(files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    secret = written(tmp_path / "secret", b"numbers")
    options = codec.encode(tree(tmp_path / "saved"), files, "model")
    stored = files / "model.dir" / "variables" / "data-0"
    stored.unlink()
    stored.symlink_to(secret)
    with pytest.raises(Corrupt):
        codec.decode(files, "model", options, into=tmp_path / "back")
    assert not (tmp_path / "back").exists()


@posix
def test_a_link_in_the_place_of_the_stored_file_or_folder_is_corrupt(files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    file_options = codec.encode(b"abc", files, "model")
    (files / "model.bin").rename(tmp_path / "elsewhere.bin")
    (files / "model.bin").symlink_to(tmp_path / "elsewhere.bin")
    for into in (None, tmp_path / "out"):
        with pytest.raises(Corrupt):
            codec.decode(files, "model", file_options, into=into)
    tree_options = codec.encode(tree(tmp_path / "saved"), files, "other")
    (files / "other.dir").rename(tmp_path / "elsewhere")
    (files / "other.dir").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Corrupt):
        codec.decode(files, "other", tree_options, into=tmp_path / "back")


@pytest.mark.parametrize(
    "empty", [["../out"], ["/out"], ["a/../../out"], ["model.pb"], ["variables/data-0/x"], [7], [None]]
)
def test_forged_empty_folders_lead_nowhere(empty: list[Any], files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    options = dict(codec.encode(tree(tmp_path / "saved"), files, "model"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Corrupt):
        codec.decode(files, "model", options | {"empty": empty}, into=tmp_path / "back")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_too_many_or_too_few_is_corrupt(files: Path, tmp_path: Path) -> None:
    codec = RawCodec()
    options = codec.encode(tree(tmp_path / "saved"), files, "model")
    extra = written(files / "model.dir" / "extra")
    with pytest.raises(Corrupt, match="3 files instead of 2"):
        codec.decode(files, "model", options, into=tmp_path / "back")
    extra.unlink()
    (files / "model.dir" / "model.pb").unlink()
    with pytest.raises(Corrupt, match="1 files instead of 2"):
        codec.decode(files, "model", options, into=tmp_path / "back")


def test_a_copy_that_fails_half_way_is_removed(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = RawCodec()
    options = codec.encode(tree(tmp_path / "saved"), files, "model")
    copied: list[Any] = []

    def fail_second(source: Any, target: Any, _length: int) -> None:
        copied.append(source)
        target.write(b"half")
        if len(copied) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", fail_second)
    with pytest.raises(OSError, match="No space"):
        codec.decode(files, "model", options, into=tmp_path / "back")
    assert len(copied) == 2
    assert not (tmp_path / "back").exists()
    (tmp_path / "mine").mkdir()
    copied.clear()
    with pytest.raises(OSError, match="No space"):
        codec.decode(files, "model", options, into=tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []
