"""How a large object travels to and from an object store: up in equal parts, down in ranges that are fetched ahead.

Owns the sizes, the order of the ranges and how many are under way. Sends nothing: an engine begins each range.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

from artifact_store.errors import DigestMismatch, Unsupported

R = TypeVar("R")

SINGLE = 8 << 20
"""Up to here a file is one PUT or one GET."""
RANGES_AHEAD = 6  # with the one that is being read: 28 MiB
_RANGE = 4 << 20
_PART = 5 << 20  # the least that S3 takes: more of them travel at once in the same memory
_PARTS = 10_000  # the most that S3 takes
_LARGEST_PART = 5 << 30  # that S3 takes
LARGEST = _PARTS * _LARGEST_PART
"""The largest object that S3 takes: 48.8 TiB. Servers that take less say so themselves."""


def part_size(size: int) -> int:
    """Return the size of each part but the last, equal as some servers demand.

    Raises:
        Unsupported: no number of parts holds so much.
    """
    if size > LARGEST:
        raise Unsupported(
            f"a file of {size} bytes is more than object stores take in one object (48.8 TiB); split it into several "
            "files"
        )
    return max(_PART, -(-size // _PARTS))


def range_from(start: int, size: int) -> tuple[int, int]:
    """Return where the range that begins at ``start`` begins and ends."""
    return start, min(start + _RANGE, size)


def ranges_ahead(size: int, begin: Callable[[tuple[int, int]], Future[R]]) -> Generator[Future[R], None, None]:
    """Yield, in order, what ``begin`` returns for each range of ``size`` bytes; some are begun before they are due.

    Those that have not begun when the iteration ends never do.
    """
    under_way: deque[Future[R]] = deque()
    left = (range_from(start, size) for start in range(0, size, _RANGE))
    try:
        while True:
            under_way.extend(map(begin, islice(left, RANGES_AHEAD - len(under_way))))
            if not under_way:
                return
            yield under_way.popleft()
    finally:
        for future in under_way:
            future.cancel()


def replaced(key: str, url: str) -> DigestMismatch:
    """Make the error for an object of which the bytes that follow are not those of the version that was begun."""
    return DigestMismatch(f"{key!r} in {url} was replaced while it was being read", key=key)
