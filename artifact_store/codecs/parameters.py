"""Parameters of a model as JSON: plain values, in dicts, lists and tuples, and small arrays of numbers.

What a library forgets in its own file of a model. Each comes back with its class and bits, or is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from artifact_store.codecs.files import dotted, field
from artifact_store.codecs.json_arrays import check_expansion, plain_array, read_array
from artifact_store.codecs.trees import TreePacker, TreeUnpacker, only
from artifact_store.errors import NotEncodable


class _Packer(TreePacker):
    def _leaf(self, value: Any, where: str, name: str) -> dict[str, Any] | None:
        del name
        kind = dotted(type(value))
        if kind == "numpy.str_":
            return {"text": str(value)}
        return {"array": plain_array(value, where)} if kind == "numpy.ndarray" else None

    def _refusal(self, value: Any, where: str) -> NotEncodable:
        return NotEncodable(f"{where} is a {dotted(type(value))}")


class _Unpacker(TreeUnpacker):
    LEAF_KINDS: ClassVar[tuple[str, ...]] = ("array", "text")

    def _leaf(self, record: dict[str, Any], kind: str, where: str) -> Any:
        only(record, where, kind)
        if kind == "array":
            return read_array(record[kind], where)
        import numpy as np

        return np.str_(field(record, kind, str))


def pack_parameters(params: Mapping[str, Any], refusal: Callable[[str, NotEncodable], str]) -> dict[str, Any]:
    """Return parameters as JSON, by name; ``refusal`` is what is said of one, and why.

    Raises:
        NotEncodable: one of them would not come back as it is.
    """
    packer, packed = _Packer(), {}
    for name, value in params.items():
        try:
            packed[name] = packer.pack(value, name)
        except NotEncodable as error:
            raise NotEncodable(refusal(name, error)) from error
    return packed


def unpack_parameters(record: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return what :func:`pack_parameters` was given; raise ``Corrupt`` if there is something else in ``what``."""
    check_expansion(record, what)
    return {name: _Unpacker().unpack(value, name) for name, value in record.items()}
