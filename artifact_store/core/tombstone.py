"""The tombstone: what takes the place of a manifest when its run is deleted, and stays there for ever.

``marked``: the run is hidden, its files are all there, and the manifest inside brings it back. ``sealed``: its files
are being removed, or are gone. Since something is always stored under the name of the manifest, no other run can be
committed under that id again. A manifest that cannot be read any more is put into ``quarantine`` inside of one, byte
for byte. Owns the document and its two states; swaps nothing and removes nothing.

Why: docs/decisions/0009-two-phase-deletion.md
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final, Literal, Self

from artifact_store.canonical import canonical, checksum, sha256
from artifact_store.core.documents import Kind, RunDocument, Sha256, Time, WriteId, write_time
from artifact_store.core.manifest import MAX_MANIFEST, Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import MAX_NOTE, PublishInfo
from artifact_store.core.statement import decode64, encode64
from artifact_store.core.values import Value
from artifact_store.errors import Corrupt, InvalidOption

GRACE: Final = timedelta(days=7)
"""How long a deleted run can be brought back, and how long a save is given to end."""

MAX_TOMBSTONE: Final = MAX_MANIFEST + (64 << 10)
"""Bytes; more is refused before it is parsed. The largest manifest fits into one."""

MAX_QUARANTINE: Final = 6 << 20
"""Bytes of a damaged manifest that a tombstone keeps; in base64 they still fit into one."""

State = Literal["marked", "sealed"]


class Seal(Value):
    """The end of the time in which the run could be brought back: whose write it was, and when."""

    write_id: WriteId
    at: Time
    by: str


class Quarantine(Value):
    """What lay in the place of a manifest and could not be read, in base64, so that nothing of it is lost."""

    data: str
    sha256: Sha256

    def _check(self) -> None:
        """Refuse what is not the one spelling of bytes with this digest."""
        if sha256(decode64(self.data) or b"") != self.sha256:
            raise ValueError("what is in quarantine is not what was put there")


class Tombstone(RunDocument):
    """Who deleted a run, when and why, and its manifest; without ``manifest`` it was never committed."""

    KIND: ClassVar[Kind] = "tombstone"
    LIMIT: ClassVar[int] = MAX_TOMBSTONE
    LEFT_OUT_IF_EMPTY: ClassVar[frozenset[str]] = frozenset({"quarantine"})

    state: State
    write_id: WriteId
    at: Time
    by: str
    reason: str
    manifest: Mapping[str, Any] | None
    manifest_sha256: Sha256 | None
    seal: Seal | None
    quarantine: Quarantine | None = None

    def _check(self) -> None:
        """Refuse names outside the grammar, a state that the rest denies, and another manifest than was pinned."""
        ModelKey(self.model_type, self.symbol)
        RunId(self.run_id)
        if (self.state == "sealed") != (self.seal is not None):
            raise ValueError("a tombstone has a seal exactly if it is sealed")
        if self.manifest is None and self.state == "marked":
            raise ValueError("a run that can be brought back has a manifest")
        if (None if self.manifest is None else sha256(canonical(self.manifest))) != self.manifest_sha256:
            raise ValueError("the manifest inside is not the one that was deleted")
        if self.quarantine is not None and self.manifest is not None:
            raise ValueError("a manifest that can be read is not in quarantine")

    @classmethod
    def mark(cls, manifest: Manifest, info: PublishInfo) -> Self:
        """Return what hides a run until it is sealed or brought back."""
        return cls._of(manifest.key, manifest.run_id, manifest, info, seal=None)

    @classmethod
    def never_committed(cls, key: ModelKey, run_id: RunId, info: PublishInfo) -> Self:
        """Return what keeps a save that was cut short from being committed after all."""
        seal = Seal(write_id=info.write_id, at=info.at, by=info.by[:MAX_NOTE])
        return cls._of(key, run_id, None, info, seal=seal)

    @classmethod
    def quarantined(cls, key: ModelKey, run_id: RunId, data: bytes, info: PublishInfo) -> Self:
        """Return what keeps the bytes of a damaged manifest in its place; ``InvalidOption`` if they are too many."""
        if len(data) > MAX_QUARANTINE:
            raise InvalidOption(f"a tombstone keeps {MAX_QUARANTINE:,} bytes, and these are {len(data):,}")
        stone = cls.never_committed(key, run_id, info)
        return stone.model_copy(update={"quarantine": Quarantine(data=encode64(data), sha256=sha256(data))})

    @classmethod
    def _of(
        cls, key: ModelKey, run_id: str, manifest: Manifest | None, info: PublishInfo, *, seal: Seal | None
    ) -> Self:
        return cls(
            model_type=key.model_type,
            symbol=key.symbol,
            run_id=run_id,
            state="marked" if seal is None else "sealed",
            write_id=info.write_id,
            at=info.at,
            by=info.by[:MAX_NOTE],
            reason=info.reason[:MAX_NOTE],
            manifest=None if manifest is None else manifest.to_json(),
            manifest_sha256=None if manifest is None else manifest.digest,
            seal=seal,
        )

    def sealed(self, info: PublishInfo) -> Tombstone:
        """Return this tombstone with the seal on it; what this release does not know is kept."""
        seal = {"write_id": info.write_id, "at": write_time(info.at), "by": info.by[:MAX_NOTE]}
        value = self.to_json() | {"state": "sealed", "seal": seal}
        return Tombstone.from_json(value | {"checksum": checksum(value)}, what=f"the tombstone of {self.label}")

    def restored(self) -> Manifest:
        """Return the manifest as it was, byte for byte; ``Corrupt`` if it is missing, or that of another run."""
        what = f"the manifest in the tombstone of {self.label}"
        if self.manifest is None:
            raise Corrupt(f"{what} is missing: the run was never committed")
        manifest = Manifest.from_bytes(canonical(self.manifest), what=what)
        manifest.check_identity(self.key, self.run_id, what)
        return manifest

    @property
    def summary(self) -> str:
        """When the run was deleted, by whom and why."""
        what = "cleared away, never having been committed," if self.manifest is None else "deleted"
        if self.quarantine is not None:
            what = "put into quarantine, its manifest being damaged,"
        reason = f": {self.reason!r}" if self.reason and self.manifest is not None else ""
        return f"{what} at {self.at:%Y-%m-%d %H:%M:%S} UTC by {self.by!r}{reason}"

    def __str__(self) -> str:
        return f"{self.label} was {self.summary}"
