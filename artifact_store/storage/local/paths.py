"""Keys as paths below a root: of which parts they are, and which no operating system gets to see.

Keys are checked once more here, although the store made them: what is let through may name a file anywhere.
"""

from __future__ import annotations

import re

from artifact_store.errors import InvalidName
from artifact_store.storage.local import locks
from artifact_store.storage.local.new_file import TEMPORARY

Parts = tuple[str, ...]

_SUSPICIOUS = re.compile(rf"(?:^|/)(?:\.|/|$|{re.escape(locks.FOLDER)})|[\\:\0]")
"""Found in whatever :func:`_check` refuses, and in few other keys: most keys need no closer look."""


def parts_of_key(key: str) -> Parts:
    """Return the names of the folders that lead to a file, and its own.

    Raises:
        InvalidName: it leaves the root, means something to an operating system, or is one of the backend's own names.
    """
    parts = tuple(key.split("/"))
    if _SUSPICIOUS.search(key):
        _check(key, parts)
    return parts


def _check(key: str, parts: Parts) -> None:
    for part in parts:
        if part in {"", ".", ".."}:
            raise InvalidName("key", key, "it has an empty segment, '.' or '..'")
        if any(sign in part for sign in "\\:\0"):
            raise InvalidName("key", key, "a backslash, colon or NUL means something to an operating system")
        if part.startswith(TEMPORARY):
            raise InvalidName("key", key, f"{TEMPORARY!r} begins the names of unfinished files")
    if parts[0] == locks.FOLDER:
        raise InvalidName("key", key, f"{locks.FOLDER!r} holds the locks")


def parts_of_prefix(prefix: str) -> Parts:
    """Return the names of the folders that lead to what is below ``prefix``; ``InvalidName`` as for a key."""
    if not prefix:
        return ()
    if not prefix.endswith("/"):
        raise InvalidName("prefix", prefix, "it is neither empty nor does it end in '/'")
    return parts_of_key(prefix[:-1])
