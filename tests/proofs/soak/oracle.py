"""Whether what the writers of a soak were told is true of what is there at the end.

1. Every acknowledged publish stands in the history of its alias, exactly once, and each history has no hole.
2. Every acknowledged save is a run that loads as it was saved, or one that is said to be deleted.
3. What was loaded, listed and verified meanwhile was whole.
4. Errors are typed, and of kinds that other clients of a sound storage can cause: never ``Corrupt``, for example.
5. No process holds more at the end than after its first quarter: memory, descriptors and threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from artifact_store import ArtifactStore, errors
from tests import invariants
from tests.proofs.soak.writer import ALIASES, KEYS, digest

EXPECTED = frozenset(
    {
        *("PointerConflict", "Conflict", "AliasNotFound", "AliasRetired", "RunDeleted", "RunInUse", "RunNotFound"),
        *("NothingToRollBackTo", "MetricMissing", "ModelNotFound", "RunExists"),
    }
)
"""What others may cause by what they do at the same moment; an alias that was retired is not found, too."""
GROWTH = {"memory": 1.15, "descriptors": 1.25, "threads": 1.25}
"""How much more of each a process may hold in its last quarter than in its second: of arrays of 10 MB some are alive."""
LEAST = 2
"""Samples in a quarter; of fewer nothing is said."""
SLACK = {"memory": 24.0, "descriptors": 8.0, "threads": 4.0}

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What came of a soak."""

    operations: Counter[str]
    errors: Counter[str]
    publishes: int
    runs: int
    deleted: int
    violations: tuple[str, ...]
    growth_judged: bool


def judge(store: ArtifactStore, told: Sequence[Sequence[Line]]) -> Verdict:
    """Compare what each process was told with the store as it is now, when all have ended."""
    lines = [line for one in told for line in one]
    there, gone, violations = runs_now(store, lines)
    violations += published(store, lines)
    violations += meanwhile(lines)
    for number, one in enumerate(told):
        violations += (f"process {number}: {text}" for text in growth(samples_of(one)))
    judged = all(len(samples_of(one)) // 4 >= LEAST for one in told)
    operations = Counter(line["op"] for line in lines if "op" in line)
    failed = Counter(f"{line['op']}: {line['error']}" for line in lines if "error" in line)
    publishes = sum("write_id" in line for line in lines)
    return Verdict(operations, failed, publishes, there, gone, tuple(violations), judged)


def samples_of(told: Sequence[Line]) -> list[Line]:
    """Return what one process said that it holds, in the order of time."""
    return [line for line in told if "memory" in line]


def published(store: ArtifactStore, lines: Sequence[Line]) -> Iterator[str]:
    """Yield each publish that was acknowledged and is not in the history once, and each broken invariant."""
    there = {str(model) for model in store.models()}
    for key in KEYS:
        try:
            if key in there:
                invariants.check(store, key, ALIASES)
        except (AssertionError, errors.ArtifactStoreError) as error:
            yield f"{key}: an invariant does not hold: {error!r}"[:600]
        for alias in ALIASES:
            name = f"{key}@{alias}"
            acknowledged = [line["write_id"] for line in lines if line.get("publish") == name]
            try:
                past = Counter(entry.write_id for entry in store.history(name))
            except errors.AliasNotFound:
                past = Counter()
            yield from (
                f"{name}: the publish {one} is {past[one]} times there" for one in acknowledged if past[one] != 1
            )


def runs_now(store: ArtifactStore, lines: Sequence[Line]) -> tuple[int, int, list[str]]:
    """Return how many of the saved runs are there, how many are deleted, and what is wrong with others."""
    mentioned = {run for line in lines for run in line.get("gone", ())}
    maybe = {line["run_id"] for line in lines if line.get("error") == "OutcomeUnknown"}
    there, gone, wrong = 0, 0, []
    for line in lines:
        if "sha256" not in line:
            continue
        ref = line["run"]
        try:
            found = digest(store.load(ref))
        except errors.RunDeleted:
            gone += 1
            if ref not in mentioned and ref.rpartition(":")[2] not in maybe:
                wrong.append(f"{ref} is deleted, and no delete or prune said so")
            continue
        except errors.ArtifactStoreError as error:
            wrong.append(f"{ref} was acknowledged, and is: {error}")
            continue
        there += 1
        if found != line["sha256"]:
            wrong.append(f"{ref} loads as something else than was saved")
    return there, gone, wrong


def meanwhile(lines: Sequence[Line]) -> Iterator[str]:
    """Yield what was not whole, and each error that no other client can cause."""
    for line in lines:
        if line.get("whole") is False:
            yield f"{line['op']}: what was read was not whole: {line}"
        for kind in (*line.get("errors", ()), *((line["error"],) if "error" in line else ())):
            if kind not in EXPECTED:
                yield f"{line['op']} raised {kind}: {line.get('text')}"


def growth(samples: Sequence[Line]) -> Iterator[str]:
    """Yield each of memory, descriptors and threads of which there is more in the last quarter than in the second."""
    quarter = len(samples) // 4
    if quarter < LEAST:
        return
    for name, factor in GROWTH.items():
        early = median(line[name] for line in samples[quarter : 2 * quarter])
        late = median(line[name] for line in samples[-quarter:])
        if late > early * factor + SLACK[name]:
            yield f"{name} went from {early:.0f} to {late:.0f}"
