"""The table of what is replayed is whole: every row has its tests, and every test its row."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.proofs.replays.table import CASES, row_of

HERE = Path(__file__).parent


def names() -> list[str]:
    """The names of all tests of this package, but for those of this module."""
    trees = (
        ast.parse(path.read_text(encoding="utf-8"))
        for path in HERE.glob("test_*.py")
        if path.name != Path(__file__).name
    )
    return [
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    ]


def test_every_row_is_replayed_and_every_test_replays_one() -> None:
    rows = [row_of(name) for name in names()]
    assert None not in rows
    assert {case.number for case in CASES} == set(rows)


def test_the_rows_are_numbered_and_say_what_happened() -> None:
    assert [case.number for case in CASES] == list(range(1, len(CASES) + 1))
    assert len(CASES) >= 35
    assert len({case.identifier for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.project
        assert 20 < len(case.happened) <= 110
        assert not case.happened.endswith(".")
