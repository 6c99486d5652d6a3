"""Places without a server: memory, a disk of this machine, and fsspec's filesystems that stand on others."""

from __future__ import annotations

import platform
import zipfile
from importlib.metadata import version
from pathlib import Path

from tests.proofs.places.place import Opened, Place
from tests.proofs.places.room import Room


def _fsspec() -> str:
    return f"fsspec {version('fsspec')}"


def _memory(room: Room) -> Opened:
    return Opened({"url": f"memory://{room.name}"}, f"Python {platform.python_version()}", shared=False)


def _disk(room: Room) -> Opened:
    return Opened(
        {"url": str(room.folder / "store")},
        f"{platform.system()} {platform.release().partition('-')[0]}, {_kind(room.folder)}",
    )


def _kind(folder: Path) -> str:
    from artifact_store.storage.local.mounts import mount_of

    mount = mount_of(str(folder.resolve()), Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    return mount.kind if mount else "a disk"


def _dir_url(room: Room) -> Opened:
    return Opened({"url": f"dir::file://{room.folder / 'store'}"}, _fsspec())


def _dir(room: Room) -> Opened:
    (room.folder / "store").mkdir()
    described = {"protocol": "dir", "path": str(room.folder / "store"), "target_protocol": "file"}
    return Opened({"url": "models", "filesystem": described}, _fsspec())


def _zip_url(room: Room) -> Opened:
    return Opened({"url": f"zip://models::file://{_archive(room)}"}, _fsspec())


def _zip(room: Room) -> Opened:
    return Opened({"url": "models", "filesystem": {"protocol": "zip", "fo": _archive(room), "mode": "a"}}, _fsspec())


def _archive(room: Room) -> str:
    path = room.folder / "archive.zip"
    with zipfile.ZipFile(path, "w"):
        pass
    return str(path)


def _cached_url(room: Room) -> Opened:
    return Opened({"url": f"simplecache::file://{room.folder / 'store'}"}, _fsspec())


def _cached(room: Room) -> Opened:
    (room.folder / "store").mkdir()
    described = {
        "protocol": "simplecache",
        "target_protocol": "file",
        "cache_storage": str(room.folder / "cache"),
    }
    return Opened({"url": str(room.folder / "store"), "filesystem": described}, _fsspec())


ARCHIVE = "`guarantees` tells that an archive has no conditional writes, and not that nothing is written into it at all"
PLACES = (
    Place("memory", "memory", _memory),
    Place("local", "a disk of this machine", _disk),
    Place("dir-url", "`dir::file://…`", _dir_url),
    Place("dir", "fsspec's `dir` on a disk, handed over", _dir),
    Place("zip-url", "`zip://…::file://…`", _zip_url),
    Place("zip", "fsspec's `zip`, handed over", _zip, gaps={"prediction": ARCHIVE}),
    Place("simplecache-url", "`simplecache::file://…`", _cached_url),
    Place("simplecache", "fsspec's `simplecache` on a disk, handed over", _cached),
)
