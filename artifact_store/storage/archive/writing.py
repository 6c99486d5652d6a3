"""Write an export: the same objects always make the same bytes, on every system and with every Python."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

from artifact_store import private_files
from artifact_store.core import keys
from artifact_store.errors import InvalidOption
from artifact_store.storage.home import at_home
from artifact_store.storage.local.errors import translated

_MADE: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_PLAIN_FILE: Final = 0o100644 << 16


class ArchiveWriter:
    """A zip file that is being written, entry by entry, in the order of their names."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    @contextmanager
    def entry(self, key: str, size: int) -> Iterator[IO[bytes]]:
        """Yield what to write the ``size`` bytes of an object to."""
        info = zipfile.ZipInfo(key, _MADE)
        info.create_system, info.external_attr, info.file_size = _UNIX, _PLAIN_FILE, size
        with self._file.open(info, "w") as sink:
            yield sink


@contextmanager
def written_at(path: Path) -> Iterator[ArchiveWriter]:
    """Write a zip file: it is at ``path`` when the block ends, whole, in the place of an older export, or not at all.

    Raises:
        InvalidOption: something else is there, which stays; or there is no such folder.
        AccessDenied, StorageFull: it cannot be written.
    """
    place = at_home(path)
    _check_replaceable(place)
    draft = place.with_name(f".tmp-{uuid4().hex}-{place.name}"[:200])
    with translated(place):
        try:
            with private_files.create(draft) as raw:
                with zipfile.ZipFile(raw, "w") as file:
                    yield ArchiveWriter(file)
                raw.flush()
                os.fsync(raw.fileno())
            draft.replace(place)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()


def _check_replaceable(place: Path) -> None:
    if not place.parent.is_dir():
        raise InvalidOption(f"there is no folder {place.parent}: make it first")
    if not os.path.lexists(place):
        return
    try:
        with zipfile.ZipFile(place) as found:
            if keys.STORE_MARKER in found.namelist():
                return
    except (OSError, zipfile.BadZipFile):
        pass
    raise InvalidOption(f"{place} is there and no export; it stays as it is: name another file")
