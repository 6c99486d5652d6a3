"""One spelling out, no latitude in."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.canonical import (
    MAX_DEPTH,
    canonical,
    checksum,
    parse_document,
    parse_json,
    parse_part,
    sha256,
    sound_document,
    thoroughly,
    with_checksum,
)
from artifact_store.errors import Corrupt

pytestmark = pytest.mark.windows

LIMIT = 1 << 20
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(SCALARS | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


@given(VALUES)
def test_what_is_written_is_read_back_and_written_the_same(value):
    data = canonical(value)
    assert parse_json(data, limit=LIMIT, what="it") == value
    assert canonical(parse_json(data, limit=LIMIT, what="it")) == data


def test_keys_are_sorted_and_text_is_not_escaped():
    assert canonical({"b": 1, "a": "é", "c": [1.5, None, True]}) == '{"a":"é","b":1,"c":[1.5,null,true]}'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": -math.inf}, object(), {1: object()}, "\ud800"])
def test_what_json_has_no_word_for_is_not_written(value):
    with pytest.raises(ValueError):
        canonical(value)


@pytest.mark.parametrize(
    "data",
    [b"", b" ", b"{", b"nul", b"{}x", b'{"a":1,"a":2}', b'{"b":{"a":1,"a":1}}', b"NaN", b"[Infinity]", b"-Infinity", b"1e999",
     b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b'"\xff"', b'"\\ud800"', b'{"\\udc00":1}', b"[" * 33 + b"]" * 33,
     b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 40 + b"1" + b"}" * 40, b"1" * 5000, b"'a'", b"{a:1}", b"[1,]", b"\x00"],
)  # fmt: skip
def test_what_two_readers_could_read_in_two_ways_is_refused(data):
    with pytest.raises(Corrupt, match="the thing"):
        parse_json(data, limit=LIMIT, what="the thing")


def test_the_deepest_allowed_nesting_is_read():
    data = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert parse_json(data, limit=LIMIT, what="it")


def test_a_document_that_is_too_long_is_refused_before_it_is_parsed():
    with pytest.raises(Corrupt, match="more than the 10"):
        parse_json(b"[" * 1000, limit=10, what="it")


def test_a_document_carries_its_own_checksum():
    value = {"a": 1, "z": [1, 2]}
    value["checksum"] = checksum(value)
    assert parse_document(canonical(value), limit=LIMIT, what="it") == value


@pytest.mark.parametrize("data", [b"[]", b"1", b"{}", b'{"checksum":null}', b'{"a":1,"checksum":"00"}', b'{"a": 1}'])
def test_a_document_without_the_right_checksum_is_refused(data):
    with pytest.raises(Corrupt):
        parse_document(data, limit=LIMIT, what="it")


@given(st.dictionaries(TEXT | st.just("checksum"), VALUES), st.sampled_from(["right", "wrong", "twice", "spaced"]))
def test_the_short_way_takes_exactly_what_the_long_one_takes(value, how):
    value["checksum"] = "0" * 64 if how == "wrong" else checksum(value)
    data = canonical(value)
    if how == "twice":
        data = data[:-1] + b"," + data[1:]
    elif how == "spaced":
        data = data.replace(b",", b", ")
    try:
        long = thoroughly(data, limit=LIMIT, what="it")
    except Corrupt:
        long = None
    assert sound_document(data, limit=LIMIT) == long


def test_a_checksum_that_stands_twice_is_compared_on_the_long_way():
    """Only whoever breaks sha256 can write one, so it is the comparison that is asked for."""
    value = {"checksum": "0" * 64, "inner": {"checksum": "0" * 64}}
    assert sound_document(canonical(value), limit=LIMIT) is None
    with pytest.raises(Corrupt, match="its checksum does not fit"):
        parse_document(canonical(value), limit=LIMIT, what="it")


@pytest.mark.parametrize("others", [{}, {"a": 1}, {"z": 1}, {"a": 1, "z": [2]}])
def test_a_checksum_is_written_in_its_place(others):
    data = with_checksum(others)
    assert data == canonical(others | {"checksum": checksum(others)})
    assert parse_document(data, limit=LIMIT, what="it") == json.loads(data)


def test_the_parts_of_a_document_are_read_as_documents():
    data = with_checksum({"a": 1})
    assert parse_part(data, limit=LIMIT, what="it") == json.loads(data)
    with pytest.raises(Corrupt, match="its checksum does not fit"):
        parse_part(data.replace(b'"a":1', b'"a":2'), limit=LIMIT, what="it")
    with pytest.raises(Corrupt, match="more than the 3"):
        parse_part(data, limit=3, what="it")


def test_every_flipped_bit_of_a_document_is_noticed():
    value = {"name": "x", "numbers": [1, 2.5, 1e-9], "flag": True, "none": None}
    value["checksum"] = checksum(value)
    data = canonical(value)
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(Corrupt):
            parse_document(bytes(flipped), limit=LIMIT, what="it")


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_typed_error(data):
    try:
        value = parse_json(data, limit=LIMIT, what="it")
    except Corrupt:
        return
    assert json.loads(data) == value


def test_a_digest_is_lower_case_hexadecimal():
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
