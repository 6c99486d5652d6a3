"""Old files that contradict themselves in one place: each is reported as damaged, by the reader that meets it."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from artifact_store.codecs.lightgbm.text import check_model_text
from artifact_store.errors import Corrupt, RiskRefused
from artifact_store.legacy.formats import lightgbm
from artifact_store.legacy.formats.checkpoint import read_torch
from artifact_store.legacy.formats.lightgbm import build_lightgbm, read_lightgbm
from artifact_store.legacy.formats.vecnormalize import read_vecnormalize
from artifact_store.legacy.pickle_reader.machine import loads
from tests.hostile import body, changed, name, unreadable, whole
from tests.legacy_cases import CASES

F8 = name("numpy", "dtype") + body(("f8", False, True)) + b"R" + body((3, "<", None, None, None, -1, -1, 0)) + b"b"
OBJECTS = (
    name("numpy", "dtype") + body(("O8", False, True)) + b"R" + body((3, "|", None, None, None, -1, -1, 63)) + b"b"
)
BLANK = name("numpy._core.multiarray", "_reconstruct") + name("numpy", "ndarray") + body((0,)) + body(b"b") + b"\x87R"


def called(module: str, attribute: str, *args: Any) -> bytes:
    return whole(name(module, attribute), body(args), b"R")


def built(shape: Any, dtype: bytes, contents: Any) -> bytes:
    return whole(BLANK, b"(", body(1), body(shape), dtype, b"\x89", body(contents), b"tb")


def dtype_with(text: Any, state: Any) -> bytes:
    return whole(name("numpy", "dtype"), body((text, False, True)), b"R", body(state), b"b")


def of_buffer(contents: Any, *rest: Any) -> bytes:
    parts = b"".join(body(part) for part in rest)
    return whole(name("numpy._core.numeric", "_frombuffer"), b"(", body(contents), F8, parts, b"tR")


@pytest.mark.parametrize(
    "data",
    [
        called("builtins", "bytes", 5),
        called("builtins", "bytearray", 10**12),
        called("builtins", "set", "text"),
        called("builtins", "set", [[1]]),
        called("builtins", "complex", "1", 2.0),
        called("_codecs", "encode", "x", "rot13"),
        called("_codecs", "encode", "\u20ac", "latin1"),
        called("collections", "OrderedDict", 1),
        called("collections", "OrderedDict", [[1, 2, 3]]),
        called("collections", "defaultdict", 1),
        called("datetime", "timedelta", "day"),
        called("datetime", "timedelta", 10**15),
        called("datetime", "timezone", 1),
        called("datetime", "datetime", b"1234567890", 5),
        called("datetime", "datetime", b"12345"),
        called("numpy", "dtype"),
        called("numpy", "dtype", 5),
        called("numpy._core.multiarray", "_reconstruct", 1, 2, 3),
        called("numpy._core.multiarray", "scalar", 1),
        called("numpy._core.multiarray", "scalar", 1, b"12345678"),
        called("numpy._core.numeric", "_frombuffer", b""),
        whole(name("builtins", "set"), b"NR"),
        whole(
            name("numpy._core.multiarray", "_reconstruct"),
            name("numpy", "ndarray"),
            body((5,)),
            body(b"b"),
            b"\x87R",
        ),
        whole(BLANK, body((1, 2)), b"b"),
        dtype_with("f8", (3, "?", None, None, None, -1, -1, 0)),
        dtype_with("f8", "state"),
        dtype_with("M8", (4, "<", None, None, None, -1, -1, 0)),
        dtype_with("M8", (4, "<", None, None, None, -1, -1, 0, (None, (b"eons", 1, 1, 1)))),
        built((2,), F8, "\u20ac"),
        built((2,), F8, 5),
        built((-1,), F8, b""),
        built([1], F8, b"12345678"),
        built((1,) * 40, F8, b"12345678"),
        built((0, 1 << 61, 1 << 61), F8, b""),
        built((1,), b"N", b"12345678"),
        built((2,), OBJECTS, [1]),
        built((1,), OBJECTS, b"12345678"),
        of_buffer(b"12345678", (1,), "X"),
        of_buffer(b"12345678", (1,), "K", (5,)),
        whole(name("joblib.numpy_pickle", "NumpyArrayWrapper"), b")\x81N", b"b"),
        whole(name("joblib.numpy_pickle", "NumpyArrayWrapper"), b")\x81}b"),
        whole(
            *(name("joblib.numpy_pickle", "NumpyArrayWrapper"), b")\x81}(", body("dtype"), OBJECTS, body("shape")),
            *(body((1,)), body("order"), body("C"), b"ub", whole(b"N")),
        ),
        whole(b"(o"),
        b"\x80\x04Np\xc3\xa4\n.",
        b"\x80\x04U\x05ab",
        b"\x80\x04Np-1\n.",
        b"\x80\x04Np%d\n." % (1 << 32),
        b"\x80\x04cno end",
        b"\x80\x04\x95" + bytes(7),
    ],
)
def test_a_damaged_value(data: bytes) -> None:
    with pytest.raises(Corrupt, match=r"^old\.pkl"):
        loads(data, what="old.pkl")


@pytest.mark.parametrize(
    "data",
    [
        dtype_with("f8", (3, "<", None, ("a",), None, -1, -1, 0)),
        dtype_with("f8", (3, "<", None, None, None, -1, -1, 0, {"meta": 1})),
        called("numpy", "dtype", "f16"),
        called("copyreg", "_reconstructor", 1, 2, 3),
        called("copyreg", "_reconstructor"),
        whole(b"(", name("builtins", "list"), b"o"),
    ],
)
def test_what_only_code_could_make(data: bytes) -> None:
    with pytest.raises(RiskRefused, match=r"^old\.pkl"):
        loads(data, what="old.pkl")


def test_an_array_that_is_used_before_it_is_finished() -> None:
    with pytest.raises(Corrupt, match="before it is finished"):
        loads(whole(BLANK, b"\x85"), what="old.pkl")


def test_contents_as_text_of_python_2() -> None:
    found = loads(built((2,), F8, np.array([1.0, -2.5]).tobytes().decode("latin-1")))
    assert found.tolist() == [1.0, -2.5]


class TestCheckpoints:
    @staticmethod
    def data(**options: Any) -> bytes:
        file = io.BytesIO()
        torch.save({"a": torch.arange(4.0), "b": torch.tensor([True])}, file, **options)
        return file.getvalue()

    @pytest.mark.parametrize(
        ("old", "new", "why"),
        [
            (b"FloatStorage", b"OtherStorage", "OtherStorage"),
            (b"FloatStorage", b"DoubleStorage", "another size"),
            (b"X\x07\x00\x00\x00storage", b"X\x07\x00\x00\x00somehow", "persistent id"),
            (b"_rebuild_tensor_v2", b"_rebuild_tensor_v9", "_rebuild_tensor_v9"),
            (b"K\x00K\x04\x85", b"K\x01K\x04\x85", "outside of its storage"),
            (b"K\x00K\x04\x85", b"NK\x04\x85", "usable shape"),
        ],
    )
    def test_a_pickle_that_does_not_fit_its_bytes(self, old: bytes, new: bytes, why: str) -> None:
        data = self.data()
        other = changed(
            data, lambda entry, content: content.replace(old, new) if entry.endswith("data.pkl") else content
        )
        assert other != data
        with pytest.raises((Corrupt, RiskRefused), match=why):
            read_torch(other, what="model.pth")

    @pytest.mark.parametrize(
        ("entry", "content", "why"),
        [
            ("data.pkl", None, "without a data.pkl"),
            ("byteorder", b"big", "other byte order"),
            ("data/1", b"\x05", "neither true nor false"),
            ("data/0", None, "another size"),
        ],
    )
    def test_entries_that_do_not_fit(self, entry: str, content: bytes | None, why: str) -> None:
        other = changed(self.data(), lambda found, held: content if found.endswith(f"/{entry}") else held)
        with pytest.raises((Corrupt, RiskRefused), match=why):
            read_torch(other, what="model.pth")

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda data: pickle.dumps(5) + data, "does not begin as torch.save begins"),
            (lambda data: data[:-1], "ends early"),
            (lambda data: data + b"\0", "after its end"),
            (lambda data: data.replace(b"\x04" + bytes(7), b"\x05" + bytes(7)), "another size"),
            (lambda data: data.replace(b"K\x04Ntq", b"J\xff\xff\xff\x7fNtq", 1), "more tensors than it has bytes"),
        ],
    )
    def test_the_old_form(self, change: Callable[[bytes], bytes], why: str) -> None:
        data = self.data(_use_new_zipfile_serialization=False)
        assert change(data) != data
        with pytest.raises(Corrupt, match=why):
            read_torch(change(data), what="model.pth")


class TestLightGBM:
    SOUND = read_lightgbm(CASES["lgbm_frame_selected"].file.read_bytes(), what="model.pkl").text
    TEXT = unreadable(SOUND)

    @pytest.mark.parametrize(
        ("pattern", "value", "why"),
        [
            (r"^max_feature_idx=4$", "max_feature_idx=5", "numbers of names or ranges"),
            (r"^num_class=1$", "num_class=2", "2 classes and 1 trees"),
            (r"^num_class=1$", "num_class=1\nnum_class=1", "says twice"),
            (r"^objective=.*$", "objective=of_a_test num_class:3", "another number of classes"),
            (r"^end of trees$", "", "ends early"),
            (r"^num_leaves=\d+$", "num_leaves=0", "damaged"),
            (r"^num_leaves=\d+$", "num_leaves=many", "damaged"),
            (r"^threshold=.*$", "threshold=1", "other thresholds than nodes"),
            (r"^right_child=(\S+) \S+", r"right_child=\1 -1", "cannot be reached|two parents"),
            (r"^num_cat=0$", "num_cat=1\ncat_boundaries=0 9\ncat_threshold=1", "outside of what it has"),
            (
                r"^is_linear=0$",
                "is_linear=1\nleaf_const=1\nnum_features=1\nleaf_features=1\nleaf_coeff=1",
                "numbers where",
            ),
            (r"^num_tree_per_iteration=1$", "num_tree_per_iteration=-1", "outside of 0"),
        ],
    )
    def test_a_text_that_contradicts_itself(self, pattern: str, value: str, why: str) -> None:
        other = re.sub(pattern, value, self.TEXT, count=1, flags=re.MULTILINE)
        assert other != self.TEXT
        with pytest.raises(Corrupt, match=why):
            check_model_text(other, what="model.pkl")

    def test_categories_and_linear_leaves_are_looked_at(self) -> None:
        import lightgbm

        rows = np.random.default_rng(1).integers(0, 9, (300, 2)).astype(float)
        y = np.isin(rows[:, 0], [1, 4, 7]) * 3 + rows[:, 1]
        params = {"verbose": -1, "num_threads": 1, "num_leaves": 4, "linear_tree": True, "min_data_in_leaf": 5}
        params |= {"min_data_per_group": 1, "cat_smooth": 1}
        data = lightgbm.Dataset(rows, y, categorical_feature=[0])
        text = unreadable(lightgbm.train(params, data, num_boost_round=3).model_to_string())
        check_model_text(text, what="model.pkl")
        for pattern, value in (
            (r"^cat_boundaries=0 \d+", "cat_boundaries=0 99"),
            (r"^leaf_coeff=.*$", "leaf_coeff=1 2 3 4 5 6 7 8 9"),
            (r"^leaf_features=( *)\d", r"leaf_features=\g<1>7"),
        ):
            other = re.sub(pattern, value, text, count=1, flags=re.MULTILINE)
            assert other != text
            with pytest.raises(Corrupt):
                check_model_text(other, what="model.pkl")

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({}, "without a model"),
            ({"handle": TEXT, "best_iteration": "third"}, "best iteration"),
            ({"handle": TEXT, "best_score": {"valid": 1}}, "best score"),
            ({"handle": TEXT, "pandas_categorical": {"a": 1}}, "categories"),
        ],
        ids=["handle", "iteration", "score", "categories"],
    )
    def test_a_booster_whose_attributes_are_others(self, fields: dict[str, Any], why: str) -> None:
        data = whole(name("lightgbm.basic", "Booster"), b")\x81", body(fields), b"b")
        with pytest.raises(Corrupt, match=why):
            read_lightgbm(data, what="model.pkl")

    @pytest.mark.parametrize(
        ("kind", "fields", "why"),
        [
            ("LGBMClassifier", {}, "without its labels"),
            ("LGBMClassifier", {"_classes": [0, 1]}, "without its labels"),
            ("LGBMRegressor", {"_n_features_in": 7}, "has 5 features, and 7 were recorded"),
        ],
    )
    def test_an_estimator_whose_attributes_are_others(
        self, kind: str, fields: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lightgbm, "normalised_text", str)  # no process of its own
        booster = name("lightgbm.basic", "Booster") + b")\x81" + body({"handle": self.SOUND}) + b"b"
        rest = b"".join(body(key) + body(value) for key, value in fields.items())
        data = whole(name("lightgbm.sklearn", kind), b")\x81}(", body("_Booster"), booster, rest, b"ub")
        with pytest.raises(Corrupt, match=why):
            build_lightgbm(read_lightgbm(data, what="model.pkl"))


class TestVecNormalize:
    RMS = "stable_baselines3.common.running_mean_std", "RunningMeanStd"

    def statistics(self, mean: bytes, var: bytes, count: Any) -> bytes:
        return (
            name(*self.RMS) + b")\x81}(" + body("mean") + mean + body("var") + var + body("count") + body(count) + b"ub"
        )

    def data(self, **fields: bytes) -> bytes:
        number = built((), F8, bytes(8))[2:-1]
        sound = {"obs_rms": self.statistics(number, number, 1.0), "ret_rms": self.statistics(number, number, 1.0)}
        parts = b"".join(body(key) + value for key, value in (sound | fields).items())
        return whole(name("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize"), b")\x81}(", parts, b"ub")

    def test_defaults_of_an_older_version(self) -> None:
        found = read_vecnormalize(self.data(), what="vecnormalize")
        assert (found.clip_obs, found.norm_obs, found.norm_obs_keys) == (10.0, True, None)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("gamma", body("high")),
            ("gamma", body(True)),
            ("norm_obs", body("yes")),
            ("norm_obs_keys", body([1])),
            ("norm_obs_keys", body("a")),
            ("obs_rms", body({1: 2})),
            ("obs_rms", body({"a": 2})),
            ("obs_rms", body(None)),
            ("ret_rms", body(None)),
            ("ret_rms", name(*RMS) + b")\x81}b"),
        ],
    )
    def test_settings_that_are_none(self, field: str, value: bytes) -> None:
        with pytest.raises(Corrupt):
            read_vecnormalize(self.data(**{field: value}), what="vecnormalize")

    def test_statistics_of_two_shapes(self) -> None:
        number, row = built((), F8, bytes(8))[2:-1], built((1,), F8, bytes(8))[2:-1]
        with pytest.raises(Corrupt, match="contradicts itself|shape"):
            read_vecnormalize(self.data(obs_rms=self.statistics(number, row, 1.0)), what="vecnormalize")
