"""Golden predictions of plain saves, under any model type: the predictors that come with the codecs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
import xgboost as xgb
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from artifact_store import ArtifactStore, Example, FeatureSchema, TorchState, errors
from artifact_store.ops.verdict import Verdict
from tests.environments import tiny

pytestmark = [pytest.mark.xdist_group("predictors"), pytest.mark.filterwarnings("ignore:.*vec_env.*:UserWarning")]

NAMES = ["ret_1", "ret_5", "vol_20", "spread"]
CHOSEN = ["vol_20", "ret_1"]
FRAME = pd.DataFrame(np.random.default_rng(3).normal(size=(120, 4)), columns=NAMES)
TARGET = FRAME["ret_1"] - 0.5 * FRAME["vol_20"]
LABELS = np.where(TARGET > 0, "up", "down")
FEW = FRAME[:7]
QUICK = {"n_estimators": 5, "num_leaves": 7, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}


@pytest.fixture
def store() -> Iterator[ArtifactStore]:
    with ArtifactStore("memory://") as store:
        yield store


@cache
def booster(*names: str) -> Any:
    table = FRAME[list(names or NAMES)]
    return lgb.train({"verbose": -1, "num_threads": 1, "seed": 1}, lgb.Dataset(table, TARGET), num_boost_round=5)


def all_features() -> FeatureSchema:
    return FeatureSchema.from_frame(FRAME)


def some_features() -> FeatureSchema:
    return FeatureSchema.from_frame(FRAME, selected=[2, 0])


def of_booster() -> tuple[Any, dict[str, Any]]:
    return booster(), {"features": all_features(), "example": Example(FEW, booster().predict(FEW))}


def of_booster_without_features() -> tuple[Any, dict[str, Any]]:
    return booster(), {"example": Example(FEW.to_numpy(), booster().predict(FEW.to_numpy()))}


def of_shuffled_columns() -> tuple[Any, dict[str, Any]]:
    return booster(), {"features": all_features(), "example": Example(FEW[NAMES[::-1]], booster().predict(FEW))}


def of_all_columns_of_a_selection() -> tuple[Any, dict[str, Any]]:
    outputs = booster(*CHOSEN).predict(FEW[CHOSEN])
    return booster(*CHOSEN), {"features": some_features(), "example": Example(FEW, outputs)}


def of_the_selected_columns_alone() -> tuple[Any, dict[str, Any]]:
    outputs = booster(*CHOSEN).predict(FEW[CHOSEN])
    return booster(*CHOSEN), {"features": some_features(), "example": Example(FEW[CHOSEN], outputs)}


def of_a_selection_as_array() -> tuple[Any, dict[str, Any]]:
    rows = FEW[CHOSEN].to_numpy()
    return booster(*CHOSEN), {"features": some_features(), "example": Example(rows, booster(*CHOSEN).predict(rows))}


def of_a_polars_table() -> tuple[Any, dict[str, Any]]:
    return booster(), {"features": all_features(), "example": Example(pl.from_pandas(FEW), booster().predict(FEW))}


def of_an_estimator_of_lightgbm() -> tuple[Any, dict[str, Any]]:
    model = lgb.LGBMClassifier(**QUICK).fit(FRAME, LABELS)
    return model, {"features": all_features(), "example": Example(FEW, model.predict(FEW))}


def of_probabilities() -> tuple[Any, dict[str, Any]]:
    model = lgb.LGBMClassifier(**QUICK).fit(FRAME, LABELS)
    return model, {"example": Example(FEW, model.predict_proba(FEW), method="predict_proba")}


def of_xgboost(*, names: bool = True) -> Any:
    rows = FRAME if names else FRAME.to_numpy()
    return xgb.train({"nthread": 1, "seed": 1}, xgb.DMatrix(rows, TARGET), num_boost_round=5)


def of_a_booster_of_xgboost() -> tuple[Any, dict[str, Any]]:
    outputs = of_xgboost().predict(xgb.DMatrix(FEW))
    return of_xgboost(), {"features": all_features(), "example": Example(FEW[NAMES[::-1]], outputs)}


def of_a_booster_of_xgboost_without_names() -> tuple[Any, dict[str, Any]]:
    model = of_xgboost(names=False)
    outputs = model.predict(xgb.DMatrix(FEW.to_numpy()))
    return model, {"features": all_features(), "example": Example(FEW, outputs)}


def of_a_booster_of_xgboost_and_an_array() -> tuple[Any, dict[str, Any]]:
    outputs = of_xgboost().predict(xgb.DMatrix(FEW))
    return of_xgboost(), {"example": Example(FEW.to_numpy(), outputs)}


def of_an_estimator_of_xgboost() -> tuple[Any, dict[str, Any]]:
    model = xgb.XGBClassifier(n_estimators=5, n_jobs=1).fit(FRAME, TARGET > 0)
    example = Example(pl.from_pandas(FEW), model.predict_proba(FEW), method="predict_proba")
    return model, {"features": all_features(), "example": example}


def of_a_tree_with_names() -> tuple[Any, dict[str, Any]]:
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(FRAME, LABELS)
    example = Example(FEW.to_numpy(), model.predict_proba(FEW), method="predict_proba")
    return model, {"features": all_features(), "example": example}


def of_a_tree_without_names() -> tuple[Any, dict[str, Any]]:
    model = DecisionTreeRegressor(max_depth=3, random_state=0).fit(FRAME.to_numpy(), TARGET)
    return model, {"features": all_features(), "example": Example(FEW, model.predict(FEW.to_numpy()))}


def of_a_tree_behind_a_scaler() -> tuple[Any, dict[str, Any]]:
    scaler = StandardScaler().fit(FRAME.to_numpy())
    ready = scaler.transform(FRAME.to_numpy())
    model = DecisionTreeRegressor(max_depth=3, random_state=0).fit(ready, TARGET)
    components = {"preprocessor": scaler}
    return model, {
        "features": all_features(),
        "components": components,
        "example": Example(FEW, model.predict(ready[:7])),
    }


def of_a_decision_function() -> tuple[Any, dict[str, Any]]:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME.to_numpy(), LABELS)
    rows = FEW.to_numpy()
    return model, {"example": Example(rows, model.decision_function(rows), method="decision_function")}


def of_a_scaler() -> tuple[Any, dict[str, Any]]:
    model = StandardScaler().fit(FRAME.to_numpy())
    rows = FEW.to_numpy()
    return model, {"example": Example(rows, model.transform(rows), method="transform")}


def of_an_agent() -> tuple[Any, dict[str, Any]]:
    agent = PPO("MlpPolicy", tiny(), n_steps=8, batch_size=8, policy_kwargs={"net_arch": [4]}, device="cpu", seed=1)
    seen = np.stack([agent.observation_space.sample() for _ in range(5)])
    return agent, {"example": Example(seen, agent.predict(seen, deterministic=True)[0])}


def of_an_agent_with_statistics() -> tuple[Any, dict[str, Any]]:
    normal = VecNormalize(tiny())
    agent = PPO("MlpPolicy", normal, n_steps=8, batch_size=8, policy_kwargs={"net_arch": [4]}, device="cpu", seed=1)
    agent.learn(16)
    normal.training = False
    seen = np.stack([agent.observation_space.sample() for _ in range(5)])
    outputs = agent.predict(normal.normalize_obs(seen), deterministic=True)[0]
    return agent, {"components": {"model_vecnormalize": normal}, "example": Example(seen, outputs)}


CASES = [value for name, value in list(globals().items()) if name.startswith("of_") and name != "of_xgboost"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("key", ["lgb/EURUSD", "lightgbm_v2"])
def test_a_plain_save_verifies_whatever_its_model_type_is_called(
    store: ArtifactStore, case: Callable[[], tuple[Any, dict[str, Any]]], key: str
) -> None:
    model, options = case()
    run = store.save(model, key, **options, validate=True)
    assert run.published.validation.verdict is Verdict.SOUND
    assert run.published.validation.compared
    report = store.verify(key, predict=True)
    assert (report.verdict, [run.predictions.outcome for run in report]) == (Verdict.SOUND, ["equal"])
    assert store.get(key).load_example().method == options["example"].method


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_an_example_that_the_model_does_not_repeat_is_refused_and_nothing_is_stored(
    store: ArtifactStore, case: Callable[[], tuple[Any, dict[str, Any]]]
) -> None:
    model, options = case()
    given = options.pop("example")
    outputs = np.roll(given.outputs, 1, axis=0) if given.outputs.dtype.kind == "U" else given.outputs + 1
    if outputs.dtype.kind == "U" and (outputs == given.outputs).all():
        outputs = np.full_like(outputs, "?")
    with pytest.raises(errors.InvalidInput, match="does not repeat its example") as caught:
        store.save(model, "lgb/EURUSD", example=Example(given.inputs, outputs, given.method), **options)
    assert "difference is" in str(caught.value) or "values differ" in str(caught.value)
    assert store.models() == []


def test_inputs_that_do_not_fit_the_features_are_refused_with_the_reason(store: ArtifactStore) -> None:
    outputs = booster().predict(FEW)
    with pytest.raises(errors.InvalidInput, match="'spread'"):
        store.save(booster(), "lgb", features=all_features(), example=Example(FEW[NAMES[:3]], outputs))


def test_a_model_without_the_method_is_refused(store: ArtifactStore) -> None:
    outputs = booster().predict(FEW)
    with pytest.raises(errors.InvalidInput, match="is a Booster without predict_proba"):
        store.save(booster(), "lgb", example=Example(FEW, outputs, "predict_proba"))


@pytest.mark.parametrize("method", ["save_model", "__reduce__", "fit", "", None])
def test_what_is_no_prediction_cannot_be_asked_for(store: ArtifactStore, method: Any) -> None:
    with pytest.raises(errors.InvalidOption, match="one of predict, predict_proba"):
        Example(FEW, FEW, method)
    with store.new_run("lgb") as draft:
        draft.add("model", booster())
        draft.add("example_inputs", FEW)
        draft.add("example_outputs", np.ones(7))
        draft.add("example_method", method, codec="json")
    report = draft.run.verify(predict=True)
    assert report.verdict is Verdict.WRONG
    assert "which is not a prediction" in str(report.problems[0])


def test_a_state_without_its_network_cannot_be_compared(store: ArtifactStore) -> None:
    state = TorchState({"weight": torch.ones(1, 2)})
    run = store.save(state, "net/EURUSD", example=Example(np.ones((3, 2)), np.ones(3)))
    report = run.verify(predict=True)
    assert (report.verdict, report.predictions.outcome) == (Verdict.UNCHECKED, "no predictor")
    assert "'net' or 'codec.torch-state'" in str(report.unchecked[0])
    refused = store.save(state, "net/EURUSD", example=Example(np.ones((3, 2)), np.ones(3)), validate=True)
    assert not refused.published
    assert isinstance(refused.published.error, errors.PredictorUnavailable)
    assert store.get("net/EURUSD") == run


class TestCode:
    """A codec that decodes by running code: the saver trusts its own bytes, and others have to consent."""

    @staticmethod
    def save(store: ArtifactStore, outputs: Any = None) -> Any:
        model = DecisionTreeRegressor(max_depth=3, random_state=0).fit(FRAME.to_numpy(), TARGET)
        rows = FEW.to_numpy()
        with store.new_run("trees/EURUSD", validate=True) as draft:
            draft.add("model", model, codec="joblib")
            draft.add_example(Example(rows, model.predict(rows) if outputs is None else outputs))
        return draft.run

    def test_the_saver_can_prove_it(self, store: ArtifactStore) -> None:
        run = self.save(store)
        assert run.published
        assert run.published.validation.compared
        with pytest.raises(errors.InvalidInput, match="does not repeat"):
            self.save(store, np.zeros(7))

    def test_others_need_to_consent(self, store: ArtifactStore) -> None:
        self.save(store)
        run = store.get("trees/EURUSD")
        assert run.verify(predict=True).predictions.outcome == "needs consent"
        found = run.validate()
        assert found.verdict is Verdict.UNCHECKED
        assert [type(problem.error) for problem in found.unchecked] == [errors.RiskRefused]
        for consent in ({"allow_code": True}, {"sha256": run.manifest.digest}):
            assert run.validate(**consent).compared
        wrong = run.validate(sha256="0" * 64)
        assert [type(problem.error) for problem in wrong.problems] == [errors.DigestMismatch]
