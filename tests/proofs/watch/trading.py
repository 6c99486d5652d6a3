"""Watchers that predict all the time, and what happens to them: publishes, broken runs, and a server that is killed.

The model of a run says the number of the run to whatever it is asked, so each prediction tells which run it is of.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from artifact_store import ArtifactStore, Run, Watched, errors
from artifact_store.core import keys
from artifact_store.storage.base import Always
from tests.servers import Proxy, SeaweedServer

EVERY = 1.0
"""Seconds between two looks at an alias, at least."""
DOWN = 2.0
"""Seconds for which a killed server stays away."""
ENDS_WITHIN = 120.0
PREDICTORS = 2


@dataclass
class Result:
    """What came of it; ``violations`` is what must not happen."""

    watchers: int
    publishes: int = 0
    broken: int = 0
    kills: int = 0
    predictions: int = 0
    changes: int = 0
    conditional: int = 0
    """Conditional requests that were answered."""
    unanswered: int = 0
    """Those that were not: the clients below try again by themselves when a connection breaks."""
    most_a_second: float = 0.0
    """The answered ones for one alias, of the one that was asked for most often, by the seconds of the whole."""
    behind: float = 0.0
    """Seconds from the last publish until each watcher served the last run of its alias."""
    violations: list[str] = field(default_factory=list)


def model(number: float) -> Any:
    """Return a model that says ``number``, whatever it is asked."""
    import numpy as np
    from sklearn.linear_model import LinearRegression

    return LinearRegression().fit(np.arange(6.0).reshape(3, 2), np.full(3, number))


def rows() -> Any:
    import numpy as np

    return np.array([[1.0, 2.0]])


class Market:
    """Aliases with their runs, and the numbers that their models may say."""

    def __init__(self, store: ArtifactStore, names: list[str]) -> None:
        self.store, self.names = store, names
        self.last: dict[str, Run] = {}
        self.said: dict[str, set[float]] = {name: set() for name in names}
        self.number = 0.0

    def save(self, name: str, **options: Any) -> Run:
        self.number += 1.0
        made = model(self.number)
        components = {"example_inputs": rows(), "example_outputs": made.predict(rows())}
        if not options:
            self.said[name].add(self.number)
        return self.store.save(made, name, components=components, **options)

    def publish(self, name: str) -> None:
        """Publish a good run, whatever the storage is at."""
        while True:
            try:
                run = self.save(name)
            except (errors.Unavailable, errors.OutcomeUnknown):
                time.sleep(0.1)
                continue
            if run.published:
                self.last[name] = run
                return

    def publish_broken(self, name: str, *, damaged: bool) -> None:
        """Publish a run of which a file is damaged, or whose golden predictions are those of another model."""
        if damaged:
            run = self.save(name, publish="never")
            backend = self.store._context.backend
            file = run.manifest.file(run.manifest.component("model").files[0])
            key = keys.data_file(run.key, run.run_id, file.key)
            data = backend.read(key, limit=1 << 20).data
            backend.write(key, data[::-1], when=Always())
        else:
            wrong = {"example_inputs": rows(), "example_outputs": rows()[0, :1]}
            run = self.store.save(model(-1.0), name, components=wrong, publish="never")
        self.store.promote(run, "latest")


@contextmanager
def predicting(watched: list[Watched[Any]], market: Market, result: Result) -> Iterator[None]:
    """Ask all models, again and again, in several threads; note what fails, and what no run of the alias says."""
    over, asked = threading.Event(), Counter[int]()

    def predict(number: int) -> None:
        while not over.is_set():
            for one in watched:
                try:
                    said = round(float(one.model.predict(rows())[0]), 6)
                except Exception as error:  # noqa: BLE001 -- whatever it is, none may fail
                    result.violations.append(f"{one.ref}: a prediction failed: {type(error).__name__}: {error}")
                    continue
                asked[number] += 1
                if said not in market.said[str(one.ref.key)]:
                    result.violations.append(f"{one.ref}: it says {said}, which no good run of it does")
            time.sleep(0.01)

    threads = [threading.Thread(target=predict, args=(number,), daemon=True) for number in range(PREDICTORS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
        result.predictions = asked.total()


def trade(engine: str, *, watchers: int, publishes: int, kills: int) -> Result:
    """Let so many watchers predict while so many runs are published, and the server is killed so often."""
    result = Result(watchers)
    names = [f"linear/S{number:03}" for number in range(watchers)]
    with SeaweedServer() as server, Proxy(server) as proxy:
        place = {"url": server.url("watch"), "engine": engine, "storage_options": server.storage_options()}
        market = Market(ArtifactStore(**place, timeout=5.0), names)
        for name in names:
            market.publish(name)
        seen = ArtifactStore(**{**place, "storage_options": proxy.storage_options()}, timeout=5.0)
        changed: Counter[str] = Counter()
        with seen.watcher(
            every=EVERY, max_stale=timedelta(minutes=5), on_change=lambda one: changed.update([str(one.ref)])
        ) as watcher:
            watched = watcher.add_many(names)
            proxy.reset()
            begun = time.monotonic()
            with predicting(watched, market, result):
                _publish(market, server, result, publishes, kills)
                published = time.monotonic()
                _wait(lambda: all(one.run == market.last[str(one.ref.key)] for one in watched))
                result.behind = time.monotonic() - published
                time.sleep(2 * EVERY)
            seconds = time.monotonic() - begun
        conditional = [record for record in proxy.records if "if-none-match" in record.headers]
        asked = Counter(record.key for record in conditional if record.status is not None)
        result.conditional, result.changes = asked.total(), changed.total()
        result.unanswered = len(conditional) - result.conditional
        result.most_a_second = max(asked.values(), default=0) / seconds
        for one in watched:
            name = str(one.ref.key)
            if one.run != market.last[name]:
                result.violations.append(f"{one.ref}: it ends on {one.run.run_id}, not on {market.last[name].run_id}")
        result.violations += [
            f"{key}: {number} conditional requests in {seconds:.0f} s"
            for key, number in asked.items()
            if number > seconds / EVERY + 1
        ]
    return result


def _publish(market: Market, server: SeaweedServer, result: Result, publishes: int, kills: int) -> None:
    """Publish one after another, each for another alias; broken ones first for some; and kill the server between."""
    due = {round(publishes * (number + 1) / (kills + 1)) for number in range(kills)}
    for number in range(publishes):
        name = market.names[number % len(market.names)]
        if number % 5 == 4:
            market.publish_broken(name, damaged=number % 2 == 0)
            result.broken += 1
            time.sleep(2 * EVERY)  # so that it is met
        if number in due:
            server.kill()
            result.kills += 1
            time.sleep(DOWN)
            server.restart()
        market.publish(name)
        result.publishes += 1
        time.sleep(EVERY / 4)


def _wait(true: Callable[[], bool]) -> None:
    end = time.monotonic() + ENDS_WITHIN
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
