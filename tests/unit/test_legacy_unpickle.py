"""The unpickler that runs nothing: it reads what pickle writes, and reports everything else by type."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import importlib.util
import io
import pickle
import re
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifact_store.errors import CodecUnavailable, Corrupt, InvalidOption, RiskRefused
from artifact_store.legacy.formats import checkpoint
from artifact_store.legacy.formats.checkpoint import read_checkpoint
from artifact_store.legacy.formats.joblib import expanded, read_joblib
from artifact_store.legacy.formats.lightgbm import read_lightgbm
from artifact_store.legacy.formats.preprocessors import read_preprocessor
from artifact_store.legacy.formats.sb3 import read_sb3
from artifact_store.legacy.formats.vecnormalize import read_vecnormalize
from artifact_store.legacy.pickle_reader import names
from artifact_store.legacy.pickle_reader.limits import Limits
from artifact_store.legacy.pickle_reader.machine import loads
from artifact_store.legacy.pickle_reader.stubs import Stub
from tests.hostile import whole
from tests.legacy_cases import CASES
from tests.slices import examples

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

numbers = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.complex_numbers(allow_nan=False)
scalars = numbers | st.text() | st.binary() | st.datetimes() | st.dates() | st.times() | st.timedeltas()
keys = st.text() | st.binary() | st.integers() | st.booleans() | st.tuples(st.text(), st.integers())
plain = st.recursive(
    scalars | st.binary().map(bytearray) | st.frozensets(keys, max_size=4) | st.sets(keys, max_size=4),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(keys, inner, max_size=5)
        | st.dictionaries(keys, inner, max_size=5).map(collections.OrderedDict)
    ),
    max_leaves=20,
)


class TestWhatPickleWrites:
    @given(value=plain, protocol=st.sampled_from(PROTOCOLS))
    @settings(max_examples=examples(60, 2000))
    def test_plain_values_come_back_equal(self, value: object, protocol: int) -> None:
        found = loads(pickle.dumps(value, protocol))
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_what_is_shared_is_shared_again(self, protocol: int) -> None:
        row = [1, 2]
        found = loads(pickle.dumps({"a": row, "b": [row, (row,)]}, protocol))
        assert found["a"] is found["b"][0] is found["b"][1][0]

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize(
        "array",
        [
            np.arange(6.0).reshape(2, 3),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
            np.arange(10, dtype=np.int16)[::3],
            np.array(["", "ab", "\U0001f600"]),
            np.array([b"x", b"yz"]),
            np.array([1, "x", None, [np.float32(2)]], dtype=object),
            np.array([["a", None], ["b", 3]], dtype=object),
            np.array([], "f4"),
            np.zeros((0, 3)),
            np.array(5),
            np.array([True, False]),
            np.arange(3, dtype=">i4"),
            np.array(["2020-01-01", "NaT"], "M8[ns]"),
            np.array([1], "m8[25s]"),
            np.array([1 + 2j], "c8"),
            np.array([1.5], "f2"),
        ],
        ids=lambda array: f"{array.dtype.str}{array.shape}",
    )
    def test_arrays_come_back_bit_for_bit(self, array: np.ndarray, protocol: int) -> None:
        found, again = loads(pickle.dumps([array, array], protocol))
        assert found is again
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert found.tolist() == array.tolist()
        assert array.dtype.hasobject or found.tobytes() == array.tobytes()

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize("number", [np.float64(0.1), np.int64(-3), np.bool_(True), np.str_("x"), np.float32(2)])
    def test_numbers_of_numpy_come_back(self, number: np.generic, protocol: int) -> None:
        found = loads(pickle.dumps(number, protocol))
        assert type(found) is type(number)
        assert found == number

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_times_keep_their_zone(self, protocol: int) -> None:
        at = dt.datetime(2024, 8, 16, 14, 23, tzinfo=dt.timezone(dt.timedelta(hours=2), "CEST"))
        assert loads(pickle.dumps(at, protocol)) == at

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_a_class_of_a_library_becomes_its_name_and_state(self, protocol: int) -> None:
        from sklearn.preprocessing import StandardScaler

        rows = np.arange(6.0).reshape(3, 2)
        found = loads(pickle.dumps(StandardScaler().fit(rows), protocol))
        assert type(found) is Stub
        assert str(found.kind) == "sklearn.preprocessing._data.StandardScaler"
        assert found.fields["mean_"].tolist() == [2.0, 3.0]

    def test_text_of_python_2_is_read(self) -> None:
        assert loads(b"(S'caf\\xe9'\np0\nU\x02abT\x01\x00\x00\x00\xff(I01\nI12\nL34L\nF1.5\nltp1\n.") == (
            *("caf\xe9", "ab", "\xff"),
            [True, 12, 34, 1.5],
        )

    def test_an_object_of_protocol_0_is_read(self) -> None:
        found = loads(b"(isklearn.preprocessing.data\nRobustScaler\np0\n(dp1\nS'scale_'\nNsb.")
        assert found.is_a("RobustScaler")
        assert found.fields == {"scale_": None}


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (whole(b"cos.path\njoin\n"), "os.path.join"),
            (whole(b"cnumpy\nload\n"), "numpy.load"),
            (whole(b"cnumpy._core.multiarray\nscalar.__class__\n"), "scalar.__class__"),
            (whole(b"cbuiltins\nlist\n)R"), "calls builtins.list"),
            (whole(b"cbuiltins\nlist\n)\x81"), "makes an object of builtins.list"),
            (whole(b"csklearn.pipeline\nPipeline\n)}X\x01\x00\x00\x00aNs\x92"), "keyword arguments"),
            (whole(b"]}b"), "sets the state of a list"),
            (whole(b"csklearn.pipeline\nPipeline\n}b"), "sets the state of a Name"),
            (whole(b"csklearn.pipeline\nPipeline\n)\x81}b}b"), "sets the state of sklearn.pipeline.Pipeline"),
            (whole(b"csklearn.pipeline\nPipeline\n)\x81Na"), "appends to sklearn.pipeline.Pipeline"),
            (whole(b"csklearn.pipeline\nPipeline\n)\x81NNs"), "sets items of sklearn.pipeline.Pipeline"),
            (whole(b"](N\x90"), "adds to a list"),
            (b"\x80\x02Pelsewhere\n.", "persistent id"),
            (pickle.dumps(np.zeros(2, [("a", "f4")])), "dtype"),
            (pickle.dumps(np.zeros(1, "g")), "dtype"),
        ],
    )
    def test_by_name(self, data: bytes, why: str) -> None:
        with pytest.raises(RiskRefused, match="nothing of it was run") as refused:
            loads(data, what="old.pkl")
        assert why in str(refused.value)
        assert str(refused.value).startswith("old.pkl")

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x80",
            b".",
            b"\x80\x06N.",
            whole(b"N", b"N"),
            whole(b"("),
            whole(b"(N"),
            whole(b"t"),
            whole(b"0N"),
            whole(b"(\x85"),
            whole(b"h\x00"),
            whole(b"}]Ns"),
            whole(b"}(NNNu"),
            whole(b"}(]Nu"),
            whole(b"KaKbKc\x93"),
            whole(b"X\x02\x00\x00\x00\xff\xff"),
            whole(b"I1e5\n"),
            whole(b"L" + b"9" * 5000 + b"\n"),
            whole(b"Fnumber\n"),
            whole(b"Sunquoted\n"),
            whole(b"V\\uzzzz\n"),
            whole(b"p-1\n"),
            whole(b"\xff"),
            whole(b"N") + b"more",
            whole(b"cdatetime\ndatetime\nC\x0a" + b"\xff" * 10 + b"\x85R"),
            whole(b"cdatetime\ndate\nN\x85R"),
            whole(b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85R"),
            whole(b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85RNb"),
        ],
    )
    def test_what_is_damaged(self, data: bytes) -> None:
        with pytest.raises(Corrupt, match=r"^old\.pkl"):
            loads(data, what="old.pkl")

    def test_booleans_and_letters_have_to_be_some(self) -> None:
        for array, good, bad in (
            (np.array([True]), b"\x01", b"\x07"),
            (np.array(["a"]), b"a\x00\x00\x00", b"\x00\x00\x11\x00"),
        ):
            data = pickle.dumps(array, 3)
            assert loads(data).tolist() == array.tolist()
            assert data.count(good) == 1 or good == b"\x01"
            at = data.rfind(good)
            with pytest.raises(Corrupt):
                loads(data[:at] + bad + data[at + len(good) :])

    def test_limits_hold(self) -> None:
        data = pickle.dumps([[1, 2, 3]] * 5)
        assert loads(data, limits=Limits(steps=20)) == [[1, 2, 3]] * 5
        for limits in (Limits(steps=10), Limits(depth=1), Limits(expanded=500), Limits(size=10)):
            with pytest.raises(Corrupt):
                loads(data, limits=limits)


class TestFilesOfJoblib:
    @pytest.mark.parametrize("compress", [0, *((kind, 3) for kind in ("zlib", "gzip", "bz2", "xz", "lzma"))], ids=str)
    def test_arrays_between_the_opcodes_are_read(self, compress: object, tmp_path: Path) -> None:
        value = {
            "a": np.arange(5.0),
            "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "objects": np.array([None, "x", [1]], dtype=object),
            "text": np.array(["a", "bc"]),
            "swapped": np.arange(3, dtype=">i4"),
            "empty": np.zeros((0, 2)),
            "none": None,
        }
        joblib.dump(value, tmp_path / "value.pkl", compress=compress)
        found = read_joblib((tmp_path / "value.pkl").read_bytes(), what="value.pkl")
        assert list(found) == list(value)
        for name, array in value.items():
            if array is not None:
                assert found[name].dtype == array.dtype
                assert found[name].tolist() == array.tolist()

    def test_a_file_without_alignment_is_read(self, tmp_path: Path) -> None:
        """As joblib below 1.2 wrote it."""
        joblib.dump({"a": np.arange(3.0)}, tmp_path / "value.pkl", protocol=3)
        data = (tmp_path / "value.pkl").read_bytes()
        end = data.find(b"ub", data.find(b"alignment_bytes")) + 2
        fields, found = re.subn(
            rb"X\x1b\x00\x00\x00numpy_array_alignment_bytesq.K\x10", b"", data[:end], flags=re.DOTALL
        )
        assert found == 1
        older = fields + data[end + 1 + data[end] :]
        assert joblib.load(io.BytesIO(older))["a"].tolist() == [0.0, 1.0, 2.0]
        assert read_joblib(older, what="value.pkl")["a"].tolist() == [0.0, 1.0, 2.0]

    def test_streams_behind_each_other_are_one(self) -> None:
        import gzip

        data = pickle.dumps(list(range(100)))
        assert expanded(gzip.compress(data[:50]) + gzip.compress(data[50:]), what="two") == data

    def test_files_of_other_files_are_refused(self) -> None:
        with pytest.raises(RiskRefused, match=r"0\.10"):
            read_joblib(b"ZF0x10", what="model.pkl")

    @pytest.mark.skipif(importlib.util.find_spec("lz4") is not None, reason="lz4 is installed")
    def test_lz4_without_lz4_says_what_to_install(self) -> None:
        with pytest.raises(CodecUnavailable, match="pip install lz4"):
            read_joblib(b"\x04\x22\x4d\x18", what="model.pkl")


SOUND = {
    read_lightgbm: CASES["lgbm_array_noselect"].file,
    read_preprocessor: CASES["gru_full_noselect"].beside("preprocessor.pkl"),
    read_vecnormalize: CASES["ppo_vecnorm_box"].beside("model_vecnormalize.pkl"),
    read_checkpoint: CASES["gru_full_selected"].file,
    read_sb3: CASES["ppo_vecnorm_box"].file,
}


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(made) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "set", "cut", "drop", "insert", "double"]))
        if kind == "flip" and made:
            made[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and made:
            made[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del made[at:]
        elif kind == "drop":
            del made[at : at + draw(st.integers(1, 20))]
        elif kind == "insert":
            made[at:at] = draw(st.binary(max_size=8))
        else:
            made[at:at] = made[at : at + draw(st.integers(1, 40))]
    return bytes(made)


class TestWhatever:
    @given(data=st.binary(max_size=200))
    @settings(max_examples=examples(100, 3000))
    def test_random_bytes_give_a_value_or_a_typed_error(self, data: bytes) -> None:
        with contextlib.suppress(Corrupt, RiskRefused, CodecUnavailable):
            read_joblib(data, what="random")

    @given(data=st.data())
    @settings(max_examples=examples(60, 2000))
    def test_mutated_pickles_give_a_value_or_a_typed_error(self, data: st.DataObject) -> None:
        value = {
            "a": [1, 2.5, "x", None],
            "b": np.arange(4.0),
            "c": (b"yz", {3}),
            "d": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        }
        sound = pickle.dumps(value, data.draw(st.sampled_from(PROTOCOLS)))
        with contextlib.suppress(Corrupt, RiskRefused):
            read_joblib(data.draw(mutated(sound)), what="mutated")

    @pytest.mark.parametrize("reader", SOUND, ids=lambda reader: reader.__name__)
    @given(data=st.data())
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def test_mutated_files_give_a_value_or_a_typed_error(self, reader, data: st.DataObject) -> None:
        hostile = data.draw(mutated(SOUND[reader].read_bytes()))
        with contextlib.suppress(Corrupt, RiskRefused, InvalidOption):
            reader(hostile, what="mutated")


def refusal(reader, data: bytes) -> str:
    """What the reader says against it, if anything."""
    try:
        reader(data, what="old.pkl")
    except (Corrupt, RiskRefused) as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("letters", [b")", b"]"], ids=["tuples", "lists"])
@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (b"\x8c\x07torch.x", b"\x93"),
        (b"\x8c\x07os.path", b"\x93"),
        (b"ccopy_reg\n_reconstructor\n", b"cbuiltins\nobject\nN\x87R"),
    ],
    ids=["a name in torch", "a name elsewhere", "a class"],
)
@pytest.mark.parametrize("reader", [loads, read_checkpoint])
def test_what_repeats_itself_is_neither_written_nor_hashed(reader, before: bytes, behind: bytes, letters: bytes):
    """Each tuple holds the one before twice, so that their size doubles. A list within cannot be hashed, which shows."""
    for doublings in (1, 12):
        data = b"\x80\x04" + before + letters + b"2\x86" * doublings + behind + b"."
        with pytest.raises((Corrupt, RiskRefused)) as caught:
            reader(data, what="old.pkl")
        assert "((" not in str(caught.value)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("reader", [loads, read_checkpoint])
@pytest.mark.parametrize("name", sorted({*names._KNOWN, *checkpoint._TORCH}), ids=".".join)
def test_nothing_that_can_be_named_is_called_with_what_repeats_itself(reader, name: tuple[str, str]):
    """As any argument, state, key or item: it is refused or kept, and neither written nor hashed."""
    called = b"c" + "\n".join(name).encode() + b"\n"
    for letters in (b")", b"]"):
        many = letters + b"2\x86" * 12
        lists = [b"(" + b"".join(many if at in {place, 7} else b"N" for place in range(count)) + b"t"
                 for count in range(1, 8) for at in (*range(count), 7)]  # fmt: skip
        for data in (
            *(called + args + end for args in lists for end in (b"R", b"\x81")),
            *(called + make + args + b"b" for args in lists for make in (b")R", b")\x81")),
            *(called + b")R" + end for end in (many + many + b"s", b"(" + many * 2 + b"u", many + b"a", many + b"b")),
            called + b")\x81}\x8c\x01a" + many + b"sb",
            called + many + b"R",
        ):
            assert len(refusal(reader, b"\x80\x04" + data + b".")) < 1000
