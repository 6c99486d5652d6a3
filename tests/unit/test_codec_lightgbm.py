"""LightGBM models predict the same, bit for bit, whatever they were trained like."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from artifact_store.codecs.lightgbm.booster import LightGBMCodec, read_params
from artifact_store.codecs.lightgbm.sklearn import (
    LightGBMClassifierPredictor,
    LightGBMRankerPredictor,
    LightGBMRegressorPredictor,
    LightGBMSklearnCodec,
)
from artifact_store.errors import Corrupt, NotEncodable
from tests.hostile import unreadable

pytestmark = pytest.mark.windows

RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(300, 5))
X[RANDOM.random(X.shape) < 0.05] = np.nan
Y = np.nan_to_num(X[:, 0] - X[:, 1] * X[:, 2]) + RANDOM.normal(size=300) * 0.1
TRAIN, VALID = slice(0, 200), slice(200, 300)
QUIET: dict[str, Any] = {"verbose": -1, "num_threads": 1, "seed": 3, "min_data_in_leaf": 5, "num_leaves": 7}


def train(labels: Any = Y, rounds: int = 8, *, features: Any = X, **params: Any) -> Any:
    return lgb.train(QUIET | params, lgb.Dataset(features, labels), rounds, keep_training_booster=True)


def early_stopped(*, keep_training_booster: bool = True) -> Any:
    noise = RANDOM.normal(size=300)
    return lgb.train(
        QUIET | {"objective": "regression", "metric": "l2", "learning_rate": 0.5},
        lgb.Dataset(X[TRAIN], noise[TRAIN]),
        30,
        valid_sets=[lgb.Dataset(X[VALID], noise[VALID])],
        callbacks=[lgb.early_stopping(5, verbose=False)],
        keep_training_booster=keep_training_booster,
    )


def squared(predicted: Any, data: Any) -> tuple[Any, Any]:
    return predicted - data.get_label(), np.ones_like(predicted)


def categorical_frame() -> pd.DataFrame:
    frame = pd.DataFrame(X, columns=[f"f{place}" for place in range(5)])
    frame["side"] = pd.Categorical(RANDOM.choice(["buy", "sell", "hold"], 300))
    frame["venue"] = pd.Categorical(RANDOM.integers(0, 4, 300), categories=[3, 2, 1, 0, 9])
    return frame


FRAME = categorical_frame()

KINDS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "early stopping": lambda: (early_stopped(), X),
    "early stopping without the training booster": lambda: (early_stopped(keep_training_booster=False), X),
    "dart": lambda: (train(boosting="dart", drop_rate=0.5), X),
    "rf": lambda: (train(boosting="rf", bagging_fraction=0.6, bagging_freq=1), X),
    "goss": lambda: (train(data_sample_strategy="goss", learning_rate=0.5), X),
    "linear_tree": lambda: (train(linear_tree=True), X),
    "multiclass": lambda: (train(np.digitize(Y, [-0.5, 0.5]), objective="multiclass", num_class=3), X),
    "quantile": lambda: (train(objective="quantile", alpha=0.9), X),
    "custom objective": lambda: (train(objective=squared), X),
    "categorical frame": lambda: (train(features=FRAME), FRAME),
    "monotone": lambda: (train(monotone_constraints=[1, -1, 0, 0, 0]), X),
    "unbalanced binary": lambda: (train((Y > 1).astype(int), objective="binary", is_unbalance=True), X),
    "continued": lambda: (lgb.train(QUIET, lgb.Dataset(X, Y), 3, init_model=train()), X),
}


def there_and_back(codec: Any, obj: Any, directory: Path) -> Any:
    return codec.decode(directory, "model", codec.encode(obj, directory, "model"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_booster_predicts_the_same(kind: str, tmp_path: Path) -> None:
    booster, data = KINDS[kind]()
    back = there_and_back(LightGBMCodec(), booster, tmp_path)
    for how in ({}, {"raw_score": True}, {"num_iteration": 2}, {"start_iteration": 1}, {"num_iteration": -1}):
        assert np.array_equal(booster.predict(data, **how), back.predict(data, **how)), how
    if kind != "linear_tree":  # which has no contributions
        assert np.array_equal(booster.predict(data, pred_contrib=True), back.predict(data, pred_contrib=True))
    assert np.array_equal(booster.predict(data, pred_leaf=True), back.predict(data, pred_leaf=True))
    assert back.feature_name() == booster.feature_name()
    assert np.array_equal(back.feature_importance("split"), booster.feature_importance("split"))
    assert np.allclose(
        back.feature_importance("gain"), booster.feature_importance("gain"), rtol=1e-5
    )  # the text rounds
    assert back.pandas_categorical == booster.pandas_categorical


def test_a_booster_that_stopped_early_keeps_all_trees_and_predicts_with_the_best(tmp_path: Path) -> None:
    booster = early_stopped()
    assert booster.best_iteration < booster.num_trees()  # or this would prove nothing
    back = there_and_back(LightGBMCodec(), booster, tmp_path)
    assert back.num_trees() == booster.num_trees()
    assert back.best_iteration == booster.best_iteration
    assert np.array_equal(back.predict(X), booster.predict(X))
    back.best_iteration = -1
    assert not np.array_equal(back.predict(X), booster.predict(X))  # what the text alone would give


def test_a_booster_without_a_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match="not trained"):
        LightGBMCodec().encode(lgb.Booster(QUIET, lgb.Dataset(X, Y)), tmp_path, "model")


def test_scores_and_parameters_come_back(tmp_path: Path) -> None:
    booster = early_stopped()
    booster.best_score = {"valid": {"auc": np.float64(0.1), "worst": math.inf}}
    booster.params |= {"odd": np.float32(0.5), "nested": {"a": [1, (2, math.inf)]}, "hook": print}
    back = there_and_back(LightGBMCodec(), booster, tmp_path)
    assert back.best_score == booster.best_score
    plain = {name: value for name, value in booster.params.items() if name != "hook"}
    assert back.params == plain | {"nested": {"a": [1, [2, math.inf]]}}
    assert json.loads((tmp_path / "model.json").read_bytes())["params_omitted"] == ["hook"]


@pytest.mark.parametrize(
    "value", [{"float": "x"}, {"float": 1.0}, {}, {"dict": []}, {"dict": {}, "float": "nan"}, [[{"a": 1}]]]
)
def test_a_parameter_that_is_not_in_a_form_that_is_saved_is_corrupt(value: Any) -> None:
    with pytest.raises(Corrupt, match="recorded parameters are invalid"):
        read_params({"alpha": value})


def test_a_changed_text_never_reaches_the_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = LightGBMCodec()
    options = codec.encode(train(), tmp_path, "model")
    path = tmp_path / "model.txt"
    path.write_bytes(path.read_bytes().replace(b"num_leaves=7", b"num_leaves=8", 1))
    monkeypatch.setattr(lgb, "Booster", lambda **_: pytest.fail("the parser was called"))
    with pytest.raises(Corrupt, match="not the text that was saved"):
        codec.decode(tmp_path, "model", options)


def test_a_text_of_another_program_with_a_fitting_digest_is_corrupt(tmp_path: Path) -> None:
    codec = LightGBMCodec()
    options = codec.encode(train(), tmp_path, "model")
    settings = json.loads((tmp_path / "model.json").read_bytes())
    for text in (b"", b"hello", b"\xff\xfe"):
        (tmp_path / "model.txt").write_bytes(text)
        settings["sha256"] = hashlib.sha256(text).hexdigest()
        (tmp_path / "model.json").write_bytes(json.dumps(settings).encode())
        with pytest.raises(Corrupt):
            codec.decode(tmp_path, "model", options)


def test_names_are_divided_where_lightgbm_divides_them(tmp_path: Path) -> None:
    names = ["a\u00a0b", "c\x85d", "é", "f\u2003"]  # white space for Python
    X = np.random.default_rng(0).normal(size=(50, 4))
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 2}
    booster = lgb.train(settings, lgb.Dataset(X, X[:, 0], feature_name=names), 2)
    back = there_and_back(LightGBMCodec(), booster, tmp_path)
    assert back.feature_name() == booster.feature_name() == names
    tabbed = lgb.train(settings, lgb.Dataset(X, X[:, 0], feature_name=["a\tb", "c", "d", "e"]), 2)
    with pytest.raises(NotEncodable, match="feature_names"):
        LightGBMCodec().encode(tabbed, tmp_path, "tabbed")


@pytest.mark.parametrize(
    "place", [b"[seed: ", b"[seed", b"tree_sizes=", b"split_gain=", b"feature_names=", b"end of parameters"]
)
def test_a_carriage_return_anywhere_never_reaches_the_parser(
    place: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LightGBM ends a line there, and would read another text than the one that was checked."""
    codec = LightGBMCodec()
    options = codec.encode(train(), tmp_path, "model")
    text = unreadable((tmp_path / "model.txt").read_text(encoding="utf-8")).encode()
    assert place in text
    text = text.replace(place, place + b"\r", 1)
    settings = json.loads((tmp_path / "model.json").read_bytes()) | {"sha256": hashlib.sha256(text).hexdigest()}
    (tmp_path / "model.txt").write_bytes(text)
    (tmp_path / "model.json").write_bytes(json.dumps(settings).encode())
    monkeypatch.setattr(lgb, "Booster", lambda **_: pytest.fail("the parser was called"))
    with pytest.raises(Corrupt):
        codec.decode(tmp_path, "model", options)


def test_a_json_of_another_booster_is_corrupt(tmp_path: Path) -> None:
    codec = LightGBMCodec()
    options = codec.encode(train(), tmp_path, "model")
    settings = json.loads((tmp_path / "model.json").read_bytes())
    (tmp_path / "model.json").write_bytes(json.dumps(settings | {"num_trees": 7}).encode())
    with pytest.raises(Corrupt, match="num_trees 8, and 7 were saved"):
        codec.decode(tmp_path, "model", options)


# ---------------------------------------------------------------- estimators

FIT: dict[str, Any] = {"n_estimators": 6, "verbose": -1, "n_jobs": 1, "random_state": 5, "min_child_samples": 5}
DIRECTION = np.where(Y > 0, "up", "down")


def logistic(truth: Any, raw: Any) -> tuple[Any, Any]:
    probability = 1 / (1 + np.exp(-raw))
    return probability - truth, probability * (1 - probability)


CLASSIFIERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "text": (DIRECTION, {}),
    "fixed width text": (DIRECTION.astype("U9"), {}),
    "booleans": (Y > 0, {}),
    "small integers": ((Y > 0).astype(np.int8), {}),
    "floats": (np.where(Y > 0, 2.0, -1.0), {}),
    "three classes": (np.digitize(Y, [-0.5, 0.5]) - 1, {}),
    "one against all": (np.digitize(Y, [-0.5, 0.5]), {"objective": "multiclassova"}),
    "pandas labels": (pd.Series(DIRECTION).astype("category"), {}),
    "class weights": (DIRECTION, {"class_weight": {"up": 3.0, "down": 1.0}}),
    "early exit": (DIRECTION, {"pred_early_stop": True, "pred_early_stop_freq": 1, "pred_early_stop_margin": 0.01}),
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_predicts_the_same(kind: str, tmp_path: Path) -> None:
    labels, params = CLASSIFIERS[kind]
    model = lgb.LGBMClassifier(**FIT, **params).fit(X, labels)
    back = there_and_back(LightGBMSklearnCodec(), model, tmp_path)
    assert isinstance(back, LightGBMClassifierPredictor)
    assert_predicts_alike(model, back, X)
    assert back.classes_.dtype == model.classes_.dtype
    assert back.classes_.tolist() == model.classes_.tolist()
    assert back.n_classes_ == model.n_classes_
    assert back.predict(X).dtype == model.predict(X).dtype


def assert_predicts_alike(model: Any, back: Any, data: Any) -> None:
    hows: list[dict[str, Any]] = [
        {},
        {"raw_score": True},
        {"num_iteration": 2},
        {"start_iteration": 1},
        {"pred_leaf": True},
        {"pred_contrib": True},
    ]
    for how in hows:
        assert np.array_equal(model.predict(data, **how), back.predict(data, **how)), how
        if hasattr(model, "predict_proba"):
            assert np.array_equal(model.predict_proba(data, **how), back.predict_proba(data, **how)), how
    assert back.feature_name_ == model.feature_name_
    assert back.n_features_in_ == back.n_features_ == model.n_features_in_
    assert np.array_equal(back.feature_importances_, model.feature_importances_)
    assert back.best_iteration_ == model.best_iteration_
    assert back.best_score_ == model.best_score_


@pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")  # since 4.7; 4.6 has no other
def test_an_estimator_that_stopped_early_predicts_with_the_best_iteration(tmp_path: Path) -> None:
    noise = RANDOM.normal(size=300)
    model = lgb.LGBMRegressor(**FIT | {"n_estimators": 30, "learning_rate": 0.5}, importance_type="gain").fit(
        X[TRAIN], noise[TRAIN], eval_set=[(X[VALID], noise[VALID])], callbacks=[lgb.early_stopping(5, verbose=False)]
    )
    assert 0 < model.best_iteration_ < 30
    back = there_and_back(LightGBMSklearnCodec(), model, tmp_path)
    assert isinstance(back, LightGBMRegressorPredictor)
    assert_predicts_alike(model, back, X)


def test_a_dtype_by_its_name_is_corrupt_since_numpy_divides_units_of_time(tmp_path: Path) -> None:
    codec = LightGBMSklearnCodec()
    options = codec.encode(lgb.LGBMRegressor(**FIT).fit(X, Y), tmp_path, "model")
    path = tmp_path / "model.json"
    settings = json.loads(path.read_bytes())
    settings["feature_importances"]["dtype"] = "timedelta64[7D/3]"
    path.write_bytes(json.dumps(settings).encode())
    with pytest.raises(Corrupt, match="importances are not numbers"):
        codec.decode(tmp_path, "model", options)


def test_a_ranker_predicts_the_same(tmp_path: Path) -> None:
    model = lgb.LGBMRanker(**FIT).fit(X, np.digitize(Y, [0]), group=[100, 200])
    back = there_and_back(LightGBMSklearnCodec(), model, tmp_path)
    assert isinstance(back, LightGBMRankerPredictor)
    assert_predicts_alike(model, back, X)


@pytest.mark.filterwarnings("ignore:Cannot compute class probabilities:UserWarning")  # LightGBM's; the score is meant
def test_a_function_as_objective_means_raw_scores_as_before(tmp_path: Path) -> None:
    model = lgb.LGBMClassifier(**FIT, objective=logistic).fit(X, (Y > 0).astype(int))
    back = there_and_back(LightGBMSklearnCodec(), model, tmp_path)
    assert back.objective_ is None
    assert np.array_equal(model.predict(X), back.predict(X))
    assert np.array_equal(model.predict_proba(X), back.predict_proba(X))


def test_every_shape_of_input_is_taken_as_before(tmp_path: Path) -> None:
    model = lgb.LGBMClassifier(**FIT).fit(FRAME, DIRECTION)
    back = there_and_back(LightGBMSklearnCodec(), model, tmp_path)
    assert_predicts_alike(model, back, FRAME)
    plain = lgb.LGBMRegressor(**FIT).fit(np.nan_to_num(X), Y)
    back = there_and_back(LightGBMSklearnCodec(), plain, tmp_path)
    inputs: list[Any] = [
        X.astype(np.float32),
        X[:7].tolist(),
        tuple(map(tuple, X[:7].tolist())),
        sparse.csr_matrix(np.nan_to_num(X)),
        pd.DataFrame(X, columns=plain.feature_name_),
        np.round(np.nan_to_num(X)).astype(int),
    ]
    for data in inputs:
        assert np.array_equal(plain.predict(data), back.predict(data)), type(data)


def test_a_polars_frame_is_taken_as_before(tmp_path: Path) -> None:
    frame = pl.DataFrame({f"f{place}": np.nan_to_num(X[:, place]) for place in range(5)})
    model = lgb.LGBMRegressor(**FIT).fit(frame.to_pandas(), Y)
    back = there_and_back(LightGBMSklearnCodec(), model, tmp_path)
    assert np.array_equal(model.predict(frame), back.predict(frame))


def test_labels_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    model = lgb.LGBMClassifier(**FIT).fit(X, np.where(Y > 0, np.datetime64("2020"), np.datetime64("2021")))
    with pytest.raises(NotEncodable, match="labels"):
        LightGBMSklearnCodec().encode(model, tmp_path, "model")


def test_parameters_that_are_no_values_are_named(tmp_path: Path) -> None:
    model = lgb.LGBMRegressor(**FIT | {"random_state": np.random.RandomState(1)}).fit(X, Y)
    back = there_and_back(LightGBMSklearnCodec(), model, tmp_path)
    assert back.params_omitted == ("random_state",)
    assert back.params["n_estimators"] == 6
    assert np.array_equal(model.predict(X), back.predict(X))


def test_the_predictor_needs_no_scikit_learn_attribute_of_ours(tmp_path: Path) -> None:
    back = there_and_back(LightGBMSklearnCodec(), lgb.LGBMRegressor(**FIT).fit(X, Y), tmp_path)
    assert repr(back) == "LightGBMRegressorPredictor(objective='regression', n_features=5)"
    assert not hasattr(back, "fit")
