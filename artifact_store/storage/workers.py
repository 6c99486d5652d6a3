"""The threads of one store, in which its calls to the storage run side by side, and how all of them end.

Knows neither files nor keys. How much is under way at once is in :mod:`artifact_store.storage.budget`; what a single
thread is, and how its waiting is given up, in :mod:`artifact_store.storage.threads`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from artifact_store.process import Process, this_process
from artifact_store.storage.budget import DOCUMENTS_AT_ONCE, LARGE, MOST_AT_ONCE, Budget, held_by
from artifact_store.storage.threads import (
    Begun,
    Cancelled,
    Threads,
    is_interruption,
    is_panic,
    left_in_time,
    until_done,
)

R = TypeVar("R")
A = TypeVar("A")


class _Called(Generic[R]):
    """What a call in this thread has come to; what is no error of it, such as Ctrl-C, goes its way."""

    def __init__(self, call: Callable[[A], R], item: A) -> None:
        self._failure: Exception | None = None
        try:
            self._found = call(item)
        except Exception as error:  # noqa: BLE001 -- handed to who asks for the result
            self._failure = error

    def done(self) -> bool:
        return True

    def exception(self, timeout: float | None = None) -> Exception | None:
        del timeout
        return self._failure

    def result(self) -> R:
        if self._failure is not None:
            raise self._failure
        return self._found


class Workers:
    """The threads of one store: shared, and made again after a fork, or where Ctrl-C has left them blocked."""

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._most = most
        self._locks: dict[Process, threading.Lock] = {}
        self._pool: Threads | None = None
        self._process: Process | None = None
        self._budgets: dict[Process, Budget] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """Threads stay behind: the copy makes its own."""
        return type(self), (self._most,)

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
                self._pool = Threads(self._most)
                self._process = this_process()
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

    def ahead(
        self, items: Iterable[A], call: Callable[[A], R], *, at_once: int = DOCUMENTS_AT_ONCE
    ) -> Generator[tuple[A, Begun[R]], None, None]:
        """Yield each item, in order, with what ``call`` will return for it; some are begun before they are asked for.

        Those that have not begun when the iteration ends never do. With ``at_once=1`` each is called in this thread
        when it is asked for.
        """
        if at_once == 1:
            yield from ((item, _Called(call, item)) for item in items)
            return
        begun: deque[tuple[A, Future[R]]] = deque()
        left, stop = iter(items), threading.Event()
        try:
            while True:
                for item in islice(left, at_once - len(begun)):
                    begun.append((item, self.submit(lambda item=item: call(item), stop)))  # type: ignore[misc]
                if not begun:
                    return
                yield begun.popleft()
        finally:
            stop.set()
            for _, future in begun:
                future.cancel()

    def every(
        self, call: Callable[[A, threading.Event], R], items: Sequence[A], *, size: Callable[[A], int]
    ) -> list[R]:
        """Return ``call`` of every item, in their order. The first failure stops the others and is raised.

        A call begins once there is room in memory for the ``size`` bytes of its item, beside those of all other calls
        of this store: 32 small ones at once, then 2 large ones. Nothing runs any more when this returns or raises,
        unless Ctrl-C came while a client blocked: what is left then does nothing more than end.
        """
        stop, failed, sizes = threading.Event(), threading.Event(), [size(item) for item in items]
        futures: dict[int, Future[R]] = {}
        with self._to_their_end(futures.values(), stop):
            for place in sorted(range(len(items)), key=lambda place: sizes[place] > LARGE):
                begun = self._begin_with_room(partial(call, items[place], stop), stop, held_by(sizes[place]), failed)
                if begun is None:
                    break
                futures[place] = begun
            until_done(futures.values(), or_failed=True)
            stop.set()
            for future in futures.values():
                future.cancel()
        errors = [e for f in futures.values() if not f.cancelled() and (e := f.exception()) is not None]
        for error in errors:
            if not isinstance(error, Cancelled):
                raise error
        return [futures[place].result() for place in range(len(items))]

    def _begin_with_room(
        self, call: Callable[[], R], stop: threading.Event, held: int, failed: threading.Event
    ) -> Future[R] | None:
        """Run ``call`` once there is room for what it holds; ``None`` if another one has failed before."""
        budget = self._room()
        if not budget.take(held, unless=failed.is_set):
            return None

        def over(future: Future[R]) -> None:
            if not future.cancelled() and future.exception() is not None:
                failed.set()
            budget.give_back(held)

        try:
            future = self.submit(call, stop)
        except BaseException:
            budget.give_back(held)
            raise
        future.add_done_callback(over)
        return future

    def _room(self) -> Budget:
        """Return the budget of this process: calls of its parent, before a fork, will never give theirs back."""
        with self._lock:
            return self._budgets.setdefault(this_process(), Budget())

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
