"""Which families of models there are, by the type in a run's key. Imports a family when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from artifact_store import Run, errors

if TYPE_CHECKING:
    from artifact_models.adapter import BaseModelAdapter

FAMILIES: Final = {
    "gru": ("artifact_models.gru.adapter", "GRUAdapter"),
    "lightgbm": ("artifact_models.gbm.adapter", "LightGBMAdapter"),
    "ppo": ("artifact_models.ppo.adapter", "PPOAdapter"),
}
"""Model type → module and class of its adapter."""


def adapter_class(model_type: str) -> type[BaseModelAdapter]:
    """Return the adapter's class for a model type.

    Raises:
        PredictorUnavailable: there is no family of this type.
    """
    if model_type not in FAMILIES:
        raise errors.PredictorUnavailable(
            f"no family here predicts with models of the type {model_type!r}; there are {', '.join(FAMILIES)}. "
            "run.load() gives the stored object itself"
        )
    module, name = FAMILIES[model_type]
    found: type[BaseModelAdapter] = getattr(import_module(module), name)
    return found


def load_adapter(run: Run, *, preprocessor: Any = None) -> BaseModelAdapter:
    """Return the adapter for a run of any family, ready to predict: everything that it was saved with is loaded.

    ``preprocessor`` is used instead of the run's own, for a run that has lost it. A run that lacks a part which its
    predictions need is loaded all the same, and ``predict`` says what is missing.

    Raises:
        InvalidOption: this is no run.
        PredictorUnavailable: there is no family of this type.
        FeatureMismatch: the model takes another number of features than the run names.
        Corrupt, RiskRefused, CodecUnavailable: as :meth:`artifact_store.Run.load`.
    """
    if not isinstance(run, Run):
        raise errors.InvalidOption(
            f"load_adapter takes a run, such as store.get('gru/BTCEUR@latest'), not {run!r}; "
            "BaseModelAdapter.load(path) takes a path, and any family"
        )
    adapter = adapter_class(run.key.model_type)()
    adapter.take(run, preprocessor=preprocessor)
    return adapter


class GoldenPredictor:
    """What recomputes the golden predictions of a run: ``predict`` and ``tolerance``, as the store asks for them."""

    def __init__(self, adapter: BaseModelAdapter) -> None:
        self._adapter = adapter
        self.tolerance = adapter.tolerance

    def predict(self, inputs: Any) -> Any:
        """Return what the model says to the stored inputs of an example."""
        return self._adapter.predict_example(inputs)


def predictor(run: Run) -> GoldenPredictor:
    """Return the predictor of a run: the entry point of every family in ``artifact_store.predictors``."""
    return GoldenPredictor(load_adapter(run))
