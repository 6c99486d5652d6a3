"""Which keys could not be copied to Windows: what the grammar of ``keys`` refuses may lie in a store all the same.

Another program may have written it, or it came with a copy.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from artifact_store.core.grammar import WINDOWS_DEVICE
from artifact_store.core.keys import MAX_KEY

_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')
_LONGEST: Final = 255  # characters of one part, on every file system that people use


def why_not_on_windows(key: str) -> tuple[str, str] | None:
    """Return how a key begins up to the first part that Windows could not hold, and why; ``None`` if it could."""
    parts = key.split("/")
    for depth, part in enumerate(parts, start=1):
        why = _why_not(part)
        if why is not None:
            return "/".join(parts[:depth]), why
    return (key, f"it is longer than {MAX_KEY} characters") if len(key) > MAX_KEY else None


@lru_cache(maxsize=4096)  # most names of files are those of many runs
def _why_not(part: str) -> str | None:
    if WINDOWS_DEVICE.fullmatch(part):
        return "Windows keeps this name for a device"
    if part.endswith((".", " ")):
        return "Windows drops a dot or a space at the end of a name"
    if _FORBIDDEN.search(part):
        return "it has a character that Windows allows in no name"
    return f"a part of it is longer than {_LONGEST} characters" if len(part) > _LONGEST else None
