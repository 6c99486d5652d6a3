"""Small worlds in memory, one storage operation at a time: a store, its clock, and uploads in parts as S3 has them."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from artifact_store import ArtifactStore
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.retry import RetryPolicy
from artifact_store.testing import FaultyBackend, SimulatedCrash
from tests.proofs.stateful.stepping import Inline

KEY = "gru/BTCEUR"
GRACE = timedelta(days=7)


class Clock:
    """The time of the storage, and of every client."""

    def __init__(self):
        self.now = datetime(2024, 2, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


class Uploads(MemoryBackend):
    """A memory that also holds uploads in parts, as S3 does."""

    def __init__(self, clock, *uploads):
        super().__init__(clock=clock)
        self.open = list(uploads)

    def unfinished(self):
        return iter(list(self.open))

    def discard(self, upload):
        if upload in self.open:
            self.open.remove(upload)


class World:
    """A store that a subclass fills, once, and that has rested for the grace period since."""

    made: ClassVar[dict]

    def __init_subclass__(cls):
        cls.made = {}

    def __init__(self, *uploads):
        self.clock = Clock()
        self.inner = Uploads(self.clock, *uploads)
        self.store = self.client(self.inner)
        if not self.made:
            self.fill()
            self.made.update(self.inner._space.objects)
        self.inner._space.objects.update(self.made)
        self.clock.now += GRACE

    def client(self, backend, **options):
        store = ArtifactStore(backend, clock=self.clock, timeout=20.0, **options)
        retry = RetryPolicy(seconds=20.0, sleep=lambda _: None)
        store._context = dataclasses.replace(store._context, workers=Inline(), tasks=Inline(), retry=retry)
        return store


def crash_after_crash(make, plans, work):
    """Yield a world in which ``work`` has just crashed, for each plan of a crash, until it comes to its end."""
    for plan in plans:
        world = make()
        try:
            work(world.client(FaultyBackend(world.inner, plan)))
        except SimulatedCrash:
            yield world
        else:
            return
    pytest.fail("it never came to its end")
