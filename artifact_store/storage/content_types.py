"""What a bucket tells a browser of an object: the type of a page of a report, and nothing of anything else.

A file of a run is never said to be a page, whatever its name is: a browser would run what it holds.
"""

from __future__ import annotations

from typing import Final

from artifact_store.core import keys

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
}


def content_type(key: str) -> str | None:
    """Return the type of an object of a report, in the store itself or in a place of its own; else ``None``."""
    return _TYPES[key.rpartition(".")[2]] if keys.is_of_report(key.removeprefix(keys.REPORT)) else None
