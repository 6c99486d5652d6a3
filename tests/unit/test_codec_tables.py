"""Tables: what others read in the files, what is refused in them, and what is said when a library is missing."""

from __future__ import annotations

import os
import sys
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
        (PandasCodec(), pd.DataFrame(), "pandas", r"pip install 'artifact-store\[tables\]'"),
        (ArrowCodec(), pa.table({}), "pyarrow", r"pip install 'artifact-store\[tables\]'"),
        (PolarsCodec(), pl.DataFrame(), "polars", r"pip install 'artifact-store\[polars\]'"),
        (LightGBMCodec(), None, "lightgbm", r"pip install 'artifact-store\[lightgbm\]'"),
    ],
)
def test_a_missing_library_becomes_a_sentence(
    codec: Any, obj: Any, module: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CodecUnavailable, match=f"{codec.name}-1 needs {module}.*{hint}"):
        codec.encode(obj, tmp_path, "model")
