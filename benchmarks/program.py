"""The command line of the driver."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import plot, report
from benchmarks.measuring import Driver, Options
from benchmarks.model import Report, Row, RowResult
from benchmarks.peers.environments import versions
from benchmarks.places import Places
from benchmarks.rows import BY_NAME, ROWS

HERE = Path(__file__).resolve().parent
RESULTS, KEPT = HERE / "RESULTS.md", HERE / "results.json"
RTT_MS = 20.0
STARTED = time.monotonic()
LARGE = ("load-1gib", "save-1gib")
"""Rows after which the server is given up, with what it keeps on the disk."""

DESCRIPTION = """\
What the store costs beside the least that anyone could do, and beside other programs.

    python benchmarks --list                       # the rows, with their goals
    python benchmarks --rows list history          # some rows; Markdown on standard output
    python benchmarks --quick                      # all rows in small sizes: do they work? checks requests and memory
    python benchmarks --peers --results            # all rows and all programs, into RESULTS.md and results.json
    python benchmarks --from results.json --compare before.json --plot goals.svg
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    found = argparse.ArgumentParser(
        prog="benchmarks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    found.add_argument("--list", action="store_true", help="print the rows and their goals, and end")
    found.add_argument("--rows", nargs="+", metavar="NAME", choices=[*BY_NAME], help="these rows only")
    found.add_argument("--ways", nargs="+", metavar="WAY", default=(), help="these ways only, by their names")
    found.add_argument("--repeat", type=int, default=5, help="turns of each way, at most (5)")
    found.add_argument(
        "--quick", action="store_true", help="small sizes and one turn; limits of requests, steps, memory"
    )
    found.add_argument("--peers", action="store_true", help="other programs too, in environments below build/peers")
    found.add_argument("--folder", type=Path, help="where stores and the server's data are made (the temporary folder)")
    found.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    found.add_argument("--from", type=Path, metavar="FILE", dest="kept", help="measure nothing: read this instead")
    found.add_argument("--compare", type=Path, metavar="FILE", help="an earlier --json, put beside this one")
    found.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the goals")
    found.add_argument("--results", action="store_true", help="write benchmarks/results.json and RESULTS.md")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, tell, and return 1 if a way failed or a limit of the quick form is exceeded."""
    given = parser().parse_args(arguments)
    if given.list:
        print(listed(ROWS))
        return 0
    chosen = [BY_NAME[name] for name in given.rows] if given.rows else list(ROWS)
    found = read(given.kept) if given.kept else measured(given, chosen)
    before = read(given.compare) if given.compare else None
    page = report.page(found, before)
    kept = json.dumps(found.to_json(), indent=1) + "\n"
    for path, text in {
        given.json: kept,
        given.plot: plot.svg(found) if given.plot else "",
        KEPT if given.results else None: kept,
        RESULTS if given.results else None: page,
    }.items():
        if path is not None:
            path.write_text(text, encoding="utf-8")
    if not given.results:
        print(page)
    return complaints(found)


def complaints(found: Report) -> int:
    """Say what failed or is beyond its limit, and return the exit status."""
    failed = [f"{row.name}: {way.name}: {way.failed}" for row in found.rows for way in row.ways if way.failed]
    beyond = [exceeded(row) for row in found.rows if row.exceeded()]
    for text in (*failed, *beyond):
        progress(text)
    return int(bool(failed or beyond))


def exceeded(row: RowResult) -> str:
    """Return what is beyond the limits of the quick form, in words."""
    return f"{row.name}: " + "; ".join(
        f"{each.goal.way}: {each.value if each.value is not None else 'not measured'} {each.goal.measure}, "
        f"at most {each.goal.limit:g}"
        for each in row.exceeded()
    )


def read(path: Path) -> Report:
    """Read what ``--json`` wrote."""
    return Report.from_json(json.loads(path.read_text(encoding="utf-8")))


def measured(given: argparse.Namespace, chosen: Sequence[Row]) -> Report:
    """Measure the rows."""
    options = Options(1 if given.quick else given.repeat, quick=given.quick, peers=given.peers, ways=given.ways)
    rows: list[RowResult] = []
    began = time.monotonic()
    with temporary(given.folder) as folder, Places(folder, rtt_ms=RTT_MS) as places:
        driver = Driver(places, options, progress)
        for row in chosen:
            rows.append(driver.measure(row))
            if row.name in LARGE:
                driver.forget()
    return Report(about(given, time.monotonic() - began), given.quick, tuple(rows))


@contextmanager
def temporary(above: Path | None) -> Iterator[Path]:
    """Make a folder in which everything temporary is, that of the server and of all ways included."""
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(dir=above, prefix="bench-") as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = None
            os.environ.pop("TMPDIR")
            os.environ |= {"TMPDIR": before} if before is not None else {}


def about(given: argparse.Namespace, seconds: float) -> dict[str, str]:
    """Say what was measured, with what, where and when."""
    flags = ["--quick"] * given.quick + ["--peers"] * given.peers
    flags += [] if given.repeat == parser().get_default("repeat") else [f"--repeat {given.repeat}"]
    flags += [f"--rows {' '.join(given.rows)}"] if given.rows else []
    return {
        "command": " ".join(["`python benchmarks", *flags]) + f"`, {seconds / 60:.0f} minutes",
        "date": f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}",
        "machine": f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()} {platform.machine()}, load "
        f"{load()}, round trip {RTT_MS:g} ms",
        "versions": f"Python {platform.python_version()}, {versions(peers=given.peers)}",
    }


def load() -> str:
    """Return how many processes wanted to run in the last minutes, where the system says so."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


def commit() -> str:
    """Return which commit this is, as far as git knows."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607 -- whichever git the developer uses
            cwd=HERE,
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def progress(text: str) -> None:
    """Print one line to standard error, with the time since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", file=sys.stderr, flush=True)


def listed(rows: Sequence[Row]) -> str:
    """Return the rows and their goals, for people."""
    lines = []
    for row in rows:
        lines.append(f"{row.name:20} {row.title} ({row.kind})")
        for goal in row.goals:
            over = f" x {goal.over}" if goal.over else ""
            lines.append(f"{'':22}{goal.way}: {goal.measure} at most {goal.limit:.3g}{over}")
    return "\n".join(lines)
