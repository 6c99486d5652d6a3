"""What all benches have in common: cells, and one trial of an operation under faults, from the world before to the end."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from artifact_store import ArtifactStore
from artifact_store.testing import SimulatedCrash
from tests.proofs.matrix.operations import Operation, world
from tests.proofs.matrix.views import Snapshot, View, see

TIMEOUT = 20.0
"""Seconds that a client which meets no faults may take for one operation."""


@dataclass(frozen=True, order=True)
class Point:
    """One step of an operation that touches the storage: what is asked, of which key, and for which time."""

    what: str
    where: str
    nth: int
    conditional: bool = field(default=False, compare=False)
    """It is a write with a precondition."""
    body: bool = field(default=True, compare=False)
    """The answer to it has a body."""

    def __str__(self) -> str:
        return f"{self.what} {self.where or '/'} #{self.nth}"


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and which errors may come of it beside success and ``OutcomeUnknown``.

    ``sticky``: it goes on from there. ``late``: the write is on its way meanwhile, and lands ``before`` the operation
    is repeated, or ``after``. ``deadly``: the process ends. ``make`` is what the bench needs to bring it about.
    """

    name: str
    allows: tuple[type[BaseException], ...]
    make: Any = None
    sticky: bool = False
    late: str = ""
    deadly: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Strike:
    """A fault at a point."""

    fault: Fault
    point: Point

    def __str__(self) -> str:
        return f"{self.fault} @ {self.point}"


@dataclass(frozen=True)
class Cell:
    """One thing to try; ``why_not`` says why it cannot be, if it cannot. A pair has two strikes."""

    bench: str
    operation: str
    strikes: tuple[Strike, ...]
    why_not: str = ""

    def __str__(self) -> str:
        return " | ".join((self.bench, self.operation, *map(str, self.strikes)))

    @property
    def column(self) -> str:
        return "pairs" if len(self.strikes) > 1 else self.strikes[0].fault.name


@dataclass
class Told:
    """What the caller was told: a value, or an error."""

    value: Any = None
    error: BaseException | None = None

    @classmethod
    def by(cls, operation: Operation, store: ArtifactStore) -> Told:
        try:
            return cls(operation.act(store))
        except (Exception, SimulatedCrash) as error:  # noqa: BLE001 -- whatever it is, the oracle judges it
            return cls(error=error)


@dataclass
class Trial:
    """Everything that was seen of one cell. Views that were not asked for are none."""

    operation: Operation
    strikes: tuple[Strike, ...]
    told: Told
    before: View
    after: View
    late: View | None = None
    repeated: Told | None = None
    final: View | None = None
    last: View | None = None
    met: int = 0
    """How many of the strikes happened."""
    trace: tuple[Point, ...] = ()
    """What the operation asked of the storage, in order."""
    first: int = 0
    """The place of the first strike in there."""
    seconds: float = 0.0
    limit: tuple[float, int] | None = None
    """What the operation may cost at most, where the storage is dead: seconds, and requests after the fault."""


class Bench(abc.ABC):
    """One backend on which operations are tried under faults."""

    name: str
    faults: tuple[Fault, ...]
    patient: bool = False
    """Wait as long as can be: on a busy machine a short timeout may end before the fault is met."""
    pairs: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """The faults of an attempt, and those of its recovery, that are tried together."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def fits(self, operation: Operation) -> bool:
        return not operation.large

    def fault(self, name: str) -> Fault:
        return next(fault for fault in self.faults if fault.name == name)

    @abc.abstractmethod
    def run(self, operation: Operation, strikes: tuple[Strike, ...]) -> Trial:
        """Try it once, in a world of its own."""

    @abc.abstractmethod
    def why_not(self, operation: Operation, fault: Fault, point: Point) -> str:
        """Why this fault cannot happen at this point; empty if it can."""

    def points(self, operation: Operation) -> tuple[Point, ...]:
        """Where an undisturbed operation touches the storage, in a fixed order."""
        trial = self.run(operation, ())
        if trial.told.error is not None:
            raise trial.told.error
        return tuple(sorted(trial.trace))

    def repairs(self, point: Point) -> bool:
        """Whether a fault at this point is recovered from in steps of interest: reading back, and sending again."""
        return point.conditional

    def recovery(self, operation: Operation, strike: Strike) -> tuple[Point, ...]:
        """Where it touches the same key again after a fault: the read-back, and the write that is sent again."""
        trial = self.run(operation, (strike,))
        rest = trial.trace[trial.first + 1 :]
        return tuple(sorted({point for point in rest if point.where == strike.point.where}))


def examine(
    operation: Operation,
    strikes: tuple[Strike, ...],
    act: Callable[[], Told],
    *,
    snapshot: Callable[[], Snapshot],
    deliver: Callable[[], object] = lambda: None,
    again: Callable[[], Told],
) -> Trial:
    """Carry an operation out, look what came of it, let late writes land, and do it again without faults."""
    before = see(world(operation.name))
    trial = Trial(operation, strikes, act(), before, see(snapshot()))
    if any(strike.fault.late == "before" for strike in strikes):
        deliver()
        trial.late = see(snapshot())
    if not strikes:
        return trial
    trial.repeated = again()
    trial.final = see(snapshot())
    if any(strike.fault.late for strike in strikes):
        deliver()
        trial.last = see(snapshot())
    return trial


class Aim:
    """Counts what passes, and says which strike hits it."""

    def __init__(self, strikes: Iterable[Strike]) -> None:
        self.strikes = tuple(strikes)
        self.trace: list[Point] = []
        self.hits: list[tuple[int, Strike]] = []
        self._seen: dict[tuple[str, str], int] = {}

    def at(self, what: str, where: str, *, conditional: bool = False, body: bool = True) -> Strike | None:
        nth = self._seen[what, where] = self._seen.get((what, where), 0) + 1
        point = Point(what, where, nth, conditional, body)
        self.trace.append(point)
        for strike in self.strikes:
            if strike.point == point:
                self.hits.append((len(self.trace) - 1, strike))
                return strike
        for _, strike in self.hits:
            if strike.fault.sticky:
                return strike
        return None

    def report(self, trial: Trial) -> Trial:
        trial.trace = tuple(self.trace)
        trial.met = len({id(strike) for _, strike in self.hits})
        trial.first = self.hits[0][0] if self.hits else len(self.trace)
        return trial
