"""Spaces of gym and gymnasium from the plain text that stable-baselines3 writes beside the pickled object.

The text has eight digits behind the point, and above a thousand elements it shows the corners only. What it does not
say exactly is named, so that a report can tell; what it does not say at all is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from artifact_store.codecs.json_arrays import MAX_ELEMENTS, plain_array
from artifact_store.errors import Corrupt, InvalidOption
from artifact_store.legacy.pickle_reader.numpy_parts import numpy
from artifact_store.legacy.pickle_reader.stubs import refused

_SPACE: Final = re.compile(r"<class '(?:gym|gymnasium)\.spaces\.\w+\.(\w+)'>")
_NUMBER: Final = re.compile(r"[-+]?(?:inf|nan|(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)")
_NUMBERS: Final = re.compile(rf"(?:{_NUMBER.pattern}|[\s\[\],()]|\.\.\.)*")
DTYPES: Final = frozenset(
    {"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}
)
_MOST_DIGITS: Final = 8
_ELIDED: Final = "..."
_OTHERWISE: Final = "if you trust it, load it with stable-baselines3 and save what comes out"


def read_space_text(data: Mapping[str, Any], name: str, *, what: str, inexact: list[str]) -> dict[str, Any]:
    """Return the space ``name`` as JSON, in the form of the codec ``sb3``. What is a guess is added to ``inexact``.

    Raises:
        Corrupt: the text is damaged.
        InvalidOption: the text does not say it.
        RiskRefused: it is a space of another library.
    """
    record: Any = data.get(name)
    found = _SPACE.fullmatch(str(record.get(":type:"))) if isinstance(record, Mapping) else None
    if found is None:
        kind = record.get(":type:") if isinstance(record, Mapping) else record
        raise refused(what, f"has an {name} that is {str(kind)[:100]}")
    try:
        if found[1] == "Box":
            return _box(record, name, what, inexact)
        if found[1] == "Discrete":
            start = _integers(record.get("start", 0), ())
            return {"type": "Discrete", "n": int(_integers(record["n"], ())), "start": int(start)}
        if found[1] == "MultiDiscrete":
            nvec = _integers(record["nvec"], None)
            start = _integers(record["start"], None) if "start" in record else nvec * 0
            return {"type": "MultiDiscrete", "nvec": plain_array(nvec, name), "start": plain_array(start, name)}
        if found[1] == "MultiBinary":
            n = _integers(record["n"], None)
            return {"type": "MultiBinary", "n": int(n[0]) if n.size == 1 else n.tolist()}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InvalidOption):
            raise
        raise Corrupt(f"{what} has an {name} whose description is damaged: {error}") from error
    raise InvalidOption(f"{what} does not say in plain text what its {name} is, a {found[1]}: {_OTHERWISE}")


def _box(record: Mapping[str, Any], name: str, what: str, inexact: list[str]) -> dict[str, Any]:
    dtype, shape = record["dtype"], _shape(record.get("_shape", record.get("shape")))
    if dtype not in DTYPES:
        raise Corrupt(f"{what} has an {name} of the dtype {str(dtype)[:20]!r}")
    sides = {}
    for side in ("low", "high"):
        values, exact = _bounds(record, side, shape, name, what)
        if not exact:
            inexact.append(f"{name}.{side}")
        sides[side] = plain_array(_cast(values, dtype, shape), name)
    return {"type": "Box", **sides}


def _bounds(
    record: Mapping[str, Any], side: str, shape: tuple[int, ...], name: str, what: str
) -> tuple[list[float], bool]:
    """Return the bounds of one side (one number if all are alike), and whether the text holds every bit of them."""
    brief = record.get(f"{side}_repr")
    texts = [brief] if isinstance(brief, str) and _NUMBER.fullmatch(brief.strip()) else [record[side]]
    values, text = _listed(texts[0])
    decimals = [number.partition("e")[0].partition(".")[2] for number in _NUMBER.findall(text)]
    exact = all(len(digits) < _MOST_DIGITS for digits in decimals)
    if len(values) == math.prod(shape) and _ELIDED not in text:
        return values, exact
    if values and all(value == values[0] for value in values) and (texts[0] is brief or _ELIDED in text):
        return values[:1], exact and texts[0] is brief
    raise InvalidOption(f"{what} shows only the corners of the bounds of its {name}, and they differ: {_OTHERWISE}")


def _listed(text: Any) -> tuple[list[float], str]:
    if isinstance(text, list):  # a list of lists of plain numbers, as JSON
        text = str(text)
    if not isinstance(text, str) or not _NUMBERS.fullmatch(text):
        raise ValueError(f"{str(text)[:40]!r} are not numbers")
    return [float(number) for number in _NUMBER.findall(text)], text


def _cast(values: list[float], dtype: str, shape: tuple[int, ...]) -> Any:
    np = numpy()
    if math.prod(shape) > MAX_ELEMENTS:
        raise ValueError("there are too many bounds")
    with np.errstate(over="ignore"):  # the largest float32 in eight digits may round up to infinity
        array = np.array(values, np.float64).astype(dtype)
    if not dtype.startswith("float") and array.tolist() != values:
        raise ValueError(f"bounds outside of {dtype}")
    return np.full(shape, array[0]) if len(values) == 1 else array.reshape(shape)


def _shape(value: Any) -> tuple[int, ...]:
    sides = _integers(value, None).tolist() if value not in ([], "()") else []
    if any(side < 0 for side in sides) or len(sides) > 8:  # noqa: PLR2004 -- no space has more axes
        raise ValueError(f"{str(value)[:40]!r} is not a shape")
    return tuple(sides)


def _integers(value: Any, shape: tuple[int, ...] | None) -> Any:
    """Return whole numbers, which may stand there as JSON or as text."""
    np = numpy()
    numbers, text = _listed(str(value) if type(value) is int else value)
    whole = [int(number) for number in numbers]
    if whole != numbers or _ELIDED in text or not whole:
        raise ValueError(f"{text[:40]!r} are not whole numbers")
    array = np.array(whole, np.int64)
    return array if shape is None else array.reshape(shape)
