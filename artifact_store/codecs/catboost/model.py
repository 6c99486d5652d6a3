"""CatBoost's models as its own binary file (``cbm``), with what that forgets in JSON beside it.

The file holds trees, names of features, categories as hashes, classes, and the metadata of training. It loses the
parameters that the model was made with, the number of features that scikit-learn asks for, and the importances: these
are in ``{stem}.json``. What comes back is of the same class, has the same parameters and predicts the same bits;
``evals_result_`` comes back with the digits that CatBoost writes.

Its risk: the file can name no code, but nothing of it is checked here, and CatBoost's reader is native code that was
not made for files of strangers. So the risk is that of ``vetted`` and not of ``data``: ``LoadPolicy(max_risk="data")``
refuses such files. The one module that imports catboost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs import files
from artifact_store.codecs.files import all_or_nothing, field, import_library, refuse_into, refuse_subclass
from artifact_store.codecs.json_arrays import plain_float, read_float
from artifact_store.codecs.parameters import pack_parameters, unpack_parameters
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import Corrupt, NotEncodable

_PLAIN: Final = "CatBoost"
"""The one that takes its parameters as a dict."""
_KINDS: Final = (_PLAIN, "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker")
_HELD: Final = frozenset(
    ("_init_params", "_canonized_params", "_is_fitted_", "_learning_rate", "_n_features_in", "_object")
) | {"_prediction_values_change", "_random_seed", "_tree_count", "_loss_value_change"}
"""The attributes of a fitted model; another one is the user's own."""


class CatBoostCodec:
    """Store ``CatBoost``, ``CatBoostClassifier``, ``CatBoostRegressor`` and ``CatBoostRanker``."""

    name: ClassVar[str] = "catboost"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.VETTED
    types: ClassVar[tuple[str, ...]] = ("catboost.core.CatBoost",)
    extra: ClassVar[str | None] = "catboost"
    libraries: ClassVar[tuple[str, ...]] = ("catboost",)
    deterministic: ClassVar[bool] = False
    """CatBoost rounds its history of training each time that it writes it."""

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the file and the JSON; refuse what would come back as something else."""
        catboost = import_library("catboost", self)
        refuse_subclass(obj, *(getattr(catboost, name) for name in _KINDS))
        settings = _described(obj)
        with all_or_nothing(directory, stem):
            path = directory / f"{stem}.cbm"
            try:
                obj.save_model(str(path), format="cbm")
            except catboost.CatBoostError as error:
                raise NotEncodable(f"CatBoost cannot write this model: {error}") from error
            settings["sha256"] = hashlib.sha256(files.read_encoded(path)).hexdigest()
            files.write_settings(directory / f"{stem}.json", settings)
        return {}

    def inputs(self, obj: Any) -> tuple[str, ...]:
        """Return the names that the model itself holds; the places that CatBoost makes names of say nothing."""
        names = [str(name) for name in obj.feature_names_]
        made_up = names == [str(place) for place in range(len(names))]
        return tuple(f"Column_{name}" if made_up else name for name in names)

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the model, if the file is the one that was written."""
        del options
        refuse_into(self, into)
        settings, path = files.read_settings(directory / f"{stem}.json"), directory / f"{stem}.cbm"
        kind, params = field(settings, "kind", str), field(settings, "params", dict)
        width, importances = field(settings, "n_features_in", int), field(settings, "importances", list | None)
        if kind not in _KINDS:
            raise Corrupt(f"{stem}.json records a model of the unknown kind {kind[:40]!r}")
        data = files.read_encoded(path)
        if hashlib.sha256(data).hexdigest() != field(settings, "sha256", str):
            raise Corrupt(f"{path.name} is not the file that was saved, and CatBoost's reader may not survive it")
        catboost = import_library("catboost", self)
        given = unpack_parameters(params, f"{stem}.json")
        try:
            make = getattr(catboost, kind)
            model = make(given) if kind == _PLAIN else make(**given)
            model.load_model(blob=data)
            names = model.feature_names_
        except (catboost.CatBoostError, TypeError, ValueError) as error:
            raise Corrupt(f"{path.name} is not a model that this CatBoost can read: {error}") from error
        if len(names) != width:
            raise Corrupt(f"{path.name} has {len(names)} features, and {width} were saved")
        model._init_params, model._n_features_in = given, width  # noqa: SLF001 -- loading forgets them
        if importances is not None:
            model._prediction_values_change = _importances(importances, stem)  # noqa: SLF001 -- as above
        return model


def _importances(record: list[Any], stem: str) -> list[float]:
    return [float(read_float(value, f"an importance in {stem}.json")) for value in record]


def _described(model: Any) -> dict[str, Any]:
    kind = type(model).__name__
    if not model.is_fitted():
        raise NotEncodable(f"this {kind} was not fitted: there is nothing to predict with")
    strange = sorted(set(vars(model)) - _HELD)
    if strange:
        raise NotEncodable(
            f"this {kind} has the attribute {strange[0]!r}, which CatBoost does not keep: remove it with "
            f"del model.{strange[0]}, and save it as a component of its own if it is needed"
        )

    def refusal(name: str, error: NotEncodable) -> str:
        return (
            f"the parameter {name!r} of this {kind} is no plain value ({error}). What it has learned can be saved "
            f"without: model.save_model('bare.cbm'), then save {kind}().load_model('bare.cbm')"
        )

    importances = vars(model).get("_prediction_values_change")
    return {
        "kind": kind,
        "params": pack_parameters(model.get_params(deep=False), refusal),
        "n_features_in": len(model.feature_names_),
        "importances": None if importances is None else [plain_float(float(value)) for value in importances],
    }
