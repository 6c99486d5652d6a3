"""CatBoost's models come back of the same class, with the same parameters, and predict the same bits.

CatBoost is too large to be installed for everybody who works on this; where it is not, nothing of this runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from artifact_store import ArtifactStore, Example, FeatureSchema, LoadPolicy, errors
from artifact_store.codecs.catboost.model import CatBoostCodec
from artifact_store.errors import Corrupt, NotEncodable
from tests.cases import each

catboost = pytest.importorskip("catboost")

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(300, 4))
Y = X[:, 0] - X[:, 1] * X[:, 2]
LABELS = np.where(Y > 0, "up", "down")
TABLE = pd.DataFrame(X, columns=list("abcd")).assign(side=LABELS)
QUICK: dict[str, Any] = {"iterations": 12, "depth": 3, "verbose": 0, "thread_count": 1, "random_seed": 3}
FIT = QUICK | {"allow_writing_files": False}
NOISE = RANDOM.normal(size=300)

MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "classifier": lambda: (catboost.CatBoostClassifier(**FIT).fit(X, LABELS), X),
    "three classes": lambda: (catboost.CatBoostClassifier(**FIT).fit(X, np.digitize(Y, [-0.5, 0.5])), X),
    "regressor": lambda: (catboost.CatBoostRegressor(**FIT).fit(X, Y), X),
    "early stopping": lambda: (
        catboost.CatBoostRegressor(**FIT | {"iterations": 60}, learning_rate=0.9, early_stopping_rounds=3).fit(
            X[:200], NOISE[:200], eval_set=(X[200:], NOISE[200:])
        ),
        X,
    ),
    "categories": lambda: (catboost.CatBoostRegressor(**FIT, cat_features=["side"]).fit(TABLE, Y), TABLE),
    "ranker": lambda: (catboost.CatBoostRanker(**FIT).fit(X, Y, group_id=np.repeat(range(30), 10)), X),
    "weights of classes": lambda: (
        catboost.CatBoostClassifier(**FIT, class_weights=np.array([1.0, 2.0])).fit(X, LABELS),
        X,
    ),
    "plain": lambda: (catboost.CatBoost(FIT).fit(X, Y), X),
    "several targets": lambda: (catboost.CatBoostRegressor(**FIT, loss_function="MultiRMSE").fit(X, np.c_[Y, -Y]), X),
}


def there_and_back(model: Any, directory: Path) -> Any:
    codec = CatBoostCodec()
    return codec.decode(directory, "model", codec.encode(model, directory, "model"))


def test_every_kind_comes_back_the_same(tmp_path: Path) -> None:
    for case in each(MODELS):
        with case as kind:
            model, rows = MODELS[kind]()
            folder = tmp_path / kind
            folder.mkdir()
            back = there_and_back(model, folder)
            assert type(back) is type(model)
            for ask in ("predict", "predict_proba", "predict_log_proba"):
                if hasattr(model, ask):
                    one, other = getattr(model, ask)(rows), getattr(back, ask)(rows)
                    assert np.array_equal(one, other)
                    assert one.dtype == other.dtype
            assert repr(sorted(back.get_params().items())) == repr(sorted(model.get_params().items()))
            for name in (
                *("feature_names_", "classes_", "best_iteration_", "tree_count_", "random_seed_", "learning_rate_"),
                *("n_features_in_", "feature_importances_", "best_score_"),
            ):
                assert np.array_equal(np.array(getattr(back, name, 0)), np.array(getattr(model, name, 0))), name


@pytest.mark.filterwarnings("ignore:Failed to import numba:UserWarning", "ignore:Can't optimi.e method:UserWarning")
def test_what_does_not_come_back_is_refused_by_name_and_the_way_out_works(tmp_path: Path) -> None:
    class Squares:
        def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> Any:
            return [(target - approx, -1.0) for approx, target in zip(approxes, targets, strict=True)]

    model = catboost.CatBoostRegressor(**FIT, loss_function=Squares(), eval_metric="RMSE").fit(X, Y)
    with pytest.raises(NotEncodable, match="'loss_function' of this CatBoostRegressor"):
        there_and_back(model, tmp_path)
    model.save_model(str(tmp_path / "bare.cbm"))
    bare = catboost.CatBoostRegressor().load_model(str(tmp_path / "bare.cbm"))
    assert np.array_equal(there_and_back(bare, tmp_path).predict(X), model.predict(X))
    model = catboost.CatBoostRegressor(**FIT).fit(X, Y)
    model.trained_by = "me"
    with pytest.raises(NotEncodable, match="'trained_by'"):
        there_and_back(model, tmp_path)
    with pytest.raises(NotEncodable, match="not fitted"):
        there_and_back(catboost.CatBoostRegressor(), tmp_path)


def test_a_changed_file_never_reaches_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = CatBoostCodec()
    options = codec.encode(MODELS["regressor"]()[0], tmp_path, "model")
    path = tmp_path / "model.cbm"
    whole = path.read_bytes()
    monkeypatch.setattr(catboost.CatBoost, "load_model", lambda *_, **__: pytest.fail("the reader was called"))
    for data in (b"", whole[:-1], whole + b"\0", whole.replace(b"CBM", b"CBN", 1)):
        path.write_bytes(data)
        with pytest.raises(Corrupt, match="not the file that was saved"):
            codec.decode(tmp_path, "model", options)
    path.unlink()
    with pytest.raises(Corrupt, match="missing"):
        codec.decode(tmp_path, "model", options)


def test_a_json_of_another_model_is_corrupt(tmp_path: Path) -> None:
    codec = CatBoostCodec()
    options = codec.encode(MODELS["regressor"]()[0], tmp_path, "model")
    path = tmp_path / "model.json"
    sound = json.loads(path.read_bytes())
    importances: list[Any] = ["many", [[]], [".."], [(1 << 1024) - 1]]
    others = [{"kind": "Pool"}, {"n_features_in": 9}, {"params": {"of_nobody": 1}}]
    for other in (*others, *({"importances": wrong} for wrong in importances)):
        path.write_bytes(json.dumps(sound | other, sort_keys=True, separators=(",", ":")).encode())
        with pytest.raises(Corrupt):
            codec.decode(tmp_path, "model", options)


def test_a_save_is_chosen_validated_and_held_to_its_names() -> None:
    frame = TABLE[list("abcd")]
    model = catboost.CatBoostRegressor(**FIT).fit(frame, Y)
    example = Example(frame[list("dcba")][:5], model.predict(frame[:5]))
    with ArtifactStore("memory://") as store:
        run = store.save(model, "cats/ONE", features=FeatureSchema.from_frame(frame), example=example, validate=True)
        assert run.published.validation.compared
        with pytest.raises(errors.FeatureMismatch):
            store.save(model, "cats/ONE", features=FeatureSchema(list("abce")))
    with ArtifactStore("memory://", policy=LoadPolicy(max_risk="data")) as store:
        run = store.save(model, "cats/ONE")
        with pytest.raises(errors.RiskRefused):
            run.load()
