"""What waits for nothing: programs that start, small loads, rows and arrays; and a save, which waits for a disk."""

from __future__ import annotations

from benchmarks.model import Goal, Row
from benchmarks.rows.ways import HAND, OURS, hand, ours

PYTHON, PYDANTIC, CLICK = "Python alone", "pydantic with one model", "import click"

ROWS = (
    Row(
        "import",
        "from artifact_store import ArtifactStore, beyond Python itself",
        "memory",
        (
            hand("programs:started", PYDANTIC, program="pydantic"),
            ours("programs:started", program="store"),
            hand("programs:started", PYTHON, program="nothing"),
        ),
        {"times": 5},
        {"times": 1},
        goals=(Goal(OURS, "cpu", 1.3, PYDANTIC),),
        compared="cpu",
        offset=PYTHON,
    ),
    Row(
        "version",
        "artifact-store --version, beyond Python itself",
        "memory",
        (
            hand("programs:started", CLICK, program="click"),
            ours("programs:started", program="version"),
            hand("programs:started", PYTHON, program="nothing"),
        ),
        {"times": 5},
        {"times": 1},
        goals=(Goal(OURS, "cpu", 2.0, CLICK),),
        compared="cpu",
        offset=PYTHON,
    ),
    Row(
        "arrays",
        "load 100 arrays of 100 numbers from a folder; by hand: read, sha256, np.load",
        "local",
        (hand("small_models:load_by_hand"), ours("small_models:load")),
        {"models": 100, "numbers": 100},
        {"models": 5},
        goals=(Goal(OURS, "cpu", 2.0, HAND),),
        fill="benchmarks.workloads.small_models:arrays",
        compared="cpu",
    ),
    Row(
        "lightgbm",
        "load 100 LightGBM models of 47 KB from a folder; by hand: read, sha256, Booster",
        "local",
        (hand("small_models:load_by_hand", booster=True), ours("small_models:load")),
        {"models": 100, "trees": 37},
        {"models": 5},
        goals=(Goal(OURS, "cpu", 3.0, HAND),),
        fill="benchmarks.workloads.small_models:boosters",
        compared="cpu",
    ),
    Row(
        "save-local",
        "save a small object in a folder, durably; by hand: the same files, flushed",
        "local",
        (hand("small_models:durable_save_by_hand"), ours("small_models:durable_save")),
        {"times": 20},
        {"times": 2},
        goals=(Goal(OURS, "seconds", 1.1, HAND),),
    ),
    Row(
        "polars-row",
        "one row of polars in the order of training; by hand: select().to_numpy()",
        "memory",
        (hand("features:polars_row", by_hand=True), ours("features:polars_row")),
        {"times": 500},
        {"times": 10},
        goals=(Goal(OURS, "cpu", 1.0, HAND),),
        compared="cpu",
    ),
    Row(
        "float32",
        "an array of 1M x 20 from float64 to float32; by hand: astype",
        "memory",
        (hand("features:float32", by_hand=True), ours("features:float32")),
        {"rows": 1_000_000},
        {"rows": 1_000},
        goals=(Goal(OURS, "cpu", 1.3, HAND),),
        compared="cpu",
    ),
)
