"""gymnasium's spaces as JSON, with exact bounds, for the spaces that stable-baselines3 can train on.

What is kept is what a space means. What is not is the state of its random generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from artifact_store.codecs.files import dotted, field, import_library
from artifact_store.codecs.json_arrays import plain_array, read_array
from artifact_store.core.codec import Codec
from artifact_store.errors import Corrupt, NotEncodable

_INTEGERS: Final = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))


def plain_space(codec: Codec, space: Any, what: str, *, nested: bool = False) -> dict[str, Any]:
    """Return a space as JSON. The keys of a Dict keep their order, since a network sees them in it.

    Raises:
        NotEncodable: a subclass, or a kind of space that stable-baselines3 does not train on.
    """
    spaces = import_library("gymnasium.spaces", codec)
    kind = type(space)
    if kind is spaces.Box:
        return {"type": "Box", "low": plain_array(space.low, what), "high": plain_array(space.high, what)}
    if kind is spaces.Discrete:
        dtype = {} if space.dtype.name == "int64" else {"dtype": space.dtype.name}
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start), **dtype}
    if kind is spaces.MultiDiscrete:
        start = plain_array(space.start, what)
        return {"type": "MultiDiscrete", "nvec": plain_array(space.nvec, what), "start": start}
    if kind is spaces.MultiBinary:
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.n)}
    if kind is spaces.Dict and not nested:
        parts = [[key, plain_space(codec, part, f"{what}[{key!r}]", nested=True)] for key, part in space.items()]
        if not all(isinstance(key, str) for key in space):
            raise NotEncodable(f"{what} has keys that are not text")
        return {"type": "Dict", "spaces": parts}
    raise NotEncodable(
        f"{what} is a {dotted(kind)}; kept are Box, Discrete, MultiDiscrete, MultiBinary and "
        "one level of Dict, as gymnasium has them: wrap the environment so that it has such a space"
    )


def read_plain_space(codec: Codec, record: Any, what: str, *, nested: bool = False) -> Any:
    """Return the space that :func:`plain_space` was given; raise ``Corrupt`` if there is something else."""
    spaces = import_library("gymnasium.spaces", codec)
    if not isinstance(record, Mapping):
        raise Corrupt(f"{what} is recorded as {str(record)[:40]!r}, which is not a space")
    kind = field(record, "type", str)
    try:
        if kind == "Box":
            low, high = read_array(record.get("low"), what), read_array(record.get("high"), what)
            if low.dtype != high.dtype:
                raise Corrupt(f"{what} is recorded with bounds of two dtypes")
            return spaces.Box(low, high, dtype=low.dtype.type)
        if kind == "Discrete":
            dtype = {"dtype": record["dtype"]} if "dtype" in record else {}
            if dtype and record["dtype"] not in _INTEGERS:
                raise Corrupt(f"{what} is recorded with the dtype {str(record['dtype'])[:40]!r}")
            return spaces.Discrete(field(record, "n", int), start=field(record, "start", int), **dtype)
        if kind == "MultiDiscrete":
            nvec, start = read_array(record.get("nvec"), what), read_array(record.get("start"), what)
            return spaces.MultiDiscrete(nvec, nvec.dtype.type, start=start)
        if kind == "MultiBinary":
            return spaces.MultiBinary(field(record, "n", int | list))
        if kind == "Dict" and not nested:
            return spaces.Dict([_part(codec, part, what) for part in field(record, "spaces", list)])
    except (ValueError, TypeError, OverflowError, AssertionError) as error:
        raise Corrupt(f"{what} is recorded as a {kind} that there cannot be: {error}") from error
    raise Corrupt(f"{what} is recorded as a {kind[:40]!r}, which is not one of the supported spaces")


def flat_size(codec: Codec, space: Any) -> int:
    """Return how many numbers a network gets of an observation, or gives for an action."""
    return int(import_library("gymnasium.spaces.utils", codec).flatdim(space))


def _part(codec: Codec, part: Any, what: str) -> tuple[str, Any]:
    if not isinstance(part, list) or len(part) != 2 or not isinstance(part[0], str):  # noqa: PLR2004 -- key and space
        raise Corrupt(f"{what} is recorded with a part {str(part)[:40]!r}, which is not a key and a space")
    return part[0], read_plain_space(codec, part[1], f"{what}[{part[0]!r}]", nested=True)
