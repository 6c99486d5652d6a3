"""Servers that honour some conditions and ignore others: what was acknowledged is never lost there.

A proxy in front of SeaweedFS takes the conditions out of some requests, which SeaweedFS then carries out without one.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from artifact_store import ArtifactStore, Run, errors
from tests.servers import Proxy, Record, Status, Unconditional

pytestmark = pytest.mark.xdist_group("test_ignored_conditions")

KEY = "gru/BTCEUR"
RUN_ID = "20240816_142301"
SIZE = 9 << 20
"""More than one request takes."""
CONDITIONS = {"if-match", "if-none-match"}

Open = Callable[..., ArtifactStore]


@pytest.fixture(params=["obstore", "fsspec"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_store(engine: str, proxy: Proxy, seaweed_prefix: str) -> Open:
    def opened(**changes: Any) -> ArtifactStore:
        options = {"engine": engine, "storage_options": proxy.storage_options(), "timeout": 30.0}
        return ArtifactStore(proxy.url(seaweed_prefix), **options | changes)

    return opened


def completes(record: Record) -> bool:
    return record.method == "POST" and "uploadId" in record.query


def puts(record: Record) -> bool:
    return record.method == "PUT" and "uploadId" not in record.query


def in_parts(record: Record) -> bool:
    return bool({"uploads", "uploadId"} & record.query.keys())


def conditional(record: Record) -> bool:
    return bool(CONDITIONS & record.headers.keys())


def large(number: int) -> bytes:
    return bytes([number]) * SIZE


def large_files(store: ArtifactStore) -> tuple[str, bool]:
    """Return what doctor says of large files."""
    (fact,) = [fact for fact in store.doctor().facts if fact.name == "large-files"]
    return fact.state, "above 8 MiB" in fact.message


# ---------------------------------------------------------------- the completion's condition is ignored, or no lock


def test_who_comes_second_leaves_the_files_of_the_first_alone(open_store: Open, proxy: Proxy) -> None:
    proxy.on(Unconditional(), when=completes)
    first, second = open_store(), open_store()
    first.save(large(1), KEY, run_id=RUN_ID)
    with pytest.raises(errors.RunExists, match="it is untouched"):
        second.save(large(2), KEY, run_id=RUN_ID)
    assert open_store().load(KEY) == large(1)
    assert first.verify().ok
    assert first.guarantees.large_files == second.guarantees.large_files == "own-name"
    assert large_files(first) == ("fine", True)
    assert list(first._context.backend.list("_probe/")) == []
    assert list(first._context.backend.unfinished()) == []


@pytest.mark.parametrize("ignored", [True, False])
@pytest.mark.nightly
def test_of_eight_savers_of_one_id_one_is_acknowledged_and_loads_its_own_bytes(
    open_store: Open, proxy: Proxy, *, ignored: bool
) -> None:
    """Where it is not ignored it does not help either: SeaweedFS checks it first and writes then."""
    if ignored:
        proxy.on(Unconditional(), when=completes)
    open_store().check_writable(KEY)
    barrier = threading.Barrier(8)

    def save(number: int) -> Run | errors.RunExists:
        store = open_store()
        barrier.wait()
        try:
            return store.save(large(number), KEY, run_id=RUN_ID, metrics={"number": number})
        except errors.RunExists as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(save, range(8)))
    (won,) = [result for result in results if isinstance(result, Run)]
    assert len(results) == 8
    stored = open_store().get(f"{KEY}:{RUN_ID}")
    assert stored == won
    assert stored.load() == large(int(won.metrics["number"]))
    assert open_store().verify(KEY).ok
    open_store().gc(grace=timedelta(0)).apply()  # what the others left
    assert open_store().load(KEY) == large(int(won.metrics["number"]))


@pytest.mark.parametrize("own", [True, False])
def test_a_server_that_refuses_the_completion_s_condition_takes_large_files_all_the_same(
    open_store: Open, proxy: Proxy, *, own: bool
) -> None:
    refused = proxy.on(Status(501, "NotImplemented"), when=lambda record: completes(record) and conditional(record))
    store = open_store()
    run = store.save(large(1), KEY, run_id=None if own else RUN_ID)
    assert store.load(KEY) == large(1)
    assert bool(refused.fired) == (store.guarantees.engine == "fsspec")
    assert (run.files["model.bin"].key == "model.bin") == own
    assert list(store._context.backend.unfinished()) == []


# ---------------------------------------------------------------- the condition of a PUT is ignored


@pytest.mark.parametrize("condition", sorted(CONDITIONS))
def test_a_server_that_honours_only_conditions_of_parts_is_refused(
    open_store: Open, proxy: Proxy, condition: str
) -> None:
    proxy.on(Unconditional(), when=lambda record: puts(record) and condition in record.headers)
    store = open_store()
    broken = {"if-match": "compare_and_swap", "if-none-match": "create_only"}[condition]
    with pytest.raises(errors.ConditionsUnsupported, match=f"does not honour them .*{broken}"):
        store.save(large(1), KEY, run_id=RUN_ID)
    assert list(store._context.backend.list("")) == []


# ---------------------------------------------------------------- what it costs, and what is remembered


def counted(proxy: Proxy, work: Callable[[], object]) -> Counter[str]:
    proxy.reset()
    work()
    kinds = Counter("probe" for record in proxy.records if "/_probe/" in record.key)
    return kinds + Counter("marker" for record in proxy.records if record.key.endswith("_store.json"))


def test_conditions_are_tried_by_each_engine_for_itself_and_remembered(
    open_store: Open, proxy: Proxy, engine: str
) -> None:
    assert counted(proxy, lambda: open_store().save({"n": 1}, KEY)) == {"marker": 2, "probe": 8}
    store = open_store()
    assert counted(proxy, lambda: store.save({"n": 2}, KEY)) == {"marker": 1}
    assert counted(proxy, lambda: store.save(large(3), KEY, run_id=RUN_ID)) == {}
    # the record says which engine tried: another one does so itself, once, and keeps what it found
    other = {"obstore": "fsspec", "fsspec": "obstore"}[engine]
    another = open_store(engine=other)
    assert counted(proxy, lambda: another.save({"n": 4}, KEY)) == {"marker": 1, "probe": 10}
    assert counted(proxy, lambda: another.save({"n": 5}, KEY)) == {}
    assert counted(proxy, lambda: open_store(engine=other).save({"n": 6}, KEY)) == {"marker": 1, "probe": 1}


def test_an_engine_that_is_not_honoured_is_refused_where_another_one_is(open_store: Open, proxy: Proxy) -> None:
    store = open_store()
    store.save({"n": 1}, KEY)
    proxy.on(Unconditional(), when=puts)
    store.promote(store.get(KEY), "production")  # it knows already
    engine = {"obstore": "fsspec", "fsspec": "obstore"}[store.guarantees.engine]
    other = open_store(engine=engine)
    with pytest.raises(errors.ConditionsUnsupported, match="does not honour them"):
        other.save({"n": 2}, KEY)
    assert other.load(KEY) == {"n": 1}


def test_every_condition_on_the_wire_is_one_that_is_probed_or_that_nothing_relies_on(
    open_store: Open, proxy: Proxy
) -> None:
    """A whole life of a store: a new kind of conditional request has to be probed, too."""
    store = open_store()
    runs = [store.save(large(number), KEY, run_id=f"2024081{number}_142301") for number in range(3)]
    store.promote(runs[0], "production")
    store.rollback(KEY)
    assert store.load(KEY) == large(1)
    store.delete(runs[2]).apply()
    store.gc(grace=timedelta(0)).apply()
    assert store.verify().ok
    kinds = {
        (record.method, "in parts" if in_parts(record) else "", condition)
        for record in proxy.records
        for condition in CONDITIONS & record.headers.keys()
        if record.method not in {"GET", "HEAD"}
    }
    in_one = {("PUT", "", "if-match"), ("PUT", "", "if-none-match")}
    completed = {("POST", "in parts", "if-none-match")} if store.guarantees.engine == "fsspec" else set()
    assert kinds == in_one | completed
    assert not [record for record in proxy.records if "x-amz-copy-source" in record.headers]
    names = {record.key.rpartition("/")[2] for record in proxy.records if completes(record)}
    assert len(names) == 3  # one for each save
    assert all(name.startswith("model.bin.") for name in names)
