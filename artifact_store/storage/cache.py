"""Files that were fetched before, by content: a folder of this user, keyed by sha256.

Nothing in it is trusted: a file is hashed again whenever it is used, and removed if the hash differs.
No symlink in it is followed, neither for reading nor for writing.
Safe for many threads and processes at once; may be deleted at any time.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from artifact_store import private_files
from artifact_store.core.files import Digest
from artifact_store.errors import InvalidInput
from artifact_store.storage.hashing import hash_pieces
from artifact_store.storage.local.folders import is_link
from artifact_store.storage.transfer import open_private, read_pieces


class FileCache:
    """A folder ``{first two hexadecimal digits}/{sha256}``, made with the first file, readable by its owner only."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def take(self, digest: Digest, target: Path) -> bool:
        """Copy the file to ``target`` if it is here and still what it was; tell whether it was."""
        kept = self._path(digest)
        try:
            if not _is_ours(kept.parent) or not _is_ours(kept) or kept.stat().st_size != digest.size:
                return False
            with open_private(target) as sink:
                sink.writelines(read_pieces(kept))
        except (OSError, InvalidInput):  # removed meanwhile: a miss
            return False
        if hash_pieces(read_pieces(target)) == digest:
            return True
        target.unlink()
        with suppress(OSError):  # another process may have removed it first
            kept.unlink()
        return False

    def keep(self, digest: Digest, source: Path) -> None:
        """Remember a file whose digest was just compared. A cache that cannot be written is not an error."""
        kept = self._path(digest)
        with suppress(OSError, InvalidInput):  # full, read-only, busy: the caller has the file, and fetches it again
            private_files.make_folder(kept.parent, private_files.PRIVATE)
            if not _is_ours(kept.parent):
                return
            temporary = kept.with_name(f"{kept.name}.{secrets.token_hex(4)}")
            try:
                with open_private(temporary) as sink:
                    sink.writelines(read_pieces(source))
                temporary.replace(kept)
            finally:
                temporary.unlink(missing_ok=True)

    def _path(self, digest: Digest) -> Path:
        return self._directory / digest.sha256[:2] / digest.sha256


def _is_ours(path: Path) -> bool:
    """Tell whether this is a file or folder of the cache, and no link to somewhere else."""
    return not is_link(os.lstat(path))
