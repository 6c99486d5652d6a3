"""The engine for S3 through botocore, with the credentials and the client of s3fs."""

from __future__ import annotations

from artifact_store.storage.base import Backend
from artifact_store.storage.fsspec.filesystem import Recipe


def open_s3(recipe: Recipe, root: str, *, url: str, timeout: float, min_rate: float) -> Backend:
    """Return the backend for ``bucket/prefix`` on an s3fs filesystem that is made like ``recipe``; nothing is sent."""
    from artifact_store.storage.s3fs.backend import S3fsBackend

    return S3fsBackend(recipe, root, url=url, timeout=timeout, min_rate=min_rate)
