"""The lower bounds of the requirements, as far as that can be told without installing them (``python dev.py floors`` does)."""

from __future__ import annotations

import pytest

from tools import floors as tool
from tools.environment import pinned
from tools.floors import NOT_LOWERED, floors, installed_together
from tools.processes import Failed


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def test_every_requirement_has_one_lower_bound_and_no_other():
    assert {"pydantic", "fsspec", "torch", "pandas", "tqdm", "s3fs"} <= set(floors())


@pytest.mark.parametrize("wrong", ["tqdm", "tqdm==4.66", "tqdm>=4.66,<5", "tqdm>4", "tqdm>=4.65"])
def test_a_requirement_without_a_lower_bound_alone_and_a_second_bound_are_refused(monkeypatch, wrong):
    told = {"dependencies": ["tqdm>=4.66"], "optional-dependencies": {"dev": ["ruff"], "more": [wrong]}}
    monkeypatch.setattr(tool, "project", lambda folder=".": told)
    with pytest.raises(Failed, match="lower bound"):
        floors()


@pytest.mark.parametrize("name", sorted(floors()))
def test_a_lower_bound_is_not_above_what_is_tested_every_day(name):
    assert numbers(floors()[name]) <= numbers(pinned()[name])


def test_the_oldest_environment_is_that_of_the_bounds():
    wanted = dict(text.split("==") for text in installed_together())
    assert {name: wanted[name] for name in floors() if name not in NOT_LOWERED} == {
        name: version for name, version in floors().items() if name not in NOT_LOWERED
    }
