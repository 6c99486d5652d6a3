"""Locks of the operating system, on files in ``_locks/`` that are never removed.

A lock ends with its holder: after ``kill -9`` the next one gets it at once. There is one lock per stripe of keys,
256 in all, so that they stay few however many keys come and go. Not guaranteed here: that the file system honours
locks at all. :func:`hold_here` finds out.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from artifact_store.errors import ConditionsUnsupported, Corrupt, LockHeld
from artifact_store.storage.local.folders import is_link

FOLDER = "_locks"
_NAME = re.compile(r"[0-9a-f]{2}\.lock")
_POLL = 0.005
_OPTIONS: dict[str, Any] = {
    # Newer releases can be told to leave the file alone and never to emulate. Older ones are checked afterwards.
    name: value
    for name, value in {"preserve_lock_file": True, "fallback_to_soft": False}.items()
    if name in inspect.signature(filelock.BaseFileLock.__init__).parameters
}


def is_lock(name: str) -> bool:
    """Tell whether a name in the folder of locks is that of one."""
    return _NAME.fullmatch(name) is not None


def path_for(root: Path, key: str) -> Path:
    """Return the lock file of ``key``; some other keys share it."""
    return root / FOLDER / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:2]}.lock"


@contextlib.contextmanager
def held(root: Path, key: str, *, timeout: float) -> Iterator[None]:
    """Hold the lock of ``key``. ``root`` exists; the folder of locks is made.

    Raises:
        LockHeld: a living process kept it for ``timeout`` seconds; the message names the file.
        Corrupt: the lock, or the folder of locks, is something else than it should be, such as a symlink.
        ConditionsUnsupported: the operating system or file system does not support locks, or they are on a mount.
    """
    path = path_for(root, key)
    _make_folder(path.parent)
    _refuse_anything_but_a_file(path)
    lock = _lock(path)
    begun = time.monotonic()
    try:
        lock.acquire(timeout=timeout)
    except filelock.Timeout as error:
        waited = time.monotonic() - begun
        raise LockHeld(
            f"another process has held the lock {path} for all of the {waited:.1f} s that this one waited to write"
            f" {key!r}; nothing was written. Find out what hangs; do not remove the file"
        ) from error
    try:
        _refuse_emulation(lock, path)
        yield
    finally:
        lock.release()


def hold_here(root: Path) -> bool:
    """Return whether a lock in this folder keeps a second one out, tried on a throw-away file."""
    folder = root / FOLDER
    _make_folder(folder)
    path = folder / f".tmp-probe-{secrets.token_hex(8)}"
    first, second = _lock(path), _lock(path)
    try:
        with first.acquire(timeout=0):
            _refuse_emulation(first, path)
            try:
                second.acquire(timeout=0)
            except filelock.Timeout:
                return True
            second.release()
            return False
    except (ConditionsUnsupported, NotImplementedError):
        return False
    finally:
        with contextlib.suppress(OSError):  # a name of our own that nothing else reads
            path.unlink()


def _lock(path: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(path, mode=0o600, poll_interval=_POLL, **_OPTIONS)


def _refuse_emulation(lock: filelock.BaseFileLock, path: Path) -> None:
    # A "soft" lock is a file that exists: it outlives a killed holder, and all later ones hang.
    if isinstance(lock, filelock.SoftFileLock):
        lock.release()
        raise ConditionsUnsupported(
            f"the file system of {path.parent} does not support locks, so conditional writes are not possible"
        )


def _make_folder(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = os.lstat(folder)
    if is_link(found) or not stat.S_ISDIR(found.st_mode):
        raise Corrupt(f"{folder} is not a folder of its own (perhaps a symlink): nothing below it is locked or written")
    if found.st_dev != folder.parent.stat().st_dev:
        raise ConditionsUnsupported(
            f"{folder} is a mount of its own: a writer that does not see it, such as one in another container, would "
            "not be kept out by the locks in it. Nothing was written. Unmount it"
        )


def _refuse_anything_but_a_file(path: Path) -> None:
    # filelock itself opens with O_NOFOLLOW; this says what is wrong, and covers platforms without that flag
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise Corrupt(
            f"the lock {path} is not a plain file (perhaps a symlink): it is not followed, and nothing was written"
        )
