"""A backend that fails on demand: what networks, servers and power cuts do, by a plan and the same in every run.

For example, a fifth of the replies to pointer writes get lost, and the process dies right after its 40th operation::

    plan = Faults(seed=1).on("write", key="*/latest.json").lose_reply(0.2).crash_at(40, landed=True)
    backend = FaultyBackend(MemoryBackend(), plan)
    with pytest.raises(SimulatedCrash):
        save_and_publish(backend)
    assert backend.log[-1].op == "write"

A plan is a value: it can be shared, extended and printed. Whether a chance strikes depends on the seed, the rule, the
operation, the key and how often that operation was tried on that key, not on the order in which threads arrive.
The first rule that strikes decides; only ``slow`` lets the later ones have their turn, too.

Why: docs/decisions/0016-real-servers-instead-of-mocks.md
"""

from __future__ import annotations

import contextlib
import fnmatch
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple, NoReturn, TypeVar

from artifact_store.errors import ArtifactStoreError, Conflict, Contended, NotFound, PreconditionFailed, Unreachable
from artifact_store.storage.base import Backend, Blob, Capabilities, Entry, Precondition, Trait, Unfinished, Version
from artifact_store.storage.exact_size import exactly

Op = Literal["read", "stream", "write", "put_file", "list", "children", "delete", "unfinished", "discard"]
Tear = Literal["omit", "repeat", "stop"]
_Effect = Literal["raise", "delay", "crash", "tear", "flip", "cut", "slow"]
Item = TypeVar("Item")
Result = TypeVar("Result")

MakeError = Callable[[str, str], BaseException]
"""Makes the error to be raised from the operation and the key."""


class SimulatedCrash(BaseException):
    """The process died here. Not an ``Exception``: no handler of the code under test may go on after it."""


class Operation(NamedTuple):
    """One call, as the log holds it; ``fault`` says what was done to it, ``""`` if nothing."""

    op: str
    key: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a plan: which calls it is for, how likely it strikes, and what it then does."""

    ops: frozenset[str] = frozenset()
    key: str = "*"
    after: int = 0
    times: int | None = None
    chance: float = 1.0
    effect: _Effect = "raise"
    fault: str = ""
    landed: bool = False
    make: MakeError = lambda op, key: Unreachable(f"{op} {key!r}: a fault was planned here")
    operations: int | None = None
    tear: Tear = "omit"
    seconds: float = 0.0

    def fits(self, op: str, key: str) -> bool:
        """Return whether the rule is for this call."""
        return (not self.ops or op in self.ops) and fnmatch.fnmatchcase(key, self.key)


@dataclass(frozen=True, slots=True)
class Faults:
    """A plan: rules, and a seed for their chances. Every method returns a longer plan and changes nothing."""

    seed: int = 0
    rules: tuple[Rule, ...] = ()

    def on(self, *ops: Op, key: str = "*", after: int = 0, times: int | None = None) -> On:
        """Begin a rule for these operations (none: all of them) on keys like the glob ``key``.

        It lets the first ``after`` of them pass, and strikes ``times`` times at most.
        """
        return On(self, Rule(ops=frozenset(ops), key=key, after=after, times=times))

    def crash_at(self, number: int, *, landed: bool = False) -> Faults:
        """Die at the operation of this number, counted from 1: before it is executed, or after it has landed."""
        return self.on(after=number - 1, times=1).crash(landed=landed)


@dataclass(frozen=True, slots=True)
class On:
    """A rule that still lacks what it does."""

    plan: Faults
    rule: Rule

    def lose_reply(self, chance: float = 1.0) -> Faults:
        """Execute it, then report a broken connection. Reads and listings break off in the middle."""
        return self.fail(_reporting(Unreachable, "the reply was lost"), chance, landed=True, fault="lost reply")

    def lose_request(self, chance: float = 1.0) -> Faults:
        """Report a broken connection without executing it."""
        return self.fail(_reporting(Unreachable, "the request was lost"), chance, fault="lost request")

    def unavailable(self, chance: float = 1.0) -> Faults:
        """Answer 503 without executing it."""
        return self.fail(_reporting(Unreachable, "503: the server is overloaded"), chance, fault="503")

    def contend(self, chance: float = 1.0, *, landed: bool = False) -> Faults:
        """Answer 409. Whether the write ``landed`` the caller cannot know."""
        make = _reporting(Contended, "409: another request for this key is under way")
        return self.fail(make, chance, landed=landed, fault="409")

    def echo(self, chance: float = 1.0) -> Faults:
        """Execute it, then answer 412: the client lost the reply, sent it again, and met its own write."""
        return self.fail(lambda _op, key: PreconditionFailed(key), chance, landed=True, fault="false 412")

    def fail(self, make: MakeError, chance: float = 1.0, *, landed: bool = False, fault: str = "error") -> Faults:
        """Raise what ``make(op, key)`` returns, before it is executed or after it has ``landed``."""
        return self._add(effect="raise", make=make, chance=chance, landed=landed, fault=fault)

    def delay(self, chance: float = 1.0, *, operations: int | None = None) -> Faults:
        """Report a broken connection while a write or a deletion is still on its way.

        It lands, with the condition that it was sent with, before the call that follows ``operations`` others, or
        at :meth:`FaultyBackend.deliver`. On a read it is a lost request.
        """
        return self._add(effect="delay", chance=chance, operations=operations, fault="delayed")

    def crash(self, chance: float = 1.0, *, landed: bool = False) -> Faults:
        """Die before it is executed, or after it has ``landed``. Every later call dies, too."""
        return self._add(effect="crash", chance=chance, landed=landed, fault="crash")

    def tear(self, how: Tear, chance: float = 1.0) -> Faults:
        """Spoil a listing: ``omit`` every third entry, the first included; ``repeat`` each; ``stop`` in the middle."""
        return self._add(effect="tear", chance=chance, tear=how, fault=f"torn: {how}")

    def flip(self, chance: float = 1.0) -> Faults:
        """Change one bit of what a read or a stream returns. Empty objects pass."""
        return self._add(effect="flip", chance=chance, fault="flipped")

    def cut(self, chance: float = 1.0) -> Faults:
        """Return only the first half of a read or a stream, without an error."""
        return self._add(effect="cut", chance=chance, fault="cut")

    def slow(self, seconds: float, chance: float = 1.0) -> Faults:
        """Wait before it is executed."""
        return self._add(effect="slow", chance=chance, seconds=seconds, fault="slow")

    def _add(self, **given: object) -> Faults:
        rule = replace(self.rule, **given)  # type: ignore[arg-type]  # the methods above give the fields their types
        return Faults(self.plan.seed, (*self.plan.rules, rule))


class _Fate(NamedTuple):
    """What the plan decided for one call."""

    op: str
    key: str
    rule: Rule | None
    pause: float
    random: random.Random

    def has(self, effect: _Effect) -> bool:
        return self.rule is not None and self.rule.effect == effect

    @property
    def breaks_off(self) -> bool:
        """Whether an answer in pieces ends with an error in its middle."""
        rule = self.rule
        return rule is not None and (rule.tear == "stop" or (rule.effect == "raise" and rule.landed))


class _Late(NamedTuple):
    due: float
    land: Callable[[], object]


class FaultyBackend(Backend):
    """``inner``, with the faults of ``plan`` between it and the caller. See the module for an example.

    ``log`` holds every call in the order of its arrival. ``local_path`` is never known: a read of it meets no faults.
    """

    def __init__(self, inner: Backend, plan: Faults, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.inner, self.plan = inner, plan
        self.log: list[Operation] = []
        self.engine, self.url, self.endpoint = inner.engine, inner.url, inner.endpoint
        self.create_limit, self.parts_above, self.makes_root = inner.create_limit, inner.parts_above, inner.makes_root
        self._sleep, self._lock = sleep, threading.Lock()
        self._tried: Counter[tuple[str, str]] = Counter()
        self._met, self._struck = Counter[int](), Counter[int]()
        self._late: list[_Late] = []
        self._crashed: Operation | None = None

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # what the inner one says now
        """What ``inner`` promises."""
        return self.inner.capabilities

    @property
    def places(self) -> tuple[str, ...]:
        """Where ``inner`` is."""
        return self.inner.places

    @property
    def crashed(self) -> bool:
        """Whether the simulated process is dead."""
        return self._crashed is not None

    def deliver(self) -> list[object]:
        """Let all delayed writes land now, in the order they were sent; return what each returned or raised."""
        with self._lock:
            late, self._late = self._late, []
        return [_outcome(one.land) for one in late]

    # ------------------------------------------------------------ the contract

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Read, perhaps other bytes than are stored."""
        fate = self._meet("read", key)
        blob = self._carry_out(fate, lambda: self.inner.read(key, limit=limit, unless=unless))
        if blob is not None and fate.has("flip"):
            return Blob(_flipped(blob.data, fate.random), blob.version)
        if blob is not None and fate.has("cut"):
            return Blob(blob.data[: len(blob.data) // 2], blob.version)
        return blob

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Stream, perhaps other or fewer bytes than are stored."""
        return self._spoilt(self._meet("stream", key), size)

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        """Write, perhaps later or without an answer."""
        return self._carry_out(self._meet("write", key), lambda: self.inner.write(key, data, when=when))

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Store a file, perhaps later or without an answer."""
        fate = self._meet("put_file", key)
        if fate.has("delay"):  # what is under way has left the caller's hands
            chunks = list(exactly(chunks, size=size, key=key))
        self._carry_out(fate, lambda: self.inner.put_file(key, chunks, size=size, when=when))

    def list(self, prefix: str) -> Iterator[Entry]:
        """List, perhaps too much or too little."""
        return self._torn(self._meet("list", prefix), lambda: self.inner.list(prefix))

    def children(self, prefix: str) -> Iterator[str]:
        """Name what is below, perhaps too much or too little."""
        return self._torn(self._meet("children", prefix), lambda: self.inner.children(prefix))

    def delete(self, key: str) -> None:
        """Remove, perhaps later or without an answer."""
        self._carry_out(self._meet("delete", key), lambda: self.inner.delete(key))

    def unfinished(self) -> Iterator[Unfinished]:
        """List what is under way, perhaps too much or too little."""
        return self._torn(self._meet("unfinished", ""), self.inner.unfinished)

    def discard(self, upload: Unfinished) -> None:
        """Give up an upload, perhaps later or without an answer."""
        self._carry_out(self._meet("discard", upload.key), lambda: self.inner.discard(upload))

    def traits(self, *, probes: bool) -> Iterator[Trait]:
        """Ask ``inner``: no faults are planned for what is around the objects."""
        return self.inner.traits(probes=probes)

    def server_time(self) -> datetime | None:
        """Ask ``inner``."""
        return self.inner.server_time()

    def close(self) -> None:
        """Close ``inner``."""
        self.inner.close()

    # ------------------------------------------------------------ fate

    def _meet(self, op: Op, key: str) -> _Fate:
        """Log the call, let what is due land, and decide what becomes of it."""
        with self._lock:
            if self._crashed is not None:
                self._die(self._crashed)
            fate = self._decide(op, key)
            fault = fate.rule.fault if fate.rule is not None else "slow" if fate.pause else ""
            self.log.append(Operation(op, key, fault))
            due = [one for one in self._late if one.due < len(self.log)]
            self._late = [one for one in self._late if one not in due]
        for one in due:
            _outcome(one.land)
        if fate.pause:
            self._sleep(fate.pause)
        return fate

    def _decide(self, op: Op, key: str) -> _Fate:
        tried = self._tried[op, key]
        self._tried[op, key] += 1
        pause = 0.0
        for number, rule in enumerate(self.plan.rules):
            if not rule.fits(op, key):
                continue
            self._met[number] += 1
            if self._met[number] <= rule.after or (rule.times is not None and self._struck[number] >= rule.times):
                continue
            chances = random.Random(f"{self.plan.seed}/{number}/{op}/{key}/{tried}")  # noqa: S311 -- a test's dice
            if chances.random() >= rule.chance:
                continue
            self._struck[number] += 1
            if rule.effect != "slow":
                return _Fate(op, key, rule, pause, chances)
            pause += rule.seconds
        return _Fate(op, key, None, pause, random.Random(0))  # noqa: S311 -- never used

    def _carry_out(self, fate: _Fate, step: Callable[[], Result]) -> Result:
        """Execute one step, or not, and answer what the plan says."""
        rule = fate.rule
        if rule is None or rule.effect not in {"raise", "crash", "delay"}:
            return step()
        if rule.effect == "delay" and fate.op in {"write", "put_file", "delete", "discard"}:
            with self._lock:
                due = math.inf if rule.operations is None else len(self.log) + rule.operations
                self._late.append(_Late(due, step))
        if rule.landed:
            with contextlib.suppress(Conflict, NotFound):  # whatever the storage answers, the caller does not hear it
                step()
        raise self._failure(fate)

    def _failure(self, fate: _Fate) -> BaseException:
        """Return what to raise; where the process is to die it dies here."""
        assert fate.rule is not None
        if fate.rule.effect == "crash":
            with self._lock:
                self._crashed = Operation(fate.op, fate.key, fate.rule.fault)
                self._die(self._crashed)
        return fate.rule.make(fate.op, fate.key)

    def _spoilt(self, fate: _Fate, size: int) -> Iterator[bytes]:
        """Give the bytes of an object, or what is left of them."""
        if not fate.breaks_off:
            self._carry_out(fate, lambda: None)
        half = size // 2
        flip_at = fate.random.randrange(size) if size and fate.has("flip") else None
        seen = 0
        for whole in self.inner.stream(fate.key, size=size):
            piece = whole
            if flip_at is not None and seen <= flip_at < seen + len(piece):
                piece = _flipped(piece, fate.random, at=flip_at - seen)
            if fate.breaks_off or fate.has("cut"):
                piece = piece[: max(0, half - seen)]
            seen += len(whole)
            if piece:
                yield piece
        if fate.breaks_off:
            raise self._failure(fate)

    def _torn(self, fate: _Fate, step: Callable[[], Iterator[Item]]) -> Iterator[Item]:
        """Give a listing, or what is left of it."""
        if not fate.breaks_off and not fate.has("tear"):
            yield from self._carry_out(fate, step)
            return
        assert fate.rule is not None
        found = [*step()]
        if fate.breaks_off:
            yield from found[: len(found) // 2]
            raise self._failure(fate)
        for number, item in enumerate(found):
            if fate.rule.tear == "repeat":
                yield from (item, item)
            elif number % 3:
                yield item

    def _die(self, where: Operation) -> NoReturn:
        raise SimulatedCrash(f"the process died at {where.op} {where.key!r}")


def _reporting(kind: Callable[[str], BaseException], why: str) -> MakeError:
    return lambda op, key: kind(f"{op} {key!r}: {why}")


def _outcome(land: Callable[[], object]) -> object:
    try:
        return land()
    except ArtifactStoreError as error:  # a conflict, most likely; this answer is not waited for any more
        return error


def _flipped(data: bytes, chances: random.Random, *, at: int | None = None) -> bytes:
    if not data:
        return data
    spoilt = bytearray(data)
    spoilt[chances.randrange(len(data)) if at is None else at] ^= 1 << chances.randrange(8)
    return bytes(spoilt)
