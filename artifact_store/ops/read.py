"""Bring files of a run to the local disk, compared with the manifest, and decode components from them.

The order is fixed: trust is decided, every byte is hashed, and only then does a codec see anything.

Why: docs/decisions/0013-trust-before-decode.md
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from artifact_store import private_files
from artifact_store.core import keys, trust
from artifact_store.core.codec import Risk
from artifact_store.core.files import Digest, Outgoing
from artifact_store.core.manifest import FileEntry, Manifest
from artifact_store.core.names import RunId
from artifact_store.errors import Corrupt, InvalidOption, NotFound, ObjectNotFound, RiskRefused, RunDeleted, Untrusted
from artifact_store.ops import signing
from artifact_store.ops.context import Context
from artifact_store.process import Process, this_process
from artifact_store.storage.hashing import hash_pieces
from artifact_store.storage.offline import Offline
from artifact_store.storage.retry import with_retry
from artifact_store.storage.staging import StagedFolder, explained
from artifact_store.storage.stored_files import Incoming, check_digest, plain_pieces
from artifact_store.storage.transfer import copy_stored, copy_verified, download, open_private, read_pieces, until


def incoming(manifest: Manifest, entry: FileEntry) -> Incoming:
    """Return where a file of the run is stored, and what it has to be."""
    key = keys.data_file(manifest.key, RunId(manifest.run_id), entry.key)
    return Incoming(key, entry.path, Digest(entry.size, entry.sha256), entry.zstd)


def fetch(context: Context, manifest: Manifest, entries: Sequence[FileEntry], directory: Path) -> None:
    """Copy files of a run below ``directory``, from the cache where it has them.

    Raises:
        DigestMismatch: a stored file is not the one that was saved.
        Corrupt: a file is not stored any more.
        RunDeleted: because the run was deleted.
    """
    wanted = [incoming(manifest, entry) for entry in entries]
    if context.cache is not None:
        wanted = [file for file in wanted if not _cached(context, file, directory)]
    if wanted and isinstance(context.backend, Offline):  # one error for all of them
        context.backend.refuse([file.key for file in wanted])
    with _explained(context, manifest):
        download(
            context.backend,
            wanted,
            directory,
            workers=context.workers,
            retry=context.retry,
            report=context.report,
        )
    if context.cache is not None:
        for file in wanted:
            context.cache.keep(file.digest, directory / file.path)


def open_file(context: Context, manifest: Manifest, entry: FileEntry) -> IO[bytes]:
    """Return a readable, seekable copy of one file of the run, compared before it is returned, gone when closed."""
    signing.check_signed(context, manifest)
    copy = context.staging.file()
    try:
        if context.cache is not None and context.cache.copy(Digest(entry.size, entry.sha256), copy):
            copy.seek(0)
            return copy
        with _explained(context, manifest), explained(context.staging.base):
            with_retry(lambda: _copy_again(context, incoming(manifest, entry), copy), context.retry)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def _copy_again(context: Context, file: Incoming, sink: IO[bytes]) -> None:
    sink.seek(0)
    sink.truncate()
    copy_verified(context.backend, file, sink, report=context.report)


def decode(context: Context, manifest: Manifest, name: str, consent: trust.Consent, into: Any | None) -> Any:
    """Return a component of the run, or fill ``into`` with it.

    Raises:
        RiskRefused: decoding could run code and nothing allows that; nothing was decoded.
        SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires a signature; nothing was decoded.
        CodecUnavailable: the codec or its library is not installed.
        DigestMismatch, Corrupt, RunDeleted: as for :func:`fetch`; nothing was decoded.
    """
    component = manifest.component(name)
    codec = context.registry.for_ref(component.codec.ref)
    needed = trust.check_risk(name, manifest, codec.risk, context.policy, consent)
    entries = [manifest.file(path) for path in component.files]
    in_place = codec.risk is Risk.DATA and consent.sha256 is None  # a pin holds for the very bytes that are decoded
    with (
        signing.check_run_concurrently(context, manifest, needed=needed) as verified_key,  # fetched beside the files
        materialised(context, manifest, entries, in_place=in_place) as directory,
    ):
        try:
            verified_key()
        except Untrusted as error:
            if context.policy.require_signature:
                raise
            raise RiskRefused(  # where only code needs a signature, there are other ways
                f"decoding {name!r} of {manifest.label} could run code, and no signature allows that: {error}. Only if "
                "you trust its author, pass allow_code=True (or --allow-code to the command validate), or its "
                "sha256= from a source you trust"
            ) from error
        return codec.decode(directory, name, component.options, into=into)


_AT_ONCE: Final = 1 << 20
"""Bytes of files of this machine that are compared by the thread that asks for them."""

_kept: dict[tuple[Process, str, str], StagedFolder] = {}
"""Copies that callers have the path of, by digest of the manifest and name of the component: as long as the process."""


def local_path(context: Context, manifest: Manifest, name: str) -> Path:
    """Return where the files of a component are on this machine, compared: the stored ones, or a copy.

    Raises:
        SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires a signature; nothing was copied.
        DigestMismatch, Corrupt, RunDeleted: as for :func:`fetch`.
    """
    signing.check_signed(context, manifest)
    component = manifest.component(name)
    entries = [manifest.file(path) for path in component.files]
    if (stored := _stored(context, manifest, entries)) is not None:
        return _within(stored, entries)
    place = this_process(), manifest.digest, name
    kept = _kept.get(place)
    if kept is None or not _is_whole(kept.path, entries):
        _kept.pop(place, None)
        made = context.staging.folder()
        try:
            with explained(made.path):
                fetch(context, manifest, entries, made.path)
        except BaseException:
            made.remove()
            raise
        kept = _kept.setdefault(place, made)  # one step: of two threads that fetch at once, both use the first one's
        if kept is not made:
            made.remove()
    return _within(kept.path, entries)


def _within(folder: Path, entries: Sequence[FileEntry]) -> Path:
    """Return the only file, or the only folder that the files are in, or the folder of all of them."""
    first = {entry.path.partition("/")[0] for entry in entries}
    return folder / first.pop() if len(first) == 1 else folder


def _is_whole(folder: Path, entries: Sequence[FileEntry]) -> bool:
    try:
        return all(
            hash_pieces(read_pieces(folder / entry.path)) == Digest(entry.size, entry.sha256) for entry in entries
        )
    except OSError:
        return False


@contextmanager
def materialised(
    context: Context,
    manifest: Manifest,
    entries: Sequence[FileEntry],
    *,
    in_place: bool,
    copied_to: Callable[[], StagedFolder] | None = None,
) -> Iterator[Path]:
    """Yield a directory that holds the files, compared: the store's own if it may be that, else a private copy.

    ``copied_to`` makes the folder for that copy, if it has to be at a certain place.
    """
    stored = _stored(context, manifest, entries) if in_place else None
    if stored is not None:
        yield stored
        return
    with (copied_to or context.staging.folder)() as private:
        with explained(private):
            fetch(context, manifest, entries, private)
        yield private


@contextmanager
def as_stored(
    context: Context, manifest: Manifest, entries: Sequence[FileEntry], copied_to: Callable[[], StagedFolder]
) -> Iterator[Mapping[str, Outgoing]]:
    """Yield copies of compressed files as they are stored, by their paths, after what is in them was compared."""
    if not entries:
        yield {}
        return
    staged = copied_to()
    with staged as folder:

        def copy(numbered: tuple[int, FileEntry], stop: threading.Event) -> tuple[str, Outgoing]:
            number, entry = numbered
            target = folder / str(number)

            def again() -> None:
                with staged.written(), open_private(target) as sink:
                    copy_stored(context.backend, incoming(manifest, entry), sink)

            with_retry(again, until(stop, context.retry))
            return entry.path, Outgoing(entry.path, target, staged=True, unpacked=Digest(entry.size, entry.sha256))

        with _explained(context, manifest):
            found = context.workers.every(copy, list(enumerate(entries)), size=lambda found: found[1].stored_size)
        yield dict(found)


def _stored(context: Context, manifest: Manifest, entries: Sequence[FileEntry]) -> Path | None:
    """Return the run's own directory after its files were compared, if they can be read there."""
    place = _in_place(context, manifest, entries)
    if place is None:
        return None

    def compare(entry: FileEntry, stop: threading.Event) -> None:
        compare_file(context, incoming(manifest, entry), stop)

    with _explained(context, manifest):
        if sum(entry.size for entry in entries) <= _AT_ONCE:  # the disk is faster than other threads
            stop = threading.Event()
            for entry in entries:
                compare(entry, stop)
        else:
            context.workers.every(compare, entries, size=lambda entry: entry.size)
    return place


def _in_place(context: Context, manifest: Manifest, entries: Sequence[FileEntry]) -> Path | None:
    """Return the run's own directory if it is on this machine and the files have their own names there.

    Published files are immutable and only ever replaced by rename, so what was hashed is what is read. A folder of
    the run is not read so: beside the files of the manifest it may hold those of a save that was cut short.
    """
    if any(entry.key != entry.path or "/" in entry.path for entry in entries):
        return None
    return context.backend.local_path(keys.run_prefix(manifest.key, RunId(manifest.run_id)).rstrip("/"))


def compare_file(context: Context, file: Incoming, stop: threading.Event | None = None) -> None:
    """Hash a stored file; raise ``DigestMismatch`` or ``ObjectNotFound`` if it is not the one that was saved."""
    retry = context.retry if stop is None else until(stop, context.retry)
    found = with_retry(lambda: hash_pieces(plain_pieces(context.backend, file)), retry)
    check_digest(file, found)


@contextmanager
def _explained(context: Context, manifest: Manifest) -> Iterator[None]:
    """Say what a missing file of a committed run means: the run was deleted, or the store is damaged."""
    try:
        yield
    except ObjectNotFound as error:
        try:
            context.records.manifest(manifest.key, RunId(manifest.run_id))
        except NotFound as gone:
            raise RunDeleted(
                f"{manifest.label} is gone: it was deleted, or lost with its folder. "
                "Roll the alias back, or name another run"
            ) from gone
        raise Corrupt(
            f"{error.key!r} is missing, and the manifest of {manifest.label} lists it. "
            "Restore it from a copy, or use another run",
            key=error.key,
        ) from error


def _cached(context: Context, file: Incoming, directory: Path) -> bool:
    target = directory / file.path
    private_files.make_folder(target.parent, private_files.PRIVATE)
    return context.cache is not None and context.cache.take(file.digest, target)


def fetch_run(context: Context, manifest: Manifest, directory: Path, *, all_signatures: bool) -> None:
    """Copy a run with its manifest and signatures below ``directory``: laid out as it is stored, by plain names.

    Files of the run that are there already are compared, and used.

    Raises:
        InvalidOption: another file is there under the name of one of the run; nothing was written.
        SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires a signature; nothing was written.
        DigestMismatch, Corrupt, RunDeleted: as for :func:`fetch`.
    """
    signing.check_signed(context, manifest)
    with signing.read_signatures_concurrently(context, manifest, every=all_signatures) as signatures:
        fetch(context, manifest, [entry for entry in manifest.files if not _is_there(directory, entry)], directory)
        for name, data in {keys.MANIFEST: manifest.to_bytes(), **signatures()}.items():
            private_files.make_folder((directory / name).parent, private_files.PRIVATE)
            with open_private(directory / name) as sink:
                sink.write(data)


def _is_there(directory: Path, entry: FileEntry) -> bool:
    """Tell whether a file of a run lies in a folder; ``InvalidOption`` if another one lies there."""
    path = directory / entry.path
    if not os.path.lexists(path):
        return False
    if path.is_symlink() or not path.is_file() or hash_pieces(read_pieces(path)) != Digest(entry.size, entry.sha256):
        raise InvalidOption(
            f"{path} is there, and is not {entry.path} of the run: name another folder, or move it away"
        )
    return True


def check_new(directory: Path, *, exist_ok: bool = False) -> Path:
    """Return ``directory``, made if it is missing; raise ``InvalidOption`` if it is a file, or not empty."""
    if directory.is_file():
        raise InvalidOption(f"{directory} is a file; name a new or an empty folder")
    private_files.make_folder(directory, private_files.PRIVATE)
    if not exist_ok and any(directory.iterdir()):
        raise InvalidOption(
            f"{directory} is not empty; name a new or an empty folder, or use what it has of the run: exist_ok=True, "
            "--exist-ok"
        )
    return directory
