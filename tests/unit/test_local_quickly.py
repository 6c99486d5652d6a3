"""A folder is read in few calls of the system where all is as it should be; what is found is what the long way finds."""

import os

import pytest

from artifact_store.errors import ArtifactStoreError
from artifact_store.storage.base import Always, Version, version_of
from artifact_store.storage.local import quickly
from artifact_store.storage.local.backend import LocalBackend

pytestmark = pytest.mark.windows

RUN = "gru/BTCEUR/20240101_000000_a"
KEYS = (
    *("_store.json", f"{RUN}/manifest.json", f"{RUN}/empty", f"{RUN}/sub/large", f"{RUN}-b/manifest.json"),
    *("gru/BTCEUR/latest.json", "gru/BTCEUR/latest.history/0000000032.json"),
)
QUESTIONABLE = (
    *(*KEYS, "nothing", "gru", "gru/BTCEUR", f"{RUN}/manifest.json/below", "gru/link/manifest.json"),
    *(
        "gru/BTCEUR/link.json",
        "gru/BTCEUR/dangling.json",
        "gru/BTCEUR/pipe",
        "gru//x",
        "gru/../x",
        "_locks/x",
        ".tmp-x",
    ),
)


@pytest.fixture
def backend(tmp_path):
    root = tmp_path / "store"
    made = LocalBackend(root)
    for key in KEYS:
        size = quickly.LARGEST + 1 if key.endswith("large") else 0 if key.endswith("empty") else len(key)
        made.write(key, b"x" * size, when=Always())
    (root / "gru" / "BTCEUR" / "20240102_000000").write_bytes(b"a file, not the folder of a run")
    (root / "gru" / "BTCEUR" / ".tmp-abc").write_bytes(b"unfinished")
    if os.name != "nt":
        (root / "gru" / "link").symlink_to(root / RUN)
        (root / "gru" / "BTCEUR" / "20240103_000000_link").symlink_to(root / RUN)
        (root / "gru" / "BTCEUR" / "link.json").symlink_to(root / "_store.json")
        (root / "gru" / "BTCEUR" / "dangling.json").symlink_to(root / "nowhere")
        os.mkfifo(root / "gru" / "BTCEUR" / "pipe")
    return made


def outcome(call):
    try:
        return call()
    except ArtifactStoreError as error:
        return type(error), str(error)


def seen(backend):
    """Everything that a backend tells of these keys."""
    found = {}
    for key in QUESTIONABLE:
        found["read", key] = outcome(lambda key=key: backend.read(key, limit=1 << 21))
        found["limited", key] = outcome(lambda key=key: backend.read(key, limit=3))
        for size in (0, 3, len(key), quickly.LARGEST + 1):
            found["stream", key, size] = outcome(lambda key=key, size=size: b"".join(backend.stream(key, size=size)))
    for prefix in ("", "gru/", "gru/BTCEUR/", f"{RUN}/", "gru/link/", "nothing/", "_store.json/"):
        found["list", prefix] = outcome(lambda prefix=prefix: list(backend.list(prefix)))
        found["children", prefix] = outcome(lambda prefix=prefix: list(backend.children(prefix)))
        for beginnings in (("0", "1", "2"), ("2024",), ("20240101_0", "l"), ("",), (".", "l")):
            folders = outcome(lambda prefix=prefix, begin=beginnings: sorted(backend.folders_beginning(prefix, *begin)))
            found["folders", prefix, beginnings] = folders
    found["unfinished"] = sorted(upload.key for upload in backend.unfinished())
    return found


def test_the_quick_way_finds_what_the_long_one_finds(backend, monkeypatch):
    quick = seen(backend)
    monkeypatch.setattr(quickly, "_CAN", False)
    assert quick == seen(backend)
    assert quick["list", ""]
    assert quick["folders", "gru/BTCEUR/", ("0", "1", "2")] == ["20240101_000000_a", "20240101_000000_a-b"]
    assert quick["unfinished"] == ["gru/BTCEUR/.tmp-abc"]


@pytest.mark.skipif(os.name == "nt", reason="a POSIX thing")
def test_most_is_read_in_the_quick_way(backend, monkeypatch):
    monkeypatch.setattr(LocalBackend, "_look_into", None)
    monkeypatch.setattr(LocalBackend, "_file", None)
    assert backend.read(f"{RUN}/manifest.json", limit=100).data == b"x" * len(f"{RUN}/manifest.json")
    assert b"".join(backend.stream("_store.json", size=len("_store.json"))) == b"x" * len("_store.json")
    assert [entry.key for entry in backend.list(f"{RUN}/")] == [
        f"{RUN}/{name}" for name in ("empty", "manifest.json", "sub/large")
    ]
    assert list(backend.folders_beginning("gru/", "B")) == ["BTCEUR"]


def test_no_descriptor_is_left_open(backend):
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 -- no path of ours
        pytest.skip("looks into /proc")
    seen(backend)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    seen(backend)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_version_that_was_seen_is_not_read_again(backend):
    version = version_of(b"x" * len("_store.json"))
    assert backend.read("_store.json", limit=100, unless=version) is None
    assert backend.read("_store.json", limit=100, unless=Version("other")) is not None
