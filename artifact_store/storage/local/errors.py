"""What the operating system refuses, said in the terms of the backend contract. Knows paths, not keys."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Corrupt,
    InvalidName,
    StorageFull,
    TooManyOpenFiles,
    Unreachable,
    Unsupported,
)
from artifact_store.storage.descriptors import ADVICE, EXHAUSTED

_IN_USE = {5, 32, 33}  # of Windows: access denied, sharing violation, lock violation
_MEANINGS: tuple[tuple[set[int], type[ArtifactStoreError], str], ...] = (
    ({errno.ENOSPC, errno.EDQUOT}, StorageFull, "Nothing was changed; make room and try again"),
    (
        {errno.EACCES, errno.EPERM, errno.EROFS},
        AccessDenied,
        "This user may not do it there; correct the permissions or the mount",
    ),
    (set(EXHAUSTED), TooManyOpenFiles, ADVICE),
    ({errno.EFBIG}, Unsupported, "This file system, or a limit of this process, holds no file as large"),
    ({errno.ELOOP, errno.EISDIR, errno.ENXIO}, Corrupt, "Below the root of a store are plain files and folders only"),
    ({errno.ENOENT, errno.ENOTDIR}, Unreachable, "Another process removed or moved it meanwhile; try again"),
)


@contextlib.contextmanager
def translated(path: Path | str, *, absence: bool = False) -> Iterator[None]:
    """Raise our own error for any ``OSError``; with ``absence``, let ENOENT and ENOTDIR through."""
    try:
        yield
    except ArtifactStoreError:  # some are OSErrors as well
        raise
    except OSError as error:
        if absence and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise
        raise _meaning(error, path) from error


def in_use(error: OSError) -> bool:
    """Return whether Windows refused because some program has the file open, or may have.

    What goes through the C runtime, ``os.open`` for one, has no Windows code (``None``) and EACCES for all of these.
    """
    code = getattr(error, "winerror", 0)  # only on Windows
    return code in _IN_USE or (code is None and error.errno == errno.EACCES)


def _meaning(error: OSError, path: Path | str) -> ArtifactStoreError:
    said = f"{path}: {error.strerror or error}"
    if in_use(error):
        return Unreachable(f"{said}. Another program has it open, or you may not use it; try again")
    if error.errno == errno.ENAMETOOLONG:
        return InvalidName("path", str(path), "it is too long for this file system; use a root closer to the top")
    for codes, kind, advice in _MEANINGS:
        if error.errno in codes:
            return kind(f"{said}. {advice}")
    return Unreachable(f"{said}. The file system could not do it now; try again")
