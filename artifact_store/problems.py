"""What a listing or a check passed over: where it is, and the error that a load of it would raise."""

from __future__ import annotations

from dataclasses import dataclass

from artifact_store.errors import ArtifactStoreError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, and what; ``error`` is what a load would raise."""

    where: str
    error: ArtifactStoreError

    def __str__(self) -> str:
        return f"{self.where}: {self.error}"
