"""What an answer of an S3 server has to say before anything is made of it: botocore passes on what it could parse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from artifact_store.errors import Corrupt, Unreachable
from artifact_store.storage.http import Attempt


def length_of(answer: Mapping[str, Any], attempt: Attempt) -> int:
    """Return the length of the body; ``Unreachable`` without one, since a truncated body would not be noticed."""
    length = answer.get("ContentLength")
    if not isinstance(length, int) or length < 0:
        body = answer.get("Body")
        if body is not None:
            body.close()
        raise Unreachable(f"{attempt.url}: the response with {attempt.key!r} does not say how long it is")
    return length


def check_page(page: Mapping[str, Any], attempt: Attempt) -> None:
    """Raise unless this is a page of a listing: a proxy's page of words parses as one without entries.

    Raises:
        Unreachable: it is something else.
        Corrupt: an entry does not say what it is.
    """
    if not isinstance(page.get("IsTruncated"), bool):
        raise Unreachable(
            f"{attempt.url}: the response to a listing of {attempt.key!r} is not a listing; is there a proxy, or "
            "another server, at this address?"
        )
    folders = all(isinstance(below.get("Prefix"), str) for below in page.get("CommonPrefixes", ()))
    if not folders or not all(map(_is_entry, page.get("Contents", ()))):
        raise Corrupt(f"{attempt.url}: an entry in the listing of {attempt.key!r} lacks its name, size or time")


def _is_entry(held: Mapping[str, Any]) -> bool:
    size = held.get("Size")
    named = isinstance(held.get("Key"), str) and isinstance(held.get("LastModified"), datetime)
    return named and isinstance(size, int) and size >= 0


def next_place(page: Mapping[str, Any], names: Iterable[str], seen: set[object], attempt: Attempt) -> dict[str, str]:
    """Return the parameters of these names with which the next page is asked for: never those of a page before.

    ``seen`` remembers them for all pages of one listing.

    Raises:
        Corrupt: they are missing or repeated: the listing would never end.
    """
    place = {name: page.get(f"Next{name}") for name in names}
    token = tuple(place.values())
    if not all(token) or token in seen:
        raise Corrupt(
            f"{attempt.url}: the listing of {attempt.key!r} is truncated, and the server gives "
            "no new token to continue with"
        )
    seen.add(token)
    return {name: str(value) for name, value in place.items()}
