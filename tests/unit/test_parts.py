"""The sizes of the parts of a large object stay within what Amazon takes, up to the largest object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.errors import Unsupported
from artifact_store.storage.parts import LARGEST, SINGLE, part_size

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
MOST_PARTS = 10_000


def parts_of(size: int) -> list[int]:
    """Return how many parts there are, and how large the largest and the last one is."""
    part = part_size(size)
    count = -(-size // part)
    return [count, part, size - (count - 1) * part]


def test_the_largest_object_is_what_amazon_takes_in_parts():
    assert LARGEST == MOST_PARTS * 5 * GIB
    assert round(LARGEST / TIB, 1) == 48.8  # as Amazon's page of the limits has it
    assert parts_of(LARGEST) == [MOST_PARTS, 5 * GIB, 5 * GIB]


@given(st.integers(SINGLE + 1, LARGEST) | st.integers(0, 2**24).map(lambda less: LARGEST - less))
def test_parts_are_within_the_limits(size: int) -> None:
    count, part, last = parts_of(size)
    assert 1 <= count <= MOST_PARTS
    assert 5 * MIB <= part <= 5 * GIB
    assert 0 < last <= part


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (SINGLE + 1, [2, 5 * MIB, 3 * MIB + 1]),
        (MOST_PARTS * 5 * MIB, [MOST_PARTS, 5 * MIB, 5 * MIB]),
        (MOST_PARTS * 5 * MIB + 1, [10_000, 5 * MIB + 1, 5 * MIB - 9998]),
        (5 * GIB + 1, [1025, 5 * MIB, 1]),
        (5 * TIB, [10_000, 549_755_814, 549_754_694]),
    ],
)
def test_parts_are_as_small_as_they_may_be(size: int, expected: list[int]) -> None:
    assert parts_of(size) == expected


@pytest.mark.parametrize("size", [LARGEST + 1, 1 << 53])
def test_what_no_number_of_parts_holds_is_refused_before_it_is_sent(size: int) -> None:
    with pytest.raises(Unsupported, match=r"48\.8 TiB.*split it"):
        part_size(size)
