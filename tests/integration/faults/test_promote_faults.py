"""A promote that cannot look at its run again after it has published: the publish is there, and nobody is told otherwise."""

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.storage.memory import MemoryBackend
from artifact_store.testing import Faults, FaultyBackend
from tests import invariants

KEY = "gru/BTCEUR"
OLD, NEW = "20240101_000000", "20240102_000000"
MANIFEST = f"{KEY}/{NEW}/manifest.json"


@pytest.fixture
def storage():
    storage = MemoryBackend()
    store = ArtifactStore(storage)
    for run_id in (OLD, NEW):
        store.save(
            {"run": run_id}, KEY, run_id=run_id, alias="production", publish="always" if run_id == OLD else "never"
        )
    return storage


def impatient(storage, plan):
    return ArtifactStore(FaultyBackend(storage, plan), timeout=0.2)


def moves():
    return {
        "promote": lambda store: store.promote(f"{KEY}:{NEW}", "production"),
        "rollback": lambda store: store.rollback(f"{KEY}@production", to=NEW),
    }


@pytest.mark.parametrize("move", moves())
def test_what_was_published_and_could_not_be_looked_at_again_is_unknown_and_never_a_failure(storage, move):
    plan = Faults().on("read", key=MANIFEST, after=2).lose_request()
    with pytest.raises(errors.OutcomeUnknown, match="before you repeat") as caught:
        moves()[move](impatient(storage, plan))
    store = ArtifactStore(storage)
    last = store.history(f"{KEY}@production")[-1]
    assert (last.run_id, last.write_id) == (NEW, caught.value.write_id)
    assert caught.value.run_id == NEW
    assert isinstance(caught.value.__cause__, errors.Unavailable)
    invariants.check(store, KEY, ("production",))


def test_a_run_whose_manifest_vanished_meanwhile_is_not_left_published(storage):
    plan = Faults().on("read", key=MANIFEST, after=2).fail(lambda _op, key: errors.ObjectNotFound(key, "it is gone"))
    with pytest.raises(errors.RunNotFound):
        impatient(storage, plan).promote(f"{KEY}:{NEW}", "production")
    assert [entry.run_id for entry in ArtifactStore(storage).history(f"{KEY}@production")] == [OLD, NEW, OLD]


def test_what_could_not_be_put_back_is_unknown(storage):
    plan = (
        Faults()
        .on("read", key=MANIFEST, after=2).fail(lambda _op, key: errors.ObjectNotFound(key, "it is gone"))
        .on("read", key="*/production.json", after=1).unavailable()
    )  # fmt: skip
    with pytest.raises(errors.OutcomeUnknown):
        impatient(storage, plan).promote(f"{KEY}:{NEW}", "production")
    assert ArtifactStore(storage).history(f"{KEY}@production")[-1].run_id == NEW


def test_whoever_rolls_back_without_an_answer_is_told_that_a_second_rollback_goes_further(storage):
    ArtifactStore(storage).promote(f"{KEY}:{NEW}", "production")
    plan = (
        Faults()
        .on("write", key="*/production.json")
        .lose_reply()
        .on("read", key="*/production.json", after=1)
        .unavailable()
    )
    with pytest.raises(errors.OutcomeUnknown, match="repeated rollback goes further back"):
        impatient(storage, plan).rollback(f"{KEY}@production")
    assert [entry.run_id for entry in ArtifactStore(storage).history(f"{KEY}@production")] == [OLD, NEW, OLD]
