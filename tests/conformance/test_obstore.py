"""The obstore engine on the contract: a real S3 server, moto, and what only this engine can get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from artifact_store.storage.base import Backend
from artifact_store.storage.obstore import ObstoreBackend
from artifact_store.storage.options import parse_url
from artifact_store.testing import BackendSuite
from tests.servers import ADMIN, MotoServer, S3Server, SeaweedServer


def opened(server: S3Server, prefix: str, *, timeout: float = 20.0) -> ObstoreBackend:
    return ObstoreBackend(parse_url(server.url(prefix)), server.storage_options(), timeout=timeout)


def open_uploads(server: S3Server, prefix: str) -> Sequence[str]:
    with server.client() as client:
        found = client.list_multipart_uploads(Bucket=server.bucket).get("Uploads", [])
    return [upload["Key"] for upload in found if upload["Key"].startswith(prefix)]


class TestObstoreOnSeaweed(BackendSuite):
    secrets = (ADMIN.secret_key,)

    @pytest.fixture
    def backend(self, seaweed: SeaweedServer, seaweed_prefix: str) -> Iterator[Backend]:
        backend = opened(seaweed, seaweed_prefix)
        yield backend
        backend.close()

    @pytest.fixture
    def other(self, seaweed: SeaweedServer, seaweed_prefix: str) -> Iterator[Backend]:
        backend = opened(seaweed, seaweed_prefix)
        yield backend
        backend.close()

    @pytest.fixture(autouse=True)
    def _server(self, seaweed: SeaweedServer, seaweed_prefix: str) -> None:
        self.server, self.prefix = seaweed, seaweed_prefix

    def leftovers(self, backend: Backend) -> Sequence[str]:
        return open_uploads(self.server, self.prefix)


class TestObstoreOnMoto(BackendSuite):
    """Plumbing: moto checks a condition and writes in two steps."""

    @pytest.fixture
    def backend(self, moto: MotoServer, moto_prefix: str) -> Iterator[Backend]:
        backend = opened(moto, moto_prefix)
        yield backend
        backend.close()

    @pytest.fixture
    def other(self, moto: MotoServer, moto_prefix: str) -> Iterator[Backend]:
        backend = opened(moto, moto_prefix)
        yield backend
        backend.close()

    @pytest.fixture(autouse=True)
    def _server(self, moto: MotoServer, moto_prefix: str) -> None:
        self.server, self.prefix = moto, moto_prefix

    def leftovers(self, backend: Backend) -> Sequence[str]:
        return open_uploads(self.server, self.prefix)
