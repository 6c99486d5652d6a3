"""One process of a soak: ``python -m tests.proofs.soak.writer PLACE NUMBER SECONDS``; prints a JSON line for each operation.

It saves, loads, publishes, deletes and clears away at random, on models that it shares with all others, and says of
each operation what it was told. Every ten seconds it says how much memory and how many descriptors and threads it has.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from artifact_store import ArtifactStore, Run
from artifact_store.errors import ArtifactStoreError
from artifact_store.ops.plan import Plan
from tests.worker import opened

KEYS = ("gru/BTCEUR", "lightgbm/EURUSD", "ppo/BTC;2FUSDT")
ALIASES = ("latest", "production")
SAMPLE, SAMPLES = 10.0, 24
"""Seconds between two samples of what this process holds at most; and how many there are at least in a long soak."""
LONG = 60.0
"""Seconds from which on growth is judged: what is loaded once takes its time."""
GRACE = timedelta(seconds=90)
"""Longer than any save of a soak takes."""
SIZES = (10, 1_000, 20_000, 1_200_000)
"""Numbers in an array: the largest takes more than 8 MiB, and so goes in parts."""
ODDS = (60, 25, 14, 1)


def content(seed: int, size: int) -> dict[str, np.ndarray]:
    """Return what a save of this seed holds: arrays that tell whether they are whole, and whose they are."""
    return {"seed": np.array([seed, size]), "values": np.random.default_rng(seed).random(size)}


def digest(value: dict[str, np.ndarray]) -> str:
    """Return a name for exactly these arrays."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(value[name]).tobytes() for name in sorted(value))).hexdigest()


def is_whole(value: Any) -> bool:
    """Whether a loaded value is what some save held."""
    seed, size = (int(number) for number in value["seed"])
    return digest(value) == digest(content(seed, size))


class Writer:
    """Everything that one process does, and what it was told."""

    def __init__(self, place: str, number: int) -> None:
        self.number, self.random = number, random.Random(number)
        self.store: ArtifactStore = opened(place, actor=f"soak-{number}", timeout=60.0)
        self.made = 0
        self.deleted: list[str] = []
        self.acts: dict[str, tuple[int, Callable[[str], dict[str, Any]]]] = {
            "save": (30, self.save),
            "load": (25, self.load),
            "load a run": (8, self.load_run),
            "promote": (8, self.promote),
            "rollback": (4, self.rollback),
            "retire": (1, self.retire),
            "delete": (5, self.delete),
            "undelete": (3, self.undelete),
            "prune": (1, self.prune),
            "gc": (1, self.gc),
            "runs": (6, self.runs),
            "history": (4, self.history),
            "verify": (3, self.verify),
            "doctor": (1, self.doctor),
        }

    # ------------------------------------------------------------ the operations; each returns what is to be checked

    def save(self, key: str) -> dict[str, Any]:
        self.made += 1
        seed = self.number * 1_000_000 + self.made
        value = content(seed, self.random.choices(SIZES, ODDS)[0])
        publish = self.random.choice(("always", "if_newer", "if_better(sharpe, max)", "never"))
        run = self.store.save(value, key, metrics={"sharpe": self.random.random()}, publish=publish)
        assert run.published is not None
        pointer = run.published.pointer
        told = {"run": str(run.ref), "sha256": digest(value)}
        return told if pointer is None else told | {"publish": f"{key}@{pointer.alias}", "write_id": pointer.write_id}

    def load(self, key: str) -> dict[str, Any]:
        return {"whole": is_whole(self.store.load(f"{key}@{self.random.choice(ALIASES)}"))}

    def load_run(self, key: str) -> dict[str, Any]:
        run = self.some_run(key)
        return {} if run is None else {"whole": is_whole(run.load()), "read": str(run.ref)}

    def promote(self, key: str) -> dict[str, Any]:
        run, alias = self.some_run(key), self.random.choice(ALIASES)
        return {} if run is None else self.published(key, alias, self.store.promote(run, alias, reason="soak"))

    def rollback(self, key: str) -> dict[str, Any]:
        alias = self.random.choice(ALIASES)
        return self.published(key, alias, self.store.rollback(f"{key}@{alias}", reason="soak"))

    def retire(self, key: str) -> dict[str, Any]:
        return self.published(key, "production", self.store.retire(f"{key}@production", reason="soak"))

    def delete(self, key: str) -> dict[str, Any]:
        run = self.some_run(key)
        if run is None:
            return {}
        self.deleted = [*self.deleted[-20:], str(run.ref)]
        return self.applied(self.store.delete(run, reason="soak"))

    def undelete(self, key: str) -> dict[str, Any]:
        del key
        if not self.deleted:
            return {}
        ref = self.deleted.pop(self.random.randrange(len(self.deleted)))
        return {"restored": str(self.store.undelete(ref).ref)}

    def prune(self, key: str) -> dict[str, Any]:
        return self.applied(self.store.prune(key, keep_last=25, grace=timedelta(seconds=5)))

    def gc(self, key: str) -> dict[str, Any]:
        del key
        return self.applied(self.store.gc(grace=GRACE))

    def runs(self, key: str) -> dict[str, Any]:
        found = [run.run_id for run in self.store.runs(key, limit=20)]
        return {"whole": found == sorted(found, reverse=True)}

    def history(self, key: str) -> dict[str, Any]:
        past = self.store.history(f"{key}@{self.random.choice(ALIASES)}")
        return {"whole": [entry.seq for entry in past] == list(range(1, len(past) + 1))}

    def verify(self, key: str) -> dict[str, Any]:
        run = self.some_run(key)
        return {} if run is None else self.judged(self.store.verify(run).problems)

    def doctor(self, key: str) -> dict[str, Any]:
        del key
        self.store.doctor(probes=False)  # what another process does meanwhile is no finding of this proof
        return {}

    # ------------------------------------------------------------ parts of them

    def some_run(self, key: str) -> Run | None:
        runs = list(self.store.runs(key, limit=40))
        return self.random.choice(runs) if runs else None

    @staticmethod
    def published(key: str, alias: str, pointer: Any) -> dict[str, Any]:
        return {"publish": f"{key}@{alias}", "write_id": pointer.write_id}

    def applied(self, plan: Plan) -> dict[str, Any]:
        done = list(plan.apply())
        gone = [each.step.target for each in done if each.result in {"deleted", "swept", "cleared"}]
        return {"gone": gone, **self.judged([each for each in done if each.error is not None])}

    @staticmethod
    def judged(problems: Any) -> dict[str, Any]:
        return {
            "errors": [type(each.error).__name__ for each in problems],
            "text": [str(each) for each in problems][:3],
        }

    # ------------------------------------------------------------ the loop

    def work(self, seconds: float) -> None:
        """Do one thing after the other for so long."""
        names = list(self.acts)
        odds = [self.acts[name][0] for name in names]
        every = min(SAMPLE, seconds / SAMPLES) if seconds >= LONG else SAMPLE
        end, sampled = time.monotonic() + seconds, 0.0
        while (now := time.monotonic()) < end:
            if now - sampled >= every:
                sampled = now
                tell(**held())
            name, key = self.random.choices(names, odds)[0], self.random.choice(KEYS)
            try:
                told = self.acts[name][1](key)
            except ArtifactStoreError as error:
                run_id, committed = getattr(error, "run_id", None), getattr(error, "committed", None)
                tell(op=name, error=type(error).__name__, text=str(error)[:300], run_id=run_id, committed=committed)
            else:
                tell(op=name, **told)
        tell(**held())


def held() -> dict[str, Any]:
    """Return what this process holds: MiB of memory, descriptors, threads."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return {
        "memory": int(status["VmRSS"].split()[0]) / 1024,
        "descriptors": descriptors,
        "threads": int(status["Threads"]),  # those of libraries, too
    }


def tell(**what: Any) -> None:
    print(json.dumps({"at": time.time(), **what}), flush=True)


if __name__ == "__main__":
    Writer(sys.argv[1], int(sys.argv[2])).work(float(sys.argv[3]))
