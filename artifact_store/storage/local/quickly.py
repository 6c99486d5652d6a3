"""Small files and folders read in a few calls of the system: what a look at many runs is made of.

Only what is as it should be is read here: reached through folders, none of them a symlink. For anything else there is
the long way, which says what is wrong; so nothing is refused or reported here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from artifact_store.storage.local.paths import Parts

LARGEST: Final = 1 << 20
"""Bytes of a file that is read here."""
Names = list[tuple[str, os.stat_result | None]]
"""Names in a folder, in key order, each with what it is; one without is a folder that can be entered."""

_CAN: Final = {os.open, os.stat} <= os.supports_dir_fd and os.scandir in os.supports_fd
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def read(root: str, parts: Parts, most: int) -> bytes | None:
    """Return what the file at ``parts`` below ``root`` holds; ``None``: look at it the long way.

    ``None`` as well where it has more than ``most`` bytes, or the system has no folders by descriptor.
    """
    try:
        return _content(_opened(root, parts), min(most, LARGEST)) if _CAN else None
    except OSError:
        return None


def names_in(root: str, parts: Parts, beginning: str = "") -> Names | None:
    """Return the folders in a folder, and its other names that begin so; ``None``: look into it the long way."""
    try:
        return _names(_entered(root, parts), beginning) if _CAN else None
    except OSError:
        return None


def folders(root: str, parts: Parts, beginnings: tuple[str, ...]) -> list[str] | None:
    """Return the folders in a folder that begin so, in any order; ``None``: look into it the long way."""
    if not (_CAN and all(beginning[:1].isalnum() for beginning in beginnings)):  # others may be the backend's own
        return None
    try:
        return _folders(_entered(root, parts), beginnings)
    except OSError:
        return None


def in_key_order(name: str, found: os.stat_result | None) -> str:
    """Return how a name sorts: the slash of a folder counts, so ``a-b/`` and ``a.json`` come before ``a/``."""
    return name if found is not None else f"{name}/"


def walk(scan: Callable[[Parts], Names], top: Parts) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield the folder with a slash, the name, and the stat of everything but folders below ``top``, in key order."""
    pending = [(top, iter(scan(top)))]  # not recursive: a foreign tree may be deep
    while pending:
        parts, names = pending[-1]
        prefix = "/".join((*parts, ""))
        for name, found in names:
            if found is None:
                below = (*parts, name)
                pending.append((below, iter(scan(below))))
                break
            yield prefix, name, found
        else:
            pending.pop()


def _entered(root: str, folders: Parts) -> int:
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in folders:
            below = os.open(name, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
    except BaseException:
        os.close(at)
        raise
    return at


def _opened(root: str, parts: Parts) -> int:
    at = _entered(root, parts[:-1])
    try:
        # before it is opened, since opening alone does something to a device, and again afterwards
        if not stat.S_ISREG(os.stat(parts[-1], dir_fd=at, follow_symlinks=False).st_mode):
            raise OSError
        return os.open(parts[-1], _FILE, dir_fd=at)
    finally:
        os.close(at)


def _content(file: int, most: int) -> bytes | None:
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            return None
        data = os.read(file, found.st_size + 1)
        return data if len(data) == found.st_size else None  # else it grows or shrinks at this moment
    finally:
        os.close(file)


def _names(folder: int, beginning: str) -> Names:
    try:
        with os.scandir(folder) as entries:
            found = [
                (entry.name, None if is_folder else entry.stat(follow_symlinks=False))
                for entry in entries
                if (is_folder := entry.is_dir(follow_symlinks=False)) or entry.name.startswith(beginning)
            ]
    finally:
        os.close(folder)
    return sorted(found, key=lambda named: in_key_order(*named))


def _folders(folder: int, beginnings: tuple[str, ...]) -> list[str]:
    letters = frozenset(beginnings) if max(map(len, beginnings)) == 1 else frozenset()
    try:
        with os.scandir(folder) as entries:
            return [
                name
                for entry in entries
                if (name := entry.name)[0] in letters or (not letters and name.startswith(beginnings))
                if entry.is_dir(follow_symlinks=False)
            ]
    finally:
        os.close(folder)
