"""A replay buffer that is saved beside its algorithm lets training go on as if there had been no interruption."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DQN, SAC, TD3, HerReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer

from artifact_store import ArtifactStore, CodecRegistry
from artifact_store.canonical import canonical
from artifact_store.codecs.sb3.replay import ReplayBufferCodec
from artifact_store.codecs.sb3.resuming import ResumeWarning
from artifact_store.errors import Corrupt, InvalidOption, NotEncodable, Unavailable
from tests.environments import BOX, DICT, THREE, tiny
from tests.unit.test_codec_sb3 import learned, off_policy, same, small

CODEC = ReplayBufferCodec()
LITTLE = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}

AGENTS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "partly filled": (lambda: off_policy(SAC), tiny),
    "full and around": (
        lambda: SAC("MlpPolicy", tiny(), **small(learning_starts=4, buffer_size=30, batch_size=8)),
        tiny,
    ),
    "two environments": (lambda: off_policy(TD3, tiny(n_envs=2)), lambda: tiny(n_envs=2)),
    "on dicts": (
        lambda: DQN("MultiInputPolicy", tiny(DICT, THREE), **small(learning_starts=4, buffer_size=30)),
        lambda: tiny(DICT, THREE),
    ),
    "of three steps": (lambda: off_policy(DQN, tiny(action_space=THREE), n_steps=3), lambda: tiny(action_space=THREE)),
    "with little memory": (lambda: off_policy(TD3, **LITTLE), tiny),
    "with little memory, full": (
        lambda: TD3("MlpPolicy", tiny(), **small(learning_starts=4, buffer_size=30, batch_size=8, **LITTLE)),
        tiny,
    ),
}


def there_and_back(buffer: Any, directory: Path, *, into: Any = None) -> Any:
    directory.mkdir(exist_ok=True)
    return CODEC.decode(directory, "buffer", CODEC.encode(buffer, directory, "buffer"), into=into)


def rows(buffer: Any) -> list[Any]:
    """The transitions of a buffer without dicts, the oldest first."""
    size = buffer.buffer_size
    start, count = (buffer.pos, size) if buffer.full else (0, buffer.pos)
    if buffer.optimize_memory_usage and buffer.full:
        start, count = start + 1, count - 1
    following = (
        buffer.next_observations if hasattr(buffer, "next_observations") else np.roll(buffer.observations, -1, 0)
    )
    parts = (buffer.observations, following, buffer.actions, buffer.rewards, buffer.dones, buffer.timeouts)
    return [[part[(start + place) % size].tolist() for part in parts] for place in range(count)]


@pytest.mark.parametrize("name", AGENTS)
def test_training_goes_on_as_if_it_had_not_stopped(name: str, tmp_path: Path) -> None:
    make, env = AGENTS[name]
    registry = CodecRegistry()
    registry.register(ReplayBufferCodec)
    store = ArtifactStore(tmp_path.as_uri(), registry=registry)
    agent = make().learn(40)
    with store.new_run("agent/GOOGL") as draft:
        draft.add("model", agent)
        draft.add("replay_buffer", agent.replay_buffer)
    run = draft.run
    assert run is not None
    resumed = run.load()
    resumed.replay_buffer = run.load("replay_buffer")
    assert type(resumed.replay_buffer) is type(agent.replay_buffer)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResumeWarning)
        for one in (resumed, agent):
            one.set_env(env())
            one.set_random_seed(7)
            one.learn(30, reset_num_timesteps=False)
    assert same(learned(resumed), learned(agent))


def test_a_buffer_that_stayed_behind_is_missed_aloud(tmp_path: Path) -> None:
    agent = off_policy(SAC).learn(40)
    store = ArtifactStore(tmp_path.as_uri())
    resumed = store.save(agent, "agent/GOOGL").load()
    resumed.set_env(tiny())
    with pytest.warns(ResumeWarning, match=r"its replay buffer is empty, .*agent\.replay_buffer = run\.load\("):
        resumed.learn(20)


def test_only_the_filled_rows_are_written(tmp_path: Path) -> None:
    agent = SAC("MlpPolicy", tiny(), **small(learning_starts=4, buffer_size=100_000)).learn(20)
    there_and_back(agent.replay_buffer, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 8_000


@pytest.mark.parametrize("size", [7, 30, 200])
@pytest.mark.parametrize("steps", [20, 47])
@pytest.mark.parametrize("others", [{}, LITTLE])
def test_a_buffer_of_another_size_gets_the_newest_rows(size: int, steps: int, others: Any, tmp_path: Path) -> None:
    buffer = TD3("MlpPolicy", tiny(), **small(learning_starts=99, buffer_size=30, **others)).learn(steps).replay_buffer
    into = TD3("MlpPolicy", tiny(), **small(buffer_size=size, **others)).replay_buffer
    assert buffer is not None
    assert there_and_back(buffer, tmp_path, into=into) is into
    kept = rows(into)
    assert kept == rows(buffer)[-len(kept) :]
    assert len(kept) == min(len(rows(buffer)), size - (1 if others and size != 30 else 0))


def test_a_buffer_for_something_else_is_left_alone(tmp_path: Path) -> None:
    buffer = off_policy(SAC).learn(20).replay_buffer
    others = {
        "kind": DQN("MultiInputPolicy", tiny(DICT, THREE), **small(buffer_size=30)).replay_buffer,
        "observation_space": off_policy(SAC, tiny(spaces.Box(-2, 2, (3,)))).replay_buffer,
        "n_envs": off_policy(SAC, tiny(n_envs=2)).replay_buffer,
        "optimize_memory_usage": off_policy(SAC, **LITTLE).replay_buffer,
        "not a replay buffer": off_policy(SAC),
    }
    for words, into in others.items():
        before = copy.deepcopy(getattr(into, "pos", None))
        with pytest.raises(InvalidOption, match=words):
            there_and_back(buffer, tmp_path, into=into)
        assert getattr(into, "pos", None) == before


class OwnBuffer(ReplayBuffer):
    pass


def test_what_would_come_back_as_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match="OwnBuffer"):
        CODEC.encode(OwnBuffer(10, BOX, THREE, device="cpu"), tmp_path, "buffer")
    goal = spaces.Dict({name: spaces.Box(-1, 1, (2,)) for name in ("observation", "achieved_goal", "desired_goal")})
    env = tiny(goal, THREE)
    env.envs[0].unwrapped.compute_reward = lambda achieved, desired, infos: np.zeros(len(achieved))  # type: ignore[attr-defined]
    agent = DQN("MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, **small(buffer_size=50))
    with pytest.raises(NotEncodable, match="HerReplayBuffer.*save_replay_buffer"):
        CODEC.encode(agent.replay_buffer, tmp_path, "buffer")
    assert list(tmp_path.iterdir()) == []


LIES: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "a kind that there is not": ({"kind": "os"}, Corrupt),
    "a place outside": ({"pos": 1000}, Corrupt),
    "a place before": ({"pos": -1}, Corrupt),
    "more rows than are stored": ({"pos": 21}, Corrupt),
    "full, with a few rows": ({"full": True}, Corrupt),
    "no environments": ({"n_envs": 0}, Corrupt),
    "more environments than are stored": ({"n_envs": 3}, Corrupt),
    "petabytes": ({"buffer_size": 1 << 39}, Unavailable),
    "two ways to save memory": ({"optimize_memory_usage": True}, Corrupt),
    "other observations": ({"observation_space": {"type": "Discrete", "n": 3, "start": 0}}, Corrupt),
    "a space of somebody's": ({"action_space": {"type": "Text"}}, Corrupt),
    "a switch that is a number": ({"full": 0}, Corrupt),
    "steps that are a text": ({"kind": "NStepReplayBuffer", "n_steps": "3"}, Corrupt),
}


@pytest.mark.parametrize("name", LIES)
def test_a_record_that_lies_is_no_buffer(name: str, tmp_path: Path) -> None:
    CODEC.encode(off_policy(SAC).learn(20).replay_buffer, tmp_path, "buffer")
    path = tmp_path / "buffer.json"
    change, error = LIES[name]
    path.write_bytes(canonical({**json.loads(path.read_bytes()), **change}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it does not fit, before it does not
        with pytest.raises(error):
            CODEC.decode(tmp_path, "buffer", {})


def test_arrays_that_are_missing_leave_the_buffer_empty(tmp_path: Path) -> None:
    CODEC.encode(off_policy(SAC).learn(20).replay_buffer, tmp_path, "buffer")
    (tmp_path / "buffer.npz").write_bytes((tmp_path / "buffer.npz").read_bytes()[:-40])
    into = off_policy(SAC).learn(20).replay_buffer
    with pytest.raises(Corrupt):
        CODEC.decode(tmp_path, "buffer", {}, into=into)
    assert into is not None
    assert into.size() == 0
