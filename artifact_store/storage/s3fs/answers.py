"""What an answer of an S3 server has to say before anything is made of it: botocore passes on what it could parse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from artifact_store.errors import Corrupt, Unreachable
from artifact_store.storage.http import Attempt


def length_of(answer: Mapping[str, Any], attempt: Attempt) -> int:
    """Return how long the body says that it is.

    Raises:
        Unreachable: it does not say, so a truncated one would not be noticed.
    """
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
    for held in page.get("Contents", ()):
        size, modified = held.get("Size"), held.get("LastModified")
        if not isinstance(held.get("Key"), str) or not isinstance(size, int) or size < 0:
            raise _odd(attempt)
        if not isinstance(modified, datetime):
            raise _odd(attempt)
    if not all(isinstance(below.get("Prefix"), str) for below in page.get("CommonPrefixes", ())):
        raise _odd(attempt)


def _odd(attempt: Attempt) -> Corrupt:
    return Corrupt(f"{attempt.url}: an entry in the listing of {attempt.key!r} lacks its name, size or time")


class Tokens:
    """Where the pages of one listing go on: never where they have been."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._seen: set[tuple[object, ...]] = set()

    def next(self, page: Mapping[str, Any]) -> str:
        """Return the token of the next page.

        Raises:
            Corrupt: it is missing or repeated: the listing would never end.
        """
        token = page.get("NextContinuationToken")
        return str(self._advance(token)[0])

    def next_upload(self, page: Mapping[str, Any]) -> dict[str, str]:
        """Return where the next page of open uploads begins.

        Raises:
            Corrupt: as for :meth:`next`.
        """
        key, upload = self._advance(page.get("NextKeyMarker"), page.get("NextUploadIdMarker"))
        return {"KeyMarker": str(key), "UploadIdMarker": str(upload)}

    def _advance(self, *token: object) -> tuple[object, ...]:
        if not all(token) or token in self._seen:
            raise Corrupt(
                f"{self._attempt.url}: the listing of {self._attempt.key!r} is truncated, and the server gives "
                "no new token to continue with"
            )
        self._seen.add(token)
        return token
