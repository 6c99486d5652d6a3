"""The home folder in paths, as people type it: ``~/models`` means what it means to a shell.

Configurations, environment variables and ``--store=~/models`` reach no shell that would replace it, and a folder
called ``~`` in the working directory is not what was meant. That one is ``./~``.
"""

from __future__ import annotations

import os
from pathlib import Path

from artifact_store.errors import InvalidOption


def at_home(path: str | os.PathLike[str]) -> Path:
    """Return the path, with the home folder for a leading ``~`` or ``~user``. Nothing else in it is replaced.

    Raises:
        InvalidOption: the system knows no such home.
    """
    text = os.fspath(path)
    try:
        return Path(text).expanduser() if text.startswith("~") else Path(text)  # Path("./~") is Path("~")
    except RuntimeError as error:
        raise InvalidOption(
            f"{text!r} begins with a home folder that this system does not know: write the whole path"
        ) from error
