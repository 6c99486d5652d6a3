"""Nested dicts, lists and tuples of tensors and plain values as JSON and named tensors, exactly as they are.

Stricter than :mod:`.trees`, which keeps what our own code has made: here each class comes back as itself, or is
refused with its path. One tensor that stands in two places is one tensor again, with the same name in both. Lists and
dicts that stand in two places become two.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from artifact_store.codecs.files import dotted, field
from artifact_store.codecs.json_arrays import plain_array, plain_float, read_array, read_float
from artifact_store.codecs.torch.trees import is_key
from artifact_store.codecs.torch.versions import versions_of, with_versions
from artifact_store.errors import Corrupt, NotEncodable

MAX_DEPTH: Final = 13
"""Deepest nesting that is kept: JSON takes two levels for one of these, and the strict reader 32 in all."""
MAX_PARTS: Final = 5_000_000
"""Parts of a tree that are kept, tensors, values and containers: about what 64 MiB of JSON hold."""
MAX_BITS: Final = 8192
"""Of an integer; Python reads no more than 4300 digits."""

_MAPPINGS: Final[dict[str, type]] = {"dict": dict, "ordered": OrderedDict, "counter": Counter}
_KINDS: Final = {kind: name for name, kind in _MAPPINGS.items()}
_RESERVED: Final = "__metadata__"
_WAYS_OUT: Final = {
    "numpy.ndarray": "make it a tensor with torch.from_numpy(…)",
    "torch.Size": "make it a tuple(…)",
    "torch.dtype": "keep its str(…)",
    "torch.device": "keep its str(…)",
}


class Packer:
    """What is found on the way through a tree: tensors by name, those of one object once."""

    LEAVES: ClassVar[str] = "tensors"
    """What messages call the leaves that have names."""

    def __init__(self, tensor: type, parameter: type) -> None:
        """Take the classes ``torch.Tensor`` and ``torch.nn.Parameter``."""
        self.tensors: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._parts = 0
        self._tensor, self._parameter = tensor, parameter

    def pack(self, value: Any, where: str, name: str = "", depth: int = 0) -> Any:
        """Return ``value`` as JSON; ``where`` names it in errors, and its tensors get names that begin with ``name``.

        Raises:
            NotEncodable: there is something in it that would not come back as it is; the text has its path.
        """
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise NotEncodable(f"{where} is beyond the {MAX_PARTS:,} parts that are kept: make long lists tensors")
        if isinstance(value, self._tensor):
            return self._leaf(value, where, name)
        kind = type(value)
        if kind in _SCALARS:
            return _SCALARS[kind](value, where)
        if kind in _KINDS or kind in (list, tuple):
            if depth == MAX_DEPTH:
                raise NotEncodable(f"{where} is nested deeper than {MAX_DEPTH} levels, or contains itself: flatten it")
            return self._mapping(value, where, name, depth) if kind in _KINDS else self._row(value, where, name, depth)
        if _is_number(value):
            return self._number(value, where, name)
        raise NotEncodable(
            f"{where} is a {dotted(kind)}, which would not come back as it is: {self._way_out(value)}. Kept are "
            f"{self.LEAVES}, numbers, text, None, and lists, tuples, dicts, OrderedDicts and Counters of them"
        )

    def _number(self, value: Any, where: str, name: str) -> dict[str, Any]:
        del name
        return {"number": plain_array(value, where)}

    def _way_out(self, value: Any) -> str:
        known = _WAYS_OUT.get(dotted(type(value)))
        if known is None:
            bases = [kind.__name__ for kind in (*_SCALARS, *_KINDS, list, tuple) if isinstance(value, kind)]
            known = f"make it a plain {bases[-1]}" if bases else "leave it out, or keep what it is made of"
        return known

    def _leaf(self, value: Any, where: str, name: str) -> dict[str, Any]:
        del where
        known = self._named(value, name)
        kind = "parameter" if type(value) is self._parameter else "tensor"
        return {kind: known, **({"requires_grad": True} if value.requires_grad else {})}

    def _named(self, value: Any, name: str) -> str:
        """Return the name of a leaf, which is that of the first place where it was."""
        known = self._names.get(id(value))
        if known is None:
            known = self._names[id(value)] = self._free(name or "tensor")
            self.tensors[known] = value
        return known

    def _free(self, name: str) -> str:
        """Return a name that no other tensor has; it only has to be one, but is the path where that is possible."""
        free, count = name, 1
        while free in self.tensors or free == _RESERVED:
            count += 1
            free = f"{name}#{count}"
        return free

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


class Unpacker:
    """Make what a :class:`Packer` was given, of the JSON that it returned and the tensors that it named."""

    def __init__(self, tensors: Mapping[str, Any], parameter: Callable[..., Any]) -> None:
        """Take the tensors by name, and the class ``torch.nn.Parameter``."""
        self._tensors, self._parameter = tensors, parameter
        self._made: dict[str, tuple[Any, Any]] = {}

    def whole(self, record: Any, where: str) -> Any:
        """Return the tree; raise ``Corrupt`` if it is something else, or leaves a tensor out."""
        tree = self._unpack(record, where)
        if self._made.keys() != self._tensors.keys():
            raise Corrupt(f"{where} names {len(self._made)} of {len(self._tensors)} tensors that are stored")
        return tree

    def _unpack(self, record: Any, where: str) -> Any:
        if record is None or isinstance(record, bool | str | int | float):
            return record
        if isinstance(record, list):
            return [self._unpack(part, where) for part in record]
        if isinstance(record, dict):
            for kind, read in self._READERS.items():
                if kind in record:
                    return read(self, record, kind, where)
        raise invalid(record, where)

    def _pair_up(self, record: dict[str, Any], kind: str, where: str) -> Any:
        _only(record, where, kind, "versions")
        flat = field(record, kind, list)
        keys, parts = flat[::2], flat[1::2]
        if len(keys) != len(parts) or not all(map(is_key, keys)) or len({*keys}) != len(keys):
            raise Corrupt(f"{where} is recorded with keys and values that are not pairs, or a key twice")
        pairs = {key: self._unpack(part, f"{where}/{key}"[:200]) for key, part in zip(keys, parts, strict=True)}
        if kind == "ordered" and "versions" in record:
            return with_versions(pairs, record["versions"], where)
        _only(record, where, kind)
        return _MAPPINGS[kind](pairs)

    def _tuple(self, record: dict[str, Any], kind: str, where: str) -> Any:
        _only(record, where, kind)
        return tuple(self._unpack(part, where) for part in field(record, kind, list))

    def _leaf(self, record: dict[str, Any], kind: str, where: str) -> Any:
        _only(record, where, kind, "requires_grad")
        name, grad = field(record, kind, str), record.get("requires_grad", False)
        if name not in self._tensors or type(grad) is not bool:
            raise invalid(record, where)
        if name not in self._made:
            self._made[name] = (record, self._with_grad(self._tensors[name], kind, where, grad=grad))
        known, made = self._made[name]
        if known != record:
            raise Corrupt(f"{where} is recorded as {str(record)[:60]!r}, and elsewhere as {str(known)[:60]!r}")
        return made

    def _with_grad(self, tensor: Any, kind: str, where: str, *, grad: bool) -> Any:
        if grad and not (tensor.is_floating_point() or tensor.is_complex()):
            raise Corrupt(f"{where} is recorded with a gradient, and is not made of floats")
        return self._parameter(tensor, requires_grad=grad) if kind == "parameter" else tensor.requires_grad_(grad)

    def _float(self, record: dict[str, Any], kind: str, where: str) -> Any:
        _only(record, where, kind)
        return float(read_float(field(record, kind, str), where))

    def _number(self, record: dict[str, Any], kind: str, where: str) -> Any:
        _only(record, where, kind)
        array = read_array(record[kind], where)
        if array.shape != ():
            raise invalid(record, where)
        return array[()]

    _READERS: ClassVar[dict[str, Callable[[Unpacker, dict[str, Any], str, str], Any]]] = {
        **dict.fromkeys(_MAPPINGS, _pair_up),
        **dict.fromkeys(("tensor", "parameter"), _leaf),
        "tuple": _tuple,
        "float": _float,
        "number": _number,
    }


def _only(record: dict[str, Any], where: str, *allowed: str) -> None:
    if not record.keys() <= {*allowed}:
        raise invalid(record, where)


def invalid(record: Any, where: str) -> Corrupt:
    """Return the error for a record that stands for nothing."""
    return Corrupt(f"{where} is recorded as {str(record)[:60]!r}, which is not valid")
