"""The result of an examination: findings, each with its remedy, and facts about the environment of the store.

Owns the values and the list of codes. Reads nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from artifact_store.core.manifest import Manifest
from artifact_store.core.references import RunRef
from artifact_store.ops.delete import StepResult
from artifact_store.ops.plan import Action, Plan
from artifact_store.run import Run
from artifact_store.storage.base import Trait

Severity = Literal["error", "warning", "note", "unknown"]

SEVERITIES: Final[Mapping[Severity, str]] = {
    "error": "something is lost, cannot be loaded, or keeps the store from working",
    "warning": "it works, and something should be done",
    "note": "worth knowing",
    "unknown": "could not be found out, which does not mean that it is fine",
}

CODES: Final[Mapping[str, str]] = {
    # the root
    "no-store": "the root is empty or does not exist",
    "not-a-store": "the root holds something else",
    "marker-missing": "_store.json is missing",
    "marker-corrupt": "_store.json cannot be read",
    "mode-differs": "the store was made for another kind of writers than this client",
    "store-id-differs": "runs say that they belong to another store",
    "unreachable": "the storage does not answer",
    "cannot-list": "a part of the store cannot be listed",
    "cannot-read": "these credentials or permissions do not reach an object",
    "format-too-new": "a newer release wrote it",
    # aliases
    "pointer-corrupt": "the pointer of an alias cannot be read",
    "pointer-missing": "an alias has a history and no pointer",
    "pointer-dangling": "an alias names a run that is not there",
    "pointer-names-deleted": "an alias names a run that is marked as deleted",
    "pointer-other-manifest": "an alias names another manifest than the run has",
    "pointer-behind-history": "the archive of an alias knows later publishes than its pointer",
    "history-gap": "a part of the history of an alias is missing",
    "history-corrupt": "a part of the history of an alias cannot be read, or contradicts the rest",
    "never-published": "runs were saved to be published under an alias that does not exist",
    # runs
    "save-in-progress": "files without a manifest, and young: a save under way",
    "torn-run": "files without a manifest: a save that was cut short",
    "manifest-corrupt": "the manifest of a run cannot be read",
    "quarantined": "a damaged manifest is in quarantine, and the files of its run wait for gc",
    "file-missing": "a file of a run is not there",
    "file-size": "a file of a run has another size",
    "file-hash": "a file of a run has other bytes",
    "orphan-attempt": "another save under the same run id left it",
    "unlisted-file": "it lies below a run and is not one of its files",
    "sweep-unfinished": "a deleted run still has files",
    "sweep-due": "a deleted run can be removed",
    # names and foreign objects
    "windows-name": "Windows could not hold an object of this name",
    "case-twins": "Windows could not tell two names apart",
    "foreign-object": "it does not belong to the store",
    "orphan-upload": "an unfinished upload",
    "leftover-file": "a leftover temporary file of a writer that crashed",
    "leftover-probe": "a leftover probe of a writer that crashed",
    "orphan-lock": "it lies among the locks and is not a lock in use",
    "broken-lock": "something else lies in the place of a lock",
    # the environment
    "clock": "the clocks of this machine and of the storage differ",
    "cannot-write": "nothing can be written here",
    "conditions": "conditional writes do not hold, or not as it was recorded",
    "network-mount": "the folder is on a network",
    "permissions": "others than the owner reach the folder",
    "hard-links": "the file system has no hard links",
    "lifecycle": "no lifecycle rule aborts unfinished uploads",
    "versioning": "the bucket keeps old versions",
    "object-lock": "the bucket keeps objects from being removed",
    "uploads": "unfinished uploads cannot be listed",
}
"""Every code that a finding may have, and what it means. Codes are never renamed."""


BY_REPAIR: Final = "`artifact-store doctor --repair --apply`"
"""The command in the remedy of a finding with a repair."""


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
class Fact:
    """One thing about the environment of the store, and whether it is as it should be."""

    name: str
    state: Literal["fine", "note", "warning", "error", "unknown"]
    message: str

    @classmethod
    def of(cls, trait: Trait) -> Fact:
        """Return a fact from what a backend says."""
        return cls(trait.name, trait.state, trait.message)


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
    facts: tuple[Fact, ...]
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
