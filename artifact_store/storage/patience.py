"""How long the body of one request may take, in either direction: a time, and more of it for each byte.

Owns the rule, the count of the bodies that share the line of this process, and the words for what breaks the rule.
Knows no client.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from artifact_store.errors import DeadlineExceeded, InvalidOption
from artifact_store.process import Process, this_process
from artifact_store.wording import brief

if TYPE_CHECKING:
    from artifact_store.storage.http import Attempt

MIN_RATE = 32 << 10
"""Bytes a second that the line of this process has to make in the long run, unless the caller says otherwise."""
_UNANSWERED = 2
"""Small requests in a row: one alone may be lost on a line that is full."""
LONGEST = 31_536_000.0
"""Seconds, a year of them, that no wait exceeds: clients take no number beyond some far end."""


@dataclass(frozen=True, slots=True)
class Patience:
    """``timeout`` seconds for any body, and those that its bytes take at ``min_rate`` bytes a second.

    The rate is that of the line: of ``at_once`` bodies that share it, each has to make that part of it.

    Raises:
        InvalidOption: one of them is no number that means something here.
    """

    timeout: float
    min_rate: float = MIN_RATE

    def __post_init__(self) -> None:
        if not _within(self.timeout, LONGEST):
            raise InvalidOption(f"timeout is a number of seconds above 0 and up to a year, not {brief(self.timeout)}")
        if not _within(self.min_rate, sys.float_info.max):
            raise InvalidOption(f"min_rate is a number of bytes a second above 0, not {brief(self.min_rate)}")

    def options(self) -> dict[str, Any]:
        """Return it as the arguments that backends are made with."""
        return {"timeout": self.timeout, "min_rate": self.min_rate}

    def seconds(self, size: int, *, at_once: int = 1) -> float:
        """Return how long a body of so many bytes may take, one of so many under way."""
        return min(self.timeout + size * at_once / self.min_rate, LONGEST)

    def late(
        self, attempt: Attempt, *, size: int, seconds: float, moved: int | None = None, at_once: int = 1
    ) -> DeadlineExceeded:
        """Make the error for a body of which so many bytes had moved, where that is known, after so long."""
        way = "came" if attempt.operation == "read" else "were taken"
        rate = "at once" if not seconds else f"{(moved or 0) / seconds:,.0f} bytes a second"
        told = (
            f"{size:,} bytes were not taken and answered in {seconds:.1f} seconds"
            if moved is None
            else f"{moved:,} of {size:,} bytes {way} in {seconds:.1f} seconds ({rate})"
        )
        shared = f", which {at_once} bodies shared" if at_once > 1 else ""
        return DeadlineExceeded(
            f"{attempt}: {told}, which is too slow: they have {self.timeout:g} seconds, and the time that they take at "
            f"{self.min_rate:,.0f} bytes a second{shared}. Try again later; for a line that is always so slow, give a "
            "longer timeout (--timeout) or a lower min_rate (--min-rate)"
        )


class Silence:
    """What is known of a server that has not answered a long request yet: whether it answers anything at all.

    A body may take long, and a server that has died does not say so. So after each ``timeout`` of waiting it is asked
    something small; if it leaves that unanswered ``_UNANSWERED`` times in a row, it is silent.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt, self._heard, self._unanswered = attempt, monotonic(), 0

    def answered(self) -> None:
        """Note that it has answered something, be it a refusal."""
        self._heard, self._unanswered = monotonic(), 0

    def unanswered(self) -> None:
        """Note that it has left a small request unanswered.

        Raises:
            DeadlineExceeded: it is silent.
        """
        self._unanswered += 1
        if self._unanswered >= _UNANSWERED:
            seconds = monotonic() - self._heard
            raise DeadlineExceeded(
                f"{self._attempt}: the server has said nothing for {seconds:.0f} seconds, and answers no small request "
                "either. Try again later; for a server that takes so long, give a longer timeout (--timeout)"
            )


def _within(number: object, most: float) -> bool:
    return isinstance(number, int | float) and 0 < number <= most


class Share:
    """A part of a line, from entering this context to leaving it, for one body or for as many as are sent together."""

    def __init__(self, line: Line, bodies: int = 1) -> None:
        self._line, self.bodies = line, bodies
        self.at_once = bodies
        """The most bodies that shared the line at one time so far."""

    def __enter__(self) -> Self:
        here = self._line.under_way
        here[self] = None
        total = sum(share.bodies for share in list(here))
        for share in list(here):
            share.at_once = max(share.at_once, total, self._line.announced)
        return self

    def __exit__(self, *_: object) -> None:
        self._line.under_way.pop(self, None)


class Line:
    """What this process moves in one direction: the shares of it that are taken, and those announced.

    It has no lock, which a fork could leave held: each step is one operation on a dictionary of this process.
    """

    def __init__(self) -> None:
        self._shares: dict[Process, dict[Share, None]] = {}
        self._plan: Line | None = None

    @property
    def under_way(self) -> dict[Share, None]:
        """The shares that are taken in this process."""
        return self._shares.setdefault(this_process(), {})

    @property
    def announced(self) -> int:
        """How many bodies there will be at once."""
        return 0 if self._plan is None else sum(share.bodies for share in list(self._plan.under_way))

    def announce(self, bodies: int) -> Share:
        """Return a context in which so many bodies will be sent at once: a deadline that is set once needs to know."""
        if self._plan is None:
            self._plan = Line()
        return Share(self._plan, bodies)


UP, DOWN = Line(), Line()


class Watch(Share):
    """One body on its way down, as a context: how much of it has moved since when."""

    def __init__(self, patience: Patience, attempt: Attempt, size: int) -> None:
        super().__init__(DOWN)
        self._patience, self._attempt, self._size = patience, attempt, size
        self._begun = monotonic()
        self.moved = 0

    def note(self, count: int) -> None:
        """Note that so many bytes have moved.

        Raises:
            DeadlineExceeded: all of them were too slow.
        """
        self.moved += count
        if self.spent > self._patience.seconds(self.moved, at_once=self.at_once):
            raise self.late()

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return monotonic() - self._begun

    def late(self) -> DeadlineExceeded:
        """Make the error for a body that is too slow."""
        return self._patience.late(
            self._attempt, moved=self.moved, size=self._size, seconds=self.spent, at_once=self.at_once
        )
