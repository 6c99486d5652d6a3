"""Arrays in nested dicts, lists and tuples, with plain values beside them: weights by layer, results of folds.

The arrays are in ``{stem}.npz``, and the tree that holds them is JSON: ``FORMAT.md`` has it. All comes back as it was:
the order of keys, integer keys, tuples, NaN, scalars of numpy. An array that stands in two places is one array again.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.codecs.arrays import DAMAGE, are_named, read_arrays, scalar_as_array, what_instead, write_arrays
from artifact_store.codecs.files import (
    all_or_nothing,
    dotted,
    holds_arrays,
    import_library,
    opened,
    read_settings,
    refuse_into,
    write_settings,
)
from artifact_store.codecs.npy import check_dtype
from artifact_store.codecs.torch.held import holds_torch
from artifact_store.codecs.trees import NUMBERS, TreePacker, TreeUnpacker, invalid, only
from artifact_store.core.codec import JSON, Risk
from artifact_store.errors import NotEncodable

_NARROW: Final = 8
"""Bytes of the largest scalars that stand in the tree itself."""


class ArrayTreeCodec:
    """Store dicts, lists and tuples that hold arrays or scalars of numpy in ``{stem}.npz`` and ``{stem}.json``."""

    name: ClassVar[str] = "array-tree"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = (
        "collections.OrderedDict",
        "collections.Counter",
        *(f"builtins.{name}" for name in ("dict", "list", "tuple")),
    )
    extra: ClassVar[str | None] = None
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    def accepts(self, obj: Any) -> bool:
        """Take what holds an array or scalar anywhere, but no tensor, and is no plain dict or tuple of arrays."""
        return holds_arrays(obj) and not holds_torch(obj) and not are_named(obj)

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write arrays and tree; refuse what would come back as something else, with its path."""
        np = import_library("numpy", self)
        packer = _ArrayPacker(np)
        tree = packer.pack(obj, "the object")
        with all_or_nothing(directory, stem):
            write_arrays(directory / f"{stem}.npz", packer.leaves, np)
            write_settings(directory / f"{stem}.json", {"tree": tree})
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Return the same nested dicts and lists."""
        del options
        refuse_into(self, into)
        settings = read_settings(directory / f"{stem}.json")
        np = import_library("numpy", self)
        with opened(directory / f"{stem}.npz", *DAMAGE) as file, zipfile.ZipFile(file) as archive:
            arrays = read_arrays(archive, file.seek(0, 2), np)
        return _ArrayUnpacker(arrays).whole(settings.get("tree"), stem)


class _ArrayPacker(TreePacker):
    LEAVES: ClassVar[str] = "arrays, "

    def __init__(self, np: Any) -> None:
        super().__init__()
        self._np = np

    def _leaf(self, value: Any, where: str, name: str) -> dict[str, Any] | None:
        del name  # keys may be any text, and the names of entries may not
        if not isinstance(value, self._np.ndarray):
            return None
        if type(value) is not self._np.ndarray:
            raise NotEncodable(f"{where}: {what_instead(value)}")
        return {"array": self._kept(value, where)}

    def _number(self, value: Any, where: str) -> dict[str, Any]:
        if value.dtype.kind in NUMBERS and value.dtype.itemsize <= _NARROW and value.dtype.isnative:
            return super()._number(value, where)
        try:
            array = scalar_as_array(value, self._np)
        except NotEncodable as error:
            raise NotEncodable(f"{where}: {error}") from error
        return {"scalar": self._kept(array, where)}

    def _kept(self, array: Any, where: str) -> str:
        try:
            check_dtype(array.dtype, self._np)
        except NotEncodable as error:
            raise NotEncodable(f"{where}: {error}") from error
        return self._named(array)

    def _way_out(self, value: Any) -> str:
        if dotted(type(value)).startswith(("pandas.", "polars.", "scipy.", "pyarrow.")):
            return "save it as a component of its own, or its .to_numpy() or .toarray()"
        return super()._way_out(value)


class _ArrayUnpacker(TreeUnpacker):
    LEAF_KINDS: ClassVar[tuple[str, ...]] = ("array", "scalar")

    def _leaf(self, record: dict[str, Any], kind: str, where: str) -> Any:
        only(record, where, kind)
        array = self._once(record[kind], record, where, lambda stored: stored)
        if kind == "scalar" and array.shape != ():
            raise invalid(record, where)
        return array if kind == "array" else array[()]
