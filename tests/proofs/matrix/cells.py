"""What there is to try on a bench: every applicable fault at every point of every operation, and the pairs.

A sample takes the same few cells each time: those whose names come first when they are hashed, so that every operation
and every fault has its share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.proofs.matrix.bench import Bench, Cell, Strike
from tests.proofs.matrix.operations import Operation

PAIRED = ("save", "promote")
"""The operations that are tried with a second fault in the recovery from the first."""


@dataclass(frozen=True)
class Wanted:
    """Which cells: by the names of operation and fault, with pairs or without, all or a share of them."""

    operation: str = ""
    fault: str = ""
    pairs: bool = True
    share: float = 1.0
    part: tuple[int, int] = (0, 1)
    """Which of how many processes this is: each takes its own cells, those of one first fault together."""
    cell: str = ""
    """This one alone."""

    def takes(self, cell: Cell) -> bool:
        if self.cell:
            return str(cell) == self.cell
        named = self.fault in {"", cell.column}
        return named and self.begins(cell) and (self.share >= 1.0 or _hash(str(cell)) < self.share)

    def begins(self, cell: Cell) -> bool:
        """Whether cells with this first fault are taken at all."""
        begin = str(replace(cell, strikes=cell.strikes[:1]))
        if self.cell:
            return self.cell.startswith(begin)
        mine, of = self.part
        return self.operation in {"", cell.operation} and int(_hash(begin) * of) == mine


def cells(bench: Bench, operation: Operation, wanted: Wanted) -> Iterator[Cell]:
    """Yield the cells of one operation, those that cannot be tried included, each with the reason."""
    if not bench.fits(operation):
        return
    for cell in _single(bench, operation):
        if wanted.takes(cell):
            yield cell
    if wanted.pairs and operation.name in PAIRED:
        yield from (cell for cell in _pairs(bench, operation, wanted) if wanted.takes(cell))


def _single(bench: Bench, operation: Operation) -> Iterator[Cell]:
    for point in bench.points(operation):
        for fault in bench.faults:
            why_not = bench.why_not(operation, fault, point)
            yield Cell(bench.name, operation.name, (Strike(fault, point),), why_not)


def _pairs(bench: Bench, operation: Operation, wanted: Wanted) -> Iterator[Cell]:
    attempts, recoveries = bench.pairs
    for point in bench.points(operation) if attempts and wanted.fault in {"", "pairs"} else ():
        for name in attempts:
            first = Strike(bench.fault(name), point)
            if bench.why_not(operation, first.fault, point) or not bench.repairs(point):
                continue
            if not wanted.begins(Cell(bench.name, operation.name, (first,))):
                continue  # to find the points of a recovery takes a trial of its own
            for second in bench.recovery(operation, first):
                for other in recoveries:
                    fault = bench.fault(other)
                    if not bench.why_not(operation, fault, second):
                        yield Cell(bench.name, operation.name, (first, Strike(fault, second)))


def _hash(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
