"""Follow an alias: whether it was published again, by one small request, and which run it names then. Reads only.

Why: docs/decisions/0027-watching-an-alias.md
"""

from __future__ import annotations

from dataclasses import replace

from artifact_store.core.references import RunRef
from artifact_store.errors import AliasNotFound, InvalidReference, ObjectNotFound
from artifact_store.ops import pointer_trust
from artifact_store.ops.context import Context
from artifact_store.ops.records import SeenPointer
from artifact_store.storage.base import Version
from artifact_store.storage.retry import RetryPolicy

_ONCE = RetryPolicy(seconds=0.0)


def followed(ref: RunRef) -> str:
    """Return the alias that a reference names; ``InvalidReference`` if it names a run, which never changes."""
    if ref.alias is None:
        raise InvalidReference(f"{ref} names a run, which never changes; watch an alias, such as {ref.key}@latest")
    return ref.alias


def published_since(context: Context, ref: RunRef, seen: Version | None) -> SeenPointer:
    """Return the pointer of an alias, or ``None`` if it still is the version that was ``seen``; asked once.

    Raises:
        AliasNotFound: it was never published, or is gone.
        Unavailable: the storage does not answer.
    """
    alias, records = followed(ref), replace(context, retry=_ONCE).records
    try:
        found = records.pointer(ref.key, alias) if seen is None else records.changed_pointer(ref.key, alias, seen)
    except ObjectNotFound:
        found = seen = None
    if found is None and seen is None:
        pointer_trust.check_pointer_for_load(context, ref.key, alias, None)
        raise AliasNotFound(f"{ref} is not published in {context.backend.url}; publish a run under it")
    return found
