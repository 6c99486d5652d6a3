"""The clients of one process: writers and readers in threads, each with a store of its own, and what they were told."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from artifact_store import ArtifactStore, errors
from artifact_store.core.keys import RunRef
from artifact_store.core.pointer import Pointer
from artifact_store.ops import resolve
from artifact_store.storage.open import open_backend
from artifact_store.storage.settle import Patience
from artifact_store.testing import Faults, FaultyBackend
from tests.linear.history import End, Entry, Operation, Recorder, Rule

KEY = "gru/BTCEUR"
HASTY = 4
"""Every so manieth writer gives up soon, so that its doubts stay doubts."""


@dataclass(frozen=True)
class Job:
    """What one process has to do: ``goal`` acknowledged publishes, by ``writers`` while ``readers`` look on.

    ``place`` opens the store; ``plan`` is what goes wrong between it and each client, where no proxy does that.
    """

    place: Mapping[str, Any]
    alias: str
    runs: tuple[str, ...]
    name: str
    writers: int
    readers: int
    goal: int
    seed: int
    plan: Faults | None = None
    patience: Patience = field(default_factory=lambda: Patience(seconds=20.0, first=0.01, longest=0.5))
    haste: Patience = field(default_factory=lambda: Patience(seconds=0.15, first=0.01, longest=0.05))

    @property
    def ref(self) -> str:
        return f"{KEY}@{self.alias}"


def crew(job: Job) -> list[Operation]:
    """Do a job, and return everything that was done and told."""
    return _Crew(job).run()


def open_store(
    place: Mapping[str, Any], plan: Faults | None = None, patience: Patience | None = None
) -> tuple[ArtifactStore, FaultyBackend | None]:
    """Return a client of its own, with faults before its storage if there is a plan."""
    given = {"filesystem": None, "storage_options": None, "engine": "auto", "timeout": 20.0} | dict(place)
    backend = open_backend(given.pop("url"), **given)
    faulty = None if plan is None else FaultyBackend(backend, plan)
    store = ArtifactStore(faulty or backend)
    if patience is not None:
        store._context = replace(store._context, patience=patience)
    return store, faulty


class _Crew:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.recorder = Recorder()
        self._lock = threading.Lock()
        self._left = job.goal
        self._over = threading.Event()

    def run(self) -> list[Operation]:
        job = self.job
        with ThreadPoolExecutor(job.writers + job.readers) as pool:
            readers = [pool.submit(self._client, number, _Reader) for number in range(job.writers, job.writers + job.readers)]
            writers = [pool.submit(self._client, number, _Writer) for number in range(job.writers)]
            try:
                for future in writers:
                    future.result()
            finally:
                self._over.set()
            for future in readers:
                future.result()
        return self.recorder.operations

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def completed(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self._over.set()

    def _client(self, number: int, kind: type[_Client]) -> None:
        job = self.job
        hasty = number % HASTY == HASTY - 1
        plan = None if job.plan is None else replace(job.plan, seed=job.seed * 1000 + number)
        store, faulty = open_store(job.place, plan, job.haste if hasty else job.patience)
        client = kind(self, store, number)
        try:
            client.work()
        except BaseException:
            self._over.set()
            raise
        finally:
            if faulty is not None:
                faulty.deliver()  # what was delayed lands before the history is read
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
            (kind,) = self.dice.choices(kinds, weights=(60, 15, 8, 8, 5, 4))
            operation = kind()
            self.crew.recorder.add(operation)
            if operation.seen is not None:
                self.known = operation.seen.seq
            if operation.end is End.OK:
                self.crew.completed()

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
            self.crew.recorder.add(self._history() if whole else self._look())
            threading.Event().wait(self.dice.random() * 0.01)

    def _look(self) -> Operation:
        return self.take(Rule.READ, self._seen)

    def _seen(self, mark: str) -> Entry | None:
        del mark
        try:
            _, _, seen = resolve.published(self.store._context, RunRef.parse(self.job.ref))
        except errors.AliasNotFound:
            return None
        return _entry(seen.pointer)

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
