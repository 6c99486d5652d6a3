"""This store, as an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.place import Place

if TYPE_CHECKING:
    from artifact_store import ArtifactStore

KEY = "gru/BTCEUR"


class Ours:
    """A run of the files, published as the newest; a verified download."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store

    def save(self, files: Sequence[Path]) -> None:
        """Save the files as one run."""
        with self.store.new_run(KEY) as draft:
            for path in files:
                draft.add_file(path.name, path)

    def load(self, target: Path) -> None:
        """Download the newest run."""
        self.store.get(KEY).download(target)


def adapter(place: Place, *, engine: str = "obstore", **_: Any) -> Ours:
    """Return this store through an engine; the engines share what was saved."""
    return Ours(place.store("ours", engine=engine))
