"""Slices that are handed out while workers die: every item is answered once, or lost for good with a reason."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.bulk import pool as pools
from artifact_store.bulk.pool import ALONE, Pool, Rounds, workers_of
from artifact_store.errors import InvalidOption, WorkerLost

joblib = pytest.importorskip("joblib")


class Died(Exception):
    """As a pool says that one of its processes was killed."""


class DyingPool(Pool):
    """Does the work one by one, ahead of what is asked for; all that is under way is lost when a worker dies."""

    def __init__(self, *, deadly: Iterable[int] = (), accidents: Iterable[int] = (), ahead: int = 3) -> None:
        self.deadly, self.accidents, self.ahead = set(deadly), set(accidents), ahead
        self.done = 0

    def each(self, work: Callable, items: Iterable) -> Iterator:  # type: ignore[type-arg]
        under_way = []
        left = iter(items)
        while True:
            while len(under_way) < self.ahead and (item := next(left, None)) is not None:
                under_way.append(item)
            if not under_way:
                return
            self.done += 1
            if self.done in self.accidents or self.deadly & set(under_way[0][1]):
                raise Died("signal 9")
            yield work(under_way.pop(0))


def run(pool: Pool, items: Sequence[int], size: int) -> tuple[Counter[int], dict[int, WorkerLost]]:
    answered: Counter[int] = Counter()
    lost: dict[int, WorkerLost] = {}

    def take(answer: list[int]) -> bool:
        answered.update(answer)
        return True

    Rounds(pool, list, take=take, lost=lost.__setitem__).run(
        [items[start : start + size] for start in range(0, len(items), size)]
    )
    return answered, lost


@given(
    total=st.integers(0, 40),
    size=st.integers(1, 7),
    ahead=st.integers(1, 6),
    deadly=st.sets(st.integers(3, 39), max_size=3),
    accidents=st.sets(st.integers(4, 60), max_size=8),
)
def test_every_item_is_answered_once_or_lost_once(
    total: int, size: int, ahead: int, deadly: set[int], accidents: set[int]
) -> None:
    items = list(range(total))
    answered, lost = run(DyingPool(deadly=deadly, accidents=accidents, ahead=ahead), items, size)
    assert set(answered) | set(lost) == set(items)
    assert not set(answered) & set(lost)
    assert all(count == 1 for count in answered.values())
    assert set(answered) & deadly == set()
    assert len(set(lost) - deadly) <= len(accidents) // ALONE


def test_what_kills_its_workers_is_lost_alone_and_the_error_says_so() -> None:
    answered, lost = run(DyingPool(deadly={7}), range(40), 5)
    assert list(lost) == [7]
    assert len(answered) == 39
    assert "ended without an answer" in str(lost[7])
    assert "Died" in str(lost[7])
    assert isinstance(lost[7].__cause__, Died)


def test_a_pool_in_which_nothing_is_ever_answered_is_an_error_of_the_pool() -> None:
    pool = DyingPool(deadly=range(1000))
    with pytest.raises(WorkerLost, match="no worker answered"):
        run(pool, range(1000), 10)
    assert pool.done < 300


def test_a_pool_that_takes_no_work_is_waited_for_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty(DyingPool):
        def each(self, work: Callable, items: Iterable) -> Iterator:  # type: ignore[type-arg]
            raise Died("no workers")
            yield

    monkeypatch.setattr(pools, "_PAUSE", 0.001)
    with pytest.raises(WorkerLost, match="no workers"):
        run(Empty(), range(3), 1)


def test_nothing_more_is_handed_out_after_a_take_that_says_so() -> None:
    taken: list[object] = []
    lost: dict[int, WorkerLost] = {}
    rounds = Rounds(DyingPool(ahead=2), list, take=lambda answer: bool(taken.append(answer)), lost=lost.__setitem__)
    rounds.run([[place] for place in range(20)])
    assert taken == [[0], [1]]


class TestJoblib:
    def test_threads_do_the_work_that_they_are_configured_for(self) -> None:
        with joblib.parallel_config(backend="threading", n_jobs=3):
            pool = Pool(None)
            assert workers_of(None) == 3
            assert pool.is_here
            found = list(pool.each(lambda place: (place, threading.get_ident()), range(50)))
        assert sorted(place for place, _ in found) == list(range(50))

    def test_a_backend_that_answers_at_the_end_gets_the_work_in_waves(self) -> None:
        with joblib.parallel_config(backend="threading", n_jobs=2):
            pool = Pool(None)
            pool._backend.__class__ = type(
                "Late", (type(pool._backend),), {"supports_return_generator": property(lambda _: False)}
            )
            handed: list[int] = []
            found = pool.each(abs, (handed.append(place) or place for place in range(50)))
            assert next(found) == 0
            assert len(handed) == 8
            assert sorted(found) == list(range(1, 50))

    def test_without_a_configuration_there_is_one_worker(self) -> None:
        assert workers_of(None) == 1
        assert workers_of(1) == 1

    def test_a_cluster_whose_workers_are_not_there_yet_is_waited_for(self) -> None:
        class Late(joblib.parallel.ThreadingBackend):  # type: ignore[misc, name-defined]
            def effective_n_jobs(self, n_jobs: int) -> int:
                raise TimeoutError(f"no worker of {n_jobs} after 10 seconds")

        with joblib.parallel_config(backend=Late(), n_jobs=8):
            assert workers_of(None) == 2

    @pytest.mark.parametrize("jobs", [0, True, "2", 1.5])
    def test_what_is_no_number_of_workers_is_refused(self, jobs: object) -> None:
        with pytest.raises(InvalidOption, match="number of workers"):
            workers_of(jobs)  # type: ignore[arg-type]
