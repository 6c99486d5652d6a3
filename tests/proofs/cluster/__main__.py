"""Verdicts on 10,000 runs from Dask, Ray and loky while workers and drivers are killed: ``python -m tests.proofs.cluster``.

Each backend has two workers, of which one is killed every few seconds; the driver is killed after a third, and another
one goes on. Prints a table, and ends with 1 if a run has no verdict, two, or a wrong one. On Linux. Dask and Ray are
installed into ``build/cluster``, an environment of their own, unless they are here.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.proofs.cluster.killed import TITLES, make_store, trial
from tests.proofs.outcome import told
from tools.environment import install_apart, pinned, project, venv_python
from tools.processes import HERE

CLUSTERS = ("dask", "distributed", "ray")
BELOW = ("importlib-metadata", "locket", "msgpack", "partd", "psutil", "tblib", "toolz", "tornado", "zict", "zipp")
"""What they need, in the versions that they were tried with."""
ALSO = ("joblib", "hatchling", "editables")
QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "300"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the store, try each backend on it, and print what came of that."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.cluster", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--backend", action="append", choices=TITLES, help="only this one; may be repeated")
    parser.add_argument("--runs", type=int, default=10_000, help="how many runs are asked about")
    parser.add_argument("--kill-every", type=float, default=2.0, help="seconds after which a worker is killed")
    parser.add_argument("--folder", type=Path, help="where all of it happens, unless in the system's temporary folder")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    wanted = options.backend or list(TITLES)
    if {"dask", "ray"} & set(wanted) and any(importlib.util.find_spec(name) is None for name in CLUSTERS):
        return _apart(sys.argv[1:] if arguments is None else arguments)
    os.environ.update(QUIET)
    logging.disable(logging.CRITICAL)  # a cluster tells of every worker that it lost
    with tempfile.TemporaryDirectory(prefix="artifact-store-", dir=options.folder) as folder:
        url = str(Path(folder) / "store")
        labels, damaged = make_store(url, options.runs)
        results = [trial(name, url, labels, damaged, Path(folder), every=options.kill_every) for name in wanted]
    rows = [
        {
            "backend": result.backend,
            "runs": result.runs,
            "workers killed": result.killed,
            "verdicts when the driver was killed": result.at_the_kill,
            "twice in the journal": result.twice,
            "seconds": round(result.seconds),
            "violations": len(result.violations),
        }
        for result in results
    ]
    violations = [f"{result.backend}: {text}" for result in results for text in result.violations]
    return told({"cluster": rows}, violations, as_json=options.json)


def _apart(arguments: Sequence[str]) -> int:
    """Run the proof in an environment that has the clusters."""
    venv, pins = HERE / "build" / "cluster", pinned()
    if not venv.exists():
        print("installing Dask and Ray", file=sys.stderr, flush=True)
        named = [f"{name}=={pins[name]}" for name in (*CLUSTERS, *BELOW, *ALSO)]
        install_apart(venv, *project()["dependencies"], *named)
    command = [venv_python(venv), "-m", "tests.proofs.cluster", *arguments]
    return subprocess.run(command, cwd=HERE, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
