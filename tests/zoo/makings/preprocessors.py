"""Scalers, imputers, pipelines and other estimators of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.zoo.making import Making

ROWS = np.random.default_rng(6).normal(size=(60, 4))
HOLES = np.where(np.random.default_rng(7).random((60, 4)) < 0.2, np.nan, ROWS)
LABELS = (ROWS[:, 0] > 0).astype(int)
NUMPY_ALONE = ("sklearn", "scipy", "joblib", "skops", "pandas", "torch")


def transformed(model: Any) -> Any:
    rows = {"floats": HOLES, "narrow": HOLES.astype("f4")}
    return {name: np.ascontiguousarray(model.transform(given)) for name, given in rows.items()}


def scaler(name: str, make: Callable[[Any], Any]) -> Making:
    def fitted(_: Path) -> Any:
        import sklearn.impute
        import sklearn.pipeline
        import sklearn.preprocessing

        return make(sklearn).fit(HOLES)

    return Making(name, fitted, "sklearn", look=transformed, without=NUMPY_ALONE, kept="needs numpy alone")


def estimator(name: str, module: str, ask: str, **options: Any) -> Making:
    def fitted(_: Path) -> Any:
        import importlib

        return getattr(importlib.import_module(f"sklearn.{module}"), name)(**options).fit(ROWS, LABELS)

    return Making(name, fitted, "skops", look=lambda model: np.asarray(getattr(model, ask)(ROWS)))


MAKINGS: tuple[Making, ...] = (
    scaler("StandardScaler", lambda sk: sk.preprocessing.StandardScaler()),
    scaler("StandardScaler without mean", lambda sk: sk.preprocessing.StandardScaler(with_mean=False)),
    scaler("MinMaxScaler, clipped", lambda sk: sk.preprocessing.MinMaxScaler((-1, 1), clip=True)),
    scaler("RobustScaler", lambda sk: sk.preprocessing.RobustScaler()),
    *(
        scaler(f"SimpleImputer, {how}", lambda sk, how=how: sk.impute.SimpleImputer(strategy=how))
        for how in ("mean", "median", "most_frequent", "constant")
    ),
    scaler("SimpleImputer with indicators", lambda sk: sk.impute.SimpleImputer(add_indicator=True)),
    scaler(
        "a pipeline",
        lambda sk: sk.pipeline.make_pipeline(sk.impute.SimpleImputer(), sk.preprocessing.StandardScaler()),
    ),
    estimator("PCA", "decomposition", "transform", n_components=2),
    estimator("LogisticRegression", "linear_model", "predict_proba"),
    estimator("RandomForestClassifier", "ensemble", "predict_proba", n_estimators=3, random_state=1),
    estimator("QuantileTransformer", "preprocessing", "transform", n_quantiles=10),
    estimator("PolynomialFeatures", "preprocessing", "transform"),
)
