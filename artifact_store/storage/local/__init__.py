"""The engine for a folder of this machine: files, folders, locks, and what the place is like."""

from __future__ import annotations

from pathlib import Path

from artifact_store.storage.base import Backend


def open_folder(path: Path, *, timeout: float) -> Backend:
    """Return the backend for a folder; nothing is made."""
    from artifact_store.storage.local.backend import LocalBackend

    return LocalBackend(path, timeout=timeout)
