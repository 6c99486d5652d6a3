"""What a folder of this machine is like as a root: where it lives, who may look into it, its links and its locks.

Follows no symlink. Changes permissions only if asked to, and never widens them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from artifact_store.errors import AccessDenied
from artifact_store.storage.base import Capabilities, Trait
from artifact_store.storage.local import locks
from artifact_store.storage.local.folders import is_link
from artifact_store.storage.local.mounts import Mount, mounts_below
from artifact_store.storage.local.new_file import STAGING, TEMPORARY

_OTHERS, _GROUP, _OWNER = 0o007, 0o070, 0o700
_GLIMPSE = 3
_OLD = 86_400.0  # seconds: a probe of locks takes milliseconds

Wide = tuple[str, int]  # a path below the root, and its mode


def traits_of(root: Path, *, network: str | None, probes: bool) -> Iterator[Trait]:
    """Yield the traits of the folder ``root``; nothing if it does not exist yet. ``network`` says why it is remote."""
    if not root.is_dir():
        return
    if network is not None:
        remedy = "move the store to a disk of this machine or to a bucket, or promise to be its only writer"
        yield Trait("network-mount", "warning", network, remedy)
    else:
        yield Trait("network-mount", "fine", "the folder is on a disk of this machine")
    yield from map(_mount_below, mounts_below(root))
    look = _Look.into(root)
    yield from _links(root, look.links)
    yield _permissions(root, look.wide)
    if probes and os.name == "posix" and os.access(root, os.W_OK):
        yield _hard_links(root)
    yield from _locks(root)


def _mount_below(mount: Mount) -> Trait:
    place = f"{mount.point} is a mount of its own, of the kind {mount.kind}"
    if mount.network is not None:
        remedy = "unmount it and keep these models on the disk of the root, or mount it outside, for a store of its own"
        return Trait(
            "mount-below", "warning", f"{place}, and only a single writer writes there: {mount.network}", remedy
        )
    if mount.volatile is not None:
        return Trait("mount-below", "warning", f"{place}: {mount.volatile}", "move it to the disk of the root")
    remedy = "nothing, if its space and its backup are looked after"
    return Trait("mount-below", "note", f"{place}: the store writes there, and durability is that of its disk", remedy)


@dataclass(slots=True)
class _Look:
    """What one walk through all folders below a root finds; no symlink is followed but to the root."""

    links: list[str] = field(default_factory=list)
    """Links that stand in the place of folders."""
    wide: list[Wide] = field(default_factory=list)
    """What others than the owner can do something with."""

    @classmethod
    def into(cls, root: Path) -> _Look:
        real, found = os.path.realpath(root), cls()
        found._note(Path(real).stat(), ".")
        below = [""]
        while below:
            folder = below.pop()
            with contextlib.suppress(OSError), os.scandir(os.path.join(real, folder)) as entries:  # noqa: PTH118
                below += [name for entry in entries if (name := found._look_at(folder, entry)) is not None]
        found.links.sort()
        found.wide.sort(key=lambda wide: (wide[0] != ".", wide[0]))
        return found

    def _look_at(self, folder: str, entry: os.DirEntry[str]) -> str | None:
        """Note what is to be said of a name, and return its path if it is a folder that is to be looked into."""
        path = f"{folder}{os.sep}{entry.name}" if folder else entry.name
        if path == STAGING:  # private as a whole, whatever is in it
            return None
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            status = entry.stat(follow_symlinks=False)
            if is_link(status):
                self.links += [path] if entry.is_dir() or not stat.S_ISLNK(status.st_mode) else []
                return None
            self._note(status, path)
            return path if stat.S_ISDIR(status.st_mode) else None
        return None

    def _note(self, status: os.stat_result, path: str) -> None:
        if status.st_mode & (_OTHERS | _GROUP):
            self.wide.append((path, status.st_mode))


def _links(root: Path, found: list[str]) -> Iterator[Trait]:
    """Yield that there are links in the place of folders: what a store has below them is not even listed."""
    if found:
        shown = _shown([str(root / path) for path in found])
        message = f"{shown}: a symlink or junction, and none is followed below a root; its models are not listed"
        yield Trait("link-below", "warning", message, "move the real folder there, or mount it there")


# ---------------------------------------------------------------- permissions


def _permissions(root: Path, wide: list[Wide]) -> Trait:
    if os.name != "posix":
        return Trait("permissions", "unknown", "who may read the folder is in access lists, which are not read")
    others = [str(root) if path == "." else path for path, mode in wide if mode & _OTHERS]
    command = f"chmod -R go-rwx {shlex.quote(str(root))}"
    if others:
        message = f"{_shown(others)} can be reached by every user of this machine; a store is for its owner alone"
        return Trait("permissions", "warning", message, command, fix=lambda: make_private(root))
    if wide:
        message = f"{_shown([path for path, _ in wide])} can be reached by the group; fine if that was meant"
        return Trait("permissions", "note", message, f"`{command}`, unless the group has to read it")
    return Trait("permissions", "fine", "folders and files are for their owner alone")


def _everything(root: Path) -> Iterator[tuple[Path, str, int]]:
    """Yield folder (below the root), name and an open descriptor of the folder; the root itself comes first, as ``.``.

    The root alone may be reached through a symlink.
    """
    real = os.path.realpath(root)
    for whole, folders, files, at in os.fwalk(real, follow_symlinks=False):
        folder = Path(whole).relative_to(real)
        if whole == real:
            folders[:] = [name for name in folders if name != STAGING]  # private as a whole, whatever is in it
            yield folder, ".", at
        for name in sorted([*folders, *files]):
            yield folder, name, at


def make_private(root: Path) -> None:
    """Remove the permissions of group and others; ``AccessDenied`` names what is another user's, and stays."""
    failed = []
    for folder, name, at in _everything(root):
        try:
            _make_private(name, at)
        except FileNotFoundError:
            continue
        except OSError as error:
            failed.append(f"{root / folder / name}: {error.strerror}")
    if failed:
        raise AccessDenied(f"the permissions of {_shown(failed)} could not be changed; only the owner can")


def _make_private(name: str, at: int) -> None:
    found = os.stat(name, dir_fd=at, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        return
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    try:
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & _OWNER)
    finally:
        os.close(descriptor)


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _GLIMPSE} more" if len(names) > _GLIMPSE else ""
    return ", ".join(names[:_GLIMPSE]) + more


# ---------------------------------------------------------------- links and locks


def _hard_links(root: Path) -> Trait:
    one, two = (root / f"{TEMPORARY}{secrets.token_hex(8)}" for _ in range(2))
    try:
        with one.open("xb"):
            pass
        os.link(one, two)
    except OSError as error:
        message = f"no hard links here ({error.strerror}): files are created by a rename that replaces nothing"
        return Trait("hard-links", "note", message, "nothing, if what the conditions say is that they hold")
    finally:
        for path in (one, two):
            with contextlib.suppress(OSError):  # names of our own; gc finds what could not be removed
                path.unlink()
    return Trait("hard-links", "fine", "files are created by a hard link, which replaces nothing")


def _locks(root: Path) -> Iterator[Trait]:
    """Yield what lies among the locks and is not a lock. A lock without a holder is used again, and no leftover."""
    folder = root / locks.FOLDER
    try:
        found = os.lstat(folder)
        if is_link(found) or not stat.S_ISDIR(found.st_mode):
            yield _no_lock(folder, "is not a folder of its own: conditional writes are not possible")
            return
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:  # not there yet, or not ours to look into, which the first write tells
        return
    for name in names:
        path = folder / name
        with contextlib.suppress(FileNotFoundError):
            seen = os.lstat(path)
            if locks.is_lock(name) and not stat.S_ISREG(seen.st_mode):
                yield _no_lock(path, "is not a plain file: what it should lock cannot be written")
            elif not locks.is_lock(name) and time.time() - seen.st_mtime > _OLD:
                message = f"{path} is not a lock: the leftover probe of a process that crashed, or a foreign file"
                fix = partial(path.unlink, missing_ok=True) if name.startswith(TEMPORARY) else None
                yield Trait("orphan-lock", "note", message, f"rm {shlex.quote(str(path))}", fix=fix)


def _no_lock(path: Path, what: str) -> Trait:
    return Trait("broken-lock", "error", f"{path} {what}", "find out who put it there, and remove it")


def promise_of(network: str | None, volatile: str | None) -> Capabilities:
    """Return what a folder promises that is on a network, or in memory, for this reason."""
    undurable = (
        "Windows cannot flush a folder: after a power cut, a new name may be missing" if os.name == "nt" else volatile
    )
    return Capabilities(
        create_only=network is None,
        compare_and_swap=network is None,
        durable=undurable is None,
        reason="; ".join(filter(None, (network, undurable))),
    )
