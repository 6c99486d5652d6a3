"""modelstore: one archive for all files of a model, and its description."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.place import Place

DOMAIN = "btceur"


class Modelstore:
    """A domain of the store; the newest model is the first one that is listed."""

    def __init__(self, place: Place) -> None:
        os.environ |= place.environment()
        from modelstore import ModelStore

        self._store = ModelStore.from_aws_s3(bucket_name=place.bucket, root_prefix=place.key("modelstore"))

    def save(self, files: Sequence[Path]) -> None:
        """Upload an archive of the files."""
        self._store.upload(DOMAIN, model=str(files[0]), extra_files=[str(path) for path in files[1:]])

    def load(self, target: Path) -> None:
        """Download the newest archive, and unpack it."""
        target.mkdir(parents=True)
        newest = self._store.list_models(DOMAIN)[0]
        found = Path(self._store.download(str(target), DOMAIN, newest))
        if found.is_file():
            with tarfile.open(found) as archive:
                archive.extractall(target, filter="data")


def adapter(place: Place, **_: Any) -> Modelstore:
    """Return the store in the bucket."""
    return Modelstore(place)
