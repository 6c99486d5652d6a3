"""Wrappers between environments and an agent come back as plain data, and around other environments as they were."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from artifact_store import CodecRegistry
from artifact_store.canonical import canonical
from artifact_store.codecs.sb3.policy import SB3Codec
from artifact_store.codecs.sb3.vecnormalize import ObservationNormalizer, VecNormalizeCodec
from artifact_store.codecs.sb3.wrappers import VecWrappers, Wrapper, WrapperCodec, wrappers_of
from artifact_store.errors import Corrupt, InvalidOption, NoCodec, NotEncodable
from tests.environments import BOX, DICT, Tiny, tiny

CODEC = WrapperCodec()
IMAGE = spaces.Box(0, 255, (12, 12, 1), np.uint8)
PARTS = spaces.Dict({"window": spaces.Box(-1, 1, (2, 2)), "image": IMAGE})


class Own(VecEnvWrapper):
    """A wrapper of somebody's own."""

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        return self.venv.step_wait()


class OwnStack(VecFrameStack):
    """One made of a wrapper of the library."""


CHAINS: dict[str, Callable[[Any], Any]] = {
    "frames": lambda env: VecFrameStack(env, 4),
    "frames, the newest first in the shape": lambda env: VecFrameStack(env, 3, "first"),
    "normalised frames": lambda env: VecNormalize(VecFrameStack(env, 4), clip_obs=3.0, gamma=0.9),
    "frames of what is normalised": lambda env: VecFrameStack(VecNormalize(env, norm_reward=False), 2),
    "watched": lambda env: VecMonitor(VecNormalize(VecCheckNan(env))),
    "around what is one's own": lambda env: VecFrameStack(Own(env), 2),
}
OTHERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "images": (lambda env: VecTransposeImage(VecFrameStack(env, 4)), IMAGE),
    "images as they are": (lambda env: VecTransposeImage(VecFrameStack(env, 4), skip=True), IMAGE),
    "a part of a dict": (lambda env: VecFrameStack(VecExtractDictObs(env, "window"), 2), DICT),
    "an order for each part": (lambda env: VecFrameStack(env, 2, {"window": "first", "image": "last"}), PARTS),
    "an order that was found": (lambda env: VecFrameStack(env, 2), PARTS),
}
ALL = {**{name: (make, BOX) for name, make in CHAINS.items()}, **OTHERS}


def there_and_back(obj: Any, directory: Path) -> VecWrappers:
    found: VecWrappers = CODEC.decode(directory, "model", CODEC.encode(obj, directory, "model"))
    return found


def play(env: Any, steps: int = 12) -> list[Any]:
    """Return all that it gives, from one reset on, for the same actions."""
    env.seed(3)
    seen = [env.reset()]
    chance = np.random.default_rng(5)
    for _ in range(steps):
        observation, reward, done, _ = env.step(chance.uniform(0, 1, (env.num_envs, 2)).astype(np.float32))
        seen += [observation, reward, done]
    return copy.deepcopy(seen)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return [*one] == [*other] and all(same(part, other[key]) for key, part in one.items())
    return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())


@pytest.mark.parametrize("name", ALL)
def test_wrappers_come_back_equal_and_do_the_same_around_other_environments(name: str, tmp_path: Path) -> None:
    make, space = ALL[name]
    env = make(tiny(space, n_envs=2))
    play(env)
    wrappers = there_and_back(env, tmp_path)
    assert wrappers == wrappers_of(env) == there_and_back(wrappers, tmp_path)
    others = tiny(space, n_envs=2)
    again = wrappers.wrap(Own(others) if wrappers.own else others)
    assert again.observation_space == env.observation_space
    assert wrappers_of(again) == wrappers
    assert all(same(one, other) for one, other in zip(play(again), play(env), strict=True))


def test_an_agent_acts_on_stacked_frames_as_it_did(tmp_path: Path) -> None:
    env = VecNormalize(VecFrameStack(DummyVecEnv([lambda: Monitor(Tiny())]), n_stack=4))
    agent = PPO("MlpPolicy", env, n_steps=16, batch_size=8, device="cpu", policy_kwargs={"net_arch": [4]}).learn(16)
    again = SB3Codec().decode(tmp_path, "agent", SB3Codec().encode(agent, tmp_path, "agent"))
    around = there_and_back(agent.get_env(), tmp_path).wrap(tiny())
    one, other = env.venv.venv.seed(3) and env.reset(), around.seed(3) and around.reset()
    for _ in range(9):
        actions, _ = agent.predict(one, deterministic=True)
        assert np.array_equal(again.predict(other, deterministic=True)[0], actions)
        one, other = env.step(actions)[0], around.step(actions)[0]
    again.set_env(around)
    again.learn(16, reset_num_timesteps=False)


def test_the_codec_is_chosen_by_what_there_is_to_keep() -> None:
    registry = CodecRegistry()
    registry.register(WrapperCodec)
    registry.register(VecNormalizeCodec)

    def chosen(env: Any) -> str:
        return registry.for_object(env).name

    assert chosen(VecNormalize(tiny())) == chosen(VecNormalize(VecMonitor(Own(tiny())))) == "vecnormalize"
    assert chosen(VecNormalize(VecFrameStack(tiny(), 2))) == chosen(VecMonitor(VecNormalize(tiny()))) == "sb3-wrappers"
    assert chosen(wrappers_of(VecFrameStack(tiny(), 2))) == chosen(OwnStack(tiny(), 2)) == "sb3-wrappers"
    with pytest.raises(NoCodec):
        chosen(tiny())


def test_observations_that_are_stacked_already_are_normalised_without_an_environment(tmp_path: Path) -> None:
    env = VecNormalize(VecFrameStack(tiny(), 4))
    play(env)
    seen = np.random.default_rng(5).normal(size=(6, 12)).astype(np.float32)
    wrappers = there_and_back(env, tmp_path)
    assert wrappers.shape == (12,)
    assert same(wrappers.normalize_obs(seen), env.normalize_obs(seen))
    wrappers = there_and_back(VecFrameStack(VecNormalize(tiny()), 4), tmp_path)
    assert wrappers.shape is None
    with pytest.raises(InvalidOption, match=r"VecFrameStack comes last.*wrap\(venv\)"):
        wrappers.normalize_obs(seen)


SPACE = {
    "type": "Box",
    **{name: {"dtype": "float32", "shape": [3], "values": value} for name, value in (("low", -1.0), ("high", 1.0))},
}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: VecNormalize(Own(VecFrameStack(tiny(), 2))), "Own stands between VecNormalize and VecFrameStack"),
        (lambda: Own(VecFrameStack(tiny(), 2)), "Own stands around VecFrameStack"),
        (lambda: OwnStack(tiny(), 2), "OwnStack is none of VecFrameStack.*leave it out"),
        (lambda: VecMonitor(tiny()), "nothing in this VecMonitor changes observations: leave it out"),
        (
            lambda: VecWrappers(SPACE, (Wrapper("VecFrameStack", {"n_stack": 1 << 24, "channels_order": "last"}),)),
            "more",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(make: Callable[[], Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match=words):
        CODEC.encode(make(), tmp_path, "model")
    assert not [*tmp_path.iterdir()]


def test_what_the_refusal_says_works_when_it_is_followed(tmp_path: Path) -> None:
    inside = VecFrameStack(tiny(), 2)
    env = VecNormalize(Own(inside))
    play(env)
    with pytest.raises(NotEncodable, match="put it right around the environments.*or save the VecFrameStack in it"):
        CODEC.encode(env, tmp_path, "model")
    normalizer = VecNormalizeCodec()
    options = normalizer.encode(env, tmp_path, "outside")
    again = VecNormalize(Own(there_and_back(inside, tmp_path).wrap(tiny())))
    normalizer.decode(tmp_path, "outside", options, into=again)
    assert all(same(one, other) for one, other in zip(play(again), play(env), strict=True))


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("frames", Tiny, r"give a VecEnv, as DummyVecEnv\(\[lambda: env\]\) is"),
        ("frames", lambda: VecFrameStack(tiny(), 2), "have a VecFrameStack already"),
        ("frames", lambda: tiny(spaces.Box(-1, 1, (4,))), r"training give Box.*\(3,\).*these give Box.*\(4,\)"),
        ("frames", lambda: tiny(spaces.Tuple([BOX])), "Tuple"),
        ("around what is one's own", tiny, "had a .*Own of your own: put it around these first"),
    ],
)
def test_environments_that_do_not_fit_are_told_apart(
    name: str, make: Callable[[], Any], words: str, tmp_path: Path
) -> None:
    wrappers = there_and_back(CHAINS[name](tiny()), tmp_path)
    with pytest.raises(InvalidOption, match=words):
        wrappers.wrap(make())
    with pytest.raises(InvalidOption, match=r"leave out into=, and call wrap\(venv\)"):
        CODEC.decode(tmp_path, "model", {}, into=tiny())


def test_wrappers_that_make_no_sense_together_are_told_when_they_are_made(tmp_path: Path) -> None:
    space = wrappers_of(VecFrameStack(tiny(), 2)).observation_space
    for step in (Wrapper("VecTransposeImage", {"skip": False}), Wrapper("VecExtractDictObs", {"key": "a"})):
        with pytest.raises(InvalidOption, match=f"{step.name} cannot be put around these environments"):
            there_and_back(VecWrappers(space, (step,)), tmp_path).wrap(tiny())
    normalised = wrappers_of(VecFrameStack(VecNormalize(tiny()), 2)).steps
    with pytest.raises(InvalidOption, match="have the shape"):
        VecWrappers(space, normalised[::-1]).wrap(tiny())
    assert isinstance(normalised[0], ObservationNormalizer)


STACK = {"wrapper": "VecFrameStack", "n_stack": 2, "channels_order": "last"}
LIES: list[dict[str, Any]] = [
    {"steps": []},
    {"steps": ["VecFrameStack"]},
    {"steps": [{**STACK, "wrapper": "os.system"}]},
    {"steps": [{**STACK, "n_stack": 0}]},
    {"steps": [{**STACK, "n_stack": True}]},
    {"steps": [{**STACK, "n_stack": 1 << 40}]},
    {"steps": [{**STACK, "n_stack": 1 << 12}] * 2},
    {"steps": [{**STACK, "channels_order": "middle"}]},
    {"steps": [{**STACK, "channels_order": {"a": None}}]},
    {"steps": [{"wrapper": "VecTransposeImage", "skip": 1}]},
    {"steps": [{"wrapper": "VecExtractDictObs"}]},
    {"steps": [{"wrapper": "VecNormalize", "kind": "box"}]},
    {"observation_space": {"type": "Box"}},
    {"own": [7]},
]


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_record_that_lies_is_corrupt(lie: dict[str, Any], tmp_path: Path) -> None:
    CODEC.encode(VecFrameStack(tiny(), 2), tmp_path, "model")
    path = tmp_path / "model.json"
    path.write_bytes(canonical({**json.loads(path.read_bytes()), **lie}))
    with pytest.raises(Corrupt):
        CODEC.decode(tmp_path, "model", {})


def test_the_format_page_is_enough_to_stack_frames(tmp_path: Path) -> None:
    """With numpy alone, and what section 2.11 says of the JSON."""
    plain, stacked = tiny(BOX), VecFrameStack(tiny(BOX), 3)
    CODEC.encode(stacked, tmp_path, "model")
    (step,) = json.loads((tmp_path / "model.json").read_bytes())["steps"]
    assert (step["wrapper"], step["channels_order"]) == ("VecFrameStack", "last")
    for env in (plain, stacked):
        env.seed(1)
    frames = [np.zeros_like(plain.reset())] * (step["n_stack"] - 1)
    plain.seed(1)
    frames.append(plain.reset())
    seen = stacked.reset()
    for _ in range(4):
        assert np.array_equal(np.concatenate(frames[-step["n_stack"] :], axis=-1), seen)
        actions = np.zeros((1, 2), np.float32)
        frames.append(plain.step(actions)[0])
        seen = stacked.step(actions)[0]
