"""Runs that move from one store to another: nothing about them changes, and nothing is there by halves."""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from datetime import timedelta

import numpy as np
import pytest

from artifact_store import ArtifactStore, FeatureSchema, errors
from artifact_store.core import keys
from artifact_store.storage.base import Always, IfAbsent
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend, SimulatedCrash
from tests.keys import signer, strict

pytestmark = pytest.mark.windows

KEY = "gru/BTC;2FUSDT"
NOW = timedelta(0)


@pytest.fixture
def source(tmp_path):
    """A store on this machine with two models and what belongs to them."""
    store = ArtifactStore(tmp_path / "laptop", actor="ann")
    one = store.save(np.arange(4.0), KEY, run_id="20240101_000000", components={"notes": {"n": 1}}, metrics={"f1": 0.5})
    store.save(np.arange(5.0), KEY, run_id="20240102_000000", publish="never")
    store.promote(one, "production", reason="beats last week's")
    store.save({"n": 3}, "linear", run_id="20240103_000000")
    return store


def contents(store, prefix=""):
    """Every stored byte of runs and their signatures, by key."""
    backend = store._context.backend
    return {
        entry.key: backend.read(entry.key, limit=1 << 20).data
        for entry in backend.list(prefix)
        if keys.run_of(entry.key) is not None and not entry.key.endswith(".origin.json")
    }


def test_a_mirror_has_the_same_bytes_aliases_and_histories(source, store):
    report = source.mirror(store)
    assert report.ok
    assert {run.outcome for run in report} == {"copied"}
    assert contents(store) == contents(source)
    assert store.models() == source.models()
    for key in source.models():
        assert store.aliases(key).keys() == source.aliases(key).keys()
        for alias in source.aliases(key):
            assert list(store.history(f"{key}@{alias}")) == list(source.history(f"{key}@{alias}"))
    assert store.load(KEY).tolist() == [0.0, 1.0, 2.0, 3.0]
    assert store.get(f"{KEY}@production").manifest == source.get(f"{KEY}@production").manifest
    assert [step for step in store.gc(grace=NOW) if step.action in {"clear", "sweep"}] == []
    assert store.verify().ok
    assert {found.code for found in store.doctor(probes=False).findings if found.severity != "note"} <= {"lifecycle"}


def test_a_store_on_any_storage_can_be_brought_to_this_machine(store, tmp_path):
    run = store.save(np.arange(3.0), KEY, metrics={"f1": 1})
    laptop = ArtifactStore(tmp_path / "laptop")
    assert store.copy(KEY, laptop).ok
    assert contents(laptop) == contents(store)
    assert laptop.get(KEY).manifest == run.manifest


def test_a_copy_that_is_repeated_changes_nothing(source, store):
    source.mirror(store)
    before = contents(store)
    report = source.mirror(store)
    assert {run.outcome for run in report} == {"already there"}
    assert {alias.outcome for alias in report.aliases} == {"already there"}
    assert sum(run.bytes for run in report) == 0
    assert contents(store) == before


def test_a_run_that_was_copied_is_a_run_of_the_store(source, store):
    source.copy(KEY, store)
    run = store.get(f"{KEY}:20240102")
    assert store.promote(run, "latest").run_id == run.run_id
    assert store.rollback(f"{KEY}@latest").run_id == "20240101_000000"
    store.sign(run, signer())
    store.delete(run).apply()
    assert store.undelete(f"{KEY}:20240102_000000") == run
    store.delete(run).apply()
    store.gc(grace=NOW).apply()
    assert [key for key in contents(store) if "20240102" in key] == [f"gru/BTC;2FUSDT/20240102_000000/{keys.MANIFEST}"]
    report = source.copy(KEY, store)
    assert {run.ref: run.outcome for run in report}[f"{KEY}:20240102_000000"] == "deleted"
    assert report.ok  # it was deleted there on purpose
    assert isinstance(next(run.error for run in report if run.outcome == "deleted"), errors.RunDeleted)


def test_a_folder_that_was_copied_by_hand_is_no_run_of_the_store_until_it_is_copied_by_the_store(source, tmp_path):
    other = ArtifactStore(tmp_path / "other")
    other.save({"n": 1}, "linear")
    shutil.copytree(tmp_path / "laptop" / "gru", tmp_path / "other" / "gru")
    with pytest.raises(errors.Conflict, match="artifact-store cp"):
        other.promote(f"{KEY}:20240102_000000", "best")
    assert "store-id-differs" in {found.code for found in other.doctor(probes=False).findings}
    assert source.copy(KEY, other).counts == {"already there": 2}
    assert other.promote(f"{KEY}:20240102_000000", "best").run_id == "20240102_000000"
    assert other.doctor(probes=False).ok


def test_a_manifest_that_came_by_other_hands_proves_no_file(source, tmp_path):
    other = ArtifactStore(tmp_path / "other")
    other.save({"n": 1}, "linear")
    folder = tmp_path / "other" / "gru"
    shutil.copytree(tmp_path / "laptop" / "gru", folder)
    first, second = sorted(folder.rglob("model.npz"))
    first.unlink()
    second.write_bytes(bytes(second.stat().st_size))
    report = source.copy(KEY, other)
    assert [type(run.error) for run in report] == [type(None), errors.DigestMismatch]
    assert first.read_bytes() == (tmp_path / "laptop" / first.relative_to(tmp_path / "other")).read_bytes()
    assert [found.name for found in folder.rglob("*.origin.json") if "20240102" in str(found)] == []
    assert other.verify(f"{KEY}:20240101_000000").ok


def test_a_record_of_origin_counts_for_its_own_store_alone(source, tmp_path):
    first, second = ArtifactStore(tmp_path / "first"), ArtifactStore(tmp_path / "second")
    source.copy(KEY, first)
    second.save({"n": 1}, "linear")
    shutil.copytree(tmp_path / "first" / "gru", tmp_path / "second" / "gru")
    with pytest.raises(errors.Conflict, match="belongs to another store"):
        second.promote(f"{KEY}:20240102_000000", "best")
    assert "store-id-differs" in {found.code for found in second.doctor(probes=False).findings}
    report = source.copy(KEY, second)
    assert {type(run.error) for run in report} == {errors.Corrupt}
    for found in (tmp_path / "second").rglob("*.origin.json"):
        assert f"_signatures/{found.name}" in str([run.error for run in report])
        found.unlink()
    assert {run.outcome for run in source.copy(KEY, second)} == {"already there"}
    assert second.promote(f"{KEY}:20240102_000000", "best").run_id == "20240102_000000"


def test_a_copy_of_a_copy_names_the_store_that_the_run_was_saved_in(source, tmp_path):
    first, second, again = (ArtifactStore(tmp_path / name) for name in ("first", "second", "again"))
    source.copy(KEY, first)
    assert first.copy(KEY, second).ok
    origin = second._context.records.origin(second.get(KEY).manifest)
    assert origin.origin == source.get(KEY).manifest.store_id
    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "laptop" / keys.STORE_MARKER, tmp_path / "again")
    assert second.copy(KEY, again).ok  # the store that it was saved in needs no record
    assert not list((tmp_path / "again").rglob("*.origin.json"))


# ---------------------------------------------------------------- aliases


def published(store, times, start=0):
    """Publish two runs by turns."""
    for number in range(start, start + times):
        store.promote(f"{KEY}:2024010{1 + number % 2}_000000", "long", reason=f"turn {number}")


@pytest.mark.parametrize("times", [63, 64, 65, 96, 97, 130])
def test_a_long_history_is_copied_with_its_archive(source, tmp_path, times):
    published(source, times)
    here, there = ArtifactStore(tmp_path / "here"), ArtifactStore(tmp_path / "there")
    assert source.copy(KEY, here, aliases=["long"]).ok
    assert list(here.history(f"{KEY}@long")) == list(source.history(f"{KEY}@long"))
    assert here.aliases(KEY)["long"].to_bytes() == source.aliases(KEY)["long"].to_bytes()
    blocks = f"{keys.history_prefix(source.get(KEY).key, 'long')}"
    archives = [
        {
            entry.key: each._context.backend.read(entry.key, limit=1 << 18).data
            for entry in each._context.backend.list(blocks)
        }
        for each in (source, here)
    ]
    assert archives[0] == archives[1]
    published(source, 40, times)  # and goes on where it stopped
    for target in (here, there):
        assert source.copy(KEY, target).ok
        assert list(target.history(f"{KEY}@long")) == list(source.history(f"{KEY}@long"))
        assert target.aliases(KEY)["long"].to_bytes() == source.aliases(KEY)["long"].to_bytes()
        assert target.doctor(probes=False).ok


def test_an_alias_that_went_its_own_way_stays_unless_the_run_is_published_over_it(source, store):
    source.copy(KEY, store)
    store.promote(f"{KEY}:20240102_000000", "production")
    report = source.copy(f"{KEY}@production", store)
    assert report.ok
    assert [alias.outcome for alias in report.aliases] == ["ahead"]
    source.promote(f"{KEY}:20240101_000000", "production", reason="again")
    report = source.copy(f"{KEY}@production", store)
    assert not report.ok
    (refused,) = report.aliases
    assert isinstance(refused.error, errors.Conflict)
    assert "history=False" in str(refused.error)
    assert store.get(f"{KEY}@production").run_id == "20240102_000000"
    report = source.copy(f"{KEY}@production", store, history=False)
    assert [alias.outcome for alias in report.aliases] == ["published"]
    last = store.history(f"{KEY}@production")[-1]
    assert (last.run_id, last.seq, last.reason) == ("20240101_000000", 3, f"copied from {source.url}")
    assert [alias.outcome for alias in source.copy(f"{KEY}@production", store, history=False).aliases] == [
        "already there"
    ]


def test_a_retired_alias_is_copied_as_such(source, store):
    source.retire(f"{KEY}@production", reason="loses money")
    assert source.copy(KEY, store).ok
    with pytest.raises(errors.AliasRetired, match="loses money"):
        store.get(f"{KEY}@production")
    source.copy(f"{KEY}:20240101_000000", store, aliases=["latest"])
    report = source.copy(KEY, store, history=False, aliases=["production"])
    assert [alias.outcome for alias in report.aliases] == ["already there"]


def test_an_alias_that_no_model_has_is_a_mistake(source, store):
    with pytest.raises(errors.AliasNotFound, match="'prodction'.*production"):
        source.copy(KEY, store, aliases=["prodction"])
    assert not store.exists()
    assert source.copy(["gru", "linear"], store, aliases=["production"]).aliases[0].ref == f"{KEY}@production"


def test_only_what_is_named_is_copied(source, store):
    report = source.copy(f"{KEY}@production", store)
    assert ([run.ref for run in report], [alias.ref for alias in report.aliases]) == (
        [f"{KEY}:20240101_000000"],
        [f"{KEY}@production"],
    )
    assert source.copy(f"{KEY}:20240102_000000", store).aliases == ()
    assert [str(key) for key in store.models()] == [KEY]
    assert source.copy("linear", store, aliases=[]).aliases == ()
    assert store.aliases("linear") == {}
    with pytest.raises(errors.ModelNotFound):
        source.copy("lineer", store)
    with pytest.raises(errors.AliasNotFound):
        source.copy("linear@production", store)


def test_a_dry_run_writes_nothing(source, store):
    report = source.copy(source.models(), store, dry_run=True)
    assert report.counts == {"would copy": 3}
    assert {alias.outcome for alias in report.aliases} == {"would copy"}
    assert not store.exists()
    assert store.models() == []
    assert json.loads(json.dumps(report.to_json()))["dry_run"] is True


def test_a_dry_run_says_what_a_copy_would_say(source, store):
    source.copy(KEY, store)
    store.promote(f"{KEY}:20240102_000000", "latest")
    source.promote(f"{KEY}:20240102_000000", "production", reason="mine")
    store.promote(f"{KEY}:20240102_000000", "production", reason="yours")
    source.promote(f"{KEY}:20240101_000000", "new")
    report = source.copy(KEY, store, dry_run=True)
    said = {alias.ref.rpartition("@")[2]: alias.outcome for alias in report.aliases}
    assert said == {"latest": "ahead", "new": "would copy", "production": "refused"}
    assert report.counts == {"already there": 2}
    assert "new" not in store.aliases(KEY)
    again = {alias.ref.rpartition("@")[2]: alias.outcome for alias in source.copy(KEY, store).aliases}
    assert again == {**said, "new": "copied"}


# ---------------------------------------------------------------- what does not fit


def test_another_run_under_the_same_id_stays(source, store):
    store.save({"n": 9}, KEY, run_id="20240101_000000")
    report = source.copy(KEY, store)
    assert {run.ref[-15:]: run.outcome for run in report} == {
        "20240101_000000": "refused",
        "20240102_000000": "copied",
    }
    assert isinstance(report.runs[0].error, errors.RunExists)
    assert store.load(f"{KEY}:20240101_000000") == {"n": 9}
    assert not report.ok
    assert {type(alias.error) for alias in report.aliases} == {errors.RunExists}


def test_a_damaged_run_is_refused_and_nothing_of_it_is_visible(source, store, tmp_path):
    (tmp_path / "laptop" / "gru" / "BTC;2FUSDT" / "20240101_000000" / "model.npz").write_bytes(b"something else")
    report = source.copy(KEY, store)
    assert {type(run.error) for run in report} == {errors.DigestMismatch, type(None)}
    with pytest.raises(errors.RunNotFound):
        store.get(f"{KEY}:20240101_000000")
    assert {type(alias.error) for alias in report.aliases} == {errors.RunNotFound}
    assert store.aliases(KEY) == {}


def test_what_a_save_left_under_the_same_id_is_no_part_of_the_run(source, store):
    store.save({"n": 1}, "linear", run_id="20200101_000000")
    model = source.get(KEY).key
    name = next(entry.key for entry in source.get(KEY).manifest.files if entry.key.startswith("model"))
    where = keys.data_file(model, source.get(KEY).run_id, name)
    store._context.backend.write(where, b"x" * 10, when=IfAbsent())
    report = source.copy(f"{KEY}:20240101_000000", store)
    assert isinstance(report.runs[0].error, errors.Conflict)
    assert "gc --apply" in str(report.runs[0].error)
    assert store._context.backend.read(where, limit=100).data == b"x" * 10
    store.gc(grace=NOW).apply()  # which also uses up the id
    assert isinstance(source.copy(f"{KEY}:20240101_000000", store).runs[0].error, errors.RunDeleted)


def test_what_an_interrupted_copy_left_is_used(source, store):
    run, backend = source.get(KEY), store._context.backend
    store.save({"n": 1}, "linear", run_id="20200101_000000")
    for entry in run.manifest.files:
        where = keys.data_file(run.key, run.run_id, entry.key)
        backend.write(where, source._context.backend.read(where, limit=1 << 20).data, when=Always())
    sent = []
    told = ArtifactStore(backend, progress=sent.append)
    assert source.copy(f"{KEY}:20240101_000000", told).ok
    assert [step for step in sent if step.direction == "up"] == []
    assert contents(store, "gru/") == {key: data for key, data in contents(source, "gru/").items() if "20240101" in key}


def test_symbols_that_differ_by_case_alone_are_refused(source, store):
    store.save({"n": 1}, ("gru", "btc/usdt"))
    report = source.copy(KEY, store)
    assert {type(run.error) for run in report} == {errors.InvalidName}
    assert [key.symbol for key in store.models()] == ["btc/usdt"]


def test_a_store_is_not_copied_to_itself(source):
    with pytest.raises(errors.InvalidOption, match="both are the store"):
        source.mirror(ArtifactStore(source.url))


def test_deleted_runs_are_not_copied(source, store):
    source.delete(f"{KEY}:20240102_000000").apply()
    assert {run.ref for run in source.copy("gru", store)} == {f"{KEY}:20240101_000000"}


# ---------------------------------------------------------------- signatures


def test_signatures_travel_and_still_count(tmp_path, store, open_store):
    laptop = ArtifactStore(tmp_path / "laptop", signer=signer())
    run = laptop.save({"n": 1}, KEY)
    assert laptop.copy(KEY, store).ok
    assert contents(store) == contents(laptop)
    reader = open_store(policy=strict())
    assert reader.load(str(run.ref)) == {"n": 1}
    with pytest.raises(errors.SignatureMissing):
        reader.load(KEY)  # the pointer was written without a key
    fresh = ArtifactStore(tmp_path / "signed", signer=signer(), policy=strict())
    assert laptop.copy(KEY, fresh).ok
    assert fresh.load(KEY) == {"n": 1}
    laptop.sign(run, signer("other"))
    assert laptop.copy(KEY, fresh).counts == {"already there": 1}
    assert contents(fresh) == contents(laptop)


def test_a_signer_signs_no_history_that_nobody_vouches_for(source, tmp_path):
    target = ArtifactStore(tmp_path / "signed", signer=signer())
    report = source.copy(KEY, target)
    assert {run.outcome for run in report} == {"copied"}
    assert all(isinstance(alias.error, errors.Untrusted) for alias in report.aliases)
    assert target.aliases(KEY) == {}


def test_a_reader_that_requires_signatures_copies_only_what_has_them(source, tmp_path):
    reader = ArtifactStore(source.url, policy=strict())
    with pytest.raises(errors.SignatureMissing):
        reader.copy(f"{KEY}:20240102_000000", ArtifactStore(tmp_path / "other"))


# ---------------------------------------------------------------- exports


def test_an_export_is_a_store_that_is_read_like_any_other(store, tmp_path):
    run = store.save(np.arange(3.0), KEY, features=FeatureSchema(["a", "b", "c"]), metrics={"f1": 1})
    store.save({"n": 2}, "linear")
    made = store.export(store.models(), tmp_path / "runs.zip")
    assert (len(made.runs), made.aliases) == (2, (f"{KEY}@latest", "linear@latest"))
    assert made.bytes == sum(entry.size for each in store.runs() for entry in each.manifest.files)
    archive = ArtifactStore(tmp_path / "runs.zip")
    assert archive.get(KEY).manifest == run.manifest
    assert archive.load(KEY).tolist() == [0.0, 1.0, 2.0]
    assert contents(archive) == contents(store)
    assert archive.verify().ok
    assert archive.models() == store.models()
    assert {str(each.ref) for each in archive.runs()} == {str(each.ref) for each in store.runs()}
    with pytest.raises(errors.Unsupported, match="artifact-store cp"):
        archive.save({"n": 1}, "linear")
    with pytest.raises(errors.Unsupported, match="artifact-store cp"):
        archive.promote(run, "best")


def test_the_same_runs_make_the_same_bytes_wherever_they_are(source, store, tmp_path):
    source.export(KEY, tmp_path / "one.zip")
    assert source.export(KEY, tmp_path / "two.zip").path.endswith("two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert store.import_from(tmp_path / "one.zip").ok
    assert contents(store) == contents(source, "gru/")
    assert list(store.history(f"{KEY}@production")) == list(source.history(f"{KEY}@production"))
    assert store.import_from(tmp_path / "one.zip").counts == {"already there": 2}
    assert store.promote(f"{KEY}:20240102_000000", "best").seq == 1
    source.export(KEY, tmp_path / "one.zip")  # in the place of the older one
    with zipfile.ZipFile(tmp_path / "one.zip") as file:
        assert file.testzip() is None
        assert {entry.date_time for entry in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_part_of_an_export_is_imported(source, store, tmp_path):
    source.export(["gru", "linear"], tmp_path / "runs.zip")
    assert store.import_from(tmp_path / "runs.zip", f"{KEY}@production", dry_run=True).counts == {"would copy": 1}
    assert [run.ref for run in store.import_from(tmp_path / "runs.zip", f"{KEY}@production")] == [
        f"{KEY}:20240101_000000"
    ]
    with pytest.raises(errors.NotFound):
        store.import_from(tmp_path / "runs.zip", "gru/ETHEUR")


def test_signatures_are_in_an_export_and_count(tmp_path):
    laptop = ArtifactStore(tmp_path / "laptop", signer=signer())
    laptop.save({"n": 1}, KEY)
    laptop.export(KEY, tmp_path / "runs.zip")
    assert ArtifactStore(tmp_path / "runs.zip", policy=strict()).load(KEY) == {"n": 1}
    with pytest.raises(errors.Untrusted):
        ArtifactStore(tmp_path / "runs.zip", policy=strict("other")).load(KEY)
    other = ArtifactStore(tmp_path / "other", signer=signer(), policy=strict())
    assert other.import_from(tmp_path / "runs.zip").ok
    assert other.load(KEY) == {"n": 1}
    strange = ArtifactStore(tmp_path / "strange", signer=signer("other"), policy=strict("other"))
    assert {type(run.error) for run in strange.import_from(tmp_path / "runs.zip", aliases=[])} == {errors.UntrustedKey}


def test_a_damaged_run_is_not_exported_and_an_older_export_stays(source, tmp_path):
    source.export(KEY, tmp_path / "runs.zip")
    before = (tmp_path / "runs.zip").read_bytes()
    file = tmp_path / "laptop" / "gru" / "BTC;2FUSDT" / "20240101_000000" / "model.npz"
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(errors.DigestMismatch):
        source.export(KEY, tmp_path / "runs.zip")
    assert (tmp_path / "runs.zip").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".tmp")] == []


def test_an_export_replaces_nothing_but_an_export(source, tmp_path):
    (tmp_path / "thesis.zip").write_bytes(b"years of work")
    with pytest.raises(errors.InvalidOption, match="name another file"):
        source.export(KEY, tmp_path / "thesis.zip")
    assert (tmp_path / "thesis.zip").read_bytes() == b"years of work"
    with pytest.raises(errors.InvalidOption, match="make it first"):
        source.export(KEY, tmp_path / "nowhere" / "runs.zip")
    with pytest.raises(errors.InvalidOption, match="export that run as well"):
        source.export(f"{KEY}:20240102_000000", tmp_path / "runs.zip", aliases=["latest"])


def test_what_is_no_export_is_no_store(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
        file.writestr("data", b"of an agent")
    with pytest.raises(errors.NotAStore):
        ArtifactStore(tmp_path / "model.zip").models()
    (tmp_path / "text.zip").write_bytes(b"not a zip file")
    with pytest.raises(errors.Corrupt):
        ArtifactStore(tmp_path / "text.zip").models()


def test_a_cut_flipped_or_repacked_export_is_refused(source, store, tmp_path):
    source.export(KEY, tmp_path / "runs.zip")
    whole = (tmp_path / "runs.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises((errors.Corrupt, errors.NotAStore)):  # a zip within may be taken for the whole
        store.import_from(tmp_path / "cut.zip")
    for place in range(0, len(whole), 97):
        (tmp_path / "flipped.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        other = ArtifactStore(MemoryBackend())
        with contextlib.suppress(errors.ArtifactStoreError):
            other.import_from(tmp_path / "flipped.zip")
        for run in other.runs():
            assert run.manifest == source.get(str(run.ref)).manifest
            assert other.verify(run).ok
    with (
        zipfile.ZipFile(tmp_path / "runs.zip") as old,
        zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(errors.Corrupt, match="is compressed"):
        store.import_from(tmp_path / "packed.zip")


# ---------------------------------------------------------------- crashes, and many at once


def test_after_a_crash_at_any_step_the_same_call_completes_the_copy(source):
    """A copy that stops at each of its writes in turn leaves nothing visible by halves, and is completed."""
    step = 0
    while True:
        inner, step = MemoryBackend(), step + 1
        crashing = ArtifactStore(
            FaultyBackend(inner, Faults().on("write", "put_file", after=step - 1, times=1).crash())
        )
        try:
            assert source.copy(KEY, crashing).ok
        except SimulatedCrash:
            seen = ArtifactStore(inner)
            assert seen.verify().ok if seen.exists() else True
        else:
            break
        whole = ArtifactStore(inner)
        assert source.copy(KEY, whole).ok, step
        assert contents(whole) == contents(source, "gru/")
        assert list(whole.history(KEY)) == list(source.history(KEY))
        assert whole.doctor(probes=False).ok
    assert step > 10


def test_many_processes_copy_at_once_and_go_on_after_a_crash(source, tmp_path):
    target, journal = ArtifactStore(tmp_path / "target"), tmp_path / "journal"
    heard = []
    report = source.copy(source.models(), target, jobs=2, resume=journal, announce=lambda *step: heard.append(step))
    assert report.ok
    assert (report.counts, heard[-1]) == ({"copied": 3}, (3, 3))
    assert source.copy(source.models(), target, resume=journal).counts == {"copied": 3}  # as the journal says
    assert contents(target) == contents(source)
    shutil.rmtree(tmp_path / "target" / "linear")  # since then
    assert source.copy(source.models(), target, resume=journal).ok
    assert contents(target) == contents(source)
