"""What is tested: which files are changed, which tests are asked, and which survivors were accepted, and why."""

from __future__ import annotations

import ast
import difflib
import hashlib
import marshal
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType

from tools.mutants.operators import Mutant, mutants


@dataclass(frozen=True)
class Module:
    """A source file under test, parsed; ``name`` is what imports it."""

    path: Path
    file: str
    group: str
    tree: ast.Module = field(repr=False)

    @property
    def name(self) -> str:
        """The dotted name of the module."""
        parts = Path(self.file).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def compiled(self) -> CodeType:
        """Return the code of the tree as it is now."""
        code: CodeType = compile(self.tree, str(self.path), "exec", dont_inherit=True)
        return code


@dataclass(frozen=True)
class Candidate:
    """A mutant of a module, with its number among all of them, and its ``local`` one among those of the module."""

    number: int
    local: int
    module: Module
    mutant: Mutant

    def code(self) -> CodeType:
        """Return the code of the module with the change."""
        with self.mutant.applied():
            return self.module.compiled()

    def is_none(self) -> bool:
        """Tell whether it compiles to the very same code as the original, so that there is nothing to be seen."""
        return marshal.dumps(self.code()) == marshal.dumps(self.module.compiled())

    @cached_property
    def change(self) -> tuple[str, ...]:
        """The lines that differ, each behind ``-`` or ``+``, in the layout of ``ast.unparse``."""
        around = next(
            node
            for node in self.module.tree.body
            if node is self.mutant.old or any(each is self.mutant.old for each in ast.walk(node))
        )
        place = self.module.tree.body.index(around)
        before = ast.unparse(around).splitlines()
        with self.mutant.applied():
            after = ast.unparse(self.module.tree.body[place]).splitlines()
        lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
        return tuple(f"{line[0]} {line[1:].strip()}" for line in lines if line[0] in "-+")

    @property
    def line(self) -> int:
        """Where in the file the change is."""
        return getattr(self.mutant.old, "lineno", self.mutant.place.lines[0])


@dataclass(frozen=True)
class Accepted:
    """A survivor that was looked at: nobody could tell it from the original, or nobody needs to."""

    file: str
    function: str
    change: tuple[str, ...]
    reason: str

    def is_of(self, candidate: Candidate) -> bool:
        """Tell whether this is about that change."""
        return (self.file, self.function, self.change) == (
            candidate.module.file,
            candidate.mutant.scope,
            candidate.change,
        )


@dataclass(frozen=True)
class Project:
    """The settings of a ``project.toml``, and what follows from them. Paths are relative to ``root``."""

    root: Path
    groups: Mapping[str, Sequence[str]]
    errors: Sequence[str]
    """Names of the classes whose positional arguments are text for people; a file stands for the classes in it."""
    tests: Sequence[str]
    ignored: Sequence[str]
    deselected: Sequence[str]
    """Beginnings of the names of single tests."""
    servers: Sequence[str]
    """Fixtures and parameters of tests that need a server: such tests are not asked."""
    preload: Sequence[str]
    support: Sequence[str]
    """What the outcome of tests depends on, beside the tests themselves."""
    slowest: float
    """Seconds of work: tests that need more are not asked."""
    budget: float
    """Seconds of work for the tests of one mutant, as they were measured without it."""
    threshold: float
    accepted: Sequence[Accepted]

    @classmethod
    def read(cls, path: Path) -> Project:
        """Read a ``project.toml`` with its ``accepted.toml`` beside it."""
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        beside = path.with_name("accepted.toml")
        entries = tomllib.loads(beside.read_text(encoding="utf-8")).get("accepted", []) if beside.exists() else []
        return cls(
            root=(path.parent / settings["root"]).resolve(),
            groups=settings["groups"],
            accepted=[Accepted(**entry | {"change": tuple(entry["change"])}) for entry in entries],
            **settings["tests"],
        )

    @property
    def kept_in(self) -> Path:
        """Where things are kept from one run to the next."""
        return self.root / "build" / "mutants"

    def modules(self) -> Iterator[Module]:
        """Yield the sources that are changed."""
        for group, patterns in self.groups.items():
            for pattern in patterns:
                for path in sorted(self.root.glob(pattern)):
                    tree = ast.parse(path.read_text(encoding="utf-8"))
                    yield Module(path, path.relative_to(self.root).as_posix(), group, tree)

    def error_names(self) -> frozenset[str]:
        """Return the names of the classes that speak to people."""
        names = {name for name in self.errors if not name.endswith(".py")}
        for file in set(self.errors) - names:
            tree = ast.parse((self.root / file).read_text(encoding="utf-8"))
            names |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        return frozenset(names)

    def candidates(self) -> list[Candidate]:
        """Return every mutant of every module."""
        errors = self.error_names()
        found = [
            (local, module, mutant)
            for module in self.modules()
            for local, mutant in enumerate(mutants(module.tree, errors))
        ]
        return [Candidate(number, *each) for number, each in enumerate(found)]

    def sources(self) -> dict[str, str]:
        """Return the sha256 of every source that is changed, by file."""
        return {module.file: hashlib.sha256(module.path.read_bytes()).hexdigest() for module in self.modules()}

    def digest(self) -> str:
        """Return what changes when a test may have another outcome without being changed itself."""
        state = hashlib.sha256()
        for pattern in self.support:
            for path in sorted(self.root.glob(pattern)):
                state.update(f"{path.relative_to(self.root)}\0".encode() + path.read_bytes())
        return state.hexdigest()
