"""Threads that wait for storage, and how a wait is given up: after Ctrl-C, or because another file failed.

All are daemons: an interpreter that exits waits for no server. What a client blocks in cannot be stopped from outside,
so its thread is left to itself; it ends when the client gives up, and then does nothing more.
"""

from __future__ import annotations

import queue
import re
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_EXCEPTION, Future, wait
from contextlib import contextmanager, suppress
from math import inf
from time import monotonic
from typing import Any, Protocol, TypeVar

from artifact_store.errors import Unavailable
from artifact_store.process import Process, this_process

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

LOOK_UP = 0.1
"""Seconds between looks at whether to go on waiting; Windows delivers Ctrl-C only in between."""
LEAVE_WITHIN = 0.4
"""Seconds that what was stopped has to end by itself before it is left alone."""

THREAD_ADVICE = (
    "This user or container has as many processes and threads as it may have: raise that limit (ulimit -u, or pids of "
    "the container), or let others end, and try again"
)
"""What to do where no thread can be started."""
_WORDS = re.compile(r"can't (?:start new|spawn worker) thread")  # as Python and Rust have them


class Cancelled(Exception):
    """What this thread is at is not wanted any more."""


def is_interruption(error: BaseException) -> bool:
    """Whether nothing went wrong, and what is under way is just not wanted any more: there is no time to lose."""
    return isinstance(error, Cancelled) or not (isinstance(error, Exception) or is_panic(error))


def is_panic(error: BaseException) -> bool:
    """Whether a library in Rust has failed within itself, which it tells with what is no ``Exception``."""
    return type(error).__name__ == "PanicException"


def tells_of_no_thread(words: str) -> bool:
    """Whether Python or a client says that no thread could be started."""
    return _WORDS.search(words) is not None


def none_left(said: object) -> Unavailable:
    """Return the error for a thread that could not be started."""
    return Unavailable(
        f"no thread can be started ({said}), and without one nothing is asked of the storage. {THREAD_ADVICE}"
    )


def no_thread_left() -> bool:
    """Whether no thread can be started now: for failures of which the words do not tell."""
    try:
        threading.Thread(target=int, daemon=True).start()
    except RuntimeError as error:
        return tells_of_no_thread(str(error))
    return False


class _Here(threading.local):
    stop: threading.Event | None = None


_here = _Here()


@contextmanager
def stoppable(stop: threading.Event | None) -> Iterator[None]:
    """Let ``stop`` end the waiting of this thread for storage, with ``Cancelled``."""
    before, _here.stop = _here.stop, stop
    try:
        yield
    finally:
        _here.stop = before


def check_stopped() -> None:
    """Raise ``Cancelled`` if this thread was stopped."""
    if _here.stop is not None and _here.stop.is_set():
        raise Cancelled


class Begun(Protocol[T_co]):
    """A call that has begun, and may have ended: a future, or what was called in this thread."""

    def done(self) -> bool:
        """Whether the call has ended."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end of the call, so many seconds at most, and return what it has raised, or ``None``."""

    def result(self) -> T_co:
        """Wait for the end of the call and return what it has returned, or raise what it has raised."""


def result_of(begun: Begun[T]) -> T:
    """Return the result of a call, or raise what it raised; ``Cancelled`` once this thread is stopped."""
    while not begun.done():
        check_stopped()
        with suppress(TimeoutError):  # of this look alone
            begun.exception(timeout=LOOK_UP)
    try:
        return begun.result()
    finally:
        del begun  # what it raised holds this frame


def until_done(futures: Collection[Future[Any]], *, or_failed: bool = False, seconds: float = inf) -> None:
    """Wait until all have ended, one has failed or so long has passed; ``Cancelled`` once this thread is stopped."""
    pending: Collection[Future[Any]] = futures
    end = monotonic() + seconds
    when = FIRST_EXCEPTION if or_failed else ALL_COMPLETED
    while pending and (left := end - monotonic()) > 0:
        check_stopped()
        done, pending = wait(futures, timeout=min(left, LOOK_UP), return_when=when)
        if or_failed and any(not future.cancelled() and future.exception() for future in done):
            return


def left_in_time(futures: Collection[Future[Any]]) -> bool:
    """Let what was stopped come to its end, and tell whether all of it did, soon enough for who pressed Ctrl-C."""
    for future in futures:
        future.cancel()
    return not wait(futures, timeout=LEAVE_WITHIN).not_done


class Threads:
    """At most so many threads, made when they are needed, which end with this object or when it is closed."""

    def __init__(self, most: int, name: str = "artifact-store") -> None:
        self._most, self._name = most, name
        self._work: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        weakref.finalize(self, self._work.put, None).atexit = False

    def submit(self, call: Callable[[], T], stop: threading.Event | None = None) -> Future[T]:
        """Run ``call`` on one of the threads; ``stop`` ends its waiting for storage.

        Raises:
            Unavailable: there is no thread, and none can be started; ``call`` will not run.
        """
        future: Future[T] = Future()
        with self._lock:
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
                self._start_one()
            self._work.put((future, call, stop))
        return future

    def _start_one(self) -> None:
        thread = threading.Thread(target=_serve, args=(self._work, self._idle), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if self._threads:  # they will do
                return
            raise none_left(error) from error
        self._threads.append(thread)

    def close(self) -> None:
        """End the threads once what was submitted is done. Those that are idle have ended when this returns."""
        self._work.put(None)
        end = monotonic() + LEAVE_WITHIN
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))

    def leave(self) -> None:
        """End the threads, and wait for none of them."""
        self._work.put(None)


_Job = tuple["Future[Any]", Callable[[], Any], "threading.Event | None"]


def _serve(work: queue.SimpleQueue[_Job | None], idle: threading.Semaphore) -> None:
    while (job := work.get()) is not None:
        future, call, stop = job
        if future.set_running_or_notify_cancel():
            try:
                with stoppable(stop):
                    result = call()
            except BaseException as error:  # noqa: BLE001 -- handed to who waits for it
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
        del job, future, call, stop  # nothing is held while it waits for the next one
        idle.release()
    work.put(None)  # for the other threads


def interruptible(call: Callable[[], T]) -> T:
    """Call what Ctrl-C cannot end; in the thread where Ctrl-C arrives, by way of another that can be left alone."""
    if threading.current_thread() is not threading.main_thread():
        check_stopped()
        return call()
    stop = threading.Event()
    helper = _helpers.pop(this_process(), None) or Threads(1)
    future = helper.submit(call, stop)
    try:
        return result_of(future)
    finally:
        if future.done():
            _helpers[this_process()] = helper
        else:
            stop.set()
            helper.leave()


def attended(call: Callable[[], T], look: Callable[[], None], *, every: float) -> T:
    """Call what cannot be ended from outside, by way of another thread, and ``look`` after each so many seconds of it.

    What ``look`` raises is raised here, and the call is left to itself. Without a thread for it, nobody looks.
    """
    stop, helper = threading.Event(), Threads(1)
    try:
        future = helper.submit(call, stop)
    except Unavailable:
        return call()
    try:
        while True:
            until_done([future], seconds=every)
            if future.done():
                return future.result()
            look()
    finally:
        if not future.done():
            stop.set()
        helper.leave()
        del future  # what it raised holds this frame


_helpers: dict[Process, Threads] = {}
"""The thread of each process that blocks for its main thread."""
