"""Files that ``joblib.dump`` or ``pickle.dump`` wrote: perhaps compressed, with arrays as raw blocks in between.

The compression is recognised by its first bytes, as joblib does it, and never by the suffix. The raw blocks are read by
the unpickler, at the opcode behind which they lie. Not read: files of joblib before 0.10, which kept each array in a
file of its own.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Final

from artifact_store.errors import Corrupt
from artifact_store.legacy.libraries import old_form_library
from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits
from artifact_store.legacy.pickle_reader.machine import loads
from artifact_store.legacy.pickle_reader.stubs import refused

_MEMORY: Final = 256 << 20  # what LZMA may take for its dictionary

_STREAMS: Final[dict[bytes, tuple[str, Callable[[], Any]]]] = {
    b"\x78": ("zlib", zlib.decompressobj),
    b"\x1f\x8b": ("gzip", lambda: zlib.decompressobj(wbits=31)),
    b"BZ": ("bz2", bz2.BZ2Decompressor),
    b"\xfd7zXZ": ("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)),
    b"\x5d\x00": ("lzma", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY)),
    b"\x04\x22\x4d\x18": ("lz4", lambda: old_form_library("lz4.frame", None).LZ4FrameDecompressor()),
}


def read_joblib(data: bytes, *, what: str, limits: Limits = LIMITS) -> Any:
    """Return what the file holds, as plain values and stubs."""
    return loads(expanded(data, what=what, limits=limits), what=what, limits=limits)


def expanded(data: bytes, *, what: str, limits: Limits = LIMITS) -> bytes:
    """Return the bytes without their compression, if they have one.

    Raises:
        Corrupt: the stream is damaged, or expands beyond all measure.
        CodecUnavailable: it is compressed with lz4, which is not installed.
    """
    if data.startswith(b"ZF"):
        raise refused(what, "is of joblib before 0.10, which kept its arrays in other files")
    for prefix, (kind, make) in _STREAMS.items():
        if data.startswith(prefix):
            return _expand(data, make, f"{what} ({kind})", limits.expansion(len(data)))
    return data


def _expand(data: bytes, make: Callable[[], Any], what: str, limit: int) -> bytes:
    """Expand concatenated streams, as gzip, bz2 and xz allow."""
    parts: list[bytes] = []
    size = 0
    while data:
        stream = make()
        try:
            part = stream.decompress(data, limit - size + 1)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError) as error:
            raise Corrupt(f"{what} cannot be expanded: {error}") from error
        size += len(part)
        if size > limit:
            raise Corrupt(f"{what} has {len(data):,} bytes and expands to more than {limit:,}: no model does that")
        if not stream.eof:
            raise Corrupt(f"{what} ends early")
        parts.append(part)
        data = stream.unused_data or b""
    return b"".join(parts)
