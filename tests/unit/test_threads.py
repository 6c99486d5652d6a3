"""Threads that wait for storage: reused, few, daemons, and what they wait for is given up when that is wanted."""

import _thread
import gc
import pickle
import signal
import threading
import time
from concurrent.futures import Future

import pytest

from artifact_store.errors import DeadlineExceeded, Unavailable
from artifact_store.storage import threads
from artifact_store.storage.http import Attempt
from artifact_store.storage.open import open_backend
from artifact_store.storage.patience import Patience, Watch
from artifact_store.storage.threads import (
    Cancelled,
    Threads,
    check_stopped,
    interruptible,
    is_interruption,
    result_of,
    stoppable,
    until_done,
)
from artifact_store.storage.workers import Workers

pytestmark = pytest.mark.windows


def named(name):
    return [thread for thread in threading.enumerate() if thread.name == name]


def ended(name):
    end = time.monotonic() + 10
    while named(name) and time.monotonic() < end:
        time.sleep(0.01)
    return not named(name)


def test_threads_are_reused_and_never_more_than_allowed():
    pool = Threads(2, "few")
    assert [result_of(pool.submit(threading.get_ident)) for _ in range(20)]
    assert len(named("few")) == 1
    assert len({result_of(future) for future in [pool.submit(lambda: time.sleep(0.01) or 1) for _ in range(20)]}) == 1
    assert len(named("few")) == 2
    assert all(thread.daemon for thread in named("few"))
    pool.close()
    assert named("few") == []


def test_threads_end_with_what_made_them():
    pool = Threads(3, "forgotten")
    assert [result_of(pool.submit(lambda: 1)) for _ in range(3)] == [1, 1, 1]
    del pool
    gc.collect()
    assert ended("forgotten")


def test_what_takes_too_long_is_waited_for_no_longer():
    pool, go_on = Threads(1), threading.Event()
    future = pool.submit(go_on.wait)
    begun = time.monotonic()
    until_done([future], seconds=0.05)
    assert not future.done()
    assert 0.05 <= time.monotonic() - begun < 5
    go_on.set()
    until_done([future], seconds=10)
    assert future.result()
    pool.close()


def test_what_a_call_raises_is_raised_and_the_thread_goes_on():
    pool = Threads(1)
    with pytest.raises(KeyError):
        result_of(pool.submit(lambda: {}["a"]))
    assert result_of(pool.submit(lambda: 2)) == 2
    pool.close()


def test_a_deadline_of_a_call_is_not_taken_for_one_of_the_waiting():
    def late():
        raise DeadlineExceeded("late")

    pool = Threads(1)
    with pytest.raises(DeadlineExceeded):
        result_of(pool.submit(late))
    pool.close()


def test_a_thread_that_is_stopped_waits_no_longer():
    pool, stop, never = Threads(1), threading.Event(), Future()
    waiting = pool.submit(lambda: result_of(never), stop)
    stop.set()
    with pytest.raises(Cancelled):
        result_of(waiting)
    assert result_of(pool.submit(lambda: check_stopped() or 1)) == 1  # the stop was that of one call
    pool.close()


def test_stops_are_put_back_as_they_were():
    outer = threading.Event()
    with stoppable(outer):
        with stoppable(threading.Event()):
            outer.set()
            check_stopped()
        with pytest.raises(Cancelled):
            check_stopped()
    check_stopped()


def test_what_the_main_thread_cannot_wait_for_any_more_is_left_alone(monkeypatch):
    blocked, released = threading.Event(), threading.Event()
    told = []

    def block():
        blocked.set()
        released.wait(10)
        try:
            check_stopped()
        except Cancelled:
            told.append("stopped")
            raise

    def press(_):
        blocked.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(threads, "result_of", press)
    with pytest.raises(KeyboardInterrupt):
        interruptible(block)
    monkeypatch.undo()
    assert interruptible(lambda: 3) == 3  # by another thread
    released.set()
    end = time.monotonic() + 10
    while not told and time.monotonic() < end:
        time.sleep(0.01)
    assert told == ["stopped"]


def test_ctrl_c_among_many_files_waits_for_no_thread_that_blocks():
    workers, released = Workers(), threading.Event()

    def work(item, stop):
        if item == "press":
            _thread.interrupt_main()
        released.wait(30)
        check_stopped()
        raise AssertionError

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been turned off
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            workers.every(work, ["block", "press", "block"], size=lambda _: 0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 5
    assert workers.every(lambda item, stop: item, [1, 2], size=lambda _: 0) == [1, 2]
    released.set()
    workers.close()


class Limit:
    """Threads that the system allows in all; ``threading.Thread`` raises what it does where there are no more."""

    def __init__(self, monkeypatch, name, allowed):
        real = threading.Thread.start

        def start(thread):
            if thread.name == name:
                if not self.allowed:
                    raise RuntimeError("can't start new thread")
                self.allowed -= 1
            real(thread)

        self.allowed = allowed
        monkeypatch.setattr(threading.Thread, "start", start)


def test_fewer_threads_than_wanted_do_all_of_the_work(monkeypatch):
    Limit(monkeypatch, "artifact-store", 1)
    workers = Workers()
    assert workers.every(lambda item, stop: item, range(20), size=lambda item: item << 20) == list(range(20))
    with workers.beside(lambda: 1) as one, workers.beside(lambda: 2) as two:
        assert result_of(one) == 1
    assert two.result() == 2
    workers.close()


def test_without_any_thread_nothing_is_done_and_the_limit_is_named(monkeypatch):
    monkeypatch.setattr(threads, "_helpers", {})  # an earlier test may have left one
    limit, done = Limit(monkeypatch, "artifact-store", 0), []
    workers = Workers()
    for attempt in (
        lambda: workers.every(lambda item, stop: done.append(item), [1, 2, 3], size=lambda _: 0),
        lambda: workers.submit(lambda: done.append(4)),
        lambda: interruptible(lambda: done.append(5)),
    ):
        with pytest.raises(Unavailable, match=r"can't start new thread.*ulimit -u.*pids"):
            attempt()
    limit.allowed = 8
    assert workers.submit(lambda: 6).result(10) == 6
    assert done == []  # nothing was left behind for the threads that there are now
    workers.close()


def test_ctrl_c_while_calls_are_handed_out_lets_none_go_on():
    workers, released, begun = Workers(), threading.Event(), []

    def work(item, stop):
        begun.append(stop)
        released.wait(30)

    submit = workers.submit

    def pressed(call, stop=None):
        if len(begun) == 2:
            raise KeyboardInterrupt
        before = len(begun)
        future = submit(call, stop)
        while len(begun) == before:
            time.sleep(0.001)
        return future

    workers.submit = pressed
    with pytest.raises(KeyboardInterrupt):
        workers.every(work, [1, 2, 3], size=lambda _: 0)
    assert [stop.is_set() for stop in begun] == [True, True]
    released.set()


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
def test_a_backend_takes_its_patience_with_it(engine):
    if engine == "fsspec":
        pytest.importorskip("s3fs")
    options = {"endpoint_url": "http://127.0.0.1:9"}
    made = open_backend(
        "s3://bucket/models", filesystem=None, storage_options=options, engine=engine, timeout=7.0, min_rate=5.0
    )
    assert pickle.loads(pickle.dumps(made))._patience == Patience(7.0, 5.0)


@pytest.mark.parametrize(
    ("moved", "spent", "is_late"), [(0, 0.9, False), (0, 1.1, True), (500, 1.4, False), (500, 2.0, True)]
)
def test_a_body_may_take_the_timeout_and_the_time_of_its_bytes(monkeypatch, moved, spent, is_late):
    now = [100.0]
    monkeypatch.setattr("artifact_store.storage.patience.monotonic", lambda: now[0])
    watch = Watch(Patience(1.0, min_rate=1000), Attempt("read", "the/key", "s3://b"), 2000)
    now[0] += spent
    if not is_late:
        watch.note(moved)
        return
    with pytest.raises(DeadlineExceeded) as caught:
        watch.note(moved)
    for told in ("the/key", f"{moved:,} of 2,000 bytes", f"{moved / spent:,.0f} bytes a second", "min_rate"):
        assert told in str(caught.value)


class PanicException(BaseException):
    """What libraries in Rust raise when they fail within themselves; their own cannot be made from Python."""


@pytest.mark.parametrize(
    ("error", "wanted"),
    [(KeyboardInterrupt(), True), (Cancelled(), True), (PanicException("it broke"), False), (ValueError(), False)],
)
def test_a_panic_of_a_library_is_no_interruption(error, wanted):
    assert is_interruption(error) is wanted


def test_what_runs_beside_a_panic_comes_to_its_end():
    workers, ended = Workers(), threading.Event()

    def slow():
        time.sleep(1)
        ended.set()

    with pytest.raises(PanicException), workers.beside(slow):
        raise PanicException
    assert ended.is_set()
    workers.close()


def test_a_thread_that_can_be_started_is_not_missing():
    assert not threads.no_thread_left()


def test_what_takes_long_is_looked_at_meanwhile_and_left_to_itself_if_a_look_fails():
    looks, gate = [], threading.Event()

    def look():
        looks.append(None)
        if len(looks) == 3:
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        threads.attended(gate.wait, look, every=0.01)
    gate.set()
    assert threads.attended(lambda: 7, look, every=10.0) == 7
    with pytest.raises(ZeroDivisionError):
        threads.attended(lambda: 1 // 0, look, every=10.0)
    assert len(looks) == 3


def test_without_a_thread_nobody_looks_and_the_work_is_done(monkeypatch):
    def none(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    assert threads.attended(lambda: 7, lambda: None, every=0.01) == 7
