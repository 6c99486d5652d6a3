"""XGBoost's own file of a model: UBJSON as XGBoost writes it, and nothing else.

Lengths and keys are int64, arrays of numbers are ``[$type#length`` and big-endian, keys in the order of their bytes.
The trees are most of a file, and each is laid out alike; they are read along that layout, into the columns that the
check needs and no others.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, Final

MAX_DEPTH: Final = 12
"""Deepest nesting that is read: XGBoost writes eight."""
_COUNT = b"L"
_WIDTHS: Final = {b"d": 4, b"D": 8, b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8}
_DTYPES: Final = {b"d": ">f4", b"D": ">f8", b"i": "i1", b"U": "u1", b"I": ">i2", b"l": ">i4", b"L": ">i8"}
_INTEGERS: Final = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}


def _key(name: str) -> bytes:
    return _COUNT + len(name).to_bytes(8, "big") + name.encode()


_BEFORE_ID: Final = (
    ("base_weights", b"d"),
    ("categories", b"l"),
    ("categories_nodes", b"l"),
    ("categories_segments", b"L"),
    ("categories_sizes", b"L"),
    ("default_left", b"U"),
)
_LEAF_WEIGHTS: Final = ("leaf_weights", b"d")
_BEHIND_ID: Final = (
    ("left_children", b"l"),
    ("loss_changes", b"d"),
    ("parents", b"l"),
    ("right_children", b"l"),
    ("split_conditions", b"d"),
    ("split_indices", b"l"),
    ("split_type", b"U"),
    ("sum_hessian", b"d"),
)
COLUMNS: Final = {name: _DTYPES[kind] for name, kind in (*_BEFORE_ID, _LEAF_WEIGHTS, *_BEHIND_ID)}
"""What a tree is made of, and the dtypes."""
KEPT: Final = (
    "left_children",
    "parents",
    "right_children",
    "split_indices",
    "split_type",
    *("categories", "categories_nodes", "categories_segments", "categories_sizes"),
)
"""The columns of which the bytes are kept, since native code follows what is in them."""
_PER_NODE: Final = ("default_left", *(name for name, _ in _BEHIND_ID))
_GAPS: Final = {name: ("{1}" if kind == b"U" else "{0}") + ("s" if name in KEPT else "x") for name, kind in _BEHIND_ID}
PARAMETERS: Final = ("num_deleted", "num_feature", "num_nodes", "size_leaf_vector")


def _layout(columns: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes, int], ...]:
    return tuple((name, _key(name) + b"[$" + kind + b"#L", _WIDTHS[kind]) for name, kind in columns)


_FIRST, _LEAVES, _SECOND = _layout(_BEFORE_ID), _layout((_LEAF_WEIGHTS,)), _layout(_BEHIND_ID)
_LEAF_MARK: Final = _key("leaf_weights")
_ID: Final = _key("id")
_PARAM: Final = _key("tree_param") + b"{"
_PARAMETER_KEYS: Final = tuple(_key(name) + b"SL" for name in PARAMETERS)
_START: Final = b"{" + _FIRST[0][1]
_PLAIN_TO_ID: Final = sum(len(mark) + 8 for _, mark, _ in _FIRST[1:]) + len(_ID)
"""From the end of the weights of a tree without categories to its id, but for one byte for each node."""
_ID_KINDS: Final = (b"i", b"I", b"l")
_AHEAD: Final = (_START, b"".join(mark + bytes(8) for _, mark, _ in _FIRST[1:5]) + _FIRST[5][1])
_BEHIND: Final = tuple(mark for _, mark, _ in _SECOND)
_PLAIN_LAYOUT: Final = "".join(
    (
        f">{len(_AHEAD[0]) + 8}s{{0}}x{len(_AHEAD[1]) + 8}s{{1}}x{len(_ID) + 1}s{{2}}s",
        *(f"{len(mark) + 8}s{_GAPS[name]}" for name, mark, _ in _SECOND),
        "{3}s",
    )
)
"""The ``struct`` of a tree without categories: marks, and the columns between them."""


@dataclass(slots=True)
class Trees:
    """The trees of a file by column: what they hold one after the other, and how much of it each of them has."""

    shapes: list[tuple[int, ...]] = field(default_factory=list)
    """Of each tree what :data:`SHAPE` says."""
    features: set[str] = field(default_factory=set)
    """How many features they say that there are."""
    pieces: dict[str, list[bytes]] = field(default_factory=lambda: {name: [] for name in KEPT})

    def column(self, name: str, np: Any) -> Any:
        """Return the values of all trees."""
        return np.frombuffer(b"".join(self.pieces[name]), COLUMNS[name])


class UBJSONReader:
    """Reads one document; what is not in the form of XGBoost's writer raises ``ValueError``."""

    def __init__(self, data: bytes, np: Any) -> None:
        self._data, self._at, self._np = data, 0, np

    def document(self) -> dict[str, Any]:
        """Return the one object that all bytes are. An array of ``trees`` comes back as :class:`Trees`."""
        found = self._value(MAX_DEPTH)
        if self._at != len(self._data) or not isinstance(found, dict):
            raise ValueError("it goes on behind its end, or is no object")
        return found

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if not 0 <= count <= len(self._data) or end > len(self._data):
            raise ValueError("it ends early")
        part = self._data[self._at : end]
        self._at = end
        return part

    def _length(self) -> int:
        if self._take(1) != _COUNT:
            raise ValueError("a length that is no int64")
        return int.from_bytes(self._take(8), "big")

    def _text(self) -> str:
        return self._take(self._length()).decode("utf-8")

    def _value(self, depth: int) -> Any:
        kind = self._take(1)
        if kind == b"S":
            return self._text()
        if kind == b"{" and depth:
            return self._object(depth - 1)
        if kind == b"[" and depth:
            return self._array(depth - 1)
        if kind in _INTEGERS:
            return struct.unpack(_INTEGERS[kind], self._take(_WIDTHS[kind]))[0]
        if kind in {b"d", b"D"}:
            return struct.unpack(">" + ("f" if kind == b"d" else "d"), self._take(_WIDTHS[kind]))[0]
        plain = {b"T": True, b"F": False, b"Z": None}
        if kind not in plain:
            raise ValueError(f"a value of the kind {kind!r}")
        return plain[kind]

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._data[self._at : self._at + 1] != b"}":
            name = self._text()
            if name in found:
                raise ValueError(f"it says twice what {name[:40]!r} is")
            found[name] = self._trees() if name == "trees" else self._value(depth)
        self._at += 1
        return found

    def _array(self, depth: int) -> Any:
        mark = self._take(1)
        if mark == b"#":
            count = self._length()
            if count > len(self._data):
                raise ValueError("an array longer than the file")
            return [self._value(depth) for _ in range(count)]
        kind = self._take(1)
        if mark != b"$" or kind not in _WIDTHS or self._take(1) != b"#":
            raise ValueError("an array without its kind and length")
        return self._np.frombuffer(self._take(self._length() * _WIDTHS[kind]), _DTYPES[kind])

    # ------------------------------------------------------------ trees

    def _trees(self) -> Trees:
        if self._take(2) != b"[#":
            raise ValueError("its trees are no array")
        found, plain = Trees(), dict[tuple[int, bytes], Plain]()
        for _ in range(self._length()):
            if not (found.features and self._plain_tree(found, plain)):
                self._tree(found)
        return found

    def _plain_tree(self, trees: Trees, known: dict[tuple[int, bytes], Plain]) -> bool:
        """Read a tree of one value for each leaf and without categories, which most are, in one go if it is one."""
        at = self._at + len(_START)
        nodes = int.from_bytes(self._data[at : at + 8], "big")
        at += 8 + 4 * nodes + _PLAIN_TO_ID + nodes
        id_kind = self._data[at : at + 1]
        plain = known.get((nodes, id_kind))
        if plain is None:
            if not nodes or len(trees.features) != 1 or id_kind not in _ID_KINDS or at > len(self._data):
                return False
            plain = known[nodes, id_kind] = Plain.of(nodes, id_kind, next(iter(trees.features)))
        if self._at + plain.layout.size > len(self._data):
            return False
        a, b, c, own, d, left, e, f, parents, g, right, h, i, asked, j, kinds, k, m = plain.layout.unpack_from(
            self._data, self._at
        )
        if (a, b, c, d, e, f, g, h, i, j, k, m) != plain.marks:
            return False
        if int.from_bytes(own, "big") != len(trees.shapes):
            return False
        pieces = trees.pieces
        pieces["left_children"].append(left)
        pieces["parents"].append(parents)
        pieces["right_children"].append(right)
        pieces["split_indices"].append(asked)
        pieces["split_type"].append(kinds)
        trees.shapes.append(plain.shape)
        self._at += plain.layout.size
        return True

    def _tree(self, trees: Trees) -> None:
        data, at, sizes = self._data, self._at, dict[str, int]()
        if data[at : at + 1] != b"{":
            raise ValueError("a tree is no object")
        at = _columns(data, at + 1, _FIRST, trees, sizes)
        if data[at : at + len(_ID)] != _ID or data[at + len(_ID) : at + len(_ID) + 1] not in _ID_KINDS:
            raise ValueError("a tree without an id")
        at += len(_ID) + 1
        width = _WIDTHS[data[at - 1 : at]]
        if int.from_bytes(data[at : at + width], "big") != len(trees.shapes):
            raise ValueError("a tree with the id of another one")  # XGBoost puts it there
        at += width
        if data[at : at + len(_LEAF_MARK)] == _LEAF_MARK:
            at = _columns(data, at, _LEAVES, trees, sizes)
        at = _columns(data, at, _SECOND, trees, sizes)
        if data[at : at + len(_PARAM)] != _PARAM:
            raise ValueError("a tree without parameters")
        at += len(_PARAM)
        numbers = {}
        for name, key in zip(PARAMETERS, _PARAMETER_KEYS, strict=True):
            start = at + len(key) + 8
            if data[at : at + len(key)] != key:
                raise ValueError("a tree has other parameters than XGBoost writes")
            at = start + int.from_bytes(data[start - 8 : start], "big")
            numbers[name] = number_of(data[start:at].decode("ascii"))
        if data[at : at + 2] != b"}}":
            raise ValueError("a tree goes on behind its end")
        trees.shapes.append(_shape(sizes, numbers["num_nodes"], numbers["num_deleted"], numbers["size_leaf_vector"]))
        trees.features.add(str(numbers["num_feature"]))
        self._at = at + 2


SHAPE: Final = ("nodes", "deleted", "width", "leaf_values", "sets", "codes")
"""Of a tree: its nodes, those that are deleted, values of a leaf and in ``leaf_weights``, sets of categories, and
categories in these."""


@dataclass(frozen=True, slots=True)
class Plain:
    """Where everything is in a tree of so many nodes, with one value for each leaf and no categories."""

    layout: struct.Struct
    marks: tuple[bytes, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, nodes: int, id_kind: bytes, features: str) -> Plain:
        """Lay a tree out."""
        count = nodes.to_bytes(8, "big")
        numbers = (b"0", features.encode(), str(nodes).encode(), b"1")
        texts = [key + _size(text) + text for key, text in zip(_PARAMETER_KEYS, numbers, strict=True)]
        parameters = _PARAM + b"".join(texts) + b"}}"
        marks = (*(mark + count for mark in _AHEAD), _ID + id_kind, *(mark + count for mark in _BEHIND), parameters)
        layout = _PLAIN_LAYOUT.format(4 * nodes, nodes, _WIDTHS[id_kind], len(parameters))
        return cls(struct.Struct(layout), marks, (nodes, 0, 1, 0, 0, 0))


def number_of(text: str, *, most: int = (1 << 31) - 1) -> int:
    """Return the number that a text is, or raise ``ValueError`` if it is none, or more than ``most``."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
        raise ValueError(f"the number {text[:40]!r}")
    return int(text)


def _size(text: bytes) -> bytes:
    return len(text).to_bytes(8, "big")


def _shape(sizes: dict[str, int], nodes: int, deleted: int, width: int) -> tuple[int, ...]:
    """Return the shape of a tree; refuse one of which the columns are not as long as it says."""
    if nodes < 1 or width < 1 or any(sizes[name] != nodes for name in _PER_NODE):
        raise ValueError("a tree has other columns than nodes")
    if sizes["base_weights"] != nodes * width:
        raise ValueError("a tree has other weights than nodes")
    sets = sizes["categories_nodes"]
    if sizes["categories_segments"] != sets or sizes["categories_sizes"] != sets:
        raise ValueError("a tree has other sets of categories than nodes with one")
    return nodes, deleted, width, sizes.get("leaf_weights", 0), sets, sizes["categories"]


def _columns(
    data: bytes, at: int, layout: tuple[tuple[str, bytes, int], ...], trees: Trees, sizes: dict[str, int]
) -> int:
    """Read columns of one tree from ``at`` on, and return where they end."""
    for name, mark, width in layout:
        start = at + len(mark) + 8
        if data[at : start - 8] != mark:
            raise ValueError(f"a tree has something else in the place of its {name}")
        sizes[name] = int.from_bytes(data[start - 8 : start], "big")
        at = start + sizes[name] * width
        if at > len(data):
            raise ValueError(f"a tree ends in its {name}")
        if name in trees.pieces:
            trees.pieces[name].append(data[start:at])
    return at
