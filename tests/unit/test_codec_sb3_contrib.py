"""Algorithms of sb3-contrib predict and train on as they were, and classes of the caller's own come back by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from artifact_store import ArtifactStore, CodecRegistry, LoadPolicy
from artifact_store.codecs.sb3.policy import SB3Codec, SB3ContribCodec, describe_algorithm
from artifact_store.errors import Corrupt, NotEncodable, RiskRefused, TypeRefused
from tests.environments import DICT, THREE, masked, tiny
from tests.unit.test_codec_sb3 import learned, lie, same, small, tensors, train_on

CODEC = SB3ContribCodec()


def rollouts(**others: Any) -> dict[str, Any]:
    return small(n_steps=16, batch_size=8, **others)


def replays(**others: Any) -> dict[str, Any]:
    return small(learning_starts=8, buffer_size=100, batch_size=8, **others)


LSTM = {"lstm_hidden_size": 6, "n_lstm_layers": 2}
TRAINED: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "MaskablePPO": (lambda: MaskablePPO("MlpPolicy", masked(), **rollouts(target_kl=0.9)), masked),
    "RecurrentPPO": (lambda: RecurrentPPO("MlpLstmPolicy", tiny(), **rollouts(policy_kwargs=LSTM)), tiny),
    "RecurrentPPO with one LSTM": (
        lambda: RecurrentPPO(
            "MlpLstmPolicy",
            tiny(n_envs=2),
            **rollouts(policy_kwargs={**LSTM, "shared_lstm": True, "enable_critic_lstm": False}),
        ),
        lambda: tiny(n_envs=2),
    ),
    "RecurrentPPO on dicts": (
        lambda: RecurrentPPO("MultiInputLstmPolicy", tiny(DICT, THREE), **rollouts(policy_kwargs=LSTM)),
        lambda: tiny(DICT, THREE),
    ),
    "QRDQN": (
        lambda: QRDQN("MlpPolicy", tiny(action_space=THREE), **replays(policy_kwargs={"n_quantiles": 5})),
        lambda: tiny(action_space=THREE),
    ),
    "TQC": (
        lambda: TQC("MlpPolicy", tiny(), **replays(policy_kwargs={"n_quantiles": 5, "n_critics": 3})),
        tiny,
    ),
    "TQC with gSDE": (
        lambda: TQC("MlpPolicy", tiny(), **replays(use_sde=True, top_quantiles_to_drop_per_net=3, ent_coef=0.1)),
        tiny,
    ),
    "TRPO": (lambda: TRPO("MlpPolicy", tiny(), **rollouts(cg_max_steps=5)), tiny),
    "ARS": (lambda: ARS("MlpPolicy", tiny(), n_delta=2, delta_std=0.1, zero_policy=False, **small()), tiny),
    "ARS of one layer": (lambda: ARS("LinearPolicy", tiny(), n_delta=2, seed=1), tiny),
    "CrossQ": (lambda: CrossQ("MlpPolicy", tiny(), **replays()), tiny),
}


def there_and_back(obj: Any, directory: Path, codec: Any = CODEC) -> Any:
    return codec.decode(directory, "model", codec.encode(obj, directory, "model"))


@pytest.mark.parametrize("name", TRAINED)
def test_training_that_was_interrupted_gives_the_same_parameters(name: str, tmp_path: Path) -> None:
    make, env = TRAINED[name]
    algorithm = make().learn(40)
    halfway = learned(algorithm)
    reloaded = there_and_back(algorithm, tmp_path)
    assert type(reloaded) is type(algorithm)
    assert same(learned(reloaded), halfway)
    through = train_on(algorithm, env())
    assert not same(through, halfway)  # or this would prove nothing
    assert same(train_on(reloaded, env()), through)


def test_what_an_lstm_remembers_is_handed_to_predict_as_before(tmp_path: Path) -> None:
    algorithm = TRAINED["RecurrentPPO"][0]().learn(16)
    reloaded = there_and_back(algorithm, tmp_path)
    states: list[Any] = [None, None]
    first = np.ones(1, bool)
    for seen in np.random.default_rng(3).uniform(-1, 1, (7, 3)).astype(np.float32):
        actions = []
        for place, one in enumerate((algorithm, reloaded)):
            action, states[place] = one.predict(seen, states[place], first, deterministic=True)
            actions.append(action)
        assert np.array_equal(*actions)
        first = np.zeros(1, bool)
    assert np.array_equal(states[0][0], states[1][0])


def test_actions_that_are_not_allowed_are_not_taken(tmp_path: Path) -> None:
    algorithm = TRAINED["MaskablePPO"][0]().learn(16)
    reloaded = there_and_back(algorithm, tmp_path)
    seen = np.random.default_rng(3).uniform(-1, 1, (9, 3)).astype(np.float32)
    for mask in ([True, False, False], [False, True, True]):
        expected, _ = algorithm.predict(seen, deterministic=True, action_masks=np.array([mask] * 9))
        assert np.array_equal(
            reloaded.predict(seen, deterministic=True, action_masks=np.array([mask] * 9))[0], expected
        )
        assert all(mask[action] for action in expected)


def test_weights_of_ars_that_are_not_those_of_its_policy_come_back_too(tmp_path: Path) -> None:
    algorithm = TRAINED["ARS"][0]().learn(40)
    algorithm.weights = torch.ones_like(algorithm.weights)
    assert torch.equal(there_and_back(algorithm, tmp_path).weights, algorithm.weights)


def _with_kwargs(wrong: dict[str, Any], record: dict[str, Any]) -> None:
    record["policy_kwargs"].update(wrong)


def test_more_layers_of_lstm_than_were_saved_are_never_made(tmp_path: Path) -> None:
    CODEC.encode(TRAINED["RecurrentPPO"][0](), tmp_path, "model")
    for wrong in ({"n_lstm_layers": 1 << 30}, {"lstm_hidden_size": 1 << 30}):
        lie(tmp_path, partial(_with_kwargs, wrong))
        with pytest.raises(Corrupt, match="LSTM|layers of"):
            CODEC.decode(tmp_path, "model", {})


def test_quantiles_beyond_what_was_saved_are_never_made(tmp_path: Path) -> None:
    CODEC.encode(TRAINED["QRDQN"][0](), tmp_path, "model")
    lie(tmp_path, lambda record: record["policy_kwargs"].update(n_quantiles=1 << 40))
    with pytest.raises(Corrupt, match="layers of"):
        CODEC.decode(tmp_path, "model", {})


def test_a_store_chooses_the_codec_by_the_library(tmp_path: Path) -> None:
    registry = CodecRegistry()
    registry.register(SB3ContribCodec)
    store = ArtifactStore(tmp_path.as_uri(), registry=registry)
    run = store.save(TRAINED["TRPO"][0](), "trpo/GOOGL")
    assert run.manifest.components["model"].codec.name == "sb3-contrib"
    assert type(run.load()) is TRPO


# ---------------------------------------------------------------- classes of the caller's own


class OwnExtractor(BaseFeaturesExtractor):
    def __init__(self, observation_space: spaces.Box, width: int = 4, names: tuple[str, ...] = ()) -> None:
        super().__init__(observation_space, width)
        self.net = nn.Sequential(nn.Linear(3, width), Snake())
        self.names = names

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.net(observations)
        return result


class Snake(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values + torch.sin(values) ** 2


class OwnPolicy(ActorCriticPolicy):
    def __init__(self, *args: Any, scale: float = 1.0, **others: Any) -> None:
        self.scale = scale
        super().__init__(*args, **others)


def with_extractor() -> PPO:
    kwargs = {
        "features_extractor_class": OwnExtractor,
        "features_extractor_kwargs": {"width": 5, "names": ("a", "b")},
        "activation_fn": Snake,
    }
    return PPO("MlpPolicy", tiny(), **rollouts(policy_kwargs=kwargs))


def with_policy() -> PPO:
    return PPO(OwnPolicy, tiny(), **rollouts(policy_kwargs={"scale": 2.5}))


@pytest.mark.parametrize(("make", "own"), [(with_extractor, [Snake, OwnExtractor]), (with_policy, [OwnPolicy])])
def test_classes_that_the_caller_gives_come_back(make: Callable[[], PPO], own: list[type], tmp_path: Path) -> None:
    codec = SB3Codec(own=own)
    algorithm = make().learn(16)
    reloaded = there_and_back(algorithm, tmp_path, codec)
    assert type(reloaded.policy) is type(algorithm.policy)
    assert repr(reloaded.policy) == repr(algorithm.policy)
    assert reloaded.policy_kwargs == algorithm.policy_kwargs
    for one in (reloaded, algorithm):
        one.set_env(tiny())
        one.set_random_seed(7)
        one.learn(16, reset_num_timesteps=False)
    assert same(tensors(reloaded.get_parameters()), tensors(algorithm.get_parameters()))
    for place, kind in enumerate(own):  # one after the other, as the errors say
        given = ", ".join(one.__name__ for one in own[: place + 1])
        with pytest.raises(TypeRefused, match=rf"own=\[{given}\]\)\); ArtifactStore\(url, registry=registry\)") as told:
            SB3Codec(own=own[:place]).decode(tmp_path, "model", {})
        assert told.value.types == (f"{__name__}.{kind.__name__}",)


def test_what_the_error_says_works_when_it_is_followed(tmp_path: Path) -> None:
    algorithm, url = with_policy(), tmp_path.as_uri()
    with pytest.raises(NotEncodable, match=r"registry\.register\(SB3Codec\(own=\[OwnPolicy\]\)\)"):
        ArtifactStore(url).save(algorithm, "ppo/GOOGL")
    registry = CodecRegistry()
    registry.register(SB3Codec(own=[OwnPolicy]))
    store = ArtifactStore(url, registry=registry)
    run = store.save(algorithm, "ppo/GOOGL")
    assert run.manifest.components["model"].risk == "vetted"
    assert run.load().policy.scale == 2.5
    with pytest.raises(TypeRefused, match="OwnPolicy"):
        ArtifactStore(url).load("ppo/GOOGL")
    with pytest.raises(RiskRefused):
        ArtifactStore(url, registry=registry, policy=LoadPolicy(max_risk="data")).load("ppo/GOOGL")


def test_a_class_of_the_same_name_is_another_class(tmp_path: Path) -> None:
    other = type("OwnPolicy", (OwnPolicy,), {})
    other.__module__ = __name__
    with pytest.raises(NotEncodable, match="OwnPolicy"):
        SB3Codec(own=[other]).encode(with_policy(), tmp_path, "model")


def test_a_setting_of_ones_own_that_is_no_plain_value_is_refused(tmp_path: Path) -> None:
    algorithm = with_policy()
    algorithm.policy_kwargs["scale"] = object()
    with pytest.raises(NotEncodable, match="scale"):
        SB3Codec(own=[OwnPolicy]).encode(algorithm, tmp_path, "model")


def test_an_algorithm_that_was_copied_is_described_as_the_one_it_is_from(tmp_path: Path) -> None:
    reloaded = there_and_back(TRAINED["TQC"][0]().learn(20), tmp_path)
    copied = copy.deepcopy(reloaded)
    assert copied._custom_logger is False
    assert same(learned(copied), learned(reloaded))
    assert describe_algorithm(copied).hyperparameters == describe_algorithm(reloaded).hyperparameters
