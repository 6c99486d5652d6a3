"""What a backend is: bytes at keys, with versions and honest conditional writes.

Owns the contract, its value types and nothing else. Does not know runs, manifests or models.
A backend is held to this contract by :class:`artifact_store.testing.BackendSuite`.
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, NewType

BUCKET_CHECKS = ("lifecycle", "versioning", "object-lock")

Version = NewType("Version", str)
"""Opaque; equal versions of one key mean equal bytes. An ETag on object stores, a sha256 on local disk."""


@dataclass(frozen=True, slots=True)
class Always:
    """Write whatever is there."""


@dataclass(frozen=True, slots=True)
class IfAbsent:
    """Write only if the key holds nothing."""


@dataclass(frozen=True, slots=True)
class IfVersion:
    """Write only if the key still holds this version."""

    version: Version


Precondition = Always | IfAbsent | IfVersion


@dataclass(frozen=True, slots=True)
class Blob:
    """The bytes of an object together with the version that they are."""

    data: bytes
    version: Version


@dataclass(frozen=True, slots=True)
class Entry:
    """One object in a listing. ``modified`` is aware UTC, by the storage's own clock."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that was begun and neither completed nor aborted; no listing shows it, and it takes space.

    ``key`` is what it was to become, or where its bytes lie; ``upload`` is the storage's own name for it.
    """

    key: str
    upload: str
    size: int
    begun: datetime


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend promises about its own writes, by construction (a probe may still find otherwise).

    ``create_only`` and ``compare_and_swap``: the condition and the write are one atomic step on the storage, for files
    up to :attr:`Backend.exclusive_limit`.
    ``durable``: what was written survives a power cut, and so do the files that were put before. ``reason``: why
    something is missing, in one line.
    """

    create_only: bool
    compare_and_swap: bool
    durable: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Trait:
    """Something about the place of a root that decides what it costs or promises, as its backend sees it now.

    ``state`` is ``unknown`` where it could not be asked, which is not the same as ``fine``. ``fix`` puts it right,
    where that is safe.
    """

    name: str
    state: Literal["fine", "note", "warning", "error", "unknown"]
    message: str
    remedy: str = ""
    fix: Callable[[], object] | None = field(default=None, compare=False, repr=False)


class Backend(abc.ABC):
    """Bytes at keys below one root.

    Keys are relative, ``/``-separated and already checked by :mod:`artifact_store.core.keys`; nothing in them
    is ever decoded, expanded or globbed. Every method may be called from many threads, and after a fork or in
    a spawned process: clients are built per process id. Every read sees every write that was acknowledged
    before it began. Nothing is cached.

    All methods translate what goes wrong below them, once and with ``from``, into

    * ``ObjectNotFound``, ``ContainerNotFound``, ``AccessDenied``, ``StorageFull``, ``Corrupt``;
    * ``Unreachable``, ``DeadlineExceeded``, ``Contended``: the outcome of a *write* is then unproven;
    * ``TooManyOpenFiles``: of a write, nothing was sent;
    * ``ConditionsUnsupported``: the condition cannot be honoured, and nothing was written.

    No call takes much longer than the backend's ``timeout``, and the time that its bytes take at a minimum rate, each
    range and each part of a large object for itself, whatever the server does; bodies that this process has under way
    at once share that rate. Where a client can be interrupted, a
    wait ends after Ctrl-C, and with :func:`artifact_store.storage.threads.check_stopped`.
    """

    engine: str
    """``memory``, ``local``, ``fsspec``, ``obstore`` or a plug-in's own name."""
    url: str
    """Where the root is, in the spelling of the caller, without credentials."""
    endpoint: str
    """What a probe's verdict holds for: the server's address without credentials, or the engine's name."""
    capabilities: Capabilities
    makes_root: bool = False
    """The first write makes the root if it is missing, as with a folder; a bucket has to be there."""
    is_near: bool = False
    """A small object is read faster than another thread could be asked to: no network lies in between."""
    read_only: str = ""
    """Why nothing can be written here, and what to do instead; empty where it can. A store asks before it begins."""
    staging_place: Path | None = None
    """A folder of this machine below the root, which no listing shows, where files may wait to be adopted."""
    create_limit: int | None = None
    """Largest object in bytes that ``put_file`` can create with ``IfAbsent``; ``None``: any."""
    parts_above: int | None = None
    """Size in bytes above which ``put_file`` creates by completing an upload in parts; ``None``: at no size.

    Nothing relies on that condition: some servers ignore it, others check it and then write in a second step.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def places(self) -> tuple[str, ...]:
        """The names of the root that do not depend on how its URL was spelled, most telling first.

        Two roots never share one. A client remembers by them which store it has found there. No credential is in them.
        """
        return (f"{self.url} at {self.endpoint}",)

    @property
    def exclusive_limit(self) -> int | None:
        """Largest file that one of several writers can create at a name which they share; ``None``: any."""
        return min((limit for limit in (self.create_limit, self.parts_above) if limit is not None), default=None)

    @abc.abstractmethod
    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Return the object, or ``None`` if it still is the version ``unless``.

        One request. An object of more than ``limit`` bytes is ``Corrupt``, and not more than that is read.

        Raises:
            ObjectNotFound: nothing is stored there.
        """

    @abc.abstractmethod
    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Yield the object's bytes in order, all of one version, in pieces of at most 8 MiB.

        ``size`` is what the caller expects: an object that turns out longer or shorter is ``DigestMismatch``, at
        the latest at the end and never after more than ``size`` bytes were yielded. An object that is replaced
        meanwhile is ``DigestMismatch``, never a mixture. One request where ``size`` is small (up to 8 MiB);
        large ones may be fetched in parallel ranges, with at most 32 MiB held.
        """

    @abc.abstractmethod
    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        """Store ``data`` in one atomic step and return its version.

        Raises:
            PreconditionFailed: the storage says that ``when`` does not hold. On object stores this may be the
                echo of our own write after a lost reply: read back before believing it.
        """

    @abc.abstractmethod
    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Store the ``size`` bytes of ``chunks`` in one atomic step, streamed in bounded memory.

        Readers see nothing before the end. A failure, including one of ``chunks`` itself or a different number
        of bytes, leaves nothing at the key and aborts an upload in parts. ``IfVersion`` is not used here.

        Raises:
            PreconditionFailed: as for :meth:`write`.
            ConditionsUnsupported: ``IfAbsent`` with ``size`` above ``create_limit``.
        """

    def adopt(self, key: str, source: Path, *, when: Precondition) -> bool:
        """Store a file that waits below ``staging_place`` without copying it; ``False``: it has to be copied.

        Nothing has happened then. Otherwise ``source`` is still there, for its digest is taken afterwards; it may be
        removed then, and must not be written to. All else as for :meth:`put_file`.
        """
        del key, source, when
        return False

    @abc.abstractmethod
    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object whose key begins with ``prefix`` (``""`` or ending in ``/``), in key order."""

    @abc.abstractmethod
    def children(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below ``prefix``, in order: objects plain, folders with a trailing ``/``.

        A folder that holds no object may or may not be shown.
        """

    def children_beginning(self, prefix: str, *beginnings: str) -> Iterator[str]:
        """Yield those of :meth:`children` that begin with one of these, all of them, in any order.

        For a storage that can find them without listing the others; all others list them all.
        """
        return (name for name in self.children(prefix) if name.startswith(beginnings))

    def folders_beginning(self, prefix: str, *beginnings: str) -> Iterator[str]:
        """Yield the folders among those of :meth:`children_beginning`, without the slash."""
        return (name[:-1] for name in self.children_beginning(prefix, *beginnings) if name.endswith("/"))

    @abc.abstractmethod
    def delete(self, key: str) -> None:
        """Remove exactly this object; removing what is not there is not an error."""

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the uploads below the root that were begun and not finished, those under way included.

        Raises:
            Unsupported: the storage may hold some, and this engine cannot list them; the text says what can be done.
        """
        return iter(())

    def discard(self, upload: Unfinished) -> None:
        """Abort exactly this upload, which removes its bytes; one that is already gone is not an error."""
        del upload

    def check_prefix(self, prefix: str) -> None:
        """Raise what a conditional write below the prefix would raise because of where it lies. Nothing is written.

        For places in which one prefix can be unlike another, such as a folder with mounts below it.
        """
        del prefix

    def traits(self, *, probes: bool) -> Iterator[Trait]:
        """Yield what is worth knowing about the place of the root: rules of a bucket, permissions of a folder.

        Nothing is written without ``probes``, and nothing is left with it. What cannot be asked is ``unknown``, and
        raises nothing.
        """
        del probes
        return iter(())

    def server_time(self) -> datetime | None:
        """Return the time of the server by a response of its own, or ``None`` without a server."""
        return None

    def local_path(self, key: str) -> Path | None:
        """Return the path of the object if it is a plain file on this machine, else ``None``.

        No symlink is followed below the root: such an object is ``Corrupt``.
        """
        del key
        return None

    def close(self) -> None:  # noqa: B027 -- most backends hold nothing that needs closing
        """Release clients of this process. The backend can be used again; it then builds new ones."""


def version_of(data: bytes) -> Version:
    """Return the version that bytes have where the storage itself tells none: their sha256."""
    return Version(hashlib.sha256(data).hexdigest())


def not_asked(why: str) -> Iterator[Trait]:
    """Yield that none of it was asked."""
    return iter([Trait(name, "unknown", why, "check the rules of the bucket by hand") for name in BUCKET_CHECKS])
