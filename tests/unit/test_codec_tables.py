"""Tables: what others read in the files, what is refused in them, and what is said when a library is missing."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable
from datetime import date, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifact_store.codecs.arrays import ArrayCodec
from artifact_store.codecs.lightgbm.booster import LightGBMCodec
from artifact_store.codecs.tables.arrow import ArrowCodec
from artifact_store.codecs.tables.pandas import PandasCodec
from artifact_store.codecs.tables.polars import PolarsCodec
from artifact_store.core import documents
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import CodecUnavailable, Corrupt, NotEncodable

pytestmark = pytest.mark.windows

PLAIN: dict[str, Any] = {"kind": "frame", "notes": {"data": {}}}


def test_pandas_reads_a_stored_frame_by_itself(tmp_path: Path) -> None:
    frame = pd.DataFrame({"feature": ["close", "volume"], "importance": [12.5, 3.0]})
    PandasCodec().encode(frame, tmp_path, "feature_importance")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "feature_importance.parquet"), frame)


def test_text_of_the_dtype_object_stays_object(tmp_path: Path) -> None:
    codec = PandasCodec()
    index = pd.Index(["p", "q"], dtype=object)
    frame = pd.DataFrame({"a": pd.Series(["x", None], index, dtype=object)})
    back = codec.decode(tmp_path, "model", codec.encode(frame, tmp_path, "model"))
    assert back["a"].dtype == back.index.dtype == object
    assert back["a"].tolist() == ["x", None]


@pytest.mark.parametrize("make", [pd.DataFrame, lambda columns: pd.Series(columns["a"], name="a")])
def test_attrs_and_the_flag_of_a_table_come_back(make: Any, tmp_path: Path) -> None:
    table = make({"a": [1]}).set_flags(allows_duplicate_labels=False)
    table.attrs = {"source": "exchange", "windows": [5, 20.5, None], "nested": {"n": 1}}
    back = again(table, tmp_path)
    assert back.attrs == table.attrs
    assert back.flags == table.flags


@pytest.mark.parametrize("attrs", [{"hook": print}, {1: 2}, {"a": {"b": math.nan}}, {"a": (1,)}, {"a": np.ones(1)}])
def test_attrs_that_are_not_json_are_refused_by_name_without_being_called(attrs: Any, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = attrs
    with pytest.raises(NotEncodable, match=r"^the attrs of the table .* attrs.* or delete it from \.attrs"):
        PandasCodec().encode(frame, tmp_path, "model")
    assert not list(tmp_path.iterdir())
    frame.attrs = {}  # as the message says
    assert again(frame, tmp_path).attrs == {}


LEVELS: dict[str, pd.MultiIndex] = {
    "an order of their own": pd.MultiIndex([["z", "a"], [2, 1]], [[0, 1], [1, 0]], names=["p", "q"]),
    "values that no row uses": pd.MultiIndex.from_product([["a", "b"], [1.5, 2.5]])[:2],
    "a gap": pd.MultiIndex([["z", "a"], [2, 1]], [[0, -1], [1, 0]]),
    "no rows": pd.MultiIndex.from_product([["a", "b"], [True, False]])[:0],
    "days at a frequency": pd.MultiIndex.from_product([pd.date_range("2024", periods=2), ["b", "a"]]),
    "days of a zone": pd.MultiIndex.from_product([pd.date_range("2024", periods=3, tz="Europe/Berlin"), ["a"]])[1:],
    "hours that no row uses": pd.MultiIndex.from_product([pd.to_timedelta([2, 1], unit="h"), [1]])[:1],
}


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_of_an_index_come_back_in_their_order_with_what_no_row_uses(kind: str, tmp_path: Path) -> None:
    index = LEVELS[kind]
    for obj, what in (
        (pd.DataFrame({"x": range(len(index))}, index=index), "index"),
        (pd.Series(range(len(index)), index=index), "index"),
        (pd.DataFrame(np.zeros((1, len(index))), columns=index), "columns"),
    ):
        if what == "columns" and ("day" in kind or "hour" in kind or "gap" in kind or "rows" in kind.split()):
            continue  # names of columns are text in Parquet
        back = getattr(again(obj, tmp_path), what)
        for level, kept, places, codes in zip(index.levels, back.levels, index.codes, back.codes, strict=True):
            assert (type(kept), kept.dtype, kept.tolist()) == (type(level), level.dtype, level.tolist())
            assert getattr(kept, "freq", None) == getattr(level, "freq", None)
            assert list(codes) == list(places)
        assert back.names == index.names


def test_more_levels_in_another_order_than_are_noted_are_refused_with_a_way_out(tmp_path: Path) -> None:
    index = pd.MultiIndex.from_arrays([range(20_000), ["a"] * 20_000], names=["tick", "symbol"])
    frame = pd.DataFrame({"x": range(20_000)}, index=index)
    pd.testing.assert_frame_equal(again(frame, tmp_path), frame)
    with pytest.raises(
        NotEncodable, match=r"the level 'tick' of the index has 20,000 values .*pandas\.MultiIndex\.from_frame"
    ):
        PandasCodec().encode(frame[:100], tmp_path, "model")
    frame = frame[:100]
    frame.index = pd.MultiIndex.from_frame(frame.index.to_frame())  # as the message says
    pd.testing.assert_frame_equal(again(frame, tmp_path), frame)


DECIMALS = ("1.1 2.000", "1E+3 2", "-0.0 0.0", "NaN 1.5", "Infinity -1", "1.10 2.00", "1e-40")


@pytest.mark.parametrize("texts", DECIMALS)
@pytest.mark.parametrize("gap", [None, math.nan])
def test_decimals_come_back_to_their_exponent(texts: str, gap: Any, tmp_path: Path) -> None:
    values = [*map(Decimal, texts.split()), gap]
    index = pd.Index(values, dtype=object)
    frame = pd.DataFrame({"price": pd.Series(values, index=index, dtype=object)})
    back = again(frame, tmp_path)
    for found in (back["price"].tolist(), back.index.tolist()):
        assert list(map(repr, found)) == list(map(repr, values))


def test_a_decimal_that_signals_is_refused_with_its_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"price": pd.Series([Decimal("sNaN")], dtype=object)})
    with pytest.raises(NotEncodable, match=r"the column 'price' .* Decimal\('NaN'\)"):
        PandasCodec().encode(frame, tmp_path, "model")


ARROW: dict[str, pa.Array] = {
    "text": pa.array(["x", None]),
    "long text": pa.array(["x", None], pa.large_string()),
    "numbers, NaN and null apart": pa.array([1.5, math.nan, None]),
    "lists": pa.array([[1, None], None], pa.list_(pa.field("of", pa.int8()))),
    "records": pa.array([{"x": 1}, None]),
    "maps": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "dictionaries": pa.array(["b", "a", None]).dictionary_encode(),
    "decimals": pa.array([Decimal("1.10"), None], pa.decimal128(10, 2)),
    "bytes of a width": pa.array([b"xy", None], pa.binary(2)),
    "seconds": pa.array([0, None], pa.timestamp("s", "Europe/Berlin")),
    "nothing": pa.nulls(2),
}


@pytest.mark.parametrize("kind", ARROW)
def test_columns_that_arrow_backs_come_back_as_they_are(kind: str, tmp_path: Path) -> None:
    column = pd.Series(pd.arrays.ArrowExtensionArray(ARROW[kind]), name="a")
    for obj in (column, column.to_frame().assign(b=1.5)):
        back = again(obj, tmp_path)
        kept = back if obj is column else back["a"]
        assert kept.dtype == column.dtype
        assert repr(kept.array.__arrow_array__().to_pylist()) == repr(ARROW[kind].to_pylist())


@pytest.mark.parametrize("missing", [pd.NA, math.nan])
def test_text_that_python_holds_comes_back_as_such(missing: Any, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": pd.array(["x", missing], dtype=pd.StringDtype("python", na_value=missing))})
    back = again(frame, tmp_path)
    assert repr(back["a"].dtype) == repr(frame["a"].dtype)
    assert back["a"].isna().tolist() == [False, True]


def test_categories_keep_their_name_and_frequency(tmp_path: Path) -> None:
    days = pd.date_range("2024", periods=3, name="day")
    kept = again(pd.DataFrame({"a": pd.Categorical(days[:1], categories=days)}), tmp_path)["a"].cat.categories
    assert (kept.name, kept.freq) == ("day", days.freq)


COLUMNS: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    # a column that is refused, what the message says, and that
    "a period": (pd.period_range("2024", periods=2, freq="M"), ".astype(str)", lambda a: a.astype(str)),
    "an interval": (pd.interval_range(0, 2), ".astype(str)", lambda a: a.astype(str)),
    "cut": (pd.cut([1, 2], 2), ".map(str, na_action='ignore')", lambda a: a.map(str, na_action="ignore")),
    "sparse": (pd.arrays.SparseArray([0, 1]), ".sparse.to_dense()", lambda a: a.sparse.to_dense()),
    "complex": ([1j, 2j], "numpy.real(column)", np.real),
    "big-endian": (np.array([1.0, 2], ">f8"), ".astype('float64')", lambda a: a.astype("float64")),
    "big-endian integers": (np.array([1, 2], ">i2"), ".astype('int64')", lambda a: a.astype("int64")),
    "lists": ([[1], [2]], ".astype(str)", lambda a: a.astype(str)),
    "sets": ([{1}, {2}], ".astype(str)", lambda a: a.astype(str)),
    "moments": (pd.Series([pd.Timestamp("2024"), None], dtype=object), ".astype(str)", lambda a: a.astype(str)),
    "text and numbers": (pd.Series(["x", 1], dtype=object), ".astype(str)", lambda a: a.astype(str)),
    "gaps of two kinds": (
        pd.Series(["x", None, math.nan], dtype=object),
        ".where(column.notna(), None)",
        lambda a: a.where(a.notna(), None),
    ),
    "gaps of pandas": (
        pd.Series(["x", pd.NA], dtype=object),
        ".where(column.notna(), None)",
        lambda a: a.where(a.notna(), None),
    ),
    "no text": (pd.Series(["\ud800"], dtype=object), ".map(ascii)", lambda a: a.map(ascii)),
    "a zone of seconds": (
        pd.to_datetime(["2024"]).tz_localize(timezone(timedelta(seconds=3661))),
        ".dt.tz_convert('UTC')",
        lambda a: a.dt.tz_convert("UTC"),
    ),
    "a zone with a name of its own": (
        pd.to_datetime(["2024"]).tz_localize(timezone(timedelta(hours=2), "X")),
        ".dt.tz_convert('UTC')",
        lambda a: a.dt.tz_convert("UTC"),
    ),
    "months, days and nanoseconds": (
        pd.arrays.ArrowExtensionArray(pa.array([(1, 2, 3)], pa.month_day_nano_interval())),
        "text with map(str, …)",
        lambda a: pd.Series(list(map(str, a.tolist()))),
    ),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_that_is_refused_is_named_with_a_way_out_that_works(kind: str, tmp_path: Path) -> None:
    values, way_out, follow = COLUMNS[kind]
    frame = pd.DataFrame({"x": 1.5, "odd": pd.Series(values)})
    with pytest.raises(NotEncodable, match=rf"the column 'odd'.*{re.escape(way_out)}"):
        PandasCodec().encode(frame, tmp_path, "model")
    assert not list(tmp_path.iterdir())
    frame["odd"] = follow(frame["odd"])
    pd.testing.assert_frame_equal(again(frame, tmp_path), frame)


INDEXES: dict[str, Any] = {
    "a nullable integer": pd.Index([1, None], dtype="Int64"),
    "a level that is nullable": pd.MultiIndex.from_arrays(
        [pd.array([1, 2], dtype="Int64"), ["a", "b"]], names=["p", "q"]
    ),
    "one level": pd.MultiIndex.from_arrays([["a", "b"]], names=["p"]),
    "text of pandas": pd.Index(["a", "b"], dtype="string"),
    "one that arrow backs": pd.Index([1, 2], dtype=pd.ArrowDtype(pa.int64())),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_that_is_refused_is_kept_as_a_column(kind: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.5, 2.5]}, index=INDEXES[kind])
    with pytest.raises(NotEncodable, match=r"index.*\.reset_index\(\)"):
        PandasCodec().encode(frame, tmp_path, "model")
    frame = frame.reset_index()
    pd.testing.assert_frame_equal(again(frame, tmp_path), frame)


@pytest.mark.parametrize("names", [[True, False], ["a", 1]])
def test_names_of_columns_that_are_refused_are_kept_as_text(names: Any, tmp_path: Path) -> None:
    frame = pd.DataFrame([[1, 2]], columns=names)
    with pytest.raises(NotEncodable, match=r"columns = \[str\(name\) for name in frame\.columns\]"):
        PandasCodec().encode(frame, tmp_path, "model")
    frame.columns = [str(name) for name in frame.columns]
    pd.testing.assert_frame_equal(again(frame, tmp_path), frame)


def test_a_frequency_that_its_name_does_not_tell_is_refused_with_a_way_out(tmp_path: Path) -> None:
    index = pd.date_range("2024", periods=3, freq=pd.offsets.CustomBusinessDay(holidays=["2024-01-02"]))
    frame = pd.DataFrame({"x": range(3)}, index=index)
    with pytest.raises(NotEncodable, match=r"^the index has the frequency .*\.index\.freq = None"):
        PandasCodec().encode(frame, tmp_path, "model")
    frame.index.freq = None  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(again(frame, tmp_path), frame)


@pytest.mark.parametrize(
    ("codec", "obj", "way_out"),
    [
        (PandasCodec(), pd.Index([1]), "Series"),
        (PandasCodec(), pd.array([1], dtype="Int64"), "Series"),
        (PandasCodec(), pd.Categorical(["a"]), "Series"),
        (ArrowCodec(), pa.array([1]), "pyarrow.lib.Table"),
        (ArrowCodec(), pa.record_batch({"a": [1]}), "pyarrow.lib.Table"),
        (PolarsCodec(), pl.Series([1]), ".to_frame()"),
        (PolarsCodec(), pl.LazyFrame({"a": [1]}), ".collect()"),
    ],
)
def test_parts_of_tables_are_refused_with_what_to_make_of_them(
    codec: Any, obj: Any, way_out: str, tmp_path: Path
) -> None:
    assert CodecRegistry().for_object(obj).name == codec.name
    with pytest.raises(NotEncodable, match=re.escape(way_out)):
        codec.encode(obj, tmp_path, "model")


def test_an_arrow_table_of_rows_without_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match="2 rows without columns"):
        ArrowCodec().encode(pa.table({"a": [1, 2]}).select([]), tmp_path, "model")


@pytest.mark.parametrize(
    ("codec", "table"),
    [
        (ArrowCodec(), pa.table({"x": [1], "odd": pa.nulls(1, pa.decimal128(10, -2))})),
        (ArrowCodec(), pa.table({"x": [1], "odd": pa.nulls(1, pa.run_end_encoded(pa.int32(), pa.int64()))})),
        (ArrowCodec(), pa.table({"x": [1], "odd": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})),
        (PolarsCodec(), pl.DataFrame({"x": [1], "odd": pl.Series([print], dtype=pl.Object)})),
        (PolarsCodec(), pl.DataFrame({"x": [1], "odd": pl.Series([{}], dtype=pl.Struct([]))})),
    ],
)
def test_what_parquet_has_no_type_for_is_refused_with_its_column(codec: Any, table: Any, tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match=r"the column 'odd'.*ake its values text with map\(str, "):
        codec.encode(table, tmp_path, "model")
    if isinstance(table, pa.Table):
        text = table.set_column(1, "odd", pa.array(map(str, table["odd"].to_pylist())))
    else:
        text = table.with_columns(pl.Series("odd", map(str, table["odd"])))
    assert codec.decode(tmp_path, "model", codec.encode(text, tmp_path, "model")).equals(text)


def test_more_categories_than_are_noted_come_back_too(tmp_path: Path) -> None:
    names = [f"{number:06}" for number in range(20_000)]
    frame = pd.DataFrame({"a": pd.Categorical(names[:100][::-1], categories=names)})
    codec = PandasCodec()
    options = codec.encode(frame, tmp_path, "model")
    assert len(str(options)) < 200
    pd.testing.assert_frame_equal(codec.decode(tmp_path, "model", options), frame)
    with pytest.raises(NotEncodable, match="20,000 categories"):
        codec.encode(pd.Series(pd.Categorical([1], categories=range(20_000))), tmp_path, "other")


def test_a_frame_that_is_read_back_does_not_share_memory_with_a_file(tmp_path: Path) -> None:
    codec = PandasCodec()
    back = codec.decode(tmp_path, "model", codec.encode(pd.DataFrame({"a": [1.5, 2.5]}), tmp_path, "model"))
    back.loc[0, "a"] = 9.0
    assert back["a"].tolist() == [9.0, 2.5]


class Planted(pa.ExtensionType):
    """An extension type that notices being constructed from a file."""

    def __init__(self) -> None:
        super().__init__(pa.int64(), "tests.planted")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, _storage: pa.DataType, _serialized: bytes) -> Planted:
        return cls()


@pytest.mark.parametrize(("codec", "options"), [(ArrowCodec(), {}), (PandasCodec(), PLAIN)])
def test_a_file_with_a_registered_extension_type_is_corrupt(codec: Any, options: Any, tmp_path: Path) -> None:
    column = pa.ExtensionArray.from_storage(Planted(), pa.array([1, 2]))
    pa.register_extension_type(Planted())
    try:
        pq.write_table(pa.table({"a": column}), tmp_path / "model.parquet")
        with pytest.raises(Corrupt, match="extension type"):
            codec.decode(tmp_path, "model", options)
    finally:
        pa.unregister_extension_type("tests.planted")


def in_a_note(table: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    note = {"categories": [0, 1], "dtype": "datetime64[7D/3]", "ordered": False}
    return table, {"kind": "frame", "notes": {"data": {"0": note}}}


def in_the_schema(table: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    said = json.loads(table.schema.metadata[b"pandas"])
    said["columns"][0]["numpy_type"] = "timedelta64[7D/3]"
    return table.replace_schema_metadata({"pandas": json.dumps(said)}), PLAIN


@pytest.mark.parametrize("put", [in_a_note, in_the_schema])
def test_a_part_of_a_unit_of_time_is_corrupt(put: Any, tmp_path: Path) -> None:
    """numpy knows these parts; of one by nothing it divides by zero, which ends the process."""
    table, options = put(pa.Table.from_pandas(pd.DataFrame({"a": [1]})))
    pq.write_table(table, tmp_path / "model.parquet")
    with pytest.raises(Corrupt, match="a part of a unit"):
        PandasCodec().decode(tmp_path, "model", options)


def test_a_file_without_the_original_schema_is_corrupt(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "model.parquet", store_schema=False)
    with pytest.raises(Corrupt, match="schema"):
        ArrowCodec().decode(tmp_path, "model", {})


@pytest.mark.skipif(os.name == "nt", reason="Windows has no * in names")
def test_a_polars_file_is_no_pattern_and_no_hive(tmp_path: Path) -> None:
    folder = tmp_path / "date=2020" / "a*b"
    folder.mkdir(parents=True)
    codec = PolarsCodec()
    frame = pl.DataFrame({"x": [1]})
    assert codec.decode(folder, "model", codec.encode(frame, folder, "model")).columns == ["x"]


@pytest.mark.parametrize(
    ("codec", "obj", "module", "hint"),
    [
        (ArrayCodec(), np.ones(1), "numpy", "pip install numpy"),
        (PandasCodec(), pd.DataFrame(), "pandas", 'pip install "pandas>=.*" "pyarrow>=.*"'),
        (ArrowCodec(), pa.table({}), "pyarrow", 'pip install "pandas>=.*" "pyarrow>=.*"'),
        (PolarsCodec(), pl.DataFrame(), "polars", 'pip install "polars>='),
        (LightGBMCodec(), None, "lightgbm", 'pip install .*"lightgbm>='),
    ],
)
def test_a_missing_library_becomes_a_sentence(
    codec: Any, obj: Any, module: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CodecUnavailable, match=f"{codec.name}-1 needs {module}.*{hint}"):
        codec.encode(obj, tmp_path, "model")


ODD_CATEGORIES: dict[str, Any] = {
    "tuples": [(1, 2), (3, 4)],
    "dates": [date(2024, 1, 1), date(2024, 1, 2)],
    "decimals": [Decimal(1), Decimal(2)],
    "clock times": [time(9), time(10)],
    "bytes": [b"a", b"b"],
    "complex": [1j, 2j],
    "frozensets": [frozenset({1}), frozenset({2})],
    "intervals": pd.interval_range(0, 2),
    "zoned times": pd.date_range("2024", periods=2, tz="UTC"),
    "periods": pd.period_range("2024", periods=2, freq="M"),
    "nullable integers": pd.array([1, 2], dtype="Int64"),
    "Timestamps among objects": pd.Index([pd.Timestamp("2024"), pd.Timestamp("2025")], dtype=object),
    "numbers of numpy among objects": pd.Index([np.int64(1), np.int64(2)], dtype=object),
    "an infinity among objects": pd.Index([1.0, np.inf], dtype=object),
}


def category(values: Any, codes: list[int]) -> pd.Categorical:
    kept = values if isinstance(values, pd.Index) else pd.Index(values, tupleize_cols=False)
    return pd.Categorical.from_codes(codes, categories=kept)


@pytest.mark.parametrize("kind", ODD_CATEGORIES)
@pytest.mark.parametrize("codes", [[0, 1], [0, -1], [1]])
def test_categories_that_cannot_be_held_are_refused_with_their_column(
    kind: str, codes: list[int], tmp_path: Path
) -> None:
    column = category(ODD_CATEGORIES[kind], codes)
    frame = pd.DataFrame({"x": 1.5, "bucket": column})
    for obj, where in (
        (frame, r"the column 'bucket' has"),
        (frame["bucket"], r"the series 'bucket' has"),
        (pd.Series(column), r"the series has"),
        (frame.set_index("bucket"), r"the index 'bucket' has"),
    ):
        with pytest.raises(NotEncodable, match=rf"^{where} .*\.map\(str"):
            PandasCodec().encode(obj, tmp_path, "model")
    assert not list(tmp_path.iterdir())
    text = frame.assign(bucket=frame["bucket"].map(str, na_action="ignore"))  # as the message says
    pd.testing.assert_frame_equal(again(text, tmp_path), text)


def test_categories_in_other_places_are_refused_with_their_name(tmp_path: Path) -> None:
    levels = pd.MultiIndex.from_arrays([category([1, 2], [0, 1]), [3, 4]], names=["bucket", "n"])
    for obj, where in (
        (pd.DataFrame({"x": [1, 2]}, index=levels), "the level 'bucket' of the index has"),
        (pd.DataFrame([[1, 2]], columns=pd.CategoricalIndex(["p", "q"])), "the names of the columns are categories:"),
    ):
        with pytest.raises(NotEncodable, match=rf"^{where} .*(map\(str|astype\(str\))"):
            PandasCodec().encode(obj, tmp_path, "model")


@pytest.mark.parametrize(
    "values",
    [
        [1.5, -0.0],
        [1.0, np.inf],
        [True, False],
        pd.Index([True, False], dtype=object),
        pd.Index([1, 2], dtype=object),
        pd.Index([2**63, 2**64 - 1], dtype="uint64"),
        np.array([0.1, 2.5], dtype="float32"),
        np.array([1, 2], dtype="int8"),
        pd.DatetimeIndex(["2024-01-01", "2024-01-02"]),
        pd.TimedeltaIndex(["1h", "2h"]),
    ],
)
@pytest.mark.parametrize("codes", [[0, 1], [0, -1], [1]])
def test_categories_of_plain_values_come_back(values: Any, codes: list[int], tmp_path: Path) -> None:
    frame = pd.DataFrame({"bucket": category(values, codes)})
    back = again(frame, tmp_path)
    pd.testing.assert_frame_equal(back, frame)
    kept, given = back["bucket"].cat.categories.tolist(), frame["bucket"].cat.categories.tolist()
    assert list(map(repr, kept)) == list(map(repr, given))


@pytest.mark.parametrize("value", ["\ud800", 2**70, 1 + 2j])
def test_what_arrow_cannot_hold_is_refused_with_its_column(value: Any, tmp_path: Path) -> None:
    plain = pd.DataFrame({"x": [1.5], "odd": pd.Series([value], dtype=object)})
    listed = pd.DataFrame(
        {"x": [1.5], "odd": pd.Categorical.from_codes([0], categories=pd.Index([value], dtype=object))}
    )
    for obj in (plain, listed, plain["odd"]):
        with pytest.raises(NotEncodable, match="'odd'"):
            PandasCodec().encode(obj, tmp_path, "model")
    with pytest.raises(NotEncodable, match="the index 'odd'"):
        PandasCodec().encode(plain.set_index("odd"), tmp_path, "model")


@pytest.mark.parametrize("values", [[1.5], [7], [True], [date(2024, 1, 1)], [Decimal("1.5")], [time(9)], [[1]]])
def test_an_arrow_dictionary_of_other_values_is_refused_with_its_column(values: list[Any], tmp_path: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int32()), pa.array(values))
    with pytest.raises(NotEncodable, match=f"the column 'bucket' holds {re.escape(str(column.type.value_type))}: cast"):
        ArrowCodec().encode(pa.table({"x": [1, 2], "bucket": column}), tmp_path, "model")
    plain = pa.table({"bucket": column.dictionary_decode()})  # as the message says
    assert ArrowCodec().decode(tmp_path, "model", ArrowCodec().encode(plain, tmp_path, "model")).equals(plain)


def again(obj: Any, folder: Path) -> Any:
    """The object as it comes back, its options by way of JSON as in a manifest."""
    options = json.loads(json.dumps(documents.plain(PandasCodec().encode(obj, folder, "again"), "options")))
    return PandasCodec().decode(folder, "again", options)
