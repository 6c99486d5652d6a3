"""XGBoost's boosters and scikit-learn estimators as XGBoost's own UBJSON, with what that forgets in JSON beside it.

The UBJSON holds the trees, names and types of features, the categories of pandas tables, attributes (the best iteration
and score of early stopping among them), the objective and its parameters. It loses the configuration of training, so
that a booster that goes on learning would do so with the defaults, and of an estimator its parameters, its number of
classes and ``evals_result``: these are in ``{stem}.json``. What comes back is of the same class and has the same
parameters; a subclass, a function among the parameters, or an attribute of the user's own is refused by its name.
A booster comes back on the CPU: the device belongs to the machine.

XGBoost walks what is in a file without a look, and a writer can write any digest beside it: so every file is checked
(:mod:`.checks`) before XGBoost's reader sees it. The one module that imports xgboost.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs import files
from artifact_store.codecs.files import all_or_nothing, field, import_library, refuse_into, refuse_subclass
from artifact_store.codecs.parameters import pack_parameters, unpack_parameters
from artifact_store.codecs.xgboost.checks import categories_of, read_model
from artifact_store.core.codec import JSON, Codec, Risk
from artifact_store.errors import Corrupt, NotEncodable

_ESTIMATORS: Final = ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")
_BOOSTER: Final = "Booster"
MAX_THREADS: Final = 1024
"""Threads that a stored model may ask for."""
_FITTED: Final = frozenset({"n_classes_", "evals_result_"})
"""What fitting leaves on an estimator beside its booster."""
_OF_THE_MODEL: Final = ("learner_model_param", "objective")
"""The parts of a configuration that the model itself has: never taken from the JSON."""


class XGBoostCodec:
    """Store ``xgboost.Booster`` and XGBoost's estimators in ``{stem}.ubj`` and ``{stem}.json``, bit for bit."""

    name: ClassVar[str] = "xgboost"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = ("xgboost.core.Booster", "xgboost.sklearn.XGBModel")
    extra: ClassVar[str | None] = "xgboost"
    libraries: ClassVar[tuple[str, ...]] = ("xgboost", "xgboost-cpu")
    """One library, of which there are two distributions."""

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the UBJSON and the JSON; refuse what would come back as something else."""
        xgboost = import_library("xgboost", self)
        refuse_subclass(obj, xgboost.Booster, *(getattr(xgboost, name) for name in _ESTIMATORS))
        kind = type(obj).__name__
        settings = {"kind": kind} if kind == _BOOSTER else {"kind": kind, **_estimator(obj)}
        with all_or_nothing(directory, stem):
            settings |= write_ubj(self, _booster_of(obj), directory / f"{stem}.ubj")
            files.write_settings(directory / f"{stem}.json", settings)
        return {}

    def inputs(self, obj: Any) -> tuple[str, ...]:
        """Return the names that the model itself holds; without any, names that only count."""
        booster = _booster_of(obj)
        return tuple(booster.feature_names or (f"Column_{place}" for place in range(booster.num_features())))

    def categories(self, obj: Any) -> Sequence[Sequence[object]]:
        """Return the lists that the model recorded of a table; of bare codes it has none."""
        np = import_library("numpy", self)
        return categories_of(read_model(bytes(_booster_of(obj).save_raw("ubj")), np, what="this model"))

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the model, if XGBoost's reader and its trees can be trusted with it."""
        del options
        refuse_into(self, into)
        path = directory / f"{stem}.json"
        settings = files.read_settings(path)
        kind = field(settings, "kind", str)
        if kind not in {_BOOSTER, *_ESTIMATORS}:
            raise Corrupt(f"{path.name} records a model of the unknown kind {kind[:40]!r}")
        booster = read_ubj(self, settings, directory / f"{stem}.ubj")
        return booster if kind == _BOOSTER else _made(self, kind, settings, booster)


def matrix_of(booster: Any, rows: Any) -> Any:
    """Return rows as this booster takes them: with the names and the categories of a table, where it was trained so."""
    xgboost = files.imported("xgboost", needed_by="predicting with a booster of XGBoost", extra=XGBoostCodec.extra)
    names, is_table = booster.feature_names, hasattr(rows, "columns")
    if names is None:
        return xgboost.DMatrix(rows.to_numpy() if is_table else rows)
    if is_table:
        return xgboost.DMatrix(rows, enable_categorical=True)
    return xgboost.DMatrix(rows, feature_names=names, feature_types=booster.feature_types)


def _booster_of(model: Any) -> Any:
    if type(model).__name__ == _BOOSTER:
        return model
    booster = vars(model).get("_Booster")
    if booster is None:
        raise NotEncodable(f"this {type(model).__qualname__} was not fitted: there is nothing to predict with")
    return booster


# ---------------------------------------------------------------- boosters


def write_ubj(codec: Codec, booster: Any, path: Path) -> dict[str, Any]:
    """Write the UBJSON, and return as JSON what it does not hold."""
    xgboost, np = import_library("xgboost", codec), import_library("numpy", codec)
    refuse_subclass(booster, xgboost.Booster)
    own = sorted(set(vars(booster)) - {"handle"})
    if own:
        raise NotEncodable(
            f"the booster has the attribute {own[0]!r}, which XGBoost does not keep: put it there as text, with "
            f"booster.set_attr({own[0]}=…), and remove it with del booster.{own[0]}"
        )
    try:
        raw = booster.save_raw("ubj")
        config = json.loads(booster.save_config())
        read_model(bytes(raw), np, what="its file")
        _check_plain(config["learner"])
        _check_threads(config["learner"]["generic_param"])
    except (Corrupt, xgboost.core.XGBoostError, ValueError) as error:
        raise NotEncodable(f"XGBoost cannot write this booster, or not read it again: {_first(error)}") from error
    path.write_bytes(raw)
    return {"config": config}


def read_ubj(codec: Codec, settings: Mapping[str, Any], path: Path) -> Any:
    """Read the booster back that :func:`write_ubj` wrote.

    Raises:
        Corrupt: the file leads out of itself, or XGBoost refuses it.
    """
    data = files.read_encoded(path)
    read_model(data, import_library("numpy", codec), what=path.name)
    xgboost = import_library("xgboost", codec)
    try:
        return _loaded(xgboost, bytearray(data), field(settings, "config", dict))
    except (xgboost.core.XGBoostError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{path.name} is not a model that this XGBoost can read: {_first(error)}") from error


def _loaded(xgboost: Any, raw: bytearray, config: Mapping[str, Any]) -> Any:
    """Return the booster with the configuration of training, of which nothing counts that the model says itself."""
    booster = xgboost.Booster(model_file=raw)
    own = json.loads(booster.save_config())
    booster.load_config(json.dumps(_joined(own, _portable(config))))
    return booster


def _portable(config: Mapping[str, Any]) -> dict[str, Any]:
    learner = config["learner"]
    generic = {**learner["generic_param"], "device": "cpu"}
    return {**config, "learner": {**learner, "generic_param": generic}}


def _joined(own: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the model's own numbers in it.

    Raises:
        ValueError: it is that of another kind of model, or of another release.
    """
    learner = {**config["learner"], **{name: own["learner"][name] for name in _OF_THE_MODEL}}
    learner["gradient_booster"] = _same_trees(own["learner"]["gradient_booster"], learner["gradient_booster"])
    _check_plain(learner)
    _check_threads(learner["generic_param"])
    if set(learner) != set(own["learner"]):
        raise ValueError("its configuration has other parts than the model")
    return {"learner": learner, "version": own["version"]}


def _same_trees(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    if own["name"] != given["name"] or set(own) != set(given):
        raise ValueError("its configuration is that of another kind of booster")
    made = {**given}
    if "gbtree" in own:
        made["gbtree"] = _same_trees(own["gbtree"], given["gbtree"])
    if "gbtree_model_param" in own:
        made["gbtree_model_param"] = own["gbtree_model_param"]
    return made


def _check_threads(generic: Mapping[str, Any]) -> None:
    """Refuse more threads than a machine starts: the library below XGBoost ends the process then."""
    for name in ("nthread", "n_jobs"):
        if not -1 <= int(generic[name]) <= MAX_THREADS:
            raise ValueError(f"{name} is {generic[name][:40]}, more than {MAX_THREADS}")


def _check_plain(part: Any, depth: int = 8) -> None:
    """Refuse a configuration that is not objects and lists of text and truth values."""
    if isinstance(part, dict | list) and depth:
        for inner in part.values() if isinstance(part, dict) else part:
            _check_plain(inner, depth - 1)
    elif not isinstance(part, str | bool) or "\0" in str(part):
        raise ValueError(f"its configuration holds {str(part)[:40]!r}")


def _first(error: Exception) -> str:
    """Return what went wrong without the stack of the library."""
    return str(error).partition("\nStack trace")[0]


# ---------------------------------------------------------------- estimators


def _estimator(model: Any) -> dict[str, Any]:
    """Return parameters and results of fitting as JSON, or raise ``NotEncodable`` with the name of what cannot be."""
    kind, held = type(model).__name__, vars(model)
    _booster_of(model)
    params = {name: value for name, value in held.items() if name not in {"_Booster", "kwargs", *_FITTED}}
    strange = sorted(set(params) - set(vars(type(model)())))
    if strange:
        raise NotEncodable(
            f"this {kind} has the attribute {strange[0]!r}, which XGBoost does not know: remove it with "
            f"del model.{strange[0]}, and save it as a component of its own if it is needed"
        )
    if (model.n_jobs or 0) > MAX_THREADS:
        raise NotEncodable(f"n_jobs={model.n_jobs} of this {kind} is beyond {MAX_THREADS}: set_params(n_jobs=None)")
    fitted = {name: held[name] for name in sorted(_FITTED) if name in held}
    try:
        _check_estimator(kind, params, fitted)
    except Corrupt as error:
        raise NotEncodable(f"{error}: fit it, or save the booster, model.get_booster()") from error
    return {
        "params": pack_parameters(params | (held.get("kwargs") or {}), partial(_refusal, kind)),
        "fitted": pack_parameters(fitted, partial(_refusal, kind)),
    }


def _check_estimator(kind: str, params: Mapping[str, Any], fitted: Mapping[str, Any]) -> None:
    """Raise ``Corrupt`` for an estimator that could not predict, or that no machine could run."""
    classes, jobs = fitted.get("n_classes_"), params.get("n_jobs")
    if not set(fitted) <= _FITTED or ("Classifier" in kind) != isinstance(classes, numbers.Integral):
        raise Corrupt(f"this {kind} has {str(classes)[:40]} classes (n_classes_)")
    if isinstance(jobs, numbers.Integral) and int(jobs) > MAX_THREADS:
        raise Corrupt(f"n_jobs={jobs} of this {kind} is beyond {MAX_THREADS}")


def _refusal(kind: str, name: str, error: NotEncodable) -> str:
    if name == "objective":
        return (
            f"the objective of this {kind} is a function, and none is ever stored ({error}): save the booster, "
            "model.get_booster(), which predicts raw scores as before"
        )
    return (
        f"the parameter {name!r} of this {kind} is no plain value ({error}): call model.set_params({name}=None), which "
        "changes no prediction of a fitted model, or save the booster, model.get_booster()"
    )


def _made(codec: Codec, kind: str, settings: Mapping[str, Any], booster: Any) -> Any:
    import_library("sklearn", codec)
    estimator: Any = getattr(import_library("xgboost", codec), kind)
    params = unpack_parameters(field(settings, "params", dict), "params")
    fitted = unpack_parameters(field(settings, "fitted", dict), "fitted")
    _check_estimator(kind, params, fitted)
    try:
        model = estimator(**params)
    except (TypeError, ValueError) as error:
        raise Corrupt(f"the recorded parameters are not those of a {kind}: {error}") from error
    for name, value in (*fitted.items(), ("_Booster", booster)):
        setattr(model, name, value)
    return model
