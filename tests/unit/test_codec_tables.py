"""Tables: what others read in the files, what is refused in them, and what is said when a library is missing."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import date, time
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


def test_attributes_are_dropped_without_being_looked_at(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"hook": print}
    codec = PandasCodec()
    assert codec.decode(tmp_path, "model", codec.encode(frame, tmp_path, "model")).attrs == {}
    assert frame.attrs == {"hook": print}


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
    return pd.Categorical.from_codes(codes, categories=pd.Index(values, tupleize_cols=False))


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
        with pytest.raises(NotEncodable, match=rf"^{where} .*\.astype\(str\)"):
            PandasCodec().encode(obj, tmp_path, "model")
    assert not list(tmp_path.iterdir())
    text = frame.assign(bucket=frame["bucket"].astype(str))  # as the message says
    pd.testing.assert_frame_equal(again(text, tmp_path), text)


def test_categories_in_other_places_are_refused_with_their_name(tmp_path: Path) -> None:
    levels = pd.MultiIndex.from_arrays([category([1, 2], [0, 1]), [3, 4]], names=["bucket", "n"])
    for obj, where in (
        (pd.DataFrame({"x": [1, 2]}, index=levels), "the level 'bucket' of the index has"),
        (pd.DataFrame([[1, 2]], columns=pd.CategoricalIndex(["p", "q"])), "the names of the columns are categories:"),
    ):
        with pytest.raises(NotEncodable, match=rf"^{where} .*astype\(str\)"):
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
