"""Boosters of XGBoost, and the estimators around them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.zoo.making import Making
from tests.zoo.makings.boosters import CLASSES, LABELS, ROWS

QUICK: dict[str, Any] = {"nthread": 1, "seed": 1, "max_depth": 3}
WITHOUT = ("sklearn", "torch", "lightgbm")
HOLES = np.where(np.random.default_rng(9).random(ROWS.shape) < 0.1, np.nan, ROWS)


def look(booster: Any) -> Any:
    """What is asked of a booster."""
    import xgboost as xgb

    rows = xgb.DMatrix(HOLES, feature_names=booster.feature_names, nthread=1)
    return {
        "predictions": booster.predict(rows),
        "names": booster.feature_names,
        "types": booster.feature_types,
        "attributes": booster.attributes(),
        "rounds": booster.num_boosted_rounds(),
        "best": booster.attributes().get("best_iteration"),
        "dump": booster.get_dump(dump_format="json"),
    }


def booster(name: str, target: Any = LABELS, names: list[str] | None = None, **parameters: Any) -> Making:
    def make(_: Path) -> Any:
        import xgboost as xgb

        return xgb.train({**QUICK, **parameters}, xgb.DMatrix(HOLES, target, feature_names=names, nthread=1), 5)

    return Making(name, make, "xgboost", look=look, without=WITHOUT)


def early(_: Path) -> Any:
    import xgboost as xgb

    train, valid = xgb.DMatrix(ROWS[:80], LABELS[:80], nthread=1), xgb.DMatrix(ROWS[80:], LABELS[80:], nthread=1)
    options = {**QUICK, "objective": "binary:logistic"}
    return xgb.train(options, train, 30, evals=[(valid, "valid")], early_stopping_rounds=2, verbose_eval=False)


def estimator(name: str, kind: str, target: Any, ask: Callable[[Any], Any], **fit: Any) -> Making:
    def make(_: Path) -> Any:
        import xgboost as xgb

        return getattr(xgb, kind)(n_estimators=5, n_jobs=1, random_state=1, max_depth=3).fit(ROWS, target, **fit)

    return Making(name, make, "xgboost", look=ask, without=("torch", "lightgbm"))


def outputs(model: Any) -> Any:
    return {
        "predict": np.asarray(model.predict(ROWS)),
        "importances": np.asarray(model.feature_importances_),
        "settings": {
            name: value for name, value in model.get_params().items() if value is not None and name != "missing"
        },
        "columns": model.n_features_in_,
    }


def all_of_fitting(_: Path) -> Any:
    import xgboost as xgb

    weights = np.array([1.0, 2, 3, 4])
    model = xgb.XGBRegressor(n_estimators=5, n_jobs=1, feature_weights=weights, eval_metric=["rmse", "mae"])
    return model.fit(ROWS, ROWS[:, 1], eval_set=[(ROWS, ROWS[:, 1])], verbose=False)


def all_of(model: Any) -> Any:
    return {**outputs(model), "results": model.evals_result()}


def chances(model: Any) -> Any:
    return {**outputs(model), "chances": np.asarray(model.predict_proba(ROWS)), "classes": np.asarray(model.classes_)}


MAKINGS: tuple[Making, ...] = (
    booster("a regression of XGBoost", ROWS[:, 1]),
    booster("two classes of XGBoost", objective="binary:logistic"),
    booster("three classes of XGBoost", CLASSES, objective="multi:softprob", num_class=3),
    booster("names of columns of XGBoost", names=["open", "high", "low", "close"]),
    booster("dart of XGBoost", booster="dart", rate_drop=0.3),
    booster("a linear booster of XGBoost", ROWS[:, 1], booster="gblinear", updater="coord_descent"),
    booster("a quantile of XGBoost", ROWS[:, 1], objective="reg:quantileerror", quantile_alpha=0.9),
    booster("counts of XGBoost", np.abs(ROWS[:, 1]), objective="count:poisson"),
    booster("a forest of XGBoost", ROWS[:, 1], num_parallel_tree=3, subsample=0.7),
    booster("two targets of XGBoost", ROWS[:, :2]),
    booster("monotone of XGBoost", monotone_constraints="(1,0,0,-1)"),
    Making("stopped early by XGBoost", early, "xgboost", look=look, without=WITHOUT),
    estimator("XGBRegressor", "XGBRegressor", ROWS[:, 1], outputs),
    estimator("XGBClassifier of two classes", "XGBClassifier", LABELS, chances),
    estimator("XGBClassifier of three classes", "XGBClassifier", CLASSES, chances),
    Making(
        "XGBRegressor with all that fitting leaves",
        all_of_fitting,
        "xgboost",
        look=all_of,
        without=("torch", "lightgbm"),
    ),
    estimator("XGBRanker", "XGBRanker", LABELS, outputs, qid=np.repeat([0, 1, 2], 40)),
    estimator("XGBRFRegressor", "XGBRFRegressor", ROWS[:, 1], outputs),
)
