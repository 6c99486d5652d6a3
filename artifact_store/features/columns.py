"""What is known about the columns that a model was trained on, as one frozen value, and the words for their dtypes.

Owns the vocabulary that a schema is written in. Touches no data and imports no framework.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Category = str | int
"""One category of a column; all of one column are of the same of the two types."""

Policy = Literal["allow", "refuse"]
Unseen = Literal["refuse", "missing"]
Missing = Literal["nan", "none", "NA"]
"""What stands for a missing value in a column of text: NaN, ``None`` (or null), ``pandas.NA``."""

FLOATS: Final = ("float16", "float32", "float64")
INTEGERS: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NUMBERS: Final = (*FLOATS, *INTEGERS, "bool")
DTYPES: Final = (*NUMBERS, "string", "category")
"""Every dtype that a schema can record. ``category`` goes with an ordered list of categories."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that an input has to provide, in training order.

    ``index`` gives the place of a name, ``kinds`` the dtype at each place, ``not_numbers`` the text and categories.
    ``expected`` says how wide an array has to be; ``inferred`` that the names are not the user's, so that
    nothing may be matched by them. ``missing`` says what columns of text had for a missing value, where that is known.
    What a mapping says of other columns is left out.
    """

    names: tuple[str, ...]
    dtypes: Mapping[str, str]
    categories: Mapping[str, tuple[Category, ...]]
    nan: Policy
    inf: Policy
    unseen: Unseen
    inferred: bool
    expected: str
    missing: Mapping[str, Missing] = field(default_factory=dict)
    index: Mapping[str, int] = field(init=False, repr=False, compare=False)
    kinds: tuple[str | None, ...] = field(init=False, repr=False, compare=False)
    not_numbers: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for part in ("dtypes", "categories", "missing"):
            known = getattr(self, part)
            object.__setattr__(self, part, {name: known[name] for name in self.names if name in known})
        index = {name: place for place, name in enumerate(self.names)}
        object.__setattr__(self, "index", MappingProxyType(index))
        object.__setattr__(self, "kinds", tuple(self.dtypes.get(name) for name in self.names))
        not_numbers = tuple(name for name, dtype in self.dtypes.items() if dtype not in NUMBERS)
        object.__setattr__(self, "not_numbers", not_numbers)

    @property
    def needs_pandas(self) -> bool:
        """Whether no table but one of pandas can hold them as in training: categories, or text with NaN or NA in it."""
        return bool(self.categories) or any(form != "none" for form in self.missing.values())

    @property
    def strict(self) -> bool:
        """Whether there are values that the model must not be given."""
        return "refuse" in (self.nan, self.inf)


def quote_names(names: Iterable[object], *, most: int = 10) -> str:
    """Return names for a message: quoted, and cut after ``most`` of them."""
    return list_some([repr(name) for name in names], most)


def list_some(shown: Sequence[str], most: int = 10) -> str:
    """Return the first of what is to be shown in a message, and how many there are besides."""
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + rest
