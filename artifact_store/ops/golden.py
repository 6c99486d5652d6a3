"""Repeat the golden predictions of a run, and compare them value by value with what was saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from artifact_store.errors import (
    ArtifactStoreError,
    Corrupt,
    PredictorUnavailable,
    RiskRefused,
    Unavailable,
    Unsupported,
)
from artifact_store.ops.handle import RunLike
from artifact_store.ops.predictor import ask, predictor_of
from artifact_store.ops.verdict import Verdict, verdict_on

Outcome = Literal["equal", "no example", "no predictor", "needs consent", "not installed", "differ", "failed"]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What came of repeating the golden predictions of a run.

    ``difference`` is the largest one found, infinite where shapes or kinds differ, and ``tolerance`` what is allowed;
    both are ``None`` where nothing was compared. ``error`` is what is wrong, or why nothing could be compared.
    """

    outcome: Outcome
    difference: float | None = None
    tolerance: float | None = None
    error: ArtifactStoreError | None = None

    @property
    def verdict(self) -> Verdict:
        """What this says about the run. One without an example is sound as far as that goes."""
        return Verdict.SOUND if self.error is None else verdict_on(self.error)

    def __str__(self) -> str:
        if self.difference is None or self.tolerance is None:
            return self.outcome
        return f"{self.outcome} (difference {self.difference:g}, {self.tolerance:g} allowed)"


def check_example(run: RunLike) -> Predictions:
    """Compare what the model says now with what it said when it was saved; ``Unavailable`` is raised."""
    try:
        return _checked(run)
    except Unavailable:
        raise
    except PredictorUnavailable as error:
        return Predictions("no predictor", error=error)
    except RiskRefused as error:
        return Predictions("needs consent", error=error)
    except Unsupported as error:
        return Predictions("not installed", error=error)
    except ArtifactStoreError as error:
        return Predictions("failed", error=error)
    except Exception as error:  # noqa: BLE001 -- a predictor is not ours, and must not end the check of a store
        failure = Corrupt(f"{run.ref} cannot repeat its golden predictions: {type(error).__name__}: {error}")
        failure.__cause__ = error
        return Predictions("failed", error=failure)


def _checked(run: RunLike) -> Predictions:
    example = run.load_example()
    if example is None:
        return Predictions("no example")
    import numpy as np  # which a store of documents and files does not need

    parts = example.outputs.values() if isinstance(example.outputs, Mapping) else [example.outputs]
    if not any(np.size(part) for part in parts):  # every model would repeat it
        raise Corrupt(f"the example of {run.ref} holds no predictions, so there is nothing to repeat")
    predictor = predictor_of(run)
    tolerance = float(getattr(predictor, "tolerance", 0.0))
    difference, what = _compare(ask(predictor, example.method, example.inputs), example.outputs)
    if difference <= tolerance:
        return Predictions("equal", difference, tolerance)
    problem = Corrupt(
        f"{run.ref} predicts something else than when it was saved: {what}, {tolerance:g} is allowed. "
        "Compare the versions in its manifest's environment with those installed here"
    )
    return Predictions("differ", difference, tolerance, problem)


def _compare(found: Any, expected: Any) -> tuple[float, str]:
    """Return the largest difference, never NaN, and in words what it is; parts of a dict are compared by name."""
    import numpy as np

    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping) or set(found) != set(expected):
            return float("inf"), f"there were {sorted(expected)}, and now there is something else"
        parts = [_compare(found[name], expected[name]) for name in expected]
        return max(parts, key=lambda part: part[0], default=(0.0, "nothing differs"))
    a, b = np.asarray(found), np.asarray(expected)
    if a.shape != b.shape:
        return float("inf"), f"the shape is {a.shape} instead of {b.shape}"
    if a.dtype.kind not in "biufc" or b.dtype.kind not in "biufc":
        unequal = int(np.count_nonzero(a != b)) if a.dtype.kind == b.dtype.kind else a.size
        return (float("inf") if unequal else 0.0), f"{unequal} of {a.size} values differ"
    difference = _largest(a, b)
    return difference, f"the largest difference is {difference:g}"


def _largest(a: Any, b: Any) -> float:
    """Return the largest absolute difference of two arrays of numbers; NaN equals NaN and nothing else."""
    import numpy as np

    unequal = (a != b) & ~((a != a) & (b != b))  # noqa: PLR0124 -- true of a NaN only, for numbers of every kind
    if not unequal.any():
        return 0.0
    if a.dtype.kind in "biu" and b.dtype.kind in "biu":
        return float(max(abs(int(one) - int(other)) for one, other in zip(a[unequal], b[unequal], strict=True)))
    wide = np.complex128 if "c" in a.dtype.kind + b.dtype.kind else np.float64
    with np.errstate(invalid="ignore", over="ignore"):
        largest = float(np.max(np.abs(a[unequal].astype(wide) - b[unequal].astype(wide))))
    return largest if largest == largest else float("inf")  # noqa: PLR0124 -- as above
