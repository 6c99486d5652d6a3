"""A server that answers a request for a range with the whole object, as some that speak S3 do, gives large files back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.storage.base import Always, Backend
from artifact_store.storage.open import open_backend
from artifact_store.testing.backend_suite import MIB, pieces, some_bytes
from tests.servers import Proxy
from tests.servers.faults import CalledWhole, CutBody, Record, WithoutRange

ENGINES = ("obstore", "fsspec")


def asks_for_all(request: Record) -> bool:
    return "range" not in request.headers


@pytest.fixture
def deaf(proxy: Proxy) -> Proxy:
    """A server that hears no Range."""
    proxy.on(WithoutRange(), method="GET", when=lambda request: not asks_for_all(request))
    return proxy


@pytest.fixture(params=ENGINES)
def backend(request: pytest.FixtureRequest, deaf: Proxy, seaweed_prefix: str) -> Iterator[Backend]:
    backend = open_backend(
        deaf.url(seaweed_prefix),
        filesystem=None,
        storage_options=deaf.storage_options(),
        engine=request.param,
        timeout=20.0,
    )
    yield backend
    backend.close()


def stored(backend: Backend, size: int) -> bytes:
    data = some_bytes(size)
    backend.put_file("k", pieces(data), size=size, when=Always())
    return data


def whole(proxy: Proxy) -> list[Record]:
    return [record for record in proxy.records if record.method == "GET" and asks_for_all(record)]


def test_a_large_object_comes_back_by_one_plain_get(backend: Backend, deaf: Proxy) -> None:
    data = stored(backend, 21 * MIB)
    assert b"".join(backend.stream("k", size=len(data))) == data
    assert {record.status for record in deaf.records if "range" in record.headers} == {200}
    assert len(whole(deaf)) == 1


def test_a_range_that_is_called_a_whole_object_is_no_trouble(backend: Backend, proxy: Proxy) -> None:
    data = stored(backend, 21 * MIB)
    proxy.off()
    proxy.on(CalledWhole(), method="GET")
    assert b"".join(backend.stream("k", size=len(data))) == data


def test_a_server_that_stops_to_hear_ranges_in_the_middle_is_read_on(
    backend: Backend, proxy: Proxy, deaf: Proxy
) -> None:
    data = stored(backend, 33 * MIB)
    proxy.off()
    proxy.on(WithoutRange(), method="GET", nth=range(4, 100))
    assert b"".join(backend.stream("k", size=len(data))) == data


def test_a_body_that_breaks_off_is_asked_for_again_and_read_over(backend: Backend, deaf: Proxy) -> None:
    data = stored(backend, 20 * MIB)
    deaf.on(CutBody(), method="GET", when=asks_for_all, times=2)
    assert b"".join(backend.stream("k", size=len(data))) == data
    first, *later = whole(deaf)
    assert "if-match" not in first.headers
    assert all("if-match" in record.headers for record in later)


def test_a_small_body_that_breaks_off_is_asked_for_again(backend: Backend, deaf: Proxy) -> None:
    data = stored(backend, 3 * MIB)
    deaf.on(CutBody(), method="GET", when=asks_for_all, times=2)
    assert b"".join(backend.stream("k", size=len(data))) == data


def test_a_body_that_always_breaks_off_is_unavailable(backend: Backend, deaf: Proxy) -> None:
    data = stored(backend, 9 * MIB)
    deaf.on(CutBody(), method="GET", when=asks_for_all)
    got = bytearray()
    with pytest.raises(errors.Unavailable):
        for piece in backend.stream("k", size=len(data)):
            got += piece
    assert data.startswith(bytes(got))
    assert len(got) < len(data)


def test_an_object_that_is_replaced_in_between_is_never_mixed(backend: Backend, deaf: Proxy) -> None:
    data = stored(backend, 40 * MIB)
    deaf.on(CutBody(), method="GET", when=asks_for_all, times=1)
    stream = backend.stream("k", size=len(data))
    got = bytearray(next(stream))
    other = bytes(len(data))
    backend.put_file("k", pieces(other), size=len(other), when=Always())
    with pytest.raises(errors.DigestMismatch, match="replaced"):
        for piece in stream:
            got += piece
    assert data.startswith(bytes(got))


@pytest.mark.parametrize("more", [-MIB, MIB])
def test_an_object_of_another_size_is_told_before_a_byte_of_it(backend: Backend, more: int) -> None:
    data = stored(backend, 20 * MIB)
    with pytest.raises(errors.DigestMismatch, match=str(len(data))):
        next(backend.stream("k", size=len(data) + more))


@pytest.mark.nightly
def test_what_is_not_taken_yet_stays_at_the_server(backend: Backend, deaf: Proxy) -> None:
    data = stored(backend, 160 * MIB)
    stream = backend.stream("k", size=len(data))
    seen = len(next(stream))
    deaf.settle()
    (record,) = whole(deaf)
    held = []
    for _ in range(20):
        held.append(record.down - seen)
        seen += len(next(stream))
    assert max(held) < 32 * MIB  # with what the sockets of two connections hold
    assert seen + sum(map(len, stream)) == len(data)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_with_a_large_file_is_saved_loaded_and_verified(engine: str, deaf: Proxy, seaweed_prefix: str) -> None:
    store = ArtifactStore(deaf.url(seaweed_prefix), engine=engine, storage_options=deaf.storage_options(), timeout=20.0)
    weights = np.random.default_rng(0).random(2 * MIB)
    store.save(weights, "gru/BTCEUR")
    assert np.array_equal(store.load("gru/BTCEUR"), weights)
    assert store.verify("gru/BTCEUR").ok
