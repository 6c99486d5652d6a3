"""Every codec that is shipped is held to the contract."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from artifact_store.codecs.arrays import ArrayCodec
from artifact_store.codecs.documents import DocumentCodec
from artifact_store.codecs.lightgbm.booster import LightGBMCodec
from artifact_store.codecs.lightgbm.sklearn import LightGBMPredictor, LightGBMSklearnCodec
from artifact_store.codecs.random_states import RandomStateCodec
from artifact_store.codecs.raw import RawCodec
from artifact_store.codecs.tables.arrow import ArrowCodec
from artifact_store.codecs.tables.pandas import PandasCodec
from artifact_store.codecs.tables.polars import PolarsCodec
from tests.little_room import LittleRoomSuite

pytestmark = pytest.mark.windows

WINDOWS = sys.platform == "win32"
ROWS = np.random.default_rng(7).normal(size=(240, 4))
LABELS = (ROWS[:, 0] + 0.3 * ROWS[:, 1] > 0).astype(int)
NESTED = np.dtype([("a", "i1"), ("b", "<f8"), ("c", [("x", "i1"), ("y", ">f4")], (2,))], align=True)


class TestDocuments(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> DocumentCodec:
        return DocumentCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [
            {"ünicode": ["a", 1, 1.0, True, None, {}], "nested": {"deep": [[[1e-300, -0.0, 2**70]]]}},
            [],
            "text with \u2028 and \0",
            7,
            1e16,
            False,
            None,
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        endless: list[Any] = []
        endless.append(endless)
        return [
            {"a": math.nan},
            [math.inf],
            {1: "a"},
            (1, 2),
            [(1, 2)],
            {"a": {1, 2}},
            "\ud800",
            {"a": np.float64(1)},
            endless,
            10**5000,
            {"a": [True, dt.date(2020, 1, 1)]},
        ]

    def equal(self, one: Any, other: Any) -> bool:
        return repr(_sorted(one)) == repr(_sorted(other))  # == takes 1, 1.0 and True for the same


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(part) for part in value] if isinstance(value, list) else value


def _same_array(one: Any, other: Any) -> bool:
    return (
        type(one) is type(other)
        and one.dtype == other.dtype
        and one.shape == other.shape
        and (one.tobytes() == other.tobytes() or (one.dtype.names is not None and bool((one == other).all())))
    )


class TestArrays(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> ArrayCodec:
        return ArrayCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        structured = np.zeros(3, NESTED)
        structured["a"], structured["c"]["y"] = 5, 1.5
        return [
            np.arange(6.0).reshape(2, 3),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.arange(10)[::3],
            np.array(1.5),
            np.zeros((0, 3), np.float16),
            np.arange(3, dtype=">i4"),
            np.array([np.nan, -0.0, np.inf], np.float32),
            np.array([1 + 2j], np.complex64),
            np.array(["2020-01-01", "NaT"], "M8[ns]"),
            np.array([True, False]),
            np.array(["ä", "bc"]),
            np.array([b"a\0b"]),
            structured,
            np.float32(1.5),
            np.datetime64("2020-01-01"),
            np.bool_(True),
            {"weights/0": np.ones((2, 2)), "ü.bias": np.zeros(2, np.int8)},
            (np.ones(1), np.zeros((2, 0))),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        return [
            np.array([None]),
            np.array([object()]),
            np.zeros(2, [("a", "O")]),
            np.array([1.0], np.longdouble),
            np.ma.masked_array([1]),
            np.rec.array([(1, 2)]),
            np.bytes_(b"ends in zero\0"),
            np.zeros(1, np.dtype("i4", metadata={"a": 1})),
            np.zeros(1, [(f"f{place}", "f8") for place in range(2000)]),
            np.zeros(1, {"names": ["b", "a"], "formats": ["i4", "i4"], "offsets": [4, 0]}),
            {"../up": np.ones(1)},
            {"back\\slash": np.ones(1)},
            {1: np.ones(1)},
            {"a": np.ones(1), "b": 1},
            {},
            (),
        ]

    def equal(self, one: Any, other: Any) -> bool:
        if isinstance(one, dict):
            return list(one) == list(other) and all(map(_same_array, one.values(), other.values()))
        if isinstance(one, tuple):
            return len(one) == len(other) and all(map(_same_array, one, other))
        fortran = not isinstance(one, np.ndarray) or one.flags.fnc == other.flags.fnc or not one.flags.fnc
        return _same_array(one, other) and fortran


class TestPandas(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> PandasCodec:
        return PandasCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        day = dt.date(2020, 1, 1)
        hours = pd.date_range("2020", periods=3, freq="h", tz="Europe/Berlin", name="time")
        return [
            pd.DataFrame({"feature": ["a", "b"], "importance": [0.25, math.nan]}),
            pd.DataFrame(
                {
                    "object": pd.Series(["x", None, "y"], dtype=object),
                    "object_nan": pd.Series(["x", math.nan, "y"], dtype=object),
                    "bytes": [b"x", None, b""],
                    "dates": [day, None, day],
                    "decimals": [decimal.Decimal("1.50"), None, decimal.Decimal(2)],
                    "text": pd.Series(["x", None, "y"], dtype="string"),
                    "nullable": pd.array([1, None, 3], dtype="Int64"),
                    "boolean": pd.array([True, None, False], dtype="boolean"),
                    "float32": np.array([1.5, -0.0, np.inf], np.float32),
                    "float16": np.array([1.5, 2, 3], np.float16),
                    "uint8": np.array([1, 2, 255], np.uint8),
                    "seconds": pd.date_range("2020", periods=3, unit="s"),
                    "nanoseconds": pd.Series(pd.to_datetime([1, None, 3], unit="ns")),
                    "delta": pd.to_timedelta([1, 2, 3], unit="s"),
                    "unused": pd.Categorical(["b", None, "a"], categories=["c", "b", "a"], ordered=True),
                    "numbers": pd.Categorical([2, None, 1], categories=[3, 2, 1]),
                    "truth": pd.Categorical([True, None, False], categories=[True, False]),
                    "years": pd.Categorical(pd.to_datetime(["2021", "2020", "2021"])),
                },
                index=hours,
            ),
            pd.DataFrame(np.zeros((2, 2))),
            pd.DataFrame(np.zeros((2, 2)), columns=[7, 3], index=pd.CategoricalIndex(["x", "y"], ["y", "x", "z"])),
            pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["q", None])),
            pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(4, 8, 2, name="a")),
            pd.DataFrame({"a": pd.Categorical([], categories=["q"]), "o": pd.Series([], dtype=object)}),
            pd.DataFrame(),
            pd.DataFrame(index=range(5)),
            pd.Series([1.5, math.nan], name="x", index=["a", "b"]),
            pd.Series(["a", None], dtype=object),
            pd.Series(pd.Categorical([5, 4]), name=3),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(pd.DataFrame):
            pass

        return [
            Derived({"a": [1]}),
            pd.DataFrame({"a": [1, "x"]}),
            pd.DataFrame({"a": [[1, 2], [3]]}),
            pd.DataFrame({"a": [{"x": 1}]}),
            pd.DataFrame({"a": pd.Series(["x", None, math.nan], dtype=object)}),
            pd.DataFrame({"a": pd.Series([1, None], dtype=object)}),
            pd.DataFrame({"a": [1 + 2j]}),
            pd.DataFrame({"a": np.array([1.0], ">f8")}),
            pd.DataFrame({"a": pd.period_range("2020", periods=1, freq="M")}),
            pd.DataFrame({"a": pd.cut([1, 2, 3], 2)}),
            pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
            pd.DataFrame(np.zeros((1, 2)), columns=["a", "a"]),
            pd.DataFrame(np.zeros((1, 2)), columns=[1, "1"]),
            pd.DataFrame({"a": [1]}, index=pd.Index([3], name=5)),
            pd.Series([1], name=("a", 1)),
        ]

    def equal(self, one: Any, other: Any) -> bool:
        if type(one) is not type(other):
            return False
        same = pd.testing.assert_frame_equal if isinstance(one, pd.DataFrame) else pd.testing.assert_series_equal
        same(one, other, check_exact=True, check_freq=True)
        return True


class TestArrow(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> ArrowCodec:
        return ArrowCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        fields = {
            "seconds": pa.array([0, None], pa.timestamp("s", "Europe/Berlin")),
            "date64": pa.array([86_400_000, 0], pa.date64()),
            "time": pa.array([1, 2], pa.time32("s")),
            "dictionary": pa.array(["x", None]).dictionary_encode(),
            "large": pa.array(["a", "b"], pa.large_string()),
            "none": pa.nulls(2),
            "half": pa.array(np.array([1, 2], np.float16)),
            "list": pa.array([[1.5, math.nan], None]),
            "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())),
            "fixed": pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)),
            "struct": pa.array([{"x": 1, "y": None}] * 2),
            "decimal": pa.array([decimal.Decimal("1.20")] * 2),
            "float": pa.array([math.nan, None]),
        }
        table = pa.table(fields)
        return [
            table,
            table.replace_schema_metadata({"mine": "kept"}).slice(1),
            pa.table({"a": pa.chunked_array([[1], [2, 3]])}),
            pa.table({}),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16], pa.binary(16)))
        return [
            pa.table({"u": uuids}),
            pa.table({"nested": pa.StructArray.from_arrays([uuids], ["u"])}),
            pa.table([[1], [2]], names=["a", "a"]),
            pa.table({"numbers": pa.array([3, 2]).dictionary_encode()}),
            pa.table({"interval": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
        ]

    def equal(self, one: Any, other: Any) -> bool:
        same_schema = bool(one.schema.equals(other.schema, check_metadata=True))
        return same_schema and repr(one.to_pylist()) == repr(other.to_pylist())  # NaN is not equal to itself

    def snapshot(self, example: Any) -> Any:
        return example  # arrow tables cannot be changed


class TestPolars(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> PolarsCodec:
        return PolarsCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        moment = dt.datetime(2020, 1, 1)  # noqa: DTZ001 -- the zone is in the dtype
        return [
            pl.DataFrame(
                {
                    "integer": [1, None],
                    "float": [math.nan, None],
                    "text": ["x", None],
                    "categorical": pl.Series(["b", "a"], dtype=pl.Categorical),
                    "enum": pl.Series(["b", "a"], dtype=pl.Enum(["c", "b", "a"])),
                    "time": [dt.time(1, 2)] * 2,
                    "moment": pl.Series([moment] * 2, dtype=pl.Datetime("ns", "Europe/Berlin")),
                    "duration": [dt.timedelta(1)] * 2,
                    "list": [[1.5, math.nan], None],
                    "array": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)),
                    "struct": [{"x": 1}, {"x": None}],
                    "decimal": [decimal.Decimal("1.20")] * 2,
                    "none": [None, None],
                    "bytes": [b"x", b""],
                }
            ),
            pl.DataFrame(),
            pl.DataFrame({"a": []}, schema={"a": pl.Float32}),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(pl.DataFrame):
            pass

        return [
            Derived({"a": [1]}),
            pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}),
            pl.DataFrame(schema={"x": pl.Struct([])}),
        ]

    def equal(self, one: Any, other: Any) -> bool:
        return bool(one.schema == other.schema and one.equals(other, null_equal=True))


class TestRawBytes(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> RawCodec:
        return RawCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [b"", b"\0\r\n\xff" * 1000]


class TestRawFiles(LittleRoomSuite):
    re_encodes = False  # bytes come back

    @pytest.fixture
    def codec(self) -> RawCodec:
        return RawCodec()

    @pytest.fixture
    def examples(self, tmp_path: Path) -> Sequence[Any]:
        names = ("Model v1.ONNX", "no_suffix", "a.tar.gz", "long.suffix_with_rest")
        return [_written(tmp_path / "sources" / name, name.encode()) for name in names]

    @pytest.fixture
    def refused(self, tmp_path: Path) -> Sequence[Any]:
        links = [tmp_path / "link.bin", tmp_path / "dangling.bin"]
        if not WINDOWS:
            links[0].symlink_to(_written(tmp_path / "target.bin", b"x"))
            links[1].symlink_to(tmp_path / "nowhere")
        return [*links, _written(tmp_path / ".hidden.bin", b"x")]

    def equal(self, one: Path, other: Any) -> bool:
        return one.read_bytes() == (other if isinstance(other, bytes) else other.read_bytes())


class TestRawDirectories(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> RawCodec:
        return RawCodec()

    @pytest.fixture
    def examples(self, tmp_path: Path) -> Sequence[Any]:
        tree = tmp_path / "sources" / "saved_model"
        _written(tree / "model.pb", b"graph")
        _written(tree / "variables" / "deep er" / "data-0=1", b"")
        (tree / "assets").mkdir()
        return [tree]

    @pytest.fixture
    def refused(self, tmp_path: Path) -> Sequence[Any]:
        trees = [tmp_path / f"tree-{place}" for place in range(5)]
        for tree in trees[1:]:
            _written(tree / "file.bin", b"x")
        trees[0].mkdir()
        _written(trees[1] / ".hidden", b"y")
        if WINDOWS:  # where links take a privilege, and names without case are one
            return trees[:2]
        (trees[2] / "link").symlink_to(trees[2] / "file.bin")
        (trees[3] / "folder").symlink_to(tmp_path)
        _written(trees[4] / "FILE.bin", b"y")
        return trees

    def into(self, example: Any, scratch: Path) -> Path:
        return scratch

    def equal(self, one: Path, other: Path) -> bool:
        def tree(root: Path) -> dict[str, bytes | None]:
            return {
                path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
                for path in root.rglob("*")
            }

        return tree(one) == tree(other)

    def snapshot(self, example: Any) -> Any:
        return example  # a path; the tree below it is compared with itself


def _written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _booster(**params: Any) -> Any:
    data = lgb.Dataset(ROWS[:180], LABELS[:180])
    callbacks = [lgb.early_stopping(2, verbose=False)]
    params = {"objective": "binary", "metric": "auc", "verbose": -1, "num_threads": 1, "seed": 1, **params}
    valid = lgb.Dataset(ROWS[180:], LABELS[180:])
    return lgb.train(params, data, 12, valid_sets=[valid], callbacks=callbacks, keep_training_booster=True)


class TestLightGBM(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> LightGBMCodec:
        return LightGBMCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return [_booster(), _booster(linear_tree=True, bagging_fraction=0.5)]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(lgb.Booster):
            pass

        frame = pd.DataFrame({"a": pd.Categorical(pd.to_datetime(["2020", "2021"] * 90)), "b": ROWS[:180, 0]})
        dated = lgb.train({"verbose": -1}, lgb.Dataset(frame, LABELS[:180]), 2, keep_training_booster=True)
        return [Derived(model_str=_booster().model_to_string()), dated]

    def equal(self, one: Any, other: Any) -> bool:
        same = one.best_iteration == other.best_iteration and one.best_score == other.best_score
        return same and np.array_equal(one.predict(ROWS), other.predict(ROWS))

    def snapshot(self, example: Any) -> Any:
        copied = lgb.Booster(model_str=example.model_to_string(num_iteration=-1))
        copied.best_iteration, copied.best_score = example.best_iteration, example.best_score
        copied.params = dict(example.params)
        return copied


class TestLightGBMSklearn(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> LightGBMSklearnCodec:
        return LightGBMSklearnCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        settings: dict[str, Any] = {"n_estimators": 4, "verbose": -1, "n_jobs": 1, "random_state": 1}
        return [
            lgb.LGBMClassifier(**settings).fit(ROWS, np.where(LABELS, "up", "down")),
            lgb.LGBMRegressor(**settings).fit(ROWS, ROWS[:, 1]),
            lgb.LGBMRanker(**settings).fit(ROWS, LABELS, group=[120, 120]),
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Derived(lgb.LGBMClassifier):
            pass

        class Foreign(LightGBMPredictor):
            def __init__(self) -> None:
                pass

        return [
            lgb.LGBMClassifier(),
            Derived(n_estimators=1, verbose=-1).fit(ROWS, LABELS),
            Foreign(),
        ]

    def snapshot(self, example: Any) -> Any:
        copied = copy.deepcopy(example)  # which forgets these two
        copied.booster_.best_iteration, copied.booster_.params = example.best_iteration_, example.booster_.params
        return copied

    def equal(self, one: Any, other: Any) -> bool:
        same = np.array_equal(one.predict(ROWS), other.predict(ROWS))
        if hasattr(one, "classes_"):
            same = same and np.array_equal(one.predict_proba(ROWS), other.predict_proba(ROWS))
        return same and np.array_equal(one.predict(ROWS, raw_score=True), other.predict(ROWS, raw_score=True))


class TestRandomStates(LittleRoomSuite):
    @pytest.fixture
    def codec(self) -> RandomStateCodec:
        return RandomStateCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        drawn = np.random.RandomState(5)
        drawn.standard_normal()
        return [
            np.random.default_rng([5, 6]).spawn(2)[1],
            np.random.Generator(np.random.MT19937(5)),
            np.random.Philox(5),
            drawn,
        ]

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        class Own(np.random.PCG64):
            pass

        return [Own(5), np.random.Generator(Own(5))]

    def equal(self, one: Any, other: Any) -> bool:
        assert type(one) is type(other)
        assert random_state(one) == random_state(other)
        return True

    def snapshot(self, example: Any) -> Any:
        return copy.deepcopy(example)


def random_state(generator: Any) -> str:
    bits = getattr(generator, "_bit_generator", generator)
    state = generator.get_state(legacy=False) if hasattr(generator, "get_state") else bits.state
    return f"{state} {bits.seed_seq and bits.seed_seq.state}"
