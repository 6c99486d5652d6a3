"""The codecs of gradient boosting are held to the contract."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from artifact_store.codecs.xgboost.booster import XGBoostCodec
from tests.little_room import LittleRoomSuite

xgb = pytest.importorskip("xgboost")

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
