"""What to say of a path at which nothing is: what may have been meant instead. Names of files only; opens none."""

from __future__ import annotations

import difflib
import os
from contextlib import suppress
from itertools import islice
from pathlib import Path

from artifact_store.wording import brief

_NEAR = 0.7
"""How alike two names have to be, as difflib counts it, for the one to be suggested for the other."""
_LOOKED_AT = 2000
"""Names in a folder."""


def nothing_at(path: Path) -> str:
    """Return that nothing is at ``path``, and what to do."""
    if near := near_to(path):
        return f"nothing is at {brief(str(path))}; did you mean {brief(str(near))}?"
    where = "" if path.is_absolute() else f", seen from the working directory {brief(os.getcwd())}"  # noqa: PTH109
    return f"nothing is at {brief(str(path))}{where}: give the path of a file or folder that is there"


def near_to(path: Path) -> Path | None:
    """Return the path of something with nearly the name of ``path``, beside it or beside the first folder missing."""
    for above, name in zip(path.parents, _names(path), strict=False):
        names: list[str] = []
        with suppress(OSError), os.scandir(above) as entries:  # a folder that may not be looked into
            names = [entry.name for entry in islice(entries, _LOOKED_AT)]
        if name in names:
            return None
        if names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=_NEAR)
            whole = above / near[0] / path.relative_to(above / name) if near else None
            return whole if whole is not None and os.path.lexists(whole) else None
    return None


def _names(path: Path) -> list[str]:
    """Return the name of a path, of the folder that it is in, and so on."""
    return [path.name, *(above.name for above in path.parents)]
