"""Deletion and signatures together: what is taken away takes its signatures along, and what stays keeps them."""

from datetime import timedelta

import numpy as np
import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.policy import Later
from artifact_store.core.tombstone import Tombstone
from artifact_store.ops import delete, promote
from artifact_store.ops.validate import validate
from artifact_store.storage.base import Always
from tests import invariants
from tests.keys import public, signer, strict

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"
NOW = timedelta(0)
NEAR = pytest.mark.parametrize("place", ["memory", "local"], indirect=True)
"""For what does not depend on how a storage does conditional writes and listings."""


@pytest.fixture
def owner(open_store):
    return open_store(signer=signer(), policy=strict())


@pytest.fixture
def reader(open_store):
    return open_store(policy=strict())


def backend(store):
    return store._context.backend


def below(store, run):
    prefix = keys.run_prefix(run.key, run.run_id)
    return sorted(entry.key.removeprefix(prefix) for entry in backend(store).list(prefix))


def signature(run, who="owner"):
    return keys.signature_name(run.manifest.digest, public(who).key_id)


def saved(store, count):
    return [store.save({"n": n}, KEY) for n in range(count)]


def pointers_are_signed(store):
    for key in store.models():
        for alias, pointer in store.aliases(key).items():
            assert pointer.signature is not None, alias
            assert pointer.signature.key_id == public().key_id


# ---------------------------------------------------------------- what stays


def test_gc_leaves_a_committed_run_every_signature_whoever_made_it_and_when(owner, open_store, reader):
    one, two = saved(owner, 2)
    owner.sign(one, signer("second"))
    before = below(owner, one), below(owner, two)
    assert {signature(one), signature(one, "second")} <= set(before[0])
    plan = owner.gc(grace=NOW)
    assert list(plan) == []
    assert plan.apply().ok
    assert (below(owner, one), below(owner, two)) == before
    assert open_store(policy=strict("second")).load(str(one.ref)) == {"n": 0}
    assert reader.load(KEY) == {"n": 1}


@NEAR
def test_a_signature_is_a_part_of_the_run_by_its_name_when_a_plan_is_carried_out(owner, reader):
    """Another client may have listed the run before it was committed, or by other rules."""
    run = owner.save({"n": 1}, KEY)
    before = below(owner, run)
    for name in before:
        ending = delete.clear_stray(owner._context, run.key, run.run_id, name)
        assert (ending.result, ending.detail) == ("kept", "it belongs to the run")
    assert below(owner, run) == before
    assert reader.load(KEY) == {"n": 1}


def test_what_a_save_left_that_lost_goes_with_its_signature_and_nothing_else_does(owner, reader):
    run = owner.save({"n": 1}, KEY)
    kept = below(owner, run)
    lost = keys.signature_name("0" * 64, public().key_id)
    for name in ("other.json", lost, f"{keys.SIGNATURES}README.txt"):
        backend(owner).write(keys.data_file(run.key, run.run_id, name), b"{}", when=Always())
    assert [step.action for step in owner.gc()] == ["keep", "keep"]  # until the grace period is over
    plan = owner.gc(grace=NOW)
    prefix = keys.run_prefix(run.key, run.run_id)
    assert sorted(step.target for step in plan) == sorted(prefix + name for name in ("other.json", lost))
    assert [done.result for done in plan.apply()] == ["cleared", "cleared"]
    assert below(owner, run) == sorted([*kept, f"{keys.SIGNATURES}README.txt"])
    assert reader.load(KEY) == {"n": 1}


def test_the_signature_of_a_save_that_lost_its_run_id_is_cleared(owner, open_store, reader):
    run_id = "20240816_142301"
    run = owner.save({"n": 1}, KEY, run_id=run_id)
    kept = below(owner, run)
    with pytest.raises(errors.RunExists):
        open_store(signer=signer("second"), policy=strict("owner", "second")).save({"n": 2}, KEY, run_id=run_id)
    assert any(name.startswith(keys.SIGNATURES) for name in set(below(owner, run)) - set(kept))
    assert owner.gc(grace=NOW).apply().ok
    assert below(owner, run) == kept
    assert reader.load(KEY) == {"n": 1}


# ---------------------------------------------------------------- what goes


def test_a_deleted_run_keeps_its_signatures_until_it_is_swept(owner, open_store, reader):
    one, _ = saved(owner, 2)
    owner.sign(one, signer("second"))
    files = below(owner, one)
    owner.delete(one, reason="diverged").apply()
    assert below(owner, one) == files
    for read in (
        lambda: reader.get(str(one.ref)),
        lambda: reader.load(str(one.ref)),
        lambda: reader.verify(str(one.ref)),
        lambda: owner.promote(one, "production"),
        lambda: owner.sign(str(one.ref), signer("second")),
    ):
        with pytest.raises(errors.RunDeleted, match="diverged"):
            read()
    assert owner.gc().changes == ()
    assert [done.result for done in owner.gc(grace=NOW).apply()] == ["swept"]
    assert below(owner, one) == [keys.MANIFEST]
    assert owner.gc(grace=NOW).changes == ()
    pointers_are_signed(owner)
    assert open_store(policy=strict()).verify().ok


def test_a_deleted_run_comes_back_with_signatures_that_hold(owner, open_store, reader):
    one, _ = saved(owner, 2)
    owner.sign(one, signer("second"))
    place = keys.manifest(one.key, one.run_id)
    before = backend(owner).read(place, limit=1 << 23).data
    owner.delete(one).apply()
    stone = Tombstone.from_bytes(backend(owner).read(place, limit=1 << 24).data, what="the tombstone")
    assert stone.restored().to_bytes() == before
    assert open_store().undelete(str(one.ref)) == one  # whoever brings it back needs no key
    assert backend(owner).read(place, limit=1 << 23).data == before
    for who in ("owner", "second"):
        assert open_store(policy=strict(who)).load(str(one.ref)) == {"n": 0}
    report = reader.verify(str(one.ref))
    assert report.ok
    assert report.runs[0].signed_by == public().key_id
    assert owner.promote(one, "production").signature.key_id == public().key_id
    assert reader.load(f"{KEY}@production") == {"n": 0}
    invariants.check(owner, KEY)


def test_what_a_signed_save_left_that_was_cut_short_is_cleared_with_its_signature(owner):
    saved(owner, 1)
    run = owner.save({"n": "crash"}, KEY, run_id="20200101_000000_dead", publish="never")
    backend(owner).delete(keys.manifest(run.key, run.run_id))
    assert signature(run) in below(owner, run)
    assert [step.action for step in owner.gc()] == ["keep"]
    assert [done.result for done in owner.gc(grace=NOW).apply()] == ["cleared"]
    assert below(owner, run) == [keys.MANIFEST]
    with pytest.raises(errors.RunDeleted):
        owner.save({"n": "late"}, KEY, run_id=str(run.run_id))
    assert owner.gc(grace=NOW).apply().ok
    assert below(owner, run) == [keys.MANIFEST]
    assert owner.verify().ok


def test_nothing_but_runs_is_reported_where_there_are_signatures(owner, reader):
    one, two = saved(owner, 2)
    owner.sign(one, signer("second"))
    runs = reader.runs()
    assert [run.run_id for run in runs] == [two.run_id, one.run_id]
    assert runs.problems == []
    assert [str(key) for key in reader.models()] == [KEY]
    report = reader.verify()
    assert report.ok
    assert [(run.files, run.signed_by) for run in report] == [(len(one.files), public().key_id)] * 2
    assert not reader.diff(one, one)
    assert reader.diff(one, two)


@NEAR
def test_whoever_holds_a_run_is_told_that_it_is_gone_and_not_that_it_is_unsigned(owner, open_store, tmp_path):
    one, _ = saved(owner, 2)
    cached = open_store(policy=strict(), cache=tmp_path / "cache")
    assert cached.load(str(one.ref)) == {"n": 0}
    held = [open_store(policy=strict()).get(str(one.ref)) for _ in range(4)]
    again = open_store(policy=strict(), cache=tmp_path / "cache").get(str(one.ref))
    owner.delete(one).apply()
    assert held[0].load() == {"n": 0}  # signed, and all there until it is swept
    assert owner.gc(grace=NOW).apply().ok
    for run in (*held, again):
        run._context.verified.clear()  # each of them has verified the signature before, and would not ask for it again
    for read in (
        held[1].load,
        lambda: held[2].open("model.json"),
        lambda: held[3].download(tmp_path / "out"),
        held[3].check_signature,
        again.load,
    ):
        with pytest.raises(errors.RunDeleted):
            read()


# ---------------------------------------------------------------- what is published meanwhile


@NEAR
@pytest.mark.parametrize("gone", ["marked", "swept"])
def test_a_promotion_that_meets_a_deletion_signs_what_it_puts_back(owner, reader, monkeypatch, gone):
    one, two = saved(owner, 2)
    owner.promote(two, "production")
    seen = []

    def publish(*args, **kwargs):
        decision = genuine(*args, **kwargs)
        seen.append(decision.pointer)
        stone = Tombstone.mark(one.manifest, owner._context.publish_info())
        backend(owner).write(keys.manifest(one.key, one.run_id), stone.to_bytes(), when=Always())
        if gone == "swept":
            backend(owner).delete(keys.data_file(one.key, one.run_id, signature(one)))
            owner._context.verified.clear()
        return decision

    genuine = promote.publish
    monkeypatch.setattr(promote, "publish", publish)
    with pytest.raises(errors.RunDeleted):
        owner.promote(one, "production")
    assert [pointer.run_id for pointer in seen] == [one.run_id]
    back = owner.aliases(KEY)["production"]
    assert (back.run_id, back.seq) == (two.run_id, 3)
    pointers_are_signed(owner)
    assert reader.load(f"{KEY}@production") == {"n": 1}


def test_a_rollback_passes_over_what_was_deleted_and_signs(owner, reader):
    one, two, _ = saved(owner, 3)
    owner.delete(two).apply()
    pointer = owner.rollback(KEY)
    assert pointer.run_id == one.run_id
    assert reader.load(KEY) == {"n": 0}
    pointers_are_signed(owner)


def test_pruning_under_a_signer_publishes_nothing_and_leaves_what_is_signed(owner, reader):
    runs = saved(owner, 4)
    before = owner.aliases(KEY)
    assert owner.prune(KEY, keep_last=1, grace=NOW).apply().ok
    assert owner.gc(grace=NOW).apply().ok
    assert owner.aliases(KEY) == before
    left = list(reader.runs(KEY))
    assert [run.run_id for run in left] == [runs[3].run_id, runs[2].run_id]
    assert reader.verify().ok
    assert [run.load() for run in left] == [{"n": 3}, {"n": 2}]


@NEAR
def test_whoever_has_no_key_can_delete_and_clear_and_publishes_nothing(owner, reader):
    """A tombstone makes nobody believe anything, so it needs no signature."""
    one, two = saved(owner, 2)
    before = owner.aliases(KEY)
    assert reader.delete(one).apply().ok
    assert reader.undelete(one) == one
    assert reader.delete(one).apply().ok
    assert reader.gc(grace=NOW).apply().ok
    assert owner.aliases(KEY) == before
    assert reader.get(KEY) == two
    with pytest.raises(errors.InvalidOption, match="signer"):
        reader.promote(two, "production")


@NEAR
def test_a_save_that_is_published_later_does_not_ask_what_is_published_now(owner, open_store):
    stranger = open_store()
    stranger.save({"n": 1}, KEY)
    with pytest.raises(errors.SignatureMissing):
        owner.save({"n": 2}, KEY)
    run = owner.save({"n": 2}, KEY, publish=Later())
    assert run.manifest.signed_by == (public().key_id,)
    assert owner.aliases(KEY)["latest"].seq == 1


# ---------------------------------------------------------------- what looks at runs without loading them


@NEAR
def test_an_unsigned_run_is_not_compared_and_not_validated(owner, open_store, reader):
    one = owner.save({"n": 1}, KEY)
    bad = open_store().save({"weights": np.arange(3)}, KEY, publish="never")
    with pytest.raises(errors.SignatureMissing):
        reader.diff(one, str(bad.ref))
    with pytest.raises(errors.SignatureMissing):
        reader.diff(reader.get(str(bad.ref)), one)
    assert validate(one.key, lambda _: reader.get(KEY)).loaded == ("model",)
    report = validate(one.key, lambda _: reader.get(str(bad.ref)))
    assert (report.ok, report.loaded) == (False, ())
    assert [type(problem.error) for problem in report.problems] == [errors.SignatureMissing]
    owner.sign(bad, signer())
    assert validate(one.key, lambda _: reader.get(str(bad.ref))).ok
    assert reader.diff(one, str(bad.ref))


def test_an_old_tree_is_not_opened_where_signatures_are_required(tmp_path):
    (tmp_path / "models" / "gru").mkdir(parents=True)
    with pytest.raises(errors.InvalidOption, match="an old tree has none: migrate"):
        ArtifactStore.open_legacy(tmp_path / "models", policy=strict())
