"""Gymnasium environments that are small, quick, and the same after every reset with the same seed."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

BOX = spaces.Box(-1, 1, (3,))
UNBOUNDED = spaces.Box(-np.inf, np.inf, (2, 3))
DICT = spaces.Dict(
    {"window": spaces.Box(-np.inf, np.inf, (2, 2)), "account": spaces.Box(0, 5, (2,)), "held": spaces.Discrete(3)}
)
THREE = spaces.Discrete(3)
ACTIONS = spaces.Box(np.array([-1, 0], np.float32), np.array([1, 3], np.float32))


class Tiny(gym.Env[Any, Any]):
    """Random observations, a reward that depends on the action, and an end after a few steps."""

    def __init__(self, observation_space: Any = BOX, action_space: Any = ACTIONS, length: int = 7) -> None:
        self.observation_space = observation_space
        self.action_space = action_space
        self.length = length

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        reward = float(np.sum(action)) + float(self.np_random.normal())
        return self.observation_space.sample(), reward, False, self.steps >= self.length, {}


class Masked(Tiny):
    """One in which some actions are not allowed."""

    def action_masks(self) -> Any:
        return np.arange(getattr(self.action_space, "n", 1)) != 1


def masked(action_space: Any = THREE, observation_space: Any = BOX) -> DummyVecEnv:
    """Return an environment that says which of its actions are allowed."""
    return DummyVecEnv([lambda: Masked(copy.deepcopy(observation_space), copy.deepcopy(action_space))])


def tiny(observation_space: Any = BOX, action_space: Any = ACTIONS, *, n_envs: int = 1, length: int = 7) -> DummyVecEnv:
    """Return environments side by side, with spaces of their own, since a space keeps a random generator."""

    def make() -> Tiny:
        return Tiny(copy.deepcopy(observation_space), copy.deepcopy(action_space), length)

    return DummyVecEnv([make] * n_envs)
