"""How many requests, and how many of them one after the other, an operation costs: counted at a proxy."""

import pytest

from artifact_store import ArtifactStore
from tests.keys import signer, strict
from tests.servers import Proxy
from tests.stores import write_files

KEY = "gru/BTCEUR"


@pytest.fixture
def proxy(seaweed):
    """A link with a round trip so long that what is sent together overlaps, however busy the machine is."""
    with Proxy(seaweed, rtt_ms=150) as proxy:
        yield proxy


@pytest.fixture(params=["obstore", "fsspec"])
def client(request, proxy, seaweed_prefix, tmp_path):
    """A warm client of a store behind the proxy."""
    store = ArtifactStore(
        proxy.url(seaweed_prefix),
        engine=request.param,
        storage_options=proxy.storage_options(),
        cache=tmp_path / "cache",
    )
    save_five(store, tmp_path / "warm")
    store.load(KEY, "a")
    return store


def save_five(store, directory):
    """Save a run of five files, the summary included."""
    write_files(directory, {f"{name}.bin": name.encode() * 60_000 for name in "abcd"})
    with store.new_run(KEY) as draft:
        for name in "abcd":
            draft.add(name, directory / f"{name}.bin")
    assert len(draft.run.files) == 5
    return draft.run


def counted(proxy, work):
    proxy.reset()
    work()
    stats = proxy.stats()
    assert not [r for r in proxy.records if "marker" in r.target or r.target.endswith("_store.json")]
    assert not [r for r in proxy.records if r.method == "HEAD" or "list-type" in r.target], stats
    assert not [r for r in proxy.records if "expect" in r.headers]
    return stats["requests"], stats["depth"]


def test_a_save_takes_three_steps(client, proxy, tmp_path):
    requests, depth = counted(proxy, lambda: save_five(client, tmp_path / "x"))
    assert depth == 3
    assert requests == 5 + 1 + 1 + 2  # the files beside a look at the pointer and the notice, the manifest, the pointer


def test_a_load_takes_two_steps(client, proxy):
    requests, depth = counted(proxy, lambda: client.load(KEY, "b"))
    assert (requests, depth) == (2, 2)


def test_a_download_of_all_files_takes_two_steps(client, proxy, tmp_path):
    requests, depth = counted(proxy, lambda: client.get(KEY).download(tmp_path / "out"))
    assert depth == 2
    assert requests <= 1 + 5


def test_a_refresh_of_what_did_not_change_takes_one_step(client, proxy):
    requests, depth = counted(proxy, lambda: client.load(KEY, "a"))
    assert (requests, depth) == (1, 1)
    requests, depth = counted(proxy, lambda: client.get(KEY))
    assert (requests, depth) == (1, 1)


def test_a_listing_by_the_index_takes_three_requests_however_many_runs_there_are(client, proxy, tmp_path):
    for number in range(3):
        save_five(client, tmp_path / str(number))
    client.index.compact()
    proxy.reset()
    assert len(list(client.runs(KEY, where=lambda run: run.metrics == {}))) == 4
    assert (proxy.stats()["requests"], proxy.stats()["depth"]) == (
        3,
        2,
    )  # the names beside the index: a listing, a block
    proxy.reset()
    assert len(list(client.runs(index="only"))) == 4
    assert (proxy.stats()["requests"], proxy.stats()["depth"]) == (2, 2)


@pytest.fixture(params=["obstore", "fsspec"])
def signing(request, proxy, seaweed_prefix, tmp_path):
    """A warm client of a store behind the proxy, which signs, and takes only what is signed."""
    store = ArtifactStore(
        proxy.url(seaweed_prefix),
        engine=request.param,
        storage_options=proxy.storage_options(),
        signer=signer(),
        policy=strict(),
        state=tmp_path / "seen",
    )
    save_five(store, tmp_path / "warm")
    store.load(KEY, "a")
    return store


def test_a_signed_save_takes_three_steps_and_a_verified_load_two(signing, proxy, tmp_path):
    requests, depth = counted(proxy, lambda: save_five(signing, tmp_path / "x"))
    assert depth == 3
    assert requests == 5 + 1 + 1 + 1 + 2  # the signature beside the files
    signing._context.verified.clear()
    requests, depth = counted(proxy, lambda: signing.load(KEY, "b"))
    assert (requests, depth) == (3, 2)
    requests, depth = counted(proxy, lambda: signing.load(KEY, "b"))
    assert (requests, depth) == (2, 2)  # what was verified needs not be asked for again


def test_a_history_takes_two_steps_however_long_it_is(client, proxy):
    runs = [client.save({"n": number}, "gru/LONG", publish="never") for number in range(2)]
    proxy.rtt_ms = 0.0
    for number in range(200):
        client.promote(runs[number % 2], "production")
    proxy.rtt_ms = 150.0
    requests, depth = counted(proxy, lambda: client.history("gru/LONG@production"))
    assert (requests, depth) == (1 + 5, 2)  # the pointer, and five blocks of 32 publishes


def test_many_models_are_loaded_in_two_steps(client, proxy):
    proxy.rtt_ms = 0.0
    names = [f"gru/S{number}" for number in range(12)]
    for name in names:
        client.save({"n": name}, name)
    proxy.rtt_ms = 400.0  # long for a machine with other work
    client.load_many(names, "metadata.json")  # which is no component: for the connections
    requests, depth = counted(proxy, lambda: client.load_many([*names, *names]).values())
    assert (requests, depth) == (2 * len(names), 2)
    requests, depth = counted(proxy, lambda: client.load_many(names).values())  # with what the cache has
    assert (requests, depth) == (len(names), 1)


def test_a_watched_alias_that_was_not_published_again_is_one_conditional_request(client, proxy):
    client.save({"n": 1}, "gru/WATCHED")
    with client.watch("gru/WATCHED", every=3600.0) as watched:
        requests, _ = counted(proxy, watched.poll)
        assert requests == 1
        assert [(record.status, "if-none-match" in record.headers) for record in proxy.records] == [(304, True)]
