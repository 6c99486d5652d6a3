"""numpy arrays and scalars, and dicts or tuples of arrays, in ``{stem}.npz`` without a single pickle.

The file is what ``numpy.load`` reads (``arr_0``, ``arr_1`` … , or the keys of the dict), stored uncompressed, so that
no entry can be larger than the file, with fixed times, so that equal arrays have equal bytes. What comes back has the
same dtype, shape, memory order (C or Fortran; a view with other strides comes back in C order) and bits.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs.files import all_arrays, all_or_nothing, dotted, field, import_library, opened, refuse_into
from artifact_store.codecs.limits import check_stored
from artifact_store.codecs.npy import check_dtype, read_npy, write_npy
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import Corrupt, NotEncodable

MAX_ENTRIES: Final = 100_000
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LARGE = 1 << 30
_MAX_NAME = 200
DAMAGE: Final = (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, OverflowError, KeyError)
"""What the standard library raises for bytes that are not an archive, or one that it cannot read."""


class ArrayCodec:
    """Store arrays in ``{stem}.npz``."""

    name: ClassVar[str] = "arrays"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = ("numpy.ndarray", "numpy.generic", "builtins.dict", "builtins.tuple")
    extra: ClassVar[str | None] = None
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    def accepts(self, obj: Any) -> bool:
        """Take dicts and tuples only if there is something in them and all of it is an array."""
        return not isinstance(obj, dict | tuple) or are_named(obj)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the arrays; refuse Python objects, subclasses (masked arrays), and keys that cannot name a file."""
        np = import_library("numpy", self)
        kind, arrays = _named_arrays(obj, np)
        with all_or_nothing(directory, stem):
            write_arrays(directory / f"{stem}.npz", arrays, np)
        return {"kind": kind, "count": len(arrays)}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the arrays; nothing is allocated before its size was compared with that of the file."""
        refuse_into(self, into)
        np = import_library("numpy", self)
        kind, count = field(options, "kind", str), field(options, "count", int)
        path = directory / f"{stem}.npz"
        with opened(path, *DAMAGE) as file, zipfile.ZipFile(file) as archive:
            arrays = read_arrays(archive, file.seek(0, 2), np)
        if len(arrays) != count:
            raise Corrupt(f"{path.name} holds {len(arrays)} arrays instead of {count}")
        return _assembled(kind, arrays, path.name)


def are_named(obj: Any) -> bool:
    """Tell whether this is a plain dict or tuple of arrays, with names that entries of an archive can have."""
    if type(obj) not in (dict, tuple) or not all_arrays(obj):
        return False
    return type(obj) is tuple or all(map(_can_name, obj))


def _named_arrays(obj: Any, np: Any) -> tuple[str, dict[str, Any]]:
    if type(obj) is np.ndarray:
        return "array", {"arr_0": obj}
    if isinstance(obj, np.generic):
        return "scalar", {"arr_0": scalar_as_array(obj, np)}
    if type(obj) is tuple and obj:
        return "tuple", {f"arr_{place}": _checked(part, f"[{place}]", np) for place, part in enumerate(obj)}
    if type(obj) is dict and obj:
        return "dict", {_checked_name(name): _checked(part, f"[{name!r}]", np) for name, part in obj.items()}
    raise NotEncodable(what_instead(obj))


def what_instead(obj: Any) -> str:
    """Say why an object that is like an array, or holds some, is not stored, and what to store instead."""
    kind = dotted(type(obj))
    if hasattr(obj, "mask"):
        return f"a {kind} would lose its mask: save {{'data': obj.data, 'mask': numpy.ma.getmaskarray(obj)}}"
    if isinstance(obj, dict | tuple):
        return f"a {kind} would come back as something else, or there is nothing in it: save a dict or tuple of arrays"
    return f"a {kind} would come back as something else; convert it with numpy.array(obj, subok=False)"


def _can_name(name: Any) -> bool:
    if not isinstance(name, str) or len(name) > _MAX_NAME or name.endswith(".npy"):
        return False
    return all(part.strip(".") and part.isprintable() and "\\" not in part for part in name.split("/"))


def scalar_as_array(scalar: Any, np: Any) -> Any:
    """Return a 0-dimensional array from which a scalar with the same dtype and bits comes back."""
    check_dtype(scalar.dtype, np)
    array = np.asarray(scalar)
    back = array[()]
    if back.tobytes() != scalar.tobytes():  # trailing zero bytes of text
        raise NotEncodable(f"{scalar!r} would come back as {back!r}: convert it to another dtype")
    return array


def _checked(part: Any, where: str, np: Any) -> Any:
    if type(part) is not np.ndarray:
        raise NotEncodable(f"{where} is a {dotted(type(part))} and not an array")
    try:
        check_dtype(part.dtype, np)
    except NotEncodable as error:
        raise NotEncodable(f"{where}: {error}") from error
    return part


def _checked_name(name: Any) -> str:
    """Return the key, if numpy and every archiver read it back as it is."""
    if not _can_name(name):
        raise NotEncodable(
            f"the key {str(name)[:80]!r} cannot name an array: use printable text without backslashes, "
            f"not ending in '.npy', at most {_MAX_NAME} characters"
        )
    return str(name)


def write_arrays(path: Path, arrays: Mapping[str, Any], np: Any) -> None:
    """Write arrays into an archive, stored and with fixed times, so that equal arrays have equal bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)  # stored, not compressed
            info.create_system = 3  # the same bytes on every platform
            info.external_attr = 0o600 << 16
            with archive.open(info, "w", force_zip64=array.nbytes > _LARGE) as file:
                write_npy(file, array, np)


def read_arrays(archive: zipfile.ZipFile, size: int, np: Any) -> dict[str, Any]:
    """Return the arrays of an archive of ``size`` bytes by name; raise one of ``DAMAGE`` for any other."""
    entries = archive.infolist()
    check_entries(entries, size)
    return {entry.filename.removesuffix(".npy"): read_entry(archive, entry, np) for entry in entries}


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, np: Any) -> Any:
    """Return the array in an entry of an archive."""
    with archive.open(entry) as file:
        return read_npy(file, entry.file_size, np)


def check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse what ``encode`` never writes."""
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"{len(entries):,} entries")
    check_stored(entries, size)
    for entry in entries:
        if not entry.filename.endswith(".npy"):
            raise ValueError(f"the entry {entry.filename!r} is not an array")


def _assembled(kind: str, arrays: dict[str, Any], what: str) -> Any:
    if kind == "dict":
        return arrays
    if list(arrays) == [f"arr_{place}" for place in range(len(arrays))]:
        if kind == "tuple":
            return tuple(arrays.values())
        if kind == "array" and len(arrays) == 1:
            return arrays["arr_0"]
        if kind == "scalar" and len(arrays) == 1 and arrays["arr_0"].shape == ():
            return arrays["arr_0"][()]
    raise Corrupt(f"{what} does not hold what was recorded as {kind!r}")
