"""Where a folder really lives: a disk of this machine, its memory, or a network that only looks like a disk.

Locks and hard links of a network file system hold on one machine at best, so a folder there gets no conditional
writes; what lies in memory survives no power cut. Tells it of a root, and of what is mounted below one. Only
:func:`mount_at`, :func:`mounts_below` and :func:`network_reason` ask the system.
"""

from __future__ import annotations

import ntpath
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_MOUNTINFO = Path("/proc/self/mountinfo")

_REMOTE = frozenset({
    "9p", "acfs", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "gfs", "gfs2", "glusterfs",
    "gpfs", "lustre", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "smb2", "smb3",
    "smbfs", "vboxsf", "virtiofs", "vmhgfs", "webdav",
})  # fmt: skip
# What a FUSE program stores where is its own affair. These keep everything on a disk of this machine.
_LOCAL_FUSE = frozenset({"bindfs", "cryfs", "encfs", "exfat", "gocryptfs", "mergerfs", "ntfs", "ntfs-3g", "securefs"})
_VOLATILE = frozenset({"ramfs", "rootfs", "tmpfs"})
_DRIVE_REMOTE = 4


class Mount(NamedTuple):
    """A file system in its place."""

    point: str
    kind: str

    @property
    def network(self) -> str | None:
        """Why it cannot be trusted with conditional writes; ``None`` if it can."""
        return why_not_local(self.kind)

    @property
    def volatile(self) -> str | None:
        """Why an acknowledged write can be lost; ``None`` if that is not known of this kind."""
        return f"{self.kind} keeps files in memory: a power cut loses them" if self.kind in _VOLATILE else None


def mount_of(path: str, mountinfo: str) -> Mount | None:
    """Return the mount that holds the absolute, resolved ``path``, by the text of ``/proc/self/mountinfo``.

    The longest mount point wins, and of several mounts on one point the last: it hides those before it.
    """
    best: Mount | None = None
    for mount in _table(mountinfo):
        if PurePosixPath(path).is_relative_to(mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def why_not_local(kind: str) -> str | None:
    """Say why a file system of this kind cannot be trusted with conditional writes, or ``None`` if it can."""
    kind = kind.lower()
    family, _, program = kind.partition(".")
    fuse = family in {"fuse", "macfuse", "osxfuse"}
    if family not in _REMOTE and not (fuse and program not in _LOCAL_FUSE):
        return None
    return f"{kind} is a network or shared file system, where locks and links do not hold between machines"


def network_reason(root: Path) -> str | None:
    """Say why the folder ``root``, which need not exist yet, cannot be trusted; ``None`` if it is on a local disk."""
    if sys.platform == "win32":
        return _windows_reason(os.path.realpath(root))
    mount = mount_at(root)
    return None if mount is None else mount.network


def mount_at(path: Path) -> Mount | None:
    """Return the mount that holds a path, which need not exist yet; ``None`` where the system does not tell."""
    real = os.path.realpath(path)
    if sys.platform == "win32":
        return None
    if sys.platform == "darwin":
        folder = _nearest_existing(real)
        kind = _darwin_kind(folder)
        return Mount(_point_above(folder), kind) if kind else None
    return mount_of(real, _mountinfo())  # without /proc nothing is said, and the lock is probed before the first write


def mounts_below(root: Path) -> list[Mount]:
    """Return what is mounted below a folder, by its place; nothing where the system does not tell.

    On Windows such a place is a junction, and as closed as a symlink is.
    """
    real = os.path.realpath(root)
    if sys.platform == "win32":
        return []
    if sys.platform == "darwin":
        points = (whole for whole, _, _ in os.walk(real) if whole != real and os.path.ismount(whole))
        found = {point: Mount(point, _darwin_kind(point)) for point in points}
    else:
        below = (mount for mount in _table(_mountinfo()) if PurePosixPath(real) in PurePosixPath(mount.point).parents)
        found = {mount.point: mount for mount in below}  # the last one on a point hides those before it
    return sorted(found.values())


def _mountinfo() -> str:
    try:
        # Mount points are bytes like any other path; what is not UTF-8 is compared as Python itself spells it.
        return _MOUNTINFO.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _table(mountinfo: str) -> Iterator[Mount]:
    return (mount for line in mountinfo.splitlines() if (mount := _parse(line)) is not None)


def _point_above(folder: str) -> str:
    here = Path(folder)
    return str(next((each for each in (here, *here.parents) if os.path.ismount(each)), here))


def _parse(line: str) -> Mount | None:
    # "36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/sda1 rw": see proc(5)
    left, dash, right = line.partition(" - ")
    fields, rest = left.split(" "), right.split(" ")
    if not dash or len(fields) < 5 or len(rest) < 2:  # noqa: PLR2004 -- the numbers of fields in proc(5)
        return None
    return Mount(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]), rest[0])


def _nearest_existing(path: str) -> str:
    here = Path(path)
    return str(next((folder for folder in (here, *here.parents) if folder.exists()), here))


def _darwin_kind(path: str) -> str:
    """Ask statfs(2) for the name of the file system, ``""`` if it does not answer."""
    import ctypes

    # struct statfs with 64-bit inodes, the only one on arm64: f_fstypename is 16 bytes at offset 72
    offset, length, size = 72, 16, 2168
    buffer = ctypes.create_string_buffer(size)
    library = ctypes.CDLL(None, use_errno=True)
    # on Intel Macs the plain name is the old structure with 32-bit inodes
    statfs = getattr(library, "statfs$INODE64", None) or library.statfs
    if statfs(os.fsencode(path), buffer) != 0:
        return ""
    return buffer.raw[offset : offset + length].split(b"\0", 1)[0].decode("ascii", "replace")


def _windows_reason(path: str) -> str | None:
    import ctypes

    drive = ntpath.splitdrive(path)[0]
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 -- type checkers on other systems know no windll
    if kernel.GetDriveTypeW(f"{drive}\\") == _DRIVE_REMOTE:
        return f"{drive} is a network drive, where locks do not hold between machines"
    return None
