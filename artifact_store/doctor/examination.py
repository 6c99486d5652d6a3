"""What the parts of an examination share: the store, what is asked for, and the list of what was found.

Total: an object that cannot be read never keeps another from being examined. Only a storage that does not answer at
all, several times in a row, ends the examination; that is a finding as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal, TypeVar

from artifact_store.doctor.report import Finding, Repair, Severity
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    FormatUnsupported,
    InvalidInput,
    Unavailable,
    Unsupported,
)
from artifact_store.ops import gc
from artifact_store.ops.context import Context
from artifact_store.ops.delete import StepResult
from artifact_store.ops.outage import Outage
from artifact_store.ops.plan import PlanStep
from artifact_store.storage.base import Trait
from artifact_store.storage.retry import with_retry

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 -- an item

_GRACE: Final = timedelta(days=7)  # which gc goes by if it is given no other


class StorageUnreachable(Exception):
    """The storage does not answer any more, so the examination ends."""


@dataclass(frozen=True, slots=True)
class Options:
    """How thorough an examination is, and what it may do."""

    deep: bool = False
    probes: bool = True
    grace: timedelta = _GRACE
    announce: Callable[[int], None] | None = None
    """Called with the number of bytes before the files are read."""


@dataclass
class Examination:
    """One examination under way."""

    context: Context
    options: Options
    now: datetime
    """The time of the storage, as near as it is known."""
    findings: list[Finding] = field(default_factory=list)
    facts: list[Trait] = field(default_factory=list)
    _outage: Outage = field(default_factory=Outage)

    def add(
        self, severity: Severity, code: str, where: str, what: str, *, remedy: str = "", repair: Repair | None = None
    ) -> None:
        """Report a finding."""
        self.findings.append(Finding(code, severity, where, what, remedy, repair))

    def add_for_gc(self, severity: Severity, code: str, step: PlanStep) -> None:
        """Report what ``gc`` takes care of, with its step as the repair."""

        def carry_out(now: datetime) -> StepResult:
            return gc.carry_out(self.context, step, grace=self.options.grace, now=now)

        offer = Repair(step.action, step.reason, carry_out, step.bytes)
        self.add(severity, code, step.target, step.reason, remedy=self.gc_command, repair=offer)

    def withdraw(self, code: str, where: str) -> str:
        """Take back a finding that another one replaces, and return its message; empty if there is no such finding."""
        messages = [found.message for found in self.findings if (found.code, found.target) == (code, where)]
        self.findings = [found for found in self.findings if (found.code, found.target) != (code, where)]
        return "".join(messages)

    def offer(self, code: str, where: str, repair: Repair) -> None:
        """Add a repair to a finding that has none."""
        self.findings = [
            replace(found, repair=repair)
            if (found.code, found.target) == (code, where) and found.repair is None
            else found
            for found in self.findings
        ]

    def fact(self, name: str, state: Literal["fine"] | Severity, message: str) -> None:
        """Report a fact about the environment of the store."""
        self.facts.append(Trait(name, state, message))

    @property
    def gc_command(self) -> str:
        """The command that clears now what is old enough for this examination."""
        grace = self.options.grace
        shorter = f" --grace {grace.total_seconds():.3f}".rstrip("0").rstrip(".") + "s" if grace < _GRACE else ""
        return f"artifact-store gc{shorter} --apply"

    def young(self, moment: datetime) -> bool:
        """Return whether something written at that time may belong to a save or an upload that is still under way."""
        return self.now - moment < self.options.grace

    def ask(self, read: Callable[[], T]) -> T | ArtifactStoreError:
        """Return what ``read`` returns, or its error. Raises nothing."""
        try:
            return with_retry(read, self.context.retry)
        except ArtifactStoreError as error:
            return error

    def every(
        self, items: Iterable[I], read: Callable[[I], T], *, at_once: int | None = None
    ) -> Iterator[tuple[I, T | ArtifactStoreError]]:
        """Yield each item with what ``read`` returns for it, or its error; so many are asked for ahead.

        Raises:
            StorageUnreachable: the storage did not answer for several of them in a row.
        """

        def work(item: I) -> T | ArtifactStoreError:
            return self.ask(lambda: read(item))

        with closing(
            self.context.workers.ahead(items, work, at_once=at_once or self.context.records.at_once)
        ) as answers:
            for item, future in answers:
                answer = future.result()
                self._outage.record(answer)
                if self._outage.has_begun:
                    raise StorageUnreachable(str(answer))
                yield item, answer

    def refused(self, where: str, error: ArtifactStoreError, *, what: str) -> bool:
        """Report an error that says nothing about the object itself, and return whether it is such an error."""
        if isinstance(error, FormatUnsupported):
            self.add("error", "format-too-new", where, str(error), remedy="upgrade artifact-store")
        elif isinstance(error, Unavailable):
            self.add("error", "unreachable", where, f"{what} did not arrive: {error}", remedy="try again later")
        elif isinstance(error, AccessDenied):
            remedy = "use credentials that may read and list, or correct the permissions"
            self.add("error", "cannot-read", where, f"{what} cannot be read: {error}", remedy=remedy)
        elif isinstance(error, InvalidInput | Unsupported):  # another region, a key that was not given
            remedy = "correct the storage options, then examine the store again"
            self.add("error", "cannot-read", where, f"{what} cannot be read: {error}", remedy=remedy)
        else:
            return False
        return True


def shown(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
