"""What a reader sees in a storage: a value that two moments can be compared by.

A :class:`Snapshot` is what a storage holds, object by object. A :class:`View` is what the store makes of it, read from
a copy in memory, so that looking costs no requests and meets no faults.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache

from artifact_store import ArtifactStore
from artifact_store.core import keys
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import ArtifactStoreError, ObjectNotFound, RunNotFound
from artifact_store.ops.records import Records
from artifact_store.storage.base import Always, Backend
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.retry import RetryPolicy
from tests import invariants
from tests.proofs.stateful.stepping import Inline

LOOKS = 5
LATER = datetime(2100, 1, 1, tzinfo=UTC)
REGISTRY = CodecRegistry()
"""One for all stores: to look for the installed codecs takes longer than most cells."""


@dataclass(frozen=True)
class Snapshot:
    """Every object of a storage, and the keys of the uploads that were begun and not ended."""

    objects: tuple[tuple[str, bytes], ...] = ()
    unfinished: tuple[str, ...] = ()

    @classmethod
    def of(cls, backend: Backend) -> Snapshot:
        """Look at everything; once more if something was removed meanwhile, by a request that somebody gave up."""
        for _ in range(LOOKS):
            with suppress(ObjectNotFound):
                return cls(tuple((entry.key, _read(backend, entry.key)) for entry in backend.list("")))
        raise AssertionError(f"{backend.url} does not come to rest")

    def restored(self) -> MemoryBackend:
        """A memory that holds the same."""
        memory = MemoryBackend()
        for key, data in self.objects:
            memory.write(key, data, when=Always())
        return memory


def _read(backend: Backend, key: str) -> bytes:
    blob = backend.read(key, limit=64 << 20)
    assert blob is not None
    return blob.data


@dataclass(frozen=True)
class View:
    """The runs with what loading them gives and what was noted about them, what every alias ever named, and the tombstones by their state."""

    runs: Mapping[str, str]
    aliases: Mapping[str, tuple[str | None, ...]]
    stones: Mapping[str, str]
    notes: Mapping[str, str] = field(default_factory=dict)
    """What was noted about runs, by run."""
    write_ids: frozenset[str] = field(default=frozenset(), compare=False)
    """Of every publish: proves that one that was acknowledged is there."""
    left: frozenset[str] = field(default=frozenset(), compare=False)
    """What no reader sees and housekeeping has to remove."""
    broken: tuple[str, ...] = ()
    """What violates an invariant of the store. Nothing ever may."""

    def but(self, **changes: object) -> View:
        return replace(self, **changes)  # type: ignore[arg-type]

    def __str__(self) -> str:
        said = [f"{label} = {value}" for label, value in sorted(self.runs.items())]
        said += [f"{alias} named {', '.join(map(str, past))}" for alias, past in sorted(self.aliases.items())]
        said += [f"of {label} is noted {text}" for label, text in sorted(self.notes.items())]
        said += [f"{label} is {state}" for label, state in sorted(self.stones.items())]
        return "; ".join([*said, *self.broken]) or "nothing"


@lru_cache(maxsize=4096)
def see(snapshot: Snapshot) -> View:
    """Return what a sound client reads."""
    memory = snapshot.restored()
    store = reader(memory)
    runs, stones, noted, broken = {}, {}, {}, []
    left = set(snapshot.unfinished) | {key for key, _ in snapshot.objects if key.startswith(keys.PROBES)}
    aliases: dict[str, tuple[str | None, ...]] = {}
    owned = _by_run(snapshot)
    models = {model for model, _ in owned}
    for (model, run_id), held in owned.items():
        place, label = keys.manifest(model, run_id), f"{model}:{run_id}"
        try:
            record = Records(memory, RetryPolicy()).run(model, run_id).value
            if isinstance(record, Manifest):
                runs[label] = _value(store, label, record)
                noted |= _noted(store, label)
            else:
                stones[label] = record.state
                left.update(key for key in held if key != place)
                if record.state == "sealed":
                    left.update(key for key, _ in snapshot.objects if key.startswith(keys.notes_prefix(model, run_id)))
        except RunNotFound:  # never committed
            left.update(held)
        except ArtifactStoreError as error:
            broken.append(f"{label}: {type(error).__name__}: {error}")
    write_ids = set()
    try:
        models |= set(store.models())
        for model in sorted(models):
            names = tuple(store.aliases(model))
            for name in names:
                past = store.history(f"{model}@{name}")
                aliases[f"{model}@{name}"] = tuple(entry.run_id for entry in past)
                write_ids.update(entry.write_id for entry in past)
            broken += _violations(store, model, names)
    except ArtifactStoreError as error:
        broken.append(f"{type(error).__name__}: {error}")
    return View(runs, aliases, stones, noted, frozenset(write_ids), frozenset(left), tuple(broken))


def _by_run(snapshot: Snapshot) -> dict[tuple[ModelKey, RunId], list[str]]:
    owned: dict[tuple[ModelKey, RunId], list[str]] = {}
    for key, _ in snapshot.objects:
        found = keys.run_of(key)
        if found is not None:
            owned.setdefault(found[:2], []).append(key)
    return owned


def steady(store: ArtifactStore, seed: str) -> ArtifactStore:
    """The store, with a time that stands still and ids that count: the same acts leave the same bytes.

    So most cells end with a view that is known already. The time is one that no storage reaches, so that everything
    is old enough to be cleared away.
    """
    numbers = itertools.count(1)
    context = replace(store._context, now=lambda: LATER, new_write_id=lambda: f"{seed}{next(numbers):031x}")
    store._context = context
    return store


def reader(backend: Backend) -> ArtifactStore:
    """A store that works in its caller's thread: there is nothing to wait for."""
    store = steady(ArtifactStore(backend, registry=REGISTRY), "b")
    store._context = replace(store._context, workers=Inline(), tasks=Inline())
    return store


def _violations(store: ArtifactStore, model: ModelKey, names: tuple[str, ...]) -> list[str]:
    try:
        invariants.check(store, str(model), names)
    except (AssertionError, ArtifactStoreError) as violated:
        return [f"an invariant of {model} does not hold: {violated!r}"]
    return []


def _noted(store: ArtifactStore, label: str) -> dict[str, str]:
    """What is noted about a run, in a word; a note that is half there raises."""
    found = store.get(label).notes()
    for problem in found.problems:
        raise problem.error
    return {label: f"{'do not trade' if found.do_not_trade else 'tradable'} {found.tags}"} if found.entries else {}


def _value(store: ArtifactStore, label: str, manifest: Manifest) -> str:
    """What loading gives, in a few words; of what needs a framework, the digests of the files."""
    component = manifest.components.get("model")
    if component is not None and component.codec.name == "json":
        return repr(store.load(label))
    return " ".join(
        sorted(f"{entry.path}={entry.sha256[:8]}" for entry in manifest.files if entry.path != keys.METADATA)
    )
