"""What an agent was trained behind is found among the components of its run by what it is, whatever it is called."""

from __future__ import annotations

from typing import Any

import pytest

from artifact_store.core.manifest import CodecRecord, Component
from artifact_store.core.observing import AROUND, BEHIND, Unwrapped, holder, seen_behind, unwrapped

pytestmark = pytest.mark.windows

ONE = seen_behind(["VecNormalize"], [{"clip_obs": 10.0}])
OTHER = seen_behind(["VecNormalize"], [{"clip_obs": 5.0}])


def component(**options: Any) -> Component:
    codec = CodecRecord(name="json", version=1)
    return Component(codec=codec, risk="data", type="builtins.dict", files=("a.json",), options=options)


def test_the_holder_is_found_by_content_and_not_by_name() -> None:
    run = {"model": component(**{BEHIND: ONE}), "b": component(**{AROUND: ONE}), "c": component(**{AROUND: OTHER})}
    assert holder(run, "model") == "b"
    assert unwrapped(run) == []
    assert holder({"model": component(), "b": component(**{AROUND: ONE})}, "model") is None


def test_an_agent_without_it_is_told_and_what_is_there_instead() -> None:
    agent = component(**{BEHIND: ONE})
    (alone,) = unwrapped({"model": agent, "notes": component()})
    assert alone == Unwrapped("model", ("VecNormalize",), None)
    assert str(alone) == "'model' was trained behind VecNormalize, and no component of the run holds that"
    (wrong,) = unwrapped({"model": agent, "statistics": component(**{AROUND: OTHER})})
    assert str(wrong) == "'model' was trained behind VecNormalize, and what 'statistics' holds is something else"


@pytest.mark.parametrize("said", [None, "VecNormalize", ["VecNormalize"], {"wrappers": 3}, {}])
def test_what_is_recorded_otherwise_counts_for_nothing(said: Any) -> None:
    assert unwrapped({"model": component(**{BEHIND: said})}) == []
    assert holder({"model": component(**{BEHIND: said}), "b": component(**{AROUND: said})}, "model") is None


def test_equal_wrappers_with_equal_settings_have_one_record() -> None:
    assert seen_behind(["VecNormalize"], [{"clip_obs": 10.0}]) == ONE
    assert len({record["sha256"] for record in (ONE, OTHER, seen_behind(["VecFrameStack"], [{"clip_obs": 10.0}]))}) == 3
