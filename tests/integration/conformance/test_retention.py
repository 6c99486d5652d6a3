"""Deleting, bringing back, pruning and clearing away, on every backend alike."""

import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from artifact_store import ArtifactStore, ModelKey, errors
from artifact_store.core import keys
from artifact_store.core.names import RunId
from artifact_store.core.tombstone import Tombstone
from artifact_store.storage.base import Always
from tests import invariants
from tests.stores import write_files

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"
NOW = timedelta(0)


def backend(store):
    return store._context.backend


def all_keys(store):
    return sorted(entry.key for entry in backend(store).list(""))


def below(store, run):
    prefix = keys.run_prefix(run.key, run.run_id)
    return [entry.key.removeprefix(prefix) for entry in backend(store).list(prefix)]


def saved(store, count, **kwargs):
    return [store.save({"n": n}, KEY, **kwargs) for n in range(count)]


def ids(steps):
    return [step.target.partition(":")[2] for step in steps]


def crashed(store, run_id="20200101_000000_dead", key=KEY):
    """Leave what a save leaves that was killed before its commit."""
    run = store.save({"n": "crash"}, key, run_id=run_id, publish="never")
    backend(store).delete(keys.manifest(run.key, run.run_id))
    return run


# ---------------------------------------------------------------- delete and undelete


def test_a_plan_to_delete_changes_nothing_until_it_is_applied(store, open_store):
    one, _ = saved(store, 2)
    before = all_keys(store)
    plan = store.delete(one)
    assert [(step.target, step.action) for step in plan] == [(str(one.ref), "delete")]
    assert plan.bytes == sum(file.size for file in one.files.values())
    assert plan.kept == ()
    assert all_keys(store) == before
    assert open_store().get(str(one.ref)) == one
    applied = plan.apply()
    assert [done.result for done in applied] == ["deleted"]
    assert applied.ok
    told = [key for key in all_keys(store) if key.startswith("_index/gone/")]
    assert len(told) == 1
    assert all_keys(store) == sorted([*before, *told])  # its files are all there; the tombstone replaces the manifest


def test_a_deleted_run_is_gone_for_every_reader_and_its_files_are_there(store, open_store):
    one, two = saved(store, 2)
    held = open_store().get(str(one.ref))
    store.delete(str(one.ref), reason="diverged").apply()
    other = open_store(actor="reader")
    for read in (
        lambda: other.get(str(one.ref)),
        lambda: other.load(str(one.ref)),
        lambda: other.verify(str(one.ref)),
        lambda: other.promote(held, "production"),
        lambda: other.promote(str(one.ref), "production"),
        lambda: other.rollback(KEY, to=str(one.run_id)),
        lambda: other.delete(str(one.ref)),
        lambda: other.save({"n": 9}, KEY, run_id=str(one.run_id)),
    ):
        with pytest.raises(errors.RunDeleted, match="diverged.*undelete brings it back"):
            read()
    assert [run.run_id for run in other.runs(KEY)] == [two.run_id]
    assert other.runs(KEY).problems == []
    assert other.load(KEY) == {"n": 1}
    assert other.verify().ok
    with pytest.raises(errors.NothingToRollBackTo):
        other.rollback(KEY)
    assert held.load() == {"n": 0}  # who holds it already may go on until it is swept


def test_a_deleted_run_comes_back_byte_for_byte(store, open_store):
    one, _ = saved(store, 2)
    digest = one.manifest.digest
    store.delete(one).apply()
    again = open_store().undelete(str(one.ref))
    assert again == one
    assert again.manifest.digest == digest
    assert open_store().load(str(one.ref)) == {"n": 0}
    assert open_store().undelete(again) == one  # it is there: that is no error
    assert store.promote(one, "latest").manifest_sha256 == digest
    assert store.verify().ok
    store.promote(str(next(iter(store.runs(KEY))).ref), "latest")
    store.delete(one).apply()
    store.undelete(one)
    invariants.check(store, KEY)


def test_what_an_alias_names_is_not_deleted(store):
    one, two = saved(store, 2)
    store.promote(one, "production")
    store.promote(one, "best_wf")
    with pytest.raises(errors.RunInUse, match="best_wf, gru/BTCEUR@production") as caught:
        store.delete(one)
    assert caught.value.aliases == ("best_wf", "production")
    store.retire(f"{KEY}@production")
    store.promote(two, "best_wf")
    assert store.delete(one).apply().ok


def test_a_plan_that_has_gone_stale_does_less(store, open_store):
    one, _ = saved(store, 2)
    plan = store.delete(one)
    open_store().promote(one, "production")
    with pytest.raises(errors.RunInUse):
        plan.apply()
    assert store.load(str(one.ref)) == {"n": 0}
    store.retire(f"{KEY}@production")
    plan.apply()
    with pytest.raises(errors.RunDeleted):
        plan.apply()


def test_a_handle_on_a_run_of_another_store_deletes_nothing_here(store, tmp_path):
    store.save({"n": 1}, KEY, run_id="20240101_000000", publish="never")
    with ArtifactStore(tmp_path / "other") as other:
        foreign = other.save({"n": 2}, KEY, run_id="20240101_000000")
    for call in (store.delete, store.undelete):
        with pytest.raises(errors.Conflict, match="another run"):
            call(foreign)
    assert store.load(f"{KEY}:20240101_000000") == {"n": 1}


def test_only_a_full_id_names_what_is_deleted(store):
    one, _ = saved(store, 2)
    for ref in (KEY, f"{KEY}@latest", f"{KEY}:{one.run_id[:8]}", f"{KEY}:2"):
        for call in (store.delete, store.undelete):
            with pytest.raises(errors.InvalidReference, match="full id"):
                call(ref)
    for call in (store.delete, store.undelete):
        with pytest.raises(errors.InvalidReference, match=f"'nope' is none.*such as {KEY}:2024") as caught:
            call(f"{KEY}:nope")
        assert f"`artifact-store ls {KEY}`" in str(caught.value)
    with pytest.raises(errors.RunNotFound):
        store.delete(f"{KEY}:20200101_000000")
    with pytest.raises(errors.RunNotFound):
        store.undelete(f"{KEY}:20200101_000000")


def test_names_that_would_lead_elsewhere_are_refused_and_nothing_is_touched(store, tmp_path):
    """As in MLflow's CVE-2024-1560, where a name led a delete to any folder."""
    canary = tmp_path / "canary" / "manifest.json"
    canary.parent.mkdir()
    canary.write_bytes(b"alive")
    saved(store, 1)
    before = all_keys(store)
    for name in ("../canary", "%63anary", "..\\canary", "/etc", "20240816_142301/../..", "*", ""):
        for ref in (f"{KEY}:{name}", f"gru/{name}:20240816_142301", f"{name}/X:20240816_142301"):
            for call in (store.delete, store.undelete):
                with pytest.raises(
                    (errors.InvalidInput, errors.NotFound)
                ):  # some are symbols, of which there is no run
                    call(ref)
        with pytest.raises((errors.InvalidInput, errors.ModelNotFound)):
            store.prune(f"gru/{name}", keep_last=0)
    assert all_keys(store) == before
    assert canary.read_bytes() == b"alive"


def test_a_run_whose_manifest_cannot_be_believed_is_not_deleted(store):
    one, _ = saved(store, 2)
    place = keys.manifest(one.key, one.run_id)
    backend(store).write(place, b"{", when=Always())
    with pytest.raises(errors.Corrupt):
        store.delete(one)
    plan = store.prune(KEY, keep_last=0, grace=NOW)
    assert [problem.where for problem in plan.problems] == [str(one.ref)]
    assert str(one.ref) not in [step.target for step in plan]
    assert backend(store).read(place, limit=10).data == b"{"
    assert [problem.where for problem in store.gc(grace=NOW).problems] == [str(one.ref)]


def test_a_tombstone_that_cannot_be_believed_is_reported(store):
    one, _ = saved(store, 2)
    store.delete(one).apply()
    place = keys.manifest(one.key, one.run_id)
    data = backend(store).read(place, limit=1 << 20).data
    backend(store).write(place, data[:-2] + b"1}", when=Always())
    assert not store.verify(KEY).ok
    with pytest.raises(errors.Corrupt):
        store.undelete(one)
    plan = store.gc(grace=NOW)
    assert [problem.where for problem in plan.problems] == [str(one.ref)]
    assert plan.changes == ()


# ---------------------------------------------------------------- gc of deleted runs


def test_gc_sweeps_a_deleted_run_after_the_grace_period_and_keeps_its_tombstone(store, open_store):
    one, two = saved(store, 2)
    store.delete(one, reason="old").apply()
    plan = store.gc()
    assert [step.action for step in plan] == ["keep"]
    assert "can be brought back until" in plan.kept[0].reason
    assert plan.apply().done == ()
    assert "model.json" in below(store, one)
    plan = store.gc(grace=NOW)
    assert [(step.target, step.action) for step in plan] == [(str(one.ref), "sweep")]
    assert "model.json" in below(store, one)
    assert [done.result for done in plan.apply()] == ["swept"]
    assert below(store, one) == ["manifest.json"]
    assert list(open_store().gc(grace=NOW)) == []
    with pytest.raises(errors.RunDeleted, match="its files are gone"):
        open_store().undelete(one)
    with pytest.raises(errors.RunDeleted):
        one.load()
    with pytest.raises(errors.RunDeleted, match="gone"):
        open_store().save({"n": 5}, KEY, run_id=str(one.run_id))
    assert [step.action for step in store.gc()] == ["sweep"]  # of what that save had stored before it was told
    assert [run.run_id for run in open_store().runs()] == [two.run_id]
    assert store.load(KEY) == {"n": 1}
    assert store.verify().ok


def test_a_plan_of_gc_whose_run_came_back_leaves_it_alone(store, open_store):
    one, _ = saved(store, 2)
    store.delete(one).apply()
    plan = store.gc(grace=NOW)
    open_store().undelete(one)
    assert [done.result for done in plan.apply()] == ["kept"]
    assert store.load(str(one.ref)) == {"n": 0}
    open_store().delete(one).apply()
    later = store.gc(grace=timedelta(hours=1))
    assert later.changes == ()


def test_the_age_of_a_deletion_goes_by_the_clock_of_the_storage(store, open_store):
    one, _ = saved(store, 2)
    store.delete(one).apply()
    ahead = open_store(clock=lambda: datetime(2990, 1, 1, tzinfo=UTC))
    plan = ahead.gc()
    assert [step.action for step in plan] == ["sweep"]  # so it looks from there
    assert [done.result for done in plan.apply()] == ["kept"]
    assert "model.json" in below(store, one)
    behind = open_store(clock=lambda: datetime(2001, 1, 1, tzinfo=UTC))
    assert behind.gc(grace=NOW).changes == ()


def test_a_sweep_brings_back_what_an_alias_names(store):
    """What a promotion leaves that died between its swap and its last look."""
    one, _ = saved(store, 2)
    store.promote(one, "production")
    note = store._context.publish_info("died")
    stone = Tombstone.mark(one.manifest, note)
    backend(store).write(keys.manifest(one.key, one.run_id), stone.to_bytes(), when=Always())
    assert not store.verify(KEY).ok
    plan = store.gc(grace=NOW)
    assert [step.action for step in plan] == ["restore"]
    assert "production" in plan.changes[0].reason
    assert [done.result for done in plan.apply()] == ["restored"]
    assert store.load(f"{KEY}@production") == {"n": 0}
    assert store.get(str(one.ref)) == one
    assert store.verify(KEY).ok


def test_what_a_sweep_left_behind_is_swept_again(store):
    one, _ = saved(store, 2)
    store.delete(one).apply()
    store.gc(grace=NOW).apply()
    late = keys.data_file(one.key, one.run_id, "model.json")
    backend(store).write(late, b"a late upload", when=Always())
    plan = store.gc()
    assert [step.action for step in plan] == ["sweep"]
    plan.apply()
    assert below(store, one) == ["manifest.json"]


# ---------------------------------------------------------------- gc of what was never committed


def test_gc_clears_a_save_that_was_cut_short_so_that_it_can_never_be_committed(store, open_store):
    one = crashed(store)
    sound = store.save({"n": 1}, KEY)
    plan = store.gc()
    assert [(step.target, step.action) for step in plan] == [(str(one.ref), "keep")]
    assert "under way" in plan.kept[0].reason
    plan = store.gc(grace=NOW)
    assert [(step.target, step.action) for step in plan] == [(str(one.ref), "clear")]
    assert [done.result for done in plan.apply()] == ["cleared"]
    assert below(store, one) == ["manifest.json"]
    with pytest.raises(errors.RunDeleted, match="never having been committed"):
        open_store().save({"n": "late"}, KEY, run_id=str(one.run_id))
    with pytest.raises(errors.RunDeleted):
        store.undelete(one)
    store.gc(grace=NOW).apply()
    assert below(store, one) == ["manifest.json"]
    assert store.load(KEY) == {"n": 1}
    assert [run.run_id for run in store.runs()] == [sound.run_id]
    assert store.verify().ok


def test_a_save_that_is_resumed_before_gc_comes_is_left_alone(store):
    one = crashed(store)
    plan = store.gc(grace=NOW)
    store.save({"n": "crash"}, KEY, run_id=str(one.run_id))
    assert [done.result for done in plan.apply()] == ["kept"]
    assert store.load(str(one.ref)) == {"n": "crash"}


def test_gc_clears_what_another_save_under_the_same_id_left(store):
    run = store.save({"n": 1}, KEY, run_id="20240816_142301")
    with pytest.raises(errors.RunExists):
        store.save({"n": 2}, KEY, run_id="20240816_142301")
    strays = [name for name in below(store, run) if name.startswith("model.json.")]
    assert len(strays) == 1
    young = store.gc()
    assert young.changes == ()
    assert {step.target.rpartition("/")[2] for step in young.kept} >= set(strays)
    until = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}"
    assert all(f"it can be cleared from {until}" in step.reason for step in young.kept)
    plan = store.gc(grace=NOW)
    assert {step.target.rpartition("/")[2] for step in plan} >= set(strays)
    assert plan.apply().ok
    assert sorted(below(store, run)) == sorted({"manifest.json", *(entry.key for entry in run.files.values())})
    assert store.load(str(run.ref)) == {"n": 1}
    assert store.verify().ok


def test_gc_touches_nothing_that_a_store_does_not_write(store):
    saved(store, 1)
    one = crashed(store)
    foreign = [
        "photos.txt", "gru/notes.txt", "gru/BTCEUR/notes.txt", "gru/BTCEUR/not-a-run/model.json",
        "gru/BTCEUR/a/20240816_142301/model.json", "_probe/notes.txt", "UPPER/BTCEUR/20240816_142301/model.json",
        "gru/%252e%252e/20240816_142301/model.json", "gru/BTCEUR/20240816_142301%2f..%2f/model.json",
    ]  # fmt: skip
    for name in foreign:
        backend(store).write(name, b"mine", when=Always())
    store.gc(grace=NOW).apply()
    assert set(foreign) < set(all_keys(store))
    assert below(store, one) == ["manifest.json"]


def test_a_root_that_is_no_store_is_never_cleared(store):
    assert list(store.gc(grace=NOW)) == []
    assert store.gc(grace=NOW).apply().ok
    with pytest.raises(errors.RunNotFound):
        store.delete("gru/BTCEUR:20240816_142301")
    backend(store).write("gru/BTCEUR/20240816_142301/model.json", b"somebody's", when=Always())
    with pytest.raises(errors.NotAStore):
        store.gc(grace=NOW)
    assert all_keys(store) == ["gru/BTCEUR/20240816_142301/model.json"]


def test_a_store_whose_marker_went_away_is_not_touched_any_more(store, open_store):
    one, _ = saved(store, 2)
    crashed(store)
    plans = [store.delete(one), store.gc(grace=NOW), store.prune(KEY, keep_last=1, grace=NOW)]
    other = open_store()
    other.delete(one).apply()
    backend(store).delete("_store.json")
    before = all_keys(store)
    for plan in plans[:2]:
        with pytest.raises(errors.NotAStore):
            plan.apply()
    with pytest.raises(errors.NotAStore):
        store.gc(grace=NOW)
    with pytest.raises(errors.NotAStore):
        other.undelete(one)
    assert all_keys(store) == before


def test_what_a_dying_probe_left_is_cleared(store):
    saved(store, 1)
    backend(store).write(keys.probe("0" * 32), b"1", when=Always())
    assert store.gc().changes == ()
    plan = store.gc(grace=NOW)
    assert [step.target for step in plan] == [f"_probe/{'0' * 32}"]
    assert plan.apply().ok
    assert [key for key in all_keys(store) if key.startswith("_probe")] == []


def test_an_upload_that_nobody_ends_is_given_up(store, tmp_path):
    """On S3 an open multipart upload, on a disk a temporary file; memory has neither."""
    saved(store, 1)
    left = begun_and_left(store)
    if left is None:
        pytest.skip("there are no uploads in parts here")
    assert [step.action for step in store.gc()] == ["keep"]
    plan = store.gc(grace=NOW)
    assert [(step.target, step.action) for step in plan] == [(left, "abort")]
    assert [done.result for done in plan.apply()] == ["aborted"]
    assert plan.apply().ok  # a second time there is nothing left to be given up
    assert list(backend(store).unfinished()) == []
    assert list(store.gc(grace=NOW)) == []
    assert beside(store)  # what is not below the root is not ours
    big = write_files(tmp_path, {"big.bin": os.urandom(9 << 20)})["big.bin"]
    run = store.save(big, KEY)
    assert list(backend(store).unfinished()) == []
    assert run.verify().ok


def beside(store):
    """Whether the upload beside the root is still there."""
    inner = backend(store)
    if inner.engine == "local":
        return True
    s3 = inner if inner.engine == "fsspec" else inner._substitute.get()
    place = s3._prefix.rstrip("/") + "-beside/model.bin"
    found = s3._calls.recipe.get().call_s3("list_multipart_uploads", Bucket=s3._bucket, Prefix=place)
    return [upload["Key"] for upload in found["Uploads"]] == [place]


def begun_and_left(store):
    """Begin an upload below the root as a writer that is killed, and one beside it that is not ours."""
    inner = backend(store)
    key = "gru/BTCEUR/20240816_142301/model.bin"
    if inner.engine == "local":
        key = "gru/BTCEUR/20240816_142301/.tmp-0123456789abcdef"
        path = inner._root / key
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half of it")
        return key
    if inner.engine == "memory":
        return None
    s3 = inner if inner.engine == "fsspec" else inner._substitute.get()
    for place in (s3._prefix + key, s3._prefix.rstrip("/") + "-beside/model.bin"):
        fs = s3._calls.recipe.get()
        fs.call_s3("create_multipart_upload", Bucket=s3._bucket, Key=place)
    return key


# ---------------------------------------------------------------- prune


def test_prune_says_of_every_run_why_it_goes_or_stays(store):
    runs = saved(store, 6, metrics={"m": 1})
    plan = store.prune(KEY, keep_last=3, grace=NOW)
    assert ids(plan.changes) == [str(run.run_id) for run in (runs[2], runs[1], runs[0])]
    assert [step.reason for step in plan] == [
        "latest names it", "one of the last 2 that latest named", "one of the newest 3",
        *["not one of the newest 3"] * 3,
    ]  # fmt: skip
    assert len(list(store.runs(KEY))) == 6
    applied = plan.apply()
    assert [done.result for done in applied] == ["deleted"] * 3
    assert applied.bytes == plan.bytes > 0
    assert [run.run_id for run in store.runs(KEY)] == [run.run_id for run in runs[:2:-1]]
    assert store.undelete(str(runs[0].ref)) == runs[0]
    assert store.prune(KEY, keep_last=9, grace=NOW).changes == ()
    invariants.check(store, KEY)


def test_prune_keeps_the_best_by_a_metric(store):
    runs = [store.save({"n": n}, KEY, metrics={"m": m}, publish="never") for n, m in enumerate((3, 1, 2, 5, 4))]
    nan = store.save({"n": 9}, KEY, metrics={"m": float("nan")}, publish="never")
    plan = store.prune(KEY, keep_best=("m", 2), grace=NOW)
    assert set(ids(plan.kept)) == {str(runs[3].run_id), str(runs[4].run_id)}
    plan = store.prune(KEY, keep_best=("m", 2, "min"), grace=NOW)
    assert set(ids(plan.kept)) == {str(runs[1].run_id), str(runs[2].run_id)}
    assert str(nan.run_id) in ids(plan.changes)
    plan = store.prune(KEY, keep_best=("m", 1), keep_last=1, grace=NOW)
    assert set(ids(plan.kept)) == {str(runs[3].run_id), str(nan.run_id)}


def test_prune_keeps_every_run_of_a_model_in_which_none_has_the_metric(store):
    runs = [store.save({"n": n}, KEY, metrics={"sharpe": n, "loss": 1}, publish="never") for n in range(3)]
    plan = store.prune(KEY, keep_best=("sharpee", 1), grace=NOW)
    assert len(plan.kept) == len(runs)
    assert not plan.changes
    [problem] = plan.problems
    assert problem.where == KEY
    assert isinstance(problem.error, errors.MetricMissing)
    assert "'sharpee'; there are loss, sharpe" in str(problem.error)
    assert not plan.apply().done
    assert len(store.prune(KEY, keep_best=("sharpee", 0), grace=NOW).changes) == len(runs)
    nan = "gru/NAN"
    store.save({"n": 9}, nan, metrics={"sharpe": float("nan")}, publish="never")
    assert [problem.where for problem in store.prune(keep_best=("sharpe", 1), grace=NOW).problems] == [nan]


def test_what_is_not_there_is_not_pruned_verified_or_cleared_in_silence(store):
    with pytest.raises(errors.NotAStore, match="not a store yet, so nothing was verified: check the path"):
        store.verify()
    for plan in (store.gc(), store.prune(keep_last=1)):
        assert not plan.steps
        assert "there is no store at" in plan.notes[0]
    with pytest.raises(errors.ModelNotFound, match="there is no store yet: check the path"):
        store.prune(KEY, keep_last=1)
    saved(store, 1)
    assert store.verify().ok
    assert not any("no store" in note for note in (*store.gc().notes, *store.prune(keep_last=1).notes))
    with pytest.raises(errors.ModelNotFound, match=f"did you mean {KEY}"):
        store.prune(KEY.lower(), keep_last=1)


def test_prune_deletes_only_what_is_old_enough(store, open_store):
    old = open_store(clock=lambda: datetime(2024, 1, 1, tzinfo=UTC)).save({"n": 1}, KEY, publish="never")
    new = store.save({"n": 2}, KEY, publish="never")
    assert ids(store.prune(KEY, older_than=timedelta(days=30)).changes) == [str(old.run_id)]
    assert ids(store.prune(KEY, older_than=datetime(2024, 1, 1, tzinfo=UTC)).changes) == []
    assert ids(store.prune(KEY, older_than=datetime(2990, 1, 1, tzinfo=UTC)).changes) == [
        str(new.run_id), str(old.run_id),
    ]  # fmt: skip


def test_what_serves_or_served_lately_is_safe_from_pruning(store):
    a, b, c, d, e = saved(store, 5)
    store.promote(a, "pinned")  # a pin is an alias
    plan = store.prune(KEY, keep_last=0)
    assert plan.changes == ()
    why = {step.target: step.reason for step in plan}
    assert why[str(e.ref)] == "latest names it"
    assert why[str(a.ref)] == "pinned names it"
    assert why[str(b.ref)] == "latest named it less than 7 days ago"
    plan = store.prune(KEY, keep_last=0, grace=NOW)
    assert ids(plan.changes) == [str(c.run_id), str(b.run_id)]
    assert {step.target for step in plan.kept} == {str(run.ref) for run in (a, d, e)}
    plan.apply()
    assert store.rollback(KEY).run_id == d.run_id


def test_what_a_rollback_would_serve_is_safe_from_pruning(store):
    a, b, c = saved(store, 3)
    store.rollback(KEY)  # serves b; the next one would serve a
    plan = store.prune(KEY, keep_last=0, grace=NOW)
    assert plan.changes == ()
    assert "a rollback of latest would serve it" in [step.reason for step in plan]
    assert {step.target for step in plan} == {str(run.ref) for run in (a, b, c)}


def test_a_run_that_its_save_may_be_about_to_publish_is_safe_from_pruning(store):
    store.save({"n": 1}, KEY, metrics={"m": 2}, publish="if_better(m)")
    loser = store.save({"n": 2}, KEY, metrics={"m": 1}, publish="if_better(m)")
    (kept,) = [step for step in store.prune(KEY, keep_last=0) if step.target == str(loser.ref)]
    assert "about to be published" in kept.reason
    assert ids(store.prune(KEY, keep_last=0, grace=NOW).changes) == [str(loser.run_id)]


def test_a_plan_to_prune_is_decided_again_when_it_is_applied(store, open_store):
    runs = saved(store, 5, publish="never")
    plan = store.prune(KEY, keep_last=3, grace=NOW)
    assert ids(plan.changes) == [str(runs[1].run_id), str(runs[0].run_id)]
    other = open_store()
    other.delete(runs[4]).apply()  # now the second oldest is one of the newest three
    other.promote(runs[0], "production")
    assert [done.result for done in plan.apply()] == ["kept", "kept"]
    assert len(list(store.runs(KEY))) == 4


def test_prune_without_a_key_prunes_every_model_by_itself(store):
    for key in (KEY, "gru", "gbm/AAPL"):
        for n in range(3):
            store.save({"n": n}, key, publish="never")
    plan = store.prune(keep_last=1, grace=NOW)
    assert len(plan.changes) == 6
    plan.apply()
    assert sorted(str(run.key) for run in store.runs()) == ["gbm/AAPL", "gru", "gru/BTCEUR"]


def test_where_an_alias_cannot_be_read_nothing_of_the_model_is_pruned(store):
    runs = saved(store, 4)
    other = [store.save({"n": n}, "gru/ETHEUR", publish="never") for n in range(2)]
    plan = store.prune(keep_last=0, grace=NOW)
    backend(store).write(keys.pointer(runs[0].key, "latest"), b"{", when=Always())
    assert [done.result for done in plan.apply()].count("deleted") == 2  # those of the other model
    assert list(store.runs("gru/ETHEUR")) == []
    again = store.prune(keep_last=0, grace=NOW)
    assert [problem.where for problem in again.problems] == ["the aliases of gru/BTCEUR"]
    assert again.changes == ()
    with pytest.raises(errors.Corrupt):
        store.delete(runs[0])
    assert len(list(store.runs(KEY))) == 4
    assert len(other) == 2


def test_the_rules_of_pruning_are_checked_at_the_door(store):
    wrong = [
        {}, {"keep_last": -1}, {"keep_last": True}, {"keep_last": "3"}, {"keep_best": "m"}, {"keep_best": ("m",)},
        {"keep_best": ("m", -1)}, {"keep_best": ("m", 1, "most")}, {"older_than": 30}, {"older_than": timedelta(-1)},
        {"older_than": datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)}, {"keep_last": 1, "grace": 7}, {"keep_last": 1, "grace": timedelta(-1)},
    ]  # fmt: skip
    for rules in wrong:
        with pytest.raises(errors.InvalidOption):
            store.prune(KEY, **rules)
    with pytest.raises(errors.InvalidOption):
        store.gc(grace=timedelta(-1))


# ---------------------------------------------------------------- what has hit others


def test_the_same_bytes_twice_are_two_runs_and_deleting_one_leaves_the_other(store):
    """In pins 0.9.2 saving what was there already deleted the only version."""
    one, two = store.save({"a": 1}, KEY), store.save({"a": 1}, KEY)
    store.delete(one).apply()
    store.gc(grace=NOW).apply()
    assert store.load(KEY) == {"a": 1}
    assert two.verify().ok


def test_deleting_the_newest_run_leaves_latest_as_it_is(store):
    """In modelstore 0.0.82 deleting the newest broke `latest`."""
    one = store.save({"n": 1}, KEY, run_id="20240101_000000")
    newest = store.save({"n": 2}, KEY, run_id="20990101_000000", publish="never")
    store.delete(newest).apply()
    store.gc(grace=NOW).apply()
    assert store.get(KEY) == one
    assert store.find(KEY) == one
    assert store.save({"n": 3}, KEY).published


def test_a_reader_of_an_alias_that_loses_the_race_takes_what_the_alias_names_then(store, open_store, monkeypatch):
    one, two = saved(store, 2)
    store.promote(one, "production")
    reader = open_store()
    first = reader.get(f"{KEY}@production")
    store.promote(two, "production")
    store.delete(one).apply()
    store.gc(grace=NOW).apply()
    resolved = iter([first])
    real = reader.get
    monkeypatch.setattr(reader, "get", lambda ref: next(resolved, None) or real(ref))
    assert reader.load(f"{KEY}@production") == {"n": 1}
    with pytest.raises(errors.RunDeleted):
        reader.load(str(one.ref))  # a run id never turns into another run


def test_deletes_and_promotions_of_one_run_at_once_leave_no_alias_without_its_run(open_store):
    store = open_store()
    one, two = saved(store, 2)
    store.promote(two, "production")

    def promote(client):
        try:
            client.promote(one, "production")
        except (errors.RunDeleted, errors.PointerConflict):
            client.promote(two, "production")

    def delete(client):
        try:
            client.delete(one).apply()
        except (errors.RunInUse, errors.RunDeleted, errors.Conflict):
            return
        client.undelete(one)

    work = [(promote, open_store()), (delete, open_store())] * 2
    threads = [threading.Thread(target=call, args=(client,)) for call, client in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_store().load(f"{KEY}@production") in ({"n": 0}, {"n": 1})
    invariants.check(open_store(), KEY, ("latest", "production"))


def test_a_store_of_a_single_writer_deletes_and_clears_as_well(open_store):
    single = open_store(concurrency="single-writer")
    one, _ = saved(single, 2)
    crashed(single)
    single.delete(one).apply()
    single.undelete(one)
    single.delete(one).apply()
    assert [done.result for done in single.gc(grace=NOW).apply()] == ["cleared", "swept"]
    assert single.verify().ok
    third = single.save({"n": 3}, KEY, publish="never")
    plan = open_store().delete(third)
    with pytest.raises(errors.InvalidOption, match="single-writer"):
        plan.apply()
    assert single.get(str(third.ref)) == third


def test_what_one_engine_deletes_the_other_brings_back_or_sweeps(seaweed, seaweed_prefix):
    def client(engine):
        options = seaweed.storage_options()
        return ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, storage_options=options, timeout=20.0)

    one, other = client("obstore"), client("fsspec")
    for first, second in ((one, other), (other, one)):
        run = first.save({"n": 1}, KEY, publish="never")
        first.delete(run).apply()
        assert second.undelete(str(run.ref)) == run
        second.delete(run).apply()
        assert [done.result for done in first.gc(grace=NOW).apply()] == ["swept"]
        with pytest.raises(errors.RunDeleted, match="gone"):
            second.get(str(run.ref))


def test_a_run_id_is_taken_for_ever(store):
    key, run_id = ModelKey.parse(KEY), RunId("20240816_142301")
    store.save({"n": 1}, KEY, run_id=run_id)
    store.save({"n": 2}, KEY)
    store.delete(f"{key}:{run_id}").apply()
    for _ in range(2):
        with pytest.raises(errors.RunDeleted):
            store.save({"n": 1}, KEY, run_id=run_id)
        store.gc(grace=NOW).apply()
    assert isinstance(store, ArtifactStore)


# ---------------------------------------------------------------- how much room it takes


def test_usage_counts_what_every_model_takes_and_what_belongs_to_none(store):
    store.save({"n": 1}, KEY)
    store.save({"n": 2}, "gru")
    store.delete(store.save({"n": 3}, KEY, publish="never")).apply()
    type_alone, model, *others = store.usage()
    assert (str(type_alone.key), type_alone.runs, str(model.key), model.runs) == ("gru", 1, KEY, 1)
    assert [usage.key for usage in others] == [None]
    assert all(usage.stored > usage.size > 0 for usage in (type_alone, model))
    assert sum(usage.stored for usage in store.usage()) == sum(entry.size for entry in backend(store).list(""))
    assert store.usage(KEY) == [model]
