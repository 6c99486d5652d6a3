"""Algorithms of stable-baselines3 predict and train on as they were, bit for bit, and nothing is unpickled."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import math
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3, HerReplayBuffer
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    VectorizedActionNoise,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.utils import ConstantSchedule, LinearSchedule
from torch import nn

from artifact_store import ArtifactStore
from artifact_store.canonical import canonical, checksum
from artifact_store.codecs.sb3.policy import SB3Codec, build_algorithm, describe_algorithm
from artifact_store.codecs.sb3.resuming import ResumeWarning
from artifact_store.codecs.sb3.spaces import plain_space, read_plain_space
from artifact_store.codecs.sb3.state import SB3State
from artifact_store.codecs.sb3.values import plain_settings, read_plain_settings
from artifact_store.codecs.torch.trees import pack, unpack
from artifact_store.errors import Corrupt, InvalidOption, NotEncodable, Unavailable
from tests.environments import ACTIONS, DICT, tiny

CODEC = SB3Codec()
THREE = spaces.Discrete(3)


def small(**others: Any) -> dict[str, Any]:
    return {"device": "cpu", "seed": 1, **others, "policy_kwargs": {"net_arch": [8], **others.get("policy_kwargs", {})}}


def ppo(env: Any = None, policy: str = "MlpPolicy", **others: Any) -> PPO:
    return PPO(policy, env or tiny(), **small(n_steps=16, batch_size=8, n_epochs=2, **others))


def off_policy(kind: Any, env: Any = None, **others: Any) -> Any:
    return kind("MlpPolicy", env or tiny(), **small(learning_starts=8, buffer_size=100, batch_size=8, **others))


def there_and_back(obj: Any, directory: Path, *, into: Any = None) -> Any:
    directory.mkdir(exist_ok=True)
    return CODEC.decode(directory, "model", CODEC.encode(obj, directory, "model"), into=into)


def tensors(tree: Any) -> list[Any]:
    if isinstance(tree, torch.Tensor):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def learned(algorithm: Any) -> list[Any]:
    """Return everything that training changes, as copies."""
    state = describe_algorithm(algorithm)
    return [tensor.detach().clone() for tensor in tensors([dict(state.parameters), dict(state.variables)])]


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


# ---------------------------------------------------------------- training on

NOISE = OrnsteinUhlenbeckActionNoise(np.zeros(2), np.array([0.1, 0.3]), theta=0.2)
TRAINED: dict[str, tuple[Callable[..., Any], Any]] = {
    "PPO": (lambda: ppo(tiny()), {}),
    "PPO with schedules": (
        lambda: ppo(tiny(n_envs=2), learning_rate=LinearSchedule(1e-2, 1e-3, 0.9), clip_range_vf=0.2, target_kl=0.9),
        {"n_envs": 2},
    ),
    "PPO with gSDE": (lambda: ppo(tiny(), use_sde=True, sde_sample_freq=3, policy_kwargs={"squash_output": True}), {}),
    "PPO on dicts": (lambda: ppo(tiny(DICT, THREE), "MultiInputPolicy"), {"observation_space": DICT, "action_space": THREE}),
    "PPO with a scale of numpy": (lambda: ppo(tiny(), gamma=np.float64(0.9), ent_coef=np.float32(0.01)), {}),
    "A2C": (lambda: A2C("MlpPolicy", tiny(action_space=THREE), **small()), {"action_space": THREE}),
    "A2C like TensorFlow": (lambda: A2C("MlpPolicy", tiny(), **small(policy_kwargs={"optimizer_class": RMSpropTFLike})), {}),
    "DQN": (
        lambda: off_policy(DQN, tiny(action_space=THREE), train_freq=2, target_update_interval=10, exploration_fraction=0.9),
        {"action_space": THREE},
    ),
    "DQN of three steps": (lambda: off_policy(DQN, tiny(action_space=THREE), n_steps=3), {"action_space": THREE}),
    "SAC": (lambda: off_policy(SAC, action_noise=copy.deepcopy(NOISE)), {}),
    "SAC with gSDE": (lambda: off_policy(SAC, use_sde=True, use_sde_at_warmup=True), {}),
    "SAC with a fixed entropy": (lambda: off_policy(SAC, ent_coef=0.1, train_freq=(1, "episode"), gradient_steps=-1), {}),
    "TD3": (lambda: off_policy(TD3, action_noise=copy.deepcopy(NOISE), policy_delay=3), {}),
    "TD3 with little memory": (
        lambda: off_policy(TD3, optimize_memory_usage=True, replay_buffer_kwargs={"handle_timeout_termination": False}),
        {},
    ),
    "DDPG": (lambda: off_policy(DDPG, tiny(n_envs=2), action_noise=NormalActionNoise(np.zeros(2), np.ones(2))), {"n_envs": 2}),
}  # fmt: skip


def train_on(algorithm: Any, env: Any) -> list[Any]:
    """Train from where the algorithm is, with environment, generators and replay buffer as they are at the start."""
    algorithm.set_env(env)
    algorithm.set_random_seed(7)
    if getattr(algorithm, "replay_buffer", None) is not None:
        algorithm.replay_buffer.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResumeWarning)  # the buffer is empty, as it is for the other
        algorithm.learn(40, reset_num_timesteps=False)
    return learned(algorithm)


@pytest.mark.parametrize("name", TRAINED)
def test_training_that_was_interrupted_gives_the_same_parameters(name: str, tmp_path: Path) -> None:
    make, env = TRAINED[name]
    algorithm = make().learn(40)
    halfway = learned(algorithm)
    reloaded = there_and_back(algorithm, tmp_path)
    assert same(learned(reloaded), halfway)
    through = train_on(algorithm, tiny(**env))
    assert not same(through, halfway)  # or this would prove nothing
    assert same(train_on(reloaded, tiny(**env)), through)
    assert reloaded.num_timesteps == algorithm.num_timesteps > 40


def test_a_replay_buffer_is_handed_over_by_hand(tmp_path: Path) -> None:
    algorithm = off_policy(SAC).learn(40)
    reloaded = there_and_back(algorithm, tmp_path)
    assert reloaded.replay_buffer.size() == 0
    reloaded.replay_buffer = copy.deepcopy(algorithm.replay_buffer)
    for one in (algorithm, reloaded):
        one.set_env(tiny())
        one.set_random_seed(7)
        one.learn(20, reset_num_timesteps=False)
    assert same(learned(reloaded), learned(algorithm))


def test_the_optimiser_matters(tmp_path: Path) -> None:
    algorithm = ppo().learn(40)
    state = describe_algorithm(there_and_back(algorithm, tmp_path))
    without = build_algorithm(dataclasses.replace(state, parameters={"policy": state.parameters["policy"]}))
    assert not same(train_on(without, tiny()), train_on(algorithm, tiny()))


def test_what_is_built_shares_nothing_with_what_it_was_built_from() -> None:
    algorithm = ppo().learn(40)
    before = learned(algorithm)
    train_on(build_algorithm(describe_algorithm(algorithm)), tiny())
    assert same(learned(algorithm), before)


def test_saving_and_loading_leave_the_random_generators_alone(tmp_path: Path) -> None:
    algorithm = off_policy(SAC, action_noise=copy.deepcopy(NOISE)).learn(20)

    def generators() -> Any:
        legacy = np.random.get_state()  # noqa: NPY002 -- what stable-baselines3 draws from
        return torch.get_rng_state().tolist(), [str(part) for part in legacy], random.getstate()

    before = generators()
    reloaded = there_and_back(algorithm, tmp_path)
    assert generators() == before
    assert reloaded.seed == algorithm.seed == 1


def test_layers_that_were_frozen_stay_frozen(tmp_path: Path) -> None:
    algorithm = ppo().learn(20)
    for parameter in algorithm.policy.mlp_extractor.parameters():
        parameter.requires_grad_(requires_grad=False)
    reloaded = there_and_back(algorithm, tmp_path)
    before = learned(reloaded)
    assert same(train_on(reloaded, tiny()), train_on(algorithm, tiny()))
    assert torch.equal(before[1], learned(reloaded)[1])  # the first weights, which the optimiser would have changed


def test_variables_of_another_form_are_corrupt() -> None:
    state = describe_algorithm(off_policy(SAC))
    for variables in ({"log_ent_coef": torch.zeros(2)}, {"log_ent_coef": torch.zeros(1, dtype=torch.float64)}):
        with pytest.raises(Corrupt, match="log_ent_coef"):
            build_algorithm(dataclasses.replace(state, variables=variables))


def test_a_learning_rate_that_was_assigned_after_training_comes_back_as_from_stable_baselines(tmp_path: Path) -> None:
    algorithm = ppo(learning_rate=ConstantSchedule(1e-3)).learn(16)
    algorithm.learning_rate = 5e-4
    file = io.BytesIO()
    algorithm.save(file)
    expected = PPO.load(file, device="cpu")
    reloaded = there_and_back(algorithm, tmp_path)
    assert (reloaded.learning_rate, reloaded.lr_schedule(1)) == (expected.learning_rate, expected.lr_schedule(1))
    assert reloaded.lr_schedule(1) == 5e-4


def test_an_algorithm_goes_through_a_store(tmp_path: Path) -> None:
    algorithm = ppo().learn(20)
    run = ArtifactStore(tmp_path.as_uri()).save(algorithm, "ppo/GOOGL")
    assert sorted(name for name in run.files if name.startswith("model")) == ["model.json", "model.safetensors"]
    reloaded = run.load()
    observations = np.random.default_rng(3).normal(size=(9, 3)).astype(np.float32)
    expected, _ = algorithm.predict(observations, deterministic=True)
    assert np.array_equal(reloaded.predict(observations, deterministic=True)[0], expected)
    assert reloaded.get_env() is None
    reloaded.set_env(tiny())
    reloaded.learn(16)


def test_a_network_on_images_is_kept_with_its_own_layers(tmp_path: Path) -> None:
    image = spaces.Box(0, 255, (40, 36, 3), np.uint8)  # stable-baselines3 turns the channels to the front
    algorithm = ppo(tiny(image, THREE), "CnnPolicy", policy_kwargs={"features_extractor_kwargs": {"features_dim": 4}})
    reloaded = there_and_back(algorithm, tmp_path)
    images = np.random.default_rng(3).integers(0, 255, (5, 3, 40, 36), np.uint8)
    expected, _ = algorithm.predict(images, deterministic=True)
    assert np.array_equal(reloaded.predict(images, deterministic=True)[0], expected)


# ---------------------------------------------------------------- what is refused


class OwnPolicy(ActorCriticPolicy):
    pass


class OwnExtractor(FlattenExtractor):
    pass


class Counting:
    """Gives another answer each time, by as little as it takes."""

    asked = 0

    def __call__(self, left: float) -> float:
        self.asked += 1
        return 1e-3 + self.asked * 1e-15


class OwnNoise(ActionNoise):
    def __call__(self) -> Any:
        return np.zeros(2, np.float32)


class OwnBuffer(RolloutBuffer):
    pass


class OwnBox(spaces.Box):
    pass


def changed_network() -> PPO:
    algorithm = ppo()
    algorithm.policy.action_net = nn.Sequential(algorithm.policy.action_net, nn.Tanh())  # type: ignore[assignment]
    return algorithm


def changed_activation() -> PPO:
    algorithm = ppo()
    algorithm.policy.mlp_extractor.policy_net[1] = nn.ReLU()
    return algorithm


def changed_optimizer() -> PPO:
    algorithm = ppo()
    algorithm.policy.optimizer = torch.optim.AdamW(algorithm.policy.parameters())
    return algorithm


def several_noises() -> TD3:
    algorithm = off_policy(TD3, action_noise=VectorizedActionNoise(NormalActionNoise(np.zeros(2), np.ones(2)), 2))
    algorithm.action_noise.noises[1] = NormalActionNoise(np.ones(2), np.ones(2))  # type: ignore[union-attr]
    return algorithm


def her() -> DQN:
    goal = spaces.Box(-1, 1, (2,))
    space = spaces.Dict({"observation": goal, "achieved_goal": goal, "desired_goal": goal})
    env = tiny(space, THREE)
    env.envs[0].unwrapped.compute_reward = lambda achieved, desired, infos: np.zeros(len(achieved))  # type: ignore[attr-defined]
    return DQN("MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, **small(buffer_size=50))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a policy of one's own": (lambda: PPO(OwnPolicy, tiny(), device="cpu"), r"OwnPolicy.*SB3Codec\(own=\[OwnPolicy\]\).*torch-state"),
    "a subclass": (lambda: type("Own", (PPO,), {})("MlpPolicy", tiny(), device="cpu"), "PPO"),
    "a learning rate that is drawn": (lambda: ppo(learning_rate=lambda left: random.random()), "learning_rate.*function.*LinearSchedule"),
    "a learning rate that counts": (lambda: ppo(learning_rate=Counting()), "learning_rate.*another answer.*LinearSchedule"),
    "a clip range that is sometimes nothing": (lambda: ppo(clip_range=lambda left: 0.1 / left), "clip_range.*fails at 0.0.*LinearSchedule"),
    "an extractor of one's own": (
        lambda: ppo(policy_kwargs={"features_extractor_class": OwnExtractor}),
        r"OwnExtractor.*FlattenExtractor.*SB3Codec\(own=\[OwnExtractor\]\)",
    ),
    "an activation that is a function": (lambda: ppo(policy_kwargs={"activation_fn": lambda: nn.CELU(2)}), "lambda"),
    "an optimiser of another kind": (lambda: ppo(policy_kwargs={"optimizer_class": torch.optim.LBFGS}), "LBFGS"),
    "an optimiser with a tensor": (
        lambda: ppo(policy_kwargs={"optimizer_class": torch.optim.Adam, "optimizer_kwargs": {"eps": torch.tensor(1e-5)}}),
        "optimizer_kwargs.*plain numbers",
    ),
    "a buffer of one's own": (lambda: ppo(rollout_buffer_class=OwnBuffer), "OwnBuffer"),
    "a replay buffer that needs its environment": (her, "HerReplayBuffer"),
    "a noise of one's own": (lambda: off_policy(TD3, action_noise=OwnNoise()), "OwnNoise"),
    "another noise in each environment": (several_noises, "one noise for all"),
    "a space of one's own": (lambda: ppo(tiny(OwnBox(-1, 1, (3,)))), "OwnBox"),
    "a network that was changed": (changed_network, "changed afterwards"),
    "an activation that was changed": (changed_activation, "changed afterwards"),
    "an optimiser that was changed": (changed_optimizer, "changed afterwards"),
    "a hyperparameter that is no number": (lambda: ppo(ent_coef=torch.tensor(0.1)), "ent_coef"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_come_back_is_refused_with_a_remedy(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    with pytest.raises(NotEncodable, match=words):
        CODEC.encode(make(), tmp_path, "model")
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_was_compiled_is_refused(tmp_path: Path) -> None:
    algorithm = ppo()
    algorithm.policy = torch.compile(algorithm.policy, backend="eager")  # type: ignore[assignment]
    with pytest.raises(NotEncodable, match="_orig_mod"):
        CODEC.encode(algorithm, tmp_path, "model")


# ---------------------------------------------------------------- filling an algorithm


def test_an_algorithm_that_is_filled_keeps_its_own_hyperparameters_and_environment(tmp_path: Path) -> None:
    algorithm = ppo().learn(40)
    env = tiny()
    into = ppo(env, learning_rate=lambda left: left * 1e-5)
    assert there_and_back(algorithm, tmp_path, into=into) is into
    assert same(tensors(into.get_parameters()), tensors(algorithm.get_parameters()))
    assert into.num_timesteps == algorithm.num_timesteps
    assert into.lr_schedule(0.5) == 5e-6
    assert into.get_env() is env


def test_an_algorithm_that_was_filled_trains_on_the_same(tmp_path: Path) -> None:
    algorithm = off_policy(SAC).learn(40)
    into = there_and_back(algorithm, tmp_path, into=off_policy(SAC).learn(12))
    into._total_timesteps = algorithm._total_timesteps
    assert same(train_on(into, tiny()), train_on(algorithm, tiny()))


@pytest.mark.parametrize(
    ("into", "words"),
    [
        (lambda: A2C("MlpPolicy", tiny(), device="cpu"), "algorithm A2C, and saved is PPO"),
        (lambda: ppo(tiny(spaces.Box(-2, 1, (3,)))), "observation_space"),
        (lambda: ppo(tiny(action_space=THREE)), "action_space"),
        (lambda: ppo(policy_kwargs={"net_arch": [9]}), r"policy_kwargs .*\[9\].*\[8\]"),
        (lambda: ppo(policy_kwargs={"activation_fn": nn.ReLU}), "policy_kwargs"),
        (lambda: PPO(OwnPolicy, tiny(), device="cpu"), "OwnPolicy"),
        (lambda: nn.Linear(2, 2), "Linear"),
    ],
)
def test_an_algorithm_that_does_not_fit_is_left_alone(into: Any, words: str, tmp_path: Path) -> None:
    other = into()
    before = tensors(copy.deepcopy(other.state_dict() if isinstance(other, nn.Module) else other.get_parameters()))
    with pytest.raises(InvalidOption, match=words):
        there_and_back(ppo().learn(20), tmp_path, into=other)
    after = tensors(dict(other.state_dict()) if isinstance(other, nn.Module) else other.get_parameters())
    assert same(before, after)


# ---------------------------------------------------------------- files that lie


def lie(directory: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change what was recorded, and sign it again, as somebody would who wants to be believed."""
    path = directory / "model.json"
    record = json.loads(path.read_bytes())
    change(record)
    record["checksum"] = checksum(record)
    path.write_bytes(canonical(record))


def hyper(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda record: record["hyperparameters"].update(values)


def policy(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda record: record["policy_kwargs"].update(values)


def box(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda record: record["observation_space"].update(values)


def optimizer(record: dict[str, Any]) -> Any:
    return dict(record["parameters"]["dict"])["policy.optimizer"]["dict"]


LIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an activation that is a module": policy(activation_fn="os.system"),
    "an activation that is another class": policy(activation_fn="Linear"),
    "an optimiser that is a function": policy(optimizer_class="lr_scheduler"),
    "a keyword that there is not": policy(device="cuda"),
    "a keyword that is a function": policy(net_arch={"schedule": "linear"}),
    "widths below zero": policy(net_arch=[-8]),
    "widths of terabytes": policy(net_arch=[1 << 40]),
    "widths that multiply to terabytes": policy(net_arch={"pi": [1 << 21, 1 << 21], "vf": [8]}),
    "very many narrow layers": policy(net_arch=[1] * 200_000),
    "very many critics": policy(n_critics=200),
    "very many environments": lambda record: record.update(n_envs=1 << 30),
    "an extractor of terabytes": policy(features_extractor_kwargs={"features_dim": 1 << 40}),
    "actions of terabytes": lambda record: record.update(action_space={"type": "Discrete", "n": 1 << 40, "start": 0}),
    "observations of terabytes": lambda record: record.update(observation_space={"type": "Discrete", "n": 1 << 40, "start": 0}),
    "another network": policy(net_arch=[9]),
    "a hyperparameter that there is not": hyper(env="CartPole-v1"),
    "a schedule of another name": hyper(learning_rate={"schedule": "os.system"}),
    "a schedule without an end": hyper(learning_rate={"schedule": "linear", "start": 1}),
    "a table of a schedule that is empty": hyper(learning_rate={"schedule": "table", "progress": [], "values": [], "name": "", "source": ""}),
    "a table of a schedule of two lengths": hyper(learning_rate={"schedule": "table", "progress": [0, 1], "values": [1], "name": "", "source": ""}),
    "a table of a schedule out of order": hyper(learning_rate={"schedule": "table", "progress": [1, 0], "values": [1, 1], "name": "", "source": ""}),
    "a table of a schedule with a text": hyper(learning_rate={"schedule": "table", "progress": [0, "1"], "values": [1, 1], "name": "", "source": ""}),
    "a table of a schedule without a source": hyper(learning_rate={"schedule": "table", "progress": [0], "values": [1], "name": ""}),
    "a number that is text": hyper(gamma="0.99"),
    "a number that is a list": hyper(gamma=[0.99]),
    "a switch that is a number": hyper(use_sde=1),
    "an integer that is a float": hyper(n_steps=1.5),
    "a batch that is too small": hyper(batch_size=1),
    "an algorithm that there is not": lambda record: record.update(algorithm="os"),
    "an algorithm that it is not": lambda record: record.update(algorithm="SAC"),
    "a policy of somebody's": lambda record: record.update(policy="os.system"),
    "an extractor of somebody's": policy(features_extractor_class="os.system"),
    "what it lacks as a number": lambda record: record.update(lacks=[7]),
    "an algorithm of another library": lambda record: record.update(algorithm="TRPO"),
    "a policy that there is not": lambda record: record.update(policy="OwnPolicy"),
    "no environments": lambda record: record.update(n_envs=0),
    "a space that there is not": box(type="Text"),
    "a space of petabytes": box(low={"dtype": "float32", "shape": [1 << 50], "values": 0}),
    "a space of objects": box(low={"dtype": "object", "shape": [3], "values": 0}),
    "a space that is a number": lambda record: record.update(observation_space=7),
    "a space of a number": lambda record: record.update(observation_space={"type": "Dict", "spaces": [["a", 7]]}),
    "a space of no parts": lambda record: record.update(observation_space={"type": "Dict", "spaces": [7]}),
    "bounds of two dtypes": box(low={"dtype": "float64", "shape": [3], "values": 0}),
    "a space without bounds": lambda record: record["observation_space"].pop("low"),
    "a space upside down": lambda record: record["observation_space"].update(low=record["observation_space"]["high"], high=record["observation_space"]["low"]),
    "a frozen parameter that there is not": lambda record: record.update(frozen=["requires_grad"]),
    "a counter that there is not": lambda record: record["counters"].update(__class__=1),
    "a counter that is text": lambda record: record["counters"].update(_n_updates="1"),
    "parameters that are none": lambda record: record.update(parameters=[]),
    "parameters of a stranger": lambda record: record["parameters"]["dict"].append(["__class__", {"dict": []}]),
    "parameters without a policy": lambda record: record["parameters"]["dict"].pop(0),
    "variables of a stranger": lambda record: record["variables"]["dict"].append(["__class__", {"tensor": record["tensors"]["names"][0]}]),
    "a tensor that there is not": lambda record: record["parameters"]["dict"][0][1]["dict"][0].__setitem__(1, {"tensor": "x"}),
    "an optimiser without groups": lambda record: optimizer(record).pop(1),
    "an optimiser without a learning rate": lambda record: optimizer(record)[1][1][0]["dict"].pop(0),
    "an optimiser of other parameters": lambda record: optimizer(record)[1][1].append({"dict": [["params", []]]}),
    "an optimiser that knows too much": lambda record: optimizer(record)[0][1]["dict"].append([99, {"dict": [["step", {"tensor": record["tensors"]["names"][0]}]]}]),
    "moments of another form": lambda record: optimizer(record)[0][1]["dict"][0][1]["dict"][1].__setitem__(1, {"tensor": record["tensors"]["names"][1]}),
    "a value without a key": lambda record: optimizer(record)[0][1]["dict"].append(7),
    "a value of no kind": lambda record: optimizer(record)[1].__setitem__(1, {"pickle": "gASVCg=="}),
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("saved")
    CODEC.encode(ppo().learn(20), directory, "model")
    return directory


def test_a_space_of_times_is_corrupt_since_numpy_divides_their_units() -> None:
    with pytest.raises(Corrupt, match="recorded with the dtype"):
        read_plain_space(SB3Codec(), {"type": "Discrete", "n": 3, "start": 0, "dtype": "<m8[7D/3]"}, "the space")


@pytest.mark.parametrize("name", LIES)
def test_a_record_that_lies_is_corrupt(name: str, saved: Path, tmp_path: Path) -> None:
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    lie(tmp_path, lambda record: None)
    CODEC.decode(tmp_path, "model", {})  # what is signed again is believed
    lie(tmp_path, LIES[name])
    with pytest.raises(Corrupt):
        CODEC.decode(tmp_path, "model", {})


def test_more_critics_than_were_saved_are_never_made() -> None:
    state = describe_algorithm(off_policy(SAC, policy_kwargs={"n_critics": 3}))
    assert len(build_algorithm(state).critic.q_networks) == 3
    more = dataclasses.replace(state, policy_kwargs={**state.policy_kwargs, "n_critics": 4})
    with pytest.raises(Corrupt, match="4 critics, and 3 were saved"):
        build_algorithm(more)


def test_a_buffer_that_does_not_fit_is_told_from_damage(saved: Path, tmp_path: Path) -> None:
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    lie(tmp_path, hyper(n_steps=1 << 46))
    with pytest.raises(Unavailable, match="into="):
        CODEC.decode(tmp_path, "model", {})
    into = ppo()
    assert CODEC.decode(tmp_path, "model", {}, into=into) is into


def test_a_state_needs_no_more_than_a_policy() -> None:
    algorithm = ppo().learn(20)
    whole = describe_algorithm(algorithm)
    state = SB3State(
        "PPO",
        "MlpPolicy",
        whole.observation_space,
        whole.action_space,
        {"policy": whole.parameters["policy"]},
        policy_kwargs={"net_arch": {"pi": [8], "vf": [8]}},
        num_timesteps=7,
    )
    built = build_algorithm(state)
    observation = np.ones(3, np.float32)
    expected, _ = algorithm.predict(observation, deterministic=True)
    assert np.array_equal(built.predict(observation, deterministic=True)[0], expected)
    assert (built.num_timesteps, built.n_steps, built.gamma) == (7, 2048, 0.99)  # stable-baselines3's own


# ---------------------------------------------------------------- trees, spaces, schedules, noise

TREES = [
    {"state": {0: {"step": 1, "betas": (0.9, [math.inf, -0.0])}}, "name": None, "on": True},
    {"number": np.float32(0.1), "whole": np.int64(3)},
    [],
    (),
]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_a_tree_of_values_comes_back(tree: Any) -> None:
    back = unpack(json.loads(canonical(pack(tree, "tree", {}))), "tree", {})
    assert repr(back) == repr(tree)  # which tells -0.0, tuples and numpy's numbers apart


def test_what_is_no_tree_of_values_is_refused() -> None:
    deep: Any = []
    for _ in range(9):
        deep = [deep]
    for tree in (
        {"a": object()},
        {1.5: 1},
        {1 << 64: 1},
        {1, 2},
        deep,
        {"a/b": torch.zeros(1), "a": {"b": torch.zeros(1)}},
    ):
        with pytest.raises(NotEncodable, match="tree"):
            pack(tree, "tree", {})


@pytest.mark.parametrize(
    "record",
    [{}, {"float": "x"}, {"tuple": 1}, {"dict": [[1.5, 1]]}, {"dict": [[1 << 64, 1]]}, {"tensor": 1}, {"number": []}],
)
def test_what_is_no_record_of_a_tree_is_corrupt(record: Any) -> None:
    with pytest.raises(Corrupt):
        unpack(record, "tree", {})


SPACES = [
    spaces.Box(-np.inf, np.inf, (2, 3)),
    spaces.Box(np.array([-1, -np.inf, -0.1], np.float64), np.array([1, 2, np.inf], np.float64), dtype=np.float64),
    spaces.Box(0, 255, (3, 4, 4), np.uint8),
    spaces.Box(np.array([-(2**62)]), np.array([2**62 + 1]), dtype=np.int64),
    spaces.Box(np.float32(-1.1), np.float32(1.1), ()),
    spaces.Box(0, 1, (0,)),
    ACTIONS,
    spaces.Discrete(4, start=-2),
    spaces.Discrete(4, dtype=np.int32),
    spaces.MultiDiscrete([3, 4], start=[1, -1]),
    spaces.MultiDiscrete(np.array([[3, 4]], np.int32), dtype=np.int32),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 2]),
    DICT,
    spaces.Dict([("z", THREE), ("a", ACTIONS)]),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_space_keeps_its_bounds_and_its_order(space: Any) -> None:
    record = json.loads(canonical(plain_space(CODEC, space, "space")))
    back = read_plain_space(CODEC, record, "space")
    assert back == space
    assert type(back) is type(space)
    assert back.dtype == space.dtype
    if isinstance(space, spaces.Box):
        assert back.low.tobytes() + back.high.tobytes() == space.low.tobytes() + space.high.tobytes()
    if isinstance(space, spaces.Dict):
        assert list(back) == list(space)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Tuple([THREE]),
        spaces.Text(3),
        spaces.Dict({"deep": spaces.Dict({"a": THREE})}),
        spaces.Dict({1: THREE}),  # type: ignore[dict-item]
        OwnBox(-1, 1),
    ],
    ids=str,
)
def test_a_space_that_stable_baselines_does_not_train_on_is_refused(space: gym.Space[Any]) -> None:
    with pytest.raises(NotEncodable, match="space"):
        plain_space(CODEC, space, "space")


NOISES = [
    NormalActionNoise(np.zeros(2), np.array([0.1, 0.2])),
    NormalActionNoise(np.zeros(1, np.float32), np.ones(1, np.float32), np.float64),
    OrnsteinUhlenbeckActionNoise(np.ones(2), np.ones(2), theta=0.3, dt=0.1, initial_noise=np.array([2.0, 3.0])),
    NOISE,
    VectorizedActionNoise(NOISE, 3),
]


@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_a_noise_draws_the_same(noise: Any) -> None:
    kinds = {"action_noise": "noise?"}
    record = json.loads(canonical(plain_settings(CODEC, {"action_noise": noise}, kinds, "TD3")))
    back = read_plain_settings(CODEC, record, kinds, "TD3")["action_noise"]

    def drawn(one: Any) -> list[Any]:
        one.reset()
        np.random.seed(3)  # noqa: NPY002 -- what stable-baselines3 draws from
        return [(one().tolist(), one().dtype) for _ in range(3)]

    assert drawn(back) == drawn(copy.deepcopy(noise))


@pytest.mark.parametrize(
    "record",
    [
        7,
        {},
        {"noise": "os.system"},
        {"noise": "vectorized", "base": {}, "n_envs": 2},
        {
            "noise": "vectorized",
            "base": {
                "noise": "normal",
                "mean": {"dtype": "float64", "shape": [], "values": 1},
                "sigma": {"dtype": "float64", "shape": [], "values": 1},
                "dtype": "float32",
            },
            "n_envs": 1 << 30,
        },
        {"noise": "normal", "mean": 1, "sigma": 2, "dtype": "float32"},
        {
            "noise": "normal",
            "mean": {"dtype": "float64", "shape": [], "values": 1},
            "sigma": {"dtype": "float64", "shape": [], "values": 1},
            "dtype": "O",
        },
    ],
)
def test_a_noise_that_there_is_not_is_corrupt(record: Any) -> None:
    with pytest.raises(Corrupt):
        read_plain_settings(CODEC, {"action_noise": record}, {"action_noise": "noise?"}, "TD3")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("switch", 1),
        ("integer", True),
        ("integer", 1.0),
        ("number", "1"),
        ("number", None),
        ("frequency", (1, "step")),
        ("layers", [[8]]),
        ("layers", {"shared": [8]}),
        ("values", [1]),
        ("values", {"a": object()}),
        ("optimizer", "Adam"),
        ("buffer settings", {"env": 1}),
    ],
)
def test_a_setting_of_another_kind_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(NotEncodable, match="setting"):
        plain_settings(CODEC, {"setting": value}, {"setting": kind}, "it")


@pytest.mark.parametrize(
    ("kind", "record"),
    [("frequency", [1]), ("layers", "8"), ("values", []), ("buffer settings", 1), ("entropy", "os"), ("optimizer", [])],
)
def test_a_setting_of_another_kind_is_corrupt(kind: str, record: Any) -> None:
    with pytest.raises(Corrupt, match="setting"):
        read_plain_settings(CODEC, {"setting": record}, {"setting": kind}, "it")
