"""boto3 by hand: its own transfers with ten threads, one file after another. Nothing is compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.place import Place


class RawBoto3:
    """Files below a prefix."""

    def __init__(self, place: Place) -> None:
        self._client, self._bucket, self._at = place.boto3(), place.bucket, place.key("boto3/")

    def save(self, files: Sequence[Path]) -> None:
        """Upload each file."""
        for path in files:
            self._client.upload_file(str(path), self._bucket, self._at + path.name)

    def load(self, target: Path) -> None:
        """List the files, and download each."""
        target.mkdir(parents=True)
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._at):
            for found in page["Contents"]:
                name = found["Key"].removeprefix(self._at)
                self._client.download_file(self._bucket, found["Key"], str(target / name))


def adapter(place: Place, **_: Any) -> RawBoto3:
    """Return boto3's client for the bucket."""
    return RawBoto3(place)
