"""Somebody who may write to the storage and knows the format: what they change has checksums and digests that fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from artifact_store import ArtifactStore, Run
from artifact_store.canonical import sha256
from tests.unit.samples import resealed


class Attacker:
    """Changes a store in a folder from outside, and publishes it as if nothing had happened."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.root = Path(store.url)

    def folder(self, run: Run) -> Path:
        return self.root / str(run.key) / run.run_id

    def change_manifest(self, run: Run, change: Callable[[dict[str, Any]], object]) -> None:
        """Let ``change`` have its way with the manifest, seal it, and let the aliases of the run name the new one."""
        path = self.folder(run) / "manifest.json"
        value = json.loads(path.read_bytes())
        change(value)
        path.write_bytes(resealed(value))
        for alias, pointer in self.store.aliases(run.key).items():
            if pointer.run_id == run.run_id:
                (self.root / str(run.key) / f"{alias}.json").unlink()
                ArtifactStore(self.root).promote(str(run.ref), alias)

    def replace(self, run: Run, path: str, data: bytes) -> None:
        """Put other bytes in the place of a file, and their digest into the manifest."""
        (self.folder(run) / path).write_bytes(data)

        def described(manifest: dict[str, Any]) -> None:
            for entry in manifest["files"]:
                if entry["path"] == path:
                    entry.update(size=len(data), sha256=sha256(data))

        self.change_manifest(run, described)
