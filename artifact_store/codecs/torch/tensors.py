"""Named torch tensors in one ``.safetensors`` file, and what that format lacks: their order, and ties.

The format is https://huggingface.co/docs/safetensors: eight bytes with the size of a JSON header, the header, and the
bytes of all tensors without a gap. The library writes it, with one key of metadata, since the order of two is random.
Reading is our own: nothing is allocated before the header was compared with the size of the file, and what is read is
private memory. (The library maps the file, and a mapped file that is cut short later ends the process.)

Tensors that share memory are written once. They share it again when they are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from artifact_store.canonical import parse_json
from artifact_store.codecs.files import dotted, field, import_library, opened
from artifact_store.core.codec import Codec
from artifact_store.errors import Corrupt, NotEncodable

MAX_HEADER: Final = 32 << 20
"""Bytes of a header; more is refused before it is parsed."""

_METADATA = "__metadata__"
_DTYPES: Final = {
    **{
        f"{letter}{bits}": f"{kind}{bits}" for letter, kind in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
    },
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"F8_{form}": f"float8_{form.lower()}" for form in ("E4M3FNUZ", "E5M2", "E5M2FNUZ")},
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "BF16": "bfloat16",
    "C64": "complex64",
    "BOOL": "bool",
}
"""The format's names of dtypes, and torch's."""


def write_tensors(codec: Codec, tensors: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Write tensors from any device to ``path``, and return as JSON what :func:`read_tensors` needs besides.

    Equal tensors give equal bytes. Memory order is not kept: all come back contiguous, unless they are views.

    Raises:
        NotEncodable: something else than plain dense tensors, a dtype the format lacks, or memory shared in part.
    """
    torch = import_library("torch", codec)
    safetensors = import_library("safetensors.torch", codec)
    for name, tensor in tensors.items():
        _check(name, tensor, torch)
    aliases = _ties(tensors)
    kept = {
        name: tensor.detach().resolve_conj().resolve_neg().contiguous()
        for name, tensor in tensors.items()
        if name not in aliases
    }
    safetensors.save_file(_apart(kept), path, metadata={"format": "pt"})
    return {"names": list(tensors), "aliases": aliases}


def read_tensors(codec: Codec, record: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Read what :func:`write_tensors` wrote: tensors on the CPU, in the same order, in memory of their own.

    Raises:
        Corrupt: it is not such a file, or does not fit what was recorded.
        AccessDenied, Unavailable: the operating system does not let it be read, or cannot read it now.
    """
    torch = import_library("torch", codec)
    names, aliases = field(record, "names", list), field(record, "aliases", dict)
    with opened(path) as file:
        stored = _read_all(file, path.name, torch)
    if not all(isinstance(name, str) for name in names) or len({*names}) != len(names):
        raise Corrupt("the recorded names of the tensors are not names, or two are equal")
    if {*names} != {*stored, *aliases} or stored.keys() & aliases.keys():
        raise Corrupt(f"{path.name} does not hold the {len(names)} tensors that were recorded")
    ties = {name: _tied(name, alias, stored) for name, alias in aliases.items()}
    return {name: stored[name] if name in stored else ties[name] for name in names}


# ---------------------------------------------------------------- writing


def _check(name: object, tensor: Any, torch: Any) -> None:
    if not isinstance(name, str) or name == _METADATA or not _is_text(name):
        raise NotEncodable(f"{name!r} cannot name a tensor: use text, without lone surrogates, and not {_METADATA!r}")
    if not isinstance(tensor, torch.Tensor):
        raise NotEncodable(
            f"{name!r} is a {dotted(type(tensor))} and not a tensor: "
            "put numbers and text into the config, or make it a tensor"
        )
    if hasattr(tensor, "materialize"):
        raise NotEncodable(f"{name!r} is not initialised: give the module its first input")
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        raise NotEncodable(
            f"{name!r} is a {type(tensor).__qualname__}, of which only a plain tensor would come back: make it one"
        )
    if tensor.is_meta:
        raise NotEncodable(f"{name!r} is on the device 'meta' and has no values: load or initialise the model first")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        raise NotEncodable(f"{name!r} is sparse, quantised or nested: convert it with .to_dense() or .dequantize()")
    if str(tensor.dtype).removeprefix("torch.") not in _DTYPES.values():
        how = "convert it, complex128 with torch.view_as_real"
        raise NotEncodable(f"{name!r} is of the dtype {tensor.dtype}, which safetensors does not support: {how}")


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode()) or not name
    except UnicodeEncodeError:
        return False


def _apart(tensors: dict[str, Any]) -> dict[str, Any]:
    """Return tensors of which no two lie in one storage, as the library wants it."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if storage in seen and tensor.numel() else tensor
        seen.add(storage)
    return apart


def _ties(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return for each tensor that lies in another one's memory: in which, and where."""
    found: dict[str, Any] = {}
    for group in overlapping(tensors):
        base = next((name for name in group if _covers(tensors[name], [tensors[other] for other in group])), None)
        if base is None:
            raise NotEncodable(f"{' and '.join(map(repr, group))} share memory in part: .clone() all of them but one")
        found |= {name: _alias(base, tensors[base], tensors[name]) for name in group if name != base}
    return found


def overlapping(tensors: Mapping[str, Any]) -> list[list[str]]:
    """Return the names of tensors that share memory, in groups, in the order of ``tensors``."""
    spans: dict[Any, list[tuple[int, int, str]]] = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            spans.setdefault(tensor.device, []).append((*span(tensor), name))
    groups: list[list[str]] = []
    for device in spans.values():
        reach = -1
        for start, stop, name in sorted(device):
            if start >= reach:
                groups.append([])
            groups[-1].append(name)
            reach = max(reach, stop)
    place = {name: number for number, name in enumerate(tensors)}
    return [sorted(group, key=place.__getitem__) for group in groups if len(group) > 1]


def span(tensor: Any) -> tuple[int, int]:
    """Return the addresses where its first element begins and its last one ends."""
    last = sum((side - 1) * step for side, step in zip(tensor.shape, tensor.stride(), strict=True))
    start = tensor.data_ptr()
    return start, start + (last + 1) * tensor.element_size()


def _kind(tensor: Any) -> tuple[Any, ...]:
    return tensor.dtype, tensor.is_conj(), tensor.is_neg()


def view_of(tensor: Any) -> tuple[Any, ...]:
    """Return what two tensors have in common only if they are the same elements, read in the same way."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), *_kind(tensor)


def _covers(base: Any, others: Iterable[Any]) -> bool:
    """Tell whether every other tensor is the same view, or a view into ``base`` that can be described."""
    start, stop = span(base)
    for other in others:
        first, last = span(other)
        within = start <= first and last <= stop and other.numel() <= base.numel()
        whole = (first - start) % base.element_size() == 0 and base.is_contiguous() and _kind(base) == _kind(other)
        if view_of(base) != view_of(other) and not (within and whole):
            return False
    return True


def _alias(base_name: str, base: Any, other: Any) -> dict[str, Any]:
    if view_of(base) == view_of(other):
        return {"of": base_name}
    return {
        "of": base_name,
        "offset": (other.data_ptr() - base.data_ptr()) // base.element_size(),
        "shape": list(other.shape),
        "stride": list(other.stride()),
    }


# ---------------------------------------------------------------- reading


def _read_all(file: BufferedReader, what: str, torch: Any) -> dict[str, Any]:
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER):  # noqa: PLR2004 -- the eight bytes of the size
        raise Corrupt(f"{what} is not a safetensors file: its header would have {length:,} bytes of {size:,}")
    header = parse_json(file.read(length), limit=MAX_HEADER, what=f"the header of {what}")
    if not isinstance(header, dict):
        raise Corrupt(f"the header of {what} is not a JSON object")
    header.pop(_METADATA, None)
    at, found = 0, {}
    for name, entry in sorted(header.items(), key=lambda item: _offset(item[1])):
        dtype, shape, stop = _described(name, entry, at, torch)
        if stop > size - 8 - length:
            raise Corrupt(f"{what} ends before {name!r} does")
        found[name] = _read_one(file, dtype, shape, stop - at, torch)
        at = stop
    if at != size - 8 - length:
        raise Corrupt(f"{what} has {size - 8 - length:,} bytes of tensors, and its header claims {at:,}")
    return found


def _offset(entry: Any) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(place) is int for place in offsets):  # noqa: PLR2004
        raise Corrupt("a tensor in the header has no valid offsets")
    return offsets[0], offsets[1]


def _described(name: str, entry: Mapping[str, Any], at: int, torch: Any) -> tuple[Any, tuple[int, ...], int]:
    """Return dtype, shape and end of a tensor, if its size follows from dtype and shape and it begins at ``at``."""
    start, stop = _offset(entry)
    kind, shape = field(entry, "dtype", str), field(entry, "shape", list)
    dtype = getattr(torch, _DTYPES.get(kind, ""), None)
    if dtype is None or not _sizes(shape):
        raise Corrupt(f"{name!r} has an invalid dtype or shape: {kind[:20]!r}, {str(shape)[:60]}")
    if start != at or stop - start != math.prod(shape) * dtype.itemsize:
        raise Corrupt(f"{name!r} is not where the tensor before it ends, or not of the size of its shape")
    return dtype, tuple(shape), stop


def _sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def _read_one(file: BufferedReader, dtype: Any, shape: tuple[int, ...], size: int, torch: Any) -> Any:
    try:
        tensor = torch.empty(shape, dtype=dtype)
    except RuntimeError as error:  # without elements, and a side that overflows
        raise Corrupt(f"a tensor of the shape {str(shape)[:60]} is not possible: {error}") from error
    if size:
        raw = tensor.reshape(-1).view(torch.uint8)
        target = memoryview(raw.numpy())
        done = 0
        while done < size:
            more = file.readinto(target[done:])
            if not more:
                raise Corrupt("the file became shorter while it was read")
            done += more
        if dtype is torch.bool and raw.max() > 1:
            raise Corrupt("a tensor of booleans holds something else")
    return tensor


def _tied(name: str, alias: Any, stored: Mapping[str, Any]) -> Any:
    """Return the view into a stored tensor that was recorded as ``name``."""
    of = field(alias, "of", str) if isinstance(alias, dict) else ""
    if of not in stored:
        raise Corrupt(f"{name!r} is recorded as a part of {of[:60]!r}, which does not exist")
    base = stored[of]
    if len(alias) == 1:
        return base.detach()
    offset, shape, stride = field(alias, "offset", int), field(alias, "shape", list), field(alias, "stride", list)
    if not (_sizes(shape) and _sizes(stride) and len(shape) == len(stride)) or not _inside(base, offset, shape, stride):
        raise Corrupt(f"{name!r} is recorded as a part of {of!r} that lies outside of it")
    return base.as_strided(shape, stride, offset)


def _inside(base: Any, offset: int, shape: Sequence[int], stride: Sequence[int]) -> bool:
    last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
    return bool(0 <= offset <= last < base.numel() and 0 < math.prod(shape) <= base.numel())
