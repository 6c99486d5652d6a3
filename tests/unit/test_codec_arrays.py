"""Arrays: nothing in a file is believed before it was compared with the size of the file."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artifact_store.codecs.arrays import ArrayCodec
from artifact_store.codecs.npy import MAX_HEADER
from artifact_store.errors import Corrupt

pytestmark = pytest.mark.windows

ONE = {"kind": "array", "count": 1}


def npy(header: str, data: bytes = b"", *, version: int = 1) -> bytes:
    text = header.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


def described(descr: str, shape: str = "(2,)", *, fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


def write(directory: Path, *entries: bytes, names: tuple[str, ...] = (), how: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(directory / "model.npz", "w", how) as archive:
        for place, data in enumerate(entries):
            archive.writestr(names[place] if names else f"arr_{place}.npy", data)


GOOD = npy(described("'<i4'"), b"\1\0\0\0\2\0\0\0")


def test_a_file_by_hand_is_read(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert ArrayCodec().decode(tmp_path, "model", ONE).tolist() == [1, 2]


HOSTILE = {
    "python objects": npy(described("'|O'"), pickle.dumps([1, 2])),
    "python objects in a field": npy(described("[('a', '|O')]", "(1,)"), b"\0" * 8),
    "a shape beyond the file": npy(described("'<f8'", "(1000000000000,)")),
    "a shape beyond any memory": npy(described("'<f8'", "(10**30, 10**30)".replace("10**30", "1" + "0" * 30))),
    "a negative shape": npy(described("'<f8'", "(-1,)")),
    "a shape of booleans": npy(described("'<f8'", "(True,)"), b"\0" * 8),
    "a shape that is a number": npy(described("'<f8'", "2"), b"\0" * 16),
    "an itemsize of nothing": npy(described("'|V0'", "(1000,)")),
    "an unknown dtype": npy(described("'<q9'"), b"\0" * 18),
    "a dtype by name": npy(described("'float64'"), b"\0" * 16),
    "a dtype with commas": npy(described("'i4,f8'"), b"\0" * 24),
    "a width that numpy does not have": npy(described("'<f7'"), b"\0" * 14),
    "a dtype of times by a part of a unit": npy(described("'<M8[7D/3]'"), b"\0" * 16),
    "a dtype that is a number": npy(described("7"), b"\0" * 14),
    "a dtype without end": npy(described("[('a', " * 50 + "'<i4'" + ")]" * 50), b"\0" * 8),
    "two fields of one name": npy(described("[('a', '<i4'), ('a', '<i4')]", "(1,)"), b"\0" * 8),
    "a field of one part": npy(described("[('a',)]", "(1,)"), b"\0" * 8),
    "a header that is a call": npy("__import__('os').getcwd()"),
    "a header of brackets": npy("(" * 300),
    "a header of signs": npy("-" * 50 + "1"),
    "a header beyond the limit": npy(described("'<i4'") + " " * MAX_HEADER, b"\1\0\0\0\2\0\0\0"),
    "a header without a shape": npy("{'descr': '<i4', 'fortran_order': False}"),
    "a header longer than the file": b"\x93NUMPY\x03\0" + struct.pack("<I", 1 << 31) + b"{}",
    "a version of the future": npy(described("'<i4'"), b"\0" * 8, version=9),
    "no magic": b"\0" * 64,
    "too little": npy(described("'<i4'"), b"\0" * 7),
    "too much": npy(described("'<i4'"), b"\0" * 9),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_array_is_corrupt_and_costs_nothing(kind: str, tmp_path: Path) -> None:
    write(tmp_path, HOSTILE[kind])
    codec = ArrayCodec()
    tracemalloc.start()
    try:
        with pytest.raises(Corrupt):
            codec.decode(tmp_path, "model", ONE)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_compressed_entry_is_refused_before_it_grows(tmp_path: Path) -> None:
    write(tmp_path, npy(described("'|u1'", "(1048576,)"), bytes(1 << 20)), how=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "model.npz").stat().st_size < 1 << 16
    with pytest.raises(Corrupt, match="compressed"):
        ArrayCodec().decode(tmp_path, "model", ONE)


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    data = npy(described("'|u1'", "(1000,)"), bytes(1000))
    write(tmp_path, data)
    whole = (tmp_path / "model.npz").read_bytes()
    at = whole.index(b"PK\1\2")
    end = whole.index(b"PK\5\6")
    entry = whole[at:end]
    entries = b"".join(entry.replace(b"arr_0.npy", f"arr_{place}.npy".encode()) for place in range(3))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3, 3, len(entries), at, 0)
    (tmp_path / "model.npz").write_bytes(whole[:at] + entries + tail)
    with pytest.raises(Corrupt, match="larger than the file"):
        ArrayCodec().decode(tmp_path, "model", {"kind": "tuple", "count": 3})


def test_a_flipped_bit_in_the_data_is_noticed(tmp_path: Path) -> None:
    codec = ArrayCodec()
    options = codec.encode(np.arange(1000.0), tmp_path, "model")
    path = tmp_path / "model.npz"
    data = bytearray(path.read_bytes())
    data[4000] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="CRC"):
        codec.decode(tmp_path, "model", options)


@pytest.mark.parametrize("names", [("arr_0.npy", "arr_0.npy"), ("arr_0.npy", "arr_2.npy"), ("arr_0.npy", "x.txt")])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # zipfile's, when the hostile file is made
def test_entries_of_other_names_are_corrupt(names: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path, GOOD, GOOD, names=names)
    with pytest.raises(Corrupt):
        ArrayCodec().decode(tmp_path, "model", {"kind": "tuple", "count": 2})


def test_numpy_reads_what_was_written(tmp_path: Path) -> None:
    ArrayCodec().encode({"mean": np.ones(3), "layer/0": np.zeros((2, 2))}, tmp_path, "model")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as loaded:
        assert loaded["mean"].tolist() == [1, 1, 1]
        assert loaded["layer/0"].shape == (2, 2)


def test_memory_between_fields_is_not_written(tmp_path: Path) -> None:
    padded = np.frombuffer(b"\xaa" * 32, np.dtype([("a", "i1"), ("b", "<f8")], align=True))
    ArrayCodec().encode(padded, tmp_path, "model")
    data = (tmp_path / "model.npz").read_bytes()
    assert data.count(b"\xaa") == 2 * (1 + 8)


def test_what_comes_back_belongs_to_the_caller(tmp_path: Path) -> None:
    codec = ArrayCodec()
    frozen = np.ones(3)
    frozen.flags.writeable = False
    back = codec.decode(tmp_path, "model", codec.encode(frozen, tmp_path, "model"))
    back += 1
    assert back.tolist() == [2, 2, 2]


def kept(obj: Any, directory: Path) -> Any:
    codec = ArrayCodec()
    return codec.decode(directory, "model", codec.encode(obj, directory, "model"))


def test_the_order_of_a_dict_and_of_memory_are_kept(tmp_path: Path) -> None:
    back = kept({"z": np.asfortranarray(np.ones((2, 3))), "a": np.ones((2, 3))}, tmp_path)
    assert list(back) == ["z", "a"]
    assert back["z"].flags.f_contiguous
    assert back["a"].flags.c_contiguous


def test_an_array_of_more_than_four_gigabytes_has_room_for_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artifact_store.codecs.arrays._LARGE", 8)  # as if this one were that large
    assert kept(np.arange(100), tmp_path).tolist() == list(range(100))
    assert struct.pack("<HHQQ", 1, 16, 928, 928) in (tmp_path / "model.npz").read_bytes()  # the wide size field
