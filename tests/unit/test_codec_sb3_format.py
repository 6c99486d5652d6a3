"""What the document of the format says of agents is enough to use one without torch and stable-baselines3."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sb3_contrib import ARS
from stable_baselines3 import PPO, TD3

from artifact_store.codecs.sb3.policy import codec_of
from artifact_store.codecs.sb3.replay import ReplayBufferCodec
from tests.environments import tiny
from tests.format_reader import canonical, schedule_at, tensors_in, tree_of

SEEN = np.random.default_rng(3).uniform(-1, 1, (9, 3)).astype(np.float32)


def read(agent: Any, directory: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the record of an agent, and the tensors of its policy as arrays."""
    codec_of(type(agent).__name__).encode(agent, directory, "model")
    record = json.loads((directory / "model.json").read_bytes())
    told = record.pop("checksum")
    assert told == hashlib.sha256(canonical(record)).hexdigest()
    arrays = {
        name: np.frombuffer(data, {"F32": "<f4"}[dtype]).reshape(shape)
        for name, (dtype, shape, data) in tensors_in((directory / "model.safetensors").read_bytes()).items()
    }
    assert record["tensors"]["aliases"] == {}
    return record, tree_of(record["parameters"], arrays)["policy"]


def clipped(record: dict[str, Any], actions: np.ndarray) -> np.ndarray:
    low, high = (np.array(record["action_space"][side]["values"], np.float32) for side in ("low", "high"))
    result: np.ndarray = np.clip(actions, low, high)
    return result


def layers(policy: dict[str, np.ndarray], values: np.ndarray, *names: str, between: Any) -> np.ndarray:
    for name in names[:-1]:
        values = between(values @ policy[f"{name}.weight"].T + policy[f"{name}.bias"])
    result: np.ndarray = values @ policy[f"{names[-1]}.weight"].T + policy[f"{names[-1]}.bias"]
    return result


def test_a_policy_acts_by_its_tensors_alone(tmp_path: Path) -> None:
    options: dict[str, Any] = {"n_steps": 16, "batch_size": 8, "policy_kwargs": {"net_arch": [8, 4]}}
    agent = PPO("MlpPolicy", tiny(), **options, learning_rate=lambda left: 1e-3 * math.sqrt(left), clip_range=0.1)
    record, policy = read(agent.learn(32), tmp_path)
    names = ("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net")
    actions = clipped(record, layers(policy, SEEN, *names, between=np.tanh))
    assert np.allclose(actions, agent.predict(SEEN, deterministic=True)[0], atol=1e-6)
    for left in (1.0, 0.777, 0.0001, 0.0, -0.1):
        expected = 1e-3 * math.sqrt(max(left, 0.0))
        assert schedule_at(record["hyperparameters"]["learning_rate"], left) == pytest.approx(expected, abs=2e-9)
    assert schedule_at(record["hyperparameters"]["clip_range"], 0.5) == 0.1
    linear = {"schedule": "linear", "start": 1.0, "end": 0.0, "end_fraction": 0.5}
    assert [schedule_at(linear, left) for left in (1.0, 0.75, 0.4)] == [1.0, 0.5, 0.0]


def test_a_policy_of_contrib_acts_by_its_tensors_alone(tmp_path: Path) -> None:
    agent = ARS("MlpPolicy", tiny(), n_delta=2, seed=1, policy_kwargs={"net_arch": [8]}).learn(40)
    record, policy = read(agent, tmp_path)
    squashed = np.tanh(layers(policy, SEEN, "action_net.0", "action_net.2", between=lambda one: np.maximum(one, 0)))
    low, high = (np.array(record["action_space"][side]["values"], np.float32) for side in ("low", "high"))
    actions = low + 0.5 * (squashed + 1) * (high - low)
    assert np.allclose(actions, agent.predict(SEEN, deterministic=True)[0], atol=1e-6)


def test_transitions_are_found_by_their_rows(tmp_path: Path) -> None:
    options: dict[str, Any] = {"buffer_size": 10, "learning_starts": 99, "optimize_memory_usage": True}
    options["replay_buffer_kwargs"] = {"handle_timeout_termination": False}
    buffer = TD3("MlpPolicy", tiny(), **options).learn(14).replay_buffer
    assert buffer is not None
    ReplayBufferCodec().encode(buffer, tmp_path, "buffer")
    record = json.loads((tmp_path / "buffer.json").read_bytes())
    assert (record["buffer_size"], record["pos"], record["full"]) == (10, 4, True)
    with np.load(tmp_path / "buffer.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"observations", "actions", "rewards", "dones", "timeouts"}
        rows = [row for row in range(record["buffer_size"]) if row != record["pos"]]
        following = arrays["observations"][[(row + 1) % record["buffer_size"] for row in rows]]
        assert np.array_equal(arrays["observations"][rows], buffer.observations[rows])
        assert np.array_equal(following, buffer.observations[[(row + 1) % 10 for row in rows]])
