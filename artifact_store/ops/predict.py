"""Recompute golden predictions through the predictor that is registered for a model type.

A predictor is found by entry point (group ``artifact_store.predictors``, named after the model type): a callable that
takes a :class:`~artifact_store.Run` and returns an object with ``predict(inputs)`` and, optionally, ``tolerance``,
the largest absolute difference that counts as equal (0 if it has none).
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from artifact_store.core.errors import Corrupt, PredictorUnavailable

if TYPE_CHECKING:
    from artifact_store.run import Run

GROUP: Final = "artifact_store.predictors"


def check_example(run: Run) -> None:
    """Compare what the model says now with what it said when it was saved; a run without an example passes.

    Raises:
        PredictorUnavailable: nothing is registered that can predict with this model type.
        Corrupt: it says something else.
    """
    example = run.load_example()
    if example is None:
        return
    predictor = _predictor(run)
    found = predictor.predict(example.inputs)
    difference = _difference(found, example.outputs)
    tolerance = float(getattr(predictor, "tolerance", 0.0))
    if not difference <= tolerance:
        raise Corrupt(
            f"{run.ref} predicts something else than when it was saved: the largest difference is {difference:g}, "
            f"{tolerance:g} is allowed. Compare the versions in its manifest's environment with those installed here"
        )


def _predictor(run: Run) -> Any:
    model_type = run.key.model_type
    for entry in entry_points(group=GROUP, name=model_type):
        return entry.load()(run)
    raise PredictorUnavailable(
        f"nothing installed predicts with models of the type {model_type!r}, so {run.ref} cannot be checked so; "
        f"register a predictor in the entry-point group {GROUP!r}"
    )


def _difference(found: Any, expected: Any) -> float:
    import numpy as np

    a, b = np.asarray(found), np.asarray(expected)
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0 or np.array_equal(a, b, equal_nan=a.dtype.kind == "f" and b.dtype.kind == "f"):
        return 0.0
    if a.dtype.kind not in "biufc" or b.dtype.kind not in "biufc":
        return float("inf")
    return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64))))
