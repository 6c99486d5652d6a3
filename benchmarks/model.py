"""The values of the driver: a row with its ways and goals, and what was measured of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["memory", "local", "s3", "line"]
Measure = Literal["seconds", "cpu", "requests", "depth", "extra_mib", "bytes"]
UNITS: Mapping[str, str] = {
    "seconds": "s",
    "cpu": "s of CPU",
    "requests": "requests",
    "depth": "in a row",
    "extra_mib": "MiB more",
    "bytes": "bytes",
}


@dataclass(frozen=True)
class Goal:
    """What a way may cost at most: ``limit`` times what ``over`` costs, or ``limit`` itself without another way."""

    way: str
    measure: Measure
    limit: float
    over: str = ""


@dataclass(frozen=True)
class Way:
    """One way of doing the work of a row: ``module:function`` makes a ``Work`` of a place and of ``args``.

    ``over`` is the way that it is compared with, the first of its row unless it says another. ``peer`` names the
    environment in which it runs. ``setup`` is called before, past the line, with the same arguments in the same
    scratch folder. A ``cold`` way is a new process each time, and the whole process is measured.
    """

    name: str
    function: str
    args: Mapping[str, Any] = field(default_factory=dict)
    over: str = ""
    peer: str = ""
    setup: str = ""
    cold: bool = False


@dataclass(frozen=True)
class Row:
    """A workload at a place, the ways of doing it, and what they may cost.

    ``args`` are the sizes, ``quick`` those of ``--quick``; all functions get them. ``goals`` hold at full size;
    ``limits`` at the quick one, and are never about time. ``fill`` is called once, past the line, for all rows with the
    same sizes. ``compared`` is what ratios are of. ``offset`` is a way whose figures are taken off those of the others.
    ``turns`` bounds the repetitions where one takes long, ``warm`` says whether a first turn is thrown away.
    """

    name: str
    title: str
    kind: Kind
    ways: tuple[Way, ...]
    args: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    goals: tuple[Goal, ...] = ()
    limits: tuple[Goal, ...] = ()
    fill: str = ""
    compared: Measure = "seconds"
    offset: str = ""
    turns: int = 0
    warm: bool = True

    def sizes(self, *, quick: bool) -> dict[str, Any]:
        """Return the arguments of this form."""
        return {**self.args, **self.quick} if quick else dict(self.args)


@dataclass(frozen=True)
class Measured:
    """What one way cost: medians of its turns; why it is ``left_out``, or how it ``failed``."""

    name: str
    over: str
    figures: Mapping[str, float] = field(default_factory=dict)
    turns: Sequence[Mapping[str, float]] = ()
    left_out: str = ""
    failed: str = ""


@dataclass(frozen=True)
class Verdict:
    """A goal and what became of it; ``value`` is nothing where it could not be measured."""

    goal: Goal
    value: float | None

    @property
    def met(self) -> bool | None:
        """Whether it is within the limit."""
        return None if self.value is None else self.value <= self.goal.limit


@dataclass(frozen=True)
class RowResult:
    """A row that was measured."""

    name: str
    title: str
    kind: str
    compared: Measure
    sizes: Mapping[str, Any]
    ways: tuple[Measured, ...]
    goals: tuple[Goal, ...]
    limits: tuple[Goal, ...]
    took: float

    def way(self, name: str) -> Measured | None:
        """Return the way of this name, if it was measured."""
        return next((way for way in self.ways if way.name == name and way.figures), None)

    def ratio(self, name: str, measure: Measure | None = None) -> float | None:
        """Return what a way costs as a multiple of the one that it is compared with."""
        found = self.way(name)
        return self._over(name, found.over, measure or self.compared) if found and found.over else None

    def verdicts(self) -> list[Verdict]:
        """Return what became of the goals."""
        return [self._verdict(goal) for goal in self.goals]

    def exceeded(self) -> list[Verdict]:
        """Return the limits of the quick form that are exceeded, or could not be measured."""
        return [found for found in map(self._verdict, self.limits) if not found.met]

    def _verdict(self, goal: Goal) -> Verdict:
        if goal.over:
            return Verdict(goal, self._over(goal.way, goal.over, goal.measure))
        found = self.way(goal.way)
        return Verdict(goal, found.figures.get(goal.measure) if found else None)

    def _over(self, name: str, over: str, measure: str) -> float | None:
        one, other = self.way(name), self.way(over)
        if one is None or other is None or not other.figures.get(measure):
            return None
        return one.figures[measure] / other.figures[measure]


@dataclass(frozen=True)
class Report:
    """A run of the driver."""

    about: Mapping[str, str]
    quick: bool
    rows: tuple[RowResult, ...]

    def row(self, name: str) -> RowResult | None:
        """Return the row of this name, if it was measured."""
        return next((row for row in self.rows if row.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Report:
        """Return what :meth:`to_json` gave."""
        return cls(value["about"], value["quick"], tuple(map(_row, value["rows"])))


def _row(value: Mapping[str, Any]) -> RowResult:
    goals = {name: tuple(Goal(**goal) for goal in value[name]) for name in ("goals", "limits")}
    return RowResult(**{**value, **goals, "ways": tuple(Measured(**way) for way in value["ways"])})
