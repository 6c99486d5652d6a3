"""Notes about runs after they were saved, on every backend alike."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from artifact_store import ArtifactStore, LoadPolicy, errors
from artifact_store.core import keys
from artifact_store.core.names import ModelKey
from artifact_store.storage.base import Always
from artifact_store.storage.memory import MemoryBackend
from tests.keys import public, signer, strict
from tests.unit.samples import resealed

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"
NONE = timedelta(0)


def backend(store):
    return store._context.backend


def objects(store, prefix=""):
    found = [entry.key for entry in backend(store).list(prefix)]
    return {key: backend(store).read(key, limit=1 << 20).data for key in found}


def test_what_is_noted_is_beside_the_run_and_the_run_stays_as_it_is(store, open_store):
    run = store.save({"n": 1}, KEY, tags={"fold": 7}, metrics={"sharpe": 1.4}, description="as saved")
    before = {key: data for key, data in objects(store).items() if not key.startswith("_")}
    first = run.annotate(description="live since May", tags={"desk": "x"}, metrics={"live_sharpe": 0.9})
    run.annotate(metrics={"live_sharpe": float("nan"), "trades": True})
    other = open_store().get(KEY)
    found = other.notes()
    assert next(iter(found)) == first
    assert (found.description, found.tags, found.metrics["trades"]) == ("live since May", {"desk": "x"}, 1)
    assert found.metrics["live_sharpe"] != found.metrics["live_sharpe"]
    assert (other.description, other.tags, other.metrics) == ("as saved", {"fold": "7"}, {"sharpe": 1.4})
    assert {key: data for key, data in objects(store).items() if not key.startswith("_")} == before
    assert store.noted(KEY) == {run.run_id}
    assert store.verify().ok


def test_a_run_without_notes_has_none(store):
    run = store.save({"n": 1}, "gru")
    store.save({"n": 1}, KEY).annotate(tags={"a": "b"})
    assert len(run.notes()) == 0
    run.notes().check_tradable()
    assert store.noted("gru") == set()  # those of a symbol are of another model


def test_what_a_run_says_cannot_be_changed_by_assignment(store):
    run = store.save({"n": 1}, KEY, tags={"fold": 7}, metrics={"sharpe": 1.4})
    for said in (run.tags, run.metrics, next(iter(store.runs(KEY))).tags):
        with pytest.raises(errors.InvalidInput, match=r"run\.annotate"):
            said["live"] = "yes"


def test_a_note_has_to_say_something_that_can_be_stored(store):
    run = store.save({"n": 1}, KEY)
    for said in (
        {},
        {"reason": "why"},
        {"tags": {}},
        {"tags": "live"},
        {"metrics": {"live": "good"}},
        {"description": 7},
        {"description": "x" * (65 << 10)},
        {"do_not_trade": "yes"},
        {"do_not_trade": False},  # there is no mark
    ):
        with pytest.raises(errors.InvalidOption):
            run.annotate(**said)
    assert store.noted(KEY) == set()


def test_a_mark_stays_until_it_is_lifted(store, open_store):
    run = store.save({"n": 1}, KEY)
    run.annotate(do_not_trade=True, reason="a split")
    run.annotate(do_not_trade=True, reason="and a dividend")
    with pytest.raises(errors.NotForTrading, match="a dividend"):
        open_store().get(KEY).notes().check_tradable()
    run.annotate(do_not_trade=False, reason="prices are adjusted")
    open_store().get(KEY).notes().check_tradable()
    run.annotate(do_not_trade=True)
    assert run.notes().do_not_trade


def test_many_annotate_at_once_and_nothing_is_lost(store, open_store):
    store.save({"n": 1}, KEY)

    def annotate(number):
        return open_store().get(KEY).annotate(metrics={f"m{number}": number}, do_not_trade=number % 2 == 0 or None)

    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(annotate, range(8)))
    found = store.get(KEY).notes()
    assert set(found) == set(written)
    assert found.metrics == {f"m{number}": number for number in range(8)}
    assert len(found.marks) == 4


def test_a_run_that_is_gone_or_of_another_store_is_not_annotated(store):
    spare = store.save({"n": 1}, KEY, publish="never")
    store.delete(spare.ref).apply()
    with pytest.raises(errors.RunDeleted):
        spare.annotate(tags={"a": "b"})
    elsewhere = ArtifactStore(MemoryBackend())
    stranger = elsewhere.save({"n": 1}, KEY, run_id="20240101_000000")
    kept = store.save({"n": 2}, KEY, run_id="20240101_000000")
    kept._found = stranger.manifest
    with pytest.raises(errors.Conflict):
        kept.annotate(tags={"a": "b"})
    again = store.save({"n": 3}, KEY, run_id="20240102_000000")
    again._found = again.manifest.model_copy(update={"tags": {"a": "b"}})
    with pytest.raises(errors.Conflict, match="another run"):
        again.annotate(tags={"a": "b"})
    assert not objects(store, keys.NOTES)


def test_a_note_is_signed_where_there_is_a_signer(open_store):
    owner = open_store(signer=signer())
    run = owner.save({"n": 1}, KEY)
    run.annotate(tags={"by": "owner"})
    open_store(signer=signer("mallory"), policy=LoadPolicy(trusted_keys=[public()])).get(KEY).annotate(tags={"by": "m"})
    open_store().get(KEY).annotate(tags={"by": "nobody"}, do_not_trade=True)
    found = open_store(policy=strict()).get(KEY).notes()
    assert found.tags == {"by": "owner"}
    assert len(found.problems) == 2
    assert found.do_not_trade
    owner.get(KEY).annotate(do_not_trade=False)
    assert open_store(policy=strict()).get(KEY).notes().is_tradable


def test_a_damaged_note_keeps_a_run_from_being_traded(store):
    run = store.save({"n": 1}, KEY)
    note = run.annotate(do_not_trade=True)
    sound = objects(store)[note.storage_key]
    for damaged in (sound[:-9], sound.replace(b"true", b"null"), b"", b"x" * (70 << 10)):
        backend(store).write(note.storage_key, damaged, when=Always())
        with pytest.raises(errors.NotForTrading, match="cannot be read"):
            run.notes().check_tradable()
        with pytest.raises(errors.Corrupt):
            run.annotate(do_not_trade=False)
        (finding,) = [one for one in store.doctor(probes=False).findings if one.code.startswith("note-")]
        assert (finding.code, finding.severity, finding.target) == ("note-corrupt", "error", note.storage_key)
    backend(store).write(note.storage_key, sound, when=Always())
    assert run.notes().do_not_trade
    assert store.doctor(probes=False).ok


def test_a_note_that_lies_with_another_run_is_not_one_of_it(store):
    one, other = store.save({"n": 1}, KEY), store.save({"n": 2}, KEY)
    note = one.annotate(tags={"live": "yes"})
    moved = note.storage_key.replace(one.run_id, other.run_id)
    backend(store).write(moved, objects(store)[note.storage_key], when=Always())
    assert other.notes().tags == {}
    assert "copied or swapped" in str(other.notes().problems[0])
    assert [one.target for one in store.doctor(probes=False).findings if one.code == "note-corrupt"] == [moved]


def test_what_no_store_writes_among_notes_is_left_alone(store):
    run = store.save({"n": 1}, KEY)
    prefix = keys.notes_prefix(ModelKey.parse(KEY), run.run_id)
    backend(store).write(f"{prefix}readme.txt", b"?", when=Always())
    run.notes().check_tradable()
    assert store.noted(KEY) == set()
    assert [one.code for one in store.doctor(probes=False).findings if one.target.startswith("_notes")] == [
        "foreign-object"
    ]
    assert store.gc(grace=NONE).apply().ok
    assert f"{prefix}readme.txt" in objects(store)


# ---------------------------------------------------------------- with the run


def test_notes_go_with_a_run_byte_for_byte(store, tmp_path):
    run = store.save({"n": 1}, KEY)
    run.annotate(do_not_trade=True, reason="a split")
    target = ArtifactStore(MemoryBackend())
    assert store.copy(KEY, target).ok
    assert objects(target, keys.NOTES) == objects(store, keys.NOTES)
    run.annotate(do_not_trade=False)
    assert store.copy(KEY, target).ok  # the run is there, and what was noted since is copied
    assert objects(target, keys.NOTES) == objects(store, keys.NOTES)
    assert target.get(KEY).notes().is_tradable
    target.get(KEY).annotate(tags={"here": "only"})
    assert store.copy(KEY, target).ok
    assert len(target.get(KEY).notes()) == 3
    store.export(KEY, tmp_path / "one.zip")
    store.export(KEY, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with ArtifactStore(tmp_path / "one.zip") as archive:
        assert list(archive.get(KEY).notes()) == list(run.notes())
        with pytest.raises(errors.Unsupported):
            archive.get(KEY).annotate(tags={"a": "b"})
    third = ArtifactStore(MemoryBackend())
    assert third.import_from(tmp_path / "one.zip").ok
    assert objects(third, keys.NOTES) == objects(store, keys.NOTES)


def test_a_run_is_never_visible_without_its_mark(store):
    store.save({"n": 1}, KEY).annotate(do_not_trade=True)
    written = []

    class Watching(MemoryBackend):
        def write(self, key, data, *, when):
            written.append(key)
            return super().write(key, data, when=when)

    assert store.copy(KEY, ArtifactStore(Watching())).ok
    (note,) = [place for place, key in enumerate(written) if key.startswith(keys.NOTES)]
    (manifest,) = [place for place, key in enumerate(written) if key.endswith(f"/{keys.MANIFEST}")]
    assert note < manifest


def test_another_note_of_the_same_name_is_a_conflict(store):
    note = store.save({"n": 1}, KEY).annotate(tags={"a": "b"})
    target = ArtifactStore(MemoryBackend())
    assert store.copy(KEY, target).ok
    backend(target).write(note.storage_key, b"?", when=Always())
    (copied,) = store.copy(KEY, target).runs
    assert isinstance(copied.error, errors.Conflict)


def test_notes_stay_as_long_as_the_run_can_come_back(store):
    store.save({"n": 1}, KEY)
    spare = store.save({"n": 2}, KEY, publish="never")
    spare.annotate(do_not_trade=True)
    store.get(KEY).annotate(tags={"a": "b"})
    before = objects(store, keys.NOTES)
    store.delete(spare.ref).apply()
    assert store.gc().apply().ok
    assert objects(store, keys.NOTES) == before
    assert store.undelete(spare).notes().do_not_trade
    store.delete(spare.ref).apply()
    plan = store.gc(grace=NONE)
    store.undelete(spare)
    assert plan.apply().ok
    assert objects(store, keys.NOTES) == before  # it came back after the plan was made
    store.delete(spare.ref).apply()
    assert store.gc(grace=NONE).apply().ok
    assert list(objects(store, keys.NOTES)) == [key for key in before if spare.run_id not in key]
    assert not store.gc(grace=NONE).steps


def test_notes_that_came_after_a_sweep_are_cleared_by_the_next_one(store):
    spare = store.save({"n": 2}, KEY, publish="never")
    note = spare.annotate(tags={"a": "b"})
    late = objects(store)[note.storage_key]
    store.delete(spare.ref).apply()
    assert store.gc(grace=NONE).apply().ok
    backend(store).write(note.storage_key, late, when=Always())
    assert store.gc(grace=NONE).apply().ok
    assert not objects(store, keys.NOTES)


def test_notes_about_a_run_that_is_lost_are_kept_and_told(store):
    run = store.save({"n": 1}, KEY, publish="never")
    store.save({"n": 2}, KEY)
    run.annotate(tags={"a": "b"})
    for key in objects(store, keys.run_prefix(ModelKey.parse(KEY), run.run_id)):
        backend(store).delete(key)
    assert store.gc(grace=NONE).apply().ok
    assert len(objects(store, keys.NOTES)) == 1
    (finding,) = [one for one in store.doctor(probes=False).findings if one.code == "note-orphan"]
    assert (finding.severity, finding.target) == ("note", str(run.ref))


def test_a_note_of_a_newer_release_is_told_as_one(store):
    run = store.save({"n": 1}, KEY)
    note = run.annotate(tags={"a": "b"})
    value = json.loads(note.to_bytes()) | {"format": "2.0"}
    backend(store).write(note.storage_key, resealed(value), when=Always())
    with pytest.raises(errors.NotForTrading, match="upgrade"):
        run.notes().check_tradable()
    assert "format-too-new" in [one.code for one in store.doctor(probes=False).findings]
