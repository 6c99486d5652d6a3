"""S3, Google Cloud Storage and Azure through obstore.

Guarantees what :mod:`artifact_store.storage.base` asks for, on servers that honour ``If-None-Match`` and
``If-Match`` on PUT; some S3-compatible ones accept and ignore them, which is for the store to probe. Requests are
repeated by obstore itself, a few times and within the deadline: so a conflict may be the echo of a write of ours
whose answer was lost.

Why: docs/decisions/0008-two-s3-engines.md
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from datetime import datetime
from time import monotonic
from typing import Any, Concatenate, ParamSpec, TypeVar

from artifact_store import errors
from artifact_store.storage.base import (
    Always,
    Backend,
    Blob,
    Capabilities,
    Entry,
    IfAbsent,
    IfVersion,
    Precondition,
    Trait,
    Unfinished,
    Version,
    not_asked,
)
from artifact_store.storage.content_types import content_type
from artifact_store.storage.exact_size import exactly, wrong_size
from artifact_store.storage.http import Attempt
from artifact_store.storage.obstore import listing, runtime
from artifact_store.storage.obstore.client import Clients
from artifact_store.storage.obstore.errors import NotPartial, UnlistableKey, is_timeout
from artifact_store.storage.obstore.options import cloud_config
from artifact_store.storage.obstore.substitute import Substitute
from artifact_store.storage.obstore.upload import feed, send_in_time
from artifact_store.storage.obstore.whole import Apart, begin_whole
from artifact_store.storage.options import GCS, S3, StorageOptions, StoreURL
from artifact_store.storage.parts import (
    RANGES_AHEAD,
    SINGLE,
    RangeIgnored,
    part_size,
    ranges_ahead,
    replaced,
    rest_of_whole,
)
from artifact_store.storage.patience import MIN_RATE, Patience, Watch
from artifact_store.storage.places import bucket
from artifact_store.storage.threads import Threads, check_stopped, result_of

T = TypeVar("T")
P = ParamSpec("P")
_Body = list[bytes]  # outside the class, where ``list`` is a method
_Pieces = tuple[_Body, Version]

_TRIES = 3
_PARTS_HELD = 24 << 20


def _or_by_s3fs(method: Callable[Concatenate[ObstoreBackend, P], T]) -> Callable[Concatenate[ObstoreBackend, P], T]:
    """Leave to s3fs what obstore cannot do in this process, as in one that was forked."""

    @functools.wraps(method)
    def call(self: ObstoreBackend, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if not runtime.lost():
            return method(self, *args, **kwargs)
        answer: T = getattr(self._substitute.get(), method.__name__)(*args, **kwargs)
        return answer

    return call


class ObstoreBackend(Backend):
    """Objects below a prefix of a bucket or container.

    Making one sends nothing and reads nothing. Versions are ETags (on Google Cloud the generation beside it).
    Listings are sorted here, since not every server lists in key order; so a listing is held in memory.

    obstore cannot be used in a process that was forked from one that uses it, since its threads stay in the parent,
    nor after it could start none. On S3 such a process works through the ``fsspec`` engine instead, with the same
    keys, versions and conditions; elsewhere it is ``EngineUnavailable``.

    Raises:
        InvalidOption: an option is unknown, or only another engine can honour it.
    """

    engine = "obstore"
    capabilities = Capabilities(create_only=True, compare_and_swap=True, durable=True)
    create_limit = SINGLE

    def __init__(
        self,
        url: StoreURL,
        options: StorageOptions | Mapping[str, Any] | None = None,
        *,
        timeout: float = 60.0,
        min_rate: float = MIN_RATE,
    ) -> None:
        self._place, self._options, self._patience = url, StorageOptions.of(options), Patience(timeout, min_rate)
        self.url = url.text
        config = cloud_config(url, self._options)
        self._clients = Clients(url, config, patience=self._patience, secrets=self._options.secrets)
        self._substitute = Substitute(url, self._options, self._patience)

    @property
    def endpoint(self) -> str:  # type: ignore[override]  # a profile's address is in a file, which is not read before
        """The address of the server, without credentials."""
        return self._clients.address()

    @property
    def places(self) -> tuple[str, ...]:
        return (bucket(self._place.scheme, self.endpoint, self._place.container, self._place.prefix),)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as a description, without clients; refused where the options hold credentials."""
        return functools.partial(type(self), **self._patience.options()), (self._place, self._options)

    @_or_by_s3fs
    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Return the object with one GET, or ``None`` if it still is the version ``unless``."""
        attempt = Attempt("read", key, self.url)

        def once(obstore: Any, client: Any) -> Blob | None:
            options = {} if unless is None else {"if_none_match": _etag(unless)}
            try:
                answer = obstore.get(client, self._path(key), options=options)
            except obstore.exceptions.NotModifiedError:
                if unless is None:
                    raise
                return None
            size = answer.meta["size"]
            if size > limit:
                raise errors.Corrupt(f"{key!r} in {self.url} holds {size} bytes, more than {limit}", key=key)
            return Blob(b"".join(self._body(answer, size, attempt)), self._version(answer.meta, key))

        return self._clients.call("download", attempt, once)

    @_or_by_s3fs
    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Yield the object: one GET up to 8 MiB, beyond that ranges in parallel, all of the same version.

        A range that breaks off is asked for again, up to three times. From a server that ignores ranges the whole
        comes with one GET. At most 28 MiB are held.
        """
        if size > SINGLE:
            yield from self._ranges(key, size)
        else:
            yield from self._part(key, size, None, None)[0]

    @_or_by_s3fs
    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        """Store ``data`` with one PUT."""
        return self._put(key, data, when, None)

    def _put(self, key: str, data: bytes, when: Precondition, ask: Callable[[Any, Any], object] | None) -> Version:
        told = None if (kind := content_type(key)) is None else {"Content-Type": kind}

        def once(obstore: Any, client: Any) -> Version:
            # the whole body in one request: use_multipart would make it several
            held = obstore.put(client, self._path(key), data, attributes=told, mode=_mode(when), use_multipart=False)
            return self._version(held, key)

        attempt = Attempt("write", key, self.url, conditional=not isinstance(when, Always))
        return send_in_time(self._clients, self._patience, attempt, once, size=len(data), ask=ask)

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Store the file with one PUT up to 8 MiB, beyond that in parts and without a condition.

        About 30 MiB are held for files of up to 50 GiB. After a failure the upload is aborted.
        """
        if size > self.create_limit and not isinstance(when, Always):
            raise errors.ConditionsUnsupported(
                f"{self.url}: cannot create {key!r} conditionally: obstore uploads files above "
                f"{self.create_limit} bytes in parts, which it cannot do with a condition"
            )
        if runtime.lost():
            self._substitute.get().put_file(key, chunks, size=size, when=when)
            return
        path = self._path(key)

        def ask(obstore: Any, client: Any) -> None:
            obstore.head(client, path)

        if size <= SINGLE:
            self._put(key, b"".join(exactly(chunks, size=size, key=key)), when, ask)
            return
        part = part_size(size)
        at_once = max(1, _PARTS_HELD // part)

        def send(pieces: Iterator[bytes]) -> None:
            def put(obstore: Any, client: Any) -> None:
                obstore.put(client, path, pieces, use_multipart=True, chunk_size=part, max_concurrency=at_once)

            attempt, parts = Attempt("write", key, self.url), min(at_once, -(-size // part))
            send_in_time(self._clients, self._patience, attempt, put, size=part, at_once=parts, ask=ask)

        feed(exactly(chunks, size=size, key=key), send)

    @_or_by_s3fs
    def list(self, prefix: str) -> Iterator[Entry]:
        whole, cut = self._path(prefix), len(self._path(""))

        def once(_: Any, client: Any) -> Iterable[Entry]:
            found = [
                Entry(held["path"][cut:], held["size"], held["last_modified"])
                for held in listing.finished(listing.objects(client, whole, self._patience.timeout))
                if held["path"].startswith(whole)
            ]
            # What some consoles put for a folder ("a/") arrives as an empty object "a" beside those that are in it.
            folders = {entry.key.rpartition("/")[0] for entry in found}
            return sorted(
                (entry for entry in found if entry.size or entry.key not in folders), key=lambda entry: entry.key
            )

        yield from self._listed(prefix, once, lambda s3fs: s3fs.list(prefix))

    @_or_by_s3fs
    def children(self, prefix: str) -> Iterator[str]:
        whole = self._path(prefix)
        cut = len(whole)

        def once(_: Any, client: Any) -> Iterable[str]:
            found = listing.finished(listing.level(client, whole, self._patience.timeout))
            folders = {f"{name[cut:]}/" for name in found["common_prefixes"] if name.startswith(whole)}
            return sorted(folders | {held["path"][cut:] for held in found["objects"] if held["path"].startswith(whole)})

        yield from self._listed(prefix, once, lambda s3fs: s3fs.children(prefix))

    @_or_by_s3fs
    def delete(self, key: str) -> None:
        with contextlib.suppress(errors.ObjectNotFound):  # what is not there needs no removing
            self._clients.call(
                "control",
                Attempt("delete", key, self.url),
                lambda obstore, client: obstore.delete(client, self._path(key)),
            )

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the open multipart uploads on S3, through s3fs, since obstore cannot list them.

        Azure forgets unfinished blocks by itself after a week.

        Raises:
            Unsupported: on S3 without s3fs, and on Google Cloud; a rule of the bucket does it there.
        """
        if self._place.scheme == GCS or (self._place.scheme == S3 and not self._substitute.is_installed):
            raise errors.Unsupported(
                f"{self.url}: obstore cannot list unfinished uploads. Give the bucket a lifecycle rule "
                "AbortIncompleteMultipartUpload after 7 days, or install s3fs for stores on S3"
            )
        return self._substitute.get().unfinished() if self._substitute.is_installed else iter(())

    def discard(self, upload: Unfinished) -> None:
        self._substitute.get().discard(upload)

    def traits(self, *, probes: bool) -> Iterator[Trait]:
        """Yield the rules of the bucket on S3, through s3fs, since obstore asks no such questions."""
        if self._substitute.is_installed:
            return self._substitute.get().traits(probes=probes)
        return not_asked("obstore cannot read the rules of a bucket; on S3, s3fs can if installed")

    def server_time(self) -> datetime | None:
        """Return what the clock of an S3 server says, through s3fs."""
        return self._substitute.get().server_time() if self._substitute.is_installed else None

    def close(self) -> None:
        """Let this process's clients go; the next call makes new ones."""
        self._clients.forget()
        self._substitute.close()

    def _ranges(self, key: str, size: int) -> Generator[bytes, None, None]:
        known: Version | None = None
        start = 0
        pool, stop = Threads(RANGES_AHEAD, "artifact-store-ranges"), threading.Event()

        # Those that go out with the first one know no version yet; theirs is compared as they come in.
        def begin(span: tuple[int, int]) -> Future[_Pieces]:
            return pool.submit(functools.partial(self._part, key, size, span, known), stop)

        try:
            for future in ranges_ahead(size, begin):
                pieces, version = result_of(future)
                known = known or version
                if version != known:
                    raise replaced(key, self.url)
                yield from pieces
                start += sum(map(len, pieces))
        except RangeIgnored:
            whole = functools.partial(self._whole, key, size, lambda work: result_of(pool.submit(work, stop)))
            left = functools.partial(rest_of_whole, whole, size=size, tries=_TRIES)
            yield from left(start=start, known=known, attempt=Attempt("read", key, self.url))
        finally:
            stop.set()
            pool.leave()

    def _whole(self, key: str, size: int, apart: Apart, known: Version | None) -> tuple[Version, Iterator[bytes]]:
        attempt, etag = Attempt("read", key, self.url), None if known is None else _etag(known)
        ask = functools.partial(self._clients.call, "download", attempt)
        described, pieces = begin_whole(ask, apart, self._patience, attempt, self._path(key), size=size, etag=etag)
        version = self._version(described, key)
        if known not in {None, version}:
            raise replaced(key, self.url)
        return version, pieces

    def _part(self, key: str, size: int, span: tuple[int, int] | None, known: Version | None) -> _Pieces:
        """Return a range of the object, or all of it, with its version; a broken connection is tried again."""
        options: dict[str, Any] = {} if span is None else {"range": span}
        if known is not None:
            options["if_match"] = _etag(known)
        start, stop = span or (0, size)

        def once(obstore: Any, client: Any) -> _Pieces:
            answer = obstore.get(client, self._path(key), options=options)
            if answer.meta["size"] != size:
                raise wrong_size(key, expected=size, actual=answer.meta["size"])
            pieces = self._body(answer, stop - start, attempt)
            if sum(map(len, pieces)) != stop - start:
                raise errors.Unreachable(f"{self.url}: the response with {key!r} was cut off; try again")
            return pieces, self._version(answer.meta, key)

        attempt = Attempt("read", key, self.url)
        deadline = monotonic() + self._patience.timeout
        for tries in range(_TRIES):
            try:
                return self._clients.call("download", attempt, once)
            except errors.Unreachable as error:
                if isinstance(error, NotPartial) and span is not None:
                    raise RangeIgnored(f"{self.url}: the server answers a range with the whole object") from error
                if tries == _TRIES - 1 or monotonic() > deadline:
                    raise
            except errors.PreconditionFailed:
                break
        raise replaced(key, self.url)

    def _body(self, answer: Any, size: int, attempt: Attempt) -> _Body:
        """Return what comes, in the pieces in which it comes; the body as a whole may not be slow."""
        watch = Watch(self._patience, attempt, size)
        pieces: _Body = []
        try:
            with watch:
                for piece in answer.stream(min_chunk_size=1):
                    pieces.append(piece)
                    watch.note(len(piece))
                    check_stopped()
        except Exception as error:
            if isinstance(error, errors.ArtifactStoreError) or not is_timeout(error):
                raise
        else:
            return pieces
        raise watch.late()

    def _listed(
        self, prefix: str, once: Callable[[Any, Any], Iterable[T]], by_s3fs: Callable[[Backend], Iterable[T]]
    ) -> Iterable[T]:
        """Return a listing; on S3 through s3fs if a key there is not supported by obstore.

        One such object, from any writer, would otherwise hide all others.
        """
        try:
            return self._clients.call("control", Attempt("list", prefix, self.url), once)
        except UnlistableKey:
            if not self._substitute.is_installed:
                raise
        return by_s3fs(self._substitute.get())

    def _path(self, key: str) -> str:
        return f"{self._place.prefix}/{key}" if self._place.prefix else key

    def _version(self, held: Mapping[str, Any], key: str) -> Version:
        etag = held["e_tag"]
        if not etag:
            raise errors.Unsupported(f"{self.url}: the server returned no ETag for {key!r}, so nothing can be compared")
        # Google's own condition is on the generation, which unlike its ETag is never used twice.
        return Version(f"{held['version']}\n{etag}" if self._place.scheme == GCS and held["version"] else etag)


def _mode(when: Precondition) -> str | dict[str, str]:
    match when:
        case Always():
            return "overwrite"
        case IfAbsent():
            return "create"
        case IfVersion(version):
            generation, _, etag = version.rpartition("\n")
            return {"e_tag": etag, "version": generation} if generation else {"e_tag": etag}


def _etag(version: Version) -> str:
    return version.rpartition("\n")[2]
