"""Count what became of the mutants, and show the ones that no test saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tools.mutants.project import Candidate, Project
from tools.mutants.trial import Result

COLUMNS = ("mutants", "killed", "timed out", "survived", "accepted")


@dataclass(frozen=True)
class Tried:
    """A mutant and what came of it; ``accepted`` gives the reason where it was looked at, and is not tried again."""

    candidate: Candidate
    result: Result
    accepted: str = ""

    def lines(self) -> Iterator[str]:
        """Yield where the change is, and the lines that differ."""
        candidate = self.candidate
        yield f"{candidate.module.file}:{candidate.line} {candidate.mutant.scope} ({candidate.mutant.kind})"
        yield from (f"    {line}" for line in candidate.change)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        candidate = self.candidate
        return {
            "number": candidate.local,
            "file": candidate.module.file,
            "line": candidate.line,
            "function": candidate.mutant.scope,
            "kind": candidate.mutant.kind,
            "change": candidate.change if self.result.outcome == "survived" else (),
            "outcome": self.result.outcome,
            "by": self.result.by,
            "accepted": self.accepted,
        }


class Report:
    """The mutants that were tried, counted by module and by group."""

    def __init__(self, project: Project, tried: Iterable[Tried]) -> None:
        self.project = project
        self.tried = list(tried)

    def groups(self) -> Iterator[tuple[str, Counter[str]]]:
        """Yield the counts of each group."""
        for group in self.project.groups:
            yield group, self._counted(each for each in self.tried if each.candidate.module.group == group)

    def modules(self, group: str) -> Iterator[tuple[str, Counter[str]]]:
        """Yield the counts of each module of a group."""
        mine = [each for each in self.tried if each.candidate.module.group == group]
        for file in dict.fromkeys(each.candidate.module.file for each in mine):
            yield file, self._counted(each for each in mine if each.candidate.module.file == file)

    @staticmethod
    def _counted(tried: Iterable[Tried]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for each in tried:
            counts["mutants"] += 1
            counts["accepted" if each.accepted else each.result.outcome] += 1
        return counts

    @property
    def good(self) -> bool:
        """Whether every group reaches the threshold."""
        return all(score(counts) >= self.project.threshold for _, counts in self.groups() if counts["mutants"])

    def survivors(self) -> list[Tried]:
        """Return what no test saw and nobody accepted."""
        return [each for each in self.tried if each.result.outcome == "survived" and not each.accepted]

    def needless(self) -> list[str]:
        """Return what was accepted and is no change of the sources any more."""
        return [
            f"{entry.file} {entry.function}: {' '.join(entry.change)}"
            for entry in self.project.accepted
            if not any(each.accepted and entry.is_of(each.candidate) for each in self.tried)
        ]

    def lines(self) -> Iterator[str]:
        """Yield the table and the survivors, for people."""
        yield f"{'':44}" + "".join(f"{name:>10}" for name in COLUMNS) + f"{'seen':>9}{'score':>9}"
        for group, counts in self.groups():
            if counts["mutants"]:
                for file, mine in self.modules(group):
                    yield row(f"  {file}", mine)
                yield row(group, counts)
        for each in self.survivors():
            yield ""
            yield from each.lines()

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "groups": {group: {**counts, "score": round(score(counts), 4)} for group, counts in self.groups()},
            "mutants": [each.to_json() for each in self.tried],
        }


def seen(counts: Counter[str]) -> float:
    """Return the share of mutants that a test saw, of all of them."""
    return (counts["killed"] + counts["timed out"]) / max(1, counts["mutants"])


def score(counts: Counter[str]) -> float:
    """Return the share of mutants that a test saw, of those that are not accepted."""
    return (counts["killed"] + counts["timed out"]) / max(1, counts["mutants"] - counts["accepted"])


def row(name: str, counts: Counter[str]) -> str:
    """Return one line of the table."""
    numbers = "".join(f"{counts[column]:>10}" for column in COLUMNS)
    return f"{name:44}{numbers}{seen(counts):>9.1%}{score(counts):>9.1%}"


def accepted_reason(project: Project, candidate: Candidate) -> str:
    """Return why a change was accepted as a survivor, or nothing."""
    place = (candidate.module.file, candidate.mutant.scope)
    likely = (entry for entry in project.accepted if (entry.file, entry.function) == place)
    return next((entry.reason for entry in likely if entry.is_of(candidate)), "")
