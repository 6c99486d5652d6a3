"""Estimators of scikit-learn with indices in them, and what holds boosters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.zoo.making import Making
from tests.zoo.makings.boosters import CLASSES, LABELS, ROWS

QUICK: dict[str, Any] = {"n_estimators": 3, "n_jobs": 1, "random_state": 1}
TREES = {**QUICK, "verbose": -1, "num_leaves": 4}


def asked(name: str) -> Callable[[Any], Any]:
    return lambda model: np.asarray(getattr(model, name)(ROWS))


def estimator(name: str, ask: str, make: Callable[[], Any], target: Any = LABELS) -> Making:
    return Making(name, lambda _: make().fit(ROWS, target), "estimators", look=asked(ask), without=("torch",))


def histogram(kind: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        from sklearn import ensemble

        return getattr(ensemble, f"HistGradientBoosting{kind}")(max_iter=5, random_state=1, **options)

    return make


def neighbours(kind: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        from sklearn import neighbors

        return getattr(neighbors, kind)(**options)

    return make


def whole_numbers() -> Any:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    return make_pipeline(OrdinalEncoder(dtype=np.int64), KNeighborsClassifier())


def calibrated() -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.linear_model import LogisticRegression

    return CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=3)


def chosen() -> Any:
    from sklearn.feature_selection import SelectKBest

    return SelectKBest(k=2)


def several_outputs() -> Any:
    from lightgbm import LGBMRegressor
    from sklearn.multioutput import MultiOutputRegressor

    return MultiOutputRegressor(LGBMRegressor(**TREES))


def pipeline(booster: str) -> Callable[[], Any]:
    def make() -> Any:
        import lightgbm
        import xgboost
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        last = lightgbm.LGBMClassifier(**TREES) if booster == "lightgbm" else xgboost.XGBClassifier(**QUICK)
        return make_pipeline(StandardScaler(), last)

    return make


def columns() -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    both = ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", MinMaxScaler(), [2, 3])])
    return make_pipeline(both, HistGradientBoostingClassifier(max_iter=5, random_state=1))


def outliers() -> Any:
    from sklearn.neighbors import LocalOutlierFactor

    return LocalOutlierFactor(novelty=True)


def selected() -> Any:
    from lightgbm import LGBMClassifier
    from sklearn.feature_selection import SelectFromModel

    return SelectFromModel(LGBMClassifier(**TREES))


def calibrated_afterwards() -> Any:
    from lightgbm import LGBMClassifier
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    return CalibratedClassifierCV(FrozenEstimator(LGBMClassifier(**TREES).fit(ROWS, LABELS)))


def vote(_: Path) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor, VotingRegressor
    from sklearn.tree import DecisionTreeRegressor

    members = [("a", DecisionTreeRegressor(max_depth=3)), ("b", GradientBoostingRegressor(n_estimators=3))]
    return VotingRegressor(members).fit(ROWS, ROWS[:, 1])


def tuned(_: Path) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import TunedThresholdClassifierCV

    return TunedThresholdClassifierCV(LogisticRegression()).fit(ROWS, LABELS)


def fixed(model: Any) -> Any:
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import FixedThresholdClassifier

    return FixedThresholdClassifier(FrozenEstimator(model.estimator_), threshold=model.best_threshold_).fit(
        ROWS, LABELS
    )


def isotonic(_: Path) -> Any:
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(out_of_bounds="clip").fit(ROWS[:, 0], ROWS[:, 1])


MAKINGS: tuple[Making, ...] = (
    estimator("HistGradientBoostingRegressor", "predict", histogram("Regressor"), ROWS[:, 1]),
    estimator("HistGradientBoostingClassifier", "predict_proba", histogram("Classifier")),
    estimator("HistGradientBoostingClassifier of three", "predict_proba", histogram("Classifier"), CLASSES),
    estimator(
        "HistGradientBoosting, a quantile", "predict", histogram("Regressor", loss="quantile", quantile=0.9), ROWS[:, 1]
    ),
    estimator(
        "HistGradientBoosting that asks a score when to stop",
        "predict_proba",
        histogram("Classifier", early_stopping=True, scoring="roc_auc"),
    ),
    estimator("CalibratedClassifierCV, isotonic", "predict_proba", calibrated),
    estimator("KNeighborsRegressor", "predict", neighbours("KNeighborsRegressor"), ROWS[:, 1]),
    estimator(
        "KNeighborsClassifier by weights", "predict_proba", neighbours("KNeighborsClassifier", weights="distance")
    ),
    estimator("KNeighborsClassifier, brute", "predict_proba", neighbours("KNeighborsClassifier", algorithm="brute")),
    estimator("KNeighborsClassifier of whole numbers", "predict_proba", whole_numbers),
    estimator("SelectKBest", "transform", chosen),
    Making("IsotonicRegression", isotonic, "estimators", look=lambda model: np.asarray(model.predict(ROWS[:, 0]))),
    estimator("MultiOutputRegressor of LightGBM", "predict", several_outputs, ROWS[:, :2]),
    estimator("a pipeline with LightGBM", "predict_proba", pipeline("lightgbm")),
    estimator("a pipeline with XGBoost", "predict_proba", pipeline("xgboost")),
    estimator("a ColumnTransformer before trees", "predict_proba", columns),
    estimator("LocalOutlierFactor", "decision_function", outliers),
    estimator("SelectFromModel of LightGBM", "transform", selected),
    estimator("CalibratedClassifierCV of a frozen LightGBM", "predict_proba", calibrated_afterwards),
    Making("a vote of trees", vote, "skops", look=asked("predict")),
    Making(
        *("TunedThresholdClassifierCV", tuned, "skops", asked("predict_proba")),
        refused=r"save FixedThresholdClassifier\(FrozenEstimator\(model\.estimator_\)",
        follow=fixed,
    ),
)
