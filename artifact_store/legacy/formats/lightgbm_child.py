"""A program of its own: read a LightGBM text from one file, and write LightGBM's own spelling of it into another.

LightGBM's parser is not memory-safe, so an untrusted text is parsed here, in a process that may crash. It runs as
``python -I lightgbm_child.py SOURCE TARGET BYTES [sys.path ...]``; this package is not imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

MISSING = 3
"""Exit code: lightgbm is not installed."""
NOT_WRITTEN = 4
"""Exit code: the target could not be written; the number of the error is the last line of stderr."""


def limit(memory: int) -> None:
    """Bound memory, files and core dumps, where the platform can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is what there is
        return
    for kind, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def normalise(source: str, target: str, memory: str, *path: str) -> int:
    """Return 0 if the text was read, written, and read again as the same."""
    sys.path[:] = path
    sys.modules.update(dict.fromkeys(("sklearn", "pandas")))  # type: ignore[arg-type]  # optional, and slow to import
    limit(int(memory))
    try:
        import lightgbm
    except ImportError:
        return MISSING
    booster = lightgbm.Booster(model_str=Path(source).read_bytes().decode("utf-8"))
    text = booster.model_to_string(num_iteration=-1)
    if lightgbm.Booster(model_str=text).model_to_string(num_iteration=-1) != text:
        return 1
    try:
        Path(target).write_bytes(text.encode("utf-8"))
    except OSError as error:
        sys.stderr.write(f"{error.errno}\n")
        return NOT_WRITTEN
    return 0


if __name__ == "__main__":
    sys.exit(normalise(*sys.argv[1:]))
