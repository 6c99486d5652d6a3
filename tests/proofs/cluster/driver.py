"""A driver that asks for the verdicts of a store: ``python -m tests.proofs.cluster.driver BACKEND ADDRESS URL OUT``.

Goes on where an earlier one was killed, and writes what it was told about each run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib

from artifact_store import ArtifactStore

WORKERS = 2


@contextmanager
def workers(backend: str, address: str) -> Iterator[dict[str, Any]]:
    """Connect with a cluster, and yield what tells joblib to use it."""
    if backend == "dask":
        from distributed import Client

        with Client(address):
            yield {"backend": "dask"}
    elif backend == "ray":
        import ray
        from ray.util.joblib import register_ray

        ray.init(address=address, log_to_driver=False)
        register_ray()
        yield {"backend": "ray", "n_jobs": WORKERS}
    else:
        yield {"backend": backend, "n_jobs": WORKERS}


def main(backend: str, address: str, url: str, out: str) -> None:
    """Ask, and write the labels of all runs in the report, and of those with a problem."""
    with workers(backend, address) as where, joblib.parallel_config(**where):
        report = ArtifactStore(url).verify(resume=f"{out}.journal")
    found = {"runs": [run.label for run in report], "damaged": [run.label for run in report if not run.ok]}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
