"""How a large object travels to and from an object store: up in equal parts, down in ranges that are fetched ahead.

Owns the sizes, the order of the ranges and how many are under way, and what is done where a server knows no ranges.
Sends nothing: an engine begins each request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

from artifact_store.errors import DigestMismatch, Unreachable, Unsupported
from artifact_store.storage.base import Version
from artifact_store.storage.http import Attempt

R = TypeVar("R")

SINGLE = 8 << 20
"""Up to here a file is one PUT or one GET."""
RANGES_AHEAD = 6  # with the one that is being read: 28 MiB
PARTS_AHEAD = 5  # the most of the smallest ones that an engine sends at once
_RANGE = 4 << 20
_PART = 5 << 20  # the least that S3 takes: more of them travel at once in the same memory
_PARTS = 10_000  # the most that S3 takes
_LARGEST_PART = 5 << 30  # that S3 takes
LARGEST = _PARTS * _LARGEST_PART
"""The largest object that S3 takes: 48.8 TiB. Servers that take less say so themselves."""


class RangeIgnored(Unsupported):
    """The server answered a request for a range with the whole object, or does not say which part of it that is."""


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


def rest_of_whole(
    begin: Callable[[Version | None], tuple[Version, Iterator[bytes]]],
    *,
    size: int,
    start: int,
    known: Version | None,
    tries: int,
    attempt: Attempt,
) -> Generator[bytes, None, None]:
    """Yield what follows ``start`` of an object that its server gives only from the beginning.

    ``begin`` asks for all of it, of the version ``known`` where one is, and returns its version and its pieces. A body
    that breaks off is asked for again, up to ``tries`` times, and read over as far as it was yielded.

    Raises:
        Unreachable: it broke off each time.
    """
    for last in (*[False] * (tries - 1), True):
        seen = 0
        try:
            known, pieces = begin(known)
            for piece in pieces:
                fresh = piece[max(0, start - seen) :]
                seen += len(piece)
                if fresh:
                    start = seen
                    yield fresh
        except Unreachable:
            if last:
                raise
        if seen == size:
            return
    raise Unreachable(f"{attempt}: the response was cut off each time; try again")
