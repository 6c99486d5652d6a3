"""The fields of a feature schema, checked once: as a caller gives them, and as JSON brings them back.

Every function returns the field in its one stored form or raises. Knows neither tables nor alignment.
"""

from __future__ import annotations

import difflib
import operator
from collections import Counter
from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Any, Final, get_args

from artifact_store.errors import Corrupt, InvalidInput, InvalidOption
from artifact_store.features.columns import DTYPES, Category, Missing, quote_names
from artifact_store.wording import brief

_INT64: Final = 1 << 63

KNOWN: Final[Mapping[str, tuple[type, ...]]] = {
    "names": (list,),
    **dict.fromkeys(("selected", "selected_names"), (list, NoneType)),
    **dict.fromkeys(("selection_after_preprocessing", "inferred"), (bool,)),
    **dict.fromkeys(("dtypes", "categories", "missing"), (Mapping,)),
    **dict.fromkeys(("nan", "inf", "unseen", "reason"), (str,)),
    "observation": (Mapping, NoneType),
}
"""The fields of the JSON form and the types that they may have."""


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of all inputs."""
    if isinstance(names, str | bytes):
        raise InvalidInput(f"names is a list of texts; {names!r} is a single one")
    check_several("names", names)
    known = tuple(check_is_text(name, "the name of a feature") for name in names)
    if not known or "" in known:
        raise InvalidInput("a model has at least one feature, and each has a name that is not empty")
    _check_once(known, "the names of features are unique; there more than once")
    return known


def check_selection(names: tuple[str, ...], selected: Iterable[int | str] | None) -> tuple[int, ...]:
    """Return the positions of a selection that is given by position or by name; nothing selected means all."""
    if isinstance(selected, str | bytes):
        raise InvalidInput(f"selected is a list of positions or names; {selected!r} is a single one")
    index = {name: place for place, name in enumerate(names)}
    places = []
    for item in check_several("selected", () if selected is None else selected):
        place = index.get(item) if isinstance(item, str) else check_whole(item, "a selected position")
        if place is None or not 0 <= place < len(names):
            near = difflib.get_close_matches(item, names, n=1) if isinstance(item, str) else []
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            there = "" if near else f": they are {quote_names(names)}"
            raise InvalidInput(
                f"{item!r}{hint} is selected, but the {len(names)} features have no such name or position{there}"
            )
        places.append(place)
    _check_once([names[place] for place in places], "selected more than once")
    return tuple(places or range(len(names)))


def check_category_lists(
    names: tuple[str, ...], categories: Mapping[str, Iterable[Category]]
) -> dict[str, tuple[Category, ...]]:
    """Return the ordered categories of those columns that have any."""
    _check_known(names, categories, "categories")
    return {name: _one_list(name, categories[name]) for name in names if name in categories}


def check_dtypes(
    names: tuple[str, ...], dtypes: Mapping[str, str] | str | None, categories: Mapping[str, object]
) -> dict[str, str]:
    """Return the dtypes that are known; that of a column with categories is ``category``, and no other's."""
    if dtypes is None or isinstance(dtypes, str):
        given = {name: dtypes for name in names if dtypes is not None and name not in categories}
    else:
        _check_known(names, dtypes, "dtypes")
        given = {name: str(dtypes[name]) for name in names if name in dtypes}
    for name, dtype in given.items():
        if dtype not in DTYPES:
            raise InvalidInput(f"{name!r} cannot have the dtype {dtype!r}; there are: {', '.join(DTYPES)}")
        if (dtype == "category") != (name in categories):
            raise InvalidInput(f"{name!r} has the dtype {dtype!r}; 'category' and a list of categories go together")
    merged = given | dict.fromkeys(categories, "category")
    return {name: merged[name] for name in names if name in merged}


def check_missing(
    names: tuple[str, ...], missing: Mapping[str, Missing], dtypes: Mapping[str, str]
) -> dict[str, Missing]:
    """Return what stands for a missing value in the columns of text of which it is known."""
    _check_known(names, missing, "missing values")
    for name, form in missing.items():
        if form not in get_args(Missing) or dtypes.get(name) != "string":
            raise InvalidInput(
                f"missing says of columns of text what stands for a missing value there, one of "
                f"{', '.join(map(repr, get_args(Missing)))}; {name!r} is {dtypes.get(name, 'of no dtype')}: {form!r}"
            )
    return {name: missing[name] for name in names if name in missing}


def check_whole(value: object, what: str) -> int:
    """Return an integer of whatever library as Python's; a bool is refused."""
    whole = _whole(value)
    if whole is None:
        raise InvalidInput(f"{what} is a whole number, not {value!r} (turn a mask into positions)")
    return whole


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}:  # numpy's, which it takes for 0 or 1
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def check_is_text(value: object, what: str) -> str:
    """Return a text that can be stored."""
    if not isinstance(value, str):
        raise InvalidInput(f"{what} is a text, not {value!r} ({type(value).__name__})")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what} holds a lone surrogate, which cannot be stored: {value!r}") from error
    return str(value)


def check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise unless ``value`` is one of the choices."""
    if value not in choices:
        raise InvalidOption(f"{option} is one of {', '.join(map(repr, choices))}, not {value!r}")


def read_fields(value: object) -> dict[str, Any]:
    """Return the known fields of a schema's JSON, with the types that they must have; those left out are absent.

    Raises:
        Corrupt: it is not an object, has no names, or a field has another type.
    """
    if not isinstance(value, Mapping):
        raise Corrupt(f"a feature schema is a JSON object, not {type(value).__name__}")
    if "names" not in value:
        raise Corrupt("a feature schema needs the names of its features")
    fields = {name: value[name] for name in KNOWN if name in value}
    for name, part in fields.items():
        if not isinstance(part, KNOWN[name]):
            raise Corrupt(f"the field {name!r} of a feature schema cannot be a {type(part).__name__}")
    for name, part in fields.get("categories", {}).items():
        if not isinstance(part, list):
            raise Corrupt(f"the categories of {name!r} are a list, not a {type(part).__name__}")
    if any(not isinstance(place, int) for place in fields.get("selected") or ()):
        raise Corrupt("the selection of a feature schema is a list of positions")
    return fields


def check_several(option: str, value: object) -> Iterable[Any]:
    """Return ``value`` if it holds several things, whatever they are."""
    if not isinstance(value, Iterable):
        raise InvalidInput(f"{option} is a list, not {value!r}")
    return value


def _check_known(names: tuple[str, ...], given: Mapping[str, object], what: str) -> None:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{what} are given by the names of their features, not as {given!r}")
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InvalidInput(f"{what} are given for {quote_names(unknown)}, which is not a feature")


def _one_list(name: str, values: Iterable[Category]) -> tuple[Category, ...]:
    if isinstance(values, str | bytes):
        raise InvalidInput(f"the categories of {name!r} are a list; {values!r} is a single text")
    found = list(values)
    if not found:
        raise InvalidInput(f"the categories of {name!r} are an empty list; give those of training")
    known = tuple(_one_category(name, value, text=isinstance(found[0], str)) for value in found)
    _check_once(known, f"the categories of {name!r} are unique; there more than once")
    return known


def _one_category(name: str, value: object, *, text: bool) -> Category:
    """Return one of the categories of a column, which are all text or all whole numbers."""
    if text and isinstance(value, str):
        return check_is_text(value, f"a category of {name!r}")
    whole = None if text else _whole(value)
    if whole is None:
        raise InvalidInput(
            f"categories are all text or all whole numbers, and those of {name!r} hold {brief(value)} "
            f"({type(value).__name__}): convert the column to text or to whole numbers before training"
        )
    if not -_INT64 <= whole < _INT64:
        raise InvalidInput(f"a category of {name!r} is out of the range of 64 bits")
    return whole


def _check_once(values: Iterable[Any], what: str) -> None:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise InvalidInput(f"{what}: {quote_names(twice)}")
