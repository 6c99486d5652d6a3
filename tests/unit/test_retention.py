"""Plans and rules of deletion, without a storage or with one in memory."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core.names import ModelKey, RunId
from artifact_store.ops import delete, probe
from artifact_store.ops.delete import StepResult, duration_text
from artifact_store.ops.plan import Plan, PlanStep, one_by_one
from artifact_store.ops.prune import Best, Rules
from artifact_store.storage.base import Always, Entry, Unfinished
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.obstore.backend import ObstoreBackend
from artifact_store.storage.options import parse_url
from artifact_store.storage.single_writer import SingleWriter
from artifact_store.testing import Faults, FaultyBackend

KEY = ModelKey("gru", "BTCEUR")
RUN = RunId("20240816_142301")
NOW = datetime(2024, 9, 1, tzinfo=UTC)


def step(name, action="delete", size=10):
    return PlanStep(name, action, f"because of {name}", size)


def test_a_plan_tells_and_does_nothing_until_it_is_applied():
    calls = []
    steps = [step("a"), step("b", "keep"), step("c", "restore", 5)]
    carried = one_by_one(lambda one: calls.append(one.target) or StepResult("deleted"))
    plan = Plan(steps, lambda: calls.append("begin") or carried)
    assert list(plan) == steps
    assert [one.target for one in plan.changes] == ["a", "c"]
    assert [one.target for one in plan.kept] == ["b"]
    assert plan.bytes == 10
    assert repr(plan) == "<Plan: 2 of 3 to change, 10 bytes>"
    assert str(plan).splitlines()[0] == "delete a: because of a"
    assert calls == []
    applied = plan.apply()
    assert calls == ["begin", "a", "c"]
    assert str(applied).splitlines() == ["deleted a: because of a", "deleted c: because of c"]
    assert applied.ok


def test_a_plan_without_changes_does_not_even_begin():
    plan = Plan([step("b", "keep")], lambda: pytest.fail("it began"))
    assert str(plan.apply()) == "nothing was to be done"
    assert str(Plan([], lambda: pytest.fail("it began"))) == "nothing to do"


def carry_out(failures):
    def one(step):
        error = failures.get(step.target)
        if error is not None:
            raise error
        return StepResult("deleted")

    return lambda: one_by_one(one)


def test_a_step_that_fails_is_reported_and_the_others_go_on():
    failures = {"b": errors.Corrupt("bad"), "c": errors.Unreachable("gone"), "d": errors.AccessDenied("no")}
    applied = Plan([step(name) for name in "abcde"], carry_out(failures)).apply()
    assert [done.result for done in applied] == ["deleted", "kept", "kept", "kept", "deleted"]
    assert [problem.where for problem in applied.problems] == ["b", "c", "d"]
    assert not applied.ok
    assert applied.bytes == 20


def test_a_storage_that_refuses_one_step_after_the_other_ends_the_plan():
    dead = {name: errors.Unreachable(name) for name in "bcd"}
    with pytest.raises(errors.Unreachable, match="d") as caught:
        Plan([step(name) for name in "abcde"], carry_out(dead)).apply()
    assert caught.value.__notes__ == ["3 of 5 steps had come to an end before."]
    with pytest.raises(errors.Corrupt):
        Plan([step("a")], carry_out({"a": errors.Corrupt("bad")}), strict=True).apply()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(604_800, "7 days"), (86_400, "1 day"), (129_600, "1.5 days"), (3_600, "1 hour"), (3_599.9, "60 minutes"), (10_000, "2.8 hours"), (60, "1 minute"), (86_399.9, "24 hours"), (90, "1.5 minutes"), (1, "1 second"), (0.5, "0.5 seconds")],
)  # fmt: skip
def test_spans_are_written_in_their_largest_unit(seconds, words):
    assert duration_text(timedelta(seconds=seconds)) == words


def test_rules_say_before_when_a_run_has_to_have_been_saved():
    assert Rules(keep_last=1).before(NOW) is None
    assert Rules(older_than=timedelta(days=1)).before(NOW) == NOW - timedelta(days=1)
    assert Rules(older_than=NOW).before(NOW + timedelta(days=9)) == NOW
    assert Best.of(None) is None
    assert Best.of(Best("m", 1)) == Best.of(["m", 1]) == Best.of(("m", 1, "max"))


def test_only_what_is_old_and_was_never_committed_is_cleared():
    old = Entry(f"{KEY}/{RUN}/model.json", 5, NOW - timedelta(days=8))
    young = Entry(f"{KEY}/{RUN}/metadata.json", 5, NOW - timedelta(days=6))
    manifest = Entry(f"{KEY}/{RUN}/manifest.json", 5, NOW - timedelta(days=8))
    week = timedelta(days=7)
    assert delete.why_kept([old], KEY, RUN, grace=week, now=NOW) is None
    assert "younger than 7 days" in delete.why_kept([old, young], KEY, RUN, grace=week, now=NOW)
    assert delete.why_kept([old, manifest], KEY, RUN, grace=week, now=NOW) == "it was committed"
    assert delete.why_kept([], KEY, RUN, grace=week, now=NOW) == "nothing is left of it"


def storage_time(store):
    return probe.storage_time(store._context.backend, store._context.retry)


def test_the_time_of_the_storage_leaves_nothing_behind():
    backend = MemoryBackend(clock=lambda: NOW)
    store = ArtifactStore(backend)
    assert storage_time(store) == NOW
    assert list(backend.list("")) == []


def test_the_time_of_the_storage_is_that_of_its_own_object():
    times = [NOW - timedelta(days=9), NOW]
    backend = MemoryBackend(clock=lambda: times.pop(0) if len(times) > 1 else times[0])
    backend.write("_probe/" + "0" * 32, b"of somebody who died", when=Always())
    assert storage_time(ArtifactStore(backend)) == NOW


def test_a_listing_that_does_not_show_what_was_written_is_asked_for_again():
    backend = MemoryBackend(clock=lambda: NOW)
    once = FaultyBackend(backend, Faults().on("list", times=1).tear("omit"), sleep=lambda _: None)
    assert storage_time(ArtifactStore(once)) == NOW
    never = FaultyBackend(backend, Faults().on("list").tear("omit"))
    with pytest.raises(errors.Unavailable, match="did not show"):
        storage_time(ArtifactStore(never, timeout=0.2))
    assert list(backend.list("")) == []


# ---------------------------------------------------------------- uploads that nobody ends


def test_a_store_without_a_way_to_list_uploads_names_the_rule_that_does_it(monkeypatch):
    from artifact_store.storage.obstore import substitute

    google = ObstoreBackend(parse_url("gs://bucket/models"))
    with pytest.raises(errors.Unsupported, match="AbortIncompleteMultipartUpload"):
        google.unfinished()
    monkeypatch.setattr(substitute, "find_spec", lambda name: None)
    with pytest.raises(errors.Unsupported, match="install s3fs"):
        ObstoreBackend(parse_url("s3://bucket/models")).unfinished()
    azure = ObstoreBackend(parse_url("az://bucket/models"), {"account_name": "a", "anon": True})
    assert list(azure.unfinished()) == []


@pytest.mark.parametrize("kind", [errors.Unsupported, errors.AccessDenied])
def test_uploads_that_cannot_be_listed_are_a_note_and_no_obstacle(kind):
    class Blind(MemoryBackend):
        def unfinished(self):
            raise kind("give the bucket a lifecycle rule")

    store = ArtifactStore(Blind())
    store.save({"n": 1}, "gru")
    plan = store.gc()
    assert plan.problems == ()
    assert "lifecycle rule" in plan.notes[0]


def test_wrappers_hand_uploads_through():
    upload = Unfinished("gru/20240816_142301/model.bin", "id", 5, NOW)

    class Holds(MemoryBackend):
        given = ()

        def unfinished(self):
            return iter([upload])

        def discard(self, upload):
            self.given += (upload,)

    for wrap in (SingleWriter, lambda inner: FaultyBackend(inner, Faults())):
        inner = Holds()
        assert list(wrap(inner).unfinished()) == [upload]
        wrap(inner).discard(upload)
        assert inner.given == (upload,)
    assert list(MemoryBackend().unfinished()) == []
    MemoryBackend().discard(upload)


def left(root, folder="gru"):
    path = root / folder / ".tmp-0123456789abcdef"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    return path


def test_a_temporary_file_of_a_dead_writer_is_found_and_removed(tmp_path):
    backend = LocalBackend(tmp_path)
    path, top = left(tmp_path), left(tmp_path, ".")
    found = {upload.key: upload for upload in backend.unfinished()}
    assert set(found) == {"gru/.tmp-0123456789abcdef", ".tmp-0123456789abcdef"}
    for upload in found.values():
        assert upload.size == 4
        backend.discard(upload)
        backend.discard(upload)
    assert not path.exists()
    assert not path.parent.exists()
    assert not top.exists()
    LocalBackend(tmp_path / "none").discard(found[".tmp-0123456789abcdef"])


@pytest.mark.parametrize(
    "key", ["gru/model.json", "../.tmp-x", "gru/../.tmp-x", "_locks/.tmp-x", "gru/.tmp-x/model.json"]
)
def test_nothing_but_a_temporary_file_below_the_root_is_discarded(tmp_path, key):
    root = tmp_path / "root"
    victims = [root / "gru" / "model.json", tmp_path / ".tmp-x", root / ".tmp-x", root / "_locks" / ".tmp-x"]
    for victim in victims:
        victim.parent.mkdir(parents=True, exist_ok=True)
        victim.write_bytes(b"alive")
    with pytest.raises(errors.InvalidName):
        LocalBackend(root).discard(Unfinished(key, key.rpartition("/")[2], 5, NOW))
    assert [victim.read_bytes() for victim in victims] == [b"alive"] * 4


def test_a_symlink_is_not_followed_by_a_sweep(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_bytes(b"alive")
    store = ArtifactStore(tmp_path / "store")
    run = store.save({"n": 1}, str(KEY), run_id=RUN, publish="never")
    folder = tmp_path / "store" / Path(str(KEY), RUN)
    try:
        (folder / "link").symlink_to(outside, target_is_directory=True)
        (folder / "file").symlink_to(outside / "canary")
    except OSError:
        pytest.skip("this user may make no symlinks here")
    store.delete(run).apply()
    store.gc(grace=timedelta(0)).apply()
    assert (outside / "canary").read_bytes() == b"alive"
    assert not (folder / "model.json").exists()


def test_folders_that_one_client_removes_and_another_makes_at_once_fail_neither(tmp_path):
    """Removing the last file of a folder removes the folder; a writer that has just made it tries again."""
    ArtifactStore(tmp_path).save({"n": 1}, "gru")

    def ask(number):
        with ArtifactStore(tmp_path) as store:
            return [storage_time(store) for _ in range(25)]

    with ThreadPoolExecutor(4) as pool:
        times = list(pool.map(ask, range(4)))
    assert all(asked == sorted(asked) for asked in times)
    assert not (tmp_path / "_probe").exists()


def test_who_keeps_a_run_from_being_deleted_is_named_with_the_run():
    with ArtifactStore(MemoryBackend()) as store:
        run = store.save({"n": 1}, str(KEY))
        said = f"{KEY}:{run.run_id} is what {KEY}@latest names"
        with pytest.raises(errors.RunInUse, match=said):
            delete.mark(store._context, KEY, run.run_id, reason="")
        with pytest.raises(errors.RunInUse, match=said):
            delete.refuse_named(KEY, run.run_id, delete.named_by(store._context, KEY, run.run_id))


def test_only_the_run_that_lies_under_this_very_stone_is_brought_back():
    with ArtifactStore(MemoryBackend()) as store:
        run = store.save({"n": 1}, str(KEY), publish="never")
        context = store._context
        first = delete.mark(context, KEY, run.run_id, reason="")
        assert delete.unmark(context, KEY, run.run_id, first) is True
        assert delete.unmark(context, KEY, run.run_id, first) is True  # it is there already
        delete.mark(context, KEY, run.run_id, reason="")
        assert delete.unmark(context, KEY, run.run_id, first) is False
        assert delete.undelete(context, KEY, run.run_id) == run.manifest


def test_nothing_of_a_run_that_is_deleted_is_taken_for_a_stray():
    with ArtifactStore(MemoryBackend()) as store:
        run = store.save({"n": 1}, str(KEY), publish="never")
        delete.mark(store._context, KEY, run.run_id, reason="")
        assert delete.clear_stray(store._context, KEY, run.run_id, "other.bin").result == "kept"


def test_notes_give_no_reason_unless_they_are_told_one():
    with ArtifactStore(MemoryBackend()) as store:
        assert store._context.publish_info().reason == ""
