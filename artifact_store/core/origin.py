"""The record of origin: that a run of another store was copied here on purpose, and is a run of this store as well.

A manifest says which store a run was saved in, and that never changes. Beside the manifest of a run that came from
elsewhere lies this record, create-only, under a name made of the digest of the manifest.

Why: docs/decisions/0031-a-run-that-moves-keeps-its-bytes.md
"""

from __future__ import annotations

from typing import ClassVar, Final

from artifact_store.core import keys
from artifact_store.core.documents import Kind, RunDocument, Sha256, Time
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import RunId

MAX_ORIGIN: Final = 64 << 10
"""Bytes; more is refused before it is parsed."""


class Origin(RunDocument):
    """Which run was copied to which store, from which, when and by whom."""

    KIND: ClassVar[Kind] = "origin"
    LIMIT: ClassVar[int] = MAX_ORIGIN

    store_id: str
    """The store that it was copied to."""
    origin: str
    """The store that it was saved in, as its manifest says."""
    manifest_sha256: Sha256
    at: Time
    by: str

    @property
    def storage_key(self) -> str:
        """Where it is stored."""
        return keys.origin(self.key, RunId(self.run_id), self.manifest_sha256)

    def admits(self, manifest: Manifest, store_id: str) -> bool:
        """Tell whether it says that this very run lives in the store ``store_id``."""
        said = (self.key, self.run_id, self.manifest_sha256, self.origin, self.store_id)
        return said == (manifest.key, manifest.run_id, manifest.digest, manifest.store_id, store_id)
