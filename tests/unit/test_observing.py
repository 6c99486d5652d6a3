"""What an agent was trained behind is found among the components of its run by what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from artifact_store.core.manifest import CodecRecord, Component
from artifact_store.core.observing import holder, seen_behind, unrecorded, unwrapped

FRAMES = seen_behind(["VecFrameStack"], [{"n_stack": 4}])
STATISTICS = seen_behind(["VecNormalize"], [{"clip_obs": 10.0}])
OTHERS = seen_behind(["VecNormalize"], [{"clip_obs": 5.0}])


def part(codec: str = "vecnormalize", **options: Any) -> Component:
    record = CodecRecord(name=codec, version=1)
    return Component(codec=record, risk="data", type="x.Y", files=("x.json",), options=options)


def run(behind: Any, **around: Any) -> dict[str, Component]:
    return {"model": part("sb3", behind=behind), **{name: part(around=each) for name, each in around.items()}}


@pytest.mark.parametrize(
    ("components", "found", "wrong"),
    [
        (run(STATISTICS), None, ["'model' was trained behind VecNormalize, and no component of the run holds that"]),
        (run(STATISTICS, a=OTHERS, b=FRAMES), None, ["'model' was trained behind VecNormalize, and what 'a' holds is"]),
        (run(STATISTICS, z=STATISTICS, b=STATISTICS, a=OTHERS), "b", []),
        (run(seen_behind([], []), a=OTHERS), None, []),
        (run(None), None, []),
        (run({"wrappers": 3}), None, []),
        ({"model": part("sb3"), "other": part("json", behind=7, around=["x"])}, None, []),
    ],
)
def test_it_is_found_by_what_it_is(components: Any, found: str | None, wrong: Sequence[str]) -> None:
    assert holder(components, "model") == found
    said = [str(each) for each in unwrapped(components)]
    assert len(said) == len(wrong)
    assert all(one.startswith(beginning) for one, beginning in zip(said, wrong, strict=True))


def test_agents_of_which_nothing_is_recorded_are_told_from_those_that_had_nothing() -> None:
    assert unrecorded(run(seen_behind([], []))) == []
    assert unrecorded(run(STATISTICS)) == []
    assert unrecorded({"model": part("sb3"), "other": part("sb3-contrib"), "text": part("json")}) == ["model", "other"]
