"""What a store does, on every backend alike."""

import hashlib
import json
import math
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from artifact_store import (
    ArtifactStore,
    Digest,
    Example,
    Expect,
    FeatureSchema,
    IfBetter,
    LoadPolicy,
    ModelKey,
    Run,
    errors,
)
from artifact_store.core import keys
from artifact_store.storage.memory import MemoryBackend
from tests.keys import signer
from tests.stores import write_files

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"


def backend(store):
    return store._context.backend


def all_keys(store):
    try:
        return sorted(entry.key for entry in backend(store).list(""))
    except errors.ContainerNotFound:  # a folder that the first save would have made
        return []


# ---------------------------------------------------------------- save and load


def test_what_is_saved_is_loaded_by_another_client(store, open_store):
    run = store.save(
        {"weights": [1, 2.5, 1e-9], "name": "é"},
        KEY,
        features=FeatureSchema(["a", "b", "c"], selected=[0, 2]),
        config={"lr": 0.1},
        training_config={"epochs": 3},
        metrics={"sharpe": 1.4, "loss": math.nan},
        tags={"fold": 7},
        components={"report": b"text", "extra": [1, 2]},
    )
    assert run.published
    assert str(run.published) == "published as 'latest', seq 1"
    again = open_store().get(KEY)
    assert again == run
    assert again.load() == {"weights": [1, 2.5, 1e-9], "name": "é"}
    assert again.load("report") == b"text"
    assert again.load("extra") == [1, 2]
    assert set(again.components) == {"model", "report", "extra"}
    assert again.features == FeatureSchema(["a", "b", "c"], selected=[0, 2])
    assert again.config == {"lr": 0.1}
    assert again.training_config == {"epochs": 3}
    assert again.metrics["sharpe"] == 1.4
    assert math.isnan(again.metrics["loss"])
    assert again.tags == {"fold": "7"}
    assert again.key == ModelKey("gru", "BTCEUR")
    assert (again.key.model_type, again.key.symbol) == ("gru", "BTCEUR")
    assert again.created_at.tzinfo is UTC
    assert str(again.ref) == f"{KEY}:{run.run_id}"
    assert again.manifest.environment["packages"]["artifact-store"]
    assert store.load(KEY) == open_store().load(f"{KEY}:{run.run_id}")


def test_a_run_tells_where_it_comes_from(store, open_store, tmp_path):
    (tmp_path / "candles.csv").write_bytes(b"1,2\n")
    first = store.save({"n": 1}, KEY, data={"candles": tmp_path / "candles.csv"}, description="all that there is")
    for parent in (first, f"{KEY}@latest", first.ref, str(first.ref)):
        store.save({"n": 2}, "gru/TUNED", parent=parent, data=first.data)
        run = open_store().get("gru/TUNED")
        assert run.parent == first.ref
        assert run.manifest.parent.manifest_sha256 == first.manifest.digest == open_store().get(KEY).manifest.digest
        assert run.manifest.parent.store_id == first.manifest.store_id
        assert run.data == first.data == {"candles": Digest(4, hashlib.sha256(b"1,2\n").hexdigest())}
        assert run.description == ""
    found = open_store().get(KEY)
    assert (found.description, found.parent) == ("all that there is", None)
    assert found.provenance.keys() <= {"git", "script", "user", "host"}
    assert found.environment_verdict.verdict == "same"
    origin = store.diff(first, run).origin
    assert origin.removed == {"description": "all that there is"}
    assert origin.added["parent"] == str(first.ref)


def test_a_parent_of_another_store_is_known_by_its_digest(store):
    other = ArtifactStore(MemoryBackend()).save({"n": 1}, KEY)
    store.save({"n": 2}, KEY, parent=other)
    parent = store.get(KEY).manifest.parent
    assert (parent.ref, parent.store_id, parent.manifest_sha256) == (
        str(other.ref),
        other.manifest.store_id,
        other.manifest.digest,
    )


def test_a_parent_that_was_deleted_is_still_named(store):
    first = store.save({"n": 1}, KEY, publish="never")
    store.delete(first).apply()
    parent = store.save({"n": 2}, KEY, parent=str(first.ref)).manifest.parent
    assert (parent.ref, parent.store_id, parent.manifest_sha256) == (str(first.ref), None, None)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"parent": "gru/NONE"}, errors.NotFound),
        ({"parent": "gru/NONE:20240101_000000"}, errors.NotFound),
        ({"parent": "no reference!"}, errors.InvalidInput),
        ({"parent": 7}, errors.InvalidReference),
        ({"data": {"x": 7}}, errors.InvalidOption),
        ({"data": {"x": "/no/such/file"}}, errors.InvalidOption),
        ({"data": {"x": Digest(1, "no digest")}}, errors.InvalidOption),
        ({"data": {"x": Digest(-1, "0" * 64)}}, errors.InvalidOption),
        ({"data": ["x"]}, errors.InvalidOption),
        ({"description": ["x"]}, errors.InvalidOption),
        ({"description": "\ud800"}, errors.InvalidOption),
    ],
)
def test_what_says_nothing_of_where_a_run_comes_from_is_refused_and_nothing_is_stored(store, said, error):
    with pytest.raises(error):
        store.save({"n": 1}, KEY, **said)
    assert all_keys(store) == []


def test_the_same_save_again_is_the_same_run_whatever_the_code_was_meanwhile(store, open_store):
    first = store.save({"n": 1}, KEY, run_id="20240816_142301", description="one")
    other = open_store(provenance=["host"])
    assert other.save({"n": 1}, KEY, run_id="20240816_142301", description="one") == first
    with pytest.raises(errors.RunExists):
        other.save({"n": 1}, KEY, run_id="20240816_142301", description="two")


def test_a_run_that_is_brought_from_elsewhere_keeps_its_time(store):
    trained = datetime(2024, 8, 16, 14, 23, 1, 234567, tzinfo=UTC)
    with store.new_run(KEY, run_id="20240816_142301") as draft:
        draft.created_at = trained
        draft.add("model", {"a": 1})
    assert store.get(KEY).created_at == trained
    assert store.get(KEY).metadata["created_at"] == "2024-08-16T14:23:01.234567Z"


def test_a_time_without_a_zone_is_refused_and_nothing_is_stored(store):
    draft = store.new_run(KEY)
    draft.add("model", {"a": 1})
    draft.created_at = datetime(2024, 8, 16, 14, 23, 1)  # noqa: DTZ001 -- that is the mistake
    with pytest.raises(errors.InvalidOption, match="zone"):
        draft.commit()
    draft.discard()
    assert all_keys(store) == []


def test_the_summary_lies_beside_the_manifest(store):
    run = store.save({"a": 1}, KEY, features=FeatureSchema(["x", "y"], selected=["y"]), config={"c": 1})
    with run.open("metadata.json") as file:
        stored = json.load(file)
    assert stored == run.metadata
    assert stored["feature_names"] == ["x", "y"]
    assert stored["selected_features"] == [1]
    assert stored["input_size_actual"] == 1
    assert stored["model_type"] == "gru"


def test_a_model_without_a_symbol_is_a_model(store):
    run = store.save([1], "gru")
    assert run.key == ModelKey("gru")
    assert store.load("gru@latest") == [1]
    store.save([2], "gru/BTCEUR")
    assert store.models() == [ModelKey("gru"), ModelKey("gru", "BTCEUR")]
    assert [found.key for found in store.runs("gru")] == [ModelKey("gru")]


def test_a_download_can_be_repeated_into_the_same_folder(store, tmp_path):
    run = store.save({"n": 1}, KEY, components={"weights": b"w" * 1000})
    target = run.download(tmp_path / "out", exist_ok=True)
    (target / "notes.txt").write_text("mine", encoding="utf-8")
    before = {path.name: path.stat().st_mtime_ns for path in target.iterdir() if path.name != "manifest.json"}
    missing = next(path for path in run.files if path.startswith("weights"))
    (target / missing).unlink()
    assert run.download(target, exist_ok=True) == target
    after = {path.name: path.stat().st_mtime_ns for path in target.iterdir() if path.name in before}
    assert {name: time for name, time in after.items() if name != missing} == {
        name: time for name, time in before.items() if name != missing
    }
    assert (target / missing).stat().st_size == run.files[missing].size
    (target / missing).write_bytes(b"another")
    with pytest.raises(errors.InvalidOption, match=f"{missing} is there, and is not"):
        run.download(target, exist_ok=True)
    assert (target / missing).read_bytes() == b"another"


def test_a_draft_commits_when_its_block_ends(store, tmp_path):
    files = write_files(tmp_path / "in", {"report.html": b"<p>", "big.bin": os.urandom(300_000)})
    with store.new_run(KEY) as draft:
        draft.add("model", {"a": 1})
        draft.add_file("report.html", files["report.html"])
        draft.add_file("plots/big.bin", files["big.bin"])
        draft.metrics["val_loss"] = 0.12
        assert all_keys(store) == []
    assert draft.run.published
    run = store.get(KEY)
    assert set(run.files) == {"model.json", "report.html", "plots/big.bin", "metadata.json"}
    assert run.files["plots/big.bin"].size == 300_000
    with run.open("plots/big.bin") as file:
        assert file.read() == files["big.bin"].read_bytes()
    target = run.download(tmp_path / "out")
    assert (target / "plots/big.bin").read_bytes() == files["big.bin"].read_bytes()
    assert (target / "manifest.json").read_bytes() == run.manifest.to_bytes()
    for taken, why in ((target, "is not empty"), (target / "model.json", "is a file")):
        with pytest.raises(errors.InvalidOption, match=f"{why}; name a new or an empty folder"):
            run.download(taken)


def test_a_draft_stores_nothing_when_its_block_raises(store):
    with pytest.raises(ZeroDivisionError), store.new_run(KEY) as draft:
        draft.add("model", {"a": 1})
        raise ZeroDivisionError
    assert all_keys(store) == []
    with pytest.raises(errors.AliasNotFound, match="was never published"):
        store.get(KEY)


def test_a_draft_is_committed_once_and_never_empty(store):
    with pytest.raises(errors.InvalidOption, match="nothing in it"), store.new_run(KEY):
        pass
    draft = store.new_run(KEY)
    draft.add("model", 1)
    draft.commit()
    with pytest.raises(errors.InvalidOption, match="already"):
        draft.commit()
    draft.discard()
    assert len(list(store.runs(KEY))) == 1


def test_names_that_are_taken_within_a_run_are_refused(store, tmp_path):
    source = write_files(tmp_path, {"x": b"1"})["x"]
    draft = store.new_run(KEY)
    draft.add("model", {"a": 1})
    draft.add_file("x.bin", source)
    with pytest.raises(errors.InvalidName, match="one already"):
        draft.add("model", {"a": 2})
    for name in ("x.bin", "model.json"):
        with pytest.raises(errors.InvalidName, match="one already"):
            draft.add_file(name, source)
    draft.add_file("X.BIN", source)
    with pytest.raises(errors.InvalidName, match="Windows"):
        draft.commit()
    draft.discard()
    assert all_keys(store) == []


def test_golden_predictions_travel_with_the_model(store):
    run = store.save({"a": 1}, "toy/BTCEUR", example=Example([[1, 2]], [0.5]))
    assert store.get("toy/BTCEUR").load_example() == Example([[1, 2]], [0.5])
    assert store.save({"a": 1}, "toy/BTCEUR").load_example() is None
    with pytest.raises(errors.ComponentNotFound, match="it has: model, example_inputs"):
        run.load("scaler")


@pytest.mark.parametrize("outputs", [[], {}, {"a": []}])
def test_an_example_without_predictions_is_refused_and_does_not_pass(store, outputs):
    with pytest.raises(errors.InvalidInput, match="holds no predictions"):
        store.save({"a": 1}, KEY, example=Example([], outputs))
    assert all_keys(store) == []
    parts = {"example_inputs": [], "example_outputs": outputs}
    (problem,) = store.save({"a": 1}, KEY, components=parts).verify(predict=True).problems
    assert "holds no predictions" in str(problem)


def test_nothing_is_written_for_an_object_that_cannot_be_stored(store):
    for obj, kwargs in ((object(), {}), ({"a": 1}, {"config": {"f": print}}), ({"a": 1}, {"metrics": {"m": "x"}})):
        with pytest.raises(errors.InvalidInput):
            store.save(obj, KEY, **kwargs)
    assert all_keys(store) == []


def test_arguments_are_left_as_they_were(store):
    config, metrics = {"a": (1, 2)}, {"m": 1}
    store.save({"a": [1]}, KEY, config=config, metrics=metrics)
    assert (config, metrics) == ({"a": (1, 2)}, {"m": 1})


def test_the_same_bytes_twice_are_two_runs(store):
    first, second = store.save({"a": 1}, KEY), store.save({"a": 1}, KEY)
    assert first.run_id != second.run_id
    assert [run.load() for run in store.runs(KEY)] == [{"a": 1}, {"a": 1}]


# ---------------------------------------------------------------- one run id


def test_another_run_under_the_same_id_is_refused_and_the_first_is_untouched(store, open_store):
    run_id = "20240816_142301"
    store.save({"a": 1}, KEY, run_id=run_id)
    with pytest.raises(errors.RunExists, match="untouched"):
        open_store().save({"a": 2}, KEY, run_id=run_id)
    assert store.load(f"{KEY}:{run_id}") == {"a": 1}
    assert store.verify(KEY).ok


def test_so_it_is_with_files_that_one_request_does_not_hold(store, open_store):
    run_id, size = "20240816_142301", 9 << 20
    first = store.save(b"1" * size, KEY, run_id=run_id)
    other = open_store()
    with pytest.raises(errors.RunExists, match="untouched"):
        other.save(b"2" * size, KEY, run_id=run_id)
    assert store.load(f"{KEY}:{run_id}") == b"1" * size
    assert store.verify(KEY).ok
    assert open_store().save(b"1" * size, KEY, run_id=run_id) == first


def test_the_same_run_under_the_same_id_is_one(store, open_store):
    run_id = "20240816_142301"
    first = store.save({"a": 1}, KEY, run_id=run_id)
    again = open_store().save({"a": 1}, KEY, run_id=run_id)
    assert again == first
    assert [entry.seq for entry in store.history(KEY)] == [1]


def test_of_many_savers_of_one_id_one_wins_and_the_others_are_told(open_store):
    def save(number):
        try:
            return open_store().save({"a": number}, KEY, run_id="20240816_142301")
        except errors.RunExists as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(save, range(8)))
    winners = [result for result in results if isinstance(result, Run)]
    assert len(winners) == 1
    stored = open_store().get(f"{KEY}:20240816_142301")
    assert stored.load() == winners[0].load()
    assert open_store().verify(KEY).ok
    assert len(open_store().history(KEY)) == 1


def test_a_save_that_was_cut_short_is_resumed(store):
    run_id = "20240816_142301"
    sound = store.save({"a": 1}, KEY, run_id=run_id, publish="never")
    prefix = keys.run_prefix(sound.key, sound.run_id)
    backend(store).delete(f"{prefix}manifest.json")  # what a crash before the commit leaves
    with pytest.raises(errors.RunNotFound):
        store.get(f"{KEY}:{run_id}")
    assert list(store.runs(KEY)) == []
    other = store.save({"a": 2}, KEY, run_id=run_id)  # the files there are other ones: this save has its own names
    assert store.load(KEY) == {"a": 2}
    entry = other.files["model.json"]
    assert entry.key.startswith("model.json.")
    assert store.verify(KEY).ok


# ---------------------------------------------------------------- publish


def test_latest_is_the_last_publish_and_no_clock(open_store):
    ahead = open_store(clock=lambda: datetime(2040, 1, 1, tzinfo=UTC))
    behind = open_store(clock=lambda: datetime(2001, 1, 1, tzinfo=UTC))
    ahead.save({"a": 1}, KEY)
    behind.save({"a": 2}, KEY)
    assert ahead.load(KEY) == {"a": 2}
    assert [entry.seq for entry in behind.history(KEY)] == [1, 2]


def test_each_policy_commits_and_says_whether_it_published(store):
    first = store.save({"n": 1}, KEY, metrics={"m": 1.0}, publish=IfBetter("m"))
    assert first.published
    worse = store.save({"n": 2}, KEY, metrics={"m": 0.5}, publish="if_better(m, max)")
    assert not worse.published
    assert "committed, not published, because its m 0.5 is not better than the 1" in str(worse.published)
    nan = store.save({"n": 3}, KEY, metrics={"m": math.nan}, publish=IfBetter("m"))
    assert isinstance(nan.published.error, errors.MetricMissing)
    never = store.save({"n": 4}, KEY, publish="never")
    assert not never.published
    older = store.save({"n": 5}, KEY, run_id="20010101_000000", publish="if_newer")
    assert isinstance(older.published.error, errors.PointerConflict)
    wrong = store.save({"n": 6}, KEY, publish=Expect(7))
    assert not wrong.published
    assert store.get(KEY) == first
    right = store.save({"n": 7}, KEY, publish=Expect(first.run_id))
    assert right.published.pointer.seq == 2
    assert len(list(store.runs(KEY))) == 7
    assert [store.load(str(run.ref)) for run in (worse, nan, never, older, wrong)] == [
        {"n": n} for n in (2, 3, 4, 5, 6)
    ]


def test_promote_names_a_run_and_keeps_its_history(store, open_store):
    one, two = store.save({"n": 1}, KEY), store.save({"n": 2}, KEY)
    pointer = store.promote(one, "production", reason="beats 0812 on sharpe")
    assert (pointer.seq, pointer.run_id, pointer.reason) == (1, one.run_id, "beats 0812 on sharpe")
    other = open_store(actor="somebody")
    assert other.promote(str(two.ref), "production", expect=1).seq == 2
    with pytest.raises(errors.PointerConflict, match="2 is published, not 1"):
        other.promote(one, "production", expect=1)
    past = store.history(f"{KEY}@production")
    assert [(entry.seq, entry.run_id, entry.by == "somebody") for entry in past] == [
        (1, one.run_id, False), (2, two.run_id, True),
    ]  # fmt: skip
    assert store.get(KEY) == two


def test_a_run_of_another_model_or_store_is_not_promoted(store, tmp_path):
    run = store.save({"n": 1}, KEY)
    other = ArtifactStore(tmp_path / "other")
    foreign = other.save({"n": 1}, KEY)
    with pytest.raises(errors.Conflict, match="another store"):
        store.promote(foreign, "production")
    with pytest.raises(errors.RunNotFound):
        store.promote("gru/ETHEUR:20240816_142301", "production")
    with pytest.raises(errors.InvalidName):
        store.promote(run, "manifest")
    store.save({"n": 2}, "gru/ETHEUR")
    with pytest.raises(errors.Conflict, match="not a run of gru/ETHEUR"):
        store.rollback("gru/ETHEUR", to=run)


def test_rollback_goes_back_one_run_at_a_time(store):
    a, b, c = (store.save({"n": n}, KEY) for n in range(3))
    assert store.rollback(KEY).run_id == b.run_id
    assert store.rollback(KEY).run_id == a.run_id
    with pytest.raises(errors.NothingToRollBackTo):
        store.rollback(KEY)
    assert [entry.seq for entry in store.history(KEY)] == [1, 2, 3, 4, 5]
    assert store.rollback(KEY, to=str(c.run_id)).run_id == c.run_id
    assert store.rollback(KEY, to=a, reason="why not").reason == "why not"
    with pytest.raises(errors.AliasNotFound):
        store.rollback(f"{KEY}@production")


def test_a_retired_alias_names_nothing_and_counts_on(store):
    run = store.save({"n": 1}, KEY)
    assert store.retire(KEY, reason="broken").seq == 2
    with pytest.raises(errors.AliasRetired, match="broken"):
        store.get(KEY)
    assert store.load(str(run.ref)) == {"n": 1}
    assert store.rollback(KEY).seq == 3
    assert store.get(KEY) == run
    store.retire(KEY)
    assert store.save({"n": 2}, KEY).published.pointer.seq == 5
    with pytest.raises(errors.AliasNotFound):
        store.retire(f"{KEY}@production")


def test_the_whole_history_is_kept(store):
    run = store.save({"n": 1}, KEY)
    others = [store.promote(run, "latest", reason=str(number)) for number in range(2, 131)]
    past = store.history(KEY)
    assert [entry.seq for entry in past] == list(range(1, 131))
    assert [entry.write_id for entry in past[1:]] == [pointer.write_id for pointer in others]
    assert any(key.endswith("latest.history/0000000064.json") for key in all_keys(store))
    assert store.verify(KEY).ok


def test_concurrent_publishes_are_each_in_the_history_once(open_store):
    def save(number):
        return open_store().save({"n": number}, KEY).published.pointer

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(save, range(24)))
    past = open_store().history(KEY)
    assert [entry.seq for entry in past] == list(range(1, 25))
    assert {(entry.seq, entry.run_id) for entry in past} == {(pointer.seq, pointer.run_id) for pointer in told}


# ---------------------------------------------------------------- find


def test_find_takes_the_first_alias_that_exists(store):
    with pytest.raises(errors.ModelNotFound, match="was never published"):
        store.find(KEY)
    unpublished = store.save({"n": 0}, KEY, publish="never", run_id="20990101_000000")
    with pytest.raises(errors.ModelNotFound, match="publish='never'"):
        store.find(KEY)
    newest = store.save({"n": 1}, KEY, alias="nightly")
    found = store.find(KEY)
    assert found == newest
    assert "best_wf: was never published" in found.found_by[0]
    assert "taken" in found.found_by[-1]
    with pytest.raises(errors.ModelNotFound):
        store.find(KEY, newest=False)
    latest = store.save({"n": 2}, KEY)
    assert store.find(KEY) == latest
    store.promote(newest, "best_wf")
    assert store.find(KEY) == newest
    store.retire(f"{KEY}@best_wf")
    assert store.find(KEY) == latest
    store.retire(KEY)
    with pytest.raises(errors.ModelNotFound, match="is retired"):
        store.find(KEY)
    assert unpublished.run_id > newest.run_id


def test_find_never_takes_what_lost_to_a_better_run(store):
    store.save({"n": 1}, KEY, alias="nightly", metrics={"m": 2}, publish=IfBetter("m"), run_id="20240101_000000")
    store.save({"n": 2}, KEY, alias="nightly", metrics={"m": 1}, publish=IfBetter("m"), run_id="20240201_000000")
    assert store.find(KEY).load() == {"n": 1}


def test_an_alias_that_is_broken_is_no_reason_to_take_another_run(store):
    store.save({"n": 1}, KEY)
    backend(store).write(keys.pointer(ModelKey.parse(KEY), "best_wf"), b"", when=_always())
    with pytest.raises(errors.Corrupt, match="empty"):
        store.find(KEY)


# ---------------------------------------------------------------- listings and references


def test_runs_are_listed_newest_first_and_filtered(store):
    for day in range(1, 6):
        store.save({"day": day}, KEY, run_id=f"2024010{day}_000000", tags={"odd": day % 2})
    store.save({"x": 1}, "gbm/AAPL", run_id="20240101_000000")
    assert [run.run_id for run in store.runs(KEY)] == [f"2024010{day}_000000" for day in (5, 4, 3, 2, 1)]
    assert len(list(store.runs())) == 6
    assert [run.load()["day"] for run in store.runs(KEY, tags={"odd": "1"}, limit=2)] == [5, 3]
    assert [run.run_id for run in store.runs(KEY, where=lambda run: run.run_id < "20240103")] == [
        "20240102_000000", "20240101_000000",
    ]  # fmt: skip
    now = datetime.now(UTC)
    assert list(store.runs(KEY, since=now + timedelta(hours=1))) == []
    assert len(list(store.runs(KEY, until=now + timedelta(hours=1)))) == 5
    assert store.models() == [ModelKey("gbm", "AAPL"), ModelKey("gru", "BTCEUR")]


def test_a_listing_is_total(store):
    good = store.save({"n": 1}, KEY)
    bad = store.save({"n": 2}, KEY)
    backend(store).write(keys.manifest(bad.key, bad.run_id), b"{", when=_always())
    listing = store.runs(KEY)
    assert list(listing) == [good]
    assert [problem.where for problem in listing.problems] == [str(bad.ref)]
    assert isinstance(listing.problems[0].error, errors.Corrupt)
    report = store.verify()
    assert not report.ok
    assert {run.label: run.ok for run in report} == {str(good.ref): True, str(bad.ref): False}


def test_a_type_without_a_symbol_stands_for_all_of_its_models_when_it_is_verified(store):
    runs = [store.save({"n": 1}, name) for name in (KEY, "gru/GOOG", "gru", "ppo/GOOG")]
    report = store.verify("gru")
    assert report.ok
    assert {run.label for run in report} == {str(run.ref) for run in runs[:3]}
    with pytest.raises(errors.ModelNotFound):
        store.verify("lightgbm")


def test_the_beginning_of_a_run_id_is_enough_where_it_is_unique(store):
    store.save({"n": 1}, KEY, run_id="20240101_000000_aaa")
    store.save({"n": 2}, KEY, run_id="20240101_000000_bbb")
    store.save({"n": 3}, KEY, run_id="20240201_000000")
    assert store.load(f"{KEY}:20240201") == {"n": 3}
    with pytest.raises(errors.AmbiguousRun) as caught:
        store.get(f"{KEY}:20240101")
    assert caught.value.candidates == ("20240101_000000_bbb", "20240101_000000_aaa")
    with pytest.raises(errors.RunNotFound):
        store.get(f"{KEY}:20231231")
    with pytest.raises(errors.RunNotFound):
        store.get(f"{KEY}:20240101_000000")
    with pytest.raises(errors.AliasNotFound, match=f"at least its whole date, as in {KEY}:20240816"):
        store.get(f"{KEY}:2024")
    with pytest.raises(errors.AliasNotFound, match="a run of gru without a symbol is named gru:20240101_000000"):
        store.get("gru/20240101_000000")


def test_a_symbol_that_windows_would_merge_is_refused_before_anything_is_visible(store):
    store.save({"n": 1}, KEY)
    with pytest.raises(errors.InvalidName, match="BTCEUR"):
        store.save({"n": 2}, "gru/btceur")
    assert store.models() == [ModelKey("gru", "BTCEUR")]


# ---------------------------------------------------------------- damage


def _always():
    from artifact_store.storage.base import Always

    return Always()


def damaged(store, run, change):
    entry = run.files["model.json"]
    key = keys.data_file(run.key, run.run_id, entry.key)
    blob = backend(store).read(key, limit=1 << 20)
    backend(store).write(key, change(blob.data), when=_always())


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: data + b" ", lambda data: b"", lambda data: bytes([data[0] ^ 1]) + data[1:]],
    ids=["truncated", "longer", "empty", "flipped"],
)
def test_a_damaged_file_is_noticed_before_it_is_decoded(store, change):
    run = store.save({"n": 1}, KEY)
    damaged(store, run, change)
    with pytest.raises(errors.DigestMismatch, match=r"model\.json"):
        store.load(KEY)
    with pytest.raises(errors.DigestMismatch):
        run.open("model.json")
    report = run.verify()
    assert not report.ok
    assert "model.json" in str(report.problems[0])


def test_a_file_of_another_run_is_noticed(store):
    one, two = store.save({"n": 1}, KEY), store.save({"n": 2}, KEY)
    other = backend(store).read(keys.data_file(one.key, one.run_id, "model.json"), limit=1000).data
    damaged(store, two, lambda _: other)
    with pytest.raises(errors.DigestMismatch):
        store.load(KEY)


def test_a_missing_file_is_corruption_and_not_absence(store):
    run = store.save({"n": 1}, KEY)
    backend(store).delete(keys.data_file(run.key, run.run_id, "model.json"))
    with pytest.raises(errors.Corrupt, match="missing"):
        store.load(KEY)
    assert not run.verify().ok


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a":1,"a":2}', b"[NaN]", b"x" * (9 << 20)], ids=["empty", "cut", "twice", "nan", "huge"]
)
def test_a_manifest_that_cannot_be_believed_is_refused(store, content):
    run = store.save({"n": 1}, KEY)
    backend(store).write(keys.manifest(run.key, run.run_id), content, when=_always())
    with pytest.raises(errors.Corrupt):
        store.get(str(run.ref))
    assert not store.verify(str(run.ref)).ok
    assert store.load(KEY) == {"n": 1}  # the pointer carries the manifest, and pins it
    with pytest.raises(errors.Corrupt):
        store.promote(run, "production")


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * (1 << 20)], ids=["empty", "object", "huge"])
def test_nothing_is_published_over_a_pointer_that_cannot_be_read(store, content):
    run = store.save({"n": 1}, KEY)
    backend(store).write(keys.pointer(run.key, "latest"), content, when=_always())
    with pytest.raises(errors.Corrupt):
        store.load(KEY)
    with pytest.raises(errors.Corrupt):
        store.save({"n": 2}, KEY)
    with pytest.raises(errors.Corrupt):
        store.promote(run, "latest")
    assert backend(store).read(keys.pointer(run.key, "latest"), limit=2 << 20).data == content
    assert store.load(str(run.ref)) == {"n": 1}
    report = store.verify(KEY)
    assert [problem.where for problem in report.pointers] == [f"{KEY}@latest"]


def test_a_pointer_that_was_swapped_with_anothers_is_refused(store):
    store.save({"n": 1}, KEY)
    other = store.save({"n": 1}, "gru/ETHEUR")
    foreign = backend(store).read(keys.pointer(other.key, "latest"), limit=1 << 20).data
    backend(store).write("gru/BTCEUR/latest.json", foreign, when=_always())
    with pytest.raises(errors.Corrupt, match="belongs to gru/ETHEUR"):
        store.load(KEY)


def test_a_pointer_to_a_run_that_is_gone_is_reported(store):
    run = store.save({"n": 1}, KEY)
    for entry in list(backend(store).list(keys.run_prefix(run.key, run.run_id))):
        backend(store).delete(entry.key)
    with pytest.raises(errors.RunDeleted, match="deleted"):
        store.load(KEY)
    report = store.verify(KEY)
    assert not report.ok
    assert store.save({"n": 2}, KEY).published


def test_a_document_of_a_newer_format_is_named(store):
    from tests.unit.samples import resealed

    run = store.save({"n": 1}, KEY)
    newer = json.loads(run.manifest.to_bytes()) | {"format": "2.0"}
    backend(store).write(keys.manifest(run.key, run.run_id), resealed(newer), when=_always())
    with pytest.raises(errors.FormatTooNew, match="upgrade"):
        store.get(str(run.ref))


# ---------------------------------------------------------------- the root


def test_a_root_that_holds_something_else_is_left_alone(store):
    backend(store).write("photos/cat.jpg", b"meow", when=_always())
    with pytest.raises(errors.NotAStore, match="photos"):
        store.save({"n": 1}, KEY)
    with pytest.raises(errors.NotAStore, match="photos"):
        store.models()
    assert all_keys(store) == ["photos/cat.jpg"]


@pytest.mark.parametrize(
    "publish",
    [
        lambda store, run: store.promote(str(run.ref), "production"),
        lambda store, run: store.promote(run, "production"),
        lambda store, run: store.rollback(KEY),
        lambda store, run: store.rollback(KEY, to=run),
        lambda store, run: store.retire(KEY),
        lambda store, run: store.sign(run, signer()),
    ],
    ids=["promote", "promote-run", "rollback", "rollback-to", "retire", "sign"],
)
def test_a_publish_of_what_was_saved_makes_no_store(store, tmp_path, publish):
    """A store comes about by its first save: anything else says that the path leads to none."""
    with ArtifactStore(tmp_path / "other") as other:
        run = other.save({"n": 1}, KEY)
    with pytest.raises(errors.NotAStore, match="is not a store: it has no _store.json. Nothing was touched"):
        publish(store, run)
    assert not store.exists()
    assert all_keys(store) == []


def test_many_first_writers_make_one_store(open_store):
    barrier = threading.Barrier(8)

    def save(number):
        store = open_store()
        barrier.wait()
        return store.save({"n": number}, f"gru/S{number}").manifest.store_id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(save, range(8)))) == 1
    assert len(open_store().models()) == 8
    assert [key for key in all_keys(open_store()) if key.startswith("_probe")] == []


def test_an_empty_root_reads_as_an_empty_store(store):
    assert store.models() == []
    assert list(store.runs()) == []
    assert list(store.runs(KEY)) == []
    with pytest.raises(errors.NotAStore):  # "ok" would be the answer for every mistyped path
        store.verify()
    with pytest.raises(errors.AliasNotFound):
        store.load(KEY)
    with pytest.raises(errors.AliasNotFound):
        store.history(KEY)


def test_guarantees_tell_what_is_in_force(store):
    before = store.guarantees
    assert before.create_only
    assert before.compare_and_swap
    assert not before.probed
    store.save({"n": 1}, KEY)
    assert store.guarantees.probed
    assert store.guarantees.concurrency == "safe"
    assert before.large_files == ("own-name" if before.engine in {"obstore", "fsspec"} else "as-others")


def test_a_store_of_one_mode_is_not_written_in_the_other(store, open_store):
    store.save({"n": 1}, KEY)
    single = open_store(concurrency="single-writer")
    with pytest.raises(errors.InvalidOption, match="concurrency='safe'"):
        single.save({"n": 2}, KEY)
    assert single.load(KEY) == {"n": 1}


def test_a_single_writer_checks_and_then_writes(open_store):
    single = open_store(concurrency="single-writer")
    assert not single.guarantees.compare_and_swap
    single.save({"n": 1}, KEY, run_id="20240816_142301")
    with pytest.raises(errors.RunExists):
        single.save({"n": 2}, KEY, run_id="20240816_142301")
    assert single.save({"n": 3}, KEY).published.pointer.seq == 2
    assert single.verify().ok
    with pytest.raises(errors.InvalidOption, match="single-writer"):
        open_store().save({"n": 4}, KEY)


# ---------------------------------------------------------------- cache, policy, processes


def test_a_cache_serves_what_did_not_change_and_believes_nothing(open_store, tmp_path):
    writer, reader = open_store(), open_store(cache=tmp_path / "cache")
    run = writer.save({"n": 1}, KEY)
    assert reader.load(KEY) == {"n": 1}
    backend(writer).delete(keys.data_file(run.key, run.run_id, "model.json"))
    if backend(writer).local_path("gru") is None:  # on the same disk files are read where they are
        assert reader.load(KEY) == {"n": 1}
        for kept in (tmp_path / "cache").rglob("*"):
            if kept.is_file():
                kept.write_bytes(b"x" * kept.stat().st_size)
    with pytest.raises(errors.Corrupt):
        reader.load(KEY)


def test_the_strict_policy_loads_data(open_store):
    strict = open_store(policy=LoadPolicy(max_risk="data"))
    strict.save({"n": 1}, KEY)
    assert strict.load(KEY) == {"n": 1}
    run = strict.get(KEY)
    assert run.load(sha256=run.manifest.digest) == {"n": 1}
    with pytest.raises(errors.DigestMismatch):
        run.load(sha256="0" * 64)


def test_a_store_without_given_credentials_travels_to_other_processes(store):
    if store.url.startswith("s3"):
        with pytest.raises(errors.InvalidOption, match="credentials"):
            pickle.dumps(store)
        return
    store.save({"n": 1}, KEY)
    if store.url.startswith("memory"):
        return
    assert pickle.loads(pickle.dumps(store)).load(KEY) == {"n": 1}


def test_a_store_can_be_closed_and_used_again(open_store):
    with open_store() as store:
        store.save({"n": 1}, KEY)
    assert store.load(KEY) == {"n": 1}


def test_progress_is_told_per_file(open_store, tmp_path):
    told = []
    store = open_store(progress=told.append)
    big = write_files(tmp_path, {"big.bin": os.urandom(3_000_000)})["big.bin"]
    with store.new_run(KEY) as draft:
        draft.add_file("big.bin", big)
    up = [event for event in told if event.path == "big.bin"]
    assert {event.direction for event in up} == {"up"}
    assert [event.done for event in up] == sorted(event.done for event in up)
    assert up[-1].done == up[-1].total == 3_000_000
    store.get(KEY).download(tmp_path / "out")
    assert {event.direction for event in told} == {"up", "down"}


# ---------------------------------------------------------------- mistakes


def test_one_alias_to_prefer_is_one_alias(store):
    first = store.save({"n": 1}, KEY)
    store.save({"n": 2}, KEY)
    store.rollback(KEY)
    assert store.find(KEY, prefer="latest") == first
    with pytest.raises(errors.InvalidName):
        store.find(KEY, prefer=("Latest",))


def test_a_name_that_is_not_there_gets_the_likeliest_that_is(store):
    store.save({"n": 1}, KEY, alias="production")
    with pytest.raises(errors.AliasNotFound, match="did you mean gru/BTCEUR@production"):
        store.get(f"{KEY}@prodution")
    with pytest.raises(errors.AliasNotFound, match="did you mean gru/BTCEUR"):
        store.get("gru/BTCERU")
    with pytest.raises(errors.ModelNotFound, match="was never published; did you mean gru/BTCEUR"):
        store.find("gru/BTCERU")
    with pytest.raises(errors.ModelNotFound, match="did you mean gru/BTCEUR"):
        store.verify("gru/BTCERU")


def test_what_a_person_prints_is_short(store):
    store.save({"n": 1}, KEY)
    assert repr(store.runs(KEY)) == f"<Runs of {store.url}: list(...) reads them>"
    assert str(store.promote(KEY, "production")).startswith(f"<Pointer {KEY}@production, seq 1: ")


def test_an_alias_that_a_model_has_not_is_answered_with_those_that_it_has_and_with_no_other_model(store):
    store.save({"n": 1}, KEY, alias="best_wf")
    store.save({"n": 1}, f"{KEY}S")
    with pytest.raises(errors.AliasNotFound, match="; its aliases are best_wf$"):
        store.get(KEY)


def test_what_is_not_there_is_answered_with_where_to_look(store):
    with pytest.raises(errors.AliasNotFound, match="there is no store yet: check the path, or save the first model"):
        store.get(KEY)
    with pytest.raises(errors.ModelNotFound, match="there is no store yet"):
        store.find(KEY)
    run = store.save({"n": 1}, KEY, publish="never")
    command = f"`artifact-store promote {KEY}:{run.run_id} latest`"
    with pytest.raises(errors.AliasNotFound, match=f"`artifact-store ls {KEY}` lists its runs, and {command}"):
        store.get(KEY)
    with pytest.raises(
        errors.ModelNotFound, match=f"`artifact-store ls {KEY}` lists its runs, and `artifact-store promote "
    ):
        store.find(KEY)
    for missing in ("20200101", "20200101_120000"):
        with pytest.raises(errors.RunNotFound, match=f"`artifact-store ls {KEY}` lists"):
            store.get(f"{KEY}:{missing}")
    with pytest.raises(errors.AliasNotFound, match=r"`artifact-store ls` lists what there is \(1 model\)"):
        store.get("ppo/GOOGL")
    store.promote(run, "latest")
    assert store.get(KEY) == run


def test_a_root_that_is_no_store_is_not_taken_for_an_empty_one(store):
    backend(store).write("photos/cat.jpg", b"meow", when=_always())
    with pytest.raises(errors.NotAStore, match="photos"):
        store.get(KEY)


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": ["a", "b"]},
        {"example": ([1], [2])},
        {"tags": ["a"]},
        {"metrics": [("m", 1)]},
        {"config": "fast"},
        {"metrics": {1: 2}},
        {"metrics": {"m": 10**5000}},
        {"metrics": {"\ud800": 1}},
        {"tags": {"a": "\ud800"}},
        {"config": {"a": json.loads("[" * 30 + "]" * 30)}},
        {"config": {"a": json.loads("[" * 60 + "]" * 60)}},
        {"config": {"a": "x" * (9 << 20)}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_an_argument_of_the_wrong_kind_is_a_typed_error(store, wrong):
    with pytest.raises(errors.InvalidOption):
        store.save({"n": 1}, KEY, **wrong)
    assert all_keys(store) == []


def test_what_does_not_exist_is_not_verified(store):
    store.save({"n": 1}, KEY)
    for ref in ("gru/NOPE", f"{KEY}@nope", f"{KEY}:20240101_000000"):
        with pytest.raises(errors.NotFound):
            store.verify(ref)


def test_the_deepest_config_that_is_taken_is_read_again(store):
    deepest = {"a": json.loads("[" * 29 + "]" * 29)}
    run = store.save({"n": 1}, KEY, config=deepest)
    assert store.get(KEY).config == store.get(str(run.ref)).config == deepest
    assert store.save({"n": 2}, KEY).published


def test_promote_publishes(store):
    run = store.save({"n": 1}, KEY)
    with pytest.raises(errors.InvalidOption, match="promote publishes"):
        store.promote(run, "canary", publish="never")


def test_what_a_run_tells_may_be_changed_without_changing_the_run(store):
    store.save({"n": 1}, KEY, config={"a": {"b": 1}})
    run = store.get(KEY)
    digest = run.manifest.digest
    run.config["a"]["b"] = 2
    run.metadata["config"]["a"]["b"] = 2
    assert run.manifest.digest == digest
    assert store.promote(run, "production").seq == 1


@pytest.mark.parametrize(
    "wrong",
    [{"since": "2026-01-01"}, {"until": datetime(2026, 1, 1)}, {"limit": -2}, {"where": "x"}, {"tags": ["a"]}],  # noqa: DTZ001
)
def test_a_filter_of_the_wrong_kind_is_a_typed_error(store, wrong):
    with pytest.raises(errors.InvalidOption):
        store.runs(KEY, **wrong)


def test_tags_are_compared_as_they_are_stored(store):
    run = store.save({"n": 1}, KEY, tags={"fold": 7})
    assert list(store.runs(KEY, tags={"fold": 7})) == list(store.runs(KEY, tags={"fold": "7"})) == [run]


def test_a_draft_takes_no_misspelt_attribute_and_nothing_after_its_end(store, tmp_path):
    with store.new_run(KEY) as draft:
        draft.add("model", {"n": 1})
        with pytest.raises(AttributeError):
            draft.metric = {"m": 1}
    with pytest.raises(errors.InvalidOption, match="begin a new run"):
        draft.add("more", {"n": 2})
    with pytest.raises(errors.InvalidOption, match="begin a new run"):
        draft.add_file("x", tmp_path / "x")


def test_a_model_is_not_saved_with_the_features_of_another(store):
    lightgbm, np = pytest.importorskip("lightgbm"), pytest.importorskip("numpy")
    rng = np.random.default_rng(1)
    data = rng.normal(size=(200, 3))
    booster = lightgbm.train(
        {"verbose": -1}, lightgbm.Dataset(data, data[:, 0], feature_name=["ret 1", "ret_5", "vol"]), num_boost_round=2
    )
    right = FeatureSchema(["ret 1", "x", "ret_5", "vol"], selected=[0, 2, 3])
    assert store.save(booster, "lightgbm/X", features=right).published
    for names in (["vol", "ret 1", "ret_5"], ["ret 1", "ret_5"], ["ret 1", "ret_5", "volume"]):
        with pytest.raises(errors.FeatureMismatch):
            store.save(booster, "lightgbm/X", features=FeatureSchema(names))
    unnamed = lightgbm.train({"verbose": -1}, lightgbm.Dataset(data, data[:, 0]), num_boost_round=2)
    assert store.save(unnamed, "lightgbm/X", features=FeatureSchema(["a", "b", "c"])).published
    assert store.save(
        booster, "lightgbm/X", features=FeatureSchema(["raw"]), components={"preprocessor": {"a": 1}}
    ).published


# ---------------------------------------------------------------- what an attacker tried


def test_no_component_and_no_file_takes_the_place_of_another(store, tmp_path):
    for name in ("metadata", "manifest"):
        with pytest.raises(errors.InvalidName, match="itself"):
            store.save({"n": 1}, KEY, components={name: {"mine": 1}})
    with pytest.raises(errors.InvalidName, match="both have it"), store.new_run(KEY) as draft:
        draft.add_file("model.json", write_files(tmp_path, {"x": b"{}"})["x"])
        draft.add("model", {"good": 1})
    assert all_keys(store) == []


def test_equal_files_with_other_features_or_metrics_are_another_run(store):
    run_id = "20240816_142301"
    store.save({"n": 1}, KEY, run_id=run_id, features=FeatureSchema(["a", "b"]), metrics={"m": 1})
    for other in ({"features": FeatureSchema(["b", "a"])}, {"metrics": {"m": 2}}, {"config": {"x": 1}}):
        told = {"features": FeatureSchema(["a", "b"]), "metrics": {"m": 1}} | other
        with pytest.raises(errors.RunExists):
            store.save({"n": 1}, KEY, run_id=run_id, **told)
    assert store.get(KEY).features.names == ("a", "b")


def test_an_alias_that_cannot_be_read_fails_a_save_before_anything_is_visible(store):
    first = store.save({"n": 1}, KEY)
    backend(store).write(keys.pointer(first.key, "latest"), b"{", when=_always())
    with pytest.raises(errors.Corrupt) as caught:
        store.save({"n": 2}, KEY)
    assert caught.value.committed is None
    assert list(store.runs(KEY)) == [first]


def test_files_of_a_save_that_was_cut_short_are_not_seen_by_a_codec(store, tmp_path):
    run_id = "20240816_142301"
    one = write_files(tmp_path / "one", {"a.txt": b"a", "b.txt": b"b"})["a.txt"].parent
    two = write_files(tmp_path / "two", {"a.txt": b"a", "c.txt": b"c"})["a.txt"].parent
    cut = store.save(one, KEY, run_id=run_id, publish="never")
    backend(store).delete(keys.manifest(cut.key, cut.run_id))
    store.save(two, KEY, run_id=run_id)
    loaded = store.load(KEY, into=tmp_path / "out")
    assert sorted(path.name for path in loaded.iterdir()) == ["a.txt", "c.txt"]


def test_a_cache_may_be_cleared_at_any_time(open_store, tmp_path):
    import shutil

    store = open_store(cache=tmp_path / "cache")
    store.save({"n": 1}, KEY)
    for _ in range(3):
        assert store.load(KEY) == {"n": 1}
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    (tmp_path / "cache").write_bytes(b"not a folder")
    assert store.load(KEY) == {"n": 1}
