"""Many savers of one run id at the same moment: one run comes of it, and everybody else is told the truth."""

from __future__ import annotations

import functools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from artifact_store import ArtifactStore, errors
from artifact_store.core.manifest import Manifest
from artifact_store.ops import publish
from artifact_store.storage.retry import RetryPolicy
from tests.proofs.linear.crew import KEY, open_store
from tests.proofs.linear.places import Place, faulty

CONTENDERS = 32
ALIKE = 4
"""In every so manieth race the contenders save only two different things between them."""
Say = Callable[[str], None]


@dataclass
class Races:
    """What came of the races on one backend."""

    backend: str
    races: int = 0
    whole: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def row(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "races": self.races,
            "whole saves": self.whole,
            "won": self.ends["won"],
            "alike": self.ends["alike"],
            "RunExists": self.ends["RunExists"],
            "unknown": self.ends["unknown"],
            "violations": len(self.violations),
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class _Told:
    """What one contender wanted to save, and what it was told: the manifest of the run, or an error."""

    value: int
    manifest: Manifest | None
    error: errors.ArtifactStoreError | None


class _Contender:
    """A client of its own that remembers under which ids it wrote."""

    def __init__(self, place: Place, number: int, *, lossy: bool) -> None:
        plan = replace(faulty(), seed=number) if lossy and place.faulty else None
        retry = RetryPolicy(seconds=20.0, first=0.01, longest=0.5)
        self.store, _ = open_store(place.lossy if lossy else place.direct, plan, retry)
        self.ids: set[str] = set()
        self.store._context = replace(self.store._context, new_write_id=self._new_id)

    def _new_id(self) -> str:
        made = uuid.uuid4().hex
        self.ids.add(made)
        return made

    def save(self, run_id: str, value: int) -> _Told:
        """Save a whole run."""
        draft = self.store.new_run(KEY, run_id=run_id, publish="never")
        try:
            draft.add("model", {"value": value})
            return _Told(value, draft.commit().manifest, None)
        except errors.ArtifactStoreError as error:
            return _Told(value, None, error)
        finally:
            draft.discard()

    def commit(self, run_id: str, value: int, pattern: Manifest) -> _Told:
        """Write a manifest like the ``pattern``, which makes the run."""
        context = self.store._context
        changes = {"run_id": run_id, "write_id": context.new_write_id(), "config": {"value": value}}
        try:
            manifest = pattern.model_copy(update=changes)
            return _Told(value, publish.commit(context.records, manifest), None)
        except errors.ArtifactStoreError as error:
            return _Told(value, None, error)


def run_races(
    place: Place, *, races: int, seconds: float, say: Say, commits: bool = False, lossy: bool = False, lanes: int = 1
) -> Races:
    """Hold up to ``races`` races of 32, ``lanes`` of them at a time, and begin none after ``seconds``.

    A contender saves a run through its own store; with ``commits`` only its manifest, over one file that all share.
    ``lossy``: with the faults of this place.
    """
    course = _Course(place, commits=commits, lossy=lossy)
    found = Races(place.backend)
    began = time.monotonic()
    numbers = iter(range(races))
    with ThreadPoolExecutor(lanes) as pool:
        lane = functools.partial(_lane, course, numbers, found, until=began + seconds, say=say)
        for future in [pool.submit(lane) for _ in range(lanes)]:
            future.result()
    found.seconds = time.monotonic() - began
    course.close()
    return found


class _Course:
    """The contenders, one store each, and somebody who looks at what came of it."""

    def __init__(self, place: Place, *, commits: bool, lossy: bool) -> None:
        self.place, self.commits = place, commits
        self.contenders = [_Contender(place, number, lossy=lossy) for number in range(CONTENDERS)]
        self.judge, _ = open_store(place.direct)
        self.pattern = self.judge.save({"value": -1}, KEY, run_id="20231231_235959", publish="never").manifest

    def race(self, number: int, pool: ThreadPoolExecutor, found: Races) -> None:
        minute, second = divmod(number, 60)
        run_id = f"20240101_{minute // 60:02d}{minute % 60:02d}{second:02d}"
        values = [which % 2 if number % ALIKE == 0 else which for which in range(CONTENDERS)]
        start = threading.Barrier(CONTENDERS)

        def contend(which: int) -> _Told:
            start.wait()
            contender, value = self.contenders[which], values[which]
            return contender.commit(run_id, value, self.pattern) if self.commits else contender.save(run_id, value)

        told = list(pool.map(contend, range(CONTENDERS)))
        _judge(self.judge, run_id, told, self.contenders, found)

    def close(self) -> None:
        for contender in self.contenders:
            contender.store.close()
        self.place.settle()


def _lane(course: _Course, numbers: Iterator[int], found: Races, *, until: float, say: Say) -> None:
    """Hold one race after the other."""
    with ThreadPoolExecutor(CONTENDERS) as pool:
        for number in numbers:
            course.race(number, pool, found)
            found.races += 1
            found.whole += not course.commits
            if found.races % 100 == 0:
                say(f"{found.backend}: {found.races} races, {dict(found.ends)}, {len(found.violations)} violations")
            if time.monotonic() > until:
                return


def _judge(judge: ArtifactStore, run_id: str, told: list[_Told], contenders: list[_Contender], found: Races) -> None:
    """Compare what everybody was told with what is there."""
    run = judge.get(f"{KEY}:{run_id}")
    stored = run.config["value"] if "value" in run.config else run.load()["value"]
    owners = [contender for contender in contenders if run.manifest.write_id in contender.ids]
    if len(owners) != 1:
        found.violations.append(f"{run_id}: {len(owners)} contenders wrote what is there")
    for one, contender in zip(told, contenders, strict=True):
        owner = contender in owners
        if one.manifest is not None:
            end = "won" if owner else "alike"
            good = one.manifest == run.manifest and one.value == stored
        elif isinstance(one.error, errors.OutcomeUnknown):
            end, good = "unknown", True
        else:
            end = type(one.error).__name__
            good = isinstance(one.error, errors.RunExists) and one.value != stored and not owner
        found.ends[end] += 1
        if not good:
            found.violations.append(f"{run_id}: {end} for {one.value} ({one.error!r}); {stored} is there")
