"""A store that is opened offline: what the cache saw last, said aloud, and held to everything that holds online."""

import contextlib
import pickle
import shutil
import warnings
from datetime import UTC, datetime, timedelta

import pytest

from artifact_store import ArtifactStore, LoadPolicy, OfflineWarning, errors
from artifact_store.core import keys
from artifact_store.storage.base import Always, Backend
from tests.keys import public, signer, strict
from tests.stores import write_files

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"
REMOTE = pytest.mark.parametrize("place", ["memory", "obstore", "s3fs"], indirect=True)
NEAR = pytest.mark.parametrize("place", ["memory"], indirect=True)
"""For what does not depend on the storage, of which nothing is asked."""


@pytest.fixture
def online(open_store, tmp_path):
    """A client with a cache."""
    return open_store(cache=tmp_path / "cache")


@pytest.fixture
def offline(open_store, tmp_path, monkeypatch):
    """Open the store offline, with the same cache; a request would fail the test."""

    def opened(**changes):
        store = open_store(cache=tmp_path / "cache", offline=True, **changes)
        inner = store._context.backend.inner

        def refuse(*_, **__):
            raise AssertionError("offline, and a request is made")

        for name in Backend.__abstractmethods__:
            monkeypatch.setattr(inner, name, refuse)
        return store

    return opened


@contextlib.contextmanager
def told(*refs):
    """Expect a warning about each of these, and no other."""
    with pytest.warns(OfflineWarning) as caught:
        yield caught
    assert [warning.message.ref for warning in caught] == list(refs)
    assert all(warning.filename == __file__ for warning in caught)


@REMOTE
def test_what_was_loaded_online_is_loaded_offline_and_said_to_be_old(online, offline, tmp_path):
    files = write_files(tmp_path / "files", {"a.txt": b"a", "b.bin": b"b" * 100_000})["a.txt"].parent
    run = online.save({"n": 1}, KEY, components={"files": files})
    online.find(KEY).download(tmp_path / "download")
    online.get(str(run.ref))
    store = offline()
    with told(f"{KEY}@latest") as caught:
        assert store.load(KEY) == {"n": 1}
    assert str(caught[0].message).startswith(f"offline: {KEY}@latest is as this cache saw it ")
    assert abs(datetime.now(UTC) - caught[0].message.seen_at) < timedelta(minutes=5)
    assert str(pickle.loads(pickle.dumps(caught[0].message))) == str(caught[0].message)
    with told(f"{KEY}@best_wf", f"{KEY}@latest"):
        found = store.find(KEY)
    assert found == run
    with told(str(run.ref)):
        assert store.get(str(run.ref)) == run
    assert (found.path("files") / "b.bin").read_bytes() == b"b" * 100_000
    with found.open("model.json") as file:
        assert file.read() == b'{"n":1}'
    assert found.download(tmp_path / "again").joinpath("manifest.json").is_file()
    with told(f"{KEY}@latest"):
        assert [publish.run_id for publish in store.history(KEY)] == [run.run_id]


@NEAR
def test_the_latest_that_was_seen_counts_whatever_was_published_since(online, offline, open_store):
    first = online.save({"n": 1}, KEY)
    assert online.load(KEY) == {"n": 1}
    open_store().save({"n": 2}, KEY)  # by a client without this cache
    with told(f"{KEY}@latest"):
        assert offline().get(KEY) == first
    assert online.load(KEY) == {"n": 2}
    with told(f"{KEY}@latest"):
        assert offline().load(KEY) == {"n": 2}


@NEAR
def test_what_the_cache_lacks_is_named_with_what_to_do(online, offline, open_store, tmp_path):
    files = write_files(tmp_path / "files", {f"{name}.txt": name.encode() for name in "abcdef"})["a.txt"].parent
    run = online.save({"n": 1}, KEY, components={"files": files})
    with pytest.raises(errors.NotCached, match=r"latest\.json.*while online") as caught:
        offline().load(KEY)
    assert caught.value.missing == (f"{KEY}/latest.json",)
    assert online.load(KEY) == {"n": 1}
    store = offline()
    with told(f"{KEY}@latest"):
        there = store.get(KEY)
    with pytest.raises(errors.NotCached, match="and 3 more") as caught:
        there.load("files", into=tmp_path / "out")
    assert len(caught.value.missing) == 6
    with pytest.raises(errors.NotCached, match="while online"):
        there.open("files.dir/a.txt")
    online.load(KEY, "files", into=tmp_path / "online")  # the advice
    with told(f"{KEY}@latest"):
        store.load(KEY, "files", into=tmp_path / "now")
    assert (tmp_path / "now" / "f.txt").read_bytes() == b"f"
    with pytest.raises(errors.NotCached, match=run.run_id):
        store.get(str(run.ref))


@NEAR
def test_what_was_not_there_is_not_there_and_a_retired_alias_is_retired(online, offline):
    run = online.save({"n": 1}, KEY)
    with pytest.raises(errors.AliasNotFound):
        online.load(f"{KEY}@best_wf")
    online.promote(run.ref, "canary")
    online.retire(f"{KEY}@canary")
    with pytest.raises(errors.AliasRetired):
        online.load(f"{KEY}@canary")
    store = offline()
    with told(f"{KEY}@best_wf"), pytest.raises(errors.AliasNotFound, match="offline"):
        store.load(f"{KEY}@best_wf")
    with told(f"{KEY}@canary"), pytest.raises(errors.AliasRetired):
        store.load(f"{KEY}@canary")


@NEAR
def test_what_a_cache_cannot_know_and_what_writes_is_refused(online, offline):
    run = online.save({"n": 1}, KEY)
    assert online.load(KEY) == {"n": 1}
    store = offline()
    cut = f"{KEY}:{run.run_id[:8]}"
    for call in (store.models, lambda: list(store.runs(KEY)), lambda: store.get(cut), lambda: store.verify(KEY)):
        with pytest.raises(errors.NotCached, match="cannot be listed"):
            call()
    for call in (store.exists, store.gc, lambda: store.promote(run, "canary")):
        with pytest.raises(errors.NotCached, match="leave out offline=True"):
            call()
    with pytest.raises(errors.Unsupported, match="offline=True"):
        store.save({"n": 2}, KEY)
    with pytest.raises(errors.Unsupported, match="offline=True"):
        store.check_writable(KEY)
    for watch in (lambda: store.watch(KEY, max_stale=timedelta(minutes=5)), store.watcher):  # nothing would confirm it
        with pytest.raises(errors.Unsupported, match="offline=True"):
            watch()


@NEAR
def test_a_damaged_cache_is_an_incomplete_one(online, offline, tmp_path):
    online.save({"n": 1}, KEY)
    assert online.load(KEY) == {"n": 1}
    damaged = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.name != "usage"]
    assert len(damaged) == 2
    for kept in damaged:
        whole = kept.read_bytes()
        kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with warnings.catch_warnings(), pytest.raises(errors.NotCached):
            warnings.simplefilter("ignore", OfflineWarning)
            offline().load(KEY)
        kept.write_bytes(whole)
    with told(f"{KEY}@latest"):
        assert offline().load(KEY) == {"n": 1}
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(errors.NotCached):
        offline().load(KEY)


@NEAR
def test_signatures_are_asked_for_as_online(open_store, offline, tmp_path):
    owner = open_store(signer=signer(), policy=strict())
    run = owner.save({"n": 1}, KEY)
    reader = open_store(policy=strict("other", "owner"), cache=tmp_path / "cache")
    assert reader.load(KEY) == {"n": 1}
    with told(f"{KEY}@latest"):
        assert offline(policy=strict("other", "owner")).load(KEY) == {"n": 1}
    with pytest.raises(errors.Untrusted):
        offline(policy=strict("other")).load(KEY)
    with pytest.raises(errors.Stale):
        offline(policy=strict(max_age=timedelta(microseconds=1))).load(KEY)
    unsigned = open_store(cache=tmp_path / "cache").save({"n": 2}, "gru/ETHEUR")
    assert open_store(cache=tmp_path / "cache").load("gru/ETHEUR") == {"n": 2}
    with pytest.raises(errors.SignatureMissing):
        offline(policy=strict()).load("gru/ETHEUR")
    with pytest.raises(errors.NotCached, match="_signatures"):
        offline(policy=strict()).get(str(unsigned.ref))
    assert run


@NEAR
def test_what_was_refused_online_does_not_take_the_place_of_what_was_believed(open_store, offline, tmp_path):
    owner = open_store(signer=signer(), policy=strict())
    options = {"policy": strict(), "cache": tmp_path / "cache", "state": tmp_path / "seen"}
    owner.save({"n": 1}, KEY)
    backend = owner._context.backend
    where = keys.pointer(owner.get(KEY).key, "latest")
    old = backend.read(where, limit=1 << 20).data
    owner.save({"n": 2}, KEY)
    assert open_store(**options).load(KEY) == {"n": 2}
    backend.write(where, old, when=Always())  # an older state is put back
    with pytest.raises(errors.RolledBack):
        open_store(**options).load(KEY)
    with told(f"{KEY}@latest"):
        assert offline(policy=strict(), state=tmp_path / "seen").load(KEY) == {"n": 2}


@NEAR
def test_an_older_state_of_the_cache_is_a_rollback(open_store, offline, tmp_path):
    owner = open_store(signer=signer(), policy=strict())
    options = {"policy": strict(), "cache": tmp_path / "cache", "state": tmp_path / "seen"}
    owner.save({"n": 1}, KEY)
    assert open_store(**options).load(KEY) == {"n": 1}
    shutil.copytree(tmp_path / "cache", tmp_path / "old")
    owner.save({"n": 2}, KEY)
    assert open_store(**options).load(KEY) == {"n": 2}
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "old").rename(tmp_path / "cache")
    with pytest.raises(errors.RolledBack):
        offline(policy=strict(), state=tmp_path / "seen").load(KEY)


@NEAR
def test_code_needs_consent_offline_too(open_store, offline, tmp_path):
    joblib = pytest.importorskip("joblib")
    assert joblib
    run = open_store().save({"n": 1}, KEY, codec="joblib")
    online = open_store(cache=tmp_path / "cache")
    with pytest.raises(errors.RiskRefused):
        online.load(KEY)
    assert online.load(KEY, allow_code=True) == {"n": 1}
    with told(f"{KEY}@latest"), pytest.raises(errors.RiskRefused):
        offline().load(KEY)
    trusting = LoadPolicy(trusted_keys=[public()])
    with told(f"{KEY}@latest"), pytest.raises(errors.NotCached, match="_signatures"):
        offline(policy=trusting).load(KEY)
    open_store().sign(run, signer())
    assert open_store(cache=tmp_path / "cache", policy=trusting).load(KEY) == {"n": 1}
    with told(f"{KEY}@latest"):
        assert offline(policy=trusting).load(KEY) == {"n": 1}


def test_a_folder_of_this_machine_is_read_where_it_is(tmp_path):
    with ArtifactStore(tmp_path / "store", cache=tmp_path / "cache") as store:
        store.save({"n": 1}, KEY)
        assert store.load(KEY) == {"n": 1}
    assert not (tmp_path / "cache").exists()
    with pytest.raises(errors.InvalidOption, match="leave out offline=True"):
        ArtifactStore(tmp_path / "store", cache=tmp_path / "cache", offline=True)
