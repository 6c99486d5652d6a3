"""Real code, one storage operation at a time: actors that a scheduler lets go on in every order there is.

Each actor runs the functions of the package themselves, in a thread that stops before each of its operations. Which
actor goes next is a choice; a walk over all choices visits every state once, since an actor's position is determined
by the answers that it has got so far. Two orders that lead to the same objects and the same answers are one state.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

from artifact_store.core import keys
from artifact_store.errors import ArtifactStoreError
from artifact_store.storage.base import Backend, Capabilities, Version
from artifact_store.storage.memory import MemoryBackend, _Object
from artifact_store.storage.retry import RetryPolicy
from artifact_store.storage.workers import Workers
from artifact_store.testing import SimulatedCrash

BEGIN = datetime(2024, 2, 1, tzinfo=UTC)
GRACE = timedelta(days=7)


class Inline(Workers):
    """Every call in the thread that asks: the operations of an actor have one order."""

    def submit(self, call, stop=None):
        future = Future()
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 -- as a thread of a pool does
            future.set_exception(error)
        return future


class Content(MemoryBackend):
    """Objects whose version is that of their bytes, as on S3 and on a disk: A, B, A is A again."""

    def __init__(self):
        super().__init__()
        self.time = BEGIN
        self._clock = lambda: self.time

    def write(self, key, data, *, when):
        super().write(key, data, when=when)
        version = Version(hashlib.sha256(data).hexdigest())
        self._space.objects[key] = _Object(bytes(data), version, self.time)
        return version

    @property
    def objects(self):
        return self._space.objects


class Actor(Backend):
    """One client: what it does, and the backend through which it does it. It stops before every operation."""

    engine = endpoint = url = "memory"
    capabilities = Capabilities(create_only=True, compare_and_swap=True, durable=False)

    def __init__(self, name, world, work, context):
        self.name, self._world = name, world
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self.pending, self.dead, self.finished, self.outcome = None, False, False, None
        self.answers = ()
        self._ids = 0
        retry = RetryPolicy(seconds=1e9, sleep=lambda _: None)
        self.context = dataclasses.replace(
            context,
            backend=self,
            workers=Inline(),
            tasks=Inline(),
            retry=retry,
            now=lambda: world.time,
            new_write_id=self._id,
        )
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()
        self._back.acquire()

    def _id(self):
        self._ids += 1
        return hashlib.md5(f"{self.name}/{self._ids}".encode()).hexdigest()

    def _run(self, work):
        try:
            self.outcome = work(self)
        except ArtifactStoreError as error:
            self.outcome = error
        except SimulatedCrash:
            self.outcome = "crashed"
        self.finished, self.pending = True, None
        self._back.release()

    # ---- the scheduler's side

    def step(self):
        self._go.release()
        self._back.acquire()

    def crash(self):
        self.dead = True
        while not self.finished:
            self.step()
        self._thread.join()

    @property
    def begun(self):
        return bool(self.answers)

    @property
    def position(self):
        return self.name, self.answers, self.dead, self.finished

    # ---- the actor's side

    def _at(self, op, key, work):
        self.pending = (op, key)
        self._back.release()
        self._go.acquire()
        if self.dead:
            raise SimulatedCrash
        try:
            answer = work()
        except ArtifactStoreError as error:
            self.answers += ((op, key, type(error).__name__),)
            raise
        self.answers += ((op, key, repr(answer)),)
        return answer

    def clock(self):
        """Ask the storage for its time."""
        return self._at("clock", "", lambda: self._world.time)

    def read(self, key, *, limit, unless=None):
        return self._at("read", key, lambda: self._world.read(key, limit=limit, unless=unless))

    def stream(self, key, *, size):
        return iter(self._at("stream", key, lambda: list(self._world.stream(key, size=size))))

    def write(self, key, data, *, when):
        if key.startswith(keys.INDEX):  # nobody here reads what the index is told, so any moment is as good as another
            return self._world.write(key, data, when=when)
        return self._at("write", key, lambda: self._world.write(key, data, when=when))

    def put_file(self, key, chunks, *, size, when):
        self.write(key, b"".join(chunks), when=when)

    def list(self, prefix):
        return iter(self._at("list", prefix, lambda: list(self._world.list(prefix))))

    def children(self, prefix):
        return iter(self._at("children", prefix, lambda: list(self._world.children(prefix))))

    def delete(self, key):
        self._at("delete", key, lambda: self._world.delete(key))


class Walk:
    """One order of steps of a scenario, from its beginning."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.world = Content()
        self.world.time = scenario.time
        self.world.objects.update(scenario.objects)
        self.actors = [Actor(name, self.world, work, scenario.context) for name, work in scenario.actors.items()]
        self.jumped = self.crashed = False

    def choices(self):
        """What may happen next: an actor goes on, one dies, the time leaps by the grace period."""
        alive = [place for place, actor in enumerate(self.actors) if not actor.finished]
        found = [("step", place) for place in alive]
        if not self.crashed:
            found += [
                ("crash", at) for at in alive if self.actors[at].name in self.scenario.mortal and self.actors[at].begun
            ]
        publishing = any(self.actors[at].name in self.scenario.publishers and self.actors[at].begun for at in alive)
        if self.scenario.jumps and not self.jumped and not publishing:
            found.append(("jump", -1))
        return found

    def take(self, choice):
        kind, place = choice
        if kind == "step":
            self.actors[place].step()
        elif kind == "crash":
            self.crashed = True
            self.actors[place].crash()
        else:
            self.jumped = True
            self.world.time += GRACE

    @property
    def state(self):
        objects = tuple(sorted((key, held.version, held.modified) for key, held in self.world.objects.items()))
        return objects, tuple(actor.position for actor in self.actors), self.jumped, self.crashed, self.world.time

    def outcome(self, name):
        return next(actor.outcome for actor in self.actors if actor.name == name)

    def end(self):
        for actor in self.actors:
            actor.crash()


@dataclasses.dataclass(frozen=True)
class Explored:
    """How much there was to see."""

    states: int
    ends: int
    walks: int


def explore(scenario, *, always, finally_, bound=200_000):
    """Visit every state that any order of steps leads to; ``always`` holds in each, ``finally_`` in each last one."""
    visited, ends, walks = set(), 0, 0
    todo = [()]
    while todo:
        path = list(todo.pop())
        walk = Walk(scenario)
        walks += 1
        try:
            for choice in path:
                walk.take(choice)
            while (state := walk.state) not in visited:
                visited.add(state)
                assert len(visited) <= bound
                always(walk)
                choices = walk.choices()
                if not any(kind == "step" for kind, _ in choices):
                    ends += 1
                    finally_(walk)
                    break
                todo.extend((*path, choice) for choice in choices[1:])
                path.append(choices[0])
                walk.take(choices[0])
        except AssertionError as error:
            error.add_note(f"after {path}")
            raise
        finally:
            walk.end()
    return Explored(len(visited), ends, walks)
