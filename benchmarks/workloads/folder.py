"""What reads every document of a folder, beside reading the same documents: open, sha256, ``json.loads``."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.place import Place
from benchmarks.work import LeftOut, Work
from benchmarks.workloads.listing import shown
from benchmarks.workloads.models import MANY, STORE


def _runs(store: Any, **jobs: int) -> object:
    return shown(store.runs(MANY, index="off", **jobs))


def _prune(store: Any, **jobs: int) -> object:
    return store.prune(MANY, keep_last=10, **jobs)


WORKS: dict[str, Callable[..., object]] = {
    "runs": _runs,
    "gc": lambda store, **jobs: store.gc(**jobs),
    "prune": _prune,
    "verify": lambda store, **jobs: store.verify(**jobs),
    "doctor": lambda store, **jobs: store.doctor(**jobs),
}


def ours(place: Place, *, work: str, runs: int, jobs: int = 0) -> Work:
    """Let the store do it, with so many processes."""
    del runs
    store = place.store(STORE)
    if jobs and "jobs" not in inspect.signature(getattr(store, work)).parameters:
        raise LeftOut(f"{work} takes no jobs")
    more = {"jobs": jobs} if jobs else {}

    def run(_: int) -> None:
        WORKS[work](store, **more)

    return Work(run)


def by_hand(place: Place, *, runs: int, files: bool = False, walk: bool = False) -> Work:
    """Read the manifests, and the other files of the runs, or the names of the whole folder, too."""
    root = place.path(STORE)

    def run(_: int) -> None:
        names = [path for _, _, found in os.walk(root) for path in found] if walk else []
        homes = [Path(entry.path) for entry in os.scandir(root / MANY) if entry.is_dir() and entry.name[0].isdigit()]
        assert len([_read(home, files=files) for home in homes]) >= runs
        assert not walk or len(names) >= runs

    return Work(run)


def _read(home: Path, *, files: bool) -> object:
    for path in home.iterdir() if files else ():
        if path.name != "manifest.json":
            hashlib.sha256(path.read_bytes()).hexdigest()
    data = (home / "manifest.json").read_bytes()
    hashlib.sha256(data).hexdigest()
    return json.loads(data)
