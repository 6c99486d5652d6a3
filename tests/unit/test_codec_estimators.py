"""Estimators of scikit-learn, and boosters inside of them, come back of the same classes and say the same, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.feature_selection import (
    RFE,
    GenericUnivariateSelect,
    SelectFromModel,
    SelectKBest,
    SelectPercentile,
    f_classif,
    f_regression,
    mutual_info_regression,
)
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, RandomizedSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsRegressor,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from artifact_store import ArtifactStore
from artifact_store.codecs.sklearn.estimators import EstimatorCodec
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import Corrupt, NotEncodable
from tests import format_estimators
from tests.cases import each

RANDOM = np.random.default_rng(9)
X = RANDOM.normal(size=(150, 4))
Y = X[:, 0] - X[:, 1] * X[:, 2]
BOTH = np.c_[Y, -Y]
LABELS = np.where(Y > 0, "up", "down")
HOLES = np.where(RANDOM.random(X.shape) < 0.1, np.nan, X)
TABLE = pd.DataFrame(X, columns=list("abcd")).assign(side=pd.Categorical(RANDOM.choice(["buy", "sell", "hold"], 150)))
QUICK: dict[str, Any] = {"n_estimators": 4, "num_leaves": 5, "verbose": -1, "n_jobs": 1}


def xgboost(kind: str = "Regressor", **more: Any) -> Any:
    xgb = pytest.importorskip("xgboost")
    return getattr(xgb, f"XGB{kind}")(n_estimators=4, max_depth=2, n_jobs=1, **more)


def columns() -> Any:
    scaled = ("scaled", StandardScaler(), ["a", "b"])
    return ColumnTransformer([scaled, ("as it is", "passthrough", ["c"]), ("codes", OneHotEncoder(), ["side"])])


KINDS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "boosting": lambda: (HistGradientBoostingRegressor(max_iter=5).fit(HOLES, Y), HOLES),
    "boosting of classes": lambda: (HistGradientBoostingClassifier(max_iter=4).fit(X, np.digitize(Y, [-1, 1])), X),
    "boosting of categories": lambda: (
        HistGradientBoostingRegressor(max_iter=5, categorical_features="from_dtype").fit(TABLE, Y),
        TABLE,
    ),
    "boosting that stops early": lambda: (HistGradientBoostingRegressor(max_iter=9, early_stopping=True).fit(X, Y), X),
    "boosting with constraints": lambda: (
        HistGradientBoostingRegressor(max_iter=4, monotonic_cst=[1, 0, 0, -1], loss="quantile", quantile=0.9).fit(X, Y),
        X,
    ),
    "a function of numpy": lambda: (
        make_pipeline(FunctionTransformer(np.exp, inverse_func=np.log), FunctionTransformer(np.abs), Ridge()).fit(X, Y),
        X,
    ),
    "neighbours": lambda: (KNeighborsClassifier().fit(X, LABELS), X),
    "neighbours by balls": lambda: (
        KNeighborsRegressor(algorithm="ball_tree", metric="manhattan", weights="distance").fit(X, BOTH),
        X,
    ),
    "neighbours by force": lambda: (KNeighborsClassifier(algorithm="brute").fit(X, LABELS), X),
    "neighbours within": lambda: (RadiusNeighborsRegressor(radius=3).fit(X, Y), X),
    "neighbours alone": lambda: (NearestNeighbors().fit(X), X),
    "neighbours of whole numbers": lambda: (KNeighborsClassifier().fit(np.rint(X * 9).astype(int), LABELS), X),
    "neighbours of bits": lambda: (KNeighborsClassifier(metric="jaccard").fit(X > 0, LABELS), X > 0),
    "the best columns": lambda: (SelectKBest(f_regression, k=2).fit(X, Y), X),
    "a share of columns": lambda: (SelectPercentile(mutual_info_regression, percentile=50).fit(X, Y), X),
    "columns by a mode": lambda: (GenericUnivariateSelect(f_classif, mode="k_best", param=2).fit(X, LABELS), X),
    "columns that LightGBM chooses": lambda: (SelectFromModel(lgb.LGBMRegressor(**QUICK)).fit(X, Y), X),
    "columns that LightGBM leaves": lambda: (
        RFE(lgb.LGBMRegressor(**QUICK), n_features_to_select=2).fit(X, Y),
        X,
    ),
    "outliers by neighbours": lambda: (LocalOutlierFactor(novelty=True).fit(X), X + 0.1),
    "a threshold": lambda: (FixedThresholdClassifier(lgb.LGBMClassifier(**QUICK), threshold=0.7).fit(X, LABELS), X),
    "calibrated afterwards": lambda: (
        CalibratedClassifierCV(FrozenEstimator(lgb.LGBMClassifier(**QUICK).fit(X, LABELS))).fit(X, LABELS),
        X,
    ),
    "isotonic": lambda: (IsotonicRegression(out_of_bounds="clip").fit(X[:, 0], Y), X[:, 0]),
    "columns": lambda: (columns().fit(TABLE), TABLE),
    "columns before boosting": lambda: (
        make_pipeline(columns(), HistGradientBoostingClassifier(max_iter=3)).fit(TABLE, LABELS),
        TABLE,
    ),
    "selection in a pipeline": lambda: (
        Pipeline([("best", SelectKBest(f_classif, k=2)), ("model", LogisticRegression())]).fit(X, LABELS),
        X,
    ),
    "LightGBM in a pipeline": lambda: (make_pipeline(StandardScaler(), lgb.LGBMClassifier(**QUICK)).fit(X, LABELS), X),
    "LightGBM for each output": lambda: (MultiOutputRegressor(lgb.LGBMRegressor(**QUICK)).fit(X, BOTH), X),
    "XGBoost in a pipeline": lambda: (make_pipeline(StandardScaler(), xgboost("Classifier")).fit(X, LABELS == "up"), X),
    "XGBoost for each output": lambda: (MultiOutputRegressor(xgboost()).fit(X, BOTH), X),
    "both in a stack": lambda: (
        StackingRegressor([("l", lgb.LGBMRegressor(**QUICK)), ("x", xgboost())], final_estimator=Ridge(), cv=2).fit(
            X, Y
        ),
        X,
    ),
    "a vote": lambda: (
        VotingClassifier([("n", KNeighborsClassifier()), ("l", LogisticRegression())], voting="soft").fit(X, LABELS),
        X,
    ),
    "calibrated": lambda: (CalibratedClassifierCV(KNeighborsClassifier(), method="isotonic", cv=3).fit(X, LABELS), X),
    "calibrated in steps": lambda: (
        CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=3).fit(X, LABELS),
        X,
    ),
    "a target of another scale": lambda: (
        TransformedTargetRegressor(Ridge(), transformer=StandardScaler()).fit(X, Y),
        X,
    ),
    "a forest behind columns": lambda: (
        make_pipeline(columns(), RandomForestRegressor(3, random_state=1)).fit(TABLE, Y),
        TABLE,
    ),
}
ASKED = ("predict", "predict_proba", "transform", "decision_function", "kneighbors", "get_feature_names_out")


def said(model: Any, rows: Any) -> list[Any]:
    found = []
    for ask in ASKED:
        if hasattr(model, ask) and not (ask == "get_feature_names_out" and not hasattr(model, "transform")):
            answer = getattr(model, ask)(*([] if ask.endswith("_out") else [rows]))
            found += [np.asarray(part) for part in (answer if isinstance(answer, tuple) else (answer,))]
    return found


def there_and_back(model: Any, directory: Path) -> Any:
    codec = EstimatorCodec()
    return codec.decode(directory, "model", codec.encode(model, directory, "model"))


pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")


def test_every_kind_comes_back_the_same_and_is_chosen_for_it(tmp_path: Path) -> None:
    registry = CodecRegistry()
    for case in each(KINDS):
        with case as kind:
            model, rows = KINDS[kind]()
            folder = tmp_path / kind
            folder.mkdir()
            back = there_and_back(model, folder)
            assert type(back) is type(model)
            assert set(vars(back)) == set(vars(model))
            assert repr(back.get_params()) == repr(model.get_params())
            answers = said(model, rows)
            assert answers
            for one, other in zip(answers, said(back, rows), strict=True):
                assert one.dtype == other.dtype
                assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
            assert registry.for_object(model).name == "estimators"


def test_boosting_that_asks_a_score_when_to_stop_goes_on_as_it_would_have(tmp_path: Path) -> None:
    model = HistGradientBoostingRegressor(
        max_iter=4, early_stopping=True, scoring="neg_mean_absolute_error", warm_start=True, random_state=2
    ).fit(X, Y)
    back = there_and_back(model, tmp_path)
    assert np.array_equal(back.predict(X), model.predict(X))
    for each_of_both in (model, back):
        each_of_both.set_params(max_iter=8).fit(X, Y)
    assert np.array_equal(back.predict(X), model.predict(X))
    assert np.array_equal(back.validation_score_, model.validation_score_)


def test_equal_estimators_give_equal_bytes_and_can_be_stored_again(tmp_path: Path) -> None:
    for case in each(KINDS):
        with case as kind:
            first, second = tmp_path / kind / "1", tmp_path / kind / "2"
            for folder in (first, second):
                folder.mkdir(parents=True)
            back = there_and_back(KINDS[kind]()[0], first)
            there_and_back(back, second)
            for path in first.iterdir():
                assert (second / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_skops_and_arrays_hold_stays_with_them() -> None:
    registry = CodecRegistry()
    scaled = make_pipeline(StandardScaler()).fit(X)
    assert registry.for_object(scaled).name == "sklearn"
    assert registry.for_object(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, LABELS)).name == "skops"
    assert registry.for_object(lgb.LGBMRegressor(**QUICK).fit(X, Y)).name == "lightgbm-sklearn"


def test_of_a_search_the_best_estimator_is_stored_and_that_is_told() -> None:
    searches = [
        GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [0.1, 9]}, cv=2),
        RandomizedSearchCV(KNeighborsRegressor(), {"n_neighbors": [2, 5]}, n_iter=2, cv=2, random_state=1),
        GridSearchCV(lgb.LGBMRegressor(**QUICK), {"num_leaves": [3, 5]}, cv=2),
    ]
    with ArtifactStore("memory://") as store:
        for case in each(searches):
            with case as search:
                search.fit(X, Y)
                with pytest.warns(UserWarning, match="its best estimator is stored, and comes back alone"):
                    run = store.save(search, "searches/ONE")
                back = run.load()
                assert type(back) is type(search.best_estimator_)
                assert np.array_equal(back.predict(X), search.predict(X))
        with pytest.raises(NotEncodable, match="no best estimator"):
            store.save(GridSearchCV(Ridge(), {"alpha": [1]}), "searches/ONE")


def own_scores(rows: Any, target: Any) -> Any:
    return f_regression(rows, target)


def no_score(*_: Any) -> float:
    return 0.5


def test_what_does_not_come_back_is_refused_with_its_place(tmp_path: Path) -> None:
    class Own(Ridge):
        pass

    refused: list[tuple[Any, str]] = [
        (FunctionTransformer(lambda rows: rows).fit(X), r"\.func is a lambda.* no code is stored.*np\.log1p.*def"),
        (FunctionTransformer(own_scores).fit(X), r"\.func is the function own_scores, and no code is stored"),
        (FunctionTransformer(partial(np.clip, a_min=0)), r"\.func is a function with arguments, and no code"),
        (FunctionTransformer(np.frompyfunc(abs, 1, 1)), r"\.func is the function abs .vectorized."),
        (FunctionTransformer(np.add), r"\.func is the function add, and no code"),
        (
            make_pipeline(SelectKBest(own_scores, k=2), Ridge()).fit(X, Y),
            r"score_func",
        ),
        (make_pipeline(SelectKBest(f_regression, k=2), Own()).fit(X, Y), r"steps\[1\]\[1\] is a .*Own"),
        (make_pipeline(SelectKBest(f_regression, k=2), SVC()).fit(X, Y > 0), r"steps\[1\]\[1\] is a .*SVC"),
        (KNeighborsRegressor(n_jobs=5000).fit(X, Y), "n_jobs"),
        (HistGradientBoostingRegressor(max_iter=3, early_stopping=True, scoring=no_score).fit(X, Y), "_scorer"),
        (KNeighborsRegressor(metric=lambda one, other: abs(one - other).sum()).fit(X, Y), "metric"),
    ]
    for case in each(refused):
        with case as (model, where):
            with pytest.raises(NotEncodable, match=where):
                EstimatorCodec().encode(model, tmp_path, "model")
            assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- damage


Change = Callable[[dict[str, Any], dict[str, Any]], None]


def changed(folder: Path, model: Any, change: Change) -> None:
    """Encode, and change the JSON and the arrays beside it."""
    codec = EstimatorCodec()
    codec.encode(model, folder, "model")
    settings = json.loads((folder / "model.json").read_bytes())
    with np.load(folder / "model.npz") as held:
        arrays = dict(held)
    change(settings, arrays)
    (folder / "model.json").write_bytes(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())
    np.savez(folder / "model.npz", **arrays)


def node(column: str, value: int) -> Change:
    def change(_: dict[str, Any], arrays: dict[str, Any]) -> None:
        (nodes,) = (array for array in arrays.values() if array.dtype.names and column in array.dtype.names)
        nodes[column][0] = value

    return change


def labels(_: dict[str, Any], arrays: dict[str, Any]) -> None:
    (own,) = (array for array in arrays.values() if array.dtype == np.int64 and array.shape == (150,))
    own[0] = 7


def said_of(kind: str, attribute: str, value: Any) -> Change:
    def change(settings: dict[str, Any], _: dict[str, Any]) -> None:
        record = next(each for each in settings["objects"] if kind in each.get("of", ""))
        record["state"][attribute] = value

    return change


def depth(value: int) -> Change:
    def change(settings: dict[str, Any], _: dict[str, Any]) -> None:
        (record,) = (each for each in settings["objects"] if "tree" in each)
        next(pair for pair in record["state"]["dict"] if pair[0] == "max_depth")[1] = value

    return change


def twister(place: int) -> dict[str, Any]:
    key = {"tuple": [{"number": {"dtype": "uint32", "shape": [], "values": each}} for each in range(624)]}
    return {"random_state": {"list": ["MT19937", key, place, 0, 0.0]}}


def columns_of(change: Callable[[list[Any]], Any]) -> Change:
    def inner(settings: dict[str, Any], _: dict[str, Any]) -> None:
        record = next(each for each in settings["objects"] if "ColumnTransformer" in each.get("of", ""))
        change(record["state"]["transformers_"]["list"])

    return inner


def type_of(kind: str) -> Change:
    return lambda settings, _: settings["objects"][-1].update(of=kind)


DAMAGE: dict[str, tuple[str, Change]] = {
    "a child beyond": ("boosting", node("left", 1 << 20)),
    "a way back": ("boosting", node("right", 0)),
    "a feature beyond": ("boosting", node("feature_idx", 9)),
    "a feature before": ("boosting", node("feature_idx", -1)),
    "a set of categories that is not there": ("boosting", node("is_categorical", 1)),
    "other features": ("boosting", said_of("Regressor", "n_features_in_", 2)),
    "a label of no class": ("neighbours", labels),
    "fewer classes": ("neighbours by force", said_of("Neighbors", "classes_", {"objects": ["up"], "shape": [1]})),
    "a metric of another kind": ("neighbours", said_of("Neighbors", "effective_metric_", 3)),
    "many threads": ("neighbours", said_of("Neighbors", "n_jobs", 1 << 20)),
    "another type": ("boosting", type_of("subprocess.Popen")),
    "a type of scikit-learn": ("boosting", type_of("sklearn.datasets._base.load_files")),
    "a function": ("the best columns", said_of("Select", "score_func", {"function": "os.system"})),
    "a loss": ("boosting", said_of("HistGradient", "_loss", {"loss": "builtins.eval", "of": ["1"]})),
    "a name of a type": ("boosting", said_of("HistGradient", "loss", {"type": "builtins.eval"})),
    "an object of later": ("boosting", said_of("HistGradient", "loss", {"object": 99})),
    "a form of nothing": ("boosting", said_of("HistGradient", "loss", {"new": 1})),
    "an array that is not there": ("boosting", said_of("HistGradient", "loss", {"array": "a99"})),
    "a node of a tree beyond": ("a forest behind columns", node("left_child", 1 << 20)),
    "a feature of a tree beyond": ("a forest behind columns", node("feature", 99)),
    "a tree deeper than it says": ("a forest behind columns", depth(0)),
    "a tree of any depth": ("a forest behind columns", depth(1 << 20)),
    "a way to a node twice": ("a forest behind columns", node("left_child", 2)),
    "a name of a method": ("a forest behind columns", said_of("RandomForest", "get_params", {"type": "builtins.int"})),
    "a name of a method that depends": ("columns that LightGBM leaves", said_of("RFE", "predict", {"type": "builtins.int"})),
    "threads in words": ("neighbours", said_of("Neighbors", "n_jobs", "2")),
    "a threshold as threads": ("neighbours", said_of("Neighbors", "n_jobs", {"number": {"dtype": "float64", "shape": [], "values": 2}})),
    "classes of several labels": ("neighbours by force", said_of("Neighbors", "classes_", {"list": [{"objects": ["up", "down"], "shape": [2]}]})),
    "classes of letters": ("neighbours by force", said_of("Neighbors", "classes_", "up down")),
    "a place beyond a random state": ("a forest behind columns", said_of("RandomForest", "random_state", twister(1 << 40))),
    "a place before a random state": ("a forest behind columns", said_of("RandomForest", "random_state", twister(-(1 << 40)))),
    "another preprocessor": ("boosting of categories", said_of("HistGradient", "_preprocessor", {"object": 0})),
    "columns that a preprocessor leaves out": ("boosting of categories", columns_of(lambda steps: steps[1]["tuple"].__setitem__(2, steps[0]["tuple"][2]))),
    "a preprocessor without a step": ("boosting of categories", columns_of(lambda steps: steps.pop(0))),
    "a function of numpy that is on no list": ("a function of numpy", said_of("FunctionTransformer", "func", {"function": "numpy.frombuffer"})),
    "a part of a unit of time": ("boosting", said_of("HistGradient", "loss", {"dtype": "M8[7D/3]"})),
    "another width of a forest": ("a forest behind columns", said_of("RandomForest", "n_features_in_", 2)),
}  # fmt: skip


def test_what_leads_out_of_itself_or_names_another_type_is_corrupt(tmp_path: Path) -> None:
    for case in each(DAMAGE):
        with case as damage:
            kind, change = DAMAGE[damage]
            folder = tmp_path / damage
            folder.mkdir()
            model = KINDS[kind]()[0] if kind != "a forest behind columns" else one_tree()
            changed(folder, model, change)
            with pytest.raises(Corrupt):
                EstimatorCodec().decode(folder, "model", {"scikit_learn": __import__("sklearn").__version__})


def one_tree() -> Any:
    return make_pipeline(columns(), RandomForestRegressor(1, random_state=1)).fit(TABLE, Y)


# ---------------------------------------------------------------- another reader


def test_another_reader_predicts_with_the_trees_of_boosting_alone(tmp_path: Path) -> None:
    """With numpy and the document only: no scikit-learn, and nothing of this library."""
    model, rows = KINDS["boosting"]()
    EstimatorCodec().encode(model, tmp_path, "model")
    settings = json.loads((tmp_path / "model.json").read_bytes())
    state = settings["objects"][settings["root"]["object"]]["state"]
    with np.load(tmp_path / "model.npz") as arrays:
        base = arrays[state["_baseline_prediction"]["array"]]
        trees = {name: arrays[value["array"]] for name, value in state["_predictors"]["predictors"]["dict"]}
    assert (trees["rounds"] == 1).all()
    sums = np.full(len(rows), base.item())
    for nodes in np.split(trees["nodes"], np.cumsum(trees["nodes_counts"])[:-1]):
        sums += [leaf(nodes, row) for row in rows]
    assert np.array_equal(sums, model.predict(rows))


def leaf(nodes: Any, row: Any) -> float:
    node = nodes[0]
    while not node["is_leaf"]:
        value = row[node["feature_idx"]]
        left = node["missing_go_to_left"] if np.isnan(value) else value <= node["num_threshold"]
        node = nodes[node["left" if left else "right"]]
    return float(node["value"])


FROM_THE_PAGE: dict[str, Callable[[], Any]] = {
    "regression with gaps": lambda: (HistGradientBoostingRegressor(max_iter=5).fit(HOLES, Y), HOLES),
    "two classes": lambda: (HistGradientBoostingClassifier(max_iter=5).fit(HOLES, LABELS), HOLES),
    "two columns": lambda: (make_pipeline(SelectKBest(f_regression, k=2), KNeighborsRegressor()).fit(X, Y), X),
}


@pytest.mark.parametrize("kind", FROM_THE_PAGE)
def test_a_reader_made_from_the_format_page_predicts_the_same(tmp_path: Path, kind: str) -> None:
    model, rows = FROM_THE_PAGE[kind]()
    EstimatorCodec().encode(model, tmp_path, "model")
    found, expected = (
        format_estimators.predict(format_estimators.Reader(tmp_path, "model").root, rows),
        model.predict(rows),
    )
    assert np.array_equal(found, expected) if expected.dtype.kind == "U" else np.allclose(found, expected, rtol=1e-13)
