"""A missing value is one, whatever a library writes for it; numbers are taken in the type that databases give them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from artifact_store.errors import Corrupt, FeatureMismatch, InvalidInput, Unsupported
from artifact_store.features.schema import FeatureSchema

pytestmark = pytest.mark.windows

TEXT = ["x", None, "y", "x", None]


def objects(missing: Any) -> pd.DataFrame:
    values = [missing if value is None else value for value in TEXT]
    return pd.DataFrame({"t": pd.Series(values, dtype=object, index=list("mnopq"))})


TABLES: dict[str, Callable[[], Any]] = {
    "str": lambda: pd.DataFrame({"t": pd.Series(TEXT, dtype=pd.StringDtype(na_value=np.nan), index=list("mnopq"))}),
    "object, None": lambda: objects(None),
    "object, NaN": lambda: objects(np.nan),
    "object, NA": lambda: objects(pd.NA),
    "object, mixed": lambda: pd.DataFrame({"t": pd.Series(["x", None, "y", "x", np.nan], dtype=object)}),
    "string": lambda: pd.DataFrame({"t": pd.array(TEXT, dtype="string")}),
    "string of arrow": lambda: pd.DataFrame({"t": pd.array(TEXT, dtype=pd.ArrowDtype(pa.string()))}),
    "polars": lambda: pl.DataFrame({"t": TEXT}),
    "arrow": lambda: pa.table({"t": TEXT}),
    "arrow RecordBatch": lambda: pa.RecordBatch.from_pydict({"t": TEXT}),
}
ENCODABLE = ("str", "object, None", "object, NaN", "polars", "arrow")
"""What scikit-learn's encoders can be fitted on: they refuse ``pandas.NA``."""


def ordinal() -> Any:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=7)


def one_hot_pipeline() -> tuple[pd.DataFrame, Any]:
    table = TABLES["str"]().reset_index(drop=True).assign(n=np.arange(5.0))
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return table, make_column_transformer((encoder, ["t"]), remainder="passthrough").fit(table)


class TestTextForAnEncoder:
    @pytest.mark.parametrize("trained", ENCODABLE)
    @pytest.mark.parametrize("given_as", TABLES)
    def test_a_gap_is_the_gap_of_training(self, trained: str, given_as: str) -> None:
        table = TABLES[trained]()
        schema = FeatureSchema.from_json(FeatureSchema.from_frame(table).to_json())
        encoder = ordinal().fit(table)
        right = encoder.transform(table)[:, 0].tolist()
        assert -1 not in right
        assert schema.prepare(TABLES[given_as](), encoder)[:, 0].tolist() == right
        assert schema.prepare(table, encoder)[:, 0].tolist() == right

    @pytest.mark.parametrize("given_as", ["object, None", "object, NA", "string"])
    def test_it_is_so_in_a_pipeline_beside_numbers(self, given_as: str) -> None:
        table, pipeline = one_hot_pipeline()
        given_table = TABLES[given_as]().reset_index(drop=True).assign(n=np.arange(5.0))[["n", "t"]]
        schema = FeatureSchema.from_frame(table)
        np.testing.assert_array_equal(schema.prepare(given_table, pipeline), pipeline.transform(table))
        assert not (pipeline.transform(given_table) == pipeline.transform(table)).all()  # silent without

    @pytest.mark.parametrize("make", [pl.DataFrame, pa.table, pa.RecordBatch.from_pydict])
    def test_a_table_of_another_library_is_given_to_it_as_pandas(self, make: Any) -> None:
        table, pipeline = one_hot_pipeline()
        given_table = make({"n": np.arange(5), "t": TEXT, "more": TEXT})
        schema = FeatureSchema.from_frame(table, selected=["t", "n"], selection_after_preprocessing=False)
        np.testing.assert_array_equal(schema.prepare(given_table, pipeline), pipeline.transform(table))
        ready = schema.prepare(given_table, preselected=True)
        assert ready.columns.tolist() == ["t", "n"]
        assert ready["n"].dtype == np.float64
        assert [value for value in ready["t"] if isinstance(value, float)] == [pytest.approx(np.nan, nan_ok=True)] * 2
        assert type(schema.align(given_table)) is (pl.DataFrame if make is pl.DataFrame else pa.Table)
        for without_text in (schema.with_selection(["n"]), FeatureSchema(["n"], dtypes="float64")):
            assert type(without_text.prepare(given_table)) is (pl.DataFrame if make is pl.DataFrame else pa.Table)

    @pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
    def test_without_pandas_it_says_what_to_install(self, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        schema, rows = FeatureSchema(["t"], dtypes="string", missing={"t": "nan"}), make({"t": TEXT})
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(Unsupported, match=r"text was missing as NaN.*: pip install pandas pyarrow"):
            schema.prepare(rows)
        assert type(schema.align(rows)) is type(rows)

    def test_a_null_of_training_stays_one(self) -> None:
        schema = FeatureSchema.from_frame(pa.table({"t": TEXT}))
        assert schema.missing == {"t": "none"}
        for given_table in (pl.DataFrame({"t": TEXT}), pa.table({"t": TEXT})):
            assert type(schema.prepare(given_table)) is type(given_table)

    def test_nothing_is_changed_but_the_gaps(self) -> None:
        schema = FeatureSchema.from_frame(TABLES["object, NA"]())
        given_table = TABLES["object, None"]()
        aligned = schema.align(given_table)
        assert aligned["t"].tolist() == ["x", pd.NA, "y", "x", pd.NA]
        assert aligned.index.tolist() == list("mnopq")
        assert given_table["t"].tolist() == TEXT
        assert schema.align(given_table.dropna())["t"].tolist() == ["x", "y", "x"]

    @pytest.mark.parametrize("given_as", TABLES)
    def test_where_the_form_is_not_known_text_stays_as_it_came(self, given_as: str) -> None:
        for schema in (FeatureSchema(["t"], dtypes="string"), FeatureSchema.from_frame(TABLES["object, mixed"]())):
            assert not schema.missing
            given_table = TABLES[given_as]()
            if isinstance(given_table, pd.DataFrame):
                assert schema.prepare(given_table) is given_table or schema.prepare(given_table).equals(given_table)
            else:
                found = schema.prepare(given_table)
                assert list(found["t"].is_null()) == list(given_table["t"].is_null())

    def test_whole_columns_without_a_value_are_missing(self) -> None:
        schema = FeatureSchema.from_frame(TABLES["str"]())
        for column in (pd.Series([None], dtype=object), pd.Series([np.nan]), pd.array([pd.NA], dtype="Int64")):
            found = schema.align(pd.DataFrame({"t": column}))["t"]
            assert found.isna().tolist() == [True]
            assert isinstance(found.tolist()[0], float)
        assert schema.align(pl.DataFrame({"t": [None]}))["t"].dtype == pl.String
        assert schema.align(pa.table({"t": pa.nulls(1)}))["t"].type == pa.string()

    @pytest.mark.parametrize("wrong", [{"x": "nan"}, {"t": "null"}, {"n": "nan"}])
    def test_a_form_that_means_nothing_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            FeatureSchema(["t", "n"], dtypes={"t": "string", "n": "float64"}, missing=wrong)
        schema = FeatureSchema(["t", "n"], dtypes={"t": "string"}, missing={"t": "nan"})
        with pytest.raises(Corrupt):
            FeatureSchema.from_json({**schema.to_json(), "missing": wrong})

    def test_it_is_part_of_the_schema_only_where_it_says_something(self) -> None:
        assert "missing" not in FeatureSchema(["t"], dtypes="string").to_json()
        schema = FeatureSchema.from_frame(TABLES["str"]().assign(n=1.0))
        assert schema.to_json()["missing"] == {"t": "nan"}
        assert schema.with_selection(["t"]).missing == schema.missing
        assert schema.fingerprint != FeatureSchema(["t", "n"], dtypes=schema.dtypes).fingerprint

    def test_text_beside_other_values_is_refused_however_late_it_comes(self) -> None:
        mixed = pd.DataFrame({"t": ["x"] * 150 + [3]})
        with pytest.raises(InvalidInput, match="'t' holds text and other values"):
            FeatureSchema.from_frame(mixed)
        with pytest.raises(FeatureMismatch, match="'t': expected string, found text and other values"):
            FeatureSchema(["t"], dtypes="string").align(mixed)


class TestNumbersWithGaps:
    FORMS = ("Int64", "Int8", "UInt8", "boolean", "Float32", "int64[pyarrow]", "bool[pyarrow]", "double[pyarrow]")

    @pytest.mark.parametrize("dtype", FORMS)
    def test_what_a_schema_was_made_of_it_accepts(self, dtype: str) -> None:
        table = pd.DataFrame({"a": pd.array([1, None, 0], dtype="Int64").astype(dtype), "b": [0.5, 1.5, 2.5]})
        schema = FeatureSchema.from_frame(table)
        ready = schema.prepare(table)
        assert ready["a"].dtype == (np.float32 if dtype == "Float32" else np.float64)
        assert ready["a"].isna().tolist() == [False, True, False]
        assert ready["a"].dropna().tolist() == [1, 0]
        for other in (pl.DataFrame({"a": [1, None, 0], "b": table["b"].to_list()}), ready, ready.to_numpy()):
            assert np.isnan(np.asarray(schema.prepare(other), dtype=float)[:, 0]).tolist() == [False, True, False]

    @pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
    @pytest.mark.parametrize("values", [[1, None], [True, None]])
    def test_it_is_the_same_schema_in_every_library(self, make: Any, values: list[Any]) -> None:
        table = make({"a": values})
        schema = FeatureSchema.from_frame(table)
        assert schema == FeatureSchema.from_frame(pd.DataFrame({"a": pd.array(values)}))
        assert np.asarray(schema.prepare(table)).ravel()[0] == 1.0

    def test_whole_numbers_that_no_float_holds(self) -> None:
        values = [2**53 + 1, None]
        with pytest.raises(InvalidInput, match="'a' has gaps, and whole numbers from 2"):
            FeatureSchema.from_frame(pd.DataFrame({"a": pd.array(values, dtype="Int64")}))
        for table in (pl.DataFrame({"a": values}), pa.table({"a": values})):
            schema = FeatureSchema.from_frame(table)
            assert schema.dtypes == {"a": "int64"}
            column = schema.prepare(table)["a"]
            assert (column.to_pylist() if isinstance(table, pa.Table) else column.to_list()) == values

    def test_without_gaps_they_are_whole_numbers(self) -> None:
        table = pd.DataFrame({"a": pd.array([1, 2], dtype="Int64"), "b": pd.array([True, False], dtype="boolean")})
        schema = FeatureSchema.from_frame(table)
        assert schema.dtypes == {"a": "int64", "b": "bool"}
        assert schema.prepare(table).dtypes.tolist() == [np.dtype("int64"), np.dtype("bool")]

    @pytest.mark.parametrize(
        "table",
        [
            pd.DataFrame({"a": [None], "b": [1.0]}),
            pd.DataFrame({"a": pd.Series([pd.NA], dtype=object), "b": [1.0]}),
            pd.DataFrame({"a": pd.Series([pd.NA], dtype="string"), "b": [1.0]}),
            pd.DataFrame({"a": [pd.NaT], "b": [1.0]}),
            pl.DataFrame({"a": [None], "b": [1.0]}),
            pl.DataFrame({"a": [float("nan")], "b": [1.0]}),
            pa.table({"a": pa.nulls(1), "b": [1.0]}),
        ],
    )
    def test_a_column_without_a_value_has_the_trained_dtype(self, table: Any) -> None:
        for dtype in ("float64", "float32", None):
            schema = FeatureSchema(["a", "b"], dtypes=dtype)
            found = np.asarray(schema.prepare(table), dtype=float)
            assert np.isnan(found).tolist() == [[True, False]]
        if isinstance(table, pd.DataFrame):
            with pytest.raises(FeatureMismatch, match="'a': expected int64, found float64 with missing values"):
                FeatureSchema(["a", "b"], dtypes={"a": "int64"}).prepare(table)

    def test_an_empty_table_of_objects_has_the_trained_dtypes(self) -> None:
        schema = FeatureSchema(["a", "b"], dtypes={"a": "float64", "b": "int64"})
        assert schema.prepare(pd.DataFrame(columns=["b", "a"])).dtypes.tolist() == [np.dtype("f8"), np.dtype("i8")]


DECIMALS: dict[str, Callable[[list[Decimal | None]], Any]] = {
    "pandas objects": lambda values: pd.DataFrame(
        {"a": pd.Series(values, dtype=object, index=range(3, 3 + len(values)))}
    ),
    "pandas of arrow": lambda values: pd.DataFrame({"a": pd.array(values, dtype=pd.ArrowDtype(pa.decimal128(38, 10)))}),
    "polars": lambda values: pl.DataFrame({"a": pl.Series(values, dtype=pl.Decimal(38, 10))}),
    "arrow": lambda values: pa.table({"a": pa.array(values, pa.decimal128(38, 10))}),
}


def numbers(table: Any) -> list[Any]:
    column = table["a"].to_pandas() if isinstance(table, pa.Table) else table["a"]
    return [None if pd.isna(value) else value for value in column.to_list()]


@pytest.mark.parametrize("kind", DECIMALS)
class TestDecimals:
    @settings(deadline=None, max_examples=30)
    @given(
        values=st.lists(
            st.none() | st.decimals(-(10**8), 10**8, places=6, allow_nan=False, allow_infinity=False),
            min_size=1,
            max_size=4,
        )
    )
    def test_prices_are_what_their_digits_say(self, kind: str, values: list[Decimal | None]) -> None:
        found = FeatureSchema(["a"], dtypes="float64").prepare(DECIMALS[kind](values))
        assert numbers(found) == [None if value is None else float(str(value)) for value in values]

    @pytest.mark.parametrize(
        ("dtype", "value"),
        [("float64", "1.0921"), ("float32", "1.5"), ("int64", "3"), ("uint8", "255"), ("bool", "1"), (None, "0.1")],
    )
    def test_they_become_the_trained_dtype(self, kind: str, dtype: str | None, value: str) -> None:
        table = DECIMALS[kind]([Decimal(value)])
        found = FeatureSchema(["a"], dtypes=dtype).prepare(table)
        assert numbers(found) == [float(np.dtype(dtype or "float64").type(float(value)))]
        assert (found.index.tolist() == table.index.tolist()) if isinstance(table, pd.DataFrame) else True

    @pytest.mark.parametrize(
        ("dtype", "value"),
        [
            ("float64", "1234567890.1234567891"),
            ("float32", "1234567.89"),
            ("int64", "3.5"),
            ("uint8", "256"),
            ("bool", "2"),
            (None, "1234567890.1234567891"),
        ],
    )
    def test_digits_that_would_be_lost_are_refused(self, kind: str, dtype: str | None, value: str) -> None:
        with pytest.raises(FeatureMismatch, match="'a': expected .*Decimal .*cannot give back"):
            FeatureSchema(["a"], dtypes=dtype).prepare(DECIMALS[kind]([Decimal(value)]))

    def test_gaps_among_them(self, kind: str) -> None:
        table = DECIMALS[kind]([Decimal(3), None])
        assert numbers(FeatureSchema(["a"], dtypes="float64").prepare(table)) == [3.0, None]
        schema = FeatureSchema(["a"], dtypes="int64")
        if isinstance(table, pd.DataFrame):
            with pytest.raises(FeatureMismatch, match="missing values"):
                schema.prepare(table)
        else:
            assert numbers(schema.prepare(table)) == [3, None]

    def test_they_are_no_text(self, kind: str) -> None:
        with pytest.raises(FeatureMismatch, match="'a': expected string"):
            FeatureSchema(["a"], dtypes="string").prepare(DECIMALS[kind]([Decimal(3)]))

    def test_every_bad_column_is_named(self, kind: str) -> None:
        table = DECIMALS[kind]([Decimal("0.5")])
        more = {"t": ["x"]}
        table = (
            table.assign(t="x")
            if isinstance(table, pd.DataFrame)
            else (
                table.append_column("t", [["x"]]) if isinstance(table, pa.Table) else table.with_columns(t=pl.lit("x"))
            )
        )
        with pytest.raises(FeatureMismatch) as caught:
            FeatureSchema(["a", *more], dtypes={"a": "int64", "t": "float64"}).prepare(table)
        assert set(caught.value.dtype) == {"a", "t"}


MEASURED = pd.DataFrame({"f": [0.5, 1.5, -0.0], "n": [1, 2, 3], "b": [True, False, True], "w": ["x", "y", "x"]})


class TestNumbersAmongObjects:
    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
    def test_a_table_of_objects_is_the_table(self, dtype: str) -> None:
        table = MEASURED.astype({"f": dtype})
        schema = FeatureSchema.from_frame(table)
        for given_table in (table, table.astype(object), table.set_axis(["p", "p", "q"]).astype(object)):
            ready = schema.prepare(given_table)
            assert ready.dtypes.tolist()[:3] == table.dtypes.tolist()[:3]
            assert ready.index.tolist() == given_table.index.tolist()
            assert ready.to_numpy().tolist() == table.to_numpy().tolist()

    def test_a_row_that_was_turned_into_a_table_is_the_row(self) -> None:
        table = MEASURED.assign(k=pd.Categorical(["p", "q", "p"]))
        schema = FeatureSchema.from_frame(table)
        for place in range(len(table)):
            made, row = schema.prepare(table.iloc[place].to_frame().T), schema.prepare(table.iloc[[place]])
            pd.testing.assert_frame_equal(made[["f", "n", "b", "k"]], row[["f", "n", "b", "k"]])
            assert made["w"].tolist() == row["w"].tolist()

    @pytest.mark.parametrize("missing", [None, np.nan, pd.NA, Decimal("NaN"), np.float32("nan")])
    def test_a_gap_among_them_is_one(self, missing: Any) -> None:
        schema = FeatureSchema(["a"], dtypes="float64")
        ready = schema.prepare(pd.DataFrame({"a": pd.Series([1, missing, 2.5], dtype=object)}))
        assert ready["a"].dtype == np.float64
        assert numbers(ready) == [1.0, None, 2.5]
        ready = schema.prepare(pd.DataFrame({"a": pd.Series([True, missing], dtype=object)}))
        assert numbers(ready) == [1.0, None]
        with pytest.raises(FeatureMismatch, match="'a': expected int64, found float64 with missing values"):
            FeatureSchema(["a"], dtypes="int64").prepare(pd.DataFrame({"a": pd.Series([1, missing], dtype=object)}))

    def test_numbers_of_every_type_are_numbers(self) -> None:
        cells = [np.float32(1.5), np.int8(3), np.bool_(True), Decimal("2.5"), 0.5, np.array(4.0), pa.scalar(5)]
        for schema in (FeatureSchema(["a"], dtypes="float64"), FeatureSchema(["a"])):
            ready = schema.prepare(pd.DataFrame({"a": pd.Series(cells, dtype=object)}))
            assert numbers(ready) == [1.5, 3.0, 1.0, 2.5, 0.5, 4.0, 5.0]
        large = pd.DataFrame({"a": pd.Series([2**63, 2**64 - 1], dtype=object)})
        assert numbers(FeatureSchema(["a"], dtypes="uint64").prepare(large)) == [2**63, 2**64 - 1]
        ready = FeatureSchema(["a"], dtypes="int64").prepare(pl.DataFrame({"a": pl.Series([1, None], dtype=pl.Object)}))
        assert ready["a"].to_list() == [1, None]

    @pytest.mark.parametrize(
        ("cells", "shown"),
        [
            ([1.0, "2.5"], r"'2.5' \(str\) in row 1"),
            (["1.5", "2.5"], r"'1.5' \(str\) in row 0"),
            ([1.0] * 150 + ["x"], r"'x' \(str\) in row 150"),
            ([None, pd.Timestamp("2024"), "x"], r"Timestamp\(.2024-01-01 00:00:00.\) \(Timestamp\) in row 1"),
            ([1.0, 1j], r"1j \(complex\) in row 1"),
            ([1.0, [2.0]], r"\[2.0\] \(list\) in row 1"),
            ([1.0, b"2"], r"b'2' \(bytes\) in row 1"),
            ([1.0, pd.NaT], r"NaT \(NaTType\) in row 1"),
        ],
    )
    def test_the_first_that_is_not_a_number_is_named(self, cells: list[Any], shown: str) -> None:
        table = pd.DataFrame({"b": 1.0, "a": pd.Series(cells, dtype=object)})
        for schema in (FeatureSchema(["a", "b"], dtypes="float64"), FeatureSchema(["a", "b"])):
            with pytest.raises(FeatureMismatch, match=rf"'a': expected .* {shown}.*astype\(float\)"):
                schema.prepare(table)

    def test_the_advice_works(self) -> None:
        schema = FeatureSchema(["a"], dtypes="float64")
        table = pd.DataFrame({"a": pd.Series(["1.5", "2.5"], dtype=object)})
        with pytest.raises(FeatureMismatch, match=r"table\['a'\].astype\(float\)"):
            schema.prepare(table)
        assert numbers(schema.prepare(table.assign(a=table["a"].astype(float)))) == [1.5, 2.5]

    @pytest.mark.parametrize("cells", [[2**53 + 1, 0.5], [2**53 + 1, None], [2**64 + 1, 1], [2**63 + 1, -1]])
    def test_no_digit_is_lost(self, cells: list[Any]) -> None:
        table = pd.DataFrame({"a": pd.Series(cells, dtype=object)})
        for dtype in ("float64", "int64", "uint64", None):
            with pytest.raises(FeatureMismatch, match="'a': expected"):
                FeatureSchema(["a"], dtypes=dtype).prepare(table)

    def test_what_the_trained_dtype_cannot_hold_is_refused(self) -> None:
        for dtype, value in (("int64", 1.5), ("bool", 2), ("uint8", 256), ("int8", -129)):
            with pytest.raises(FeatureMismatch, match=f"'a': expected {dtype}"):
                FeatureSchema(["a"], dtypes=dtype).prepare(pd.DataFrame({"a": pd.Series([value], dtype=object)}))

    def test_arrays_of_objects_are_arrays_of_numbers(self) -> None:
        schema = FeatureSchema(["f", "n", "b"], dtypes={"f": "float64", "n": "int64", "b": "bool"})
        table = MEASURED[["f", "n", "b"]]
        cells = table.astype(object).to_numpy()
        for rows in (cells, cells[0], cells[np.newaxis], MEASURED.to_numpy()[:, :3], cells.tolist()):
            ready = schema.prepare(rows)
            assert ready.dtype == np.float64
            assert ready.shape == np.shape(rows)
        assert schema.prepare(cells).tolist() == [[0.5, 1, 1], [1.5, 2, 0], [0, 3, 1]]
        gaps = FeatureSchema(["f", "n"], dtypes="float64").prepare(np.array([[None, 1], [pd.NA, 2.5]], dtype=object))
        assert np.isnan(gaps[:, 0]).all()
        assert gaps[:, 1].tolist() == [1.0, 2.5]
        with pytest.raises(FeatureMismatch, match=r"'n' holds 'x' \(str\)"):
            schema.prepare(np.array([[0.5, "x", True]], dtype=object))
        with pytest.raises(FeatureMismatch, match="'n'"):
            schema.prepare(np.array([[0.5, 2**53 + 1, True]], dtype=object))


class TestWhatLightGBMSees:
    """Nullable columns with gaps, a single row, and columns that are no features."""

    ROWS = 200

    def trained(self) -> tuple[Any, Any, FeatureSchema]:
        chance = np.random.default_rng(4)
        frame = pd.DataFrame({"n": chance.integers(0, 5, self.ROWS), "up": chance.random(self.ROWS) < 0.5})
        target = frame["n"] * 2.0 + frame["up"]
        frame["n"] = frame["n"].astype("Int64").mask(chance.random(self.ROWS) < 0.2)
        frame["up"] = frame["up"].astype("boolean").mask(chance.random(self.ROWS) < 0.2)
        frame["x"] = chance.normal(size=self.ROWS)
        quick = {"verbose": -1, "num_threads": 1, "seed": 1, "min_data_in_leaf": 3}
        return lgb.train(quick, lgb.Dataset(frame, target), 10), frame, FeatureSchema.from_frame(frame)

    def test_nullable_columns_with_gaps_are_what_it_was_trained_on(self) -> None:
        booster, frame, schema = self.trained()
        expected = booster.predict(frame)
        for table in (frame, pa.Table.from_pandas(frame, preserve_index=False)):
            assert booster.predict(schema.prepare(table)).tobytes() == expected.tobytes()

    @pytest.mark.parametrize("gap", [None, np.nan, pd.NA])
    def test_a_missing_value_in_a_single_row_is_nan(self, gap: Any) -> None:
        _, _, schema = self.trained()
        for name in ("n", "up"):
            row = {"n": 1, "up": True, "x": 0.5} | {name: gap}
            prepared = np.asarray(schema.prepare(row)).ravel()
            assert np.isnan(prepared).tolist() == [name == "n", name == "up", False]

    def test_a_gap_in_a_row_that_training_had_none_in_is_told_as_one(self) -> None:
        schema = FeatureSchema(["n", "x"], dtypes={"n": "int64", "x": "float64"})
        with pytest.raises(FeatureMismatch, match=r"'n': expected int64, found float64 with missing values"):
            schema.prepare({"n": None, "x": 1.0})

    @pytest.mark.parametrize(
        ("values", "called"),
        [
            (pd.period_range("2024", periods=2, freq="M"), r"period\[M\]"),
            (pd.interval_range(0, 2), r"interval"),
            ([1j, 2j], "complex128"),
            (pd.arrays.SparseArray([0, 1]), "Sparse"),
        ],
    )
    def test_a_column_that_is_no_feature_is_named_with_its_own_dtype(self, values: Any, called: str) -> None:
        frame = pd.DataFrame({"x": [1.0, 2], "odd": pd.Series(values)})
        with pytest.raises(InvalidInput, match=f"'odd' is {called}"):
            FeatureSchema.from_frame(frame)
        with pytest.raises(FeatureMismatch, match=f"'odd': expected float64, found {called}"):
            FeatureSchema(["x", "odd"], dtypes={"x": "float64", "odd": "float64"}).prepare(frame)

    @pytest.mark.parametrize("values", [[[1], [2]], [{"a": 1}, {"a": 2}]])
    def test_lists_and_records_are_refused_by_name_in_every_kind_of_table(self, values: Any) -> None:
        columns = {"x": [1.0, 2.0], "odd": values}
        for table in (pd.DataFrame(columns), pl.DataFrame(columns), pa.table(columns)):
            with pytest.raises(InvalidInput, match="'odd'"):
                FeatureSchema.from_frame(table)
            with pytest.raises(FeatureMismatch, match="'odd'"):
                FeatureSchema(["x", "odd"], dtypes={"x": "float64", "odd": "float64"}).prepare(table)
