"""A lock of the operating system on an open file: had at once or not at all, and released with the process.

What is in the file can be read and written meanwhile. A forked child shares the lock until it closes the file.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

_HELD: Final = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_BYTE: Final = 1 << 30
"""Windows locks a range, and what is in it cannot be read: it lies behind all that is."""


if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int) -> bool | None:
        """Lock without waiting: ``False`` if another one has it, ``None`` if there are no locks here."""
        try:
            _at_byte(descriptor, msvcrt.LK_NBLCK)
        except OSError as error:
            return False if error.errno in {*_HELD, 0} else None  # Wine refuses without a reason
        return True

    def unlock(descriptor: int) -> None:
        """Release the lock, in forked children too."""
        _at_byte(descriptor, msvcrt.LK_UNLCK)

    def _at_byte(descriptor: int, mode: int) -> None:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            os.lseek(descriptor, _BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, mode, 1)
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)  # or what is written next begins behind a gap

else:
    import fcntl

    def try_lock(descriptor: int) -> bool | None:
        """Lock without waiting: ``False`` if another one has it, ``None`` if there are no locks here."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return False if error.errno in _HELD else None
        return True

    def unlock(descriptor: int) -> None:
        """Release the lock, in forked children too."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)
