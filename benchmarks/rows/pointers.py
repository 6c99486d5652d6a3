"""Aliases: their history, promotions, lookups."""

from __future__ import annotations

from benchmarks.model import Goal, Row, Way
from benchmarks.rows.ways import HAND, OBSTORE, OURS, fsspec, hand, ours

TWO = "benchmarks.workloads.aliases:two_runs"

ROWS = (
    Row(
        "history",
        "the history of 5,000 publishes",
        "line",
        (hand("aliases:history_by_hand", OBSTORE), ours("aliases:history"), fsspec("aliases:history")),
        {"publishes": 5_000},
        {"publishes": 200},
        goals=(Goal(OURS, "seconds", 1.3, OBSTORE), Goal(OURS, "depth", 3)),
        limits=(Goal(OURS, "requests", 6), Goal(OURS, "depth", 2)),
        fill="benchmarks.workloads.aliases:long_history",
    ),
    Row(
        "history-cpu",
        "the history of 5,000 publishes; by hand: sha256, json.loads",
        "memory",
        (
            hand("aliases:history_in_memory", HAND, by_hand=True),
            ours("aliases:history_in_memory"),
        ),
        {"publishes": 5_000},
        {"publishes": 200},
        compared="cpu",
    ),
    Row(
        "promote",
        "an alias gets another run; by hand: get, and put if unchanged",
        "line",
        (hand("aliases:promote_by_hand", OBSTORE), ours("aliases:promote"), fsspec("aliases:promote")),
        goals=(Goal(OURS, "seconds", 1.6, OBSTORE), Goal(OURS, "depth", 3)),
        limits=(Goal(OURS, "depth", 4), Goal(OURS, "requests", 5)),
        fill=TWO,
    ),
    Row(
        "first-write",
        "the first promote of a process, through another endpoint than the one that made the store",
        "line",
        (
            Way(OBSTORE, "benchmarks.workloads.aliases:promote_by_hand", cold=True),
            ours("aliases:promote", cold=True),
        ),
        goals=(Goal(OURS, "depth", 5),),
        limits=(Goal(OURS, "requests", 7), Goal(OURS, "depth", 6)),
        fill=TWO,
    ),
    Row(
        "get",
        "look up an alias with 64 publishes in its pointer; by hand: read, sha256, json.loads",
        "local",
        (hand("aliases:get", by_hand=True), ours("aliases:get")),
        {"publishes": 64, "times": 200},
        {"publishes": 64, "times": 5},
        goals=(Goal(OURS, "cpu", 0.000_15),),
        fill="benchmarks.workloads.aliases:publishes_in_a_folder",
        compared="cpu",
    ),
)
