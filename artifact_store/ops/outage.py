"""When to stop asking a storage that does not answer: one rule for listings, plans, deletions and examinations."""

from __future__ import annotations

from artifact_store.errors import ArtifactStoreError, Unavailable


class Outage:
    """Counts failures of the storage in a row: each took all the time for retries; a hundred would take hours."""

    def __init__(self, *failures: type[ArtifactStoreError], limit: int = 3) -> None:
        self._failures, self._limit, self._count = failures or (Unavailable,), limit, 0

    @property
    def has_begun(self) -> bool:
        """Whether the storage has failed so often that nothing more is asked of it."""
        return self._count >= self._limit

    def record(self, answer: object) -> None:
        """Count what the storage answered, or the error of asking it. An outage that has begun does not end."""
        if not self.has_begun:
            self._count = self._count + 1 if isinstance(answer, self._failures) else 0
