"""Carry cells out: bench after bench, and on a network several at once, since most of the time nothing happens there."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.matrix.bench import Bench, Cell
from tests.matrix.cells import Wanted, cells
from tests.matrix.kills import KillBench
from tests.matrix.local import LocalBench
from tests.matrix.memory import MemoryBench
from tests.matrix.network import NetworkBench
from tests.matrix.operations import OPERATIONS
from tests.matrix.oracle import Verdict, judge
from tests.matrix.table import Table
from tests.servers import SeaweedServer

AT_ONCE = 4
KILLS_AT_ONCE = 2
TRIES = 3
"""How often a cell is tried until its faults are met: what is sent side by side may come in another order."""
ENGINES = ("obstore", "s3fs")
EVERY = 10.0  # seconds between two lines about the progress
MEMORY = Path("/dev/shm")

Make = Callable[[SeaweedServer | None], Bench]


@dataclass(frozen=True)
class Kind:
    """How to make the benches of one backend, how many of them work at once, and whether they need a server."""

    make: Make
    at_once: int = 1
    server: bool = False


def _network(engine: str) -> Make:
    def make(server: SeaweedServer | None) -> Bench:
        assert server is not None
        return NetworkBench(engine, server)

    return make


def _kills(engine: str) -> Make:
    return lambda server: KillBench(engine, None if engine == "local" else server)


BACKENDS: dict[str, Kind] = {
    "memory": Kind(lambda _: MemoryBench()),
    "local": Kind(lambda _: LocalBench()),
    **{engine: Kind(_network(engine), AT_ONCE, server=True) for engine in ENGINES},
    "local, kill -9": Kind(_kills("local"), KILLS_AT_ONCE),
    **{f"{engine}, kill -9": Kind(_kills(engine), KILLS_AT_ONCE, server=True) for engine in ENGINES},
}


def in_parts(names: list[str], wanted: Wanted, parts: int, table: Table, progress: Callable[[str], None]) -> None:
    """The same in several processes, each with servers of its own; they say how far they are by themselves."""
    with ProcessPoolExecutor(parts, mp_context=multiprocessing.get_context("spawn")) as pool:
        asked = [pool.submit(_part, names, replace(wanted, part=(number, parts))) for number in range(parts)]
        for done, future in enumerate(as_completed(asked), start=1):
            table.merge(future.result())
            progress(f"{done} of {parts} processes have ended")


def _part(names: list[str], wanted: Wanted) -> Table:
    table, number = Table(), wanted.part[0]
    carry_out(names, wanted, table, Progress(f"process {number}: "))
    return table


class Progress:
    """Says on stderr how far it is, now and then, and at once what is violated."""

    def __init__(self, who: str = "") -> None:
        self._who, self._last, self._told = who, 0.0, 0

    def __call__(self, backend: str, done: int, of: int, table: Table) -> None:
        for violation in table.violations[self._told :]:
            say(str(violation))
        self._told = len(table.violations)
        if done == of or time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            say(f"{self._who}{backend}: {done} of {of}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def carry_out(names: list[str], wanted: Wanted, table: Table, progress: Progress) -> None:
    """Try every cell that is wanted on the named backends, and put the verdicts into the table."""
    if MEMORY.is_dir():  # what is tried is what a disk answers, not how fast it is
        tempfile.tempdir = str(MEMORY)
    with ExitStack() as stack:
        server = stack.enter_context(SeaweedServer()) if any(BACKENDS[name].server for name in names) else None
        for name in names:
            _one_backend(name, server, wanted, table, progress)


def _one_backend(name: str, server: SeaweedServer | None, wanted: Wanted, table: Table, progress: Progress) -> None:
    kind = BACKENDS[name]
    with ExitStack() as stack:
        benches = [stack.enter_context(kind.make(server)) for _ in range(kind.at_once)]
        found = list(_listed(benches[0], wanted))
        for cell in found:
            if cell.why_not:
                table.leave_out(cell)
        due = [cell for cell in found if not cell.why_not]
        for number, (cell, verdict, cost) in enumerate(_tried(benches, due), start=1):
            table.add(cell, verdict, cost)
            progress(name, number, len(due), table)


def _listed(bench: Bench, wanted: Wanted) -> Iterator[Cell]:
    for operation in OPERATIONS.values():
        if wanted.operation in {"", operation.name}:
            yield from cells(bench, operation, wanted)


Tried = tuple[Cell, Verdict, tuple[float, int] | None]


def _tried(benches: list[Bench], due: list[Cell]) -> Iterator[Tried]:
    if len(benches) == 1:
        yield from (try_one(benches[0], cell) for cell in due)
        return
    idle, lock = list(benches), threading.Lock()

    def on_any(cell: Cell) -> Tried:
        with lock:
            bench = idle.pop()
        try:
            return try_one(bench, cell)
        finally:
            with lock:
                idle.append(bench)

    with ThreadPoolExecutor(len(benches)) as pool:
        for future in as_completed([pool.submit(on_any, cell) for cell in due]):
            yield future.result()


def try_one(bench: Bench, cell: Cell) -> Tried:
    """Carry one cell out and judge it."""
    for _ in range(TRIES):
        trial = bench.run(OPERATIONS[cell.operation], cell.strikes)
        if trial.met == len(cell.strikes):
            break
    cost = None if trial.limit is None else (trial.seconds, len(trial.trace) - trial.first)
    return cell, judge(trial), cost
