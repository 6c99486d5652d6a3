"""Any fsspec filesystem as a backend, and the way in to the ``fsspec`` engine.

s3fs has conditional writes and gets them in :mod:`artifact_store.storage.s3fs.backend`. Every other filesystem is taken
for what fsspec itself promises, which is little: no conditional writes (fsspec's ``mode="create"`` is a look and then a
write), no fsync, and writes that a reader may see half done. So conditions are refused here, and a store works on such
a filesystem only with ``concurrency="single-writer"``; what a reader sees half done, the hashes of the manifest find
out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from artifact_store import errors
from artifact_store.process import Process, this_process
from artifact_store.storage import places
from artifact_store.storage.base import (
    Always,
    Backend,
    Blob,
    Capabilities,
    Entry,
    Precondition,
    Trait,
    Version,
    not_asked,
    version_of,
)
from artifact_store.storage.exact_size import exactly, wrong_size
from artifact_store.storage.fsspec.errors import translate_fsspec_error
from artifact_store.storage.fsspec.filesystem import Recipe
from artifact_store.storage.http import Attempt, Operation
from artifact_store.storage.options import StorageOptions, StoreURL, parse_url
from artifact_store.storage.parts import SINGLE, replaced
from artifact_store.storage.patience import DOWN, MIN_RATE, UP, Patience, Share
from artifact_store.storage.redaction import without_credentials
from artifact_store.storage.s3fs import open_s3
from artifact_store.storage.staging import Staging, explained
from artifact_store.storage.threads import Cancelled, Threads, until_done

T = TypeVar("T")

_PIECE = 4 << 20
_BUCKETS = frozenset({"abfs", "abfss", "adl", "az", "b2", "cos", "gcs", "gs", "obs", "oci", "oss", "r2", "s3", "s3a"})
_MARKS = ("size", "ETag", "etag", "generation", "md5Hash", "ino")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "timeModified", "modify", "created")
_SERVERS = ("host", "port", "account_name", "endpoint_url")
"""Options of several filesystems that say which server it is, and are no secrets."""
_memory_locks: dict[Process, threading.Lock] = {}


def open_filesystem(
    url: StoreURL | str | os.PathLike[str],
    options: StorageOptions | Mapping[str, Any] | None = None,
    *,
    filesystem: Any | None = None,
    timeout: float = 60.0,
    staging: Staging | None = None,
    min_rate: float = MIN_RATE,
) -> Backend:
    """Return the backend for a URL, or for a path inside a ready ``filesystem``.

    Nothing is sent. A ready s3fs filesystem serves as a description: the backend makes one of its own like it,
    without caches. Any other ready filesystem is used as it is.

    Raises:
        InvalidOption: the URL means nothing here, or options come with a ready filesystem.
        EngineUnavailable: nothing installed serves this protocol.
    """
    place = url if isinstance(url, StoreURL) else parse_url(url)
    given = StorageOptions.of(options)
    if filesystem is not None:
        if given.given:
            raise errors.InvalidOption("give storage options or a ready filesystem, not both: it was made with its own")
        recipe = Recipe.from_instance(filesystem, anew=_is_s3(type(filesystem)))
    else:
        recipe = Recipe.from_protocol(place.scheme, given.given)
        # an address in the URL (sftp://host/…) is an option of the filesystem, below what the caller says
        told = recipe.kind._get_kwargs_from_urls(place.text)  # noqa: SLF001 -- what fsspec.url_to_fs does
        recipe = Recipe(recipe.kind, {**told, **given.given})
    root = recipe.kind._strip_protocol(place.text)  # noqa: SLF001 -- the only spelling of this that fsspec has
    if _is_s3(recipe.kind):
        return open_s3(recipe, root, url=place.text, timeout=timeout, min_rate=min_rate)
    return FsspecBackend(recipe, root, url=place.text, timeout=timeout, min_rate=min_rate, staging=staging)


class FsspecBackend(Backend):
    """Objects below a path of any fsspec filesystem, without conditional writes.

    Conditions raise ``ConditionsUnsupported`` and write nothing. Unconditional writes are as atomic as the
    filesystem makes them: on most object stores they are, on fsspec's local, memory and SFTP filesystems a reader
    may see a part, and a transfer that fails may leave one. A version is the sha256 of the bytes. A stream checks
    before every piece that the object is still described as it was at the beginning.

    No listing is taken from a cache. A filesystem that is not asynchronous is called by one thread at a time.
    Each call ends within about ``timeout`` and the time that its bytes take at ``min_rate``; what was begun may then
    still go on behind it. Entries whose filesystem knows no time of change are as new as the
    listing, so they never count as old.
    """

    engine = "fsspec"

    def __init__(
        self,
        recipe: Recipe,
        root: str,
        *,
        url: str = "",
        timeout: float = 60.0,
        min_rate: float = MIN_RATE,
        staging: Staging | None = None,
    ) -> None:
        protocol = recipe.kind.protocol
        names = (protocol,) if isinstance(protocol, str) else tuple(protocol)
        self.url = url or root
        self.endpoint = f"fsspec:{names[0]}"
        self._bucketed = bool(_BUCKETS & set(names))
        self.makes_root = not self._bucketed
        self.capabilities = Capabilities(
            create_only=False,
            compare_and_swap=False,
            durable=self._bucketed,
            reason=f"fsspec's {recipe.kind.__name__} has no conditional writes that can be relied on; choose another "
            "engine for this storage, or concurrency='single-writer' if nothing else ever writes here",
        )
        if _is_archive(recipe.kind):
            self.read_only = (
                f"{self.url}: fsspec's {recipe.kind.__name__} writes an archive once and then only reads it; save into "
                "a folder or a bucket, and archive that"
            )
        self._recipe, self._patience, self._staging = recipe, Patience(timeout, min_rate), staging or Staging()
        self._root, self._bucket = root.rstrip("/"), root.strip("/").partition("/")[0]
        self._instant = bool(getattr(recipe.kind, "local_file", False)) or "memory" in names
        self._locks: dict[Process, threading.Lock] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, filesystem={self._recipe.kind.__name__})"

    @property
    def places(self) -> tuple[str, ...]:
        if getattr(self._recipe.kind, "local_file", False):
            return places.folder(Path(self._root))
        given = self._recipe.options.given
        told = {
            name: without_credentials(str(given[name])) for name in _SERVERS if isinstance(given.get(name), str | int)
        }
        server = [f"{name}={places.server(value) if '://' in value else value}" for name, value in told.items()]
        return (" ".join([f"{self.endpoint}:{self._root}", *server]),)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as a description, without a client and without credentials; see :class:`Recipe`."""
        made = partial(type(self), url=self.url, **self._patience.options(), staging=self._staging)
        return made, (self._recipe, self._root)

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Return the object, or ``None`` if its bytes still are those of the version ``unless``."""
        data = self._call("read", key, partial(self._bytes, key=key, start=0, stop=limit + 1))
        if len(data) > limit:
            raise errors.Corrupt(f"{key!r} in {self.url} holds more than {limit} bytes", key=key)
        version = version_of(data)
        return None if version == unless else Blob(data, version)

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Yield the object in pieces of 4 MiB, each from a request of its own.

        A change between two pieces is ``DigestMismatch`` where the filesystem describes its objects well enough
        to show it; a hash over the whole is what makes sure.
        """
        described = self._call("read", key, partial(self._describe, key=key))
        for start in range(0, max(size, 1), _PIECE):
            stop = min(start + _PIECE, size)
            # the last piece is asked for one byte more than is expected, which shows an object that is longer
            fetch = partial(self._bytes, key=key, start=start, stop=stop + (stop == size))
            piece = self._call("read", key, fetch, size=stop - start)
            if len(piece) != stop - start:
                relation = "at least " if len(piece) > stop - start else ""
                raise wrong_size(key, expected=size, actual=start + len(piece), relation=relation)
            if self._call("read", key, partial(self._describe, key=key)) != described:
                raise replaced(key, self.url)
            if piece:
                yield piece

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        """Store ``data`` whatever is there; anything else than ``Always`` is refused."""
        self._refuse_conditions(key, when)
        held = bytes(data)
        self._store(key, lambda fs, path: fs.pipe_file(path, held), size=len(held))
        return version_of(held)

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Store the file whatever is there, by way of a temporary file if it is above 8 MiB.

        Nothing is sent before all bytes are there and are as many as announced.
        """
        self._refuse_conditions(key, when)
        counted = exactly(chunks, size=size, key=key)
        if size <= SINGLE:
            self.write(key, b"".join(counted), when=when)
            return
        with self._staging.folder() as folder:
            gathered = folder / "file"
            with explained(folder), gathered.open("wb") as sink:
                sink.writelines(counted)
            self._store(key, lambda fs, path: fs.put_file(str(gathered), path), size=size)

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below ``prefix`` in key order, by one listing for each folder."""
        now = datetime.now(UTC)
        folders, found = [prefix], []
        while folders:
            for name, held in self._folder(folders.pop()):
                if held["type"] == "directory":
                    folders.append(f"{name}/")
                else:
                    found.append(Entry(name, int(held["size"]), _modified(held, now)))
        yield from sorted(found, key=lambda entry: entry.key)

    def children(self, prefix: str) -> Iterator[str]:
        cut = len(prefix)
        yield from sorted(
            name[cut:] + ("/" if held["type"] == "directory" else "") for name, held in self._folder(prefix)
        )

    def delete(self, key: str) -> None:
        def remove(fs: Any) -> None:
            try:
                fs.rm_file(self._path(key))
            except Exception:
                fs.invalidate_cache(self._path(key))
                if fs.isfile(self._path(key)):
                    raise

        self._call("delete", key, remove)

    def traits(self, *, probes: bool) -> Iterator[Trait]:
        """Yield that fsspec has no way to ask for the rules of a bucket."""
        del probes
        return not_asked("fsspec cannot read the rules of a bucket") if self._bucketed else iter(())

    def close(self) -> None:
        """Forget this process's filesystem; most hold nothing that needs closing."""
        self._recipe.forget()

    # ---- below: one thread at a time inside the filesystem, unless it is made for more

    def _folder(self, prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield what is directly in a folder: keys with their descriptions."""

        def look(fs: Any) -> Sequence[Mapping[str, Any]]:
            path = self._path(prefix).rstrip("/") or fs.root_marker
            fs.invalidate_cache(path)
            try:
                # not find() or walk(): they take a folder that cannot be listed for an empty one
                return list(fs.ls(path, detail=True))
            except (FileNotFoundError, NotADirectoryError):
                if self._bucketed and not fs.exists(self._bucket):
                    raise errors.ContainerNotFound(f"{self.url}: {self._bucket!r} does not exist") from None
                return []

        start = self._path(prefix).strip("/") + "/"
        for held in self._call("list", prefix, look):
            name = str(held["name"]).strip("/")
            # a folder that is a file lists itself, and some stores list the folder as an object in it
            if held["type"] in {"file", "directory"} and name.startswith(start):
                yield prefix + name.removeprefix(start), held

    def _bytes(self, fs: Any, key: str, start: int, stop: int) -> bytes:
        path = self._path(key)
        try:
            return bytes(fs.cat_file(path, start=start, end=stop))
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError):
            raise
        except Exception:
            # object stores refuse a range of an empty object
            fs.invalidate_cache(path)
            held = fs.info(path)
            if held["type"] != "file" or held["size"] > start:
                raise
            return b""

    def _describe(self, fs: Any, key: str) -> tuple[object, ...]:
        """Return what would be different for other bytes (not fsspec's ``ukey``, which has SFTP's access time)."""
        path = self._path(key)
        fs.invalidate_cache(path)
        held = fs.info(path)
        return tuple(held.get(name) for name in (*_MARKS, *_TIMES))

    def _store(self, key: str, send: Callable[[Any, str], object], *, size: int) -> None:
        def store(fs: Any) -> None:
            path = self._path(key)
            try:
                send(fs, path)
            except FileNotFoundError:
                if self._bucketed:  # making the folder would mean making the bucket
                    raise errors.ContainerNotFound(
                        f"{self.url}: cannot write {key!r}: {self._bucket!r} is missing"
                    ) from None
                fs.makedirs(fs._parent(path), exist_ok=True)  # noqa: SLF001 -- the filesystem's own idea of a parent
                send(fs, path)

        self._call("write", key, store, size=size)

    def _call(self, operation: Operation, key: str, work: Callable[[Any], T], *, size: int = 0) -> T:
        """Let the filesystem work, for a limited time, and translate what goes wrong."""
        attempt = Attempt(operation, key, self.url)
        try:
            if self._instant:  # no server is asked, so a thread for the sake of a deadline would be waste
                return self._alone(work)
            with Share(UP if operation == "write" else DOWN, 1 if size else 0) as share:
                return _within(
                    lambda: self._patience.seconds(size, at_once=share.at_once), lambda: self._alone(work), attempt
                )
        except (errors.ArtifactStoreError, Cancelled):
            raise
        except Exception as error:  # noqa: BLE001 -- the filesystems of this world share no base class of errors
            failure = translate_fsspec_error(error, attempt, self._recipe.secrets)
        raise failure

    def _alone(self, work: Callable[[Any], T]) -> T:
        fs = self._recipe.get()  # some connect when they are made
        if fs.async_impl or getattr(fs, "local_file", False):
            return work(fs)
        # all memory filesystems of a process are one, and hand the same open file to all threads
        locks = _memory_locks if "memory" in self.endpoint else self._locks
        with locks.setdefault(this_process(), threading.Lock()):
            return work(fs)

    def _refuse_conditions(self, key: str, when: Precondition) -> None:
        if not isinstance(when, Always):
            raise errors.ConditionsUnsupported(
                f"{self.url}: cannot write {key!r} conditionally: {self.capabilities.reason}"
            )

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"


def _within(seconds: Callable[[], float], work: Callable[[], T], attempt: Attempt) -> T:
    """Run ``work`` in a thread and wait for it no longer than this: most filesystems know no deadline."""
    begun = monotonic()
    thread = Threads(1, "artifact-store-fsspec")
    future = thread.submit(work)
    thread.leave()
    while not future.done() and (left := begun + seconds() - monotonic()) > 0:
        until_done([future], seconds=left)
    if not future.done():
        raise errors.DeadlineExceeded(
            f"{attempt}: no answer for {seconds():g} seconds; try again later, or allow a longer timeout (--timeout)"
        )
    return future.result()


def _is_archive(kind: type[Any]) -> bool:
    return _stems_from(kind, "fsspec.archive", "AbstractArchiveFileSystem")


def _is_s3(kind: type[Any]) -> bool:
    return _stems_from(kind, "s3fs.core", "S3FileSystem")


def _stems_from(kind: type[Any], module: str, name: str) -> bool:
    return any((base.__module__, base.__name__) == (module, name) for base in kind.__mro__)


def _modified(held: Mapping[str, Any], now: datetime) -> datetime:
    for name in _TIMES:
        match held.get(name):
            case datetime() as told:
                return _utc(told)
            case float() | int() as told:
                return datetime.fromtimestamp(told, UTC)
            case str() as told:
                try:
                    return _utc(datetime.fromisoformat(told))
                except ValueError:
                    return now
    return now


def _utc(told: datetime) -> datetime:
    return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
