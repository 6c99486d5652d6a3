"""Find what predicts with the model of a run: by its model type, else by the codec of its component ``model``.

A predictor is found by entry point (group ``artifact_store.predictors``). It is named after a model type (``gru``), or
after a codec (``codec.lightgbm``); the type comes first, since it says more. It is a callable that takes a
:class:`~artifact_store.Run` and returns an object with ``predict(inputs)``, any other of ``METHODS`` under its own
name, and optionally ``tolerance``, the largest absolute difference that counts as equal (0 if it has none). It is given
the inputs of the example exactly as they were saved: whether they are a table, all columns or only the selected ones is
for the predictor to understand. While a run is saved, the components that it loads are those that were just encoded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from artifact_store.core.registry import owner_of
from artifact_store.errors import PredictorUnavailable
from artifact_store.ops.handle import RunLike

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "artifact_store.predictors"
METHODS: Final = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")
"""What a model may be asked. A fixed list: the name of a method can come from a stranger's store."""


def predictor_of(run: RunLike) -> Any:
    """Return the predictor of a run, made for it.

    Raises:
        PredictorUnavailable: none is installed, it cannot be imported, or two distributions provide it.
        ArtifactStoreError: as :meth:`artifact_store.Run.load`, or as the predictor reports it.
    """
    component = run.manifest.components.get("model")
    names = (run.key.model_type, *([] if component is None else [f"codec.{component.codec.name}"]))
    installed = _installed(tuple(sys.path))
    for name in names:
        if name in installed:
            return _factory(name, installed[name])(run)
    raise PredictorUnavailable(
        f"nothing installed predicts with {run.ref}, so its predictions cannot be compared: register a predictor in "
        f"the entry-point group {GROUP!r} as {' or '.join(map(repr, names))}"
    )


def ask(predictor: Any, method: str, inputs: Any) -> Any:
    """Return what the predictor says to ``inputs``; raise ``PredictorUnavailable`` if it does not know the method."""
    question = getattr(predictor, method, None)
    if question is None:
        raise PredictorUnavailable(
            f"{type(predictor).__qualname__} has no {method}, and that is what the example was asked: predictions "
            "cannot be compared"
        )
    return question(inputs)


@lru_cache(maxsize=4)
def _installed(path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """Return what is installed on this path, which is read once: it takes longer than most predictions."""
    from importlib.metadata import entry_points

    del path
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def _factory(name: str, found: tuple[EntryPoint, ...]) -> Callable[[RunLike], Any]:
    if len(found) > 1:
        owners = " and ".join(sorted(owner_of(entry) for entry in found))
        raise PredictorUnavailable(f"{owners} both provide the predictor {name!r}: uninstall one of them")
    try:
        factory: Callable[[RunLike], Any] = found[0].load()
    except Exception as error:
        raise PredictorUnavailable(
            f"the predictor {name!r} of {owner_of(found[0])} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return factory
