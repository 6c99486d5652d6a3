"""The result of a migration, run by run and alias by alias: for people, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from artifact_store.bulk.verdicts import JSON, error_from_json, error_to_json, problems_from_json, problems_to_json
from artifact_store.errors import ArtifactStoreError
from artifact_store.legacy.formats.convert import ConversionReport
from artifact_store.problems import Problem

Outcome = Literal["copied", "would copy", "already there", "conflict", "deleted", "refused"]
AliasOutcome = Literal["created", "would create", "already there", "kept", "refused"]


@dataclass(frozen=True, slots=True)
class Migrated:
    """One old run: its place, the run that it is now, and the outcome.

    ``conflict``: another run has its id in the store. ``deleted``: it was copied once and has been deleted there since.
    ``error`` says why, where it is not in the store.
    """

    source: str
    key: str
    run_id: str | None
    outcome: Outcome
    report: ConversionReport = field(default_factory=ConversionReport)
    error: ArtifactStoreError | None = None

    @property
    def ok(self) -> bool:
        """The run is in the store (or would be), or was deleted there on purpose."""
        return self.outcome not in {"conflict", "refused"}

    @property
    def is_there(self) -> bool:
        """The store has the run (or would have it)."""
        return self.ok and self.outcome != "deleted"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "source": self.source,
            "key": self.key,
            "run_id": self.run_id,
            "outcome": self.outcome,
            "features": self.report.features,
            "found": list(self.report.found),
            "inferred": list(self.report.inferred),
            "refused": [_problem(problem) for problem in self.report.refused],
            "error": None if self.error is None else _error(self.error),
        }


@dataclass(frozen=True, slots=True)
class MigratedAlias:
    """One name of the old tree. ``kept``: the store has it already, for another run, and it was not moved."""

    source: str
    key: str
    alias: str
    run_id: str | None
    outcome: AliasOutcome
    error: ArtifactStoreError | None = None

    @property
    def ok(self) -> bool:
        """The name is in the store, whatever it names there."""
        return self.outcome != "refused"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "source": self.source,
            "key": self.key,
            "alias": self.alias,
            "run_id": self.run_id,
            "outcome": self.outcome,
            "error": None if self.error is None else _error(self.error),
        }


@dataclass(frozen=True, slots=True)
class Migration:
    """Everything that came of a migration. Iterates per run; ``problems`` are places that hold no run."""

    old: str
    store: str
    dry_run: bool
    runs: tuple[Migrated, ...]
    aliases: tuple[MigratedAlias, ...]
    problems: tuple[Problem, ...]

    def __iter__(self) -> Iterator[Migrated]:
        return iter(self.runs)

    @property
    def ok(self) -> bool:
        """Everything in the old tree is in the store now (or would be); parts of runs may have been refused."""
        return not self.problems and all(run.ok for run in self.runs) and all(alias.ok for alias in self.aliases)

    @property
    def counts(self) -> dict[str, int]:
        """How many runs came to which outcome, in order of frequency."""
        return dict(Counter(run.outcome for run in self.runs).most_common())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "old": self.old,
            "store": self.store,
            "dry_run": self.dry_run,
            "ok": self.ok,
            "counts": self.counts,
            "runs": [run.to_json() for run in self.runs],
            "aliases": [alias.to_json() for alias in self.aliases],
            "problems": [_problem(problem) for problem in self.problems],
        }


def migrated_to_json(run: Migrated) -> JSON:
    """Return what came of an old run as JSON from which it can be made again, its errors included."""
    refused = problems_to_json(run.report.refused)
    return run.to_json() | {"refused": refused, "error": None if run.error is None else error_to_json(run.error)}


def migrated_from_json(value: JSON) -> Migrated:
    """Return it again."""
    found, inferred = tuple(value["found"]), tuple(value["inferred"])
    return Migrated(
        value["source"],
        value["key"],
        value["run_id"],
        value["outcome"],
        ConversionReport(value["features"], found, inferred, problems_from_json(value["refused"])),
        None if value["error"] is None else error_from_json(value["error"]),
    )


def _problem(problem: Problem) -> dict[str, Any]:
    return {"where": problem.where, **_error(problem.error)}


def _error(error: ArtifactStoreError) -> dict[str, Any]:
    return {"type": type(error).__name__, "message": str(error)}
