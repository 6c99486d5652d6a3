"""Check, then write: what is left where a storage cannot do both in one step.

NOT atomic. Between the check and the write another writer may come, and one of the two is then lost without a trace.
The store puts this in front of a backend only when its caller promised ``concurrency="single-writer"``, and records
that promise in ``_store.json``, so that every other client has to make it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from artifact_store.errors import ContainerNotFound, ObjectNotFound, PreconditionFailed
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
)

_REREAD = 8 << 20


class SingleWriter(Backend):
    """A backend whose conditions hold only while nothing else writes."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.engine, self.url, self.endpoint = inner.engine, inner.url, inner.endpoint
        self.makes_root, self.read_only = inner.makes_root, inner.read_only
        self.is_near = inner.is_near
        self.staging_place = inner.staging_place
        self.capabilities = Capabilities(
            create_only=False,
            compare_and_swap=False,
            durable=inner.capabilities.durable,
            reason=f"single writer, by the caller's promise; {inner.capabilities.reason}",
        )

    @property
    def places(self) -> tuple[str, ...]:
        return self.inner.places

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        return self.inner.read(key, limit=limit, unless=unless)

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        return self.inner.stream(key, size=size)

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        """Look whether ``when`` holds, then write. Two steps: see the module."""
        self._check(key, when)
        return self.inner.write(key, data, when=Always())

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Look whether ``when`` holds, then store. Two steps: see the module."""
        self._check(key, when)
        self.inner.put_file(key, chunks, size=size, when=Always())

    def adopt(self, key: str, source: Path, *, when: Precondition) -> bool:
        """Look whether ``when`` holds, then store. Two steps: see the module."""
        self._check(key, when)
        return self.inner.adopt(key, source, when=Always())

    def list(self, prefix: str) -> Iterator[Entry]:
        return self.inner.list(prefix)

    def children(self, prefix: str) -> Iterator[str]:
        return self.inner.children(prefix)

    def children_beginning(self, prefix: str, *beginnings: str) -> Iterator[str]:
        return self.inner.children_beginning(prefix, *beginnings)

    def folders_beginning(self, prefix: str, *beginnings: str) -> Iterator[str]:
        return self.inner.folders_beginning(prefix, *beginnings)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def unfinished(self) -> Iterator[Unfinished]:
        return self.inner.unfinished()

    def discard(self, upload: Unfinished) -> None:
        self.inner.discard(upload)

    def traits(self, *, probes: bool) -> Iterator[Trait]:
        return self.inner.traits(probes=probes)

    def server_time(self) -> datetime | None:
        return self.inner.server_time()

    def local_path(self, key: str) -> Path | None:
        return self.inner.local_path(key)

    def close(self) -> None:
        self.inner.close()

    def _check(self, key: str, when: Precondition) -> None:
        if isinstance(when, IfVersion):
            try:
                blob = self.inner.read(key, limit=_REREAD)
            except ObjectNotFound as error:
                raise PreconditionFailed(key) from error
            assert blob is not None
            if blob.version != when.version:
                raise PreconditionFailed(key)
        elif isinstance(when, IfAbsent):
            folder, _, name = key.rpartition("/")
            try:
                found = name in self.inner.children(f"{folder}/" if folder else "")
            except ContainerNotFound:
                if not self.makes_root:
                    raise
                found = False
            if found:
                raise PreconditionFailed(key)
