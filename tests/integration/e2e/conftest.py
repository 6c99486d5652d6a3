"""Fixtures of several files: the strict front of S3, and a client that sends to it exactly what a test says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.servers import SeaweedServer, StrictFront

if TYPE_CHECKING:
    from tests.bare import Bare


@pytest.fixture
def front(seaweed: SeaweedServer) -> Iterator[StrictFront]:
    with StrictFront(seaweed) as front:
        yield front


@pytest.fixture
def bare(front: StrictFront, seaweed_prefix: str) -> Iterator[Bare]:
    from tests.bare import Bare, bare_client  # it needs botocore, and there is none where the Windows tests run

    with bare_client(front) as client:
        yield Bare(client, front.bucket, f"{seaweed_prefix}/x")
