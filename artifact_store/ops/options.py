"""What the options of a store mean: the collaborators that they make, and which of them cannot be together."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from artifact_store.core import keys
from artifact_store.core.registry import CodecRegistry
from artifact_store.core.store_record import Concurrency
from artifact_store.core.trust import LoadPolicy
from artifact_store.errors import InvalidOption
from artifact_store.ops.context import Context
from artifact_store.ops.keypairs import Signer
from artifact_store.ops.last_seen import LastSeen
from artifact_store.ops.provenance import parse_parts
from artifact_store.storage.base import Backend
from artifact_store.storage.cache import FileCache
from artifact_store.storage.home import at_home
from artifact_store.storage.retry import RetryPolicy
from artifact_store.storage.single_writer import SingleWriter
from artifact_store.storage.transfer import Report, Workers


def make_context(
    backend: Backend,
    *,
    policy: LoadPolicy | None,
    signer: Signer | None,
    state: str | Path | None,
    cache: str | Path | None,
    concurrency: Concurrency,
    timeout: float,
    progress: Report | None,
    registry: CodecRegistry | None,
    actor: str | None,
    provenance: bool | Collection[str],
    clock: Callable[[], datetime] | None,
) -> Context:
    """Return the collaborators of a store in ``backend``; the options are those of ``ArtifactStore``.

    Raises:
        InvalidOption: an option has no meaning, or none together with the others.
    """
    if concurrency not in {"safe", "single-writer"}:
        raise InvalidOption(f"concurrency is 'safe' or 'single-writer', not {concurrency!r}")
    if signer is not None and not isinstance(signer, Signer):
        raise InvalidOption(f"signer is a Signer: Signer.from_pem('mine.key'), not a {type(signer).__name__}")
    if state is not None and (policy is None or not policy.require_signature):
        raise InvalidOption("state remembers signed aliases; it needs a policy with require_signature=True")
    return Context(
        backend=SingleWriter(backend) if concurrency == "single-writer" else backend,
        registry=registry or CodecRegistry(),
        policy=policy or LoadPolicy(),
        workers=Workers(),
        patience=RetryPolicy(seconds=timeout),
        cache=None if cache is None else FileCache(at_home(cache)),
        report=progress,
        now=clock or partial(datetime.now, UTC),
        new_suffix=keys.random_suffix,
        new_write_id=keys.random_write_id,
        actor=actor if actor is not None else platform.node() or "unknown",
        concurrency=concurrency,
        signer=signer,
        provenance=parse_parts(provenance),
        last_seen=None if state is None else LastSeen(at_home(state), RetryPolicy(seconds=timeout)),
    )
