"""The engine for an export: one zip file that holds runs as a store does, and is only read."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from artifact_store.storage.base import Backend

if TYPE_CHECKING:
    from artifact_store.storage.archive.writing import ArchiveWriter

ARCHIVE: Final = ".zip"
"""How the name of an export ends."""


def open_archive(path: Path) -> Backend:
    """Return the backend of a zip file; nothing is read yet."""
    from artifact_store.storage.archive.backend import ArchiveBackend

    return ArchiveBackend(path)


def new_archive(path: Path) -> AbstractContextManager[ArchiveWriter]:
    """Return what writes a zip file, which is at ``path`` when the block ends, or not at all."""
    from artifact_store.storage.archive.writing import written_at

    return written_at(path)
