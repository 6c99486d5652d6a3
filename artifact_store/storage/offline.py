"""A store without its storage: what a cache has seen of it, and nothing else. No request is made.

Reads documents as they were seen last; whoever asks checks them as if they came from the storage. Files are taken from
the cache by their content, before a backend is asked for them. All that a cache cannot know, such as a listing, is
``NotCached``, and nothing is written.

Why: docs/decisions/0029-the-cache.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

from artifact_store.core import keys
from artifact_store.errors import Corrupt, InvalidOption, NotCached, ObjectNotFound, Unsupported
from artifact_store.storage.base import Backend, Blob, Capabilities, Entry, Precondition, Version, version_of
from artifact_store.storage.cache import FileCache, Seen

_SHOWN = 3
_WRITES_NOTHING = "this store was opened with offline=True, and writes nothing: open it without"


class Offline(Backend):
    """What ``cache`` has seen of a backend, which is asked for its names only.

    Raises:
        InvalidOption: there is no cache; or the store is on this machine, where files are not cached.
    """

    def __init__(self, inner: Backend, cache: FileCache | None) -> None:
        if cache is None:
            raise InvalidOption("offline=True loads from a cache alone: name its folder with cache=")
        if inner.staging_place is not None:
            raise InvalidOption(
                f"{inner.url} is a folder of this machine, whose files are read where they are and not cached: "
                "leave out offline=True"
            )
        self.inner, self.cache = inner, cache
        self.engine, self.url, self.endpoint = inner.engine, inner.url, inner.endpoint
        self.makes_root, self.read_only = False, _WRITES_NOTHING
        self.capabilities = Capabilities(create_only=False, compare_and_swap=False, durable=False, reason="offline")

    @property
    def places(self) -> tuple[str, ...]:
        """Those of the backend: the cache knows the store by them."""
        return self.inner.places

    def seen(self, key: str, *, limit: int) -> Seen | None:
        """Return the document as it was seen last, or ``None`` if the cache does not have it."""
        return self.cache.recall(self.places[0], key, limit=limit)

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Return the document as it was seen last; ``NotCached`` if it was not."""
        found = self.seen(key, limit=limit)
        if key == keys.STORE_MARKER:
            raise NotCached(f"{self.url} is opened offline, and then only loads: leave out offline=True for this")
        if found is None:
            self.refuse([key])
        if found.data is None:
            raise ObjectNotFound(key, f"offline: nothing was stored at {key!r} when it was seen last")
        if len(found.data) > limit:
            raise Corrupt(f"{key!r} has {len(found.data):,} bytes, and {limit:,} are allowed", key=key)
        version = version_of(found.data)
        return None if version == unless else Blob(found.data, version)

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Raise ``NotCached``: the cache was asked before, by content."""
        del size
        self.refuse([key])

    def refuse(self, missing: Sequence[str]) -> NoReturn:
        """Raise ``NotCached`` for what is not in the cache."""
        more = len(missing) - _SHOWN
        shown = ", ".join(map(repr, missing[:_SHOWN])) + (f" and {more} more" if more > 0 else "")
        error = NotCached(
            f"offline, and the cache {self.cache.folder.path} does not have {shown} of {self.url}: load the same once "
            "while online, with this cache and without offline=True"
        )
        error.missing = tuple(missing)
        raise error

    def list(self, prefix: str) -> Iterator[Entry]:
        """Raise ``NotCached``."""
        del prefix
        self._not_listed()

    def children(self, prefix: str) -> Iterator[str]:
        """Raise ``NotCached``."""
        del prefix
        self._not_listed()

    def _not_listed(self) -> NoReturn:
        raise NotCached(
            f"offline, and what {self.url} holds cannot be listed: name an alias, or a run by its full id, that was "
            "loaded with this cache while online"
        )

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        """Raise ``Unsupported``: nothing is written."""
        del key, data, when
        raise Unsupported(self.read_only)

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Raise ``Unsupported``: nothing is written."""
        del key, chunks, size, when
        raise Unsupported(self.read_only)

    def delete(self, key: str) -> None:
        """Raise ``Unsupported``: nothing is written."""
        del key
        raise Unsupported(self.read_only)
