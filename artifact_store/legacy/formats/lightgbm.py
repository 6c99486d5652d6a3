"""Old ``model.pkl`` files of LightGBM: a dict around the model, an estimator for scikit-learn, or a booster.

The pickle of a booster is its text and a few attributes. The text is checked (``codecs.lightgbm.text``), then read and
written by LightGBM in a process of its own, and what that wrote is what this process reads. Predictions are equal, bit
for bit. Not read: evaluation history, training data, an objective that is a function.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from artifact_store.codecs.lightgbm.booster import plain_params, plain_scores, read_params, read_scores
from artifact_store.codecs.lightgbm.sklearn import (
    LightGBMClassifierPredictor,
    LightGBMPredictor,
    LightGBMRankerPredictor,
    LightGBMRegressorPredictor,
)
from artifact_store.codecs.lightgbm.text import check_model_text, check_written, words
from artifact_store.errors import CodecUnavailable, Corrupt, Unavailable
from artifact_store.installing import pip_install
from artifact_store.legacy.formats import lightgbm_child
from artifact_store.legacy.formats.joblib import read_joblib
from artifact_store.legacy.libraries import old_form_library
from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits
from artifact_store.legacy.pickle_reader.numpy_parts import numpy
from artifact_store.legacy.pickle_reader.plain import plain_dict, plain_value
from artifact_store.legacy.pickle_reader.stubs import Stub, within
from artifact_store.storage.staging import Staging, explained

Kind = Literal["booster", "regressor", "classifier", "ranker"]

SECONDS: Final = 120.0
"""How long LightGBM may take to read a text; 5 MB take one second, of which most is its import."""
MEMORY: Final = 8 << 30
"""Address space of that process; a small part of it is ever used."""

_KINDS: Final[dict[str, Kind]] = {
    "Booster": "booster",
    "LGBMModel": "regressor",
    "LGBMRegressor": "regressor",
    "LGBMClassifier": "classifier",
    "LGBMRanker": "ranker",
}
_PREDICTORS: Final[dict[str, type[LightGBMPredictor]]] = {
    "regressor": LightGBMRegressorPredictor,
    "classifier": LightGBMClassifierPredictor,
    "ranker": LightGBMRankerPredictor,
}
_WHAT: Final = "an old model"
_OF_THE_MACHINE: Final = frozenset({"n_jobs", "objective"})


@dataclass(frozen=True, eq=False)
class OldLightGBM:
    """An old LightGBM model as text and facts. Nothing of it has been parsed by LightGBM yet."""

    kind: Kind
    text: str
    best_iteration: int
    best_score: Mapping[str, Any]
    params: Mapping[str, Any]
    """Of the booster."""
    pandas_categorical: list[Any] | None
    metadata: Mapping[str, Any]
    """What stood in the dict around the model, as plain JSON values: ``feature_names``, ``selected_features``, ..."""
    estimator: Mapping[str, Any] = field(default_factory=dict)
    """What an estimator has beside its booster: parameters, objective, the labels of a classifier as an array, ..."""


def read_lightgbm(data: bytes, *, what: str, limits: Limits = LIMITS) -> OldLightGBM:
    """Return text and facts. LightGBM is neither needed nor asked."""
    with within(what):
        return _read(read_joblib(data, what=what, limits=limits), what)


def _read(found: Any, what: str) -> OldLightGBM:
    around = dict(found) if isinstance(found, dict) else {}
    model = around.pop("model", None) if isinstance(found, dict) else found
    if not isinstance(model, Stub) or model.kind.name not in _KINDS:
        kind = model.kind if isinstance(model, Stub) else type(model).__name__
        raise Corrupt(f"{what} holds a {kind}, not a model of LightGBM")
    kind = _KINDS[model.kind.name]
    booster = model if kind == "booster" else model.fields.get("_Booster")
    if not isinstance(booster, Stub) or not booster.is_a("Booster"):
        raise Corrupt(f"{what} holds a {model.kind.name} that was never fitted")
    facts = _of_booster(booster.fields, what)
    if kind != "booster":
        facts["estimator"] = _of_estimator(model.fields, kind, facts["text"], what)
        if isinstance(scores := model.fields.get("_best_score"), dict):
            facts["best_score"] = _scores(scores, what)
    return OldLightGBM(kind=kind, metadata=plain_dict(around)[0], **facts)


def build_lightgbm(old: OldLightGBM) -> Any:
    """Return a ``lightgbm.Booster``, or what predicts like the estimator that was pickled.

    Raises:
        Corrupt: LightGBM cannot read the text, or it has other features than were recorded.
        CodecUnavailable: lightgbm is not installed.
    """
    text = normalised_text(old.text)
    lightgbm = old_form_library("lightgbm", "lightgbm")
    try:
        booster = lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise Corrupt(f"an old LightGBM model cannot be read: {error}") from error
    booster.best_iteration = old.best_iteration
    booster.best_score = read_scores(old.best_score)
    booster.params = read_params(old.params)
    booster.pandas_categorical = old.pandas_categorical
    if old.kind == "booster":
        return booster
    width = old.estimator["n_features_in"]
    if width != booster.num_feature():
        raise Corrupt(f"an old LightGBM model has {booster.num_feature()} features, and {width} were recorded")
    importance = "gain" if old.estimator["estimator_params"].get("importance_type") == "gain" else "split"
    scores = booster.feature_importance(importance_type=importance)
    return _PREDICTORS[old.kind](booster, {**old.estimator, "feature_importances": scores})


def normalised_text(text: str) -> str:
    """Return LightGBM's own spelling of a foreign text, with the same trees, bit for bit.

    LightGBM reads it in another process, which may crash, hang or take too much memory; this one goes on.

    Raises:
        Corrupt: the text describes no trees, or LightGBM does not survive it.
        CodecUnavailable: lightgbm is not installed.
    """
    check_model_text(text, what=_WHAT)
    with Staging().folder() as folder:
        source, target = folder / "foreign.txt", folder / "own.txt"
        with explained(folder):
            source.write_bytes(text.encode("utf-8", "surrogatepass"))
            _run_child(source, target)
        try:
            own = target.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Corrupt(f"LightGBM read {_WHAT} and wrote nothing that can be read: {error}") from error
    check_written(own, what=_WHAT)
    return own


def _run_child(source: Path, target: Path) -> None:
    path = [folder for folder in sys.path if Path(folder).is_absolute()]
    command = [sys.executable, "-I", lightgbm_child.__file__, str(source), str(target), str(MEMORY), *path]
    try:
        done = subprocess.run(  # noqa: S603 -- our own program; the text is in a file
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False, cwd=source.parent
        )
    except subprocess.TimeoutExpired as error:
        raise Corrupt(f"LightGBM did not finish reading {_WHAT} in {SECONDS:g} s") from error
    except OSError as error:
        raise Unavailable(f"the process that reads {_WHAT} could not be started: {error}") from error
    if done.returncode == lightgbm_child.MISSING:
        raise CodecUnavailable(f"this old file cannot be read without lightgbm: {pip_install('lightgbm')}")
    last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
    if done.returncode == lightgbm_child.NOT_WRITTEN and last.isdecimal():
        raise OSError(int(last), os.strerror(int(last)), str(target))
    if done.returncode:
        raise Corrupt(f"LightGBM cannot read {_WHAT} (exit code {done.returncode}): {last or 'it crashed'}")


def _of_booster(fields: Mapping[str, Any], what: str) -> dict[str, Any]:
    text = fields.get("_handle", fields.get("handle"))
    if not isinstance(text, str):
        raise Corrupt(f"{what} holds a booster without a model")
    check_model_text(text, what=what)
    best = fields.get("best_iteration", -1)
    if isinstance(best, bool) or not isinstance(plain_value(best), int):
        raise Corrupt(f"{what} holds a booster whose best iteration is not a number")
    scores, params = (found if isinstance(found := fields.get(name), dict) else {} for name in ("best_score", "params"))
    categories = plain_value(fields.get("pandas_categorical"))
    if categories is not None and not isinstance(categories, list):
        raise Corrupt(f"{what} holds a booster whose categories are not lists")
    return {
        "text": text,
        "best_iteration": int(best),
        "best_score": _scores(scores, what),
        "params": plain_params(params)[0],
        "pandas_categorical": categories,
    }


def _scores(scores: Mapping[Any, Any], what: str) -> dict[str, Any]:
    try:
        return plain_scores(scores)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise Corrupt(f"{what} holds a booster with an invalid best score: {error}") from error


def _of_estimator(fields: Mapping[str, Any], kind: Kind, text: str, what: str) -> dict[str, Any]:
    """Return what the predictor is made from, beside the booster, whose width counts where none was recorded."""
    names = next(line for line in text.replace("\r", "\n").split("\n") if line.startswith("feature_names="))
    objective = fields.get("_objective", fields.get("objective"))
    own = {name for name in fields if not name.startswith("_") and not name.endswith("_")} - _OF_THE_MACHINE
    params, omitted = plain_params({name: value for name, value in fields.items() if name in own})
    recorded = plain_value(fields.get("_n_features_in", fields.get("_n_features")))
    return {
        "estimator_params": params,
        "estimator_params_omitted": omitted,
        "objective": objective if isinstance(objective, str) else None,
        "n_features_in": recorded if isinstance(recorded, int) else len(words(names.partition("=")[2])),
        "classes": _classes(fields, what) if kind == "classifier" else None,
    }


def _classes(fields: Mapping[str, Any], what: str) -> Any:
    """Return the labels, each of which has its number by its place."""
    np = numpy()
    encoder = fields.get("_le")
    labels = fields.get("_classes")
    if labels is None and isinstance(encoder, Stub):
        labels = encoder.fields.get("classes_")
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or labels.dtype.kind not in "biufUO" or len(labels) < 2:  # noqa: PLR2004
        raise Corrupt(f"{what} holds a classifier without its labels")
    if labels.dtype.kind == "O" and not all(isinstance(label, str) for label in labels):
        raise Corrupt(f"{what} holds a classifier whose labels are neither numbers nor text")
    return labels
