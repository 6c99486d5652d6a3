"""Listings, questions about a model with many runs, and deletions."""

from __future__ import annotations

from benchmarks.model import Goal, Kind, Row
from benchmarks.rows.ways import OURS, OURS_FSSPEC, S3FS, fsspec, hand, ours
from benchmarks.workloads.models import MANY, TEN

INDEXED = "benchmarks.workloads.many_runs:indexed"
NAMED = "benchmarks.workloads.many_runs:names"
THREE = "benchmarks.workloads.many_runs:three_sizes"
READ_AND_WRITE, INDEX_AND_WRITE = "reading the same, writing as many bytes", "reading the index, writing as many bytes"
OF_THE_INDEX = "artifact-store, details=0"
FILE, FILE_S3FS, ONLY = "one file of the index", "the same file, s3fs", "artifact-store, index='only'"
FEW_RUNS, MANY_RUNS, NAMES = "10 runs", "all runs", "a sorted os.listdir"
SMALL, MIDDLE, LARGE = "of 300", "of 3,000", "of 20,000"
QUESTIONS = {"limit": "runs(limit=10)", "find": "find without an alias", "prefix": "get by a part of an id"}
ALIASES = {"aliases": "the aliases of a model"}
SIZES = {"small": 300, "middle": 3_000, "large": 20_000}
QUICK_SIZES = {"small": 10, "middle": 30, "large": 100}


def listed(name: str, title: str, kind: Kind, question: str, runs: int, requests: int) -> Row:
    """Return the row of a listing by the index."""
    more = (ours("listing:ours", ONLY, question="only"),) if question == "all" else ()
    on_line = kind == "line"
    return Row(
        name,
        title,
        kind,
        (
            hand("listing:one_file", FILE),
            ours("listing:ours", question=question),
            *more,
            hand("listing:one_file", FILE_S3FS, engine="fsspec"),
            fsspec("listing:ours", over=FILE_S3FS, question=question),
        ),
        {"runs": runs},
        {"runs": 50},
        goals=(Goal(OURS, "seconds", 2.0, FILE), *(Goal(OURS, "requests", requests),) * on_line),
        limits=(Goal(OURS, "requests", 3), Goal(OURS, "depth", 2)) * on_line,
        fill=INDEXED,
    )


def flat_in_a_folder(ask: str, title: str) -> Row:
    """Return the row of a question to models with few and with many runs, in a folder."""
    return Row(
        ask,
        title,
        "local",
        (
            ours("names:asked", FEW_RUNS, ask=ask, key=TEN, times=20),
            ours("names:asked", MANY_RUNS, ask=ask, key=MANY, times=2),
            hand("names:names_alone", NAMES),
        ),
        {"runs": 100_000},
        {"runs": 300},
        goals=(Goal(MANY_RUNS, "cpu", 1.5, FEW_RUNS),),
        fill=NAMED,
        compared="cpu",
    )


def flat_on_the_line(ask: str, title: str) -> Row:
    """Return the row of the same question over S3."""
    return Row(
        f"{ask}-s3",
        title,
        "line",
        (
            ours("names:asked", FEW_RUNS, ask=ask, key=TEN),
            ours("names:asked", MANY_RUNS, ask=ask, key=MANY),
            fsspec("names:asked", over=FEW_RUNS, ask=ask, key=MANY),
        ),
        {"runs": 10_000},
        {"runs": 50},
        goals=(Goal(MANY_RUNS, "seconds", 1.5, FEW_RUNS),),
        limits=(Goal(MANY_RUNS, "depth", 2),),
        fill=INDEXED,
    )


DELETIONS = (
    ours("names:deletion", SMALL, size="small"),
    ours("names:deletion", MIDDLE, size="middle"),
    ours("names:deletion", LARGE, size="large"),
)

ROWS = (
    listed("list", "10,000 runs with their metrics", "s3", "all", 10_000, 12),
    listed("list-20ms", "10,000 runs with their metrics", "line", "all", 10_000, 12),
    listed("where", "runs(where=) over 1,000", "line", "where", 1_000, 5),
    listed("best", "the best ten of a model with 100 of 1,100 runs", "line", "best", 1_000, 5),
    Row(
        "report",
        "the pages of 2,200 runs of three models, in a folder",
        "local",
        (
            hand("reports:read_and_write", READ_AND_WRITE),
            ours("reports:ours"),
            hand("reports:read_and_write", INDEX_AND_WRITE, details=0),
            ours("reports:ours", OF_THE_INDEX, over=INDEX_AND_WRITE, details=0),
        ),
        {"runs": 2_000},
        {"runs": 50},
        goals=(Goal(OURS, "seconds", 1.5, READ_AND_WRITE), Goal(OF_THE_INDEX, "seconds", 1.5, INDEX_AND_WRITE)),
        fill=INDEXED,
    ),
    Row(
        "list-manifests",
        "10,000 runs without the index: every manifest",
        "s3",
        (
            hand("listing:every_manifest", S3FS),
            fsspec("listing:ours", question="off"),
            ours("listing:ours", question="off"),
        ),
        {"runs": 10_000},
        {"runs": 50},
        goals=(Goal(OURS_FSSPEC, "seconds", 1.3, S3FS),),
        fill=INDEXED,
        turns=2,
        warm=False,
    ),
    *(flat_in_a_folder(ask, title) for ask, title in (QUESTIONS | ALIASES).items()),
    *(flat_on_the_line(ask, title) for ask, title in QUESTIONS.items()),
    Row(
        "delete",
        "delete one run, in a folder",
        "local",
        DELETIONS,
        SIZES,
        QUICK_SIZES,
        goals=(Goal(LARGE, "cpu", 1.5, SMALL),),
        fill=THREE,
        compared="cpu",
    ),
    Row(
        "delete-s3",
        "delete one run of a model with one alias",
        "line",
        DELETIONS,
        SIZES,
        QUICK_SIZES,
        goals=(Goal(LARGE, "seconds", 1.5, SMALL), Goal(LARGE, "requests", 7)),
        limits=(Goal(LARGE, "requests", 12), Goal(LARGE, "depth", 12)),
        fill=THREE,
    ),
    Row(
        "prune",
        "delete all runs of a model but one, for each run, in a folder",
        "local",
        (ours("names:prune", "100 runs", runs=100), ours("names:prune", "1,000 runs", runs=1_000)),
        goals=(Goal("1,000 runs", "cpu", 1.5, "100 runs"),),
        compared="cpu",
        turns=2,
        warm=False,
    ),
    Row(
        "prune-s3",
        "delete all runs of a model but one, for each run",
        "line",
        (ours("names:prune", "20 runs", runs=20), ours("names:prune", "100 runs", runs=100)),
        goals=(Goal("100 runs", "requests", 7), Goal("100 runs", "seconds", 1.5, "20 runs")),
        turns=1,
        warm=False,
    ),
)
