"""The folder of a cache: what is in it, how much room that takes, and what goes first when there is too little.

Below the folder are ``{first two digits}/{sha256}`` for files, ``seen/{sha256}`` for documents, ``tmp/`` for what is
being written, and ``usage``, a line that says how many bytes are there. Whoever adds a file takes the lock on ``usage``
for a moment, adds its size first, and if that is too much removes what was used longest ago. So the limit holds among
processes, and a process that dies leaves a sum that is too high, which the next look at the folder puts right; each
process looks once, before it adds its first file. The time of a file is that of its last use.

Nothing is synced to the disk: readers compare all they take. A file that is removed stays as it is for those who have
it open; on Windows, where it cannot be removed then, another one goes. Anything else in the folder is left alone.

Why: docs/decisions/0029-the-cache.md
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, Literal

from artifact_store import private_files
from artifact_store.storage.file_lock import try_lock, unlock
from artifact_store.storage.local.folders import is_link, modified

SEEN: Final = "seen"
_TEMPORARY: Final = "tmp"
_USAGE: Final = "usage"
_PART: Final = re.compile(r"[0-9a-f]{2}")
_NAME: Final = re.compile(r"[0-9a-f]{64}")
_UNFINISHED: Final = re.compile(r"[0-9a-f]{16}-([0-9]{1,15})")
_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_LINE: Final = 128
_PATIENCE: Final = 0.2
"""Seconds to wait for the lock, which is held for a moment; a file is rather not kept than waited for."""
_POLL: Final = 0.002
_OLD: Final = 86_400.0
"""Seconds after which an unfinished file is dead where there are no locks."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One file of a cache."""

    path: Path
    kind: Literal["file", "document"]
    bytes: int
    used_at: datetime
    """When it was read or written last; of a document, when it was seen last in the store (aware, UTC)."""

    @property
    def sha256(self) -> str:
        """The digest of a file, which is its name; that of a document is the digest of where it is stored."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class Usage:
    """How many bytes a cache holds, and the limit of the client that added a file last."""

    bytes: int
    limit: int | None


class CacheFolder:
    """The folder, which holds ``limit`` bytes at most; it is made with the first file, for its owner only."""

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.path, self.limit = path, limit
        self._has_looked = False
        self._is_stuck = False

    def place(self, kind: Literal["file", "document"], name: str) -> Path:
        """Return where a file or document of this name is."""
        return self.path / (name[:2] if kind == "file" else SEEN) / name

    # ------------------------------------------------------------ reading

    def open(self, path: Path) -> BinaryIO:
        """Open a file of the cache for reading; ``OSError`` if it is none, or is reached by a link."""
        _check_folder(path.parent)
        return _plain(path)

    def touch(self, path: Path) -> bool:
        """Say that a file is used now; tell whether it is there. Nothing of it is written, and nothing synced."""
        with suppress(OSError):  # it is not there, or may not be touched
            _check_folder(path.parent)
            if stat.S_ISREG(os.lstat(path).st_mode):
                os.utime(path)
                return True
        return False

    def used_at(self, path: Path) -> datetime:
        """Return when a file was used last. Raises ``OSError`` if it is not there."""
        return modified(os.lstat(path))

    def entries(self) -> list[CacheEntry]:
        """Return what is there, in no order: one listing of each folder. Raises ``OSError`` if it cannot be listed."""
        found = []
        for folder in _children(self.path):
            kind: Literal["file", "document"] = "document" if folder.name == SEEN else "file"
            if not (kind == "document" or _PART.fullmatch(folder.name)) or not _is_folder(folder):
                continue
            for each in _children(folder.path):
                if _NAME.fullmatch(each.name) and (kind == "document" or each.name.startswith(folder.name)):
                    with suppress(FileNotFoundError):  # removed meanwhile
                        status = each.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            found.append(CacheEntry(Path(each.path), kind, status.st_size, modified(status)))
        return found

    def usage(self) -> Usage | None:
        """Return what was recorded last, if anything was."""
        with suppress(OSError), _plain(self.path / _USAGE) as file:  # nothing was recorded
            return _parsed(file.read(_LINE))
        return None

    # ------------------------------------------------------------ writing

    def write(self, target: Path, size: int, fill: Callable[[BinaryIO], object]) -> bool:
        """Add a file of ``size`` bytes, which ``fill`` writes, if there is room; tell whether it was added.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        if self.limit is not None and size > self.limit:
            return False
        for folder in (target.parent, self.path / _TEMPORARY):
            try:
                _check_folder(folder)
            except FileNotFoundError:
                private_files.make_folder(folder, private_files.PRIVATE)
        begun = self._begin(size)
        if begun is None:
            return False
        temporary, sink = begun
        try:
            with sink:
                fill(sink)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def remove(self, path: Path) -> bool:
        """Remove a file of the cache; tell whether it is gone. On Windows one that is open somewhere is not."""
        try:
            _check_folder(path.parent)
            path.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _begin(self, size: int) -> tuple[Path, BinaryIO] | None:
        """Reserve the room and open a file for it, locked as long as it is written; ``None``: it is not kept."""
        with self._lock() as usage:
            if usage is None:
                if self.limit is not None:
                    return None
                with suppress(OSError):  # so that the next one counts again
                    (self.path / _USAGE).unlink(missing_ok=True)
                return self._new(size)
            known = _read(usage) if self._has_looked else None
            total = None if known is None else known.bytes
            if total is None or (self.limit is not None and total + size > self.limit):
                total = self._make_room(size)
                self._has_looked = True
            fits = self.limit is None or total + size <= self.limit
            _write(usage, Usage(total + size if fits else total, self.limit))
            return self._new(size) if fits else None

    def _new(self, size: int) -> tuple[Path, BinaryIO]:
        path = self.path / _TEMPORARY / f"{secrets.token_hex(8)}-{size}"
        file = private_files.create(path, 0o600)
        try_lock(file.fileno())
        return path, file

    def _make_room(self, size: int) -> int:
        """Return how many bytes are there, after removing what was used longest ago if ``size`` more were too many.

        A tenth of the limit is freed beyond, so that a full cache is not listed for each file.
        """
        unfinished = self.clear_unfinished()  # first: what is renamed meanwhile counts twice, and never not at all
        entries = self.entries()
        total = unfinished + sum(entry.bytes for entry in entries)
        if self.limit is None or total + size <= self.limit:
            return total
        goal = max(self.limit * 9 // 10, size)
        for entry in sorted(entries, key=lambda entry: entry.used_at):
            if total + size <= goal:
                break
            total -= entry.bytes if self.remove(entry.path) else 0
        return total

    def clear_unfinished(self) -> int:
        """Return how much room was reserved for files that are being written; those of dead processes are removed."""
        total = 0
        for each in _children(self.path / _TEMPORARY):
            match = _UNFINISHED.fullmatch(each.name)
            if match is not None and not _is_dead(Path(each.path)):
                total += int(match[1])
        return total

    @contextmanager
    def _lock(self) -> Iterator[int | None]:
        """Yield the open file ``usage``, locked, or ``None`` if another process does not let it go."""
        until = time.monotonic() + (0.0 if self._is_stuck else _PATIENCE)
        while (descriptor := _locked(self.path / _USAGE)) is None and time.monotonic() < until:
            time.sleep(_POLL)
        self._is_stuck = descriptor is None
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                with suppress(OSError):  # there are no locks here
                    unlock(descriptor)  # a process that was forked meanwhile must not hold it for ever
                os.close(descriptor)


def _plain(path: Path) -> BinaryIO:
    file = os.fdopen(os.open(path, os.O_RDONLY | _FLAGS), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileNotFoundError(str(path))
    return file


def _locked(path: Path) -> int | None:
    """Return a file, open and locked, where no other one has the lock; where there are no locks, all the same."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
    with suppress(OSError):  # it was removed meanwhile
        if try_lock(descriptor) is not False and os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    os.close(descriptor)
    return None


def _is_dead(path: Path) -> bool:
    """Tell whether nobody writes this file any more; it is then removed."""
    try:
        descriptor = os.open(path, os.O_RDWR | _FLAGS)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        held = try_lock(descriptor)
        if held is False or (held is None and time.time() - os.fstat(descriptor).st_mtime < _OLD):
            return False
    finally:
        os.close(descriptor)
    with suppress(OSError):  # it stays, and counts
        path.unlink(missing_ok=True)
        return True
    return False


def _read(descriptor: int) -> Usage | None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return _parsed(os.read(descriptor, _LINE))


def _write(descriptor: int, usage: Usage) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    line = json.dumps({"bytes": usage.bytes, "limit": usage.limit})
    os.write(descriptor, f"{line:{_LINE - 1}}\n".encode())  # one piece of the same length each time


def _parsed(line: bytes) -> Usage | None:
    try:
        found = json.loads(line)
        total, limit = found["bytes"], found["limit"]
    except (ValueError, TypeError, KeyError):
        return None
    is_sound = type(total) is int and total >= 0 and (limit is None or (type(limit) is int and limit > 0))
    return Usage(total, limit) if is_sound else None


def _children(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not is_link(entry.stat(follow_symlinks=False))


def _check_folder(folder: Path) -> None:
    """Raise ``NotADirectoryError`` unless this is a folder of the cache, and no link to somewhere else."""
    found = os.lstat(folder)
    if is_link(found) or not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(str(folder))
