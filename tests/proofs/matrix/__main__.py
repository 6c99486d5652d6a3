"""``python -m tests.proofs.matrix``: try operations under faults, and print a table of how they ended.

Without ``--long`` it takes memory whole and a fixed sample of the rest. The exit status is 1 if anything is violated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence

from tests.proofs.matrix.cells import Wanted
from tests.proofs.matrix.operations import OPERATIONS
from tests.proofs.matrix.runs import BACKENDS, Progress, Site, in_processes, say
from tests.proofs.matrix.table import Table

SHARE = {"memory": 1.0, "local": 0.06, "obstore": 0.02, "s3fs": 0.02}
KILLS = 0.02


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.matrix", description=__doc__)
    parser.add_argument("--long", action="store_true", help="every cell")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument(
        "--operation", default="", choices=["", *OPERATIONS], metavar="NAME", help=", ".join(OPERATIONS)
    )
    parser.add_argument("--backend", default="", choices=["", *BACKENDS], metavar="NAME", help=", ".join(BACKENDS))
    parser.add_argument("--fault", default="", metavar="NAME", help="one column of the table, or 'pairs'")
    parser.add_argument("--cell", default="", metavar="CELL", help="one cell alone, as a violation names it")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="share the cells out among so many")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 1 if anything is violated."""
    options = arguments(argv)
    names = [options.backend] if options.backend else list(BACKENDS)
    table, begun = Table(), time.monotonic()
    try:
        _try(list(asked(options, names)), options.processes, table)
    except KeyboardInterrupt:
        say("interrupted: this is what had been tried")
        whole = False
    else:
        whole = True
    print(json.dumps(table.as_json(), indent=1) if options.json else "\n".join(table.lines()))
    for violation in table.violations:
        say(f"\n{violation}")
    say(f"{time.monotonic() - begun:.0f} s" if table.total() else "there is no such cell")
    return 0 if whole and table.total() and not table.violations else 1


def _try(due: Sequence[tuple[str, Wanted]], processes: int, table: Table) -> None:
    if processes > 1:
        in_processes(due, processes, table)
        return
    with Site() as site:
        for name, wanted in due:
            site.carry_out(name, wanted, table, Progress())


def asked(options: argparse.Namespace, names: list[str]) -> Iterator[tuple[str, Wanted]]:
    """Yield what is to be tried on which backend: one cell, every cell that was named, or the short form."""
    if options.cell:
        yield options.cell.partition("|")[0].strip(), Wanted(cell=options.cell)
        return
    for name in names:
        if options.long or options.operation or options.backend or options.fault:
            yield name, Wanted(options.operation, options.fault)
        else:
            yield name, Wanted(pairs=False, share=SHARE.get(name, KILLS))


if __name__ == "__main__":
    sys.exit(main())
