"""Eight processes on one cache, killed, with damaged files and on a full disk: ``python -m tests.proofs.cache``.

Prints a table, and ends with 1 if a load gave anything else than what was saved, if a process hung or ended by itself, or
if the cache held more than its limit at any look. The full disk is a file system in memory, which only root on Linux may
mount; elsewhere that part is left out, and said to be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.little_room import small_disk
from tests.proofs.cache import crew
from tests.proofs.outcome import told


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both parts and print what was seen."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.cache", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--processes", type=int, default=8, help="how many load at once")
    parser.add_argument("--seconds", type=float, default=120.0, help="for how long, in each part")
    parser.add_argument("--seed", type=int, default=0, help="what is killed and damaged when")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    rows, violations = [], []
    with tempfile.TemporaryDirectory(prefix="artifact-store-") as folder, ExitStack() as stack:
        base = Path(folder)
        total = crew.save_all(base / "store")
        parts = {"a limit": base / "cache"}
        try:
            disk = stack.enter_context(small_disk(base / "disk", f"{total // 5 >> 10}k"))
            parts["a disk that is smaller than the limit"] = disk / "cache"
        except pytest.skip.Exception as reason:
            print(f"without a full disk: {reason}", file=sys.stderr)
        for name, cache in parts.items():
            result = crew.prove(
                base / "store",
                cache,
                processes=options.processes,
                seconds=options.seconds,
                limit=total // 3,
                seed=options.seed,
            )
            violations += [f"{name}: {text}" for text in result.violations]
            rows.append(
                {
                    "under": name,
                    "processes": options.processes,
                    "killed": result.kills,
                    "files damaged": result.damages,
                    "loads": sum(result.said.values()),
                    "from the cache": result.said[crew.HIT],
                    "offline": result.said[crew.OFFLINE],
                    "missing offline": result.said[crew.MISSING],
                    "wrong": result.said[crew.WRONG],
                    "most KiB held": result.peak >> 10,
                    "limit": result.limit >> 10,
                    "found by verify": result.found_damaged,
                }
            )
    return told({"cache": rows}, violations, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
