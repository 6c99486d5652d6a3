"""The codecs of gradient boosting are held to the contract."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from artifact_store.codecs.sklearn.estimators import EstimatorCodec
from artifact_store.codecs.xgboost.booster import XGBoostCodec
from tests.little_room import LittleRoomSuite

xgb = pytest.importorskip("xgboost")
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")

ROWS = np.random.default_rng(7).normal(size=(240, 4))
LABELS = (ROWS[:, 0] + 0.3 * ROWS[:, 1] > 0).astype(int)
TABLE = pd.DataFrame(ROWS, columns=list("abcd")).assign(side=pd.Categorical(np.where(LABELS, "up", "down")))
QUICK: dict[str, Any] = {"nthread": 1, "max_depth": 2, "verbosity": 0}
FIT: dict[str, Any] = {"n_estimators": 3, "n_jobs": 1, "max_depth": 2, "verbosity": 0}


def booster(rows: Any = ROWS, **params: Any) -> Any:
    return xgb.train(QUICK | params, xgb.DMatrix(rows, ROWS[:, 1], enable_categorical=True), 3)


class TestXGBoost(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> XGBoostCodec:
        return XGBoostCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [
            booster(),
            booster(TABLE),
            booster(booster="dart"),
            xgb.XGBClassifier(**FIT).fit(ROWS, LABELS),
            xgb.XGBRegressor(**FIT, missing=-1.0).fit(ROWS, ROWS[:, 1]),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(xgb.XGBRegressor):
            pass

        return [
            xgb.XGBRegressor(),
            Derived(**FIT).fit(ROWS, LABELS),
            xgb.XGBRegressor(**FIT, callbacks=[xgb.callback.EvaluationMonitor()]).fit(ROWS, LABELS),
        ]

    def equal(self, one: Any, other: Any) -> bool:
        if type(one) is not type(other):
            return False
        if type(one) is xgb.Booster:
            return bool(one.save_raw() == other.save_raw() and one.save_config() == other.save_config())
        same = repr(one.get_params()) == repr(other.get_params())
        return same and self.equal(one.get_booster(), other.get_booster())

    def snapshot(self, example: Any) -> Any:
        return copy.deepcopy(example)


class TestEstimators(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> EstimatorCodec:
        return EstimatorCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        categories = HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=5, categorical_features=[3])
        rows = np.c_[ROWS[:, :3], np.digitize(ROWS[:, 3], [-1, 0, 1])]
        return [
            categories.fit(rows, LABELS),
            make_pipeline(FunctionTransformer(), SelectKBest(k=2), KNeighborsClassifier()).fit(ROWS, LABELS),
            MultiOutputRegressor(xgb.XGBRegressor(**FIT)).fit(ROWS, ROWS[:, :2]),
            make_pipeline(SelectKBest(k=3), lgb.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1)).fit(ROWS, LABELS),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Own(Ridge):
            pass

        return [
            FunctionTransformer(np.add),
            make_pipeline(FunctionTransformer(), Own()).fit(ROWS, LABELS),
            make_pipeline(FunctionTransformer(), xgb.XGBRegressor(callbacks=[object()])),
        ]

    def equal(self, one: Any, other: Any) -> bool:
        return type(one) is type(other) and bool(np.array_equal(one.predict(ROWS), other.predict(ROWS)))

    def snapshot(self, example: Any) -> Any:
        copied = copy.deepcopy(example)
        for one, other in zip(getattr(example, "steps", ()), getattr(copied, "steps", ()), strict=True):
            if hasattr(one[1], "booster_"):  # LightGBM's copies forget these
                other[1].booster_.best_iteration = one[1].booster_.best_iteration
                other[1].booster_.params = dict(one[1].booster_.params)
        return copied
