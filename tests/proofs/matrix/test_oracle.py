"""The oracle finds out stores that lie: each of these is broken on purpose, in one way that has been seen elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from artifact_store.core import keys
from artifact_store.core.names import RunId
from artifact_store.core.pointer import PublishInfo, advance
from artifact_store.errors import ArtifactStoreError, OutcomeUnknown, PreconditionFailed, Unavailable
from artifact_store.ops import delete, promote, publish
from artifact_store.ops.delete import StepResult
from artifact_store.ops.plan import Plan
from artifact_store.storage import conditional_write as settle
from artifact_store.storage.base import Always
from artifact_store.storage.conditional_write import Outcome
from tests.proofs.matrix.bench import Fault, Point, Strike, Told, Trial
from tests.proofs.matrix.memory import MemoryBench
from tests.proofs.matrix.operations import OLD, OPERATIONS, SPARE, world
from tests.proofs.matrix.oracle import judge
from tests.proofs.matrix.views import see

POINTER, MANIFEST = "production.json", "20240105_000000/manifest.json"


def verdict(operation, fault, where, what="write"):
    """What the oracle says of one fault, at the first such call whose key ends so."""
    bench, found = MemoryBench(), OPERATIONS[operation]
    point = next(point for point in points(operation) if point.what == what and point.where.endswith(where))
    return judge(bench.run(found, (Strike(bench.fault(fault), point),)))


def points(operation, known={}):  # noqa: B006 -- where a sound store touches the storage, asked once
    if operation not in known:
        known[operation] = MemoryBench().points(OPERATIONS[operation])
    return known[operation]


@pytest.fixture(autouse=True)
def sound():
    """Ask the sound store before it is broken."""
    for operation in ("promote", "save", "sweep"):
        points(operation)


def settling(react):
    """A way to settle a write that does not read back."""

    def settle(send, look, *, retry, key, write_id=None):
        try:
            send()
        except ArtifactStoreError as error:
            return react(error)
        return Outcome.WON

    return settle


@pytest.mark.parametrize("fault", ["lost reply", "lost request", "delayed", "409 landed", "412 landed", "5xx"])
@pytest.mark.parametrize(("operation", "where"), [("promote", POINTER), ("save", MANIFEST)])
def test_the_store_as_it_is_passes(operation, where, fault):
    assert verdict(operation, fault, where).violations == ()


@pytest.mark.parametrize(("operation", "where"), [("promote", POINTER), ("save", MANIFEST)])
@pytest.mark.parametrize("fault", ["lost request", "delayed long", "5xx"])
def test_success_without_reading_back_is_found_out(monkeypatch, operation, where, fault):
    monkeypatch.setattr(settle, "settle", settling(lambda _: Outcome.WON))
    assert any("false success" in found for found in verdict(operation, fault, where).violations)


def test_a_412_that_is_taken_for_a_conflict_is_found_out(monkeypatch):
    def react(error):
        if isinstance(error, PreconditionFailed):
            return Outcome.LOST
        raise error

    monkeypatch.setattr(settle, "settle", settling(react))
    found = verdict("rollback", "412 landed", "latest.json").violations
    assert any("false conflict: PointerConflict" in one for one in found)


@pytest.mark.parametrize("fault", ["lost reply", "delayed", "409 landed"])
def test_an_error_that_says_nothing_happened_is_found_out(monkeypatch, fault):
    def react(error):
        raise error

    monkeypatch.setattr(settle, "settle", settling(react))
    assert any("told that it failed" in found for found in verdict("promote", fault, POINTER).violations)


def test_an_error_after_the_publish_is_found_out(monkeypatch):
    def kept(context, pointer, manifest, note):
        promote._check(context, manifest)
        return pointer

    monkeypatch.setattr(promote, "check_still_there", kept)
    bench, found = MemoryBench(), OPERATIONS["promote"]
    last = max(point for point in points("promote") if point.where.endswith("manifest.json"))
    violations = judge(bench.run(found, (Strike(bench.fault("dead: 5xx"), last),))).violations
    assert any("told that it failed" in one for one in violations)


def test_a_publish_that_is_made_twice_is_found_out(monkeypatch):
    swap_once = publish._swap_once

    def twice(context, seen, step):
        swap_once(context, seen, step)
        first, again = step.pointer, context.records.pointer(step.pointer.key, step.pointer.alias)
        manifest = publish.manifest_of(context.records, first)
        info = PublishInfo("f" * 32, first.at, first.by, first.reason)
        return swap_once(context, again, advance(again.value, first.key, first.alias, manifest, info))

    monkeypatch.setattr(publish, "_swap_once", twice)
    assert any("false success" in found for found in verdict("promote", "slow", POINTER).violations)


def test_a_foreign_exception_is_found_out(monkeypatch):
    def react(error):
        raise ConnectionResetError(104, "reset by peer") from error

    monkeypatch.setattr(settle, "settle", settling(react))
    assert any("untyped exception" in found for found in verdict("promote", "lost request", POINTER).violations)


def test_cleaning_up_after_an_unknown_outcome_is_found_out(monkeypatch):
    commit = publish.commit

    def tidy(records, manifest):
        commit(records, manifest)
        for entry in manifest.files:
            records.remove(keys.data_file(manifest.key, RunId(manifest.run_id), entry.key))
        raise OutcomeUnknown("it may have landed", key="", write_id=manifest.write_id)

    monkeypatch.setattr(publish, "commit", tidy)
    assert any("an invariant" in found or "manifest" in found for found in verdict("save", "slow", MANIFEST).violations)


def test_a_late_write_without_a_condition_is_found_out(monkeypatch):
    monkeypatch.setattr(settle, "IfVersion", lambda _: Always())
    bench, found = MemoryBench(), OPERATIONS["promote"]
    point = next(point for point in points("promote") if point.what == "write")
    violations = judge(bench.run(found, (Strike(bench.fault("delayed long"), point),))).violations
    assert any("a late write changed" in one for one in violations)


def test_a_removal_that_did_not_happen_is_found_out(monkeypatch):
    monkeypatch.setattr(delete, "remove_files", lambda context, key, run_id, result: StepResult(result))
    found = verdict("sweep", "slow", "manifest.json").violations
    assert any("told that all is removed" in one for one in found)


def test_a_fault_that_is_never_met_proves_nothing():
    bench = MemoryBench()
    strike = Strike(bench.fault("5xx"), Point("write", "nowhere", 1))
    assert judge(bench.run(OPERATIONS["promote"], (strike,))).violations == (
        "the fault was never met, so nothing was tried",
    )


def test_a_storage_that_costs_more_than_it_may_is_found_out():
    bench = MemoryBench()
    strike = Strike(bench.fault("dead: 5xx"), points("promote")[0])
    trial = bench.run(OPERATIONS["promote"], (strike,))
    assert judge(trial).violations == ()
    assert judge(replace(trial, limit=(0.0, 0))).violations
    assert isinstance(trial.told.error, Unavailable)


@pytest.mark.parametrize(
    ("strike", "found", "right"),
    [
        ("flipped byte", [SPARE, OLD[0]], True),
        ("flipped byte", [], True),
        ("flipped byte", [OLD[0], SPARE], False),
        ("flipped byte", [SPARE, "20990101_000000"], False),
        ("cut body", [SPARE, OLD[0]], False),
    ],
)
def test_a_listing_that_was_damaged_on_the_way_may_show_less_and_nothing_else(strike, found, right):
    point = Point("LIST", "gru/BTCEUR/", 1)
    view = see(world("list"))
    told = Told(value=found)
    trial = Trial(OPERATIONS["list"], (Strike(Fault(strike, ()), point),), told, view, view, met=1)
    assert (judge(trial).violations == ()) is right


def after_gc(strike, left, final=frozenset()):
    """A gc that met this fault in a listing, left these, and was repeated."""
    operation, before = OPERATIONS["gc"], see(world("gc"))
    done = operation.passes(before)[-1]
    told = Told(value=Plan((), lambda: lambda _: StepResult("kept")).apply())
    strikes = (Strike(Fault(strike, ()), Point("LIST", "gru/BTCEUR/", 1)),)
    after, last = done.but(left=left(before)), done.but(left=final)
    return judge(Trial(operation, strikes, told, before, after, repeated=told, final=last, met=1)).violations


def test_what_a_damaged_listing_hid_from_gc_is_left_for_the_next_one_and_nothing_else_is():
    assert after_gc("flipped byte", lambda before: before.left) == ()
    [found] = after_gc("cut body", lambda before: before.left)
    assert "told that all is removed" in found
    [found] = after_gc("flipped byte", lambda before: before.left | {"_probe/new"})
    assert "left what was not there" in found
    [found] = after_gc("flipped byte", lambda before: before.left, final=frozenset({"_probe/old"}))
    assert "after the repetition" in found
