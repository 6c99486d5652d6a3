"""Old zips of agents with classes of their saver's own: read with the classes that the caller gives, and no others."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from torch import nn

from artifact_store import ArtifactStore, CodecRegistry
from artifact_store.codecs.sb3.policy import SB3Codec
from artifact_store.errors import RiskRefused
from artifact_store.legacy.formats.sb3 import read_sb3
from artifact_store.legacy.formats.sb3_building import build_old
from tests.environments import masked, tiny

IMAGE = spaces.Box(0, 255, (12, 12, 1), np.uint8)
SMALL: dict[str, Any] = {"n_steps": 16, "batch_size": 8, "seed": 1, "device": "cpu"}


class Snake(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values + torch.sin(values) ** 2


class Extractor(BaseFeaturesExtractor):
    """Flattens whatever it is given."""

    def __init__(self, observation_space: Any, width: int = 4, names: tuple[str, ...] = (), kind: Any = None) -> None:
        super().__init__(observation_space, width)
        size = int(np.prod(observation_space.shape))
        self.net = nn.Sequential(nn.Flatten(), nn.AvgPool1d(3), nn.Linear(size // 3, width), (kind or Snake)())
        self.names = names

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.net(observations)
        return result


class Policy(ActorCriticPolicy):
    """One with a setting of its own."""

    def __init__(self, *args: Any, scale: float = 1.0, sizes: tuple[int, ...] = (), **others: Any) -> None:
        self.scale, self.sizes = scale, sizes
        super().__init__(*args, **others)


class Quiet(MaskableActorCriticPolicy):
    """One without a constructor of its own."""


class Deep(DQNPolicy):
    """One of another library of algorithms."""


class Main(ActorCriticPolicy):
    """One that was defined in the program itself, so that its pickle has its code."""

    def extra(self) -> int:
        return 1


class Foreign(BasePolicy):
    """One that is made of no policy that is known."""


def extracting(**others: Any) -> PPO:
    given = {"width": 5, "names": ("a", "b"), **others}
    kwargs = {"features_extractor_class": Extractor, "features_extractor_kwargs": given, "activation_fn": Snake}
    return PPO("MlpPolicy", tiny(IMAGE), policy_kwargs={"net_arch": [8], **kwargs}, **SMALL)


AGENTS: dict[str, tuple[Callable[[], Any], list[type]]] = {
    "extractor and activation": (extracting, [Snake, Extractor]),
    "policy": (
        lambda: PPO(Policy, tiny(), policy_kwargs={"scale": 2.5, "sizes": (1, 2), "activation_fn": nn.ELU}, **SMALL),
        [Policy],
    ),
    "policy of sb3-contrib": (lambda: MaskablePPO(Quiet, masked(), **SMALL), [Quiet]),
    "policy of DQN": (lambda: DQN(Deep, tiny(action_space=spaces.Discrete(3)), buffer_size=50, device="cpu"), [Deep]),
}


def zipped(agent: Any) -> bytes:
    file = io.BytesIO()
    agent.save(file)
    return file.getvalue()


def read(data: bytes, own: list[type]) -> Any:
    return build_old(read_sb3(data, what="model.zip", own=own))[0]


def same(one: Any, other: Any) -> bool:
    mine, theirs = one.policy.state_dict(), other.policy.state_dict()
    return type(one.policy) is type(other.policy) and all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_comes_back_with_the_classes_that_are_given(name: str) -> None:
    make, own = AGENTS[name]
    agent = make().learn(16)
    data = zipped(agent)
    again = read(data, own)
    assert type(again) is type(agent)
    assert same(again, agent)
    assert again.policy_kwargs == agent.policy_kwargs
    with pytest.raises(RiskRefused, match=rf"nothing of it was run.*Give it: .*own=\[.*{own[-1].__name__}\]"):
        read(data, own[:-1])


def test_what_the_refusal_says_works_for_an_old_tree_and_for_a_store(tmp_path: Path) -> None:
    old = tmp_path / "old" / "model.zip"
    old.parent.mkdir()
    agent = PPO(Policy, tiny(), policy_kwargs={"scale": 2.5}, **SMALL).learn(16)
    agent.save(old)
    with ArtifactStore.open_legacy(old) as closed, pytest.raises(RiskRefused) as told:
        closed.load(closed.models()[0])
    assert "registry.register(SB3Codec(own=[Policy])); ArtifactStore.open_legacy(path, registry=registry)" in str(
        told.value
    )
    registry = CodecRegistry()
    registry.register(SB3Codec(own=[Policy]))
    with ArtifactStore.open_legacy(old, registry=registry) as opened:
        found = opened.load(opened.models()[0])
    assert same(found, agent)
    store = ArtifactStore(tmp_path / "new", registry=registry)
    store.save(found, "ppo/GOOGL")
    assert same(store.load("ppo/GOOGL"), agent)


def test_a_class_that_was_defined_in_the_program_is_known_by_the_names_of_its_methods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Main, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Main", Main, raising=False)
    data = zipped(PPO(Main, tiny(), **SMALL))
    assert type(read(data, [Main]).policy) is Main
    with pytest.raises(RiskRefused, match=r"own=\[Main\]"):
        read(data, [])


def test_text_that_may_stand_for_something_else_is_not_given_to_code_of_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Snake, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Snake", Snake, raising=False)
    for given in ({}, {"names": "a"}):
        with pytest.raises(RiskRefused, match="features_extractor_kwargs cannot be told without its code"):
            read(zipped(extracting(**given)), [Snake, Extractor])
    agent = PPO(
        "MlpPolicy",
        tiny(),
        policy_kwargs={"features_extractor_class": Extractor, "features_extractor_kwargs": {"width": 5, "kind": Snake}},
        **SMALL,
    )
    with pytest.raises(RiskRefused, match="features_extractor_kwargs cannot be told without its code"):
        read(zipped(agent), [Snake, Extractor])


def test_numbers_are_read_from_the_text_where_the_pickle_has_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Snake, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Snake", Snake, raising=False)
    kwargs = {"features_extractor_class": Extractor, "features_extractor_kwargs": {"width": 5}, "activation_fn": Snake}
    agent = PPO("MlpPolicy", tiny(), policy_kwargs=kwargs, **SMALL)
    assert same(read(zipped(agent), [Snake, Extractor]), agent)


def test_a_policy_that_is_made_of_none_of_the_library_is_refused() -> None:
    agent = PPO(Policy, tiny(), **SMALL)
    agent.policy_class = Foreign
    with pytest.raises(RiskRefused, match="Foreign, which is made of no policy of stable-baselines3's"):
        read(zipped(agent), [Foreign])
