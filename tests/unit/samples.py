"""Small sound documents for tests."""

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from artifact_store import ArtifactStore
from artifact_store.canonical import canonical, checksum
from artifact_store.core.manifest import CodecRecord, Component, FileEntry, Manifest, PublishIntent
from artifact_store.core.names import ModelKey
from artifact_store.ops.records import Records
from artifact_store.storage.retry import RetryPolicy

KEY = ModelKey("gru", "BTCEUR")
NOW = datetime(2024, 8, 16, 14, 23, 1, tzinfo=UTC)
RUN_ID = "20240816_142301_k3f8qz"


def manifest(**changes):
    """A manifest of one component in one file, with ``changes``."""
    fields = {
        "store_id": "f" * 32,
        "model_type": "gru",
        "symbol": "BTCEUR",
        "run_id": RUN_ID,
        "write_id": "a" * 32,
        "created_at": NOW,
        "files": (FileEntry(path="model.json", key="model.json", size=2, sha256="0" * 64),),
        "components": {
            "model": Component(
                codec=CodecRecord(name="json", version=1), risk="data", type="builtins.dict", files=("model.json",)
            )
        },
        "publish": PublishIntent(alias="latest", policy="always"),
    }
    return Manifest(**(fields | changes))


class Time:
    """Time that passes only while somebody sleeps, so that retrying ends at once."""

    now = 0.0

    def sleep(self, seconds):
        self.now += seconds


def retry(seconds=30.0):
    """Retries that cost no time."""
    time = Time()
    return RetryPolicy(seconds=seconds, clock=lambda: time.now, sleep=time.sleep)


def context(backend, retry=None, **more):
    """What the operations on a store in ``backend`` work with; nothing of it is opened yet."""
    store = ArtifactStore(backend, actor="somebody")
    return replace(store._context, retry=retry or RetryPolicy(), **more)


def records(backend, seconds=30.0):
    """The documents in ``backend``, read and written with retries that cost no time."""
    return Records(backend, retry(seconds))


def resealed(value):
    """Canonical bytes of a changed document with a checksum that fits."""
    value = {name: part for name, part in value.items() if part is not None or name not in {"kind", "format"}}
    return canonical(value | {"checksum": checksum(value)})


def make_socket_file(path):
    """Make the file that a bound socket has, without a socket; some systems let only root do so."""
    try:
        os.mknod(path, 0o600 | stat.S_IFSOCK)
    except PermissionError:
        pytest.skip("only root makes socket files here")
