"""XGBoost's models come back as what they were: class, parameters, names, categories, and every bit of a prediction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from artifact_store.codecs.xgboost.booster import MAX_THREADS, XGBoostCodec
from artifact_store.codecs.xgboost.checks import read_model
from artifact_store.errors import Corrupt, NotEncodable
from tests import ubjson
from tests.cases import each

xgb = pytest.importorskip("xgboost")

RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(300, 5))
X[RANDOM.random(X.shape) < 0.05] = np.nan
FULL = np.nan_to_num(X)
Y = FULL[:, 0] - FULL[:, 1] * FULL[:, 2] + RANDOM.normal(size=300) * 0.1
CLASSES = np.digitize(Y, [-0.5, 0.5])
NAMES = ["ret 1", "é", "vol(20)", "d", "e"]
QUICK: dict[str, Any] = {"nthread": 1, "max_depth": 3, "seed": 3, "eta": 0.2, "verbosity": 0}
FIT: dict[str, Any] = {"n_estimators": 6, "n_jobs": 1, "max_depth": 3, "random_state": 5, "verbosity": 0}


def matrix(labels: Any = Y, rows: Any = X, **more: Any) -> Any:
    return xgb.DMatrix(rows, labels, **more)


def train(data: Any = None, rounds: int = 5, **params: Any) -> Any:
    return xgb.train(QUICK | params, matrix() if data is None else data, rounds)


def early_stopped() -> Any:
    noise = RANDOM.normal(size=300)
    return xgb.train(
        QUICK | {"eta": 0.9},
        matrix(noise[:200], X[:200]),
        40,
        evals=[(matrix(noise[200:], X[200:]), "valid")],
        early_stopping_rounds=4,
        verbose_eval=False,
    )


def table() -> pd.DataFrame:
    frame = pd.DataFrame(X, columns=NAMES)
    frame["side"] = pd.Categorical(RANDOM.choice(["buy", "sell", "hold"], 300))
    frame["venue"] = pd.Categorical(RANDOM.integers(0, 4, 300), categories=[3, 2, 1, 0, 9])
    return frame


FRAME = table()


def of_table(**params: Any) -> Any:
    target = FRAME["side"].cat.codes + FRAME["venue"].cat.codes * 0.5
    return train(matrix(target, FRAME, enable_categorical=True), **params)


def intervals() -> Any:
    data = matrix()
    data.set_float_info("label_lower_bound", np.abs(Y) + 0.1)
    data.set_float_info("label_upper_bound", np.abs(Y) + 1.0)
    return data


def ranked() -> Any:
    data = matrix((Y > 0).astype(int))
    data.set_group([100, 200])
    return data


def squared(predicted: Any, data: Any) -> tuple[Any, Any]:
    return predicted - data.get_label(), np.ones_like(predicted)


KINDS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "plain": lambda: (train(), matrix()),
    "names": lambda: (train(matrix(feature_names=NAMES)), matrix(feature_names=NAMES)),
    "types": lambda: (train(matrix(feature_types=["q"] * 5)), matrix(feature_types=["q"] * 5)),
    "early stopping": lambda: (early_stopped(), matrix()),
    "dart": lambda: (train(booster="dart", rate_drop=0.5), matrix()),
    "gblinear": lambda: (train(matrix(rows=FULL), booster="gblinear", updater="coord_descent"), matrix(rows=FULL)),
    "random forest": lambda: (train(num_parallel_tree=4, subsample=0.5, eta=1), matrix()),
    "multiclass": lambda: (train(matrix(CLASSES), objective="multi:softprob", num_class=3), matrix()),
    "labels": lambda: (train(matrix(CLASSES), objective="multi:softmax", num_class=3), matrix()),
    "several targets": lambda: (train(matrix(np.c_[Y, -Y])), matrix()),
    "vector leaves": lambda: (
        train(matrix(np.c_[Y, -Y, Y * Y], FULL), multi_strategy="multi_output_tree"),
        matrix(rows=FULL),
    ),
    "quantiles": lambda: (train(objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9]), matrix()),
    "poisson": lambda: (train(matrix(np.abs(Y)), objective="count:poisson"), matrix()),
    "tweedie": lambda: (train(matrix(np.abs(Y)), objective="reg:tweedie"), matrix()),
    "survival": lambda: (train(intervals(), objective="survival:aft"), matrix()),
    "ranking": lambda: (train(ranked(), objective="rank:ndcg"), matrix()),
    "binary": lambda: (train(matrix(Y > 0), objective="binary:logistic", scale_pos_weight=3), matrix()),
    "categories": lambda: (of_table(max_cat_to_onehot=1), matrix(rows=FRAME, enable_categorical=True)),
    "one category against the others": lambda: (of_table(), matrix(rows=FRAME, enable_categorical=True)),
    "leaf by leaf": lambda: (train(grow_policy="lossguide", max_leaves=9), matrix()),
    "monotone": lambda: (train(monotone_constraints=(1, -1, 0, 0, 0)), matrix()),
    "pruned": lambda: (train(tree_method="exact", gamma=5, max_depth=6), matrix()),
    "deleted nodes": lambda: (train(updater="grow_colmaker,prune", gamma=3, max_depth=7), matrix()),
    "one leaf": lambda: (train(max_depth=1, gamma=1e9), matrix()),
    "a function as objective": lambda: (xgb.train(QUICK, matrix(), 4, obj=squared), matrix()),
    "no tree": lambda: (train(rounds=0), matrix()),
    "continued": lambda: (xgb.train(QUICK, matrix(), 3, xgb_model=train()), matrix()),
}


def there_and_back(obj: Any, directory: Path) -> Any:
    codec = XGBoostCodec()
    return codec.decode(directory, "model", codec.encode(obj, directory, "model"))


def test_every_kind_of_booster_comes_back_the_same(tmp_path: Path) -> None:
    for case in each(KINDS):
        with case as kind:
            booster, data = KINDS[kind]()
            folder = tmp_path / kind
            folder.mkdir()
            back = there_and_back(booster, folder)
            hows: list[dict[str, Any]] = [{}, {"output_margin": True}, {"pred_contribs": True}]
            if kind not in {"gblinear", "no tree"}:
                hows += [{"iteration_range": (0, 2)}, {"pred_leaf": True}]
            if kind == "vector leaves":  # which have no contributions
                hows.pop(2)
            for how in hows:
                assert np.array_equal(booster.predict(data, **how), back.predict(data, **how)), how
            assert back.save_raw("ubj") == booster.save_raw("ubj")
            assert back.save_config() == booster.save_config()
            assert back.attributes() == booster.attributes()
            assert (back.feature_names, back.feature_types) == (booster.feature_names, booster.feature_types)
            assert back.num_boosted_rounds() == booster.num_boosted_rounds()


def test_a_booster_that_stopped_early_keeps_its_best_iteration(tmp_path: Path) -> None:
    booster = early_stopped()
    assert booster.best_iteration < booster.num_boosted_rounds() - 1  # or this would prove nothing
    back = there_and_back(booster, tmp_path)
    assert (back.best_iteration, back.best_score) == (booster.best_iteration, booster.best_score)


def test_a_booster_goes_on_learning_as_it_would_have(tmp_path: Path) -> None:
    booster = train(max_depth=2, reg_lambda=7)
    back, again, bare = there_and_back(booster, tmp_path), booster.copy(), xgb.Booster(model_file=booster.save_raw())
    for model in (again, back, bare):
        model.update(matrix(), 5)
    assert back.save_raw("ubj") == again.save_raw("ubj")
    assert bare.save_raw("ubj") != again.save_raw("ubj")  # what XGBoost's file alone would give


def test_the_inputs_and_categories_of_a_table_are_known(tmp_path: Path) -> None:
    codec, back = XGBoostCodec(), there_and_back(of_table(), tmp_path)
    assert codec.inputs(back) == (*NAMES, "side", "venue")
    assert list(map(list, codec.categories(back))) == [["buy", "hold", "sell"], [3, 2, 1, 0, 9]]
    assert codec.inputs(train()) == tuple(f"Column_{place}" for place in range(5))
    assert not codec.categories(train())


def test_categories_of_which_xgboost_loses_letters_are_told_of(tmp_path: Path) -> None:
    rows = pd.DataFrame({"side": pd.Categorical(RANDOM.choice(["ä", "o"], 300)), "a": Y})
    booster = train(matrix(Y, rows, enable_categorical=True))
    back = there_and_back(booster, tmp_path)
    with pytest.raises(NotEncodable, match=r"rename_categories"):
        XGBoostCodec().categories(back)


# ---------------------------------------------------------------- estimators

BINARY = (Y > 0).astype(int)
ESTIMATORS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "classifier": lambda: (xgb.XGBClassifier(**FIT).fit(X, CLASSES), X),
    "binary": lambda: (xgb.XGBClassifier(**FIT, scale_pos_weight=2.0).fit(X, BINARY), X),
    "several labels": lambda: (xgb.XGBClassifier(**FIT).fit(X, np.c_[BINARY, 1 - BINARY]), X),
    "regressor": lambda: (xgb.XGBRegressor(**FIT, missing=-1.0, monotone_constraints=(1, 0, 0, 0, 0)).fit(X, Y), X),
    "numbers of numpy": lambda: (
        xgb.XGBRegressor(**FIT | {"max_depth": np.int64(2)}, gamma=np.float64(0.1)).fit(X, Y),
        X,
    ),
    "constraints": lambda: (xgb.XGBRegressor(**FIT, interaction_constraints="[[0, 1], [2, 3, 4]]").fit(X, Y), X),
    "table": lambda: (xgb.XGBRegressor(**FIT, enable_categorical=True).fit(FRAME, Y), FRAME),
    "ranker": lambda: (xgb.XGBRanker(**FIT).fit(X, BINARY, qid=np.r_[[0] * 100, [1] * 200]), X),
    "forest": lambda: (xgb.XGBRFRegressor(**FIT).fit(X, Y), X),
    "forest of classes": lambda: (xgb.XGBRFClassifier(**FIT).fit(X, BINARY), X),
    "dart": lambda: (xgb.XGBRegressor(**FIT, booster="dart", rate_drop=0.5).fit(X, Y), X),
    "arrays and text of numpy": lambda: (
        xgb.XGBRegressor(**FIT, quantile_alpha=np.array([0.1, 0.9]), objective=np.str_("reg:quantileerror")).fit(X, Y),
        X,
    ),
    "weights of features": lambda: (xgb.XGBRegressor(**FIT, feature_weights=np.arange(5.0) + 1).fit(X, Y), X),
    "further parameters": lambda: (xgb.XGBRegressor(**FIT, max_cached_hist_node=100).fit(X, Y), X),
    "early stopping": lambda: (
        xgb.XGBClassifier(**FIT | {"n_estimators": 40}, learning_rate=0.9, early_stopping_rounds=3).fit(
            X[:200], BINARY[:200], eval_set=[(X[200:], BINARY[199::-1][:100])], verbose=False
        ),
        X,
    ),
}


def test_every_estimator_comes_back_the_same(tmp_path: Path) -> None:
    for case in each(ESTIMATORS):
        with case as kind:
            model, rows = ESTIMATORS[kind]()
            folder = tmp_path / kind
            folder.mkdir()
            back = there_and_back(model, folder)
            assert type(back) is type(model)
            for ask in ("predict", "predict_proba", "apply"):
                if hasattr(model, ask):
                    one, other = getattr(model, ask)(rows), getattr(back, ask)(rows)
                    assert np.array_equal(one, other), ask
                    assert one.dtype == other.dtype
            assert repr(back.get_params()) == repr(model.get_params())
            for name in ("feature_names_in_", "classes_", "n_classes_", "best_iteration", "best_score"):
                assert repr(getattr(back, name, None)) == repr(getattr(model, name, None)), name
            assert repr(getattr(back, "evals_result_", None)) == repr(getattr(model, "evals_result_", None))
            assert back.n_features_in_ == model.n_features_in_
            assert np.array_equal(back.feature_importances_, model.feature_importances_)


def test_what_does_not_come_back_is_refused_by_name_and_the_way_out_works(tmp_path: Path) -> None:
    def squares(truth: Any, predicted: Any) -> tuple[Any, Any]:
        return predicted - truth, np.ones_like(predicted)

    model = xgb.XGBRegressor(**FIT, objective=squares).fit(X, Y)
    with pytest.raises(NotEncodable, match="the objective of this XGBRegressor is a function"):
        there_and_back(model, tmp_path)
    back = there_and_back(model.get_booster(), tmp_path)
    assert np.array_equal(back.predict(matrix(), output_margin=True), model.predict(X, output_margin=True))

    model = xgb.XGBRegressor(**FIT | {"random_state": np.random.RandomState(1)}).fit(X, Y)
    with pytest.raises(NotEncodable, match="'random_state' of this XGBRegressor is no plain value"):
        there_and_back(model, tmp_path)
    predicted = model.predict(X)
    assert np.array_equal(there_and_back(model.set_params(random_state=None), tmp_path).predict(X), predicted)

    model = xgb.XGBRegressor(**FIT).fit(X, Y)
    model.trained_by = "me"
    with pytest.raises(NotEncodable, match="'trained_by'"):
        there_and_back(model, tmp_path)
    del model.trained_by
    there_and_back(model, tmp_path)

    booster = train()
    booster.trained_by = "me"
    with pytest.raises(NotEncodable, match="set_attr"):
        there_and_back(booster, tmp_path)
    del booster.trained_by
    booster.set_attr(trained_by="me")
    assert there_and_back(booster, tmp_path).attr("trained_by") == "me"


def test_what_is_not_fitted_a_subclass_and_too_many_threads_are_refused(tmp_path: Path) -> None:
    class Own(xgb.XGBRegressor):
        pass

    with pytest.raises(NotEncodable, match="not fitted"):
        there_and_back(xgb.XGBRegressor(), tmp_path)
    with pytest.raises(NotEncodable, match="Own"):
        there_and_back(Own(**FIT).fit(X, Y), tmp_path)
    unknown = xgb.XGBClassifier(**FIT)
    unknown._Booster = train(matrix(BINARY), objective="binary:logistic")
    with pytest.raises(NotEncodable, match=r"n_classes_.*save the booster"):
        there_and_back(unknown, tmp_path)
    with pytest.raises(NotEncodable, match=f"beyond {MAX_THREADS}"):
        there_and_back(xgb.XGBRegressor(**FIT).fit(X, Y).set_params(n_jobs=MAX_THREADS + 1), tmp_path)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- damage


Change = Callable[[dict[str, Any]], object]


def first_tree(model: dict[str, Any]) -> dict[str, Any]:
    booster = model["learner"]["gradient_booster"]
    tree: dict[str, Any] = booster.get("gbtree", booster)["model"]["trees"][0]
    return tree


def first_deleted(model: dict[str, Any]) -> int:
    return int(np.flatnonzero(first_tree(model)["split_indices"] == (1 << 31) - 1)[0])


def in_tree(column: str, place: int, value: float) -> Change:
    return lambda model: first_tree(model)[column].__setitem__(place, value)


def without_nodes(place: int) -> Change:
    def change(model: dict[str, Any]) -> None:
        tree = model["learner"]["gradient_booster"]["model"]["trees"][place]
        tree.update({name: column[:0] for name, column in tree.items() if isinstance(column, np.ndarray)})
        tree["tree_param"]["num_nodes"] = "0"

    return change


def longer(column: str) -> Change:
    return lambda model: first_tree(model).update({column: np.repeat(first_tree(model)[column], 2)})


def said(*path: str, to: Any) -> Change:
    def change(model: dict[str, Any]) -> None:
        part = model
        for name in path[:-1]:
            part = part[name]
        part[path[-1]] = to

    return change


MODEL = ("learner", "gradient_booster", "model")
NUMBERS = ("learner", "learner_model_param")
DAMAGE: dict[str, tuple[str, Change]] = {
    "a child beyond the nodes": ("plain", in_tree("left_children", 0, 99)),
    "a child before the nodes": ("plain", in_tree("right_children", 0, -2)),
    "a way back to the root": ("plain", in_tree("left_children", 1, 0)),
    "two ways to a node": ("plain", in_tree("left_children", 1, 2)),
    "another parent": ("plain", in_tree("parents", 1, 2)),
    "a parent beyond the nodes": ("plain", in_tree("parents", 1, 1 << 30)),
    "a root with a parent": ("plain", in_tree("parents", 0, 1)),
    "a leaf that is deleted": ("plain", in_tree("split_indices", -1, (1 << 31) - 1)),
    "a deleted node that is reached": (
        "deleted nodes",
        lambda model: in_tree("split_indices", first_deleted(model), 0)(model),
    ),
    "a deleted node that leads on": (
        "deleted nodes",
        lambda model: in_tree("left_children", first_deleted(model), 0)(model),
    ),
    "a deleted node after its parent": (
        "deleted nodes",
        lambda model: in_tree("parents", first_deleted(model), first_deleted(model))(model),
    ),
    "fewer deleted nodes": ("deleted nodes", lambda model: first_tree(model)["tree_param"].update(num_deleted="0")),
    "a tree with the id of another": ("plain", lambda model: first_tree(model).update(id=(b"i", 2))),
    "half a leaf": ("plain", in_tree("right_children", 0, -1)),
    "a feature beyond": ("plain", in_tree("split_indices", 0, 5)),
    "a feature before": ("plain", in_tree("split_indices", 0, -1)),
    "a kind of split": ("plain", in_tree("split_type", 0, 2)),
    "a split by no category": ("plain", in_tree("split_type", 0, 1)),
    **{
        f"more {column}": ("plain", longer(column))
        for column in ("left_children", "split_type", "sum_hessian", "parents")
    },
    "more weights": ("plain", longer("base_weights")),
    "no nodes": ("plain", without_nodes(2)),
    "no nodes at the end": ("plain", without_nodes(-1)),
    "more sets of categories": ("categories", longer("categories_nodes")),
    "a set of categories elsewhere": ("categories", in_tree("categories_segments", 0, 99)),
    "a set of categories before": ("categories", in_tree("categories_segments", 0, -1)),
    "a large set of categories": ("categories", in_tree("categories_sizes", 0, 1 << 40)),
    "an empty set of categories": ("categories", in_tree("categories_sizes", 0, 0)),
    "a negative category": ("categories", in_tree("categories", 0, -1)),
    "a category like no other": ("categories", in_tree("categories", 0, 1 << 30)),
    "categories of another node": ("categories", in_tree("categories_nodes", 0, 1)),
    "a leaf elsewhere": ("vector leaves", in_tree("right_children", -1, 99)),
    "more leaves": ("vector leaves", longer("leaf_weights")),
    "other nodes": ("plain", lambda model: first_tree(model)["tree_param"].update(num_nodes="3")),
    "other features in a tree": ("plain", lambda model: first_tree(model)["tree_param"].update(num_feature="6")),
    "wider leaves": ("plain", lambda model: first_tree(model)["tree_param"].update(size_leaf_vector="2")),
    "no number of nodes": ("plain", lambda model: first_tree(model)["tree_param"].update(num_nodes="a")),
    "fewer trees": ("plain", lambda model: model["learner"]["gradient_booster"]["model"]["trees"].pop()),
    "more trees than there are": ("plain", said(*MODEL, "gbtree_model_param", "num_trees", to="9")),
    "no parallel tree": ("plain", said(*MODEL, "gbtree_model_param", "num_parallel_tree", to="0")),
    "a tree of another class": ("multiclass", said(*MODEL, "tree_info", to=[(b"i", 3)] * 15)),
    "a tree of no class": ("plain", said(*MODEL, "tree_info", to=[(b"i", -1)] * 5)),
    "rounds beyond the trees": ("plain", said(*MODEL, "iteration_indptr", to=[(b"i", 0), (b"i", 99)])),
    "rounds backwards": ("plain", said(*MODEL, "iteration_indptr", to=[(b"i", 0), (b"i", 7), (b"i", 5)])),
    "fewer features": ("plain", said(*NUMBERS, "num_feature", to="1")),
    "no features": ("plain", said(*NUMBERS, "num_feature", to="0")),
    "many classes": ("plain", said(*NUMBERS, "num_class", to="2000000000")),
    "no targets": ("plain", said(*NUMBERS, "num_target", to="0")),
    "other classes in the objective": (
        "multiclass",
        said("learner", "objective", "softmax_multiclass_param", to={"num_class": "0"}),
    ),
    "an objective of nothing": ("multiclass", said("learner", "objective", to={"name": "multi:harmless"})),
    "base scores of other classes": ("plain", said(*NUMBERS, "base_score", to="[1,2,3]")),
    "a base score of words": ("plain", said(*NUMBERS, "base_score", to="much")),
    "other names": ("names", said("learner", "feature_names", to=["a"])),
    "an unknown type": ("types", said("learner", "feature_types", to=["x"] * 5)),
    "another booster": ("plain", said("learner", "gradient_booster", "name", to="gbforest")),
    "fewer weights of trees": (
        "dart",
        said("learner", "gradient_booster", "weight_drop", to=[(b"d", 1.0)]),
    ),
    "fewer weights of features": ("gblinear", said(*MODEL, "weights", to=np.ones(2, ">f4"))),
    "a part that is not known": ("plain", said("learner", "more", to={})),
    "categories in no order": ("categories", said(*MODEL, "cats", "sorted_idx", to=np.full(8, 7, ">i4"))),
    "categories elsewhere": ("categories", said(*MODEL, "cats", "feature_segments", to=np.full(8, 7, ">i4"))),
    "fewer lists of categories": (
        "categories",
        lambda model: model["learner"]["gradient_booster"]["model"]["cats"]["enc"].pop(),
    ),
}


def test_our_own_reader_knows_all_that_is_in_a_file() -> None:
    for case in each(KINDS):
        with case as kind:
            raw = bytes(KINDS[kind]()[0].save_raw("ubj"))
            assert ubjson.written(ubjson.read(raw)) == raw
            read_model(raw, np, what="it")


def test_a_model_that_leads_out_of_itself_is_corrupt() -> None:
    """Harmless whoever reads them: XGBoost refuses the name of the objective before it looks at a tree."""
    raw = {}
    for kind in {kind for kind, _ in DAMAGE.values()}:
        model = ubjson.read(bytes(KINDS[kind]()[0].save_raw("ubj")))
        model["learner"]["objective"]["name"] = "none:harmless"
        raw[kind] = ubjson.written(model)
        read_model(raw[kind], np, what="model.ubj")  # which does not mind
        with pytest.raises(xgb.core.XGBoostError, match="none:harmless"):
            xgb.Booster(model_file=bytearray(raw[kind]))
    for case in each(DAMAGE):
        with case as damage:
            kind, change = DAMAGE[damage]
            model = ubjson.read(raw[kind])
            change(model)
            assert model["learner"]["objective"]["name"].endswith(":harmless")
            data = ubjson.written(model)
            assert data != raw[kind]
            with pytest.raises(Corrupt, match="is not a model that XGBoost writes"):
                read_model(data, np, what="model.ubj")


def test_a_damaged_file_is_corrupt_before_xgboost_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = XGBoostCodec()
    options = codec.encode(train(), tmp_path, "model")
    raw = (tmp_path / "model.ubj").read_bytes()
    monkeypatch.setattr(xgb, "Booster", lambda **_: pytest.fail("XGBoost was asked"))
    for data in (b"", b"{", raw[:-1], raw + b" ", b"{}", json.dumps({"learner": {}, "version": [3, 2, 0]}).encode()):
        (tmp_path / "model.ubj").write_bytes(data)
        with pytest.raises(Corrupt):
            codec.decode(tmp_path, "model", options)


def test_a_configuration_of_another_model_is_corrupt(tmp_path: Path) -> None:
    codec = XGBoostCodec()
    options = codec.encode(train(), tmp_path, "model")
    path = tmp_path / "model.json"
    sound = json.loads(path.read_bytes())

    def learner(**more: Any) -> dict[str, Any]:
        return {"learner": {**sound["config"]["learner"], **more}, "version": [3, 2, 0]}

    generic = sound["config"]["learner"]["generic_param"]
    configs = {
        "another booster": learner(gradient_booster={"name": "gblinear"}),
        "a number": learner(metrics=[{"name": 3}]),
        "many threads": learner(generic_param={**generic, "nthread": "1000000"}),
        "words": learner(generic_param={**generic, "nthread": "many"}),
        "nothing": {},
        "another part": learner(own={}),
    }
    for case in each(configs):
        with case as kind:
            path.write_bytes(
                json.dumps(sound | {"config": configs[kind]}, sort_keys=True, separators=(",", ":")).encode()
            )
            with pytest.raises(Corrupt):
                codec.decode(tmp_path, "model", options)


def test_the_numbers_of_the_model_count_whatever_its_configuration_says(tmp_path: Path) -> None:
    codec, booster = XGBoostCodec(), train()
    options = codec.encode(booster, tmp_path, "model")
    path = tmp_path / "model.json"
    settings = json.loads(path.read_bytes())
    settings["config"]["learner"]["learner_model_param"]["base_score"] = "[9E0]"
    path.write_bytes(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())
    assert np.array_equal(codec.decode(tmp_path, "model", options).predict(matrix()), booster.predict(matrix()))


def test_another_reader_predicts_with_the_file_alone() -> None:
    for case in each(["plain", "dart", "multiclass", "binary", "several targets", "random forest", "deleted nodes"]):
        with case as kind:
            booster, data = KINDS[kind]()
            expected = booster.predict(data, output_margin=True).reshape(300, -1)
            found = ubjson.margins(ubjson.read(bytes(booster.save_raw("ubj"))), X)
            assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)
