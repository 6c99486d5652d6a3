"""A disk that fails on demand: the calls to the operating system below one folder, counted, named, and made to fail.

The calls are intercepted where Python makes them, in the modules ``os``, ``fcntl`` and ``io``, and executed for real unless
a strike is due. Which file a descriptor belongs to is remembered, so that a call by descriptor has a name as well.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tests.proofs.matrix.bench import Aim

BY_PATH = ("open", "mkdir", "link", "rename", "replace", "unlink", "remove", "rmdir", "stat", "lstat", "scandir")
BY_DESCRIPTOR = ("read", "write", "fsync", "fstat", "close", "fchmod")
CHANGES = frozenset({"create", "mkdir", "link", "rename", "replace", "unlink", "remove", "rmdir", "write", "fsync"})
_RANDOM = re.compile(
    r"(?<=\.tmp-)(?:probe-)?[0-9a-f]+|(?<=_probe/)[0-9a-f]+|(?<=_locks/)[0-9a-f]+(?=\.lock)|(?<=\.tmp-staging/)[0-9a-f]+"
)


class FaultyDisk:
    """What happens below ``root`` while it is in force, by a plan whose strikes make an errno or kill the process."""

    def __init__(self, root: Path, aim: Aim) -> None:
        self._root = str(root)
        self.aim = aim
        self._names: dict[int, str] = {}
        self._lock = threading.RLock()

    @contextmanager
    def in_force(self) -> Iterator[None]:
        with mock.patch.multiple(os, **{name: self._by_path(name, getattr(os, name)) for name in BY_PATH}), \
             mock.patch.multiple(os, **{name: self._by_descriptor(name, getattr(os, name)) for name in BY_DESCRIPTOR}), \
             mock.patch.object(fcntl, "flock", self._by_descriptor("flock", fcntl.flock)), \
             mock.patch.object(io, "open", self._reading(io.open)), \
             mock.patch.object(builtins, "open", self._reading(builtins.open)):  # fmt: skip
            yield

    def _place(self, path: Any, at: int | None) -> str | None:
        """The name below the root, the same in every run, or ``None`` for what is not below it."""
        if isinstance(path, int):
            return self._names.get(path)
        named = os.fsdecode(path)
        if at is not None:
            folder = self._names.get(at)
            return None if folder is None else _RANDOM.sub("*", f"{folder}/{named}".strip("/"))
        if named != self._root and not named.startswith(f"{self._root}/"):
            return None
        return _RANDOM.sub("*", named[len(self._root) :].strip("/"))

    def _by_path(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(path: Any, *arguments: Any, **options: Any) -> Any:
            at = options.get("dir_fd", options.get("src_dir_fd"))
            place = self._place(path, at)
            if place is None:
                return call(path, *arguments, **options)
            flags = arguments[0] if name == "open" and arguments else 0
            self._strike("create" if flags & os.O_CREAT else name, place)
            made = call(path, *arguments, **options)
            if name == "open":
                with self._lock:
                    self._names[made] = place
            return made

        return wrapped

    def _by_descriptor(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(descriptor: Any, *arguments: Any, **options: Any) -> Any:
            place = self._names.get(descriptor)
            if place is None:
                return call(descriptor, *arguments, **options)
            if name == "close":
                with self._lock:
                    self._names.pop(descriptor, None)
                call(descriptor)  # a descriptor whose close fails is gone all the same
                self._strike(name, place)
                return None
            if name == "flock" and arguments and arguments[0] & fcntl.LOCK_UN:
                self._strike("unlock", place)
            elif name == "write":
                self._strike(name, place, lambda: call(descriptor, arguments[0][: len(arguments[0]) // 2]))
            else:
                self._strike(name, place)
            return call(descriptor, *arguments, **options)

        return wrapped

    def _reading(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """``open`` of Python itself, by which codecs read the files of a local store in place."""

        def wrapped(path: Any, *arguments: Any, **options: Any) -> Any:
            place = None if isinstance(path, int) else self._place(path, None)
            if place is not None:
                self._strike("open", place)
            return call(path, *arguments, **options)

        return wrapped

    def _strike(self, what: str, place: str, half: Callable[[], object] = lambda: None) -> None:
        with self._lock:
            strike = self.aim.at(what, place)
        if strike is None:
            return
        code = strike.fault.make
        if code == signal.SIGKILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if strike.fault.sticky and why_not(code, what):
            return
        half()
        raise OSError(code, os.strerror(code), place)


_OF = {
    errno.ENOSPC: ({"create", "mkdir", "link", "rename", "replace", "write", "fsync"}, "it takes no room"),
    errno.EACCES: (
        {"create", "open", "mkdir", "link", "rename", "replace", "unlink", "remove", "rmdir", "stat", "lstat", "scandir"},
        "what is open already needs no permission",
    ),
    errno.EROFS: (
        {"create", "mkdir", "link", "rename", "replace", "unlink", "remove", "rmdir"},
        "it changes nothing on the disk, or what is open for writing keeps it writable",
    ),
    errno.EMFILE: ({"create", "open", "scandir"}, "it needs no new descriptor"),
    errno.EIO: (
        {"create", "open", "mkdir", "link", "rename", "replace", "unlink", "remove", "rmdir", "stat", "lstat", "scandir",
         "read", "write", "fsync", "fstat", "close", "fchmod"},
        "a lock on a local disk asks no device",
    ),
    signal.SIGKILL: (CHANGES, "it changes nothing"),
}  # fmt: skip


def why_not(code: int, what: str) -> str:
    """Why a call is never answered so; empty if it may be."""
    calls, why = _OF[code]
    return "" if what in calls else why
