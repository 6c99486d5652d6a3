"""Checkpoints that ``torch.save`` wrote, both as a zip and in the older form of one pickle behind the other.

Stricter than ``torch.load(weights_only=True)``, and in need of nothing from it: the pickle is read by our own
unpickler over a fixed list of names, and tensors are views into the raw bytes of their storages, whose sizes were
compared with what is there. So nothing that another part of the program allows torch to load is allowed here, and
threads do not share a list. Tensors that shared memory share it again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from artifact_store.errors import Corrupt
from artifact_store.legacy.formats.zip import read_entries
from artifact_store.legacy.libraries import old_form_library
from artifact_store.legacy.pickle_reader import names
from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits
from artifact_store.legacy.pickle_reader.machine import Machine
from artifact_store.legacy.pickle_reader.plain import plain_dict
from artifact_store.legacy.pickle_reader.stubs import Name, refused, within

_ZIP: Final = b"PK\x03\x04"
_MAGIC: Final = 0x1950A86A20F9469CFC6C
_VERSION: Final = 1001

_STORAGES: Final = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
_SEPARATOR: Final = "/"  # of a zip, on every platform
_ITEMSIZE: Final = dict(zip(_STORAGES.values(), (8, 4, 2, 2, 8, 4, 2, 1, 1, 1, 8, 16), strict=True))
_TENSOR: Final = Name("torch._utils", "_rebuild_tensor_v2")
_PARAMETER: Final = Name("torch._utils", "_rebuild_parameter")
_SIZE: Final = Name("torch", "Size")
_TORCH: Final = {
    (name.module, name.name): name
    for name in (_TENSOR, _PARAMETER, _SIZE, *(Name("torch", storage) for storage in _STORAGES))
}
_MODULES: Final = re.compile(r"numpy|numpy\._?core\.\w+|datetime|collections|_codecs|builtins|__builtin__")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An old checkpoint: the tensors of the network by name, and what stood beside them as plain JSON values."""

    state: Mapping[str, Any]
    config: Mapping[str, Any]
    """What the network was built from (``model_config``)."""
    training_config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    """Everything else: feature names, losses, symbol, ..."""
    omitted: tuple[str, ...] = ()
    """Names of what is neither, such as the state of an optimizer."""


def read_checkpoint(data: bytes, *, what: str, limits: Limits = LIMITS) -> Checkpoint:
    """Return the checkpoint: a dict around a state dict, or a bare state dict."""
    found = read_torch(data, what=what, limits=limits)
    if not isinstance(found, dict):
        raise Corrupt(f"{what} holds a {type(found).__name__}, not the state of a network")
    rest = dict(found)
    state = _taken(rest, "model_state_dict", "state_dict")
    if state is None:
        state, rest = rest, {}
    torch = old_form_library("torch", "torch")
    if not state or not all(isinstance(name, str) and isinstance(part, torch.Tensor) for name, part in state.items()):
        raise Corrupt(f"{what} has no state of a network: tensors by name, perhaps in 'model_state_dict'")
    config, no_config = plain_dict(_taken(rest, "model_config", "config") or {})
    training, no_training = plain_dict(_taken(rest, "training_config") or {})
    metadata, omitted = plain_dict(rest)
    return Checkpoint(dict(state), config, training, metadata, (*omitted, *no_config, *no_training))


def _taken(rest: dict[Any, Any], *names: str) -> dict[Any, Any] | None:
    """Return the first of these entries that is a dict, and take it out."""
    return next((rest.pop(name) for name in names if isinstance(rest.get(name), dict)), None)


def read_torch(data: bytes, *, what: str, limits: Limits = LIMITS) -> Any:
    """Return what ``torch.save`` was given, with tensors on the CPU that need no gradient."""
    old_form_library("torch", "torch")
    with within(what):
        return (_from_zip if data.startswith(_ZIP) else _from_stream)(data, what, limits)


# ---------------------------------------------------------------- the two forms


def _from_zip(data: bytes, what: str, limits: Limits) -> Any:
    entries = read_entries(data, what=what, limits=limits)
    root = next(iter(entries), "").partition(_SEPARATOR)[0]
    pickled = entries.pop(_SEPARATOR.join((root, "data.pkl")), None)
    if pickled is None:
        raise Corrupt(f"{what} is a zip archive without a data.pkl: not a checkpoint")
    if entries.get(_SEPARATOR.join((root, "byteorder")), b"little") != b"little":
        raise refused(what, "was written on a machine of the other byte order")
    storages: dict[str, _Storage] = {}

    def make(key: str, dtype: str, count: int) -> _Storage:
        content = entries.get(_SEPARATOR.join((root, "data", key)), b"")
        if len(content) != count * _ITEMSIZE[dtype]:
            raise Corrupt(f"{what} has a storage of another size than its tensors say")
        storage = _Storage(dtype, count)
        storage.fill(content, what)
        return storage

    machine = _machine(pickled, what, limits, lambda identity: _storage(storages, identity, 5, make, what))
    found = machine.load()
    machine.finish()
    return found


def _from_stream(data: bytes, what: str, limits: Limits) -> Any:
    """Read the form before torch 1.6: five pickles, and behind them the storages in the order of the last one."""
    storages: dict[str, _Storage] = {}

    def make(_: str, dtype: str, count: int) -> _Storage:
        if count * _ITEMSIZE[dtype] > len(data) - sum(storage.size for storage in storages.values()):
            raise Corrupt(f"{what} announces more tensors than it has bytes")
        return _Storage(dtype, count)

    machine = _machine(data, what, limits, lambda identity: _storage(storages, identity, 6, make, what))
    if machine.load() != _MAGIC or machine.load() != _VERSION or not isinstance(machine.load(), dict):
        raise Corrupt(f"{what} is not a checkpoint: it does not begin as torch.save begins")
    found, order = machine.load(), machine.load()
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(storages):
        raise Corrupt(f"{what} does not have the storages that its tensors use")
    for key in order:
        storage = storages[key]
        if int.from_bytes(machine.take(8), "little") != storage.count:
            raise Corrupt(f"{what} has a storage of another size than its tensors say")
        storage.fill(machine.take(storage.size), what)
    machine.finish()
    return found


def _machine(data: bytes, what: str, limits: Limits, persistent: Callable[[Any], Any]) -> Machine:
    return Machine(data, what=what, limits=limits, find=_find, call=_call, persistent=persistent)


def _find(what: str, module: Any, name: Any) -> Name:
    if isinstance(module, str) and isinstance(name, str):
        if (module, name) in _TORCH:
            return _TORCH[module, name]
        if not _MODULES.fullmatch(module):
            raise refused(what, f"names {module[:100]}.{name[:100]}")
    return names.find_name(what, module, name)


def _call(what: str, function: Any, args: Any) -> Any:
    if function == _TENSOR and isinstance(args, tuple):
        return _tensor(what, args)
    if function == _PARAMETER and isinstance(args, tuple) and args:
        return args[0]
    if function == _SIZE and isinstance(args, tuple) and len(args) == 1 and isinstance(args[0], tuple):
        return args[0]
    return names.call_name(what, function, args)


def _storage(
    known: dict[str, _Storage], identity: Any, length: int, make: Callable[[str, str, int], _Storage], what: str
) -> _Storage:
    """Return the storage that ``("storage", class, key, device, elements, ...)`` describes, alike each time."""
    if not isinstance(identity, tuple) or len(identity) != length or identity[0] != "storage":
        raise refused(what, "has a persistent id, which refers to data outside of it")
    kind, key, _device, count = identity[1:5]
    if identity[5:] not in ((), (None,)):
        raise refused(what, "has a storage that is a view of another one")
    dtype = _STORAGES.get(kind.name) if isinstance(kind, Name) and kind.module == "torch" else None
    if dtype is None or not isinstance(key, str) or type(count) is not int or not 0 <= count < 1 << 48:
        raise Corrupt(f"{what} has a storage that is not described by class, key and size")
    if key not in known:
        known[key] = make(key, dtype, count)
    if (dtype, count) != (known[key].dtype, known[key].count):
        raise Corrupt(f"{what} describes one storage in two ways")
    return known[key]


# ---------------------------------------------------------------- tensors


class _Storage:
    """The memory of one or more tensors: known when the pickle is read, and perhaps filled later."""

    def __init__(self, dtype: str, count: int) -> None:
        torch = old_form_library("torch", "torch")
        self.dtype = dtype
        self.count = count
        self.size = count * _ITEMSIZE[dtype]
        self.memory = bytearray(self.size)
        kind = getattr(torch, dtype)
        self.flat = torch.frombuffer(self.memory, dtype=kind) if count else torch.empty(0, dtype=kind)

    def fill(self, content: bytes, what: str) -> None:
        """Put the bytes into the memory, in which tensors may already lie."""
        if self.dtype == "bool" and content.strip(b"\x00\x01"):
            raise Corrupt(f"{what} has a tensor of booleans that are neither true nor false")
        self.memory[:] = content


def _tensor(what: str, args: tuple[Any, ...]) -> Any:
    """Return the view into a storage that ``_rebuild_tensor_v2`` makes, if it lies inside and covers no place twice."""
    if len(args) not in (6, 7) or not isinstance(args[0], _Storage) or args[5] or args[6:] not in ((), (None,), ({},)):
        raise refused(what, "makes a tensor that is more than its numbers")
    storage, offset, size, stride = args[:4]
    if not (type(offset) is int and _sizes(size) and _sizes(stride) and len(size) == len(stride)):
        raise Corrupt(f"{what} has a tensor without a usable shape")
    count = math.prod(size)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if offset < 0 or count > storage.count or (count and not offset <= last < storage.count):
        raise Corrupt(f"{what} has a tensor that lies outside of its storage")
    return storage.flat.as_strided(size, stride, offset) if count else storage.flat.new_empty(size)


def _sizes(values: Any) -> bool:
    return isinstance(values, tuple) and len(values) <= 64 and all(type(v) is int and 0 <= v < 1 << 48 for v in values)  # noqa: PLR2004
