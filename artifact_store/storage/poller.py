"""A thread that calls what is due, again and again, for as long as somebody holds it. Knows neither storage nor models.

The threads are daemons, so no process waits for them, and they end with the :class:`Poller`. A fork leaves them in the
parent; :meth:`Poller.ensure` begins anew in the child.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Iterable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from time import monotonic
from typing import Protocol

from artifact_store.errors import Unavailable
from artifact_store.process import Process, this_process
from artifact_store.storage.threads import Cancelled, Threads

_NO_THREAD = 1.0
"""Seconds after which it is tried again to start a thread."""
_AGAIN = 1.0
"""Seconds after which a task is called again that others have cut short."""


class Task(Protocol):
    """Something that is to be called again and again."""

    def poll(self) -> float | None:
        """Do it once, and return after how many seconds it is due again; ``None``: never. Raises only ``Cancelled``."""


class Poller:
    """Tasks, each called when it is due and never twice at a time; up to ``at_once`` of them side by side."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._tasks: dict[int, Task] = {}
        self._crews: dict[Process, _Crew] = {}
        self._closed = False

    def add(self, task: Task, *, after: float) -> None:
        """Call ``task`` for the first time after so many seconds."""
        self.ensure()
        self._tasks[id(task)] = task
        if not self._closed:
            self._crews[this_process()].schedule(task, after)

    def remove(self, task: Task) -> None:
        """Forget a task; a call of it that is under way comes to its end."""
        self._tasks.pop(id(task), None)

    def ensure(self) -> None:
        """Begin in this process, unless that was done: after a fork, all tasks are due at once."""
        if self._closed or this_process() in self._crews:
            return
        crew = _Crew(self._at_once)
        if self._crews.setdefault(this_process(), crew) is crew:  # one step: of two threads, one begins
            crew.begin(list(self._tasks.values()))
            weakref.finalize(self, crew.end).atexit = False

    def close(self) -> None:
        """End the threads of this process; what waits for storage is given up."""
        self._closed = True
        self._tasks.clear()
        if (crew := self._crews.get(this_process())) is not None:
            crew.end()


class _Crew:
    """The threads of one process. Its inbox takes what is due when, and ``None`` for the end.

    A finalizer may run in any thread at any moment, so there is no lock here but that of the inbox, which allows it.
    """

    def __init__(self, at_once: int) -> None:
        self._inbox: queue.SimpleQueue[_Due | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._threads = Threads(at_once, "artifact-store-watch")

    def begin(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self.schedule(task, 0.0)
        arguments = self._inbox, self._threads, self._stop
        threading.Thread(target=_call_what_is_due, args=arguments, name="artifact-store-poll", daemon=True).start()

    def schedule(self, task: Task, after: float) -> None:
        self._inbox.put((monotonic() + after, weakref.ref(task)))

    def end(self) -> None:
        self._stop.set()
        self._inbox.put(None)


_Due = tuple[float, "weakref.ref[Task]"]


def _call_what_is_due(inbox: queue.SimpleQueue[_Due | None], threads: Threads, stop: threading.Event) -> None:
    waiting: list[tuple[float, int, weakref.ref[Task]]] = []
    numbers = count()
    while True:
        try:
            due = inbox.get(timeout=max(0.0, waiting[0][0] - monotonic()) if waiting else None)
        except queue.Empty:
            _, _, task = heappop(waiting)
            try:
                threads.submit(partial(_call, inbox, task, stop), stop)
            except Unavailable:
                heappush(waiting, (monotonic() + _NO_THREAD, next(numbers), task))
            continue
        if due is None:
            threads.leave()
            return
        heappush(waiting, (due[0], next(numbers), due[1]))


def _call(inbox: queue.SimpleQueue[_Due | None], reference: weakref.ref[Task], stop: threading.Event) -> None:
    task = reference()
    try:
        after = None if task is None else task.poll()
    except Cancelled:  # by somebody else, who closed what it waited for, unless it is over
        after = None if stop.is_set() else _AGAIN
    if after is not None:
        inbox.put((monotonic() + after, reference))
