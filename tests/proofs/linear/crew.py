"""The clients of one process: writers and readers in threads, each with a store of its own, and what they were told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from artifact_store import ArtifactStore, errors
from artifact_store.core.pointer import Pointer
from artifact_store.core.references import RunRef
from artifact_store.ops import resolve
from artifact_store.storage.open import open_backend
from artifact_store.storage.retry import RetryPolicy
from artifact_store.testing import Faults, FaultyBackend
from artifact_store.testing.faulty import Operation as FaultOperation
from tests.proofs.linear.history import End, Entry, Operation, Recorder, Rule
from tests.proofs.linear.places import faulty

KEY = "gru/BTCEUR"
THINKING = 0.2
"""Seconds at most between two operations of one client: without a pause, most of the work is to get in each other's way."""
HASTY = 4
"""Every so manieth writer gives up soon, so that its doubts stay doubts."""


@dataclass(frozen=True)
class Job:
    """What one process has to do: ``goal`` completed operations of ``writers`` and ``readers``.

    ``place`` opens the store; ``faulty``: things go wrong between it and each client, where no proxy does that.
    """

    place: Mapping[str, Any]
    alias: str
    runs: tuple[str, ...]
    name: str
    writers: int
    readers: int
    goal: int
    seed: int
    faulty: bool = False
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(seconds=20.0, first=0.05, longest=1.0))
    haste: RetryPolicy = field(default_factory=lambda: RetryPolicy(seconds=0.02, first=0.02, longest=0.1))

    @property
    def ref(self) -> str:
        return f"{KEY}@{self.alias}"


@dataclass(frozen=True)
class Done:
    """Everything that a crew did and was told, and how many of its calls to the storage went wrong without a proxy."""

    operations: list[Operation]
    calls: int = 0
    faults: int = 0


def crew(job: Job) -> Done:
    """Do a job."""
    return _Crew(job).run()


def open_store(
    place: Mapping[str, Any], plan: Faults | None = None, retry: RetryPolicy | None = None
) -> tuple[ArtifactStore, FaultyBackend | None]:
    """Return a client of its own, with faults before its storage if there is a plan."""
    given = {"filesystem": None, "storage_options": None, "engine": "auto", "timeout": 20.0} | dict(place)
    backend = open_backend(given.pop("url"), **given)
    broken = None if plan is None else FaultyBackend(backend, plan)
    store = ArtifactStore(broken or backend)
    if retry is not None:
        store._context = replace(store._context, retry=retry)
    return store, broken


class _Crew:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.recorder = Recorder()
        self._lock = threading.Lock()
        self._left = job.goal
        self._log: list[FaultOperation] = []
        self._over = threading.Event()

    def run(self) -> Done:
        job = self.job
        with ThreadPoolExecutor(job.writers + job.readers) as pool:
            writers = [pool.submit(self._client, number, _Writer) for number in range(job.writers)]
            readers = [pool.submit(self._client, job.writers + number, _Reader) for number in range(job.readers)]
            try:
                for future in writers:
                    future.result()
            finally:
                self._over.set()
            for future in readers:
                future.result()
        return Done(self.recorder.operations, len(self._log), sum(bool(call.fault) for call in self._log))

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def add(self, operation: Operation) -> None:
        """Take down an operation; those that completed count towards the goal."""
        self.recorder.add(operation)
        if operation.end is not End.OK:
            return
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self._over.set()

    def _client(self, number: int, kind: type[_Client]) -> None:
        job = self.job
        hasty = number % HASTY == HASTY - 1
        plan = replace(faulty(), seed=job.seed * 1000 + number) if job.faulty else None
        store, backend = open_store(job.place, plan, job.haste if hasty else job.retry)
        client = kind(self, store, number)
        try:
            client.work()
        except BaseException:
            self._over.set()
            raise
        finally:
            if backend is not None:
                backend.deliver()  # what was delayed lands before the history is read
                with self._lock:
                    self._log += backend.log
            store.close()


class _Client:
    def __init__(self, crew: _Crew, store: ArtifactStore, number: int) -> None:
        self.crew, self.store, self.job = crew, store, crew.job
        self.dice = random.Random(f"{crew.job.seed}/{crew.job.name}/{number}")
        self.name = f"{crew.job.name}.{number}"
        self.done = 0

    def work(self) -> None:
        raise NotImplementedError

    def take(
        self, rule: Rule, call: Callable[[str], Entry | None], *, run_id: str | None = None, expected: int | None = None
    ) -> Operation:
        """Carry out one operation and take down what it was told, and when."""
        self.done += 1
        mark = f"{self.name}.{self.done}"
        clock = self.crew.recorder.clock
        end, seen, error = End.OK, None, ""
        begun = clock()
        try:
            seen = call(mark)
        except errors.OutcomeUnknown as unknown:
            end, error = End.UNKNOWN, repr(unknown)
        except errors.PointerConflict as conflict:
            end, error = End.REFUSED, repr(conflict)
            seen = _entry(conflict.actual)
        except errors.ArtifactStoreError as failure:
            end, error = End.FAILED, repr(failure)
        ended = clock()
        return Operation(mark, rule, begun, ended, end, seen, run_id, expected, error=error)


class _Writer(_Client):
    """Promotes, rolls back, retires and saves; where it names what it expects, it expects what it was told last."""

    known = 0

    def work(self) -> None:
        kinds = (self._promote, self._expect, self._newer, self._rollback, self._retire, self._save)
        while not self.crew.over:
            (kind,) = self.dice.choices(kinds, weights=(72, 8, 6, 6, 4, 4))
            operation = kind()
            self.crew.add(operation)
            if operation.seen is not None:
                self.known = operation.seen.seq
            time.sleep(self.dice.random() * THINKING)

    def _promote(self) -> Operation:
        run_id = self._any_run()
        return self.take(Rule.PROMOTE, lambda mark: self._published(run_id, mark), run_id=run_id)

    def _expect(self) -> Operation:
        run_id, expected = self._any_run(), self.known
        call = lambda mark: self._published(run_id, mark, expect=expected)  # noqa: E731
        return self.take(Rule.EXPECT, call, run_id=run_id, expected=expected)

    def _newer(self) -> Operation:
        run_id = self._any_run()
        return self.take(Rule.NEWER, lambda mark: self._published(run_id, mark, publish="if_newer"), run_id=run_id)

    def _rollback(self) -> Operation:
        return self.take(Rule.ROLLBACK, lambda mark: _entry(self.store.rollback(self.job.ref, reason=mark)))

    def _retire(self) -> Operation:
        return self.take(Rule.RETIRE, lambda mark: _entry(self.store.retire(self.job.ref, reason=mark)))

    def _save(self) -> Operation:
        draft = self.store.new_run(KEY, alias=self.job.alias)

        def call(mark: str) -> Entry | None:
            draft.reason = mark
            published = draft.commit().published
            assert published is not None
            return _entry(published.pointer)

        try:
            draft.add("model", {"by": self.name, "number": self.done})
            return self.take(Rule.PROMOTE, call, run_id=str(draft.run_id))
        finally:
            draft.discard()

    def _published(self, run_id: str, mark: str, **how: Any) -> Entry | None:
        return _entry(self.store.promote(f"{KEY}:{run_id}", self.job.alias, reason=mark, **how))

    def _any_run(self) -> str:
        return self.dice.choice(self.job.runs)


class _Reader(_Client):
    """Looks at the pointer, and every now and then at all of its history."""

    def work(self) -> None:
        while not self.crew.over:
            whole = self.dice.random() < 0.02
            self.crew.add(self._history() if whole else self._look())
            time.sleep(self.dice.random() * THINKING * 2)

    def _look(self) -> Operation:
        return self.take(Rule.READ, self._seen)

    def _seen(self, mark: str) -> Entry | None:
        del mark
        try:
            seen = resolve.published_pointer(self.store._context, RunRef.parse(self.job.ref))
        except errors.AliasNotFound:
            return None
        return _entry(seen.value)

    def _history(self) -> Operation:
        entries: tuple[Entry, ...] = ()

        def call(mark: str) -> Entry | None:
            nonlocal entries
            del mark
            try:
                entries = tuple(Entry.of(publish) for publish in self.store.history(self.job.ref))
            except errors.AliasNotFound:
                return None
            return entries[-1]

        operation = self.take(Rule.READ, call)
        return replace(operation, whole=entries) if operation.end is End.OK else operation


def _entry(pointer: Pointer | None) -> Entry | None:
    return None if pointer is None else Entry.of(pointer.current)
