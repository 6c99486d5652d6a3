"""Messages that several modules share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def no_setting(what: str, unknown: Iterable[str], known: Iterable[str], *, others: str = "") -> str:
    """Return that there are no settings of these names, with the likeliest of the known ones.

    Then come all that are known, or ``others``: where to read of them, if they are too many.
    """
    known = list(known)
    asked = []
    for name in sorted(unknown):
        near = difflib.get_close_matches(name, known, n=1)
        asked.append(f"{name!r} (did you mean {near[0]!r}?)" if near else repr(name))
    others = others or f"there are {', '.join(known)}"
    return f"{what} has no setting {', '.join(asked)}; {others}"
