"""Old ``preprocessor.pkl`` files: scalers and imputers of any scikit-learn, as arrays that need no scikit-learn.

Forms: a dict ``{scaler, imputer, scaler_type, imputer_strategy, feature_names, is_fitted}``, whose imputer comes first;
a bare scaler or imputer; a Pipeline of them. Attributes that an old version did not write are what that version did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from artifact_store.codecs.sklearn.array_preprocessor import (
    STRATEGIES,
    ArrayPreprocessor,
    ArrayStep,
    Imputer,
    MinMax,
    Robust,
    Standard,
)
from artifact_store.errors import Corrupt, InvalidInput
from artifact_store.features.columns import FLOATS, INTEGERS
from artifact_store.legacy.formats.joblib import read_joblib
from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits
from artifact_store.legacy.pickle_reader.numpy_parts import numpy
from artifact_store.legacy.pickle_reader.stubs import Stub, refused, within

_Make = Callable[[Mapping[str, Any]], ArrayStep]
_PARTS: Final = ("imputer", "scaler")
"""Of the dict, in the order in which they were applied."""


@dataclass(frozen=True, eq=False)
class OldPreprocessor:
    """What an old preprocessor does, and what it says about itself."""

    preprocessor: ArrayPreprocessor | None
    """Nothing if the dict held neither a scaler nor an imputer."""
    names: tuple[str, ...] | None
    """The names of its input columns, if it knows them."""


def read_preprocessor(data: bytes, *, what: str, limits: Limits = LIMITS) -> OldPreprocessor:
    """Return the preprocessor as arrays."""
    with within(what):
        return _read(read_joblib(data, what=what, limits=limits), what)


def _read(found: Any, what: str) -> OldPreprocessor:
    described = found if isinstance(found, dict) else {}
    if described.get("is_fitted") is False:
        raise Corrupt(f"{what} was saved before it was fitted: there is nothing to transform with")
    parts = [described.get(name) for name in _PARTS] if isinstance(found, dict) else [found]
    if isinstance(found, dict) and not set(_PARTS) & set(found):
        raise Corrupt(f"{what} is a dict with neither a scaler nor an imputer: {', '.join(map(str, found))[:100]}")
    estimators = [estimator for part in parts for estimator in _flat(part, what)]
    names = _names(described.get("feature_names"))
    own = next((_names(each.fields.get("feature_names_in_")) for each in estimators), None)
    try:
        steps = [_step(each, what) for each in estimators]
        made = ArrayPreprocessor(steps, own) if steps else None
    except InvalidInput as error:
        raise Corrupt(f"{what} contradicts itself: {error}") from error
    if made is not None and names is not None and len(names) != made.n_features_in_:
        raise Corrupt(f"{what} has {len(names)} names and takes {made.n_features_in_} columns")
    return OldPreprocessor(made, names or own)


def _flat(part: Any, what: str) -> Iterator[Stub]:
    """Return the scalers and imputers; pipelines are flattened."""
    if part is None or (isinstance(part, str) and part == "passthrough"):
        return
    if not isinstance(part, Stub):
        raise Corrupt(f"{what} holds a {type(part).__name__}, not a scaler or imputer")
    if not part.is_a("Pipeline"):
        yield part
        return
    steps = part.fields.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, tuple) and len(step) == 2 for step in steps):  # noqa: PLR2004
        raise Corrupt(f"{what} holds a Pipeline without steps")
    for _, inner in steps:
        yield from _flat(inner, what)


def _names(given: Any) -> tuple[str, ...] | None:
    values = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(values, list | tuple) or not values or not all(isinstance(name, str) for name in values):
        return None
    return tuple(values)


def _step(stub: Stub, what: str) -> ArrayStep:
    make = _MAKERS.get(stub.kind.name)
    if make is None:
        raise refused(what, f"holds a {stub.kind}")
    try:
        return make(stub.fields)
    except KeyError as missing:
        raise Corrupt(f"{what} holds a {stub.kind.name} without {missing}: it was not fitted") from missing
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise Corrupt(f"{what} holds a {stub.kind.name} with invalid statistics: {error}") from error


def _maker(kind: Callable[[Any, Any], ArrayStep], shift: str, with_shift: str, with_scale: str) -> _Make:
    """Return what makes a scaler that subtracts the attribute ``shift`` and divides by ``scale_``, if it was to."""

    def make(fields: Mapping[str, Any]) -> ArrayStep:
        subtracted = fields[shift] if fields.get(with_shift, True) else None
        scale = fields["scale_"] if fields.get(with_scale, True) else None
        if subtracted is None and scale is None:  # subtracting zero changes no bit, and tells the width
            subtracted = numpy().zeros(min(int(fields["n_features_in_"]), 1 << 20))
        return kind(subtracted, scale)

    return make


def _minmax(fields: Mapping[str, Any]) -> ArrayStep:
    low, high = fields["feature_range"]
    clip = (float(low), float(high)) if fields.get("clip", False) else None  # before 0.24: never
    return MinMax(fields["scale_"], fields["min_"], clip)


def _imputer(fields: Mapping[str, Any]) -> ArrayStep:
    np = numpy()
    found = np.asarray(fields["statistics_"])
    statistics = found.astype(np.float64) if found.dtype.kind == "O" else found
    trained = fields.get("_fill_dtype", fields.get("_fit_dtype", statistics.dtype))  # written since 1.5, since 0.24
    name = np.dtype(trained).name if isinstance(trained, np.dtype) else "float64"
    if name not in (*FLOATS, *INTEGERS):
        raise Corrupt(f"an imputer of {name} is not an imputer of numbers")
    strategy = fields.get("strategy", "mean")
    mask = fields.get("indicator_") if fields.get("add_indicator", False) else None
    return Imputer(
        statistics,
        missing=_missing(fields.get("missing_values", np.nan)),
        keep_empty=bool(fields.get("keep_empty_features", False)),  # before 1.2: never
        indicator=None if mask is None else tuple(int(place) for place in mask.fields["features_"]),
        strategy=strategy if strategy in STRATEGIES[:-1] else "callable",
        fill_dtype=name,
    )


def _missing(value: Any) -> float:
    """Return what stands for a missing value; the text ``"NaN"`` is how versions before 0.22 may spell it."""
    return float("nan") if value == "NaN" else value if type(value) is int else float(value)


_MAKERS: Final[dict[str, _Make]] = {
    "StandardScaler": _maker(Standard, "mean_", "with_mean", "with_std"),
    "RobustScaler": _maker(Robust, "center_", "with_centering", "with_scaling"),
    "MinMaxScaler": _minmax,
    "SimpleImputer": _imputer,
}
