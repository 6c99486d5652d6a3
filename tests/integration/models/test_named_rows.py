"""What carries names is taken by them in adapters, trainers and examples, or refused; nothing of it by position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from artifact_models import GRUAdapter, LightGBMAdapter, PPOAdapter, load_adapter
from artifact_models.gbm.trainer import LightGBMTrainer
from artifact_models.gru.trainer import GRUTrainer

from artifact_store import Example, FeatureSchema, errors
from tests.cases import each
from tests.integration.models.data import (
    NAMES,
    TRAIN,
    VALID,
    fitted_gru,
    fitted_session_trees,
    fitted_trees,
    new_store,
    small_gru,
    small_trees,
    table,
    target,
    with_session,
)
from tests.named_kinds import MANY, ONE, WITHOUT_A_ROW

pytestmark = pytest.mark.filterwarnings("ignore:.*X does not have valid feature names")

MIXED = ["rsi", "close", "open", "volume", "low", "high"]
FEW = 12


def records(frame: pd.DataFrame) -> list[dict[str, float]]:
    found: list[dict[str, float]] = frame[MIXED].to_dict("records")  # type: ignore[assignment]
    return found


@pytest.fixture(scope="module")
def agent() -> Any:
    config = {"timesteps": 64, "n_steps": 32, "batch_size": 32, "n_epochs": 1, "seed": 3, "env": {"window": 4}}
    return PPOAdapter(config=config).fit(table(), None, slice(0, 120), None)


@pytest.fixture(params=["lightgbm", "gru", "ppo"])
def adapter(request: pytest.FixtureRequest, agent: Any) -> Any:
    return {"lightgbm": fitted_trees, "gru": fitted_gru, "ppo": lambda: agent}[request.param]()


class TestPredicting:
    def test_rows_are_read_by_their_names(self, adapter: Any) -> None:
        some = table()[:FEW]
        expected = adapter.predict(some)
        for case in each(MANY):
            with case as kind:
                np.testing.assert_array_equal(adapter.predict(MANY[kind](records(some))), expected)

    def test_a_row_is_read_by_its_names(self) -> None:
        trees, some = fitted_trees(), table()[:1]
        for case in each(ONE):
            with case as kind:
                np.testing.assert_array_equal(trees.predict(ONE[kind](records(some)[0])), trees.predict(some))

    def test_a_missing_name_is_named(self, adapter: Any) -> None:
        rows = [{("other" if name == "low" else name): row[name] for name in row} for row in records(table()[:FEW])]
        for case in each(MANY):
            with case as kind, pytest.raises(errors.FeatureMismatch, match="'low'"):
                adapter.predict(MANY[kind](rows))

    def test_names_that_do_not_say_what_is_a_row_are_refused(self, adapter: Any) -> None:
        for case in each(WITHOUT_A_ROW):
            with case as kind, pytest.raises(errors.InvalidInput, match="names|missing|Series|dict"):
                adapter.predict(WITHOUT_A_ROW[kind](records(table()[:FEW])))

    def test_a_model_whose_names_were_inferred_takes_them_only_by_position(self) -> None:
        with pytest.warns(UserWarning, match="has no names"):
            trees = small_trees(selected_features=None).fit(table().to_numpy(), target(), TRAIN, VALID)
        bars = table()[:FEW]
        rows = bars.to_dict("records")
        with pytest.raises(errors.FeatureMismatch, match="by_position=True"):
            trees.predict(rows)
        np.testing.assert_array_equal(trees.predict(rows, by_position=True), trees.predict(bars.to_numpy()))

    def test_categories_ask_for_a_table(self) -> None:
        trees, some = fitted_session_trees(), with_session()[:FEW]
        rows = some.astype({"session": object}).to_dict("records")
        with pytest.raises(errors.FeatureMismatch, match=r"'session' is .*pandas\.DataFrame"):
            trees.predict(rows)
        np.testing.assert_array_equal(trees.predict(pd.DataFrame(rows)), trees.predict(some))


class TestTraining:
    UNTABLED = sorted({*MANY} - {"pandas", "polars", "arrow"})

    @pytest.mark.parametrize("family", [LightGBMAdapter, GRUAdapter, PPOAdapter])
    def test_an_adapter_is_trained_on_a_table_or_on_an_array(self, family: Any) -> None:
        for case in each([*self.UNTABLED, *WITHOUT_A_ROW]):
            with case as kind:
                rows = {**MANY, **WITHOUT_A_ROW}[kind](records(table()[:FEW]))
                with pytest.raises(errors.InvalidInput, match="names|array|not a table"):
                    family().fit(rows, target()[:FEW], range(8), range(8, FEW))

    @pytest.mark.parametrize(
        "trainer",
        [LightGBMTrainer(n_estimators=2, num_threads=1), GRUTrainer(epochs=1, sequence_length=2, hidden_size=2)],
    )
    def test_a_trainer_finds_the_columns_of_a_table_by_name(self, trainer: Any) -> None:
        frame, options = table(), {"feature_names": NAMES, "selected_features": [3, 5]}
        made = [
            trainer.train(rows, target(), TRAIN, VALID, **options)
            for rows in (frame.to_numpy(), frame, frame[MIXED].assign(more=1.0))
        ]
        index = pd.Index(NAMES)  # which has no truth value
        made.append(trainer.train(frame[MIXED], target(), TRAIN, VALID, **{**options, "feature_names": index}))
        assert {each.feature_names for each in made} == {tuple(NAMES)}
        if hasattr(made[0], "booster"):
            trees = [each.booster.dump_model()["tree_info"] for each in made]
            assert trees[0] == trees[1] == trees[2] == trees[3]
        else:
            assert len({each.history[-1]["valid_loss"] for each in made}) == 1
        with pytest.raises(errors.FeatureMismatch, match="'low'"):
            trainer.train(frame.drop(columns="low"), target(), TRAIN, VALID, **options)
        with pytest.raises(errors.InvalidInput, match="carries names"):
            trainer.train(records(frame), target(), TRAIN, VALID, **options)
        assert trainer.train(frame[MIXED], target(), TRAIN, VALID).feature_names == tuple(MIXED)

    def test_a_trainer_of_agents_finds_the_columns_of_a_table_by_name(self) -> None:
        from artifact_models.ppo.trainer import train_agent

        frame = table()
        options = {"n_steps": 16, "batch_size": 16, "n_epochs": 1}
        weights = [
            train_agent(rows, frame["close"], feature_names=NAMES, timesteps=16, hyperparameters=options)
            .algorithm.policy.action_net.weight.detach()
            .numpy()
            for rows in (frame.to_numpy(), frame[MIXED])
        ]
        np.testing.assert_array_equal(weights[0], weights[1])
        with pytest.raises(errors.InvalidInput, match="carries names"):
            train_agent(records(frame), frame["close"], feature_names=NAMES)


class TestTables:
    def test_a_boolean_among_floats_is_0_and_1_to_a_gru(self) -> None:
        frame = table().assign(weekend=np.arange(len(table())) % 7 > 4)
        whole = frame.assign(weekend=frame["weekend"].astype("float64"))
        made = [
            small_gru(selected_features=["close", "weekend"], epochs=1).fit(rows, target(), TRAIN, VALID)
            for rows in (frame, whole, pl.DataFrame(frame.to_dict("list")), pa.table(frame.to_dict("list")))
        ]
        assert made[0].features.dtypes["weekend"] == "bool"
        for other in made[1:]:
            np.testing.assert_array_equal(made[0].predict(frame), other.predict(frame))
        np.testing.assert_array_equal(made[0].predict(frame.to_dict("records")), made[0].predict(frame))
        with pytest.raises(errors.FeatureMismatch, match="'weekend'"):
            GRUTrainer(epochs=1).train(frame.assign(weekend="no"), target(), TRAIN, VALID)

    @pytest.mark.parametrize("dtype", ["Int64", "UInt8", "boolean", "int64[pyarrow]", "bool[pyarrow]", "Float64"])
    def test_trees_are_trained_on_numbers_with_gaps(self, dtype: str) -> None:
        flag = pd.Series(np.arange(len(table())) % 3 % 2, dtype="Int64").mask(np.arange(len(table())) % 5 == 0)
        frame = table().assign(flag=flag.astype(dtype))
        plain = table().assign(flag=flag.astype("float64"))
        adapter, other = (
            small_trees(selected_features=["close", "flag"]).fit(rows, target(), TRAIN, VALID)
            for rows in (frame, plain)
        )
        adapter.save(new_store(), symbol="GAPS")
        loaded = load_adapter(adapter.run)
        np.testing.assert_array_equal(loaded.predict(frame), other.predict(plain))
        np.testing.assert_array_equal(loaded.predict(plain), other.predict(plain))
        assert adapter.run.verify(predict=True).ok


class TestExamples:
    KEPT = (
        *("pandas", "polars", "arrow", "structured array", "list of dict", "dict of lists", "dict of arrays"),
        *("list of numpy void", "list of structured array of no dimension"),
    )

    def test_the_inputs_keep_their_names_or_are_refused(self) -> None:
        trees, some = fitted_trees(), table()[:FEW]
        store = new_store()
        for case in each(MANY.keys() - {"tuple of namedtuple"}):
            with case as kind:
                example = Example(MANY[kind](records(some)), trees.predict(some))
                if kind not in self.KEPT:
                    with pytest.raises(errors.NotEncodable, match=r"carry names that no codec.*pandas\.DataFrame"):
                        store.save(trees.model, "lightgbm/X", features=trees.features, example=example)
                    continue
                run = store.save(trees.model, "lightgbm/X", features=trees.features, example=example)
                assert run.verify(predict=True).ok
                assert FeatureSchema.carries_names(run.load_example().inputs)

    def test_inputs_without_names_are_refused_as_any_object(self) -> None:
        with pytest.raises(errors.NoCodec, match="object"):
            new_store().save({"w": 1}, "lightgbm/X", example=Example(object(), [1.0]))
