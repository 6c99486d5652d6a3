"""The adapter of a run: which class belongs to its model type, loaded and ready to predict.

A family is an adapter class, found by entry point (:mod:`artifact_models.installed`). ``predictor`` is the entry point
of every family in ``artifact_store.predictors``.
"""

from __future__ import annotations

from typing import Any

from artifact_models.adapter import BaseModelAdapter
from artifact_models.installed import family_class
from artifact_store import Run, errors


def adapter_class(model_type: str) -> type[BaseModelAdapter]:
    """Return the adapter's class for a model type.

    Raises:
        PredictorUnavailable: there is no family of this type, or it cannot be used.
    """
    found: type[BaseModelAdapter] = family_class(model_type, BaseModelAdapter)
    return found


def load_adapter(run: Run, *, preprocessor: Any = None) -> BaseModelAdapter:
    """Return the adapter for a run of any family, ready to predict: everything that it was saved with is loaded.

    ``preprocessor`` is used instead of the run's own, for a run that has lost it. A run that lacks a part which its
    predictions need is loaded all the same, and ``predict`` says what is missing.

    Raises:
        InvalidOption: it is not a run.
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
    adapter.restore(run, preprocessor=preprocessor)
    return adapter


class GoldenPredictor:
    """What recomputes the golden predictions of a run, as the store asks for them."""

    def __init__(self, adapter: BaseModelAdapter) -> None:
        self._adapter = adapter
        self.tolerance = adapter.tolerance

    def predict(self, inputs: Any) -> Any:
        """Return what the model says to the stored inputs of an example."""
        return self._adapter.predict_example(inputs)

    def predict_proba(self, inputs: Any) -> Any:
        """Return the probabilities for the stored inputs of an example."""
        return self._adapter.predict_example(inputs, method="predict_proba")


def predictor(run: Run) -> GoldenPredictor:
    """Return the predictor of a run: the entry point of every family in ``artifact_store.predictors``."""
    return GoldenPredictor(load_adapter(run))
