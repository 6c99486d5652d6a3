"""Find the trained names among the names of an input, or say precisely what is wrong with those.

Knows names only: no table, no array, no dtype.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from artifact_store.errors import FeatureMismatch
from artifact_store.features.columns import Columns, list_some, quote_names

Extra = Literal["ignore", "refuse"]

_MOST_GUESSES: Final = 50  # comparing texts is quadratic: thousands of unknown columns need no suggestions
_FILLERS: Final = re.compile(r"[\s_\-.]+")


@dataclass(frozen=True, slots=True)
class Matching:
    """How the caller wants an input to be matched; see :meth:`FeatureSchema.align`."""

    extra: Extra = "ignore"
    fill: Mapping[str, Any] = field(default_factory=dict)
    by_position: bool = False

    def places(self, columns: Columns, found: Sequence[Any]) -> Sequence[int | None]:
        """Return, for each trained name, its position in ``found``; ``None`` where ``fill`` has its value.

        Raises:
            FeatureMismatch: by name, one is missing or there twice, or one too many and ``extra`` refuses that; or the
                trained names are inferred, which justify no match by name. By position, there are more or fewer, or a
                trained name stands in the place of another.
        """
        if self.by_position:
            _check_order(columns, found)
            return range(len(found))
        return _by_name(columns, found, self.extra, self.fill)


def _by_name(columns: Columns, found: Sequence[Any], extra: Extra, fillable: Collection[str]) -> list[int | None]:
    if columns.inferred:
        raise FeatureMismatch(
            f"the names of the {len(columns.names)} features were inferred, so a table cannot be matched by them; "
            "pass by_position=True if its columns are in training order"
        )
    where: dict[str, int] = {}
    duplicate: dict[str, None] = {}
    unknown: list[str] = []
    for place, name in enumerate(found):
        if name not in columns.index:
            unknown.append(str(name))
        elif name in where:
            duplicate[name] = None
        else:
            where[name] = place
    missing = [name for name in columns.names if name not in where and name not in fillable]
    if not where:  # nothing but filled columns would be an invented row
        missing = list(columns.names)
    if missing or duplicate or (unknown and extra == "refuse"):
        raise _mismatch(columns, found, missing, list(duplicate), unknown)
    return [where.get(name) for name in columns.names]


def _check_order(columns: Columns, found: Sequence[Any]) -> None:
    """Raise unless ``found`` can be taken as the trained columns in their order, whatever it calls them."""
    if len(found) != len(columns.names):
        raise FeatureMismatch(f"expected {columns.expected}; got {len(found)}")
    moved = [name for place, name in enumerate(found) if columns.index.get(name, place) != place]
    if moved:
        raise FeatureMismatch(
            f"by_position=True, but {quote_names(moved)} stand in another place than in training; leave by_position "
            "away to match by name, or rename the columns",
            reordered=True,
        )


def suggest(missing: Sequence[str], unknown: Sequence[str]) -> dict[str, str]:
    """Return the likeliest of the unknown names for each missing one, where one is likely; none is used twice.

    Case, blanks, underscores, hyphens and dots are overlooked first, so the ``_`` that LightGBM writes for a blank is
    understood; only then does similarity count.
    """
    free = dict.fromkeys(unknown)
    guesses: dict[str, str] = {}
    plain: dict[str, str] = {}
    for name in unknown:
        plain.setdefault(_plain(name), name)
    for name in missing:
        twin = plain.get(_plain(name))
        if twin is not None and twin in free:
            guesses[name] = twin
            del free[twin]
    if len(missing) <= _MOST_GUESSES and len(unknown) <= _MOST_GUESSES:
        for name in missing:
            near = difflib.get_close_matches(name, free, n=1) if name not in guesses else []
            for guess in near:
                guesses[name] = guess
                del free[guess]
    return {name: guesses[name] for name in missing if name in guesses}


def _plain(name: str) -> str:
    return _FILLERS.sub("", name).casefold()


def _mismatch(
    columns: Columns, found: Sequence[Any], missing: list[str], duplicate: list[str], unknown: list[str]
) -> FeatureMismatch:
    suggestions = suggest(missing, unknown)
    parts = []
    if missing:
        parts.append(f"{len(missing)} of {len(columns.names)} features are missing: {_asked(missing, suggestions)}")
    if duplicate:
        parts.append(f"there more than once: {quote_names(duplicate)}")
    if unknown:
        parts.append(f"not known to the model: {quote_names(unknown)}")
    return FeatureMismatch(
        f"{'; '.join(parts)}. {_advice(columns, found, missing, duplicate, suggestions)}",
        missing=missing,
        extra=unknown,
        duplicate=duplicate,
        suggestions=suggestions,
    )


def _asked(missing: Sequence[str], suggestions: Mapping[str, str]) -> str:
    shown = [
        f"{name!r} (did you mean {suggestions[name]!r}?)" if name in suggestions else repr(name) for name in missing
    ]
    return list_some(shown)


def _advice(
    columns: Columns, found: Sequence[Any], missing: list[str], duplicate: list[str], suggestions: Mapping[str, str]
) -> str:
    if len(missing) == len(columns.names) == len(found) and not suggestions:  # else they may be in another order
        return "If the columns are in training order, say so with by_position=True"
    if missing:
        return "Rename the columns, or give values with fill={name: value}"
    return "Keep one column of each name" if duplicate else 'Drop the columns, or pass extra="ignore"'
