"""``_store.json``: that a root is a store, which id it has, and how its writers keep out of each other's way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from artifact_store.core import keys
from artifact_store.core.documents import Document, Kind, Time
from artifact_store.core.values import made

MAX_STORE_RECORD: Final = 64 << 10
"""Bytes; more is refused before it is parsed."""

NEEDED: Final = frozenset({"create_only", "compare_and_swap"})
"""The conditions without which no safe writer can do."""

Concurrency = Literal["safe", "single-writer"]


class StoreRecord(Document):
    """What ``_store.json`` says. It is created in an empty root only, and never changed."""

    KIND: ClassVar[Kind] = "store"
    LIMIT: ClassVar[int] = MAX_STORE_RECORD
    LEFT_OUT_IF_EMPTY: ClassVar[frozenset[str]] = frozenset({"probed_by"})

    store_id: str
    created_at: Time
    concurrency: Concurrency
    probed: Mapping[str, Mapping[str, bool]] = made(default_factory=dict)
    """Endpoint → condition → whether it held, twice, for a write in a single request."""
    probed_by: str = ""
    """The engine that probed; empty in older records, where a verdict counts for any."""

    def verdict(self, endpoint: str, engine: str) -> Mapping[str, bool] | None:
        """Return what is recorded of the conditions at this endpoint, if this engine has tried all that it needs."""
        found = self.probed.get(endpoint, {})
        return found if self.probed_by in {"", engine} and found.keys() >= NEEDED else None

    @property
    def storage_key(self) -> str:
        """Where it is stored."""
        return keys.STORE_MARKER
