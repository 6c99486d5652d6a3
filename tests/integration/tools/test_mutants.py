"""What mutation testing is told, and how it reads what mutmut made; that mutmut runs is shown by running it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tools.mutants import ACCEPTED, CONFIG, Tried, difference, judged, score, table

ROOT = Path(__file__).parents[3]
FILES = [file for group in CONFIG["groups"].values() for file in [*group["sources"], *group["tests"]]]
MADE = """
def x_greet__mutmut_orig(name, *, loud = False):
    if loud and name: return name.upper()
    return f"Hello,   {name}"
def x_greet__mutmut_1(name, *, loud = True):
    if loud and name: return name.upper()
    return f"Hello,   {name}"
def x_greet__mutmut_2(name, *, loud = False):
    if loud or name: return name.upper()
    return f"Hello,   {name}"
class Greeter:
    def xǁGreeterǁ__call____mutmut_orig(self):
        return (1 +
                2)
    def xǁGreeterǁ__call____mutmut_3(self):
        return (1 -
                2)
"""


def installed(file: str) -> Path | None:
    """Where a file of the checkout is; from the tree of a source distribution the package itself is gone."""
    return ROOT / file if (ROOT / "artifact_store").is_dir() else None


@pytest.mark.parametrize("file", FILES)
def test_every_file_that_is_named_is_there(file):
    path = installed(file)
    if path is None:
        pytest.skip("the sources are out of sight")
    assert path.is_file()


@cache
def lines_of(path: Path) -> dict[str, list[str]]:
    """The lines of every function and method of a module, in the layout of ``ast.unparse``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [(f"{node.name}.", node.body) for node in tree.body if isinstance(node, ast.ClassDef)]
    return {
        prefix + node.name: [line.strip() for line in ast.unparse(node).splitlines()]
        for prefix, body in [("", tree.body), *classes]
        for node in body
        if isinstance(node, ast.FunctionDef)
    }


def test_every_accepted_survivor_is_a_line_of_the_code_and_has_a_reason_once():
    if installed("") is None:
        pytest.skip("the sources are out of sight")
    for entry in ACCEPTED:
        lines = lines_of(ROOT / entry["file"])[entry["function"]]
        removed, added = entry["change"]
        assert removed.removeprefix("- ") in lines, entry
        assert added.startswith("+ ")
        assert entry["reason"]
    named = [(entry["file"], entry["function"], *entry["change"]) for entry in ACCEPTED]
    assert len(set(named)) == len(named)
    assert {entry["file"] for entry in ACCEPTED} <= set(FILES)


def test_a_mutant_is_told_as_the_lines_that_it_changes(tmp_path):
    made = tmp_path / "made.py"
    made.write_text(MADE, encoding="utf-8")
    assert difference(made, "x_greet__mutmut_1") == (
        "greet",
        ("- def greet(name, *, loud=False):", "+ def greet(name, *, loud=True):"),
    )
    assert difference(made, "x_greet__mutmut_2") == ("greet", ("- if loud and name:", "+ if loud or name:"))
    assert difference(made, "xǁGreeterǁ__call____mutmut_3") == (
        "Greeter.__call__",
        ("- return 1 + 2", "+ return 1 - 2"),
    )


def test_only_the_very_change_that_was_accepted_is_accepted():
    entry = next(entry for entry in ACCEPTED if entry["change"][0].startswith("- close ="))
    place = entry["file"], entry["function"]
    accepted = judged(0, *place, tuple(entry["change"]))
    assert (accepted.outcome, accepted.reason) == ("accepted", entry["reason"])
    like = judged(0, *place, (entry["change"][0], "+ close = None"))
    assert like.outcome == "survived"
    assert like.reason
    assert judged(0, entry["file"], "other", tuple(entry["change"])).outcome == "survived"
    assert judged(1, *place, tuple(entry["change"])).outcome == "killed"
    assert judged(-24, *place, tuple(entry["change"])).outcome == "killed"
    assert judged(33, *place, tuple(entry["change"])).outcome == "untested"


def test_the_table_counts_and_shows_what_was_not_accepted():
    ends = ["killed"] * 6 + ["survived", "untested", "accepted", "accepted"]
    mutants = [Tried("a.py", f"f{number}", ("- 1", "+ 2"), end, "") for number, end in enumerate(ends)]
    assert score(mutants) == 0.75
    lines = [" ".join(line.split()) for line in table({"all": mutants})]
    assert lines[1:3] == ["a.py 10 6 1 1 2 75.0%", "all 10 6 1 1 2 75.0%"]
    assert [line for line in lines if line.startswith("a.py f")] == [
        "a.py f6 (survived) - 1 + 2",
        "a.py f7 (untested) - 1 + 2",
    ]
