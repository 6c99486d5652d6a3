"""How much memory a table may take: a few bytes (a run length, a dictionary) may stand for any number of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from artifact_store.errors import Corrupt

ALWAYS_ALLOWED: Final = 256 << 20
"""Bytes that any table may have in memory."""
MAX_RATIO: Final = 1000
"""How many times the size of its file a larger one may have: real tables come to 100, bombs to millions."""
ANY_WIDTH: Final = 16
"""Bytes that a value of no fixed size takes beside its text, at most."""


def expanded_limit(path: Path) -> int:
    """Return how many bytes the table in this file may have in memory."""
    return max(ALWAYS_ALLOWED, MAX_RATIO * path.stat().st_size)


def check_expanded_size(path: Path, size: int) -> None:
    """Raise ``Corrupt`` if the table in this file would have too many bytes in memory."""
    limit = expanded_limit(path)
    if size > limit:
        raise Corrupt(f"{path.name} would expand to {size:,} bytes, more than the {limit:,} that such a file may")
