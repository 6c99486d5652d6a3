"""A plan: what would be deleted or cleared away, what is kept and why; nothing happens before it is applied.

Applying looks at everything again. What has changed since makes a plan do less, never more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from artifact_store.core.names import ModelKey, RunId
from artifact_store.errors import AccessDenied, ArtifactStoreError, OutcomeUnknown, Unavailable
from artifact_store.ops.delete import Result, StepResult
from artifact_store.ops.outage import Outage
from artifact_store.problems import Problem
from artifact_store.storage.base import Unfinished
from artifact_store.storage.owned_folder import Leftover

Action = Literal["delete", "sweep", "restore", "clear", "abort", "rebuild", "quarantine", "fix", "keep"]

_REMOVES: Final = frozenset({"delete", "sweep", "clear", "abort"})
_REMOVED: Final = frozenset({"deleted", "swept", "cleared", "aborted"})


@dataclass(frozen=True, slots=True)
class PlanStep:
    """What is meant to become of one thing, and why.

    ``delete`` hides a run, ``sweep`` removes the files of one that was deleted long enough ago, ``restore`` brings
    back a deleted run that an alias names, ``clear`` removes what was never committed, ``abort`` gives up an
    unfinished upload, and ``keep`` does nothing. ``rebuild`` writes a document anew that cannot be read,
    ``quarantine`` takes a damaged manifest out of the way, and ``fix`` puts right what is around the objects.
    ``bytes`` is the room that it takes.
    """

    target: str
    """The run, as references are written, the key of an object, or the path of a folder of temporary files."""
    action: Action
    reason: str
    bytes: int = 0
    key: ModelKey | None = None
    run_id: RunId | None = None
    upload: Unfinished | None = None
    leftover: Leftover | None = None
    """A folder of temporary files, which ``target`` is the path of."""

    def __str__(self) -> str:
        return f"{self.action} {self.target}: {self.reason}"


@dataclass(frozen=True, slots=True)
class AppliedStep:
    """What came of a step; ``result`` is ``kept`` where it was not carried out, and ``error`` is why, if it failed."""

    step: PlanStep
    result: Result
    detail: str = ""
    error: ArtifactStoreError | None = None

    def __str__(self) -> str:
        return f"{self.result} {self.step.target}: {self.detail or self.step.reason}"


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What came of a plan. Iterates over its changes, one by one."""

    done: tuple[AppliedStep, ...]

    def __iter__(self) -> Iterator[AppliedStep]:
        return iter(self.done)

    def __str__(self) -> str:
        return "\n".join(map(str, self.done)) or "nothing was to be done"

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The steps that failed, each with its error."""
        return tuple(Problem(one.step.target, one.error) for one in self.done if one.error is not None)

    @property
    def ok(self) -> bool:
        """No step failed; some may have been left out, because things have changed since they were planned."""
        return not self.problems

    @property
    def bytes(self) -> int:
        """The room of what was hidden or removed."""
        return sum(one.step.bytes for one in self.done if one.result in _REMOVED)


CarryOut = Callable[[Sequence[PlanStep]], Iterable[StepResult | ArtifactStoreError]]
"""Carries out steps, and gives what came of each, in their order."""


def one_by_one(carry_out: Callable[[PlanStep], StepResult]) -> CarryOut:
    """Return what carries out each step once it is asked what came of it."""

    def carried(steps: Sequence[PlanStep]) -> Iterator[StepResult | ArtifactStoreError]:
        for step in steps:
            try:
                yield carry_out(step)
            except ArtifactStoreError as error:
                yield error

    return carried


class Plan:
    """What would happen, step by step; iterating and printing it change nothing, :meth:`apply` does it.

    ``problems`` are what could not be read: nothing that depends on it is touched. ``notes`` are what a reader should
    know besides.
    """

    def __init__(
        self,
        steps: Iterable[PlanStep],
        begin: Callable[[], CarryOut],
        *,
        at_once: int = 1,
        problems: Sequence[Problem] = (),
        notes: Sequence[str] = (),
        strict: bool = False,
    ) -> None:
        self.steps = tuple(steps)
        self.problems = tuple(problems)
        self.notes = tuple(notes)
        self._begin, self._at_once, self._strict = begin, at_once, strict

    def __iter__(self) -> Iterator[PlanStep]:
        return iter(self.steps)

    def __repr__(self) -> str:
        return f"<Plan: {len(self.changes)} of {len(self.steps)} to change, {self.bytes:,} bytes>"

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps)) or "nothing to do"

    @property
    def changes(self) -> tuple[PlanStep, ...]:
        """The steps that do something."""
        return tuple(step for step in self.steps if step.action != "keep")

    @property
    def kept(self) -> tuple[PlanStep, ...]:
        """What is kept, each with the reason."""
        return tuple(step for step in self.steps if step.action == "keep")

    @property
    def bytes(self) -> int:
        """The room of what would be hidden or removed; a run that is only hidden keeps it until it is swept."""
        return sum(step.bytes for step in self.changes if step.action in _REMOVES)

    def apply(self) -> PlanResult:
        """Carry out the changes, each only if its reasons still hold.

        A step that fails is reported and does not stop the others. Applying a second time does what is left.

        Raises:
            RunInUse, RunDeleted, Conflict: a single run was to be deleted, and cannot be.
            Unavailable, AccessDenied, OutcomeUnknown: the storage refuses one step after the other.
        """
        if not self.changes:
            return PlanResult(())
        carry_out = self._begin()
        done: list[AppliedStep] = []
        outage = Outage(Unavailable, AccessDenied, OutcomeUnknown)
        for first in range(0, len(self.changes), self._at_once):
            steps = self.changes[first : first + self._at_once]
            for step, found in zip(steps, carry_out(steps), strict=True):
                outage.record(found)
                if isinstance(found, StepResult):
                    done.append(AppliedStep(step, found.result, found.detail))
                    continue
                if outage.has_begun or self._strict:
                    found.add_note(f"{len(done)} of {len(self.changes)} steps had come to an end before.")
                    raise found
                done.append(AppliedStep(step, "kept", str(found), found))
        return PlanResult(tuple(done))
