"""How each family is trained on a market: what it is given, what it is asked, and by what it is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from artifact_models.adapter import BaseModelAdapter
from artifact_models.configuration import merged
from artifact_models.families import adapter_class
from artifact_models.market import PRICE, Market

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Recipe:
    """One family with the settings that suit a few thousand bars on a laptop."""

    model: str
    metric: str
    """Of :class:`~artifact_models.score.Score`, the higher the better: decides which fold is the best."""
    config: Mapping[str, Any]

    def frame(self, market: Market) -> pd.DataFrame:
        """Return the columns that the family is trained on: an agent counts its gains in the price."""
        return market.frame if self.model == "ppo" else market.features

    def answers(self, market: Market) -> NDArray[np.int8]:
        """Return what the models are asked: 1 where the next bar closes higher. The last bar has no answer yet."""
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
        family = adapter_class(self.model)
        usual = family.spelled(merged({**self.config, "seed": seed}, self._costs(cost)))
        chosen = merged(usual, family.spelled(config or {}))
        return family(chosen, selected_features=selected, selection_reason=reason)

    def _costs(self, cost: float) -> dict[str, Any]:
        return {"env": {"cost": cost, "price": PRICE}} if self.model == "ppo" else {}


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
    ),
}
