"""Folders of other machines: over SFTP and WebDAV through fsspec, and mounted, over SSH and NFS."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tests.proofs.places.place import Opened, Place
from tests.proofs.places.room import NotHere, Room, command, needs_program, port
from tests.proofs.places.s3 import rclone, rclone_version

USER = "places"
SERVER = Path(__file__).with_name("sftp_server.py")


def _version(python: Path, name: str) -> str:
    told = command([python, "-c", f"from importlib.metadata import version; print(version({name!r}))"]).strip()
    return f"{name} {told}"


def _ssh(room: Room) -> tuple[int, str, str]:
    """Start an SSH server with a folder of its own; return its port, the password and its version."""
    python = room.python("ssh-server", "asyncssh", beside_ours=False)
    number, password = port(), secrets.token_hex(16)
    (room.folder / "data").mkdir()
    told = {"PLACE_PASSWORD": password}
    room.start(python, SERVER, str(number), str(room.folder / "data"), port=number, environment=told)
    return number, password, _version(python, "asyncssh")


def _sftp(room: Room) -> Opened:
    python = room.python("sftp", "paramiko")
    number, password, server = _ssh(room)
    options = {"username": USER, "password": password, "look_for_keys": False, "allow_agent": False}
    arguments = {"url": f"sftp://127.0.0.1:{number}/store", "storage_options": options}
    return Opened(arguments, f"{server}, {_version(python, 'paramiko')}", python=python)


def _sshfs(room: Room) -> Opened:
    if not Path("/dev/fuse").exists():
        raise NotHere("this machine has no /dev/fuse")
    needs_program("ssh", "umount")
    tree = room.debian("sshfs", "sshfs", "libfuse3-3")
    number, password, server = _ssh(room)
    point = room.folder / "mounted"
    point.mkdir()
    libraries = os.pathsep.join(sorted({str(path.parent) for path in tree.rglob("libfuse3.so.*")}))
    trust = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "password_stdin")
    program = [tree / "usr" / "bin" / "sshfs", f"{USER}@127.0.0.1:/", point, "-p", str(number), *trust]
    room.at_end(lambda: command(["umount", "--lazy", point]))
    command(program, environment={"LD_LIBRARY_PATH": libraries}, said=f"{password}\n")
    told = command([program[0], "--version"], environment={"LD_LIBRARY_PATH": libraries}).splitlines()[0]
    return Opened({"url": str(point / "store")}, f"{told}, {server}")


def _nfs(room: Room) -> Opened:
    if "\tnfs\n" not in Path("/proc/filesystems").read_text(encoding="utf-8"):
        raise NotHere("the machine of the run has no NFS client in its kernel")
    program, number = rclone(room), port()
    point, data = room.folder / "mounted", room.folder / "data"
    for folder in (point, data):
        folder.mkdir()
    own = ("--config", str(room.folder / "rclone.conf"), "--cache-dir", str(room.folder / "cache"))
    room.start(program, "serve", "nfs", "--addr", f"127.0.0.1:{number}", *own, str(data), port=number)
    how = f"addr=127.0.0.1,port={number},mountport={number},vers=3,tcp,mountproto=tcp,nolock,soft"
    command(["mount", "-i", "-t", "nfs", "-o", how, "127.0.0.1:/", point])
    room.at_end(lambda: command(["umount", "--lazy", point]))
    return Opened({"url": str(point / "store")}, rclone_version(program))


def _webdav(room: Room) -> Opened:
    python = room.python("webdav", "webdav4[fsspec]")
    program, number, password = rclone(room), port(), secrets.token_hex(16)
    (room.folder / "data").mkdir()
    own = ("--config", str(room.folder / "rclone.conf"), "--cache-dir", str(room.folder / "cache"))
    who = {"RCLONE_USER": USER, "RCLONE_PASS": password}
    where = ("--addr", f"127.0.0.1:{number}", "--vfs-cache-mode", "full")
    room.start(program, "serve", "webdav", *where, *own, str(room.folder / "data"), port=number, environment=who)
    options = {"base_url": f"http://127.0.0.1:{number}", "auth": [USER, password]}
    arguments = {"url": "webdav:///store", "storage_options": options}
    return Opened(arguments, f"{rclone_version(program)}, {_version(python, 'webdav4')}", python=python)


PLACES = (
    Place("sftp", "`sftp://`", _sftp),
    Place("sshfs", "a folder mounted by sshfs", _sshfs),
    Place("nfs", "a folder mounted by NFS", _nfs),
    Place("rclone-webdav", "rclone's WebDAV, through webdav4", _webdav),
)
