"""The threads of one store, in which its calls to the storage run side by side: how many, and how all of them end.

Knows neither files nor keys. What a single thread is, and how its waiting is given up, is in
:mod:`artifact_store.storage.threads`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from artifact_store.process import Process, this_process
from artifact_store.storage.threads import Cancelled, Threads, is_interruption, is_panic, left_in_time, until_done

WORKERS = 8
LARGE_AT_ONCE = 2
AHEAD = 16  # calls that are begun before their answers are asked for

R = TypeVar("R")
A = TypeVar("A")


class Workers:
    """The threads of one store: few, shared, and made again after a fork, or where Ctrl-C has left them blocked."""

    def __init__(self) -> None:
        self._locks: dict[Process, threading.Lock] = {}
        self._pool: Threads | None = None
        self._process: Process | None = None
        self._large = threading.BoundedSemaphore(LARGE_AT_ONCE)

    def __reduce__(self) -> tuple[object, ...]:
        """Threads stay behind: the copy makes its own."""
        return type(self), ()

    @property
    def _lock(self) -> threading.Lock:
        """One lock per process: a thread that a fork left behind in the parent may hold the parent's for ever."""
        return self._locks.setdefault(this_process(), threading.Lock())

    def submit(self, call: Callable[[], R], stop: threading.Event | None = None) -> Future[R]:
        """Run ``call`` on one of the threads; ``stop`` ends its waiting for storage, with ``Cancelled``.

        Raises:
            Unavailable: there is no thread, and none can be started; ``call`` will not run.
        """
        with self._lock:
            if self._pool is None or self._process != this_process():
                self._pool = Threads(WORKERS)
                self._process = this_process()
                self._large = threading.BoundedSemaphore(LARGE_AT_ONCE)
            return self._pool.submit(call, stop)

    @contextmanager
    def beside(self, call: Callable[[], R]) -> Iterator[Future[R]]:
        """Run ``call`` on one of the threads while the body runs; when the body has ended, ``call`` has as well."""
        with self.all_beside([call]) as (future,):
            yield future

    @contextmanager
    def all_beside(self, calls: Iterable[Callable[[], R]]) -> Iterator[Sequence[Future[R]]]:
        """Run each of ``calls`` while the body runs; when the body has ended, those that began have as well.

        Only after Ctrl-C what a client blocks in is left alone; it does nothing more than end.
        """
        stop = threading.Event()
        futures: list[Future[R]] = []
        with self._to_their_end(futures, stop):
            for call in calls:
                futures.append(self.submit(call, stop))  # noqa: PERF401 -- those before a failure are waited for
            yield futures

    def ahead(self, items: Iterable[A], call: Callable[[A], R]) -> Generator[tuple[A, Future[R]], None, None]:
        """Yield each item, in order, with what ``call`` will return for it; some are begun before they are asked for.

        Those that have not begun when the iteration ends never do.
        """
        begun: deque[tuple[A, Future[R]]] = deque()
        left, stop = iter(items), threading.Event()
        try:
            while True:
                for item in islice(left, AHEAD - len(begun)):
                    begun.append((item, self.submit(lambda item=item: call(item), stop)))  # type: ignore[misc]
                if not begun:
                    return
                yield begun.popleft()
        finally:
            stop.set()
            for _, future in begun:
                future.cancel()

    def every(
        self, call: Callable[[A, threading.Event], R], items: Sequence[A], *, large: Callable[[A], bool]
    ) -> list[R]:
        """Return ``call`` of every item, in their order. The first failure stops the others and is raised.

        Nothing runs any more when this returns or raises, unless Ctrl-C came while a client blocked: what is left then
        does nothing more than end.
        """
        stop = threading.Event()

        def one(item: A) -> R:
            if not large(item):
                return call(item, stop)
            with self._large:
                return call(item, stop)

        order = sorted(range(len(items)), key=lambda place: large(items[place]))
        futures: dict[int, Future[R]] = {}
        with self._to_their_end(futures.values(), stop):
            for place in order:
                futures[place] = self.submit(lambda item=items[place]: one(item), stop)  # type: ignore[misc]
            until_done(futures.values(), or_failed=True)
            stop.set()
            for future in futures.values():
                future.cancel()
        errors = [e for f in futures.values() if not f.cancelled() and (e := f.exception()) is not None]
        for error in errors:
            if not isinstance(error, Cancelled):
                raise error
        return [futures[place].result() for place in range(len(items))]

    @contextmanager
    def _to_their_end(self, futures: Collection[Future[Any]], stop: threading.Event) -> Iterator[None]:
        """Wait for what runs beside the body; after Ctrl-C in either not for long, and for no thread that blocks."""
        try:
            try:
                yield
            except BaseException as error:
                if isinstance(error, Exception) or is_panic(error):
                    until_done(futures)  # whatever came of it
                raise
            until_done(futures)
        except BaseException as error:
            if is_interruption(error):
                stop.set()
                if not left_in_time(futures):
                    self._leave()
            raise

    def _leave(self) -> None:
        """Use other threads from now on; these end with what they are at."""
        with self._lock:
            if self._pool is not None and self._process == this_process():
                self._pool.leave()
            self._pool = None

    def close(self) -> None:
        """End the threads of this process, if there are any; those that Ctrl-C left blocked are not waited for."""
        with self._lock:
            if self._pool is not None and self._process == this_process():
                self._pool.close()
            self._pool = None
