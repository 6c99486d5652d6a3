"""A million runs in the catalog index, in a folder: ``python -m tests.proofs.scale``.

Prints a table, and ends with 1 if the best run of each model takes longer than a second with pyarrow or ten without,
more than five operations of the storage, or more than 256 MiB beyond what the process took; or if a save takes longer
than beside ten runs. Linux only. The times are those of an idle machine: of a busy one, the column of CPU tells more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from artifact_store import ArtifactStore
from tests.proofs.outcome import told
from tests.proofs.scale.made import make

SECONDS = {("best of each", "pyarrow"): 1.0, ("best of each", "without"): 10.0}
OPERATIONS, MEMORY = 5, 256
SAVES, TIMES_AS_LONG = 40, 1.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the index, ask it, and print what that took."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.scale", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, help="where the store is made, unless in the system's temporary folder")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="artifact-store-", dir=options.folder) as folder:
        rows, violations = prove(Path(folder), options.runs, options.models)
    return told({"scale": rows}, violations, as_json=options.json)


def prove(folder: Path, runs: int, models: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for each question, and what does not hold."""
    make(folder / "few", 10, 2)
    began = time.monotonic()
    make(folder / "many", runs, models)
    made = time.monotonic() - began
    blocks = {path.name.partition(".")[2]: path.stat().st_size for path in (folder / "many/_index/blocks").iterdir()}
    rows: list[dict[str, Any]] = [{"what": "written", "how": "both", "seconds": f"{made:.1f}"}]
    rows += [{"what": "size", "how": form, "MiB": f"{size / (1 << 20):.1f}"} for form, size in sorted(blocks.items())]
    violations: list[str] = []
    for kind, how in (("best of each", "pyarrow"), ("best of each", "without"), ("every run", "without")):
        found = _asked(folder / "many", kind, how)
        rows.append({"what": kind, "how": how, **{name: _text(value) for name, value in found.items()}})
        violations += _wrong(kind, how, found, runs if kind == "every run" else models)
    few, many = _saves(folder)
    rows.append({"what": "save", "how": f"beside {runs}", "seconds": f"{many:.4f}"})
    rows.append({"what": "save", "how": "beside 10", "seconds": f"{few:.4f}"})
    if many > TIMES_AS_LONG * few:
        violations.append(f"a save takes {many / few:.2f} times as long beside {runs} runs as beside 10")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name, "") for name in names} for row in rows], violations


def _asked(root: Path, kind: str, how: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.proofs.scale.asked", str(root), kind, how]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _wrong(kind: str, how: str, found: dict[str, Any], known: int) -> Iterator[str]:
    what = f"{kind}, {how}"
    if found["runs"] != known + 1:
        yield f"{what}: {found['runs']} runs instead of {known + 1}"
    if found["seconds"] > SECONDS.get((kind, how), 60):
        yield f"{what}: {found['seconds']:.1f} s ({found['cpu']:.1f} of CPU)"
    if found["operations"] > OPERATIONS:
        yield f"{what}: {found['operations']} operations"
    if found["MiB"] > MEMORY:
        yield f"{what}: {found['MiB']:.0f} MiB"


def _saves(folder: Path) -> tuple[float, float]:
    """Return the seconds of a save beside few runs, and beside many, in turns."""
    seconds: dict[str, list[float]] = {"few": [], "many": []}
    stores = {name: ArtifactStore(folder / name, provenance=False) for name in seconds}
    for _ in range(SAVES):
        for name, store in stores.items():
            began = time.perf_counter()
            store.save({"n": 1}, "gru/Z0")
            seconds[name].append(time.perf_counter() - began)
    return statistics.median(seconds["few"]), statistics.median(seconds["many"])


if __name__ == "__main__":
    sys.exit(main())
