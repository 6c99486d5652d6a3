"""How each family is trained on a market: what it is given, what it is asked, and by what it is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from artifact_models import families
from artifact_models.adapter import BaseModelAdapter
from artifact_models.configuration import merged
from artifact_models.trading.market import PRICE, Market
from artifact_store import errors

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Recipe:
    """One family with the settings that suit a few thousand bars on a laptop."""

    model: str
    metric: str
    """Of :class:`~artifact_models.trading.score.Score`, the higher the better: decides which fold is the best."""
    config: Mapping[str, Any] = field(default_factory=dict)
    target: Literal["rise", "return"] = "rise"
    """What it is asked: whether the next bar closes higher (1, else 0), or by which part of its value."""
    trades: bool = False
    """It trades by itself: it is given the prices as well, and ``env`` in its config, with what a trade costs."""

    def frame(self, market: Market) -> pd.DataFrame:
        """Return the columns that the family is trained on: an agent counts its gains in the price."""
        return market.frame if self.trades else market.features

    def answers(self, market: Market) -> NDArray[Any]:
        """Return the answer for each bar. The last bar has none yet."""
        if self.target == "return":
            return market.returns
        return (market.returns > 0).astype("int8")

    def adapter(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        selected: Sequence[int | str] | None = None,
        reason: str = "",
        seed: int = 7,
        cost: float = 0.0,
    ) -> BaseModelAdapter:
        """Return an adapter to fit; ``config`` changes single settings, and ``reason`` says why ``selected`` is so.

        Raises:
            InvalidOption: there is no such setting, or its value means nothing; there is a reason and no selection.
        """
        family = families.adapter_class(self.model)
        ours = {"seed": seed} if "seed" in family.known_settings() else {}
        usual = family.spelled(merged({**self.config, **ours}, self._costs(cost)))
        chosen = merged(usual, family.spelled(config or {}))
        return family(chosen, selected_features=selected, selection_reason=reason)

    def _costs(self, cost: float) -> dict[str, Any]:
        return {"env": {"cost": cost, "price": PRICE}} if self.trades else {}


RECIPES: Final[Mapping[str, Recipe]] = {
    "gru": Recipe(
        "gru",
        "auc",
        {
            "objective": "binary",
            "sequence_length": 16,
            "hidden_size": 24,
            "num_layers": 1,
            "dropout": 0.0,
            "fc_size": 16,
            "batch_size": 128,
            "epochs": 12,
            "early_stopping_patience": 3,
        },
    ),
    "lightgbm": Recipe(
        "lightgbm",
        "auc",
        {
            "objective": "binary",
            "learning_rate": 0.03,
            "num_leaves": 15,
            "min_child_samples": 40,
        },
    ),
    "ppo": Recipe(
        "ppo",
        "sharpe",
        {"timesteps": 16_384, "env": {"window": 8, "episode_bars": 256}},
        trades=True,
    ),
}
"""Of our own families. Another one has its recipe in its adapter."""


def recipe_of(model_type: str) -> Recipe:
    """Return how a family is trained on candles.

    Raises:
        InvalidOption: there is no such family, or it does not say how.
        PredictorUnavailable: it cannot be imported.
    """
    if model_type in RECIPES:
        return RECIPES[model_type]
    if model_type not in families.names():
        raise errors.InvalidOption(f"{model_type!r} is no family; there are {', '.join(families.names())}")
    adapter = families.adapter_class(model_type)
    if adapter.recipe is None:
        raise errors.InvalidOption(f"{adapter.__name__} has no recipe, so it cannot be trained on candles")
    return adapter.recipe
