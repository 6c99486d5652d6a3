"""Run the replays and print what became of each: ``python -m tests.proofs.replays [--long] [--json] [rows …]``."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.proofs.replays.table import CASES, Case, row_of

HERE = Path(__file__).parent
FAILED, SKIPPED, PASSED, ABSENT = "FAILED", "skipped", "passed", "no test"


class Tally:
    """What pytest says of the tests of each row."""

    def __init__(self) -> None:
        self.results: dict[int, list[str]] = defaultdict(list)
        self.places: dict[int, dict[str, None]] = defaultdict(dict)
        self.said: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        place, _, name = report.nodeid.rpartition("::")
        row = row_of(name)
        if row is None or (report.when != "call" and report.outcome == "passed"):
            return
        self.places[row][f"{place.rpartition('/')[2]}::{name.partition('[')[0]}"] = None
        self.results[row].append(report.outcome)
        if report.failed:
            self.said.append(f"{report.nodeid}\n{report.longreprtext}")

    def result(self, row: int) -> str:
        """Return the worst that happened; a test that runs at night does not spoil those that ran."""
        found = self.results[row]
        if not found:
            return ABSENT
        return FAILED if "failed" in found else PASSED if "passed" in found else SKIPPED


def run(rows: list[int], *, long: bool) -> Tally:
    """Run the tests of these rows, or of all."""
    tally = Tally()
    wanted = " or ".join(f"row_{row:02d}_" for row in rows)
    words = [
        str(HERE),
        "-q",
        "-p",
        "no:cacheprovider",
        *(["--nightly"] if long else []),
        *(["-k", wanted] if rows else []),
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(words, plugins=[tally])
    return tally


def described(case: Case, tally: Tally) -> dict[str, Any]:
    return {
        "row": case.number,
        "project": case.project,
        "identifier": case.identifier,
        "happened": case.happened,
        "replayed": list(tally.places[case.number]),
        "tests": len(tally.results[case.number]),
        "result": tally.result(case.number),
    }


def lines(case: Case, tally: Tally) -> Iterator[str]:
    width = shutil.get_terminal_size((110, 0)).columns
    count = len([result for result in tally.results[case.number] if result != "skipped"])
    yield f"{case.number:>3}  {tally.result(case.number):<8} {case.project}: {case.identifier} ({count} tests)"
    yield from textwrap.wrap(case.happened, width, initial_indent=" " * 14, subsequent_indent=" " * 14)
    yield from (f"{'':14}{place}" for place in tally.places[case.number])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.replays", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, help="only these rows")
    parser.add_argument("--long", action="store_true", help="also the tests that take minutes")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args()
    tally = run(given.rows, long=given.long)
    cases = [case for case in CASES if not given.rows or case.number in given.rows]
    sound = all(tally.result(case.number) == PASSED for case in cases)
    if given.json:
        print(json.dumps({"ok": sound, "cases": [described(case, tally) for case in cases]}, indent=2))
    else:
        for case in cases:
            print("\n".join(lines(case, tally)))
        passed = sum(tally.result(case.number) == PASSED for case in cases)
        print(f"\n{passed} of {len(cases)} rows passed, in {sum(map(len, tally.results.values()))} tests.")
    for text in tally.said:
        print(f"\n{text}", file=sys.stderr)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
