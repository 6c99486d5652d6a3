"""The codecs of networks and of reinforcement learning are held to the contract."""

from __future__ import annotations

import copy
import dataclasses
import io
import math
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor, VecNormalize, VecTransposeImage
from torch import nn

from artifact_store import TorchState
from artifact_store.codecs.sb3.policy import AgentCodec, SB3Codec, SB3ContribCodec, describe_algorithm
from artifact_store.codecs.sb3.replay import ReplayBufferCodec
from artifact_store.codecs.sb3.vecnormalize import ObservationNormalizer, RunningStatistics, VecNormalizeCodec
from artifact_store.codecs.sb3.wrappers import VecWrappers, WrapperCodec, wrappers_of
from artifact_store.codecs.torch.nested import TorchTreeCodec
from artifact_store.codecs.torch.state import TorchStateCodec
from tests.environments import ACTIONS, DICT, UNBOUNDED, masked, spaces, tiny
from tests.little_room import LittleRoomSuite


def small(**others: Any) -> dict[str, Any]:
    return {"device": "cpu", "policy_kwargs": {"net_arch": [4]}, **others}  # a new dict: stable-baselines3 changes it


def same_tensor(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return bool(one.numel() == 0 or torch.equal(raw(one), raw(other)))


def raw(tensor: Any) -> Any:
    return tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def same(one: Any, other: Any) -> bool:
    """Compare trees of tensors and values, bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and same_tensor(one, other)
    if isinstance(one, dict):
        versions = getattr(one, "_metadata", None) == getattr(other, "_metadata", None)
        return versions and list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def tensors_of(thing: Any) -> Any:
    return thing.state if isinstance(thing, TorchState) else thing.state_dict()


def sharing(tensors: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the pairs of names whose first element is the same memory."""
    return {
        (one, other)
        for one, first in tensors.items()
        for other, second in tensors.items()
        if first.numel() and first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()
    }


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Embedding(5, 3)
        self.gru = nn.GRU(3, 4, num_layers=2, bidirectional=True)
        self.norm = nn.BatchNorm1d(4)
        self.decoder = nn.Linear(3, 5, bias=False)
        self.decoder.weight = self.encoder.weight


class TestTorchState(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> TorchStateCodec:
        return TorchStateCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        numbers = torch.arange(24.0).reshape(4, 6)
        odd = torch.tensor([float("nan"), -0.0, float("inf"), 1e-40])
        return [
            TorchState({"w": numbers.clone(), "b": odd}, {"layers": [4, 6], "rate": 0.1, "ünicode": None}),
            TorchState({"bf16": odd.to(torch.bfloat16), "half": odd.half(), "double": odd.double(), "c": odd.cfloat()}),
            TorchState({"t": numbers.t(), "sliced": numbers.clone()[:, ::2], "wide": torch.zeros(1).expand(3, 2)}),
            TorchState({"all": numbers, "row": numbers[1], "turned": numbers.t(), "same": numbers.detach()}),
            TorchState({"scalar": torch.tensor(3), "empty": torch.zeros(0, 4), "flags": torch.tensor([True, False])}),
            TorchState({}),
            Tied(),
            nn.Linear(2, 2, dtype=torch.float64),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(TorchState):
            pass

        numbers = torch.arange(6.0)
        return [
            TorchState({"meta": torch.zeros(2, device="meta")}),
            TorchState({"sparse": torch.eye(2).to_sparse()}),
            TorchState({"complex128": torch.zeros(2, dtype=torch.complex128)}),
            TorchState({"number": 1.5}),
            TorchState({"array": np.zeros(2)}),
            TorchState({1: torch.zeros(2)}),  # type: ignore[dict-item]
            TorchState({"__metadata__": torch.zeros(2)}),
            TorchState({"one": numbers[:4], "two": numbers[2:]}),
            TorchState({"one": numbers, "bits": numbers.view(torch.int32)}),
            TorchState({}, {"rate": float("nan")}),
            TorchState({}, {"when": {1, 2}}),
            TorchState({}, {"shape": (1, 2)}),
            TorchState({}, {"rate": np.float64(1)}),
            TorchState({}, {1: "one"}),  # type: ignore[dict-item]
            Derived({}),
            nn.LazyLinear(3),
        ]

    def equal(self, one: Any, other: Any) -> bool:
        mine, theirs = tensors_of(one), tensors_of(other)
        config = one.config if isinstance(one, TorchState) else {}
        same_config = not isinstance(other, TorchState) or other.config == config
        return same(mine, theirs) and sharing(mine) == sharing(theirs) and same_config


class TestTorchStateIntoModules(LittleRoomSuite):
    re_encodes = True

    @pytest.fixture
    def codec(self) -> TorchStateCodec:
        return TorchStateCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [Tied(), nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))]

    def into(self, example: Any, scratch: Path) -> Any:
        made = copy.deepcopy(example)
        with torch.no_grad():
            for tensor in made.state_dict().values():
                tensor.zero_()
        return made

    def equal(self, one: Any, other: Any) -> bool:
        return same(tensors_of(one), tensors_of(other)) and sharing(tensors_of(one)) == sharing(tensors_of(other))


class TestTorchTrees(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> TorchTreeCodec:
        return TorchTreeCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        net = Tied()
        optimizer = torch.optim.Adam(net.parameters())
        net.decoder(net.encoder(torch.tensor([1]))).sum().backward()
        optimizer.step()
        numbers = torch.arange(6.0)
        return [
            {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "best": math.inf},
            net.state_dict(),
            torch.tensor([1.5, -0.0]),
            nn.Parameter(torch.ones(2, dtype=torch.bfloat16)),
            [numbers, (numbers[2:], None), {1: True, "1": OrderedDict(a=Counter({2: 1})), "nested": [[], {}]}],
            (np.float32(0.5), torch.zeros(0, 3), 2**70, "ü"),
            torch.optim.Adam(net.parameters()).state_dict(),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        numbers = torch.arange(6.0)
        endless: list[Any] = [numbers]
        endless.append(endless)
        values: Sequence[Any] = ({1}, b"x", np.ones(2), numbers.shape, len, 1j, defaultdict(list), "\ud800", 10**5000)
        return [
            *([numbers, value] for value in values),
            {(1, 2): numbers},
            {True: numbers},
            [numbers[:4], numbers[2:]],
            torch.eye(2).to_sparse(),
            torch.zeros(2, device="meta"),
            endless,
        ]

    def equal(self, one: Any, other: Any) -> bool:
        return same(one, other) and type(one) is type(other)


# ---------------------------------------------------------------- stable-baselines3


class Falling:
    """A schedule without source: newer releases of cloudpickle, by which agents are copied, drop where that is."""

    def __init__(self, first: float) -> None:
        self.first = first

    def __call__(self, left: float) -> float:
        return self.first * left**2


def trained(algorithm: Any, steps: int = 24) -> Any:
    return algorithm.learn(steps)


def off_policy(kind: Any, env: Any, **others: Any) -> Any:
    return trained(kind("MlpPolicy", env, **small(learning_starts=6, buffer_size=60, batch_size=4, **others)), 12)


def ppo(policy: str = "MlpPolicy", env: Any = None, **others: Any) -> Any:
    return PPO(policy, env or tiny(), **small(n_steps=8, batch_size=4, n_epochs=2, **others))


class AlgorithmSuite(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> AgentCodec:
        return SB3Codec()

    def equal(self, one: Any, other: Any) -> bool:
        mine, theirs = describe_algorithm(one), describe_algorithm(other)
        plain = [field.name for field in dataclasses.fields(mine) if field.name not in {"parameters", "variables"}]
        assert [name for name in plain if getattr(mine, name) != getattr(theirs, name)] == []
        assert same(mine.parameters, theirs.parameters)
        assert same(mine.variables, theirs.variables)
        assert same(predicted(one, deterministic=True), predicted(other, deterministic=True))
        if threading.current_thread() is threading.main_thread():  # all threads draw from one generator
            assert same(predicted(one, deterministic=False), predicted(other, deterministic=False))
        return True

    def snapshot(self, example: Any) -> Any:
        file = io.BytesIO()
        example.save(file)
        file.seek(0)
        again = type(example).load(file, device="cpu")
        again.env = example.env  # of which is recorded what is around it
        if hasattr(example, "gamma"):
            again.gamma = example.gamma  # which comes back as Python's float
        if example.use_sde:  # of which it draws the matrices anew
            noise, drawn = exploration(again), exploration(example)
            noise.exploration_mat, noise.exploration_matrices = drawn.exploration_mat, drawn.exploration_matrices
        return again


def exploration(algorithm: Any) -> Any:
    policy = algorithm.policy
    return policy.action_dist if hasattr(policy, "action_dist") else policy.actor.action_dist


def predicted(algorithm: Any, *, deterministic: bool) -> list[Any]:
    space = copy.deepcopy(algorithm.observation_space)
    space.seed(3)
    algorithm.action_space.seed(3)
    np.random.seed(3)  # noqa: NPY002 -- what stable-baselines3 draws from
    torch.manual_seed(3)
    return [algorithm.predict(space.sample(), deterministic=deterministic)[0].tolist() for _ in range(5)]


class TestOnPolicyAlgorithms(AlgorithmSuite):
    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        image = spaces.Box(0, 255, (3, 36, 36), np.uint8)
        return [
            trained(ppo(learning_rate=LinearSchedule(1e-3, 1e-4, 0.5), clip_range_vf=0.3, target_kl=0.5, seed=3)),
            trained(ppo(env=tiny(UNBOUNDED, spaces.Discrete(3, start=-1), n_envs=2), ent_coef=0.01)),
            trained(ppo("MultiInputPolicy", tiny(DICT, spaces.MultiDiscrete([2, 3])))),
            trained(ppo(use_sde=True, sde_sample_freq=4, gamma=np.float64(0.9))),
            ppo("CnnPolicy", tiny(image, spaces.MultiBinary(2)), policy_kwargs={"features_extractor_kwargs": {"features_dim": 2}}),
            trained(ppo(learning_rate=Falling(1e-3), clip_range=Falling(0.1))),
            trained(A2C("MlpPolicy", tiny(spaces.Discrete(4)), **small()), 10),
            ppo(policy_kwargs={
                "net_arch": {"pi": [3], "vf": [4, 2]},
                "activation_fn": nn.ELU,
                "share_features_extractor": False,
                "ortho_init": False,
                "log_std_init": -1.0,
                "optimizer_class": torch.optim.SGD,
                "optimizer_kwargs": {"momentum": 0.5, "nesterov": True},
            }),
        ]  # fmt: skip

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(PPO):
            pass

        class Activation(nn.Tanh):
            pass

        return [
            Derived("MlpPolicy", tiny(), device="cpu"),
            ppo(learning_rate=lambda left: 1 / left),
            ppo(policy_kwargs={"activation_fn": Activation}),
            ppo(policy_kwargs={"activation_fn": lambda: nn.LeakyReLU(0.3)}),
        ]


@pytest.mark.filterwarnings("ignore:`n_steps=2` is ignored:UserWarning")  # its own load misreads its own choice
class TestOffPolicyAlgorithms(AlgorithmSuite):
    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        noise = NormalActionNoise(np.zeros(2), np.array([0.1, 0.2]))
        return [
            off_policy(DQN, tiny(action_space=spaces.Discrete(3)), n_steps=2, exploration_fraction=0.5),
            off_policy(SAC, tiny(), use_sde=True),
            off_policy(SAC, tiny(action_space=ACTIONS), ent_coef=0.2, train_freq=(1, "episode")),
            off_policy(TD3, tiny(), action_noise=noise, policy_delay=3),
            off_policy(DDPG, tiny(n_envs=2), action_noise=noise),
        ]


class TestAlgorithmsOfContrib(AlgorithmSuite):
    @pytest.fixture
    def codec(self) -> SB3ContribCodec:
        return SB3ContribCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        lstm = {"net_arch": [4], "lstm_hidden_size": 3}
        return [
            trained(MaskablePPO("MlpPolicy", masked(), n_steps=8, batch_size=4, **small())),
            trained(RecurrentPPO("MlpLstmPolicy", tiny(), n_steps=8, batch_size=4, **small(policy_kwargs=lstm))),
            trained(TRPO("MlpPolicy", tiny(), n_steps=8, batch_size=4, **small())),
            trained(ARS("LinearPolicy", tiny(), n_delta=1), 10),
            off_policy(QRDQN, tiny(action_space=spaces.Discrete(3))),
            off_policy(TQC, tiny(), top_quantiles_to_drop_per_net=1),
            off_policy(CrossQ, tiny()),
        ]

    def snapshot(self, example: Any) -> Any:
        again = super().snapshot(example)
        if hasattr(again, "weights"):  # of ARS, whose own load leaves them as it would begin with
            again.weights = example.weights.clone()
        return again


class TestReplayBuffers(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> ReplayBufferCodec:
        return ReplayBufferCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        little = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
        return [
            off_policy(SAC, tiny()).replay_buffer,
            off_policy(DDPG, tiny(n_envs=2)).replay_buffer,
            off_policy(TD3, tiny(), **little).replay_buffer,
            off_policy(DQN, tiny(action_space=spaces.Discrete(3)), n_steps=2).replay_buffer,
            DictReplayBuffer(5, DICT, ACTIONS, device="cpu"),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(ReplayBuffer):
            pass

        return [Derived(5, DICT["account"], ACTIONS, device="cpu")]

    def equal(self, one: Any, other: Any) -> bool:
        assert {*vars(one)} == {*vars(other)}
        return same(held(one), held(other))


def held(buffer: Any) -> dict[str, Any]:
    """Return what is in a buffer, without the generators of its spaces."""
    found = {name: value for name, value in vars(buffer).items() if not name.endswith("_space")}
    arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    return {
        **{name: str(value) for name, value in found.items() if name not in arrays},
        **{name: array.tobytes() for name, array in arrays.items()},
    }


class TestAlgorithmsThatAreFilled(AlgorithmSuite):
    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [trained(ppo(use_sde=True)), off_policy(SAC, tiny())]

    def into(self, example: Any, scratch: Path) -> Any:
        if isinstance(example, PPO):
            return ppo(use_sde=True)
        return SAC("MlpPolicy", tiny(), learning_starts=6, buffer_size=60, batch_size=4, **small())


# ---------------------------------------------------------------- VecNormalize


def normalized(env: Any, *, steps: int = 9, **settings: Any) -> VecNormalize:
    made = VecNormalize(env, **settings)
    made.seed(5)
    made.reset()
    made.action_space.seed(5)
    for _ in range(steps):
        made.step(np.array([made.action_space.sample() for _ in range(made.num_envs)]))
    return made


def facts(thing: Any) -> dict[str, Any]:
    names = ("clip_obs", "clip_reward", "gamma", "epsilon", "norm_obs", "norm_reward", "training")
    rms = getattr(thing, "obs_rms", None)
    parts = dict(rms) if isinstance(rms, dict) else {"": rms} if rms is not None else {}
    keys = thing.norm_obs_keys
    return {
        **{name: getattr(thing, name) for name in names},
        "keys": None if keys is None else list(keys),
        "obs": {key: statistics(part) for key, part in parts.items()},
        "ret": statistics(thing.ret_rms),
    }


def statistics(rms: Any) -> tuple[Any, ...]:
    return np.shape(rms.mean), rms.mean.tobytes(), rms.var.tobytes(), rms.count


class NormalizerSuite(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> VecNormalizeCodec:
        return VecNormalizeCodec()

    def equal(self, one: Any, other: Any) -> bool:
        assert facts(one) == facts(other)
        return True

    def snapshot(self, example: Any) -> Any:
        if isinstance(example, ObservationNormalizer):
            return copy.deepcopy(example)
        again = VecNormalize.__new__(VecNormalize)
        again.__setstate__(copy.deepcopy(example.__getstate__()))
        again.set_venv(example.venv)
        return again


class TestVecNormalize(NormalizerSuite):
    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [
            normalized(tiny()),
            normalized(
                tiny(UNBOUNDED, n_envs=2), clip_obs=0.5, clip_reward=3, gamma=0.9, epsilon=1e-4, norm_reward=False
            ),
            normalized(tiny(DICT), norm_obs_keys=["window"], training=False),
            normalized(tiny(spaces.Discrete(3)), norm_obs=False),
            normalized(tiny(spaces.Box(0, 255, (3, 36, 36), np.uint8)), steps=2),
            ObservationNormalizer(
                RunningStatistics([1.0, np.nan], [np.inf, 0.5], 7), RunningStatistics(0.0, 1.0, 1e-4)
            ),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(VecNormalize):
            pass

        halved = normalized(tiny())
        halved.obs_rms.var = halved.obs_rms.var.astype(np.float32)  # type: ignore[union-attr]
        return [Derived(tiny()), halved]


class TestVecNormalizeIntoEnvironments(NormalizerSuite):
    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [
            normalized(tiny(n_envs=2), clip_obs=0.5, gamma=0.9),
            normalized(tiny(DICT), norm_obs_keys=["account"], training=False),
        ]

    def into(self, example: Any, scratch: Path) -> Any:
        keys = None if example.norm_obs_keys is None else ["window"]
        return VecNormalize(tiny(DICT if keys else example.observation_space), norm_obs_keys=keys)


# ---------------------------------------------------------------- wrappers


class TestVecWrappers(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> WrapperCodec:
        return WrapperCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        image = spaces.Box(0, 255, (12, 12, 1), np.uint8)
        return [
            VecFrameStack(tiny(), 4),
            VecTransposeImage(VecFrameStack(tiny(image), 4)),
            VecMonitor(normalized(VecFrameStack(tiny(n_envs=2), 3), clip_obs=2.0)),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(VecFrameStack):
            pass

        return [Derived(tiny(), 2), VecNormalize(Derived(VecFrameStack(tiny(), 2), 2)), VecMonitor(tiny())]

    def equal(self, one: Any, other: Any) -> bool:
        return wrappers(one) == wrappers(other)

    def snapshot(self, example: Any) -> Any:
        return wrappers(example)


def wrappers(thing: Any) -> VecWrappers:
    return copy.deepcopy(thing if isinstance(thing, VecWrappers) else wrappers_of(thing))
