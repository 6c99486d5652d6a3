"""Frames of zstd: what goes in comes out, in pieces of any size, and nothing else does."""

import builtins
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store import errors
from artifact_store.storage import zstd

PIECES = st.lists(st.binary(max_size=3000), max_size=8)


def cut(data, size):
    return [data[place : place + size] for place in range(0, len(data), size)]


@given(PIECES, st.integers(1, 5000))
def test_what_goes_in_comes_out_whatever_the_pieces(pieces, size):
    plain = b"".join(pieces)
    frame = b"".join(zstd.packed(pieces))
    assert b"".join(zstd.unpacked(cut(frame, size), size=len(plain), key="k")) == plain


@given(PIECES, st.integers(-3, 3).filter(bool))
def test_another_size_than_was_said_is_refused(pieces, off):
    plain = b"".join(pieces)
    frame = b"".join(zstd.packed(pieces))
    if len(plain) + off < 0:
        return
    with pytest.raises(errors.Corrupt, match="'k' is damaged"):
        list(zstd.unpacked([frame], size=len(plain) + off, key="k"))


@given(st.binary(min_size=1, max_size=2000), st.data())
def test_a_part_of_a_frame_and_what_is_none_are_refused(plain, data):
    frame = b"".join(zstd.packed([plain]))
    end = data.draw(st.integers(0, len(frame) - 1))
    for wrong in ([frame[:end]], [frame, b"x"], [frame + b"x"], [frame, frame], [b"no frame" + frame]):
        with pytest.raises(errors.Corrupt):
            list(zstd.unpacked(wrong, size=len(plain), key="k"))


def test_a_frame_that_holds_more_takes_no_room_for_it():
    frame = b"".join(zstd.packed([b"\0" * (32 << 20)]))
    assert len(frame) < 1 << 16
    tracemalloc.start()
    try:
        with pytest.raises(errors.Corrupt, match="more than 1,000 bytes"):
            list(zstd.unpacked([frame], size=1000, key="k"))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_frame_that_refers_further_back_than_our_own_do_is_refused():
    library = zstd.library()
    parameter = library.CompressionParameter
    wide = library.ZstdCompressor(options={parameter.window_log: 25, parameter.content_size_flag: 0})
    frame = wide.compress(b"a" * 1000) + wide.flush()
    with pytest.raises(errors.Corrupt, match="no frame of zstd"):
        list(zstd.unpacked([frame], size=1000, key="k"))


def test_the_source_is_closed_where_reading_ends_early():
    closed = []

    def source():
        try:
            yield from cut(b"".join(zstd.packed([bytes(range(256)) * 4000])), 100)
        finally:
            closed.append(True)

    reading = zstd.unpacked(source(), size=256 * 4000, key="k")
    next(reading)
    reading.close()
    assert closed == [True]


def test_what_becomes_much_smaller_is_worth_it():
    assert zstd.is_worth_it(b"leaf_value=0.25\n" * 1000)
    assert not zstd.is_worth_it(bytes(range(256)))
    assert not zstd.is_worth_it(b"")
    assert zstd.is_small(79, 100)
    assert not zstd.is_small(81, 100)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name in {"backports", "compression"}:
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.partition(".")[0] in {"backports", "compression"}]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(errors.Unsupported, match="pip install"):
        zstd.library()
