"""1,000 publishes with ``validate=True`` under faults, on memory and on a local disk: ``python -m tests.proofs.publishes``.

Prints a table, and ends with 1 if any alias was left on a model that does not load and predict.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence

from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.memory import MemoryBackend
from tests.proofs.outcome import told
from tests.proofs.publishes.rounds import Tally, run_rounds

BACKENDS = ("memory", "local")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds and print what came of them."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.publishes", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--publishes", type=int, default=1000, help="how many on each backend")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    tallies = [_run(name, options.publishes, options.seed) for name in options.backend or BACKENDS]
    rows, violations = [tally.row() for tally in tallies], [each for tally in tallies for each in tally.violations]
    return told({"publishes": rows}, violations, as_json=options.json)


def _run(name: str, publishes: int, seed: int) -> Tally:
    if name == "memory":
        return run_rounds(name, MemoryBackend(), publishes=publishes, seed=seed, say=_say)
    with tempfile.TemporaryDirectory(prefix="artifact-store-", ignore_cleanup_errors=True) as folder:
        return run_rounds(name, LocalBackend(folder), publishes=publishes, seed=seed, say=_say)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
