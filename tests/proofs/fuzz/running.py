"""One input at a time, within bounds of time and memory, and what became of it."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from artifact_store.errors import ArtifactStoreError

SECONDS = 10.0
"""What one input may take. The largest that are tried have some 100 KB."""
MEGABYTES = 1024
"""By how much the address space of the process may grow over what it had before the first input."""
MAX_INPUT = 256 << 10
REGRESSIONS = Path(__file__).resolve().parents[2] / "data" / "fuzz"


class TooSlow(BaseException):
    """An input took longer than it may. No ``Exception``, so that nothing on the way catches it."""


@dataclass(frozen=True)
class Target:
    """Something that reads bytes. ``read`` returns what it made of them, in a word, or raises."""

    name: str
    read: Callable[[bytes], str]
    corpus: Callable[[], Sequence[bytes]]
    """Inputs to begin with; most of them sound."""
    mutate: Callable[[bytes, Random], bytes]
    typed: tuple[type[BaseException], ...] = (ArtifactStoreError,)
    """What may come out of ``read``."""
    isolated: bool = False
    """It runs compiled code that may not survive: each input is written down before it is read."""


@dataclass
class Account:
    """What became of all inputs so far."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Path | None] = field(default_factory=dict)
    """Where it happened, and the file of the first input that did it."""

    def as_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "inputs": self.inputs,
            "seconds": round(self.seconds, 1),
            "slowest": round(self.slowest, 3),
            "outcomes": dict(self.outcomes.most_common()),
            "findings": {place: str(file) for place, file in self.findings.items()},
        }


class Runner:
    """Feeds a target, counts, and keeps what it must not do."""

    def __init__(self, target: Target, folder: Path | None, *, seconds: float = SECONDS) -> None:
        self.target = target
        self.account = Account(target.name)
        self._folder = folder
        self._limit = seconds

    def one(self, data: bytes) -> None:
        """Read one input."""
        begun = time.perf_counter()
        if self.target.isolated and self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{self.target.name}-last").write_bytes(data)
        try:
            with within(self._limit):
                outcome = self.target.read(data)
        except self.target.typed as error:
            outcome = type(error).__name__
        except (Exception, TooSlow) as error:  # noqa: BLE001 -- exactly these are looked for
            outcome = f"finding: {type(error).__name__}"
            self._keep(data, error)
        took = time.perf_counter() - begun
        self.account.inputs += 1
        self.account.seconds += took
        self.account.slowest = max(self.account.slowest, took)
        self.account.outcomes[outcome] += 1

    def _keep(self, data: bytes, error: BaseException) -> None:
        place = _where(error)
        if place in self.account.findings:
            return
        path = None
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self.target.name}-{hashlib.sha256(data).hexdigest()[:16]}"
            path.write_bytes(data)
            told = "".join(traceback.format_exception(error))
            path.with_suffix(".txt").write_text(told, encoding="utf-8", errors="backslashreplace")
        self.account.findings[place] = path


def inputs(target: Target, seed: int) -> Iterator[bytes]:
    """Yield the corpus and then, without end, changes of it: the same ones for the same seed."""
    chance = Random(f"{target.name} {seed}")
    corpus = [data[:MAX_INPUT] for data in target.corpus()]
    yield from corpus
    while True:
        data = chance.choice(corpus)
        for _ in range(1 + int(chance.expovariate(0.7))):
            data = target.mutate(data, chance)[:MAX_INPUT]
        yield data


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise ``TooSlow`` in the body when it has used so much time of the processor, where the platform can interrupt it."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlow(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)  # of this process: a busy machine is not its fault
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def bound_memory(megabytes: int = MEGABYTES) -> None:
    """Let this process have so much more address space than it has now, where the platform can say so."""
    try:
        import resource
    except ImportError:
        return
    status = Path("/proc/self/status")
    if status.exists():
        kilobytes = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmSize"))
        limit = (kilobytes << 10) + (megabytes << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def peak_megabytes() -> float:
    """Return the most memory that this process ever had."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _where(error: BaseException) -> str:
    """Name the place of a finding, so that one mistake is kept once."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "artifact_store" in frame.filename]
    frames = frames or list(traceback.extract_tb(error.__traceback__))
    last = frames[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.name}:{last.lineno}"
