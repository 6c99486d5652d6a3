"""Pointers: their history, promotions, and what a lookup costs."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from artifact_store import ArtifactStore
from artifact_store.storage.base import IfAbsent
from artifact_store.storage.memory import MemoryBackend
from benchmarks.place import Place
from benchmarks.work import Work, repeated

BY_HAND = "by-hand/production.json"
KEY, STORE, WIDTH = "gru/BTCEUR", "aliases", 160
"""``WIDTH``: ``MOST_AT_ONCE`` of the store."""


def published(times: int) -> dict[str, bytes]:
    """Return the objects of a store in which an alias was published so often."""
    backend = MemoryBackend("published")
    store = ArtifactStore(backend, provenance=False)
    runs = [store.save({"n": number}, KEY, publish="never") for number in range(2)]
    for number in range(times):
        store.promote(runs[number % 2], "production")
    found = {entry.key: backend.read(entry.key, limit=1 << 30) for entry in backend.list("")}
    return {key: blob.data for key, blob in found.items() if blob is not None}


def long_history(place: Place, *, publishes: int) -> None:
    """Fill: a store with a long history."""
    import obstore

    client, objects = place.obstore(), published(publishes)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: obstore.put(client, place.key(f"{STORE}/{key}"), objects[key]), objects))


def history(place: Place, *, publishes: int, engine: str = "obstore") -> Work:
    """Ask for the whole history."""
    store = place.store(STORE, engine=engine)

    def run(_: int) -> None:
        assert len(store.history(f"{KEY}@production")) == publishes

    return Work(run)


def history_by_hand(place: Place, *, publishes: int) -> Work:
    """Get the pointer, and all blocks that follow from it at once, each parsed as JSON."""
    import obstore

    client = place.obstore()

    def get(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(bytes(obstore.get(client, place.key(f"{STORE}/{KEY}/{name}")).bytes()))
        return found

    def run(_: int) -> None:
        pointer = get("production.json")
        last = pointer["seq"] - len(pointer["history"]) - 1
        names = [f"production.history/{seq:010}.json" for seq in range(32, last + 1, 32)]
        with ThreadPoolExecutor(WIDTH) as pool:
            blocks = list(pool.map(get, names))
        assert sum(len(block["entries"]) for block in blocks) + len(pointer["history"]) + 1 == publishes

    return Work(run)


def history_in_memory(_: Place, *, publishes: int, by_hand: bool = False) -> Work:
    """Ask for the whole history of a store in memory, or read, hash and parse its blocks."""
    objects = published(publishes)
    if by_hand:
        blocks = [data for key, data in objects.items() if "production" in key]
        return repeated(lambda: [parsed(data) for data in blocks], 3)
    backend = MemoryBackend("again")
    for key, data in objects.items():
        backend.write(key, data, when=IfAbsent())
    store = ArtifactStore(backend)
    return repeated(lambda: store.history(f"{KEY}@production"), 3)


def parsed(data: bytes) -> object:
    """Do what nobody can do without: sha256 and ``json.loads``."""
    hashlib.sha256(data).hexdigest()
    return json.loads(data)


def two_runs(place: Place) -> dict[str, object]:
    """Fill: a store in which one of two runs was published, and something like its pointer; return their ids."""
    import obstore

    like_it = json.dumps({"run_id": "", "history": ["x" * 100] * 32}).encode()
    obstore.put(place.obstore(), place.key(BY_HAND), like_it)
    store = place.store(STORE)
    runs = [store.save({"n": number}, KEY, publish="never") for number in range(2)]
    store.promote(runs[0], "production")
    return {"ids": [run.run_id for run in runs]}


def promote(place: Place, *, engine: str = "obstore") -> Work:
    """Let an alias name the other one of two runs, by their ids."""
    store = place.store(STORE, engine=engine)
    ids = place.facts["ids"]

    def run(turn: int) -> None:
        store.promote(f"{KEY}:{ids[turn % 2]}", "production")

    return Work(run)


def promote_by_hand(place: Place) -> Work:
    """Get a pointer, and put it back with another run if it is still the same."""
    import obstore

    client, key = place.obstore(), place.key(BY_HAND)

    def run(turn: int) -> None:
        found = obstore.get(client, key)
        value = json.loads(bytes(found.bytes())) | {"run_id": str(turn)}
        obstore.put(client, key, json.dumps(value).encode(), mode={"e_tag": found.meta["e_tag"]}, use_multipart=False)

    return Work(run)


def publishes_in_a_folder(place: Place, *, publishes: int, times: int) -> None:
    """Fill: an alias in a folder with so many publishes in its pointer."""
    del times
    store = place.store(STORE, provenance=False)
    run = store.save({"a": 1}, KEY, publish="never")
    for _ in range(publishes):
        store.promote(run, "production")


def get(place: Place, *, publishes: int, times: int, by_hand: bool = False) -> Work:
    """Look up an alias in a folder, or read, hash and parse its pointer."""
    del publishes
    if by_hand:
        path = place.path(STORE) / KEY / "production.json"
        return repeated(lambda: parsed(path.read_bytes()), times)
    store = place.store(STORE)
    return repeated(lambda: store.get(f"{KEY}@production"), times)
