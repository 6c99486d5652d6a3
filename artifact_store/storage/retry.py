"""How often and how long reads and writes are repeated that the storage could not do for the moment.

This is above every engine: what an engine repeats by itself, below one call, is in its own folder
(``obstore/client.py`` and ``backend.py``, ``s3fs/calls.py``).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from artifact_store.errors import Unavailable

T = TypeVar("T")

LOGGER: Final = "artifact_store.retry"
_SILENT: Final = 2.0
"""Seconds after which a call that is repeated is worth to be told of."""
log = logging.getLogger(LOGGER)


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
        begun = self.clock()
        end = begun + self.seconds
        pause = self.first
        number = 0
        while True:
            yield number
            number += 1
            wait = random.uniform(pause / 2, pause)  # noqa: S311 -- spreads writers, guards nothing
            if self.clock() + wait >= end:
                return
            self.sleep(wait)
            spent = self.clock() - begun
            level = logging.INFO if spent > _SILENT else logging.DEBUG
            log.log(
                level, "the storage does not answer: attempt %d after %.0f of %.0f s", number + 1, spent, self.seconds
            )
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
