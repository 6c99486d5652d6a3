"""Rounds of writers and readers on one pointer after the other, and what the checker says about each."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from artifact_store import ArtifactStore
from tests.proofs.linear import checker
from tests.proofs.linear.crew import KEY, Done, Job, crew, open_store
from tests.proofs.linear.history import End, Entry, Operation
from tests.proofs.linear.places import Place

WRITERS, READERS = 16, 4
RUNS = 6
Say = Callable[[str], None]


@dataclass
class Tally:
    """What came of the rounds on one backend."""

    backend: str
    ends: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    violations: list[checker.Violation] = field(default_factory=list)
    pointers: int = 0
    longest: int = 0
    calls: int = 0
    faults: int = 0
    seconds: float = 0.0

    @property
    def completed(self) -> int:
        """Publishes that were acknowledged, and reads that were answered."""
        return self.ends["published"] + self.ends["read"]

    def add(self, operations: Sequence[Operation], final: Sequence[Entry]) -> None:
        self.pointers += 1
        self.longest = max(self.longest, len(final))
        for operation in operations:
            good = "published" if operation.writes else "read"
            self.ends[good if operation.end is End.OK else operation.end.name.lower()] += 1
            if operation.error:
                self.errors[f"{operation.end.name.lower()} {operation.error.partition('(')[0]}"] += 1
        self.violations += checker.check(operations, final)

    def of(self, kind: str) -> int:
        return sum(violation.kind == kind for violation in self.violations)

    def row(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "completed": self.completed,
            "published": self.ends["published"],
            "read": self.ends["read"],
            "unknown": self.ends["unknown"],
            "refused": self.ends["refused"],
            "failed": self.ends["failed"],
            "faults": f"{self.faults} of {self.calls}",
            "pointers": self.pointers,
            **{kind: self.of(kind) for kind in checker.KINDS},
            "seconds": round(self.seconds, 1),
        }


def run_rounds(place: Place, *, operations: int, rounds: int, say: Say, seed: int = 1) -> Tally:
    """Let writers and readers loose on ``rounds`` pointers for ``operations`` completed ones in all."""
    tally = Tally(place.backend)
    began = time.monotonic()
    store, _ = open_store(place.direct)
    runs = tuple(
        str(store.save({"run": number}, KEY, run_id=f"2024010{number}_000000", publish="never").run_id)
        for number in range(1, RUNS + 1)
    )
    with ProcessPoolExecutor(place.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for number in range(rounds):
            jobs = _jobs(place, f"pointer{number}", runs, -(-operations // rounds), seed * 1000 + number)
            done = _together(jobs, pool if place.processes > 1 else None)
            tally.calls += sum(one.calls for one in done)
            tally.faults += sum(one.faults for one in done)
            if place.proxy is not None:
                records = place.proxy.records
                tally.calls += len(records)
                tally.faults += sum(record.fault is not None for record in records)
            place.settle()
            final = tuple(Entry.of(publish) for publish in store.history(f"{KEY}@pointer{number}"))
            tally.add([operation for one in done for operation in one.operations], final)
            tally.seconds = time.monotonic() - began
            say(f"{place.backend}: round {number + 1}/{rounds}, {dict(tally.ends)}, {tally.seconds:.0f} s, "
                f"{len(tally.violations)} violations")  # fmt: skip
    _check_runs(store)
    return tally


def _jobs(place: Place, alias: str, runs: tuple[str, ...], operations: int, seed: int) -> list[Job]:
    share = place.processes
    return [
        Job(
            place=place.lossy,
            alias=alias,
            runs=runs,
            name=f"{alias}-{number}",
            writers=WRITERS // share,
            readers=READERS // share,
            goal=-(-operations // share),
            seed=seed * 10 + number,
            faulty=place.faulty,
        )
        for number in range(share)
    ]


def _together(jobs: Sequence[Job], pool: ProcessPoolExecutor | None) -> list[Done]:
    return [crew(job) for job in jobs] if pool is None else list(pool.map(crew, jobs))


def _check_runs(store: ArtifactStore) -> None:
    report = store.verify(KEY)
    assert report.ok, [str(problem) for problem in report.problems]
