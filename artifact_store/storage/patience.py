"""How long the body of one request may take, in either direction: a time, and more of it for each byte.

Owns the rule and the words for what breaks it. Measures nothing by itself, and knows no client.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Any

from artifact_store.errors import DeadlineExceeded
from artifact_store.storage.http import Attempt

MIN_RATE = 32 << 10
"""Bytes a second that one body has to make in the long run, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Patience:
    """``timeout`` seconds for any body, and those that its bytes take at ``min_rate`` bytes a second."""

    timeout: float
    min_rate: float = MIN_RATE

    def options(self) -> dict[str, Any]:
        """Return it as the arguments that backends are made with."""
        return {"timeout": self.timeout, "min_rate": self.min_rate}

    def seconds(self, size: int) -> float:
        """Return how long a body of so many bytes may take."""
        return self.timeout + size / self.min_rate

    def late(self, attempt: Attempt, *, moved: int, size: int, seconds: float) -> DeadlineExceeded:
        """Make the error for a body of which so many bytes had moved after so long."""
        way = "came" if attempt.operation == "read" else "were taken"
        rate = f"{moved / seconds:,.0f} bytes a second" if seconds else "at once"
        return DeadlineExceeded(
            f"{attempt}: {moved:,} of {size:,} bytes {way} in {seconds:.1f} seconds ({rate}), which is too slow: "
            f"they have {self.timeout:g} seconds, and the time that they take at {self.min_rate:,.0f} bytes a second. "
            "Try again later; for a line that is always so slow, give a longer timeout (--timeout) or a lower min_rate "
            "(--min-rate)"
        )


class Watch:
    """One body on its way: how much of it has moved since when."""

    def __init__(self, patience: Patience, attempt: Attempt, size: int) -> None:
        self._patience, self._attempt, self._size = patience, attempt, size
        self._begun = monotonic()
        self.moved = 0

    def note(self, count: int) -> None:
        """Note that so many bytes have moved.

        Raises:
            DeadlineExceeded: all of them were too slow.
        """
        self.moved += count
        if self.spent > self._patience.seconds(self.moved):
            raise self.late()

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return monotonic() - self._begun

    def late(self) -> DeadlineExceeded:
        """Make the error for a body that is too slow."""
        return self._patience.late(self._attempt, moved=self.moved, size=self._size, seconds=self.spent)
