"""What JSON makes of a configuration and cannot tell from it, so that it comes back as it was given.

A manifest holds a configuration as plain JSON, which every release reads. Beside it stands, for each place where that
is not the value itself, the form that the value had: a NaN among texts, a tuple, a set, the order of keys, an array.
Owns these forms, and what of a configuration is refused because no form tells it. What derives from text, a number, a
list or a dict (a member of a ``StrEnum``, an ``OrderedDict``) comes back as that, which it is equal to.
"""

from __future__ import annotations

import copy
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from artifact_store.canonical import MAX_DEPTH
from artifact_store.core.documents import NON_FINITE, is_array, named_values, plain
from artifact_store.errors import Corrupt, InvalidOption
from artifact_store.features.columns import NUMBERS

_Path = tuple[str | int, ...]
_NUMBER: Final = "number"
_SEQUENCES: Final[Mapping[str, type]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_DTYPES: Final = (*NUMBERS, "str")
_MAX_TEXT: Final = 64 << 20
"""Bytes of an array of text, in which each text takes as many as the longest."""
_MAX_ALIKE: Final = 100
"""Parts of a set with one hash; those of numbers can be chosen, and each is then compared with all others."""


def configurations(**given: Any) -> dict[str, Any]:
    """Return configurations by name as JSON, and ``forms``: what of each of them that does not tell.

    Raises:
        InvalidOption: one holds what would come back as something else; the path to it is in the text.
    """
    forms = {name: list(_forms(value, (), name)) for name, value in given.items()}
    made = {name: named_values(name, value) for name, value in given.items()}
    return {**made, "forms": {name: found for name, found in forms.items() if found}}


def restored(name: str, value: Mapping[str, Any], forms: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration ``name`` as it was given to a save; forms that this release does not know do nothing.

    Raises:
        Corrupt: the forms are not those of this configuration.
    """
    holder: list[Any] = [copy.deepcopy(dict(value))]
    try:
        for path, form in _one_each(forms.get(name, ())):
            inner, last = holder, 0
            for part in path:
                inner, last = inner[last], _place_in(inner[last], part)
            inner[last] = _as_given(inner[last], form)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise Corrupt(f"the forms of {name} do not fit it: {error}") from error
    found: dict[str, Any] = holder[0]
    return found


def _place_in(inner: Any, part: Any) -> Any:
    """Return a key of a dict or a position in a list; ``ValueError`` for what is none, or another word for one."""
    fits = isinstance(inner, dict) and type(part) is str
    if not fits and not (isinstance(inner, list) and type(part) is int and part >= 0):
        raise ValueError(f"{part!r} is not a place in a {type(inner).__name__}")
    return part


def _one_each(forms: Sequence[Any]) -> Iterator[tuple[_Path, Any]]:
    """Yield path and form of each place; ``ValueError`` for two of one, or a large one could be made for ever."""
    told: set[_Path] = set()
    for path, form in forms:
        place = (*path,)
        if place in told:
            raise ValueError(f"{path!r} has two")
        told.add(place)
        yield place, form


def _forms(value: Any, path: _Path, name: str) -> Iterator[list[Any]]:
    """Yield the path and form of each value that JSON would bend, the inner ones first."""
    if len(path) > MAX_DEPTH:  # which is refused where the JSON is made
        return
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _forms(part, (*path, key), name)
        keys = list(value)
        if all(isinstance(key, str) for key in keys) and keys != sorted(keys):
            yield [list(path), {"order": [str(key) for key in keys]}]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        for place, part in enumerate(parts):
            yield from _forms(part, (*path, place), name)
        yield from _form_of_sequence(value, path, name)
    elif is_array(value):
        yield from _form_of_array(value, path, name)
    elif isinstance(value, float) and not math.isfinite(value):
        yield [list(path), _NUMBER]


def _form_of_sequence(value: Any, path: _Path, name: str) -> Iterator[list[Any]]:
    if hasattr(value, "_fields"):
        raise InvalidOption(f"{_shown(name, path)} is a namedtuple, whose names would be lost: give ._asdict()")
    for word, kind in _SEQUENCES.items():
        if isinstance(value, kind):
            yield [list(path), word]


def _form_of_array(value: Any, path: _Path, name: str) -> Iterator[list[Any]]:
    """Yield the form of an array or scalar of numpy; a scalar of another library becomes Python's number.

    Raises:
        InvalidOption: it is another array, holds something else than numbers or text, or too much text.
    """
    np = sys.modules.get("numpy")
    if np is not None and isinstance(value, np.ndarray | np.generic):
        dtype = "str" if value.dtype.kind == "U" else value.dtype.name
        if dtype in _DTYPES and (isinstance(value, np.generic) or type(value) in (np.ndarray, np.memmap)):
            if dtype == "str" and value.nbytes > _MAX_TEXT:
                raise InvalidOption(
                    f"{_shown(name, path)} is an array of text of {value.nbytes:,} bytes, more than the {_MAX_TEXT:,} "
                    "that are kept: give a list with .tolist(), or save it as a component of its own"
                )
            yield [list(path), {"numpy": dtype, "shape": list(value.shape)}]
            return
    elif not getattr(value, "shape", (1,)):
        return
    raise InvalidOption(
        f"{_shown(name, path)} is a {type(value).__module__}.{type(value).__qualname__} of {value.dtype}, which would "
        "come back as something else: give plain values with .tolist(), or save it as a component of its own"
    )


def _shown(name: str, path: _Path) -> str:
    return name + "".join(f"[{part!r}]" for part in path)


def _as_given(value: Any, form: Any) -> Any:
    if form == _NUMBER:
        return _non_finite(value)
    if isinstance(form, str):
        return _as_sequence(value, _SEQUENCES[form]) if form in _SEQUENCES else value
    if "order" in form:
        if not isinstance(value, dict) or sorted(form["order"]) != sorted(value):
            raise ValueError("its keys are others")
        return {key: value[key] for key in form["order"]}
    if "numpy" in form:
        return _as_array(value, form["numpy"], form["shape"])
    return value


def _non_finite(value: Any) -> float:
    """Return a number of its own: a set may hold several that are none."""
    if value not in NON_FINITE:
        raise ValueError("it is a number after all")
    return float(value)


def _as_sequence(value: Any, kind: type) -> Any:
    if not isinstance(value, list):
        raise ValueError(f"a {type(value).__name__} was not a {kind.__name__}")  # noqa: TRY004 -- as for the others
    if kind is not tuple and max(Counter(map(hash, value)).values(), default=0) > _MAX_ALIKE:
        raise ValueError(f"a {kind.__name__} of it could be made for ever")
    made = kind(value)
    if len(made) != len(value):
        raise ValueError(f"a {kind.__name__} holds nothing twice")
    return made


def _as_array(value: Any, dtype: str, shape: Sequence[int]) -> Any:
    """Return numpy's array or scalar; Python's numbers in lists where numpy is not installed."""
    if dtype not in _DTYPES:
        raise ValueError("there is no such dtype")
    if dtype == "str":
        sizes = [*map(len, _texts(value))]
        if 4 * max(sizes, default=0) * len(sizes) > _MAX_TEXT:
            raise ValueError("it would be too large as an array of text")
    numbers = value if dtype == "str" else _numbers(value)
    try:
        import numpy as np
    except ImportError:
        return numbers
    with np.errstate(all="ignore"):  # what is too large for the dtype is another number afterwards
        made = np.array(numbers, dtype=dtype).reshape(tuple(shape))
    if plain(made.tolist(), "it") != value:
        raise ValueError(f"as {dtype} of the shape {shape!r} it would be another one")
    return made if shape else made[()]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value
    else:
        raise ValueError("not all of it is text")  # noqa: TRY004 -- as for the others


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    return _non_finite(value) if isinstance(value, str) else value
