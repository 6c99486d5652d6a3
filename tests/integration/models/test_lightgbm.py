"""LightGBM: a training that stops and can be repeated, and an adapter that answers as the booster that was trained."""

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from artifact_models import LightGBMAdapter, load_adapter
from artifact_models.gbm.trainer import LightGBMTrainer, spelling
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from artifact_store import Example, FeatureSchema, errors
from tests.integration.models.data import (
    NAMES,
    ROWS,
    SELECTED,
    TRAIN,
    VALID,
    fitted_session_trees,
    fitted_trees,
    new_store,
    shuffled,
    small_trees,
    table,
    target,
    with_session,
)

PARAMS = {"num_leaves": 6, "min_data_in_leaf": 5, "num_threads": 1, "learning_rate": 0.2}
PLACES = [NAMES.index(name) for name in SELECTED]


@pytest.fixture
def store():
    return new_store()


def plain_booster(X, y, **params):
    """What somebody trains who knows none of this."""
    return lightgbm.train({**PARAMS, "verbosity": -1, "seed": 0, **params}, lightgbm.Dataset(X, y), 10)


class TestTraining:
    def arrays(self):
        return table().to_numpy(), target()

    def train(self, X, y, train_idx=TRAIN, valid_idx=VALID, **options):
        params = {
            name: options.pop(name)
            for name in list(options)
            if name not in {"feature_names", "selected_features", "progress"}
        }
        return LightGBMTrainer({**PARAMS, "n_estimators": 30, **params}).train(X, y, train_idx, valid_idx, **options)

    def test_it_is_what_lightgbm_itself_would_train(self):
        X, y = self.arrays()
        fit = self.train(X, y, early_stopping_rounds=0, n_estimators=10)
        own = plain_booster(X[TRAIN], y[TRAIN], deterministic=True, force_row_wise=True, objective="regression")
        np.testing.assert_array_equal(fit.booster.predict(X), own.predict(X))

    def test_it_stops_early_and_predicts_with_the_best_iteration(self):
        X, noise, steps = table().to_numpy(), np.random.default_rng(0).normal(size=ROWS), []
        fit = self.train(X, noise, early_stopping_rounds=5, n_estimators=200, progress=lambda *step: steps.append(step))
        assert len(steps) == fit.best_iteration + 5 < 200
        scores = [scores["valid_l2"] for _, _, scores in steps]
        assert fit.scores["valid_l2"] == min(scores) == scores[fit.best_iteration - 1]
        best = self.train(X, noise, early_stopping_rounds=0, n_estimators=fit.best_iteration)
        np.testing.assert_array_equal(fit.booster.predict(X), best.booster.predict(X))

    def test_it_can_be_repeated(self):
        X, y = self.arrays()
        options = {"bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.5}
        first, second = (self.train(X, y, **options).booster.model_to_string() for _ in range(2))
        assert first == second
        assert self.train(X, y, seed=1, **options).booster.model_to_string() != first

    def test_it_takes_names_and_selection_as_its_users_know_them(self):
        X, y = self.arrays()
        fit = self.train(X, y, feature_names=NAMES, selected_features=PLACES)
        np.testing.assert_array_equal(
            fit.booster.predict(X[:, PLACES]), self.train(X[:, PLACES], y).booster.predict(X[:, PLACES])
        )
        assert fit.booster.feature_name() == SELECTED
        assert list(fit.importances) == SELECTED
        assert list(fit.importances.values()) == fit.booster.feature_importance("gain").tolist()

    def test_names_that_lightgbm_cannot_hold_are_spelled_otherwise(self):
        X, y = self.arrays()
        names = ["a:b", "c d", "[e]", "f", 'g"', "h,i"]
        assert self.train(X, y, feature_names=names).booster.feature_name() == ["a_b", "c_d", "_e_", "f", "g_", "h_i"]
        assert spelling(["a b", "a_b"]) == ["Column_0", "Column_1"]

    def test_classifiers_keep_any_labels(self):
        X, y = self.arrays()
        words = np.where(y > np.median(y), "up", "down")
        fit = self.train(X, words, objective="binary")
        assert fit.classes == ("down", "up")
        thirds = np.digitize(y, np.quantile(y, [0.33, 0.66])) - 1
        fit = self.train(X, thirds, objective="multiclass")
        assert fit.classes == (-1, 0, 1)
        assert fit.booster.predict(X).shape == (ROWS, 3)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"y": np.zeros(3)}, "one target for each of the 160 rows"),
            ({"train_idx": []}, "nothing to train on"),
            ({"valid_idx": [5]}, "1 rows are in train_idx and in valid_idx"),
            ({"feature_names": ["a"]}, "1 names, and X has 6"),
            ({"selected_features": [0, 0]}, "each position once"),
            ({"y": np.where(np.arange(ROWS) == 5, np.inf, 1.0)}, "an infinity"),
            ({"y": np.array(["a"] * ROWS)}, "not a number"),
            ({"objective": "binary", "y": np.arange(ROWS) % 3}, "two labels in y; there are 3"),
            (
                {"objective": "multiclass", "y": np.arange(ROWS) // 60},
                "labels of rows in valid_idx, and of none in train_idx",
            ),
            ({"objective": "no_such_objective"}, "LightGBM refuses this"),
            ({"X": pl.from_pandas(table())}, "a pandas table"),
            ({"X": np.zeros(ROWS)}, "rows and columns"),
        ],
    )
    def test_data_that_does_not_fit_is_refused(self, change, message):
        X, y = self.arrays()
        with pytest.raises(errors.InvalidInput, match=message):
            self.train(**{"X": X, "y": y, **change})

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"n_estimators": 0}, "n_estimators"),
            ({"early_stopping_rounds": -1}, "early_stopping"),
            ({"objective": print}, "a function"),
        ],
    )
    def test_parameters_that_mean_nothing_are_refused(self, params, message):
        with pytest.raises(errors.InvalidOption, match=message):
            LightGBMTrainer(params)

    def test_lightgbms_other_spellings_are_understood(self):
        params = LightGBMTrainer(num_boost_round=7, early_stopping_round=3, random_state=5).params
        assert (params["n_estimators"], params["early_stopping_rounds"], params["seed"]) == (7, 3, 5)


class TestPredicting:
    def test_a_raw_frame_is_aligned(self):
        adapter = fitted_trees()
        expected = adapter.model.predict(table()[SELECTED])
        np.testing.assert_array_equal(adapter.predict(shuffled(table())), expected)

    @pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas])
    def test_polars_and_arrow_give_the_same_with_categories(self, convert):
        adapter = fitted_session_trees()
        expected = adapter.predict(with_session())
        np.testing.assert_array_equal(adapter.predict(convert(with_session())), expected)
        trained = small_trees(selected_features=["close", "session", "rsi"])
        trained.fit(convert(with_session()), target(), TRAIN, VALID)
        np.testing.assert_array_equal(trained.predict(with_session()), expected)

    def test_categories_may_be_integers(self):
        frame = table().assign(hour=pd.Categorical(np.arange(ROWS) % 4 * 6))
        adapter = small_trees(selected_features=["hour", "close"]).fit(frame, target(), TRAIN, VALID)
        as_numbers = pl.from_pandas(frame.assign(hour=np.arange(ROWS) % 4 * 6))
        np.testing.assert_array_equal(adapter.predict(as_numbers), adapter.predict(frame))
        assert len(np.unique(adapter.predict(frame))) > 4

    def test_the_booster_itself_takes_what_the_schema_prepares(self, store):
        adapter = fitted_session_trees()
        adapter.save(store, symbol="BTCEUR")
        run = store.get("lightgbm/BTCEUR")
        found = run.load().predict(run.features.prepare(shuffled(with_session())))
        np.testing.assert_array_equal(found, adapter.predict(with_session()))

    def test_one_row_is_enough(self):
        adapter = fitted_trees()
        expected = adapter.predict(table())[:1]
        row = table().iloc[0]
        for one in (table().iloc[:1], row, dict(row), row.to_numpy(), row.to_numpy()[None]):
            np.testing.assert_array_equal(adapter.predict(one), expected)

    def test_windows_are_refused(self):
        with pytest.raises(errors.FeatureMismatch, match="predicts from single rows"):
            fitted_trees().predict(np.zeros((2, 3, len(NAMES))))

    def test_the_selection_is_taken_if_one_says_so(self):
        adapter = fitted_trees()
        chosen = table()[SELECTED].to_numpy()
        np.testing.assert_array_equal(adapter.predict(chosen, preselected=True), adapter.predict(table()))
        with pytest.raises(errors.FeatureMismatch, match="or the 3 selected, with preselected=True.; got 3"):
            adapter.predict(chosen)

    def test_text_is_no_feature(self):
        with pytest.raises(errors.InvalidInput, match="'session'. hold text: make them categorical"):
            small_trees(selected_features=None).fit(with_session().astype({"session": str}), target(), TRAIN, VALID)

    def test_a_preprocessor_of_ones_own_is_fitted_stored_and_used(self, store):
        scaler = MinMaxScaler()
        adapter = small_trees(preprocessor=scaler).fit(table(), target(), TRAIN, VALID)
        assert not hasattr(scaler, "n_features_in_")
        adapter.save(store, symbol="BTCEUR")
        loaded = load_adapter(store.get("lightgbm/BTCEUR"))
        assert store.get("lightgbm/BTCEUR").requires == ("preprocessor",)
        np.testing.assert_array_equal(loaded.predict(shuffled(table())), adapter.predict(table()))
        scaled = scaler.fit(table().to_numpy()[TRAIN]).transform(table().to_numpy())
        np.testing.assert_array_equal(loaded.predict(table()), adapter.model.predict(scaled[:, PLACES]))


class TestClassifiers:
    @pytest.mark.parametrize(
        ("objective", "labels"),
        [
            ("binary", np.array(["down", "up"])),
            ("binary", np.array([-1, 1])),
            ("multiclass", np.array(["down", "flat", "up"])),
            ("multiclassova", np.array([0.5, 1.5, 2.5])),
        ],
    )
    def test_labels_and_probabilities_survive_the_store(self, objective, labels, store):
        y = labels[np.digitize(target(), np.quantile(target(), np.arange(1, len(labels)) / len(labels)))]
        adapter = small_trees(objective=objective).fit(table(), y, TRAIN, VALID)
        adapter.save(store, symbol="BTCEUR")
        loaded = LightGBMAdapter.load("lightgbm/BTCEUR", store=store)
        assert loaded.classes == labels.tolist()
        proba = loaded.predict_proba(shuffled(table()))
        assert proba.shape == (ROWS, len(labels))
        np.testing.assert_array_equal(proba, adapter.predict_proba(table()))
        np.testing.assert_array_equal(loaded.predict(table()), labels[proba.argmax(axis=1)])
        assert (loaded.predict(table())[TRAIN] == y[TRAIN]).mean() > 1 / len(labels)
        assert store.verify(predict=True).ok

    def test_a_booster_without_labels_says_what_boosters_say(self, store):
        X, y = table().to_numpy(), (target() > np.median(target())).astype(int)
        booster = plain_booster(X, y, objective="binary")
        run = store.save(booster, "lightgbm/BTCEUR", features=FeatureSchema(NAMES))
        adapter = load_adapter(run)
        np.testing.assert_array_equal(adapter.predict(shuffled(table())), booster.predict(X))
        np.testing.assert_array_equal(adapter.predict_proba(X)[:, 1], booster.predict(X))

    @pytest.mark.parametrize("labels", [["up"], ["up", "flat", "down"]])
    def test_labels_of_another_model_are_refused(self, labels, store):
        booster = plain_booster(table().to_numpy(), (target() > 0).astype(int), objective="binary")
        run = store.save(booster, "lightgbm/BTCEUR", features=FeatureSchema(NAMES), config={"classes": labels})
        with pytest.raises(errors.Corrupt, match=f"2 classes, and {len(labels)} labels"):
            load_adapter(run)

    def test_a_setting_called_classes_is_not_taken_for_labels(self, store):
        X = table().to_numpy()
        booster = plain_booster(X, (target() > 0).astype(int), objective="binary")
        run = store.save(booster, "lightgbm/BTCEUR", features=FeatureSchema(NAMES), config={"classes": 2})
        np.testing.assert_array_equal(load_adapter(run).predict(X), booster.predict(X))

    def test_an_estimator_answers_as_it_did(self, store):
        X, y = table(), np.where(target() > np.median(target()), "up", "down")
        estimator = lightgbm.LGBMClassifier(n_estimators=5, verbosity=-1, n_jobs=1, min_child_samples=5).fit(X, y)
        run = store.save(
            estimator,
            "lightgbm/BTCEUR",
            features=FeatureSchema(NAMES),
            example=Example(X[:9], estimator.predict(X[:9])),
        )
        adapter = load_adapter(run)
        np.testing.assert_array_equal(adapter.predict(shuffled(X)), estimator.predict(X))
        np.testing.assert_array_equal(adapter.predict_proba(shuffled(X)), estimator.predict_proba(X))
        assert adapter.classes == ["down", "up"]
        assert run.verify(predict=True).ok

    def test_a_regression_has_no_probabilities(self):
        with pytest.raises(errors.InvalidOption, match="'regression': it has no probabilities"):
            fitted_trees().predict_proba(table())


class TestStored:
    def test_predictions_are_equal_bit_for_bit(self, store):
        for symbol, adapter, frame in (("A", fitted_trees(), table()), ("B", fitted_session_trees(), with_session())):
            adapter.save(store, symbol=symbol)
            loaded = load_adapter(store.get(f"lightgbm/{symbol}"))
            np.testing.assert_array_equal(loaded.predict(shuffled(frame)), adapter.predict(frame))
            assert loaded.model.model_to_string() == adapter.model.model_to_string()
        assert store.verify(predict=True).ok

    def test_importances_are_stored_beside_the_model(self, store):
        adapter = fitted_trees()
        adapter.save(store, symbol="BTCEUR")
        stored = store.load("lightgbm/BTCEUR", "feature_importance")
        assert list(stored.columns) == ["feature", "importance"]
        assert sorted(stored["feature"]) == sorted(SELECTED)
        assert stored["importance"].is_monotonic_decreasing
        pd.testing.assert_frame_equal(stored, adapter.feature_importance)
        pd.testing.assert_frame_equal(stored, load_adapter(store.get("lightgbm/BTCEUR")).feature_importance)

    @pytest.mark.parametrize("as_frame", [True, False])
    def test_a_plain_save_with_an_example_of_the_selection_verifies(self, as_frame, store):
        chosen = table()[SELECTED] if as_frame else table()[SELECTED].to_numpy()
        booster = plain_booster(table()[SELECTED], target())
        run = store.save(
            booster,
            "lightgbm/BTCEUR",
            features=FeatureSchema(NAMES, selected=SELECTED),
            example=Example(table()[:32] if as_frame else chosen[:32], booster.predict(chosen[:32])),
        )
        assert run.verify(predict=True).ok

    def test_an_example_that_is_wrong_is_refused(self, store):
        booster = plain_booster(table(), target())
        with pytest.raises(errors.InvalidInput, match="predicts something else"):
            store.save(
                booster,
                "lightgbm/BTCEUR",
                features=FeatureSchema(NAMES),
                example=Example(table(), np.nextafter(booster.predict(table()), 9)),
            )

    def test_probabilities_can_be_golden_predictions(self, store):
        booster = plain_booster(table(), (target() > 0).astype(int), objective="binary")
        chances = np.column_stack((1 - booster.predict(table()), booster.predict(table())))
        example = Example(table(), chances, method="predict_proba")
        run = store.save(booster, "lightgbm/BTCEUR", features=FeatureSchema(NAMES), example=example, validate=True)
        assert run.published.validation.compared

    def test_a_booster_that_was_saved_without_features_knows_its_names(self, store):
        booster = plain_booster(table(), target())
        adapter = load_adapter(
            store.save(booster, "lightgbm/BTCEUR", example=Example(table()[:5], booster.predict(table()[:5])))
        )
        np.testing.assert_array_equal(adapter.predict(shuffled(table())), booster.predict(table()))
        assert store.verify(predict=True).ok

    def test_without_any_names_they_are_inferred_and_say_so(self, store):
        booster = plain_booster(table().to_numpy(), target())
        run = store.save(booster, "lightgbm/BTCEUR", example=Example(table()[:5], booster.predict(table()[:5])))
        adapter = load_adapter(run)
        assert adapter.features.names_inferred
        assert adapter.feature_names == [f"feature_{place}" for place in range(len(NAMES))]
        with pytest.raises(errors.FeatureMismatch, match="by_position=True"):
            adapter.predict(table())
        np.testing.assert_array_equal(adapter.predict(table(), by_position=True), booster.predict(table()))
        assert run.verify(predict=True).ok

    def test_a_booster_of_another_width_than_its_names_is_refused(self, store):
        scaler = small_trees(preprocessor=StandardScaler())
        scaler.fit(table(), target(), TRAIN, VALID)
        run = store.save(
            plain_booster(table().to_numpy(), target()),
            "lightgbm/BTCEUR",
            features=FeatureSchema(NAMES, selected=SELECTED),
            components={"preprocessor": scaler.preprocessor},
        )
        with pytest.raises(errors.FeatureMismatch, match=r"takes 6 features .num_feature.. of the booster.*selects 3"):
            load_adapter(run)
