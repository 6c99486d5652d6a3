"""A folder on this machine, with every call to the operating system failing in turn."""

from __future__ import annotations

import errno
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Self

from artifact_store import ArtifactStore
from artifact_store.errors import AccessDenied, StorageFull, Unavailable
from artifact_store.storage.local.backend import LocalBackend
from artifact_store.storage.retry import RetryPolicy
from tests.proofs.matrix.bench import Aim, Bench, Fault, Point, Strike, Told, Trial, examine
from tests.proofs.matrix.disk import FaultyDisk, why_not
from tests.proofs.matrix.memory import Clock, told
from tests.proofs.matrix.operations import CRASHED, KEY, Operation, objects_of
from tests.proofs.matrix.views import REGISTRY, Snapshot, reader, steady
from tests.proofs.stateful.stepping import Inline

LOCK_WAIT = 0.2
"""Seconds that a writer waits for a lock, and so what a lock that always fails costs."""

FAULTS = tuple(
    Fault(f"{name}{', stays' if sticky else ''}", allows, code, sticky=sticky)
    for name, code, allows in (
        ("ENOSPC", errno.ENOSPC, (StorageFull,)),
        ("EACCES", errno.EACCES, (AccessDenied,)),
        ("EROFS", errno.EROFS, (AccessDenied,)),
        ("EMFILE", errno.EMFILE, (Unavailable,)),
        ("EIO", errno.EIO, (Unavailable,)),
    )
    for sticky in (False, True)
)


class LocalBench(Bench):
    """Local disk. The disk itself is real; only what it answers is not always true."""

    name = "local"
    faults = FAULTS

    def __enter__(self) -> Self:
        self._home = Path(tempfile.mkdtemp(prefix="artifact-store-matrix-"))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._home)

    def run(self, operation: Operation, strikes: tuple[Strike, ...]) -> Trial:
        root = self._home / "store"
        shutil.rmtree(root, ignore_errors=True)
        fill(operation, root)
        clock, aim = Clock(), Aim(strikes)
        disk = FaultyDisk(root, aim)

        def act() -> Told:
            store = patient(ArtifactStore(LocalBackend(root, timeout=LOCK_WAIT), registry=REGISTRY), clock)
            with disk.in_force():
                return told(operation, steady(store, "a"))

        trial = examine(
            operation,
            strikes,
            act,
            snapshot=lambda: snapshot_of(root),
            again=lambda: Told.by(operation, reader(LocalBackend(root))),
        )
        return aim.report(trial)

    def why_not(self, operation: Operation, fault: Fault, point: Point) -> str:
        return why_not(fault.make, point.what)


def patient(store: ArtifactStore, clock: Clock) -> ArtifactStore:
    """The store, with retries that cost no time, and without threads, so that its calls have one order."""
    retry = RetryPolicy(seconds=20.0, clock=clock, sleep=clock.sleep)
    store._context = replace(store._context, retry=retry, workers=Inline(), tasks=Inline())
    return store


def fill(operation: Operation, root: Path) -> None:
    """Make the world: its files, and of a writer that died also one that was never finished."""
    for key, data in objects_of(operation.name, "local"):
        path = root / key
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
    if operation.name == "gc":
        (root / KEY / CRASHED / ".tmp-0123456789abcdef").write_bytes(b"half")


def snapshot_of(root: Path) -> Snapshot:
    """What the folder holds, read without the backend: the locks are no objects, and what is temporary is unfinished."""
    found, unfinished = [], []
    for path in sorted(root.rglob("*")) if root.exists() else ():
        if path.is_file() and path.relative_to(root).parts[0] != "_locks":
            key = path.relative_to(root).as_posix()
            if any(part.startswith(".tmp-") for part in path.relative_to(root).parts):
                unfinished.append(key)
            else:
                found.append((key, path.read_bytes()))
    return Snapshot(tuple(found), tuple(unfinished))
