"""Write runs into one file that can be carried anywhere: a store in a zip, which is read like any other.

Each file is compared with its manifest while it is written, so an export is what was saved, or there is none.

Why: docs/decisions/0032-an-export-is-a-store-in-a-zip.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.pointer import MAX_BLOCK, Pointer, block_of
from artifact_store.core.references import RunRef
from artifact_store.errors import InvalidOption, NotAStore
from artifact_store.ops import notes, opening, read, resolve, signing
from artifact_store.ops.context import Context
from artifact_store.storage.archive import new_archive
from artifact_store.storage.transfer import copy_stored

Write = Callable[[IO[bytes]], object]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds."""

    path: str
    runs: tuple[str, ...]
    aliases: tuple[str, ...]
    bytes: int
    """Those of the files of the runs."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"path": self.path, "runs": list(self.runs), "aliases": list(self.aliases), "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class _Object:
    key: str
    size: int
    write: Write


def export_runs(
    context: Context,
    runs: Sequence[Manifest],
    aliases: Iterable[tuple[ModelKey, str]],
    path: Path,
    announce: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write these runs, and aliases that name them, to a file; ``announce`` is told bytes of how many.

    Raises:
        DigestMismatch, Corrupt, RunDeleted: a run is damaged or gone; nothing is at ``path`` that was not there before.
        SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires signatures.
        NotAStore: there is no store.
        InvalidOption: an alias names a run that is not among these; or there is something else at ``path``.
    """
    record = context.records.store()
    if record is None:
        raise NotAStore(opening.no_store(context.backend))
    labels = {run.label for run in runs}
    objects = [_document(keys.STORE_MARKER, record.to_bytes())]
    for run in runs:
        objects += _of_run(context, run)
    named = []
    for key, alias in aliases:
        objects += _of_alias(context, key, alias, labels)
        named.append(f"{key}@{alias}")
    ordered = [objects[0], *sorted(objects[1:], key=lambda each: each.key)]
    total, done = sum(each.size for each in ordered), 0
    with new_archive(path) as archive:
        for each in ordered:
            with archive.entry(each.key, each.size) as sink:
                each.write(sink)
            done += each.size
            if announce is not None:
                announce(done, total)
    size = sum(entry.size for run in runs for entry in run.files)
    return Exported(str(path), tuple(run.label for run in runs), tuple(named), size)


def _document(key: str, data: bytes) -> _Object:
    return _Object(key, len(data), lambda sink: sink.write(data))


def _of_run(context: Context, manifest: Manifest) -> list[_Object]:
    signing.check_signed(context, manifest)
    prefix = keys.run_prefix(manifest.key, RunId(manifest.run_id))
    objects = [_document(prefix + keys.MANIFEST, manifest.to_bytes())]
    for entry in manifest.files:
        file = read.incoming(manifest, entry)
        objects.append(_Object(file.key, entry.stored_size, partial(copy_stored, context.backend, file)))
    signatures = signing.stored_signatures(context, manifest)
    objects += [_document(prefix + name, data) for name, data in signatures.items()]
    objects += [_document(where, data) for where, data in notes.stored_notes(context, manifest).items()]
    origin = context.records.origin(manifest)
    return objects if origin is None else [*objects, _document(origin.storage_key, origin.to_bytes())]


def _of_alias(context: Context, key: ModelKey, alias: str, runs: set[str]) -> list[_Object]:
    pointer = resolve.history(context, RunRef(key, alias, None)).pointer  # trusted, and its archive is whole
    if pointer.run_id is not None and f"{key}:{pointer.run_id}" not in runs:
        raise InvalidOption(
            f"{key}@{alias} names {key}:{pointer.run_id}: export that run as well, or leave out the alias"
        )
    return [_document(pointer.storage_key, pointer.to_bytes()), *_blocks(context, pointer)]


def _blocks(context: Context, pointer: Pointer) -> list[_Object]:
    objects = []
    for last_seq in range(block_of(1), pointer.archived + 1, block_of(1)):
        where = keys.history_block(pointer.key, pointer.alias, last_seq)
        stored = context.records.raw(where, limit=MAX_BLOCK)
        assert stored is not None
        objects.append(_document(where, stored.value))
    return objects
