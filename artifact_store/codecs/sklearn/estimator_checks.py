"""What native code of scikit-learn follows without a look, checked before it is made: nodes, features, sets, labels."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from artifact_store.codecs.sklearn.estimator_types import NEIGHBOURS
from artifact_store.codecs.sklearn.state_checks import check_attributes, check_depth, check_random_state
from artifact_store.codecs.sklearn.state_checks import demand as _demand

COLUMNS: Final = ("nodes", "binned_left_cat_bitsets", "raw_left_cat_bitsets")
"""What a tree of histogram boosting consists of."""
_NO_CHILD: Final = -1
_CATEGORIES: Final = 256
_WORDS: Final = 8
_FORESTS: Final = "sklearn.ensemble._forest."
_NODE: Final = (
    "value:<f8 count:<u4 feature_idx:<i8 num_threshold:<f8 missing_go_to_left:|u1 left:<u4 right:<u4 gain:<f8 "
    "depth:<u4 is_leaf:|u1 bin_threshold:|u1 is_categorical:|u1 bitset_idx:<u4"
)


def check_decision_tree(arguments: list[Any], state: Mapping[str, Any], np: Any) -> None:
    """Refuse a decision tree whose nodes lead out of it, or back."""
    width, nodes = arguments[0], state["nodes"]
    count = len(nodes)
    inner = nodes["left_child"] != _NO_CHILD
    places = inner.nonzero()[0]
    for side in ("left_child", "right_child"):
        children = nodes[side][inner]
        _demand(((children > places) & (children < count)).all(), "a decision tree has no such node")
    asked = nodes["feature"][inner]
    _demand(count and ((asked >= 0) & (asked < width)).all(), "a decision tree has no such feature")
    _demand(state["node_count"] == count and len(state["values"]) == count, "a decision tree has other nodes")
    _demand(isinstance(arguments[1], np.ndarray) and len(arguments[1]) == arguments[2], "a tree has other outputs")
    check_depth(nodes["left_child"], nodes["right_child"], state["max_depth"], np)


def check_state(kind: str, state: Mapping[str, Any], np: Any) -> None:
    """Refuse attributes of an object that do not belong together."""
    if "tree_" in state:
        _demand(state["tree_"].n_features == state["n_features_in_"], "a tree takes other features than its estimator")
    if kind.startswith(_FORESTS) and "estimators_" in state:
        members = np.asarray(state["estimators_"], object).ravel().tolist()
        width = state["n_features_in_"]
        _demand(
            all(member.n_features_in_ == width for member in members), "a tree takes other features than its forest"
        )
    if kind in NEIGHBOURS and "_fit_X" in state:
        check_neighbours(state, np)


def check_widths(root: object, np: Any) -> None:
    """Refuse trees within an estimator that take other features than what asks them, which looks at its own only."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, np.ndarray) and part.dtype == object:
            waiting += part.ravel().tolist()
        elif isinstance(part, np.random.RandomState):
            check_random_state(part)
        elif type(part).__module__.startswith("sklearn.") and hasattr(part, "__dict__"):
            _check_own_trees(part, np)
            waiting += vars(part).values()


def _check_own_trees(part: Any, np: Any) -> None:
    state = vars(part)
    check_attributes(type(part), state, np)
    own = state.get("n_features_in_")
    if "tree_" in state:
        tree = state["tree_"]
        _demand(tree.n_features == own, "a tree takes other features than its estimator")
        check_depth(tree.children_left, tree.children_right, tree.max_depth, np)
    if isinstance(getattr(type(part), "n_features_in_", None), property):  # a vote: each member looks at its own
        return
    members = np.asarray(state.get("estimators_", ()), object).ravel().tolist()
    subsets = state.get("estimators_features_")
    widths = [own] * len(members) if subsets is None else [len(subset) for subset in subsets]
    _demand(len(widths) == len(members), "it has features for other members than there are")
    for member, width in zip(members, widths, strict=True):
        tree = vars(member).get("tree_") if hasattr(member, "__dict__") else None
        _demand(tree is None or tree.n_features == width, "a tree takes other features than its forest")


def check_neighbours(state: Mapping[str, Any], np: Any) -> None:
    """Refuse labels of neighbours that are not there."""
    rows = state["_fit_X"]
    _demand(isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype.kind in "fiub", "neighbours have no rows")  # noqa: PLR2004
    _demand(state["n_features_in_"] == rows.shape[1] and state["n_samples_fit_"] == len(rows), "they have other rows")
    _demand(isinstance(state["effective_metric_"], str), "their distance is none that has a name")
    if "_y" not in state:
        return
    labels = state["_y"]
    _demand(isinstance(labels, np.ndarray) and len(labels) == len(rows), "they have other labels than rows")
    if "classes_" not in state:
        return
    several = isinstance(state["classes_"], list)
    lists = state["classes_"] if several else [state["classes_"]]
    _demand(several == state["outputs_2d_"] and labels.ndim == 1 + several, "they have several labels, or one")
    _demand(all(isinstance(classes, np.ndarray) for classes in lists), "they have no classes")
    columns = labels.reshape(len(rows), -1)
    _demand(labels.dtype.kind == "i" and columns.shape[1] == len(lists), "they have other labels than classes")
    for place, classes in enumerate(lists):
        own = columns[:, place]
        _demand(len(own) == 0 or (own.min() >= 0 and own.max() < len(classes)), "a label is of no class")


def split(columns: Mapping[str, Any], np: Any) -> list[tuple[Any, ...]]:
    """Return the parts of each tree; refuse counts that are not those of the parts."""
    counts = [columns[f"{name}_counts"] for name in COLUMNS]
    rounds = columns["rounds"]
    for array in (rounds, *counts):
        _demand(isinstance(array, np.ndarray) and array.dtype == np.int64 and array.ndim == 1, "there are no counts")
        _demand((array >= 0).all(), "there are negative counts")
    _demand(all(len(count) == rounds.sum() for count in counts), "there are other trees than rounds")
    parts = []
    for name, count in zip(COLUMNS, counts, strict=True):
        ends = [0, *np.cumsum(count).tolist()]
        _demand(ends[-1] == len(columns[name]), "trees have other parts than they say")
        parts.append([columns[name][begin:end] for begin, end in pairwise(ends)])
    return list(zip(*parts, strict=True))


def check_boosting(state: Mapping[str, Any], columns: Mapping[str, Any], np: Any) -> None:
    """Refuse trees that ask for nodes, features or sets that are not there; and categories beyond a set."""
    width, mapper = state["n_features_in_"], vars(state["_bin_mapper"])
    categorical, lists = mapper["is_categorical_"], mapper["known_categories"] or [None] * width
    _demand(type(width) is int and categorical.shape == (width,), "it has categories of other features")
    _demand(categorical.dtype == np.uint8 and len(lists) == width, "it has other categories")
    for flag, known in zip(categorical.tolist(), lists, strict=True):
        _demand((known is not None) == bool(flag), "a feature has categories and has none")
        inside = known is None or ((known >= 0) & (known < _CATEGORIES)).all()
        _demand(inside, "a category is beyond its set")
    _check_nodes(columns, width, categorical, np)


def _is_node(nodes: Any, np: Any) -> bool:
    fields = {} if not isinstance(nodes, np.ndarray) or nodes.dtype.names is None else nodes.dtype.fields
    return " ".join(f"{name}:{field[0].str}" for name, field in fields.items()) == _NODE and nodes.ndim == 1


def _check_nodes(columns: Mapping[str, Any], width: int, categorical: Any, np: Any) -> None:
    """Look at the nodes of all trees at once; a place in a tree is one within it."""
    nodes, counts = columns["nodes"], columns["nodes_counts"]
    _demand(_is_node(nodes, np) and (counts > 0).all(), "its nodes are of another form, or a tree has none")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1])) if len(counts) else counts
    tree = np.repeat(np.arange(len(counts)), counts).take(inner)
    place, bound = inner - starts.take(tree), counts.take(tree)
    for side in ("left", "right"):
        children = nodes[side].take(inner)
        _demand(((children > place) & (children < bound)).all(), "a tree has no such node")
    asked = nodes["feature_idx"].take(inner)
    _demand(((asked >= 0) & (asked < width)).all(), "a tree has no such feature")
    sets = np.flatnonzero(nodes["is_categorical"].take(inner))
    _demand(categorical[asked[sets]].all(), "a tree has categories of a feature without any")
    chosen = nodes["bitset_idx"].take(inner[sets])
    for name in COLUMNS[1:]:
        bits = columns[name]
        _demand(bits.dtype == np.uint32 and bits.shape[1:] == (_WORDS,), "its sets are of another form")
        held = columns[f"{name}_counts"].take(tree[sets])
        _demand((chosen < held).all(), "a tree has no such set of categories")
