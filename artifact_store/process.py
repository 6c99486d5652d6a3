"""Which process this is, as told apart from those that it was forked from.

A process id does not tell: ids are given again, and the first process of a container has the same id as a child that
it forks into a namespace of its own. Knows nothing of what is kept for a process.
"""

from __future__ import annotations

import os

Process = tuple[int, int]

_forks = 0


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 -- one for the whole process is what it is
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


def this_process() -> Process:
    """Return a value that none of the processes has that this one was forked from.

    It has the process id in it for forks that the interpreter is not told of, such as those of a server that embeds it.
    """
    return os.getpid(), _forks
