"""One trial: a store, a cluster whose workers are killed every few seconds, and a driver that is killed once.

Reads the table of processes of Linux.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from artifact_store import ArtifactStore
from artifact_store.bulk.journal import lines
from tests.proofs.cluster.driver import WORKERS

MODELS = 50
DAMAGED = 97
"""One in so many runs is damaged."""
TITLES = {
    "dask": re.compile(r"dask worker|from multiprocessing.spawn"),
    "ray": re.compile(r"ray::(PoolActor|IDLE)"),
    "loky": re.compile(r"popen_loky"),
}
"""How the workers of a backend are called in the table of processes."""
_WITHIN = 1800


@dataclass(slots=True)
class Result:
    """What came of a trial."""

    backend: str
    runs: int
    killed: int = 0
    at_the_kill: int = 0
    """Verdicts in the journal when the driver was killed."""
    twice: int = 0
    """Verdicts that the journal has more than once."""
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


def make_store(url: str, runs: int) -> tuple[list[str], list[str]]:
    """Save runs and damage some; return the labels of all, and of the damaged ones."""
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        saved = pool.map(partial(_save, url), [list(part) for part in _parts(range(runs), MODELS)])
    labels = sorted(label for part in saved for label in part)
    damaged = labels[::DAMAGED]
    for label in damaged:
        path = Path(url) / label.replace(":", "/") / "model.json"
        path.write_bytes(b"x" * path.stat().st_size)
    return labels, damaged


def _parts(numbers: range, count: int) -> list[range]:
    return [part for start in range(count) if (part := numbers[start::count])]


def _save(url: str, numbers: list[int]) -> list[str]:
    store, name = ArtifactStore(url, provenance=False), f"linear/S{numbers[0]:02}"
    return [store.save({"w": [number]}, name, publish="never").manifest.label for number in numbers]


def trial(backend: str, url: str, labels: list[str], damaged: list[str], folder: Path, *, every: float) -> Result:
    """Ask for all verdicts while workers are killed; kill the driver on its way, and let another one go on."""
    result, out, began = Result(backend, len(labels)), folder / f"{backend}.json", time.monotonic()
    journal = Path(f"{out}.journal")
    with cluster(backend, folder) as address, killing(TITLES[backend], every) as kills:
        command = [sys.executable, "-m", "tests.proofs.cluster.driver", backend, address, url, str(out)]
        with subprocess.Popen(command) as driver:
            while driver.poll() is None and _count(journal) < len(labels) // 3:
                time.sleep(0.05)
            driver.kill()
        result.at_the_kill = _count(journal)
        status = subprocess.run(command, check=False, timeout=_WITHIN).returncode
        result.killed = len(kills)
    result.seconds = time.monotonic() - began
    if status or not out.exists():
        result.violations.append(f"the driver that went on ended with {status}")
        return result
    found = json.loads(out.read_text())
    result.violations += _unlike("run", found["runs"], labels) + _unlike("damaged run", found["damaged"], damaged)
    told = Counter(answer["ref"] for answer in lines(journal) if "ref" in answer)
    result.twice = sum(count - 1 for count in told.values())
    if not result.at_the_kill or result.at_the_kill >= len(labels):
        result.violations.append("the driver was not killed on its way: ask for more --runs")
    if not result.killed:
        result.violations.append("no worker was killed: ask for more --runs, or a smaller --kill-every")
    return result


def _unlike(what: str, found: list[str], expected: list[str]) -> list[str]:
    counts = Counter(found)
    twice, missing = [label for label, count in counts.items() if count > 1], set(expected) - set(found)
    odd = set(found) - set(expected)
    return [
        f"{len(labels)} {what}s {how}, such as {min(labels)}"
        for how, labels in (("twice", twice), ("missing", missing), ("that are none", odd))
        if labels
    ]


def _count(journal: Path) -> int:
    return max(0, journal.read_bytes().count(b"\n") - 1) if journal.exists() else 0


@contextmanager
def cluster(backend: str, folder: Path) -> Iterator[str]:
    """Run a cluster on this machine and yield its address."""
    if backend == "dask":
        from distributed import LocalCluster

        with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as dask:
            yield dask.scheduler_address
    elif backend == "ray":
        import ray

        ray.init(
            num_cpus=WORKERS, include_dashboard=False, object_store_memory=100 << 20, _temp_dir=str(folder / "ray")
        )
        try:
            yield ray.get_runtime_context().gcs_address
        finally:
            ray.shutdown()
    else:
        yield ""


@contextmanager
def killing(title: re.Pattern[str], every: float) -> Iterator[list[int]]:
    """Kill one of the workers below this process every so many seconds, for as long as the block runs."""
    stop, kills = threading.Event(), list[int]()

    def kill() -> None:
        while not stop.wait(every):
            workers = [pid for pid in _below(os.getpid()) if title.search(_title(pid))]
            if workers:
                victim = workers[len(kills) % len(workers)]
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                kills.append(victim)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield kills
    finally:
        stop.set()
        thread.join()


def _below(pid: int) -> Iterator[int]:
    """Yield the processes that this one started, and those that they did."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text()
        except OSError:  # it has ended
            continue
        parents.setdefault(int(status.rpartition(")")[2].split()[1]), []).append(int(folder.name))
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), ()):
            waiting.append(child)
            yield child


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
