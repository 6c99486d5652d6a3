"""Folders of the operating system, entered one by one without following a symlink.

POSIX works relative to open descriptors, so that no folder can be exchanged for a symlink between check and
use. Windows has no such calls: there every step is checked first, and sharing violations are waited out.
Knows paths and names, not keys; raises ``OSError`` as the system does, and :class:`Corrupt` for symlinks.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, TypeVar

from artifact_store.errors import ConditionsUnsupported, Corrupt
from artifact_store.storage.local.errors import in_use, translated

Result = TypeVar("Result")

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_SUCH_RENAME = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # a FIFO must not make open() wait for a writer
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
_LINK_TAGS = {0xA000000C, 0xA0000003}  # symlink and junction; other reparse points are files of a cloud drive
_PIECE = 1 << 20
_RETRY_SECONDS = 2.0
_REPLACE_SECONDS = 10.0  # against readers who come again and again, each of them for a moment
_LAST_TIME = 32_503_680_000.0  # the year 3000, where Windows stops to count


class PosixFolder:
    """One open folder, by its descriptor. Names are single segments; close it after use."""

    def __init__(self, root: Path, names: tuple[str, ...] = (), descriptor: int | None = None) -> None:
        self._root, self._names = root, names
        # without a descriptor this is the root, which alone may be reached through a symlink
        self._at = os.open(root, os.O_RDONLY | os.O_DIRECTORY) if descriptor is None else descriptor

    @property
    def path(self) -> Path:
        """Where it is; made when it is asked for, which reading does not."""
        return self._root.joinpath(*self._names)

    def enter(self, name: str) -> PosixFolder:
        """Open the folder ``name``; a symlink is ``Corrupt``, a file ``NotADirectoryError``."""
        try:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._at)
        except OSError as error:
            # which error a symlink gives differs between systems, so it is checked
            if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENOTDIR} and stat.S_ISLNK(self.look(name).st_mode):
                _refuse_link(self.path / name)
            raise
        return PosixFolder(self._root, (*self._names, name), below)

    def make(self, name: str) -> bool:
        """Make the folder ``name``, for its owner alone, unless it is there; return whether it was made."""
        return _made(lambda: os.mkdir(name, 0o700, dir_fd=self._at))

    def identity(self) -> tuple[int, int]:
        """Return what tells this folder from all others that exist now: device and inode."""
        found = os.fstat(self._at)
        return found.st_dev, found.st_ino

    def names(self, beginnings: tuple[str, ...] = ("",)) -> list[str]:
        """Return the names in this folder that begin so; one of a folder that can be entered ends in a slash."""
        with os.scandir(self._at) as entries:
            return [
                name + "/" if entry.is_dir(follow_symlinks=False) else name
                for entry in entries
                if (name := entry.name).startswith(beginnings)
            ]

    def look(self, name: str) -> os.stat_result:
        """Return what ``name`` itself is; a symlink is not followed."""
        return os.stat(name, dir_fd=self._at, follow_symlinks=False)

    def open(self, name: str) -> int:
        """Open a file for reading, at once whatever it is; the caller checks that."""
        return os.open(name, os.O_RDONLY | _NOFOLLOW | _NONBLOCK, dir_fd=self._at)

    def create(self, name: str) -> int:
        """Create a file for writing, for its owner alone; it must not exist."""
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600, dir_fd=self._at)

    def take(self, source: Path, name: str) -> int:
        """Give the file ``source`` a second name here, for its owner alone, and open it for writing.

        Raises:
            ConditionsUnsupported: it lies on another file system, or there are no hard links.
        """
        try:
            os.link(source, name, dst_dir_fd=self._at, follow_symlinks=False)
        except OSError as error:
            if error.errno not in {*_NO_HARD_LINKS, errno.EXDEV}:
                raise
            raise ConditionsUnsupported(f"{source} cannot have a second name in {self.path}: {error}") from error
        try:
            descriptor = os.open(name, os.O_WRONLY | _NOFOLLOW | _NONBLOCK, dir_fd=self._at)
            os.fchmod(descriptor, 0o600)
        except BaseException:
            self.remove(name)
            raise
        return descriptor

    def publish(self, temporary: str, name: str) -> None:
        """Give a file its name in one step, by a link; without hard links, by a rename that replaces nothing.

        ``temporary`` may be left as a second name.

        Raises:
            FileExistsError: the name is taken, and what it names is untouched.
            ConditionsUnsupported: the file system does not support it.
        """
        try:
            os.link(temporary, name, src_dir_fd=self._at, dst_dir_fd=self._at, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            _rename_new(self._at, temporary, name, self.path)

    def replace(self, temporary: str, name: str) -> None:
        """Give a file its name in one step, in place of what had it."""
        os.replace(temporary, name, src_dir_fd=self._at, dst_dir_fd=self._at)

    def remove(self, name: str) -> None:
        """Remove a name that is not a folder."""
        os.unlink(name, dir_fd=self._at)

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        os.rmdir(name, dir_fd=self._at)

    def sync(self) -> None:
        """Make the names in this folder survive a power cut."""
        flush(self._at)

    def close(self) -> None:
        """Close the folder."""
        close_quietly(self._at)


class PathFolder:
    """The same by its path: for Windows, where descriptors of folders do not exist.

    ``rename`` must fail if the target exists, as it does on Windows.
    """

    def __init__(self, path: Path, *, rename: Callable[[Path, Path], object] = os.rename) -> None:
        self.path = path
        self._rename = rename
        if not path.is_dir():
            code = errno.ENOTDIR if path.exists() else errno.ENOENT
            raise OSError(code, os.strerror(code), str(path))

    def enter(self, name: str) -> PathFolder:
        found = self.look(name)
        if is_link(found):
            _refuse_link(self.path / name)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self.path / name))
        return PathFolder(self.path / name, rename=self._rename)

    def make(self, name: str) -> bool:
        return _made(lambda: (self.path / name).mkdir(mode=0o700))

    def identity(self) -> tuple[int, int]:
        """Return volume and file number."""
        found = self.path.stat()
        return found.st_dev, found.st_ino

    def names(self, beginnings: tuple[str, ...] = ("",)) -> list[str]:
        """Return the names in this folder that begin so; a junction is a name, not a folder."""

        def look() -> list[str]:
            with os.scandir(self.path) as entries:
                found = [entry for entry in entries if entry.name.startswith(beginnings)]
                return [entry.name + "/" * _can_be_entered(entry) for entry in found]

        return retry_while_in_use(look)  # one that is just being removed is in use, and then gone

    def look(self, name: str) -> os.stat_result:
        return retry_while_in_use(lambda: os.lstat(self.path / name))

    def open(self, name: str) -> int:
        return retry_while_in_use(lambda: os.open(self.path / name, os.O_RDONLY | _BINARY | _NOFOLLOW | _NONBLOCK))

    def create(self, name: str) -> int:
        return os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)

    def take(self, source: Path, name: str) -> int:
        """Raise ``ConditionsUnsupported``: Windows renames no file that has a second name which is open."""
        raise ConditionsUnsupported(f"{source} cannot have a second name in {self.path}, {name}")

    def publish(self, temporary: str, name: str) -> None:
        """Rename the file, which fails if the name is taken."""
        retry_while_in_use(lambda: self._rename(self.path / temporary, self.path / name))

    def replace(self, temporary: str, name: str) -> None:
        """Rename the file over what has its name, as soon as it is not open anywhere."""
        retry_while_in_use(lambda: (self.path / temporary).replace(self.path / name), seconds=_REPLACE_SECONDS)

    def remove(self, name: str) -> None:
        """Remove a name, as soon as it is not open anywhere."""
        retry_while_in_use((self.path / name).unlink)

    def remove_folder(self, name: str) -> None:
        (self.path / name).rmdir()

    def sync(self) -> None:
        """Do nothing: Windows cannot flush a folder."""

    def close(self) -> None:
        """Do nothing: a path is not held open."""


Folder = PosixFolder | PathFolder


def open_root(path: Path) -> Folder:
    """Open the root folder, which must exist; only here may a symlink lead."""
    return PathFolder(path) if os.name == "nt" else PosixFolder(path)


def descend(folder: Folder, names: Iterable[str], step: Callable[[Folder, str], Folder]) -> Folder:
    """Go down from ``folder``, one ``step`` a name, with one folder open at a time; return the last one."""
    for name in names:
        with contextlib.closing(folder):
            folder = step(folder, name)
    return folder


def make_root(path: Path) -> None:
    """Make the root folder and those above it, each of them durable, and each for its owner alone."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        # before the mkdir: Windows would not say that it is a file
        with contextlib.closing(open_root(folder.parent)) as parent:
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            parent.sync()


def flush(descriptor: int) -> None:
    """Write through to the disk itself, beyond the caches of the system and, on macOS, of the drive."""
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # not every file system there has it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def pieces_of_file(descriptor: int, path: Path | str, most: int) -> Iterator[bytes]:
    """Yield what an open file holds, up to ``most`` bytes."""
    while most:
        with translated(path):
            piece = os.read(descriptor, min(most, _PIECE))
        if not piece:
            return
        most -= len(piece)
        yield piece


def close_quietly(descriptor: int) -> None:
    """Close a descriptor through which nothing was written; that this failed says nothing about what was read."""
    with contextlib.suppress(OSError):  # a read-only descriptor is gone all the same
        os.close(descriptor)


def is_link(found: os.stat_result) -> bool:
    """Return whether this is a symlink, or the junction that Windows has besides."""
    return stat.S_ISLNK(found.st_mode) or getattr(found, "st_reparse_tag", 0) in _LINK_TAGS


def modified(found: os.stat_result) -> datetime:
    """Return when a file was written last: a foreign one may have any time, and must not stop a listing."""
    return datetime.fromtimestamp(min(max(found.st_mtime, 0.0), _LAST_TIME), UTC)


def retry_while_in_use(
    step: Callable[[], Result],
    *,
    seconds: float = _RETRY_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Repeat ``step`` for up to ``seconds`` while another program has the file open on Windows."""
    until, pause = clock() + seconds, 0.001
    while True:
        try:
            return step()
        except PermissionError as error:
            if not in_use(error) or clock() + pause > until:
                raise
        sleep(pause)
        pause = min(pause * 2, 0.02)  # short: between busy readers the file is free for a moment only


def _made(make: Callable[[], None]) -> bool:
    try:
        make()
    except FileExistsError:
        return False
    return True


def _can_be_entered(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) and not is_link(entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _refuse_link(path: Path) -> NoReturn:
    raise Corrupt(
        f"{path} is a symlink or a junction, and none is followed below the root of a store: put the real files there"
    )


def _rename_new(at: int, temporary: str, name: str, folder: Path) -> None:
    """Rename without replacing: renameat2(2) of Linux, renameatx_np(2) of macOS."""
    import ctypes

    function, flag = ("renameatx_np", 4) if sys.platform == "darwin" else ("renameat2", 1)
    rename = getattr(ctypes.CDLL(None, use_errno=True), function, None)
    if rename is not None:
        if rename(at, os.fsencode(temporary), at, os.fsencode(name), flag) == 0:
            return
        code = ctypes.get_errno()
        if code not in _NO_SUCH_RENAME:
            raise OSError(code, os.strerror(code), str(folder / name))
    raise ConditionsUnsupported(
        f"the file system of {folder} has neither hard links nor a rename that replaces nothing,"
        " so nothing can be created there without a race. Use another disk"
    )
