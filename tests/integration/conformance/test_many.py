"""Many references loaded at once, on every backend alike: as one load does each, in order, and none stops another."""

import threading

import pytest

from artifact_store import ArtifactStore, LoadPolicy, Run, RunRef, errors
from artifact_store.core import keys
from artifact_store.storage.base import Always
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend
from tests.keys import signer

pytestmark = pytest.mark.windows

NAMES = [f"gru/S{number}" for number in range(5)]


@pytest.fixture
def filled(store):
    for number, name in enumerate(NAMES):
        store.save({"n": number}, name, components={"extra": [number]})
    return store


def damage(store, name):
    """Let the file of a model hold other bytes than were saved."""
    run = store.get(name)
    backend = store._context.backend
    key = keys.data_file(run.key, run.run_id, run.manifest.file(run.manifest.component("model").files[0]).key)
    data = backend.read(key, limit=1 << 20).data
    backend.delete(key)
    backend.write(key, data.swapcase()[::-1], when=Always())


def test_each_reference_has_its_value_in_the_order_of_the_references(filled):
    found = filled.load_many(reversed(NAMES))
    assert found.ok
    assert found.values() == [{"n": number} for number in reversed(range(5))]
    assert [one.ref for one in found] == [RunRef.parse(name) for name in reversed(NAMES)]
    assert all(isinstance(one.run, Run) and one.run == filled.get(one.ref) for one in found)
    assert filled.load_many(NAMES[:2], "extra").values() == [[0], [1]]
    assert filled.load_many(NAMES[:2], load=lambda run: run.key.symbol).values() == ["S0", "S1"]
    assert filled.load_many([]).values() == []


def test_what_is_wrong_with_one_stops_no_other_and_is_what_a_load_of_it_raises(filled):
    damage(filled, NAMES[1])
    run = filled.save({"n": 9}, NAMES[2], publish="never")
    filled.delete(run.ref).apply()
    refs = [NAMES[0], NAMES[1], run.ref, "gru/UNKNOWN", "gru/S3@nowhere", "no model/@", NAMES[4]]
    found = filled.load_many(refs)
    assert [one.value for one in found] == [{"n": 0}, None, None, None, None, None, {"n": 4}]
    assert [bool(one) for one in found] == [True, False, False, False, False, False, True]
    for one, ref in zip(found, refs, strict=True):
        if one:
            continue
        with pytest.raises(type(one.error)) as alone:
            filled.load(ref)
        assert str(alone.value) == str(one.error)
    assert (found.ok, len(found.failed)) == (False, 5)
    with pytest.raises(ExceptionGroup, match="5 of 7 references") as caught:
        found.values()
    assert {type(error) for error in caught.value.exceptions} == {
        errors.DigestMismatch, errors.RunDeleted, errors.AliasNotFound, errors.InvalidName,
    }  # fmt: skip


def test_equal_references_are_loaded_once_and_share_their_value(filled):
    asked, lock = [], threading.Lock()

    def load(run):
        with lock:
            asked.append(str(run.key))
        return run.load()

    same = [NAMES[0], f"{NAMES[0]}@latest", RunRef.parse(NAMES[0])]
    found = filled.load_many([*same, NAMES[1], *same], load=load)
    assert sorted(asked) == NAMES[:2]
    assert len({id(one.value) for one in found}) == 2
    assert len(found) == 7


def test_it_is_told_how_many_are_done(filled):
    told = []
    filled.load_many([*NAMES, NAMES[0], "gru/UNKNOWN"], progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]


def test_a_single_reference_is_no_list_of_them(filled):
    with pytest.raises(errors.InvalidOption, match=r"\['gru/S0'\]"):
        filled.load_many("gru/S0")


def test_an_error_of_a_codec_s_library_stays_what_it_is(filled):
    def load(run):
        if run.key.symbol == "S1":
            raise ZeroDivisionError("by the library")
        return run.load()

    found = filled.load_many(NAMES, load=load)
    assert [type(one.error) for one in found if not one] == [ZeroDivisionError]


def test_code_is_decoded_only_where_that_is_allowed_and_pins_are_by_reference(open_store):
    open_store().save(b"bytes", "gru/A", codec=None)
    strict = open_store(policy=LoadPolicy(trusted_keys=[signer().public_key], require_signature=True))
    assert isinstance(strict.load_many(["gru/A"])[0].error, errors.Untrusted)
    assert isinstance(open_store().load_many(["gru/A"], sha256={"gru/A": "0" * 64})[0].error, errors.ArtifactStoreError)


def test_what_the_cache_has_is_not_fetched_again(open_store, tmp_path, filled):
    caching = open_store(cache=tmp_path / "cache")
    assert caching.load_many(NAMES).values() == caching.load_many(NAMES).values()
    if caching._context.backend.local_path("gru") is None:
        assert [entry.kind for entry in caching.cache.entries()].count("file") == 5


def test_once_the_storage_is_away_nothing_more_is_asked_of_it():
    backend = MemoryBackend("away")
    ArtifactStore(backend).save({"n": 1}, "gru/S0")
    away = FaultyBackend(backend, Faults().on("read").unavailable())
    found = ArtifactStore(away, timeout=0.05).load_many([f"gru/S{number}" for number in range(1000)])
    assert {type(one.error) for one in found} == {errors.Unreachable}
    assert len({operation.key for operation in away.log}) < 200


def test_its_temporary_space_is_gone_when_the_values_are_there(tmp_path):
    store = ArtifactStore("memory://space", staging=tmp_path)
    for name in NAMES:
        store.save({"n": name}, name)
    assert store.load_many(NAMES).ok
    assert list(tmp_path.rglob("*")) == []


def test_a_path_that_was_asked_for_stays_as_long_as_the_process(tmp_path):
    store = ArtifactStore("memory://paths", staging=tmp_path)
    store.save({"n": 1}, NAMES[0])
    store.save({"n": 2}, NAMES[1])
    paths = store.load_many(NAMES[:2], load=lambda run: run.path()).values()
    assert all(path.is_file() for path in paths)
    assert paths[0] != paths[1]
