"""Hand slices of work to a pool of joblib, and hand them out again while workers die. The one place that asks joblib.

What a worker finds travels as a value, so whatever the pool raises is its own: a process that was killed, a connection
that broke. A slice that was handed out and not answered goes behind the others; one that was lost twice may be what
kills the workers, so it is tried with nothing beside it, then each half of it. An item is lost for good only when
it was lost alone several times.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from artifact_store.errors import InvalidOption, Unsupported, WorkerLost
from artifact_store.installing import pip_install
from artifact_store.wording import brief

T = TypeVar("T")
R = TypeVar("R")

TOGETHER: Final = 2
"""How often a slice is handed out together with others."""
ALONE: Final = 3
"""How often an item is handed out alone after that."""
_EMPTY: Final = 6
"""How often a pool may have no worker to hand anything to, with pauses that double."""
_PAUSE: Final = 0.5
_UNKNOWN: Final = 2
"""Workers of a cluster that has none so far: several."""
_WAVE: Final = 4
"""Slices for each worker in one call, of a backend that gives no answer before it has all."""


def workers_of(jobs: int | None) -> int:
    """Return how many workers ``jobs`` means, or, unless given, those of the ``joblib.parallel_config`` in force.

    Raises:
        InvalidOption: it is no number of workers.
        Unsupported: joblib is not installed.
    """
    if jobs is None and sys.modules.get("joblib") is None:  # nobody can have configured it
        return 1
    if jobs is not None and (type(jobs) is not int or jobs == 0):
        raise InvalidOption(f"jobs is a number of workers, such as 8, or -1 for one on each processor, not {jobs!r}")
    if jobs == 1:
        return 1
    backend, configured = _joblib().parallel.get_active_backend()
    wanted = configured if jobs is None else jobs
    try:
        found: int = backend.effective_n_jobs(backend.default_n_jobs if wanted is None else wanted)
    except Exception:  # noqa: BLE001 -- a cluster that has no worker yet: it is waited for when there is work
        return _UNKNOWN
    return found


class Pool:
    """The workers of the backend that joblib is configured to use."""

    def __init__(self, jobs: int | None) -> None:
        self._joblib, self._jobs = _joblib(), jobs
        self._backend = self._joblib.parallel.get_active_backend()[0]

    @property
    def is_here(self) -> bool:
        """Whether the workers are threads of this process."""
        return bool(getattr(self._backend, "supports_sharedmem", False))

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield what ``work`` returns for each item, in the order in which that is known.

        Raises:
            Exception: the pool failed. What was handed out and not yielded is lost.
        """
        calls = map(self._joblib.delayed(work), items)
        if self._backend.supports_return_generator:
            yield from self._parallel("generator_unordered")(calls)
            return
        with self._parallel("list") as parallel:
            while wave := list(islice(calls, _WAVE * max(workers_of(self._jobs), 1))):
                yield from parallel(wave)

    def _parallel(self, return_as: str) -> Any:
        return self._joblib.Parallel(self._jobs, return_as=return_as, batch_size=1, pre_dispatch="2*n_jobs")


def _joblib() -> Any:
    try:
        import joblib
    except ImportError as error:
        raise Unsupported(f"jobs= needs joblib: {pip_install('joblib')}") from error
    return joblib


class Rounds(Generic[T, R]):
    """Slices that are handed out until all are answered, or lost for good.

    ``take`` is given every answer, and ``lost`` every item that no worker answered, with the error that says so. A
    ``take`` that returns false ends it: what is under way is still taken, and nothing more is handed out.
    """

    def __init__(
        self,
        pool: Pool,
        work: Callable[[Sequence[T]], R],
        *,
        take: Callable[[R], bool],
        lost: Callable[[T, WorkerLost], None],
    ) -> None:
        self._pool, self._work, self._take, self._lost = pool, work, take, lost
        self._going, self._answered = True, False

    def run(self, slices: Iterable[Sequence[T]]) -> None:
        """Hand out all slices.

        Raises:
            WorkerLost: no worker of the pool ever answered.
        """
        left = dict(enumerate(slices))
        tries: Counter[int] = Counter()
        empty = 0
        while self._going and (crowd := [place for place in left if tries[place] < TOGETHER]):
            handed: list[int] = []
            failure = self._round(left, crowd, handed)
            if failure is None:
                break
            empty = 0 if handed else empty + 1
            if empty == _EMPTY:
                raise _no_pool(failure)
            time.sleep(_PAUSE * 2**empty if empty else 0)
            for place in left.keys() & set(handed):
                tries[place] += 1
                left[place] = left.pop(place)
        self._apart([each for each in left.values() if self._going])

    def _apart(self, suspects: list[Sequence[T]]) -> None:
        """Hand out slices with nothing beside them, halved as long as their workers die, down to single items."""
        lost = 0
        while suspects and self._going:
            slice_ = suspects.pop()
            failure = self._alone(slice_, tries=ALONE if len(slice_) == 1 else 1)
            if failure is None:
                continue
            if len(slice_) > 1:
                half = len(slice_) // 2
                suspects += [slice_[half:], slice_[:half]]
                continue
            lost += 1
            if lost == ALONE and not self._answered:
                raise _no_pool(failure)
            self._lost(slice_[0], _lost(failure))

    def _alone(self, slice_: Sequence[T], *, tries: int) -> Exception | None:
        failure = None
        for _ in range(tries):
            failure = self._until_it_fails([(0, slice_)], answered=lambda _: None)
            if failure is None:
                return None
        return failure

    def _round(self, left: dict[int, Sequence[T]], crowd: Iterable[int], handed: list[int]) -> Exception | None:
        """Hand out slices together, drop those that are answered from ``left``, and return how the pool failed."""

        def dealt() -> Iterator[tuple[int, Sequence[T]]]:
            for place in crowd:
                if not self._going:
                    return
                handed.append(place)
                yield place, left[place]

        return self._until_it_fails(dealt(), answered=left.pop)

    def _until_it_fails(
        self, slices: Iterable[tuple[int, Sequence[T]]], *, answered: Callable[[int], object]
    ) -> Exception | None:
        answers = self._pool.each(Numbered(self._work), slices)
        while True:
            try:
                place, answer = next(answers)
            except StopIteration:
                return None
            except Exception as failure:  # noqa: BLE001 -- of a pool of any kind: nothing that our work does raises
                return failure
            self._answered = True
            answered(place)
            self._going = self._take(answer) and self._going


class Numbered(Generic[T, R]):
    """Work whose answer says which slice it is of."""

    def __init__(self, work: Callable[[Sequence[T]], R]) -> None:
        self._work = work

    def __call__(self, numbered: tuple[int, Sequence[T]]) -> tuple[int, R]:
        """Return the number, and what the work returns."""
        place, slice_ = numbered
        return place, self._work(slice_)


def _lost(failure: Exception) -> WorkerLost:
    error = WorkerLost(
        f"every worker that was given it ended without an answer, the last {ALONE} with nothing else to do "
        f"({_told(failure)}): it may take more memory than a worker has, so ask for it alone, without jobs="
    )
    error.__cause__ = failure
    return error


def _no_pool(failure: Exception) -> WorkerLost:
    error = WorkerLost(
        f"no worker answered ({_told(failure)}): look at the log of the workers, which need this version of "
        "artifact-store and the libraries of the models, and ask again"
    )
    error.__cause__ = failure
    return error


def _told(failure: Exception) -> str:
    return f"{type(failure).__name__}: {brief(str(failure).strip())}"
