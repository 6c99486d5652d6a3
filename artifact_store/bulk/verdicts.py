"""What was found, as JSON and back: errors travel as values, with their code, their text and their plain attributes.

An error of a class that is not known here comes back as the nearest of its parents that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from artifact_store.errors import ArtifactStoreError
from artifact_store.problems import Problem

JSON = Any
"""What JSON can hold: text, finite numbers, true, false, nothing, lists and dictionaries with text as names."""
_UNSENT: Final = object()


def error_to_json(error: ArtifactStoreError) -> dict[str, JSON]:
    """Return an error as JSON."""
    told = {name: part for name, value in vars(error).items() if (part := _plain(value)) is not _UNSENT}
    return {
        "code": error.code,
        "kinds": [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, ArtifactStoreError)],
        "text": str(error.args[0]) if error.args else "",
        "details": told,
    }


def error_from_json(value: Mapping[str, JSON]) -> ArtifactStoreError:
    """Return the error again, without its cause."""
    known = {kind.__name__: kind for kind in _kinds(ArtifactStoreError)}
    kind = next((known[name] for name in value["kinds"] if name in known), ArtifactStoreError)
    error = kind.__new__(kind, value["text"])
    error.args = (value["text"],)
    vars(error).update({name: _tuples(detail) for name, detail in value["details"].items()})
    return error


def problems_to_json(problems: Iterable[Problem]) -> list[JSON]:
    """Return findings as JSON."""
    return [{"where": problem.where, "error": error_to_json(problem.error)} for problem in problems]


def problems_from_json(value: Sequence[JSON]) -> tuple[Problem, ...]:
    """Return the findings again."""
    return tuple(Problem(each["where"], error_from_json(each["error"])) for each in value)


def number_to_json(value: float | None) -> JSON:
    """Return a number as JSON, in which one that is not finite is text."""
    return str(value) if value is not None and not math.isfinite(value) else value


def number_from_json(value: JSON) -> float | None:
    """Return the number again."""
    return None if value is None else float(value)


def _kinds(kind: type[ArtifactStoreError]) -> Iterator[type[ArtifactStoreError]]:
    """Yield a class of errors and those below it; of one name the first that was made is the last."""
    for below in reversed(kind.__subclasses__()):
        yield from _kinds(below)
    yield kind


def _plain(value: object) -> JSON:
    """Return a value as JSON holds it, or that it cannot be sent."""
    if isinstance(value, Mapping):
        parts = {name: _plain(part) for name, part in value.items()}
        return parts if all(isinstance(name, str) for name in parts) and _sent(parts.values()) else _UNSENT
    if isinstance(value, list | tuple):
        items = [_plain(part) for part in value]
        return items if _sent(items) else _UNSENT
    if isinstance(value, float) and not math.isfinite(value):
        return _UNSENT
    return value if value is None or isinstance(value, str | int | float) else _UNSENT


def _sent(parts: Iterable[object]) -> bool:
    return all(part is not _UNSENT for part in parts)


def _tuples(value: JSON) -> Any:
    """Return a detail as errors hold it: sequences as tuples."""
    if isinstance(value, list):
        return tuple(map(_tuples, value))
    return {name: _tuples(part) for name, part in value.items()} if isinstance(value, dict) else value
