"""Work on all runs of a folder, beside reading the same documents."""

from __future__ import annotations

from typing import Any

from benchmarks.model import Goal, Row
from benchmarks.rows.ways import HAND, OURS, hand, ours

TWO = "artifact-store, jobs=2"


def row(work: str, title: str, limit: float, **by_hand: Any) -> Row:
    """Return the row of one kind of work."""
    return Row(
        f"folder-{work}",
        f"{title} of 10,000 runs",
        "local",
        (
            hand("folder:by_hand", **by_hand),
            ours("folder:ours", work=work),
            ours("folder:ours", TWO, work=work, jobs=2),
        ),
        {"runs": 10_000},
        {"runs": 100},
        goals=(Goal(OURS, "cpu", limit, HAND), Goal(TWO, "seconds", 1 / 1.7, OURS)),
        fill="benchmarks.workloads.many_runs:whole",
        compared="cpu",
        turns=3,
    )


ROWS = (
    row("runs", "the runs with their metrics, without an index,", 2.0),
    row("gc", "a plan of gc", 2.0),
    row("prune", "a plan of prune", 2.0),
    row("verify", "verify", 2.0, files=True),
    row("doctor", "doctor", 3.0, walk=True),
)
