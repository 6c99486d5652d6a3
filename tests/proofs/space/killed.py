"""Savers that stop in the middle and wait to be killed, and the room that temporary files take before and after.

Half of them stop while a codec writes its file, each a little later than the one before, the others while that file is
uploaded. All are there at once, and all are killed by SIGKILL at once, so that none can clear up after another.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from artifact_store import ArtifactStore, CodecRegistry, Risk
from artifact_store.core.files import Progress

KEY = "gru/BTCEUR"
PIECE = b"0123456789abcdef" * (1 << 16)
"""A mebibyte."""
SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Blob:
    """So many mebibytes."""

    size: int


class BlobCodec:
    """Blobs, piece by piece; stops for ever after ``stop`` pieces."""

    name, version, risk = "blob", 1, Risk.DATA
    types = (f"{__name__}.Blob", "__main__.Blob")
    extra = None

    def __init__(self, stop: int = -1) -> None:
        self._stop = stop

    def encode(self, obj: Blob, directory: Path, stem: str) -> Mapping[str, Any]:
        with (directory / f"{stem}.bin").open("wb") as file:
            for number in range(obj.size):
                if number == self._stop:
                    file.flush()
                    wait_for_the_end()
                file.write(PIECE)
        return {}

    def decode(self, directory: Path, stem: str, options: Mapping[str, Any], *, into: Any = None) -> Blob:
        del options, into
        return Blob((directory / f"{stem}.bin").stat().st_size // len(PIECE))


def wait_for_the_end() -> None:
    """Tell that this is the place, and stay there."""
    print("here", flush=True)
    while True:
        time.sleep(60)


def save(place: str, megabytes: str, moment: str, part: str) -> None:
    """Save so many mebibytes, and stop after ``part`` of them: while they are ``written``, or ``sent``."""
    size, stop = int(megabytes), float(part) * int(megabytes)

    def tell(progress: Progress) -> None:
        if progress.path == "model.bin" and progress.done >= stop * len(PIECE):
            wait_for_the_end()

    registry = CodecRegistry()
    registry.register(BlobCodec(int(stop) if moment == "written" else -1))
    report = tell if moment == "sent" else None
    with ArtifactStore(**json.loads(place), registry=registry, progress=report) as store:
        store.save(Blob(size), KEY)


@dataclass(frozen=True, slots=True)
class Room:
    """What temporary files there are, and how many bytes of the disk they take."""

    files: int
    bytes: int

    @classmethod
    def of(cls, *folders: Path) -> Room:
        """Return the room of all that is in these folders, and of all that a local store calls temporary."""
        found = {path for folder in folders for path in folder.rglob("*") if _is_temporary(path, folder)}
        sizes = {(status.st_dev, status.st_ino): status.st_blocks * 512 for status in map(os.lstat, found)}
        return cls(len(found), sum(sizes.values()))


def _is_temporary(path: Path, folder: Path) -> bool:
    below = path.relative_to(folder).parts
    return not path.is_dir() and (folder.name != "store" or any(part.startswith(".tmp-") for part in below))


@dataclass(frozen=True, slots=True)
class Result:
    """What the kills of one place came to."""

    before: Room
    killed: Room
    after: Room
    uploads: int
    """Unfinished uploads on the storage, before the next gc."""
    left: int
    """What gc still finds after it was applied."""
    loads: bool

    @property
    def violations(self) -> Iterator[str]:
        """Yield what should not be."""
        if self.killed.bytes <= self.before.bytes:
            yield "the killed processes held no temporary space, so nothing was proven"
        if self.after != self.before:
            yield f"temporary space is {self.after} after the next save; it was {self.before}"
        if self.left:
            yield f"gc left {self.left} steps to do"
        if not self.loads:
            yield "what the next save stored does not load"


def kill_savers(place: Mapping[str, Any], temporary: Path, *, processes: int, megabytes: int) -> Result:
    """Kill so many savers at once, save again, and return what was seen. ``temporary`` is a new folder for it all."""
    folders = [temporary, *([Path(place["url"])] if Path(str(place["url"])).is_absolute() else [])]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with ArtifactStore(**place) as store:
        store.save({"n": 0}, "gru/OTHER")
    before = Room.of(*folders)
    with ExitStack() as stack:
        savers = []
        for number in range(processes):
            moment = ("written", "sent")[number % 2]
            part = (number + 1) / (processes + 1)
            command = [sys.executable, "-m", __name__, json.dumps(dict(place)), str(megabytes), moment, str(part)]
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
            stack.callback(_end, process)
            savers.append(process)
        for process in savers:
            assert process.stdout is not None
            assert process.stdout.readline() == b"here\n", "a process ended before it could be killed"
        for process in savers:
            process.send_signal(signal.SIGKILL)
        assert {process.wait(SECONDS) for process in savers} == {-signal.SIGKILL}
    killed = Room.of(*folders)
    program = f"import json, sys\nfrom artifact_store import ArtifactStore\nArtifactStore(**json.loads(sys.argv[1])).save({{'n': 1}}, {KEY!r})"
    subprocess.run([sys.executable, "-c", program, json.dumps(dict(place))], env=environment, check=True)
    after = Room.of(*folders)
    with ArtifactStore(**place) as store:
        loads = store.load(KEY) == {"n": 1} and store.verify(KEY).ok
        uploads = len(list(store._context.backend.unfinished()))
        store.gc(grace=timedelta(0)).apply()
        left = len(store.gc(grace=timedelta(0)).changes)
    return Result(before, killed, after, uploads, left, loads)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


if __name__ == "__main__":
    save(*sys.argv[1:])
