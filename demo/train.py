"""What the demonstration trains: every family, LightGBM twice, with settings that fit into a minute on a laptop.

The training itself is that of ``python -m artifact_models.train``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artifact_models.adapter import BaseModelAdapter
from artifact_models.trading.market import Market
from artifact_models.trading.recipes import RECIPES
from artifact_models.trading.signals import Signals, signals_of
from artifact_models.trading.train import TrainRequest

EXPECTED_BARS = 300
"""How many of the last bars the models are asked about, before saving and after loading."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One training: a family, a name for the way it is done, and what differs from the recipe of the family."""

    family: str
    name: str
    folds: int
    config: Mapping[str, Any]
    quick: Mapping[str, Any]
    """What differs for tests."""
    keep: int | None = None
    """Only that many features are used: those with the most gain in the model that was trained before."""


PLANS = (
    Plan("lightgbm", "all-features", 5, {"n_estimators": 200, "num_threads": 1}, {"n_estimators": 20}),
    Plan(
        "lightgbm",
        "top-8",
        5,
        {"n_estimators": 200, "num_leaves": 7, "learning_rate": 0.02, "lambda_l2": 5.0, "num_threads": 1},
        {"n_estimators": 20},
        keep=8,
    ),
    Plan("gru", "gru-16", 2, {"epochs": 6}, {"epochs": 1, "hidden_size": 8, "fc_size": 8}),
    Plan("ppo", "agent", 2, {"timesteps": 4096}, {"timesteps": 256, "n_steps": 64}),
)


def train_request(plan: Plan, cost: float, best_features: list[str], *, quick: bool) -> TrainRequest:
    """Return what is to be trained. ``best_features`` are the features of the market, the most useful ones first."""
    selected = None
    if plan.keep is not None:
        selected = best_features[: plan.keep]
    return TrainRequest(
        recipe=RECIPES[plan.family],
        walk_forward=2 if quick else plan.folds,
        config={**plan.config, **(plan.quick if quick else {})},
        selected=selected,
        cost=cost,
        if_better=True,
        tags={"recipe": plan.name},
    )


def last_said(adapter: BaseModelAdapter, market: Market) -> Signals:
    """Return what a model says of the last bars of a market."""
    return signals_of(adapter, market.frame.iloc[-EXPECTED_BARS:])
