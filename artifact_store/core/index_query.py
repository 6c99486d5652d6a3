"""Questions to a listing: conditions on metrics and tags, an order, and how many runs of each model.

Pure: a question is asked of rows, wherever these come from.
"""

from __future__ import annotations

import heapq
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from artifact_store.core.documents import write_time
from artifact_store.core.index_rows import metric_number
from artifact_store.errors import InvalidOption
from artifact_store.wording import brief

T = TypeVar("T")
Rank = tuple[bool, float, int]

_COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"\s*(?:(metrics|tags)\.)?(\S+?)\s*(<=|>=|==|!=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_ORDER = re.compile(r"(-?)(?:(metrics)\.)?([^\s-].*)", re.DOTALL)
_CREATED: Final = "created_at"
_DIGITS = 20  # of a time, to the microsecond
_NO_DIGITS = str.maketrans("", "", "-T:.Z")
HOW: Final = "a condition is 'sharpe > 1.2' or 'metrics.sharpe > 1.2', or of a tag 'tags.fold = 7'"


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a metric with a number, or of a tag with text. A run without it does not fit."""

    kind: str
    name: str
    sign: str
    value: float | str

    @classmethod
    def parse(cls, text: object) -> Condition:
        """Read ``sharpe > 1.2``, ``metrics.sharpe > 1.2`` or ``tags.fold = 7``.

        Raises:
            InvalidOption: it is none of these.
        """
        match = _CONDITION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise InvalidOption(f"{HOW}, not {brief(text)}")
        kind, name, sign, value = match.groups()
        if kind == "tags":
            if sign not in ("=", "==", "!="):
                raise InvalidOption(f"tags are text, which is compared with = and != only, not {brief(text)}")
            return cls(kind, name, sign, value)
        try:
            return cls("metrics", name, sign, float(value))
        except ValueError as error:
            raise InvalidOption(f"{brief(value)} is no number: {HOW}") from error

    def admits(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row fits."""
        held = row.get(self.kind)
        found = held.get(self.name) if isinstance(held, dict) else None
        if self.kind == "metrics":
            found = metric_number(found)
        return found is not None and _COMPARED[self.sign](found, self.value)


@dataclass(frozen=True, slots=True)
class OrderBy:
    """By a metric, or by the time of the save (``metric`` is ``None``): the smallest first, or the largest."""

    metric: str | None
    descending: bool

    @classmethod
    def parse(cls, text: object) -> OrderBy:
        """Read ``sharpe``, ``metrics.sharpe`` or ``created_at``, with ``-`` before it for the largest first.

        Raises:
            InvalidOption: it is not text, or empty.
        """
        match = _ORDER.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise InvalidOption(
                f"order_by is 'sharpe', '-sharpe' for the largest first, or '-created_at', not {brief(text)}"
            )
        minus, kind, name = match.groups()
        return cls(None if kind is None and name == _CREATED else name, bool(minus))

    def value(self, row: Mapping[str, Any]) -> tuple[bool, float]:
        """Return whether the row has a number to go by, and that number, so that the largest is the first."""
        if self.metric is None:
            digits = str(row.get(_CREATED)).translate(_NO_DIGITS)[:_DIGITS]
            found: float | None = int(digits) if digits.isdecimal() else None  # exact, where a double is not
        else:
            metrics = row.get("metrics")
            found = metric_number(metrics.get(self.metric)) if isinstance(metrics, dict) else None
        if found is None or math.isnan(found):
            return False, 0.0
        return True, found if self.descending else -found


@dataclass(frozen=True, slots=True)
class Question:
    """What is wanted of a listing, beside what :class:`artifact_store.ops.listing.Filter` says.

    With an order it holds for all models together, and what has no such number comes last. Of equal runs the newer one
    comes first. ``per_model`` is how many runs of each model there are at most, the first ones in that order.
    """

    conditions: tuple[Condition, ...] = ()
    order: OrderBy | None = None
    per_model: int | None = None
    limit: int | None = None
    since: str | None = None
    """The first time of a save that fits, as documents write it."""
    until: str | None = None
    """The first one after it that does not."""

    @classmethod
    def of(
        cls,
        where: object,
        order_by: object,
        per_model: object,
        limit: int | None,
        since: datetime | None,
        until: datetime | None,
    ) -> Question:
        """Read the arguments of a listing.

        Raises:
            InvalidOption: one of them means nothing.
        """
        if where is not None and not isinstance(where, str | Sequence):
            raise InvalidOption(
                f"where is a function of a Run, such as lambda run: run.metrics['auc'] > 0.6, or text: {HOW}; "
                f"not {where!r}"
            )
        texts = [where] if isinstance(where, str) else where or ()
        if per_model is not None and (not isinstance(per_model, int) or per_model < 0):
            raise InvalidOption(f"per_model is a number from 0, not {per_model!r}")
        order = None if order_by is None else OrderBy.parse(order_by)
        bounds = [None if moment is None else write_time(moment) for moment in (since, until)]
        return cls(tuple(map(Condition.parse, texts)), order, per_model, limit, *bounds)

    @property
    def narrows(self) -> bool:
        """Whether there is a condition at all."""
        return bool(self.conditions) or self.since is not None or self.until is not None

    def admits(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row fits all conditions."""
        if self.since is not None and not self.since <= str(row.get(_CREATED)):
            return False
        if self.until is not None and not str(row.get(_CREATED)) < self.until:
            return False
        return all(condition.admits(row) for condition in self.conditions)

    def choose(self, found: Iterable[T], about: Callable[[T], Mapping[str, Any]]) -> Iterator[T]:
        """Yield what is wanted of things that come newest first within each model; ``about`` returns the row of one.

        Holds no more of them than are wanted: of each model, or altogether.
        """
        if self.order is None:
            yield from self._first(found, about)
            return
        kept: dict[object, list[tuple[Rank, T]]] = {}
        most = self.limit if self.per_model is None else self.per_model
        for place, one in enumerate(found):
            row = about(one)
            heap = kept.setdefault(None if self.per_model is None else row["model"], [])
            item = (*self.order.value(row), -place), one
            if most is None or len(heap) < most:
                heapq.heappush(heap, item)
            elif heap and heap[0] < item:
                heapq.heapreplace(heap, item)
        every = sorted((item for heap in kept.values() for item in heap), key=operator.itemgetter(0), reverse=True)
        yield from (one for _, one in every[: self.limit])

    def _first(self, found: Iterable[T], about: Callable[[T], Mapping[str, Any]]) -> Iterator[T]:
        """Yield the newest of each model, as they come."""
        seen: dict[str, int] = {}
        count = 0
        for one in found if self.limit != 0 else ():
            if self.per_model is not None:
                model = about(one)["model"]
                seen[model] = seen.get(model, 0) + 1
                if seen[model] > self.per_model:
                    continue
            yield one
            count += 1
            if count == self.limit:
                return
