"""What clients did to one pointer and what they were told: the operations of a concurrent history, and their recorder."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from artifact_store.core.pointer import Publish


class End(enum.Enum):
    """How an operation ended for the one who called it."""

    OK = "it returned"
    REFUSED = "it raised that somebody else was there; it must not have had an effect"
    FAILED = "it raised something else that is certain; it must not have had an effect"
    UNKNOWN = "it may have had its effect at any moment since its call, may have it later, or never"


@dataclass(frozen=True, slots=True)
class Entry:
    """One publish as somebody saw it. ``mark`` names the operation that made it, ``write_id`` the write."""

    seq: int
    write_id: str
    mark: str
    run_id: str | None

    @classmethod
    def of(cls, publish: Publish) -> Entry:
        """The runs of this package put their mark into the reason."""
        return cls(publish.seq, publish.write_id, publish.reason, publish.run_id)


class Rule(enum.Enum):
    """What an operation has to publish over what it found: the sequential specification of the pointer."""

    READ = "nothing"
    PROMOTE = "the run that it was given"
    EXPECT = "the run that it was given, over the seq that it was given"
    NEWER = "the run that it was given, over none or an older one"
    ROLLBACK = "what served before the current run first served"
    RETIRE = "no run"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call from its invocation to its response, in nanoseconds of the one monotonic clock of this machine.

    ``seen`` is what it returned (its own publish, or what a read found) or, refused, what it was told was there;
    none: the alias was never published, or, refused, what is there could not be read. ``whole``: a read that returned the history up to ``seen`` as well.
    """

    mark: str
    rule: Rule
    begun: int
    ended: int
    end: End
    seen: Entry | None = None
    run_id: str | None = None
    expected: int | None = None
    whole: tuple[Entry, ...] | None = None
    error: str = ""

    @property
    def writes(self) -> bool:
        return self.rule is not Rule.READ

    @property
    def label(self) -> str:
        return f"{self.rule.name.lower()} {self.mark}"


class Recorder:
    """Takes down operations from many threads."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._operations: list[Operation] = []

    def add(self, operation: Operation) -> None:
        with self._lock:
            self._operations.append(operation)

    @property
    def operations(self) -> list[Operation]:
        with self._lock:
            return list(self._operations)
