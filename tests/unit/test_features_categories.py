"""Categories go by their values, whatever table they come in: no model takes one by its number or by its place.

The table at the top is every way to give categories (three libraries, each of their types) to every way to train on them.
"""

import sys
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import product
from uuid import uuid4

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from artifact_store import ArtifactStore, FeatureSchema, errors
from tests.cases import each
from tests.slices import examples

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "seed": 3}
SHARP = {**QUIET, "min_data_in_leaf": 2, "min_data_per_group": 2, "cat_smooth": 0.1, "cat_l2": 0.1}
ROUNDS = 20
LISTS = {"text": ["okx", "binance", "kraken", "coinbase"], "whole": [7, 12, 1, 9, 3, 11, 2, 10, 5, 8, 6, 4]}
OTHER = {"text": "bitstamp", "whole": 99}


def draw(kind, count=300):
    generator = np.random.default_rng(5)
    places = generator.integers(0, len(LISTS[kind]), count)
    return [LISTS[kind][place] for place in places], generator.normal(size=count), places


def target(kind):
    """A target that spans 12 and goes neither with the codes nor with the values."""
    _, price, places = draw(kind)
    return 12.0 * (places * 7 % len(LISTS[kind])) / len(LISTS[kind]) + 0.1 * price


def training(kind, *, ordered=False):
    values, price, _ = draw(kind)
    return pd.DataFrame({"price": price, "c": pd.Categorical(values, categories=LISTS[kind], ordered=ordered)})


def new_store():
    return ArtifactStore(f"memory://{uuid4().hex}")


# ---------------------------------------------------------------- ways to train


def from_dataset(frame, y):
    return lightgbm.train(SHARP, lightgbm.Dataset(frame, y), ROUNDS)


def from_part_of_a_dataset(frame, y):
    whole = lightgbm.Dataset(frame, y, free_raw_data=False).construct()
    return lightgbm.train(SHARP, whole.subset(list(range(len(frame)))), ROUNDS)


def continued(frame, y):
    first = lightgbm.train(SHARP, lightgbm.Dataset(frame, y), ROUNDS // 2)
    return lightgbm.train(SHARP, lightgbm.Dataset(frame, y), ROUNDS // 2, init_model=first)


def as_estimator(frame, y):
    params = {"n_estimators": ROUNDS, "n_jobs": 1, "verbosity": -1, "random_state": 3}
    return lightgbm.LGBMRegressor(**params, min_child_samples=2, min_data_per_group=2, cat_smooth=0.1).fit(frame, y)


MODELS = {made.__name__: made for made in (from_dataset, from_part_of_a_dataset, continued, as_estimator)}

# ---------------------------------------------------------------- ways to describe the training


def enum_of(values):
    return pl.Enum(list(map(str, values)))


def arrow_dictionary(values, of, *, ordered=False):
    codes = pa.array([None if value is None else of.index(value) for value in values], pa.int32())
    return pa.DictionaryArray.from_arrays(codes, pa.array(list(of)), ordered=ordered)


DESCRIBED = {
    "text": {
        "pandas": lambda frame: frame,
        "polars enum": lambda frame: pl.DataFrame(
            {"price": frame["price"].to_numpy(), "c": pl.Series(frame["c"].tolist(), dtype=enum_of(LISTS["text"]))}
        ),
        "arrow dictionary": lambda frame: pa.table(
            {"price": frame["price"].to_numpy(), "c": arrow_dictionary(frame["c"].tolist(), LISTS["text"])}
        ),
    },
    "whole": {
        "pandas": lambda frame: frame,
        "arrow dictionary": lambda frame: pa.table(
            {"price": frame["price"].to_numpy(), "c": arrow_dictionary(frame["c"].tolist(), LISTS["whole"])}
        ),
    },
}


@cache
def saved(kind, ordered, model, described):
    """The model as it was trained, the table of the training, and the run that it was saved as."""
    made, frame = trained(kind, ordered, model)
    schema = FeatureSchema.from_frame(DESCRIBED[kind][described](frame))
    return made, frame, new_store().save(made, "lightgbm/X", features=schema)


@cache
def loaded(kind, ordered, model, described):
    return saved(kind, ordered, model, described)[2].load()


@cache
def trained(kind, ordered, model):
    frame = training(kind, ordered=ordered)
    return MODELS[model](frame, target(kind)), frame


# ---------------------------------------------------------------- ways to give the rows

PANDAS = {
    "trained list": lambda values, of: pd.Categorical(values, categories=of),
    "reversed list": lambda values, of: pd.Categorical(values, categories=of[::-1]),
    "sorted list": lambda values, of: pd.Categorical(values, categories=sorted(of)),
    "only what is there": lambda values, of: pd.Categorical(values),
    "ordered": lambda values, of: pd.Categorical(values, categories=sorted(of), ordered=True),
    "a longer list": lambda values, of: pd.Categorical(values, categories=[OTHER_OF[type(of[0])], *sorted(of)]),
    "objects": lambda values, of: pd.Series(values, dtype=object),
    "arrow's dictionary": lambda values, of: pd.Series(
        pd.array(
            arrow_dictionary(values, sorted(of)), dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.array(of).type))
        )
    ),
}
OTHER_OF = {type(value): value for value in OTHER.values()}
POLARS = {}
ARROW = {
    "plain": lambda values, of: pa.array(values),
    "dictionary": arrow_dictionary,
    "sorted dictionary": lambda values, of: arrow_dictionary(values, sorted(of)),
    "ordered dictionary": lambda values, of: arrow_dictionary(values, of[::-1], ordered=True),
    "two dictionaries": lambda values, of: pa.chunked_array(
        [arrow_dictionary(values[:5], sorted(of)), arrow_dictionary(values[5:], sorted(of)[::-1])]
    ),
}
ONLY = {
    "text": (
        {
            "str": lambda values, of: pd.Series(values, dtype="str"),
            "string": lambda values, of: pd.Series(values, dtype="string"),
            "arrow's string": lambda values, of: pd.Series(values, dtype=pd.ArrowDtype(pa.string())),
        },
        {
            "enum": lambda values, of: pl.Series(values, dtype=enum_of(of)),
            "sorted enum": lambda values, of: pl.Series(values, dtype=enum_of(sorted(of))),
            "longer enum": lambda values, of: pl.Series(values, dtype=enum_of(["bitstamp", *of])),
            "categorical": lambda values, of: pl.Series(values, dtype=pl.Categorical),
            "string": lambda values, of: pl.Series(values, dtype=pl.String),
        },
        {"large string": lambda values, of: pa.array(values, pa.large_string())},
    ),
    "whole": (
        {
            "float64": lambda values, of: pd.Series(values, dtype="float64"),
            "float list": lambda values, of: pd.Categorical(pd.Series(values, dtype="float64")),
            "Int64": lambda values, of: pd.Series(values, dtype="Int64"),
            "arrow's int16": lambda values, of: pd.Series(values, dtype=pd.ArrowDtype(pa.int16())),
        },
        {
            str(dtype): lambda values, of, dtype=dtype: pl.Series(values, dtype=dtype)
            for dtype in (pl.Int64, pl.Int8, pl.UInt16, pl.Float32)
        },
        {
            str(dtype): lambda values, of, dtype=dtype: pa.array(values, dtype)
            for dtype in (pa.int8(), pa.uint32(), pa.float64())
        },
    ),
}
WAYS = {
    (kind, f"{library}: {name}"): (make, column)
    for kind in LISTS
    for library, make, columns in (
        ("pandas", pd.DataFrame, PANDAS | ONLY[kind][0]),
        ("polars", pl.DataFrame, POLARS | ONLY[kind][1]),
        ("arrow", pa.table, ARROW | ONLY[kind][2]),
    )
    for name, column in columns.items()
}


def given_rows(kind, way, values, price):
    make, column = WAYS[kind, way]
    return make({"c": column(values, LISTS[kind]), "spare": [0.0] * len(price), "price": list(price)})


def ways_of(kind):
    return [way for own, way in WAYS if own == kind]


TABLE = [
    (kind, ordered, model, described)
    for kind in LISTS
    for ordered, model, described in product((False, True), MODELS, DESCRIBED[kind])
    if model == "from_dataset" or described == "pandas"
]


@pytest.mark.parametrize(("kind", "ordered", "model", "described"), TABLE)
def test_every_table_makes_a_model_say_what_it_says_on_the_pandas_table_of_its_training(
    kind, ordered, model, described
):
    made, _, run = saved(kind, ordered, model, described)
    values, price, _ = draw(kind, 40)
    values[3] = None
    twin = pd.DataFrame({"price": price, "c": pd.Categorical(values, categories=LISTS[kind], ordered=ordered)})
    expected = made.predict(twin)
    assert np.ptp(expected) > 8  # a wrong category is far off
    for case in each(ways_of(kind)):
        with case as way:
            rows = given_rows(kind, way, values, price)
            for prepared in (run.features.prepare(rows), run.features.select(run.features.align(rows))):
                np.testing.assert_array_equal(loaded(kind, ordered, model, described).predict(prepared), expected)
                assert prepared["c"].cat.categories.tolist() == LISTS[kind]
                assert list(prepared.columns) == ["price", "c"]
                assert prepared["price"].dtype == np.float64


@pytest.mark.parametrize("kind", LISTS)
def test_a_category_that_was_not_trained_is_refused_in_every_table_or_missing(kind):
    _, _, run = saved(kind, False, "from_dataset", "pandas")
    strict = run.features
    lenient = FeatureSchema(strict.names, dtypes=strict.dtypes, categories=strict.categories, unseen="missing")
    values = [*LISTS[kind][::-1], OTHER[kind]]
    for case in each(ways_of(kind)):
        with case as way:
            make, column = WAYS[kind, way]
            of = LISTS[kind] if "longer" in way else [*LISTS[kind], OTHER[kind]]
            rows = make({"price": [0.5] * len(values), "c": column(values, of)})
            with pytest.raises(errors.FeatureMismatch, match=f"'c' holds {OTHER[kind]!r}"):
                strict.prepare(rows)
            prepared = lenient.prepare(rows)
            assert prepared["c"].cat.codes.tolist() == [*range(len(LISTS[kind]) - 1, -1, -1), -1]


OTHER_KIND = {"text": "whole", "whole": "text"}


@pytest.mark.parametrize("kind", LISTS)
def test_whole_numbers_are_not_taken_for_text_nor_text_for_whole_numbers(kind):
    _, _, run = saved(OTHER_KIND[kind], False, "from_dataset", "pandas")
    values, price, _ = draw(kind, 20)
    for case in each(ways_of(kind)):
        with case as way, pytest.raises(errors.FeatureMismatch, match=r"'c': expected category \((str|int)\)"):
            run.features.prepare(given_rows(kind, way, values, price))


class TestWhatLightgbmDoesByItself:
    """Why the form of pandas is the only one: each of these is silent."""

    def test_whole_numbers_of_other_tables_are_codes_for_it(self):
        booster, frame, run = saved("whole", False, "from_dataset", "pandas")
        price, months = frame["price"].to_numpy(), frame["c"].astype(int).to_numpy()
        expected = booster.predict(frame)
        for rows in (
            pl.DataFrame({"price": price, "c": months}),
            pa.table({"price": price, "c": months}),
            np.column_stack((price, months)),
        ):
            assert np.abs(booster.predict(rows) - expected).max() > 7
            if isinstance(rows, np.ndarray):
                with pytest.raises(errors.FeatureMismatch, match="may be a code or a value"):
                    run.features.prepare(rows)
                with pytest.raises(errors.FeatureMismatch, match="may be a code or a value"):
                    run.features.select(rows)
            else:
                np.testing.assert_array_equal(booster.predict(run.features.prepare(rows)), expected)

    def test_a_single_row_with_names_is_right_or_refused(self):
        _, _, run = saved("whole", False, "from_dataset", "pandas")
        for row in (pd.Series({"price": 0.5, "c": 7.0}), {"price": 0.5, "c": 7}):
            with pytest.raises(errors.FeatureMismatch, match="categories"):
                run.features.select(row)


FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table}


@cache
def saved_on_numbers(library):
    values, price, _ = draw("whole")
    table = FRAMES[library]({"price": price, "c": np.array(values)})
    data = lightgbm.Dataset(table, target("whole"), categorical_feature=["c"])
    booster = lightgbm.train(SHARP, data, ROUNDS)
    return booster, new_store().save(booster, "lightgbm/X", features=FeatureSchema.from_frame(table))


class TestNumbersThatStayNumbers:
    """``categorical_feature`` takes the numbers themselves for categories: there is no list, and nothing to map."""

    @pytest.mark.parametrize(
        "rows",
        [
            lambda price, values: pd.DataFrame({"c": values, "price": price}),
            lambda price, values: pd.DataFrame({"c": np.array(values, "int8"), "price": price}),
            lambda price, values: pl.DataFrame({"c": values, "price": price}),
            lambda price, values: pl.DataFrame({"c": pl.Series(values, dtype=pl.UInt8), "price": price}),
            lambda price, values: pa.table({"c": values, "price": price}),
            lambda price, values: np.column_stack((price, values)),
        ],
    )
    @pytest.mark.parametrize("library", FRAMES)
    def test_numbers_are_what_they_say_in_every_table(self, library, rows):
        booster, run = saved_on_numbers(library)
        values, price, _ = draw("whole", 40)
        expected = booster.predict(np.column_stack((price, values)))
        assert np.ptp(expected) > 8
        np.testing.assert_array_equal(run.load().predict(run.features.prepare(rows(price, values))), expected)

    @pytest.mark.parametrize("library", FRAMES)
    def test_categories_in_their_place_are_refused(self, library):
        values, price, _ = draw("whole", 40)
        features = saved_on_numbers(library)[1].features
        for case in each(way for way in ways_of("whole") if "list" in way or "dict" in way):
            with case as way, pytest.raises(errors.FeatureMismatch, match="'c': expected int64, found category"):
                features.prepare(given_rows("whole", way, values, price))


# ---------------------------------------------------------------- what is saved


def codes_of(frame):
    return frame.assign(c=frame["c"].cat.codes.astype("int64"))


def from_a_binary_dataset(frame, y, folder):
    lightgbm.Dataset(frame, y).save_binary(folder / "train.bin")
    return lightgbm.train(SHARP, lightgbm.Dataset(folder / "train.bin"), ROUNDS)


def from_a_part_too_early(frame, y, folder):
    """LightGBM notes the lists when it makes a Dataset, and a part that was asked for before has none."""
    part = lightgbm.Dataset(frame, y, free_raw_data=False).subset(list(range(len(frame))))
    return lightgbm.train(SHARP, part, ROUNDS)


def from_codes(convert):
    def train(frame, y, folder):
        data = lightgbm.Dataset(convert(codes_of(frame)), y, feature_name=["price", "c"], categorical_feature=[1])
        return lightgbm.train(SHARP, data, ROUNDS)

    return train


WITHOUT_LISTS = {
    "binary Dataset": from_a_binary_dataset,
    "part of a Dataset that was not made yet": from_a_part_too_early,
    "array": from_codes(pd.DataFrame.to_numpy),
    "pandas": from_codes(lambda codes: codes),
    "polars": from_codes(pl.from_pandas),
    "arrow": from_codes(pa.Table.from_pandas),
}


class TestSaving:
    @pytest.mark.parametrize("how", WITHOUT_LISTS)
    @pytest.mark.parametrize(("kind", "ordered"), list(product(LISTS, [False, True])))
    @pytest.mark.parametrize("described", ["pandas", "arrow dictionary"])
    def test_a_model_of_bare_codes_is_refused_with_categories_and_kept_with_codes(
        self, kind, ordered, how, described, tmp_path
    ):
        frame = training(kind, ordered=ordered)
        booster, store = WITHOUT_LISTS[how](frame, target(kind), tmp_path), new_store()
        with pytest.raises(errors.FeatureMismatch, match="'c' hold categories.*binary Dataset.*FeatureSchema") as e:
            store.save(booster, "lightgbm/X", features=FeatureSchema.from_frame(DESCRIBED[kind][described](frame)))
        assert set(e.value.dtype) == {"c"}
        assert store.models() == []
        codes = codes_of(frame)  # what the text says to do
        run = store.save(booster, "lightgbm/X", features=FeatureSchema.from_frame(codes))
        expected = booster.predict(codes.to_numpy())
        for rows in (codes, pl.from_pandas(codes), pa.Table.from_pandas(codes), codes.to_numpy()):
            np.testing.assert_array_equal(run.load().predict(run.features.prepare(rows)), expected)
        with pytest.raises(errors.FeatureMismatch, match="'c': expected int64, found category"):
            run.features.prepare(frame)

    def test_an_encoder_in_the_same_run_makes_the_codes(self):
        frame = training("text")
        encoder = OrdinalEncoder(categories=[LISTS["text"]])
        encode = make_column_transformer((StandardScaler(), ["price"]), (encoder, ["c"])).fit(frame)
        booster = lightgbm.train(SHARP, lightgbm.Dataset(encode.transform(frame), target("text")), ROUNDS)
        schema = FeatureSchema.from_frame(frame)
        with pytest.raises(errors.FeatureMismatch, match="as the component 'preprocessor'"):
            new_store().save(booster, "lightgbm/X", features=schema)
        run = new_store().save(booster, "lightgbm/X", features=schema, components={"preprocessor": encode})
        moved = pl.DataFrame({"c": frame["c"].astype(str).tolist(), "price": frame["price"].tolist()})
        prepared = run.features.prepare(moved, run.load("preprocessor"))
        np.testing.assert_array_equal(run.load().predict(prepared), booster.predict(encode.transform(frame)))

    @pytest.mark.parametrize("model", MODELS)
    @pytest.mark.parametrize("kind", LISTS)
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda of: of[::-1], "in another order"),
            (lambda of: of[:-1], "other categories"),
            (lambda of: [*of, OTHER_OF[type(of[0])]], "other categories"),
            (lambda of: [str(value) + "x" for value in of], "of 'c' it knows"),
        ],
    )
    def test_other_categories_than_the_model_recorded_are_refused(self, kind, model, change, message):
        made, frame, _ = saved(kind, False, model, "pandas")
        schema = FeatureSchema(["price", "c"], dtypes={"price": "float64"}, categories={"c": change(LISTS[kind])})
        with pytest.raises(errors.FeatureMismatch, match=f"{message}.*from_frame") as e:
            new_store().save(made, "lightgbm/X", features=schema)
        assert set(e.value.dtype) == {"c"}
        assert new_store().save(made, "lightgbm/X", features=FeatureSchema.from_frame(frame)).published

    @pytest.mark.parametrize("model", MODELS)
    @pytest.mark.parametrize(
        "schema",
        [
            FeatureSchema(["price", "c"]),
            FeatureSchema(["price", "c"], dtypes="float64"),
            FeatureSchema(["price", "c"], categories={"price": ["a"], "c": LISTS["whole"]}),
        ],
    )
    def test_more_or_fewer_columns_of_categories_than_the_model_recorded_are_refused(self, model, schema):
        made, _, _ = saved("whole", False, model, "pandas")
        with pytest.raises(errors.FeatureMismatch, match="trained on 1 columns of categories.*from_frame"):
            new_store().save(made, "lightgbm/X", features=schema)

    @pytest.mark.parametrize("model", MODELS)
    def test_a_run_that_was_saved_before_they_were_compared_is_wrong_when_it_is_validated(self, model, monkeypatch):
        made, _, run = saved("whole", False, model, "pandas")
        assert run.validate().verdict == "sound"
        reversed_lists = FeatureSchema(["price", "c"], categories={"c": LISTS["whole"][::-1]})
        monkeypatch.setattr("artifact_store.draft.check_categories", lambda *_: None)  # as earlier releases did
        found = new_store().save(made, "lightgbm/X", features=reversed_lists).validate()
        assert found.verdict == "wrong"
        assert "in another order" in str(found.problems[0])

    def test_lists_are_compared_in_the_order_in_which_the_model_is_given_them(self):
        values, price, _ = draw("whole")
        frame = training("text").assign(month=pd.Categorical(values, categories=LISTS["whole"]), rest=price)
        chosen = ["month", "price", "c"]
        booster = from_dataset(frame[chosen], target("whole"))
        run = new_store().save(
            booster, "lightgbm/X", features=FeatureSchema.from_frame(frame, selected=["month", "price", "c"])
        )
        rows = pl.DataFrame({"c": frame["c"].astype(str).tolist(), "rest": price, "month": values, "price": price})
        expected = booster.predict(frame[chosen].assign(price=price))
        np.testing.assert_array_equal(run.load().predict(run.features.prepare(rows)), expected)
        two = FeatureSchema.from_frame(frame, selected=chosen)
        lists = {"c": LISTS["text"][::-1], "month": LISTS["whole"]}
        with pytest.raises(errors.FeatureMismatch) as e:
            new_store().save(
                booster, "lightgbm/X", features=FeatureSchema(two.names, selected=chosen, categories=lists)
            )
        assert set(e.value.dtype) == {"c"}

    def test_a_categorical_of_polars_has_no_order_of_its_own_and_is_held_to_that_of_the_model(self):
        values, price, _ = draw("text")
        table = pl.DataFrame({"price": price, "c": pl.Series(values, dtype=pl.Categorical)})
        frame = table.to_pandas()
        booster = from_dataset(frame, target("text"))
        assert booster.pandas_categorical == [frame["c"].cat.categories.tolist()]
        assert booster.pandas_categorical != [sorted(LISTS["text"])]
        with pytest.raises(errors.FeatureMismatch, match="in another order"):
            new_store().save(booster, "lightgbm/X", features=FeatureSchema.from_frame(table))
        run = new_store().save(booster, "lightgbm/X", features=FeatureSchema.from_frame(frame))
        np.testing.assert_array_equal(run.load().predict(run.features.prepare(table)), booster.predict(frame))

    def test_whole_numbers_that_a_gap_made_floats_are_whole_again(self):
        values, price, _ = draw("whole")
        holed = pd.Series([np.nan, *values[1:]])
        frame = pd.DataFrame({"price": price, "c": holed.astype("category")})
        booster = from_dataset(frame, target("whole"))
        run = new_store().save(booster, "lightgbm/X", features=FeatureSchema.from_frame(frame))
        assert run.features.categories["c"] == tuple(range(1, 13))
        assert all(type(value) is int for value in run.features.categories["c"])
        for rows in (frame, pl.DataFrame({"price": price, "c": [None, *values[1:]]})):
            np.testing.assert_array_equal(run.load().predict(run.features.prepare(rows)), booster.predict(frame))


class TestThePredictorOfAnEstimator:
    def rows(self):
        _, frame, run = saved("whole", False, "as_estimator", "pandas")
        return run, frame, frame.assign(c=frame["c"].astype(int))

    @pytest.mark.parametrize(
        ("convert", "found"),
        [
            (pd.DataFrame.to_numpy, "numpy.ndarray"),
            (lambda numbers: numbers.to_numpy().tolist(), "builtins.list"),
            (lambda numbers: sparse.csr_matrix(numbers.to_numpy()), "csr_matrix"),
            (pl.from_pandas, "polars.*DataFrame"),
            (pa.Table.from_pandas, "pyarrow.*Table"),
            (lambda numbers: numbers, "a table with 0 of them"),
            (lambda numbers: numbers.astype("category"), "a table with 2 of them"),
        ],
    )
    def test_numbers_are_refused_where_it_was_trained_on_categories(self, convert, found):
        run, frame, numbers = self.rows()
        with pytest.raises(errors.FeatureMismatch, match=f"got .*{found}.*features.prepare"):
            run.load().predict(convert(numbers))
        assert np.ptp(run.load().predict(frame)) > 8

    def test_columns_in_another_order_are_refused_where_there_are_categories(self):
        run, frame, _ = self.rows()
        with pytest.raises(errors.FeatureMismatch, match="'price' as input 0") as e:
            run.load().predict(frame[["c", "price"]])
        assert e.value.reordered

    def test_probabilities_are_held_to_the_same(self):
        frame = training("whole")
        params = {"n_estimators": 5, "n_jobs": 1, "verbosity": -1}
        estimator = lightgbm.LGBMClassifier(**params).fit(frame, target("whole") > 6)
        run = new_store().save(estimator, "lightgbm/X", features=FeatureSchema.from_frame(frame))
        with pytest.raises(errors.FeatureMismatch, match="1 columns of categories"):
            run.load().predict_proba(frame.assign(c=frame["c"].astype(int)).to_numpy())
        rows = pl.DataFrame({"c": frame["c"].astype(int).tolist(), "price": frame["price"].tolist()})
        np.testing.assert_array_equal(
            run.load().predict_proba(run.features.prepare(rows)), estimator.predict_proba(frame)
        )


# ---------------------------------------------------------------- other models than LightGBM's

ENCODERS = {
    "one column for each": lambda of: OneHotEncoder(sparse_output=False),
    "sorted places": lambda of: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "given places": lambda of: OrdinalEncoder(categories=[of if isinstance(of[0], str) else sorted(of)]),
}


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("kind", LISTS)
def test_an_encoder_of_scikit_learn_makes_of_every_table_what_it_makes_of_the_training(kind, encoder):
    frame = training(kind)
    encode = make_column_transformer(("passthrough", ["price"]), (ENCODERS[encoder](LISTS[kind]), ["c"])).fit(frame)
    values, price, _ = draw(kind, 40)
    expected = encode.transform(pd.DataFrame({"price": price, "c": pd.Categorical(values, categories=LISTS[kind])}))
    for case in each(ways_of(kind)):
        with case as way:
            prepared = FeatureSchema.from_frame(frame).prepare(given_rows(kind, way, values, price), encode)
            np.testing.assert_array_equal(prepared, expected)


@pytest.mark.parametrize("kind", LISTS)
def test_a_model_that_goes_by_the_dtype_says_what_it_says_on_the_training(kind):
    frame = training(kind)
    trees = HistGradientBoostingRegressor(categorical_features="from_dtype", max_iter=10, random_state=0)
    model = make_pipeline(trees).fit(frame, target(kind))
    values, price, _ = draw(kind, 40)
    expected = model.predict(pd.DataFrame({"price": price, "c": pd.Categorical(values, categories=LISTS[kind])}))
    for case in each(ways_of(kind)):
        with case as way:
            prepared = FeatureSchema.from_frame(frame).prepare(given_rows(kind, way, values, price))
            np.testing.assert_array_equal(model.predict(prepared), expected)


# ---------------------------------------------------------------- whatever lists


texts = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3), min_size=1, unique=True)
wholes = st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=1, unique=True)


@st.composite
def lists_and_rows(draw):
    """A trained list, another order of it, and rows of which some categories are absent and some values missing."""
    trained = draw(st.one_of(texts, wholes))
    rows = draw(st.lists(st.one_of(st.none(), st.sampled_from(trained)), min_size=1, max_size=8))
    return trained, draw(st.permutations(trained)), rows


def tables_of(rows, of):
    is_text = isinstance(of[0], str)
    present = list(dict.fromkeys(value for value in rows if value is not None)) or of
    yield pd.DataFrame({"c": pd.Categorical(rows, categories=pd.Index(of))})
    yield pd.DataFrame({"c": pd.Categorical(rows, categories=pd.Index(present))})
    yield pd.DataFrame({"c": pd.Series(rows, dtype=object)})
    yield pa.table({"c": arrow_dictionary(rows, of)})
    yield pa.table({"c": pa.array(rows, pa.string() if is_text else pa.int64())})
    yield pl.DataFrame({"c": pl.Series(rows, dtype=pl.String if is_text else pl.Int64)})
    if is_text:
        yield pl.DataFrame({"c": pl.Series(rows, dtype=pl.Enum(of))})
        yield pl.DataFrame({"c": pl.Series(rows, dtype=pl.Categorical)})
    else:
        yield pl.DataFrame({"c": pl.Series(rows, dtype=pl.Float64)})


@pytest.mark.windows
@settings(max_examples=examples(15, 600))
@given(lists_and_rows())
def test_no_order_and_no_absence_changes_the_code_of_a_category(case):
    trained, other, rows = case
    schema = FeatureSchema.from_json(FeatureSchema(["c"], categories={"c": trained}).to_json())
    expected = [-1 if value is None else trained.index(value) for value in rows]
    for of in (trained, other):
        for table in tables_of(rows, of):
            assert schema.prepare(table)["c"].cat.codes.tolist() == expected
            assert schema.select(schema.align(table))["c"].cat.categories.tolist() == trained


@settings(max_examples=examples(8, 300))
@given(st.permutations(LISTS["whole"]), st.lists(st.sampled_from(LISTS["whole"]), min_size=1, max_size=6))
def test_no_order_and_no_absence_changes_what_a_model_says(other, rows):
    booster, _, run = saved("whole", False, "from_dataset", "pandas")
    price = [0.25] * len(rows)
    expected = booster.predict(pd.DataFrame({"price": price, "c": pd.Categorical(rows, categories=LISTS["whole"])}))
    for table in tables_of(rows, other):
        names = table.column_names if isinstance(table, pa.Table) else table.columns
        assert list(names) == ["c"]
        found = booster.predict(run.features.prepare(table, fill={"price": 0.25}))
        np.testing.assert_array_equal(found, expected)


# ---------------------------------------------------------------- the form


@pytest.mark.windows
class TestTheForm:
    SCHEMA = FeatureSchema(
        ["n", "small", "flag", "word", "c", "unused"],
        selected=["c", "small", "n", "flag", "word"],
        dtypes={"n": "int64", "small": "float32", "flag": "bool", "word": "string", "unused": "int8"},
        categories={"c": [3, 1]},
    )
    ROWS = {  # noqa: RUF012 -- never changed
        "unused": [1, 2],
        "n": [2**62 + 1, 5],
        "c": [1, 3],
        "flag": [True, False],
        "word": ["x", "y"],
        "small": [0.5, 1.5],
    }

    @pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
    def test_the_other_columns_keep_value_and_dtype(self, make):
        prepared = self.SCHEMA.prepare(make(self.ROWS))
        assert prepared.to_dict("list") == {name: self.ROWS[name] for name in self.SCHEMA.selected_names}
        assert [str(prepared[name].dtype) for name in ("small", "n", "flag")] == ["float32", "int64", "bool"]
        assert prepared["c"].cat.codes.tolist() == [1, 0]
        assert isinstance(self.SCHEMA.align(make(self.ROWS)), type(make(self.ROWS)))

    @pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
    def test_a_gap_in_numbers_becomes_nan_as_lightgbm_itself_makes_it(self, make):
        holed = {"a": [1, None], "f": [None, 0.5], "b": [True, None], "t": [None, "x"], "c": ["x", None]}
        schema = FeatureSchema(
            list(holed), dtypes={"a": "int64", "f": "float32", "b": "bool", "t": "string"}, categories={"c": ["x"]}
        )
        prepared = schema.prepare(make(holed))
        assert prepared.isna().to_dict("list") == {name: [v is None for v in holed[name]] for name in holed}
        assert prepared["a"].tolist()[0] == prepared["b"].tolist()[0] == 1.0
        assert str(prepared["f"].dtype) == "float32"

    @pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
    def test_a_table_stays_in_its_library_where_no_category_is_given_to_the_model(self, make):
        schema = FeatureSchema(["a", "c"], selected=["a"], categories={"c": ["x"]})
        table = make({"c": ["x"], "a": [1.0]})
        assert isinstance(schema.prepare(table), type(table))
        assert isinstance(schema.select(schema.align(table)), type(table))

    @pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
    def test_a_preprocessor_before_the_selection_is_given_pandas_if_it_sees_categories(self, make):
        schema = FeatureSchema(["a", "c"], selected=["a"], categories={"c": ["x", "y"]})
        seen = []
        made = schema.prepare(make({"c": ["y"], "a": [1.0]}), lambda rows: seen.append(rows) or rows)
        assert seen[0]["c"].cat.codes.tolist() == [1]
        assert made.to_dict("list") == {"a": [1.0]}

    @pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
    def test_selected_rows_and_rows_by_position_and_filled_ones_are_no_exception(self, make):
        schema = FeatureSchema(["a", "c", "n"], selected=["c", "n"], categories={"c": [9, 4]})
        chosen = make({"n": [0.5, 1.5], "c": [4, 9]})
        for prepared in (schema.prepare(chosen, preselected=True), schema.select(chosen)):
            if make is not pd.DataFrame:  # of which select takes the columns as they are
                assert prepared["c"].cat.codes.tolist() == [1, 0]
        placed = schema.prepare(make({"x": [0.0, 0.0], "y": [4, 9], "z": [1.0, 2.0]}), by_position=True)
        assert placed["c"].cat.codes.tolist() == [1, 0]
        filled = schema.prepare(make({"n": [0.5, 1.5], "a": [0.0, 0.0]}), fill={"c": 4})
        assert filled["c"].cat.codes.tolist() == [1, 1]

    @pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
    def test_an_empty_table_has_the_form_too(self, make):
        rows = make({"a": np.array([], "float64"), "c": np.array([], "int64")})
        prepared = FeatureSchema(["a", "c"], categories={"c": [9, 4]}).prepare(rows)
        assert (len(prepared), prepared["c"].cat.categories.tolist()) == (0, [9, 4])

    @pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
    def test_a_gap_among_whole_numbers_that_no_float_holds_is_refused(self, make):
        schema = FeatureSchema(["n", "c"], dtypes={"n": "int64"}, categories={"c": ["x"]})
        for values in ([2**53 + 1, None], [None, -(2**62) - 1]):
            with pytest.raises(errors.FeatureMismatch, match="'n': expected int64, found int64 with missing values"):
                schema.prepare(make({"n": values, "c": ["x", "x"]}))
            assert type(schema.align(make({"n": values, "c": ["x", "x"]}))) is type(make({}))
        assert schema.prepare(make({"n": [2**53, None], "c": ["x", "x"]}))["n"].dropna().tolist() == [2**53]
        assert schema.prepare(make({"n": [2**53 + 1], "c": ["x"]}))["n"].tolist() == [2**53 + 1]

    @pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
    def test_without_pandas_it_says_what_to_install(self, make, monkeypatch):
        schema, rows = FeatureSchema(["c"], categories={"c": ["x"]}), make({"c": ["x"]})
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(errors.Unsupported, match=r"'c'. hold categories.*: pip install pandas pyarrow"):
            schema.prepare(rows)
        assert isinstance(schema.align(rows), type(rows))


@pytest.mark.windows
class TestValues:
    @pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
    @pytest.mark.parametrize(("dtype", "limit"), [("float16", 2**11), ("float32", 2**24), ("float64", 2**53)])
    def test_a_float_that_may_have_been_another_whole_number_is_refused(self, make, dtype, limit):
        if (make, dtype) == (pl.DataFrame, "float16"):
            make = pa.table
        schema = FeatureSchema(["c"], categories={"c": [limit - 1, limit, limit + 1, -limit]})
        assert schema.prepare(make({"c": np.array([limit - 1], dtype)}))["c"].cat.codes.tolist() == [0]
        assert schema.prepare(make({"c": np.array([limit + 1], "int64")}))["c"].cat.codes.tolist() == [2]
        for value in (limit, limit + 1, -limit):  # the first two are the same float
            with pytest.raises(errors.FeatureMismatch, match=r"'c': expected category \(int\), found float"):
                schema.prepare(make({"c": np.array([value], dtype)}))

    @pytest.mark.parametrize("of", [["x", "y"], [1, 2]])
    @pytest.mark.parametrize(
        "value", [True, 1.5, [1], {"x": 1}, b"x", ("x",), Decimal("1.5"), 1j, np.array([1, 2]), pd.Timestamp("2024")]
    )
    def test_a_value_that_is_no_category_is_refused_with_its_column(self, of, value):
        rows = pd.DataFrame({"c": pd.Series([value, None], dtype=object)})
        with pytest.raises(errors.FeatureMismatch, match=r"'c': expected category") as e:
            FeatureSchema(["c"], categories={"c": of}).prepare(rows)
        assert set(e.value.dtype) == {"c"}

    @pytest.mark.parametrize(
        "column",
        [
            pl.Series([["x"]]),
            pl.Series([{"x": 1}]),
            pl.Series([Decimal("1.5")]),
            pl.Series([b"x"]),
            pl.Series([True]),
        ],
    )
    def test_a_column_of_another_kind_is_refused_in_polars_and_arrow(self, column):
        table = pl.DataFrame({"c": column})
        for rows, of in product((table, table.to_arrow()), (["x"], [1])):
            with pytest.raises(errors.FeatureMismatch, match=r"'c': expected category"):
                FeatureSchema(["c"], categories={"c": of}).prepare(rows)

    def test_numpys_own_numbers_and_texts_are_values_as_well(self):
        months, venues = FeatureSchema(["c"], categories={"c": [9, 4]}), FeatureSchema(["c"], categories={"c": ["x"]})
        numbers = [np.int8(4), np.uint64(9), np.float32(4), np.float64("nan"), Fraction(9), None]
        prepared = months.prepare(pd.DataFrame({"c": pd.Series(numbers, dtype=object)}))
        assert prepared["c"].cat.codes.tolist() == [1, 0, 1, -1, 0, -1]
        words = venues.prepare(pd.DataFrame({"c": pd.Series([np.str_("x"), pd.NA], dtype=object)}))
        assert words["c"].cat.codes.tolist() == [0, -1]


@pytest.mark.windows
class TestDescribing:
    @pytest.mark.parametrize(
        ("values", "named"),
        [
            ([True, False], r"False \(bool\)"),
            ([1.5, 2.5], r"1.5 \(float\)"),
            ([1.0, 2.0**53], r"1.0 \(float\)"),
            ([1.0, float("inf")], r"1.0 \(float\)"),
            (
                pd.to_datetime(["2024-01-01", "2024-01-02"]).tolist(),
                r"Timestamp\(.2024-01-01 00:00:00.\) \(Timestamp\)",
            ),
            (pd.interval_range(0, 2).tolist(), r"Interval.*\(Interval\)"),
            ([Decimal(1), Decimal(2)], r"Decimal\('1'\) \(Decimal\)"),
            ([1, "a"], r"'a' \(str\)"),
            (["a", 1], r"1 \(int\)"),
            ([("a", 1), ("b", 2)], r".*\(tuple\)"),
        ],
    )
    def test_categories_that_are_neither_text_nor_whole_numbers_are_refused_with_the_way_out(self, values, named):
        categories = pd.Index(sorted(values) if values == [True, False] else values, tupleize_cols=False)
        frame = pd.DataFrame({"k": pd.Categorical(values, categories=categories)})
        with pytest.raises(errors.InvalidInput, match=rf"those of 'k' hold {named}: convert the column to text") as e:
            FeatureSchema.from_frame(frame)
        assert "mask" not in str(e.value)
        told = frame.assign(k=frame["k"].astype(str).astype("category"))  # what the text says to do
        assert FeatureSchema.from_frame(told).categories["k"] == tuple(map(str, told["k"].cat.categories))

    @pytest.mark.parametrize("dtype", [pa.bool_(), pa.float64()])
    def test_so_are_those_of_arrow(self, dtype):
        column = pa.array([1.5, 0.0]).cast(pa.float64()).cast(dtype, safe=False).dictionary_encode()
        with pytest.raises(errors.InvalidInput, match="those of 'k' hold"):
            FeatureSchema.from_frame(pa.table({"k": column}))

    def test_dictionaries_of_several_chunks_are_one_list(self):
        column = pa.chunked_array([arrow_dictionary(["b", "a"], ["b", "a"]), arrow_dictionary(["c", "a"], ["c", "a"])])
        schema = FeatureSchema.from_frame(pa.table({"k": column}))
        assert schema.categories["k"] == ("b", "a", "c")
        prepared = schema.prepare(pa.table({"k": column}))
        assert prepared["k"].tolist() == ["b", "a", "c", "a"]

    def test_a_missing_value_in_a_dictionary_is_no_category(self):
        column = pa.DictionaryArray.from_arrays([0, 1, None], pa.array([None, "a"]))
        schema = FeatureSchema.from_frame(pa.table({"k": column}))
        assert schema.categories["k"] == ("a",)
        assert schema.prepare(pa.table({"k": column}))["k"].cat.codes.tolist() == [-1, 0, -1]

    def test_a_column_that_pandas_leaves_to_arrow_has_no_list(self):
        encoded = pd.array(["a", "b"], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())))
        with pytest.raises(errors.InvalidInput, match="'k' is dictionary.*convert"):
            FeatureSchema.from_frame(pd.DataFrame({"k": encoded}))
        assert FeatureSchema.from_frame(pd.DataFrame({"k": pd.Series(encoded).astype("category")})).categories
