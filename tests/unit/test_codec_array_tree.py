"""Arrays in nested dicts and lists: what comes back, what is refused with its path, and hostile trees."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from artifact_store.codecs.arrays import write_arrays
from artifact_store.codecs.nested import ArrayTreeCodec
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import Corrupt, NotEncodable
from artifact_store.testing import CodecSuite
from tests import format_arrays

pytestmark = pytest.mark.windows

ONE = np.arange(6.0).reshape(2, 3)


class Pair(NamedTuple):
    """A tuple that is more than one."""

    x: Any
    y: Any


def alike(one: Any, other: Any) -> bool:
    """Whether both are the same, classes, order of keys and bits included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray | np.generic):
        same = one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        return same and (one.ndim < 2 or one.flags.f_contiguous == other.flags.f_contiguous)  # type: ignore[union-attr]
    if isinstance(one, dict):
        return [*map(repr, one)] == [*map(repr, other)] and all(map(alike, one.values(), other.values()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return repr(one) == repr(other)


EXAMPLES: dict[str, Any] = {
    "weights by layer": {"layer1": {"w": ONE, "b": ONE[0]}, "layer0": {"w": np.asfortranarray(ONE)}},
    "a list of arrays": [ONE, ONE[0], np.zeros((0, 3), np.float16)],
    "results of folds": [{"fold": 0, "y": ONE[0], "loss": np.float32(0.1)}, {"fold": 1, "y": None, "loss": math.nan}],
    "tuples": ((ONE, ONE), (1, "x", None, True), []),
    "plain values beside": {"w": ONE, "n": 3, "big": 2**70, "lr": 1e-3, "inf": -math.inf, "name": "ü", "none": None},
    "numbers of numpy": [np.int64(1), np.float16(0.5), np.bool_(True), np.uint64(2**64 - 1), np.float64("nan")],
    "other scalars": [np.datetime64("2024-01-01", "D"), np.str_("ü"), np.complex64(1j), np.bytes_(b"a\0b")],
    "integer keys": {1: ONE, -3: {"1": ONE}},
    "keys that name no file": {"../up": ONE, "back\\slash": ONE, "": ONE, "a.npy": ONE, "x" * 300: ONE},
    "classes of dicts": {"o": OrderedDict(b=ONE, a=1), "c": Counter(b=2, a=1)},
    "an ordered dict": OrderedDict(b=ONE, a=ONE),
    "text and times": {"t": np.array(["ä", "bc"]), "d": np.array(["2024", "NaT"], "M8[s]"), "b": [np.array([b"x"])]},
    "records": [np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")])],
    "a number without sides": [np.array(1.5)],
    "nothing beside": {"w": [ONE], "empty": {}, "none": [], "t": ()},
}


class TestArrayTree(CodecSuite):
    @pytest.fixture
    def codec(self) -> ArrayTreeCodec:
        return ArrayTreeCodec()

    @pytest.fixture
    def examples(self) -> Sequence[Any]:
        return list(EXAMPLES.values())

    @pytest.fixture
    def refused(self) -> Sequence[Any]:
        return [made({"w": ONE}) for made, _ in REFUSED.values()]

    def equal(self, one: Any, other: Any) -> bool:
        return alike(one, other)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_it_is_chosen_for_what_holds_arrays(kind: str) -> None:
    assert CodecRegistry().for_object(EXAMPLES[kind]).name == "array-tree"


def test_plain_dicts_and_tuples_of_arrays_stay_with_their_codec() -> None:
    for obj in ({"w": ONE, "b/0": ONE}, (ONE, ONE), ONE, np.float32(1)):
        assert CodecRegistry().for_object(obj).name == "arrays"
    for obj in ({}, [], {"a": 1}, [1.5], (1,)):
        assert CodecRegistry().for_object(obj).name == "json"


def test_an_array_in_two_places_is_one_array_again(tmp_path: Path) -> None:
    shared = np.ones(3)
    codec = ArrayTreeCodec()
    back = codec.decode(tmp_path, "m", codec.encode({"a": shared, "b": [shared, shared.copy()]}, tmp_path, "m"))
    assert back["a"] is back["b"][0]
    assert back["a"] is not back["b"][1]


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a defaultdict": (lambda tree: defaultdict(list, tree), r"the object is a collections\.defaultdict.* plain dict"),
    "a named tuple": (lambda tree: [Pair(1, tree)], r"the object\[0\] is a .*Pair.* plain tuple"),
    "objects": (lambda tree: {**tree, "o": np.array([None])}, r"the object\['o'\].*dtype='U'"),
    "a mask": (lambda tree: {**tree, "m": np.ma.masked_array([1])}, r"the object\['m'\].*mask"),
    "a class of arrays": (lambda tree: {**tree, "m": np.rec.array([(1, 2)])}, r"the object\['m'\].*subok=False"),
    "a long double": (lambda tree: [*tree.values(), np.longdouble(1)], r"the object\[1\].*another dtype|float64"),
    "a table": (lambda tree: {**tree, "t": pd.DataFrame()}, r"the object\['t'\].*component of its own"),
    "a set": (lambda tree: {**tree, "s": {1}}, r"the object\['s'\] is a builtins\.set"),
    "a key that is a tuple": (
        lambda tree: {(1, 2): tree},
        r"the object\[\(1, 2\)\] has a key that is a builtins\.tuple: use text",
    ),
    "no text": (lambda tree: {**tree, "s": "\ud800"}, r"the object\['s'\].*surrogate"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_not_come_back_is_refused_with_its_path(kind: str, tmp_path: Path) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(NotEncodable, match=f"^{message}"):
        ArrayTreeCodec().encode(make({"w": ONE}), tmp_path, "model")
    assert not list(tmp_path.iterdir())


HOSTILE: dict[str, Any] = {
    "an array that is not there": [{"array": "arr_0"}, {"array": "arr_7"}],
    "an array that is left out": [],
    "an array as a scalar": {"scalar": "arr_0"},
    "an array as an array and as a scalar": [{"array": "arr_0"}, {"scalar": "arr_0"}],
    "more in a record": {"array": "arr_0", "requires_grad": True},
    "a name that is none": {"array": ["arr_0"]},
    "a tensor": [{"array": "arr_0"}, {"tensor": "arr_0"}],
    "a parameter": {"parameter": "arr_0"},
    "versions of modules": {"ordered": [], "versions": [["", {}]]},
    "nothing": None,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_tree_is_corrupt(kind: str, tmp_path: Path) -> None:
    write_arrays(tmp_path / "model.npz", {"arr_0": ONE}, np)
    (tmp_path / "model.json").write_text(json.dumps({"tree": HOSTILE[kind]}, separators=(",", ":")))
    with pytest.raises(Corrupt):
        ArrayTreeCodec().decode(tmp_path, "model", {})


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if kind != "records"])
def test_the_format_page_is_enough_to_read_it(kind: str, tmp_path: Path) -> None:
    ArrayTreeCodec().encode(EXAMPLES[kind], tmp_path, "model")
    assert repr(format_arrays.tree(tmp_path, "model")) == repr(listed(EXAMPLES[kind]))


def listed(value: Any) -> Any:
    """The same with lists and numbers of Python."""
    if isinstance(value, np.ndarray | np.generic):
        whole = value.view("i8") if value.dtype.kind in "Mm" else value
        return whole.tolist()
    if isinstance(value, dict):
        made = {key: listed(part) for key, part in value.items()}
        return made if type(value) is dict else type(value)(made)
    return type(value)(map(listed, value)) if isinstance(value, list | tuple) else value
