"""How each family is trained on a market: what it is given, what it is asked, and by what it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from artifact_models.trading.market import Market

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
"""Of our own families. A family of another distribution has its recipe in its adapter."""
