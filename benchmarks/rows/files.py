"""Files to a server and back, beside what others do with the same files."""

from __future__ import annotations

from typing import Any

from benchmarks.model import Goal, Row, Way
from benchmarks.rows.ways import BOTO3, DISK, OBSTORE, OURS, OURS_FSSPEC, S3FS, fsspec, hand, ours

PEERS = ("modelstore", "mlflow", "pins")
SOURCES = "benchmarks.workloads.files:sources"


def way(what: str, name: str, peer: str, *, over: str = "", cold: bool = False, **args: Any) -> Way:
    """Return the way of an adapter; who loads has saved before."""
    module = "benchmarks.workloads.files"
    return Way(
        name,
        f"{module}:{what}",
        {"peer": peer, **args},
        over=over,
        peer=peer if peer in PEERS else "",
        setup=f"{module}:saved" if what == "load" else "",
        cold=cold,
    )


def by_hand_and_ours(what: str, *, cold: bool = False, fsspec_over: str = "") -> tuple[Way, ...]:
    """Return the floor, and this store through both engines."""
    return (
        way(what, OBSTORE, "raw_obstore", cold=cold),
        way(what, OURS, "ours", cold=cold),
        way(what, OURS_FSSPEC, "ours", cold=cold, over=fsspec_over, engine="fsspec"),
    )


def others(what: str, *, cold: bool = False) -> tuple[Way, ...]:
    """Return the other programs, each in an environment of its own."""
    return tuple(way(what, peer, peer, cold=cold) for peer in PEERS)


SMALL = {"files": 5, "size": 60_000}
MANY, FEWER = {"files": 500, "size": 20_000}, {"files": 40, "size": 20_000}
LARGE, SMALLER = {"files": 1, "size": 1 << 30}, {"files": 1, "size": 96 << 20}
MEMORY = 128.0


def large(what: str) -> tuple[Way, ...]:
    """Return the ways of a large file, which others do not compare."""
    return (
        way(what, BOTO3, "raw_boto3"),
        way(what, OBSTORE, "raw_obstore", hashed=False),
        way(what, OURS, "ours"),
        way(what, OURS_FSSPEC, "ours", engine="fsspec"),
    )


ROWS = (
    Row(
        "cold-load",
        "a new process loads a small model (5 files of 60 KB)",
        "line",
        (
            *by_hand_and_ours("load", cold=True),
            way("load", S3FS, "raw_s3fs", cold=True),
            way("load", BOTO3, "raw_boto3", cold=True),
            *others("load", cold=True),
        ),
        SMALL,
        goals=(Goal(OURS, "seconds", 1.3, OBSTORE),),
        limits=(Goal(OURS, "requests", 7), Goal(OURS, "depth", 2)),
        fill=SOURCES,
    ),
    Row(
        "save-small",
        "save 5 files of 60 KB",
        "line",
        (
            *by_hand_and_ours("save"),
            way("save", S3FS, "raw_s3fs"),
            way("save", BOTO3, "raw_boto3"),
            *others("save"),
        ),
        SMALL,
        goals=(Goal(OURS, "seconds", 1.1, OBSTORE), Goal(OURS, "depth", 3)),
        limits=(Goal(OURS, "requests", 10), Goal(OURS, "depth", 3), Goal(OURS_FSSPEC, "depth", 3)),
        fill=SOURCES,
    ),
    Row(
        "load-small",
        "load 5 files of 60 KB, compared",
        "line",
        (
            *by_hand_and_ours("load"),
            way("load", S3FS, "raw_s3fs"),
            way("load", BOTO3, "raw_boto3"),
            *others("load"),
        ),
        SMALL,
        goals=(Goal(OURS, "seconds", 1.1, OBSTORE), Goal(OURS, "depth", 2)),
        limits=(Goal(OURS, "requests", 7), Goal(OURS, "depth", 2), Goal(OURS_FSSPEC, "depth", 2)),
        fill=SOURCES,
    ),
    Row(
        "save-500",
        "save 500 files of 20 KB, 32 at once",
        "line",
        (
            *by_hand_and_ours("save", fsspec_over=S3FS),
            way("save", S3FS, "raw_s3fs"),
            way("save", "modelstore", "modelstore"),
        ),
        MANY,
        FEWER,
        goals=(Goal(OURS, "seconds", 1.05, OBSTORE), Goal(OURS_FSSPEC, "seconds", 1.3, S3FS)),
        limits=(Goal(OURS, "requests", 45), Goal(OURS, "depth", 5)),
        fill=SOURCES,
    ),
    Row(
        "load-500",
        "load 500 files of 20 KB, 32 at once, compared",
        "line",
        (
            *by_hand_and_ours("load", fsspec_over=S3FS),
            way("load", S3FS, "raw_s3fs"),
            way("load", "modelstore", "modelstore"),
        ),
        MANY,
        FEWER,
        goals=(
            Goal(OURS, "seconds", 1.05, OBSTORE),
            Goal(OURS, "seconds", 1.15, "modelstore"),
            Goal(OURS_FSSPEC, "seconds", 1.3, S3FS),
        ),
        limits=(Goal(OURS, "requests", 42), Goal(OURS, "depth", 4)),
        fill=SOURCES,
    ),
    Row(
        "save-500-local",
        "save 500 files of 20 KB in a folder, durably",
        "local",
        (way("save", DISK, "disk"), way("save", OURS, "ours")),
        MANY,
        FEWER,
        fill=SOURCES,
    ),
    Row(
        "load-500-local",
        "load 500 files of 20 KB from a folder, compared",
        "local",
        (way("load", DISK, "disk"), way("load", OURS, "ours")),
        MANY,
        FEWER,
        fill=SOURCES,
    ),
    Row(
        "load-many",
        "a new process loads 300 arrays of 16 KB, 32 at once",
        "line",
        (
            Way(OBSTORE, "benchmarks.workloads.small_models:many_cold_by_hand", cold=True),
            ours("small_models:many_cold", cold=True),
            fsspec("small_models:many_cold", cold=True),
        ),
        {"models": 300, "numbers": 2_000},
        {"models": 24, "numbers": 200},
        goals=(Goal(OURS, "seconds", 1.15, OBSTORE),),
        limits=(Goal(OURS, "requests", 48), Goal(OURS, "depth", 4)),
        fill="benchmarks.workloads.small_models:arrays",
        warm=False,
    ),
    Row(
        "watching",
        "200 aliases are watched, every second, and nothing is published",
        "line",
        (hand("watching:by_hand", OBSTORE), ours("watching:ours"), fsspec("watching:ours")),
        {"watched": 200, "seconds": 5},
        {"watched": 20, "seconds": 2},
        fill="benchmarks.workloads.watching:aliases",
        compared="cpu",
        turns=2,
        warm=False,
    ),
    Row(
        "load-1gib",
        "load a file of 1 GiB; the others do not compare it",
        "s3",
        large("load"),
        LARGE,
        SMALLER,
        goals=(
            Goal(OURS, "seconds", 1.0, BOTO3),
            Goal(OURS, "extra_mib", MEMORY),
            Goal(OURS_FSSPEC, "extra_mib", MEMORY),
        ),
        limits=(Goal(OURS, "extra_mib", 80), Goal(OURS_FSSPEC, "extra_mib", 80)),
        fill=SOURCES,
        turns=3,
        warm=False,
    ),
    Row(
        "save-1gib",
        "save a file of 1 GiB; the others do not hash it",
        "s3",
        large("save"),
        LARGE,
        SMALLER,
        goals=(Goal(OURS, "extra_mib", MEMORY), Goal(OURS_FSSPEC, "extra_mib", MEMORY)),
        limits=(Goal(OURS, "extra_mib", 64), Goal(OURS_FSSPEC, "extra_mib", 64)),
        fill=SOURCES,
        turns=2,
        warm=False,
    ),
)
