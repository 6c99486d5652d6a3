"""An export as a backend: the entries of a zip file are the objects, under the keys of a store.

Entries are stored, never compressed, so none becomes larger than it is. Nothing is ever unpacked by its name: a reader
asks for the keys that a manifest leads to.

Why: docs/decisions/0032-an-export-is-a-store-in-a-zip.md
"""

from __future__ import annotations

import threading
import zipfile
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from artifact_store.core import keys
from artifact_store.errors import ContainerNotFound, Corrupt, NotAStore, ObjectNotFound, Unsupported
from artifact_store.process import Process, this_process
from artifact_store.storage.base import Backend, Blob, Capabilities, Entry, Version, version_of
from artifact_store.storage.exact_size import wrong_size
from artifact_store.storage.home import at_home
from artifact_store.storage.local.errors import translated
from artifact_store.wording import brief

_PIECE: Final = 1 << 20
MADE: Final = datetime(1980, 1, 1, tzinfo=UTC)
"""The time of every entry: the first that a zip file can hold."""
_BROKEN: Final = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError)
"""What the standard library raises of a zip file that is damaged, encrypted, or of a kind that it does not know."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A zip file as this process has it open."""

    file: zipfile.ZipFile
    entries: Mapping[str, zipfile.ZipInfo]
    names: list[str]
    """In order."""


class ArchiveBackend(Backend):
    """The zip file at ``path``. It is opened when it is first read, once in each process."""

    engine = "archive"
    endpoint = "archive"
    capabilities = Capabilities(
        create_only=False, compare_and_swap=False, durable=True, reason="an export is only read; copy it to write"
    )

    def __init__(self, path: Path) -> None:
        self.url = str(path)
        self._path = at_home(path)
        self.read_only = (
            f"{self.url} is an export and only read. Copy its runs into a store first: artifact-store cp {self.url} NEW"
        )
        self._locks: dict[Process, threading.Lock] = {}
        self._opened: dict[Process, _Opened] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the path."""
        return type(self), (Path(self.url),)

    @property
    def places(self) -> tuple[str, ...]:
        """The file itself, however its path is spelled."""
        return (str(self._path.resolve()),)

    # ------------------------------------------------------------ reading

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Return the object, or ``None`` if it still is the version ``unless``."""
        entry = self._entry(key)
        if entry.file_size > limit:
            raise Corrupt(f"{key!r} holds {entry.file_size} bytes, more than the {limit} that it may hold", key=key)
        data = b"".join(self.stream(key, size=entry.file_size))
        version = version_of(data)
        return None if version == unless else Blob(data, version)

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Yield the object's bytes in order."""
        entry = self._entry(key)
        if entry.file_size != size:
            raise wrong_size(key, expected=size, actual=entry.file_size)
        return self._pieces(key, entry)

    def _pieces(self, key: str, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        with self._translated(key), self._open().file.open(entry) as source:
            while piece := source.read(_PIECE):
                yield piece

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below ``prefix``, in key order."""
        opened = self._open()
        for place in range(bisect_left(opened.names, prefix), len(opened.names)):
            name = opened.names[place]
            if not name.startswith(prefix):
                return
            yield Entry(name, opened.entries[name].file_size, MADE)

    def children(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below ``prefix``, in order."""
        below = (entry.key[len(prefix) :].partition("/") for entry in self.list(prefix))
        return iter(sorted({name + slash for name, slash, _ in below}))

    def close(self) -> None:
        """Close the file in this process; it is opened again when it is needed."""
        opened = self._opened.pop(this_process(), None)
        if opened is not None:
            opened.file.close()

    # ------------------------------------------------------------ the file

    def _entry(self, key: str) -> zipfile.ZipInfo:
        found = self._open().entries.get(key)
        if found is None:
            raise ObjectNotFound(key, f"nothing is stored at {key!r} in {self.url}")
        return found

    def _open(self) -> _Opened:
        process = this_process()
        with self._locks.setdefault(process, threading.Lock()):
            if process not in self._opened:
                self._opened[process] = self._read_directory()
            return self._opened[process]

    def _read_directory(self) -> _Opened:
        if not self._path.is_file():
            raise ContainerNotFound(f"there is no file {self.url}: check the path")
        with self._translated(self.url):
            file = zipfile.ZipFile(self._path)
        try:
            entries = self._checked(file)
        except BaseException:
            file.close()
            raise
        return _Opened(file, entries, sorted(entries))

    def _checked(self, file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        """Return the entries by name, or raise unless they are those of an export."""
        entries = {entry.filename: entry for entry in file.infolist()}
        if keys.STORE_MARKER not in entries:
            raise NotAStore(f"{self.url} is a file, and no export of a store: name a folder, a bucket, or an export")
        if len(entries) != len(file.infolist()):
            raise Corrupt(f"{self.url} holds two files of one name: export the runs again", key=self.url)
        packed = [name for name, entry in entries.items() if entry.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise Corrupt(
                f"{brief(packed[0])} in {self.url} is compressed, which an export never is: another program packed it. "
                "Use the export as it was made",
                key=packed[0],
            )
        return entries

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        with translated(self._path):
            try:
                yield
            except _BROKEN as error:
                raise Corrupt(
                    f"{self.url} is damaged, or no zip file: {error}. Restore it from a copy", key=key
                ) from error

    # ------------------------------------------------------------ nothing is written

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise Unsupported(self.read_only)

    write = put_file = delete = _refuse
