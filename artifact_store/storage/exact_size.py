"""Streams of bytes that must have an exact length. Knows neither keys' meaning nor any storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from artifact_store.errors import DigestMismatch


def exactly(chunks: Iterable[bytes], *, size: int, key: str) -> Iterator[bytes]:
    """Pass ``chunks`` on, without empty ones and never more than ``size`` bytes of them.

    The source is exhausted before this ends, so whatever it raises after its last byte is raised here, too.

    Raises:
        DigestMismatch: there are more bytes than ``size``, or fewer.
    """
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            raise wrong_size(key, expected=size, actual=seen, relation="at least ")
        if chunk:
            yield chunk
    if seen != size:
        raise wrong_size(key, expected=size, actual=seen)


def wrong_size(key: str, *, expected: int, actual: int, relation: str = "") -> DigestMismatch:
    """Make the error for an object that is longer or shorter than it should be."""
    return DigestMismatch(
        f"{key!r} has {relation}{actual} bytes where {expected} were expected. Restore it from a copy",
        key=key,
        expected=str(expected),
        actual=str(actual),
    )
