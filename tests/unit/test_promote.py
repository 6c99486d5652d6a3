"""An alias that moves to a run which goes away at that moment: what is served then, and what is served again."""

import pytest

from artifact_store import ArtifactStore, LoadPolicy
from artifact_store.core import keys
from artifact_store.core.pointer import Publish, PublishInfo
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import (
    Corrupt,
    NothingToRollBackTo,
    PointerConflict,
    RunDeleted,
    SignatureMissing,
)
from artifact_store.ops.promote import rollback_candidates
from artifact_store.storage.base import Always
from artifact_store.storage.memory import MemoryBackend
from tests.keys import signer, strict
from tests.unit.samples import NOW

KEY = "gru/BTCEUR"
POINTER = "gru/BTCEUR/production.json"
PRODUCTION = f"{KEY}@production"


def entries(*runs):
    """One publish after the other of these days of January, or of nothing."""
    return [
        Publish(
            seq=place,
            run_id=None if day is None else f"202401{day:02}_000000",
            manifest_sha256=None if day is None else "0" * 64,
            write_id=f"{place:032x}",
            at=NOW,
            by="me",
            reason="",
        )
        for place, day in enumerate(runs, 1)
    ]


@pytest.mark.parametrize(
    ("past", "best"),
    [
        ([1], []),
        ([1, 2], [1]),
        ([1, 2, 3], [2, 1]),
        ([1, 2, 1], []),
        ([1, 2, 3, 2], [1]),
        ([1, 2, 1, 3], [1, 2]),
        ([1, 2, None], [2, 1]),
        ([1, None, 2], [1]),
        ([1, 2, None, 1, None], [1, 2]),
        ([None], []),
    ],
)
def test_a_rollback_serves_what_served_before_the_run_first_did(past, best):
    assert [str(run_id) for run_id in rollback_candidates(entries(*past))] == [f"202401{day:02}_000000" for day in best]


def bury(backend, run):
    stone = Tombstone.mark(run.manifest, PublishInfo("d" * 32, NOW, "somebody"))
    backend.write(keys.manifest(run.key, run.run_id), stone.to_bytes(), when=Always())


class Buries(MemoryBackend):
    """Deletes runs right after the alias was moved: what belongs to the first move, then to the second."""

    moves = ()

    def write(self, key, data, *, when):
        version = super().write(key, data, when=when)
        if key == POINTER and self.moves:
            first, *self.moves = self.moves
            first()
        return version


@pytest.fixture
def backend():
    return Buries()


@pytest.fixture
def store(backend):
    with ArtifactStore(backend) as store:
        yield store


def runs(store, count):
    return [store.save({"n": number}, KEY, publish="never") for number in range(count)]


def test_what_served_last_is_served_again(store, backend):
    one, two, three = runs(store, 3)
    store.promote(one, "production")
    store.promote(two, "production")
    backend.moves = [lambda: bury(backend, three)]
    with pytest.raises(RunDeleted):
        store.promote(three, "production")
    assert store.get(PRODUCTION) == two
    assert [entry.seq for entry in store.history(PRODUCTION)] == [1, 2, 3, 4]


def test_an_alias_that_served_nothing_before_serves_nothing_again(store, backend):
    (one,) = runs(store, 1)
    backend.moves = [lambda: bury(backend, one)]
    with pytest.raises(RunDeleted):
        store.promote(one, "production")
    assert [entry.run_id for entry in store.history(PRODUCTION)] == [one.run_id, None]


def test_an_alias_that_was_retired_is_retired_again(store, backend):
    one, two = runs(store, 2)
    store.promote(one, "production")
    store.retire(PRODUCTION)
    backend.moves = [lambda: bury(backend, two)]
    with pytest.raises(RunDeleted):
        store.promote(two, "production")
    assert [entry.run_id for entry in store.history(PRODUCTION)] == [one.run_id, None, two.run_id, None]


def test_if_that_goes_away_as_well_the_alias_names_nothing(store, backend):
    one, two = runs(store, 2)
    store.promote(one, "production")
    backend.moves = [lambda: bury(backend, two), lambda: bury(backend, one)]
    with pytest.raises(RunDeleted):
        store.promote(two, "production")
    assert [entry.run_id for entry in store.history(PRODUCTION)] == [one.run_id, two.run_id, one.run_id, None]


def test_what_was_deleted_before_is_not_served_again(store, backend):
    one, two = runs(store, 2)
    store.promote(one, "production")

    def both():
        bury(backend, one)
        bury(backend, two)

    backend.moves = [both]
    with pytest.raises(RunDeleted):
        store.promote(two, "production")
    assert [entry.run_id for entry in store.history(PRODUCTION)] == [one.run_id, two.run_id, None]


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_somebody_published_meanwhile_is_left_alone(store, backend, when):
    one, two, three = runs(store, 3)
    store.promote(one, "production")

    def theirs():
        with ArtifactStore(backend) as other:
            other.promote(three, "production")

    def first():
        bury(backend, two)
        if when == "before":
            theirs()

    def second():
        bury(backend, one)
        if when == "after":
            theirs()

    backend.moves = [first, *([second] if when == "after" else [])]
    with pytest.raises(RunDeleted):
        store.promote(two, "production")
    assert store.get(PRODUCTION) == three
    assert store.history(PRODUCTION)[-1].run_id == three.run_id


class Overtaken(Buries):
    """Somebody publishes right before the second move of the alias."""

    theirs = None
    written = 0

    def write(self, key, data, *, when):
        if key == POINTER and self.theirs is not None:
            self.written += 1
            if self.written == 2:
                theirs, self.theirs = self.theirs, None
                theirs()
        return super().write(key, data, when=when)


def test_who_publishes_right_before_it_is_taken_back_has_the_last_word():
    backend = Overtaken()
    with ArtifactStore(backend) as store, ArtifactStore(backend) as other:
        one, two, three = runs(store, 3)
        store.promote(one, "production")
        backend.moves = [lambda: bury(backend, two)]
        backend.theirs = lambda: other.promote(three, "production")
        with pytest.raises(RunDeleted):
            store.promote(two, "production")
        assert backend.theirs is None
        assert store.get(PRODUCTION) == three


def test_an_alias_that_is_gone_is_not_made_again(store, backend):
    one, two = runs(store, 2)
    store.promote(one, "production")

    def gone():
        bury(backend, two)
        backend.delete(POINTER)

    backend.moves = [gone]
    with pytest.raises(RunDeleted):
        store.promote(two, "production")
    backend.moves = [lambda: bury(backend, two), lambda: (bury(backend, one), backend.delete(POINTER))]
    with pytest.raises(RunDeleted):
        store.promote(two, "production")
    assert POINTER not in [entry.key for entry in backend.list("")]


def test_a_policy_that_refuses_leaves_the_alias_as_it_was(store):
    one, two = runs(store, 2)
    store.promote(two, "production")
    with pytest.raises(PointerConflict) as caught:
        store.promote(one, "production", publish="if_newer")
    assert caught.value.actual.run_id == two.run_id
    assert store.get(PRODUCTION) == two


def test_a_rollback_passes_over_what_was_deleted(store, backend):
    one, two, three = runs(store, 3)
    for run in (one, two, three):
        store.promote(run, "production")
    bury(backend, two)
    store.rollback(PRODUCTION)
    assert store.get(PRODUCTION) == one
    with pytest.raises(NothingToRollBackTo, match="gru/BTCEUR@production"):
        store.rollback(PRODUCTION)


def test_a_manifest_that_was_replaced_is_not_promoted(store, backend):
    one, two = runs(store, 2)
    backend.write(keys.manifest(one.key, one.run_id), b"{}", when=Always())
    with pytest.raises(Corrupt):
        store.promote(one, "production")
    assert store.promote(two, "production").seq == 1


def test_who_requires_signatures_promotes_nothing_without_one(store, backend):
    (one,) = runs(store, 1)
    with ArtifactStore(backend, policy=strict(), signer=signer()) as careful, pytest.raises(SignatureMissing):
        careful.promote(one, "production")
    with ArtifactStore(backend, policy=LoadPolicy()) as other:
        assert other.promote(one, "production").run_id == one.run_id
