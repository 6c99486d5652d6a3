"""The objects that old files held, rebuilt from a run with the libraries that old readers use.

Only for writing the old form. An estimator gets the attributes that its own ``predict`` and ``transform`` ask for, and
those alone: it cannot be trained further.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifact_store.codecs.lightgbm.sklearn import LightGBMPredictor
from artifact_store.codecs.sklearn.array_preprocessor import (
    ArrayPreprocessor,
    ArrayStep,
    Imputer,
    MinMax,
    Robust,
    Standard,
)
from artifact_store.errors import NotEncodable
from artifact_store.legacy.libraries import old_form_library
from artifact_store.legacy.pickle_reader.numpy_parts import numpy


def save_checkpoint(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint as the old trainer did."""
    old_form_library("torch", "torch").save(dict(checkpoint), path)


def dump(value: Any, path: Path) -> None:
    """Write an object as the old trainers did."""
    old_form_library("joblib", "joblib").dump(value, path)


# ---------------------------------------------------------------- LightGBM


def estimator(model: Any) -> Any:
    """Return the estimator that predicts as ``model`` does; a booster is one already."""
    if not isinstance(model, LightGBMPredictor):
        return model
    lightgbm = old_form_library("lightgbm", "lightgbm")
    kind = type(model).__name__.removeprefix("LightGBM").removesuffix("Predictor")
    made = getattr(lightgbm, f"LGBM{kind}")(**model.params)
    made.set_params(objective=model.objective_)
    made.fitted_ = True
    alike = ("best_iteration", "best_score", "n_features", "n_features_in", "objective")
    facts = {"Booster": model.booster_, **{name: getattr(model, f"{name}_") for name in alike}}
    classes = getattr(model, "classes_", None)
    if classes is not None:
        made._le = old_form_library("sklearn.preprocessing", "sklearn").LabelEncoder()  # noqa: SLF001 -- it has no other door
        made._le.classes_ = classes  # noqa: SLF001 -- as above
        facts |= {"classes": classes, "n_classes": len(classes)}
    for name, value in facts.items():
        setattr(made, f"_{name}", value)
    return made


# ---------------------------------------------------------------- scikit-learn


def preprocessor(found: Any, names: list[str] | None) -> dict[str, Any]:
    """Return the dict that old preprocessors were kept in.

    Raises:
        NotEncodable: it has a step that the old form has no word for.
    """
    about: dict[str, Any] = {"imputer": None, "imputer_strategy": None, "is_fitted": True, "feature_names": names}
    if not isinstance(found, ArrayPreprocessor):
        return {**about, "scaler": found, "scaler_type": type(found).__name__}
    steps = [_scikit(step) for step in found.steps]
    if found.feature_names_in_ is not None:
        steps[0].feature_names_in_ = numpy().array(found.feature_names_in_, dtype=object)
    if isinstance(found.steps[0], Imputer):
        about |= {"imputer": steps.pop(0), "imputer_strategy": found.steps[0].strategy}
    if len(steps) > 1:
        pipeline = old_form_library("sklearn.pipeline", "sklearn").Pipeline(
            [(str(n), step) for n, step in enumerate(steps)]
        )
        return {**about, "scaler": pipeline, "scaler_type": "pipeline"}
    kind = type(steps[0]).__name__.removesuffix("Scaler").lower() if steps else None
    return {**about, "scaler": steps[0] if steps else None, "scaler_type": kind}


def _scikit(step: ArrayStep) -> Any:
    """Return the scaler or imputer whose ``transform`` is this step."""
    scaling = old_form_library("sklearn.preprocessing", "sklearn")
    made: Any
    match step:
        case Standard(mean, scale):
            made = scaling.StandardScaler(with_mean=mean is not None, with_std=scale is not None)
            made.mean_, made.scale_, made.var_ = mean, scale, None if scale is None else scale**2
        case Robust(center, scale):
            made = scaling.RobustScaler(with_centering=center is not None, with_scaling=scale is not None)
            made.center_, made.scale_ = center, scale
        case MinMax(scale, offset, clip):
            made = scaling.MinMaxScaler(clip=clip is not None, feature_range=clip or (0, 1))
            made.scale_, made.min_ = scale, offset
        case Imputer():
            made = _imputer(step)
        case _:
            raise NotEncodable(f"the old form has no {type(step).__name__}")
    made.n_features_in_ = step.n_in
    return made


def _imputer(step: Imputer) -> Any:
    if step.indicator is not None:
        raise NotEncodable("the old form has no imputer that appends a mask of what was missing")
    if step.strategy == "callable":
        raise NotEncodable("the old form has no imputer with a function of its own")
    imputing = old_form_library("sklearn.impute", "sklearn")
    made = imputing.SimpleImputer(
        strategy=step.strategy, missing_values=step.missing, keep_empty_features=step.keep_empty
    )
    made.statistics_, made.indicator_ = step.statistics, None
    made._fit_dtype = made._fill_dtype = numpy().dtype(step.fill_dtype)  # noqa: SLF001 -- transform asks for them
    return made


# ---------------------------------------------------------------- stable-baselines3


def vecnormalize(algorithm: Any) -> Any:
    """Return a fresh VecNormalize with the spaces of the algorithm, to be filled and saved."""
    gymnasium = old_form_library("gymnasium", "sb3")
    vec_env = old_form_library("stable_baselines3.common.vec_env", "sb3")

    class _Nowhere(gymnasium.Env):  # type: ignore[misc,name-defined]  # it is what the library hands out
        """An environment that only has spaces; a VecNormalize leaves it behind when it is saved."""

        observation_space = algorithm.observation_space
        action_space = algorithm.action_space

    return vec_env.VecNormalize(vec_env.DummyVecEnv([_Nowhere]))


def action_space_info(space: Any) -> dict[str, Any]:
    """Return a space of actions in the words of the old notes, which knew two kinds; the others in words like them."""
    match type(space).__name__:
        case "Discrete":
            return {"type": "discrete", "n": int(space.n)}
        case "Box":
            return {"type": "continuous", "shape": list(space.shape)}
        case "MultiDiscrete":
            return {"type": "multidiscrete", "nvec": space.nvec.tolist()}
        case kind:
            return {"type": kind.lower(), "shape": list(space.shape)}
