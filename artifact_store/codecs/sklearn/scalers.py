"""scikit-learn's scalers and imputers as arrays, which do not rot with its versions as its pickles do.

StandardScaler, MinMaxScaler, RobustScaler, SimpleImputer, and Pipelines of these. What comes back is an
:class:`~artifact_store.codecs.sklearn.array_preprocessor.ArrayPreprocessor`: it transforms the same, bit for bit, with
numpy alone. Kept: everything that ``transform`` looks at. Not kept: ``fit`` and what only that uses (variances, counts
of samples, quantile ranges), names of steps, ``inverse_transform``. Refused: ``set_output`` of tables, and a release of
scikit-learn that computes otherwise than the arrays would. The one module that imports sklearn for preprocessors.

Why: docs/decisions/0012-arrays-instead-of-pickled-scalers.md
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs import files
from artifact_store.codecs.arrays import ArrayCodec
from artifact_store.codecs.files import all_or_nothing, dotted, import_library, refuse_into, refuse_subclass
from artifact_store.codecs.sklearn.array_preprocessor import (
    STRATEGIES,
    ArrayPreprocessor,
    ArrayStep,
    Imputer,
    MinMax,
    Robust,
    Standard,
)
from artifact_store.core.codec import JSON, Codec, Risk
from artifact_store.errors import Corrupt, InvalidInput, NotEncodable
from artifact_store.features.columns import FLOATS, INTEGERS

_KINDS: Final[Mapping[str, type[ArrayStep]]] = {
    "imputer": Imputer,
    "standard": Standard,
    "minmax": MinMax,
    "robust": Robust,
}
"""The steps, by the word in the file."""

_PIPELINE: Final = "sklearn.pipeline.Pipeline"
_ESTIMATORS: Final = (
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._data.MinMaxScaler",
    "sklearn.preprocessing._data.RobustScaler",
    "sklearn.impute._base.SimpleImputer",
)
_EXACT: Final = 2048
"""Whole numbers up to this one are the same in every float of numpy."""

_INSTEAD: Final = "store.save(estimator, key, codec='skops') stores the estimator itself"
_SINCE: Final = (1, 8)
"""The first release with the arithmetic of the arrays: earlier ones round statistics later, which float32 shows."""
_TRIED: Final = 1 << 16
"""How many numbers a fitted estimator and its arrays are compared on, at most; a row at least."""


class ScalerCodec:
    """Store scalers and imputers in ``{stem}.npz`` and ``{stem}.json``."""

    name: ClassVar[str] = "sklearn"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        *_ESTIMATORS,
        _PIPELINE,
        "artifact_store.codecs.sklearn.array_preprocessor.ArrayPreprocessor",
    )
    extra: ClassVar[str | None] = "sklearn"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    def accepts(self, obj: Any) -> bool:
        """Take a Pipeline only if all its steps are ours; one that ends in a model is for another codec."""
        if not _is_pipeline(obj):
            return True
        steps = [step for _, step in obj.steps if not _passes(step)]
        return bool(steps) and all(
            self.accepts(step) if _is_pipeline(step) else dotted(type(step)) in _ESTIMATORS for step in steps
        )

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the arrays and the settings; refuse what is not fitted, subclasses, and imputers of text."""
        made = obj if type(obj) is ArrayPreprocessor else to_arrays(obj, self)
        steps, arrays = [], {}
        for place, step in enumerate(made.steps):
            kind = next(word for word, made_of in _KINDS.items() if made_of is type(step))
            found = {_entry(place, name): getattr(step, name) for name in step.arrays}
            arrays.update({name: array for name, array in found.items() if array is not None})
            steps.append({"kind": kind, **{name: _plain(getattr(step, name)) for name in _settings(type(step))}})
        names_in = None if made.feature_names_in_ is None else list(made.feature_names_in_)
        with all_or_nothing(directory, stem):
            held = ArrayCodec().encode(arrays, directory, stem)
            settings = {"steps": steps, "feature_names_in": names_in, "arrays": dict(held)}
            files.write_settings(directory / f"{stem}.json", settings)
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return an ``ArrayPreprocessor``; scikit-learn is not imported."""
        del options
        refuse_into(self, into)
        path = directory / f"{stem}.json"
        settings = files.read_settings(path)
        arrays = ArrayCodec().decode(directory, stem, files.field(settings, "arrays", dict))
        if not isinstance(arrays, dict):
            raise Corrupt(f"{path.name} does not belong to the arrays beside it")
        try:
            steps = [_step(place, each, arrays) for place, each in enumerate(files.field(settings, "steps", list))]
            made = ArrayPreprocessor(steps, files.field(settings, "feature_names_in", list | None))
        except (InvalidInput, TypeError) as error:
            raise Corrupt(f"{path.name} describes no preprocessor: {error}") from error
        if arrays:
            raise Corrupt(f"there are arrays that {path.name} does not know: {sorted(arrays)[:5]}")
        return made


def to_arrays(estimator: Any, codec: Codec) -> ArrayPreprocessor:
    """Return what transforms like a fitted scaler, imputer or Pipeline, or raise ``NotEncodable`` if arrays cannot."""
    parts = list(_parts(estimator, codec))
    _check_output(parts[-1])
    steps = [_convert(part, codec) for part in parts]
    names = getattr(estimator, "feature_names_in_", None)
    try:
        return ArrayPreprocessor(steps, None if names is None else [str(name) for name in names])
    except InvalidInput as error:
        raise NotEncodable(f"this {type(estimator).__qualname__} contradicts itself: {error}") from error


def _parts(estimator: Any, codec: Codec) -> Iterator[Any]:
    if not _is_pipeline(estimator):
        yield estimator
        return
    refuse_subclass(estimator, import_library("sklearn.pipeline", codec).Pipeline)
    for _, part in estimator.steps:
        if not _passes(part):
            yield from _parts(part, codec)


def _check_output(last: Any) -> None:
    """Refuse tables in the place of arrays; between the steps of a pipeline they make no difference."""
    output = getattr(last, "_sklearn_output_config", {}).get("transform") or "default"
    if output != "default":
        raise NotEncodable(
            f"transform() gives {output} tables (set_output), and what comes back would give arrays: call "
            f"set_output(transform='default') before you save it, or {_INSTEAD}"
        )


def _convert(estimator: Any, codec: Codec) -> ArrayStep:
    data, impute = import_library("sklearn.preprocessing", codec), import_library("sklearn.impute", codec)
    sklearn, np = import_library("sklearn", codec), import_library("numpy", codec)
    makers = {
        data.StandardScaler: _standard,
        data.MinMaxScaler: _minmax,
        data.RobustScaler: _robust,
        impute.SimpleImputer: _imputer,
    }
    refuse_subclass(estimator, *makers)
    if not hasattr(estimator, "n_features_in_"):
        raise NotEncodable(f"this {type(estimator).__qualname__} was not fitted: there is nothing to transform with")
    try:
        step: ArrayStep = makers[type(estimator)](estimator, np)
    except (AttributeError, TypeError, ValueError) as error:  # InvalidInput is a ValueError, NotEncodable its child
        if isinstance(error, NotEncodable):
            raise
        raise NotEncodable(f"this {type(estimator).__qualname__} holds no usable statistics: {error}") from error
    if step.n_in != estimator.n_features_in_:
        raise NotEncodable(
            f"this {type(estimator).__qualname__} has statistics for {step.n_in} columns and was fitted on "
            f"{estimator.n_features_in_}; fit it again"
        )
    if _release(sklearn) < _SINCE:
        raise NotEncodable(
            f"scikit-learn {sklearn.__version__} rounds otherwise than the arrays would: fit and save with "
            f"scikit-learn {'.'.join(map(str, _SINCE))} or later, or {_INSTEAD}"
        )
    if not _computes_as(step, estimator, sklearn, np):
        raise NotEncodable(
            f"scikit-learn {sklearn.__version__} computes other bits with this {type(estimator).__qualname__} than the "
            f"arrays would; {_INSTEAD}"
        )
    return step


def _release(sklearn: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", sklearn.__version__)[:2])


def _computes_as(step: ArrayStep, estimator: Any, sklearn: Any, np: Any) -> bool:
    """Tell whether both make the same bits of rows that are near to what was fitted, in each dtype that stays.

    A column that the imputer leaves out is kept here: scikit-learn would warn of it.
    """
    bare = copy.copy(estimator)
    for name in ("feature_names_in_", "_sklearn_output_config"):  # rows without names are to be asked for
        vars(bare).pop(name, None)
    dtypes = {"float64", "float32", "float16"}
    if isinstance(step, Imputer):
        step, bare.keep_empty_features = replace(step, keep_empty=True), True
        dtypes.add(step.fill_dtype)
    with sklearn.config_context(transform_output="default", array_api_dispatch=False), np.errstate(all="ignore"):
        near = _near(step, np)
        return all(
            _same(_outcome(bare.transform, rows, np), _outcome(step.apply, rows, np), np)
            for rows in (_cast(near, dtype, step, np) for dtype in sorted(dtypes))
        )


def _near(step: ArrayStep, np: Any) -> Any:
    """Return rows that the step makes plain numbers of: what it subtracts, and numbers around it."""
    count = min(32, max(1, _TRIED // step.n_in))
    spread = np.random.default_rng(0).normal(size=(count, step.n_in))
    spread[0] = 0
    match step:
        case Standard(shift, scale) | Robust(shift, scale):
            return spread * (1 if scale is None else scale) + (0 if shift is None else shift)
        case MinMax(scale, offset):
            return (spread - offset) / scale
        case Imputer():
            return spread + step.statistics


def _cast(near: Any, dtype: str, step: ArrayStep, np: Any) -> Any:
    """Return rows of this dtype without infinities; an imputer finds every second one missing."""
    rows = np.nan_to_num(near.astype(dtype), nan=0, posinf=0, neginf=0)
    if isinstance(step, Imputer) and (rows.dtype.kind == "f" or not math.isnan(step.missing)):
        rows[::2] = np.asarray(step.missing).astype(dtype)
    return rows


def _outcome(transform: Any, rows: Any, np: Any) -> Any:
    """Return what comes of the rows, which stay as they are, or nothing where they are refused."""
    try:
        return np.asarray(transform(rows.copy()))
    except ValueError:  # InvalidInput is one
        return None


def _same(one: Any, other: Any, np: Any) -> bool:
    """Tell whether every bit is the same, whichever NaN it is; or both refused."""
    if one is None or other is None:
        return one is other
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    equal = (one == other) & (np.signbit(one) == np.signbit(other))
    return bool((equal | ((one != one) & (other != other))).all())  # noqa: PLR0124 -- true of NaN only


def _standard(scaler: Any, np: Any) -> ArrayStep:
    mean, scale = scaler.mean_ if scaler.with_mean else None, scaler.scale_ if scaler.with_std else None
    return Standard(_zeros(scaler, np) if mean is None and scale is None else mean, scale)


def _robust(scaler: Any, np: Any) -> ArrayStep:
    center, scale = scaler.center_ if scaler.with_centering else None, scaler.scale_ if scaler.with_scaling else None
    return Robust(_zeros(scaler, np) if center is None and scale is None else center, scale)


def _zeros(scaler: Any, np: Any) -> Any:
    """Return the statistic of a scaler that has none: subtracting zero changes no bit, and tells the width."""
    return np.zeros(scaler.n_features_in_)


def _minmax(scaler: Any, _: Any) -> ArrayStep:
    low, high = scaler.feature_range
    return MinMax(scaler.scale_, scaler.min_, (float(low), float(high)) if scaler.clip else None)


def _imputer(imputer: Any, np: Any) -> ArrayStep:
    trained = np.dtype(getattr(imputer, "_fill_dtype", imputer._fit_dtype))  # noqa: SLF001 -- said nowhere else
    if trained.name not in (*FLOATS, *INTEGERS):
        raise NotEncodable(f"a SimpleImputer of {trained} is not a table of numbers; {_INSTEAD}")
    strategy = imputer.strategy if imputer.strategy in STRATEGIES[:-1] else "callable"  # its result is what is kept
    statistics = np.asarray(imputer.statistics_)
    exact = statistics.astype(np.float64)
    if statistics.dtype.kind == "O" and any(
        not (one == other or (one != one and other != other))  # noqa: PLR0124 -- true of a NaN only
        for one, other in zip(statistics.tolist(), exact.tolist(), strict=True)
    ):
        raise NotEncodable(f"the fill_value {imputer.fill_value!r} is not a float64; use one that is, or {_INSTEAD}")
    indicator = imputer.indicator_.features_.tolist() if imputer.add_indicator else None
    return Imputer(
        exact if statistics.dtype.kind == "O" else statistics,
        missing=_missing(imputer.missing_values),
        keep_empty=bool(imputer.keep_empty_features),
        indicator=None if indicator is None else tuple(indicator),
        strategy=strategy,
        fill_dtype=trained.name,
    )


def _missing(value: Any) -> float:
    """Return the plain number that finds the same values in every array of numbers.

    Raises:
        NotEncodable: a number of numpy is compared in its own precision, a plain one in that of the array.
    """
    if type(value) in (int, float):
        plain: float = value
        return plain
    if dotted(type(value)).startswith("pandas.") and type(value).__qualname__ == "NAType":
        return math.nan  # an array of numbers knows no other
    number = float(value) if hasattr(value, "item") or isinstance(value, bool) else math.inf
    if math.isnan(number) or (number.is_integer() and abs(number) <= _EXACT):
        return number
    raise NotEncodable(
        f"missing_values={value!r} is not a plain number; fit with missing_values={number!r}, or {_INSTEAD}"
    )


def _step(place: int, described: Any, arrays: dict[str, Any]) -> ArrayStep:
    kind = str(described.get("kind")) if isinstance(described, dict) else ""
    if kind not in _KINDS:
        raise InvalidInput(f"no step is of the kind {kind[:40]!r}")
    make = _KINDS[kind]
    if set(described) != {"kind", *_settings(make)}:
        raise InvalidInput(f"a step {kind!r} has other settings than {sorted(described)}")
    given: dict[str, Any] = {name: tuple(part) if isinstance(part, list) else part for name, part in described.items()}
    del given["kind"]
    if "missing" in given and given["missing"] is None:
        given["missing"] = math.nan
    return make(**{name: arrays.pop(_entry(place, name), None) for name in make.arrays}, **given)


def _settings(kind: type[ArrayStep]) -> list[str]:
    """Return the names of the fields that are no arrays."""
    return [part.name for part in fields(kind) if part.name not in kind.arrays]


def _entry(place: int, name: str) -> str:
    return f"{place}.{name}"


def _plain(value: Any) -> JSON:
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and math.isnan(value) else value


def _is_pipeline(obj: Any) -> bool:
    return any(dotted(kind) == _PIPELINE for kind in type(obj).__mro__)


def _passes(step: Any) -> bool:
    return step is None or (isinstance(step, str) and step == "passthrough")
