"""Room that there is no more of for temporary files: how that is known, and what can be done about it.

Some libraries keep only the words of an error, and Windows has numbers of its own for what these words say. What helps
depends on the disk: another folder does not where files wait on the disk of the store in which they are to stay.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from artifact_store.errors import AccessDenied, ArtifactStoreError, StagingUnavailable, StorageFull, Unsupported

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_CODES: Final = (*FULL, errno.EFBIG)
_FORBIDDEN: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


class _Words(NamedTuple):
    """How a system says it: its own numbers, and the texts of its C library, each with the ``errno`` that it means."""

    numbers: dict[int, int]
    texts: dict[str, int]


_NUMBER: Final = re.compile(r"\b(?:os |win|windows )error (\d+)\b", re.IGNORECASE)  # as Rust, Python and Arrow have it
_WINDOWS: Final = _Words(
    numbers={39: errno.ENOSPC, 112: errno.ENOSPC, 223: errno.EFBIG, 1295: errno.EDQUOT},
    texts={"No space left on device": errno.ENOSPC, "File too large": errno.EFBIG},  # it has none for a quota
)
_POSIX: Final = _Words(numbers={code: code for code in _CODES}, texts={os.strerror(code): code for code in _CODES})


class _Advice(NamedTuple):
    full: str
    large: str
    unusable: str


_ANYWHERE: Final = _Advice(
    full="Make room there, or name a folder on a larger disk with staging=FOLDER, or in the environment variable "
    "TMPDIR",
    large="The file system, or a limit of this process (ulimit -f), holds no file as large; choose another folder with "
    "staging=FOLDER, or raise the limit",
    unusable="Make the folder and let this user write to it, or name another one with staging=FOLDER, or in the "
    "environment variable TMPDIR",
)
_IN_A_STORE: Final = _Advice(
    full="What is saved has to fit there: make room on the disk of the store",
    large="The file system of the store, or a limit of this process (ulimit -f), holds no file as large; raise the "
    "limit, or keep the store on another file system",
    unusable="Keep programs that clean up away from it, and look after the disk of the store",
)


def code_of(words: str, *, system: str = os.name) -> int | None:
    """Return the ``errno`` of what an error without a number says, if that is that there was no room for a file."""
    known = _WINDOWS if system == "nt" else _POSIX
    for number in _NUMBER.findall(words):
        if (code := known.numbers.get(int(number))) is not None:
            return code
    return next((code for text, code in known.texts.items() if text in words), None)


def missing(error: BaseException | None) -> int | None:
    """Return the ``errno`` of an error, or of one that led to it, if it says that there was no room for a file."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _CODES:
            return error.errno
        if (code := code_of(str(error))) is not None:
            return code
        error = error.__cause__ or error.__context__
    return None


def refuse_staging(folder: Path, error: Exception, code: int | None, *, of_a_store: bool = False) -> NoReturn:
    """Say what is wrong with ``folder`` according to ``code``, and what to do; it may be below the root of a store.

    Raises:
        StorageFull: there is no room.
        Unsupported: a file became larger than is possible there.
        AccessDenied: this user may not write to the store.
        StagingUnavailable: anything else.
    """
    raise _meaning(folder, f"{type(error).__name__}: {error}", code, of_a_store=of_a_store) from error


def _meaning(folder: Path, said: str, code: int | None, *, of_a_store: bool) -> ArtifactStoreError:
    advice = _IN_A_STORE if of_a_store else _ANYWHERE
    if code in FULL:
        return StorageFull(f"no room is left for temporary files in {folder} ({said}). {advice.full}")
    if code == errno.EFBIG:
        return Unsupported(f"a temporary file in {folder} became too large ({said}). {advice.large}")
    if of_a_store and code in _FORBIDDEN:
        return AccessDenied(
            f"{folder} cannot be written ({said}). This user may not do it there; correct the permissions or the mount"
        )
    return StagingUnavailable(f"temporary files cannot be written in {folder} ({said}). {advice.unusable}")
