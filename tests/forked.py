"""A program that uses a store, and then the same store in children of every kind: ``python -m tests.forked PLACE KIND …``.

``PLACE`` is the JSON of the arguments that open the store; prints one JSON line for each kind, with what each child was
told, and when the children were at work.
"""

from __future__ import annotations

import atexit
import faulthandler
import json
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from artifact_store import ArtifactStore

SHARED = "gru/SHARED"
CHILDREN = 2
PATIENCE = 120.0
"""Seconds after which a child says where it hangs, and dies."""


def use(store: ArtifactStore, name: str) -> dict[str, Any]:
    """Read what the parent saved, save, publish beside the other children, and read that."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    try:
        assert store.load(SHARED) == {"by": "parent"}
        value = {"by": name, "pid": os.getpid()}
        own = store.save(value, f"gru/{name}", components={"more": name.encode() * 1000})
        assert store.load(f"gru/{name}") == value
        assert own.load("more") == name.encode() * 1000
        shared = store.save(value, SHARED, alias="children").published
        assert shared is not None
        assert shared.pointer is not None
        return {"pid": os.getpid(), "write_id": shared.pointer.write_id, "name": name}
    finally:
        faulthandler.cancel_dump_traceback_later()


def used(store: ArtifactStore, name: str) -> dict[str, Any]:
    """Do the same where nothing but a return value can be handed back."""
    try:
        return use(store, name)
    except Exception as error:  # noqa: BLE001 -- told to the test, which judges it
        return {"pid": os.getpid(), "error": type(error).__name__, "text": str(error), "name": name}


def forked(store: ArtifactStore, name: str, *, normally: bool = False) -> dict[str, Any]:
    """Fork by hand. A child that ends ``normally`` also runs what others have registered for the end of a process."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.write(writer, json.dumps(used(store, name)).encode())
        os.close(writer)
        if normally:
            atexit._run_exitfuncs()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read()
    _, status = os.waitpid(pid, 0)
    return dict(json.loads(answer or b"{}"), status=status)


def by_hand(store: ArtifactStore, names: list[str]) -> list[dict[str, Any]]:
    return [forked(store, name) for name in names]


def ending_normally(store: ArtifactStore, names: list[str]) -> list[dict[str, Any]]:
    return [forked(store, name, normally=True) for name in names]


def grandchild(store: ArtifactStore, names: list[str]) -> list[dict[str, Any]]:
    """Fork a child that uses the store and forks another."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = [used(store, names[0]), *(forked(store, name) for name in names[1:])]
        os.write(writer, json.dumps(told).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        told = json.loads(answers.read())
    os.waitpid(pid, 0)
    return list(told)


def at_work(store: ArtifactStore, names: list[str]) -> list[dict[str, Any]]:
    """Fork while other threads of this process are in the middle of saving."""
    over = threading.Event()
    saved: list[str] = []

    def work(number: int) -> None:
        while not over.is_set():
            saved.append(str(store.save({"by": number}, f"gru/PARENT{number}").ref))

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work, number) for number in range(3)]
        try:
            while len(saved) < 3:
                time.sleep(0.01)
            told = [forked(store, name) for name in names]
        finally:
            over.set()
        for future in working:
            future.result()
    assert {str(store.get(ref).ref) for ref in saved} == set(saved)
    return told


def pool(method: str) -> Callable[[ArtifactStore, list[str]], list[dict[str, Any]]]:
    """Processes of the standard library, to which the store is sent, if they do not have it already."""

    def run(store: ArtifactStore, names: list[str]) -> list[dict[str, Any]]:
        with ProcessPoolExecutor(len(names), mp_context=multiprocessing.get_context(method)) as executor:
            return list(executor.map(used, [store] * len(names), names, timeout=2 * PATIENCE))

    return run


def loky(store: ArtifactStore, names: list[str]) -> list[dict[str, Any]]:
    from joblib import Parallel, delayed

    done = Parallel(n_jobs=len(names), backend="loky", timeout=2 * PATIENCE)(
        delayed(used)(store, name) for name in names
    )
    return list(done)


def threads(store: ArtifactStore, names: list[str]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(len(names)) as executor:
        return list(executor.map(used, [store] * len(names), names))


KINDS: dict[str, Callable[[ArtifactStore, list[str]], list[dict[str, Any]]]] = {
    "threads": threads,
    "by hand": by_hand,
    "ending normally": ending_normally,
    "fork": pool("fork"),
    "spawn": pool("spawn"),
    "forkserver": pool("forkserver"),
    "loky": loky,
    "grandchild": grandchild,
    "at work": at_work,
}


def main() -> None:
    place, *kinds = sys.argv[1:]
    warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is the very thing to be tested
    store = ArtifactStore(**{"timeout": 20.0, **json.loads(place)})
    store.save({"by": "parent"}, SHARED)
    for kind in kinds:
        assert store.load(SHARED) == {"by": "parent"}
        names = [f"{kind.replace(' ', '-').upper()}{number}" for number in range(CHILDREN)]
        begun = time.monotonic()
        told = KINDS[kind](store, names)
        ended = time.monotonic()
        mine = used(store, f"{kind.replace(' ', '-').upper()}-PARENT")
        values = {name: store.load(f"gru/{name}")["by"] for name in names if not store.url.startswith("memory:")}
        print(
            json.dumps({"kind": kind, "begun": begun, "ended": ended, "told": told, "mine": mine, "values": values}),
            flush=True,
        )


if __name__ == "__main__":
    main()
