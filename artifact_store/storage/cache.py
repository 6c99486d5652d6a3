"""What was fetched before: files by content, and documents by where they are stored, in a folder of this user.

Nothing in it is trusted: a file is hashed again whenever it is used, and removed if the hash differs. A document says
what the store had when it was seen last; whoever reads it checks it as if it came from there. What is used again is
touched, and not written again. No symlink is followed, neither for reading nor for writing.
Safe for many threads and processes at once; may be deleted at any time.

Why: docs/decisions/0029-the-cache.md
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, Final, Self

from artifact_store.canonical import canonical, parse_json, sha256
from artifact_store.core.files import Digest
from artifact_store.errors import Corrupt, InvalidOption
from artifact_store.storage.cache_folder import CacheEntry, CacheFolder
from artifact_store.storage.home import at_home
from artifact_store.storage.local.folders import modified
from artifact_store.storage.sizes import bytes_of
from artifact_store.storage.transfer import PIECE, open_private
from artifact_store.wording import brief

_HEAD: Final = 16 << 10
"""Bytes of the line before a document, at most."""
_FICLONE: Final = 0x40049409


@dataclass(frozen=True, slots=True)
class Seen:
    """A document as it was seen last; ``data`` is ``None`` where nothing was stored."""

    place: str
    key: str
    data: bytes | None
    at: datetime


class FileCache:
    """A folder of files that were fetched, made with the first one, readable by its owner only."""

    def __init__(self, directory: Path, limit: int | None = None) -> None:
        self.folder = CacheFolder(directory, limit)

    @classmethod
    def of(cls, directory: object, size: object) -> Self | None:
        """Return it for the options of a store; ``InvalidOption`` if they mean nothing."""
        if directory is None:
            if size is not None:
                raise InvalidOption("cache_size is how large a cache may become: name its folder with cache=")
            return None
        if not isinstance(directory, str | os.PathLike) or not os.fspath(directory):
            raise InvalidOption(f"cache is the path of a folder for fetched files, not {brief(directory)}")
        return cls(at_home(directory), None if size is None else bytes_of("cache_size", size))

    # ------------------------------------------------------------ files

    def take(self, digest: Digest, target: Path) -> bool:
        """Copy the file to ``target`` if it is here and still what it was; tell whether it was.

        The copy is the caller's own; where the file system can, the two share their room until one is written.
        """
        if self._use(digest, partial(_copied_to, target)):
            return True
        with suppress(OSError):  # whoever fetches it will be told
            target.unlink(missing_ok=True)
        return False

    def copy(self, digest: Digest, sink: IO[bytes]) -> bool:
        """Write the file to ``sink`` if it is here, and tell whether it was still what it was."""
        return self._use(digest, partial(_copied, sink=sink))

    def _use(self, digest: Digest, copied: Callable[[BinaryIO], str]) -> bool:
        """Tell whether the file is here, and what ``copied`` made of it, whose sha256 it returns, is the right one."""
        kept = self.folder.place("file", digest.sha256)
        try:
            with self.folder.open(kept) as source:
                sound = os.fstat(source.fileno()).st_size == digest.size and copied(source) == digest.sha256
        except OSError:  # it is not here, or in use, or there is no room for a copy: a miss
            return False
        if sound:
            self.folder.touch(kept)
        else:
            self.folder.remove(kept)
        return sound

    def keep(self, digest: Digest, source: Path) -> None:
        """Remember a file whose digest was just compared. A cache that cannot be written is not an error."""
        kept = self.folder.place("file", digest.sha256)
        with suppress(OSError):  # full, read-only, busy: the caller has the file, and fetches it again
            self.folder.write(kept, digest.size, partial(_fill, source))

    # ------------------------------------------------------------ documents

    def see(self, place: str, key: str, data: bytes | None) -> None:
        """Remember what is stored at a key of a place (``None``: nothing), now. Not writable is not an error."""
        place = _text(place)
        head = canonical({"key": key, "place": place, "sha256": None if data is None else sha256(data)})
        whole = head + b"\n" + (data or b"")
        kept = self._document(place, key)
        with suppress(OSError):  # full, read-only, busy: then it is not remembered
            if not (self._holds(kept, whole) and self.folder.touch(kept)):
                self.folder.write(kept, len(whole), lambda sink: sink.write(whole))

    def used(self, place: str, key: str) -> None:
        """Say that the document is as it was seen last, which its reader need not ask again."""
        self.folder.touch(self._document(_text(place), key))

    def recall(self, place: str, key: str, *, limit: int) -> Seen | None:
        """Return the document as it was seen last, or ``None`` if it was not, or is damaged or too large here."""
        place = _text(place)
        found = self._recalled(self._document(place, key), limit)
        return found if found is not None and (found.place, found.key) == (place, key) else None

    def _holds(self, path: Path, whole: bytes) -> bool:
        try:
            with self.folder.open(path) as file:
                return file.read(len(whole) + 1) == whole
        except OSError:
            return False

    def _document(self, place: str, key: str) -> Path:
        return self.folder.place("document", sha256(canonical([place, key])))

    def _recalled(self, path: Path, limit: int) -> Seen | None:
        try:
            with self.folder.open(path) as file:
                at = modified(os.fstat(file.fileno()))
                whole = file.read(limit + _HEAD)
        except OSError:
            return None
        return _parsed(whole, at)

    # ------------------------------------------------------------ all of it

    def document(self, entry: CacheEntry) -> Seen | None:
        """Return what an entry holds, or ``None`` if it is no document, or is damaged."""
        if entry.kind != "document":
            return None
        found = self._recalled(entry.path, entry.bytes)
        return found if found is not None and self._document(found.place, found.key) == entry.path else None

    def is_sound(self, entry: CacheEntry) -> bool | None:
        """Tell whether an entry is still what it was; ``None`` if it is gone. ``OSError``: it cannot be read now."""
        try:
            with self.folder.open(entry.path) as source:
                if entry.kind == "file":
                    return _copied(source) == entry.sha256
        except FileNotFoundError:
            return None
        return self.document(entry) is not None or (False if os.path.lexists(entry.path) else None)


def _text(place: str) -> str:
    """Return the name of a place as JSON can hold it: a folder may have one that is no text."""
    return place.encode("utf-8", "backslashreplace").decode("utf-8")


def _fill(source: Path, sink: BinaryIO) -> None:
    with source.open("rb") as file:
        if not _clone(file, sink):
            shutil.copyfileobj(file, sink, PIECE)


def _copied_to(target: Path, source: BinaryIO) -> str:
    with open_private(target) as sink:
        if not _clone(source, sink):
            return _copied(source, sink)
    with target.open("rb") as clone:
        return _copied(clone)


def _copied(source: BinaryIO, sink: IO[bytes] | None = None) -> str:
    """Return the sha256 of what is left of ``source``, after writing it to ``sink``."""
    hashed = hashlib.sha256()
    while piece := source.read(PIECE):
        hashed.update(piece)
        if sink is not None:
            sink.write(piece)
    return hashed.hexdigest()


def _clone(source: BinaryIO, sink: IO[bytes]) -> bool:
    """Let ``sink`` share the room of ``source`` until one is written, where the file system can (FICLONE of Linux)."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(sink.fileno(), _FICLONE, source.fileno())
    except (OSError, ValueError):  # another file system, or one that cannot
        return False
    return True


def _parsed(whole: bytes, at: datetime) -> Seen | None:
    """Return the document that a file holds, or ``None`` if it is not whole."""
    head, _, data = whole.partition(b"\n")
    try:
        found = parse_json(head, limit=_HEAD, what="the line before a document")
    except Corrupt:
        return None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in ("key", "place")):
        return None
    if found.get("sha256") is None:
        return None if data else Seen(found["place"], found["key"], None, at)
    return Seen(found["place"], found["key"], data, at) if sha256(data) == found["sha256"] else None
