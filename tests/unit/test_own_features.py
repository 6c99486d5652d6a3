"""A model that knows the names of its inputs is not saved without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from artifact_store import ArtifactStore, Example, FeatureSchema, errors
from tests.cases import each

ROWS = np.random.default_rng(2).normal(size=(120, 3))
NAMES = ["ret_1", "vol 20", "spread"]
FRAME = pd.DataFrame(ROWS, columns=NAMES)
TARGET = ROWS[:, 0] - ROWS[:, 1]


def booster(rows: Any = FRAME, **more: Any) -> Any:
    quick = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    return lgb.train(quick, lgb.Dataset(rows, TARGET, **more), 3)


def of_xgboost(rows: Any = FRAME) -> Any:
    xgb = pytest.importorskip("xgboost")
    return xgb.train({"nthread": 1}, xgb.DMatrix(rows, TARGET), 3)


MODELS: dict[str, tuple[Callable[[], Any], list[str] | None]] = {
    "LightGBM": (booster, ["ret_1", "vol_20", "spread"]),
    "LightGBM of an array": (lambda: booster(ROWS), None),
    "names that LightGBM was given": (lambda: booster(ROWS, feature_name=["c", "a", "b"]), ["c", "a", "b"]),
    "an estimator of LightGBM": (
        lambda: lgb.LGBMRegressor(n_estimators=3, verbose=-1, n_jobs=1).fit(FRAME, TARGET),
        ["ret_1", "vol_20", "spread"],
    ),
    "XGBoost": (of_xgboost, NAMES),
    "XGBoost of an array": (lambda: of_xgboost(ROWS), None),
    "categories": (lambda: booster(FRAME.assign(side=pd.Categorical(np.where(TARGET > 0, "up", "down")))), None),
    "no model": (lambda: {"weights": [1]}, None),
}


def test_the_names_of_a_model_are_its_features_in_their_order() -> None:
    with ArtifactStore("memory://") as store:
        for case in each(MODELS):
            with case as kind:
                make, names = MODELS[kind]
                features = store.save(make(), "own/NAMES").features
                assert (features and list(features.names)) == names
                assert features is None or not features.has_selection


def test_the_names_of_the_example_are_spelled_as_its_table_has_them() -> None:
    model, few = booster(), FRAME[:5]
    with ArtifactStore("memory://") as store:
        run = store.save(model, "own/NAMES", example=Example(few[NAMES[::-1]], model.predict(few)), validate=True)
        assert run.published.validation.compared
        assert list(run.features.names) == NAMES
        with pytest.raises(errors.FeatureMismatch, match="vol 20"):
            run.features.prepare(few.rename(columns={"vol 20": "volume"}))


def test_features_that_are_given_count_and_a_preprocessor_may_make_other_columns() -> None:
    given = FeatureSchema(["vol_20", "ret_1", "spread"])
    with ArtifactStore("memory://") as store:
        with pytest.raises(errors.FeatureMismatch):
            store.save(booster(), "own/NAMES", features=given)
        run = store.save(booster(), "own/NAMES", components={"preprocessor": {"any": ["thing"]}})
        assert run.features is None
