"""Train an agent by proximal policy optimization on arrays of features and prices.

Knows neither a store nor a schema: arrays go in, stable-baselines3's own objects come out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from artifact_models.indexing import named, numbers
from artifact_models.ppo import hyperparameters as known
from artifact_models.ppo.env import TradingEnv
from artifact_models.ppo.observation import EnvSettings

Progress = Callable[[int, int], None]
"""Called with the steps that are done and those that there will be. What it raises ends the training."""

DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 3e-4,
    "n_steps": 256,
    "batch_size": 64,
    "n_epochs": 5,
    "gamma": 0.95,
    "gae_lambda": 0.9,
    "ent_coef": 0.01,
    "policy_kwargs": {"net_arch": [32, 32]},
}


@dataclass(frozen=True, slots=True)
class Trained:
    """An agent, the statistics that its observations are normalised with, and what it was trained as."""

    algorithm: PPO
    normalizer: VecNormalize | None
    settings: EnvSettings
    feature_names: tuple[str, ...]
    selected_features: tuple[int, ...]
    hyperparameters: Mapping[str, Any] = field(repr=False)


def train_agent(
    features: Any,
    prices: Any,
    *,
    feature_names: Sequence[str],
    selected_features: Sequence[int] | None = None,
    settings: EnvSettings | None = None,
    timesteps: int = 20_000,
    environments: int = 2,
    normalize: bool = True,
    seed: int = 0,
    hyperparameters: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train an agent on all rows; it observes the selected columns of ``features`` (all without a selection).

    Of a table the columns are found by ``feature_names``; an array has them in that order.

    Equal arguments give an equal agent on the same machine. The global random generators are seeded, as
    stable-baselines3 does it.

    Raises:
        ValueError: names, selection, data or settings do not fit together.
    """
    names, settings = tuple(feature_names), settings or EnvSettings()
    rows = numbers(named(features, names)).astype(np.float32)
    if rows.ndim != 2 or rows.shape[1] != len(names):  # noqa: PLR2004 -- rows and columns
        raise ValueError(f"expected rows of {len(names)} features, one for each name; got an array of {rows.shape}")
    selected = tuple(selected_features) if selected_features else tuple(range(len(names)))
    if len(set(selected)) != len(selected) or not set(selected) <= set(range(len(names))):
        raise ValueError(f"selected_features are different positions from 0 to {len(names) - 1}; got {list(selected)}")
    venv = make_environments(rows[:, list(selected)], prices, settings, environments)
    normalizer = (
        VecNormalize(venv, gamma=float((hyperparameters or {}).get("gamma", DEFAULTS["gamma"]))) if normalize else None
    )
    chosen = known.with_names({**DEFAULTS, **(hyperparameters or {})})
    known.check_hyperparameters(chosen)
    try:
        algorithm = PPO("MlpPolicy", normalizer or venv, seed=seed, device="cpu", **known.with_classes(chosen))
    except (TypeError, AssertionError) as error:  # which is how stable-baselines3 refuses a value
        raise ValueError(f"stable-baselines3 refuses these hyperparameters: {error}") from error
    learn(algorithm, timesteps, progress=progress)
    facts = {**chosen, "timesteps": timesteps, "environments": environments, "normalize": normalize, "seed": seed}
    return Trained(algorithm, normalizer, settings, names, selected, facts)


def make_environments(rows: Any, prices: Any, settings: EnvSettings, count: int = 1) -> DummyVecEnv:
    """Return that many environments over the same data, stepped one after the other in this process."""
    return DummyVecEnv([lambda: TradingEnv(rows, prices, settings)] * count)


def learn(algorithm: Any, timesteps: int, *, progress: Progress | None = None, fresh: bool = True) -> None:
    """Train for that many steps more, rounded up to whole rollouts; not ``fresh`` counts on from where it was."""
    if not (algorithm.verbose or algorithm.tensorboard_log or vars(algorithm).get("_custom_logger")):
        # without a logger stable-baselines3 makes a folder for logs each time, writes none, and never removes it
        algorithm.set_logger(Logger(folder=None, output_formats=[]))
    algorithm.learn(timesteps, callback=_Report(timesteps, progress) if progress else None, reset_num_timesteps=fresh)


def normalized(venv: VecEnv, restore: Callable[[VecNormalize], object]) -> VecNormalize:
    """Return the environments, normalised by the statistics that ``restore`` fills in, which are updated further."""
    normalizer = VecNormalize(venv)
    restore(normalizer)
    normalizer.training = True
    return normalizer


def resume(
    algorithm: Any, venv: VecEnv, timesteps: int, *, seed: int | None = None, progress: Progress | None = None
) -> None:
    """Train a loaded agent on, in environments that are normalised as its own were.

    ``seed`` seeds the environments and all random generators, as at the beginning of a training.
    """
    algorithm.set_env(venv)
    if seed is not None:
        algorithm.set_random_seed(seed)
    learn(algorithm, timesteps, progress=progress, fresh=False)


class _Report(BaseCallback):
    """Tell how far it is after each step of all environments."""

    def __init__(self, total: int, progress: Progress) -> None:
        super().__init__()
        self._total, self._progress, self._began = total, progress, 0

    def _on_training_start(self) -> None:
        self._began = self.num_timesteps

    def _on_step(self) -> bool:
        self._progress(min(self.num_timesteps - self._began, self._total), self._total)
        return True
