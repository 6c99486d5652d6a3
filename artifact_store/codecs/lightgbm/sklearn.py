"""LightGBM's scikit-learn estimators, as their booster and the few facts that predicting takes.

What comes back is a predictor of our own and not an estimator: it predicts the same, bit for bit, and needs no
scikit-learn, whose estimators would need a dozen private attributes and rot with its versions. Kept: labels with their
dtype, importances, best iteration and score, parameters that are plain values. Not kept: ``fit`` and everything that
only training uses (``evals_result_``, the objective function itself, callbacks), ``n_jobs``, which belongs to the
machine, and scikit-learn's own checks of the input; LightGBM's are there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs import files
from artifact_store.codecs.files import all_or_nothing, dotted, field, import_library, refuse_into, refuse_subclass
from artifact_store.codecs.lightgbm.booster import plain_params, read_booster, read_params, write_booster
from artifact_store.core.codec import JSON, Codec, Risk, check_inputs
from artifact_store.errors import Corrupt, FeatureMismatch, NotEncodable
from artifact_store.features.tables import is_a

_MULTICLASS: Final = frozenset({"multiclass", "softmax", "multiclassova", "multiclass_ova", "ova", "ovr"})
_PLAIN: Final = re.compile(r"[<>|][biufUO]\d{0,9}", re.ASCII)
"""No name of a dtype: some have a unit, which numpy may divide by zero."""
_WHEN_PREDICTING: Final = frozenset(
    {"pred_early_stop", "pred_early_stop_freq", "pred_early_stop_margin", "predict_disable_shape_check"}
)
"""Parameters of training that LightGBM obeys in ``predict`` as well."""


class LightGBMPredictor:
    """What predicts like the fitted estimator that was saved.

    Made by :class:`LightGBMSklearnCodec`. ``booster_`` is the booster, ``params`` the estimator's parameters,
    ``objective_`` the name of the objective, or none if it was a function (predictions are raw scores then).
    """

    def __init__(self, booster: Any, facts: Mapping[str, Any]) -> None:
        self.booster_ = booster
        self.params = read_params(field(facts, "estimator_params", dict))
        self.params_omitted = tuple(field(facts, "estimator_params_omitted", list))
        self.objective_: str | None = field(facts, "objective", str | None)
        self.n_features_in_: int = field(facts, "n_features_in", int)
        self.best_score_ = booster.best_score
        self.best_iteration_: int = booster.best_iteration
        self.feature_importances_ = facts["feature_importances"]

    def predict(self, X: Any, *, raw_score: bool = False, **options: Any) -> Any:  # noqa: N803 -- scikit-learn's name
        """Return what the estimator's ``predict`` returned; ``options`` are those of ``lightgbm.Booster.predict``.

        A model that was trained on columns of categories takes a pandas table with these columns as categories and
        nothing else: LightGBM reads the numbers of an array, or of another table, as codes.

        Raises:
            FeatureMismatch: it does, and ``X`` is something else.
        """
        _refuse_codes(self.booster_, X)
        given = {name: value for name, value in self.params.items() if name in _WHEN_PREDICTING} | options
        rows = X
        if isinstance(X, list | tuple):  # of which LightGBM itself would make a sparse matrix
            import numpy as np

            rows = np.asarray(X)
        return self.booster_.predict(rows, raw_score=raw_score, **given)

    @property
    def feature_name_(self) -> list[str]:
        """The names of the features, as LightGBM spells them."""
        return list(self.booster_.feature_name())

    @property
    def n_features_(self) -> int:
        """The number of features of the booster."""
        return int(self.booster_.num_feature())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(objective={self.objective_!r}, n_features={self.n_features_in_})"


class LightGBMRegressorPredictor(LightGBMPredictor):
    """What predicts like an ``LGBMRegressor``."""


class LightGBMRankerPredictor(LightGBMPredictor):
    """What predicts like an ``LGBMRanker``."""


class LightGBMClassifierPredictor(LightGBMPredictor):
    """What predicts like an ``LGBMClassifier``: labels, and probabilities in the order of ``classes_``."""

    def __init__(self, booster: Any, facts: Mapping[str, Any]) -> None:
        super().__init__(booster, facts)
        self.classes_ = facts["classes"]
        self.n_classes_ = len(self.classes_)

    def predict(self, X: Any, *, raw_score: bool = False, **options: Any) -> Any:  # noqa: N803 -- scikit-learn's name
        """Return labels; raw scores, leaves or contributions where asked for, or if the objective was a function."""
        result = self.predict_proba(X, raw_score=raw_score, **options)
        if self.objective_ is None or _special(raw_score, options):
            return result
        return self.classes_.take(result.argmax(axis=1))

    def predict_proba(self, X: Any, *, raw_score: bool = False, **options: Any) -> Any:  # noqa: N803 -- as above
        """Return one column of probabilities for each label; raw scores if the objective was a function."""
        result = super().predict(X, raw_score=raw_score, **options)
        multiclass = self.n_classes_ > 2 or self.objective_ in _MULTICLASS  # noqa: PLR2004 -- as LightGBM decides
        if self.objective_ is None or multiclass or _special(raw_score, options):
            return result
        import numpy as np

        return np.vstack((1.0 - result, result)).transpose()


_KINDS: Final[dict[str, type[LightGBMPredictor]]] = {
    "classifier": LightGBMClassifierPredictor,
    "regressor": LightGBMRegressorPredictor,
    "ranker": LightGBMRankerPredictor,
}


class LightGBMSklearnCodec:
    """Store ``LGBMClassifier``, ``LGBMRegressor`` and ``LGBMRanker`` in ``{stem}.txt`` and ``{stem}.json``.

    A predictor that was decoded can be saved again, and gives the same bytes.
    """

    name: ClassVar[str] = "lightgbm-sklearn"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        "lightgbm.sklearn.LGBMModel",
        "artifact_store.codecs.lightgbm.sklearn.LightGBMPredictor",
    )
    extra: ClassVar[str | None] = "lightgbm"
    libraries: ClassVar[tuple[str, ...]] = ("lightgbm",)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the booster and the facts; refuse what is not fitted, a subclass, and labels that JSON cannot hold."""
        kind, facts = _described(self, obj)
        facts["feature_importances"] = _write_array(self, obj.feature_importances_, "importances")
        if kind == "classifier":
            facts["classes"] = _write_array(self, obj.classes_, "labels")
        with all_or_nothing(directory, stem):
            booster = write_booster(self, obj.booster_, directory / f"{stem}.txt")
            files.write_settings(directory / f"{stem}.json", {"kind": kind, "booster": booster, **facts})
        return {}

    def inputs(self, obj: Any) -> tuple[str, ...]:
        """Return the names that the fitted model itself holds."""
        return tuple(obj.feature_name_)

    def categories(self, obj: Any) -> Sequence[Sequence[object]]:
        """Return the lists that the booster recorded of a pandas table."""
        return obj.booster_.pandas_categorical or ()

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return a :class:`LightGBMPredictor` of the kind that fits."""
        del options
        refuse_into(self, into)
        path = directory / f"{stem}.json"
        facts = files.read_settings(path)
        kind = field(facts, "kind", str)
        if kind not in _KINDS:
            raise Corrupt(f"{path.name} records an estimator of the unknown kind {kind[:40]!r}")
        booster = read_booster(self, field(facts, "booster", dict), directory / f"{stem}.txt")
        facts["feature_importances"] = _read_array(self, field(facts, "feature_importances", dict), "importances")
        if kind == "classifier":
            facts["classes"] = _read_array(self, field(facts, "classes", dict), "labels")
        return _KINDS[kind](booster, facts)


def _described(codec: Codec, model: Any) -> tuple[str, dict[str, Any]]:
    """Return which kind of estimator it is, and the facts about it that are plain values."""
    if isinstance(model, LightGBMPredictor):
        refuse_subclass(model, *_KINDS.values())
        kinds: dict[type, str] = {made: kind for kind, made in _KINDS.items()}
        params, _ = plain_params(model.params)
        omitted = list(model.params_omitted)
    else:
        lightgbm = import_library("lightgbm", codec)
        kinds = {getattr(lightgbm, f"LGBM{kind.title()}"): kind for kind in _KINDS}
        refuse_subclass(model, *kinds)
        if not model.__sklearn_is_fitted__():
            raise NotEncodable(f"this {type(model).__qualname__} was not fitted: there is nothing to predict with")
        given = model.get_params().items()
        params, omitted = plain_params({name: value for name, value in given if name not in {"n_jobs", "objective"}})
    return kinds[type(model)], {
        "estimator_params": params,
        "estimator_params_omitted": omitted,
        "objective": model.objective_ if isinstance(model.objective_, str) else None,
        "n_features_in": int(model.n_features_in_),
    }


def _write_array(codec: Codec, array: Any, what: str) -> dict[str, JSON]:
    """Return a one-dimensional array as JSON; refuse all but numbers, booleans and text."""
    described = {"dtype": array.dtype.str, "values": array.tolist()}
    try:
        exact = _read_array(codec, described, what).tolist() == array.tolist()
    except Corrupt:
        exact = False
    if not exact:
        raise NotEncodable(f"the {what} {array!r} are not numbers, booleans or text; train on such {what}")
    return described


def _read_array(codec: Codec, described: Mapping[str, Any], what: str) -> Any:
    np = import_library("numpy", codec)
    dtype, values = field(described, "dtype", str), field(described, "values", list)
    kinds: type | tuple[type, ...] = str if dtype[1:2] in {"O", "U"} else (bool, int, float)
    if not _PLAIN.fullmatch(dtype) or not all(isinstance(value, kinds) for value in values):
        raise Corrupt(f"the recorded {what} are not numbers, booleans or text: {dtype[:40]!r}")
    try:
        return np.array(values, dtype=np.dtype(dtype))
    except (TypeError, ValueError, OverflowError) as error:
        raise Corrupt(f"the recorded {what} are not of the dtype {dtype[:40]!r}: {error}") from error


def _special(raw_score: bool, options: Mapping[str, Any]) -> bool:  # noqa: FBT001 -- as LightGBM passes it
    return bool(raw_score or options.get("pred_leaf") or options.get("pred_contrib"))


def _refuse_codes(booster: Any, data: Any) -> None:
    lists = booster.pandas_categorical
    if not lists:
        return
    is_frame = is_a(data, "pandas", "DataFrame")
    found = sum(hasattr(dtype, "categories") for dtype in data.dtypes) if is_frame else 0
    if found != len(lists):
        held = f"a table with {found} of them" if is_frame else f"a {dotted(type(data))}"
        raise FeatureMismatch(
            f"this model was trained on {len(lists)} columns of categories, and got {held}: LightGBM would read the "
            "numbers in their place as codes. Give it a pandas table with these columns as categories, "
            "run.features.prepare(X) for instance"
        )
    check_inputs("this model", booster.feature_name(), [str(name) for name in data.columns])
