"""JSON documents: dicts, lists, text, numbers, booleans and none, exactly as they are.

``{stem}.json`` is canonical: keys sorted, so that equal documents have equal bytes. The order of a dict's keys is
therefore not kept, and two references to one list become two lists. Everything that JSON would bend is refused: NaN and
infinities, tuples, keys that are not text, subclasses (an ``OrderedDict``, an enumeration, a numpy number).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from artifact_store.canonical import MAX_DEPTH, canonical, parse_json
from artifact_store.codecs.files import dotted, holds_arrays, read_encoded, refuse_into
from artifact_store.codecs.torch.held import holds_torch
from artifact_store.core.codec import JSON, Risk
from artifact_store.core.ways_out import kept_instead
from artifact_store.errors import NotEncodable

MAX_DOCUMENT: Final = 64 << 20
"""Bytes; a larger one is refused on both sides. Python needs about twenty times as much to hold it."""

_SCALARS = (str, int, float, bool, type(None))


class DocumentCodec:
    """Store JSON values in ``{stem}.json``."""

    name: ClassVar[str] = "json"
    version: ClassVar[int] = 1
    risk: ClassVar[Risk] = Risk.DATA
    types: ClassVar[tuple[str, ...]] = tuple(
        f"builtins.{name}" for name in ("dict", "list", "tuple", "str", "int", "float", "bool", "NoneType")
    )
    """A tuple is among them to be refused with a reason."""
    extra: ClassVar[str | None] = None

    def accepts(self, obj: Any) -> bool:
        """Leave what is made of arrays or holds tensors alone, and scalars that only derive from Python's (numpy's)."""
        if isinstance(obj, dict | list | tuple):
            return not holds_arrays(obj) and not holds_torch(obj)
        return type(obj) in _SCALARS

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write the document, or refuse it with the path to what JSON cannot represent."""
        check_json(obj, "the document", 1)
        try:
            data = canonical(obj)
        except ValueError as error:  # NaN, an infinity, a lone surrogate, an integer too long to print
            raise NotEncodable(f"the document cannot be JSON: {error}") from error
        if len(data) > MAX_DOCUMENT:
            raise NotEncodable(
                f"the document has {len(data):,} bytes of JSON; beyond {MAX_DOCUMENT:,} use a table or arrays"
            )
        (directory / f"{stem}.json").write_bytes(data)
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the document, which has to be strict JSON."""
        del options
        refuse_into(self, into)
        path = directory / f"{stem}.json"
        return parse_json(read_encoded(path, limit=MAX_DOCUMENT), limit=MAX_DOCUMENT, what=path.name)


def check_json(value: Any, where: str, depth: int = 1) -> None:
    """Raise ``NotEncodable``, with the path in the text, if ``value`` holds what JSON would bend."""
    kind = type(value)
    if depth > MAX_DEPTH:
        raise NotEncodable(f"{where} is nested deeper than {MAX_DEPTH} levels, or contains itself")
    if kind is dict:
        for name, part in value.items():
            if type(name) is not str:
                raise NotEncodable(
                    f"{where} has the key {name!r}, and JSON would read it back as text: use {str(name)!r}"
                )
            check_json(part, f"{where}[{name!r}]", depth + 1)
    elif kind is list:
        for place, part in enumerate(value):
            check_json(part, f"{where}[{place}]", depth + 1)
    elif issubclass(kind, tuple):
        raise NotEncodable(f"{where} is a tuple, and JSON would read it back as a list: use list(…)")
    elif kind in (float, str):
        _check_scalar(value, where)
    elif kind not in _SCALARS:
        raise NotEncodable(f"{where} is a {dotted(kind)}, which JSON cannot represent: {kept_instead(value)}")


def _check_scalar(value: float | str, where: str) -> None:
    """Refuse numbers that JSON does not have, and text that is none."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotEncodable(
                f"{where} is {value!r}, which JSON does not have: use None or text, or an array with numpy.asarray(…)"
            )
    elif not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise NotEncodable(f"{where} holds a lone surrogate, which is not valid text: keep it as ascii(…)")
