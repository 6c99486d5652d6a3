"""One client of a place: ``python -m tests.proofs.places.worker PLACE TASK …`` does the tasks and prints JSON lines.

``PLACE`` is the JSON of the arguments that open the store, with ``filesystem`` as a description of one. Each task is
JSON: its name and what it needs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from artifact_store import ArtifactStore, errors
from artifact_store.storage.base import Precondition
from artifact_store.storage.open import open_backend
from artifact_store.testing import Faults, FaultyBackend
from tests import invariants

KEY = "gru/BTCEUR"
RACED = "gru/RACED"
LARGE = "gru/LARGE"
SIZE = 20 << 20
SMALL = 4 << 10


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def parts(place: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a store, with the filesystem made that they describe."""
    given = {"timeout": 60.0, **place}
    described = given.pop("filesystem", None)
    if described is not None:
        import fsspec

        given["filesystem"] = fsspec.filesystem(**described)
    options = given.get("storage_options") or {}  # JSON knows no tuples, and a pair of name and password is one
    given["storage_options"] = {name: tuple(one) if isinstance(one, list) else one for name, one in options.items()}
    return given


def opened(place: Mapping[str, Any], **changes: Any) -> ArtifactStore:
    return ArtifactStore(**parts(place) | changes)


def predict(place: Mapping[str, Any]) -> None:
    """Tell what ``guarantees`` says before anything was written."""
    try:
        promised = opened(place).guarantees
    except errors.ArtifactStoreError as error:
        tell(refused=error.code, text=str(error))
        return
    able = promised.create_only and promised.compare_and_swap
    tell(engine=promised.engine, able=able, reason=promised.reason)


def begin(place: Mapping[str, Any]) -> None:
    """Make the store by its first save, and tell what ``guarantees`` and ``doctor`` say of it."""
    try:
        store = opened(place)
        store.save({"n": 0}, KEY)
        loaded = store.load(KEY) == {"n": 0}
    except errors.ArtifactStoreError as error:
        tell(made=False, code=error.code, text=str(error))
        return
    tell(made=True, loaded=loaded, probed=store.guarantees.probed, **examined(store))


def examined(store: ArtifactStore) -> dict[str, Any]:
    """Return what ``doctor`` says."""
    found = store.doctor()
    return {
        "findings": {one.code: one.severity for one in found},
        "facts": {one.name: one.state for one in found.facts},
        "errors": [str(one) for one in found.of("error")],
    }


# ---------------------------------------------------------------- races


def creates(place: Mapping[str, Any], name: str, threads: int, runs: list[str], start: float) -> None:
    """Save each of these runs from each thread; tell which saves were acknowledged."""
    told: list[tuple[str, str]] = []
    other: list[str] = []

    def one(number: int) -> None:
        store = opened(place)
        me = f"{name}.{number}"
        for index, run_id in enumerate(runs):
            time.sleep(max(0.0, start + index * 0.4 - time.time()))
            try:
                run = store.save({"writer": me}, RACED, run_id=run_id, alias="raced")
                told.append((str(run.run_id), me))
            except errors.RunExists:
                pass
            except errors.ArtifactStoreError as error:
                other.append(error.code)

    in_threads(one, threads)
    tell(created=told, other=other)


def swaps(place: Mapping[str, Any], name: str, threads: int, each: int, start: float) -> None:
    """Publish from each thread under one alias; tell which publishes were acknowledged."""
    told: list[tuple[int, str, str]] = []
    other: list[str] = []

    def one(number: int) -> None:
        store = opened(place, actor=f"{name}.{number}")
        time.sleep(max(0.0, start - time.time()))
        for index in range(each):
            try:
                run = store.save({"writer": f"{name}.{number}", "n": index}, KEY)
                pointer = run.published.pointer if run.published else None
                if pointer is not None:
                    told.append((pointer.seq, str(run.run_id), pointer.write_id))
            except errors.ArtifactStoreError as error:
                other.append(error.code)

    in_threads(one, threads)
    tell(swapped=told, other=other)


def in_threads(work: Callable[[int], None], threads: int) -> None:
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 -- raised by the thread that waits
            failed.append(error)

    started = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if failed:
        raise failed[0]


def look(place: Mapping[str, Any]) -> None:
    """Tell what the store holds now."""
    store = opened(place)
    past = [(entry.seq, str(entry.run_id), entry.write_id) for entry in store.history(KEY)]
    kept = {str(run.run_id): store.load(f"{RACED}:{run.run_id}")["writer"] for run in store.runs(RACED)}
    tell(history=past, kept=kept, **examined(store))


# ---------------------------------------------------------------- kills


class Killed(FaultyBackend):
    """A backend at whose planned operation the process is killed for real."""

    def _die(self, where: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class KilledHalfway(Killed):
    """A backend that is killed in the middle of sending a large file."""

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Send half of the file."""

        def half() -> Iterator[bytes]:
            sent = 0
            for chunk in chunks:
                if size > SIZE // 2 and sent > size // 2:
                    self._die(key)
                sent += len(chunk)
                yield chunk

        super().put_file(key, half(), size=size, when=when)


def kill(place: Mapping[str, Any], at: int) -> None:
    """Save a run and be killed before the storage operation ``at``; in the middle of a large file where it is 0."""
    given = {"storage_options": None, "engine": "auto", "filesystem": None} | parts(place)
    how = {"concurrency": given.pop("concurrency", "safe"), "timeout": given["timeout"]}
    plan = Faults(seed=1).crash_at(at or 1_000_000)
    kind = Killed if at else KilledHalfway
    store = ArtifactStore(kind(open_backend(given.pop("url"), **given), plan), **how)
    store.save(block(SMALL if at else SIZE, at), KEY)
    tell(survived=True)


def sound(place: Mapping[str, Any], n: int) -> None:
    """Check everything after a death, and save once more."""
    store = opened(place)
    before = invariants.check(store, KEY)["latest"]
    run = store.save({"n": n}, KEY)
    assert run.published
    assert store.load(KEY) == {"n": n}
    after = invariants.check(store, KEY)["latest"]
    assert after == before + 1
    damaged = store.doctor().of("error")
    assert not damaged, [str(one) for one in damaged]
    tell(sound=True, publishes=after)


# ---------------------------------------------------------------- large files


def block(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def large(place: Mapping[str, Any]) -> None:
    """Save a file that every engine sends in parts."""
    data = block(SIZE, 7)
    opened(place).save(data, LARGE)
    tell(saved=hashlib.sha256(data).hexdigest())


def back(place: Mapping[str, Any]) -> None:
    """Load it again."""
    tell(loaded=hashlib.sha256(opened(place).load(LARGE)).hexdigest())


TASKS: dict[str, Callable[..., None]] = {
    work.__name__: work for work in (predict, begin, creates, swaps, look, kill, sound, large, back)
}


def main() -> None:
    """Do the tasks in order; the first that fails ends it."""
    place, *tasks = map(json.loads, sys.argv[1:])
    for name, given in tasks:
        try:
            TASKS[name](place, **given)
        except Exception as error:
            tell(failed=name, kind=type(error).__name__, text=str(error)[:600])
            raise
    with contextlib.suppress(OSError):
        sys.stdout.flush()


if __name__ == "__main__":
    main()
