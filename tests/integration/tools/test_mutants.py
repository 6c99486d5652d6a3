"""The tool that changes sources to see whether tests notice: on a toy whose mutants are known."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutants.operators import mutants

ROOT = Path(__file__).resolve().parents[3]
TOY = '''"""A toy."""

LIMIT = 3


def is_large(number: int) -> bool:
    """Tell whether it is large."""
    return number > LIMIT


def first(numbers: list[int]) -> int:
    if not numbers:
        raise ValueError("there are no numbers")
    return numbers[0]


def never_asked(number: int) -> int:
    return number + 1
'''
TESTS = """import pytest
from toy import first, is_large

def test_four_is_large_and_three_is_not():
    assert is_large(4)
    assert not is_large(3)

def test_that_fails_and_is_not_asked():
    raise AssertionError

def test_the_first():
    assert first([5, 6]) == 5
    with pytest.raises(ValueError):
        first([])
"""
PROJECT = """root = "."
[groups]
toy = ["toy.py"]
[tests]
tests = ["test_toy.py"]
ignored = []
deselected = ["test_toy.py::test_that_fails"]
servers = []
preload = []
support = ["toy.py"]
errors = ["ValueError"]
slowest = 10.0
budget = 20.0
threshold = 0.9
"""
ACCEPTED = """[[accepted]]
file = "toy.py"
function = "never_asked"
change = ["- return number + 1", "+ return number - 1"]
reason = "nobody asks"
"""


def changes(source: str) -> list[str]:
    """Every mutant of a source, as the text that it becomes."""
    tree = ast.parse(source)
    found = []
    for mutant in mutants(tree, frozenset({"ValueError"})):
        with mutant.applied():
            found.append(ast.unparse(tree))
    assert ast.unparse(tree) == ast.unparse(ast.parse(source))  # each change was taken back
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["a <= b"]),
        ("a and b", ["a or b", "b", "a"]),
        ("x = [n for n in a if n]", ["x = [n for n in a]", "x = [n for n in a if not n]"]),
        ("f(a, b, c=d)", ["f(a, b)", "f(b, a, c=d)"]),
        ("x = 7", ["x = 8", "x = 6"]),
        ("x = 'word'", ["x = ''"]),
        ("x = 'two words'", []),
        ("raise ValueError('word')", ["pass", "raise ZeroDivisionError"]),
        ("x: int = y[1:]", ["x: int = y[:]", "x: int = y[2:]", "x: int = y[0:]"]),
        ("assert a == b", []),
        ("def __repr__(self):\n    return 'word'", []),
        ("for x in y:\n    continue", ["for x in y:\n    break"]),
        ("try:\n    f()\nexcept (A, B):\n    pass", ["(B,)", "(A,)"]),
    ],
)
def test_a_source_is_changed_at_one_place_at_a_time(source: str, expected: list[str]):
    found = changes(source)
    if source.startswith("try"):
        assert [line for text in found for line in text.splitlines() if line in {"except (B,):", "except (A,):"}] == [
            f"except {kinds}:" for kinds in expected
        ]
    else:
        assert [text for text in found if text != "pass" or source.startswith("raise")] == expected


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    for name, text in {
        "toy.py": TOY,
        "test_toy.py": TESTS,
        "project.toml": PROJECT,
        "accepted.toml": ACCEPTED,
        "pytest.ini": "[pytest]\n",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def ask(toy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.mutants", "--project", str(toy / "project.toml"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants live in forked processes")
def test_it_tells_what_the_tests_see_and_what_they_do_not(toy: Path):
    done = ask(toy, "--json")
    report = json.loads(done.stdout)
    found = [(each["function"], each["kind"], each["outcome"]) for each in report["mutants"]]
    assert ("is_large", "comparison", "killed") in found
    assert ("<module>", "constant", "killed") in found
    assert ("first", "other error", "killed") in found
    assert {function for function, _, outcome in found if outcome == "survived"} == {"never_asked"}
    survived = {tuple(each["change"]): each["accepted"] for each in report["mutants"] if each["outcome"] == "survived"}
    assert survived["- return number + 1", "+ return number - 1"] == "nobody asks"
    assert survived["- return number + 1", "+ return number + 2"] == ""
    assert done.returncode == 1  # a quarter of the survivors is accepted, which is not enough


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants live in forked processes")
def test_a_new_test_is_asked_about_the_survivors_only(toy: Path):
    ask(toy)
    with (toy / "test_toy.py").open("a", encoding="utf-8") as tests:
        tests.write("\ndef test_the_next():\n    from toy import never_asked\n    assert never_asked(3) == 4\n")
    done = ask(toy, "--again")
    assert done.returncode == 0
    assert "are known" in done.stderr
    assert "never_asked" not in done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants live in forked processes")
def test_nothing_is_said_about_mutants_when_a_test_fails_without_them(toy: Path):
    (toy / "test_toy.py").write_text("def test_wrong():\n    assert False\n", encoding="utf-8")
    done = ask(toy)
    assert done.returncode == 2
    assert "test_toy.py::test_wrong" in done.stderr
