"""What a backend of your own is made of. Public: a plug-in imports its names from here, and its errors from the top.

>>> from artifact_store import errors
>>> from artifact_store.backends import Backend, Blob, Capabilities, Entry, StorageOptions, StoreURL

:class:`Backend` is the contract, and :class:`artifact_store.testing.BackendSuite` holds a backend to it. The group of
entry points of the same name, ``artifact_store.backends``, has under each URL scheme a callable
``(url: StoreURL, options: StorageOptions, timeout: float) -> Backend``.
"""

from __future__ import annotations

from artifact_store.storage.base import (
    Always,
    Backend,
    Blob,
    Capabilities,
    Entry,
    IfAbsent,
    IfVersion,
    Precondition,
    Trait,
    Unfinished,
    Version,
)
from artifact_store.storage.options import StorageOptions, StoreURL

__all__ = [
    "Always",
    "Backend",
    "Blob",
    "Capabilities",
    "Entry",
    "IfAbsent",
    "IfVersion",
    "Precondition",
    "StorageOptions",
    "StoreURL",
    "Trait",
    "Unfinished",
    "Version",
]
