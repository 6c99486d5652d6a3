"""Questions that should not take longer where a model has more runs, and deletions."""

from __future__ import annotations

import os
from datetime import timedelta

from benchmarks.place import Place
from benchmarks.work import Work, repeated
from benchmarks.workloads.many_runs import add
from benchmarks.workloads.models import MANY, STORE, Question

QUESTIONS = ("limit", "find", "prefix", "aliases")


def question(key: str, name: str, run_id: str) -> Question:
    """Return one of the questions about a model."""
    found: dict[str, Question] = {
        "limit": lambda store: list(store.runs(key, limit=10)),
        "find": lambda store: store.find(key, prefer=()),
        "prefix": lambda store: store.get(f"{key}:{run_id[:13]}"),
        "aliases": lambda store: store.aliases(key),
    }
    return found[name]


def asked(place: Place, *, ask: str, key: str, runs: int, times: int = 1, engine: str = "obstore") -> Work:
    """Ask about a model, as often as it takes to be measured."""
    del runs
    store = place.store(STORE, engine=engine)
    about = question(key, ask, store.get(key).run_id)
    return repeated(lambda: about(store), times)


def names_alone(place: Place, *, runs: int) -> Work:
    """List the names in the folder of the model, in order."""
    folder = place.path(STORE) / MANY

    def run(_: int) -> None:
        assert len(sorted(os.listdir(folder))) >= runs  # noqa: PTH208 -- the least that anyone could do

    return Work(run)


def deletion(place: Place, *, size: str, small: int, middle: int, large: int) -> Work:
    """Delete a run of the model of one of three sizes, another in each turn; one alias is there."""
    count = {"small": small, "middle": middle, "large": large}[size]
    store, key = place.store(STORE), f"gru/N{count}"
    left = iter(sorted(run.run_id for run in store.runs(key))[:-1])

    def run(_: int) -> None:
        store.delete(f"{key}:{next(left)}").apply()

    return Work(run)


def prune(place: Place, *, runs: int) -> Work:
    """Plan and do a prune that leaves one of so many runs; a model for each turn."""
    store = place.store(STORE, provenance=False)

    def before(turn: int) -> None:
        add(place, store, f"gru/P{runs}x{turn}", runs + 1)

    def run(turn: int) -> None:
        plan = store.prune(f"gru/P{runs}x{turn}", keep_last=1, grace=timedelta(0))
        plan.apply()

    return Work(run, before=before, per=runs)
