"""Watched models, asked all the time while runs are published and the server is killed: ``python -m tests.proofs.watch``.

Prints a table, and ends with 1 if a prediction failed or was that of a broken run, if a watcher does not end on the
last run of its alias, or if one asked more often than it may.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from tests.proofs.outcome import told
from tests.proofs.watch.trading import trade

ENGINES = ("obstore", "fsspec")


def main(arguments: Sequence[str] | None = None) -> int:
    """Let them predict, and print what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.watch", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--watchers", type=int, default=200, help="how many aliases are watched, by one poller")
    parser.add_argument("--publishes", type=int, default=20, help="how many good runs are published meanwhile")
    parser.add_argument("--kills", type=int, default=2, help="how often the server is killed, and started again")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    logging.getLogger("artifact_store.watch").addHandler(logging.NullHandler())
    rows, violations = [], []
    for engine in options.engine or ENGINES:
        began = time.monotonic()
        result = trade(engine, watchers=options.watchers, publishes=options.publishes, kills=options.kills)
        row = {name: value for name, value in asdict(result).items() if name != "violations"}
        row |= {"most_a_second": round(result.most_a_second, 2), "behind": round(result.behind, 1)}
        violations += [f"{engine}: {text}" for text in result.violations]
        row |= {"violations": len(result.violations), "seconds": round(time.monotonic() - began)}
        rows.append({"engine": engine, **{name.replace("_", " "): value for name, value in row.items()}})
    return told({"watch": rows}, violations, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
