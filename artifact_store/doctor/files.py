"""Read every byte of every file of the committed runs, and compare it with what was saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from artifact_store.core import keys
from artifact_store.core.files import Digest, Progress
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import RunId
from artifact_store.doctor.examination import Examination
from artifact_store.doctor.report import COPY
from artifact_store.errors import DigestMismatch, NotFound
from artifact_store.storage.budget import HELD, LARGE
from artifact_store.storage.hashing import hash_pieces
from artifact_store.storage.stored_files import Incoming, plain_pieces


class StoredFile(NamedTuple):
    """A file of a committed run, and what was saved of it."""

    where: str
    """The run and the path in it, as a finding names it."""
    key: str
    size: int
    sha256: str
    zstd: int | None

    @classmethod
    def of(cls, manifest: Manifest) -> list[StoredFile]:
        """Return the files of a run."""
        return [
            cls(
                keys.below(manifest.label, entry.path),
                keys.data_file(manifest.key, RunId(manifest.run_id), entry.key),
                entry.size,
                entry.sha256,
                entry.zstd,
            )
            for entry in manifest.files
        ]


def hash_files(exam: Examination, files: Sequence[StoredFile]) -> int:
    """Report the files whose bytes differ from what was saved, and return how many bytes were read.

    What is missing or has another size is known from the listing, and not reported twice.
    """
    if exam.options.announce is not None:
        exam.options.announce(sum(file.size for file in files))
    read = 0
    small = [file for file in files if file.size <= LARGE]
    large = [file for file in files if file.size > LARGE]  # of which a backend holds several pieces at once
    for file, digest in chain(
        exam.every(small, lambda file: _hash(exam, file), at_once=HELD // LARGE),
        ((file, exam.ask(lambda file=file: _hash(exam, file))) for file in large),  # type: ignore[misc]
    ):
        if isinstance(digest, Digest):
            read += digest.size
            if digest.sha256 != file.sha256:
                message = f"its sha256 is {digest.sha256}, and {file.sha256} was saved ({file.key})"
                exam.add("error", "file-hash", file.where, message, remedy=f"{COPY}; do not use it")
        elif isinstance(digest, NotFound | DigestMismatch):
            continue
        elif not exam.refused(file.where, digest, what="the file"):
            exam.add("error", "file-hash", file.where, str(digest), remedy=COPY)
    return read


def _hash(exam: Examination, file: StoredFile) -> Digest:
    report = exam.context.report
    stored = Incoming(file.key, file.where, Digest(file.size, file.sha256), file.zstd)

    def pieces() -> Iterator[bytes]:
        done = 0
        for piece in plain_pieces(exam.context.backend, stored):
            done += len(piece)
            yield piece
            if report is not None:
                report(Progress("down", file.key, done, file.size))

    return hash_pieces(pieces())
