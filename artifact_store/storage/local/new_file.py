"""A file on its way to its name: written beside the target, flushed, and then named in one step.

A failure at any moment leaves what had the name before, untouched. Owns the making of the folders that it needs, too.
Knows names, not what the bytes mean.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from artifact_store.errors import Corrupt, NotAStore, OutcomeUnknown, PreconditionFailed
from artifact_store.storage.local.errors import translated
from artifact_store.storage.local.folders import Folder, descend, flush, is_link, make_root, open_root

TEMPORARY = ".tmp-"
STAGING = f"{TEMPORARY}staging"
"""The folder at the root in which files wait to be adopted."""
_TRIES = 16
_MOUNTED = {errno.EBUSY, errno.EXDEV}  # what a rename says of a place where something is mounted
_REMEMBERED = 10_000
_LARGEST_STEP = 1 << 26  # some systems refuse to write 2 GiB at once


class Judge(Protocol):
    """Says whether a write may go on in a folder on another device than the one above it."""

    def __call__(self, folder: Path, *, conditional: bool) -> None:
        """Raise if it may not."""


class NewFile:
    """A file without a name of its own yet: a new one, or a second name of ``source`` on the same file system.

    It holds its folder open meanwhile, so that it cannot be exchanged.
    """

    def __init__(
        self, folder: Folder, name: str, *, key: str, source: Path | None = None, settle: Callable[[Folder], None]
    ) -> None:
        self._folder, self._name, self._key, self._settle = folder, name, key, settle
        self._path = folder.path / name
        self._called = f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            self._descriptor: int | None = (
                folder.create(self._called) if source is None else folder.take(source, self._called)
            )
        except BaseException:
            folder.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close everything; a file that did not get its name is removed."""
        with contextlib.suppress(OSError):  # the failure that led here is the one to report
            if self._descriptor is not None:
                os.close(self._descriptor)
        with contextlib.suppress(OSError):  # gone already if it got its name
            self._folder.remove(self._called)
        self._folder.close()

    def append(self, data: bytes) -> None:
        """Write all of ``data``."""
        assert self._descriptor is not None
        left = memoryview(data)
        with translated(self._path):
            while left:
                left = left[os.write(self._descriptor, left[:_LARGEST_STEP]) :]

    def flush(self) -> None:
        """Make the bytes survive a power cut, and close the file, which Windows would not rename otherwise."""
        if self._descriptor is None:
            return
        with translated(self._path):
            flush(self._descriptor)
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def publish_new(self) -> None:
        """Take the name if it is free.

        Raises:
            PreconditionFailed: it is taken.
            ConditionsUnsupported: the file system does not support it.
            OutcomeUnknown: as for :meth:`replace`.
        """
        self.flush()
        with translated(self._path):
            try:
                self._folder.publish(self._called, self._name)
            except FileExistsError as error:
                raise PreconditionFailed(self._key, f"{self._path} is there already, and was left alone") from error
        with contextlib.suppress(OSError):  # gone already if it was renamed; a second name that stays does no harm
            self._folder.remove(self._called)
        self._sync_name()

    def replace(self) -> None:
        """Take the name from whatever plain file has it.

        Raises:
            Corrupt: something else has it, such as a symlink or a mount; it is neither followed nor replaced.
            OutcomeUnknown: it has the name, and may lose it in a power cut.
        """
        self.flush()
        with translated(self._path):
            with contextlib.suppress(FileNotFoundError):
                refuse_anything_but_a_file(self._folder, self._name, key=self._key)
            try:
                self._folder.replace(self._called, self._name)
            except OSError as error:
                if error.errno not in _MOUNTED:
                    raise
                message = f"something is mounted over {self._path}, so it cannot be replaced: unmount it"
                raise Corrupt(message, key=self._key) from error
        self._sync_name()

    def _sync_name(self) -> None:
        # Reading it back would find it, so no error may be raised that is settled by reading back.
        try:
            self._settle(self._folder)
        except OSError as error:
            raise OutcomeUnknown(
                f"{self._path} is written, and the disk did not confirm that it survives a power cut "
                f"({error.strerror or error}). Nothing was cleaned up; look after the disk, then at the file",
                key=self._key,
            ) from error


class NewFiles:
    """Makes the files that are on their way to a name below ``root``, with all folders that they need.

    Where the way leads to another device, ``judge`` is asked before anything is made there. A file is made in the
    folder of its name, so it never has to be moved from one device to another.

    The names of new folders, and of files that may be settled ``later``, are not durable yet: :meth:`settle` makes them
    so, each folder at once for all names in it. It comes before the name of a file that says that the others are there.
    """

    def __init__(self, root: Path, judge: Judge) -> None:
        self._root, self._judge = root, judge
        # folders whose own names were flushed by this instance or will be, so that each is flushed once
        self._settled: set[tuple[int, int]] = set()
        # which folders hold names that are not durable yet, under a key for each time that one was written
        self._unsettled: dict[object, tuple[str, ...]] = {}

    def settle(self) -> None:
        """Make every name durable that was written before; other threads may do the same."""
        written = list(self._unsettled.items())
        for parts in dict.fromkeys(parts for _, parts in written):
            gone = contextlib.suppress(FileNotFoundError)  # a deletion took it away, and what was in it
            with gone, translated(self._root.joinpath(*parts), absence=True):
                self._sync(parts)
        for key, _ in written:
            self._unsettled.pop(key, None)

    def _sync(self, parts: tuple[str, ...]) -> None:
        """Flush a folder, which was judged when it was written to."""
        with contextlib.closing(self._down(parts, lambda above, name: above.enter(name), conditional=False)) as folder:
            folder.sync()

    def _later(self, folder: Folder) -> None:
        self._unsettled[object()] = folder.path.relative_to(self._root).parts

    def beside(
        self, parts: tuple[str, ...], *, conditional: bool, source: Path | None = None, later: bool = False
    ) -> NewFile:
        """Create a file beside the one that it is to become, or give ``source`` a second name there.

        It takes its name on a condition or on none, and the name is durable then, or ``later``.

        Raises:
            NotAStore: the root is not a folder.
            Corrupt: there is a file where it needs a folder.
        """
        target, key = self._root.joinpath(*parts), "/".join(parts)
        with translated(target):
            for left in reversed(range(_TRIES)):
                try:
                    make_root(self._root)
                    folder = self._down(parts[:-1], self._made, conditional=conditional)
                    settle = self._later if later else _sync
                    return NewFile(folder, parts[-1], key=key, source=source, settle=settle)
                except FileNotFoundError:
                    # a deletion may take away a folder that is still empty, between its making and its first file
                    if not left:
                        raise
                except NotADirectoryError as error:
                    if not self._root.is_dir():
                        advice = "name a folder, or a path that does not exist yet"
                        raise NotAStore(f"{self._root} is not a folder; {advice}") from error
                    message = f"{target} cannot be written: there is a file where it needs a folder"
                    raise Corrupt(message, key=key) from error
        raise AssertionError  # pragma: no cover -- the last try returns or raises

    def check(self, parts: tuple[str, ...]) -> None:
        """Raise what :meth:`beside` would on the way to a folder; ``FileNotFoundError`` where it ends. Make nothing."""
        self._down(parts, lambda folder, name: folder.enter(name), conditional=True).close()

    def _down(self, parts: tuple[str, ...], enter: Callable[[Folder, str], Folder], *, conditional: bool) -> Folder:
        """Go down from the root, and let the backend judge each folder on another device than the one above it."""
        root = open_root(self._root)
        device = root.identity()[0]

        def step(folder: Folder, name: str) -> Folder:
            nonlocal device
            below = enter(folder, name)
            try:
                if device != (device := below.identity()[0]):
                    self._judge(below.path, conditional=conditional)
            except BaseException:
                below.close()
                raise
            return below

        return descend(root, parts, step)

    def _made(self, folder: Folder, name: str) -> Folder:
        """Open the folder ``name``, made if it is missing; its own name is durable once that is settled."""
        made = False
        try:
            below = folder.enter(name)
        except FileNotFoundError:
            made = folder.make(name)
            below = folder.enter(name)
        try:
            # Another process may have made the folder a moment ago and not have flushed its name yet. The identity of
            # a folder that is gone may come again, so one that is new here is flushed whatever is remembered.
            identity = below.identity()
            if made or identity not in self._settled:
                self._later(folder)
                if len(self._settled) >= _REMEMBERED:
                    self._settled.clear()
                self._settled.add(identity)
        except BaseException:
            below.close()
            raise
        return below


def _sync(folder: Folder) -> None:
    folder.sync()


def refuse_anything_but_a_file(folder: Folder, name: str, *, key: str, found: os.stat_result | None = None) -> None:
    """Raise ``Corrupt`` for a link, a folder or a device; ``found`` is what a look at ``name`` has told already."""
    found = folder.look(name) if found is None else found
    if not stat.S_ISREG(found.st_mode) or is_link(found):
        place = folder.path / name
        raise Corrupt(f"{place} is a symlink, a folder or a device: it is neither followed nor written", key=key)
