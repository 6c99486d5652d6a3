"""What carries names is read by them or refused; nothing of it is taken by position."""

from __future__ import annotations

import collections
import dataclasses
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.errors import FeatureMismatch, InvalidInput
from artifact_store.features import named_rows
from artifact_store.features.schema import FeatureSchema
from tests.cases import each
from tests.named_kinds import MANY, ONE, WITHOUT_A_ROW, Fixed, Keyed, sqlite

pytestmark = pytest.mark.windows

NAMES = ["a", "b", "c"]
SCHEMA = FeatureSchema(NAMES, selected=["c", "a"], dtypes="float64")
ROWS = [{"c": 3.0, "a": 1.0, "b": 2.0}, {"c": 30.0, "a": 10.0, "b": 20.0}, {"c": 0.5, "a": -1.0, "b": 7.0}]
RIGHT = np.array([[row[name] for name in NAMES] for row in ROWS])


def plain(rows: Any) -> np.ndarray[Any, Any]:
    """The numbers of whatever container, as rows."""
    if isinstance(rows, pa.Table):
        rows = rows.to_pandas()
    array = rows.to_numpy() if hasattr(rows, "to_numpy") else np.asarray(rows)
    return array.reshape(-1, array.shape[-1])


class TestOneRow:
    def test_a_row_is_read_by_its_names(self) -> None:
        for case in each(ONE):
            with case as kind:
                row = ONE[kind](ROWS[0])
                np.testing.assert_array_equal(plain(SCHEMA.align(row)), RIGHT[:1])
                np.testing.assert_array_equal(plain(SCHEMA.select(row)), RIGHT[:1, [2, 0]])
                np.testing.assert_array_equal(plain(SCHEMA.prepare(row)), RIGHT[:1, [2, 0]])
                np.testing.assert_array_equal(plain(SCHEMA.prepare(row, lambda seen: seen * 2)), 2 * RIGHT[:1, [2, 0]])
                np.testing.assert_array_equal(plain(SCHEMA.prepare(row, preselected=True)), RIGHT[:1, [2, 0]])

    def test_it_becomes_an_array_of_one_row(self) -> None:
        for case in each(ONE.keys() - {"pandas Series", "pandas row"}):
            with case as kind:
                assert SCHEMA.align(ONE[kind](ROWS[0])).shape == (1, 3)

    @settings(deadline=None, max_examples=20)
    @given(
        order=st.permutations([*NAMES, "x"]),
        values=st.lists(st.floats(allow_nan=False, width=32), min_size=4, max_size=4),
    )
    def test_no_order_changes_a_value(self, order: list[str], values: list[float]) -> None:
        row = dict(zip(order, values, strict=True))
        for case in each(ONE):
            with case as kind:
                np.testing.assert_array_equal(plain(SCHEMA.align(ONE[kind](row))), [[row[name] for name in NAMES]])

    @settings(deadline=None, max_examples=10)
    @given(kept=st.lists(st.sampled_from([*NAMES, "x", "y"]), unique=True, min_size=1))
    def test_a_missing_name_is_named(self, kept: list[str]) -> None:
        missing = tuple(name for name in NAMES if name not in kept)
        for case in each(ONE):
            with case as kind:
                row = ONE[kind]({name: float(place) for place, name in enumerate(kept)})
                if not missing:
                    assert SCHEMA.align(row) is not None
                    continue
                with pytest.raises(FeatureMismatch, match=repr(missing[0])) as caught:
                    SCHEMA.align(row)
                assert caught.value.missing == missing

    def test_names_that_were_inferred_are_no_reason_to_match(self) -> None:
        for case in each(ONE):
            with case as kind:
                with pytest.raises(FeatureMismatch, match="by_position=True"):
                    FeatureSchema.inferred(3).align(ONE[kind](ROWS[0]))
                found = FeatureSchema.inferred(3).align(ONE[kind](ROWS[0]), by_position=True)
                np.testing.assert_array_equal(plain(found), [[3.0, 1.0, 2.0]])
                with pytest.raises(FeatureMismatch, match="another place"):
                    SCHEMA.align(ONE[kind](ROWS[0]), by_position=True)

    def test_a_value_is_filled_and_an_extra_one_refused_as_in_a_table(self) -> None:
        for case in each(ONE):
            with case as kind:
                part = ONE[kind]({"c": 3.0, "a": 1.0})
                np.testing.assert_array_equal(plain(SCHEMA.align(part, fill={"b": 2})), RIGHT[:1])
                np.testing.assert_array_equal(plain(SCHEMA.align(ONE[kind](ROWS[0]), extra="refuse")), RIGHT[:1])
                with pytest.raises(FeatureMismatch, match="'x'"):
                    SCHEMA.align(ONE[kind]({**ROWS[0], "x": 0.0}), extra="refuse")

    def test_a_row_of_another_order_than_its_class_says_nothing_of_ours(self) -> None:
        np.testing.assert_array_equal(SCHEMA.align(Fixed(3.0, 1.0, 2.0)), RIGHT[:1])

    def test_text_and_categories_ask_for_a_table(self) -> None:
        schema = FeatureSchema(["a", "v"], categories={"v": ["x"]})
        for row in ({"a": 1.0, "v": "x"}, {"a": 1.0, "v": None}):
            for rows in (row, [row], {"a": [1.0], "v": [row["v"]]}, sqlite(row)):
                with pytest.raises(FeatureMismatch, match=r"[Gg]ive a table.* of one row"):
                    schema.align(rows)
            assert schema.align(pd.DataFrame([row]))["v"].cat.codes.tolist() == [0 if row["v"] else -1]

    def test_two_columns_of_a_database_under_one_name_are_refused(self) -> None:
        import sqlite3

        connection = sqlite3.connect(":memory:")
        connection.row_factory = sqlite3.Row
        with pytest.raises(FeatureMismatch, match="more than once: 'a'"):
            SCHEMA.align(connection.execute("SELECT 1.0 AS a, 2.0 AS a, 3.0 AS b, 4.0 AS c").fetchone())
        row = connection.execute("SELECT 5.0 AS A, 1.0 AS a, 2.0 AS b, 3.0 AS c").fetchone()
        connection.close()
        np.testing.assert_array_equal(SCHEMA.align(row), RIGHT[:1])


class TestTheIndexOfItertuples:
    def test_it_is_no_feature_even_where_a_feature_has_its_name(self) -> None:
        schema = FeatureSchema(["Index", "a"])
        row = next(pd.DataFrame({"Index": [5.0], "a": [1.0]}).itertuples())
        with pytest.raises(FeatureMismatch, match="'Index'"):
            schema.align(row)
        named = collections.namedtuple("named", ["Index", "a"])  # noqa: PYI024 -- a row of a test
        assert schema.align(named(5.0, 1.0)).tolist() == [[5.0, 1.0]]

    def test_names_that_a_namedtuple_cannot_have_are_missing_and_not_counted(self) -> None:
        frame = pd.DataFrame({"_2": [1.0], "_1": [2.0]})  # of which it makes _1 and _2
        with pytest.raises(FeatureMismatch, match="2 of 2 features are missing"):
            FeatureSchema(["_1", "_2"]).align(next(frame.itertuples()))
        assert FeatureSchema(["_1", "_2"]).align(frame.to_dict("records")).tolist() == [[2.0, 1.0]]


class TestManyRows:
    def test_rows_are_read_by_their_names(self) -> None:
        for case in each(MANY):
            with case as kind:
                rows = MANY[kind](ROWS)
                np.testing.assert_array_equal(plain(SCHEMA.align(rows)), RIGHT)
                np.testing.assert_array_equal(plain(SCHEMA.select(rows)), RIGHT[:, [2, 0]])
                np.testing.assert_array_equal(plain(SCHEMA.prepare(rows)), RIGHT[:, [2, 0]])
                doubled = SCHEMA.prepare(rows, lambda seen: plain(seen) * 2)
                np.testing.assert_array_equal(plain(doubled), 2 * RIGHT[:, [2, 0]])
                assert SCHEMA.carries_names(rows)

    @settings(deadline=None, max_examples=10)
    @given(order=st.permutations([*NAMES, "x", "y"]), count=st.integers(1, 4))
    def test_no_order_changes_a_value(self, order: list[str], count: int) -> None:
        rows = [{name: float(place * 10 + number) for place, name in enumerate(order)} for number in range(count)]
        right = [[row[name] for name in NAMES] for row in rows]
        for case in each(MANY):
            with case as kind:
                np.testing.assert_array_equal(plain(SCHEMA.align(MANY[kind](rows))), right)

    def test_a_missing_name_is_named(self) -> None:
        for case in each(MANY):
            with case as kind:
                with pytest.raises(FeatureMismatch, match="'b'") as caught:
                    SCHEMA.align(MANY[kind]([{"c": 1.0, "a": 2.0, "x": 3.0}] * 2))
                assert (caught.value.missing, caught.value.extra) == (("b",), ("x",))

    @pytest.mark.parametrize("by_position", [False, True])
    def test_names_that_do_not_say_what_is_a_row_are_refused(self, *, by_position: bool) -> None:
        for case in each(product(WITHOUT_A_ROW, (SCHEMA, FeatureSchema(NAMES)))):
            with case as (kind, schema):
                rows = WITHOUT_A_ROW[kind](ROWS)
                assert SCHEMA.carries_names(rows)
                with pytest.raises(InvalidInput, match="names|missing|dict|Series|another place"):
                    schema.align(rows, by_position=by_position)
                with pytest.raises(InvalidInput, match="names|missing|dict|Series"):
                    schema.select(rows)

    def test_each_row_is_read_by_its_own_names(self) -> None:
        rows = [{"a": 1, "b": 2, "c": 3}, {"c": 30, "b": 20, "a": 10}, {"b": 7, "c": 0.5, "a": -1}]
        np.testing.assert_array_equal(SCHEMA.align(rows), RIGHT)
        with pytest.raises(FeatureMismatch, match="do not all have the same names") as caught:
            FeatureSchema.inferred(3).align(rows, by_position=True)
        assert caught.value.reordered

    def test_the_row_that_lacks_a_name_is_counted(self) -> None:
        rows = [*ROWS, {"a": 1.0, "c": 2.0}]
        with pytest.raises(FeatureMismatch, match="in row 3, counted from 0: 1 of 3 features are missing") as caught:
            SCHEMA.align(rows)
        assert caught.value.missing == ("b",)
        assert SCHEMA.align(rows, fill={"b": None})[3].tolist()[::2] == [1.0, 2.0]

    def test_columns_are_filled_as_rows_are(self) -> None:
        assert SCHEMA.align({"a": [1.0, 2.0], "c": [3, 4]}, fill={"b": 9}).tolist() == [[1, 9, 3], [2, 9, 4]]

    def test_several_sets_of_columns_are_not_one(self) -> None:
        with pytest.raises(FeatureMismatch, match="'a' is list"):
            SCHEMA.align([MANY["dict of lists"](ROWS)] * 2)

    def test_columns_of_several_lengths_are_refused(self) -> None:
        with pytest.raises(FeatureMismatch, match="one shape"):
            SCHEMA.align({"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0]})
        with pytest.raises(FeatureMismatch, match="'a' is list, 'c' is list"):
            SCHEMA.align({"a": [1.0], "b": 2.0, "c": [1.0]})

    @pytest.mark.parametrize("column", ["x", {1.0}, [[1.0]], ["x"], {0: 1.0}, pd.Series([1.0]), np.ma.array([1.0])])
    def test_what_is_no_column_of_numbers_is_named(self, column: Any) -> None:
        with pytest.raises(FeatureMismatch, match="'b'"):
            SCHEMA.align({"a": [1.0], "b": column, "c": [1.0]})

    def test_windows_in_a_structured_array_stay_windows(self) -> None:
        windows = np.array([[(3.0, 1.0, 2.0), (30.0, 10.0, 20.0)]] * 4, dtype=[(name, "f8") for name in "cab"])
        np.testing.assert_array_equal(SCHEMA.align(windows), np.stack([RIGHT[:2]] * 4))
        with pytest.raises(FeatureMismatch, match="one shape"):
            FeatureSchema(["a"]).align(np.zeros(2, dtype=[("a", "f8", (3,))]))

    def test_a_missing_struct_is_a_row_of_missing_values(self) -> None:
        rows = [ROWS[0], None]
        assert SCHEMA.align(pa.array(rows)).to_pylist()[1] == dict.fromkeys(NAMES)
        assert SCHEMA.align(pl.Series(rows)).rows()[1] == (None, None, None)


class TestNumbers:
    @pytest.mark.parametrize(
        "nothing", [None, np.nan, float("nan"), pd.NA, np.ma.masked, Decimal("NaN"), pa.scalar(None, pa.float64())]
    )
    def test_a_missing_value_is_nan(self, nothing: Any) -> None:
        row = {**ROWS[0], "b": nothing}
        for rows in (row, [row], {name: [value] for name, value in row.items()}):
            assert np.isnan(SCHEMA.align(rows)).tolist() == [[False, True, False]]

    @pytest.mark.parametrize("value", [2, True, np.float32(2), np.int8(2), np.array(2.0), pa.scalar(2), Decimal("2.0")])
    def test_a_number_of_whatever_library_is_one(self, value: Any) -> None:
        row = {**ROWS[0], "b": value}
        for rows in (row, [row], {name: [cell] for name, cell in row.items()}):
            assert SCHEMA.align(rows).tolist() == [
                [1.0, float(value.as_py() if hasattr(value, "as_py") else value), 3.0]
            ]

    @pytest.mark.parametrize(
        ("dtype", "fits", "others"),
        [
            ("float64", ["1.1", "-0.1", "43251.27", "1E+300", "Infinity"], ["0.12345678901234567890", "1E+400"]),
            ("float32", ["1.1", "43251.27"], ["1234567.89", "1E+40"]),
            (None, ["1.1"], ["0.12345678901234567890"]),
            ("int64", ["3", "3.00", "9007199254740991"], ["3.5", "9223372036854775808", "Infinity"]),
            ("uint8", ["255"], ["256", "-1"]),
            ("bool", ["0", "1"], ["2"]),
        ],
    )
    def test_a_decimal_is_taken_where_its_digits_come_back(
        self, dtype: str, fits: list[str], others: list[str]
    ) -> None:
        schema = FeatureSchema(["a"], dtypes=dtype)
        for text in fits:
            (found,) = schema.align({"a": Decimal(text)}).reshape(-1)
            assert found == np.dtype(dtype or "float64").type(float(text))
        for text in others:
            with pytest.raises(FeatureMismatch, match=r"'a' is Decimal .*cannot give back"):
                schema.align({"a": Decimal(text)})

    @pytest.mark.parametrize("large", [2**53 + 1, 10**30, -(2**62) - 1, np.int64(2**53 + 1)])
    def test_an_integer_that_an_array_cannot_hold_beside_floats_is_named(self, large: int) -> None:
        schema = FeatureSchema(["n", "x"], dtypes={"n": "int64", "x": "float64"})
        for rows in ({"n": large, "x": 0.5}, [{"n": large, "x": 0.5}], {"n": [large], "x": [0.5]}):
            with pytest.raises(FeatureMismatch, match="2\\*\\*53") as caught:
                schema.align(rows)
            assert set(caught.value.dtype) == {"n"}
        with pytest.raises(FeatureMismatch, match="2\\*\\*53"):
            schema.align({"n": [large, 0.5], "x": [0.5, 1.0]})
        assert schema.align(pd.DataFrame({"n": [2**53 + 1], "x": [0.5]}))["n"].tolist() == [2**53 + 1]
        assert FeatureSchema(["n"], dtypes="int64").align({"n": 2**53 + 1}).tolist() == [[2**53 + 1]]

    def test_a_record_array_with_large_integers_is_refused(self) -> None:
        rows = np.array([(2**53 + 1, 0.5)], dtype=[("n", "i8"), ("x", "f8")])
        with pytest.raises(FeatureMismatch, match="2\\*\\*53"):
            FeatureSchema(["x", "n"], dtypes={"n": "int64"}).align(rows)

    def test_what_refuses_to_become_a_number_is_named(self) -> None:
        class Tensor:
            def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
                raise RuntimeError("it needs a gradient")

        with pytest.raises(FeatureMismatch, match="'a' is Tensor"):
            FeatureSchema(["a"]).align({"a": Tensor()})


class TestWhatCarriesNames:
    @pytest.mark.parametrize(
        "rows",
        [
            RIGHT,
            RIGHT.tolist(),
            [RIGHT, RIGHT],
            tuple(RIGHT[0]),
            range(3),
            memoryview(RIGHT),
            pl.Series([1.0, 2.0]),
            [pl.Series([1.0, 2.0])],
            pa.array([1.0, 2.0]),
            pa.chunked_array([[1.0]]),
            pd.Index([1.0]),
            None,
            3.0,
            "open",
            object(),
            [],
            [[]],
            [None],
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_has_none_is_told_from_it(self, rows: Any) -> None:
        assert not SCHEMA.carries_names(rows)
        assert named_rows.read_named_rows(rows) is None

    def test_a_row_has_them(self) -> None:
        for case in each(ONE):
            with case as kind:
                assert SCHEMA.carries_names(ONE[kind](ROWS[0]))
                assert SCHEMA.carries_names([[ONE[kind](ROWS[0])]])

    @pytest.mark.parametrize(
        "naming", [{"_fields": ("a",)}, {"indexes": {}}, {"index": property(lambda _: [1])}, {"__slots__": ("schema",)}]
    )
    def test_what_looks_as_if_it_had_some_is_refused_as_an_array(self, naming: dict[str, Any]) -> None:
        foreign = type("Foreign", (list,), naming)
        with pytest.raises(InvalidInput, match="Foreign, carries names"):
            FeatureSchema(["a", "b"]).align(foreign([1.0, 2.0]))

    def test_an_attribute_of_one_object_counts_too(self) -> None:
        class Labelled(list[float]):
            pass

        rows = Labelled([1.0, 2.0])
        assert not SCHEMA.carries_names(rows)
        rows.columns = ["b", "a"]  # type: ignore[attr-defined]
        assert SCHEMA.carries_names(rows)

    def test_a_foreign_table_with_keys_is_not_read_by_column(self) -> None:
        class Foreign(Keyed):
            columns = NAMES

        with pytest.raises(InvalidInput, match="Foreign, carries names"):
            SCHEMA.align(Foreign(ROWS[0]))

    def test_an_array_whose_memory_names_its_fields_is_refused(self) -> None:
        import ctypes

        class Bar(ctypes.Structure):
            _fields_ = [("c", ctypes.c_double), ("a", ctypes.c_double)]

        with pytest.raises(InvalidInput, match="carries names"):
            SCHEMA.align(memoryview((Bar * 2)(Bar(3.0, 1.0))))

    @pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.coo_array])
    def test_a_sparse_matrix_is_refused_with_advice(self, make: Any) -> None:
        for rows in (make(RIGHT), [make(RIGHT)]):
            assert not SCHEMA.carries_names(rows)
        for prepare in (SCHEMA.align, SCHEMA.select, lambda rows: SCHEMA.prepare(rows.toarray(), make)):
            with pytest.raises(InvalidInput, match=r"sparse.*toarray\(\)"):
                prepare(make(RIGHT))
        np.testing.assert_array_equal(SCHEMA.align(make(RIGHT).toarray()), RIGHT)

    def test_a_list_that_holds_itself_is_refused(self) -> None:
        rows: list[Any] = []
        rows.append(rows)
        for ask in (SCHEMA.align, SCHEMA.select, SCHEMA.prepare, SCHEMA.carries_names):
            with pytest.raises(InvalidInput, match="list is nested more than 64 deep"):
                ask(rows)

    def test_a_record_of_arrow_with_one_name_twice_is_refused(self) -> None:
        columns = [pa.array([1.0]), pa.array([2.0]), pa.array([3.0]), pa.array([4.0])]
        row = pa.StructArray.from_arrays(columns, names=[*NAMES, "a"])[0]
        for rows in (row, [row]):
            with pytest.raises(FeatureMismatch, match="more than once: 'a'"):
                SCHEMA.align(rows)

    @pytest.mark.parametrize("value", [list(ROWS[0].items()), None])
    def test_a_map_of_arrow_says_of_each_row_what_it_holds_and_is_refused(self, value: Any) -> None:
        rows = pa.array([value], pa.map_(pa.string(), pa.float64()))
        for given_as in (rows, rows[0], [rows[0]]):
            with pytest.raises(InvalidInput, match="carries names"):
                SCHEMA.align(given_as)

    def test_a_class_is_no_row(self) -> None:
        kind = dataclasses.make_dataclass("D", [("a", float)])
        with pytest.raises(InvalidInput, match="carries names"):
            FeatureSchema(["a"]).align(kind)

    def test_what_a_preprocessor_returns_keeps_names_and_order(self) -> None:
        row = pd.Series(ROWS[0])
        np.testing.assert_array_equal(SCHEMA.prepare(row, lambda seen: seen * 2).to_numpy(), [6.0, 2.0])
        with pytest.raises(FeatureMismatch, match="preprocessor returned other columns") as caught:
            SCHEMA.prepare(row, lambda seen: seen[["b", "a", "c"]])
        assert caught.value.reordered
        with pytest.raises(InvalidInput, match="carries names"):
            SCHEMA.prepare(RIGHT, lambda seen: list(map(ONE["namedtuple"], ROWS)))
