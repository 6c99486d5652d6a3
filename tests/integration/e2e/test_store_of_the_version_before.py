"""A store that the version before wrote is read, verified and written to, wherever it lies, and is left as it was.

``tests/data/stores/README.md`` says what is in it and how it was made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artifact_store import ArtifactStore, LoadPolicy, PublicKey, Signer, errors
from artifact_store.storage.base import Always
from tests import invariants
from tests.stores import write_files

DATA = Path(__file__).parents[2] / "data" / "stores"
TOLD = json.loads((DATA / "before.json").read_text(encoding="utf-8"))
FILES = {
    file.relative_to(DATA / "before").as_posix(): file.read_bytes()
    for file in (DATA / "before").rglob("*")
    if file.is_file()
}

PLAIN, SIGNED, ALONE = "rules/BTCEUR", "lgbm/BTC;2FUSDT", "walk"
FIRST, SECOND = f"{PLAIN}:20260101_000001_first", f"{PLAIN}:20260101_000002_second"
KEPT, DELETED = f"{PLAIN}:20260101_000003_kept", f"{PLAIN}:20260101_000012_deleted"
SWEPT, QUARANTINED = f"{PLAIN}:20260101_000010_swept", f"{PLAIN}:20260101_000011_damaged"
SIGNED_FIRST, SIGNED_DELETED = f"{SIGNED}:20260101_000000_first", f"{SIGNED}:20260101_000002_deleted"
NOW = timedelta(0)
STRICT = LoadPolicy(trusted_keys=[PublicKey.from_pem(DATA / "owner.pub")], require_signature=True)

Opener = Callable[..., ArtifactStore]


@pytest.fixture
def opened(open_store: Opener, place: dict[str, Any]) -> Opener:
    """Open the store of the version before, copied to this storage."""
    if "://" in place["url"]:
        with open_store() as store:
            for name, data in FILES.items():
                store._context.backend.write(name, data, when=Always())
    else:
        root = Path(place["url"])
        write_files(root, FILES)
        for path in (root, *root.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)  # as the version before made them
    return lambda **more: open_store(actor="reader", provenance=False, **more)


@pytest.fixture
def store(opened: Opener) -> ArtifactStore:
    return opened()


@pytest.fixture
def owner(opened: Opener) -> ArtifactStore:
    """The same store for its owner, who signs everything and takes nothing that is not signed."""
    return opened(policy=STRICT, signer=Signer.from_pem(DATA / "owner.key"))


def everything(store: ArtifactStore) -> dict[str, bytes]:
    """What there is, but for what was found out about the endpoint of this test, which is kept there."""
    backend = store._context.backend
    blobs = {entry.key: backend.read(entry.key, limit=1 << 20) for entry in backend.list("")}
    return {name: blob.data for name, blob in blobs.items() if blob is not None and not name.startswith("_probe/")}


@contextmanager
def changing(store: ArtifactStore, *expected: str) -> Iterator[None]:
    """Hold that exactly the objects below these prefixes are changed, made or removed, and that all is well then."""
    before = everything(store)
    yield
    after = everything(store)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {next((prefix for prefix in expected if name.startswith(prefix)), name) for name in changed} == set(expected)
    report = store.verify(predict=True)
    assert report.ok, [str(problem) for problem in report.problems]
    assert store.doctor(deep=True).ok


def folder(ref: str) -> str:
    """The prefix of a run in the storage."""
    return ref.replace(":", "/") + "/"


# ---------------------------------------------------------------- reading


def test_every_run_is_found_and_read(store: ArtifactStore) -> None:
    runs = store.runs()
    assert {str(run.ref): run.manifest.digest for run in runs} == TOLD["runs"]
    assert not runs.problems
    assert [str(key) for key in store.models()] == TOLD["models"]
    for ref, components in TOLD["components"].items():
        assert sorted(store.get(ref).manifest.components) == components
        for name in components:
            assert store.load(ref, name) is not None
    assert len(TOLD["runs"]) == 8


def test_what_was_saved_is_loaded(store: ArtifactStore) -> None:
    assert store.load(FIRST) == {"buy": [1, 2.5], "sell": None}
    assert store.load(f"{PLAIN}@best_wf") == store.load(FIRST)
    weights = store.load(SECOND, "weights")
    np.testing.assert_array_equal(weights, -np.arange(6, dtype="<f4").reshape(2, 3), strict=True)
    assert store.load(ALONE) == [0.5, None]
    model = store.load(SIGNED)
    np.testing.assert_array_equal(
        model.predict(store.load(SIGNED, "example_inputs")), store.load(SIGNED, "example_outputs")
    )


def test_what_a_run_says_of_itself_is_read(store: ArtifactStore) -> None:
    run = store.get(SECOND)
    assert run.manifest.parent is not None
    assert (run.manifest.parent.ref, run.manifest.parent.manifest_sha256) == (FIRST, TOLD["runs"][FIRST])
    assert run.manifest.provenance["host"] == "workstation"
    assert run.manifest.data["candles.csv"].digest.size == 1234
    assert run.manifest.description == "the run 20260101_000002_second"
    assert run.tags == {"desk": "spot", "größe": "klein"}
    assert run.config == {"lookback": 64, "rate": 0.1}
    assert run.training_config == {"folds": [1, 2, 3], "seed": None}
    assert math.isnan(run.metrics.pop("loss"))
    assert run.metrics["sharpe"] == 1.25
    features = store.get(SIGNED_FIRST).features
    assert features is not None
    assert list(features.names) == ["close", "volume", "rsi_14"]
    assert run.features is None


@pytest.mark.parametrize("ref", [DELETED, SWEPT, QUARANTINED, SIGNED_DELETED])
def test_what_was_deleted_stays_deleted(ref: str, store: ArtifactStore) -> None:
    assert TOLD["gone"].keys() == {DELETED, SWEPT, QUARANTINED, SIGNED_DELETED}
    with pytest.raises(errors.RunDeleted):
        store.get(ref)


def test_every_history_is_walked_through_its_archive(store: ArtifactStore) -> None:
    for ref, entries in TOLD["aliases"].items():
        assert [[entry.seq, entry.run_id, entry.reason] for entry in store.history(ref)] == entries
    found = {f"{key}@{alias}" for key in store.models() for alias in store.aliases(key)}
    assert found == TOLD["aliases"].keys()
    assert sum("/latest.history/" in name for name in FILES) == 3
    for retired in (f"{PLAIN}@trial", f"{SIGNED}@trial"):
        with pytest.raises(errors.AliasRetired):
            store.get(retired)


def test_every_byte_and_every_prediction_is_verified(store: ArtifactStore) -> None:
    report = store.verify(predict=True)
    assert report.ok, [str(problem) for problem in report.problems]
    checked = {run.label: run.predictions.outcome for run in report if run.predictions is not None}
    assert checked.keys() == TOLD["runs"].keys()
    assert {label for label, outcome in checked.items() if outcome == "equal"} == {
        ref for ref, components in TOLD["components"].items() if "example_inputs" in components
    }


def test_what_was_signed_is_taken_by_those_who_trust_the_key_and_nothing_else_is(owner: ArtifactStore) -> None:
    report = owner.verify(SIGNED)
    assert report.ok, [str(problem) for problem in report.problems]
    signed = {ref for ref in TOLD["runs"] if ref.startswith(SIGNED)}
    assert {run.label for run in report if run.signed_by == STRICT.trusted_keys[0].key_id} == signed
    for ref in (*signed, SIGNED):
        assert owner.load(ref) is not None
    assert len(owner.history(SIGNED)) == len(TOLD["aliases"][f"{SIGNED}@latest"])
    for ref in (PLAIN, FIRST, ALONE):
        with pytest.raises(errors.Untrusted):
            owner.load(ref)


def test_the_doctor_finds_nothing_but_the_quarantine(store: ArtifactStore) -> None:
    report = store.doctor(deep=True)
    of_the_place = {"lifecycle"}  # the bucket of the tests has no rule that ends uploads
    found = [it for it in report if it.code not in of_the_place and it.severity != "unknown"]
    assert [(it.code, it.severity, it.target) for it in found] == [("quarantined", "note", QUARANTINED)]
    assert report.counts.runs >= len(TOLD["runs"])


def test_reading_changes_nothing(store: ArtifactStore) -> None:
    assert everything(store) == FILES
    list(store.runs())
    store.find(PLAIN)
    store.load(SIGNED)
    store.verify()
    store.doctor()
    assert {name: data for name, data in everything(store).items() if not name.startswith("_index/")} == FILES


# ---------------------------------------------------------------- writing


def test_a_run_is_saved_and_published_on_top(store: ArtifactStore) -> None:
    past = TOLD["aliases"][f"{PLAIN}@latest"]
    new = f"{PLAIN}:20270101_000000_new"
    with changing(store, folder(new), f"{PLAIN}/latest.json", "_index/saved/"):
        run = store.save({"buy": [4]}, PLAIN, run_id="20270101_000000_new", parent=store.get(FIRST))
        assert run.published is not None
        assert run.published.pointer is not None
        assert run.published.pointer.seq == len(past) + 1
    assert store.load(PLAIN) == {"buy": [4]}
    assert [[entry.seq, entry.run_id, entry.reason] for entry in store.history(PLAIN)][:-1] == past


def test_publishing_goes_on_to_the_next_block_of_the_archive(store: ArtifactStore) -> None:
    past = TOLD["aliases"][f"{PLAIN}@latest"]
    with changing(store, f"{PLAIN}/latest.json", f"{PLAIN}/latest.history/0000000096.json"):
        for number in range(30):
            store.promote((FIRST, SECOND)[number % 2], "latest")
    assert len(store.history(PLAIN)) == len(past) + 30
    assert [[entry.seq, entry.run_id, entry.reason] for entry in store.history(PLAIN)][: len(past)] == past
    invariants.check(store, PLAIN)


def test_an_alias_is_rolled_back_and_retired_and_comes_back(store: ArtifactStore) -> None:
    with changing(store, f"{PLAIN}/latest.json", f"{PLAIN}/best_wf.json", f"{PLAIN}/trial.json"):
        serving = store.get(PLAIN)
        assert store.rollback(PLAIN).run_id == {FIRST: SECOND, SECOND: FIRST}[str(serving.ref)].partition(":")[2]
        store.retire(f"{PLAIN}@best_wf")
        assert store.promote(SECOND, "trial", expect=3).seq == 4
    with pytest.raises(errors.AliasRetired):
        store.get(f"{PLAIN}@best_wf")
    assert store.get(f"{PLAIN}@trial") == store.get(SECOND)


def test_a_signed_alias_is_moved_by_its_owner(owner: ArtifactStore, store: ArtifactStore) -> None:
    new = f"{SIGNED}:20270101_000000_new"
    serving = owner.get(SIGNED)
    with changing(store, folder(new), f"{SIGNED}/latest.json", f"{SIGNED}/trial.json", "_index/saved/"):
        owner.save({"n": 1}, SIGNED, run_id="20270101_000000_new")
        assert owner.load(SIGNED) == {"n": 1}
        assert owner.rollback(SIGNED).run_id == serving.run_id
        owner.promote(SIGNED_FIRST, "trial")
    past = TOLD["aliases"][f"{SIGNED}@latest"]
    assert [[entry.seq, entry.run_id, entry.reason] for entry in owner.history(SIGNED)][: len(past)] == past
    assert owner.get(f"{SIGNED}@trial") == owner.get(SIGNED_FIRST)
    assert owner.verify(SIGNED).ok


def test_a_run_is_signed_that_was_not(owner: ArtifactStore, store: ArtifactStore) -> None:
    with changing(store, f"{folder(FIRST)}_signatures/"):
        store.sign(FIRST, Signer.from_pem(DATA / "owner.key"))
    assert owner.load(FIRST) == store.load(FIRST)


def test_a_run_is_deleted_and_brought_back_as_it_was(store: ArtifactStore) -> None:
    with changing(store, f"{folder(KEPT)}manifest.json", "_index/gone/"):
        assert [done.result for done in store.delete(KEPT).apply()] == ["deleted"]
        with pytest.raises(errors.RunDeleted):
            store.get(KEPT)
    with changing(store, f"{folder(KEPT)}manifest.json", "_index/back/"):
        assert store.undelete(KEPT).manifest.digest == TOLD["runs"][KEPT]
    assert {name: data for name, data in everything(store).items() if not name.startswith("_index/")} == FILES


@pytest.mark.parametrize("ref", [DELETED, SIGNED_DELETED])
def test_a_run_that_was_deleted_is_brought_back(ref: str, store: ArtifactStore) -> None:
    with changing(store, f"{folder(ref)}manifest.json", "_index/back/"):
        run = store.undelete(ref)
        assert str(run.ref) == ref
    assert store.load(ref) is not None


@pytest.mark.parametrize("ref", [SWEPT, QUARANTINED])
def test_a_run_whose_files_or_manifest_are_gone_stays_gone(ref: str, store: ArtifactStore) -> None:
    with pytest.raises(errors.RunDeleted):
        store.undelete(ref)
    with pytest.raises(errors.RunDeleted):
        store.save({"n": 1}, PLAIN, run_id=ref.partition(":")[2])


def test_what_was_deleted_is_swept_and_what_serves_is_kept(store: ArtifactStore) -> None:
    with changing(store, *map(folder, (DELETED, SIGNED_DELETED, QUARANTINED))):
        applied = store.gc(grace=NOW).apply()
        assert applied.ok
        assert {done.step.target for done in applied} == {DELETED, SIGNED_DELETED, QUARANTINED}
    assert {str(run.ref): run.manifest.digest for run in store.runs()} == TOLD["runs"]
    for ref in TOLD["gone"]:
        assert [name for name in everything(store) if name.startswith(folder(ref))] == [f"{folder(ref)}manifest.json"]
