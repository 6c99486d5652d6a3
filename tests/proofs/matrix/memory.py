"""The faulty memory backend: every fault that a backend can be made to have, on a clock that nobody waits for."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from artifact_store import ArtifactStore
from artifact_store.core import keys
from artifact_store.errors import Corrupt, DeadlineExceeded, Unavailable
from artifact_store.storage.base import Always, Backend, Precondition, Version
from artifact_store.storage.retry import RetryPolicy
from artifact_store.testing import Faults, FaultyBackend
from artifact_store.testing.faulty import On, Rule, _Fate
from tests.proofs.matrix.bench import TIMEOUT, Aim, Bench, Fault, Point, Strike, Told, Trial, examine
from tests.proofs.matrix.operations import Operation, world
from tests.proofs.matrix.views import REGISTRY, Snapshot, reader, steady
from tests.proofs.stateful.stepping import Inline

WRITES = frozenset({"write", "put_file", "delete", "discard"})
READS = frozenset({"read", "stream"})
FILES = 4
"""What a save moves at once: three files, and the pointer that it looks at meanwhile. Here one comes after the other."""


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def place_of(key: str) -> str:
    """The key, the same in every run: throw-away keys have random names."""
    return f"{keys.PROBES}*" if key.startswith(keys.PROBES) else key


class Aimed(FaultyBackend):
    """A faulty backend whose plan names points."""

    def __init__(self, inner: Backend, strikes: Iterable[Strike], *, sleep: Callable[[float], None]) -> None:
        super().__init__(inner, Faults(), sleep=sleep)
        self.aim = Aim(strikes)
        self._conditional = threading.local()

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        self._conditional.now = not isinstance(when, Always)
        return super().write(key, data, when=when)

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        self._conditional.now = not isinstance(when, Always)
        super().put_file(key, chunks, size=size, when=when)

    def _decide(self, op: str, key: str) -> _Fate:
        conditional = op in {"write", "put_file"} and self._conditional.now
        strike = self.aim.at(op, place_of(key), conditional=conditional)
        if strike is None:
            return _Fate(op, key, None, 0.0, random.Random(0))
        rule, pause = strike.fault.make
        return _Fate(op, key, rule, pause, random.Random(str(strike)))


def rule(make: Callable[[On], Faults]) -> Rule:
    return make(Faults().on()).rules[0]


def late(op: str, key: str) -> DeadlineExceeded:
    return DeadlineExceeded(f"{op} {key!r}: no answer came in time")


def fault(name: str, make: Callable[[On], Faults] | None, pause: float = 0.0, **more: Any) -> Fault:
    made = None if make is None else rule(make)
    return Fault(name, more.pop("allows", (Unavailable,)), (made, pause), **more)


FAULTS = (
    fault("lost reply", lambda on: on.lose_reply()),
    fault("lost request", lambda on: on.lose_request()),
    fault("delayed", lambda on: on.delay(), late="before"),
    fault("delayed long", lambda on: on.delay(), late="after"),
    fault("409", lambda on: on.contend()),
    fault("409 landed", lambda on: on.contend(landed=True)),
    fault("412 landed", lambda on: on.echo()),
    fault("5xx", lambda on: on.unavailable()),
    fault("slow", None, 5.0),
    fault("hang", lambda on: on.fail(late), TIMEOUT),
    fault("hang landed", lambda on: on.fail(late, landed=True), TIMEOUT),
    fault("cut body", lambda on: on.cut(), allows=(Unavailable, Corrupt)),
    fault("flipped byte", lambda on: on.flip(), allows=(Unavailable, Corrupt)),
    fault("killed before", lambda on: on.crash(), deadly=True),
    fault("killed after", lambda on: on.crash(landed=True), deadly=True),
    fault("dead: 5xx", lambda on: on.unavailable(), sticky=True),
    fault("dead: hangs", lambda on: on.fail(late), TIMEOUT, sticky=True),
)
PAIRED = tuple(
    fault.name for fault in FAULTS if not fault.deadly and not fault.sticky and fault.name not in {"slow", "hang"}
)


class MemoryBench(Bench):
    """The reference: no client, no network, nothing but the store's own steps."""

    name = "memory"
    faults = FAULTS
    pairs = (PAIRED, (*PAIRED, "dead: 5xx"))

    def run(self, operation: Operation, strikes: tuple[Strike, ...]) -> Trial:
        clock, snapshot = Clock(), world(operation.name)
        inner = snapshot.restored()
        backend = Aimed(inner, strikes, sleep=clock.sleep)
        trial = examine(
            operation,
            strikes,
            lambda: told(operation, client(backend, clock)),
            snapshot=lambda: Snapshot.of(inner),
            deliver=backend.deliver,
            again=lambda: Told.by(operation, reader(inner)),
        )
        backend.aim.report(trial)
        return limited(trial, clock.now)

    def repairs(self, point: Point) -> bool:
        return True

    def recovery(self, operation: Operation, strike: Strike) -> tuple[Point, ...]:
        """Every step after the fault."""
        trial = self.run(operation, (strike,))
        return tuple(sorted(set(trial.trace[trial.first + 1 :])))

    def why_not(self, operation: Operation, fault: Fault, point: Point) -> str:
        return why_not(fault.name, point)


def told(operation: Operation, store: ArtifactStore) -> Told:
    """Do it, and end the threads of the store."""
    with store:
        return Told.by(operation, store)


def client(backend: Backend, clock: Clock) -> ArtifactStore:
    """A store whose retrying is measured by the clock, without threads: its calls have one order."""
    store = steady(ArtifactStore(backend, timeout=TIMEOUT, registry=REGISTRY), "a")
    retry = RetryPolicy(seconds=TIMEOUT, clock=clock, sleep=clock.sleep)
    store._context = replace(store._context, retry=retry, workers=Inline(), tasks=Inline())
    return store


def limited(trial: Trial, seconds: float) -> Trial:
    """Say what it may cost if the storage is dead: three timeouts and 40 requests for all that a save moves at once."""
    if any(strike.fault.sticky for strike in trial.strikes):
        trial.seconds = seconds
        trial.limit = (3 * TIMEOUT * FILES, 40 * FILES)
    return trial


_ONLY = (
    ("412", lambda point: point.conditional, "only a write with a condition is answered so"),
    ("409", lambda point: point.what in WRITES, "only a write is answered so"),
    ("delayed", lambda point: point.what in WRITES, "a read that arrives late changes nothing: a lost request"),
    ("hang landed", lambda point: point.what in WRITES, "a read changes nothing: a hang"),
    ("flipped byte", lambda point: point.what in READS, "no bytes of an object come back"),
    ("cut body", lambda point: point.what in READS, "a listing that breaks off is a lost reply, and a write has none"),
)


def why_not(name: str, point: Point) -> str:
    """Why a fault cannot happen to a call of a backend."""
    return next((why for begin, fits, why in _ONLY if name.startswith(begin) and not fits(point)), "")
