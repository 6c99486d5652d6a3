"""Agents of sb3-contrib."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from tests.zoo.making import Making
from tests.zoo.makings.agents import LATER, OBSERVATIONS, ONCE, SMALL, look

MASKS = np.array([[True, False, True], [False, True, True], [True, True, False], [False, False, True], [True] * 3])
"""Which of three actions are allowed, for each of the observations."""


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


def masked(_: Path) -> Any:
    from sb3_contrib import MaskablePPO

    from tests.environments import masked

    return MaskablePPO("MlpPolicy", masked(), **copy.deepcopy({**SMALL, **ONCE})).learn(16)


def allowed(made: Any) -> Any:
    """What it does where some actions are not allowed, and all that it has learned with."""
    actions, _ = made.predict(OBSERVATIONS, deterministic=True, action_masks=MASKS)
    return {**look(made), "allowed": np.asarray(actions)}


MAKINGS: tuple[Making, ...] = (
    agent("RecurrentPPO", "RecurrentPPO", "MlpLstmPolicy", **ONCE),
    Making("MaskablePPO", masked, "sb3-contrib", look=allowed, kept="obeys the same masks of actions"),
    agent("TRPO", "TRPO", n_steps=8, batch_size=4),
    agent("TQC", "TQC", **LATER),
    agent("CrossQ", "CrossQ", **LATER),
    agent("QRDQN", "QRDQN", discrete=True, **LATER),
    agent("ARS, linear", "ARS", "LinearPolicy", n_delta=2),
    agent("ARS with a network", "ARS", n_delta=2, zero_policy=False),
)
