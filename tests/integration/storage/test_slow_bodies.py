"""A body that trickles always makes progress and never ends: it has a deadline, in both directions, on both engines."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from artifact_store import errors
from artifact_store.core.files import Outgoing
from artifact_store.core.names import ModelKey, RunId
from artifact_store.storage.base import Always
from artifact_store.storage.open import open_backend
from artifact_store.storage.patience import UP, Patience
from artifact_store.storage.retry import RetryPolicy
from artifact_store.storage.transfer import Destination, upload
from artifact_store.storage.workers import Workers
from tests.servers import Hang, Slow, Trickle

TIMEOUT = 1.0
MIN_RATE = 8 << 20
MIB = 1 << 20
SLACK = 4.0
"""Seconds that a busy machine may add."""
SMALL, SINGLE, LARGE = 3000, 3 * MIB, 20 * MIB


@pytest.fixture(params=["obstore", "fsspec"])
def engine(request):
    return request.param


@pytest.fixture
def direct(seaweed, seaweed_prefix):
    """What goes to the server without the proxy."""
    return open_at(seaweed, seaweed_prefix, "obstore", timeout=60.0)


@pytest.fixture
def backend(engine, proxy, seaweed_prefix):
    """What goes through the proxy, and is in a hurry."""
    return open_at(proxy, seaweed_prefix, engine)


def open_at(server, prefix, engine, *, timeout=TIMEOUT, min_rate=MIN_RATE):
    backend = open_backend(
        server.url(prefix),
        filesystem=None,
        storage_options=server.storage_options(),
        engine=engine,
        timeout=timeout,
        min_rate=min_rate,
    )
    if engine == "fsspec":
        backend._calls.patience = Patience(60.0)
        backend._calls.address()  # makes the client, which takes as long as it takes on a busy machine
        backend._calls.patience = Patience(timeout, min_rate)
    return backend


def late(call, *, size, key, told="bytes"):
    """The error of ``call``, which is one for being late, and came in time."""
    begun = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded) as caught:
        call()
    assert time.monotonic() - begun < 2 * TIMEOUT + size / MIN_RATE + SLACK
    text = str(caught.value)
    assert key in text
    assert told in text
    return text


@pytest.mark.parametrize("size", [SMALL, SINGLE, LARGE])
def test_an_answer_that_trickles_is_late(backend, direct, proxy, size):
    direct.put_file(
        "data", (bytes(MIB) for _ in range(0, size, MIB)) if size > MIB else [bytes(size)], size=size, when=Always()
    )
    proxy.on(Trickle(), method="GET")
    text = late(lambda: b"".join(backend.stream("data", size=size)), size=size, key="data")
    assert "too slow" in text
    assert "min_rate" in text


def test_a_document_that_trickles_is_late_after_the_timeout(backend, direct, proxy):
    direct.write("pointer", bytes(SMALL), when=Always())
    proxy.on(Trickle(), method="GET")
    text = late(lambda: backend.read("pointer", limit=MIB), size=0, key="pointer")
    assert "of 3,000 bytes came" in text


def test_one_range_that_trickles_among_good_ones_is_late(backend, direct, proxy):
    direct.put_file("data", (bytes(MIB) for _ in range(0, LARGE, MIB)), size=LARGE, when=Always())
    proxy.on(Trickle(), when=lambda request: request.headers.get("range", "").startswith("bytes=8388608-"))
    late(lambda: b"".join(backend.stream("data", size=LARGE)), size=LARGE, key="data")


def test_a_listing_that_trickles_is_late(backend, direct, proxy):
    direct.write("folder/one", b"1", when=Always())
    proxy.on(Trickle(), method="GET")
    begun = time.monotonic()
    for call in (lambda: list(backend.list("folder/")), lambda: list(backend.children("folder/"))):
        with pytest.raises(errors.DeadlineExceeded, match="folder/"):
            call()
    assert time.monotonic() - begun < 2 * 10 * TIMEOUT + SLACK


@pytest.mark.parametrize("fault", [Trickle(size=4096, up=True), Hang()], ids=["trickle", "no answer"])
@pytest.mark.parametrize("size", [SMALL, SINGLE, LARGE])
def test_an_upload_that_is_not_taken_or_not_answered_is_late(backend, proxy, fault, size):
    if size == SMALL and isinstance(fault, Trickle):
        fault = Trickle(up=True)
    proxy.on(fault, method="PUT")
    pieces = (bytes(min(MIB, size)) for _ in range(0, size, MIB))
    text = late(lambda: backend.put_file("data", pieces, size=size, when=Always()), size=size, key="data")
    assert "too slow" in text
    assert "min_rate" in text


@pytest.mark.parametrize("size", [SINGLE, LARGE])
def test_a_server_that_hangs_without_a_word_ends_an_upload_long_before_its_time(engine, proxy, seaweed_prefix, size):
    backend = open_at(proxy, seaweed_prefix, engine, min_rate=128 << 10)
    proxy.on(Hang())
    begun = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded, match="no small request|no data for 1 seconds"):
        backend.put_file("data", (bytes(MIB) for _ in range(0, size, MIB)), size=size, when=Always())
    assert time.monotonic() - begun < 6 * TIMEOUT + SLACK < size / (128 << 10)


def test_an_upload_that_takes_long_at_a_server_that_lives_is_left_alone(engine, direct, proxy, seaweed_prefix):
    backend = open_at(proxy, seaweed_prefix, engine, min_rate=128 << 10)
    proxy.on(Slow(seconds=4 * TIMEOUT), method="PUT")
    backend.put_file("data", [bytes(SINGLE)], size=SINGLE, when=Always())
    assert len([seen for seen in proxy.records if seen.method == "HEAD"]) >= 2
    assert b"".join(direct.stream("data", size=SINGLE)) == bytes(SINGLE)


def test_small_files_that_share_the_line_wait_for_no_larger_ones(engine, proxy, seaweed_prefix):
    size, files, rate = 80 << 10, 8, 512 << 10
    backend = open_at(proxy, seaweed_prefix, engine, min_rate=rate)
    proxy.on(Hang(), method="PUT")

    def put(number):
        with pytest.raises(errors.DeadlineExceeded):
            backend.put_file(f"data-{number}", [bytes(size)], size=size, when=Always())

    begun = time.monotonic()
    with UP.announce(files), ThreadPoolExecutor(files) as pool:
        list(pool.map(put, range(files)))
    assert time.monotonic() - begun < 2 * TIMEOUT + 2 * files * size / rate + SLACK


@pytest.mark.parametrize(("size", "seconds"), [(MIB, 0.1), (2 * MIB, 0.05)])
def test_what_is_taken_slowly_and_fast_enough_is_stored(engine, direct, proxy, seaweed_prefix, size, seconds):
    backend = open_at(proxy, seaweed_prefix, engine, timeout=0.8, min_rate=256 << 10)
    proxy.on(Trickle(seconds=seconds, size=64 << 10, up=True), method="PUT")
    data = os.urandom(size)
    begun = time.monotonic()
    backend.put_file("data", [data], size=size, when=Always())
    assert time.monotonic() - begun > 0.8
    assert b"".join(direct.stream("data", size=size)) == data


@pytest.mark.parametrize(("size", "seconds"), [(MIB, 0.1), (2 * MIB, 0.05)])
def test_what_is_slow_and_fast_enough_arrives(engine, direct, proxy, seaweed_prefix, size, seconds):
    data = os.urandom(size)
    direct.put_file("data", [data], size=size, when=Always())
    backend = open_at(proxy, seaweed_prefix, engine, timeout=0.8, min_rate=256 << 10)
    proxy.on(Trickle(seconds=seconds, size=64 << 10), method="GET")
    begun = time.monotonic()
    assert b"".join(backend.stream("data", size=size)) == data
    assert time.monotonic() - begun > 0.8


def test_a_document_that_is_slow_and_fast_enough_arrives(engine, direct, proxy, seaweed_prefix):
    direct.write("pointer", bytes(MIB), when=Always())
    backend = open_at(proxy, seaweed_prefix, engine, timeout=0.8, min_rate=256 << 10)
    proxy.on(Trickle(seconds=0.1, size=64 << 10), method="GET")
    assert backend.read("pointer", limit=MIB).data == bytes(MIB)


@pytest.mark.parametrize("way", ["up", "down"])
def test_the_rate_is_that_of_the_line_which_the_parts_of_a_file_share(engine, direct, proxy, seaweed_prefix, way):
    backend = open_at(proxy, seaweed_prefix, engine, timeout=0.5, min_rate=4 * MIB)
    data = os.urandom(LARGE)
    each = Trickle(seconds=0.03, size=64 << 10, up=way == "up")  # half of that, and at least four at once
    proxy.on(each, method="PUT" if way == "up" else "GET")
    if way == "up":
        backend.put_file("data", [data], size=LARGE, when=Always())
        assert b"".join(direct.stream("data", size=LARGE)) == data
    else:
        direct.put_file("data", [data], size=LARGE, when=Always())
        assert b"".join(backend.stream("data", size=LARGE)) == data


def test_the_rate_is_that_of_the_line_which_the_files_of_a_save_share(engine, proxy, seaweed_prefix, tmp_path):
    backend, workers = open_at(proxy, seaweed_prefix, engine, timeout=0.5, min_rate=4 * MIB), Workers()
    proxy.on(Trickle(seconds=0.08, size=64 << 10, up=True), method="PUT")  # a fifth of that, and eight at once
    files = [Outgoing(name, tmp_path / name) for name in ("one", "two")]
    for file in files:
        file.source.write_bytes(os.urandom(LARGE))
    to = Destination(ModelKey("gru", "x"), RunId("20250101_000000"), "0" * 8, own_id=True)
    entries = upload(backend, files, to, workers=workers, retry=RetryPolicy(seconds=0.1))
    workers.close()
    assert [entry.size for entry in entries] == [LARGE, LARGE]
