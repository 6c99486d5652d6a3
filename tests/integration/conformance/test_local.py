"""The local engine is held to the contract, on a real disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from artifact_store.storage.base import Backend
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.testing import BackendSuite

pytestmark = pytest.mark.windows


class TestLocal(BackendSuite):
    if os.name == "nt":
        awkward_keys = ("x/a b+c=d@e.txt", "x/100%.txt", "x/%2e%2e.txt", "x/run[1]/f.txt", "x/größe-测试.txt")

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        root = tmp_path / "store"
        root.mkdir()
        return root

    @pytest.fixture
    def backend(self, root: Path) -> LocalBackend:
        return LocalBackend(root)

    @pytest.fixture
    def other(self, root: Path, backend: Backend) -> LocalBackend:
        return LocalBackend(root)

    def leftovers(self, backend: Backend) -> Sequence[str]:
        root = Path(backend.url)
        return [str(path) for path in root.rglob("*") if path.name.startswith(".tmp-")]
