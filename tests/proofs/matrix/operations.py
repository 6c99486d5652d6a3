"""What is done to a store, as data: the world before it, the act, and every state that it may be seen to pass through.

The states are the specification that the oracle goes by. They begin with the world as it was and end with the act
done; a reader may see any of them when the act was cut short, and no other.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from artifact_store import ArtifactStore, errors
from artifact_store.core import keys
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.store_record import StoreRecord
from artifact_store.legacy.migrate import migrate_tree
from artifact_store.problems import Problem
from artifact_store.storage.base import Always
from tests.legacy_cases import DATA
from tests.proofs.matrix.views import REGISTRY, Snapshot, View, see

KEY = "gru/BTCEUR"
OLD = ("20240101_000000", "20240102_000000", "20240103_000000")
SPARE, NEW = "20240104_000000", "20240105_000000"
MARKED, CRASHED = "20231231_000000", "20231230_000000"
MIGRATED, OTHER = "20240816_161000", "gru/SOLEUR"
LARGE = 9 << 20
TREES = {"n": 9, "trees": "leaf_value=0.25 " * 2000}
"""What is stored as a frame of zstd, if that is asked for."""
NOW = timedelta(0)

Act = Callable[[ArtifactStore], Any]


@dataclass(frozen=True)
class Operation:
    """One thing to do.

    ``passes`` returns the states from the one before to the one when it is done. ``told`` says whether what was
    returned is a success; ``final`` what holds once it was repeated by a client that meets no faults, and ``already``
    which errors that client may get because it is done. ``whole``: an error other than ``OutcomeUnknown`` says that
    nothing happened. ``tidy``: when it succeeds, nothing is left of what no reader sees.
    """

    name: str
    prepare: Act
    act: Act
    passes: Callable[[View], Sequence[View]]
    told: Callable[[Any], bool]
    final: Callable[[View], bool]
    already: tuple[type[BaseException], ...] = ()
    whole: bool = True
    tidy: bool = False
    reads_only: bool = False
    partly: Callable[[Any], bool] = lambda _: False
    """Says whether what was returned is a part of a success, and nothing else: what a damaged listing may come to."""
    large: bool = False
    """Moves so many bytes that they go in parts: of interest on a network only."""


def ref(run_id: str) -> str:
    return f"{KEY}:{run_id}"


# ---------------------------------------------------------------- the worlds


def nothing(store: ArtifactStore) -> None:
    """An empty root: not even a store."""


def served(store: ArtifactStore) -> None:
    """Three runs that were published one after the other, and one that was not."""
    for number, run_id in enumerate(OLD):
        save(store, run_id, number)
    save(store, SPARE, 9, publish="never")
    store.promote(ref(OLD[0]), "production")


def much_published(store: ArtifactStore) -> None:
    """An alias whose history is full, so that the next publish moves a part of it to the archive."""
    for number, run_id in enumerate((*OLD[:2], SPARE)):
        save(store, run_id, number, publish="never")
    for number in range(64):
        store.promote(ref(OLD[number % 2]), "production")


def with_deleted(store: ArtifactStore) -> None:
    served(store)
    save(store, MARKED, 5, publish="never").annotate(tags={"live": "no"})
    store.delete(ref(MARKED)).apply()


def with_marked(store: ArtifactStore) -> None:
    served(store)
    store.get(ref(SPARE)).annotate(do_not_trade=True)


def with_crashed(store: ArtifactStore) -> None:
    """A save that died before its commit, and a writer that died while it tried out the storage."""
    served(store)
    save(store, CRASHED, 6, publish="never")
    backend = store._context.backend
    backend.delete(keys.manifest(ModelKey.parse(KEY), RunId(CRASHED)))
    backend.write(keys.probe("0" * 32), b"1", when=Always())


def with_large(store: ArtifactStore) -> None:
    served(store)
    store.save(b"l" * LARGE, KEY, run_id=NEW, component="weights", publish="never")


def with_compressed(store: ArtifactStore) -> None:
    served(store)
    packing(store).save(TREES, KEY, run_id=NEW, publish="never")


def packing(store: ArtifactStore) -> ArtifactStore:
    """The store, which compresses what it saves from now on."""
    store._context = replace(store._context, compression="zstd")
    return store


def save(store: ArtifactStore, run_id: str, number: int, **options: Any) -> Any:
    return store.save({"n": number}, KEY, run_id=run_id, components={"extra": b"x" * 1000}, **options)


def with_index(store: ArtifactStore) -> None:
    """An index that knows three runs, and was told of one that was saved and one that was deleted since."""
    served(store)
    store.index.compact()
    save(store, MARKED, 5, publish="never")
    store.delete(ref(MARKED)).apply()


# ---------------------------------------------------------------- the states


def with_run(view: View, label: str, value: str) -> View:
    return view.but(runs={**view.runs, label: value})


def with_publish(view: View, alias: str, run_id: str | None) -> View:
    return view.but(aliases={**view.aliases, alias: (*view.aliases.get(alias, ()), run_id)})


def with_note(view: View, label: str, text: str) -> View:
    return view.but(notes={**view.notes, label: text})


def with_stone(view: View, label: str, state: str) -> View:
    runs = {name: value for name, value in view.runs.items() if name != label}
    return view.but(runs=runs, stones={**view.stones, label: state})


def saved(view: View) -> Sequence[View]:
    there = with_run(view, ref(NEW), repr({"n": 7}))
    return [view, there, with_publish(there, f"{KEY}@latest", NEW)]


def saved_large(view: View) -> Sequence[View]:
    there = with_run(view, ref(NEW), repr({"n": 8}))
    return [view, there, with_publish(there, f"{KEY}@latest", NEW)]


def saved_compressed(view: View) -> Sequence[View]:
    there = with_run(view, ref(NEW), repr(TREES))
    return [view, there, with_publish(there, f"{KEY}@latest", NEW)]


def published(alias: str, run_id: str | None) -> Callable[[View], Sequence[View]]:
    return lambda view: [view, with_publish(view, f"{KEY}@{alias}", run_id)]


def stoned(label: str, state: str) -> Callable[[View], Sequence[View]]:
    return lambda view: [view, with_stone(view, label, state)]


def restored(view: View) -> Sequence[View]:
    stones = {label: state for label, state in view.stones.items() if label != ref(MARKED)}
    there = with_run(view, ref(MARKED), repr({"n": 5})).but(stones=stones)
    return [view, with_note(there, ref(MARKED), "tradable {'live': 'no'}")]


def noted(text: str) -> Callable[[View], Sequence[View]]:
    return lambda view: [view, with_note(view, ref(SPARE), text)]


def as_it_was(view: View) -> Sequence[View]:
    return [view]


def migrated(view: View) -> Sequence[View]:
    there = with_run(view, f"{OTHER}:{MIGRATED}", expected_migration())
    return [view, there, with_publish(there, f"{OTHER}@latest", MIGRATED)]


_trees: list[Path] = []


def old_tree() -> Path:
    """A small old tree with one network and its alias, made once and gone with the process that made it."""
    if not _trees or not _trees[-1].is_dir():  # the folder for temporary files was another one
        home = tempfile.mkdtemp(prefix="artifact-store-old-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        root = Path(home) / "models"
        shutil.copytree(DATA / "trees" / "main" / "models" / OTHER, root / OTHER)
        (root / OTHER / "latest").symlink_to(MIGRATED, target_is_directory=True)
        _trees.append(root)
    return _trees[-1]


def use_old_tree(root: Path) -> None:
    """Use the tree that another process made."""
    _trees[:] = [root]


@cache
def expected_migration() -> str:
    store = ArtifactStore(Snapshot().restored(), registry=REGISTRY)
    assert migrate_tree(old_tree(), store).ok
    return see(Snapshot.of(store._context.backend)).runs[f"{OTHER}:{MIGRATED}"]


@cache
def laptop() -> ArtifactStore:
    """Another store, with a run that is published twice: the same one in every process."""
    memory, began = Snapshot().restored(), datetime(2024, 8, 16, tzinfo=UTC)
    marker = StoreRecord(store_id="f" * 32, created_at=began, concurrency="safe")
    memory.write(keys.STORE_MARKER, marker.to_bytes(), when=Always())
    store = ArtifactStore(memory, registry=REGISTRY, clock=lambda: began, actor="laptop", provenance=False)
    marks = (f"{number:032x}" for number in count(1))
    store._context = replace(store._context, new_write_id=lambda: next(marks))
    run = packing(store).save({"n": 7}, OTHER, run_id=MIGRATED, components={"extra": b"x" * 20_000})
    store.promote(run, "latest", reason="again")
    return store


def copied(view: View) -> Sequence[View]:
    here = see(Snapshot.of(laptop()._context.backend))
    there = with_run(view, f"{OTHER}:{MIGRATED}", here.runs[f"{OTHER}:{MIGRATED}"])
    return [view, there, there.but(aliases={**there.aliases, **here.aliases})]


# ---------------------------------------------------------------- the operations


def is_published(run: Any) -> bool:
    return bool(run.published)


def is_pointer(pointer: Any) -> bool:
    return pointer.seq > 0


def is_ok(report: Any) -> bool:
    return bool(report.ok)


def listed(store: ArtifactStore) -> Any:
    """Every run of the model; what could not be read raises, so that a short list is never taken for a whole one."""
    runs = store.runs(KEY)
    found = [str(run.run_id) for run in runs]
    for problem in runs.problems:
        raise problem.error
    return found


def loaded_many(store: ArtifactStore) -> Any:
    """The values of three references, two of which name one run; the error of any that could not be loaded raises."""
    found = store.load_many([KEY, ref(OLD[0]), f"{KEY}@production"])
    for one in found.failed:
        raise one.error
    return found.values()


def watched(store: ArtifactStore) -> Any:
    """What a watch serves after its first load and a look; raises why there is nothing, and the look never does."""
    with store.watcher(every=1e6) as watcher:
        (one,) = watcher.add_many([KEY])
        one.poll()
        return one.model


def listed_by_the_index(store: ArtifactStore) -> Any:
    """The same by the index alone."""
    runs = store.runs(KEY, index="only")
    found = [str(run.run_id) for run in runs]
    for problem in runs.problems:
        raise problem.error
    return found


def knows_all(compaction: Any) -> bool:
    return compaction.problems == ()


@dataclass(frozen=True)
class Cleared:
    """What came of ``gc``: what the plan could not read counts as much as what could not be done.

    ``notes`` say what it could not look for; of that, something may be left.
    """

    ok: bool
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def clear(store: ArtifactStore) -> Any:
    plan = store.gc(grace=NOW)
    problems = (*plan.problems, *plan.apply().problems)
    return Cleared(not problems, problems, plan.notes)


def names_last(alias: str, run_id: str | None) -> Callable[[View], bool]:
    return lambda view: view.aliases[f"{KEY}@{alias}"][-1] == run_id


def _save_validated(store: ArtifactStore) -> Any:
    """A save that publishes what it could load back; why it did not is raised, as an error after the commit."""
    run = save(store, NEW, 7, validate=True)
    refusal = run.published.error
    if refusal is not None:
        refusal.committed = str(run.ref)
        raise refusal
    return run


def _save_large(store: ArtifactStore) -> Any:
    return store.save({"n": 8}, KEY, run_id=NEW, components={"weights": b"w" * LARGE})


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation(
            "first save", nothing, lambda store: save(store, NEW, 7), saved, is_published, names_last("latest", NEW)
        ),
        Operation("save", served, lambda store: save(store, NEW, 7), saved, is_published, names_last("latest", NEW)),
        Operation(
            "save validated", served, _save_validated, saved, is_published, names_last("latest", NEW)
        ),
        Operation(
            "save large", served, _save_large, saved_large, is_published, names_last("latest", NEW), large=True
        ),
        Operation(
            "save compressed", served, lambda store: packing(store).save(TREES, KEY, run_id=NEW), saved_compressed,
            is_published, names_last("latest", NEW),
        ),
        Operation(
            "load compressed", with_compressed, lambda store: store.load(ref(NEW)), as_it_was,
            lambda value: value == TREES, lambda view: True, reads_only=True,
        ),
        Operation(
            "promote", served, lambda store: store.promote(ref(SPARE), "production"),
            published("production", SPARE), is_pointer, names_last("production", SPARE),
        ),
        Operation(
            "promote, archiving", much_published, lambda store: store.promote(ref(SPARE), "production"),
            published("production", SPARE), is_pointer, names_last("production", SPARE),
        ),
        Operation(
            "rollback", served, lambda store: store.rollback(KEY), published("latest", OLD[1]), is_pointer,
            lambda view: view.aliases[f"{KEY}@latest"][-1] in OLD[:2], already=(errors.NothingToRollBackTo,),
        ),
        Operation(
            "retire", served, lambda store: store.retire(f"{KEY}@production"), published("production", None),
            is_pointer, names_last("production", None),
        ),
        Operation(
            "annotate", served, lambda store: store.get(ref(SPARE)).annotate(do_not_trade=True),
            noted("do not trade {}"), lambda note: note.do_not_trade,
            lambda view: view.notes[ref(SPARE)] == "do not trade {}",
        ),
        Operation(
            "lift a mark", with_marked, lambda store: store.get(ref(SPARE)).annotate(do_not_trade=False),
            noted("tradable {}"), lambda note: len(note.lifts) == 1,
            lambda view: view.notes[ref(SPARE)] == "tradable {}", already=(errors.InvalidOption,),
        ),
        Operation(
            "delete", served, lambda store: store.delete(ref(SPARE)).apply(), stoned(ref(SPARE), "marked"), is_ok,
            lambda view: view.stones.get(ref(SPARE)) == "marked", already=(errors.RunDeleted,),
        ),
        Operation(
            "undelete", with_deleted, lambda store: store.undelete(ref(MARKED)), restored,
            lambda run: run.run_id == MARKED, lambda view: ref(MARKED) in view.runs,
        ),
        Operation(
            "sweep", with_deleted, clear, stoned(ref(MARKED), "sealed"), is_ok,
            lambda view: view.stones[ref(MARKED)] == "sealed" and not view.left, whole=False, tidy=True,
        ),
        Operation(
            "gc", with_crashed, clear, stoned(ref(CRASHED), "sealed"), is_ok,
            lambda view: view.stones[ref(CRASHED)] == "sealed" and not view.left, whole=False, tidy=True,
        ),
        Operation(
            "load", served, lambda store: store.load(KEY), as_it_was, lambda value: value == {"n": 2},
            lambda view: True, reads_only=True,
        ),
        Operation(
            "load large", with_large, lambda store: store.load(ref(NEW), "weights"), as_it_was,
            lambda value: value == b"l" * LARGE, lambda view: True, reads_only=True, large=True,
        ),
        Operation(
            "load many", served, loaded_many, as_it_was, lambda found: found == [{"n": 2}, {"n": 0}, {"n": 0}],
            lambda view: True, reads_only=True,
        ),
        Operation(
            "watch", served, watched, as_it_was, lambda value: value == {"n": 2}, lambda view: True, reads_only=True,
        ),
        Operation(
            "list", served, listed, as_it_was, lambda found: found == [SPARE, *reversed(OLD)], lambda view: True,
            reads_only=True,
            partly=lambda found: found == [run_id for run_id in (SPARE, *reversed(OLD)) if run_id in found],
        ),
        Operation(
            "list by the index", with_index, listed_by_the_index, as_it_was,
            lambda found: found == [SPARE, *reversed(OLD)], lambda view: True, reads_only=True,
            partly=lambda found: found == [run_id for run_id in (SPARE, *reversed(OLD)) if run_id in found],
        ),
        Operation(
            "compact the index", with_index, lambda store: store.index.compact(), as_it_was, knows_all,
            lambda view: True, whole=False,
        ),
        Operation(
            "rebuild the index", with_index, lambda store: store.index.rebuild(), as_it_was, knows_all,
            lambda view: True, whole=False,
        ),
        Operation(
            "migrate", nothing, lambda store: migrate_tree(old_tree(), store), migrated, is_ok,
            lambda view: view.aliases[f"{OTHER}@latest"] == (MIGRATED,), whole=False,
        ),
        Operation(
            "copy", served, lambda store: laptop().copy(OTHER, store), copied, is_ok,
            lambda view: view.aliases[f"{OTHER}@latest"] == (MIGRATED, MIGRATED), whole=False,
        ),
    )
}  # fmt: skip


@cache
def world(name: str) -> Snapshot:
    """What the storage holds before the operation."""
    memory = Snapshot().restored()
    OPERATIONS[name].prepare(ArtifactStore(memory, registry=REGISTRY))
    return Snapshot.of(memory)


def objects_of(name: str, *endpoints: str) -> Iterator[tuple[str, bytes]]:
    """The objects of that world, of a store that knows that these servers honour conditions."""
    for key, data in world(name).objects:
        if key != keys.STORE_MARKER:
            yield key, data
            continue
        record = StoreRecord.from_bytes(data, what="the world")
        (verdict,) = record.probed.values()
        said: dict[str, Any] = {"store_id": record.store_id, "created_at": record.created_at}
        probed = dict.fromkeys(endpoints, verdict)
        yield key, StoreRecord(**said, concurrency=record.concurrency, probed=probed).to_bytes()
