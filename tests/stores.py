"""Stores for tests: the same behaviour is run on every backend, each opened as a user opens it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artifact_store import ArtifactStore

ENGINES = ("memory", "local", "obstore", "s3fs")
OpenStore = Callable[..., ArtifactStore]


def place_of(engine: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments that open a new, empty root of its own for this test, from any process that may."""
    if engine == "memory":
        return {"url": f"memory://{uuid.uuid4().hex}"}
    if engine == "local":
        return {"url": str(request.getfixturevalue("tmp_path") / "store")}
    server = request.getfixturevalue("seaweed")
    prefix = request.getfixturevalue("seaweed_prefix")
    return {
        "url": server.url(prefix),
        "engine": {"obstore": "obstore", "s3fs": "fsspec"}[engine],
        "storage_options": server.storage_options(),
    }


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Every backend in turn."""
    return place_of(request.param, request)


@pytest.fixture
def open_store(place: dict[str, Any]) -> OpenStore:
    """Open the store of this test again, as another client would."""

    def opened(**changes: Any) -> ArtifactStore:
        return ArtifactStore(**{"timeout": 20.0, **place, **changes})

    return opened


@pytest.fixture
def store(open_store: OpenStore) -> ArtifactStore:
    """The store of this test."""
    return open_store()


def write_files(directory: Path, files: dict[str, bytes]) -> dict[str, Path]:
    """Make files and return their paths by name."""
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return {name: directory / name for name in files}
