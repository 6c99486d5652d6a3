"""Sparse matrices and arrays of scipy in ``{stem}.npz``: csr, csc, coo, bsr and dia, without a single pickle.

``scipy.sparse.save_npz`` keeps no class and reads whatever a file says; scipy's compiled code then follows indices
without a look at them, out of the memory that it has. Here each index is compared with the shape before scipy sees it.
The one module that imports scipy.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs.arrays import DAMAGE, read_arrays, write_arrays
from artifact_store.codecs.files import all_or_nothing, dotted, field, import_library, opened, refuse_into
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import Corrupt, NotEncodable

_FORMATS: Final = ("csr", "csc", "coo", "bsr", "dia")
_COMPRESSED: Final = {"csr": 0, "csc": 1, "bsr": 0}
"""Formats with an ``indptr``, and which side it divides."""
_MAX_SIDE: Final = (1 << 63) - 1
_MAX_SIDES: Final = 64
_WAYS_OUT: Final = {"lil": "its .tocsr()", "dok": "its .tocsr()"}


class SparseCodec:
    """Store a sparse matrix or array: the same format, class, shape, and bits of values and indices.

    Explicit zeros, the order of the indices and duplicates are kept; room behind the values that is not in use is not.
    """

    name: ClassVar[str] = "sparse"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = tuple(
        f"scipy.sparse._{kind}.{kind}_{what}" for kind in (*_FORMATS, *_WAYS_OUT) for what in ("matrix", "array")
    )
    """Two formats are among them to be refused with a reason."""
    extra: ClassVar[str | None] = None
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy")

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the arrays that it is made of; refuse subclasses, and formats that are Python objects."""
        np, sparse = import_library("numpy", self), import_library("scipy.sparse", self)
        kind = str(obj.format)
        if kind in _WAYS_OUT:
            raise NotEncodable(f"a {dotted(type(obj))} is made of Python objects: save {_WAYS_OUT[kind]}")
        what = "array" if isinstance(obj, sparse.sparray) else "matrix"
        if type(obj) is not getattr(sparse, f"{kind}_{what}"):
            raise NotEncodable(
                f"a {dotted(type(obj))} would come back as something else; convert it to a {kind}_{what}"
            )
        options: dict[str, JSON] = {"format": kind, "class": what, "shape": [int(side) for side in obj.shape]}
        parts = _parts(obj, kind)
        try:
            _check(parts, options, np)
        except Corrupt as error:
            raise NotEncodable(
                f"the matrix is not sound, and scipy could not use what would come back: {error}. Make it anew of its "
                ".tocoo(), or correct its indices"
            ) from error
        with all_or_nothing(directory, stem):
            write_arrays(directory / f"{stem}.npz", parts, np)
        return options

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the arrays, compare every index with the shape, and only then give them to scipy."""
        refuse_into(self, into)
        np = import_library("numpy", self)
        path = directory / f"{stem}.npz"
        with opened(path, *DAMAGE) as file, zipfile.ZipFile(file) as archive:
            parts = read_arrays(archive, file.seek(0, 2), np)
        _check(parts, options, np)
        sparse = import_library("scipy.sparse", self)
        kind, what = field(options, "format", str), field(options, "class", str)
        shape = tuple(field(options, "shape", list))
        try:
            return _MAKERS[kind](getattr(sparse, f"{kind}_{what}"), parts, shape)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise Corrupt(f"{path.name} does not hold the {kind}_{what} that was recorded: {error}") from error


def _parts(obj: Any, kind: str) -> dict[str, Any]:
    """Return the arrays of a matrix by name, without the room behind its values."""
    if kind == "coo":
        return {"data": obj.data, **{f"coords_{side}": places for side, places in enumerate(obj.coords)}}
    if kind == "dia":
        return {"data": obj.data, "offsets": obj.offsets}
    used = int(obj.indptr[-1]) if len(obj.indptr) else 0
    return {"data": obj.data[:used], "indices": obj.indices[:used], "indptr": obj.indptr}


# ---------------------------------------------------------------- what scipy does not look at


def _check(parts: Mapping[str, Any], options: Mapping[str, Any], np: Any) -> None:
    """Raise ``Corrupt`` unless the arrays are a matrix of this format and shape, with each index inside."""
    kind, what, shape = field(options, "format", str), field(options, "class", str), field(options, "shape", list)
    if kind not in _FORMATS or what not in {"matrix", "array"} or not 1 <= len(shape) <= _MAX_SIDES:
        raise Corrupt(f"a sparse {kind[:20]!r} {what[:20]!r} with {len(shape)} sides is never written")
    if not all(type(side) is int and 0 <= side <= _MAX_SIDE for side in shape):
        raise Corrupt(f"the shape {str(shape)[:60]} of a sparse matrix is not made of sizes")
    if len(shape) != 2 and (what == "matrix" or kind in {"csc", "bsr", "dia"}):  # noqa: PLR2004 -- rows and columns
        raise Corrupt(f"a {kind}_{what} with {len(shape)} sides is never written")
    names = {"data", *(_PLACES.get(kind) or (f"coords_{side}" for side in range(len(shape))))}
    if parts.keys() != names:
        raise Corrupt(f"a {kind}_{what} is recorded with {str(sorted(parts))[:80]} instead of {sorted(names)}")
    for name in names - {"data"}:
        if parts[name].ndim != 1 or parts[name].dtype not in (np.dtype("int32"), np.dtype("int64")):
            raise Corrupt(f"{name} of a sparse matrix is a {parts[name].dtype} with {parts[name].ndim} sides")
    if kind == "coo":
        for side, length in enumerate(shape):
            _check_indices(parts[f"coords_{side}"], length, parts["data"], f"coords_{side}", sides=1)
    elif kind == "dia":
        _check_diagonals(parts["data"], parts["offsets"], np)
    else:
        _check_compressed(parts, kind, shape, np)


_PLACES: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(_COMPRESSED, ("indices", "indptr")),
    "dia": ("offsets",),
}


def _check_compressed(parts: Mapping[str, Any], kind: str, shape: list[int], np: Any) -> None:
    data, indices, indptr = parts["data"], parts["indices"], parts["indptr"]
    rows, columns = (1, shape[0]) if len(shape) == 1 else (shape[_COMPRESSED[kind]], shape[1 - _COMPRESSED[kind]])
    if indices.dtype != indptr.dtype:
        raise Corrupt(f"indices are {indices.dtype}, and indptr is {indptr.dtype}")
    if kind == "bsr":
        high, wide = data.shape[1:] if data.ndim == 3 else (0, 0)  # noqa: PLR2004 -- a row of blocks
        if not high or not wide or rows % high or columns % wide:
            raise Corrupt(f"blocks of the shape {data.shape[1:]} do not fill the shape {shape}")
        rows, columns = rows // high, columns // wide
    if len(indptr) != rows + 1 or indptr[0] != 0 or indptr[-1] != len(indices) or bool((np.diff(indptr) < 0).any()):
        raise Corrupt(f"indptr does not divide {len(indices)} indices among {rows} rows")
    _check_indices(indices, columns, data, "indices", sides=3 if kind == "bsr" else 1)


def _check_indices(indices: Any, length: int, data: Any, name: str, *, sides: int) -> None:
    if data.ndim != sides or len(data) != len(indices):
        raise Corrupt(f"data of the shape {data.shape} does not belong to {len(indices)} {name}")
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= length):
        raise Corrupt(f"{name} point outside of a side of {length}")


def _check_diagonals(data: Any, offsets: Any, np: Any) -> None:
    if data.ndim != 2 or len(data) != len(offsets) or len(np.unique(offsets)) != len(offsets):  # noqa: PLR2004
        raise Corrupt(f"data of the shape {data.shape} does not belong to {len(offsets)} diagonals, each of them once")


# ---------------------------------------------------------------- making one


def _compressed(kind: Any, parts: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
    made = kind((parts["data"], parts["indices"], parts["indptr"]), shape=shape, copy=False)
    made.indices, made.indptr = parts["indices"], parts["indptr"]  # scipy takes smaller integers where they would do
    return made


def _coordinates(kind: Any, parts: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
    places = tuple(parts[f"coords_{side}"] for side in range(len(shape)))
    made = kind((parts["data"], places), shape=shape, copy=False)
    made.coords = places
    return made


def _diagonals(kind: Any, parts: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
    made = kind((parts["data"], parts["offsets"]), shape=shape, copy=False)
    made.offsets = parts["offsets"]
    return made


_MAKERS: Final[dict[str, Callable[[Any, Mapping[str, Any], tuple[int, ...]], Any]]] = {
    **dict.fromkeys(_COMPRESSED, _compressed),
    "coo": _coordinates,
    "dia": _diagonals,
}
