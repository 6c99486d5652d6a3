"""Boosters of LightGBM, and the estimators around them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.zoo.making import Making

ROWS = np.random.default_rng(5).normal(size=(120, 4))
LABELS = (ROWS[:, 0] > 0).astype(int)
CLASSES = np.digitize(ROWS[:, 1], [-0.5, 0.5])
QUICK = {"verbose": -1, "num_threads": 1, "seed": 1, "num_leaves": 4, "min_data_in_leaf": 3, "deterministic": True}
WITHOUT = ("sklearn", "torch")
SHARED: dict[str, Any] = {"random_state": 1, "verbose": -1, "n_jobs": 1, "num_leaves": 4}


def look(booster: Any) -> Any:
    """What is asked of a booster."""
    return {
        "predictions": booster.predict(ROWS, num_threads=1),
        "leaves": booster.predict(ROWS, num_threads=1, pred_leaf=True),
        "names": booster.feature_name(),
        "gain": booster.feature_importance("gain"),
        "best": booster.best_iteration,
        "trees": booster.num_trees(),
    }


def booster(name: str, target: Any = LABELS, **parameters: Any) -> Making:
    def make(_: Path) -> Any:
        import lightgbm as lgb

        return lgb.train({**QUICK, **parameters}, lgb.Dataset(ROWS, target), 5)

    return Making(name, make, "lightgbm", look=look, without=WITHOUT)


def early(_: Path) -> Any:
    import lightgbm as lgb

    train = lgb.Dataset(ROWS[:80], LABELS[:80])
    stop = lgb.early_stopping(2, verbose=False)
    return lgb.train(
        QUICK, train, 30, valid_sets=[lgb.Dataset(ROWS[80:], LABELS[80:], reference=train)], callbacks=[stop]
    )


def ranker(_: Path) -> Any:
    import lightgbm as lgb

    return lgb.train({**QUICK, "objective": "lambdarank"}, lgb.Dataset(ROWS, LABELS, group=[40] * 3), 5)


def named(_: Path) -> Any:
    import lightgbm as lgb
    import pandas as pd

    return lgb.train(QUICK, lgb.Dataset(pd.DataFrame(ROWS, columns=["open", "high", "low", "close"]), LABELS), 5)


def estimator(name: str, kind: str, target: Any, ask: Callable[[Any], Any], **fit: Any) -> Making:
    def make(_: Path) -> Any:
        import lightgbm as lgb

        return getattr(lgb, kind)(n_estimators=5, **SHARED).fit(ROWS, target, **fit)

    return Making(name, make, "lightgbm-sklearn", look=ask, without=WITHOUT, kept="as a predictor")


def outputs(model: Any) -> Any:
    return {"predict": np.asarray(model.predict(ROWS)), "names": list(model.feature_name_)}


def chances(model: Any) -> Any:
    return {**outputs(model), "chances": np.asarray(model.predict_proba(ROWS)), "classes": np.asarray(model.classes_)}


MAKINGS: tuple[Making, ...] = (
    booster("a regression", ROWS[:, 1]),
    booster("two classes", objective="binary"),
    booster("three classes", CLASSES, objective="multiclass", num_class=3),
    booster("a forest", boosting="rf", bagging_freq=1, bagging_fraction=0.7),
    booster("dart", boosting="dart"),
    booster("goss", data_sample_strategy="goss"),
    booster("linear trees", ROWS[:, 1], linear_tree=True),
    booster("a quantile", ROWS[:, 1], objective="quantile", alpha=0.9),
    booster("counts", np.abs(ROWS[:, 1]), objective="poisson"),
    booster("monotone", monotone_constraints=[1, 0, 0, -1]),
    booster("categories by code", categorical_feature=[2], max_cat_to_onehot=1),
    Making("stopped early", early, "lightgbm", look=look, without=WITHOUT),
    Making("a ranking", ranker, "lightgbm", look=look, without=WITHOUT),
    Making("names of columns", named, "lightgbm", look=look, without=WITHOUT),
    estimator("LGBMRegressor", "LGBMRegressor", ROWS[:, 1], outputs),
    estimator("LGBMClassifier of two classes", "LGBMClassifier", LABELS, chances),
    estimator("LGBMClassifier of names", "LGBMClassifier", np.array(["down", "flat", "up"])[CLASSES], chances),
    estimator("LGBMRanker", "LGBMRanker", LABELS, outputs, group=[40] * 3),
)
