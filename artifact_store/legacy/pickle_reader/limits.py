"""Limits of time and memory for reading one old file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for one old file: far above any model, and low enough to stop a decompression bomb."""

    size: int = 1 << 30
    """Bytes of the file, and again of what a compressed one expands to."""
    steps: int = 4_000_000
    """Opcodes of a pickle, and with them objects."""
    depth: int = 100
    """How deeply containers may be nested."""
    expanded: int = 1 << 31
    """Bytes of the whole tree when each part is counted as often as it occurs."""
    numeric_keys: int = 4_000
    """Keys that are not text: their hashes can be chosen to collide."""


LIMITS: Final = Limits()
