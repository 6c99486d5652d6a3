"""One question to the index, in a process of its own: how long, how many operations, how much memory; prints JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from artifact_store import ArtifactStore
from artifact_store.ops import index_parquet
from artifact_store.testing import Faults, FaultyBackend

TIMES = 3
KINDS = {
    "best of each": {"order_by": "-sharpe", "per_model": 1},
    "every run": {},
}


def ask(root: str, kind: str, *, pyarrow: bool) -> dict[str, Any]:
    """Ask several times, and return the best time with what the first one took."""
    if not pyarrow:
        index_parquet.can_copy = lambda: False
    backend = FaultyBackend(ArtifactStore(root)._context.backend, Faults())
    store = ArtifactStore(backend)
    if pyarrow:
        list(store.runs(index="only", order_by="sharpe", limit=1))  # its import takes a second, whatever is asked
    base = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    found, seconds, used = 0, [], []
    begun = len(backend.log)
    for _ in range(TIMES if kind != "every run" else 1):
        before, cpu = time.perf_counter(), time.process_time()
        found = sum(1 for _ in store.runs(index="only", **KINDS[kind]))
        seconds.append(time.perf_counter() - before)
        used.append(time.process_time() - cpu)
        if len(seconds) == 1:
            operations = len(backend.log) - begun
    return {
        "runs": found,
        "seconds": min(seconds),
        "cpu": min(used),
        "operations": operations,
        "MiB": _memory("VmHWM") - base,
    }


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1], sys.argv[2], pyarrow=sys.argv[3] == "pyarrow")))
