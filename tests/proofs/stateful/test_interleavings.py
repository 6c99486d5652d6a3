"""Every order in which the steps of publish, promote, rollback, delete, undelete and gc can fall, one by one.

States: the objects of the storage, and of each actor the answers that it has got so far. Steps: one storage operation
of one actor; the death of one actor; the time leaping by the grace period.

Invariants, in every state:

* **D1** an alias never names a run whose files are not all there.
* **D2** a run that is visible is complete.
* **D3** a tombstone is never replaced by another manifest than its own, and never goes away; a sealed one stays sealed.

And once everybody has come to an end, and gc has come by after another grace period:

* **D4** every alias names a visible, complete run, or none.
* **D5** not both succeed: the promotion of a run and its deletion, unless the alias has left the run or it came back.
* **D6** what was deleted is hidden, and what is hidden for longer than the grace period has no files.

Assumed: a promotion or a save takes less than the grace period (the time does not leap while one is at work).
"""

import dataclasses
import functools
from datetime import datetime

import pytest

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import Pointer
from artifact_store.core.policy import PublishAlways
from artifact_store.core.references import RunRef
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import ArtifactStoreError
from artifact_store.ops import delete, promote, publish
from artifact_store.ops.records import Records
from artifact_store.storage.conditional_write import Outcome
from tests.proofs.stateful.stepping import BEGIN, GRACE, Content, Inline, explore

KEY = ModelKey("gru", "BTCEUR")
ALIAS = "latest"
A, B, C = (RunId(f"2024010{day}_000000") for day in (1, 2, 3))


@dataclasses.dataclass
class Scenario:
    """Where it begins, who takes part, who may die, who publishes, and whether the time may leap."""

    objects: dict
    context: object
    actors: dict
    mortal: frozenset = frozenset()
    publishers: frozenset = frozenset()
    jumps: bool = False
    time: datetime = BEGIN + GRACE
    """So that what is there in the beginning is old."""


@functools.cache
def beginning():
    """Runs A and B, published in that order, and C, whose files are there and whose save goes on."""
    world = Content()
    store = ArtifactStore(world, clock=lambda: world.time)
    runs = {run_id: store.save({"n": str(run_id)}, str(KEY), run_id=run_id) for run_id in (A, B)}
    runs[C] = store.save({"n": str(C)}, str(KEY), run_id=C, publish="never")
    world.delete(keys.manifest(KEY, C))
    store.close()
    return dict(world.objects), store._context, {run_id: run.manifest for run_id, run in runs.items()}


def manifest_of(run_id):
    return beginning()[2][run_id]


# ---------------------------------------------------------------- who takes part


def promoter(run_id, alias=ALIAS):
    def work(actor):
        context = actor.context
        return promote.promote(context, alias, manifest_of(run_id), PublishAlways(), context.publish_info())

    return work


def roller_back(actor):
    context = actor.context
    seen = context.records.pointer(KEY, ALIAS)
    manifest = promote.choose_rollback(context, RunRef(KEY), context.records.history(seen))
    return promote.republish(context, ALIAS, manifest, context.publish_info(), seen=seen)


def saver(actor):
    """Commit and publish C, whose files have been there for a long time."""
    context = actor.context
    manifest = publish.commit(context.records, manifest_of(C))
    seen = context.records.pointer(KEY, ALIAS)
    return publish.publish(context, ALIAS, manifest, PublishAlways(), context.publish_info(), seen=seen)


def deleter(run_id):
    return lambda actor: delete.mark(actor.context, KEY, run_id, reason="")


def undeleter(run_id):
    return lambda actor: delete.undelete(actor.context, KEY, run_id)


def sweeper(run_id):
    def work(actor):
        try:
            return delete.sweep(actor.context, KEY, run_id, grace=GRACE, now=actor.clock())
        except errors.RunNotFound as error:
            return error

    return work


def clearer(actor):
    return delete.clear(actor.context, KEY, C, grace=GRACE, now=actor.clock())


# ---------------------------------------------------------------- what has to hold


@functools.cache
def parsed(data):
    for kind in (Manifest, Tombstone, Pointer):
        try:
            return kind.from_bytes(data, what="it")
        except ArtifactStoreError:
            continue
    raise AssertionError(data)


def record(walk, run_id):
    held = walk.world.objects.get(keys.manifest(KEY, run_id))
    return None if held is None else parsed(held.data)


def state_of(walk, run_id):
    found = record(walk, run_id)
    return "absent" if found is None else "visible" if isinstance(found, Manifest) else found.state


def complete(walk, run_id):
    where = [keys.data_file(KEY, run_id, entry.key) for entry in manifest_of(run_id).files]
    return all(key in walk.world.objects for key in where)


def named(walk):
    for key, held in walk.world.objects.items():
        if keys.alias_in(key.rpartition("/")[2]) and key.startswith(keys.model_prefix(KEY)) and key.count("/") == 2:
            pointer = parsed(held.data)
            if pointer.run_id is not None:
                yield RunId(pointer.run_id)


def always(walk):
    assert all(complete(walk, run_id) for run_id in named(walk)), "D1"
    before = walk.__dict__.setdefault("seen", {})
    for run_id in (A, B, C):
        now = record(walk, run_id)
        assert not isinstance(now, Manifest) or complete(walk, run_id), "D2"
        was = before.get(run_id)
        if isinstance(was, Tombstone):
            assert now is not None, "D3"
            assert was.state == "marked" or now == was, "D3"
            assert not isinstance(now, Manifest) or now == was.restored(), "D3"
        before[run_id] = now


def finally_(walk):
    both_or_none(walk)
    store = ArtifactStore(walk.world, clock=lambda: walk.world.time)
    store._context = dataclasses.replace(store._context, workers=Inline(), tasks=Inline())
    for _ in range(2):
        walk.world.time += GRACE
        assert store.gc(grace=GRACE).apply().ok
    for run_id in named(walk):
        assert state_of(walk, run_id) == "visible", "D4"
        assert complete(walk, run_id), "D4"
    for run_id in (A, B, C):
        if state_of(walk, run_id) != "visible":
            prefix = keys.run_prefix(KEY, run_id)
            left = [key for key in walk.world.objects if key.startswith(prefix)]
            assert left in ([], [keys.manifest(KEY, run_id)]), "D6"


def both_or_none(walk):
    outcomes = {actor.name: actor.outcome for actor in walk.actors}
    for name, outcome in outcomes.items():
        verb, _, run_id = name.partition(" ")
        if verb == "delete" and isinstance(outcome, Tombstone):
            back = [other for other in outcomes if other.partition(" ")[0] in {"undelete", "sweep"}]
            assert back or state_of(walk, run_id) != "visible", "D6"
            promotions = [outcomes[other] for other in outcomes if other.partition(" ")[0] in {"promote", "rollback"}]
            assert back or not any(
                isinstance(pointer, Pointer) and pointer.run_id == run_id and run_id in named(walk)
                for pointer in promotions
            ), "D5"


# ---------------------------------------------------------------- the scenarios

MAKE = {"promote": promoter, "delete": deleter, "undelete": undeleter, "sweep": sweeper}
PUBLISH = {"promote", "rollback", "save"}


def scenario(*names, mortal=(), jumps=False, prepare=None):
    objects, context, _ = beginning()
    objects = dict(objects)
    if prepare is not None:
        world = Content()
        world.time = BEGIN + GRACE
        world.objects.update(objects)
        store = ArtifactStore(world, clock=lambda: world.time)
        prepare(store)
        store.close()
        objects = dict(world.objects)
    actors = {}
    for name in names:
        verb, _, run_id = name.partition(" ")
        plain = {"rollback": roller_back, "save": saver, "clear": clearer}
        actors[name] = plain[verb] if verb in plain else MAKE[verb](RunId(run_id.partition(" ")[0]))
    publishers = frozenset(name for name in names if name.partition(" ")[0] in PUBLISH)
    return Scenario(objects, context, actors, frozenset(mortal), publishers, jumps)


def marked_a(store):
    store.delete(f"{KEY}:{A}").apply()


def a_in_production(store):
    store.promote(f"{KEY}:{A}", "production")


SCENARIOS = {
    "promote, delete": lambda: scenario(f"promote {A}", f"delete {A}"),
    "promote, delete, a death of either": lambda: scenario(
        f"promote {A}", f"delete {A}", mortal=(f"promote {A}", f"delete {A}")
    ),
    "rollback, delete, a death of either": lambda: scenario(
        "rollback", f"delete {A}", mortal=("rollback", f"delete {A}")
    ),
    "two promotions, a deletion of what the first left": lambda: scenario(f"promote {A}", f"delete {B}"),
    "promote A, then delete of both": lambda: scenario(f"promote {A}", f"delete {A}", f"delete {B}"),
    "two deleters and one who brings back": lambda: scenario(f"delete {A}", f"delete {A} again", f"undelete {A}"),
    "delete, sweep, a leap of time, any death": lambda: scenario(
        f"delete {A}", f"sweep {A}", jumps=True, mortal=(f"delete {A}", f"sweep {A}")
    ),
    "undelete, sweep": lambda: scenario(f"undelete {A}", f"sweep {A}", jumps=True, prepare=marked_a),
    "undelete, two sweeps": lambda: scenario(
        f"undelete {A}", f"sweep {A}", f"sweep {A} again", jumps=True, prepare=marked_a
    ),
    "undelete, promote, sweep": lambda: scenario(
        f"undelete {A}", f"promote {A}", f"sweep {A}", jumps=True, prepare=marked_a
    ),
    "a promotion that dies, sweep after a leap": lambda: scenario(
        f"promote {A}", f"delete {A}", f"sweep {A}", jumps=True, mortal=(f"promote {A}",)
    ),
    "save, clear, a death of either": lambda: scenario("save", "clear", mortal=("save", "clear")),
    "save, delete of what is being saved": lambda: scenario("save", f"delete {C}", mortal=("save",)),
    "save, delete and sweep of what is being saved": lambda: scenario(
        "save", f"delete {C}", f"sweep {C}", jumps=True, mortal=("save",)
    ),
    "retire by promotion elsewhere, delete": lambda: scenario(
        f"promote {B}", f"delete {A}", f"promote {A}", prepare=a_in_production
    ),
}
LONG = {
    "undelete, two sweeps",
    "promote A, then delete of both",
    "retire by promotion elsewhere, delete",
    "two deleters and one who brings back",
}


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in LONG])
def test_in_every_order_of_steps_the_invariants_hold(name, record_property):
    explored(name, record_property)


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(LONG))
def test_in_every_order_of_many_steps_the_invariants_hold(name, record_property):
    explored(name, record_property)


def explored(name, record_property):
    found = explore(SCENARIOS[name](), always=always, finally_=finally_)
    record_property("states", found.states)
    print(f"{name}: {found.states} states, {found.ends} ends, {found.walks} walks")
    assert found.states > 20
    assert found.ends > 1


def test_the_exploration_finds_a_promotion_that_does_not_look_again(monkeypatch):
    """What would happen without the second look of a promotion, and of a deletion: the exploration sees it."""
    monkeypatch.setattr(promote, "check_still_there", lambda context, pointer, manifest, note: pointer)
    with pytest.raises(AssertionError, match="D5"):
        explore(SCENARIOS["promote, delete"](), always=always, finally_=finally_)


def test_the_exploration_finds_a_sweep_that_does_not_look_at_the_pointers(monkeypatch):
    monkeypatch.setattr(delete, "named_by", lambda *_: [])
    with pytest.raises(AssertionError, match="D1|D4"):
        explore(SCENARIOS["a promotion that dies, sweep after a leap"](), always=always, finally_=finally_)


def test_the_exploration_finds_a_clearing_that_comes_without_a_tombstone(monkeypatch):
    write = Records.write

    def without(records, document, *, over=None):
        return Outcome.WON if isinstance(document, Tombstone) and over is None else write(records, document, over=over)

    monkeypatch.setattr(Records, "write", without)
    with pytest.raises(AssertionError, match="D1|D2"):
        explore(SCENARIOS["save, clear, a death of either"](), always=always, finally_=finally_)
