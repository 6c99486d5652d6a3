"""Limits of time and memory for reading one old file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALWAYS_ALLOWED: Final = 32 << 20
"""Bytes to which any compressed file may expand."""
MAX_RATIO: Final = 100
"""How many times its size a larger one may expand to. Model texts and arrays come to 20 at most, bombs to 1000."""


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

    def expansion(self, stored: int) -> int:
        """Return the bytes to which so many compressed ones may expand."""
        return min(self.size, max(ALWAYS_ALLOWED, MAX_RATIO * stored))


LIMITS: Final = Limits()
