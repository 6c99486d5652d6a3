"""The zips of a collection: a folder, or a bare git repository, whose large files may be absent."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.processes import Failed, quietly

LIST = Path(__file__).with_name("collection.txt")
STATISTICS = "vecnormalize.pkl"


@dataclass(frozen=True, slots=True)
class Listed:
    """A zip of the list: what git calls its content, and its SHA-256 where it was tried when the list was made."""

    blob: str
    sha256: str | None


def listed() -> dict[str, Listed]:
    """Return the list, by path."""
    lines = [line.split(" ", 2) for line in LIST.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    return {path: Listed(blob, None if digest == "-" else digest) for blob, digest, path in lines}


def zips(folder: Path) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    """Yield the path of each zip, its bytes if they are there, and those of the statistics beside it."""
    if not folder.is_dir():
        raise Failed(f"{folder} is not a folder")
    yield from (_in_git(folder) if (folder / "objects").is_dir() else _in_folder(folder))


def is_the_same(data: bytes, known: Listed) -> bool:
    """Tell whether a zip has the bytes that the list is about."""
    if known.sha256 is not None:
        return hashlib.sha256(data).hexdigest() == known.sha256
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == known.blob


def _in_folder(folder: Path) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    for path in sorted(folder.rglob("*.zip")):
        beside = path.with_name(path.stem) / STATISTICS
        yield path.relative_to(folder).as_posix(), path.read_bytes(), beside.read_bytes() if beside.exists() else None


def _in_git(folder: Path) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    rows = [line.split("\t", 1) for line in quietly(["git", "-C", folder, "ls-tree", "-r", "HEAD"]).splitlines()]
    blobs = {path: facts.split()[2] for facts, path in rows}
    for path in sorted(blobs):
        if path.endswith(".zip"):
            beside = blobs.get(f"{path.removesuffix('.zip')}/{STATISTICS}")
            yield path, _content(folder, blobs[path]), None if beside is None else _content(folder, beside)


def _content(folder: Path, blob: str) -> bytes | None:
    command = ["git", "-C", str(folder), "cat-file", "blob", blob]
    done = subprocess.run(
        command, capture_output=True, check=False, env={"PATH": "/usr/bin:/bin", "GIT_NO_LAZY_FETCH": "1"}
    )
    return done.stdout if done.returncode == 0 else None
