"""A folder of one process, and a lock of the operating system on it for as long as that process lives.

The kernel releases the lock when the process ends, also after ``kill -9``. A folder is known to be dead if its lock can
be had, and it was made under this very kernel and on this very mount: a lock says nothing about another machine that
shares the folder, nor about a second mount of a network's. A forked child shares the lock and removes nothing.
Knows nothing of stores, and follows no symlink.

Why: docs/decisions/0021-temporary-files-have-an-owner.md
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import re
import secrets
import shutil
import stat
import sys
import time
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final, Self

from artifact_store.process import Process, this_process
from artifact_store.storage.file_lock import try_lock
from artifact_store.storage.local.folders import is_link, modified

_OWNER: Final = "owner"
_FILES: Final = "files"
_NAME: Final = re.compile(r"[0-9a-f]{16}")
_RECORD: Final = 4096
_TRIES: Final = 16
_PAUSE: Final = 0.01
_UNREADY: Final = 60.0
"""Seconds after which a folder without a record is dead: its maker, if it is still at work, makes another one."""
_OPEN: Final = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class _State(Enum):
    ALIVE = "its process lives"
    DEAD = "its process is known to be gone"
    UNKNOWN = "its process cannot be asked for from here"
    FOREIGN = "it is not one of these folders, or another user's"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A folder that a process left behind, or may have left behind."""

    path: Path
    bytes: int
    since: datetime
    is_dead: bool
    """Its process is known to be gone; otherwise only its age tells."""


class OwnedFolder:
    """A new folder below ``parent``, which exists. ``path`` is where its files go; :meth:`remove` ends it.

    Raises:
        OSError: it cannot be made; ``FileNotFoundError`` if ``parent`` went away.
    """

    def __init__(self, parent: Path) -> None:
        self._home, self._descriptor = _made(parent)
        self.path = self._home / _FILES
        self._end = weakref.finalize(self, _end, self._home, self._descriptor, this_process())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the folder with all that is in it, as far as that can be done; in a forked child, leave it."""
        self._end()


def leftovers(*parents: Path) -> Iterator[Leftover]:
    """Yield the folders below ``parents`` whose process is not known to live."""
    for home in _folders(parents):
        with _examined(home) as state:
            if state in {_State.DEAD, _State.UNKNOWN}:
                with contextlib.suppress(OSError):  # removed meanwhile
                    yield Leftover(home, _size(home), modified(home.stat()), state is _State.DEAD)


def clear_dead(*parents: Path, most: int) -> None:
    """Remove folders below ``parents`` whose process is known to be gone: of ``most`` that are looked at, any."""
    homes = _folders(parents)
    for home in homes if len(homes) <= most else secrets.SystemRandom().sample(homes, most):
        remove_leftover(home, before=None)


def remove_leftover(home: Path, *, before: datetime | None) -> bool:
    """Remove a folder whose process is gone, or that is older than ``before`` and not known to live; tell whether."""
    with _examined(home) as state:
        is_over = state is _State.DEAD or (state is _State.UNKNOWN and before is not None and _is_older(home, before))
        if is_over:
            _empty(home)
    if is_over:
        _remove_home(home)
        with contextlib.suppress(OSError):  # it holds others
            home.parent.rmdir()
    return is_over and not os.path.lexists(home)


def is_private(folder: Path) -> bool:
    """Tell whether this is a folder and no link to one, which only this user can write to or look into."""
    found = os.lstat(folder)
    if is_link(found) or not stat.S_ISDIR(found.st_mode):
        return False
    return os.name != "posix" or (found.st_uid == os.geteuid() and not found.st_mode & 0o077)


# ---------------------------------------------------------------- making and removing one


def _made(parent: Path) -> tuple[Path, int]:
    for left in reversed(range(_TRIES)):
        home = parent / secrets.token_hex(8)
        home.mkdir(0o700)
        try:
            descriptor = os.open(home / _OWNER, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:  # another process cleared it away already, after a long pause of this one
            if not left:
                raise
            continue
        except BaseException:
            _remove_home(home)
            raise
        try:
            if _own(home, descriptor):
                return home, descriptor
        except BaseException:
            os.close(descriptor)
            _empty(home)
            _remove_home(home)
            raise
        os.close(descriptor)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(parent))


def _own(home: Path, descriptor: int) -> bool:
    """Lock the folder and record whose it is; tell whether it is still there then."""
    for _ in range(_TRIES):
        holds = try_lock(descriptor)
        if holds is not False:
            break
        time.sleep(_PAUSE)  # another process is looking at it
    excludes = False
    if holds:
        second = os.open(home / _OWNER, _OPEN)
        try:
            excludes = try_lock(second) is False
        finally:
            os.close(second)
    record = {"kernel": _kernel(), "mount": os.fstat(descriptor).st_dev, "excludes": excludes}
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(record).encode())
    try:
        (home / _FILES).mkdir(0o700)
        return (home / _OWNER).stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _end(home: Path, descriptor: int, maker: Process) -> None:
    try:
        if this_process() == maker:
            _empty(home)
    finally:  # also after Ctrl-C, or what is left could only be cleared once this process has ended
        with contextlib.suppress(OSError):  # nothing can be done about it; the lock ends with the process at the latest
            os.close(descriptor)  # never unlocked: that would take the lock from the parent of a fork as well
    if this_process() == maker:
        _remove_home(home)


def _empty(home: Path) -> None:
    with contextlib.suppress(OSError):  # it closes descriptors, and lets errors of that through
        shutil.rmtree(home / _FILES, ignore_errors=True)


def _remove_home(home: Path) -> None:
    with contextlib.suppress(OSError):  # gone already, or what is left in it is found again later
        if not os.path.lexists(home / _FILES):  # without the record of its owner it is not known for one of these
            (home / _OWNER).unlink(missing_ok=True)
            home.rmdir()


# ---------------------------------------------------------------- looking at others


def _folders(parents: Iterable[Path]) -> list[Path]:
    """Return the folders that may be some of these; none below a parent that is not there, or another user's."""
    found: list[Path] = []
    for parent in parents:
        with contextlib.suppress(OSError):  # it cannot be looked into, so nothing in it is ours
            if is_private(parent):
                with os.scandir(parent) as entries:
                    found += [Path(entry) for entry in entries if _NAME.fullmatch(entry.name)]
    return found


@contextlib.contextmanager
def _examined(home: Path) -> Iterator[_State]:
    """Yield what is known of the process of a folder, and keep others from examining it meanwhile."""
    state, descriptor = _State.FOREIGN, None
    with contextlib.suppress(OSError):  # it went away, cannot be opened, or is something else
        if _NAME.fullmatch(home.name) and is_private(home):
            late = time.time() - home.stat().st_mtime > _UNREADY
            state = _State.DEAD if late else _State.ALIVE
            descriptor = os.open(home / _OWNER, _OPEN)
    if descriptor is None:
        yield state
        return
    try:
        yield _state(descriptor, unready=state)
    finally:
        os.close(descriptor)


def _state(descriptor: int, *, unready: _State) -> _State:
    held = try_lock(descriptor)
    if held is False:
        return _State.ALIVE
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        record: Any = json.loads(os.read(descriptor, _RECORD))
        known = {"kernel": _kernel(), "mount": os.fstat(descriptor).st_dev, "excludes": True}
    except (OSError, ValueError):
        return unready
    return _State.DEAD if held and record == known else _State.UNKNOWN


def _is_older(home: Path, before: datetime) -> bool:
    try:
        return home.stat().st_mtime < before.timestamp()
    except OSError:  # another process, which may run on another machine, removed it meanwhile
        return False


def _size(folder: Path) -> int:
    found = (os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)  # noqa: PTH118 -- many
    total = 0
    for path in found:
        with contextlib.suppress(OSError):  # removed meanwhile
            total += os.lstat(path).st_size
    return total


def _kernel() -> str:
    """Return what no other running system has; without that, at least the name of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{sys.platform} {platform.node()}"
