"""The catalog index of a store, as its users have it: ``store.index``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from artifact_store.core import keys
from artifact_store.errors import ArtifactStoreError
from artifact_store.ops import index_writing, opening
from artifact_store.ops.context import Context
from artifact_store.ops.index import LINES, PARQUET, Advance, open_index, survey
from artifact_store.ops.index_writing import Compaction
from artifact_store.problems import Problem


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What there is of an index. ``generation`` is ``None`` without one, or where it cannot be read."""

    generation: int | None
    at: datetime | None
    """The storage's time when it was written."""
    files: tuple[str, ...]
    """The URLs of its blocks that are in force, newest first: copies in Parquet where there are any, else lines."""
    size: int
    """The bytes of these files."""
    rows: int
    """Rows in all blocks; a run that was deleted has one as well, and one that was changed may have several."""
    unsettled: int
    """Notices of saves and deletions that no block has dealt with: so many runs a listing looks at itself."""
    problem: Problem | None = None
    """Why it cannot be read."""

    @property
    def ok(self) -> bool:
        """It can be read, or there is none."""
        return self.problem is None


class CatalogIndex:
    """The catalog index of a store: made from the manifests, never the truth, and made again at any time."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._context.backend.url}>"

    def status(self) -> IndexStatus:
        """Return what there is of it: a listing, and every byte of its blocks.

        Raises:
            NotAStore: the root holds something else.
            Unavailable, AccessDenied: the storage does not answer.
        """
        context = self._context
        opening.check_store(context.records)
        found = survey(context)
        try:
            index = open_index(context, found)
            rows = index.count() if index is not None else 0
        except ArtifactStoreError as error:
            return IndexStatus(None, None, (), 0, 0, len(found.notices), Problem(keys.INDEX, error))
        if index is None:
            return IndexStatus(None, None, (), 0, 0, len(found.notices))
        forms = [found.blocks[number] for number, _ in index.blocks]
        entries = [held.get(PARQUET, held[LINES]) for held in forms]
        urls = tuple(keys.below(context.backend.url, entry.key) for entry in entries)
        size = sum(entry.size for entry in entries)
        return IndexStatus(index.head.generation, index.head.at, urls, size, rows, len(index.unsettled))

    def compact(self, *, progress: Advance | None = None) -> Compaction:
        """Write a block of what happened since the last one; the first one has every run.

        ``progress`` is called with how many runs were read, of how many. False as a value where nothing was written:
        there was nothing new, or another client was faster. The problems are manifests that cannot be read: they are
        not in the index, so each listing reports them.

        Raises:
            NotAStore: there is no store.
            Corrupt: the index is damaged: :meth:`rebuild` it.
            AccessDenied: these credentials do not write blocks; a writer needs not.
        """
        return index_writing.compact(self._context, advance=progress)

    def rebuild(self, *, progress: Advance | None = None) -> Compaction:
        """Write a block of every run from the manifests alone; arguments and errors are those of :meth:`compact`."""
        return index_writing.build_anew(self._context, advance=progress)
