"""What an XGBoost model has to be before XGBoost's own reader sees it, since its trees are walked without a look.

Native code follows the children of a node, the feature and the categories that it names, and the group that a tree adds
to; it divides by numbers of classes, and reserves what a file claims. Here all of these lie inside of what there is,
for all trees at once. Not checked: whether the numbers at the splits and leaves are the right ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from artifact_store.codecs.limits import ALWAYS_ALLOWED, MAX_RATIO
from artifact_store.codecs.xgboost.ubjson import SHAPE, Trees, UBJSONReader, number_of
from artifact_store.errors import Corrupt, NotEncodable

MAX_CATEGORY: Final = 1 << 24
"""XGBoost's own bound: a code is a float32."""
_NO_CHILD: Final = -1
_NO_PARENT: Final = (-1, (1 << 31) - 1)
_DELETED: Final = (1 << 31) - 1
"""In the place of the feature of a node that was pruned."""
_NUMBER = r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][-+]?[0-9]{1,3})?|inf|nan)"
_SCALAR: Final = re.compile(_NUMBER)
_VECTOR: Final = re.compile(rf"\[{_NUMBER}(?:,{_NUMBER})*\]")
_WORD: Final = re.compile(r"[a-z][a-z0-9_:]{0,63}")
_MODEL: Final = frozenset({"attributes", "feature_names", "feature_types", "gradient_booster"}) | {
    "learner_model_param",
    "objective",
}
_PARAM: Final = frozenset({"base_score", "boost_from_average", "num_class", "num_feature", "num_target"})
_TYPES: Final = frozenset({"int", "float", "i", "q", "c"})
_KINDS: Final = {9: "i1", 10: "u1", 11: ">i2", 13: ">i4", 15: ">i8"}
"""The dtypes of categories that are numbers, as XGBoost counts its types."""


def read_model(data: bytes, np: Any, *, what: str) -> dict[str, Any]:
    """Return the ``learner`` of a model that can be read and walked.

    Raises:
        Corrupt: it is not in XGBoost's form, or leads out of itself.
    """
    try:
        document = UBJSONReader(data, np).document()
        _demand(set(document) == {"learner", "version"}, "it is no model")
        version = document["version"]
        _demand(len(version) == 3 and all(0 <= int(part) < 1000 for part in version), "its version is none")  # noqa: PLR2004
        learner: dict[str, Any] = document["learner"]
        _check_learner(learner, np, len(data))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Corrupt(f"{what} is not a model that XGBoost writes: {error}") from error
    return learner


def categories_of(learner: Mapping[str, Any]) -> list[list[Any]]:
    """Return the categories of each feature that is one of categories, where the model recorded them.

    Raises:
        NotEncodable: XGBoost counts letters where it means bytes, so that of text beyond ASCII parts are missing.
    """
    model = _gbtree(learner["gradient_booster"])
    encodings = [] if model is None else model["model"]["cats"]["enc"]
    found = []
    for encoding in encodings:
        if "type" in encoding:
            found.append(encoding["values"].tolist())
        elif len(encoding["offsets"]):
            data, ends = encoding["values"].tobytes(), encoding["offsets"].tolist()
            if not data.isascii():
                raise NotEncodable(
                    "XGBoost cuts off categories that are not ASCII, and may take one for another: give them other "
                    "names, table[column].cat.rename_categories([…]), and train again; or leave out features="
                )
            found.append([data[start:end].decode() for start, end in pairwise(ends)])
    return found


def _demand(met: bool, why: str) -> None:  # noqa: FBT001 -- reads as a sentence
    if not met:
        raise ValueError(why)


def _number(text: object) -> int:
    _demand(isinstance(text, str), f"the number {text!r:.40}")
    return number_of(str(text))


def _check_learner(learner: Mapping[str, Any], np: Any, size: int) -> None:
    _demand(set(learner) == _MODEL, f"it has the parts {sorted(learner)!r:.200}")
    numbers = learner["learner_model_param"]
    _demand(set(numbers) == _PARAM, "its numbers are other ones")
    features, classes, targets = (_number(numbers[name]) for name in ("num_feature", "num_class", "num_target"))
    groups = max(classes, 1) * targets
    _demand(features > 0 and targets > 0 and (classes <= 1 or targets == 1), "it has no features or no targets")
    _demand(groups <= size, "it has more classes than bytes")
    _demand(_VECTOR.fullmatch(numbers["base_score"]) is not None, "its base_score is no list of numbers")
    _demand(numbers["base_score"].count(",") + 1 in {1, groups}, "its base_score is for other targets")
    _check_names(learner, features)
    _check_objective(learner["objective"], classes, targets)
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        _check_linear(booster, features, groups)
        return
    trees = _gbtree(booster)
    _demand(trees is not None, f"its booster is {booster['name']!r:.40}")
    assert trees is not None
    _check_model(trees["model"], np, features, groups, targets, size)
    if booster is not trees:
        dropped = booster["weight_drop"]
        _demand(set(booster) == {"gbtree", "name", "weight_drop"}, "its booster is no dart")
        _demand(len(dropped) == len(trees["model"]["trees"].shapes), "it has other weights than trees")
        _demand(all(isinstance(weight, float) for weight in dropped), "its weights are no floats")


def _gbtree(booster: Mapping[str, Any]) -> Mapping[str, Any] | None:
    inner: Mapping[str, Any] = booster["gbtree"] if booster["name"] == "dart" else booster
    return inner if inner["name"] == "gbtree" and set(inner) == {"model", "name"} else None


def _check_names(learner: Mapping[str, Any], features: int) -> None:
    for name, value in learner["attributes"].items():
        _demand(isinstance(value, str) and "\0" not in name + value, f"its attribute {name!r:.40} is no text")
    for kind in ("feature_names", "feature_types"):
        words = learner[kind]
        _demand(isinstance(words, list) and len(words) in {0, features}, f"it has {features} features, other {kind}")
        _demand(all(isinstance(word, str) and "\0" not in word for word in words), f"its {kind} are no text")
    _demand(set(learner["feature_types"]) <= _TYPES, "it has features of an unknown type")


def _check_objective(objective: Mapping[str, Any], classes: int, targets: int) -> None:
    _demand(_WORD.fullmatch(objective["name"]) is not None, "its objective has no name")
    for group, numbers in objective.items():
        for name, value in {} if group == "name" else numbers.items():
            plain = _SCALAR.fullmatch(value) or _VECTOR.fullmatch(value) or _WORD.fullmatch(value)
            _demand(plain is not None, f"{name!r:.40} of its objective is {value!r:.40}")
            if name == "num_class":
                _demand(_number(value) == classes > 0, "its objective has another number of classes")
            if name.endswith("_alpha") and _VECTOR.fullmatch(value):
                _demand(value.count(",") + 1 == targets, "its objective has another number of targets")
    if objective["name"].startswith("multi:"):
        _demand(classes > 0 and len(objective) > 1, "its objective has no classes")


def _check_linear(booster: Mapping[str, Any], features: int, groups: int) -> None:
    _demand(set(booster) == {"model", "name"} and set(booster["model"]) == {"boosted_rounds", "weights"}, "no weights")
    weights = booster["model"]["weights"]
    _demand(len(weights) == (features + 1) * groups, "it has other weights than features")
    _demand(getattr(weights, "dtype", None) == ">f4", "its weights are no floats")
    _demand(0 <= int(booster["model"]["boosted_rounds"]) < 1 << 31, "it has a strange number of rounds")


def _check_model(model: Mapping[str, Any], np: Any, features: int, groups: int, targets: int, size: int) -> None:
    known = {"cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees"}
    _demand(set(model) == known, f"its trees come with {sorted(model)!r:.200}")
    trees, numbers = model["trees"], model["gbtree_model_param"]
    _demand(isinstance(trees, Trees), "its trees are no trees")
    _demand(set(numbers) == {"num_parallel_tree", "num_trees"}, "its numbers of trees are other ones")
    _demand(_number(numbers["num_trees"]) == len(trees.shapes), "it has another number of trees than it says")
    _demand(
        0 < _number(numbers["num_parallel_tree"]) <= max(len(trees.shapes), 1),
        "it has a strange number of parallel trees",
    )
    bounds, info = (np.array(model[name], np.int64) for name in ("iteration_indptr", "tree_info"))
    _demand(
        bounds.ndim == 1 and len(bounds) > 0 and bounds[0] == 0 and bounds[-1] == len(trees.shapes),
        "its rounds end early",
    )
    _demand(bool((np.diff(bounds) >= 0).all()), "its rounds are not in order")
    _demand(
        info.shape == (len(trees.shapes),) and bool(((info >= 0) & (info < groups)).all()), "a tree adds to no class"
    )
    if trees.shapes:
        _check_trees(trees, np, features, targets, size)
    _check_cats(model["cats"], np, features)


def _check_trees(trees: Trees, np: Any, features: int, targets: int, size: int) -> None:
    _demand(trees.features == {str(features)}, "a tree has another number of features")
    shapes = dict(zip(SHAPE, np.array(trees.shapes, np.int64).T, strict=True))
    nodes, width = shapes["nodes"], shapes["width"]
    _demand(bool((width == 1).all()) or bool((width == targets).all()), "a tree has leaves for other targets")
    starts = np.concatenate(([0], np.cumsum(nodes)[:-1]))
    _demand(int(nodes.sum()) < 1 << 31, "it has more nodes than XGBoost counts")
    left, right, parents, asked = (
        trees.column(name, np).astype(np.int32)
        for name in ("left_children", "right_children", "parents", "split_indices")
    )
    start = np.repeat(starts, nodes)
    inner = np.flatnonzero(left != _NO_CHILD)
    begin, bound = start.take(inner), np.repeat(nodes.astype(np.int32), nodes).take(inner)
    place = (inner - begin).astype(np.int32)
    sides = left.take(inner), right.take(inner)
    for own in sides:
        _demand(bool(((own > 0) & (own < bound)).all()), "a tree leads to a node that it does not have")
        _demand(np.array_equal(parents.take(begin + own), place), "a node has another parent than leads to it")
    # every node has one parent at most, and the root none: no walk from the root comes back
    _demand(bool((sides[0] != sides[1]).all()), "a node has two parents")
    _demand(bool(np.isin(parents.take(starts), _NO_PARENT).all()), "a root has a parent")
    if len(left) != 2 * len(inner) + len(nodes) or shapes["deleted"].any() or int(asked.max()) == _DELETED:
        lost = np.ones(len(left), bool)
        lost[starts] = lost[begin + sides[0]] = lost[begin + sides[1]] = False
        _check_deleted(
            lost,
            shapes["deleted"],
            np,
            parents=parents,
            place=np.arange(len(left)) - start,
            inner=inner,
            starts=starts,
            asked=asked,
        )
    asked = asked.take(inner)
    _demand(not len(asked) or (int(asked.min()) >= 0 and int(asked.max()) < features), "a tree asks for no feature")
    kinds = trees.column("split_type", np)
    _demand(int(kinds.max()) <= 1, "a tree has a split of an unknown kind")
    if shapes["leaf_values"].any() or width.max() > 1:
        leaf = left == _NO_CHILD
        _check_leaves(right[leaf], np.add.reduceat(leaf, starts, dtype=np.int64), shapes, np)
    if kinds.any() or shapes["sets"].any() or shapes["codes"].any():
        _check_categories(trees, shapes, np, start=starts, kinds=kinds, size=size)


def _check_deleted(
    lost: Any, counts: Any, np: Any, *, parents: Any, place: Any, inner: Any, starts: Any, asked: Any
) -> None:
    """Refuse nodes that no other leads to, unless pruning has left them; XGBoost looks at their parents, too."""
    _demand(np.array_equal(asked == _DELETED, lost), "a node is deleted and reached, or neither")
    _demand(np.array_equal(np.add.reduceat(lost, starts, dtype=np.int64), counts), "a tree has other deleted nodes")
    before = (parents >= 0) & (parents < place)
    _demand(bool((before | ~lost).all()) and not lost[inner].any(), "a deleted node leads somewhere")


def _check_leaves(places: Any, leaves: Any, shapes: Mapping[str, Any], np: Any) -> None:
    """Refuse a leaf of several targets that is not where it says; one with one value is its own."""
    vectors, width = shapes["leaf_values"], shapes["width"]
    several = width > 1
    _demand(bool((vectors[several] == (leaves * width)[several]).all()), "a tree has other leaves than it says")
    _demand(not vectors[~several].any(), "a tree has leaves of several targets and says that it has not")
    bounds = np.repeat(leaves, leaves)
    inside = (places >= 0) & (places < bounds)
    _demand(bool((inside | ~np.repeat(several, leaves)).all()), "a leaf has its values elsewhere")


def _check_categories(trees: Trees, shapes: Mapping[str, Any], np: Any, *, start: Any, kinds: Any, size: int) -> None:
    """Refuse sets of categories that lie outside, belong to no node, or are larger than any code."""
    counts, held, nodes = shapes["sets"], shapes["codes"], shapes["nodes"]
    places = trees.column("categories_nodes", np).astype(np.int64)
    _demand(bool(((places >= 0) & (places < np.repeat(nodes, counts))).all()), "a set of categories belongs to no node")
    marked = places + np.repeat(start, counts)
    _demand(bool((np.diff(marked) > 0).all()), "the sets of categories are not in order")
    _demand(np.array_equal(marked, np.flatnonzero(kinds)), "a split by categories has none")
    begin, length = (trees.column(f"categories_{name}", np).astype(np.int64) for name in ("segments", "sizes"))
    bound = np.repeat(held, counts)
    inside = (begin >= 0) & (length > 0) & (length <= bound) & (begin <= bound - length)
    _demand(bool(inside.all()), "a set of categories lies outside of what there is")
    codes = trees.column("categories", np)
    _demand(not len(codes) or (codes.min() >= 0 and codes.max() < MAX_CATEGORY), "a category is no code")
    needed = len(counts) and int(counts.sum()) * (int(codes.max(initial=0)) // 8 + 8)
    _demand(needed <= max(ALWAYS_ALLOWED, MAX_RATIO * size), "its sets of categories would take too much memory")


def _check_cats(cats: Mapping[str, Any], np: Any, features: int) -> None:
    """Refuse lists of categories that are not what their lengths say."""
    _demand(set(cats) == {"enc", "feature_segments", "sorted_idx"}, "its categories come in another form")
    counts = list(_counts(cats["enc"], np))
    _demand(len(counts) in {0, features}, "it has categories for other features")
    segments, order = (np.asarray(cats[name], np.int64) for name in ("feature_segments", "sorted_idx"))
    _demand(
        segments.tolist() == [0, *np.cumsum(counts, dtype=np.int64).tolist()] if counts else not len(segments),
        "no segments",
    )
    _demand(len(order) == sum(counts), "its categories are in no order")
    at = 0
    for count in counts:
        _demand(np.array_equal(np.sort(order[at : at + count]), np.arange(count)), "its categories are in no order")
        at += count


def _counts(encodings: list[Mapping[str, Any]], np: Any) -> Iterator[int]:
    """Yield how many categories each feature has."""
    for encoding in encodings:
        values = encoding["values"]
        _demand(isinstance(values, np.ndarray), "its categories are no values")
        if "type" in encoding:
            _demand(set(encoding) == {"type", "values"}, "its categories come in another form")
            _demand(_KINDS.get(encoding["type"]) == values.dtype, "its categories are of another type than they say")
            yield len(values)
            continue
        offsets = encoding["offsets"]
        _demand(set(encoding) == {"offsets", "values"} and values.dtype == "i1", "its categories are no text")
        ends = offsets.astype(np.int64)
        _demand(
            not len(ends) or (ends[0] == 0 and ends[-1] == len(values) and bool((np.diff(ends) >= 0).all())), "no text"
        )
        _demand(bool(len(ends)) or not len(values), "text without ends")
        yield max(len(ends) - 1, 0)
