"""The command that installs what an extra of a distribution installs, wherever the distribution itself came from.

``pip install artifact-store[s3]`` works where an index has the distribution, and not beside a clone; naming the
libraries works in both. The quotes are those that every shell knows, Windows' included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["pip_install"]

_OURS = re.compile(r"(artifact-store(?:-models)?)\[([\w, -]+)\]")


def pip_install(extra: str, *, of: str = "artifact-store", upgrade: bool = False) -> str:
    """Return the command: with the libraries that the installed distribution ``of`` names for ``extra``.

    Where they are not known, since it runs without having been installed, the extra itself is named.
    """
    from importlib.metadata import PackageNotFoundError

    try:
        words = " ".join(f'"{library}"' for library in dict.fromkeys(_libraries(of, extra)))
    except PackageNotFoundError:
        words = ""
    return f"pip install {'--upgrade ' if upgrade else ''}" + (words or f'"{of}[{extra}]"')


def _libraries(distribution: str, extra: str) -> Iterator[str]:
    """Yield the requirements of an extra; of another extra of ours, what that requires."""
    from importlib.metadata import requires

    marker = re.compile(rf"""\bextra *== *["']{re.escape(extra)}["']""")
    for need in requires(distribution) or ():
        library, _, when = need.partition(";")
        if not marker.search(when):
            continue
        ours = _OURS.match(library)
        if ours is None:
            yield library.strip()
        else:
            for inner in ours[2].split(","):
                yield from _libraries(ours[1], inner.strip())
