"""Rows are measured: their ways by turns, each in a process of its own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import children
from benchmarks.children import Child, WayFailed, WayLeftOut
from benchmarks.model import Measured, Row, RowResult, Way
from benchmarks.peers.environments import python_of
from benchmarks.place import Place
from benchmarks.places import Places
from tools.processes import Failed

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How the rows are measured. ``ways`` are the names of those that are; all if there are none."""

    repeat: int = 5
    quick: bool = False
    peers: bool = False
    ways: Sequence[str] = ()


class Driver:
    """Measures rows, and keeps what several of them need. A context manager around places is the caller's."""

    def __init__(self, places: Places, options: Options, progress: Progress) -> None:
        self._places, self._options, self._progress = places, options, progress
        self._filled: dict[tuple[object, ...], Place] = {}

    def measure(self, row: Row) -> RowResult:
        """Measure one row. A way that fails or is left out says so in the result."""
        began = time.monotonic()
        self._progress(f"{row.name}: {row.title}")
        try:
            place = self._place(row)
        except WayLeftOut as error:
            ways = tuple(Measured(way.name, "", left_out=str(error)) for way in row.ways)
        except WayFailed as error:
            ways = tuple(Measured(way.name, "", failed=f"its data: {error}") for way in row.ways)
        else:
            with ExitStack() as held:
                contenders = [
                    Contender(self._places, row, way, self._scratch(row, place, way), held, self._options)
                    for way in row.ways
                    if self._takes(way.name)
                ]
                self._by_turns(row, contenders)
            ways = tuple(
                contender.measured({} if contender.name == row.offset else _offset(row, contenders))
                for contender in contenders
            )
            if not row.fill:
                self._places.forget(place)
        return RowResult(
            row.name,
            row.title,
            row.kind,
            row.compared,
            row.sizes(quick=self._options.quick),
            ways,
            () if self._options.quick else row.goals,
            tuple(limit for limit in row.limits if self._options.quick and self._takes(limit.way)),
            round(time.monotonic() - began, 1),
        )

    def forget(self) -> None:
        """Give up what rows left in the server and in folders."""
        for place in self._filled.values():
            self._places.forget(place)
        self._filled.clear()
        self._places.renew()

    def _takes(self, way: str) -> bool:
        return not self._options.ways or way in self._options.ways

    def _by_turns(self, row: Row, contenders: Sequence[Contender]) -> None:
        for contender in contenders:
            contender.prepare(self._progress)
        turns = min(self._options.repeat, row.turns or self._options.repeat)
        for turn in range(0 if row.warm else 1, turns + 1):
            for contender in contenders:
                contender.take(turn, kept=turn > 0)

    def _place(self, row: Row) -> Place:
        """Return the place of a row with what its fill made there, now or for an earlier row."""
        if not row.fill:
            return self._places.new(row.kind)
        sizes = row.sizes(quick=self._options.quick)
        made = (row.fill, *sorted(sizes.items()), row.kind if row.kind in ("memory", "local") else "server")
        if made not in self._filled:
            self._progress(f"{row.name}: its data")
            place = self._places.new(row.kind)
            facts = children.filled(python_of(""), row.fill, place, sizes)
            self._filled[made] = replace(place, facts=facts)
        return replace(self._filled[made], kind=row.kind)

    def _scratch(self, row: Row, place: Place, way: Way) -> Place:
        return self._places.scratch(place, row.name, row.ways.index(way))


class Contender:
    """A way while its row is measured."""

    def __init__(self, places: Places, row: Row, way: Way, place: Place, held: ExitStack, options: Options) -> None:
        self._places, self._row, self._way, self._place, self._held = places, row, way, place, held
        self._arguments = {**row.sizes(quick=options.quick), **way.args}
        self._peers, self._python = options.peers, ""
        self._child: Child | None = None
        self._seen: list[Mapping[str, float]] = []
        self._left_out = self._failed = ""

    def prepare(self, progress: Progress) -> None:
        """Start its process, and let it make ready."""
        self._guarded(self._prepare, progress)

    def take(self, turn: int, *, kept: bool) -> None:
        """Do one turn; its figures count if they are ``kept``."""
        if not self._left_out and not self._failed:
            self._guarded(self._turn, turn, kept)

    def measured(self, offset: Mapping[str, float]) -> Measured:
        """Return what came out, less the figures of another way."""
        over = self._way.over or self._row.ways[0].name
        medians = _medians(self._seen)
        figures = {name: value - offset.get(name, 0.0) for name, value in medians.items()}
        return Measured(
            self._way.name, over * (over != self._way.name), figures, self._seen, self._left_out, self._failed
        )

    @property
    def name(self) -> str:
        """The name of the way."""
        return self._way.name

    @property
    def medians(self) -> Mapping[str, float]:
        """The medians so far."""
        return _medians(self._seen)

    def _guarded(self, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except WayLeftOut as error:
            self._left_out = str(error)
        except (WayFailed, Failed) as error:
            self._failed = str(error)

    def _prepare(self, progress: Progress) -> None:
        if self._way.peer and not self._peers:
            raise WayLeftOut("measured with --peers")
        if self._way.peer:
            progress(f"{self._row.name}: the environment of {self._way.peer}")
        self._python = python_of(self._way.peer)
        progress(f"{self._row.name}: {self._way.name}")
        if self._way.setup:
            children.filled(self._python, self._way.setup, self._place, self._arguments)
        if not self._way.cold:
            child = Child(self._python, self._way.function, self._places.seen(self._place), self._arguments)
            self._child = self._held.enter_context(child)
            self._child.ready()

    def _turn(self, turn: int, kept: bool) -> None:  # noqa: FBT001 -- passed on as it came
        if self._child is not None:
            self._child.ask("before", turn)
        counts = self._row.kind == "line"
        if counts:
            self._places.line.reset()
        figures = self._once(turn)
        if counts:
            figures |= self._places.line.counted()
        per = figures.pop("per", 1.0)
        figures |= {name: figures[name] / per for name in ("seconds", "cpu", "requests") if name in figures}
        if self._child is not None:
            self._child.ask("after", turn)
        if kept:
            self._seen.append({name: float(f"{value:.6g}") for name, value in figures.items()})

    def _once(self, turn: int) -> dict[str, float]:
        if self._child is not None:
            return self._child.ask("run", turn)
        return children.cold(self._python, self._way.function, self._places.seen(self._place), self._arguments, turn)


def _offset(row: Row, contenders: Sequence[Contender]) -> Mapping[str, float]:
    found = next((one.medians for one in contenders if row.offset and one.name == row.offset), {})
    return {name: found[name] for name in ("seconds", "cpu") if name in found}


def _medians(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names: list[Any] = sorted({name for turn in turns for name in turn})
    return {name: float(f"{statistics.median(turn[name] for turn in turns if name in turn):.6g}") for name in names}
