"""What the parts above storage share: one store's backend, threads, codecs, trust, clock and retries.

A value that is passed down instead of a dozen parameters. Does nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from artifact_store.core.pointer import PublishInfo
from artifact_store.core.registry import CodecRegistry
from artifact_store.core.store_record import Concurrency, StoreRecord
from artifact_store.core.trust import LoadPolicy
from artifact_store.ops.keypairs import Signer
from artifact_store.ops.last_seen import LastSeen
from artifact_store.ops.records import Records
from artifact_store.storage.base import Backend
from artifact_store.storage.cache import FileCache
from artifact_store.storage.retry import RetryPolicy
from artifact_store.storage.transfer import Report, Workers


@dataclass(slots=True)
class OpenedStore:
    """What a client knows of a store that it has written to."""

    record: StoreRecord | None = None
    """What the root says about itself, once it was opened for writing."""
    models: set[str] = field(default_factory=set)
    """The models that a run was saved of: their symbols need not be compared with their siblings again."""


@dataclass(frozen=True, slots=True)
class Context:
    """The collaborators of one store."""

    backend: Backend
    registry: CodecRegistry
    policy: LoadPolicy
    workers: Workers
    patience: RetryPolicy
    cache: FileCache | None
    report: Report | None
    now: Callable[[], datetime]
    new_suffix: Callable[[], str]
    new_write_id: Callable[[], str]
    actor: str
    concurrency: Concurrency = "safe"
    signer: Signer | None = None
    last_seen: LastSeen | None = None
    provenance: frozenset[str] = frozenset()
    """What a save records of how it came about; see :mod:`artifact_store.ops.provenance`."""
    opened: OpenedStore = field(default_factory=OpenedStore)
    verified: dict[str, str] = field(default_factory=dict)
    """Digest of a manifest → the key whose signature of it was verified."""

    @property
    def records(self) -> Records:
        """The stored documents."""
        return Records(self.backend, self.patience)

    def publish_info(self, reason: str = "") -> PublishInfo:
        """Return who writes now, and why, under a new write id."""
        return PublishInfo(self.new_write_id(), self.now(), self.actor, reason)
