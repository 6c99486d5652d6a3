"""``python -m tests.matrix``: try operations under faults, and print a table of how they ended.

Without ``--long`` it takes memory whole and a fixed sample of the rest. The exit status is 1 if anything is violated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from tests.matrix.bench import Cell
from tests.matrix.cells import Wanted
from tests.matrix.operations import OPERATIONS
from tests.matrix.runs import BACKENDS, carry_out
from tests.matrix.table import Table

SHARE = {"memory": 1.0, "local": 0.06, "obstore": 0.02, "s3fs": 0.02}
KILLS = 0.02
EVERY = 5.0  # seconds between two lines about the progress


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--long", action="store_true", help="every cell")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--operation", default="", choices=["", *OPERATIONS], metavar="NAME", help=", ".join(OPERATIONS))
    parser.add_argument("--backend", default="", choices=["", *BACKENDS], metavar="NAME", help=", ".join(BACKENDS))
    parser.add_argument("--fault", default="", metavar="NAME", help="one column of the table, or 'pairs'")
    parser.add_argument("--cell", default="", metavar="CELL", help="one cell alone, as a violation names it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 1 if anything is violated."""
    options = arguments(argv)
    names = [options.backend] if options.backend else list(BACKENDS)
    table, begun = Table(), time.monotonic()
    if options.cell:
        backend, operation, *_ = (part.strip() for part in options.cell.split("|"))
        only = Wanted(operation, cell=options.cell)
        carry_out([backend], only, table, told)
    else:
        whole = options.long or options.operation or options.backend or options.fault
        for name in names:
            share = 1.0 if whole else SHARE.get(name, KILLS)
            wanted = Wanted(options.operation, options.fault, pairs=bool(whole), share=share)
            carry_out([name], wanted, table, told)
    if options.json:
        print(json.dumps(table.as_json(), indent=1))
    else:
        print("\n".join(table.lines()))
    for cell, verdict in table.violations:
        print(f"\nviolated: {cell}\n  told: {verdict.told}", file=sys.stderr)
        for violation in verdict.violations:
            print(f"  {violation}", file=sys.stderr)
        print(f"  alone: {alone(cell)}", file=sys.stderr)
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)
    if not table.total():
        print("there is no such cell", file=sys.stderr)
    return 1 if table.violations or not table.total() else 0


def alone(cell: Cell) -> str:
    """How to repeat a cell."""
    return f"python -m tests.matrix --cell '{cell}'"


_last = [0.0]


def told(backend: str, done: int, of: int) -> None:
    """Say how far it is, now and then."""
    if done == of or time.monotonic() - _last[0] >= EVERY:
        _last[0] = time.monotonic()
        print(f"{backend}: {done} of {of}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
