"""Whether obstore's runtime works in this process, and what is said where it does not, and never will again."""

from __future__ import annotations

import os
import sys

from artifact_store.storage.threads import tells_of_no_thread

_FORKED = "in a forked process; start processes with the 'spawn' or 'forkserver' method, or choose engine='fsspec'"
_BROKEN = (
    "in this process any more, since none of its threads could be started; start the program again, or choose "
    "engine='fsspec'"
)
_POISONED = "PoisonError"
"""What obstore says once its runtime could not be made; it never tries to make another."""

_lost: list[str] = []


def _look_after_fork() -> None:
    """Note that obstore's runtime does not work after a fork: its threads are in the parent.

    Every call, of a new client too, would wait for ever. Whether obstore had been used, or only imported, before
    the fork cannot be told from outside; the second is taken for the first.
    """
    if "obstore._obstore" in sys.modules:
        _lost[:] = [_FORKED]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_look_after_fork)


def lost() -> bool:
    """Tell whether obstore can do nothing in this process."""
    return bool(_lost)


def why() -> str:
    """Return where it is that obstore does not work, and what to do about it."""
    return _lost[0] if _lost else ""


def without_threads(words: str) -> bool:
    """Note that the runtime is lost if ``words``, those of a panic, say that it could not start its threads."""
    short = tells_of_no_thread(words) or _POISONED in words
    if short and not _lost:
        _lost.append(_BROKEN)
    return short
