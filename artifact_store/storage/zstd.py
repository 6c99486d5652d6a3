"""zstd frames: made of pieces where that makes them much smaller, and unmade within bounds that are known beforehand.

What a frame says of its size is not believed: it is unmade into exactly as many bytes as the manifest says, with at
most 8 MiB of memory for what it refers back to.

Why: docs/decisions/0033-compressed-files-where-they-are-asked-for.md
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Final

from artifact_store.errors import Corrupt, Unsupported
from artifact_store.installing import pip_install

LEVEL: Final = 3
"""How hard frames are tried to be small: on the text of trees, 9 makes them 7 % smaller in four times the time."""
_WINDOW: Final = 23
"""Binary logarithm of the bytes that a frame may refer back to: 8 MiB, and so that of its reader's memory."""
_PIECE: Final = 256 << 10
_WORTH: Final = 0.8
"""The part of its size that a file has to shrink to; else it is stored as it is."""


def library() -> Any:
    """Return the module: of Python from 3.14 on, or the same for earlier ones.

    Raises:
        Unsupported: it is not installed.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # type: ignore[import-not-found,unused-ignore]
        else:
            from backports import zstd
    except ImportError as error:
        raise Unsupported(
            f"files that are compressed by zstd need its library, which is not installed: {pip_install('zstd')}"
        ) from error
    return zstd


def is_worth_it(beginning: bytes) -> bool:
    """Tell from the beginning of a file whether it becomes much smaller."""
    zstd = library()
    return len(zstd.compress(beginning, level=LEVEL)) <= _WORTH * len(beginning)


def is_small(packed: int, plain: int) -> bool:
    """Tell whether a frame is so much smaller than what is in it that it is stored instead."""
    return packed <= _WORTH * plain


def packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the frame of all ``pieces``; the same bytes for the same pieces and version of the library."""
    zstd = library()
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: LEVEL, parameter.checksum_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    for piece in pieces:
        if made := compressor.compress(piece):
            yield made
    yield compressor.flush()


def unpacked(pieces: Iterable[bytes], *, size: int, key: str) -> Generator[bytes]:
    """Yield what is in a frame, which is exactly ``size`` bytes long and alone.

    Raises:
        Corrupt: it is no frame, is cut off, holds more or fewer bytes, or something follows it.
        Unsupported: the library is not installed.
    """
    zstd = library()
    frame = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW})
    left = size
    source = iter(pieces)
    try:
        for piece in source:
            if frame.eof:
                raise _damaged(key, "something follows its end")
            data = piece
            while not frame.eof:
                try:
                    made = frame.decompress(data, max_length=min(_PIECE, left + 1))
                except zstd.ZstdError as error:
                    raise _damaged(key, "it is no frame of zstd, or was changed") from error
                data = b""
                if len(made) > left:
                    raise _damaged(key, f"there are more than {size:,} bytes in it")
                left -= len(made)
                if not made:
                    break
                yield made
            if frame.unused_data:
                raise _damaged(key, "something follows its end")
        if not frame.eof or left:
            raise _damaged(key, f"it ends after {size - left:,} of {size:,} bytes")
    finally:
        if isinstance(source, Generator):
            source.close()


def _damaged(key: str, why: str) -> Corrupt:
    return Corrupt(f"{key!r} is damaged or was replaced: {why}. Restore it from a copy, or use another run", key=key)
