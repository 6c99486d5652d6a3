"""A proof says what came of it in one way: its tables, what is violated, and an exit status."""

from __future__ import annotations

import json

import pytest

from tests.proofs.outcome import MOST, told

ROWS = [{"place": "memory", "saves": 12}, {"place": "disk", "saves": 3}]


def test_what_is_not_violated_ends_with_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert told({"saves": ROWS}, [], as_json=False) == 0
    assert capsys.readouterr().out == "place   saves\nmemory     12\ndisk        3\n\n0 violations\n"


def test_several_tables_have_their_names_and_violations_are_told_up_to_a_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    violations = [f"number {number}" for number in range(MOST + 1)]
    assert told({"saves": ROWS, "races": ROWS[:1], "none": []}, violations, as_json=False) == 1
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line in {"saves", "races", "none"}] == ["saves", "races"]
    assert said.count("  number ") == MOST
    assert said.endswith(f"\n{MOST + 1} violations\n")


def test_json_has_the_tables_and_all_violations(capsys: pytest.CaptureFixture[str]) -> None:
    violations = ["lost"] * (MOST + 1)
    assert told({"saves": ROWS}, violations, as_json=True) == 1
    assert json.loads(capsys.readouterr().out) == {"saves": ROWS, "violations": violations}
