"""What a place is: its name, how it is started, and what is known of it beforehand. Nothing is started here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.proofs.places.room import Room


@dataclass(frozen=True)
class Opened:
    """A place that runs: the arguments that open a store there, and who can."""

    arguments: Mapping[str, Any]
    """As JSON can say them; ``filesystem`` describes one that is made and handed over."""
    version: str
    """Of the server, or of what keeps the bytes."""
    python: Path = field(default_factory=lambda: Path(sys.executable))
    shared: bool = True
    """Other processes see the same bytes."""
    clean: Callable[[], object] | None = None
    """Empties the root between two stores; without it each store gets a root of its own below the URL."""


@dataclass(frozen=True)
class Place:
    """One row of the matrix."""

    name: str
    title: str
    start: Callable[[Room], Opened]
    gaps: Mapping[str, str] = field(default_factory=dict)
    """What is expected to differ from the prediction, by the word that :mod:`trial` has for it, and why."""
