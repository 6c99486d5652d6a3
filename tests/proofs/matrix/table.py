"""What came of all cells: the table, and its sums."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.proofs.matrix.bench import Cell
from tests.proofs.matrix.operations import OPERATIONS
from tests.proofs.matrix.oracle import ERROR, OK, UNKNOWN, Verdict

ENDINGS = (OK, ERROR, UNKNOWN)


@dataclass(frozen=True)
class Violation:
    """A cell in which something is wrong, and how to try it again alone."""

    cell: str
    told: str
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"violated: {self.cell}", f"  told: {self.told}", *(f"  {wrong}" for wrong in self.wrong)]
        return "\n".join([*lines, f"  alone: python -m tests.proofs.matrix --cell '{self.cell}'"])


@dataclass
class Table:
    """Verdicts by bench, operation and fault; what could not be tried, by the reason."""

    counts: dict[tuple[str, str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    reasons: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    violations: list[Violation] = field(default_factory=list)
    worst: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)
    """By bench and fault: the seconds and the requests that an operation cost against a dead storage at most."""

    def add(self, cell: Cell, verdict: Verdict, cost: tuple[float, int] | None = None) -> None:
        count = self.counts[cell.bench, cell.operation, cell.column]
        count[verdict.ending] += 1
        if verdict.violations:
            count["violations"] += 1
            self.violations.append(Violation(str(cell), verdict.told, verdict.violations))
        if cost is not None:
            self._cost((cell.bench, cell.column), cost)

    def merge(self, other: Table) -> None:
        """Add what another process found."""
        for place, count in other.counts.items():
            self.counts[place] += count
        for reason, where in other.reasons.items():
            self.reasons[reason] += where
        for where, cost in other.worst.items():
            self._cost(where, cost)
        self.violations += other.violations

    def _cost(self, where: tuple[str, str], cost: tuple[float, int]) -> None:
        known = self.worst.get(where, (0.0, 0))
        self.worst[where] = max(known[0], cost[0]), max(known[1], cost[1])

    def leave_out(self, cell: Cell) -> None:
        self.counts[cell.bench, cell.operation, cell.column]["n/a"] += 1
        self.reasons[f"{cell.column}: {cell.why_not}"][cell.bench] += 1

    def total(self, *key: str) -> Counter[str]:
        """The sum over all cells whose bench, operation and fault are among ``key``."""
        found: Counter[str] = Counter()
        for place, count in self.counts.items():
            if all(name in place for name in key):
                found += count
        return found

    def lines(self) -> list[str]:
        out = []
        for bench in self._names(0):
            out += [*self._bench(bench), ""]
        out += ["not applicable, and why:"]
        out += [f"  {sum(where.values()):6}  {reason}" for reason, where in sorted(self.reasons.items())]
        if self.worst:
            out += ["", "against a dead storage, the most that one operation cost:"]
            out += [
                f"  {bench:8} {fault:14} {seconds:6.1f} s {requests:4} requests"
                for (bench, fault), (seconds, requests) in sorted(self.worst.items())
            ]
        return [*out, "", f"total: {spoken(self.total())}"]

    def _names(self, part: int, bench: str = "") -> list[str]:
        """The names of benches, operations or faults, in the order in which they first came; pairs last."""
        found = list(dict.fromkeys(place[part] for place in self.counts if not bench or place[0] == bench))
        return sorted(found, key=lambda name: name == "pairs")

    def _bench(self, bench: str) -> list[str]:
        operations = [name for name in OPERATIONS if name in self._names(1, bench)]
        faults = self._names(2, bench)
        heads = [fault.replace(": ", ":").split(" ", 1) for fault in faults]
        rows = {name: [brief(self.counts[bench, name, fault]) for fault in faults] for name in operations}
        rows["all"] = [brief(self.total(bench, fault)) for fault in faults]
        columns = zip(heads, *rows.values(), strict=True)
        widths = [max(len(text) for text in (*head, *texts)) + 2 for head, *texts in columns]
        out = [
            f"{bench}: {spoken(self.total(bench))}",
            "cells that ended ok+error+unknown; - is not applicable, ! a violation",
        ]
        for row in (0, 1):
            parts = [
                (head[row] if len(head) > row else "").rjust(width) for head, width in zip(heads, widths, strict=True)
            ]
            out.append(" " * 18 + "".join(parts))
        for name, texts in rows.items():
            out.append(name.ljust(18) + "".join(text.rjust(width) for text, width in zip(texts, widths, strict=True)))
        return out

    def as_json(self) -> dict[str, Any]:
        return {
            "cells": [
                {"backend": bench, "operation": operation, "fault": fault, **count}
                for (bench, operation, fault), count in self.counts.items()
            ],
            "not applicable": {reason: dict(where) for reason, where in self.reasons.items()},
            "dead": [
                {"backend": bench, "fault": fault, "seconds": round(seconds, 2), "requests": requests}
                for (bench, fault), (seconds, requests) in self.worst.items()
            ],
            "violations": [
                {"cell": found.cell, "told": found.told, "violations": found.wrong} for found in self.violations
            ],
            "total": dict(self.total()),
        }


def brief(count: Counter[str]) -> str:
    if not sum(count[ending] for ending in ENDINGS):
        return "-"
    text = "+".join(str(count[ending]) for ending in ENDINGS)
    return text + (f"!{count['violations']}" if count["violations"] else "")


def spoken(count: Counter[str]) -> str:
    tried = sum(count[ending] for ending in ENDINGS)
    return (
        f"{tried} cells: {count[OK]} ok, {count[ERROR]} typed errors, {count[UNKNOWN]} unknown, "
        f"{count['violations']} violations; {count['n/a']} not applicable"
    )
