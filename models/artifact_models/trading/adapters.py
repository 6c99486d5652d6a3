"""From a recipe to an adapter that can be fitted, and from a model type to its recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from artifact_models.adapter import BaseModelAdapter
from artifact_models.configuration import merged
from artifact_models.families import adapter_class
from artifact_models.installed import model_types
from artifact_models.trading.market import PRICE
from artifact_models.trading.recipes import RECIPES, Recipe
from artifact_store import errors


def new_adapter(
    recipe: Recipe,
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
    family = adapter_class(recipe.model)
    ours = {"seed": seed} if "seed" in family.known_settings() else {}
    costs = {"env": {"cost": cost, "price": PRICE}} if recipe.trades else {}
    usual = family.spelled(merged({**recipe.config, **ours}, costs))
    chosen = merged(usual, family.spelled(config or {}))
    return family(chosen, selected_features=selected, selection_reason=reason)


def recipe_of(model_type: str) -> Recipe:
    """Return how a family is trained on candles.

    Raises:
        InvalidOption: there is no such family, or it does not say how.
        PredictorUnavailable: it cannot be imported.
    """
    if model_type in RECIPES:
        return RECIPES[model_type]
    if model_type not in model_types():
        raise errors.InvalidOption(f"there is no family {model_type!r}; there are {', '.join(model_types())}")
    adapter = adapter_class(model_type)
    if adapter.recipe is None:
        raise errors.InvalidOption(f"{adapter.__name__} has no recipe, so it cannot be trained on candles")
    return adapter.recipe
