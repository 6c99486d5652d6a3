"""Alignment: every input comes back as the model was trained on it, or is refused with a precise error."""

import datetime as dt
from decimal import Decimal
from typing import ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.errors import FeatureMismatch, InvalidInput, InvalidOption
from artifact_store.features import match
from artifact_store.features.schema import FeatureSchema

pytestmark = pytest.mark.windows

NAMES = ["open", "high", "low", "close"]
ROWS = np.array([[1.0, 4.0, 0.5, 2.0], [2.0, 5.0, 1.5, 3.0], [3.0, 6.0, 2.5, 4.0]])
SCHEMA = FeatureSchema(NAMES, selected=["close", "open"], dtypes="float64")


def as_pandas(data):
    return pd.DataFrame(data)


def as_polars(data):
    return pl.DataFrame(data)


def as_arrow(data):
    return pa.table(data)


def values(table):
    """The content of any table, as plain lists by name, in the order of its columns."""
    if isinstance(table, pd.DataFrame):
        return {name: [None if pd.isna(v) else v for v in table[name].tolist()] for name in table.columns}
    if isinstance(table, pa.Table):
        return {name: table[name].to_pylist() for name in table.column_names}
    return {name: table[name].to_list() for name in table.columns}


def dtypes(table):
    """The dtypes of any table, in the words of a schema."""
    if isinstance(table, pa.Table):
        words = {"double": "float64", "float": "float32", "halffloat": "float16"}
        return [words.get(str(kind), str(kind)) for kind in table.schema.types]
    return [str(kind).lower().replace("boolean", "bool") for kind in table.dtypes]


make_table = pytest.mark.parametrize("make", [as_pandas, as_polars, as_arrow])


def frame(columns=NAMES, make=as_pandas):
    return make({name: ROWS[:, NAMES.index(name)] if name in NAMES else np.zeros(3) for name in columns})


class TestTablesByName:
    @make_table
    def test_a_reordered_table_is_aligned_by_name(self, make):
        given_table = frame(["close", "extra", "low", "high", "open"], make)
        aligned = SCHEMA.align(given_table)
        assert type(aligned) is type(given_table)
        assert values(aligned) == values(frame(make=make))
        assert list(values(aligned)) == NAMES

    @pytest.mark.parametrize("make", [as_pandas, as_polars])
    @settings(deadline=None)  # a busy machine is no finding
    @given(order=st.permutations([*NAMES, "other", "more"]))
    def test_no_order_of_the_columns_changes_a_value(self, make, order):
        aligned = SCHEMA.align(frame(order, make))
        assert values(aligned) == values(frame(make=make))
        assert values(SCHEMA.select(aligned)) == {name: values(frame())[name] for name in ["close", "open"]}

    @settings(deadline=None)  # a busy machine is no finding
    @given(
        selected=st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
        order=st.permutations(NAMES),
    )
    def test_selecting_is_looking_up_by_name(self, selected, order):
        schema = FeatureSchema(NAMES, selected=selected, dtypes="float64")
        table = frame(order)
        pd.testing.assert_frame_equal(schema.prepare(table), table[selected])
        np.testing.assert_array_equal(schema.prepare(ROWS), table[selected].to_numpy())

    def test_the_index_of_a_pandas_frame_stays(self):
        table = frame(NAMES[::-1]).set_axis(pd.Index(["x", "x", "y"], name="at"))
        pd.testing.assert_index_equal(SCHEMA.align(table).index, table.index)

    @make_table
    def test_a_missing_column_is_named_with_the_likeliest_one(self, make):
        table = frame(["open", "High", "lowe", "close"], make)
        with pytest.raises(
            FeatureMismatch, match=r"2 of 4 features are missing: 'high' \(did you mean 'High'\?\)"
        ) as e:
            SCHEMA.align(table)
        assert e.value.missing == ("high", "low")
        assert e.value.extra == ("High", "lowe")
        assert e.value.suggestions == {"high": "High", "low": "lowe"}
        assert not e.value.reordered

    def test_blanks_underscores_and_case_are_the_first_guess(self):
        schema = FeatureSchema(["rsi_14", "macd signal", "ema.9"])
        with pytest.raises(FeatureMismatch) as e:
            schema.align(pd.DataFrame({"rsi_15": [1], "RSI 14": [1], "macd_signal": [1], "EMA9": [1], "rsi_14_": [1]}))
        assert e.value.suggestions == {"rsi_14": "RSI 14", "macd signal": "macd_signal", "ema.9": "EMA9"}

    def test_no_guess_is_made_twice_nor_among_hundreds(self):
        schema = FeatureSchema(["close", "closed"])
        with pytest.raises(FeatureMismatch) as e:
            schema.align(pd.DataFrame({"Close": [1]}))
        assert e.value.suggestions == {"close": "Close"}
        many = FeatureSchema([f"column {place}" for place in range(60)])
        with pytest.raises(FeatureMismatch, match="and 49 more") as e:
            many.align(pd.DataFrame({"column 0": [1], "COLUMN_7": [1]}))
        assert e.value.suggestions == {"column 7": "COLUMN_7"}

    @pytest.mark.parametrize("make", [as_pandas, as_arrow])
    def test_a_doubled_column_is_refused(self, make):
        if make is as_pandas:
            table = pd.DataFrame(ROWS[:, [0, 1, 2, 3, 3]], columns=[*NAMES, "close"])
        else:
            table = pa.table([*ROWS.T, ROWS[:, 0]], names=[*NAMES, "close"])
        with pytest.raises(FeatureMismatch, match=r"more than once: 'close'.*Keep one") as e:
            SCHEMA.align(table)
        assert e.value.duplicate == ("close",)

    @pytest.mark.parametrize("make", [as_pandas, as_arrow])
    def test_a_doubled_column_that_nobody_needs_does_not_matter(self, make):
        names = ["x", *NAMES, "x"]
        data = [np.zeros(3), *ROWS.T, np.ones(3)]
        table = pd.DataFrame(np.stack(data, 1), columns=names) if make is as_pandas else pa.table(data, names=names)
        assert values(SCHEMA.align(table)) == values(frame())

    @make_table
    def test_extra_columns_are_refused_on_request(self, make):
        with pytest.raises(FeatureMismatch, match=r"'extra'.*Drop") as e:
            SCHEMA.align(frame([*NAMES, "extra"], make), extra="refuse")
        assert e.value.extra == ("extra",)
        assert not e.value.missing

    def test_names_are_checked_even_when_the_count_agrees(self):
        with pytest.raises(FeatureMismatch, match=r"'low'.*missing|missing.*'low'"):
            SCHEMA.align(frame(["open", "high", "other", "close"]))

    def test_columns_that_are_spelled_otherwise_are_to_be_renamed_since_their_order_is_not_known(self):
        renamed = pd.DataFrame(ROWS[:, ::-1], columns=[name.upper() for name in reversed(NAMES)])
        with pytest.raises(FeatureMismatch, match="Rename the columns") as e:
            SCHEMA.align(renamed)
        assert "by_position" not in str(e.value)
        assert e.value.suggestions == {name: name.upper() for name in NAMES}

    def test_numbered_columns_are_not_taken_for_names(self):
        with pytest.raises(FeatureMismatch, match="by_position=True"):
            SCHEMA.align(pd.DataFrame(ROWS))

    @make_table
    def test_the_argument_is_never_changed(self, make):
        schema = FeatureSchema([*NAMES, "v"], dtypes="float32", categories={"v": ["a", "b"]}, unseen="missing")
        data = {name: ROWS[:, NAMES.index(name)] for name in NAMES[::-1]} | {"v": ["b", "z", "a"]}
        table, twin = make(data), make(data)
        schema.prepare(table)
        assert values(table) == values(twin)
        assert dtypes(table) == dtypes(twin)

    def test_an_unknown_word_for_extra_is_refused(self):
        with pytest.raises(InvalidOption):
            SCHEMA.align(frame(), extra="drop")

    def test_names_that_look_like_patterns_are_names(self):
        schema = FeatureSchema(
            ["^a$", "*", "self"], dtypes={"^a$": "float64", "*": "float64"}, categories={"self": ["x"]}
        )
        data = {"self": ["x"], "*": pl.Series([1], dtype=pl.Int8), "a": [5.0], "^a$": pl.Series([2], dtype=pl.Int8)}
        aligned = schema.align(pl.DataFrame(data))
        assert values(aligned) == {"^a$": [2.0], "*": [1.0], "self": ["x"]}
        assert values(schema.align(pl.DataFrame(data).to_pandas())) == values(aligned)


class TestFilling:
    @make_table
    def test_missing_columns_are_filled_where_the_caller_gives_a_value(self, make):
        aligned = SCHEMA.align(frame(["close", "open"], make), fill={"low": 0, "high": None, "open": 99.0})
        assert list(values(aligned)) == NAMES
        assert values(aligned)["open"] == [1.0, 2.0, 3.0]
        assert values(aligned)["low"] == [0.0, 0.0, 0.0]
        assert all(value is None or np.isnan(value) for value in values(aligned)["high"])
        assert dtypes(aligned) == ["float64"] * 4

    @make_table
    def test_a_text_and_a_category_can_be_filled(self, make):
        schema = FeatureSchema(
            ["a", "t", "u", "c"], dtypes={"t": "string", "u": "string"}, categories={"c": ["x", "y"]}
        )
        aligned = schema.align(make({"a": [1.0]}), fill={"t": "hello", "u": None, "c": "y"})
        assert values(aligned) == {"a": [1.0], "t": ["hello"], "u": [None], "c": ["y"]}
        with pytest.raises(FeatureMismatch, match="'z'"):
            schema.align(make({"a": [1.0]}), fill={"t": "hello", "u": None, "c": "z"})

    def test_a_whole_row_is_never_invented(self):
        with pytest.raises(FeatureMismatch, match="4 of 4"):
            SCHEMA.align(pd.DataFrame({"x": [1]}), fill=dict.fromkeys(NAMES, 0.0))

    @pytest.mark.parametrize(
        ("rows", "options"),
        [
            (frame(), {"fill": {"lo": 0.0}}),
            (frame(), {"fill": {"low": 0.0}, "by_position": True}),
            (ROWS, {"fill": {"low": 0.0}}),
        ],
    )
    def test_a_fill_that_means_nothing_is_refused(self, rows, options):
        with pytest.raises(InvalidInput):
            SCHEMA.align(rows, **options)


class TestTablesByPosition:
    @make_table
    def test_inferred_names_justify_no_match_by_name(self, make):
        schema = FeatureSchema.inferred(2, selected=[1])
        table = make({"feature_1": [1.0], "feature_0": [2.0]})
        with pytest.raises(FeatureMismatch, match="by_position=True"):
            schema.align(table)
        with pytest.raises(FeatureMismatch, match="by_position=True"):
            schema.align(make({"feature_0": [2.0], "feature_1": [1.0]}))
        with pytest.raises(FeatureMismatch):
            schema.select(table)

    @make_table
    def test_columns_are_taken_by_position_if_the_caller_says_so(self, make):
        schema = FeatureSchema.inferred(2, selected=[1])
        aligned = schema.align(make({"a": [1.0], "b": [2.0]}), by_position=True)
        assert values(aligned) == {"feature_0": [1.0], "feature_1": [2.0]}
        assert values(schema.select(aligned)) == {"feature_1": [2.0]}
        assert values(schema.prepare(make({"a": [1.0], "b": [2.0]}), by_position=True)) == {"feature_1": [2.0]}

    def test_numbered_columns_get_the_trained_names(self):
        pd.testing.assert_frame_equal(SCHEMA.align(pd.DataFrame(ROWS), by_position=True), frame())

    def test_a_trained_name_in_another_place_is_refused(self):
        with pytest.raises(FeatureMismatch, match="another place") as e:
            SCHEMA.align(frame(["high", "open", "low", "close"]), by_position=True)
        assert e.value.reordered

    def test_another_number_of_columns_is_refused(self):
        with pytest.raises(FeatureMismatch, match=r"expected 4 features \(or the 2 selected.*; got 3"):
            SCHEMA.align(pd.DataFrame(ROWS[:, :3]), by_position=True)


class TestDtypes:
    @make_table
    @pytest.mark.parametrize(
        ("given_kind", "kind"),
        [
            ("float32", "float64"),
            ("float64", "float32"),
            ("int8", "float64"),
            ("int64", "float64"),
            ("uint64", "float32"),
            ("int64", "int16"),
            ("uint8", "int8"),
            ("float64", "int32"),
            ("float64", "uint64"),
            ("bool", "float32"),
            ("bool", "int8"),
            ("int64", "bool"),
            ("float64", "bool"),
        ],
    )
    def test_a_dtype_becomes_the_recorded_one_where_no_value_changes(self, make, given_kind, kind):
        content = np.array([0, 1, 1]).astype(given_kind)
        schema = FeatureSchema(["a", "b"], dtypes=kind)
        aligned = schema.align(make({"b": content, "a": content}))
        assert dtypes(aligned) == [kind, kind]
        assert values(aligned)["a"] == [0, 1, 1]

    @make_table
    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (np.array([0.5, 1.0]), "int64"),
            (np.array([np.inf, 1.0]), "int64"),
            (np.array([np.nan, 1.0]), "int64"),
            (np.array([2.0**63, 1.0]), "int64"),
            (np.array([-1.0, 1.0]), "uint8"),
            (np.array([300, 1]), "int8"),
            (np.array([-1, 1]), "uint64"),
            (np.array([2, 1]), "bool"),
            (np.array([0.5, 1]), "bool"),
            (np.array([2**53 + 1, 1]), "float64"),
            (np.array([2**63 - 1, 1]), "float64"),
            (np.array([2**64 - 1, 1], "uint64"), "float64"),
            (np.array([2**24 + 1, 1]), "float32"),
            (np.array([70000, 1]), "float16"),
            (np.array([1e300, 1.0]), "float32"),
            (np.array(["1.5", "2"]), "float64"),
            (np.array(["1.5", "2"]), None),
            (np.array([1.5, 2.0]), "string"),
            (np.array(["2024-01-01"], "datetime64[us]"), "int64"),
        ],
    )
    def test_a_cast_that_would_change_a_value_is_refused(self, make, content, kind):
        schema = FeatureSchema(["a"], dtypes=kind)
        data = {"a": content.tolist() if content.dtype.kind == "U" else content}
        if make is as_polars and content.dtype.kind == "f" and np.isnan(content).any():
            data = {"a": pl.Series(content, nan_to_null=False)}
        with pytest.raises(FeatureMismatch, match="'a': expected") as e:
            schema.align(make(data))
        assert e.value.dtype["a"][0] == (kind or "a number")

    def test_a_wider_integer_that_a_float_can_hold_is_cast(self):
        schema = FeatureSchema(["a"], dtypes="float64")
        assert schema.align(pd.DataFrame({"a": [2**60]}))["a"].tolist() == [2.0**60]

    def test_an_infinity_stays_one_in_a_narrower_float(self):
        schema = FeatureSchema(["a"], dtypes="float32")
        assert schema.align(pd.DataFrame({"a": [np.inf, np.nan, 1.0]}))["a"].dtype == np.float32
        assert schema.align(np.array([[np.inf]])).dtype == np.float32

    @pytest.mark.parametrize("nullable", ["Float64", "Int64", "boolean", "double[pyarrow]", "int64[pyarrow]"])
    def test_nullable_columns_of_pandas_become_those_of_numpy(self, nullable):
        schema = FeatureSchema(["a", "b"], dtypes="float64")
        table = pd.DataFrame({"a": pd.array([1, None], dtype=nullable), "b": [0.5, 1.5]})
        aligned = schema.align(table)
        assert aligned.dtypes.tolist() == [np.dtype("float64")] * 2
        assert aligned["a"].isna().tolist() == [False, True]

    def test_a_nullable_integer_becomes_one_of_numpy_unless_it_has_gaps(self):
        schema = FeatureSchema(["a"], dtypes="int64")
        assert schema.align(pd.DataFrame({"a": pd.array([1, 2], "Int64")}))["a"].dtype == np.dtype("int64")
        with pytest.raises(FeatureMismatch, match="int64 with missing values"):
            schema.align(pd.DataFrame({"a": pd.array([1, None], "Int64")}))

    @pytest.mark.parametrize("make", [as_polars, as_arrow])
    def test_a_mask_survives_a_cast(self, make):
        schema = FeatureSchema(["a"], dtypes="int8")
        assert values(schema.align(make({"a": [1, None]}))) == {"a": [1, None]}

    @make_table
    def test_several_dtypes_are_each_met(self, make):
        schema = FeatureSchema(["a", "b", "c", "d"], dtypes={"a": "float32", "b": "int16", "c": "string"})
        aligned = schema.align(make({"d": [1], "c": ["x"], "b": [2.0], "a": [3]}))
        assert values(aligned) == {"a": [3.0], "b": [2], "c": ["x"], "d": [1]}
        assert dtypes(aligned)[:2] == ["float32", "int16"]

    def test_numbers_among_objects_are_those_numbers(self):
        pd.testing.assert_frame_equal(SCHEMA.align(frame().astype(object)), SCHEMA.align(frame()))

    @make_table
    def test_an_empty_table_is_aligned_too(self, make):
        empty = make({name: np.array([], "int64") for name in NAMES[::-1]})
        assert dtypes(SCHEMA.align(empty)) == ["float64"] * 4


class TestCategories:
    SCHEMA = FeatureSchema(["price", "venue"], dtypes={"price": "float64"}, categories={"venue": ["kraken", "binance"]})

    @pytest.mark.parametrize(
        "venue",
        [
            ["binance", None, "kraken"],
            pd.Categorical(["binance", None, "kraken"]),
            pd.Categorical(["binance", None, "kraken"], categories=["kraken", "binance"]),
            pd.Categorical(["binance", None, "kraken"], categories=["kraken", "binance"], ordered=True),
            pd.Categorical(["binance", None, "kraken"], categories=["a", "kraken", "z", "binance"]),
            pd.Series(["binance", np.nan, "kraken"], dtype=object),
            pd.Series(["binance", None, "kraken"], dtype="string"),
        ],
    )
    def test_pandas_gets_the_trained_categories_in_the_trained_order(self, venue):
        aligned = self.SCHEMA.align(pd.DataFrame({"venue": venue, "price": [1.0, 2.0, 3.0]}))["venue"]
        assert aligned.cat.categories.tolist() == ["kraken", "binance"]
        assert aligned.cat.codes.tolist() == [1, -1, 0]
        assert not aligned.cat.ordered

    @pytest.mark.parametrize(
        "kind", [pl.String, pl.Categorical, pl.Enum(["binance", "kraken"]), pl.Enum(["kraken", "binance"])]
    )
    def test_polars_gets_an_enum_of_the_trained_order(self, kind):
        venue = pl.Series(["binance", None, "kraken"], dtype=kind)
        aligned = self.SCHEMA.align(pl.DataFrame({"venue": venue, "price": [1.0, 2.0, 3.0]}))
        assert aligned["venue"].dtype == pl.Enum(["kraken", "binance"])
        assert aligned["venue"].to_list() == ["binance", None, "kraken"]

    @pytest.mark.parametrize("encoded", [False, True])
    def test_arrow_gets_the_trained_dictionary(self, encoded):
        venue = pa.array(["binance", None, "kraken"])
        table = pa.table({"venue": venue.dictionary_encode() if encoded else venue, "price": [1.0, 2.0, 3.0]})
        column = self.SCHEMA.align(table)["venue"].chunk(0)
        assert column.dictionary.to_pylist() == ["kraken", "binance"]
        assert column.indices.to_pylist() == [1, None, 0]

    @make_table
    def test_an_unseen_category_is_named_with_its_column(self, make):
        table = make({"price": [1.0, 2.0], "venue": ["kraken", "coinbase"]})
        with pytest.raises(FeatureMismatch, match="'venue' holds 'coinbase'") as e:
            self.SCHEMA.align(table)
        assert "venue" in e.value.dtype

    @make_table
    def test_an_unseen_category_is_missing_if_the_schema_says_so(self, make):
        schema = FeatureSchema(["venue"], categories={"venue": ["kraken"]}, unseen="missing")
        assert values(schema.align(make({"venue": ["kraken", "coinbase"]}))) == {"venue": ["kraken", None]}

    @make_table
    def test_numbers_for_text_and_text_for_numbers_are_refused(self, make):
        with pytest.raises(FeatureMismatch, match=r"category \(str\)"):
            self.SCHEMA.align(make({"price": [1.0], "venue": [1]}))
        hours = FeatureSchema(["hour"], categories={"hour": [9, 17]})
        with pytest.raises(FeatureMismatch, match=r"category \(int\).*str '9'"):
            hours.align(make({"hour": ["9"]}))
        with pytest.raises(FeatureMismatch, match="bool"):
            FeatureSchema(["hour"], categories={"hour": [0, 1]}).align(make({"hour": [True]}))
        with pytest.raises(FeatureMismatch, match=r"float 9\.5"):
            hours.align(make({"hour": [9.5]}))

    @make_table
    def test_integer_categories_survive_the_floats_that_gaps_make_of_them(self, make):
        hours = FeatureSchema(["hour"], categories={"hour": [17, 9]})
        for column in ([9, 17], [9.0, 17.0]):
            assert values(hours.align(make({"hour": column}))) == {"hour": [9, 17]}
        assert values(hours.align(make({"hour": [9.0, float("nan")]}))) == {"hour": [9, None]}

    def test_integer_categories_get_the_trained_codes(self):
        hours = FeatureSchema(["hour"], categories={"hour": [17, 9]})
        assert hours.align(pd.DataFrame({"hour": pd.array([9, None, 17], "Int64")}))["hour"].cat.codes.tolist() == [
            1,
            -1,
            0,
        ]
        column = hours.align(pa.table({"hour": [9, 17]}))["hour"].chunk(0)
        assert column.indices.to_pylist() == [1, 0]
        assert hours.align(pl.DataFrame({"hour": [9, 17]}))["hour"].dtype == pl.Int64

    def test_a_category_where_none_was_trained_is_refused(self):
        table = frame().assign(low=pd.Categorical(["a", "b", "c"]))
        with pytest.raises(FeatureMismatch, match="'low': expected float64, found category"):
            SCHEMA.align(table)

    def test_all_bad_columns_are_named_at_once(self):
        table = pd.DataFrame({"price": ["x"], "venue": [3]})
        with pytest.raises(FeatureMismatch) as e:
            self.SCHEMA.align(table)
        assert set(e.value.dtype) == {"price", "venue"}

    def test_a_category_before_it_hides_no_bad_column(self):
        schema = FeatureSchema(["venue", "price"], dtypes={"price": "float64"}, categories={"venue": ["a", "b"]})
        with pytest.raises(FeatureMismatch, match="'price': expected float64") as e:
            schema.align(pd.DataFrame({"venue": pd.Categorical(["a"], ["a", "b"]), "price": ["x"]}))
        assert set(e.value.dtype) == {"price"}


class TestArrays:
    @pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4)])
    def test_the_last_axis_is_the_features(self, shape):
        array = np.arange(np.prod(shape), dtype="float64").reshape(shape)
        assert SCHEMA.align(array) is array
        np.testing.assert_array_equal(SCHEMA.prepare(array), array[..., [3, 0]])

    def test_another_width_is_refused_in_these_words(self):
        schema = FeatureSchema([f"f{place}" for place in range(114)], selected=[1, 2, 3, 5, 8])
        for width in (50, 5, 115):
            with pytest.raises(FeatureMismatch) as e:
                schema.prepare(np.zeros((2, width)))
            assert str(e.value) == f"expected 114 features (or the 5 selected, with preselected=True); got {width}"
        with pytest.raises(FeatureMismatch) as e:
            FeatureSchema(NAMES).align(np.zeros((2, 3)))
        assert str(e.value) == "expected 4 features; got 3"
        with pytest.raises(FeatureMismatch, match="got 2"):
            SCHEMA.select(np.zeros((3, 2)))

    def test_rows_as_wide_as_the_selection_are_taken_if_the_caller_says_so(self):
        np.testing.assert_array_equal(SCHEMA.prepare(ROWS[:, [3, 0]], preselected=True), ROWS[:, [3, 0]])
        with pytest.raises(FeatureMismatch) as e:
            SCHEMA.prepare(ROWS, preselected=True)
        assert str(e.value) == "expected the 2 selected features (preselected=True); got 4"
        assert FeatureSchema(NAMES).prepare(ROWS, preselected=True) is ROWS

    @pytest.mark.parametrize("shape", [(), (1, 1, 1, 4)])
    def test_other_dimensions_are_refused(self, shape):
        with pytest.raises(FeatureMismatch, match=f"got {len(shape)}-D"):
            SCHEMA.align(np.zeros(shape))

    @pytest.mark.parametrize("array", [ROWS.astype(str), ROWS.astype(complex)])
    def test_what_holds_no_numbers_is_refused(self, array):
        with pytest.raises(FeatureMismatch, match="expected numbers") as e:
            SCHEMA.align(array)
        assert set(e.value.dtype) == set(NAMES)

    def test_lists_and_other_arrays_come_back_as_those_of_numpy(self):
        np.testing.assert_array_equal(SCHEMA.align(ROWS.tolist()), ROWS)
        np.testing.assert_array_equal(SCHEMA.align(pl.Series(ROWS[0])), ROWS[0])
        np.testing.assert_array_equal(SCHEMA.align(memoryview(ROWS)), ROWS)

    def test_a_dtype_becomes_the_recorded_one(self):
        assert SCHEMA.align(ROWS.astype("float32")).dtype == np.float64
        assert SCHEMA.align(np.ones((1, 4), "int8")).dtype == np.float64
        narrow = FeatureSchema(NAMES, dtypes="float32").align(ROWS)
        assert narrow.dtype == np.float32
        assert ROWS.dtype == np.float64

    def test_several_dtypes_share_one_that_holds_them_all(self):
        schema = FeatureSchema(["a", "b", "c"], dtypes={"a": "int64", "b": "float32", "c": "bool"})
        assert schema.align(np.array([[3.0, 0.5, 1.0]], "float32")).dtype == np.float64
        for wrong in ([0.5, 0.5, 1.0], [3.0, 0.5, 2.0], [np.nan, 0.5, 1.0]):
            with pytest.raises(FeatureMismatch) as e:
                schema.align(np.array([wrong]))
            assert list(e.value.dtype) == (["c"] if wrong[2] == 2.0 else ["a"])

    def test_a_dtype_that_is_not_recorded_leaves_the_array_alone(self):
        array = np.array([[1.5, 2.0]], "float32")
        assert FeatureSchema(["a", "b"], dtypes={"b": "int8"}).align(array) is array
        assert FeatureSchema(["a", "b"]).align(array) is array
        with pytest.raises(FeatureMismatch):
            FeatureSchema(["a", "b"], dtypes={"a": "int8"}).align(array)

    def test_a_cast_that_would_change_a_value_is_refused(self):
        with pytest.raises(FeatureMismatch) as e:
            FeatureSchema(["a", "b"], dtypes="float32").align(np.array([[1e300, 1.0]]))
        assert e.value.dtype == {"a": ("float32", "float64")}

    def test_categories_cannot_be_told_from_codes_in_an_array(self):
        schema = FeatureSchema(["a", "hour"], categories={"hour": [9, 17]})
        with pytest.raises(FeatureMismatch, match="'hour' holds categories or text") as e:
            schema.align(np.array([[1.0, 9.0]]))
        assert e.value.dtype == {"hour": ("category", "float64")}

    def test_a_float_need_not_fit_a_narrower_one_than_the_array_will_have(self):
        schema = FeatureSchema(["n", "x"], dtypes={"n": "int64", "x": "float32"})
        assert schema.align(np.array([[3.0, 1e300]])).tolist() == [[3.0, 1e300]]

    @pytest.mark.parametrize("attribute", ["columns", "column_names", "schema"])
    def test_whatever_names_its_columns_is_a_table_and_no_array(self, attribute):
        class Foreign(list):
            pass

        setattr(Foreign, attribute, NAMES)
        with pytest.raises(InvalidInput, match="Foreign, carries names"):
            SCHEMA.align(Foreign(ROWS.tolist()))

    @pytest.mark.parametrize("kind", [TypeError, ValueError, RuntimeError])
    def test_what_refuses_to_become_an_array_is_named_with_its_reason(self, kind):
        class Tensor:
            def __array__(self, dtype=None, copy=None):
                raise kind("it needs a gradient")

        with pytest.raises(InvalidInput, match="Tensor: it needs a gradient"):
            SCHEMA.align(Tensor())

    @pytest.mark.parametrize(
        "rows",
        [
            pl.LazyFrame({name: [1.0] for name in NAMES}),
            np.ma.masked_array(ROWS, ROWS > 2),
            [[1.0, 2.0], [1.0]],
        ],
    )
    def test_what_would_lose_names_or_gaps_is_refused(self, rows):
        with pytest.raises(InvalidInput):
            SCHEMA.align(rows)

    @pytest.mark.parametrize("rows", [None, "open", 3.0, object(), {1.0, 2.0}])
    def test_what_holds_no_features_is_refused(self, rows):
        with pytest.raises(FeatureMismatch, match="got 0-D"):
            SCHEMA.align(rows)


class TestOneRow:
    ROW: ClassVar = {"close": 2, "high": np.float32(4), "extra": "text", "open": True, "low": 0.5}

    def test_a_mapping_becomes_an_array_of_one_row(self):
        row = SCHEMA.align(self.ROW)
        assert (row.shape, row.dtype) == ((1, 4), np.float64)
        np.testing.assert_array_equal(row, [[1.0, 4.0, 0.5, 2.0]])
        np.testing.assert_array_equal(SCHEMA.prepare(self.ROW), [[2.0, 1.0]])
        np.testing.assert_array_equal(SCHEMA.select(self.ROW), [[2.0, 1.0]])

    def test_a_series_stays_one(self):
        row = frame(NAMES[::-1]).iloc[1]
        expected = pd.Series(ROWS[1], index=NAMES, name=1)
        pd.testing.assert_series_equal(SCHEMA.align(row), expected)
        pd.testing.assert_series_equal(SCHEMA.prepare(row), expected[["close", "open"]])
        pd.testing.assert_series_equal(SCHEMA.select(row), expected[["close", "open"]])

    @pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
    def test_gaps_become_nan(self, nothing):
        row = {**self.ROW, "low": nothing}
        assert np.isnan(SCHEMA.align(row)[0, 2])
        assert np.isnan(SCHEMA.align(pd.Series(row))["low"])
        assert np.isnan(SCHEMA.align({"open": 1, "high": 2, "close": 3}, fill={"low": nothing})[0, 2])

    @pytest.mark.parametrize(
        "value", ["3", Decimal("0.12345678901234567890"), [1.0], dt.date(2024, 1, 1), 3j, 10**30, np.datetime64(1, "s")]
    )
    def test_what_is_no_number_is_refused(self, value):
        with pytest.raises(FeatureMismatch, match="'low'") as e:
            SCHEMA.align({**self.ROW, "low": value})
        assert e.value.dtype["low"][0] == "float64"

    def test_a_name_that_is_missing_is_named(self):
        with pytest.raises(FeatureMismatch) as e:
            SCHEMA.align({"open": 1, "High": 2, "low": 3, "close": 4})
        assert e.value.suggestions == {"high": "High"}

    def test_a_column_is_not_taken_for_a_row(self):
        with pytest.raises(FeatureMismatch):
            SCHEMA.align(frame()["close"])

    def test_a_row_without_names_is_taken_by_position_if_the_caller_says_so(self):
        schema = FeatureSchema.inferred(2, selected=[1])
        np.testing.assert_array_equal(schema.align({"a": 1, "b": 2}, by_position=True), [[1, 2]])
        row = schema.prepare(pd.Series([1.0, 2.0]), by_position=True)
        assert row.to_dict() == {"feature_1": 2.0}
        with pytest.raises(FeatureMismatch):
            schema.align({"feature_0": 1, "feature_1": 2})

    def test_a_row_by_position_has_no_trained_name_in_the_place_of_another(self):
        with pytest.raises(FeatureMismatch, match="stand in another place") as e:
            SCHEMA.align({"high": 1, "open": 2, "low": 3, "close": 4}, by_position=True)
        assert e.value.reordered

    def test_categories_need_a_table(self):
        schema = FeatureSchema(["a", "v"], categories={"v": ["x"]})
        for row in ({"a": 1.0, "v": "x"}, {"a": 1.0, "v": None}):
            with pytest.raises(FeatureMismatch, match=r"[Gg]ive a table.* of one row"):
                schema.align(row)


class TestValuesThatAModelMustNotBeGiven:
    STRICT = FeatureSchema(NAMES, selected=["close", "open"], dtypes="float64", nan="refuse", inf="refuse")

    @make_table
    @pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
    def test_tables_are_looked_through(self, make, value, word):
        data = {name: ROWS[:, place].copy() for place, name in enumerate(NAMES)}
        data["low"][1] = value
        with pytest.raises(FeatureMismatch, match=rf"'low' holds .*{word}.* in 1 of 3 rows \(first in row 1"):
            self.STRICT.align(make(data))
        assert self.STRICT.align(frame(make=make)) is not None

    @pytest.mark.parametrize("make", [as_polars, as_arrow])
    def test_a_null_is_a_missing_value(self, make):
        with pytest.raises(FeatureMismatch, match="'low'"):
            self.STRICT.align(make({name: [1.0, None if name == "low" else 1.0] for name in NAMES}))
        integers = FeatureSchema(["a"], dtypes="int64", nan="refuse")
        with pytest.raises(FeatureMismatch, match="'a'"):
            integers.align(make({"a": [1, None]}))

    @make_table
    def test_gaps_in_categories_and_text_count_as_missing(self, make):
        schema = FeatureSchema(
            ["a", "v", "t"],
            dtypes={"a": "float64", "t": "string"},
            categories={"v": ["x"]},
            nan="refuse",
            unseen="missing",
        )
        fine = {"a": [1.0, 2.0], "v": ["x", "x"], "t": ["m", "n"]}
        assert values(schema.align(make(fine))) == fine
        for hole in ({"v": ["x", None]}, {"v": ["x", "unseen"]}, {"t": [None, "n"]}, {"a": [1.0, float("nan")]}):
            with pytest.raises(FeatureMismatch, match=repr(next(iter(hole)))):
                schema.align(make({**fine, **hole}))

    @make_table
    def test_numbers_that_are_all_whole_cannot_be_wrong(self, make):
        schema = FeatureSchema(["a", "b"], dtypes="int64", nan="refuse", inf="refuse")
        assert values(schema.align(make({"a": [1], "b": [2]}))) == {"a": [1], "b": [2]}

    @pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 1, 4)])
    def test_arrays_are_looked_through(self, shape):
        row = np.array([1.0, 2.0, np.inf, 4.0]).reshape(shape)
        with pytest.raises(FeatureMismatch, match="'low' holds an infinity"):
            self.STRICT.align(row)
        assert self.STRICT.align(np.ones(shape)) is not None

    def test_only_what_the_model_is_given_is_looked_at(self):
        rows = ROWS.copy()
        rows[0, 1] = np.nan
        assert self.STRICT.prepare(rows).shape == (3, 2)
        assert self.STRICT.prepare(pd.DataFrame(rows, columns=NAMES)).shape == (3, 2)
        rows[2, 3] = np.nan
        for given_rows in (rows, pd.DataFrame(rows, columns=NAMES), pd.Series(rows[2], index=NAMES)):
            with pytest.raises(FeatureMismatch, match="'close'"):
                self.STRICT.prepare(given_rows)

    def test_each_policy_stands_alone(self):
        no_nan = FeatureSchema(["a"], nan="refuse")
        no_inf = FeatureSchema(["a"], inf="refuse")
        assert no_nan.align(np.array([np.inf])) is not None
        assert no_inf.align(np.array([np.nan])) is not None
        assert no_inf.align(pd.DataFrame({"a": [np.nan]})) is not None

    def test_an_imputer_sees_what_the_model_must_not(self):
        rows = ROWS.copy()
        rows[0, 3] = np.nan
        assert self.STRICT.prepare(rows, np.nan_to_num)[0, 0] == 0.0
        with pytest.raises(FeatureMismatch, match="'close'"):
            self.STRICT.prepare(rows, lambda rows: rows * 2)

    def test_what_cannot_be_looked_at_is_refused(self):
        schema = FeatureSchema(NAMES, nan="refuse")
        for opaque in (object(), "text", ["a", "b"], np.float64("nan")):
            with pytest.raises(InvalidInput, match="cannot be checked"):
                schema.prepare(ROWS, lambda rows, opaque=opaque: opaque)
        with pytest.raises(FeatureMismatch, match="'column 2'"):
            schema.prepare(ROWS, lambda rows: np.column_stack([rows, rows])[:, :3] * [1, 1, np.nan])


class Doubler:
    """As in scikit-learn: rows in two dimensions, an array out."""

    def transform(self, rows):
        assert rows.ndim == 2
        return np.asarray(rows) * 2


class TestPreparing:
    @pytest.mark.parametrize("preprocessor", [Doubler(), lambda rows: rows * 2])
    def test_align_then_preprocess_then_select(self, preprocessor):
        expected = ROWS[:, [3, 0]] * 2
        np.testing.assert_array_equal(np.asarray(SCHEMA.prepare(frame(NAMES[::-1]), preprocessor)), expected)
        np.testing.assert_array_equal(SCHEMA.prepare(ROWS, preprocessor), expected)
        np.testing.assert_array_equal(SCHEMA.prepare(ROWS[0], preprocessor), expected[0])
        windows = np.stack([ROWS, ROWS[::-1]])
        np.testing.assert_array_equal(SCHEMA.prepare(windows, preprocessor), windows[..., [3, 0]] * 2)
        np.testing.assert_array_equal(np.ravel(SCHEMA.prepare(frame().iloc[0], preprocessor)), expected[0])

    def test_align_then_select_then_preprocess(self):
        schema = FeatureSchema(NAMES, selected=[3, 0], selection_after_preprocessing=False)
        seen = []
        schema.prepare(frame(NAMES[::-1]), lambda rows: seen.append(list(rows.columns)) or rows)
        assert seen == [["close", "open"]]
        np.testing.assert_array_equal(schema.prepare(ROWS, Doubler()), ROWS[:, [3, 0]] * 2)
        np.testing.assert_array_equal(schema.prepare(ROWS[:, [3, 0]], Doubler(), preselected=True), ROWS[:, [3, 0]] * 2)

    def test_without_a_selection_the_output_belongs_to_the_preprocessor(self):
        schema = FeatureSchema(NAMES)
        assert schema.prepare(ROWS, lambda rows: rows[:, :2]).shape == (3, 2)
        assert schema.prepare(frame(), lambda rows: {"anything": rows})["anything"] is not None

    def test_preselected_rows_cannot_pass_a_preprocessor_of_all(self):
        with pytest.raises(InvalidOption, match="all 4 inputs"):
            SCHEMA.prepare(ROWS[:, :2], Doubler(), preselected=True)

    @make_table
    def test_a_preselected_table_needs_the_selected_columns_only(self, make):
        assert values(SCHEMA.prepare(frame(["open", "x", "close"], make), preselected=True)) == values(
            frame(["close", "open"], make)
        )
        with pytest.raises(FeatureMismatch, match="1 of 2"):
            SCHEMA.prepare(frame(["open", "low"], make), preselected=True)
        filled = SCHEMA.prepare(frame(["open"], make), preselected=True, fill={"close": 7, "low": 8})
        assert values(filled) == {"close": [7.0] * 3, "open": [1.0, 2.0, 3.0]}

    @make_table
    def test_selecting_from_a_table_needs_the_selected_columns_only(self, make):
        assert values(SCHEMA.select(frame(["open", "x", "close"], make))) == values(frame(["close", "open"], make))
        with pytest.raises(FeatureMismatch, match="'close'"):
            SCHEMA.select(frame(["open", "x"], make))
        table = frame(make=make)
        assert FeatureSchema(NAMES).select(table) is table
        assert FeatureSchema(NAMES).select(ROWS) is ROWS

    @pytest.mark.parametrize("order", [NAMES[::-1], NAMES[:2], ["a", "b", "c", "d"]])
    def test_a_preprocessor_that_moves_columns_leaves_the_selection_without_meaning(self, order):
        with pytest.raises(FeatureMismatch, match="preprocessor returned other columns") as e:
            SCHEMA.prepare(frame(), lambda rows: rows.set_axis(NAMES, axis=1).reindex(columns=order))
        assert e.value.reordered == (order == NAMES[::-1])

    def test_a_preprocessor_of_another_width_is_refused(self):
        with pytest.raises(FeatureMismatch, match=r"4 columns from the preprocessor.*got 3"):
            SCHEMA.prepare(ROWS, lambda rows: rows[:, :3])

    @pytest.mark.parametrize("wrong", [lambda rows: rows[:1], lambda rows: rows[0], lambda rows: "text"])
    def test_a_preprocessor_that_loses_rows_of_a_window_is_refused(self, wrong):
        class Loser:
            transform = staticmethod(wrong)

        with pytest.raises(FeatureMismatch, match="as many rows"):
            FeatureSchema(NAMES).prepare(np.stack([ROWS, ROWS]), Loser())

    def test_what_is_no_preprocessor_is_refused(self):
        with pytest.raises(InvalidInput, match="int"):
            SCHEMA.prepare(ROWS, 3)


class TestTheShortWay:
    """A frame that already is as it should be comes back itself; one that only looks so does not."""

    SCHEMA = FeatureSchema(["a", "n", "v"], dtypes={"a": "float64", "n": "int8"}, categories={"v": ["y", "x"]})

    def ready(self):
        return pd.DataFrame({"a": [1.0], "n": np.array([2], "int8"), "v": pd.Categorical(["x"], categories=["y", "x"])})

    def test_a_frame_that_is_ready_is_returned_itself(self):
        table = self.ready()
        assert self.SCHEMA.align(table) is table
        assert SCHEMA.align(plain := frame()) is plain

    def test_a_frame_with_moved_categories_is_not_ready(self):
        table = self.ready().assign(v=pd.Categorical(["x"], categories=["x", "y"]))
        assert self.SCHEMA.align(table)["v"].cat.codes.tolist() == [1]

    def test_a_frame_of_other_dtypes_is_not_ready(self):
        assert SCHEMA.align(frame().astype("float32")).dtypes.tolist() == [np.dtype("float64")] * 4
        assert self.SCHEMA.align(self.ready().astype({"n": "int64"})).dtypes["n"] == np.int8

    def test_inferred_names_are_not_ready_without_a_word(self):
        schema = FeatureSchema.inferred(2)
        table = pd.DataFrame(np.zeros((1, 2)), columns=list(schema.names))
        with pytest.raises(FeatureMismatch):
            schema.align(table)
        assert schema.align(table, by_position=True).equals(table)

    def test_a_column_whose_dtype_is_unknown_or_text_is_looked_at_each_time(self):
        for kind in (None, "string"):
            schema = FeatureSchema(["t"], dtypes={"t": kind} if kind else None)
            wrong = pd.DataFrame({"t": ["x"] if kind is None else [1.0]})
            with pytest.raises(FeatureMismatch):
                schema.align(wrong)


class TestGuesses:
    def test_no_unknown_name_is_guessed_twice(self):
        assert match.suggest(["a b", "a_b"], ["A-B"]) == {"a b": "A-B"}
        assert match.suggest(["closed", "closer"], ["close_1"]) == {"closed": "close_1"}

    def test_the_likeliest_name_is_guessed(self):
        assert match.suggest(["volume_24h"], ["volumes", "volume_24", "volume_2"]) == {"volume_24h": "volume_24"}

    @pytest.mark.parametrize(("missing", "unknown", "guessed"), [(50, 50, 50), (51, 50, 0), (50, 51, 0), (1, 51, 0)])
    def test_similar_names_are_looked_for_only_among_a_few(self, missing, unknown, guessed):
        wanted = [f"{place:03}_open" for place in range(missing)]
        found = match.suggest(wanted, [f"{place:03}_opens" for place in range(unknown)])
        assert len(found) == guessed
        assert all(guess == f"{name}s" for name, guess in found.items())

    def test_ten_missing_names_are_shown_and_the_rest_is_counted(self):
        names = [f"f{place}" for place in range(12)]
        for count, said in ((10, "'f9'; "), (11, "'f9' and 1 more; ")):
            with pytest.raises(FeatureMismatch, match=said) as e:
                FeatureSchema(names).align(pd.DataFrame({name: [1.0] for name in ("x", *names[count:])}))
            assert f"{count} of 12 features are missing" in str(e.value)
            assert "'f10'" not in str(e.value)


@pytest.mark.parametrize("kinds", [("int64", "float64"), ("int64", "float32"), ("uint64", "int64")])
def test_an_array_of_large_integers_is_refused_where_they_would_be_rounded(kinds):
    schema = FeatureSchema(["n", "x"], dtypes=dict(zip(["n", "x"], kinds, strict=True)))
    with pytest.raises(FeatureMismatch, match="'n': expected") as caught:
        schema.align(np.array([[2**53 + 1, 1]]))
    assert set(caught.value.dtype) == {"n"}
    assert schema.align(np.array([[2**53, 1]])).tolist() == [[2.0**53, 1.0]]
    assert FeatureSchema(["n", "x"], dtypes="int64").align(np.array([[2**53 + 1, 1]])).tolist() == [[2**53 + 1, 1]]


NUMBERS = ("float16", "float32", "float64", "int8", "int32", "int64", "uint8", "uint64", "bool")
ODD = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    255.0,
    65504.0,
    65520.0,
    2.0**24 + 1,
    -(2.0**31),
    2.0**53,
    2.0**63,
    3.5e38,
    1e300,
    5e-324,
]
ODD += [float("nan"), float("inf"), -float("inf")]


def outcome(schema, rows):
    """What becomes of rows: the columns as arrays, or nothing where they are refused."""
    try:
        made = schema.align(rows)
    except FeatureMismatch:
        return None
    if isinstance(made, np.ndarray):
        return list(made.T)
    return [made[name].to_numpy() for name in schema.names]


@settings(deadline=None, max_examples=60)
@given(
    cells=st.lists(st.lists(st.sampled_from(ODD), min_size=3, max_size=3), max_size=4),
    have=st.sampled_from(NUMBERS),
    kinds=st.lists(st.sampled_from(NUMBERS), min_size=3, max_size=3)
    | st.sampled_from(NUMBERS).map(lambda kind: [kind] * 3),
)
def test_the_same_numbers_become_the_same_or_are_refused_in_every_form(cells, have, kinds):
    with np.errstate(all="ignore"):
        rows = np.array(cells).reshape(-1, 3).astype(have)
    schema = FeatureSchema(NAMES[:3], dtypes=dict(zip(NAMES, kinds, strict=False)))
    expected = outcome(schema, rows)
    wide = np.zeros((len(rows), 6), have)
    wide[:, ::2] = rows
    for other in (np.asfortranarray(rows), wide[:, ::2], rows.astype(rows.dtype.newbyteorder())):
        found = outcome(schema, other)
        assert (found is None) == (expected is None)
        for one, same in zip(found or [], expected or [], strict=True):
            assert (one.dtype, one.tobytes()) == (same.dtype, same.tobytes())
    columns = {name: np.ascontiguousarray(rows[:, place]) for place, name in enumerate(schema.names)}
    tables = {make: outcome(schema, make(columns)) for make in (as_pandas, as_polars, as_arrow)}
    by_pandas = tables[as_pandas]
    for make, found in tables.items():
        assert (found is None) == (by_pandas is None), make
        for one, kind, column in zip(found or [], kinds, columns.values(), strict=False):
            assert one.dtype == kind, make
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(one, column.astype(kind), err_msg=str(make))
    if expected is not None and by_pandas is not None:
        for one, same in zip(expected, by_pandas, strict=True):
            np.testing.assert_array_equal(one, same.astype(one.dtype))


@pytest.mark.parametrize("kinds", [{}, {"dtypes": "float64"}], ids=["of any dtype", "of one dtype"])
def test_numbers_in_the_other_byte_order_are_brought_into_that_of_the_machine(kinds):
    made = FeatureSchema(NAMES, **kinds).align(ROWS.astype(ROWS.dtype.newbyteorder()))
    assert made.dtype.isnative
    assert made.tobytes() == ROWS.tobytes()


@pytest.mark.parametrize(("value", "want"), [(-(2**31), "float32"), (2**53 + 2, "float64"), (2**63, "float64")])
@make_table
def test_a_large_whole_number_that_a_float_holds_is_taken_from_any_table(make, value, want):
    assert values(FeatureSchema(["n"], dtypes=want).align(make({"n": np.array([value, 1])}))) == {"n": [value, 1.0]}


class TestWhatIsReady:
    def test_polars_in_training_order_is_taken_as_it_is(self):
        schema = FeatureSchema(["a", "b"], dtypes={"a": "float64", "b": "int8"})
        ready = pl.DataFrame({"a": [1.0], "b": pl.Series([2], dtype=pl.Int8)})
        assert schema.prepare(ready) is ready
        for other in (ready.select("b", "a"), ready.with_columns(pl.col("b").cast(pl.Int16))):
            assert schema.prepare(other).equals(ready)

    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("odd", [0.5, float("nan"), float("inf"), 1e-300])
    def test_an_array_of_wider_floats_becomes_narrower_in_any_order(self, order, odd):
        rows = np.asarray([[odd, 1.0], [2.0, 3.0]], order=order)
        made = FeatureSchema(["a", "b"], dtypes="float32").prepare(rows)
        assert made.dtype == np.float32
        assert made.tobytes() == rows.astype(np.float32).tobytes()
        with pytest.raises(FeatureMismatch, match="'b': expected float32"):
            FeatureSchema(["a", "b"], dtypes="float32").prepare(np.asarray([[odd, 1e300]], order=order))
