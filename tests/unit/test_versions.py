"""The declared versions, as far as they can be told without installing them (``dev.py floors``, ``newest``, ``pythons`` do)."""

from __future__ import annotations

import pytest

from artifact_store.codecs.sklearn import scalers
from tools import versions as tool
from tools.environment import pinned
from tools.processes import Failed
from tools.versions import NEEDS_TORCH, NOT_MOVED, floors, newest, oldest, without_torch


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def test_every_requirement_has_one_lower_bound_and_no_other():
    assert {"pydantic-core", "fsspec", "torch", "pandas", "tqdm", "s3fs"} <= set(floors())


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
    assert dict(text.split("==") for text in oldest()) == floors() | {name: pinned()[name] for name in NOT_MOVED}


def test_the_newest_environment_has_no_bound_above_but_for_what_is_not_moved():
    assert {text for text in newest() if ">=" not in text} == {f"{name}=={pinned()[name]}" for name in NOT_MOVED}
    assert dict(text.split(">=") for text in newest() if ">=" in text).items() <= floors().items()


def test_what_runs_in_each_python_asks_for_no_torch():
    assert {text.partition("==")[0] for text in without_torch()} == floors().keys() - NEEDS_TORCH


def test_the_codec_of_scalers_refuses_what_is_below_the_bound_of_scikit_learn():
    assert numbers(floors()["scikit-learn"]) == scalers._SINCE
