"""One writer in a process of its own: ``python -m tests.worker COMMAND PLACE …``; prints what it was told, as JSON lines.

``PLACE`` is the JSON of the arguments that open the store.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from artifact_store import ArtifactStore, errors
from artifact_store.errors import ArtifactStoreError
from artifact_store.storage.open import open_backend
from artifact_store.testing import Faults, FaultyBackend

KEY = "gru/BTCEUR"
DELETED, OLDEST, CRASHED = "20240101_000000", "20240102_000000", "20240103_000000"


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def opened(place: str, **changes: Any) -> ArtifactStore:
    return ArtifactStore(**{"timeout": 60.0, **json.loads(place), **changes})


def save(place: str, writer: str, count: str) -> None:
    """Save ``count`` runs and publish each."""
    store = opened(place, actor=f"writer-{writer}")
    for number in range(int(count)):
        run = store.save({"writer": writer, "number": number}, KEY)
        assert run.published is not None
        assert run.published.pointer is not None
        pointer = run.published.pointer
        tell(seq=pointer.seq, run_id=str(run.run_id), write_id=pointer.write_id)


def poll(place: str, seconds: str) -> None:
    """Load ``latest`` again and again; every load must be whole, and ``seq`` must never go back."""
    store = opened(place)
    end, loads, last = time.monotonic() + float(seconds), 0, 0
    while time.monotonic() < end:
        try:
            value = store.load(KEY)
            seq = store.history(KEY)[-1].seq
        except errors.AliasNotFound:
            continue
        assert set(value) == {"writer", "number"}
        assert seq >= last, f"seq went back from {last} to {seq}"
        last, loads = seq, loads + 1
    tell(loads=loads, last=last)


class KilledBackend(FaultyBackend):
    """A backend at whose planned operation the process is killed for real."""

    def _die(self, where: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def act(store: ArtifactStore, action: str) -> None:
    match action:
        case "save":
            store.save({"writer": "crash", "number": 0}, KEY, components={"extra": b"x" * 1000})
        case "rollback":
            store.rollback(KEY)
        case "delete":
            store.delete(f"{KEY}:{OLDEST}").apply()
        case "undelete":
            store.undelete(f"{KEY}:{DELETED}")
        case "prune":
            store.prune(KEY, keep_last=2, grace=timedelta(0)).apply()
        case "gc":
            store.gc(grace=timedelta(0)).apply()
        case _:
            store.promote(store.get(KEY), "production")
    tell(done=True)


def kill(place: str, action: str, number: str, landed: str) -> None:
    """Do ``action`` and die by SIGKILL at the storage operation ``number``, before it or right after it."""
    given = {"filesystem": None, "storage_options": None, "engine": "auto", "timeout": 30.0} | json.loads(place)
    plan = Faults(seed=1).crash_at(int(number), landed=landed == "landed")
    act(ArtifactStore(KilledBackend(open_backend(given.pop("url"), **given), plan)), action)


CHANGES = frozenset({"os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "open"})


def kill_syscall(place: str, action: str, number: str) -> None:
    """Do ``action`` and die by SIGKILL right before the call ``number`` that changes something below the root."""
    left = int(number)
    root = json.loads(place)["url"]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in CHANGES or (event == "open" and not int(arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
            return
        named = str(arguments[0])
        if Path(named).is_absolute() and not named.startswith(root):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    store = opened(place)
    sys.addaudithook(watch)
    act(store, action)


def main() -> None:
    """Run the named command."""
    command, *arguments = sys.argv[1:]
    try:
        {"save": save, "poll": poll, "kill": kill, "kill_syscall": kill_syscall}[command](*arguments)
    except ArtifactStoreError as error:
        tell(error=type(error).__name__, text=str(error))
        raise


if __name__ == "__main__":
    main()
