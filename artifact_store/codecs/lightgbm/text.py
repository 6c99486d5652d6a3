"""LightGBM's text of a model, checked before LightGBM sees it, since its parser and its trees trust every number.

A text that parses can still name a feature or a child that is not there; predicting then reads foreign memory or never
ends. Here every tree has to be one: each node and each leaf reached exactly once from the root, each feature and each
set of categories inside of what there is. The format is that of ``Tree::ToString`` and
``GBDT::SaveModelToString`` in LightGBM 4.

That is what a text of any age has to be. One that was stored was written by LightGBM itself, letter by letter, and its
parser goes by the lengths and numbers in it without a look: so there every length and every number has to be one.

Most texts are what LightGBM writes of plain trees, and are found sound at once for all trees (:func:`_is_plain`). Any
other goes the longer way, tree by tree and line by line, which says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from artifact_store.errors import Corrupt

MAX_NUMBER: Final = (1 << 31) - 1

_LONGEST = len("-2147483648")
_CATEGORICAL = 1  # bit of decision_type
_KINDS: Final = 0xFF  # all of its bits
_HEAD: Final = "Tree="
_END: Final = "end of trees"
_SIZES: Final = re.compile(r"^tree_sizes=.*\n", re.MULTILINE)

_NUMBER = r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[-+]?[0-9]{1,3})?|inf|nan)"
_ONE: Final = re.compile(_NUMBER)
_ROW: Final = re.compile(rf"{_NUMBER}(?: {_NUMBER})*|")
_ANY_DIGIT: Final = str.maketrans("123456789", "000000000")
_COEFFICIENTS: Final = re.compile(rf" *+(?:{_NUMBER}(?: ++{_NUMBER})*+ *+)?")  # possessive: one way to read it
_RANGE = rf"(?:none|\[{_NUMBER}:{_NUMBER}\]|-?[0-9]+(?::-?[0-9]+)*)"
_RANGES: Final = re.compile(rf"{_RANGE}(?: {_RANGE})*")
_OBJECTIVE: Final = re.compile(rf"[a-z][a-z0-9_]*(?: [a-z][a-z0-9_]*(?::{_NUMBER})?)*")
_PARAMETER: Final = re.compile(r"\[[a-z][a-z0-9_]*: [^\n]*\]")
_NAMES: Final = re.compile(r"[^ \x00-\x1f\x7f]+(?: [^ \x00-\x1f\x7f]+)*")
_WORDS: Final = {"feature_names": _NAMES, "feature_infos": _RANGES, "objective": _OBJECTIVE}
_LOOSE: Final = frozenset({"leaf_features", "leaf_coeff"})
"""Rows with a group of numbers, perhaps none, for each leaf."""
_PARAMETERS: Final = ("parameters:", "end of parameters")
_PER_NODE: Final = ("split_gain", "internal_value", "internal_weight", "internal_count")
_PER_LEAF: Final = ("leaf_weight", "leaf_count")
_PLAIN: Final = (
    *("num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type", "left_child"),
    *("right_child", "leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count"),
    *("is_linear", "shrinkage"),
)
_PLAIN_TREE: Final = re.compile("".join([f"{_HEAD}[0-9]+\n", *(f"{name}=([^\n]*)\n" for name in _PLAIN), "\n*"]))
"""A tree without sets of categories and without linear models in its leaves, as LightGBM 4 writes it."""


def check_model_text(text: str, *, what: str) -> None:
    """Raise ``Corrupt`` unless the text describes trees that can be walked, and nothing outside of them.

    Not checked: whether the numbers at the splits and leaves are the right ones.
    """
    if "\0" in text or not text.startswith(("tree\n", "tree\r\n")):
        raise Corrupt(f"{what} holds no text of a LightGBM model")
    blocks = _blocks(text)
    head = next(blocks)
    try:
        features, per_iteration = _check_head(head)
        trees = list(blocks)
        for tree in trees:
            _check_tree(tree, features)
    except (ValueError, KeyError, IndexError) as error:
        raise Corrupt(f"{what} holds a LightGBM model whose text is damaged: {error}") from error
    if not trees or len(trees) % per_iteration:
        raise Corrupt(f"{what} holds a LightGBM model of {len(trees)} trees, {per_iteration} in each iteration")


def parsable(text: str, *, what: str) -> str:
    """Return the text, if :func:`check_written` finds no fault, in the form in which LightGBM's parser is most careful.

    Without the sizes of the trees it reads one tree after the other, and says what is wrong with one.
    """
    check_written(text, what=what)
    return _SIZES.sub("", text, count=1)


def check_written(text: str, *, what: str) -> None:
    """Raise ``Corrupt`` unless the text is one that LightGBM can have written, and passes :func:`check_model_text`.

    Every tree is where the head says, each row holds as many numbers as the tree needs, and what follows is whole.
    """
    if _is_plain(text):
        return
    check_model_text(text, what=what)
    if "\r" in text:
        raise Corrupt(f"{what} is not text that LightGBM writes: it holds a carriage return")
    try:
        head, trees, rest = _parts(text)
        _check_words(head)
        for tree in trees:
            _check_rows(tree.split("\n")[1:])
        _check_rest(rest)
    except (ValueError, KeyError, IndexError) as error:
        raise Corrupt(f"{what} is not text that LightGBM writes: {error}") from error


def _is_plain(text: str) -> bool:
    """Tell whether :func:`check_written` would find no fault, of trees that are all plain; if not, it has to look."""
    if "\0" in text or "\r" in text or not text.startswith("tree\n"):
        return False
    try:
        head, trees, rest = _parts(text)
        if head != next(_blocks(f"{text[: text.index(trees[0])]}{_END}\n")):
            return False
        features, per_iteration = _check_head(head)
        _check_words(head)
        _check_rest(rest)
        matches = list(map(_PLAIN_TREE.fullmatch, trees))
    except (Corrupt, ValueError, KeyError, IndexError):
        return False
    rows = [match.groups() for match in matches if match is not None]
    if not rows or len(rows) != len(trees) or len(rows) % per_iteration:
        return False
    return _are_plain(dict(zip(_PLAIN, zip(*rows, strict=True), strict=True)), features)


def _are_plain(rows: Mapping[str, Sequence[str]], features: int) -> bool:
    """Tell whether these rows, of all trees under each name, hold numbers, as many as each tree needs, of real trees.

    One digit is as good as another in a number, so only one of each shape is looked at.
    """
    every = " ".join(chain.from_iterable(rows.values()))
    if not all(map(_ONE.fullmatch, set(every.translate(_ANY_DIGIT).split(" ")))):
        return False
    leaves = rows["num_leaves"]
    if {*rows["num_cat"], *rows["is_linear"]} != {"0"} or not all(map(str.isdecimal, leaves)):
        return False
    if max(map(len, leaves)) > _LONGEST or any(" " in value for value in rows["shrinkage"]):
        return False
    nodes = [int(number) - 1 for number in leaves]
    per_leaf = {"leaf_value", *_PER_LEAF}
    for name in _PLAIN[2:-2]:
        one = name in per_leaf
        if [row.count(" ") + 1 for row in rows[name]] != [count + one for count in nodes]:
            return False
    used, kinds = (" ".join(rows[name]).split(" ") for name in ("split_feature", "decision_type"))
    if (
        not _are_below(used, features)
        or not _are_below(kinds, _KINDS + 1)
        or any(int(kind) & _CATEGORICAL for kind in set(kinds))
    ):
        return False
    return _are_grown(rows["left_child"], rows["right_child"], nodes)


def _are_below(numbers: Sequence[str], end: int) -> bool:
    """Tell whether these are whole numbers from 0 on, below ``end``."""
    return all(number.isdecimal() and len(number) <= _LONGEST and int(number) < end for number in set(numbers))


def _are_grown(left: Sequence[str], right: Sequence[str], counts: Sequence[int]) -> bool:
    """Tell whether each node and leaf is a child once, and each node behind its parent, as trees grow in LightGBM.

    Such nodes hang together; others may as well. ``counts`` are how many nodes each tree has, one at least.
    """
    import numpy as np

    texts = " ".join(chain(left, right)).split(" ")
    if max(map(len, texts)) > _LONGEST:
        return False
    try:
        children = np.array(list(map(int, texts)), np.int64).reshape(2, -1)
    except ValueError:  # another number than a whole one
        return False
    nodes = np.array(counts, np.int64)
    first = np.repeat(np.cumsum(nodes) - nodes, nodes)  # where the nodes of the tree of each node begin
    own, size = np.arange(len(first)) - first, np.repeat(nodes, nodes)
    if (children >= size).any() or (children < -size - 1).any() or ((children >= 0) & (children <= own)).any():
        return False
    is_node = children >= 0
    of_nodes = np.bincount((children + first)[is_node], minlength=len(first))
    leaves = first + np.repeat(np.arange(len(nodes)), nodes)  # where its leaves begin, of which there is one more
    of_leaves = np.bincount((leaves - children - 1)[~is_node], minlength=len(first) + len(nodes))
    return bool((of_nodes == (own > 0)).all() and (of_leaves == 1).all())


def words(row: str) -> list[str]:
    """Return the names in a row as LightGBM takes it apart: at spaces, and at no other white space."""
    return [word for word in row.split(" ") if word]


def _parts(text: str) -> tuple[dict[str, str], list[str], list[str]]:
    """Return the lines before the trees, the text of each tree, and the lines behind them."""
    start = text.index(f"\n{_HEAD}") + 1
    head = {name: value for name, _, value in (line.partition("=") for line in text[:start].split("\n"))}
    trees = []
    for number, size in enumerate(_numbers(head["tree_sizes"], len(head["tree_sizes"].split()))):
        block = text[start : start + size]
        if not block.startswith(f"{_HEAD}{number}\n") or not block.isascii() or block[-1:] != "\n":
            raise ValueError(f"tree {number} is not where it should be")
        trees.append(block)
        start += size
    if not text.startswith(f"{_END}\n", start) or not text.endswith("\n"):
        raise ValueError("the trees or the text end at the wrong place")
    return head, trees, text[start:].split("\n")[1:]


def _check_words(head: Mapping[str, str]) -> None:
    for name, value in head.items():
        if not _WORDS.get(name, _ROW).fullmatch(value) and name not in {"version", "tree"}:
            raise ValueError(f"{name[:40]} is {value[:40]!r}")
    if "monotone_constraints" in head:
        _numbers(head["monotone_constraints"], len(words(head["feature_names"])), low=-1)


def _check_rows(lines: list[str]) -> None:
    rows: dict[str, str] = {}
    for name, mark, value in (line.partition("=") for line in lines if line):
        if not mark or not (_COEFFICIENTS if name in _LOOSE else _ROW).fullmatch(value):
            raise ValueError(f"a tree has the line {name[:40]}={value[:40]}")
        rows[name] = value
    leaves = int(rows["num_leaves"])
    wanted = dict.fromkeys(_PER_NODE, leaves - 1) | dict.fromkeys(_PER_LEAF, leaves) | {"is_linear": 1}
    for name, count in wanted.items():
        found = len(rows[name].split())
        if found != count and (found or leaves > 1):
            raise ValueError(f"a tree of {leaves} leaves has {found} numbers as {name}")


def _check_rest(lines: list[str]) -> None:
    """Raise unless the parameters behind the trees are there from the first line to the last, or not at all."""
    if not any(mark in lines for mark in _PARAMETERS):  # a booster that was made of a text without any
        return
    begin, end = (lines.index(mark) for mark in _PARAMETERS)
    if not all(_PARAMETER.fullmatch(line) for line in lines[begin + 1 : end] if line):
        raise ValueError("its parameters are not valid")
    if begin > end or any(mark in lines[end + 1 :] for mark in (*_PARAMETERS, _END)):
        raise ValueError("its parameters are not in one place")


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """Yield the lines ``name=value`` before the first tree, then those of each tree."""
    block: dict[str, str] = {}
    for line in text.replace("\r", "\n").split("\n"):
        if line.startswith(_HEAD) or line.strip() == _END:
            yield block
            block = {}
            if line.strip() == _END:
                return
        name, _, value = line.partition("=")
        if name and name in block:
            raise Corrupt(f"the text of a LightGBM model says twice what {name[:40]!r} is")
        block[name] = value
    raise Corrupt("the text of a LightGBM model ends early")


def _check_head(head: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of features, and of trees in one iteration."""
    features = _number(head["max_feature_idx"]) + 1
    classes, per_iteration = _number(head["num_class"]), _number(head["num_tree_per_iteration"])
    if len(words(head["feature_names"])) != features or len(words(head["feature_infos"])) != features:
        raise ValueError(f"it has {features} features and other numbers of names or ranges")
    if not classes or not per_iteration or classes != per_iteration:
        raise ValueError(f"it has {classes} classes and {per_iteration} trees in each iteration")
    objective = head.get("objective", "").split()
    if any(part.startswith("num_class:") and part != f"num_class:{classes}" for part in objective):
        raise ValueError("its objective has another number of classes")
    return features, per_iteration


def _check_tree(tree: Mapping[str, str], features: int) -> None:
    leaves, categories = _number(tree["num_leaves"]), _number(tree["num_cat"])
    nodes = leaves - 1
    if not leaves or len(tree["leaf_value"].split()) != leaves:
        raise ValueError(f"a tree of {leaves} leaves has the wrong number of values")
    if nodes:
        split, kinds = (_numbers(tree[name], nodes) for name in ("split_feature", "decision_type"))
        if max(split) >= features or max(kinds) > _KINDS:
            raise ValueError(f"a tree uses feature {max(split)} of {features}")
        thresholds = tree["threshold"].split()
        if len(thresholds) != nodes:
            raise ValueError("a tree has other thresholds than nodes")
        _check_shape(*(_numbers(tree[name], nodes, low=-leaves) for name in ("left_child", "right_child")))
        sets = [float(value) for value, kind in zip(thresholds, kinds, strict=True) if kind & _CATEGORICAL]
        if not all(0 <= number < categories and number == int(number) for number in sets):
            raise ValueError("a tree uses a set of categories that does not exist")
    if categories:
        _check_categories(tree, categories)
    if _number(tree.get("is_linear", "0")):
        _check_linear(tree, leaves, features)


def _check_shape(left: list[int], right: list[int]) -> None:
    """Raise unless nodes and leaves hang together in one tree."""
    seen, found, waiting = set[int](), set[int](), [0]
    while waiting:
        node = waiting.pop()
        if node in seen:
            raise ValueError("a tree has a node with two parents")
        seen.add(node)
        for child in (left[node], right[node]):
            if child >= len(left):
                raise ValueError("a tree has a child beyond its nodes")
            if child < 0:
                found.add(child)
            else:
                waiting.append(child)
    if len(seen) != len(left) or len(found) != len(left) + 1:
        raise ValueError("a tree has nodes or leaves that cannot be reached")


def _check_categories(tree: Mapping[str, str], categories: int) -> None:
    bounds = _numbers(tree["cat_boundaries"], categories + 1)
    if bounds[0] or bounds != sorted(bounds) or bounds[-1] != len(tree["cat_threshold"].split()):
        raise ValueError("a tree has sets of categories that lie outside of what it has")


def _check_linear(tree: Mapping[str, str], leaves: int, features: int) -> None:
    sizes = _numbers(tree["num_features"], leaves)
    used, factors = tree["leaf_features"].split(), tree["leaf_coeff"].split()
    if len(used) != sum(sizes) or len(factors) != sum(sizes) or len(tree["leaf_const"].split()) != leaves:
        raise ValueError("a tree has other factors in its leaves than it says")
    if used and max(_numbers(tree["leaf_features"], len(used))) >= features:
        raise ValueError("a leaf uses a feature that does not exist")


def _number(text: str) -> int:
    return _numbers(text, 1)[0]


def _numbers(text: str, count: int, *, low: int = 0) -> list[int]:
    parts = text.split()
    if len(parts) != count or any(len(part) > 11 or not part.isascii() for part in parts):  # noqa: PLR2004 -- -2147483648
        raise ValueError(f"{len(parts)} numbers where {count} should be")
    numbers = [int(part) for part in parts]
    if min(numbers) < low or max(numbers) > MAX_NUMBER:
        raise ValueError(f"a number outside of {low} to {MAX_NUMBER}")
    return numbers
