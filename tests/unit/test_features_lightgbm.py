"""Mistakes that LightGBM does not notice: each changes its predictions silently, and none gets past the schema.

Every test first shows that the library stays silent and predicts something else, then what the schema does.
"""

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from artifact_store.errors import FeatureMismatch
from artifact_store.features.schema import FeatureSchema

pytestmark = pytest.mark.windows

NAMES = ["fast ma", "slow_ma", "rsi", "volume"]
QUIET = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "seed": 1, "deterministic": True}


def rows(count=400, seed=0):
    return np.random.default_rng(seed).normal(size=(count, len(NAMES)))


def target(data):
    return 3 * data[:, 0] - 2 * data[:, 1] + data[:, 2] * data[:, 3]


@pytest.fixture(scope="module")
def trained():
    data = rows()
    frame = pd.DataFrame(data, columns=NAMES)
    # LightGBM warns that it writes "_" for a blank; that the true names live elsewhere is the very point
    booster = lgb.train(QUIET, lgb.Dataset(data, target(data), feature_name=[n.replace(" ", "_") for n in NAMES]), 30)
    return booster, FeatureSchema.from_frame(frame), frame


def differs(left, right):
    return not np.allclose(left, right)


class TestColumns:
    def test_a_reordered_frame_is_put_in_order(self, trained):
        booster, schema, frame = trained
        moved = frame[NAMES[::-1]]
        assert differs(booster.predict(moved), booster.predict(frame))
        np.testing.assert_array_equal(booster.predict(schema.prepare(moved)), booster.predict(frame))

    def test_a_renamed_column_is_refused(self, trained):
        booster, schema, frame = trained
        renamed = frame[["slow_ma", "fast ma", "rsi", "volume"]].set_axis(
            ["Slow MA", "fast_ma", "rsi", "volume"], axis=1
        )
        assert differs(booster.predict(renamed), booster.predict(frame))
        with pytest.raises(FeatureMismatch) as e:
            schema.prepare(renamed)
        assert e.value.suggestions == {"fast ma": "fast_ma", "slow_ma": "Slow MA"}

    def test_a_duplicated_column_is_refused(self, trained):
        booster, schema, frame = trained
        doubled = frame.iloc[:, [0, 1, 2, 2]]
        assert differs(booster.predict(doubled), booster.predict(frame))
        with pytest.raises(FeatureMismatch) as e:
            schema.prepare(doubled)
        assert (e.value.duplicate, e.value.missing) == (("rsi",), ("volume",))

    def test_one_missing_and_one_extra_column_are_refused(self, trained):
        booster, schema, frame = trained
        other = frame.drop(columns="rsi").assign(other=0.0)
        assert differs(booster.predict(other), booster.predict(frame))
        with pytest.raises(FeatureMismatch) as e:
            schema.prepare(other)
        assert (e.value.missing, e.value.extra) == (("rsi",), ("other",))

    def test_a_row_with_names_is_put_in_order_where_an_array_could_not_be(self, trained):
        booster, schema, frame = trained
        moved = frame[NAMES[::-1]]
        expected = booster.predict(frame.iloc[:1])
        assert differs(booster.predict(moved.iloc[[0]].to_numpy()), expected)
        np.testing.assert_array_equal(booster.predict(schema.prepare(moved.iloc[0].to_dict())), expected)
        np.testing.assert_array_equal(booster.predict(schema.prepare(pl.from_pandas(moved)).to_numpy())[:1], expected)

    def test_an_array_of_the_selection_is_not_mistaken_for_one_of_all(self):
        data = rows()
        chosen = [3, 0]
        booster = lgb.train(QUIET, lgb.Dataset(data[:, chosen], target(data)), 30)
        schema = FeatureSchema(NAMES, selected=chosen, dtypes="float64")
        expected = booster.predict(data[:, chosen])
        assert differs(booster.predict(data, predict_disable_shape_check=True), expected)
        np.testing.assert_array_equal(booster.predict(schema.prepare(data)), expected)
        with pytest.raises(FeatureMismatch, match="or the 2 selected"):
            schema.prepare(data[:, chosen])
        np.testing.assert_array_equal(booster.predict(schema.prepare(data[:, chosen], preselected=True)), expected)


class TestValues:
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_nan_and_infinities_are_refused_if_the_model_never_saw_any(self, trained, value):
        booster, _, frame = trained
        schema = FeatureSchema.from_frame(frame, nan="refuse", inf="refuse")
        holed = frame.assign(**{"fast ma": value})
        assert differs(booster.predict(holed), booster.predict(frame))
        with pytest.raises(FeatureMismatch, match="'fast ma'"):
            schema.prepare(holed)

    def test_float64_for_a_model_of_float32_is_cast_onto_the_trained_side_of_a_threshold(self):
        grid = np.random.default_rng(1).integers(0, 1000, size=(900, 1)) / 1000
        booster = steps(grid.astype("float32"))
        schema = FeatureSchema(["x"], dtypes="float32")
        near = np.nextafter(thresholds(booster), np.inf)[:, None]  # beyond the split in float64, before it in float32
        expected = booster.predict(near.astype("float32"))
        assert differs(booster.predict(near), expected)
        for given in (near, pd.DataFrame(near, columns=["x"]), pl.DataFrame({"x": near[:, 0]})):
            np.testing.assert_array_equal(booster.predict(schema.prepare(given)), expected)

    def test_digits_that_float32_lost_do_not_come_back(self):
        booster = steps(np.random.default_rng(1).integers(0, 1000, size=(900, 1)) / 1000)
        schema = FeatureSchema(["x"], dtypes="float64")
        near = np.nextafter(thresholds(booster), np.inf)[:, None]
        coarse = schema.prepare(near.astype("float32"))
        assert coarse.dtype == np.float64
        assert differs(booster.predict(coarse), booster.predict(near))


def steps(data):
    labels = np.floor(data[:, 0] * 50) % 2
    return lgb.train({**QUIET, "max_bin": 1023, "min_data_in_bin": 1}, lgb.Dataset(data, labels), 60)


def thresholds(booster):
    return booster.trees_to_dataframe()["threshold"].dropna().to_numpy()


VENUES = ("kraken", "binance", "coinbase", "okx")


@pytest.fixture(scope="module")
def categorical():
    generator = np.random.default_rng(2)
    codes = generator.integers(0, 4, size=400)
    frame = pd.DataFrame(
        {
            "price": generator.normal(size=400),
            "venue": pd.Categorical.from_codes(codes, categories=list(VENUES)),
            "hour": pd.Categorical(generator.choice([17, 9, 13], size=400), categories=[17, 9, 13]),
        }
    )
    labels = np.array([5.0, -5.0, 1.0, 9.0])[codes] + 2.0 * (frame["hour"].astype(int) == 9) + frame["price"]
    booster = lgb.train({**QUIET, "min_data_per_group": 5, "cat_smooth": 1.0}, lgb.Dataset(frame, labels), 30)
    return booster, FeatureSchema.from_frame(frame), frame


class TestCategories:
    def test_an_aligned_frame_predicts_what_the_training_frame_does(self, categorical):
        booster, schema, frame = categorical
        np.testing.assert_array_equal(booster.predict(schema.prepare(frame)), booster.predict(frame))

    def test_an_unseen_category_is_refused(self, categorical):
        booster, schema, frame = categorical
        unseen = frame.assign(venue=pd.Categorical(["bitstamp"] * len(frame)))
        assert differs(booster.predict(unseen), booster.predict(frame))
        with pytest.raises(FeatureMismatch, match="'venue' holds 'bitstamp'"):
            schema.prepare(unseen)

    def test_categories_that_moved_as_codes_are_mapped_by_value(self, categorical):
        booster, schema, frame = categorical
        moved = frame.assign(venue=frame["venue"].cat.set_categories(sorted(VENUES)))
        as_codes = moved.assign(venue=moved["venue"].cat.codes, hour=moved["hour"].cat.codes)
        assert differs(booster.predict(as_codes.to_numpy("float64")), booster.predict(frame))
        with pytest.raises(FeatureMismatch):
            schema.prepare(as_codes)
        with pytest.raises(FeatureMismatch, match="code or a value"):
            schema.prepare(as_codes.to_numpy("float64"))
        np.testing.assert_array_equal(booster.predict(schema.prepare(moved)), booster.predict(frame))

    def test_text_that_was_categorical_in_training_gets_the_trained_codes(self, categorical):
        booster, schema, frame = categorical
        text = frame.astype({"venue": "str", "hour": "int64"})[["hour", "venue", "price"]]
        np.testing.assert_array_equal(booster.predict(schema.prepare(text)), booster.predict(frame))

    def test_a_single_row_gets_the_codes_of_the_whole_list(self, categorical):
        booster, schema, _ = categorical
        row = pd.DataFrame({"venue": ["okx"], "hour": [9], "price": [0.5]})
        twin = pd.DataFrame(
            {
                "price": [0.5],
                "venue": pd.Categorical(["okx"], categories=list(VENUES)),
                "hour": pd.Categorical([9], categories=[17, 9, 13]),
            }
        )
        np.testing.assert_array_equal(booster.predict(schema.prepare(row)), booster.predict(twin))

    def test_integers_for_text_are_refused(self, categorical):
        booster, schema, frame = categorical
        numbered = frame.assign(venue=frame["venue"].cat.rename_categories(range(4)))
        predicted, expected = booster.predict(numbered), booster.predict(frame)
        assert abs(np.corrcoef(predicted, expected)[0, 1]) < 0.9
        with pytest.raises(FeatureMismatch) as e:
            schema.prepare(numbered)
        assert e.value.dtype["venue"][0] == "category (str)"

    def test_text_for_integers_is_refused(self, categorical):
        booster, schema, frame = categorical
        texts = frame.assign(hour=frame["hour"].astype(int).astype(str).astype("category"))
        assert differs(booster.predict(texts), booster.predict(frame))
        with pytest.raises(FeatureMismatch) as e:
            schema.prepare(texts)
        assert e.value.dtype["hour"][0] == "category (int)"
