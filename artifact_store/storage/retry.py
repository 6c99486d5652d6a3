"""How often and how long reads and writes are repeated that the storage could not do for the moment.

This is above every engine: what an engine repeats by itself, below one call, is in its own folder
(``obstore/client.py`` and ``backend.py``, ``s3fs/calls.py``).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from artifact_store.errors import Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to go on: total ``seconds``, pauses that double from ``first`` up to ``longest``, with full jitter."""

    seconds: float = 60.0
    first: float = 0.05
    longest: float = 2.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def tries(self) -> Iterator[int]:
        """Yield 0, 1, 2 … with a pause before each but the first, until the time is over."""
        end = self.clock() + self.seconds
        pause = self.first
        number = 0
        while True:
            yield number
            number += 1
            wait = random.uniform(pause / 2, pause)  # noqa: S311 -- spreads writers, guards nothing
            if self.clock() + wait >= end:
                return
            self.sleep(wait)
            pause = min(pause * 2, self.longest)


def with_retry(read: Callable[[], T], retry: RetryPolicy) -> T:
    """Repeat a read that the storage could not do for the moment, until the time of ``retry`` is over."""
    failure: Unavailable | None = None
    for _ in retry.tries():
        try:
            return read()
        except Unavailable as error:
            failure = error
    assert failure is not None
    raise failure
