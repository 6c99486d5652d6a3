"""``kill -9``: a process of its own carries the operation out and is killed for real, on every backend that outlives it."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from artifact_store import ArtifactStore
from artifact_store.storage.base import Always, Backend
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.open import open_backend
from tests.proofs.matrix.bench import TIMEOUT, Aim, Bench, Fault, Point, Strike, Told, Trial, examine
from tests.proofs.matrix.disk import CHANGES, FaultyDisk
from tests.proofs.matrix.local import fill, snapshot_of
from tests.proofs.matrix.memory import Aimed, rule
from tests.proofs.matrix.operations import OPERATIONS, Operation, objects_of, old_tree, use_old_tree
from tests.proofs.matrix.views import REGISTRY, Snapshot, reader, steady
from tests.proofs.stateful.stepping import Inline
from tests.servers import SeaweedServer

BEFORE = Fault("killed before", (), (rule(lambda on: on.crash()), 0.0), deadly=True)
AFTER = Fault("killed after", (), (rule(lambda on: on.crash(landed=True)), 0.0), deadly=True)
AT_A_CALL = Fault("killed at a call", (), signal.SIGKILL, deadly=True)
SYSTEM = "system: "
"""What begins the name of a point that is a call to the operating system."""


class Killed(Exception):
    """The process was killed."""


class Killing(Aimed):
    """A backend at whose planned operation the process is killed for real."""

    def _die(self, where: object) -> None:
        signal.raise_signal(signal.SIGKILL)


def die(place: str, operation: str, fault: str, point: Point, tree: str) -> None:
    """Carry an operation out in this process, and be killed at the point."""
    use_old_tree(Path(tree))
    backend = open_backend(**json.loads(place))
    if fault != AT_A_CALL.name:
        strike = Strike(next(known for known in (BEFORE, AFTER) if known.name == fault), point)
        OPERATIONS[operation].act(quiet(Killing(backend, (strike,), sleep=lambda _: None)))
        return
    aim = Aim((Strike(AT_A_CALL, replace(point, what=point.what.removeprefix(SYSTEM))),))
    store = quiet(backend)
    with FaultyDisk(Path(json.loads(place)["url"]), aim).in_force():
        OPERATIONS[operation].act(store)


def quiet(backend: Backend) -> ArtifactStore:
    """A store without threads, so that the same call is the same in every run."""
    store = steady(ArtifactStore(backend, timeout=TIMEOUT, registry=REGISTRY), "a")
    store._context = replace(store._context, workers=Inline(), tasks=Inline())
    return store


class KillBench(Bench):
    """One engine under ``kill -9``."""

    def __init__(self, engine: str, server: SeaweedServer | None) -> None:
        self.name = f"{engine}, kill -9"
        self._engine, self._server = engine, server
        self.faults = (BEFORE, AFTER, AT_A_CALL) if engine == "local" else (BEFORE, AFTER)

    def __enter__(self) -> Self:
        self._home = Path(tempfile.mkdtemp(prefix="artifact-store-matrix-"))
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.proofs.matrix.kills", "torch"])
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._home)

    def points(self, operation: Operation) -> tuple[Point, ...]:
        """Where the operation touches the storage, and on local disk every call that changes something, too."""
        _, _, clean = self._place(operation)
        aimed = Aimed(clean(), (), sleep=lambda _: None)
        operation.act(quiet(aimed))
        found = list(aimed.aim.trace)
        if self._engine == "local":
            place, _, clean = self._place(operation)
            aim = Aim(())
            store = quiet(clean())
            with FaultyDisk(Path(place["url"]), aim).in_force():
                operation.act(store)
            calls = [point for point in aim.trace if point.what in CHANGES]
            found += [Point(f"{SYSTEM}{point.what}", point.where, point.nth) for point in calls]
        return tuple(sorted(found))

    def run(self, operation: Operation, strikes: tuple[Strike, ...]) -> Trial:
        place, snapshot, clean = self._place(operation)
        ((fault, point),) = ((strike.fault.name, strike.point) for strike in strikes)
        killed = threading.Event()

        def act() -> Told:
            process = self._context.Process(
                target=die, args=(json.dumps(place), operation.name, fault, point, str(old_tree()))
            )
            process.start()
            process.join(120)
            if process.exitcode == -signal.SIGKILL:
                killed.set()
                return Told(error=Killed())
            return Told(error=RuntimeError(f"the process was not killed: it ended with {process.exitcode}"))

        trial = examine(operation, strikes, act, snapshot=snapshot, again=lambda: Told.by(operation, reader(clean())))
        trial.met = len(strikes) if killed.is_set() else 0
        return trial

    def _place(self, operation: Operation) -> tuple[dict[str, Any], Callable[[], Snapshot], Callable[[], Any]]:
        """Make the world somewhere; return how to open it, how to look at it, and a backend that meets no faults."""
        name = uuid.uuid4().hex[:12]
        if self._server is None:
            root = self._home / name
            fill(operation, root)
            place = {"url": str(root), "filesystem": None, "storage_options": None, "engine": "local"}
            return place | {"timeout": TIMEOUT}, lambda: snapshot_of(root), lambda: LocalBackend(root)
        place = {
            "url": self._server.url(f"k{name}"),
            "filesystem": None,
            "storage_options": self._server.storage_options(),
            "engine": {"obstore": "obstore", "s3fs": "fsspec"}[self._engine],
            "timeout": TIMEOUT,
        }
        direct = open_backend(**{**place, "engine": "obstore"})
        for key, data in objects_of(operation.name, self._server.endpoint):
            direct.put_file(key, [data], size=len(data), when=Always())
        return place, lambda: Snapshot.of(direct), lambda: direct

    def why_not(self, operation: Operation, fault: Fault, point: Point) -> str:
        if (fault is AT_A_CALL) != point.what.startswith(SYSTEM):
            return "a call to the operating system and an operation of the backend are killed each in its own way"
        return ""
