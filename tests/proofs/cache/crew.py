"""Processes that load through one cache, while they are killed, its files are damaged and its disk is full.

Each loads one run after the other, some of them offline, compares what comes back with what was saved, and prints a
letter for it. The parent kills one of them again and again by SIGKILL and starts another, cuts and flips files of the
cache, and adds up what the folder holds. The store is a folder that is read through fsspec, since what is read where it
lies needs no cache.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from artifact_store import ArtifactStore, Cache, OfflineWarning, errors

MODELS = 24
ONLINE, HIT, OFFLINE, MISSING, WRONG = ".", "h", "o", "m", "W"
SILENCE = 60.0
"""Seconds after which a process that says nothing hangs."""


def array(number: int) -> np.ndarray:
    """What is saved as the model of this number: from 8 to 200 KiB."""
    return np.random.default_rng(number).random(1024 * (1 + number % 25))


def save_all(folder: Path) -> int:
    """Save every model, and return how many bytes they are."""
    with ArtifactStore(folder) as store:
        runs = [store.save(array(number), f"gru/M{number}") for number in range(MODELS)]
    return sum(entry.size for run in runs for entry in run.manifest.files)


def load(folder: str, cache: str, limit: str, seed: str) -> None:
    """Load for ever, and print a letter for each load."""
    moved: list[object] = []
    choose = random.Random(int(seed))
    warnings.simplefilter("ignore", OfflineWarning)
    options = {"engine": "fsspec", "cache": cache, "cache_size": int(limit), "timeout": 20.0}
    online = ArtifactStore(folder, progress=moved.append, **options)
    offline = ArtifactStore(folder, offline=True, **options)
    while True:
        number = min(choose.randrange(MODELS), choose.randrange(MODELS))  # some more often than others
        moved.clear()
        is_online = choose.random() < 0.7
        try:
            found = (online if is_online else offline).load(f"gru/M{number}")
        except errors.NotCached:
            said = WRONG if is_online else MISSING
        else:
            same = np.array_equal(found, array(number))
            said = (HIT if not moved else ONLINE) if is_online else OFFLINE
            said = said if same else WRONG
        print(said, end="", flush=True)


class Loader:
    """One of the processes, and what it has said."""

    def __init__(self, folder: Path, cache: Path, limit: int, seed: int) -> None:
        command = [sys.executable, "-m", __name__, str(folder), str(cache), str(limit), str(seed)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said: Counter[str] = Counter()
        self.heard = time.monotonic()
        self.killed = False
        self._errors = b""
        self._readers = [threading.Thread(target=self._listen), threading.Thread(target=self._collect)]
        for reader in self._readers:
            reader.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while letter := self._process.stdout.read(1):
            self.said[letter.decode()] += 1
            self.heard = time.monotonic()

    def _collect(self) -> None:
        assert self._process.stderr is not None
        self._errors = self._process.stderr.read()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it, wherever it is."""
        self.killed = self.is_alive
        self._process.kill()
        with self._process:  # which closes its ends of the pipes
            for reader in self._readers:
                reader.join()

    @property
    def problems(self) -> Iterator[str]:
        """Yield what was wrong with it, once it has ended."""
        if self.said[WRONG]:
            yield f"{self.said[WRONG]} loads gave something else than was saved"
        if not self.killed:
            yield f"a process ended by itself: {self._errors.decode(errors='replace')[-2000:]}"


@dataclass
class Result:
    """What came of it."""

    limit: int
    said: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    damages: int = 0
    peak: int = 0
    """Most bytes that the cache held at any look."""
    found_damaged: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def violations(self) -> Iterator[str]:
        """Yield what should not be."""
        yield from self.problems
        if self.peak > self.limit:
            yield f"the cache held {self.peak:,} bytes, and {self.limit:,} are its limit"
        if not (self.said[HIT] and self.said[ONLINE] and self.said[OFFLINE]):
            yield f"nothing was proven: {dict(self.said)}"


def prove(folder: Path, cache: Path, *, processes: int, seconds: float, limit: int, seed: int = 0) -> Result:
    """Load for so long in so many processes, with kills and damage, and return what was seen."""
    choose = random.Random(seed)
    result = Result(limit)
    numbers = iter(range(1_000_000))

    def begin() -> Loader:
        return Loader(folder, cache, limit, seed * 1000 + next(numbers))

    def end(loader: Loader) -> None:
        loader.kill()
        result.said += loader.said
        result.problems += loader.problems

    crew = [begin() for _ in range(processes)]
    try:
        until = None
        while until is None or time.monotonic() < until:
            time.sleep(choose.uniform(0.005, 0.05))
            if until is None and all(loader.said for loader in crew):  # all are at work: now it begins
                until = time.monotonic() + seconds
            result.peak = max(result.peak, held(cache))
            if until is not None and choose.random() < 0.3:
                result.damages += damage(cache, choose)
            if until is not None and choose.random() < 0.05:
                place = choose.randrange(processes)
                end(crew[place])
                result.kills += 1
                crew[place] = begin()
            silent = [loader for loader in crew if time.monotonic() - loader.heard > SILENCE]
            result.problems += ["a process hangs"] * len(silent)
            if silent or not all(loader.is_alive for loader in crew):
                break
    finally:
        for loader in crew:
            end(loader)
    report = Cache(cache).verify()
    result.found_damaged = len(report.damaged)
    result.problems += [f"{entry.path} cannot be read" for entry in report.unreadable]
    if not Cache(cache).verify().ok:
        result.problems.append("damage was found twice")
    return result


def held(cache: Path) -> int:
    """Return how many bytes lie in the folder now, whatever they are; what is being renamed counts once."""
    total = 0
    for part in sorted(cache.glob("*"), key=lambda part: part.name == "tmp"):
        if part.is_dir():
            for path in part.iterdir():
                with contextlib.suppress(OSError):  # gone meanwhile
                    total += os.lstat(path).st_size
    return total


def damage(cache: Path, choose: random.Random) -> bool:
    """Cut, flip or empty a file of the cache in place, or the line that says how much there is; tell whether it was."""
    files = [path for path in cache.rglob("*") if path.is_file()]
    if not files:
        return False
    path = choose.choice(files)
    with contextlib.suppress(OSError), path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if path.name == "usage" or choose.random() < 0.4:
            file.truncate(choose.randrange(size) if size else 0)
        elif size:
            at = choose.randrange(size)
            file.seek(at)
            bit = file.read(1)
            file.seek(at)
            file.write(bytes([bit[0] ^ 1 << choose.randrange(8)]) if bit else b"")
        return True
    return False


if __name__ == "__main__":
    load(*sys.argv[1:])
