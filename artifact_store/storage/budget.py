"""How much travels at once: bytes for files, a number for documents. Both are those of one store in one process.

Owns the numbers, and the waiting for room. Sends nothing.

Why: docs/decisions/0026-bytes-instead-of-workers.md
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from artifact_store.storage.threads import LOOK_UP, check_stopped

LARGE = 8 << 20
"""Bytes from which a file counts as large: a backend then holds several pieces of it at once."""
HELD = 64 << 20
"""Bytes that files may hold in memory while they travel."""
SMALL_AT_ONCE = 32
LARGE_AT_ONCE = 2
DOCUMENTS_AT_ONCE = 64
"""Manifests and the like; none is larger than a mebibyte, and few are larger than some kibibytes."""
MOST_AT_ONCE = 160
"""Threads of one store, made when they are needed: for the blocks of a long history, which are asked for together."""


def held_by(size: int) -> int:
    """Return how many bytes a file of this size holds in memory while it travels, and a small one at least counts."""
    return HELD // LARGE_AT_ONCE if size > LARGE else max(size, HELD // SMALL_AT_ONCE)


class Budget:
    """Bytes, of which each call takes as many as it will hold, and gives them back."""

    def __init__(self, whole: int = HELD) -> None:
        self._left = whole
        self._changed = threading.Condition()

    def take(self, count: int, *, unless: Callable[[], bool]) -> bool:
        """Take so many once there is room, and tell whether they were taken: not if ``unless`` came true before."""
        with self._changed:
            while count > self._left and not unless():
                check_stopped()
                self._changed.wait(LOOK_UP)
            if unless():
                return False
            self._left -= count
            return True

    def give_back(self, count: int) -> None:
        """Let others have them."""
        with self._changed:
            self._left += count
            self._changed.notify_all()
