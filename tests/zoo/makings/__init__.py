"""The families of makings, a module each with a tuple ``MAKINGS``."""

from __future__ import annotations

import importlib
import pkgutil

from tests.zoo.making import Making


def families() -> list[str]:
    """Return the names of the families, in order."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__))


def makings(family: str) -> tuple[Making, ...]:
    """Return the makings of a family, whose libraries are imported for that."""
    found: tuple[Making, ...] = importlib.import_module(f"{__name__}.{family}").MAKINGS
    return found
