"""Old ``model.pkl`` files of LightGBM: a dict around the model, an estimator for scikit-learn, or a booster.

The pickle of a booster is its text and a few attributes. The text is checked (``codecs.lightgbm.text``), then read and
written by LightGBM in a process of its own, and what that wrote is what this process reads. Predictions are equal, bit
for bit. Not read: evaluation history, training data, an objective that is a function.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
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
from artifact_store.legacy.formats import lightgbm_child
from artifact_store.legacy.formats.joblib import read_joblib
from artifact_store.legacy.libraries import old_form_library
from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits
from artifact_store.legacy.pickle_reader.numpy_parts import numpy
from artifact_store.legacy.pickle_reader.plain import plain_dict, plain_value
from artifact_store.legacy.pickle_reader.stubs import Stub, within

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
    feature_names: tuple[str, ...]
    """As LightGBM spells them in its text: perhaps ``Column_0`` and so on."""
    objective: str | None = None
    """Of the estimator."""
    classes: Any = None
    """The labels of a classifier, as an array."""
    n_features_in: int = 0
    estimator_params: Mapping[str, Any] = field(default_factory=dict)
    estimator_params_omitted: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What stood in the dict around the model, as plain JSON values: ``feature_names``, ``selected_features``, ..."""
    omitted: tuple[str, ...] = ()


def read_lightgbm(data: bytes, *, what: str, limits: Limits = LIMITS) -> OldLightGBM:
    """Return text and facts. LightGBM is neither needed nor asked.

    Raises:
        Corrupt: damaged, not fitted, or not a LightGBM model.
        RiskRefused: it names something that only running code could make, such as an own objective.
    """
    with within(what):
        return _read(read_joblib(data, what=what, limits=limits), what)


def _read(found: Any, what: str) -> OldLightGBM:
    around = dict(found) if isinstance(found, dict) else {}
    model = around.pop("model", None) if isinstance(found, dict) else found
    if not isinstance(model, Stub) or model.kind.name not in _KINDS:
        kind = model.kind if isinstance(model, Stub) else type(model).__name__
        raise Corrupt(f"{what} holds a {kind}, not a model of LightGBM")
    metadata, omitted = plain_dict(around)
    kind = _KINDS[model.kind.name]
    booster = model if kind == "booster" else model.fields.get("_Booster")
    if not isinstance(booster, Stub) or not booster.is_a("Booster"):
        raise Corrupt(f"{what} holds a {model.kind.name} that was never fitted")
    facts = _of_booster(booster.fields, what)
    if kind != "booster":
        facts |= _of_estimator(model.fields, kind, facts, what)
    return OldLightGBM(kind=kind, metadata=metadata, omitted=omitted, **facts)


def build_lightgbm(old: OldLightGBM, *, text: str | None = None) -> Any:
    """Return a ``lightgbm.Booster``, or what predicts like the estimator that was pickled.

    ``text`` is what :func:`normalised_text` returned, if that was asked before.

    Raises:
        Corrupt: LightGBM cannot read the text, or it has other features than were recorded.
        CodecUnavailable: lightgbm is not installed.
    """
    text = normalised_text(old.text) if text is None else text
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
    if old.n_features_in != booster.num_feature():
        raise Corrupt(
            f"an old LightGBM model has {booster.num_feature()} features, and {old.n_features_in} were recorded"
        )
    importance = "gain" if old.estimator_params.get("importance_type") == "gain" else "split"
    facts = {
        "estimator_params": dict(old.estimator_params),
        "estimator_params_omitted": list(old.estimator_params_omitted),
        "objective": old.objective,
        "n_features_in": old.n_features_in,
        "feature_importances": booster.feature_importance(importance_type=importance),
        "classes": old.classes,
    }
    return _PREDICTORS[old.kind](booster, facts)


def normalised_text(text: str, *, what: str = "an old model", seconds: float = SECONDS) -> str:
    """Return LightGBM's own spelling of a foreign text, with the same trees, bit for bit.

    LightGBM reads it in another process, which may crash, hang or take too much memory; this one goes on.

    Raises:
        Corrupt: the text describes no trees, or LightGBM does not survive it.
        CodecUnavailable: lightgbm is not installed.
    """
    check_model_text(text, what=what)
    with tempfile.TemporaryDirectory(prefix="artifact-store-") as folder:
        source, target = Path(folder, "foreign.txt"), Path(folder, "own.txt")
        source.write_bytes(text.encode("utf-8", "surrogatepass"))
        _run_child(source, target, what, seconds)
        try:
            own = target.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Corrupt(f"LightGBM read {what} and wrote nothing that can be read: {error}") from error
    check_written(own, what=what)
    return own


def _run_child(source: Path, target: Path, what: str, seconds: float) -> None:
    path = [folder for folder in sys.path if Path(folder).is_absolute()]
    command = [sys.executable, "-I", lightgbm_child.__file__, str(source), str(target), str(MEMORY), *path]
    try:
        done = subprocess.run(  # noqa: S603 -- our own program; the text is in a file
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False, cwd=source.parent
        )
    except subprocess.TimeoutExpired as error:
        raise Corrupt(f"LightGBM did not finish reading {what} in {seconds:g} s") from error
    except OSError as error:
        raise Unavailable(f"the process that reads {what} could not be started: {error}") from error
    if done.returncode == lightgbm_child.MISSING:
        raise CodecUnavailable("this old file cannot be read without lightgbm: pip install 'artifact-store[lightgbm]'")
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        raise Corrupt(f"LightGBM cannot read {what} (exit code {done.returncode}): {last or 'it crashed'}")


def _of_booster(fields: Mapping[str, Any], what: str) -> dict[str, Any]:
    text = fields.get("_handle", fields.get("handle"))
    if not isinstance(text, str):
        raise Corrupt(f"{what} holds a booster without a model")
    check_model_text(text, what=what)
    best = fields.get("best_iteration", -1)
    if isinstance(best, bool) or not isinstance(plain_value(best), int):
        raise Corrupt(f"{what} holds a booster whose best iteration is not a number")
    scores, params = fields.get("best_score"), fields.get("params")
    kept, _ = plain_params(params if isinstance(params, dict) else {})
    categories = plain_value(fields.get("pandas_categorical"))
    if categories is not None and not isinstance(categories, list):
        raise Corrupt(f"{what} holds a booster whose categories are not lists")
    return {
        "text": text,
        "best_iteration": int(best),
        "best_score": _scores(scores if isinstance(scores, dict) else {}, what),
        "params": kept,
        "pandas_categorical": categories,
        "feature_names": _names_in(text),
    }


def _names_in(text: str) -> tuple[str, ...]:
    line = next(line for line in text.replace("\r", "\n").split("\n") if line.startswith("feature_names="))
    return tuple(words(line.partition("=")[2]))


def _scores(scores: Mapping[Any, Any], what: str) -> dict[str, Any]:
    try:
        return plain_scores(scores)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise Corrupt(f"{what} holds a booster with an invalid best score: {error}") from error


def _of_estimator(fields: Mapping[str, Any], kind: Kind, booster: Mapping[str, Any], what: str) -> dict[str, Any]:
    objective = fields.get("_objective", fields.get("objective"))
    params, omitted = plain_params(
        {
            name: value
            for name, value in fields.items()
            if not name.startswith("_") and not name.endswith("_") and name not in _OF_THE_MACHINE
        }
    )
    width = plain_value(fields.get("_n_features_in", fields.get("_n_features")))
    return {
        "objective": objective if isinstance(objective, str) else None,
        "n_features_in": width if isinstance(width, int) else len(booster["feature_names"]),
        "estimator_params": params,
        "estimator_params_omitted": tuple(omitted),
        "classes": _classes(fields, what) if kind == "classifier" else None,
        "best_score": _scores(found, what)
        if isinstance(found := fields.get("_best_score"), dict)
        else booster["best_score"],
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
