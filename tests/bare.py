"""A client of S3 that sends exactly what a test says: no checksum of its own, no second try."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from tests.servers.endpoint import REGION, S3Server

PART = os.urandom(5 << 20)


class Bare:
    """A client that sends exactly what a test says, and no checksum of its own."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self.client, self.place = client, {"Bucket": bucket, "Key": key}

    def open(self, **more: str) -> str:
        return str(self.client.create_multipart_upload(**self.place, **more)["UploadId"])

    def part(self, upload: str, number: int, data: bytes = PART, **more: str) -> dict[str, Any]:
        answer = self.client.upload_part(**self.place, UploadId=upload, PartNumber=number, Body=data, **more)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def complete(self, upload: str, *parts: dict[str, Any]) -> None:
        self.client.complete_multipart_upload(**self.place, UploadId=upload, MultipartUpload={"Parts": list(parts)})


def bare_client(server: S3Server) -> Any:
    return contextlib.closing(
        Session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=server.endpoint,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
    )


def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call()
    told = refused.value.response["Error"]
    return told["Code"], told["Message"]
