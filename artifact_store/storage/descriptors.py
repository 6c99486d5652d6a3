"""Files and connections of which a process has no more to open: how that is known, and what to do about it.

It passes: others are closed meanwhile. So it is ``Unavailable``, wherever it is noticed, and never a matter of
permissions, of damage or of options.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from artifact_store.errors import ArtifactStoreError, TooManyOpenFiles

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})
ADVICE = (
    "This process, or the system, has as many files and connections open as it may. Run fewer jobs at once, close what "
    "is not needed, or allow more (ulimit -n), then try again"
)
_WORDS = re.compile(r"\btoo ?many ?open ?files\b", re.IGNORECASE)
_NUMBERS = {  # as Rust has them: of Windows 23 is a CRC error, and 24 a bad length
    "posix": re.compile(r"\bos error (?:23|24)\b"),
    "nt": re.compile(r"\bos error (?:4|10024)\b"),
}


def told_by(words: str, *, system: str = os.name) -> bool:
    """Whether a client that keeps no number says so."""
    return _WORDS.search(words) is not None or _NUMBERS[system].search(words) is not None


def exhausted() -> bool:
    """Whether no file can be opened now: for failures of which the words may be wrong."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in EXHAUSTED
    return False


@contextmanager
def exhaustion_told() -> Iterator[None]:
    """Raise ``TooManyOpenFiles`` where Python itself, or a library, could open no more; also to decorate a function."""
    try:
        yield
    except ArtifactStoreError:  # some are OSErrors as well
        raise
    except OSError as error:
        if error.errno not in EXHAUSTED and not exhausted():  # tempfile says that there is no folder
            raise
        raise TooManyOpenFiles(f"{error}. {ADVICE}") from error
