"""The predictors that the store ships, by codec: for models that can predict with what their run holds.

The inputs of an example are raw: a table with all columns (or all those that are selected), or an array as wide as all
inputs or as the selection. They are brought into the trained form by the features and the component ``preprocessor`` of
the run, where it has them; inputs as wide as the selection went through the preprocessor already. Only models that need
more than that, such as a state without its network, have no predictor here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from artifact_store.codecs.xgboost.booster import matrix_of
from artifact_store.errors import InvalidOption
from artifact_store.features.schema import FeatureSchema
from artifact_store.features.tables import table_of
from artifact_store.ops.handle import RunLike
from artifact_store.ops.predictor import METHODS

CLOSE: Final = 1e-6
"""For models whose sums may be formed in another order elsewhere."""
_STATISTICS: Final = "model_vecnormalize"
_PREPROCESSOR: Final = "preprocessor"


def exact(run: RunLike) -> ModelPredictor:
    """Return the predictor of a model that answers the same everywhere, bit for bit."""
    return ModelPredictor(run, tolerance=0.0)


def close(run: RunLike) -> ModelPredictor:
    """Return the predictor of a model that answers the same up to rounding."""
    return ModelPredictor(run, tolerance=CLOSE)


class ModelPredictor:
    """Asks the model itself; it has each of ``METHODS`` that the model has."""

    def __init__(self, run: RunLike, *, tolerance: float) -> None:
        self.tolerance = tolerance
        self._run = run
        self._model = run.load("model")

    def __getattr__(self, method: str) -> Any:
        if method not in METHODS:
            raise AttributeError(method)
        return partial(self._ask, method)

    def _ask(self, method: str, inputs: Any) -> Any:
        question = getattr(self._model, method, None)
        if question is None:
            raise InvalidOption(f"the model of {self._run.ref} is a {type(self._model).__qualname__} without {method}")
        return question(self._form(self._prepared(inputs)))

    def _form(self, prepared: Any) -> Any:
        return _as_trained(self._model, prepared)

    def _prepared(self, inputs: Any) -> Any:
        features, preprocessor = self._run.features, None
        if _PREPROCESSOR in self._run.components:
            preprocessor = self._run.load(_PREPROCESSOR)
        if features is None:
            return inputs if preprocessor is None else getattr(preprocessor, "transform", preprocessor)(inputs)
        if _is_selection(features, inputs):
            return features.prepare(inputs, preselected=True)
        by_position = features.names_inferred and table_of(inputs) is not None
        return features.prepare(inputs, preprocessor, by_position=by_position)


class XGBoostPredictor(ModelPredictor):
    """Asks a model of XGBoost: an estimator takes rows, and a bare booster a matrix of its own with the names in it."""

    def __init__(self, run: RunLike) -> None:
        super().__init__(run, tolerance=0.0)

    def _form(self, prepared: Any) -> Any:
        rows = super()._form(prepared)
        return rows if hasattr(self._model, "get_booster") else matrix_of(self._model, rows)


class CatBoostPredictor(ModelPredictor):
    """Asks a model of CatBoost, which takes a table with its names and its text as it is."""

    def __init__(self, run: RunLike) -> None:
        super().__init__(run, tolerance=0.0)

    def _form(self, prepared: Any) -> Any:
        return prepared.to_pandas() if hasattr(prepared, "to_pandas") else prepared


def _is_selection(features: FeatureSchema, inputs: Any) -> bool:
    """Tell whether there is no more in ``inputs`` than what is selected."""
    if not features.has_selection:
        return False
    kind = table_of(inputs)
    if kind is not None:
        return not set(features.names) <= set(kind.names(inputs))
    import numpy as np

    return bool(np.shape(inputs)[-1:] == (features.input_size,))


def _as_trained(model: Any, prepared: Any) -> Any:
    """Return the rows in the form that the model was fitted on: scikit-learn warns about any other.

    LightGBM and scikit-learn take pandas tables and arrays; polars and arrow become pandas.
    """
    names = getattr(model, "feature_names_in_", None)
    if hasattr(prepared, "to_pandas"):
        prepared = prepared.to_pandas()
    if names is None:
        fitted_on_array = hasattr(model, "n_features_in_") and not hasattr(model, "booster_")
        return prepared.to_numpy() if fitted_on_array and hasattr(prepared, "to_numpy") else prepared
    if hasattr(prepared, "columns"):
        return prepared
    import pandas as pd

    return pd.DataFrame(prepared, columns=pd.Index(names))


class AgentPredictor:
    """Asks an agent of stable-baselines3 what it does, without chance, about observations as its environment made them.

    They are normalised by the component that holds what the agent was trained behind, or else by
    ``model_vecnormalize``, where the run has one.
    """

    tolerance = CLOSE

    def __init__(self, run: RunLike) -> None:
        self._agent = run.load("model")
        found = run.behind() or _STATISTICS
        self._statistics = run.load(found) if found in run.components else None

    def predict(self, inputs: Any) -> Any:
        """Return the actions."""
        import numpy as np

        seen = inputs if self._statistics is None else self._statistics.normalize_obs(inputs)
        if not isinstance(seen, Mapping):
            seen = np.asarray(seen).astype(self._agent.observation_space.dtype, copy=False)
        return self._agent.predict(seen, deterministic=True)[0]
