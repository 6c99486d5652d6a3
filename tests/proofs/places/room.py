"""What a place needs to be started: packages in folders of their own below ``build/places``, processes, ports, mounts.

Owns installing and starting, and says why something cannot be had. Knows neither stores nor what is tried on them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.seaweed import clean_environment, free_ports

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build" / "places"
STARTED_WITHIN = 120.0
LOG_LINES = 8
# The shell takes the server down when it ends, and both when our end of its stdin is closed: also by a kill -9.
GUARD = '{ "$0" "$@" </dev/null; kill -9 0; } & read -r _; kill -9 0'


class NotHere(Exception):
    """The place cannot be had on this machine; the text says why."""


class Room:
    """Where one place lives while it is tried: a folder, and everything that has to be ended afterwards."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name, self.say = name, say
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix=f"place-{self.name}-")))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def at_end(self, work: Callable[[], object]) -> None:
        """Do this when the place is left."""
        self._stack.callback(work)

    # ---- installing

    def python(self, name: str, *requirements: str, beside_ours: bool = True) -> Path:
        """Return the interpreter of an environment that holds the requirements, and what this one holds."""
        folder = BUILD / name
        python = folder / "bin" / "python"

        def install() -> None:
            command([sys.executable, "-m", "venv", "--without-pip", folder])
            options: list[str | Path] = []
            if beside_ours:  # what is here already is seen there, and not installed again
                purelib = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
                (Path(purelib) / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
                options = ["-c", ROOT / "constraints.txt"]
            pip = [sys.executable, "-m", "pip", "--python", python]
            command([*pip, "install", "-q", "--no-compile", *options, *requirements])

        self._installed(folder, ["python", sys.version, *requirements], install)
        return python

    def node(self, name: str, *packages: str) -> Path:
        """Return the folder of the programs of these packages from npm."""
        folder = BUILD / name
        needs_program("npm", "node")
        fetch = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, *packages]
        self._installed(folder, ["npm", *packages], lambda: command(fetch))
        return folder / "node_modules" / ".bin"

    def debian(self, name: str, *packages: str) -> Path:
        """Return a folder with the files of these Debian packages, which are not installed into the system."""
        folder = BUILD / name
        needs_program("apt-get", "dpkg-deb")

        def install() -> None:
            command(["apt-get", "download", "-q", *packages], cwd=folder)
            for package in sorted(folder.glob("*.deb")):
                command(["dpkg-deb", "-x", package, folder / "root"])

        self._installed(folder, ["debian", *packages], install)
        return folder / "root"

    def _installed(self, folder: Path, wanted: Sequence[str], install: Callable[[], None]) -> None:
        stamp, fingerprint = folder / "installed.json", hashlib.sha256(json.dumps(wanted).encode()).hexdigest()
        with suppress(OSError):
            if stamp.read_text(encoding="utf-8") == fingerprint:
                return
        self.say(f"{self.name}: installing {' '.join(wanted[1:] if wanted[0] != 'python' else wanted[2:])}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install()
        stamp.write_text(fingerprint, encoding="utf-8")

    # ---- running

    def start(self, *program: str | Path, port: int, environment: Mapping[str, str] | None = None) -> None:
        """Start a server and return when it listens; it ends with the place, and with this process."""
        log = self.folder / "server.log"
        with log.open("ab") as sink:
            process = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, *map(str, program)],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=clean_environment() | dict(environment or {}),
                start_new_session=True,
            )
        self.at_end(lambda: end(process))
        deadline = time.monotonic() + STARTED_WITHIN
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
                raise NotHere(f"{Path(program[0]).name} did not start: {' | '.join(lines) or 'it said nothing'}")
            time.sleep(0.1)


def port() -> int:
    """Return a port that is free."""
    return free_ports(1)[0]


def listens(number: int) -> bool:
    """Tell whether something takes connections there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", number), timeout=1.0):
        return True
    return False


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()


def needs_program(*names: str) -> None:
    """Raise ``NotHere`` unless this machine has these programs."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise NotHere(f"this machine has no {' and no '.join(missing)}")


def command(
    words: Sequence[str | Path],
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    said: str = "",
) -> str:
    """Run a program to its end and return what it printed; ``NotHere`` with the end of that where it fails."""
    shown = Path(str(words[0])).name
    try:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd,
            env=os.environ | dict(environment or {}),
            input=said,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=900,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotHere(f"{shown} cannot be run here: {error}") from error
    if done.returncode:
        told = " | ".join((done.stdout + done.stderr).strip().splitlines()[-3:])
        raise NotHere(f"{shown} failed with status {done.returncode}: {told}")
    return done.stdout
