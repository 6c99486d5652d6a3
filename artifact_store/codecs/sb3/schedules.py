"""Schedules of learning rates and clip ranges: a number, a line, or a table of what a function gave.

A function is asked, on save, for what it gives wherever that matters, and its table is kept: between two points the
table is a straight line, and more points are asked for until that is what the function gives as well. Its source is
kept beside the table as text, to be read by people. It is never run.
"""

from __future__ import annotations

import inspect
import linecache
import math
import tokenize
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from artifact_store.codecs.files import field, import_library
from artifact_store.codecs.sb3.scalars import not_recorded, plain_number, read_number
from artifact_store.core.codec import JSON, Codec
from artifact_store.errors import NotEncodable

MOST_POINTS: Final = 1 << 14
_FIRST_POINTS: Final = 1 << 7
_LETTERS: Final = 1 << 14
_CLOSE: Final = 1e-6
_TINY: Final = 1e-6
_JUMP: Final = 2.0**-44
"""What changes over a smaller distance jumps: no training has as many steps."""
_OVERRUN: Final = 4
"""The last rollout goes on when nothing is left; the table ends this part of a training later."""


@dataclass(frozen=True)
class SampledSchedule:
    """A schedule that was a function: straight lines through what it gave, and its source as text.

    ``progress`` are what is left of a training, from the least to 1; below the least, the value of the least counts.
    """

    progress: tuple[float, ...]
    values: tuple[float, ...]
    name: str = ""
    source: str = ""

    def __call__(self, progress_remaining: float) -> float:
        """Return the value for what is left of a training."""
        known, values = self.progress, self.values
        place = bisect_right(known, progress_remaining)
        if place == 0:
            return values[0]
        if place == len(known):
            return values[-1]
        low, high = known[place - 1], known[place]
        part = (progress_remaining - low) / (high - low)
        return values[place - 1] + part * (values[place] - values[place - 1])


def plain_schedule(codec: Codec, value: Any, what: str) -> Any:
    """Return a schedule as JSON.

    Raises:
        NotEncodable: it is a function whose answers do not depend on the progress alone, or need too many points.
    """
    utils = import_library("stable_baselines3.common.utils", codec)
    if type(value) is utils.FloatSchedule:
        value = value.value_schedule
    if type(value) is utils.ConstantSchedule:
        return plain_number(codec, value.val, what)
    if type(value) is utils.LinearSchedule:
        ends = {name: plain_number(codec, getattr(value, name), what) for name in ("start", "end", "end_fraction")}
        return {"schedule": "linear", **ends}
    if not callable(value):
        return plain_number(codec, value, what)
    table = value if type(value) is SampledSchedule else sample(value, what)
    if all(one == table.values[0] for one in table.values) and type(value) is not SampledSchedule:
        table = SampledSchedule((0.0, 1.0), table.values[:1] * 2, table.name, table.source)
    record: dict[str, JSON] = {"progress": list(table.progress), "values": list(table.values)}
    return {"schedule": "table", **record, "name": table.name, "source": table.source}


def read_schedule(codec: Codec, record: Any, what: str) -> Any:
    """Return the schedule that :func:`plain_schedule` was given, or its table."""
    if not isinstance(record, dict) or "schedule" not in record:
        return read_number(codec, record, what)
    if record["schedule"] == "table":
        return _read_table(record, what)
    if record["schedule"] != "linear":
        raise not_recorded("schedule", record, what)
    ends = [read_number(codec, record.get(name), what) for name in ("start", "end", "end_fraction")]
    return import_library("stable_baselines3.common.utils", codec).LinearSchedule(*ends)


def _read_table(record: dict[str, Any], what: str) -> SampledSchedule:
    columns = [field(record, name, list) for name in ("progress", "values")]
    numbers = [[float(one) for one in column if type(one) in (int, float)] for column in columns]
    if (
        not 0 < len(numbers[0]) <= MOST_POINTS
        or {*map(len, columns)} != {*map(len, numbers)}
        or len({*map(len, numbers)}) != 1
    ):
        raise not_recorded("table of a schedule", record, what)
    if not all(low < high for low, high in pairwise(numbers[0])):
        raise not_recorded("table of a schedule in order", record, what)
    return SampledSchedule(*map(tuple, numbers), *(field(record, name, str) for name in ("name", "source")))  # type: ignore[arg-type]


# ---------------------------------------------------------------- asking a function


def sample(function: Callable[[float], Any], what: str) -> SampledSchedule:
    """Return what a function gives for what is left of a training, also beyond its end, where the last steps are."""
    ask = _Asked(function, what)
    beyond = [place / _FIRST_POINTS for place in range(-_FIRST_POINTS // _OVERRUN, 0)]
    inside = [place / _FIRST_POINTS for place in range(_FIRST_POINTS + 1)]
    for progress in inside:
        ask(progress)
    points = inside if any(ask.refuses(progress) for progress in beyond) else [*beyond, *inside]
    scale = max(abs(ask(progress)) for progress in points)
    waiting = list(pairwise(points))
    while waiting:
        low, high = waiting.pop()
        if high - low > _JUMP and not _straight(ask, low, high, scale):
            middle = (low + high) / 2
            points.append(middle)
            waiting += [(low, middle), (middle, high)]
        if len(points) > MOST_POINTS:
            raise NotEncodable(f"{what} is a function that no table of {MOST_POINTS:,} points gives back: {_OTHERWISE}")
    if any(ask(progress) != float(function(progress)) for progress in inside):
        raise NotEncodable(f"{what} is a function that gives another answer each time: {_OTHERWISE}")
    points.sort()
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    return SampledSchedule(tuple(points), tuple(map(ask, points)), name, _source(function))


_OTHERWISE: Final = (
    "use a number, or LinearSchedule or ConstantSchedule of stable_baselines3.common.utils, or save "
    "policy.state_dict() (codec 'torch-state')"
)


class _Asked:
    """A function, asked once for each place."""

    def __init__(self, function: Callable[[float], Any], what: str) -> None:
        self._function = function
        self._what = what
        self._known: dict[float, float] = {}

    def __call__(self, progress: float) -> float:
        if progress not in self._known:
            try:
                value = float(self._function(progress))
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                raise NotEncodable(
                    f"{self._what} is a function that fails at {progress} ({why}): {_OTHERWISE}"
                ) from error
            if not math.isfinite(value):
                raise NotEncodable(f"{self._what} is a function that gives {value} at {progress}: {_OTHERWISE}")
            self._known[progress] = value
        return self._known[progress]

    def refuses(self, progress: float) -> bool:
        try:
            self(progress)
        except NotEncodable:
            return True
        return False


def _straight(ask: Callable[[float], float], low: float, high: float, scale: float) -> bool:
    """Tell whether a function is a straight line between two places, as far as four of them between can tell."""
    return all(_on_line(ask, low, high, part, scale) for part in (0.5, 0.25, 0.75, 0.1))


def _on_line(ask: Callable[[float], float], low: float, high: float, part: float, scale: float) -> bool:
    value, first, last = ask(low + part * (high - low)), ask(low), ask(high)
    line = first + part * (last - first)
    return abs(value - line) <= _CLOSE * abs(value) or abs(value - line) <= _TINY * scale


def _source(function: Any) -> str:
    """Return the lines of a function, or nothing where they are not known.

    ``inspect.getsource`` looks through all modules first, and fails if one of them does something when it is asked.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return ""
    lines = linecache.getlines(code.co_filename, getattr(function, "__globals__", None))[code.co_firstlineno - 1 :]
    try:
        return "".join(inspect.getblock(lines) if lines else [])[:_LETTERS]
    except (SyntaxError, tokenize.TokenError):  # a part of a line that is none by itself
        return lines[0][:_LETTERS]
