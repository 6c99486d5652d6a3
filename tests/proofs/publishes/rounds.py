"""One publish after the other with ``validate=True``, each under faults of its own, and a look at the alias after each.

The storage damages files on the way in and on the way out, loses replies and requests; now and then the model is written
by a codec that breaks: that cannot read what it wrote, or reads something else. After every save a client that meets no
faults, with a codec that is as it should be, asks every alias for its model: it has to load, and to say what it said when
it was saved. An oracle of its own compares; it does not use the store's validation.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from artifact_store import ArtifactStore, CodecRegistry, Example, errors
from artifact_store.codecs.lightgbm.booster import LightGBMCodec
from artifact_store.ops.verdict import Verdict
from artifact_store.storage.base import Backend, Precondition, Version
from artifact_store.testing import Faults, FaultyBackend
from tests.proofs.matrix.views import REGISTRY

KEY = "lgb/EURUSD"
ALIASES = ("latest", "production")
ROWS = np.random.default_rng(5).normal(size=(80, 4))
FILES = f"{KEY}/2*/*"
MANIFESTS = f"{KEY}/2*/manifest.json"
MODELS = 8
TIMEOUT = 0.05

Say = Callable[[str], None]


class Deaf(LightGBMCodec):
    """Cannot read what it wrote."""

    def decode(self, *_: Any, **__: Any) -> Any:
        raise errors.Corrupt("this is no model")


class Forgetful(LightGBMCodec):
    """Reads a model with fewer trees than it wrote."""

    def decode(self, *arguments: Any, **more: Any) -> Any:
        whole = super().decode(*arguments, **more)
        return lightgbm.Booster(model_str=whole.model_to_string(num_iteration=1))


class Careless(LightGBMCodec):
    """Writes a text that is cut short, which reading it notices."""

    def encode(self, obj: Any, directory: Path, stem: str) -> Any:
        options = super().encode(obj, directory, stem)
        path = directory / f"{stem}.txt"
        path.write_bytes(path.read_bytes()[:-100])
        return options


class Damaging(Backend):
    """``inner``, which stores other bytes than it is given, now and then: files of runs, and their manifests."""

    def __init__(self, inner: Backend, seed: int, share: float) -> None:
        self.inner, self._seed, self._share = inner, seed, share
        self.engine, self.url, self.endpoint = inner.engine, inner.url, inner.endpoint
        self.create_limit, self.parts_above, self.makes_root = inner.create_limit, inner.parts_above, inner.makes_root
        self.capabilities = inner.capabilities
        self.damaged = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, key: str, data: bytes, *, when: Precondition) -> Version:
        """Store it, perhaps with one bit flipped."""
        return self.inner.write(key, self._spoilt(key, data), when=when)

    def put_file(self, key: str, chunks: Iterable[bytes], *, size: int, when: Precondition) -> None:
        """Store it, perhaps with one bit flipped."""
        self.inner.put_file(key, [self._spoilt(key, b"".join(chunks))], size=size, when=when)

    def read(self, key: str, **options: Any) -> Any:
        """Read what is stored."""
        return self.inner.read(key, **options)

    def stream(self, key: str, *, size: int) -> Any:
        """Stream what is stored."""
        return self.inner.stream(key, size=size)

    def list(self, prefix: str, **options: Any) -> Any:
        """List what is stored."""
        return self.inner.list(prefix, **options)

    def children(self, prefix: str, **options: Any) -> Any:
        """List the names below a prefix."""
        return self.inner.children(prefix, **options)

    def delete(self, key: str) -> None:
        """Delete it."""
        self.inner.delete(key)

    def _spoilt(self, key: str, data: bytes) -> bytes:
        chance = random.Random(f"{self._seed} {key}")  # the same in every run, in whatever order the threads come
        if not data or not key.startswith(f"{KEY}/2") or chance.random() >= self._share:
            return data
        self.damaged += 1
        at = chance.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


@dataclass
class Tally:
    """What came of all publishes on one backend."""

    backend: str
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    @property
    def publishes(self) -> int:
        """How many were tried."""
        return sum(self.ends.values())

    def row(self) -> dict[str, Any]:
        """Return the numbers for a table."""
        return {
            "backend": self.backend,
            "publishes": self.publishes,
            **{end: self.ends[end] for end in ("published", "wrong", "unchecked", "not validated", "failed")},
            "faults met": sum(self.faults.values()),
            "violations": len(self.violations),
        }


def boosters() -> list[Any]:
    """Some models that predict differently, each with more trees than one."""
    target = ROWS @ np.array([1.0, -0.5, 0.25, 2.0])
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 4, "num_leaves": 4}
    return [
        lightgbm.train(
            {**settings, "learning_rate": 0.1 + place / 10}, lightgbm.Dataset(ROWS, target), num_boost_round=3
        )
        for place in range(MODELS)
    ]


STRIKES: tuple[Callable[[Faults, float], Faults], ...] = (
    lambda plan, share: plan.on("write", "put_file").lose_reply(share),
    lambda plan, share: plan.on("read", "stream").lose_reply(share),
    lambda plan, share: plan.on().lose_request(share / 2),
    lambda plan, share: plan.on("stream", key=FILES).flip(share),
    lambda plan, share: plan.on("stream", key=FILES).cut(share),
    lambda plan, share: plan.on("read", key=MANIFESTS).flip(share),
)


def faults(seed: int, chance: random.Random) -> Faults:
    """What goes wrong in one publish: about half of them meet nothing at all."""
    plan = Faults(seed=seed)
    for strike in chance.sample(STRIKES, k=chance.choice((0, 0, 0, 1, 1, 2))):
        plan = strike(plan, chance.choice((0.1, 0.5, 1.0)))
    return plan


def codecs(chance: random.Random) -> CodecRegistry:
    """The codecs of one saver; one in five has a LightGBM codec that breaks."""
    if chance.random() >= 1 / 5:
        return REGISTRY
    registry = CodecRegistry()
    registry.register(chance.choice((Deaf, Forgetful, Careless)))
    return registry


def run_rounds(name: str, backend: Backend, *, publishes: int, seed: int = 1, validate: bool = True, say: Say) -> Tally:
    """Publish that many models, and look at both aliases after each."""
    tally, models, chance = Tally(name), boosters(), random.Random(seed)
    calm = ArtifactStore(backend, registry=REGISTRY)
    said: dict[str, Any] = {}
    for number in range(publishes):
        model = chance.choice(models)
        damaging = Damaging(backend, seed * 10_000 + number, chance.choice((0.0, 0.0, 0.1)))
        faulty = FaultyBackend(damaging, faults(seed + number, chance), sleep=lambda _: None)
        with_example = chance.random() < 0.8
        options = {"example": Example(ROWS[:6], model.predict(ROWS[:6]))} if with_example else {}
        run_id = f"20240101_{number // 3600:02}{number // 60 % 60:02}{number % 60:02}_{seed}"
        said[run_id] = model.predict(ROWS[:6])
        alias = chance.choice(ALIASES)
        with ArtifactStore(faulty, registry=codecs(chance), timeout=TIMEOUT) as store:
            end = _publish(store, model, run_id, alias, {**options, "validate": validate})
        tally.ends[end] += 1
        tally.faults.update(call.fault for call in faulty.log if call.fault)
        tally.faults["damaged"] += damaging.damaged
        for problem in _look(calm, said):
            tally.violations.append(f"publish {number} of {name}, seed {seed} ({end}): {problem}")
        if (number + 1) % 100 == 0:
            say(f"{name}: {number + 1}/{publishes}, {dict(tally.ends)}, {len(tally.violations)} violations")
    return tally


def _publish(store: ArtifactStore, model: Any, run_id: str, alias: str, options: dict[str, Any]) -> str:
    """Save and publish, and return how it ended."""
    try:
        run = store.save(model, KEY, run_id=run_id, alias=alias, **options)
    except errors.ArtifactStoreError:
        return "failed"
    if run.published:
        return "published"
    validation = run.published.validation
    return (
        str(validation.verdict)
        if validation is not None and validation.verdict is not Verdict.SOUND
        else "not validated"
    )


def _look(store: ArtifactStore, said: dict[str, Any]) -> Iterable[str]:
    """Yield what is wrong with the models that the aliases name."""
    for alias in ALIASES:
        try:
            run = store.get(f"{KEY}@{alias}")
            found = run.load().predict(ROWS[:6])
        except errors.AliasNotFound:
            continue
        except Exception as error:  # noqa: BLE001 -- whatever it is, the model cannot be used
            yield f"{alias} names a model that does not load: {type(error).__name__}: {error}"
            continue
        if not np.array_equal(found, said[str(run.run_id)]):
            yield f"{alias} names {run.run_id}, which predicts something else than when it was saved"
