"""Which families of models there are, by the type in a run's key. Imports a family when it is asked for.

A family is an adapter class, found by entry point (group ``artifact_models.families``, named after the model type), so
that one of another distribution is as good as ours.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

from artifact_store import Run, errors

if TYPE_CHECKING:
    from artifact_models.adapter import BaseModelAdapter

GROUP: Final = "artifact_models.families"


def names() -> list[str]:
    """Return the model types that there is a family for, in order."""
    return sorted(_installed(tuple(sys.path)))


def class_name(model_type: str) -> str:
    """Return what the adapter of a known family is called, without importing it."""
    return _installed(tuple(sys.path))[model_type][0].attr


def adapter_class(model_type: str) -> type[BaseModelAdapter]:
    """Return the adapter's class for a model type.

    Raises:
        PredictorUnavailable: there is no family of this type, or none that can be used.
    """
    found = _installed(tuple(sys.path)).get(model_type, ())
    if not found:
        raise errors.PredictorUnavailable(
            f"no family here predicts with models of the type {model_type!r}; there are {', '.join(names())}. "
            f"run.load() gives the stored object itself; a family of your own is an adapter in the group {GROUP!r}"
        )
    if len(found) > 1:
        owners = " and ".join(sorted(_owner(entry) for entry in found))
        raise errors.PredictorUnavailable(f"{owners} both provide the family {model_type!r}: uninstall one of them")
    return _checked(model_type, found[0])


def _checked(model_type: str, entry: EntryPoint) -> type[BaseModelAdapter]:
    from artifact_models.adapter import BaseModelAdapter

    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise errors.PredictorUnavailable(
            f"the family {model_type!r} of {_owner(entry)} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseModelAdapter) and found.model_type == model_type):
        raise errors.PredictorUnavailable(
            f"the family {model_type!r} of {_owner(entry)} is no subclass of BaseModelAdapter with this model_type"
        )
    return found


@lru_cache(maxsize=4)
def _installed(path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """Return what is installed on this path, which is read once."""
    del path
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"


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
