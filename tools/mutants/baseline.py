"""Which test runs which line, and how long it takes: learned once, kept until something changes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.mutants.project import Candidate, Project
from tools.mutants.trial import Wanted

_SHORTEST = 10.0  # seconds that every test is given
_TIMES = 20.0  # as often as long as it took without a change


class Stale(Exception):
    """Tests fail without any change; nothing can be said about mutants."""


@dataclass(frozen=True)
class Test:
    """One test as it was without any change: how long it took, and how long the processor worked for it."""

    name: str
    took: float
    worked: float
    lines: Mapping[str, frozenset[int]] = field(repr=False)

    def is_named_after(self, file: str) -> bool:
        """Tell whether it stands in ``test_keys.py``, say, if ``file`` is some ``keys.py``."""
        return self.name.partition("::")[0].endswith(f"test_{Path(file).name}")

    def share(self, file: str) -> float:
        """Return how much of what it runs is in this file: the more, the likelier it is about that, to one digit."""
        return round(len(self.lines.get(file, ())) / max(1, sum(map(len, self.lines.values()))), 1)

    @property
    def function(self) -> str:
        """Its name without parameters."""
        return self.name.partition("[")[0]


class Baseline:
    """The tests that are asked, by the lines that they run."""

    def __init__(self, project: Project, tests: Sequence[Test]) -> None:
        self._project = project
        self._tests = sorted((test for test in tests if test.worked <= project.slowest), key=lambda test: test.worked)
        self._by_line: dict[tuple[str, int], set[int]] = {}
        self._by_file: dict[str, set[int]] = {}
        self._without_lines: set[int] = set()  # these look at constants and classes, which are there after the import
        self._rank: list[int] = []  # the how-manieth case of its function a test is
        met: Counter[str] = Counter()
        for number, test in enumerate(self._tests):
            self._rank.append(met[test.function])
            met[test.function] += 1
            if not test.lines:
                self._without_lines.add(number)
            for file, lines in test.lines.items():
                self._by_file.setdefault(file, set()).add(number)
                for line in lines:
                    self._by_line.setdefault((file, line), set()).add(number)
        self._kills: Counter[tuple[str, str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._tests)

    def tests_for(self, candidate: Candidate) -> Wanted:
        """Return the tests that run what was changed, the most promising first, as many as the budget allows.

        First those that killed a mutant of the same function before, then those in a file of tests that is named after
        this one, then those that run little else.
        Of equals one case of every test function, the fastest first, then a second case of each, and so on.
        """
        file, place = candidate.module.file, candidate.mutant.place
        found: set[int] = set()
        if place.function is not None:
            for line in range(place.lines[0], place.lines[1] + 1):
                found |= self._by_line.get((file, line), set())
        found = found or self._by_file.get(file, set()) | self._without_lines

        def promise(number: int) -> tuple[float, ...]:
            test = self._tests[number]
            kills = self._kills[file, candidate.mutant.scope, test.name]
            named = test.is_named_after(file)
            return -kills, not named, bool(test.lines), -test.share(file), self._rank[number], number

        wanted: dict[str, float] = {}
        left = self._project.budget
        for number in sorted(found, key=promise):
            test = self._tests[number]
            left -= test.worked
            if left < 0:
                break
            wanted[test.name] = _SHORTEST + _TIMES * test.took
        return wanted

    def learn_from(self, candidate: Candidate, killer: str) -> None:
        """Remember which test saw a mutant."""
        self._kills[candidate.module.file, candidate.mutant.scope, killer] += 1


def test_files(project: Project) -> list[str]:
    """Return the files with tests."""
    found: set[Path] = set()
    for pattern in project.tests:
        path = project.root / pattern
        found |= set(path.rglob("test_*.py")) if path.is_dir() else {path}
    for pattern in project.ignored:
        found -= set(project.root.glob(pattern))
    return sorted(path.relative_to(project.root).as_posix() for path in found)


class Kept:
    """What was learned about each file of tests, in a file of its own, until something changes."""

    def __init__(self, project: Project, path: Path) -> None:
        self._project, self._path = project, path
        self._support = project.digest()
        self._files: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def _digest(self, file: str) -> str:
        text = (self._project.root / file).read_bytes()
        return hashlib.sha256(self._support.encode() + text).hexdigest()

    def stale(self) -> list[str]:
        """Return the files of tests about which something has to be learned."""
        kept = {file: entry["digest"] for file, entry in self._files.items()}
        return [file for file in test_files(self._project) if kept.get(file) != self._digest(file)]

    def add(self, file: str, learned: Mapping[str, Any]) -> None:
        """Keep what was learned about a file of tests.

        Raises:
            Stale: one of their tests fails.
        """
        if learned["failed"]:
            raise Stale("these tests fail without any change:\n" + "\n".join(learned["failed"]))
        self._files[file] = {"digest": self._digest(file), "tests": learned["tests"]}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._files), encoding="utf-8")

    def tests(self) -> list[Test]:
        """Return every test about which something was learned."""
        return [
            Test(name, test["took"], test["worked"], {file: frozenset(lines) for file, lines in test["lines"].items()})
            for file in test_files(self._project)
            for name, test in self._files[file]["tests"].items()
        ]
