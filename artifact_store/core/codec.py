"""What a codec is: one kind of object ⇄ files in a directory, with a name, a version and a risk.

Owns the contract and the value types. Does not know keys, backends or manifests, and imports no codec.

Why: docs/decisions/0011-codecs-see-a-directory.md
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from artifact_store.errors import FeatureMismatch
from artifact_store.features.columns import quote_names

JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]


class Risk(enum.StrEnum):
    """What decoding may do, ordered from harmless to dangerous.

    ``DATA``: no code can run (numbers and text only). ``VETTED``: constructs only types from a fixed list
    that ships with the codec or that the caller gives. ``CODE``: decoding can run anything (pickle, joblib).
    """

    DATA = "data"
    VETTED = "vetted"
    CODE = "code"

    @property
    def level(self) -> int:
        """0 for data, 1 for vetted, 2 for code."""
        return list(Risk).index(self)


@dataclass(frozen=True, slots=True, order=True)
class CodecRef:
    """Which codec wrote a component, as recorded in the manifest."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}-{self.version}"


@runtime_checkable
class Codec(Protocol):
    """Turn one kind of object into files and back.

    What is decoded holds the same arrays, bit for bit, and predicts the same. Both methods touch only
    files named ``{stem}.*`` in ``directory`` (a directory may be named so, too). Nothing that ``decode``
    returns may depend on the directory any more: it is removed right afterwards.

    A codec is stateless and cheap to construct; the framework is imported inside the methods.
    A changed format is a new class with a higher ``version`` beside the old one, which keeps decoding.
    """

    name: ClassVar[str]
    """Lower case, ``[a-z][a-z0-9-]*``; recorded with the component."""
    version: ClassVar[int]
    """1 or more; recorded with the component."""
    risk: ClassVar[Risk]
    """Recorded with the component; enforced before decoding from the installed codec, never from the record."""
    types: ClassVar[tuple[str, ...]]
    """Dotted names (module and qualified name) of the classes that this codec is chosen for on save.

    They are compared with the names in the object's class hierarchy, so that choosing imports no framework.
    """
    extra: ClassVar[str | None]
    """The extra of the distribution that installs what this codec needs, or none."""

    def encode(self, obj: Any, directory: Path, stem: str) -> Mapping[str, JSON]:
        """Write ``{stem}.*`` below ``directory`` and return the options that ``decode`` will need.

        Raises:
            NotEncodable: the object cannot be held exactly.
            CodecUnavailable: the library is not installed.
        """
        ...

    def decode(self, directory: Path, stem: str, options: Mapping[str, JSON], *, into: Any | None = None) -> Any:
        """Read the object back; the bytes have been compared with the manifest's digests before.

        ``into`` is an object to fill instead of making a new one, for codecs that can.

        Raises:
            Corrupt: the files are not what ``encode`` writes.
            InvalidOption: ``into`` is not supported here, or does not fit.
            CodecUnavailable: the library is not installed.
        """
        ...


@runtime_checkable
class RefersToFiles(Protocol):
    """A codec of files that lie somewhere already, which need not be copied on their way into a store."""

    def sources(self, obj: Any, stem: str) -> tuple[Mapping[str, JSON], Mapping[str, Path]] | None:
        """Return the options, and each file by the name that ``encode`` would give it; ``None`` if ``obj`` is no file.

        Raises:
            NotEncodable: as ``encode``.
        """
        ...


@runtime_checkable
class KnowsInputs(Protocol):
    """A codec of models that know their own inputs; a save compares those with the features it is given."""

    def inputs(self, obj: Any) -> tuple[str, ...]:
        """Return the names of the model's inputs, in order, as the model spells them."""
        ...


@runtime_checkable
class KnowsLibraries(Protocol):
    """A codec that tells what its files depend on, so that a run can be compared with the environment it is loaded in.

    How far they depend on it follows from the codec's risk: see :mod:`artifact_store.core.compatibility`.
    """

    libraries: ClassVar[tuple[str, ...]]
    """Distributions by their normalised names (``scikit-learn``), of which decoding needs a fitting version."""


def libraries_of(codec: Codec) -> tuple[str, ...]:
    """Return what the files of a codec depend on; a codec that does not tell depends on nothing."""
    return codec.libraries if isinstance(codec, KnowsLibraries) else ()


@runtime_checkable
class KnowsCategories(Protocol):
    """A codec of models that recorded the categories they were trained on; a save compares those with its features."""

    def categories(self, obj: Any) -> Sequence[Sequence[object]]:
        """Return the categories of each input that was a column of categories, in the order of the inputs.

        Where the model was trained on bare codes it knows none, and this is empty.
        """
        ...


_MADE_UP = re.compile(r"Column_\d+")


def made_up(name: str) -> bool:
    """Tell whether a library made this name up: it says which place an input has, and nothing else."""
    return _MADE_UP.fullmatch(name) is not None


def as_libraries_spell(name: str) -> str:
    """Return a name without the signs that libraries replace."""
    return re.sub(r"\W", "_", name)


def check_inputs(component: str, inputs: Sequence[str], names: Sequence[str]) -> None:
    """Refuse features that are not the inputs of the model: another number, other names, another order.

    Names are compared without regard to signs, which libraries replace. Names that a library made up
    (``Column_0`` …) say nothing, so only their number counts.

    Raises:
        FeatureMismatch: the model would be fed with the wrong columns.
    """
    if len(inputs) != len(names):
        raise FeatureMismatch(
            f"{component!r} takes {len(inputs)} inputs, and the features that it is to get are {len(names)}"
        )
    if all(made_up(name) for name in inputs):
        return
    for place, (own, given) in enumerate(zip(inputs, names, strict=True)):
        if as_libraries_spell(own) != as_libraries_spell(given):
            raise FeatureMismatch(
                f"{component!r} was trained on {own!r} as input {place}, and the features say {given!r}: "
                "give the names in the order of training",
                reordered=sorted(inputs) == sorted(names),
                missing=[own] if own not in names else (),
                extra=[given] if given not in inputs else (),
            )


def check_categories(
    component: str,
    recorded: Sequence[Sequence[object]],
    names: Sequence[str],
    categories: Mapping[str, Sequence[object]],
) -> None:
    """Refuse features whose categories are not those that the model recorded: other lists, or in another order.

    A model knows a category by its place in the list, so another list means other categories. ``names`` are the
    features that the model is given, ``categories`` the lists of those that are columns of categories.

    Raises:
        FeatureMismatch: the model would take one category for another; ``dtype`` has both lists.
    """
    own = {name: list(categories[name]) for name in names if name in categories}
    if own and not recorded:
        raise FeatureMismatch(
            f"the features say that {quote_names(own)} hold categories, and {component!r} recorded none: it was "
            "trained on codes (an array, a polars or arrow table, a binary Dataset, a part of a Dataset not yet "
            "constructed), and nothing tells what they mean. Train it on the pandas table itself; or, if its input is "
            "to be these very codes, give features that say so: FeatureSchema(names, dtypes={name: 'int64'}). Where "
            "a preprocessor makes the codes, save it in the same run, as the component 'preprocessor'",
            dtype={name: ("codes without categories", _shown(values)) for name, values in own.items()},
        )
    if len(own) != len(recorded):
        raise FeatureMismatch(
            f"{component!r} was trained on {len(recorded)} columns of categories "
            f"({'; '.join(map(_shown, recorded[:3]))}), and the features know {len(own)}"
            f"{f' ({quote_names(own)})' if own else ''}: numbers would be taken for codes. {_FROM_FRAME}"
        )
    other = {name: values for (name, values), known in zip(own.items(), recorded, strict=True) if values != [*known]}
    if other:
        lists = dict(zip(own, recorded, strict=True))
        differences = "; ".join(
            f"of {name!r} it knows {_shown(lists[name])}, and the features {_shown(other[name])}" for name in other
        )
        raise FeatureMismatch(
            f"{component!r} was trained on other categories, or in another order, than the features say: "
            f"{differences}. {_FROM_FRAME}",
            dtype={name: (_shown(lists[name]), _shown(values)) for name, values in other.items()},
        )


_FROM_FRAME = "Describe the very table that it was trained on: FeatureSchema.from_frame(table)"


def _shown(values: Sequence[object]) -> str:
    return f"[{quote_names(values, most=5)}]"
