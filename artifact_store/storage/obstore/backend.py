"""S3, Google Cloud Storage and Azure through obstore.

Guarantees what :mod:`artifact_store.storage.base` asks for, on servers that honour ``If-None-Match`` and
``If-Match`` on PUT; some S3-compatible ones accept and ignore them, which is for the store to probe. Requests are
repeated by obstore itself, a few times and within the deadline: so a conflict may be the echo of a write of ours
whose answer was lost.

Why: docs/decisions/0008-two-s3-engines.md
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from importlib.util import find_spec
from time import monotonic
from typing import Any, TypeVar

from artifact_store.errors import (
    ArtifactStoreError,
    ConditionsUnsupported,
    Corrupt,
    DigestMismatch,
    EngineUnavailable,
    ObjectNotFound,
    PreconditionFailed,
    Unreachable,
    Unsupported,
)
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
from artifact_store.storage.exact_size import exactly, wrong_size
from artifact_store.storage.http import Attempt, Operation
from artifact_store.storage.obstore import listing
from artifact_store.storage.obstore.client import Clients, Purpose, runtime_lost
from artifact_store.storage.obstore.errors import UnlistableKey, translate_obstore_error
from artifact_store.storage.obstore.options import cloud_config
from artifact_store.storage.obstore.upload import feed
from artifact_store.storage.options import GCS, S3, StorageOptions, StoreURL

T = TypeVar("T")

_SINGLE = 8 << 20
"""Up to here a file is one PUT or one GET."""
_QUICK = 1 << 20  # above this a body gets more time than the deadline of a small request
_RANGE = 4 << 20
_RANGES_AHEAD = 6  # with the one that is being read: 28 MiB
_PIECE = 1 << 20  # larger ones cost page faults, smaller ones calls
_TRIES = 3
_PART = 5 << 20  # the least that S3 takes: more of them travel at once in the same memory
_PARTS = 10_000  # the most that S3 takes
_PARTS_HELD = 24 << 20


class ObstoreBackend(Backend):
    """Objects below a prefix of a bucket or container.

    Making one sends nothing and reads nothing. Versions are ETags (on Google Cloud the generation beside it).
    Listings are sorted here, since not every server lists in key order; so a listing is held in memory.

    obstore cannot be used in a process that was forked from one that uses it: its threads stay in the parent. On
    S3 such a child works through the ``fsspec`` engine instead, with the same keys, versions and conditions;
    elsewhere it is ``EngineUnavailable``.

    Raises:
        InvalidOption: an option is unknown, or only another engine can honour it.
    """

    engine = "obstore"
    capabilities = Capabilities(create_only=True, compare_and_swap=True, durable=True)
    create_limit = _SINGLE

    def __init__(
        self, url: StoreURL, options: StorageOptions | Mapping[str, Any] | None = None, *, timeout: float = 60.0
    ) -> None:
        self._place, self._options, self._timeout = url, StorageOptions.of(options), timeout
        self.url = url.text
        self._clients = Clients(url, cloud_config(url, self._options), timeout=timeout)
        self._substitutes: dict[int, Backend] = {}

    @property
    def endpoint(self) -> str:  # type: ignore[override]  # a profile's address is in a file, which is not read before
        """The address of the server, without credentials."""
        return self._clients.address()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as a description, without clients; refused where the options hold credentials."""
        return _restore, (type(self), self._place, self._options, self._timeout)

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Return the object with one GET, or ``None`` if it still is the version ``unless``."""
        return self._engine().read(key, limit=limit, unless=unless)

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Yield the object: one GET up to 8 MiB, beyond that ranges in parallel, all of the same version.

        A range that breaks off is asked for again, up to three times. At most 28 MiB are held.
        """
        return self._engine().stream(key, size=size)

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        """Store ``data`` with one PUT."""
        return self._engine().write(key, data, when=when)

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Store the file with one PUT up to 8 MiB, beyond that in parts and without a condition.

        About 30 MiB are held for files of up to 50 GiB. After a failure the upload is aborted.
        """
        if size > self.create_limit and not isinstance(when, Always):
            raise ConditionsUnsupported(
                f"{self.url}: cannot create {key!r} conditionally: obstore uploads files above "
                f"{self.create_limit} bytes in parts, which it cannot do with a condition"
            )
        self._engine().put_file(key, chunks, size=size, when=when)

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below ``prefix``, in key order."""
        return self._listing(lambda engine: engine.list(prefix))

    def children(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below ``prefix``, in order."""
        return self._listing(lambda engine: engine.children(prefix))

    def delete(self, key: str) -> None:
        """Remove exactly this object."""
        self._engine().delete(key)

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the open multipart uploads on S3, through s3fs, since obstore cannot list them.

        Azure forgets unfinished blocks by itself after a week.

        Raises:
            Unsupported: on S3 without s3fs, and on Google Cloud; a rule of the bucket does it there.
        """
        if self._place.scheme == GCS or (self._place.scheme == S3 and find_spec("s3fs") is None):
            raise Unsupported(
                f"{self.url}: obstore cannot list unfinished uploads. Give the bucket a lifecycle rule "
                "AbortIncompleteMultipartUpload after 7 days, or install s3fs for stores on S3"
            )
        return self._through_s3fs().unfinished() if self._place.scheme == S3 else iter(())

    def discard(self, upload: Unfinished) -> None:
        """Abort exactly this multipart upload."""
        self._through_s3fs().discard(upload)

    def traits(self, *, probes: bool) -> Iterator[Trait]:
        """Yield the rules of the bucket on S3, through s3fs, since obstore asks no such questions."""
        if self._place.scheme == S3 and find_spec("s3fs") is not None:
            return self._through_s3fs().traits(probes=probes)
        return not_asked("obstore cannot read the rules of a bucket; on S3, s3fs can if installed")

    def server_time(self) -> datetime | None:
        """Return what the clock of an S3 server says, through s3fs."""
        asks = self._place.scheme == S3 and find_spec("s3fs") is not None
        return self._through_s3fs().server_time() if asks else None

    def close(self) -> None:
        """Let this process's clients go; the next call makes new ones."""
        self._clients.forget()
        substitute = self._substitutes.pop(os.getpid(), None)
        if substitute is not None:
            substitute.close()

    def _listing(self, listed: Callable[[_Requests | Backend], Iterator[T]]) -> Iterator[T]:
        """Yield a listing; on S3 through s3fs if a key there is not supported by obstore.

        One such object, anybody's, would otherwise hide all others.
        """
        try:
            found = list(listed(self._engine()))
        except UnlistableKey:
            if self._place.scheme != S3 or find_spec("s3fs") is None:
                raise
            found = list(listed(self._through_s3fs()))
        yield from found

    def _engine(self) -> _Requests | Backend:
        if not runtime_lost():
            return _Requests(self._place, self._clients, self._options.secrets, self._timeout)
        return self._through_s3fs()

    def _through_s3fs(self) -> Backend:
        found = self._substitutes.get(os.getpid())
        return found or self._substitutes.setdefault(os.getpid(), self._substitute())

    def _substitute(self) -> Backend:
        advice = "start processes with the 'spawn' or 'forkserver' method, or choose engine='fsspec'"
        if self._place.scheme != S3:
            raise EngineUnavailable(f"{self.url}: obstore does not work in a forked process; {advice}")
        from artifact_store.storage.fsspec.backend import open_filesystem

        try:
            return open_filesystem(self.url, dict(self._options.given), timeout=self._timeout)
        except EngineUnavailable as missing:
            raise EngineUnavailable(
                f"{self.url}: obstore does not work in a forked process, and s3fs, which would take its place, is "
                f"not installed; {advice}"
            ) from missing


def _restore(kind: type[ObstoreBackend], url: StoreURL, options: StorageOptions, timeout: float) -> ObstoreBackend:
    return kind(url, options, timeout=timeout)


class _Requests:
    """The operations themselves, in a process where obstore works."""

    def __init__(self, url: StoreURL, clients: Clients, secrets: tuple[str, ...], timeout: float) -> None:
        self._url, self._clients, self._timeout = url, clients, timeout
        self._root = f"{url.prefix}/" if url.prefix else ""
        self._secrets = secrets

    # ---- reading

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        attempt = self._attempt("read", key)

        def once(obstore: Any, client: Any) -> Blob | None:
            options = {} if unless is None else {"if_none_match": _etag(unless)}
            try:
                answer = obstore.get(client, self._root + key, options=options)
            except obstore.exceptions.NotModifiedError:
                return None
            size = answer.meta["size"]
            if size > limit:
                raise Corrupt(f"{key!r} in {self._url} holds {size} bytes, more than {limit}", key=key)
            return Blob(bytes(answer.bytes()), self._version(answer.meta, attempt))

        return self._call(attempt, "control", once)

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        if size > _SINGLE:
            yield from self._ranges(key, size)
            return
        yield from self._part(key, size, None, None)[0]

    def _ranges(self, key: str, size: int) -> Generator[bytes, None, None]:
        spans = [(start, min(start + _RANGE, size)) for start in range(0, size, _RANGE)]
        known: Version | None = None
        pool = ThreadPoolExecutor(_RANGES_AHEAD, thread_name_prefix="artifact-store-ranges")
        ahead: deque[Future[tuple[list[bytes], Version]]] = deque()
        try:
            while spans or ahead:
                # Those that go out with the first one know no version yet; theirs is compared as they come in.
                while spans and len(ahead) < _RANGES_AHEAD:
                    ahead.append(pool.submit(self._part, key, size, spans.pop(0), known))
                pieces, version = ahead.popleft().result()
                known = known or version
                if version != known:
                    raise self._replaced(key)
                yield from pieces
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _part(
        self, key: str, size: int, span: tuple[int, int] | None, known: Version | None
    ) -> tuple[list[bytes], Version]:
        """Return a range of the object, or all of it, with its version; a broken connection is tried again."""
        attempt = self._attempt("read", key)
        options: dict[str, Any] = {} if span is None else {"range": span}
        if known is not None:
            options["if_match"] = _etag(known)
        start, stop = span or (0, size)

        def once(obstore: Any, client: Any) -> tuple[list[bytes], Version]:
            answer = obstore.get(client, self._root + key, options=options)
            if answer.meta["size"] != size:
                raise wrong_size(key, expected=size, actual=answer.meta["size"])
            pieces = list(answer.stream(min_chunk_size=_PIECE))
            if sum(map(len, pieces)) != stop - start:
                raise Unreachable(f"{self._url}: the response with {key!r} was cut off; try again")
            return pieces, self._version(answer.meta, attempt)

        purpose: Purpose = "control" if stop - start <= _QUICK else "download"
        deadline = monotonic() + self._timeout
        for tries in range(_TRIES):
            try:
                return self._call(attempt, purpose, once)
            except Unreachable:
                if tries == _TRIES - 1 or monotonic() > deadline:
                    raise
            except PreconditionFailed:
                break
        raise self._replaced(key)

    def _replaced(self, key: str) -> DigestMismatch:
        return DigestMismatch(f"{key!r} in {self._url} was replaced while it was being read", key=key)

    # ---- writing

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        attempt = self._attempt("write", key, conditional=not isinstance(when, Always))
        purpose: Purpose = "control" if len(data) <= _QUICK else "upload"

        def once(obstore: Any, client: Any) -> Version:
            # the whole body in one request: use_multipart would make it several
            held = obstore.put(client, self._root + key, data, mode=self._mode(when), use_multipart=False)
            return self._version(held, attempt)

        return self._call(attempt, purpose, once)

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        if size <= _SINGLE:
            self.write(key, b"".join(exactly(chunks, size=size, key=key)), when=when)
            return
        part = max(_PART, -(-size // _PARTS))
        attempt = self._attempt("write", key)

        def send(pieces: Iterator[bytes]) -> None:
            self._call(attempt, "upload", lambda obstore, client: put(obstore, client, pieces))

        def put(obstore: Any, client: Any, pieces: Iterator[bytes]) -> None:
            at_once = max(1, _PARTS_HELD // part)
            path = self._root + key
            obstore.put(client, path, pieces, use_multipart=True, chunk_size=part, max_concurrency=at_once)

        feed(exactly(chunks, size=size, key=key), send)

    def delete(self, key: str) -> None:
        def once(obstore: Any, client: Any) -> None:
            obstore.delete(client, self._root + key)

        try:
            self._call(self._attempt("delete", key), "control", once)
        except ObjectNotFound:
            return

    # ---- listing

    def list(self, prefix: str) -> Iterator[Entry]:
        whole, cut = self._root + prefix, len(self._root)

        def once(_: Any, client: Any) -> list[Entry]:
            return [
                Entry(held["path"][cut:], held["size"], held["last_modified"])
                for held in listing.list_objects(client, whole, timeout=self._timeout)
                if held["path"].startswith(whole)
            ]

        found = sorted(self._call(self._attempt("list", prefix), "control", once), key=lambda entry: entry.key)
        # What some consoles put for a folder ("a/") arrives as an empty object "a" beside those that are in it.
        folders = {entry.key.rpartition("/")[0] for entry in found}
        yield from (entry for entry in found if entry.size or entry.key not in folders)

    def children(self, prefix: str) -> Iterator[str]:
        whole = self._root + prefix
        cut = len(whole)

        def once(_: Any, client: Any) -> set[str]:
            found = listing.level(client, whole, timeout=self._timeout)
            folders = {f"{name[cut:]}/" for name in found["common_prefixes"] if name.startswith(whole)}
            return folders | {held["path"][cut:] for held in found["objects"] if held["path"].startswith(whole)}

        yield from sorted(self._call(self._attempt("list", prefix), "control", once))

    # ---- below

    def _call(self, attempt: Attempt, purpose: Purpose, work: Callable[[Any, Any], T]) -> T:
        """Let obstore work, and translate what goes wrong."""
        client = self._clients.get(purpose)
        import obstore

        try:
            return work(obstore, client)
        except ArtifactStoreError:
            raise
        except Exception as error:  # noqa: BLE001 -- obstore raises its own kinds and builtin ones, without a common base
            failure = translate_obstore_error(error, attempt, self._secrets + self._clients.secrets())
        raise failure

    def _attempt(self, operation: Operation, key: str, *, conditional: bool = False) -> Attempt:
        return Attempt(operation, key, self._url.text, conditional)

    def _mode(self, when: Precondition) -> str | dict[str, str]:
        match when:
            case Always():
                return "overwrite"
            case IfAbsent():
                return "create"
            case IfVersion(version):
                generation, _, etag = version.rpartition("\n")
                return {"e_tag": etag, "version": generation} if generation else {"e_tag": etag}

    def _version(self, held: Mapping[str, Any], attempt: Attempt) -> Version:
        etag = held["e_tag"]
        if not etag:
            raise Unsupported(
                f"{attempt.url}: the server returned no ETag for {attempt.key!r}, so nothing can be compared"
            )
        # Google's own condition is on the generation, which unlike its ETag is never used twice.
        return Version(f"{held['version']}\n{etag}" if self._url.scheme == GCS and held["version"] else etag)


def _etag(version: Version) -> str:
    return version.rpartition("\n")[2]
