"""Read every byte of every file of the committed runs, and compare it with what was saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from artifact_store.core import keys
from artifact_store.core.files import Digest, Progress
from artifact_store.core.manifest import FileEntry, Manifest
from artifact_store.core.names import RunId
from artifact_store.doctor.examination import Examination
from artifact_store.doctor.report import COPY
from artifact_store.errors import DigestMismatch, NotFound
from artifact_store.storage.transfer import LARGE, hash_pieces


class _File(NamedTuple):
    manifest: Manifest
    entry: FileEntry

    @property
    def key(self) -> str:
        return keys.data_file(self.manifest.key, RunId(self.manifest.run_id), self.entry.key)


def hash_files(exam: Examination, manifests: Iterable[Manifest]) -> int:
    """Report the files whose bytes differ from what was saved, and return how many bytes were read.

    What is missing or has another size is known from the listing, and not reported twice.
    """
    files = [_File(manifest, entry) for manifest in manifests for entry in manifest.files]
    if exam.options.announce is not None:
        exam.options.announce(sum(file.entry.size for file in files))
    read = 0
    small = [file for file in files if file.entry.size <= LARGE]
    large = [file for file in files if file.entry.size > LARGE]  # of which a backend holds several pieces at once
    for file, digest in chain(
        exam.every(small, lambda file: _hash(exam, file)),
        ((file, exam.ask(lambda file=file: _hash(exam, file))) for file in large),  # type: ignore[misc]
    ):
        where = keys.below(file.manifest.label, file.entry.path)
        if isinstance(digest, Digest):
            read += digest.size
            if digest.sha256 != file.entry.sha256:
                message = f"its sha256 is {digest.sha256}, and {file.entry.sha256} was saved ({file.key})"
                exam.add("error", "file-hash", where, message, remedy=f"{COPY}; do not use it")
        elif isinstance(digest, NotFound | DigestMismatch):
            continue
        elif not exam.refused(where, digest, what="the file"):
            exam.add("error", "file-hash", where, str(digest), remedy=COPY)
    return read


def _hash(exam: Examination, file: _File) -> Digest:
    report = exam.context.report

    def pieces() -> Iterator[bytes]:
        done = 0
        for piece in exam.context.backend.stream(file.key, size=file.entry.size):
            done += len(piece)
            yield piece
            if report is not None:
                report(Progress("down", file.key, done, file.entry.size))

    return hash_pieces(pieces())
