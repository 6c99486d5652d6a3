"""Which families of models are installed, by entry point: group ``artifact_models.families``, named after the type.

Does not know the adapters: the caller passes the class that a family has to inherit from. A family of another
distribution is used like one of this package, and is imported when it is asked for.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from artifact_store import errors

GROUP: Final = "artifact_models.families"


def model_types() -> list[str]:
    """Return the model types that there is a family for, in order."""
    return sorted(_installed(tuple(sys.path)))


def class_name(model_type: str) -> str:
    """Return what the adapter of a known family is called, without importing it."""
    return _installed(tuple(sys.path))[model_type][0].attr


def family_class(model_type: str, base: type[Any]) -> type[Any]:
    """Return the class of the family for a model type, which inherits from ``base``.

    Raises:
        PredictorUnavailable: there is no family of this type, or it cannot be used.
    """
    found = _installed(tuple(sys.path)).get(model_type, ())
    if not found:
        raise errors.PredictorUnavailable(
            f"no installed family predicts with models of the type {model_type!r}; there are "
            f"{', '.join(model_types())}. run.load() gives the stored object itself; a family of your own is an "
            f"adapter in the group {GROUP!r}"
        )
    if len(found) > 1:
        owners = " and ".join(sorted(_owner(entry) for entry in found))
        raise errors.PredictorUnavailable(f"{owners} both provide the family {model_type!r}: uninstall one of them")
    return _imported(model_type, found[0], base)


def _imported(model_type: str, entry: EntryPoint, base: type[Any]) -> type[Any]:
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise errors.PredictorUnavailable(
            f"the family {model_type!r} of {_owner(entry)} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    is_family = isinstance(found, type) and issubclass(found, base)
    if not is_family or found.model_type != model_type:
        raise errors.PredictorUnavailable(
            f"the family {model_type!r} of {_owner(entry)} is not a subclass of {base.__name__} with this model_type"
        )
    family: type[Any] = found
    return family


@lru_cache(maxsize=4)
def _installed(path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """Return what is installed on this path, which is read once."""
    del path
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"
