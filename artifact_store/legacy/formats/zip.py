"""Zip archives as torch and stable-baselines3 write them, read whole, and only if they are regular.

An archive is refused before anything is expanded if two entries have one name, a name leads outside, an entry is
encrypted or compressed in an unusual way, or all of them would take more than any model does.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from io import BytesIO
from typing import Final

from artifact_store.errors import Corrupt
from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits

MAX_ENTRIES: Final = 10_000

_ENCRYPTED = 0x1 | 0x40
_USUAL = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, OSError, EOFError)


def read_entries(data: bytes, *, what: str, limits: Limits = LIMITS) -> dict[str, bytes]:
    """Return all entries by name."""
    if len(data) > limits.size:
        raise Corrupt(f"{what} has {len(data):,} bytes, more than the {limits.size:,} that are read")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            infos = archive.infolist()
            _check(infos, what, limits.expansion(len(data)))
            return {info.filename: _read(archive, info, what) for info in infos}
    except (*_BROKEN, ValueError, LookupError) as error:  # LookupError: offsets beyond the end
        raise Corrupt(f"{what} is not a zip archive, or is damaged: {error}") from error


def _check(infos: list[zipfile.ZipInfo], what: str, limit: int) -> None:
    if len(infos) > MAX_ENTRIES:
        raise Corrupt(f"{what} has {len(infos):,} entries, more than the {MAX_ENTRIES:,} that are read")
    if len({info.filename.casefold() for info in infos}) != len(infos):
        raise Corrupt(f"{what} has two entries of one name")
    if min((info.header_offset for info in infos), default=1):
        raise Corrupt(f"{what} has data before its first entry, or no entry: it was cut or concatenated")
    for info in infos:
        if not _stays_inside(info.orig_filename) or info.orig_filename != info.filename:
            raise Corrupt(f"{what} has the entry {info.orig_filename[:60]!r}, which leads outside of the archive")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _USUAL:
            raise Corrupt(f"{what} has the entry {info.filename[:60]!r}, encrypted or compressed in an unusual way")
    if sum(info.file_size for info in infos) > limit:
        raise Corrupt(f"{what} would expand to more than {limit:,} bytes: no model does that")


def _stays_inside(name: str) -> bool:
    parts = name.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not set(name) & set("\\:\0")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str) -> bytes:
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise Corrupt(f"{what} has the entry {info.filename[:60]!r} of another size than it says")
    return content
