"""S3 through s3fs: its credentials and its client, with conditional writes, and without its caches and retries.

Guarantees what :mod:`artifact_store.storage.base` asks for, on servers that honour ``If-None-Match`` and
``If-Match`` on PUT. Some S3-compatible servers accept and ignore them: that is for the store to probe. On
CompleteMultipartUpload they are sent as well, and nothing relies on them (``parts_above``). A request is tried once,
so that a conflict is not the echo of our own repetition more often than it must be (the HTTP client below still sends
a PUT again when a kept-alive connection turns out to be closed).

Why: docs/decisions/0008-two-s3-engines.md
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from artifact_store import errors
from artifact_store.core import keys
from artifact_store.storage.base import (
    Always,
    Backend,
    Blob,
    Capabilities,
    Entry,
    IfAbsent,
    Precondition,
    Trait,
    Unfinished,
    Version,
)
from artifact_store.storage.content_types import content_type
from artifact_store.storage.exact_size import wrong_size
from artifact_store.storage.fsspec.filesystem import Recipe
from artifact_store.storage.http import Attempt, Operation
from artifact_store.storage.options import S3, Unshown
from artifact_store.storage.parts import (
    SINGLE,
    RangeIgnored,
    range_from,
    ranges_ahead,
    replaced,
    rest_of_whole,
)
from artifact_store.storage.patience import MIN_RATE, UP, Patience, Share
from artifact_store.storage.places import AWS, bucket, server
from artifact_store.storage.redaction import without_credentials
from artifact_store.storage.s3_options import checked_for_s3fs
from artifact_store.storage.s3fs.answers import check_page, length_of, next_place
from artifact_store.storage.s3fs.calls import TRIES, Body, Calls, NotModified, Pulse
from artifact_store.storage.s3fs.checks import bucket_traits, listed_uploads
from artifact_store.storage.s3fs.client import client_settings
from artifact_store.storage.s3fs.recipe import S3Recipe
from artifact_store.storage.s3fs.upload import Upload, cut
from artifact_store.wording import brief


class S3fsBackend(Backend):
    """Objects below a prefix of a bucket, by way of an s3fs filesystem that this backend makes for itself.

    ``filesystem`` is a recipe for any subclass of ``s3fs.S3FileSystem``; ``root`` is ``bucket`` or
    ``bucket/prefix``. Keys go to the server as they are: no path of theirs is parsed. Versions are ETags.
    Listings are sorted here, since not every server lists in key order; so a listing is held in memory.
    """

    engine = "fsspec"
    capabilities = Capabilities(create_only=True, compare_and_swap=True, durable=True)
    create_limit = None
    parts_above = SINGLE

    def __init__(
        self, recipe: Recipe, root: str, *, url: str = "", timeout: float = 60.0, min_rate: float = MIN_RATE
    ) -> None:
        bucket, _, prefix = root.strip("/").partition("/")
        if not bucket:
            raise errors.InvalidOption(f"{brief(root)} names no bucket: write s3://bucket or s3://bucket/prefix")
        told, botocore = recipe.options.given, _options_in(recipe.options.given, "config_kwargs")
        given = checked_for_s3fs(told, _options_in(told, "client_kwargs"), botocore)
        inner = _options_in(given, "client_kwargs")
        self._patience = Patience(timeout, min_rate)
        settings = Unshown(client_settings(self._patience, botocore))
        ours = S3Recipe(recipe.kind, {**given, "config_kwargs": settings})
        self.url = url or f"s3://{bucket}/{prefix}".rstrip("/")
        address = given.get("endpoint_url") or inner.get("endpoint_url")
        self._given_endpoint = None if address is None else without_credentials(str(address))
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        _options_in(given, "s3_additional_kwargs")
        self._calls = Calls(ours, url=self.url, patience=self._patience)

    @property
    def endpoint(self) -> str:  # type: ignore[override]  # without an option only the client knows, so it has to be made
        """The server's address, without credentials: another server may treat conditions otherwise."""
        told = self._given_endpoint or without_credentials(self._calls.address())
        return AWS if server(told) == AWS else told

    @property
    def places(self) -> tuple[str, ...]:
        return (bucket(S3, self.endpoint, self._bucket, self._prefix),)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as a description, without a client and without credentials; see :class:`Recipe`."""
        root = f"{self._bucket}/{self._prefix}"
        return partial(type(self), url=self.url, **self._patience.options()), (self._calls.recipe, root)

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Return the object with one GET, or ``None`` if it still is the version ``unless``."""
        attempt, pulse = Attempt("read", key, self.url), Pulse()
        condition = {} if unless is None else {"IfNoneMatch": unless}

        async def once() -> Blob:
            answer = await self._calls.request("get_object", attempt, **self._at(key), **condition)
            size = length_of(answer, attempt)
            if size > limit:
                answer["Body"].close()
                raise errors.Corrupt(f"{key!r} in {self.url} holds {size} bytes, more than {limit}", key=key)
            pieces = await self._calls.drain(answer, size, pulse, attempt)
            return Blob(b"".join(pieces), _version(answer, attempt))

        try:
            return self._calls.run(self._calls.repeated(once), pulse, attempt)
        except NotModified:
            return None

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Yield the object: one GET up to 8 MiB, beyond that ranges in parallel, all of the same ETag.

        A body that breaks off is asked for again, up to three times per range. From a server that ignores ranges the
        whole comes with one GET. At most 28 MiB are held.
        """
        if size > SINGLE:
            yield from _Ranges(self, key, size)
            return
        attempt, pulse = Attempt("read", key, self.url), Pulse()

        async def once() -> list[bytes]:
            answer = await self._calls.request("get_object", attempt, **self._at(key))
            found = length_of(answer, attempt)
            if found != size:
                answer["Body"].close()
                raise wrong_size(key, expected=size, actual=found)
            return await self._calls.drain(answer, size, pulse, attempt)

        yield from self._calls.run(self._calls.repeated(once), pulse, attempt)

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        """Store ``data`` with one PUT. An unconditional one is repeated if the connection breaks."""
        return self._put(key, Body(data), when)

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Store the file with one PUT up to 8 MiB, beyond that in parts, with the condition on completing it.

        At most 32 MiB are held (for files of up to 160 GiB). After a failure the upload is aborted, unless it is
        unknown whether its completion arrived.
        """
        if size <= SINGLE:
            (body,) = cut(chunks, size, SINGLE, key)
            self._put(key, body, when)
            return
        place, attempt = self._at(key), Attempt("write", key, self.url, conditional=not isinstance(when, Always))
        with Upload(self._calls, place, attempt, size=size) as upload:
            for body in cut(chunks, size, upload.part, key):
                upload.send(body)
            upload.complete(_condition(when))

    def list(self, prefix: str) -> Iterator[Entry]:
        start = len(self._prefix)
        found = [
            Entry(held["Key"][start:], held["Size"], held["LastModified"])
            for page in self._pages(prefix)
            for held in page.get("Contents", ())
            if held["Key"].startswith(self._prefix + prefix)  # not every server filters
            if not held["Key"].endswith("/")  # what some consoles put for an empty folder is not an object of ours
        ]
        yield from sorted(found, key=lambda entry: entry.key)

    def children(self, prefix: str) -> Iterator[str]:
        yield from self.children_beginning(prefix, "")

    def children_beginning(self, prefix: str, *beginnings: str) -> Iterator[str]:
        whole, names = self._prefix + prefix, set[str]()
        begun = prefix + (beginnings[0] if len(beginnings) == 1 else "")
        for page in self._pages(begun, Delimiter="/"):
            names.update(held["Key"] for held in page.get("Contents", ()))
            names.update(below["Prefix"] for below in page.get("CommonPrefixes", ()))
        found = (name[len(whole) :] for name in names if name.startswith(whole) and name != whole)
        yield from sorted(name for name in found if name.startswith(beginnings))

    def delete(self, key: str) -> None:
        with suppress(errors.ObjectNotFound):  # what is not there needs no removing
            self._calls.ask("delete_object", Attempt("delete", key, self.url), **self._at(key))

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the multipart uploads below the root that are open. Their size is unknown, and given as 0."""
        attempt, start = Attempt("list uploads below", "", self.url), len(self._prefix)
        markers = "KeyMarker", "UploadIdMarker"
        for page in self._paged("list_multipart_uploads", attempt, markers, Prefix=self._prefix):
            for held in page.get("Uploads", ()):
                if held["Key"].startswith(self._prefix):  # not every server filters
                    yield Unfinished(held["Key"][start:], held["UploadId"], 0, held["Initiated"])

    def discard(self, upload: Unfinished) -> None:
        attempt, place = Attempt("abort the upload of", upload.key, self.url), self._at(upload.key)
        with suppress(errors.ObjectNotFound):  # another process removed it
            self._calls.ask("abort_multipart_upload", attempt, **place, UploadId=upload.upload)

    def traits(self, *, probes: bool) -> Iterator[Trait]:
        """Yield what the rules of the bucket mean for deletion and cost, and whether it lists unfinished uploads."""

        def ask(method: str, operation: Operation, **parameters: str) -> Mapping[str, Any]:
            attempt = Attempt(operation, self._bucket, self.url)
            return self._calls.ask(method, attempt, Bucket=self._bucket, **parameters)

        yield from bucket_traits(ask, self._bucket, self._prefix)
        if probes:
            yield listed_uploads(ask, self._prefix, self._prefix + keys.probe(secrets.token_hex(16)))

    def server_time(self) -> datetime | None:
        """Return the date of an answer to a listing of one object, which every reader may ask for."""
        attempt, place = Attempt("list", "", self.url), {"Bucket": self._bucket, "Prefix": self._prefix}
        answer = self._calls.ask("list_objects_v2", attempt, **place, MaxKeys=1)
        told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        return None if told is None else parsedate_to_datetime(told)

    def close(self) -> None:
        self._calls.close()

    def _put(self, key: str, body: Body, when: Precondition) -> Version:
        attempt = Attempt("write", key, self.url, conditional=not isinstance(when, Always))
        share = Share(UP)
        body.pulse = pulse = self._calls.pulse_of(body.getbuffer().nbytes, share)

        told = _condition(when) | ({} if (kind := content_type(key)) is None else {"ContentType": kind})

        async def once() -> Version:
            body.seek(0)
            answer = await self._calls.request("put_object", attempt, **self._at(key), Body=body, **told)
            return _version(answer, attempt)

        send = partial(self._calls.repeated, once) if isinstance(when, Always) else once
        with share:
            return self._calls.run(self._calls.in_time(body, share, attempt, send, self._at(key)), pulse, attempt)

    def _pages(self, prefix: str, **delimiter: str) -> Iterator[Mapping[str, Any]]:
        attempt, place = Attempt("list", prefix, self.url), {"Prefix": self._prefix + prefix, **delimiter}
        for page in self._paged("list_objects_v2", attempt, ("ContinuationToken",), **place):
            check_page(page, attempt)
            yield page

    def _paged(
        self, method: str, attempt: Attempt, markers: Iterable[str], **place: str
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the pages of an answer; ``markers`` are the parameters that tell where the next one begins."""
        seen: set[object] = set()
        while True:
            page = self._calls.ask(method, attempt, Bucket=self._bucket, **place)
            yield page
            if not page.get("IsTruncated"):
                return
            place |= next_place(page, markers, seen, attempt)

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}


class _Ranges:
    """One object in ranges, fetched ahead in parallel and handed on in order."""

    def __init__(self, backend: S3fsBackend, key: str, size: int) -> None:
        self._backend, self._calls = backend, backend._calls  # noqa: SLF001 -- a part of the backend in a class of its own
        self._key, self._size = key, size
        self._attempt = Attempt("read", key, backend.url)
        self._pulse = Pulse()

    def __iter__(self) -> Iterator[bytes]:
        known: Version | None = None
        start = 0
        try:
            answer, known = self._calls.run(self._calls.repeated(self._open), self._pulse, self._attempt)
            for pieces in self._in_ranges(answer, known):
                yield from pieces
                start += sum(map(len, pieces))
        except RangeIgnored:
            left = partial(rest_of_whole, self._whole, size=self._size, tries=TRIES, attempt=self._attempt)
            yield from left(start=start, known=known)

    def _in_ranges(self, answer: Mapping[str, Any], etag: Version) -> Iterator[list[bytes]]:
        opened = [answer]

        def begin(span: tuple[int, int]) -> Future[list[bytes]]:
            return self._calls.submit(self._range(span, etag, opened if span[0] == 0 else []))

        with closing(ranges_ahead(self._size, begin)) as futures:
            for future in futures:
                yield self._calls.wait(future, self._pulse, self._attempt)

    async def _open(self) -> tuple[Mapping[str, Any], Version]:
        """Ask for the first range, and learn from its headers which version it is and how long."""
        answer = await self._request(range_from(0, self._size))
        total = answer["ContentRange"].partition("/")[2]
        if total != str(self._size):
            found = length_of(answer, self._attempt)
            answer["Body"].close()
            raise wrong_size(self._key, expected=self._size, actual=int(total) if total.isdecimal() else found)
        return answer, _version(answer, self._attempt)

    async def _range(self, span: tuple[int, int], etag: Version, opened: list[Mapping[str, Any]]) -> list[bytes]:
        """Read a range that is ``opened`` already, or ask for it; if that breaks, ask again for the same version."""

        async def once() -> list[bytes]:
            answer = opened.pop() if opened else await self._request(span, IfMatch=etag)
            return await self._calls.drain(answer, span[1] - span[0], self._pulse, self._attempt)

        try:
            return await self._calls.repeated(once)
        except errors.PreconditionFailed:
            pass
        raise replaced(self._key, self._backend.url)

    async def _request(self, span: tuple[int, int], **condition: str) -> Mapping[str, Any]:
        wanted = {**self._backend._at(self._key), "Range": f"bytes={span[0]}-{span[1] - 1}"}  # noqa: SLF001 -- see above
        answer = await self._calls.request("get_object", self._attempt, **wanted, **condition)
        if "ContentRange" not in answer:
            answer["Body"].close()
            raise RangeIgnored(f"{self._backend.url}: the server answers a range with the whole object")
        return answer

    def _whole(self, known: Version | None) -> tuple[Version, Iterator[bytes]]:
        """Begin to read the object with one GET."""
        condition = {} if known is None else {"IfMatch": known}

        async def begin() -> tuple[Mapping[str, Any], Version]:
            answer = await self._calls.request("get_object", self._attempt, **self._backend._at(self._key), **condition)  # noqa: SLF001 -- see above
            found = length_of(answer, self._attempt)
            if found != self._size:
                answer["Body"].close()
                raise wrong_size(self._key, expected=self._size, actual=found)
            return answer, _version(answer, self._attempt)

        try:
            answer, version = self._calls.run(begin(), self._pulse, self._attempt)
        except errors.PreconditionFailed:
            raise replaced(self._key, self._backend.url) from None
        if known not in {None, version}:
            answer["Body"].close()
            raise replaced(self._key, self._backend.url)
        return version, self._calls.pieces(answer, self._pulse, self._attempt)


def _options_in(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the options within an option; anything else is ``InvalidOption``, and is not repeated."""
    found = given.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise errors.InvalidOption(f"the storage option {name} is a dict, not a {type(found).__name__}")
    return found


def _condition(when: Precondition) -> dict[str, str]:
    match when:
        case Always():
            return {}
        case IfAbsent():
            return {"IfNoneMatch": "*"}
        case _:
            return {"IfMatch": when.version}


def _version(answer: Mapping[str, Any], attempt: Attempt) -> Version:
    etag = answer.get("ETag")
    if not etag:
        raise errors.ConditionsUnsupported(f"{attempt.url}: the server returned no ETag for {attempt.key!r}")
    return Version(etag)
