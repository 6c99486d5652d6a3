"""The result of an examination: findings, each with its remedy, and facts about the environment of the store.

Owns the values. Reads nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, get_args

from artifact_store.core.manifest import Manifest
from artifact_store.core.references import RunRef
from artifact_store.ops.delete import StepResult
from artifact_store.ops.plan import Action, Plan
from artifact_store.run import Run
from artifact_store.storage.base import Trait

Severity = Literal["error", "warning", "note", "unknown"]

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""The worst first. ``docs/doctor.md`` says what each means, and each code; neither is ever renamed."""

BY_REPAIR: Final = "`artifact-store doctor --repair --apply`"
COPY: Final = "restore it from a copy of the store"


@dataclass(frozen=True, slots=True)
class Repair:
    """What would repair a finding. It is checked again when it is carried out, with the storage's time then."""

    action: Action
    reason: str
    carry_out: Callable[[datetime], StepResult]
    bytes: int = 0
    only_if_asked: bool = False
    """It cannot be undone, so it is only done if it is asked for."""
    question: str = ""
    """Why a person has to choose a run before it is carried out; empty where it is known which one."""
    choose: Callable[[Manifest], Repair] | None = field(default=None, compare=False, repr=False)
    """Returns the repair with a run that a person has chosen."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing: the target, what is wrong with it, and the remedy."""

    code: str
    severity: Severity
    target: str
    """A run or an alias as references are written, the key of an object, or the root."""
    message: str
    remedy: str = ""
    """A command to type, and nothing else; or a sentence, which does not begin with one."""
    repair: Repair | None = field(default=None, compare=False, repr=False)

    @property
    def repairable(self) -> bool:
        """Whether a repair is offered."""
        return self.repair is not None

    def __str__(self) -> str:
        return f"{self.severity} {self.code} at {self.target}: {self.message}"


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was examined; ``bytes_read`` counts the files that were compared byte by byte."""

    objects: int = 0
    bytes: int = 0
    models: int = 0
    runs: int = 0
    aliases: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of an examination. Iterates over the findings, the worst first; changes nothing by itself."""

    url: str
    findings: tuple[Finding, ...]
    facts: tuple[Trait, ...]
    counts: Counts
    deep: bool
    make_plan: Callable[[Sequence[Finding], bool, Sequence[str]], Plan] = field(compare=False, repr=False)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or f"{self.url}: nothing is wrong"

    @property
    def ok(self) -> bool:
        """No finding is an error. There may be warnings, and what could not be found out."""
        return not self.of("error")

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(found for found in self.findings if found.severity == severity)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of all findings, in their order."""
        return tuple(found.code for found in self.findings)

    def repair(self, *, quarantine: bool = False, to: Run | RunRef | str | Sequence[Run | RunRef | str] = ()) -> Plan:
        """Return the plan to repair what is safe to repair; nothing happens before it is applied.

        With ``quarantine`` also runs whose manifest is damaged are taken out of the way, if no alias names them:
        a tombstone that keeps the damaged bytes takes its place, and ``gc`` removes their files after the grace
        period. Every step checks again before it changes anything. Examine the store again afterwards.

        ``to`` is the run that a damaged pointer is to name, such as ``gru/BTCEUR:20240816_142301_k3f8qz``, or
        several, one for each pointer; ``gru/BTCEUR@latest=20240816_142301_k3f8qz`` where several pointers of a model
        are damaged. It is needed where the archive of the alias and the runs leave a choice.

        Raises:
            RunNotFound, RunDeleted: the run ``to`` is not there (any more).
            Conflict: it is a run of another model than that of the pointer.
            InvalidOption: no such pointer is damaged, or it is not said which of several is meant.
            InvalidReference, InvalidName: it is not the name of a run.
        """
        several = [to] if isinstance(to, Run | RunRef | str) else to
        choices = [str(one.ref if isinstance(one, Run) else one) for one in several]
        return self.make_plan(self.findings, quarantine, choices)
