"""Agents of stable-baselines3 and normalisers of their environments."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from tests.zoo.making import Making

OBSERVATIONS = np.random.default_rng(8).uniform(-1, 1, (5, 3)).astype(np.float32)
NUMPY_ALONE = ("torch", "stable_baselines3", "gymnasium", "pandas", "sklearn")
SMALL: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}, "seed": 1, "device": "cpu"}
ONCE = {"n_steps": 8, "batch_size": 4, "n_epochs": 1}
AROUND = "`wrap(venv)` puts it around environments"
LATER = {"learning_starts": 4, "batch_size": 4, "buffer_size": 50}


def look(agent: Any) -> Any:
    """What it does, and all that it has learned with."""
    space = agent.observation_space
    rows = (
        OBSERVATIONS
        if not hasattr(space, "spaces")
        else {name: np.zeros((5, *(part.shape or (1,))), part.dtype) for name, part in space.spaces.items()}
    )
    return {
        "actions": np.asarray(agent.predict(rows, deterministic=True)[0]),
        "parameters": agent.get_parameters(),
        "steps": agent.num_timesteps,
    }


def agent(name: str, kind: str, steps: int = 16, discrete: bool = False, **options: Any) -> Making:  # noqa: FBT001, FBT002
    def make(_: Path) -> Any:
        import stable_baselines3
        from gymnasium import spaces

        from tests.environments import tiny

        env = tiny(action_space=spaces.Discrete(3)) if discrete else tiny()
        made = getattr(stable_baselines3, kind)("MlpPolicy", env, **copy.deepcopy({**SMALL, **options}))
        return made.learn(steps)

    return Making(name, make, "sb3", look=look)


def mapping(_: Path) -> Any:
    import stable_baselines3

    from tests.environments import DICT, tiny

    return stable_baselines3.PPO("MultiInputPolicy", tiny(DICT), **copy.deepcopy(SMALL), **ONCE).learn(8)


def normalised(_: Path) -> Any:
    from stable_baselines3.common.vec_env import VecNormalize

    from tests.environments import tiny

    env = VecNormalize(tiny(), clip_obs=5.0, gamma=0.9)
    env.reset()
    for _step in range(20):
        env.step(np.zeros((1, 2), np.float32))
    return env


def normal(env: Any) -> Any:
    return {"obs": env.normalize_obs(OBSERVATIONS), "reward": np.asarray(env.normalize_reward(np.array([1.5, -2.0])))}


def stacked(_: Path) -> Any:
    from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

    from tests.environments import tiny

    env = VecNormalize(VecFrameStack(tiny(), n_stack=4))
    env.reset()
    for _step in range(20):
        env.step(np.zeros((1, 2), np.float32))
    env.training = False
    return env


def image(_: Path) -> Any:
    from stable_baselines3.common.vec_env import VecFrameStack, VecTransposeImage

    return VecTransposeImage(VecFrameStack(_images(), 4))


def own(_: Path) -> Any:
    from stable_baselines3.common.vec_env import VecFrameStack, VecTransposeImage

    class Own(VecFrameStack):
        """A wrapper of somebody's own."""

    return Own(VecTransposeImage(_images()), 2)


def _images() -> Any:
    from gymnasium import spaces

    from tests.environments import tiny

    return tiny(spaces.Box(0, 255, (12, 12, 1), np.uint8))


def played(env: Any) -> Any:
    """What an agent sees behind these wrappers; around environments like those of the making, if they came back."""
    from tests.environments import tiny

    if hasattr(env, "wrap"):
        env = env.wrap(tiny() if env.observation_space["low"]["shape"] == [3] else _images())
    env.seed(3)
    return [env.reset(), *(env.step(np.zeros((1, 2), np.float32))[:3] for _step in range(9))]


MAKINGS: tuple[Making, ...] = (
    agent("PPO", "PPO", **ONCE),
    agent("PPO with actions that are numbered", "PPO", discrete=True, **ONCE),
    agent("PPO that explores by state", "PPO", use_sde=True, **ONCE),
    Making("PPO of a dict of observations", mapping, "sb3", look=look),
    agent("A2C", "A2C", n_steps=4),
    agent("DQN", "DQN", discrete=True, **LATER),
    agent("SAC", "SAC", **LATER),
    agent("TD3", "TD3", **LATER),
    agent("DDPG", "DDPG", **LATER),
    Making("VecNormalize", normalised, "vecnormalize", look=normal, without=NUMPY_ALONE, kept="needs numpy alone"),
    Making("VecNormalize around VecFrameStack", stacked, "sb3-wrappers", look=played, kept=AROUND),
    Making("VecTransposeImage around VecFrameStack", image, "sb3-wrappers", look=played, kept=AROUND),
    Making(
        *("a wrapper of one's own around VecTransposeImage", own, "sb3-wrappers", played),
        refused=r"Own stands around VecTransposeImage",
        follow=lambda env: env.venv,
        kept=AROUND,
    ),
)
