"""Categories in the LightGBM adapter: trained from any table, given in any table, right or refused."""

from functools import cache

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from artifact_models import GRUAdapter, LightGBMAdapter, load_adapter
from sklearn.preprocessing import StandardScaler

from artifact_store import FeatureSchema, errors
from tests.integration.models.data import ROWS, TRAIN, VALID, new_store, small_trees, table, target

MONTHS = [7, 12, 1, 9, 3, 11, 2, 10, 5, 8, 6, 4]
VENUES = ["okx", "binance", "kraken", "coinbase"]
PLACES = np.arange(ROWS) * 5 % 12


def goal():
    """A target that spans 12, and goes with the months in another order than their own."""
    return PLACES * 7 % 12 + 0.01 * target()


def numbers():
    return [MONTHS[place] for place in PLACES]


def words():
    return [VENUES[place % 4] for place in PLACES]


def as_pandas(months, venues, close):
    return pd.DataFrame(
        {
            "month": pd.Categorical(months, categories=MONTHS),
            "venue": pd.Categorical(venues, categories=VENUES),
            "close": close,
        }
    )


def pandas_ordered(months, venues, close):
    frame = as_pandas(months, venues, close)
    return frame.assign(month=frame["month"].cat.as_ordered(), venue=frame["venue"].cat.as_ordered())


def pandas_in_another_order(months, venues, close):
    frame = as_pandas(months, venues, close)
    moved = {name: frame[name].cat.set_categories(sorted(frame[name].cat.categories)) for name in ("month", "venue")}
    return frame.assign(**moved)[["venue", "close", "month"]]


def pandas_plain(months, venues, close):
    return pd.DataFrame({"close": close, "venue": venues, "month": months})


def polars_enum(months, venues, close):
    enum = pl.Enum(sorted(VENUES))
    return pl.DataFrame({"venue": pl.Series(venues, dtype=enum), "month": months, "close": close})


def polars_categorical(months, venues, close):
    return pl.DataFrame({"venue": pl.Series(venues, dtype=pl.Categorical), "close": close, "month": months})


def polars_text(months, venues, close):
    return pl.DataFrame({"month": pl.Series(months, dtype=pl.UInt8), "venue": venues, "close": close})


def dictionary(values, of):
    return pa.DictionaryArray.from_arrays([of.index(value) for value in values], pa.array(of))


def arrow_dictionary(months, venues, close):
    return pa.table(
        {"close": close, "month": dictionary(months, sorted(MONTHS)), "venue": dictionary(venues, VENUES[::-1])}
    )


def arrow_text(months, venues, close):
    return pa.table({"month": pa.array(months, pa.int16()), "venue": venues, "close": close})


GIVEN = [
    as_pandas,
    pandas_ordered,
    pandas_in_another_order,
    pandas_plain,
    polars_enum,
    polars_categorical,
    polars_text,
    arrow_dictionary,
    arrow_text,
]
KNOWS_BOTH = [as_pandas, pandas_ordered, pandas_in_another_order, arrow_dictionary]
KNOWS_TEXT = [polars_enum, polars_categorical]
"""Of these, the months are plain numbers: so the model is trained on those."""

SELECTED = ["venue", "month", "close"]


def of_table(make):
    return make(numbers(), words(), table()["close"].to_numpy())


@cache
def trained(make):
    adapter = small_trees(selected_features=SELECTED, min_data_per_group=2, cat_smooth=0.1, min_data_in_leaf=2)
    adapter.fit(of_table(make), goal(), TRAIN, VALID)
    adapter.save(store := new_store(), symbol="X")
    return adapter, store.get("lightgbm/X")


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("training", KNOWS_BOTH)
def test_a_model_says_the_same_whatever_table_it_was_trained_on_and_is_given(training, given):
    adapter, run = trained(training)
    expected = adapter.model.predict(run.features.prepare(of_table(as_pandas)))
    assert np.ptp(expected) > 8
    assert np.abs(expected - goal()).mean() < 2
    for one in (adapter, load_adapter(run)):
        np.testing.assert_array_equal(one.predict(of_table(given)), expected)
        np.testing.assert_array_equal(one.predict(of_table(given), preselected=True), expected)
    np.testing.assert_array_equal(run.load().predict(run.features.prepare(of_table(given))), expected)
    assert run.verify(predict=True).ok


@pytest.mark.parametrize("given", [pandas_plain, polars_enum, polars_categorical, polars_text, arrow_text])
@pytest.mark.parametrize("training", KNOWS_TEXT)
def test_a_model_of_polars_knows_text_as_categories_and_numbers_as_numbers(training, given):
    adapter, run = trained(training)
    assert set(run.features.categories) == {"venue"}
    expected = adapter.predict(of_table(training))
    np.testing.assert_array_equal(load_adapter(run).predict(of_table(given)), expected)
    with pytest.raises(errors.FeatureMismatch, match="'month': expected int64, found category"):
        adapter.predict(of_table(as_pandas))


@pytest.mark.parametrize("training", KNOWS_BOTH)
def test_numbers_without_names_are_refused(training):
    adapter, run = trained(training)
    rows = np.column_stack((PLACES % 4, numbers(), table()["close"]))
    for one in (adapter, load_adapter(run)):
        for given in (rows, rows.tolist(), rows[0], dict(zip(SELECTED, rows[0], strict=True))):
            with pytest.raises(errors.FeatureMismatch, match="holds? categories or text"):
                one.predict(given)
        with pytest.raises(errors.FeatureMismatch, match="holds? categories or text"):
            one.predict(rows, preselected=True)


def booster_of(data):
    return lightgbm.train({"verbosity": -1, "num_threads": 1}, data, 5)


def booster_on(frame):
    return booster_of(lightgbm.Dataset(frame, goal()))


class TestRunsThatDoNotKnowTheCategories:
    """A run without features; or one that was saved before a save compared the categories."""

    def test_numbers_are_refused_where_the_model_was_trained_on_categories(self):
        run = new_store().save(booster_on(of_table(as_pandas)), "lightgbm/X")
        codes = np.column_stack((numbers(), PLACES % 4, table()["close"]))
        adapter = load_adapter(run)
        for rows, options in ((codes, {}), (pd.DataFrame(codes), {"by_position": True})):
            with pytest.raises(errors.FeatureMismatch, match="recorded 2 columns of categories.*these rows have 0"):
                adapter.predict(rows, **options)

    def test_categories_are_refused_where_the_model_recorded_none(self, tmp_path):
        frame = of_table(as_pandas)
        lightgbm.Dataset(frame, goal()).save_binary(tmp_path / "train.bin")
        adapter = LightGBMAdapter()
        adapter.features = FeatureSchema.from_frame(frame)
        adapter.model = booster_of(lightgbm.Dataset(tmp_path / "train.bin"))
        with pytest.raises(errors.FeatureMismatch, match="recorded 0 columns of categories.*these rows have 2"):
            adapter.predict(frame)
        with pytest.raises(errors.FeatureMismatch, match="'month', 'venue' hold categories, and 'model' recorded none"):
            adapter.save(new_store(), symbol="X")

    def test_the_features_of_the_table_make_it_whole(self):
        frame = of_table(as_pandas)
        run = new_store().save(booster_on(frame), "lightgbm/X", features=FeatureSchema.from_frame(frame))
        np.testing.assert_array_equal(load_adapter(run).predict(of_table(polars_text)), run.load().predict(frame))


class TestTraining:
    @pytest.mark.parametrize("values", [[True, False], [0.5, 1.5], pd.interval_range(0, 2).tolist()])
    def test_categories_that_no_schema_holds_are_refused_with_the_way_out(self, values):
        frame = table().assign(kind=pd.Categorical([values[place % 2] for place in range(ROWS)]))
        adapter = small_trees(selected_features=None)
        with pytest.raises(errors.InvalidInput, match="those of 'kind' hold .*: convert the column to text"):
            adapter.fit(frame, goal(), TRAIN, VALID)
        text = frame.assign(kind=frame["kind"].astype(str).astype("category"))
        assert adapter.fit(text, goal(), TRAIN, VALID).features.categories["kind"] == tuple(
            map(str, text["kind"].cat.categories)
        )

    @pytest.mark.parametrize("make", [as_pandas, polars_enum, arrow_dictionary])
    def test_a_scaler_and_a_network_take_no_categories(self, make):
        scaled = small_trees(selected_features=None, preprocessor=StandardScaler())
        network = GRUAdapter(sequence_length=3, epochs=1)
        for adapter in (scaled, network):
            with pytest.raises(errors.InvalidInput, match="'venue'.*categor"):
                adapter.fit(of_table(make), goal(), TRAIN, VALID)
