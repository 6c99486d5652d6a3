"""Where a way does its work, as it is told to its process. Needs the standard library only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore.store import S3Store

    from artifact_store import ArtifactStore

REGION = "us-east-1"


@dataclass(frozen=True)
class Place:
    """Memory, a folder of this machine, or a bucket, and a prefix in there that belongs to a row or to its fill.

    ``facts`` is what the ``fill`` of the row returned. ``scratch`` is a folder of this way, which its ``setup`` sees
    too; ``row`` is the name of the row.
    """

    kind: str
    root: str
    prefix: str
    scratch: str
    row: str = ""
    endpoint: str = ""
    bucket: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The scratch folder."""
        return Path(self.scratch)

    def path(self, name: str) -> Path:
        """Return the folder of a store on a disk."""
        return Path(self.root, self.prefix, name)

    def url(self, name: str) -> str:
        """Return where the store of this name is."""
        if self.kind == "memory":
            return f"memory://{self.prefix}-{name}-{uuid.uuid4().hex}"
        return f"s3://{self.bucket}/{self.key(name)}" if self.bucket else str(self.path(name))

    def key(self, name: str) -> str:
        """Return the key of something of this row in the bucket."""
        return f"{self.prefix}/{name}"

    def store(self, name: str, *, engine: str = "obstore", **options: Any) -> ArtifactStore:
        """Open the store of this name."""
        from artifact_store import ArtifactStore

        if self.bucket:
            options |= {"engine": engine, "storage_options": self.options(), "timeout": 300}
        return ArtifactStore(self.url(name), **options)

    def options(self) -> dict[str, Any]:
        """Return what s3fs takes, and this store."""
        client = {"region_name": REGION}
        return {
            "key": self.access_key,
            "secret": self.secret_key,
            "endpoint_url": self.endpoint,
            "client_kwargs": client,
        }

    def environment(self) -> dict[str, str]:
        """Return the variables by which AWS's libraries find the place."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def obstore(self) -> S3Store:
        """Return obstore's own client for the bucket."""
        from obstore.store import S3Store

        return S3Store(
            self.bucket,
            config={
                "endpoint": self.endpoint,
                "access_key_id": self.access_key,
                "secret_access_key": self.secret_key,
                "region": REGION,
            },
            client_options={"allow_http": True, "timeout": "10m"},
        )

    def s3fs(self) -> Any:
        """Return s3fs's own file system."""
        import s3fs

        return s3fs.S3FileSystem(**self.options(), skip_instance_cache=True)

    def boto3(self) -> Any:
        """Return boto3's client."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )
