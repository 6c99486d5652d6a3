"""What can be made out in a damaged pointer: never more than was there, and nothing of another alias."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.core.keys import ModelKey
from artifact_store.core.pointer import Note, advance
from artifact_store.diagnosis.salvage import Salvage, salvage
from tests.unit.samples import KEY, NOW, RUN_ID, manifest, resealed

pytestmark = pytest.mark.windows


def pointer(count):
    found = None
    for number in range(count):
        found = advance(found, KEY, "latest", manifest(), Note(f"{number:032x}", NOW, "me", f"n{number}")).pointer
    return found


POINTERS = {count: pointer(count) for count in (1, 2, 40, 63, 64, 65, 97)}


@pytest.mark.parametrize("count", POINTERS)
def test_of_a_pointer_that_is_whole_everything_is_made_out(count):
    whole = POINTERS[count]
    found = salvage(whole.to_bytes(), KEY, "latest")
    assert found.entries == whole.history
    assert (found.closed, found.current, found.named) == (True, whole.current, (RUN_ID, manifest().digest))
    assert (found.highest, found.is_pointer, found.is_signed, found.retired) == (count, True, False, False)


@pytest.mark.parametrize("count", POINTERS)
def test_a_pointer_that_is_cut_anywhere_gives_a_beginning_of_its_history(count):
    whole = POINTERS[count]
    data = whole.to_bytes()
    for end in range(0, len(data), 37):
        found = salvage(data[:end], KEY, "latest")
        assert found.entries == whole.history[: len(found.entries)]
        assert not found.closed or found.entries == whole.history
        assert found.current is None
        assert found.named in {None, (RUN_ID, manifest().digest)}
        assert found.highest <= count


def test_a_retired_alias_is_told_from_one_whose_run_is_lost():
    retired = advance(POINTERS[2], KEY, "latest", None, Note("f" * 32, NOW, "me")).pointer
    assert salvage(retired.to_bytes(), KEY, "latest").retired
    assert not salvage(retired.to_bytes()[:-80], KEY, "latest").retired


@pytest.mark.parametrize(
    ("key", "alias"),
    [
        (ModelKey("gru", "ETHEUR"), "latest"),
        (ModelKey("gbm", "BTCEUR"), "latest"),
        (KEY, "production"),
        (ModelKey("gru"), "latest"),
    ],
)
def test_the_pointer_of_another_alias_gives_nothing(key, alias):
    assert salvage(POINTERS[40].to_bytes(), key, alias) == Salvage()


def test_bytes_that_are_no_pointer_give_nothing():
    for data in (b"", b"{}", b"[]", b"\xff" * 99, b'{"alias":"latest"', json.dumps({"history": [1, 2]}).encode()):
        found = salvage(data, KEY, "latest")
        assert (found.entries, found.current, found.named) == ((), None, None)
    deep = b'{"alias":"latest","history":[' + b'{"a":' * 5_000
    assert salvage(deep, KEY, "latest").entries == ()
    twice = resealed(json.loads(POINTERS[2].to_bytes())).replace(b'"seq":1,', b'"seq":9,')
    assert salvage(twice, KEY, "latest").entries[0].seq == 9


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(POINTERS[40].to_bytes()) - 1), st.integers(0, 7))
def test_one_flipped_bit_spoils_one_entry_at_most_and_never_makes_more(at, bit):
    whole = POINTERS[40]
    data = bytearray(whole.to_bytes())
    data[at] ^= 1 << bit
    found = salvage(bytes(data), KEY, "latest")
    pairs = zip(found.entries, whole.history, strict=False)
    assert sum(entry != original for entry, original in pairs) <= 1
    assert len(found.entries) <= len(whole.history)
    assert not found.closed or len(found.entries) == len(whole.history)
