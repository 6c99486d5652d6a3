"""Carry cells out: bench after bench, and on a network several at once, since most of the time nothing happens there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass

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

AT_ONCE = 8
KILLS_AT_ONCE = 3
ENGINES = ("obstore", "s3fs")

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


def carry_out(names: list[str], wanted: Wanted, table: Table, progress: Callable[[str, int, int], None]) -> None:
    """Try every cell that is wanted on the named backends, and put the verdicts into the table."""
    with ExitStack() as stack:
        server = stack.enter_context(SeaweedServer()) if any(BACKENDS[name].server for name in names) else None
        for name in names:
            _one_backend(BACKENDS[name], server, wanted, table, lambda done, of, name=name: progress(name, done, of))  # type: ignore[misc]


def _one_backend(
    kind: Kind, server: SeaweedServer | None, wanted: Wanted, table: Table, progress: Callable[[int, int], None]
) -> None:
    with ExitStack() as stack:
        benches = [stack.enter_context(kind.make(server)) for _ in range(kind.at_once)]
        found = list(_listed(benches[0], wanted))
        for cell in found:
            if cell.why_not:
                table.leave_out(cell)
        due = [cell for cell in found if not cell.why_not]
        for number, (cell, verdict, cost) in enumerate(_tried(benches, due), start=1):
            table.add(cell, verdict, cost)
            progress(number, len(due))


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
    trial = bench.run(OPERATIONS[cell.operation], cell.strikes)
    cost = None if trial.limit is None else (trial.seconds, len(trial.trace) - trial.first)
    return cell, judge(trial), cost
