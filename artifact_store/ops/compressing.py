"""Which files of a save are stored as frames of zstd, and the frames. Asked for by the one who opens the store.

Only what becomes much smaller: the text of trees and tables does, weights and what is compressed already do not. Never
what a library maps into memory as it lies, and never the summary that other programs read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from artifact_store.core import keys
from artifact_store.core.file_names import folded
from artifact_store.core.files import Outgoing
from artifact_store.core.names import ModelKey, RunId
from artifact_store.errors import InvalidName
from artifact_store.ops import opening
from artifact_store.ops.context import Context
from artifact_store.storage import zstd
from artifact_store.storage.hashing import Hashed
from artifact_store.storage.transfer import open_private, pieces_of, source_status

_LEAST: Final = 16 << 10
"""Bytes of a file that is worth the while."""
_TRIED: Final = 128 << 10
"""Bytes of its beginning by which that is decided."""
_MAPPED: Final = frozenset({".npy", ".safetensors"})


@contextmanager
def packed_ahead(
    context: Context, files: Sequence[Outgoing], key: ModelKey, run_id: RunId
) -> Iterator[Sequence[Outgoing]]:
    """Yield the files, and in the place of some a temporary one with a frame of zstd; these are gone at the end.

    Raises:
        InvalidInput, StagingUnavailable: a file cannot be read, or a frame not be written.
    """
    taken = {folded(file.path) for file in files}
    is_asked = context.compression == "zstd"
    chosen = [file for file in files if _may_be(file, taken) and _fits(file, key, run_id)] if is_asked else []
    if not chosen:
        yield files
        return
    staged = opening.staging_folder(context)
    with staged as folder:

        def pack(numbered: tuple[int, Outgoing], stop: threading.Event) -> Outgoing:
            number, file = numbered
            pieces = pieces_of(file)
            beginning = next(pieces, b"")
            if not zstd.is_worth_it(beginning[:_TRIED]):
                return file
            target, hashed = folder / str(number), Hashed(_again(beginning, pieces), stop, lambda _: None)
            with staged.written():
                with open_private(target) as sink:
                    sink.writelines(zstd.packed(hashed))
                size = target.stat().st_size
            plain = hashed.digest
            if not zstd.is_small(size, plain.size):
                return file
            return replace(file, source=target, staged=True, unpacked=plain)

        packed = context.workers.every(
            pack, list(enumerate(chosen)), size=lambda found: source_status(found[1]).st_size
        )
        instead = {file.path: file for file in packed}
        yield [instead.get(file.path, file) for file in files]


def _again(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def _may_be(file: Outgoing, taken: set[str]) -> bool:
    """Tell whether a file may be compressed at all."""
    path = PurePosixPath(file.path)
    return (
        file.path != keys.METADATA
        and path.suffix.lower() not in _MAPPED
        and folded(file.path + keys.PACKED) not in taken
        and source_status(file).st_size >= _LEAST
    )


def _fits(file: Outgoing, key: ModelKey, run_id: RunId) -> bool:
    """Tell whether the longest key that it could get is not too long."""
    try:
        keys.data_file(key, run_id, keys.attempt_name(file.path, "0" * 8, packed=True))
    except InvalidName:
        return False
    return True
