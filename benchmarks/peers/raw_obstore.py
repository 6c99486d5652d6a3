"""obstore by hand, the floor: as many threads as the store has files under way, a list of digests, and a pointer."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.place import Place

WIDTH = 32
"""``SMALL_AT_ONCE`` of the store; ``tests/integration/test_benchmarks.py`` holds them together."""


class RawObstore:
    """Each file is hashed and compared, unless it is large: that is streamed, ``hashed=False``."""

    def __init__(self, place: Place, *, hashed: bool) -> None:
        self._client, self._hashed = place.obstore(), hashed
        self._at = place.key("obstore")

    def save(self, files: Sequence[Path]) -> None:
        """Put the files, what they are, and which ones are the newest."""
        import obstore

        folder = f"{self._at}/{uuid.uuid4().hex}"
        with ThreadPoolExecutor(WIDTH) as pool:
            digests = list(pool.map(lambda path: self._put(f"{folder}/{path.name}", path), files))
        listed = {"folder": folder, "files": {path.name: each for path, each in zip(files, digests, strict=True)}}
        data = json.dumps(listed).encode()
        obstore.put(self._client, f"{folder}/manifest.json", data, use_multipart=False)
        obstore.put(self._client, f"{self._at}/latest.json", data, use_multipart=False)

    def load(self, target: Path) -> None:
        """Get what is the newest, and its files."""
        import obstore

        target.mkdir(parents=True)
        listed = json.loads(bytes(obstore.get(self._client, f"{self._at}/latest.json").bytes()))
        with ThreadPoolExecutor(WIDTH) as pool:
            list(pool.map(lambda name: self._get(listed, name, target), listed["files"]))

    def _put(self, key: str, path: Path) -> str:
        import obstore

        if not self._hashed:
            obstore.put(self._client, key, path)
            return ""
        data = path.read_bytes()
        obstore.put(self._client, key, data, use_multipart=False, mode="create")
        return hashlib.sha256(data).hexdigest()

    def _get(self, listed: Mapping[str, Any], name: str, target: Path) -> None:
        import obstore

        found = obstore.get(self._client, f"{listed['folder']}/{name}")
        if not self._hashed:
            with (target / name).open("wb") as sink:
                sink.writelines(found.stream(min_chunk_size=1 << 20))
            return
        data = bytes(found.bytes())
        assert hashlib.sha256(data).hexdigest() == listed["files"][name]
        (target / name).write_bytes(data)


def adapter(place: Place, *, hashed: bool = True, **_: Any) -> RawObstore:
    """Return obstore's own client for the bucket."""
    return RawObstore(place, hashed=hashed)
