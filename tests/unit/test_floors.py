"""The lower bounds of the requirements, as far as that can be told without installing them (``python dev.py floors`` does)."""

from __future__ import annotations

import pytest

from tools.environment import pinned
from tools.floors import NOT_LOWERED, floors, installed_together, requirements


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def test_every_requirement_has_one_lower_bound_and_no_other():
    found = floors()
    assert set(found) == {name for name, _ in requirements()}
    assert {"pydantic", "fsspec", "torch", "pandas", "tqdm", "s3fs"} <= set(found)


@pytest.mark.parametrize("name", sorted(floors()))
def test_a_lower_bound_is_not_above_what_is_tested_every_day(name):
    assert numbers(floors()[name]) <= numbers(pinned()[name])


def test_the_oldest_environment_is_that_of_the_bounds():
    wanted = dict(text.split("==") for text in installed_together())
    assert {name: wanted[name] for name in floors() if name not in NOT_LOWERED} == {
        name: version for name, version in floors().items() if name not in NOT_LOWERED
    }
