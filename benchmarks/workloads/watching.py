"""What watching costs while nothing is published, beside the same conditional requests by obstore."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.place import Place
from benchmarks.work import Work

if TYPE_CHECKING:
    from artifact_store.watching import Watcher

STORE, EVERY, THREADS = "watched", 1.0, 16


def aliases(place: Place, *, watched: int, seconds: int) -> None:
    """Fill: models that were published once."""
    del seconds
    store = place.store(STORE)
    for number in range(watched):
        store.save({"n": 1}, f"gru/S{number}")


def ours(place: Place, *, watched: int, seconds: int, engine: str = "obstore") -> Work:
    """Watch for so long; the watcher begins before the turn and ends after it."""
    store, held = place.store(STORE, engine=engine), contextlib.ExitStack()
    found: list[Watcher] = []

    def before(_: int) -> None:
        found[:] = [held.enter_context(store.watcher(every=EVERY))]
        found[0].add_many([f"gru/S{number}" for number in range(watched)])
        time.sleep(EVERY * 1.25)

    def after(_: int) -> None:
        assert all(one.error is None for one in found[0])
        held.close()

    return Work(lambda _: time.sleep(seconds), before=before, after=after)


def by_hand(place: Place, *, watched: int, seconds: int) -> Work:
    """Ask for each alias with its ETag, as often as a watcher does."""
    import obstore

    client = place.obstore()
    names = [place.key(f"{STORE}/gru/S{number}/latest.json") for number in range(watched)]
    etags = {name: obstore.head(client, name)["e_tag"] for name in names}

    def ask(name: str) -> None:
        with contextlib.suppress(obstore.exceptions.NotModifiedError):
            obstore.get(client, name, options={"if_none_match": etags[name]})

    def run(_: int) -> None:
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(THREADS) as pool:
            while (begun := time.monotonic()) < end:
                list(pool.map(ask, names))
                time.sleep(max(0.0, begun + EVERY * 1.125 - time.monotonic()))

    return Work(run)
