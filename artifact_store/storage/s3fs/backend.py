"""S3 through s3fs: its credentials and its client, with conditional writes, and without its caches and retries.

Guarantees what :mod:`artifact_store.storage.base` asks for, on servers that honour ``If-None-Match`` and
``If-Match`` on PUT and on CompleteMultipartUpload. Some S3-compatible servers accept and ignore them: that is for
the store to probe. A request is tried once, so that a conflict is not the echo of our own repetition more often
than it must be (the HTTP client below still sends a PUT again when a kept-alive connection turns out to be closed).

Why: docs/decisions/0008-two-s3-engines.md
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from artifact_store.errors import (
    ConditionsUnsupported,
    Corrupt,
    DigestMismatch,
    InvalidOption,
    ObjectNotFound,
    PreconditionFailed,
    Unsupported,
)
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
from artifact_store.storage.exact_size import wrong_size
from artifact_store.storage.fsspec.filesystem import Recipe
from artifact_store.storage.http import Attempt, Operation
from artifact_store.storage.s3fs.answers import Tokens, check_page, length_of
from artifact_store.storage.s3fs.calls import Body, Calls, NotModified, Pulse, client_settings
from artifact_store.storage.s3fs.checks import bucket_traits
from artifact_store.storage.s3fs.upload import SINGLE, Upload, cut, part_size

_RANGE = 4 << 20
_RANGES_AHEAD = 6  # with the one that is being read: 28 MiB
AWS = "https://s3.amazonaws.com"
_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn")


class S3fsBackend(Backend):
    """Objects below a prefix of a bucket, by way of an s3fs filesystem that this backend makes for itself.

    ``filesystem`` is a recipe for any subclass of ``s3fs.S3FileSystem``; ``root`` is ``bucket`` or
    ``bucket/prefix``. Keys go to the server as they are: no path of theirs is parsed. Versions are ETags.
    Listings are sorted here, since not every server lists in key order; so a listing is held in memory.
    """

    engine = "fsspec"
    capabilities = Capabilities(create_only=True, compare_and_swap=True, durable=True)
    create_limit = None

    def __init__(self, recipe: Recipe, root: str, *, url: str = "", timeout: float = 60.0) -> None:
        bucket, _, prefix = root.strip("/").partition("/")
        if not bucket:
            raise InvalidOption(f"{root!r} names no bucket: write s3://bucket or s3://bucket/prefix")
        given = recipe.options.given
        inner = _options_in(given, "client_kwargs")
        settings = client_settings(timeout, _options_in(given, "config_kwargs"))
        ours = Recipe(recipe.kind, {**given, "config_kwargs": settings})
        self.url = url or f"s3://{bucket}/{prefix}".rstrip("/")
        told = given.get("endpoint_url") or inner.get("endpoint_url")
        self._given_endpoint = None if told is None else _without_credentials(str(told))
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._timeout = timeout
        self._calls = Calls(ours, url=self.url, timeout=timeout, additional=_options_in(given, "s3_additional_kwargs"))

    @property
    def endpoint(self) -> str:  # type: ignore[override]  # without an option only the client knows, so it has to be made
        """The server's address, without credentials: another server may treat conditions otherwise."""
        told = self._given_endpoint or _without_credentials(self._calls.address())
        return AWS if told.partition("://")[2].partition("/")[0].endswith(_AWS_HOSTS) else told

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as a description, without a client and without credentials; see :class:`Recipe`."""
        return _restore, (type(self), self._calls.recipe, f"{self._bucket}/{self._prefix}", self.url, self._timeout)

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Return the object with one GET, or ``None`` if it still is the version ``unless``."""
        attempt, pulse = self._attempt("read", key), Pulse()
        condition = {} if unless is None else {"IfNoneMatch": unless}

        async def once() -> Blob:
            answer = await self._calls.request("get_object", attempt, **self._at(key), **condition)
            size = length_of(answer, attempt)
            if size > limit:
                answer["Body"].close()
                raise Corrupt(f"{key!r} in {self.url} holds {size} bytes, more than {limit}", key=key)
            pieces = await self._calls.drain(answer, size, pulse, attempt)
            return Blob(b"".join(pieces), _version(answer, attempt))

        try:
            return self._calls.run(self._calls.repeated(once), pulse, attempt)
        except NotModified:
            return None

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Yield the object: one GET up to 8 MiB, beyond that ranges in parallel, all of the same ETag.

        A body that breaks off is asked for again, up to three times per range. At most 28 MiB are held.
        """
        if size > SINGLE:
            yield from _Ranges(self, key, size)
            return
        attempt, pulse = self._attempt("read", key), Pulse()

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
        place, attempt = self._at(key), self._attempt("write", key, conditional=not isinstance(when, Always))
        with Upload(self._calls, place, attempt, part=part_size(size)) as upload:
            for body in cut(chunks, size, upload.part, key):
                upload.send(body)
            upload.complete(_condition(when))

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below ``prefix``, in key order."""
        start = len(self._prefix)
        found = [
            Entry(held["Key"][start:], held["Size"], held["LastModified"])
            for page in self._pages(prefix, {})
            for held in page.get("Contents", ())
            if held["Key"].startswith(self._prefix + prefix)  # not every server filters
            if not held["Key"].endswith("/")  # what some consoles put for an empty folder is not an object of ours
        ]
        yield from sorted(found, key=lambda entry: entry.key)

    def children(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below ``prefix``, in order."""
        whole = self._prefix + prefix
        names: set[str] = set()
        for page in self._pages(prefix, {"Delimiter": "/"}):
            names.update(held["Key"] for held in page.get("Contents", ()))
            names.update(below["Prefix"] for below in page.get("CommonPrefixes", ()))
        yield from sorted(name[len(whole) :] for name in names if name.startswith(whole) and name != whole)

    def delete(self, key: str) -> None:
        """Remove exactly this object."""
        attempt = self._attempt("delete", key)

        async def once() -> None:
            await self._calls.request("delete_object", attempt, **self._at(key))

        try:
            self._calls.run(self._calls.repeated(once), Pulse(), attempt)
        except ObjectNotFound:
            return  # what is not there needs no removing

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the multipart uploads below the root that are open. Their size is unknown, and given as 0."""
        attempt, start = self._attempt("list uploads below", ""), len(self._prefix)
        place, markers = {"Bucket": self._bucket, "Prefix": self._prefix}, Tokens(attempt)
        while True:
            once = partial(self._calls.request, "list_multipart_uploads", attempt, **place)
            page = self._calls.run(self._calls.repeated(once), Pulse(), attempt)
            for held in page.get("Uploads", ()):
                if held["Key"].startswith(self._prefix):  # not every server filters
                    yield Unfinished(held["Key"][start:], held["UploadId"], 0, held["Initiated"])
            if not page.get("IsTruncated"):
                return
            place |= markers.next_upload(page)

    def discard(self, upload: Unfinished) -> None:
        """Abort exactly this multipart upload."""
        attempt = self._attempt("abort the upload of", upload.key)
        at = {**self._at(upload.key), "UploadId": upload.upload}
        once = partial(self._calls.request, "abort_multipart_upload", attempt, **at)
        with suppress(ObjectNotFound):  # another process removed it
            self._calls.run(self._calls.repeated(once), Pulse(), attempt)

    def traits(self, *, probes: bool) -> Iterator[Trait]:
        """Yield what the rules of the bucket mean for deletion and cost."""
        del probes  # they are asked, never tried

        def ask(method: str) -> Mapping[str, Any]:
            once = partial(self._calls.request, method, self._attempt("read", ""), Bucket=self._bucket)
            return self._calls.run(self._calls.repeated(once), Pulse(), self._attempt("read", ""))

        return bucket_traits(ask, self._bucket, self._prefix)

    def server_time(self) -> datetime | None:
        """Return the date of an answer to a listing of one object, which every reader may ask for."""
        attempt, place = self._attempt("list", ""), {"Bucket": self._bucket, "Prefix": self._prefix, "MaxKeys": 1}
        once = partial(self._calls.request, "list_objects_v2", attempt, **place)
        answer = self._calls.run(self._calls.repeated(once), Pulse(), attempt)
        told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        return None if told is None else parsedate_to_datetime(told)

    def close(self) -> None:
        """Close the connections of this process."""
        self._calls.close()

    def _put(self, key: str, body: Body, when: Precondition) -> Version:
        attempt, pulse = self._attempt("write", key, conditional=not isinstance(when, Always)), Pulse()
        body.pulse = pulse

        async def once() -> Version:
            body.seek(0)
            answer = await self._calls.request("put_object", attempt, **self._at(key), Body=body, **_condition(when))
            return _version(answer, attempt)

        return self._calls.run(self._calls.repeated(once) if isinstance(when, Always) else once(), pulse, attempt)

    def _pages(self, prefix: str, delimiter: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        attempt = self._attempt("list", prefix)
        place, tokens = {"Bucket": self._bucket, "Prefix": self._prefix + prefix, **delimiter}, Tokens(attempt)
        while True:
            once = partial(self._calls.request, "list_objects_v2", attempt, **place)
            page = self._calls.run(self._calls.repeated(once), Pulse(), attempt)
            check_page(page, attempt)
            yield page
            if not page["IsTruncated"]:
                return
            place["ContinuationToken"] = tokens.next(page)

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _attempt(self, operation: Operation, key: str, *, conditional: bool = False) -> Attempt:
        return Attempt(operation, key, self.url, conditional)


class _Ranges:
    """One object in ranges, fetched ahead in parallel and handed on in order."""

    def __init__(self, backend: S3fsBackend, key: str, size: int) -> None:
        self._backend, self._calls = backend, backend._calls  # noqa: SLF001 -- a part of the backend in a class of its own
        self._key, self._size = key, size
        self._attempt = Attempt("read", key, backend.url)
        self._pulse = Pulse()

    def __iter__(self) -> Iterator[bytes]:
        answer, etag = self._calls.run(self._calls.repeated(self._open), self._pulse, self._attempt)
        ahead: deque[Future[list[bytes]]] = deque()
        ahead.append(self._calls.submit(self._first(answer, etag)))
        starts = iter(range(_RANGE, self._size, _RANGE))
        try:
            while ahead:
                while len(ahead) < _RANGES_AHEAD and (start := next(starts, None)) is not None:
                    ahead.append(self._calls.submit(self._later(start, etag)))
                yield from self._calls.wait(ahead.popleft(), self._pulse, self._attempt)
        finally:
            for future in ahead:
                future.cancel()

    async def _open(self) -> tuple[Mapping[str, Any], Version]:
        """Ask for the first range, and learn from its headers which version it is and how long."""
        answer = await self._request(0)
        _, _, total = answer.get("ContentRange", "").partition("/")
        if total != str(self._size):
            found = length_of(answer, self._attempt)
            answer["Body"].close()
            if not total and found == self._size:
                raise Unsupported(f"{self._backend.url}: the server answers a range with the whole object")
            raise wrong_size(self._key, expected=self._size, actual=int(total) if total.isdecimal() else found)
        return answer, _version(answer, self._attempt)

    async def _first(self, answer: Mapping[str, Any], etag: Version) -> list[bytes]:
        """Read what ``_open`` asked for; if that breaks, ask again for the same version."""
        opened: list[Mapping[str, Any]] = [answer]

        async def once() -> list[bytes]:
            return await self._read(opened.pop() if opened else await self._request(0, IfMatch=etag), 0)

        return await self._same_version(once)

    async def _later(self, start: int, etag: Version) -> list[bytes]:
        async def once() -> list[bytes]:
            return await self._read(await self._request(start, IfMatch=etag), start)

        return await self._same_version(once)

    async def _same_version(self, once: Any) -> list[bytes]:
        try:
            return await self._calls.repeated(once)
        except PreconditionFailed:
            pass
        raise DigestMismatch(
            f"{self._key!r} in {self._backend.url} was replaced while it was being read", key=self._key
        )

    async def _request(self, start: int, **condition: str) -> Mapping[str, Any]:
        last = min(start + _RANGE, self._size) - 1
        wanted = {**self._backend._at(self._key), "Range": f"bytes={start}-{last}"}  # noqa: SLF001 -- see above
        return await self._calls.request("get_object", self._attempt, **wanted, **condition)

    async def _read(self, answer: Mapping[str, Any], start: int) -> list[bytes]:
        return await self._calls.drain(answer, min(_RANGE, self._size - start), self._pulse, self._attempt)


def _options_in(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the options within an option.

    Raises:
        InvalidOption: it holds something else, which is not repeated.
    """
    found = given.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise InvalidOption(f"the storage option {name} is a dict, not a {type(found).__name__}")
    return found


def _without_credentials(address: str) -> str:
    """Return the address of a server without a user, a password and a query."""
    scheme, mark, rest = re.split(r"[?#]", address, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}".rstrip("/")


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
        raise ConditionsUnsupported(f"{attempt.url}: the server returned no ETag for {attempt.key!r}")
    return Version(etag)


def _restore(kind: type[S3fsBackend], recipe: Recipe, root: str, url: str, timeout: float) -> S3fsBackend:
    return kind(recipe, root, url=url, timeout=timeout)
