"""When what is watched is looked at: how long each pause is, whether the storage answers, how old what is known is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Self

from artifact_store.errors import InvalidOption, Unavailable
from artifact_store.ops.context import Context

_SPREAD = 1.25
"""Each pause is between once and so many times as long: watchers that begin together do not stay together."""
_LONGEST = 30.0
"""Seconds that a pause grows to while the storage does not answer, or a run stays broken."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a watcher goes about it. ``on_change`` is called with what is watched.

    Raises:
        InvalidOption: a value means nothing.
    """

    every: float
    max_stale: timedelta | None = None
    golden: bool = True
    on_change: Callable[[Any], object] | None = None

    def __post_init__(self) -> None:
        if not _is_pause(self.every):
            raise InvalidOption(f"every is a number of seconds above 0, not {self.every!r}")
        if not _is_span(self.max_stale):
            raise InvalidOption(
                f"max_stale is a timedelta above 0, such as timedelta(minutes=30), not {self.max_stale!r}"
            )
        if self.on_change is not None and not callable(self.on_change):
            raise InvalidOption(f"on_change is a function of what is watched, not {self.on_change!r}")

    def pause(self, failures: int = 0) -> float:
        """Return how long to wait after so many failures in a row."""
        most = max(_LONGEST, self.every)
        return min(self.every * 2.0 ** min(failures, 32), most) * random.uniform(1.0, _SPREAD)  # noqa: S311 -- spreads


def _is_pause(every: object) -> bool:
    return isinstance(every, int | float) and 0 < every < float("inf")


def _is_span(stale: object) -> bool:
    return stale is None or (isinstance(stale, timedelta) and stale > timedelta(0))


class Storage:
    """Whether the storage answers. While it does not, one asks at a time, after a pause that grows.

    It has no lock, which a fork could leave held: that two ask at the same moment does no harm.
    """

    def __init__(self, options: WatchOptions) -> None:
        self._options = options
        self._failures, self._again, self._noted = 0, 0.0, 0.0
        self.failure: Unavailable | None = None

    def may_be_asked(self) -> bool:
        """Whether to ask it now; then what came of it has to be told by :meth:`answered` or :meth:`failed`."""
        if self.failure is None:
            return True
        now = monotonic()
        if now < self._again:
            return False
        self._again = now + self._options.pause(self._failures)  # nobody else, while this one waits for the answer
        return True

    def answered(self) -> None:
        """Note that it is there."""
        self._failures, self.failure = 0, None

    def failed(self, error: Unavailable, asked: float) -> None:
        """Note that it is not there; several that were asked before the first one failed are one failure."""
        if asked < self._noted:
            return
        self._noted = monotonic()
        self._again = self._noted + self._options.pause(self._failures)
        self._failures += 1
        self.failure = error


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by two clocks: one stands still while a machine sleeps, the other can be set."""

    steady: float
    wall: datetime

    @classmethod
    def now(cls, context: Context) -> Self:
        """Return this moment."""
        return cls(monotonic(), context.now())

    def age(self, context: Context) -> timedelta:
        """Return how long ago it was, by the clock that says more."""
        return max(timedelta(seconds=monotonic() - self.steady), context.now() - self.wall)
