"""Agents that stable-baselines3 and sb3-contrib saved predict as there, whatever of their training is lost."""

from __future__ import annotations

import copy
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sb3_contrib
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise

from artifact_store.codecs.sb3.policy import SB3Codec
from artifact_store.codecs.sb3.resuming import ResumeWarning
from artifact_store.legacy.formats.sb3 import read_sb3
from artifact_store.legacy.formats.sb3_building import build_old
from tests.environments import DICT, masked, tiny
from tests.hostile import changed

THREE = spaces.Discrete(3)
FUNCTION = {":type:": "<class 'function'>", ":serialized:": "gASVAAA="}


def small(**others: Any) -> dict[str, Any]:
    return {"device": "cpu", "seed": 1, "policy_kwargs": {"net_arch": [8]}, **others}


def rollouts(**others: Any) -> dict[str, Any]:
    return small(n_steps=16, batch_size=8, **others)


def replays(**others: Any) -> dict[str, Any]:
    return small(learning_starts=8, buffer_size=100, batch_size=8, **others)


AGENTS: dict[str, Callable[[], Any]] = {
    "PPO": lambda: sb3.PPO("MlpPolicy", tiny(), **rollouts()),
    "PPO with gSDE": lambda: sb3.PPO("MlpPolicy", tiny(), **rollouts(use_sde=True)),
    "PPO on dicts": lambda: sb3.PPO("MultiInputPolicy", tiny(DICT, THREE), **rollouts()),
    "A2C": lambda: sb3.A2C("MlpPolicy", tiny(), **small()),
    "DQN": lambda: sb3.DQN("MlpPolicy", tiny(action_space=THREE), **replays()),
    "SAC": lambda: sb3.SAC("MlpPolicy", tiny(), **replays()),
    "SAC with gSDE": lambda: sb3.SAC("MlpPolicy", tiny(), **replays(use_sde=True)),
    "TD3": lambda: sb3.TD3("MlpPolicy", tiny(), **replays()),
    "DDPG": lambda: sb3.DDPG("MlpPolicy", tiny(), **replays()),
    "MaskablePPO": lambda: sb3_contrib.MaskablePPO("MlpPolicy", masked(), **rollouts()),
    "RecurrentPPO": lambda: sb3_contrib.RecurrentPPO(
        "MlpLstmPolicy", tiny(), **rollouts(policy_kwargs={"net_arch": [8], "lstm_hidden_size": 6, "n_lstm_layers": 2})
    ),
    "QRDQN": lambda: sb3_contrib.QRDQN(
        "MlpPolicy", tiny(action_space=THREE), **replays(policy_kwargs={"net_arch": [8], "n_quantiles": 5})
    ),
    "TQC": lambda: sb3_contrib.TQC(
        "MlpPolicy", tiny(), **replays(policy_kwargs={"net_arch": [8], "n_quantiles": 5, "n_critics": 3})
    ),
    "TRPO": lambda: sb3_contrib.TRPO("MlpPolicy", tiny(), **rollouts()),
    "ARS": lambda: sb3_contrib.ARS(
        "MlpPolicy", tiny(), n_delta=2, zero_policy=False, seed=1, policy_kwargs={"net_arch": [8]}
    ),
    "ARS of one layer": lambda: sb3_contrib.ARS("LinearPolicy", tiny(), n_delta=2, seed=1),
    "CrossQ": lambda: sb3_contrib.CrossQ("MlpPolicy", tiny(), **replays()),
}


def zipped(agent: Any) -> bytes:
    file = io.BytesIO()
    agent.save(file)
    return file.getvalue()


def with_data(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    def change_entry(entry: str, content: bytes) -> bytes:
        if entry != "data":
            return content
        record = json.loads(content)
        change(record)
        return json.dumps(record).encode()

    return changed(data, change_entry)


def with_tensors(data: bytes, entry: str, change: Callable[[Any], Any]) -> bytes:
    def change_entry(name: str, content: bytes) -> bytes:
        if name != entry:
            return content
        file = io.BytesIO()
        torch.save(change(torch.load(io.BytesIO(content), weights_only=True)), file)
        return file.getvalue()

    return changed(data, change_entry)


def actions(agent: Any) -> Any:
    space = copy.deepcopy(agent.observation_space)
    space.seed(3)
    return np.array([agent.predict(space.sample(), deterministic=True)[0] for _ in range(9)])


def read(data: bytes) -> tuple[Any, tuple[str, ...]]:
    return build_old(read_sb3(data, what="model.zip"))


@pytest.fixture(scope="module")
def trained() -> Callable[[str], tuple[Any, bytes]]:
    known: dict[str, tuple[Any, bytes]] = {}

    def of(name: str) -> tuple[Any, bytes]:
        if name not in known:
            agent = AGENTS[name]().learn(40)
            known[name] = agent, zipped(agent)
        return known[name]

    return of


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_predicts_as_from_its_own_library(name: str, trained: Any) -> None:
    agent, data = trained(name)
    again, inferred = read(data)
    own = type(agent).load(io.BytesIO(data), device="cpu")
    assert type(again) is type(agent)
    assert inferred == ()
    assert np.array_equal(actions(again), actions(own))
    for part, tensors in own.get_parameters().items():
        assert repr(again.get_parameters()[part]) == repr(tensors)


@pytest.mark.parametrize("name", [name for name in AGENTS if not name.startswith("ARS")])
def test_an_agent_goes_on_with_training(name: str, trained: Any) -> None:
    agent, data = trained(name)
    again, _ = read(data)
    kind = ResumeWarning if hasattr(agent, "replay_buffer") else None
    again.set_env(masked(agent.action_space, agent.observation_space))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResumeWarning)
        again.learn(20, reset_num_timesteps=False)
        again.learn(20, reset_num_timesteps=False)
    assert [one.category for one in told] == ([kind] if kind else [])
    assert all("replay buffer is empty" in str(one.message) for one in told)
    assert again.num_timesteps > agent.num_timesteps


def test_a_line_that_overran_its_end_leaves_a_rate_of_nothing(trained: Any) -> None:
    agent, data = trained("PPO")

    def overrun(state: Any) -> Any:
        state["param_groups"][0]["lr"] = -9.6e-07
        return state

    old = with_tensors(with_data(data, lambda d: d.update(learning_rate=FUNCTION)), "policy.optimizer.pth", overrun)
    again, inferred = read(old)
    assert inferred == ("learning_rate",)
    assert again.learning_rate == 0.0
    assert np.array_equal(actions(again), actions(agent))
    again.set_env(tiny())
    with pytest.warns(ResumeWarning, match="the file does not say its learning_rate"):
        again.learn(16)


@pytest.mark.parametrize("name", ["DQN", "QRDQN"])
def test_an_optimiser_that_had_the_target_network_too_keeps_what_it_knows(name: str, trained: Any) -> None:
    agent, data = trained(name)
    own = agent.policy.optimizer.state_dict()

    def both(state: Any) -> Any:
        group = state["param_groups"][0]
        group["params"] = list(range(2 * len(group["params"])))
        return state

    again, inferred = read(with_tensors(data, "policy.optimizer.pth", both))
    assert inferred == ()
    assert repr(again.policy.optimizer.state_dict()) == repr(own)


def test_what_an_old_agent_lacks_is_said_after_it_was_stored_and_until_it_was_said(
    trained: Any, tmp_path: Path
) -> None:
    again, _ = read(with_data(trained("PPO")[1], lambda d: d.update(learning_rate=FUNCTION)))
    codec = SB3Codec()
    for name in ("one", "two"):  # as it came back, it is stored again
        (tmp_path / name).mkdir()
        again = codec.decode(tmp_path / name, "model", codec.encode(again, tmp_path / name, "model"))
    again.set_env(tiny())
    with pytest.warns(ResumeWarning, match="the file does not say its learning_rate"):
        again.learn(16)
    (tmp_path / "three").mkdir()
    again = codec.decode(tmp_path / "three", "model", codec.encode(again, tmp_path / "three", "model"))
    again.set_env(tiny())
    again.learn(16)  # and a warning would be an error


def test_an_optimiser_that_numbers_its_tensors_as_torch_before_1_6_did_is_read(trained: Any) -> None:
    agent, data = trained("PPO")

    def by_address(state: Any) -> Any:
        group = state["param_groups"][0]
        group["params"] = [140_000 + 8 * place for place in group["params"]]
        return {**state, "state": {140_000 + 8 * place: known for place, known in state["state"].items()}}

    again, inferred = read(with_tensors(data, "policy.optimizer.pth", by_address))
    assert inferred == ()
    assert repr(again.policy.optimizer.state_dict()) == repr(agent.policy.optimizer.state_dict())


def test_an_optimiser_of_other_parameters_begins_anew_and_learning_says_so(trained: Any) -> None:
    agent, data = trained("PPO")

    def fewer(state: Any) -> Any:
        state["param_groups"][0]["params"].pop()
        return state

    again, inferred = read(with_tensors(data, "policy.optimizer.pth", fewer))
    assert len(inferred) == 1
    assert inferred[0].startswith("policy.optimizer begins anew")
    assert np.array_equal(actions(again), actions(agent))
    again.set_env(tiny())
    with pytest.warns(ResumeWarning, match=r"policy\.optimizer begins anew"):
        again.learn(16)


@pytest.mark.parametrize("name", ["SAC with gSDE", "TQC", "CrossQ"])
def test_an_entropy_that_is_chosen_by_the_action_space_needs_no_environment(name: str, trained: Any) -> None:
    agent, data = trained(name)
    again, inferred = read(with_data(data, lambda d: d.update(target_entropy=FUNCTION)))
    assert inferred == ("target_entropy",)
    assert float(again.target_entropy) == -2.0 == float(agent.target_entropy)
    assert np.array_equal(actions(again), actions(agent))


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ({"train_freq": 64, "n_episodes_rollout": -1}, (64, "step")),
        ({"train_freq": -1, "n_episodes_rollout": 2}, (2, "episode")),
        ({"train_freq": [3, "episode"]}, (3, "episode")),
    ],
)
def test_every_spelling_of_how_often_is_trained_is_read(spelled: Any, expected: Any, trained: Any) -> None:
    again, inferred = read(with_data(trained("SAC")[1], lambda d: d.update(spelled)))
    assert inferred == ()
    assert (again.train_freq.frequency, again.train_freq.unit.value) == expected


def test_a_frequency_that_there_was_never_is_named(trained: Any) -> None:
    _, inferred = read(with_data(trained("SAC")[1], lambda d: d.update(train_freq="often")))
    assert inferred == ("train_freq",)


@pytest.mark.parametrize(
    "noise",
    [
        NormalActionNoise(np.zeros(2), np.array([0.1, 0.2])),
        OrnsteinUhlenbeckActionNoise(np.ones(2), np.ones(2), theta=0.3, dt=0.1, initial_noise=np.array([2.0, 3.0])),
    ],
    ids=repr,
)
def test_a_noise_comes_back(noise: Any) -> None:
    agent = sb3.TD3("MlpPolicy", tiny(), **replays(action_noise=noise))
    again, inferred = read(zipped(agent))
    assert inferred == ()
    assert repr(again.action_noise) == repr(noise)
    drawn = []
    for one in (again.action_noise, noise):
        one.reset()
        np.random.seed(3)  # noqa: NPY002 -- what stable-baselines3 draws from
        drawn.append(one().tolist())
    assert drawn[0] == drawn[1]


def test_settings_that_make_no_agent_today_are_no_obstacle_to_predicting(trained: Any) -> None:
    agent, data = trained("TQC")
    again, inferred = read(with_data(data, lambda d: d.update(ent_coef="auto_none", gamma="high")))
    assert np.array_equal(actions(again), actions(agent))
    assert inferred[0] == "gamma"
    assert inferred[1].startswith("its settings of training are the defaults")


def test_a_linear_policy_of_ars_before_1_7_is_read(trained: Any) -> None:
    agent, data = trained("ARS of one layer")

    def older(tensors: Any) -> Any:
        return {name.replace("action_net.0.", "action_net."): tensor for name, tensor in tensors.items()}

    again, _ = read(with_tensors(data, "policy.pth", older))
    assert np.array_equal(actions(again), actions(agent))


def test_ars_goes_on_from_what_it_learned_and_not_from_nothing(trained: Any) -> None:
    again, _ = read(trained("ARS")[1])
    assert np.array_equal(again.weights.numpy(), again.policy.parameters_to_vector())
    assert np.any(again.weights.numpy())


def test_features_that_were_shared_before_1_7_are_read() -> None:
    image = spaces.Box(0, 255, (3, 36, 36), np.uint8)
    options = rollouts(policy_kwargs={"features_extractor_kwargs": {"features_dim": 4}})
    agent = sb3.PPO("CnnPolicy", tiny(image, THREE), **options)

    def older(tensors: Any) -> Any:
        return {name: tensor for name, tensor in tensors.items() if not name.startswith(("pi_", "vf_"))}

    again, _ = read(with_tensors(zipped(agent), "policy.pth", older))
    assert np.array_equal(actions(again), actions(agent))


def test_hindsight_is_named_and_the_agent_predicts() -> None:
    parts = ("observation", "achieved_goal", "desired_goal")
    env = tiny(spaces.Dict({name: spaces.Box(-1, 1, (2,)) for name in parts}))
    env.envs[0].unwrapped.compute_reward = lambda achieved, desired, infos: np.zeros(len(achieved))  # type: ignore[attr-defined]
    options = replays(replay_buffer_class=sb3.HerReplayBuffer, replay_buffer_kwargs={"n_sampled_goal": 2})
    agent = sb3.SAC("MultiInputPolicy", env, **options)
    again, inferred = read(zipped(agent))
    assert inferred == ("replay_buffer_kwargs",)
    assert np.array_equal(actions(again), actions(agent))
