"""How a test reaches an S3 server, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

REGION = "us-east-1"


class S3Server:
    """An S3 endpoint with one bucket and the credentials that may do everything in it."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str

    def url(self, prefix: str = "") -> str:
        """Spell a place in the bucket as the store takes it."""
        return f"s3://{self.bucket}/{prefix}" if prefix else f"s3://{self.bucket}"

    def storage_options(self, *, endpoint: str | None = None) -> dict[str, Any]:
        """Return what s3fs needs, through ``endpoint`` where a proxy stands in front."""
        return {
            "key": self.access_key,
            "secret": self.secret_key,
            "endpoint_url": endpoint or self.endpoint,
            "client_kwargs": {"region_name": REGION},
        }

    @contextmanager
    def client(self, *, endpoint: str | None = None) -> Iterator[Any]:
        """Yield a botocore client that tries everything once and then gives up."""
        from botocore.config import Config
        from botocore.session import Session

        client = Session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=endpoint or self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                connect_timeout=2,
                read_timeout=10,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
            ),
        )
        try:
            yield client
        finally:
            client.close()
