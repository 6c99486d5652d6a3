"""Folders and files that only their owner can write to, whatever the umask: what was compared is what is read.

Others may read what a user copies to a place of their own, as far as the umask lets them. Removes and replaces nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o700
"""For the owner alone, to read as well."""
_READABLE = 0o755
_FILE = 0o644
_OTHERS_WRITE = 0o022


def make_folder(path: Path, mode: int = _READABLE) -> None:
    """Make a folder, and those above it that are missing; one that is there stays as it is.

    Raises:
        FileExistsError: there is something else.
    """
    for folder in reversed([each for each in path.parents if not each.exists()]):
        folder.mkdir(mode=mode, exist_ok=True)
    path.mkdir(mode=mode, exist_ok=True)


def create(path: Path, mode: int = _FILE) -> BinaryIO:
    """Open a new file for writing.

    Raises:
        FileExistsError: there is something of this name, be it a link that leads nowhere.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, mode), "wb")


def keep_others_from_writing(folder: Path) -> None:
    """Remove the write permission of group and others, for a folder of our own and all in it."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~_OTHERS_WRITE)
