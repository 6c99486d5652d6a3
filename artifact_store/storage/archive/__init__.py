"""The engine for an export: one zip file that holds runs as a store does, and is only read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from artifact_store.storage.base import Backend

ARCHIVE: Final = ".zip"
"""How the name of an export ends."""


def open_archive(path: Path) -> Backend:
    """Return the backend of a zip file; nothing is read yet."""
    from artifact_store.storage.archive.backend import ArchiveBackend

    return ArchiveBackend(path)
