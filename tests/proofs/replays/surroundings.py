"""What lies around a store: photographed before a replay, and compared afterwards."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Picture = dict[str, str]


def photograph(folder: Path) -> Picture:
    """Return everything below a folder by name: its kind and rights, and what it holds or where it leads."""
    found: Picture = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            what = f"-> {path.readlink()}"
        elif stat.S_ISREG(status.st_mode):
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            what = ""
        found[path.relative_to(folder).as_posix()] = f"{stat.filemode(status.st_mode)} {what}"
    return found


@contextmanager
def untouched(*folders: Path) -> Iterator[None]:
    """Fail if anything in these folders is another one afterwards: made, removed, changed, or given other rights."""
    before = [photograph(folder) for folder in folders]
    yield
    for folder, picture in zip(folders, before, strict=True):
        assert photograph(folder) == picture
