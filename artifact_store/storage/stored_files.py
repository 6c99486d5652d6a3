"""A file of a run as it is stored, plain or as a frame of zstd: what a manifest says of it, and what it has to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from artifact_store.core.files import Digest, Outgoing
from artifact_store.core.manifest import FileEntry
from artifact_store.errors import DigestMismatch
from artifact_store.storage.base import Backend
from artifact_store.storage.hashing import hash_pieces
from artifact_store.storage.zstd import unpacked


def entry_of(file: Outgoing, name: str, stored: Digest) -> FileEntry:
    """Return what a manifest says of a file that is stored under ``name`` within its run."""
    plain, packed = (stored, None) if file.unpacked is None else (file.unpacked, stored.size)
    return FileEntry(path=file.path, key=name, size=plain.size, sha256=plain.sha256, zstd=packed)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A stored file that is wanted: its full key, and what the manifest says about it."""

    key: str
    path: str
    digest: Digest
    zstd: int | None = None
    """The bytes of the frame of zstd that is stored in its place, if one is."""


def plain_pieces(backend: Backend, file: Incoming) -> Iterator[bytes]:
    """Yield the bytes of a stored file as they were saved.

    Raises:
        Corrupt: what is stored is no frame of zstd, and should be one, or has something else in it.
    """
    if file.zstd is None:
        return backend.stream(file.key, size=file.digest.size)
    return unpacked(backend.stream(file.key, size=file.zstd), size=file.digest.size, key=file.key)


def check_digest(file: Incoming, found: Digest) -> None:
    """Raise ``DigestMismatch`` unless the stored file is the one that was saved."""
    if found != file.digest:
        raise DigestMismatch(
            f"{file.key!r} is damaged or was replaced: its sha256 is {found.sha256[:12]}…, the manifest says "
            f"{file.digest.sha256[:12]}…. Restore it from a copy, or use another run",
            key=file.key,
            expected=file.digest.sha256,
            actual=found.sha256,
        )


def hash_object(backend: Backend, key: str, *, size: int) -> Digest:
    """Return the digest of what is stored at ``key``, without keeping it."""
    return hash_pieces(backend.stream(key, size=size))
