"""What doctor finds, on every backend alike: the damage is made for real, is found as what it is, and nothing else is."""

import gc
import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.canonical import sha256
from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import BLOCK, HistoryBlock, PublishInfo, advance
from artifact_store.core.statement import decode64
from artifact_store.core.tombstone import Tombstone
from artifact_store.doctor import report as reports
from artifact_store.doctor.objects import StoreObjects
from artifact_store.storage import base
from artifact_store.storage.base import Always, Entry
from tests import invariants
from tests.doctor_page import CODES, ROWS, SEVERITIES
from tests.integration.conformance.test_retention import backend, begun_and_left, below, crashed
from tests.keys import signer, strict
from tests.stores import place_of
from tests.unit.samples import resealed

KEY = "gru/BTCEUR"
MODEL = ModelKey.parse(KEY)
NOW = timedelta(0)
RULE = {
    "ID": "abort-incomplete-uploads",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}


@pytest.fixture(scope="module")
def tidy_bucket(request):
    """The bucket of the session, with the lifecycle rule that every bucket of a store should have."""
    server = request.getfixturevalue("seaweed")
    with server.client() as client:
        client.put_bucket_lifecycle_configuration(Bucket=server.bucket, LifecycleConfiguration={"Rules": [RULE]})
        yield
        client.delete_bucket_lifecycle(Bucket=server.bucket)


@pytest.fixture(params=["memory", "local", pytest.param("obstore", marks=pytest.mark.nightly)])
def place(request):
    """On S3 all of it takes a minute; the last test does the most of it there in two seconds."""
    if request.param == "obstore":
        request.getfixturevalue("tidy_bucket")
    return place_of(request.param, request)


IN_MEMORY = pytest.mark.parametrize("place", ["memory"], indirect=True)
"""For what does not depend on how a storage does conditional writes and listings."""


COMMANDS = ("artifact-store ", "aws ", "chmod ", "rm ")


def examined(store, **options):
    report = store.doctor(**{"grace": NOW, **options})
    for found in report:
        if found.remedy.startswith(COMMANDS):
            shlex.split(found.remedy)
            assert not re.search(r", |: |\(|\bor\b|\bif\b", found.remedy.partition("'")[0]), (
                "a command, and words behind it"
            )
    return report


def only(store, code, severity, **options):
    """Look, and return the one finding, which has to be this one."""
    report = examined(store, **options)
    assert [(found.code, found.severity) for found in report] == [(code, severity)], str(report)
    assert report.ok is (severity != "error")
    (found,) = report.findings
    assert found.code in CODES
    assert found.message
    assert str(found).startswith(f"{severity} {code} at {found.target}: ")
    return found


def healthy(store, **options):
    report = examined(store, deep=True, **options)
    assert report.findings == (), str(report)
    assert report.ok


def repaired(store, *results, quarantine=False):
    """Carry out all that can be repaired, and look again."""
    plan = examined(store).repair(quarantine=quarantine)
    before = {entry.key for entry in backend(store).list("")}
    assert {entry.key for entry in backend(store).list("")} == before
    applied = plan.apply()
    assert applied.ok, [str(problem) for problem in applied.problems]
    assert tuple(done.result for done in applied) == results, str(applied)
    healthy(store)


def put(store, key, data):
    backend(store).write(key, data, when=Always())


def stored(store, key):
    return backend(store).read(key, limit=1 << 24).data


def manifest_of(run):
    return keys.manifest(run.key, run.run_id)


def many(store, run, alias, count, *, leave_out=()):
    """Publish a run many times, as that many calls of promote would, without the waiting."""
    pointer, blocks = None, []
    for number in range(count):
        note = PublishInfo(f"{number:032x}", datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=number), "me", "again")
        step = advance(pointer, run.key, alias, run.manifest, note)
        pointer, blocks = step.pointer, [*blocks, *step.blocks]
    for block in blocks:
        if block.last_seq not in leave_out:
            put(store, keys.history_block(run.key, alias, block.last_seq), block.to_bytes())
    put(store, keys.pointer(run.key, alias), pointer.to_bytes())
    return pointer, blocks


# ---------------------------------------------------------------- nothing is wrong


def test_a_store_is_healthy_after_everything_that_one_does_with_it(store, open_store):
    runs = [store.save({"n": n}, KEY) for n in range(3)]
    store.save({"n": 1}, "gbm", alias="candidate")
    store.promote(runs[0], "production")
    store.promote(runs[1], "production")
    store.rollback(f"{KEY}@production")
    store.retire("gbm@candidate")
    store.save({"n": 4}, KEY, publish="never")
    report = store.doctor(deep=True)
    assert report.findings == (), str(report)
    assert (report.counts.models, report.counts.runs, report.counts.aliases) == (2, 5, 3)
    assert report.counts.bytes_read == sum(file.size for run in store.runs() for file in run.files.values())
    assert report.repair().changes == ()
    store.delete(runs[1]).apply()
    assert open_store().doctor(deep=True).findings == ()
    store.undelete(runs[1])
    store.delete(runs[1]).apply()
    store.gc(grace=NOW).apply()
    healthy(store)
    many(open_store(), runs[2], "busy", 70)
    healthy(store)
    invariants.check(store, KEY, ("latest", "production", "busy"))


def test_looking_changes_nothing(store):
    run = store.save({"n": 1}, KEY)
    put(store, keys.pointer(run.key, "latest"), b"{")
    before = {entry.key: stored(store, entry.key) for entry in backend(store).list("")}
    examined(store, deep=True)
    examined(store).repair(quarantine=True)
    assert {entry.key: stored(store, entry.key) for entry in backend(store).list("")} == before


# ---------------------------------------------------------------- the root


def test_documents_that_were_examined_are_not_kept(store, open_store):
    for n in range(60):
        store.save({"n": n}, KEY, publish="never")
    store.prune(KEY, keep_last=40, grace=NOW).apply()
    held = []

    def count(_):
        gc.collect()
        held.append(sum(isinstance(value, Manifest | Tombstone) for value in gc.get_objects()))

    gc.collect()
    before = sum(isinstance(value, Manifest | Tombstone) for value in gc.get_objects())
    assert open_store(progress=count).doctor(deep=True).counts.runs == 40
    assert len(held) >= 40
    assert max(held) - before < 40 // 2


def test_names_that_differ_by_case_are_found_wherever_they_are():
    found = StoreObjects()
    for name in sorted(["x/A/1", "x/a/1", "x/a/2", "x/B/1", "x/b-2/1", "y/A", "y/a/b", "v/a", "V/a", "z", "z/1"]):
        found.put(Entry(name, 1, datetime.now(UTC)))
    assert found.twins == {"x/a": "x/A", "y/a": "y/A", "v": "V", "z": "z"}
    assert found.top == ["V", "x", "y", "z"]


def test_where_nothing_is_there_is_no_store(store):
    found = only(store, "no-store", "error")
    assert "save" in found.remedy
    assert (
        list(backend(store).list("")) == [] if backend(store).engine != "local" else not backend(store)._root.exists()
    )


def test_a_root_that_holds_something_else_is_named_and_not_looked_at(store):
    put(store, "gru/BTCEUR/20240816_142301/model.pth", b"somebody's")
    put(store, "photos/inner/_store.json", b"{}")
    found = only(store, "not-a-store", "error")
    assert "gru, photos" in found.message
    assert found.remedy.endswith("/photos/inner")
    assert sorted(entry.key for entry in backend(store).list("")) == [
        "gru/BTCEUR/20240816_142301/model.pth", "photos/inner/_store.json",
    ]  # fmt: skip


def test_a_marker_that_is_missing_is_written_again_with_the_id_that_all_runs_have(store, open_store):
    run = store.save({"n": 1}, KEY)
    store.save({"n": 2}, "gbm")
    backend(store).delete("_store.json")
    found = only(store, "marker-missing", "error")
    assert found.repairable
    with pytest.raises(errors.NotAStore):
        open_store().save({"n": 3}, KEY)
    repaired(store, "rebuilt")
    again = open_store().save({"n": 3}, KEY)
    assert again.manifest.store_id == run.manifest.store_id


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\x00"], ids=["empty", "torn", "garbage"])
def test_a_marker_that_cannot_be_read_is_written_again(store, open_store, data):
    run = store.save({"n": 1}, KEY)
    put(store, "_store.json", data)
    only(store, "marker-corrupt", "error")
    repaired(store, "rebuilt")
    assert open_store().save({"n": 2}, KEY).manifest.store_id == run.manifest.store_id


def test_a_marker_that_contradicts_the_runs_is_not_repaired(store, open_store):
    run = store.save({"n": 1}, KEY)
    record = json.loads(stored(store, "_store.json")) | {"store_id": "0" * 32}
    put(store, "_store.json", resealed(record))
    found = only(open_store(), "store-id-differs", "error")
    assert "1 of 1 runs" in found.message
    assert run.manifest.store_id in found.message
    assert not found.repairable
    put(store, "_store.json", b"")
    store.save({"n": 2}, "gbm")  # by somebody who has opened it before
    assert [f.code for f in examined(store)] == ["marker-corrupt"]


def test_runs_that_were_copied_from_another_store_are_told(store, tmp_path):
    store.save({"n": 1}, KEY)
    with ArtifactStore(tmp_path / "other") as other:
        run = other.save({"n": 2}, "gbm/X", publish="never")
        for entry in backend(other).list("gbm/"):
            put(store, entry.key, stored(other, entry.key))
    found = only(store, "store-id-differs", "error", deep=True)
    assert str(run.ref) in found.message


def test_a_client_of_another_mode_is_told(store, open_store):
    store.save({"n": 1}, KEY)
    only(open_store(concurrency="single-writer"), "mode-differs", "warning")


# ---------------------------------------------------------------- runs


def test_a_save_on_its_way_is_told_from_one_that_died(store):
    store.save({"n": 1}, KEY)
    run = crashed(store)
    note = only(store, "save-in-progress", "note", grace=timedelta(days=7))
    assert (note.target, note.repairable) == (str(run.ref), False)
    found = only(store, "torn-run", "warning")
    assert (found.target, found.repairable) == (str(run.ref), True)
    repaired(store, "cleared")
    assert below(store, run) == ["manifest.json"]


@pytest.mark.parametrize("damage", [b"", b"{", None], ids=["empty", "torn", "changed"])
def test_a_damaged_manifest_that_no_alias_names_is_taken_out_of_the_way_only_if_asked(store, open_store, damage):
    run = store.save({"n": 1}, KEY, publish="never")
    other = store.save({"n": 2}, KEY)
    data = stored(store, manifest_of(run))
    bad = data.replace(b'"n"', b'"m"').replace(b'"size":', b'"size":1', 1) if damage is None else damage
    put(store, manifest_of(run), bad)
    found = only(store, "manifest-corrupt", "error")
    assert found.target == str(run.ref)
    plan = examined(store).repair()
    assert [(step.action, step.target) for step in plan] == [("keep", str(run.ref))]
    assert plan.apply().done == ()
    applied = examined(store).repair(quarantine=True).apply()
    assert [done.result for done in applied] == ["quarantined"]
    stone = Tombstone.from_bytes(stored(store, manifest_of(run)), what="it")
    assert decode64(stone.quarantine.data) == bad
    only(store, "quarantined", "note")
    with pytest.raises(errors.RunDeleted, match="quarantine"):
        open_store().get(str(run.ref))
    assert [step.action for step in store.gc()] == ["keep"]  # its files stay for the grace period
    assert "model.json" in below(store, run)
    assert [done.result for done in store.gc(grace=NOW).apply()] == ["swept"]
    assert below(store, run) == ["manifest.json"]
    assert decode64(Tombstone.from_bytes(stored(store, manifest_of(run)), what="it").quarantine.data) == bad
    healthy(store)
    assert store.load(str(other.ref)) == {"n": 2}


@pytest.mark.parametrize("damage", [b"{", None], ids=["torn", "missing"])
def test_a_manifest_that_an_alias_names_is_written_again_from_the_copy_in_the_pointer(store, open_store, damage):
    run = store.save({"n": 1}, KEY)
    before = stored(store, manifest_of(run))
    if damage is None:
        backend(store).delete(manifest_of(run))
        found = only(store, "pointer-dangling", "error")
        assert found.target == f"{KEY}@latest"
    else:
        put(store, manifest_of(run), damage)
        found = only(store, "manifest-corrupt", "error")
        assert found.target == str(run.ref)
    assert found.repairable
    assert "keep" not in [step.action for step in examined(store).repair(quarantine=True)]
    repaired(store, "restored")
    assert stored(store, manifest_of(run)) == before
    assert open_store().load(str(run.ref)) == {"n": 1}


def test_a_manifest_without_a_copy_anywhere_is_not_made_up(store):
    run = store.save({"n": 1}, KEY, config={"much": "x" * 70_000})
    backend(store).delete(manifest_of(run))
    found = only(store, "pointer-dangling", "error")
    assert (found.repairable, found.remedy) == (False, f"artifact-store rollback {KEY}@latest")
    put(store, manifest_of(run), b"{")
    found = only(store, "manifest-corrupt", "error")
    assert not found.repairable
    assert examined(store).repair(quarantine=True).changes == ()  # an alias names it


def test_a_manifest_is_not_brought_back_over_files_that_are_gone(store):
    run = store.save({"n": 1}, KEY)
    backend(store).delete(keys.data_file(run.key, run.run_id, "model.json"))
    backend(store).delete(manifest_of(run))
    assert not only(store, "pointer-dangling", "error").repairable


def test_files_that_are_missing_or_have_another_size_are_found_without_reading_them(store):
    run = store.save({"n": 1}, KEY)
    where = keys.data_file(run.key, run.run_id, "model.json")
    data = stored(store, where)
    put(store, where, data + b" ")
    found = only(store, "file-size", "error")
    assert (found.target, f"{len(data)} were stored" in found.message) == (f"{run.ref}/model.json", True)
    assert only(store, "file-size", "error", deep=True) == found
    backend(store).delete(where)
    found = only(store, "file-missing", "error", deep=True)
    assert found.target == f"{run.ref}/model.json"
    put(store, where, data)
    healthy(store)


def test_files_with_other_bytes_are_found_by_reading_them(store):
    run = store.save({"n": 1}, KEY)
    where = keys.data_file(run.key, run.run_id, "model.json")
    data = stored(store, where)
    put(store, where, data.replace(b"1", b"2"))
    assert examined(store).findings == ()
    read = []
    found = only(store, "file-hash", "error", deep=True, announce=read.append)
    assert found.target == f"{run.ref}/model.json"
    assert read == [sum(file.size for file in run.files.values())]


def test_what_another_save_left_is_told_from_what_a_stranger_left(store):
    run = store.save({"n": 1}, KEY, run_id="20240816_142301")
    with pytest.raises(errors.RunExists):
        store.save({"n": 2}, KEY, run_id="20240816_142301")
    young = store.doctor()
    assert {(found.code, found.severity) for found in young} == {("orphan-attempt", "note")}
    assert young.repair().changes == ()
    assert {(step.target, step.action) for step in store.gc()} == {(found.target, "keep") for found in young}
    dates = {found.target: re.search(r"from (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$", found.remedy)[1] for found in young}
    assert all(dates[step.target] in step.reason for step in store.gc()), "both name the same time"
    report = examined(store)
    assert {(found.code, found.severity) for found in report} == {("orphan-attempt", "warning")}
    attempts = len(report.findings)
    stray = keys.data_file(run.key, run.run_id, "notes.txt")
    put(store, stray, b"mine")
    report = examined(store)
    assert [found.target for found in report if found.code == "unlisted-file"] == [stray]
    assert len(report.findings) == attempts + 1
    applied = report.repair().apply()
    assert {done.result for done in applied} == {"cleared"}
    assert only(store, "unlisted-file", "warning").target == stray
    assert stored(store, stray) == b"mine"
    backend(store).delete(stray)
    healthy(store)


def test_a_document_of_a_newer_release_is_no_damage(store):
    run = store.save({"n": 1}, KEY, publish="never")
    value = json.loads(stored(store, manifest_of(run)))
    put(store, manifest_of(run), resealed(value | {"format": "2.0"}))
    found = only(store, "format-too-new", "error")
    assert (found.target, found.repairable, found.remedy) == (str(run.ref), False, "upgrade artifact-store")
    put(store, manifest_of(run), resealed(value))
    store.promote(run, "latest")
    value = json.loads(stored(store, keys.pointer(run.key, "latest")))
    put(store, keys.pointer(run.key, "latest"), resealed(value | {"format": "2.0"}))
    assert only(store, "format-too-new", "error").target == f"{KEY}@latest"
    assert examined(store).repair(quarantine=True).changes == ()


# ---------------------------------------------------------------- deleted runs


def test_a_deleted_run_that_can_go_is_a_note(store):
    run, _ = store.save({"n": 1}, KEY), store.save({"n": 2}, KEY)
    store.delete(run, reason="bad").apply()
    found = only(store, "sweep-due", "note")
    assert (found.target, found.repairable) == (str(run.ref), False)
    assert found.remedy == "artifact-store gc --grace 0s --apply", "with the grace period that doctor was given"
    store.gc(grace=NOW).apply()
    healthy(store)


def test_a_sweep_that_was_cut_short_is_finished(store):
    run, _ = store.save({"n": 1}, KEY), store.save({"n": 2}, KEY)
    store.delete(run).apply()
    store.gc(grace=NOW).apply()
    put(store, keys.data_file(run.key, run.run_id, "model.json"), b"late")
    assert only(store, "sweep-unfinished", "warning", grace=timedelta(days=7)).target == str(run.ref)
    repaired(store, "swept")
    assert below(store, run) == ["manifest.json"]


def test_a_deleted_run_that_an_alias_names_is_brought_back(store):
    """What a promoter leaves that died between its swap and its last look."""
    run = store.save({"n": 1}, KEY)
    note = PublishInfo("0" * 32, datetime.now(UTC), "me", "died")
    put(store, manifest_of(run), Tombstone.mark(run.manifest, note).to_bytes())
    found = only(store, "pointer-names-deleted", "error", grace=timedelta(days=7))
    assert (found.target, found.remedy) == (f"{KEY}@latest", f"artifact-store undelete {run.ref}")
    plan = store.doctor().repair()
    store.retire(KEY)
    assert [done.result for done in plan.apply()] == ["kept"]
    put(store, keys.pointer(run.key, "latest"), advance(None, run.key, "latest", run.manifest, note).pointer.to_bytes())
    assert [done.result for done in store.doctor().repair().apply()] == ["restored"]
    healthy(store)
    assert store.load(KEY) == {"n": 1}


def test_an_alias_that_names_what_is_gone_is_for_its_owner_to_decide(store):
    old, run = store.save({"n": 1}, KEY), store.save({"n": 2}, KEY)
    stone = Tombstone.mark(run.manifest, PublishInfo("0" * 32, datetime.now(UTC), "me", "died"))
    put(store, manifest_of(run), stone.sealed(PublishInfo("1" * 32, datetime.now(UTC), "me")).to_bytes())
    for entry in list(backend(store).list(keys.run_prefix(run.key, run.run_id))):
        if entry.key != manifest_of(run):
            backend(store).delete(entry.key)
    found = only(store, "pointer-dangling", "error")
    assert (found.repairable, found.remedy) == (False, f"artifact-store rollback {KEY}@latest")
    store.rollback(KEY)
    healthy(store)
    assert store.get(KEY) == old


# ---------------------------------------------------------------- aliases


def test_an_alias_that_names_another_manifest_than_the_run_has(store):
    first = store.save({"n": 1}, KEY)
    run = store.save({"n": 2}, KEY)
    value = json.loads(stored(store, manifest_of(run))) | {"tags": {"swapped": "yes"}}
    put(store, manifest_of(run), resealed(value))
    found = only(store, "pointer-other-manifest", "error")
    assert (found.target, found.repairable) == (f"{KEY}@latest", False)
    store.rollback(KEY)
    healthy(store)
    assert store.get(KEY) == first


def cut(data):
    return data[:-40]


def flipped_in_the_reason(data):
    return data.replace(b'"reason":"', b'"reason":"!', 1)


SPOILT = {
    "cut at its end": cut,
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut in its history": lambda data: data[: data.index(b'"history":[') + 200],
    "changed": flipped_in_the_reason,
    "empty": lambda data: b"",
    "garbage": lambda data: bytes(range(256)) * 8,
    "another's": lambda data: data.replace(b"BTCEUR", b"ETHEUR"),
}


@IN_MEMORY
@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("count", [2, 5, 70])
def test_a_pointer_that_cannot_be_read_is_rebuilt_however_it_was_damaged(store, open_store, how, count):
    rebuilt(store, open_store, how, count)


def test_a_pointer_that_cannot_be_read_is_rebuilt_with_a_higher_seq(store, open_store):
    rebuilt(store, open_store, "cut at its end", 70)


def rebuilt(store, open_store, how, count):
    """The only run of the model was saved to be published there: there is nothing else that the alias can name."""
    run = store.save({"n": 1}, KEY)
    pointer, blocks = many(store, run, "latest", count)
    where = keys.pointer(run.key, "latest")
    bad = SPOILT[how](stored(store, where))
    put(store, where, bad)
    found = only(store, "pointer-corrupt", "error")
    assert (found.target, found.repairable) == (f"{KEY}@latest", True)
    with pytest.raises(errors.Corrupt):
        open_store().promote(run, "latest")  # nothing but a repair is ever published over it
    plan = examined(store).repair()
    assert [(step.action, step.target) for step in plan.changes] == [("rebuild", f"{KEY}@latest")]
    assert stored(store, where) == bad
    repaired(store, "rebuilt")
    past = open_store().history(KEY)
    archived = BLOCK * len(blocks)
    assert [entry.seq for entry in past] == list(range(1, archived + 67))
    assert past[-1].seq > pointer.seq
    said = (run.run_id, "rebuilt: it is the only run that is left")
    assert [(entry.run_id, entry.reason) for entry in past[-2:]] == [said, said]
    assert past[:archived] == [entry for block in blocks for entry in block.entries]
    assert {(entry.run_id, entry.reason) for entry in past[archived:-2]} == {(None, "lost with the damaged pointer")}
    pinned = sha256(stored(store, keys.history_block(run.key, "latest", blocks[-1].last_seq))) if blocks else None
    lost = stored(store, keys.history_block(run.key, "latest", archived + BLOCK))
    assert HistoryBlock.from_bytes(lost, what="it").previous == pinned
    assert open_store().aliases(KEY)["latest"].archive == sha256(lost)
    other = store.save({"n": 0}, KEY, publish="never")
    again = open_store().promote(other, "latest")
    assert again.seq == past[-1].seq + 1
    for _ in range(70 if how == "garbage" else 2):
        store.promote(run, "latest")
    invariants.check(store, KEY)
    healthy(store)


def damaged(store, alias="latest"):
    """Cut the pointer of an alias, and return what is stored then."""
    where = keys.pointer(MODEL, alias)
    put(store, where, cut(stored(store, where)))
    return stored(store, where)


def asked(store, *traces, alias="latest"):
    """Check that no repair names a run by itself and that the reason is told, and return the finding."""
    where = keys.pointer(MODEL, alias)
    before = stored(store, where)
    report = examined(store)
    (found,) = [found for found in report if found.code == "pointer-corrupt"]
    assert (found.target, found.repairable, report.ok) == (f"{KEY}@{alias}", True, False)
    plan = report.repair()
    (step,) = [step for step in plan if step.target == found.target]
    assert (step.action, "--to RUN" in step.reason) == ("keep", True)
    for trace in traces:
        assert trace in found.remedy
        assert trace in step.reason
    assert found.target not in [done.step.target for done in plan.apply()]
    assert stored(store, where) == before
    return found


def chosen(store, run, alias="latest", **options):
    """Rebuild a pointer with the run that it is to name, and return the pointer."""
    applied = store.doctor(grace=NOW).repair(to=run, **options).apply()
    assert [(done.step.target, done.result) for done in applied] == [(f"{KEY}@{alias}", "rebuilt")]
    pointer = store.aliases(KEY)[alias]
    assert (pointer.run_id, pointer.reason) == (None if run is None else run.run_id, "rebuilt: chosen by hand")
    return pointer


def test_where_several_runs_are_left_a_person_says_which_one_the_alias_names(store, open_store):
    one, two, three = (store.save({"n": n}, KEY) for n in range(3))
    before = store.rollback(KEY)  # which nothing but the pointer tells
    assert before.run_id == two.run_id
    damaged(store)
    found = asked(store, "any of 3 runs", f"saved to be published there is {three.run_id}")
    assert f"artifact-store doctor --repair --apply --to {KEY}:RUN_ID" in found.remedy
    pointer = chosen(store, two)
    assert pointer.seq > before.seq
    assert open_store().get(KEY) == two
    store.promote(one, "latest")
    invariants.check(store, KEY)
    healthy(store)


@IN_MEMORY
@pytest.mark.parametrize(
    "name", ["{run.ref}", "{run.key}@latest={run.run_id}", "{run.key}@latest={run.ref}", "a handle", "a list"]
)
def test_a_run_is_chosen_by_its_name_or_a_handle(store, name):
    run, _ = (store.save({"n": n}, KEY) for n in range(2))
    damaged(store)
    names = {"a handle": run, "a list": [run.ref]}
    plan = examined(store).repair(to=names.get(name, name.format(run=run)))
    assert [(step.action, step.target) for step in plan.changes] == [("rebuild", f"{KEY}@latest")]
    assert run.run_id in plan.changes[0].reason
    assert plan.apply().ok
    assert store.get(KEY) == run


def archived_twice(store, run, other):
    """Publish a run, and then 31 times and more another one or none, so that a block of the archive ends in that."""
    pointer, blocks = None, []
    for number in range(65):
        at = datetime.now(UTC) + timedelta(hours=number)
        manifest = run.manifest if number == 0 or other == "itself" else other
        step = advance(pointer, run.key, "latest", manifest, PublishInfo(f"{number:032x}", at, "me", "later"))
        pointer, blocks = step.pointer, [*blocks, *step.blocks]
    for block in blocks:
        put(store, keys.history_block(run.key, "latest", block.last_seq), block.to_bytes())
    put(store, keys.pointer(run.key, "latest"), pointer.to_bytes())


def hand_published(store):
    run = store.save({"n": 1}, KEY, publish="never")
    store.promote(run, "latest")
    return run


def conditional(store):
    return store.save({"n": 1}, KEY, publish="if_newer")


def retired_in_the_archive(store):
    run = store.save({"n": 1}, KEY)
    archived_twice(store, run, None)
    return run


def another_in_the_archive(store):
    run = store.save({"n": 1}, KEY)
    two = store.save({"n": 2}, KEY, publish="never")
    archived_twice(store, run, two.manifest)
    put(
        store, manifest_of(two), Tombstone.mark(two.manifest, PublishInfo("0" * 32, datetime.now(UTC), "me")).to_bytes()
    )
    return run


def moved_by_hand(store):
    run, two = (store.save({"n": n}, KEY) for n in range(2))
    store.retire(KEY)
    store.delete(two).apply()
    return run


def beside_a_damaged_manifest(store):
    run, two = (store.save({"n": n}, KEY) for n in range(2))
    put(store, manifest_of(two), b"{")
    return run


def with_a_damaged_archive(store):
    run = store.save({"n": 1}, KEY)
    _, blocks = many(store, run, "latest", 70)
    put(store, keys.history_block(run.key, "latest", BLOCK), blocks[0].to_bytes()[:-1])
    return run


TRACES = {
    "nothing here says that there was such an alias": hand_published,
    "nothing says that it named": conditional,
    "the last publish in its archive names no run": retired_in_the_archive,
    "the last publish in its archive names 2": another_in_the_archive,
    "was saved later to be published there and was deleted": moved_by_hand,
    "whose manifest cannot be read": beside_a_damaged_manifest,
    "the newest part of its archive": with_a_damaged_archive,
}


@IN_MEMORY
@pytest.mark.parametrize("trace", TRACES)
def test_one_trace_of_another_publish_is_enough_to_ask(store, trace):
    run = TRACES[trace](store)
    damaged(store)
    asked(store, trace)
    chosen(store, run)


@IN_MEMORY
def test_what_its_archive_says_last_is_named_if_no_other_run_is_left(store):
    run = store.save({"n": 1}, KEY, publish="never")
    archived_twice(store, run, "itself")
    damaged(store)
    repaired(store, "rebuilt")
    assert store.aliases(KEY)["latest"].run_id == run.run_id


def test_where_no_run_is_left_the_alias_names_none(store):
    run = store.save({"n": 1}, KEY)
    pointer = store.retire(KEY)
    store.delete(run).apply()
    damaged(store)
    assert [done.result for done in examined(store).repair().apply()] == ["rebuilt"]
    now = store.aliases(KEY)["latest"]
    assert (now.run_id, now.seq > pointer.seq) == (None, True)
    assert store.save({"n": 2}, KEY).published


@IN_MEMORY
def test_where_the_only_run_cannot_be_read_the_alias_is_not_retired_unasked(store):
    """The damaged pointer may have the one copy of its manifest."""
    run = store.save({"n": 1}, KEY)
    many(store, run, "latest", 70)
    put(store, manifest_of(run), b"{")
    bad = damaged(store)
    asked(store, f"it may have named {run.run_id}, whose manifest cannot be read")
    assert stored(store, keys.pointer(MODEL, "latest")) == bad
    chosen(store, store.save({"n": 2}, KEY, alias="spare", publish="never"))


@IN_MEMORY
def test_a_run_that_cannot_be_named_is_an_error_and_nothing_is_touched(store):
    run, two = (store.save({"n": n}, KEY) for n in range(2))
    gone = store.save({"n": 2}, KEY, publish="never")
    store.delete(gone).apply()
    other = store.save({"n": 3}, "gru/ETHEUR")
    store.promote(run, "production")
    report = examined(store)
    with pytest.raises(errors.InvalidOption, match="no pointer is damaged"):
        report.repair(to=run)
    bad = damaged(store)
    report = examined(store)
    for choice, error, text in (
        (f"{KEY}:20200101_000000", errors.RunNotFound, "20200101_000000"),
        (f"{KEY}@latest=20200101_000000", errors.RunNotFound, "20200101_000000"),
        (gone, errors.RunDeleted, "deleted"),
        (other, errors.Conflict, "another model"),
        (f"{KEY}@latest={other.ref}", errors.Conflict, "its own"),
        (f"{KEY}@production={run.run_id}", errors.InvalidOption, "production is not damaged"),
        ([run, two], errors.InvalidOption, "two runs"),
        (KEY, errors.InvalidReference, "full id"),
        (f"{KEY}@production", errors.InvalidReference, "full id"),
        (f"{KEY}:{str(run.run_id)[:8]}", errors.InvalidReference, "full id"),
        ("no name", errors.InvalidReference, "no name"),
    ):
        with pytest.raises(error, match=text):
            report.repair(to=choice)
    assert stored(store, keys.pointer(MODEL, "latest")) == bad
    damaged(store, "production")
    report = examined(store)
    with pytest.raises(errors.InvalidOption, match=f"as in {KEY}@latest={run.run_id}"):
        report.repair(to=run)
    plan = report.repair(to=[f"{KEY}@production={run.run_id}", f"{KEY}@latest={two.run_id}"])
    assert [done.result for done in plan.apply()] == ["rebuilt", "rebuilt"]
    assert (store.get(KEY), store.get(f"{KEY}@production")) == (two, run)


def test_a_run_that_is_deleted_after_it_was_chosen_is_not_named(store):
    one, two = (store.save({"n": n}, KEY, publish="never") for n in range(2))
    many(store, one, "production", 33)
    store.promote(two, "production")
    bad = damaged(store, "production")
    plan = examined(store).repair(to=two)
    note = PublishInfo("0" * 32, datetime.now(UTC), "me", "died")
    put(store, manifest_of(two), Tombstone.mark(two.manifest, note).to_bytes())
    applied = plan.apply()
    assert [type(problem.error) for problem in applied.problems] == [errors.RunDeleted]
    assert stored(store, keys.pointer(MODEL, "production")) == bad
    assert chosen(store, one, "production").seq > 34


@IN_MEMORY
def test_a_signed_pointer_is_rebuilt_only_by_who_signs_and_names_only_what_is_signed(store, open_store):
    owner = open_store(signer=signer("a"))
    run = owner.save({"n": 1}, KEY)
    many(owner, run, "latest", 40)
    owner.promote(run, "latest", vouch=owner.history(KEY).pointer)
    forged = store.save({"n": "forged"}, KEY, publish="never")
    damaged(store)
    applied = examined(store).repair(to=run).apply()
    assert [type(problem.error) for problem in applied.problems] == [errors.InvalidOption]
    assert "--signer" in str(applied.problems[0].error)
    asked(owner, "signatures are in use")
    applied = examined(owner).repair(to=forged).apply()
    assert [isinstance(problem.error, errors.Untrusted) for problem in applied.problems] == [True]
    pointer = chosen(owner, run)
    assert pointer.seq > 41
    assert all(entry.run_id is None for entry in pointer.history[:-1])
    reader = open_store(policy=strict("a"))
    assert reader.load(KEY) == {"n": 1}
    healthy(owner)


@IN_MEMORY
@pytest.mark.parametrize("count", [3, 64, 65, 97, 128, 129, 300])
def test_the_seq_never_goes_back_behind_what_this_client_has_seen(store, open_store, tmp_path, count):
    """Not even where the newest blocks of the archive are gone as well."""
    owner = open_store(signer=signer("a"), policy=strict("a"), state=tmp_path / "seen")
    run = owner.save({"n": 1}, KEY)
    for _ in range(count - 1):
        pointer = owner.promote(run, "latest")
    assert owner.get(KEY) == run  # and this client has seen it
    for entry in list(backend(store).list(keys.history_prefix(MODEL, "latest"))):
        backend(store).delete(entry.key)
    damaged(store)
    now = chosen(owner, run)
    assert (pointer.seq, now.seq > count) == (count, True)
    assert now.archived == pointer.archived + BLOCK
    assert owner.load(KEY) == {"n": 1}
    assert owner.promote(run, "latest").seq == now.seq + 1


@IN_MEMORY
@pytest.mark.parametrize("count", [1, 70])
def test_a_pointer_that_is_damaged_twice_is_rebuilt_with_a_higher_seq_each_time(store, open_store, tmp_path, count):
    """Other clients have seen the first rebuilt pointer, and would refuse another one with the same ``seq``."""
    owner = open_store(signer=signer("a"))
    run = owner.save({"n": 1}, KEY)
    for _ in range(count - 1):
        owner.promote(run, "latest")
    reader = open_store(policy=strict("a"), state=tmp_path / "seen")
    before = 0
    for _ in range(3):
        damaged(store)
        now = chosen(owner, run)
        assert now.seq > before
        assert reader.load(KEY) == {"n": 1}
        before = now.seq
    assert [entry.seq for entry in owner.history(KEY)] == list(range(1, before + 1))
    healthy(owner)


@IN_MEMORY
def test_an_archive_that_a_publisher_wrote_ahead_of_a_damaged_pointer_can_be_carried_on(store):
    run = store.save({"n": 1}, KEY, publish="never")
    pointer, _ = many(store, run, "latest", 64)
    step = advance(pointer, run.key, "latest", run.manifest, PublishInfo("a" * 32, datetime.now(UTC), "me"))
    put(store, keys.history_block(run.key, "latest", BLOCK), step.blocks[0].to_bytes())
    damaged(store)
    repaired(store, "rebuilt")
    for _ in range(70):
        store.promote(run, "latest")
    healthy(store)
    invariants.check(store, KEY)
    past = store.history(KEY)
    assert past[:BLOCK] == list(pointer.history[:BLOCK])
    assert past[BLOCK].reason == "lost with the damaged pointer"


@IN_MEMORY
def test_a_pointer_that_carries_the_manifest_of_another_run_is_found_and_published_over(store):
    one, two = (store.save({"n": n}, KEY) for n in range(2))
    where = keys.pointer(MODEL, "latest")
    value = json.loads(stored(store, where))
    put(store, where, resealed(value | {"run_id": str(one.run_id)}))
    found = only(store, "pointer-corrupt", "error")
    assert (found.target, found.repairable, "promote" in found.remedy) == (f"{KEY}@latest", False, True)
    store.promote(two, "latest")
    healthy(store)


def test_what_never_was_a_pointer_is_left_alone(store):
    store.save({"n": 1}, KEY)
    put(store, "gru/BTCEUR/notes.json", b'{"my": "notes"}')
    assert only(store, "pointer-corrupt", "error").target == f"{KEY}@notes"
    assert "move it away" in asked(store, "nothing here says", alias="notes").remedy
    assert examined(store).repair(quarantine=True).changes == ()
    assert stored(store, "gru/BTCEUR/notes.json") == b'{"my": "notes"}'


def test_a_pointer_that_was_removed_is_rebuilt_from_its_archive(store):
    run = store.save({"n": 1}, KEY, publish="never")
    pointer, _ = many(store, run, "production", 80)
    backend(store).delete(keys.pointer(run.key, "production"))
    found = only(store, "pointer-missing", "error")
    assert (found.target, found.repairable) == (f"{KEY}@production", True)
    repaired(store, "rebuilt")
    now = store.aliases(KEY)["production"]
    assert (now.run_id, now.seq > pointer.seq) == (run.run_id, True)


def test_an_alias_that_never_was_and_should_be(store, open_store):
    past = open_store(clock=lambda: datetime.now(UTC) - timedelta(hours=3))
    run = past.save({"n": 1}, KEY)
    backend(store).delete(keys.pointer(run.key, "latest"))
    found = only(store, "never-published", "warning")
    assert (found.target, found.remedy) == (f"{KEY}@latest", f"artifact-store promote {run.ref} latest")
    store.promote(run, "latest")
    healthy(store)


def test_a_history_with_a_gap(store):
    run = store.save({"n": 1}, KEY, publish="never")
    many(store, run, "latest", 100, leave_out={BLOCK})
    found = only(store, "history-gap", "error")
    assert (found.target, found.repairable) == (keys.history_block(run.key, "latest", BLOCK), False)
    assert "1 to 32" in found.message


def test_a_history_that_is_damaged_or_contradicts_the_pointer(store):
    run = store.save({"n": 1}, KEY, publish="never")
    _, blocks = many(store, run, "latest", 66)
    where = keys.history_block(run.key, "latest", BLOCK)
    put(store, where, blocks[0].to_bytes()[:-1])
    assert only(store, "history-corrupt", "error").target == where
    put(store, where, blocks[0].to_bytes())
    healthy(store)
    many(store, run, "latest", 64)
    healthy(store)  # a publisher archived and died before its publish, which the next one takes up
    value = json.loads(blocks[0].to_bytes())
    value["entries"][3]["write_id"] = "f" * 32
    put(store, where, resealed(value))
    found = only(store, "history-corrupt", "error")
    assert "contradicts the history of the pointer" in found.message


def test_a_pointer_that_was_put_back(store):
    run = store.save({"n": 1}, KEY, publish="never")
    many(store, run, "latest", 100)
    old, _ = many(store, run, "other", 10)
    put(store, keys.pointer(run.key, "latest"), resealed(json.loads(old.to_bytes()) | {"alias": "latest"}))
    backend(store).delete(keys.pointer(run.key, "other"))
    found = only(store, "pointer-behind-history", "error")
    assert (found.target, found.repairable, "seq 64, and the pointer is at 10" in found.message) == (
        f"{KEY}@latest", False, True,
    )  # fmt: skip


def test_the_same_publish_twice_in_a_history(store):
    run = store.save({"n": 1}, KEY, publish="never")
    pointer, _ = many(store, run, "latest", 5)
    value = json.loads(pointer.to_bytes())
    value["history"][0]["write_id"] = value["write_id"]
    put(store, keys.pointer(run.key, "latest"), resealed(value))
    assert "more than once" in only(store, "history-corrupt", "error").message


# ---------------------------------------------------------------- names and foreign objects


@IN_MEMORY
@pytest.mark.parametrize("name", ["CON", "aux.json", "trail.", "trail ", "a:b", "what?", "x" * 210])
def test_names_that_windows_could_not_hold(store, name):
    run = store.save({"n": 1}, KEY)
    put(store, keys.run_prefix(run.key, run.run_id) + name, b"x")
    found = only(store, "windows-name", "warning")
    assert name in found.target
    assert not found.repairable


def test_names_that_windows_could_not_tell_apart(store):
    store.save({"n": 1}, KEY)
    store._context.opened.models.add("gru/btceur")  # a writer that does not look at its siblings
    store.save({"n": 2}, "gru/btceur")
    found = only(store, "case-twins", "warning")
    assert {found.target, "gru/BTCEUR", "gru/btceur"} == {"gru/BTCEUR", "gru/btceur"}
    assert "by case only" in found.message


def test_a_file_that_is_a_folder_as_well(store):
    if backend(store).engine == "local":
        pytest.skip("a disk cannot hold it")
    run = store.save({"n": 1}, KEY)
    put(store, keys.data_file(run.key, run.run_id, "model.json/part"), b"x")
    report = examined(store)
    assert {found.code for found in report} == {"case-twins", "unlisted-file"}


def test_what_belongs_to_nobody_is_told_once_for_each_place(store):
    run = store.save({"n": 1}, KEY)
    mine = ["photos/a.jpg", "photos/b.jpg", "notes.txt", "gru/notes.txt", "gru/BTCEUR/nothing/of/ours", "_probe/x"]
    litter = [".DS_Store", "gru/Thumbs.db", keys.data_file(run.key, run.run_id, "desktop.ini")]
    for name in (*mine, *litter):
        put(store, name, b"x")
    report = examined(store)
    assert {(found.code, found.severity) for found in report} == {("foreign-object", "note")}
    assert [found.target for found in report] == sorted(
        ["photos/a.jpg", "photos/b.jpg", "notes.txt", "gru/notes.txt", "gru/BTCEUR/nothing/", "_probe/"]
    ) or [found.target for found in report] == sorted(
        ["photos/", "notes.txt", "gru/notes.txt", "gru/BTCEUR/nothing/", "_probe/"]
    )
    assert report.repair().changes == ()


def test_an_upload_that_nobody_ends_is_given_up(store):
    store.save({"n": 1}, KEY)
    left = begun_and_left(store)
    if left is None:
        pytest.skip("there are no uploads in parts here")
    if backend(store).engine == "local":
        (backend(store)._root / left).chmod(0o600)
        (backend(store)._root / left).parent.chmod(0o700)
    assert store.doctor().findings == ()
    code = "leftover-file" if backend(store).engine == "local" else "orphan-upload"
    found = only(store, code, "warning")
    assert found.target == left
    repaired(store, "aborted")


def test_what_a_dying_probe_left_is_cleared(store):
    store.save({"n": 1}, KEY)
    put(store, keys.probe("0" * 32), b"1")
    assert store.doctor().findings == ()
    only(store, "leftover-probe", "note")
    repaired(store, "cleared")


def test_locks_that_were_copied_with_a_store_are_told(store):
    store.save({"n": 1}, KEY)
    if backend(store).engine == "local":
        pytest.skip("they belong there")
    put(store, "_locks/0a.lock", b"")
    put(store, "_locks/ff.lock", b"")
    assert "2 locks" in only(store, "orphan-lock", "note").message


# ---------------------------------------------------------------- the place


@pytest.mark.parametrize(("off", "severity"), [(timedelta(minutes=5), "warning"), (timedelta(hours=-2), "error")])
def test_a_clock_that_is_wrong_is_told_with_how_it_was_measured(store, open_store, off, severity):
    store.save({"n": 1}, KEY)
    crashed(store)
    wrong = open_store(clock=lambda: datetime.now(UTC) + off)
    report = wrong.doctor()
    (found,) = [found for found in report if found.code == "clock"]
    assert found.severity == severity
    assert ("ahead" if off > NOW else "behind") in found.message
    assert "modification time of a probe" in found.message
    assert [other.code for other in report if other.code != "clock"] == ["save-in-progress"]  # by the storage's time


def test_without_probes_nothing_is_written_and_what_was_not_tried_is_not_called_fine(store):
    store.save({"n": 1}, KEY)
    written = []
    inner = backend(store)
    original, inner.write = inner.write, lambda key, data, *, when: written.append(key)
    try:
        report = store.doctor(probes=False)
    finally:
        inner.write = original
    assert written == []
    states = {fact.name: fact.state for fact in report.facts}
    assert states["conditions"] == "unknown"
    assert states["clock"] == ("fine" if inner.engine == "obstore" else "unknown")
    assert report.findings == ()


def test_every_severity_and_every_code_is_explained():
    """Codes stand as they are in the source; those of the place come from the backends."""
    assert tuple(SEVERITIES) == reports.SEVERITIES
    assert len({*SEVERITIES, *CODES}) == len(ROWS)
    folders = [Path(reports.__file__).parent, Path(base.__file__).parent]
    source = "\n".join(path.read_text(encoding="utf-8") for folder in folders for path in sorted(folder.rglob("*.py")))
    assert [code for code in CODES if f'"{code}"' not in source] == []
    reported = set(re.findall(r"""\.add(?:_for_gc)?\(\s*(?:"\w+"|\w+), "([^"]+)\"""", source))
    assert len(reported) > 20
    assert reported <= set(CODES)


@pytest.mark.parametrize("engine", ["obstore", "s3fs"])
def test_the_most_of_it_on_s3(engine, request, tidy_bucket):
    with ArtifactStore(**place_of(engine, request)) as store:
        run, other = store.save({"n": 1}, KEY, publish="never"), store.save({"n": 2}, KEY)
        healthy(store)
        torn = crashed(store)
        put(store, manifest_of(run), b"{")
        where = keys.pointer(run.key, "latest")
        put(store, where, cut(stored(store, where)))
        left = begun_and_left(store)
        report = examined(store)
        assert {(found.code, found.target) for found in report} == {
            ("manifest-corrupt", str(run.ref)),
            ("pointer-corrupt", f"{KEY}@latest"),
            ("orphan-upload", left),
            ("torn-run", str(torn.ref)),
        }
        assert report.repair(to=other).apply().ok
        assert [done.result for done in examined(store).repair(quarantine=True).apply()] == ["quarantined"]
        store.gc(grace=NOW).apply()
        healthy(store)
        assert store.get(KEY) == other
        assert RunId(run.run_id)
