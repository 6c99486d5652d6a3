"""The home folder in paths, as people type it: ``~/models`` means what it means to a shell.

Configurations, environment variables and ``--store=~/models`` reach no shell that would replace it, and a folder
called ``~`` in the working directory is not what was meant. That one is ``./~``.
"""

from __future__ import annotations

import os
from pathlib import Path

from artifact_store.errors import InvalidOption
from artifact_store.wording import brief


def text_of(path: object) -> str:
    """Return a path as text; raise ``InvalidOption`` for what is none."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or "\0" in text:
        raise InvalidOption(f"a path is text or a pathlib.Path, without a null character, not {brief(path)}")
    return text


def at_home(path: str | os.PathLike[str]) -> Path:
    """Return the path, with the home folder for a leading ``~`` or ``~user``. Nothing else in it is replaced.

    Raises:
        InvalidOption: the system knows no such home, or it is no path at all.
    """
    text = text_of(path)
    try:
        return Path(text).expanduser() if text.startswith("~") else Path(text)  # Path("./~") is Path("~")
    except RuntimeError as error:
        raise InvalidOption(
            f"{brief(text)} begins with a home folder that this system does not know: write the whole path"
        ) from error
