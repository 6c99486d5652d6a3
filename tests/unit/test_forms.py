"""A configuration comes back as it was given, or is refused with the key; and every release reads the JSON of it."""

from __future__ import annotations

import copy
import json
import math
import sys
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store import ArtifactStore
from artifact_store.core.forms import configurations, restored
from artifact_store.errors import Corrupt, InvalidOption
from artifact_store.storage.memory import MemoryBackend

pytestmark = pytest.mark.windows

KEY = "gru/BTCEUR"


class Pair(NamedTuple):
    """Two numbers with names."""

    x: int
    y: int


KEPT: dict[str, Any] = {
    "missing": math.nan,
    "clip": math.inf,
    "least": -math.inf,
    "its text": "NaN",
    "betas": (0.9, 0.999),
    "layers": [(64, 32), [1, (2,)]],
    "nothing": (),
    "names": {"b", "a"},
    "pairs": frozenset({(2, math.inf), (1, 0.5)}),
    "steps": {"scale": 1, "impute": {"z": (math.nan,), "a": 2}, "bound": 3},
    "bounds": np.array([[1.0, np.nan], [-np.inf, 2.0]]),
    "narrow": np.array([0.1], dtype="float32"),
    "whole": np.array([2**64 - 1], dtype="uint64"),
    "mask": np.array([True, False]),
    "words": np.array(["a", "bcd"]),
    "no rows": np.zeros((0, 3)),
    "number": np.int64(7),
    "rate": np.float32(0.1),
    "gap": np.float64("nan"),
    "flag": np.bool_(True),
    "plain": {"a": [1, 0.5, None, True, "x"], "b": -0.0},
    "ends with nothing": np.str_("x\0"),
    "no columns": np.zeros((2, 0)),
}


def is_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(is_same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and repr(one) == repr(other)
    return repr(one) == repr(other) if isinstance(one, float | np.generic) else one == other


@pytest.mark.parametrize("field", ["config", "training_config"])
@pytest.mark.parametrize("name", KEPT)
def test_a_value_comes_back_as_it_was(name: str, field: str) -> None:
    store, given_config = ArtifactStore(MemoryBackend()), {"z": 1, name: KEPT[name], "a": 2}
    store.save({"a": 1}, KEY, **{field: copy.deepcopy(given_config)})
    run = store.get(KEY)
    assert is_same(getattr(run, field), given_config)
    again = store.save({"a": 1}, KEY, **{field: getattr(run, field)})
    assert again.manifest.forms == run.manifest.forms
    getattr(run, field)[name] = "changed"
    assert is_same(getattr(run, field), given_config)


SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(max_size=2), max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_whatever_is_made_of_plain_values_comes_back(config: dict[str, Any]) -> None:
    made = json.loads(json.dumps(configurations(config=config), sort_keys=True, allow_nan=False))
    assert is_same(restored("config", made["config"], made["forms"]), config)


def test_the_json_is_what_every_release_reads() -> None:
    config = {"b": (1, math.nan), "a": np.array([1.5, np.inf])}
    assert configurations(config=config) == {
        "config": {"a": [1.5, "Infinity"], "b": [1, "NaN"]},
        "forms": {
            "config": [
                [["b", 1], "number"],
                [["b"], "tuple"],
                [["a"], {"numpy": "float64", "shape": [2]}],
                [[], {"order": ["b", "a"]}],
            ]
        },
    }
    plain = {"config": {"a": [1, {"x": 0.5, "y": None}]}, "training_config": {}}
    assert configurations(**plain) == {**plain, "forms": {}}
    run = ArtifactStore(MemoryBackend()).save({"a": 1}, KEY, config=plain["config"])
    assert "forms" not in run.manifest.to_json()
    assert restored("config", {"a": 1}, {}) == {"a": 1}


def test_mappings_are_dicts_and_numbers_of_other_libraries_are_numbers() -> None:
    class Loss:
        """As a tensor of no dimension is."""

        dtype, shape = "float32", ()

        def tolist(self) -> float:
            return 0.5

    made = configurations(config={"view": MappingProxyType({"b": 1, "a": 2}), "loss": Loss()})
    back = restored("config", made["config"], made["forms"])
    assert is_same(back, {"view": {"b": 1, "a": 2}, "loss": 0.5})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([1, "x"], dtype=object), r"config\['a'\]\[0\] is a numpy.ndarray of object.*\.tolist\(\)"),
        (np.array([b"x"]), r"config\['a'\]\[0\] is a numpy.ndarray of \|S1"),
        (np.longdouble(1), r"config\['a'\]\[0\] is a numpy.longdouble"),
        (np.ma.array([1], mask=[True]), r"config\['a'\]\[0\] is a numpy.ma.*MaskedArray"),
        (np.array([[1, 2]]).view(np.matrix), r"config\['a'\]\[0\] is a numpy.*matrix of int64"),
        (np.array(["x" * 2**20, *"abcdefghijklmnop"]), r"config\['a'\]\[0\] is an array of text of .*\.tolist\(\)"),
        (pd.Series([1.5]), r"config\['a'\]\[0\] is a pandas.*Series of float64.*\.tolist\(\)"),
        (pd.Index(["x"]), r"config\['a'\]\[0\] is a pandas.*Index"),
        (Pair(1, 2), r"config\['a'\]\[0\] is a namedtuple.*\._asdict\(\)"),
        (Decimal(1), r"config\['a'\]\[0\] is a decimal.Decimal"),
        ({1: 2}, r"config\['a'\]\[0\] has the key 1"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused_with_its_key(value: Any, text: str) -> None:
    if isinstance(value, np.longdouble) and value.dtype.itemsize == 8:
        pytest.skip("it is a float64 here")
    with pytest.raises(InvalidOption, match=text):
        configurations(config={"a": [value]})


def test_what_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidOption, match="nested deeper"):
        configurations(config={"a": endless})


@pytest.mark.parametrize(
    "form",
    [
        [["x"], "number"],
        [["a"], "number"],
        [["a", "b"], "tuple"],
        [["a", 5], "tuple"],
        [["a"], "set"],
        [[], {"order": ["b"]}],
        [["a"], {"numpy": "object", "shape": [2]}],
        [["a"], {"numpy": "float64", "shape": [3]}],
        [["a"], {"numpy": "int8", "shape": [2]}],
        [["a"], {"numpy": "int8"}],
        [["a"]],
        5,
        [["a"], 5],
        [["a", -1], "tuple"],
        [["a", True], "tuple"],
        [["text", 0], "tuple"],
        [["text"], "tuple"],
        [["none"], {"order": []}],
        [["large"], {"numpy": "float16", "shape": []}],
        [["twice"], "set"],
        [["twice"], {"numpy": "float64", "shape": [2]}],
        [["twice", 1], {"numpy": "str", "shape": []}],
        [["halves"], {"numpy": "int64", "shape": [2]}],
        [["halves"], {"numpy": "float64", "shape": [2, 1]}],
        [[], "set"],
        [[], "tuple"],
        [[], {"numpy": "str", "shape": []}],
    ],
)
@pytest.mark.filterwarnings("error")
def test_forms_that_do_not_fit_are_corrupt(form: Any) -> None:
    config = {
        "a": [[300], [1]],
        "text": "ab",
        "twice": ["1", 1, True],
        "halves": [0.5, 1.5],
        "none": [],
        "large": 1e300,
    }
    with pytest.raises(Corrupt, match="the forms of config do not fit"):
        restored("config", config, {"config": [form]})


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ([2**61 * (place + 1) - place - 1 for place in range(101)], "set"),
        ([2**61 * (place + 1) - place - 1 for place in range(101)], "frozenset"),
        (["x" * 2**20, *"abcdefghijklmnop"], {"numpy": "str", "shape": [17]}),
        ([["x" * 2**20, "a"], *(["a", "b"] for _ in range(8))], {"numpy": "str", "shape": [9, 2]}),
    ],
    ids=["a set of equal hashes", "a frozenset of equal hashes", "a text beside many", "a text in a table"],
)
def test_forms_that_take_far_more_time_or_room_than_the_manifest_are_corrupt(value: Any, form: Any) -> None:
    with pytest.raises(Corrupt, match="made for ever|too large"):
        restored("config", {"a": value}, {"config": [[["a"], form]]})


def test_a_place_under_two_names_is_corrupt() -> None:
    forms = [[["a", *path], "later"] for path in ([0, 0], [0, -1], [-1, 0], [-1, -1])]
    with pytest.raises(Corrupt, match="the forms of config do not fit it: -1 is not a place in a list"):
        restored("config", {"a": [[1]]}, {"config": forms})


def test_several_numbers_that_are_none_stay_several() -> None:
    made = configurations(config={"a": {float("nan"), float("nan"), 1.0}})
    assert len(restored("config", made["config"], made["forms"])["a"]) == 3


def test_a_place_that_is_told_twice_is_corrupt() -> None:
    for path in (["a"], []):
        with pytest.raises(Corrupt, match="the forms of config do not fit it: .* has two"):
            restored("config", {"a": [1]}, {"config": [[path, "later"], [path, "later"]]})


def test_forms_of_a_newer_release_do_nothing() -> None:
    for form in ("deque", {"zone": "UTC"}):
        assert restored("config", {"a": [1]}, {"config": [[["a"], form]], "other": 5}) == {"a": [1]}


def test_without_numpy_arrays_are_lists_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    made = configurations(config={"a": np.array([1.5, np.nan]), "b": np.int64(7), "c": np.array(["x"])})
    monkeypatch.setitem(sys.modules, "numpy", None)
    back = restored("config", made["config"], made["forms"])
    assert is_same(back, {"a": [1.5, math.nan], "b": 7, "c": ["x"]})
    assert configurations(config={"n": 1.5})["forms"] == {}
