"""Mutation testing with mutmut: change one place of the sources at a time, and see whether a fast test notices.

Prints a table, then the survivors that `accepted.toml` gives no reason for, and ends with status 1 if a group stays
below the threshold. mutmut forks, so it does not run on Windows; and it changes functions only: no module, no class
body, and no function with a decorator other than `staticmethod` and `classmethod`.

Why: docs/decisions/0018-mutation-testing-with-mutmut.md
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent.parent
CONFIG: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
ACCEPTED: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("accepted.toml").read_text("utf-8"))["accepted"]
COLUMNS = ("killed", "survived", "untested", "accepted")
OUTCOMES = {0: "survived", 5: "untested", 33: "untested"}  # by the status that mutmut keeps; any other is a kill


class Tried(NamedTuple):
    """A mutant whose tests have run, the column in which it counts, and why it or one much like it may survive."""

    file: str
    function: str
    change: tuple[str, ...]
    outcome: str
    reason: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants and return 1 if a group stays below the threshold."""
    parser = argparse.ArgumentParser(prog="dev.py prove mutants", description=__doc__)
    parser.add_argument("--sample", type=int, metavar="N", help="try N mutants of each group, chosen by the seed")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--file", metavar="TEXT", default="", help="only those of files with TEXT in their path")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes that try mutants (2)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    asked = parser.parse_args(arguments)
    found = {group: mutants for group in CONFIG["groups"] if (mutants := list(tried(group, asked)))}
    told = {group: [each._asdict() for each in mutants] for group, mutants in found.items()}
    print(json.dumps(told, indent=1) if asked.json else "\n".join(table(found)))
    return int(any(score(mutants) < CONFIG["threshold"] for mutants in found.values()))


def tried(group: str, asked: argparse.Namespace) -> Iterator[Tried]:
    """Run mutmut in a copy of the checkout and yield what came of the mutants of a group."""
    sources = [file for file in CONFIG["groups"][group]["sources"] if asked.file in file]
    if not sources:
        return
    tree = HERE / "build" / "mutants" / group.replace(" ", "-")
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(HERE, tree, ignore=shutil.ignore_patterns(".*", "build", "__pycache__"))
    chosen = {"only_mutate": sources, "pytest_add_cli_args_test_selection": CONFIG["groups"][group]["tests"]}
    with (tree / "pyproject.toml").open("a", encoding="utf-8") as file:
        options = (f"{name} = {json.dumps(value)}" for name, value in (CONFIG["mutmut"] | chosen).items())
        file.write("\n".join(["", "[tool.mutmut]", *options, ""]))
    names = sample(tree, sources, asked.sample, asked.seed) if asked.sample else []
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(asked.jobs), *names]
    os.environ["OMP_NUM_THREADS"] = "1"
    with tree.with_suffix(".log").open("wb") as log:
        done = subprocess.run(command, cwd=tree, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise SystemExit(f"mutmut ended with status {done.returncode}; {tree.with_suffix('.log')} tells why")
    for source, made in ((source, tree / "mutants" / source) for source in sources):
        statuses = json.loads(made.with_name(f"{made.name}.meta").read_text("utf-8"))["exit_code_by_key"]
        for name in (name for name, status in statuses.items() if status is not None):
            yield judged(statuses[name], source, *difference(made, name.rpartition(".")[2]))


def sample(tree: Path, sources: Sequence[str], count: int, seed: int) -> list[str]:
    """Return the names of some mutants, as mutmut will call them."""
    os.chdir(tree)  # where mutmut looks for its settings
    from mutmut.configuration import reset_config
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name

    reset_config()
    made = {file: mutate_file_contents(file, Path(file).read_text("utf-8")).mutant_names for file in sources}
    names = [get_mutant_name(Path(file), name) for file in sources for name in made[file]]
    return random.Random(seed).sample(names, min(count, len(names)))  # noqa: S311 -- guards nothing


def difference(made: Path, mutant: str) -> tuple[str, tuple[str, ...]]:
    """Return which function a mutant is of, as ``f`` or ``C.f``, and the lines that differ."""
    mangled = mutant.rpartition("__mutmut_")[0]
    before, after = functions(made)[f"{mangled}__mutmut_orig"], functions(made)[mutant]
    lines = [*difflib.unified_diff(before, after, n=0, lineterm="")][2:]
    return original(mutant), tuple(f"{line[0]} {line[1:]}" for line in lines if line[0] in "-+")


@cache
def functions(module: Path) -> dict[str, list[str]]:
    """Return the lines of each function that mutmut made, under its name before, in the layout of ``ast.unparse``."""
    tree = ast.parse(module.read_text("utf-8"))
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    found = {}
    for node in (node for body in bodies for node in body if isinstance(node, ast.FunctionDef)):
        name, node.name = node.name, original(node.name).rpartition(".")[2]
        found[name] = [line.strip() for line in ast.unparse(node).splitlines()]
    return found


def original(name: str) -> str:
    """Return what ``x_f__mutmut_1`` or ``xǁCǁf__mutmut_1`` is in the sources: ``f``, ``C.f``."""
    return name.rpartition("__mutmut_")[0][2:].replace("ǁ", ".")


def judged(status: int, file: str, function: str, change: tuple[str, ...]) -> Tried:
    """Tell what a mutant counts as: the list accepts this change, and has a hint on others of the same line."""
    mine = [each for each in ACCEPTED if (each["file"], each["function"]) == (file, function)]
    near = {tuple(each["change"]): each["reason"] for each in mine if each["change"][:1] == [*change[:1]]}
    outcome = OUTCOMES.get(status, "killed") if status or change not in near else "accepted"
    return Tried(file, function, change, outcome, near.get(change) or next(iter(near.values()), ""))


def score(mutants: Sequence[Tried]) -> float:
    """Return the share that a test saw, of those that are not accepted."""
    counts = Counter(each.outcome for each in mutants)
    return counts["killed"] / max(1, counts.total() - counts["accepted"])


def table(found: dict[str, list[Tried]]) -> Iterator[str]:
    """Yield the counts of each group and file, then what was not accepted."""
    yield f"{'':44}{'mutants':>9}" + "".join(f"{name:>10}" for name in COLUMNS) + f"{'score':>9}"
    for group, mutants in found.items():
        for file in [*dict.fromkeys(each.file for each in mutants), ""]:
            mine = [each for each in mutants if file in each.file]
            counts = Counter(each.outcome for each in mine)
            numbers = "".join(f"{counts[column]:>10}" for column in COLUMNS)
            yield f"{f'  {file}' if file else group:44}{len(mine):>9}{numbers}{score(mine):>9.1%}"
    for each in (each for mutants in found.values() for each in mutants if each.outcome in {"survived", "untested"}):
        hint = [f"accepted of a change like this: {each.reason}"] if each.reason else []
        yield "\n    ".join([f"\n{each.file} {each.function} ({each.outcome})", *each.change, *hint])


if __name__ == "__main__":
    raise SystemExit(main())
