"""A folder on this machine, through the operating system directly.

Guarantees on POSIX: a write is visible whole or not at all, and what was acknowledged survives a power cut, with
every folder that it needed. Nothing below the root is reached through a symlink. Does not guarantee conditional
writes on network mounts (it refuses them there) or durable names on Windows, which cannot flush a folder.

Why: docs/decisions/0019-the-local-disk-without-fsspec.md
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from artifact_store import errors
from artifact_store.storage import places
from artifact_store.storage.base import (
    Backend,
    Blob,
    Capabilities,
    Entry,
    IfAbsent,
    IfVersion,
    Precondition,
    Trait,
    Unfinished,
    Version,
    version_of,
)
from artifact_store.storage.exact_size import exactly, wrong_size
from artifact_store.storage.local import locks, quickly
from artifact_store.storage.local.checks import promise_of, traits_of
from artifact_store.storage.local.errors import translated
from artifact_store.storage.local.folders import (
    Folder,
    close_quietly,
    descend,
    is_link,
    make_root,
    modified,
    open_root,
    pieces_of_file,
)
from artifact_store.storage.local.mounts import mount_at, network_reason
from artifact_store.storage.local.new_file import STAGING, TEMPORARY, NewFile, NewFiles, refuse_anything_but_a_file
from artifact_store.storage.local.paths import Parts, parts_of_key, parts_of_prefix

T = TypeVar("T")
_OURS = frozenset({f"{locks.FOLDER}/", f"{STAGING}/"})  # in the root, and in no listing


class LocalBackend(Backend):
    """Files below a folder. A key is the path, and a version is the sha256 of the bytes.

    The folder is made by the first write; until then it reads as ``ContainerNotFound``. Folders are 0700 and files
    0600. ``timeout`` is how long a write waits for the lock of a living process. Names that begin with ``.tmp-``
    and the folder ``_locks`` at the root are the backend's own, and no keys; files wait in ``.tmp-staging`` there.
    """

    engine = "local"
    makes_root = True
    endpoint = "local"

    def __init__(self, root: Path, *, timeout: float = 60.0, absolute: Path | None = None) -> None:
        self.url = str(root)
        self.timeout = timeout
        # absolute from now on, whatever the working directory will be; a symlink on the way to the root is fine
        self._root = absolute or Path(root).absolute()
        self._root_text = str(self._root)
        self.staging_place = self._root / STAGING
        self._promised: Capabilities | None = None
        self._locks_hold: bool | None = None
        self._new_files = NewFiles(self._root, self._judge)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the path alone."""
        return partial(type(self), timeout=self.timeout, absolute=self._root), (Path(self.url),)

    @property
    def places(self) -> tuple[str, ...]:
        """The folder itself, and the path to it, which a symlink may lead elsewhere tomorrow."""
        return places.folder(self._root)

    @cached_property
    def is_near(self) -> bool:  # type: ignore[override]  # looked up when first asked for
        """Whether it is not on a network mount."""
        return network_reason(self._root) is None

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # looked up when first asked for: no I/O before
        """What can be promised for this folder; looks at the mount table when first asked."""
        if self._promised is None:
            mount = mount_at(self._root)
            self._promised = promise_of(network_reason(self._root), None if mount is None else mount.volatile)
        return self._promised

    # ------------------------------------------------------------ reading

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Open, read, close. Never held open, since Windows would then refuse to replace it."""
        data = quickly.read(self._root_text, parts_of_key(key), limit)
        if data is None:
            data = self._read(key, limit)
        version = version_of(data)
        return None if version == unless else Blob(data, version)

    def _read(self, key: str, limit: int) -> bytes:
        with self._file(key) as (descriptor, path, size):
            data = b"".join(pieces_of_file(descriptor, path, limit + 1)) if size <= limit else b""
        if size > limit or len(data) > limit:
            held = max(size, len(data))
            raise errors.Corrupt(f"{path} holds {held} bytes, more than the {limit} that it may hold", key=key)
        return data

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Yield the bytes of the file that had the name when the first piece was asked for."""
        if size <= quickly.LARGEST and (data := quickly.read(self._root_text, parts_of_key(key), size)):
            yield from exactly([data], size=size, key=key)
            return
        with self._file(key) as (descriptor, path, found):
            if found != size:
                raise wrong_size(key, expected=size, actual=found)
            yield from exactly(pieces_of_file(descriptor, path, size + 1), size=size, key=key)

    def local_path(self, key: str) -> Path | None:
        """Return the path of a plain file, or of a folder, that is reached without a symlink."""
        parts = parts_of_key(key)
        path = self._root.joinpath(*parts)
        try:
            with translated(path, absence=True), self._folder(parts[:-1]) as folder:
                found = folder.look(parts[-1])
                if is_link(found) or not stat.S_ISDIR(found.st_mode):
                    refuse_anything_but_a_file(folder, parts[-1], key=key, found=found)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return path

    # ------------------------------------------------------------ writing

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        """Write a temporary file, flush it, and give it its name in one step.

        Names that were given before, to files that were put or adopted and to new folders, are flushed first.
        """
        parts = parts_of_key(key)
        if not isinstance(when, IfVersion):
            self._store(key, [data], size=len(data), when=when)
            return version_of(data)
        self._require(self.capabilities.compare_and_swap)
        with self._locked(key):
            self._require(self.capabilities.compare_and_swap)  # the probe of the locks may have found otherwise
            self._expect(key, when.version)
            with self._new_files.beside(parts, conditional=True) as new:
                new.append(data)
                self._new_files.settle()
                new.replace()
        return version_of(data)

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Stream into a temporary file beside the target, flush it, and give it its name in one step.

        The name is flushed with the next :meth:`write`, before that.
        """
        self._store(key, chunks, size=size, when=when, later=True)

    def _store(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition, later: bool = False) -> None:
        parts, absent = parts_of_key(key), isinstance(when, IfAbsent)
        if absent:
            self._require(self.capabilities.create_only)
        with self._new_files.beside(parts, conditional=absent, later=later) as new:
            for chunk in exactly(chunks, size=size, key=key):
                new.append(chunk)
            if not later:
                self._new_files.settle()
            self._name(new, key, when)

    def adopt(self, key: str, source: Path, *, when: Precondition) -> bool:
        """Flush the staged file, and give it its name in one step, which is flushed as for :meth:`put_file`."""
        parts = parts_of_key(key)
        if isinstance(when, IfAbsent):
            self._require(self.capabilities.create_only)
        try:
            new = self._new_files.beside(parts, conditional=isinstance(when, IfAbsent), source=source, later=True)
        except errors.ConditionsUnsupported:
            return False
        with new:
            self._name(new, key, when)
        return True

    def _name(self, new: NewFile, key: str, when: Precondition) -> None:
        if isinstance(when, IfAbsent):
            new.publish_new()
        else:
            new.flush()
            with self._locked(key):
                new.replace()

    def delete(self, key: str) -> None:
        """Remove exactly this file, and the folders that it leaves empty."""
        parts = parts_of_key(key)
        path = self._root.joinpath(*parts)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, errors.ContainerNotFound):
            with translated(path, absence=True), self._folder(()):
                pass  # without a root there is nothing to remove or to lock
            with self._locked(key), translated(path, absence=True):
                with self._folder(parts[:-1]) as folder:
                    found = folder.look(parts[-1])
                    if stat.S_ISDIR(found.st_mode) and not is_link(found):
                        return  # a folder is not an object
                    folder.remove(parts[-1])
                    folder.sync()
                self._remove_empty(parts[:-1])

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the temporary files of writers: those at work, and those that were killed."""
        for folder, name, found in quickly.walk(partial(self._scan, beginning=TEMPORARY), ()):
            if stat.S_ISREG(found.st_mode):
                yield Unfinished(folder + name, name, found.st_size, modified(found))

    def discard(self, upload: Unfinished) -> None:
        """Remove exactly this temporary file, and the folders that it leaves empty."""
        *parts, name = upload.key.split("/")
        if name != upload.upload or not name.startswith(TEMPORARY):
            raise errors.InvalidName("unfinished file", upload.key, f"they begin with {TEMPORARY!r}")
        path, folders = self._root.joinpath(*parts, name), parts_of_key("/".join(parts)) if parts else ()
        # what is gone needs no removing
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, errors.ContainerNotFound):
            with translated(path, absence=True), self._folder(folders) as folder:
                folder.remove(name)
            self._remove_empty(folders)

    def check_prefix(self, prefix: str) -> None:
        """Look for a symlink and for a mount on the way there, as far as it exists."""
        parts = parts_of_prefix(prefix)
        absent = contextlib.suppress(FileNotFoundError, NotADirectoryError)
        with absent, translated(self._root.joinpath(*parts), absence=True):
            self._new_files.check(parts)

    def traits(self, *, probes: bool) -> Iterator[Trait]:
        """Yield where the folder lives, who may look into it, and what its locks and links are like."""
        return traits_of(self._root, network=network_reason(self._root), probes=probes)

    # ------------------------------------------------------------ listing

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield what is there, in key order. Symlinks and devices are shown, too: reading them tells what is wrong."""
        for folder, name, found in quickly.walk(self._scan, parts_of_prefix(prefix)):
            if not name.startswith(TEMPORARY):
                yield Entry(folder + name, found.st_size, modified(found))

    def children(self, prefix: str) -> Iterator[str]:
        yield from sorted(self.children_beginning(prefix, ""))

    def children_beginning(self, prefix: str, *beginnings: str) -> Iterator[str]:
        found = self._look_into(parts_of_prefix(prefix), lambda folder: folder.names(beginnings))
        if not all(beginning[:1].isalnum() for beginning in beginnings):  # else none of them is the backend's own
            found = [name for name in found if not name.startswith(TEMPORARY) and (prefix or name not in _OURS)]
        return iter(found)

    def folders_beginning(self, prefix: str, *beginnings: str) -> Iterator[str]:
        found = quickly.folders(self._root_text, parts_of_prefix(prefix), beginnings)
        return super().folders_beginning(prefix, *beginnings) if found is None else iter(found)

    def _scan(self, parts: Parts, beginning: str = "") -> quickly.Names:
        """Return folders, and files that begin so, in key order; what vanishes meanwhile is left out."""

        def look(folder: Folder) -> quickly.Names:
            found: quickly.Names = []
            for name in folder.names():
                with contextlib.suppress(FileNotFoundError):
                    if name.endswith("/"):
                        found.append((name[:-1], None))
                    elif name.startswith(beginning):
                        found.append((name, folder.look(name)))
            return sorted(found, key=lambda named: quickly.in_key_order(*named))

        found = quickly.names_in(self._root_text, parts, beginning)
        found = self._look_into(parts, look) if found is None else found
        return found if parts else [(name, status) for name, status in found if status or f"{name}/" not in _OURS]

    def _look_into(self, parts: Parts, look: Callable[[Folder], builtins.list[T]]) -> builtins.list[T]:
        """Return what a look into a folder finds; nothing where there is none."""
        gone = contextlib.suppress(FileNotFoundError, NotADirectoryError)
        with gone, translated(self._root.joinpath(*parts), absence=True), self._folder(parts) as folder:
            return look(folder)
        return []

    # ------------------------------------------------------------ folders and files

    @contextlib.contextmanager
    def _folder(self, parts: Parts) -> Iterator[Folder]:
        """Open the folder at ``parts`` without following a symlink below the root."""
        try:
            root = open_root(self._root)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise errors.ContainerNotFound(
                f"{self._root} does not exist or is not a folder: save something first, or correct the path"
            ) from error
        with contextlib.closing(descend(root, parts, lambda folder, name: folder.enter(name))) as folder:
            yield folder

    @contextlib.contextmanager
    def _file(self, key: str) -> Iterator[tuple[int, str, int]]:
        """Open a plain file; yield its descriptor, path and size."""
        parts = parts_of_key(key)
        path = os.path.join(self._root, *parts)  # noqa: PTH118 -- a Path takes ten times as long to make
        with contextlib.ExitStack() as opened:
            try:
                with translated(path, absence=True):
                    folder = opened.enter_context(self._folder(parts[:-1]))
                    # before it is opened, since opening alone does something to a device, and again afterwards
                    refuse_anything_but_a_file(folder, parts[-1], key=key)
                    descriptor = folder.open(parts[-1])
            except (FileNotFoundError, NotADirectoryError) as error:
                raise errors.ObjectNotFound(key, f"nothing is stored at {key!r}: {path} does not exist") from error
            opened.callback(close_quietly, descriptor)
            with translated(path):
                found = os.fstat(descriptor)
            refuse_anything_but_a_file(folder, parts[-1], key=key, found=found)
            yield descriptor, path, found.st_size

    def _remove_empty(self, parts: Parts) -> None:
        # Best effort: it stops at the first folder that is not empty, or that another process removed or uses.
        with contextlib.suppress(OSError, errors.ArtifactStoreError):
            for end in range(len(parts), 0, -1):
                with self._folder(parts[: end - 1]) as folder:
                    folder.remove_folder(parts[end - 1])

    # ------------------------------------------------------------ conditions

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Keep every other write away from ``key``, where that can be done at all."""
        if not self.capabilities.compare_and_swap:
            yield
            return
        path = locks.path_for(self._root, key)
        with contextlib.ExitStack() as lock:
            with translated(path):
                make_root(self._root)
                if self._locks_hold is None:
                    self._locks_hold = locks.hold_here(self._root)
                if self._locks_hold:
                    lock.enter_context(locks.held(self._root, key, timeout=self.timeout))
                else:
                    self._lower(f"{self._root}: this file system ignores locks", compare_and_swap=False)
            yield

    def _require(self, promised: bool) -> None:  # noqa: FBT001 -- one of the capabilities, named at the call
        if not promised:
            raise errors.ConditionsUnsupported(
                f"conditional writes to {self._root} are not possible: {self.capabilities.reason}"
            )

    def _judge(self, folder: Path, *, conditional: bool) -> None:
        """Judge what is mounted below the root as the root is, before anything is written there.

        Raises:
            ConditionsUnsupported: it is a network, and the write has a condition.
        """
        mount = mount_at(folder)
        if mount is None:
            return
        place = f"{mount.point}, below the root {self._root}, is a mount of its own: "
        if mount.network is not None and conditional:
            raise errors.ConditionsUnsupported(
                f"{place}{mount.network}. Nothing was written. Unmount it and keep these models on the disk of the "
                "root, or mount it outside the root, for a store of its own with concurrency='single-writer'"
            )
        if mount.volatile is not None and self.capabilities.durable:
            self._lower(f"{place}{mount.volatile}", durable=False)

    def _lower(self, why: str, **changes: bool) -> None:
        """Promise less from now on."""
        before = self.capabilities
        self._promised = replace(before, reason="; ".join(filter(None, (before.reason, why))), **changes)

    def _expect(self, key: str, version: Version) -> None:
        try:
            with self._file(key) as (descriptor, path, _size):
                actual = hashlib.sha256()
                for piece in pieces_of_file(descriptor, path, sys.maxsize):
                    actual.update(piece)
        except errors.ObjectNotFound as missing:
            raise errors.PreconditionFailed(key, f"{key!r} was to be replaced, and is not there") from missing
        if actual.hexdigest() != version:
            raise errors.PreconditionFailed(key, f"{key!r} is not the version any more that was to be replaced")
