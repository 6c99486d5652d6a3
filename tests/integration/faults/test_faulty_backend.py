"""The backend that fails on demand does exactly what its plan says, and nothing where there is no plan."""

from __future__ import annotations

import threading
import uuid

import pytest

from artifact_store.errors import (
    AccessDenied,
    Contended,
    ObjectNotFound,
    PreconditionFailed,
    Unreachable,
)
from artifact_store.storage.base import Always, IfAbsent, IfVersion
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import BackendSuite, Faults, FaultyBackend, SimulatedCrash


class TestWithoutFaults(BackendSuite):
    across_processes = False

    @pytest.fixture
    def backend(self):
        return FaultyBackend(MemoryBackend(uuid.uuid4().hex), Faults())

    @pytest.fixture
    def other(self, backend):
        return FaultyBackend(MemoryBackend(backend.url.removeprefix("memory://")), Faults())


@pytest.fixture
def memory():
    return MemoryBackend()


def stored(memory, key):
    return memory.read(key, limit=1 << 20).data


def test_every_call_is_logged_in_order(memory):
    backend = FaultyBackend(memory, Faults().on("read").unavailable())
    backend.write("a/k", b"x", when=Always())
    backend.put_file("a/f", [b"y"], size=1, when=IfAbsent())
    with pytest.raises(Unreachable):
        backend.read("a/k", limit=9)
    assert b"".join(backend.stream("a/k", size=1)) == b"x"
    assert len(list(backend.list("a/"))) == 2
    assert list(backend.children("a/")) == ["f", "k"]
    backend.delete("a/k")
    assert [(entry.op, entry.key) for entry in backend.log] == [
        ("write", "a/k"),
        ("put_file", "a/f"),
        ("read", "a/k"),
        ("stream", "a/k"),
        ("list", "a/"),
        ("children", "a/"),
        ("delete", "a/k"),
    ]
    assert [entry.fault for entry in backend.log] == ["", "", "503", "", "", "", ""]


def test_a_lost_reply_leaves_the_write_behind(memory):
    backend = FaultyBackend(memory, Faults().on("write").lose_reply())
    with pytest.raises(Unreachable, match="reply"):
        backend.write("k", b"landed", when=IfAbsent())
    assert stored(memory, "k") == b"landed"
    with pytest.raises(Unreachable, match="reply"):  # the 412 that it earned is lost as well
        backend.write("k", b"too late", when=IfAbsent())
    assert stored(memory, "k") == b"landed"


@pytest.mark.parametrize("fault", ["lose_request", "unavailable", "contend"])
def test_a_request_that_never_arrives_leaves_nothing(memory, fault):
    backend = FaultyBackend(memory, getattr(Faults().on("write", "put_file"), fault)())
    with pytest.raises((Unreachable, Contended)):
        backend.write("k", b"x", when=IfAbsent())
    with pytest.raises((Unreachable, Contended)):
        backend.put_file("k", [b"x"], size=1, when=IfAbsent())
    assert list(memory.list("")) == []


def test_a_conflict_under_way_may_have_landed(memory):
    backend = FaultyBackend(memory, Faults().on("write").contend(landed=True))
    with pytest.raises(Contended):
        backend.write("k", b"landed", when=IfAbsent())
    assert stored(memory, "k") == b"landed"


def test_an_echo_is_a_412_for_a_write_of_our_own(memory):
    seen = memory.write("k", b"old", when=Always())
    backend = FaultyBackend(memory, Faults().on("write").echo())
    with pytest.raises(PreconditionFailed):
        backend.write("k", b"mine", when=IfVersion(seen))
    assert stored(memory, "k") == b"mine"


def test_any_error_can_be_planned(memory):
    plan = Faults().on("delete").fail(lambda op, key: AccessDenied(f"no {op} of {key}"))
    memory.write("k", b"x", when=Always())
    with pytest.raises(AccessDenied, match="no delete of k"):
        FaultyBackend(memory, plan).delete("k")
    assert stored(memory, "k") == b"x"


def test_a_delayed_write_lands_when_it_is_delivered(memory):
    backend = FaultyBackend(memory, Faults().on("write", "put_file", times=2).delay())
    with pytest.raises(Unreachable):
        backend.write("a", b"late", when=IfAbsent())
    with pytest.raises(Unreachable):
        backend.put_file("f", iter([b"la", b"te"]), size=4, when=IfAbsent())
    with pytest.raises(ObjectNotFound):
        backend.read("a", limit=9)
    assert len(backend.deliver()) == 2
    assert stored(memory, "a") == stored(memory, "f") == b"late"
    assert backend.deliver() == []


def test_a_delayed_write_keeps_the_condition_that_it_was_sent_with(memory):
    backend = FaultyBackend(memory, Faults().on("write", times=1).delay())
    with pytest.raises(Unreachable):
        backend.write("k", b"late", when=IfAbsent())
    backend.write("k", b"first", when=IfAbsent())
    (outcome,) = backend.deliver()
    assert isinstance(outcome, PreconditionFailed)
    assert stored(memory, "k") == b"first"


def test_a_delayed_write_lands_after_the_operations_that_the_plan_names(memory):
    backend = FaultyBackend(memory, Faults().on("write", times=1).delay(operations=2))
    with pytest.raises(Unreachable):
        backend.write("k", b"late", when=Always())
    for _turn in range(2):
        with pytest.raises(ObjectNotFound):
            backend.read("k", limit=9)
    assert backend.read("k", limit=9).data == b"late"


@pytest.mark.parametrize("landed", [False, True])
def test_after_a_crash_nothing_goes_on(memory, landed):
    backend = FaultyBackend(memory, Faults().crash_at(2, landed=landed))
    backend.write("a", b"1", when=IfAbsent())
    assert not backend.crashed
    with pytest.raises(SimulatedCrash):
        backend.write("b", b"2", when=IfAbsent())
    assert backend.crashed
    with pytest.raises(SimulatedCrash, match="write 'b'"):
        backend.read("a", limit=9)
    with pytest.raises(SimulatedCrash):
        backend.list("")
    assert [entry.key for entry in memory.list("")] == (["a", "b"] if landed else ["a"])


def test_a_crash_is_not_caught_by_handlers_of_exceptions(memory):
    backend = FaultyBackend(memory, Faults().on("delete").crash())

    def handled():
        try:
            backend.delete("k")
        except Exception:  # noqa: BLE001 -- that it does not get here is the point
            return

    with pytest.raises(SimulatedCrash):
        handled()


def test_a_listing_can_be_torn_in_three_ways(memory):
    names = [f"k{index}" for index in range(6)]
    for name in names:
        memory.write(name, b"", when=Always())

    def listed(how):
        return FaultyBackend(memory, Faults().on("list", "children").tear(how))

    assert [entry.key for entry in listed("omit").list("")] == ["k1", "k2", "k4", "k5"]
    assert list(listed("omit").children("")) == ["k1", "k2", "k4", "k5"]
    assert list(listed("repeat").children("")) == sorted(names * 2)
    got = []
    with pytest.raises(Unreachable):
        got.extend(listed("stop").children(""))
    assert got == ["k0", "k1", "k2"]


def test_a_lost_reply_breaks_streams_and_listings_off_in_the_middle(memory):
    memory.put_file("big", [b"ab" * 1_500_000], size=3_000_000, when=Always())
    backend = FaultyBackend(memory, Faults().on("stream", "list").lose_reply())
    got = []
    with pytest.raises(Unreachable):
        got.extend(backend.stream("big", size=3_000_000))
    assert sum(map(len, got)) == 1_500_000
    with pytest.raises(Unreachable):
        list(backend.list(""))


def test_one_bit_is_flipped(memory):
    data = bytes(range(256)) * 8192
    memory.put_file("k", [data], size=len(data), when=Always())
    backend = FaultyBackend(memory, Faults(seed=3).on("read", "stream").flip())
    for got in (backend.read("k", limit=len(data)).data, b"".join(backend.stream("k", size=len(data)))):
        assert len(got) == len(data)
        assert sum((one ^ two).bit_count() for one, two in zip(got, data, strict=True)) == 1
    memory.write("empty", b"", when=Always())
    assert backend.read("empty", limit=9).data == b""


def test_a_cut_answer_ends_without_an_error(memory):
    memory.write("k", b"12345678", when=Always())
    backend = FaultyBackend(memory, Faults().on("read", "stream").cut())
    assert backend.read("k", limit=9).data == b"1234"
    assert b"".join(backend.stream("k", size=8)) == b"1234"


def test_a_slow_call_waits_and_then_meets_the_other_rules(memory):
    waits = []
    plan = Faults().on().slow(0.5).on("write").slow(0.25).on("write").unavailable()
    backend = FaultyBackend(memory, plan, sleep=waits.append)
    list(backend.list(""))
    with pytest.raises(Unreachable):
        backend.write("k", b"", when=Always())
    assert waits == [0.5, 0.75]
    assert [entry.fault for entry in backend.log] == ["slow", "503"]


def test_a_rule_is_for_its_operations_and_keys_alone(memory):
    backend = FaultyBackend(memory, Faults().on("write", key="*/latest.json").unavailable())
    backend.write("gru/BTC/other.json", b"{}", when=Always())
    backend.put_file("gru/BTC/latest.json", [b"{}"], size=2, when=Always())
    backend.read("gru/BTC/latest.json", limit=9)
    with pytest.raises(Unreachable):
        backend.write("gru/BTC/latest.json", b"{}", when=Always())


def test_a_rule_can_wait_and_can_end(memory):
    backend = FaultyBackend(memory, Faults().on("read", after=1, times=2).unavailable())
    memory.write("k", b"x", when=Always())
    seen = []
    for _turn in range(5):
        try:
            backend.read("k", limit=9)
        except Unreachable:
            seen.append("fault")
        else:
            seen.append("fine")
    assert seen == ["fine", "fault", "fault", "fine", "fine"]


def test_a_plan_is_a_value_that_is_extended_not_changed():
    first = Faults(seed=7)
    second = first.on("read").flip(0.5).on("write").lose_reply(0.2)
    assert first == Faults(seed=7)
    assert len(second.rules) == 2
    assert second.seed == 7


def fates(seed, keys=("a", "b", "c"), turns=30, *, threads=False):
    memory = MemoryBackend()
    backend = FaultyBackend(memory, Faults(seed).on("write").lose_request(0.4))
    found = {}

    def work(key):
        for turn in range(turns):
            try:
                backend.write(key, b"", when=Always())
            except Unreachable:
                found[key, turn] = True
            else:
                found[key, turn] = False

    if threads:
        workers = [threading.Thread(target=work, args=(key,)) for key in reversed(keys)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    else:
        for key in keys:
            work(key)
    return found


def test_the_same_seed_has_the_same_faults_whatever_the_threads_do():
    alone = fates(1)
    assert fates(1, threads=True) == alone
    assert fates(2) != alone
    assert 18 <= sum(alone.values()) <= 54


def test_reading_behind_the_back_of_the_plan_is_not_possible(tmp_path):
    backend = FaultyBackend(MemoryBackend(), Faults())
    backend.write("k", b"x", when=Always())
    assert backend.local_path("k") is None
