"""A file on its way to its name: written beside the target, flushed, and then named in one step.

A failure at any moment leaves what had the name before, untouched. Knows names, not what the bytes mean.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from types import TracebackType
from typing import Self

from artifact_store.errors import Corrupt, OutcomeUnknown, PreconditionFailed
from artifact_store.storage.local.errors import translated
from artifact_store.storage.local.folders import Folder, flush, is_link

TEMPORARY = ".tmp-"
_LARGEST_STEP = 1 << 26  # some systems refuse to write 2 GiB at once


class NewFile:
    """A file without a name of its own yet. Its folder stays open meanwhile, so that it cannot be exchanged."""

    def __init__(self, folder: Folder, name: str, *, key: str) -> None:
        self._folder, self._name, self._key = folder, name, key
        self._path = folder.path / name
        self._called = f"{TEMPORARY}{secrets.token_hex(8)}"
        self._descriptor: int | None = folder.create(self._called)

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
            Corrupt: something else has it, such as a symlink; it is neither followed nor replaced.
            OutcomeUnknown: it has the name, and may lose it in a power cut.
        """
        self.flush()
        with translated(self._path):
            with contextlib.suppress(FileNotFoundError):
                refuse_anything_but_a_file(self._folder, self._name, key=self._key)
            self._folder.replace(self._called, self._name)
        self._sync_name()

    def _sync_name(self) -> None:
        # Reading it back would find it, so no error may be raised that is settled by reading back.
        try:
            self._folder.sync()
        except OSError as error:
            raise OutcomeUnknown(
                f"{self._path} is written, and the disk did not confirm that it survives a power cut "
                f"({error.strerror or error}). Nothing was cleaned up; look after the disk, then at the file",
                key=self._key,
            ) from error


def refuse_anything_but_a_file(folder: Folder, name: str, *, key: str, found: os.stat_result | None = None) -> None:
    """Look at ``name``, or at what was ``found`` there already.

    Raises:
        Corrupt: it is a symlink, a folder or a device.
        FileNotFoundError: it is nothing.
    """
    found = folder.look(name) if found is None else found
    if not stat.S_ISREG(found.st_mode) or is_link(found):
        message = f"{folder.path / name} is a symlink, a folder or a device: it is neither followed nor written"
        raise Corrupt(message, key=key)
