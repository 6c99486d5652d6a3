"""The engine of s3fs in the place of obstore: where its runtime is lost, and for what obstore cannot ask a server.

Serves the same place with the same options: keys, versions and conditions are the same. Owns when it can be had.
"""

from __future__ import annotations

from importlib.util import find_spec

from artifact_store.errors import EngineUnavailable
from artifact_store.process import Process, this_process
from artifact_store.storage.base import Backend
from artifact_store.storage.obstore import runtime
from artifact_store.storage.options import S3, StorageOptions, StoreURL
from artifact_store.storage.patience import Patience


class Substitute:
    """The other backend of this place, one for each process, made when it is first needed."""

    def __init__(self, place: StoreURL, options: StorageOptions, patience: Patience) -> None:
        self._place, self._options, self._patience = place, options, patience
        self._made: dict[Process, Backend] = {}

    @property
    def is_installed(self) -> bool:
        """Whether there is one at all: on S3 alone, with s3fs."""
        return self._place.scheme == S3 and find_spec("s3fs") is not None

    def get(self) -> Backend:
        """Return that of this process; ``EngineUnavailable`` where there is none."""
        return self._made.get(this_process()) or self._made.setdefault(this_process(), self._open())

    def close(self) -> None:
        """Close that of this process, if it was needed."""
        made = self._made.pop(this_process(), None)
        if made is not None:
            made.close()

    def _open(self) -> Backend:
        if self._place.scheme != S3:
            raise EngineUnavailable(f"{self._place.text}: obstore does not work {runtime.why()}")
        from artifact_store.storage.fsspec.backend import open_filesystem

        try:
            return open_filesystem(self._place, self._options, **self._patience.options())
        except EngineUnavailable as missing:
            raise EngineUnavailable(
                f"{self._place.text}: s3fs, which would take the place of obstore, is not installed, and obstore does "
                f"not work {runtime.why()}"
            ) from missing
