"""What the parts above storage share: one store's backend, threads, codecs, trust, clock and retries.

A value that is passed down instead of a dozen parameters. Owns what the options of a store mean, and which of them
cannot be together; does nothing by itself.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from artifact_store.core.names import random_suffix, random_write_id
from artifact_store.core.pointer import PublishInfo
from artifact_store.core.registry import CodecRegistry
from artifact_store.core.store_record import Concurrency, StoreRecord
from artifact_store.core.trust import LoadPolicy
from artifact_store.errors import InvalidOption
from artifact_store.ops.keypairs import Signer
from artifact_store.ops.last_seen import LastSeen
from artifact_store.ops.provenance import parse_parts
from artifact_store.ops.records import Records
from artifact_store.storage import zstd
from artifact_store.storage.base import Backend
from artifact_store.storage.budget import SMALL_AT_ONCE
from artifact_store.storage.cache import FileCache
from artifact_store.storage.home import at_home
from artifact_store.storage.offline import Offline
from artifact_store.storage.owned_folder import Leftover
from artifact_store.storage.retry import RetryPolicy
from artifact_store.storage.single_writer import SingleWriter
from artifact_store.storage.staging import Staging
from artifact_store.storage.transfer import Report
from artifact_store.storage.workers import Workers
from artifact_store.wording import brief

Compression = Literal["zstd"]


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
    retry: RetryPolicy
    cache: FileCache | None
    report: Report | None
    now: Callable[[], datetime]
    new_suffix: Callable[[], str]
    new_write_id: Callable[[], str]
    actor: str
    concurrency: Concurrency = "safe"
    signer: Signer | None = None
    last_seen: LastSeen | None = None
    vouched: str = ""
    """Digest of the pointer that the caller has looked at and vouches for, so that no signature is asked for."""
    provenance: frozenset[str] = frozenset()
    """What a save records of how it came about; see :mod:`artifact_store.ops.provenance`."""
    compression: Compression | None = None
    """How files are stored that become much smaller."""
    staging: Staging = field(default_factory=Staging)
    """Where files wait on their way in or out."""
    opened: OpenedStore = field(default_factory=OpenedStore)
    verified: dict[str, str] = field(default_factory=dict)
    """Digest of a manifest → the key whose signature of it was verified."""
    tasks: Workers = field(default_factory=lambda: Workers(SMALL_AT_ONCE))
    """Threads for what itself waits for ``workers``: in those it could wait for ever."""

    @property
    def is_offline(self) -> bool:
        """Whether everything comes from the cache."""
        return isinstance(self.backend, Offline)

    @property
    def records(self) -> Records:
        """The stored documents."""
        return Records(self.backend, self.retry, self.workers)

    def leftovers(self) -> list[Leftover]:
        """Return the temporary files of processes that are not known to live: below the root, and of this client."""
        return self.staging.leftovers(beside=self.backend.staging_place)

    def publish_info(self, reason: str = "") -> PublishInfo:
        """Return who writes now, and why, under a new write id."""
        return PublishInfo(self.new_write_id(), self.now(), self.actor, reason)


def check_called(name: str, value: object) -> None:
    """Raise ``InvalidOption`` for what is neither ``None`` nor can be called."""
    if value is not None and not callable(value):
        raise InvalidOption(f"{name} is a function that is called meanwhile, not {brief(value)}")


def make_context(
    backend: Backend,
    *,
    policy: LoadPolicy | None,
    signer: Signer | None,
    state: str | Path | None,
    cache: FileCache | None,
    offline: bool,
    staging: Staging,
    concurrency: Concurrency,
    timeout: float,
    progress: Report | None,
    registry: CodecRegistry | None,
    actor: str | None,
    provenance: bool | Collection[str],
    compression: Compression | None,
    clock: Callable[[], datetime] | None,
) -> Context:
    """Return the collaborators of a store; ``InvalidOption``: the options, those of ``ArtifactStore``, do not fit."""
    if concurrency not in ("safe", "single-writer"):
        raise InvalidOption(f"concurrency is 'safe' or 'single-writer', not {brief(concurrency)}")
    if compression is not None:
        if compression != "zstd":
            raise InvalidOption(f"compression is 'zstd' or None, not {brief(compression)}")
        zstd.library()
    check_called("progress", progress)
    if offline not in (True, False):
        raise InvalidOption(f"offline is True or False, not {brief(offline)}")
    if backend.staging_place is not None:
        staging.check_outside(backend.staging_place.parent)
    if signer is not None and not isinstance(signer, Signer):
        raise InvalidOption(f"signer is a Signer: Signer.from_pem('mine.key'), not a {type(signer).__name__}")
    if state is not None and signer is None and (policy is None or not policy.require_signature):
        raise InvalidOption(
            "state remembers signed aliases: it needs a signer, or a policy with require_signature=True"
        )
    if offline:
        backend = Offline(backend, cache)
    elif concurrency == "single-writer":
        backend = SingleWriter(backend)
    return Context(
        backend=backend,
        registry=registry or CodecRegistry(),
        policy=policy or LoadPolicy(),
        workers=Workers(),
        retry=RetryPolicy(seconds=0.0 if offline else timeout),  # what a cache lacks, it lacks in a moment too
        cache=cache,
        report=progress,
        staging=staging,
        now=clock or partial(datetime.now, UTC),
        new_suffix=random_suffix,
        new_write_id=random_write_id,
        actor=actor if actor is not None else platform.node() or "unknown",
        concurrency=concurrency,
        signer=signer,
        compression=compression,
        provenance=parse_parts(provenance),
        last_seen=None if state is None else LastSeen(at_home(state), RetryPolicy(seconds=timeout)),
    )
