"""How much memory a file may take: a few bytes (a run length, a dictionary) may stand for any number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from zipfile import ZIP_STORED, ZipInfo

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


def check_stored(entries: Sequence[ZipInfo], size: int) -> None:
    """Raise ``ValueError`` if an archive of ``size`` bytes could become larger as it is read, or has a name twice."""
    if len({entry.filename for entry in entries}) != len(entries):
        raise ValueError("two entries have one name")
    for entry in entries:
        if entry.compress_type != ZIP_STORED or entry.file_size != entry.compress_size:
            raise ValueError(f"the entry {entry.filename[:40]!r} is compressed")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("the entries claim to be larger than the file")
