"""Agents of sb3-contrib."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from tests.zoo.making import Making
from tests.zoo.makings.agents import LATER, OBSERVATIONS, ONCE, SMALL, look


def agent(name: str, kind: str, policy: str = "MlpPolicy", *, discrete: bool = False, **options: Any) -> Making:
    def make(_: Path) -> Any:
        import sb3_contrib
        from gymnasium import spaces

        from tests.environments import tiny

        env = tiny(action_space=spaces.Discrete(3)) if discrete else tiny()
        given = {**SMALL, **options}
        if policy == "LinearPolicy":
            del given["policy_kwargs"]
        return getattr(sb3_contrib, kind)(policy, env, **copy.deepcopy(given)).learn(16)

    return Making(name, make, "sb3-contrib", look=remembered if kind == "RecurrentPPO" else look)


def remembered(made: Any) -> Any:
    """What one that remembers does in one row after the other."""
    states, first, seen = None, np.ones((1,), bool), []
    for row in OBSERVATIONS:
        actions, states = made.predict(row[None], state=states, episode_start=first, deterministic=True)
        first = np.zeros((1,), bool)
        seen.append(np.asarray(actions))
    return {"actions": np.stack(seen), "states": [np.asarray(part) for part in states or ()]}


MAKINGS: tuple[Making, ...] = (
    agent("RecurrentPPO", "RecurrentPPO", "MlpLstmPolicy", **ONCE),
    agent("TRPO", "TRPO", n_steps=8, batch_size=4),
    agent("TQC", "TQC", **LATER),
    agent("CrossQ", "CrossQ", **LATER),
    agent("QRDQN", "QRDQN", discrete=True, **LATER),
    agent("ARS, linear", "ARS", "LinearPolicy", n_delta=2),
    agent("ARS with a network", "ARS", n_delta=2, zero_policy=False),
)
