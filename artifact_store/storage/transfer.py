"""Move files between the local disk and a backend: in parallel, streamed, hashed, each under the right key.

Decides nothing about runs: it is given what to store under which prefix and returns what it did.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, BinaryIO

from artifact_store import private_files
from artifact_store.core import keys
from artifact_store.core.files import Digest, Outgoing, Progress
from artifact_store.core.manifest import FileEntry
from artifact_store.core.names import ModelKey, RunId
from artifact_store.errors import (
    AccessDenied,
    ConditionsUnsupported,
    Conflict,
    DigestMismatch,
    InvalidInput,
    ObjectNotFound,
    StagingUnavailable,
    TooManyOpenFiles,
)
from artifact_store.storage import descriptors
from artifact_store.storage.base import Always, Backend, IfAbsent, Precondition
from artifact_store.storage.budget import LARGE, LARGE_AT_ONCE, SMALL_AT_ONCE
from artifact_store.storage.conditional_write import Observed, Outcome, settle
from artifact_store.storage.hashing import Hashed, hash_pieces
from artifact_store.storage.local.errors import translated
from artifact_store.storage.parts import PARTS_AHEAD
from artifact_store.storage.patience import UP
from artifact_store.storage.retry import RetryPolicy, with_retry
from artifact_store.storage.stored_files import Incoming, check_digest, entry_of, hash_object, plain_pieces
from artifact_store.storage.threads import Cancelled
from artifact_store.storage.workers import Workers
from artifact_store.storage.zstd import unpacked

PIECE = 256 << 10
"""Bytes read at a time: larger buffers only cost page faults."""

Report = Callable[[Progress], None]


def until(stop: threading.Event, retry: RetryPolicy) -> RetryPolicy:
    """Return the same policy, which ends with ``Cancelled`` at the next pause after ``stop``."""

    def sleep(seconds: float) -> None:
        retry.sleep(seconds)
        if stop.is_set():
            raise Cancelled

    return replace(retry, sleep=sleep)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the files of one save go, and whether another writer could use the same names."""

    key: ModelKey
    run_id: RunId
    attempt: str
    """Eight hexadecimal digits that no other save has."""
    own_id: bool
    """The run id was made for this save, so no other writer uses it."""
    names: Mapping[str, str] | None = None
    """What each file has to be called, by its path, where the manifest is written already; see :func:`upload`."""


def upload(
    backend: Backend,
    files: Sequence[Outgoing],
    to: Destination,
    *,
    workers: Workers,
    retry: RetryPolicy,
    report: Report | None = None,
) -> list[FileEntry]:
    """Store every file and return what was stored, in the order of ``files``.

    A file is created under its own name. Where that name holds the same bytes already, they are used; where it
    holds others, the file goes to a name of this attempt. So does at once, unless the run id is this attempt's own, a
    file above the backend's ``exclusive_limit``, of which no condition keeps other writers out. Nothing is ever
    overwritten or removed. With ``to.names`` a file goes to that name or nowhere.

    Raises:
        Conflict: another file lies at a name that one has to have.
        ArtifactStoreError: a file could not be stored; what was stored before stays, unreferenced.
    """

    def one(found: tuple[Outgoing, os.stat_result], stop: threading.Event) -> FileEntry:
        file, before = found
        entry = _Upload(backend, file, to, stop, until(stop, retry), report, before.st_size).run()
        after = source_status(file)
        if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
            raise _changed(file)
        return entry

    sources = [(file, source_status(file)) for file in files]
    large = sum(status.st_size > LARGE for _, status in sources)
    at_once = min(len(files) - large, SMALL_AT_ONCE) + min(large, LARGE_AT_ONCE) * PARTS_AHEAD
    with UP.announce(at_once):
        return workers.every(one, sources, size=lambda found: found[1].st_size)


@dataclass(slots=True)
class _Upload:
    """One file on its way up."""

    backend: Backend
    file: Outgoing
    to: Destination
    stop: threading.Event
    retry: RetryPolicy
    report: Report | None
    size: int
    digest: Digest | None = None
    told: int = 0

    def run(self) -> FileEntry:
        limit = self.backend.exclusive_limit
        shared = limit is None or self.size <= limit
        name = self._as_told(shared=shared) if self.to.names is not None else self._as_may_be(shared=shared)
        digest = self.digest or self._remember(self._read())
        self._tell(digest.size)
        return entry_of(self.file, name, digest)

    def _as_may_be(self, *, shared: bool) -> str:
        """Store the file under its own name, or one of this attempt, and return which."""
        own = keys.own_name(self.file.path, packed=self.file.unpacked is not None)
        name = own if shared or self.to.own_id else self._attempt_name
        if self._create(name, shared=shared) is Outcome.LOST:
            name = self._attempt_name
            self._create(name, shared=shared)
        return name

    def _as_told(self, *, shared: bool) -> str:
        """Store the file under the name that it has to have; whoever else uses that name stores the same bytes."""
        assert self.to.names is not None
        name = self.to.names[self.file.path]
        if self._create(name, shared=shared) is Outcome.LOST:
            raise name_taken(keys.data_file(self.to.key, self.to.run_id, name))
        return name

    def _create(self, name: str, *, shared: bool) -> Outcome:
        """Create the file under a condition, or without one where there is none and the name is not ``shared``."""
        limit = self.backend.create_limit
        if limit is not None and self.size > limit:
            return self._store(name, Always())
        try:
            return self._store(name, IfAbsent())
        except ConditionsUnsupported:
            if shared:
                raise
            return self._store(name, Always())

    @property
    def _attempt_name(self) -> str:
        return keys.attempt_name(self.file.path, self.to.attempt, packed=self.file.unpacked is not None)

    def _store(self, name: str, when: Precondition) -> Outcome:
        key = keys.data_file(self.to.key, self.to.run_id, name)

        def send() -> None:
            if self._adopted(key, when):
                return
            hashed = self._hashed()
            try:
                with closing(hashed):
                    self.backend.put_file(key, hashed, size=self.size, when=when)
            finally:
                if hashed.digest.size == self.size:  # all of it is under way, and may land whatever was answered
                    self._remember(hashed.digest)

        def look() -> Observed:
            try:
                stored = hash_object(self.backend, key, size=self.size)
            except ObjectNotFound:
                return Observed.UNCHANGED
            except DigestMismatch:
                stored = None
            if stored == self._digest_of_source():
                return Observed.OURS
            return Observed.UNCHANGED if isinstance(when, Always) else Observed.OTHER

        return settle(send, look, retry=self.retry, key=key)

    def _adopted(self, key: str, when: Precondition) -> bool:
        """Let the storage take the file as it is, where it lies beside its destination; tell whether it did.

        Asked before the file is read: one that is taken is read afterwards, any other while it is copied.
        """
        place = self.backend.staging_place
        if place is None or not self.file.source.is_relative_to(place):
            return False
        return self.backend.adopt(key, self.file.source, when=when)

    def _hashed(self) -> Hashed:
        return Hashed(pieces_of(self.file), self.stop, self._tell)

    def _read(self) -> Digest:
        hashed = self._hashed()
        for _ in hashed:
            pass
        return hashed.digest

    def _digest_of_source(self) -> Digest:
        return self.digest or self._remember(hash_pieces(pieces_of(self.file)))

    def _remember(self, digest: Digest) -> Digest:
        if self.digest not in {None, digest}:
            raise _changed(self.file)
        self.digest = digest
        return digest

    def _tell(self, done: int) -> None:
        """Report how far it is, unless it was as far before: a file that is sent again goes back to its beginning."""
        if self.report is not None and done > self.told:
            self.told = done
            total = self.size if self.file.unpacked is None else self.file.unpacked.size
            self.report(Progress("up", self.file.path, done * total // max(self.size, 1), total))


def name_taken(key: str) -> Conflict:
    """Return the error for another file in the place of one that has to lie there."""
    return Conflict(
        f"{key!r} holds another file than the run that is copied: another save under this run id left it. "
        "`artifact-store gc --apply` clears it after the grace period; or copy the run to another store"
    )


def _changed(file: Outgoing) -> Conflict:
    return Conflict(f"{file.source} was changed while it was being saved; save it again")


def download(
    backend: Backend,
    files: Sequence[Incoming],
    directory: Path,
    *,
    workers: Workers,
    retry: RetryPolicy,
    report: Report | None = None,
) -> None:
    """Fetch every file to its path below ``directory``, hashed on the way.

    A file is there under its name only with the bytes that were asked for. Nothing that exists is overwritten.

    Raises:
        DigestMismatch: the stored bytes are not those of the manifest.
        ObjectNotFound: a file is not stored.
    """

    def one(file: Incoming, stop: threading.Event) -> None:
        target = directory / file.path

        def fetch() -> None:
            with open_private(target) as sink:
                copy_verified(backend, file, sink, stop=stop, report=report)

        with translated(target):  # not repeated: what this machine refuses, it refuses again
            try:
                with_retry(fetch, until(stop, retry))
            except BaseException:
                target.unlink(missing_ok=True)
                raise

    for folder in sorted({(directory / file.path).parent for file in files}):
        with translated(folder):
            private_files.make_folder(folder, private_files.PRIVATE)
    workers.every(one, files, size=lambda file: file.digest.size)


def copy_verified(
    backend: Backend,
    file: Incoming,
    sink: IO[bytes],
    *,
    stop: threading.Event | None = None,
    report: Report | None = None,
) -> None:
    """Write the stored file to ``sink``, and raise ``DigestMismatch`` at the end unless it is the right one."""

    def tell(done: int) -> None:
        if report is not None:
            report(Progress("down", file.path, done, file.digest.size))

    pieces = plain_pieces(backend, file)
    behind = file.digest.size > LARGE
    with closing(Hashed(pieces, stop or threading.Event(), tell, behind=behind)) as hashed:
        sink.writelines(hashed)
        found = hashed.digest
    check_digest(file, found)


def copy_stored(backend: Backend, file: Incoming, sink: IO[bytes]) -> None:
    """Write the stored object to ``sink`` as it is; raise ``DigestMismatch`` at the end unless it is the right one."""
    if file.zstd is None:
        copy_verified(backend, file, sink)
        return

    def passed() -> Iterator[bytes]:
        for piece in backend.stream(file.key, size=file.zstd or 0):
            sink.write(piece)
            yield piece

    check_digest(file, hash_pieces(unpacked(passed(), size=file.digest.size, key=file.key)))


def open_private(path: Path) -> BinaryIO:
    """Open a new file for writing that only this user can read; a link or a leftover in its place is replaced."""
    try:
        return private_files.create(path, 0o600)
    except FileExistsError:
        path.unlink(missing_ok=True)
        return private_files.create(path, 0o600)


def read_pieces(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a local file; ``InvalidInput`` if it cannot be read."""
    return pieces_of(Outgoing(path.name, path))


def pieces_of(file: Outgoing) -> Iterator[bytes]:
    """Yield the bytes of a file that is to be stored.

    Raises:
        InvalidInput: it is the caller's, and cannot be read.
        AccessDenied, StagingUnavailable: it is a temporary file, and cannot be read.
    """
    with _readable(file), file.source.open("rb") as source:
        while piece := source.read(PIECE):
            yield piece


def source_status(file: Outgoing) -> os.stat_result:
    """Return what the system says of a file that is to be stored; the errors are those of :func:`pieces_of`."""
    with _readable(file):
        return file.source.stat()


@contextmanager
def _readable(file: Outgoing) -> Iterator[None]:
    try:
        with descriptors.exhaustion_told():
            yield
    except TooManyOpenFiles:
        raise
    except OSError as error:
        said = error.strerror or error
        if not file.staged:
            raise InvalidInput(f"{file.source} cannot be read: {said}") from error
        kind = AccessDenied if isinstance(error, PermissionError) else StagingUnavailable
        raise kind(
            f"the temporary file {file.source} cannot be read any more: {said}. Look after the disk, or name another "
            "folder for temporary files with staging=FOLDER, and save again"
        ) from error
