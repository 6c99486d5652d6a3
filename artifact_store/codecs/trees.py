"""Nested dicts, lists and tuples of plain values as JSON, exactly as they are: ``FORMAT.md`` has the grammar, in 2.7.

Each class comes back as itself, or is refused with its path. What else a tree may hold (its *leaves*: tensors, arrays)
is up to whoever derives from these two classes. Lists and dicts that stand in two places become two.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from artifact_store.codecs.files import dotted, field
from artifact_store.codecs.json_arrays import plain_array, plain_float, read_array, read_float
from artifact_store.codecs.torch.versions import versions_of, with_versions
from artifact_store.core.ways_out import kept_instead
from artifact_store.errors import Corrupt, NotEncodable

MAX_DEPTH: Final = 13
"""Deepest nesting that is kept: JSON takes two levels for one of these, and the strict reader 32 in all."""
MAX_PARTS: Final = 5_000_000
"""Parts of a tree that are kept, leaves, values and containers: about what 64 MiB of JSON hold."""
MAX_BITS: Final = 8192
"""Of an integer; Python reads no more than 4300 digits."""
NUMBERS: Final = "biuf"
"""Kinds of scalars of numpy that stand in the tree itself."""
_KEY_BITS: Final = 64
"""Of an integer that is a key: the hashes of larger ones can be chosen to be equal, and then each is slower."""

_MAPPINGS: Final[dict[str, type]] = {"dict": dict, "ordered": OrderedDict, "counter": Counter}
_KINDS: Final = {kind: name for name, kind in _MAPPINGS.items()}


def is_key(key: object) -> bool:
    """Tell whether this can be a key: text, or an integer that is not too large."""
    return type(key) is str or (type(key) is int and key.bit_length() <= _KEY_BITS)


class TreePacker:
    """Makes JSON of a tree. ``leaves`` are those that it refers to by name, each of them once."""

    LEAVES: ClassVar[str] = ""
    """What messages call the leaves, with a comma behind it."""

    def __init__(self) -> None:
        self.leaves: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._parts = 0

    def pack(self, value: Any, where: str, name: str = "", depth: int = 0) -> Any:
        """Return ``value`` as JSON; ``where`` names it in errors, and its leaves get names that begin with ``name``.

        Raises:
            NotEncodable: there is something in it that would not come back as it is; the text has its path.
        """
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise NotEncodable(f"{where} is beyond the {MAX_PARTS:,} parts that are kept: make long lists arrays")
        kind = type(value)
        if kind in _SCALARS:
            return _SCALARS[kind](value, where)
        leaf = self._leaf(value, where, name)
        if leaf is not None:
            return leaf
        if kind in _KINDS or kind in (list, tuple):
            if depth == MAX_DEPTH:
                raise NotEncodable(f"{where} is nested deeper than {MAX_DEPTH} levels, or contains itself: flatten it")
            return self._mapping(value, where, name, depth) if kind in _KINDS else self._row(value, where, name, depth)
        if _is_number(value):
            return self._number(value, where)
        raise self._refusal(value, where)

    def _leaf(self, value: Any, where: str, name: str) -> dict[str, Any] | None:
        """Return a leaf as JSON, or nothing if the value is none."""
        del value, where, name
        return None

    def _number(self, value: Any, where: str) -> dict[str, Any]:
        if value.dtype.kind not in NUMBERS:
            raise self._refusal(value, where)
        return {"number": plain_array(value, where)}

    def _refusal(self, value: Any, where: str) -> NotEncodable:
        return NotEncodable(
            f"{where} is a {dotted(type(value))}, which would not come back as it is: {self._way_out(value)}. Kept are "
            f"{self.LEAVES}numbers, text, None, and lists, tuples, dicts, OrderedDicts and Counters of them"
        )

    def _way_out(self, value: Any) -> str:
        return kept_instead(value)

    def _named(self, value: Any, name: str = "") -> str:
        """Return the name of a leaf, which is that of the first place where it was."""
        known = self._names.get(id(value))
        if known is None:
            known = self._names[id(value)] = self._free(name)
            self.leaves[known] = value
        return known

    def _free(self, name: str) -> str:
        """Return a name that no other leaf has."""
        del name
        return f"arr_{len(self.leaves)}"

    def _row(self, value: Any, where: str, name: str, depth: int) -> Any:
        parts = [
            self.pack(part, f"{where}[{place}]", f"{name}/{place}" if name else str(place), depth + 1)
            for place, part in enumerate(value)
        ]
        return {"tuple": parts} if type(value) is tuple else parts

    def _mapping(self, value: Any, where: str, name: str, depth: int) -> dict[str, Any]:
        for attribute in getattr(value, "__dict__", {}):
            if attribute != "_metadata":
                raise NotEncodable(f"{where}.{attribute} is an attribute of a dict, and is not kept: delete it")
        pairs: list[Any] = []
        for key, part in value.items():
            inner = f"{where}[{key!r}]"
            if not is_key(key):
                kind = "beyond 64 bits" if type(key) is int else f"a {dotted(type(key))}"
                raise NotEncodable(f"{inner[:200]} has a key that is {kind}: use text or an integer")
            pairs.append(_SCALARS[type(key)](key, inner))
            pairs.append(self.pack(part, inner, f"{name}/{key}" if name else str(key), depth + 1))
        packed: dict[str, Any] = {_KINDS[type(value)]: pairs}
        versions = versions_of(value, where)
        return packed if versions is None else {**packed, "versions": versions}


def _integer(value: int, where: str) -> int:
    if value.bit_length() > MAX_BITS:
        raise NotEncodable(f"{where} is an integer of more than {MAX_BITS} bits: keep it as text, with hex(…)")
    return value


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotEncodable(
            f"{where} holds a lone surrogate, which is not valid text: keep it as a list of ord(…)"
        ) from error
    return value


def _real(value: float, where: str) -> Any:
    del where
    return value if math.isfinite(value) else {"float": plain_float(value)}


_SCALARS: Final[dict[type, Callable[[Any, str], Any]]] = {
    type(None): lambda value, _: value,
    bool: lambda value, _: value,
    int: _integer,
    float: _real,
    str: _text,
}


def _is_number(value: Any) -> bool:
    """Tell whether it is a scalar of numpy, which is not imported for that; an array without sides is none."""
    return any(dotted(kind) == "numpy.generic" for kind in type(value).__mro__)


# ---------------------------------------------------------------- reading


class TreeUnpacker:
    """Makes what a :class:`TreePacker` was given, of the JSON that it returned and the leaves that it named."""

    LEAF_KINDS: ClassVar[tuple[str, ...]] = ()
    """The fields of JSON that stand for a leaf."""

    def __init__(self, leaves: Mapping[str, Any] | None = None) -> None:
        self._leaves: Mapping[str, Any] = {} if leaves is None else leaves
        self._made: dict[str, tuple[Any, Any]] = {}

    def whole(self, record: Any, where: str) -> Any:
        """Return the tree; raise ``Corrupt`` if it is something else, or leaves a leaf out."""
        tree = self.unpack(record, where)
        if self._made.keys() != self._leaves.keys():
            raise Corrupt(f"{where} names {len(self._made)} of {len(self._leaves)} tensors or arrays that are stored")
        return tree

    def unpack(self, record: Any, where: str) -> Any:
        """Return what a value in JSON stands for; raise ``Corrupt`` if it stands for nothing."""
        if record is None or isinstance(record, bool | str | int | float):
            return record
        if isinstance(record, list):
            return [self.unpack(part, where) for part in record]
        if isinstance(record, dict):
            for kind, read in _READERS.items():
                if kind in record:
                    return read(self, record, kind, where)
            for kind in self.LEAF_KINDS:
                if kind in record:
                    return self._leaf(record, kind, where)
        raise invalid(record, where)

    def _leaf(self, record: dict[str, Any], kind: str, where: str) -> Any:
        """Return the leaf that a record with the field ``kind`` stands for."""
        del kind
        raise invalid(record, where)

    def _once(self, name: Any, record: dict[str, Any], where: str, make: Callable[[Any], Any]) -> Any:
        """Return the leaf of a name, which is made once, and stands for the same wherever it is named."""
        if not isinstance(name, str) or name not in self._leaves:
            raise invalid(record, where)
        if name not in self._made:
            self._made[name] = (record, make(self._leaves[name]))
        known, made = self._made[name]
        if known != record:
            raise Corrupt(f"{where} is recorded as {str(record)[:60]!r}, and elsewhere as {str(known)[:60]!r}")
        return made

    def pair_up(self, record: dict[str, Any], kind: str, where: str) -> Any:
        """Return the dict that a record of keys and values stands for."""
        only(record, where, kind, "versions")
        flat = field(record, kind, list)
        keys, parts = flat[::2], flat[1::2]
        if len(keys) != len(parts) or not all(map(is_key, keys)) or len({*keys}) != len(keys):
            raise Corrupt(f"{where} is recorded with keys and values that are not pairs, or a key twice")
        pairs = {key: self.unpack(part, f"{where}/{key}"[:200]) for key, part in zip(keys, parts, strict=True)}
        if kind == "ordered" and "versions" in record:
            return with_versions(pairs, record["versions"], where)
        only(record, where, kind)
        return _MAPPINGS[kind](pairs)


def _tuple(reader: TreeUnpacker, record: dict[str, Any], kind: str, where: str) -> Any:
    only(record, where, kind)
    return tuple(reader.unpack(part, where) for part in field(record, kind, list))


def _float(_: TreeUnpacker, record: dict[str, Any], kind: str, where: str) -> Any:
    only(record, where, kind)
    return float(read_float(field(record, kind, str), where))


def _read_number(_: TreeUnpacker, record: dict[str, Any], kind: str, where: str) -> Any:
    only(record, where, kind)
    array = read_array(record[kind], where)
    if array.shape != ():
        raise invalid(record, where)
    return array[()]


_READERS: Final[dict[str, Callable[[TreeUnpacker, dict[str, Any], str, str], Any]]] = {
    **dict.fromkeys(_MAPPINGS, TreeUnpacker.pair_up),
    "tuple": _tuple,
    "float": _float,
    "number": _read_number,
}


def only(record: dict[str, Any], where: str, *allowed: str) -> None:
    """Raise ``Corrupt`` for a record that has other fields than these."""
    if not record.keys() <= {*allowed}:
        raise invalid(record, where)


def invalid(record: Any, where: str) -> Corrupt:
    """Return the error for a record that stands for nothing."""
    return Corrupt(f"{where} is recorded as {str(record)[:60]!r}, which is not valid")
