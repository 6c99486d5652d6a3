"""A fitted estimator as plain values, arrays and boosters, and back: what it is made of, object by object.

An object is its class, by name from a fixed list, and its attributes; it is made without being called. Objects stand in
a list, each behind those that it holds, so that one that is held twice is one, and nothing is nested deeply.
"""

from __future__ import annotations

import importlib
import math
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from artifact_store.codecs.files import dotted
from artifact_store.codecs.json_arrays import plain_array, plain_float, read_array, read_float
from artifact_store.codecs.sklearn import estimator_checks as checks
from artifact_store.codecs.sklearn import functions
from artifact_store.codecs.sklearn.estimator_types import (
    HISTOGRAM,
    ISOTONIC,
    LOSSES,
    NEIGHBOURS,
    OBJECTS,
    TYPES,
)
from artifact_store.codecs.sklearn.state_checks import check_attributes, check_random_state
from artifact_store.errors import Corrupt, NotEncodable

_TREE: Final = "sklearn.tree._tree.Tree"
_SEARCH_TREES: Final = frozenset(f"sklearn.neighbors.{module}" for module in ("_ball_tree.BallTree", "_kd_tree.KDTree"))
_CHECK: Final = "sklearn.utils.validation.check_array"
_SCORING: Final = "sklearn.metrics._scorer.check_scoring"
_BUNCH: Final = "sklearn.utils._bunch.Bunch"
_PREDICTOR: Final = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
_BOOSTERS: Final = frozenset({"lightgbm.basic.Booster", "xgboost.core.Booster"})
_DTYPE: Final = re.compile(r"[<>|=]?[biufSU]\d{1,6}|[<>=][mM]8(\[([1-9]\d{0,3})?[a-zA-Z]{1,2}\])?", re.ASCII)
"""No part of a unit of time: see :mod:`artifact_store.codecs.npy`."""
INSTEAD: Final = "name codec='joblib' if every reader may trust you"
"""What a refusal says in the end."""
_FACTORIES: Final[Mapping[str, Any]] = {"dict": dict, "list": list, "ordered": OrderedDict}


class EstimatorPacker:
    """Takes one estimator apart. ``objects``, ``arrays`` and ``boosters`` are what its JSON refers to."""

    def __init__(self, np: Any) -> None:
        self.objects: list[dict[str, Any]] = []
        self.arrays: dict[str, Any] = {}
        self.boosters: list[Any] = []
        self._np = np
        self._known: dict[int, Any] = {}
        self._held: list[Any] = []
        """What ``_known`` knows by its address has to live as long."""

    def pack(self, value: Any, where: str) -> Any:
        """Return a value as JSON.

        Raises:
            NotEncodable: it is of a type that would not come back; the text says where it is.
        """
        if isinstance(value, bool | None) or type(value) in (int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": plain_float(value)}
        if id(value) in self._known:
            if self._known[id(value)] is None:
                raise NotEncodable(f"{where} holds itself")
            return self._known[id(value)]
        return self._holder(value, where) or self._larger(value, dotted(type(value)), where)

    def _holder(self, value: Any, where: str) -> Any:
        """Return a list, tuple, set or dict as JSON, or nothing if it is none of these; none of them is empty JSON."""
        if type(value) in (list, tuple, set):
            parts = [self.pack(part, f"{where}[{place}]") for place, part in enumerate(_ordered(value))]
            return {type(value).__name__: parts}
        if type(value) not in (dict, OrderedDict, defaultdict) and dotted(type(value)) != _BUNCH:
            return None
        pairs = [[self.pack(key, where), self.pack(part, f"{where}[{key!r}]")] for key, part in value.items()]
        if type(value) is defaultdict:
            return {"default": pairs, "of": _factory(value, where)}
        return {{"dict": "dict", "OrderedDict": "ordered"}.get(type(value).__name__, "bunch"): pairs}

    def _larger(self, value: Any, kind: str, where: str) -> Any:
        self._held.append(value)
        self._known[id(value)] = None
        made = self._array(value, where) if kind == "numpy.ndarray" else self._other(value, kind, where)
        self._known[id(value)] = made
        return made

    def _array(self, array: Any, where: str) -> dict[str, Any]:
        if array.dtype.hasobject:
            if array.dtype.kind != "O":
                raise NotEncodable(f"{where} is an array of {array.dtype}, which is not kept; {INSTEAD}")
            values = [self.pack(part, f"{where}[{place}]") for place, part in enumerate(array.ravel().tolist())]
            return {"objects": values, "shape": list(array.shape)}
        name = f"a{len(self.arrays)}"
        self.arrays[name] = array
        return {"array": name}

    def _other(self, value: Any, kind: str, where: str) -> Any:  # noqa: PLR0911 -- one line for each kind
        np = self._np
        if isinstance(value, np.generic):
            return {"text": str(value)} if isinstance(value, np.str_) else {"number": plain_array(value, where)}
        if isinstance(value, np.dtype) and not value.hasobject:
            return {"dtype": value.str}
        if isinstance(value, type) and dotted(value) in TYPES:
            return {"type": dotted(value)}
        if type(value) is slice:
            return {"slice": [self.pack(part, where) for part in (value.start, value.stop, value.step)]}
        if name := functions.listed(np, value):
            return {"function": name}
        if type(value) is partial and functions.called(value.func) == _CHECK and not value.args:
            return {"check": self.pack(dict(value.keywords), where)}
        if kind.startswith("_loss."):  # as scikit-learn 1.8 calls the module
            kind = f"sklearn._loss.{kind}"
        if kind in LOSSES:
            make, arguments = value.__reduce__()[:2]  # one without numbers is remade by its class and a checksum
            return {"loss": kind, "of": self.pack(list(arguments) if make is type(value) else [], where)}
        if kind in _BOOSTERS:
            self.boosters.append(value)
            return {"booster": len(self.boosters) - 1}
        return self._chance(value, where) or self._object(value, kind, where)

    def _chance(self, value: Any, where: str) -> dict[str, Any] | None:
        random = self._np.random
        if type(value) is random.RandomState:
            return {"random_state": self.pack(list(value.get_state()), where)}
        if type(value) is random.Generator and type(value.bit_generator) is random.PCG64:
            return {"generator": self.pack(value.bit_generator.state, where)}
        return None

    def _object(self, value: Any, kind: str, where: str) -> dict[str, Any]:
        if kind == _TREE:
            _, arguments, state = value.__reduce__()
            record = {"tree": self.pack(list(arguments), where), "state": self.pack(state, where)}
        elif kind in OBJECTS:
            state = {name: part for name, part in sorted(vars(value).items()) if not _follows(value, kind, name, part)}
            record = {
                "of": kind,
                "state": {name: self._attribute(value, kind, name, part, where) for name, part in state.items()},
            }
        elif functions.is_function(self._np, value):
            raise NotEncodable(functions.function_refusal(value, where, INSTEAD))
        else:
            raise NotEncodable(
                f"{where} is a {kind}, which is on no list of what is made again: store what it has learned as "
                f"arrays, or {INSTEAD}"
            )
        self.objects.append(record)
        return {"object": len(self.objects) - 1}

    def _attribute(self, owner: Any, kind: str, name: str, value: Any, where: str) -> Any:
        where = f"{where}.{name}"
        if kind in NEIGHBOURS and name == "_tree" and dotted(type(value)) in _SEARCH_TREES:
            again = type(value)(*_search_arguments(vars(owner)), **owner.effective_metric_params_)
            if not all(
                self._np.array_equal(one, other)
                for one, other in zip(value.get_arrays(), again.get_arrays(), strict=True)
            ):
                raise NotEncodable(f"{where} is not the tree that its data make: fit it again, or {INSTEAD}")
            return {"search": dotted(type(value))}
        if kind in HISTOGRAM and name == "_predictors":
            return {"predictors": self.pack(self._columns(value), where)}
        return self.pack(value, where)

    def _columns(self, rounds: list[list[Any]]) -> dict[str, Any]:
        """Return the trees of all rounds as a few arrays, of which each has its part."""
        np, trees = self._np, [tree for each in rounds for tree in each]
        found: dict[str, Any] = {"rounds": np.array([len(each) for each in rounds], np.int64)}
        for name in checks.COLUMNS:
            parts = [getattr(tree, name) for tree in trees]
            found[name] = np.concatenate(parts)
            found[f"{name}_counts"] = np.array([len(part) for part in parts], np.int64)
        return found


def _follows(owner: Any, kind: str, name: str, value: Any) -> bool:
    """Tell whether an attribute follows from the others, and is made again: see :func:`_complete`."""
    if kind == ISOTONIC:
        return name == "f_"
    if kind not in HISTOGRAM or value is None:
        return False
    if name == "_raw_predict":  # early stopping puts the method there that the class has
        return getattr(value, "__self__", None) is owner
    return name == "_scorer" and isinstance(owner.scoring, str | None)  # a function is refused as what it is


def _complete(made: Any, kind: str) -> None:
    """Give an object the attributes that follow from those that it has, as fitting did."""
    if kind == ISOTONIC and hasattr(made, "X_thresholds_"):
        made._build_f(made.X_thresholds_, made.y_thresholds_)  # noqa: SLF001 -- as its own __setstate__ does
    if kind in HISTOGRAM and getattr(made, "do_early_stopping_", False) and made.scoring != "loss":
        made._scorer = _named(_SCORING)(made, made.scoring)  # noqa: SLF001 -- as its own fit does


def _factory(value: defaultdict[Any, Any], where: str) -> str:
    names = [name for name, factory in _FACTORIES.items() if factory is value.default_factory]
    if not names:
        raise NotEncodable(f"{where} is a defaultdict of something that is not kept: make a dict of it")
    return names[0]


def _ordered(value: Any) -> Any:
    return sorted(value, key=repr) if isinstance(value, set) else value


def _search_arguments(state: Mapping[str, Any]) -> tuple[Any, ...]:
    return state["_fit_X"], state["leaf_size"], state["effective_metric_"]


class EstimatorUnpacker:
    """Puts one together again; whatever is not as :class:`EstimatorPacker` writes it raises ``Corrupt``."""

    def __init__(self, np: Any, arrays: Mapping[str, Any], booster: Callable[[int], Any]) -> None:
        self._np, self._arrays, self._booster = np, arrays, booster
        self._made: list[Any] = []

    def whole(self, objects: list[Any], root: Any) -> Any:
        """Return what the root stands for."""
        for record in objects:
            self._made.append(self._new(record))
        return self.unpack(root)

    def unpack(self, record: Any) -> Any:
        """Return what a value in JSON stands for."""
        if isinstance(record, bool | str | int | float | None):
            return record
        kind = next((name for name in record if name not in {"shape", "of"}), "")
        make = getattr(self, f"_{kind}_", None) if kind in _FORMS else None
        if make is None:
            raise Corrupt(f"{str(record)[:60]!r} stands for nothing")
        return make(record[kind], record)

    def _float_(self, value: Any, _: Any) -> float:
        return float(read_float(value, "a number"))

    def _list_(self, value: list[Any], _: Any) -> list[Any]:
        return [self.unpack(part) for part in value]

    def _tuple_(self, value: list[Any], _: Any) -> tuple[Any, ...]:
        return tuple(self.unpack(part) for part in value)

    def _set_(self, value: list[Any], _: Any) -> set[Any]:
        return {self.unpack(part) for part in value}

    def _dict_(self, value: list[Any], _: Any) -> dict[Any, Any]:
        return {self.unpack(key): self.unpack(part) for key, part in value}

    def _ordered_(self, value: list[Any], _: Any) -> Any:
        return OrderedDict(self._dict_(value, None))

    def _default_(self, value: list[Any], record: Mapping[str, Any]) -> Any:
        return defaultdict(_FACTORIES[record["of"]], self._dict_(value, None))

    def _bunch_(self, value: list[Any], _: Any) -> Any:
        return _named(_BUNCH)(**self._dict_(value, None))

    def _array_(self, name: str, _: Any) -> Any:
        return self._arrays[name]

    def _objects_(self, values: list[Any], record: Mapping[str, Any]) -> Any:
        array = self._np.empty(len(values), object)
        for place, value in enumerate(values):
            array[place] = self.unpack(value)
        return array.reshape(record["shape"])

    def _number_(self, value: Any, _: Any) -> Any:
        return read_array(value, "a number")[()]

    def _text_(self, value: str, _: Any) -> Any:
        return self._np.str_(value)

    def _dtype_(self, value: str, _: Any) -> Any:
        return self._np.dtype(_plain_dtype(value))

    def _type_(self, name: str, _: Any) -> Any:
        return _listed(name, TYPES)

    def _slice_(self, value: list[Any], _: Any) -> slice:
        return slice(*(self.unpack(part) for part in value))

    def _random_state_(self, value: list[Any], _: Any) -> Any:
        made = self._np.random.RandomState(0)
        made.set_state(tuple(self.unpack(value)))
        check_random_state(made)
        return made

    def _generator_(self, value: Any, _: Any) -> Any:
        made = self._np.random.Generator(self._np.random.PCG64(0))
        made.bit_generator.state = self.unpack(value)
        return made

    def _function_(self, name: str, _: Any) -> Any:
        return _listed(name, functions.NAMES)

    def _check_(self, value: Any, _: Any) -> Any:
        return partial(_named(_CHECK), **self.unpack(value))

    def _loss_(self, name: str, record: Mapping[str, Any]) -> Any:
        return _listed(name, LOSSES)(*self.unpack(record["of"]))

    def _booster_(self, place: int, _: Any) -> Any:
        return self._booster(place)

    def _object_(self, place: int, _: Any) -> Any:
        if not 0 <= place < len(self._made):
            raise Corrupt(f"the object {place} is none that comes before")
        return self._made[place]

    def _new(self, record: Mapping[str, Any]) -> Any:
        if "tree" in record:
            arguments, state = self.unpack(record["tree"]), self.unpack(record["state"])
            checks.check_decision_tree(arguments, state, self._np)
            tree = _named(_TREE)(*arguments)
            tree.__setstate__(state)
            return tree
        kind = record["of"]
        made = _listed(kind, OBJECTS)
        made = made.__new__(made)
        held = record["state"]
        later = {
            name: part
            for name, part in held.items()
            if isinstance(part, dict) and part.keys() & {"search", "predictors"}
        }
        state = {name: self.unpack(part) for name, part in held.items() if name not in later}
        if kind in HISTOGRAM and "_predictors" in state:
            raise Corrupt(f"a {kind} has trees in another form")
        for name, part in later.items():
            state[name] = self._later(kind, part, state)
        check_attributes(type(made), state, self._np)
        checks.check_state(kind, state, self._np)
        vars(made).update(state)
        _complete(made, kind)
        return made

    def _later(self, kind: str, part: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
        """Return what follows from the other attributes."""
        if kind in NEIGHBOURS and "search" in part:
            checks.check_neighbours(state, self._np)
            return _listed(part["search"], _SEARCH_TREES)(
                *_search_arguments(state), **state["effective_metric_params_"]
            )
        if kind not in HISTOGRAM:
            raise Corrupt(f"a {kind} has trees of another estimator")
        columns, at = self.unpack(part["predictors"]), 0
        trees = checks.split(columns, self._np)
        checks.check_boosting(state, columns, self._np)
        make, rounds = _named(_PREDICTOR), []
        for count in columns["rounds"].tolist():
            rounds.append([make(*each) for each in trees[at : at + count]])
            at += count
        return rounds


_FORMS: Final = frozenset(
    name.strip("_") for name in vars(EstimatorUnpacker) if name.endswith("_") and not name.startswith("__")
)


def _plain_dtype(text: Any) -> str:
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise Corrupt(f"{str(text)[:20]!r} is no dtype that is kept")
    return text


def _listed(name: Any, known: frozenset[str]) -> Any:
    if not isinstance(name, str) or name not in known:
        raise Corrupt(f"it asks for {str(name)[:60]!r}, which this codec never writes: do not trust its author")
    return _named(name)


def _named(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)
