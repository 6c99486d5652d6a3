"""Carry cells out: bench after bench, and on a network several at once, since most of the time nothing happens there."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from tests.proofs.matrix.bench import Bench, Cell
from tests.proofs.matrix.cells import PAIRED, Wanted, cells
from tests.proofs.matrix.kills import KillBench
from tests.proofs.matrix.local import LocalBench
from tests.proofs.matrix.memory import MemoryBench
from tests.proofs.matrix.network import NetworkBench
from tests.proofs.matrix.operations import OPERATIONS
from tests.proofs.matrix.oracle import ERROR, Verdict, judge
from tests.proofs.matrix.table import Table, spoken
from tests.servers import SeaweedServer

AT_ONCE = 4
PARTS = 4
"""Into how many pieces the pairs of an operation are cut."""
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
    "obstore, kill -9": Kind(_kills("obstore"), KILLS_AT_ONCE, server=True),
}


def in_processes(due: Sequence[tuple[str, Wanted]], processes: int, table: Table) -> None:
    """The same in several processes, each with a server of its own, that take the operations one after the other."""
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=os.setsid)
    try:
        asked = {pool.submit(_errand, name, part): name for name, part in errands(due)}
        for done, future in enumerate(as_completed(asked), start=1):
            table.merge(future.result())
            say(f"{done} of {len(asked)} errands are done; {spoken(table.total())}")
        pool.shutdown()
    except BaseException:
        for process in pool._processes.values():
            process.terminate()
        raise


def errands(due: Sequence[tuple[str, Wanted]]) -> list[tuple[str, Wanted]]:
    """Cut everything into pieces for the processes: the networks first, and the pairs last."""
    pieces = []
    for name, wanted in sorted(due, key=lambda one: BACKENDS[one[0]].at_once, reverse=True):
        if wanted.cell:
            pieces.append((name, wanted))
            continue
        for operation in [wanted.operation] if wanted.operation else OPERATIONS:
            one = replace(wanted, operation=operation)
            if wanted.fault != "pairs":
                pieces.append((name, replace(one, pairs=False)))
            if wanted.pairs and operation in PAIRED and wanted.fault in {"", "pairs"}:
                pieces += [(name, replace(one, fault="pairs", part=(part, PARTS))) for part in range(PARTS)]
    return sorted(pieces, key=lambda piece: piece[1].fault == "pairs")


_site: list[Site] = []


def _errand(name: str, wanted: Wanted) -> Table:
    if not _site:
        _site.append(Site())
        atexit.register(_site[0].close)
    table = Table()
    _site[0].carry_out(name, wanted, table, Progress(f"{os.getpid()}: "))
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


class Site:
    """The servers and benches of this process, made when they are first asked for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        if MEMORY.is_dir():  # what is tried is what a disk answers, not how fast it is
            self._stack.enter_context(_temporary_space(MEMORY))
        self._server: SeaweedServer | None = None
        self._benches: dict[str, list[Bench]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def benches(self, name: str) -> list[Bench]:
        kind = BACKENDS[name]
        if kind.server and self._server is None:
            self._server = self._stack.enter_context(SeaweedServer())
        if name not in self._benches:
            made = [self._stack.enter_context(kind.make(self._server)) for _ in range(kind.at_once)]
            self._benches[name] = made
        return self._benches[name]

    def carry_out(self, name: str, wanted: Wanted, table: Table, progress: Progress) -> None:
        """Try every cell that is wanted on a backend, and put the verdicts into the table."""
        benches = self.benches(name)
        found = list(_listed(benches[0], wanted))
        for cell in found:
            if cell.why_not:
                table.leave_out(cell)
        due = [cell for cell in found if not cell.why_not]
        for number, (cell, verdict, cost) in enumerate(_tried(benches, due), start=1):
            table.add(cell, verdict, cost)
            progress(f"{name}, {cell.operation}", number, len(due), table)


@contextmanager
def _temporary_space(parent: Path) -> Iterator[None]:
    """Keep temporary files in a new folder there, which no other test looks at, and then where they were before."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="as-", dir=parent, ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


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
    """Carry one cell out and judge it. Whatever goes wrong with that is against the cell, and the others go on."""
    try:
        return _try_one(bench, cell)
    except Exception as error:  # noqa: BLE001 -- hours of work do not end for one cell
        wrong = ("it could not be tried to its end", "".join(traceback.format_exception(error)))
        return cell, Verdict(ERROR, wrong, repr(error)), None


def _try_one(bench: Bench, cell: Cell) -> Tried:
    for number in range(TRIES):
        bench.patient = number > 0
        trial = bench.run(OPERATIONS[cell.operation], cell.strikes)
        if trial.met == len(cell.strikes):
            break
    cost = None if trial.limit is None else (trial.seconds, len(trial.trace) - trial.first)
    return cell, judge(trial), cost
