"""Names of the files of a run, and the one name that each has in keys.

A file has the name that people gave it, ``Modell (März).json``, in manifests and wherever it is downloaded. In keys it
has a name that every storage holds: ``A-Z a-z 0-9`` and `` ._+=@-`` stand for themselves, and every other character
becomes ``;XX`` for each byte of its UTF-8, in upper-case digits. A part that would then begin with one of ``+=@-`` has
that escaped as well. Each name has one such spelling, and a name without other characters is its own.

Taken is what Linux, macOS and Windows can all hold, in one form of Unicode (NFC).

Why: docs/decisions/0023-file-names-of-people.md
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from artifact_store.core.grammar import NO_DEVICE, WINDOWS_DEVICE
from artifact_store.core.symbols import escaped, is_unseen
from artifact_store.errors import InvalidName

ESCAPED_FILES: Final = "file-names"
"""What a manifest names in ``must_understand`` if a file of the run has another name in keys."""

_LONGEST: Final = 100
_OTHER = re.compile(r"[^A-Za-z0-9 ._+=@-]")
_FORBIDDEN = re.compile(r'[<>:"|?*\\]')
_SHORT = re.compile(r"[^.]{1,7}~[0-9]{1,6}(?:\.[^.]{0,3})?")
_BEGINS = re.compile(r"[A-Za-z0-9_;]")


def check_parts(path: str) -> None:
    """Raise ``InvalidName`` unless every part of ``path``, between the ``/``, is a name that every platform holds."""
    for part in path.split("/"):
        if (why := _why_not(part)) is not None:
            raise InvalidName("file name", path, why)
    if (normal := composed(path)) != path:
        raise InvalidName(
            "file name", path, "it is not in the normal form NFC: macOS could not tell the two apart", suggestion=normal
        )


def _why_not(part: str) -> str | None:
    if not part or part.startswith("."):
        return "a part of it is empty, or begins with '.'"
    if part != part.strip(" ") or part.endswith("."):
        return "a part of it begins or ends with a space, or ends in '.', which Windows drops"
    if _FORBIDDEN.search(part) or is_unseen(part.replace(" ", "")):
        return 'it has one of < > : " | ? * \\ in it, which Windows does not allow, or a character that cannot be seen'
    if WINDOWS_DEVICE.fullmatch(part):
        return NO_DEVICE
    if len(part) > _LONGEST:
        return f"a part of it is longer than {_LONGEST} characters"
    return "Windows may take it for the short name of another file" if _SHORT.fullmatch(part) else None


def composed(path: str) -> str:
    """Return the form of a name that is stored: two spellings of one accent are one name."""
    return unicodedata.normalize("NFC", path)


def folded(path: str) -> str:
    """Return what two names have in common that Windows or macOS could not tell apart."""
    return composed(composed(path).upper().casefold())


def stored_name(path: str) -> str:
    """Return the name within its run that a file is stored under: how its name is spelled in keys."""
    return "/".join(map(_spelled, path.split("/")))


def is_spelled_otherwise(paths: Iterable[str]) -> bool:
    """Tell whether one of these names has another name in keys."""
    return any(stored_name(path) != path for path in paths)


def _spelled(part: str) -> str:
    text = _OTHER.sub(lambda match: escaped(match[0]), part)
    return text if _BEGINS.match(text) else escaped(text[:1]) + text[1:]
