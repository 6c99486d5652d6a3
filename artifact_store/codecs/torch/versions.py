"""The versions of modules that torch keeps with a state dict, in its attribute ``_metadata``.

``load_state_dict`` hands them to the modules, which convert what an older version of theirs has saved. A module that
finds none takes its own state for an old one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from artifact_store.canonical import MAX_DEPTH, canonical
from artifact_store.codecs.documents import check_json
from artifact_store.codecs.files import dotted
from artifact_store.errors import Corrupt, NotEncodable

_WAY_OUT = "keep there what JSON can represent, or save dict(…) of this state dict, which has no _metadata"


def versions_of(state: object, where: str) -> list[list[Any]] | None:
    """Return as JSON what a state dict says of the versions of its modules, in its order, or none if it says nothing.

    Raises:
        NotEncodable: it holds what JSON cannot represent; the text names it.
    """
    metadata = getattr(state, "_metadata", None)
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise NotEncodable(f"{where}._metadata is a {dotted(type(metadata))} and not a dict: {_WAY_OUT}")
    return [[name, _one(name, entry, f"{where}._metadata[{name!r}]")] for name, entry in metadata.items()]


def _one(name: object, entry: object, where: str) -> dict[str, Any]:
    if type(name) is not str or type(entry) not in (dict, OrderedDict) or not isinstance(entry, dict):
        raise NotEncodable(f"{where} is not a dict under the name of a module: {_WAY_OUT}")
    try:
        check_json({**entry}, where, depth=MAX_DEPTH - 3)
        canonical([name, entry])
    except (NotEncodable, ValueError) as error:
        raise NotEncodable(f"{where} cannot be kept ({error}): {_WAY_OUT}") from error
    return {**entry}


def with_versions(state: Mapping[Any, Any], record: object, what: str) -> OrderedDict[Any, Any]:
    """Return a state dict with what :func:`versions_of` returned; raise ``Corrupt`` if that is something else."""
    whole: Any = OrderedDict(state)
    whole._metadata = OrderedDict(_pairs(record, what))  # noqa: SLF001 -- where load_state_dict looks
    return whole  # type: ignore[no-any-return]


def _pairs(record: object, what: str) -> list[tuple[str, dict[str, Any]]]:
    pairs: list[Any] = record if isinstance(record, list) else [record]
    if any(not isinstance(pair, list) or [*map(type, pair)] != [str, dict] for pair in pairs):
        raise Corrupt(f"the versions of the modules of {what} are recorded as {str(record)[:60]!r}")
    if len({name for name, _ in pairs}) != len(pairs):
        raise Corrupt(f"the versions of the modules of {what} have a name twice")
    return [(name, entry) for name, entry in pairs]
