"""The engine for S3, Google Cloud Storage and Azure through obstore."""

from __future__ import annotations

from importlib.util import find_spec

from artifact_store.errors import EngineUnavailable
from artifact_store.installing import pip_install
from artifact_store.storage.base import Backend
from artifact_store.storage.options import StorageOptions, StoreURL


def is_installed() -> bool:
    """Tell whether obstore is there; it is not imported."""
    return find_spec("obstore") is not None


def open_bucket(url: StoreURL, options: StorageOptions, *, timeout: float, min_rate: float) -> Backend:
    """Return the backend for a bucket or a prefix, or raise ``EngineUnavailable``; nothing is sent."""
    if not is_installed():
        raise EngineUnavailable(f"the engine 'obstore' is not installed: {pip_install('s3')}")
    from artifact_store.storage.obstore.backend import ObstoreBackend

    return ObstoreBackend(url, options, timeout=timeout, min_rate=min_rate)
