"""What a run comes from, as its saver says: the run before it, and the data that it was trained on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from artifact_store.canonical import canonical, sha256
from artifact_store.core.files import Digest, Progress
from artifact_store.core.manifest import Manifest, Parent
from artifact_store.core.references import RunRef
from artifact_store.errors import InvalidOption, RunDeleted
from artifact_store.nearby import nothing_at
from artifact_store.ops import resolve
from artifact_store.ops.context import Context
from artifact_store.storage.hashing import hash_pieces
from artifact_store.storage.home import at_home
from artifact_store.storage.transfer import Report, read_pieces


def parent(context: Context, value: Manifest | RunRef | str) -> Parent:
    """Return the exact reference of the run that is given, or that a reference names now.

    A run that is named by its whole id and was deleted meanwhile is recorded without the digest of its manifest.

    Raises:
        InvalidReference: it is neither a run nor a reference.
        NotFound, Corrupt, Untrusted: see :func:`artifact_store.ops.resolve.resolve`.
    """
    if isinstance(value, Manifest):
        manifest = value
    else:
        ref = RunRef.parse(value)
        try:
            manifest = resolve.resolve(context, ref)
        except RunDeleted:
            if ref.run_id is None:
                raise
            return Parent(ref=str(ref))
    return Parent(ref=manifest.label, store_id=manifest.store_id, manifest_sha256=manifest.digest)


def digests(data: Mapping[str, Any], report: Report | None) -> dict[str, Digest]:
    """Return the digest of every data set: as it is given, or of the file or folder at a path, which is read now.

    Raises:
        InvalidOption: it is neither a digest nor the path of a file or folder that can be read whole.
    """
    return {name: _digest(name, value, report) for name, value in data.items()}


def _digest(name: str, value: Any, report: Report | None) -> Digest:
    if isinstance(value, str | os.PathLike):
        value = digest_of(at_home(value), name, report)
    if not isinstance(value, Digest):
        raise InvalidOption(f"the data {name!r} is a {type(value).__name__}; give a path, or a Digest(size, sha256)")
    return value


def digest_of(path: Path, name: str, report: Report | None = None) -> Digest:
    """Return the digest of a file, or of a folder: the sha256 of ``{path: sha256}`` of its files in canonical form.

    Raises:
        InvalidOption: it is neither, holds no file, or something else than files and folders, such as a link.
        InvalidInput: a file cannot be read.
    """
    if _is_folder(path):
        found = {part: _hashed(path / part, name, report) for part in sorted(_files(path, ""))}
        if not found:
            raise InvalidOption(f"the data {name!r}, {path}, has no file in it")
        try:
            listing = canonical({part: each.sha256 for part, each in found.items()})
        except UnicodeEncodeError as error:
            raise InvalidOption(
                f"the data {name!r}, {path}, holds a name that is not valid text: {error.object!r}"
            ) from error
        return Digest(sum(each.size for each in found.values()), sha256(listing))
    return _hashed(path, name, report)


def _files(folder: Path, prefix: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InvalidOption(f"{folder} cannot be listed: {error.strerror or error}") from error
    for entry in entries:
        place = f"{prefix}{entry.name}"
        if not _is_folder(Path(entry)):
            yield place
        elif entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry), place + "/")
        else:
            raise InvalidOption(f"{entry.path} leads to another folder; give that one as data of its own")


def _is_folder(path: Path) -> bool:
    """Tell a folder from a file; raise ``InvalidOption`` if it is neither."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        why = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        gone = isinstance(error, FileNotFoundError) and not path.is_symlink()
        raise InvalidOption(nothing_at(path) if gone else why) from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InvalidOption(f"{path} is neither a file nor a folder")
    return stat.S_ISDIR(mode)


def _hashed(path: Path, name: str, report: Report | None) -> Digest:
    pieces: Iterable[bytes] = read_pieces(path)
    return hash_pieces(pieces if report is None else _reported(pieces, name, path.stat().st_size, report))


def _reported(pieces: Iterable[bytes], name: str, total: int, report: Report) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        report(Progress("hash", name, done, total))
