"""A schedule that is a function comes back as the table of what it gave, and is never run again."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.utils import FloatSchedule

from artifact_store.canonical import canonical
from artifact_store.codecs.sb3.policy import SB3Codec
from artifact_store.codecs.sb3.schedules import MOST_POINTS, SampledSchedule, plain_schedule, read_schedule, sample
from artifact_store.errors import NotEncodable
from tests.environments import tiny

CODEC = SB3Codec()


def linear(start: float) -> Callable[[float], float]:
    def schedule(progress_remaining: float) -> float:
        return progress_remaining * start

    return schedule


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "a line": linear(3e-4),
    "a cosine": lambda left: 3e-4 * 0.5 * (1 + math.cos(math.pi * (1 - left))),
    "steps": lambda left: 1e-3 if left > 0.7 else 1e-4 if left > 0.123456789 else 1e-5,
    "an exponential": lambda left: 1e-3 * math.exp(-5 * (1 - left)),
    "a root that ends at zero": lambda left: 1e-3 * math.sqrt(left),
    "waves": lambda left: 1e-3 * (1 + math.sin(30 * left)),
    "a power": lambda left: 1e-2 * 0.1 ** (4 * (1 - left)),
    "a warmup": lambda left: 1e-3 * min(1.0, (1 - left) / 0.05),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_table_gives_what_the_function_gave(name: str) -> None:
    function = FUNCTIONS[name]
    record = json.loads(canonical(plain_schedule(CODEC, FloatSchedule(function), "learning_rate")))
    back = read_schedule(CODEC, record, "learning_rate")
    assert isinstance(back, SampledSchedule)
    draw = random.Random(3)
    largest = max(back.values)
    for left in [1.0, 0.0, *(draw.random() for _ in range(5000))]:
        assert abs(back(left) - function(left)) <= 2e-6 * max(largest, abs(function(left)))
    assert len(back.progress) <= MOST_POINTS


def test_a_line_goes_on_beyond_the_end_where_the_last_steps_are() -> None:
    table = sample(linear(1.0), "learning_rate")
    assert table(-0.125) == -0.125
    assert table(-3.0) == table(-0.25) == -0.25


def test_the_source_is_kept_as_text() -> None:
    record = plain_schedule(CODEC, linear(1.0), "learning_rate")
    assert "return progress_remaining * start" in record["source"]
    assert record["name"].endswith("linear.<locals>.schedule")
    assert plain_schedule(CODEC, math.sqrt, "learning_rate")["source"] == ""


def test_an_algorithm_comes_back_with_the_table_and_keeps_it(tmp_path: Path) -> None:
    algorithm = PPO("MlpPolicy", tiny(), n_steps=16, batch_size=8, learning_rate=linear(1e-3), clip_range=linear(0.2))
    algorithm.learn(16)
    (tmp_path / "again").mkdir()
    back = CODEC.decode(tmp_path, "model", CODEC.encode(algorithm, tmp_path, "model"))
    again = CODEC.decode(tmp_path / "again", "model", CODEC.encode(back, tmp_path / "again", "model"))
    for one in (back, again):
        assert one.lr_schedule(0.3) == pytest.approx(3e-4, rel=1e-9)
        assert one.clip_range(0.3) == pytest.approx(0.06, rel=1e-9)
    assert again.learning_rate == back.learning_rate
    again.set_env(tiny())
    again.learn(16)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda left: math.nan, "gives nan at 0.0"),
        (lambda left: "fast", "fails at 0.0"),
        (lambda left: 1e-3 * (1 + math.sin(1e6 * left)), "no table of 16,384 points"),
    ],
)
def test_a_function_that_no_table_gives_back_is_refused_by_the_name_of_the_setting(
    function: Callable[[float], float], why: str
) -> None:
    with pytest.raises(NotEncodable, match=f"^clip_range is a function .*{why}.*LinearSchedule"):
        plain_schedule(CODEC, function, "clip_range")
