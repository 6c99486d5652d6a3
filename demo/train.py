"""Walk-forward training of a LightGBM classifier: will the next bar close higher? Knows nothing of any store.

Every number is out of sample: each fold is predicted by a model that was trained on earlier bars alone. Nothing here
claims a profit; the point of the demonstration is what happens to the models afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from market import Fold, Market, features, next_returns, walk_forward
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEADY: Mapping[str, Any] = {
    "objective": "binary",
    "seed": 7,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one run is trained. With ``keep`` only that many features are used."""

    name: str
    rounds: int
    params: Mapping[str, Any]
    keep: int | None = None


RECIPES = (
    Recipe("all-features", 120, {"learning_rate": 0.03, "num_leaves": 15, "min_data_in_leaf": 40}),
    Recipe(
        "top-8",
        80,
        {"learning_rate": 0.02, "num_leaves": 7, "min_data_in_leaf": 80, "feature_fraction": 0.7, "lambda_l2": 5.0},
        keep=8,
    ),
)


@dataclass(frozen=True, slots=True)
class Score:
    """How good predictions were on rows that the model had not seen."""

    rows: int
    majority: float
    """The accuracy of always naming the commoner direction."""
    accuracy: float
    auc: float
    ic: float
    """Information coefficient: the rank correlation of prediction and return."""
    sharpe: float
    """Annualised, of holding +1 or -1 by the predicted direction, after costs."""
    hold: float
    """Annualised, of buying and holding over the same bars."""


@dataclass(frozen=True, slots=True)
class Data:
    """One symbol, ready for training. The last bar has features and no answer yet."""

    market: Market
    table: pd.DataFrame
    returns: Floats

    @classmethod
    def load(cls, market: Market) -> Data:
        """Read the prices and compute everything."""
        return cls(market, features(market), np.asarray(next_returns(market), dtype=np.float64))

    @property
    def answered(self) -> int:
        """How many rows have an answer: all but the last."""
        return len(self.returns) - 1


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of one recipe: the model trained on all bars, and how its kind did walking forward."""

    recipe: Recipe
    booster: Any
    selected: list[int]
    folds: list[tuple[Fold, Score]] = field(default_factory=list)
    overall: Score | None = None


def train(data: Data, recipe: Recipe, *, folds: int, rounds: int | None = None) -> Trained:
    """Walk forward, then train the model to keep on every bar whose answer is known."""
    rounds = rounds or recipe.rounds
    parts = list(walk_forward(data.answered, folds=folds))
    selected = _select(data, recipe, parts[0].train_end, rounds)
    inputs = data.table.to_numpy("float64")[:, selected]
    names = [data.table.columns[place] for place in selected]
    said: list[Floats] = []
    scores = []
    for fold in parts:
        model = _fit(inputs[: fold.train_end], data.returns[: fold.train_end], names, recipe, rounds)
        said.append(np.asarray(model.predict(inputs[fold.test])))
        scores.append((fold, score(said[-1], data.returns[fold.test], data.market)))
    tested = slice(parts[0].test.start, parts[-1].test.stop)
    overall = score(np.concatenate(said), data.returns[tested], data.market)
    final = _fit(inputs[: data.answered], data.returns[: data.answered], names, recipe, rounds)
    return Trained(recipe, final, selected, scores, overall)


def _fit(inputs: Floats, returns: Floats, names: list[str], recipe: Recipe, rounds: int) -> Any:
    answers = (returns > 0).astype("int8")
    data = lgb.Dataset(inputs, answers, feature_name=names)
    return lgb.train({**_STEADY, **recipe.params}, data, num_boost_round=rounds)


def _select(data: Data, recipe: Recipe, until: int, rounds: int) -> list[int]:
    """Return the features to use. They are chosen on the first training window, so no test row had a say."""
    everything = list(range(data.table.shape[1]))
    if recipe.keep is None:
        return everything
    inputs = data.table.to_numpy("float64")[:until]
    gain = _fit(inputs, data.returns[:until], list(data.table.columns), recipe, rounds).feature_importance("gain")
    best = sorted(everything, key=lambda place: (-gain[place], place))[: recipe.keep]
    return sorted(best)


def score(said: Floats, returns: Floats, market: Market) -> Score:
    """Compare the probabilities of a rise with what came."""
    rose = returns > 0
    position = np.where(said > 0.5, 1.0, -1.0)  # noqa: PLR2004 -- more likely than not
    turnover = np.abs(np.diff(position, prepend=0.0))
    return Score(
        rows=len(said),
        majority=float(max(rose.mean(), 1 - rose.mean())),
        accuracy=float(((said > 0.5) == rose).mean()),  # noqa: PLR2004 -- as above
        auc=_auc(said, rose),
        ic=float(pd.Series(said).rank().corr(pd.Series(returns).rank())),
        sharpe=_sharpe(position * returns - market.cost * turnover, market),
        hold=_sharpe(returns, market),
    )


def _auc(said: Floats, rose: NDArray[np.bool_]) -> float:
    """Return the probability that a bar that rose was given more than one that did not (Mann-Whitney U)."""
    ranks = pd.Series(said).rank().to_numpy()
    ups, downs = int(rose.sum()), int((~rose).sum())
    return float((ranks[rose].sum() - ups * (ups + 1) / 2) / (ups * downs))


def _sharpe(gains: Floats, market: Market) -> float:
    return float(gains.mean() / gains.std() * np.sqrt(market.bars_per_year))


def chance(score: Score) -> float:
    """Return the standard error of the AUC of a coin on so many rows."""
    ups = score.rows * score.majority
    downs = score.rows - ups
    return float(np.sqrt((score.rows + 1) / (12 * ups * downs)))


def importance(trained: Trained, names: list[str]) -> pd.DataFrame:
    """Return how much each feature that was used contributed, the most important first."""
    used = [names[place] for place in trained.selected]
    table = pd.DataFrame({"feature": used, "importance": trained.booster.feature_importance("gain")})
    return table.sort_values("importance", ascending=False, kind="stable").reset_index(drop=True)
