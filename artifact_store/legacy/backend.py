"""An old tree as a backend that only reads: its runs look as if a store had written them.

A run is converted when it is first asked for, into memory that belongs to this backend, and is then served from there,
with the same bytes each time and in every process. A run that cannot be converted raises its error when it is read, as
a damaged one would in a store. Nothing is ever written, least of all to the old tree.
"""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn, TypeVar

from artifact_store.canonical import canonical, sha256
from artifact_store.codecs.sb3.values import own_classes
from artifact_store.core import keys
from artifact_store.core.codec import CodecRef
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import LATEST, ModelKey, RunId
from artifact_store.core.pointer import PublishInfo, advance
from artifact_store.core.policy import Later
from artifact_store.core.registry import CodecRegistry
from artifact_store.core.store_record import StoreRecord
from artifact_store.core.trust import LoadPolicy
from artifact_store.draft import Draft
from artifact_store.errors import (
    ArtifactStoreError,
    CodecUnavailable,
    Corrupt,
    InvalidOption,
    ObjectNotFound,
    Unsupported,
)
from artifact_store.legacy.formats.convert import EPOCH, Conversion, convert, open_old
from artifact_store.legacy.trees.layout import OldAlias, OldRun, Tree
from artifact_store.legacy.trees.single_file import scan_path
from artifact_store.ops.context import Context, OpenedStore
from artifact_store.process import Process, this_process
from artifact_store.storage.base import Backend, Blob, Capabilities, Entry, Version
from artifact_store.storage.home import at_home
from artifact_store.storage.memory import MemoryBackend
from artifact_store.storage.retry import RetryPolicy
from artifact_store.storage.staging import Staging
from artifact_store.storage.workers import Workers

T = TypeVar("T")

_STORE_ID = sha256(b"artifact-store: an old tree, read in place")[:32]
_RECORD = StoreRecord(store_id=_STORE_ID, created_at=EPOCH, concurrency="safe")


class Scratch:
    """A private store in memory, in which the same conversion always makes the same bytes."""

    def __init__(self, registry: CodecRegistry | None = None, staging: Staging | None = None) -> None:
        self.memory = MemoryBackend()
        self._context = Context(
            backend=self.memory,
            registry=registry or CodecRegistry(),
            policy=LoadPolicy(),
            workers=Workers(),
            retry=RetryPolicy(),
            cache=None,
            report=None,
            now=lambda: EPOCH,
            new_suffix=lambda: "0000",
            new_write_id=lambda: "0" * 32,
            actor="",
            staging=staging or Staging(),
        )

    def draft(self, conversion: Conversion) -> Draft:
        """Return the run, filled and not committed."""
        mark = sha256(conversion.digest.encode())[:32]
        draft = Draft(
            replace(self._context, new_write_id=lambda: mark, opened=OpenedStore(_RECORD, {str(conversion.key)})),
            conversion.key,
            run_id=conversion.run_id,
            alias=LATEST,
            policy=Later(),
            validate=False,
        )
        conversion.fill(draft)
        return draft

    def close(self) -> None:
        """End the threads."""
        self._context.workers.close()


@dataclass(slots=True)
class _Model:
    """One model of the tree: its runs by id, and what its names stand for."""

    runs: dict[RunId, OldRun] = field(default_factory=dict)
    aliases: dict[str, OldAlias] = field(default_factory=dict)


def open_tree(
    path: str | Path, registry: CodecRegistry | None, policy: object, staging: Staging | None = None
) -> LegacyBackend:
    """Return an old tree as a backend, for a store with this policy.

    Raises:
        InvalidOption: the policy requires signatures.
        ContainerNotFound, NotAStore, Unsupported: as for :class:`LegacyBackend`.
    """
    if isinstance(policy, LoadPolicy) and policy.require_signature:
        raise InvalidOption(
            f"the policy requires signatures, and an old tree has none: migrate {path} into a store with a signer, "
            "or open it with another policy"
        )
    return LegacyBackend(path, registry=registry, staging=staging)


class LegacyBackend(Backend):
    """The old tree at ``path``: its folder ``models``, the one above, or that of one model type; or one old file.

    Which runs there are is looked up once, when it is made; a run that is added later is seen by a new one.

    Raises:
        ContainerNotFound, NotAStore: there is no such folder, or it holds no old models.
    """

    engine = "legacy"
    endpoint = "legacy"
    capabilities = Capabilities(
        create_only=False, compare_and_swap=False, durable=True, reason="an old tree is only read; migrate it to write"
    )

    def __init__(
        self, path: str | Path, *, registry: CodecRegistry | None = None, staging: Staging | None = None
    ) -> None:
        self.url = str(path)
        self.tree: Tree = scan_path(path)
        form = "an old model" if at_home(path).is_file() else "an old tree"
        self.read_only = (
            f"{self.url} is {form} and only read. Bring its runs into a store first: "
            f"artifact-store migrate {self.url} NEW"
        )
        self._locks: dict[Process, threading.RLock] = {}
        self._scratch = Scratch(registry, staging)
        self._own = () if registry is None else _own(registry)
        self._conversions: dict[str, Conversion | ArtifactStoreError] = {}
        self._manifests: dict[str, Manifest | ArtifactStoreError] = {}
        self._models: dict[ModelKey, _Model] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the path; the receiving process converts anew, to the same bytes."""
        return type(self), (self.url,)

    # ------------------------------------------------------------ reading

    def read(self, key: str, *, limit: int, unless: Version | None = None) -> Blob | None:
        """Return the object, or ``None`` if it still is the version ``unless``.

        Raises:
            ArtifactStoreError: the old run cannot be converted; or the old pointer names none.
        """
        data = self._bytes(key)
        version = Version(sha256(data))
        if version == unless:
            return None
        if len(data) > limit:
            raise Corrupt(f"{key!r} holds {len(data)} bytes, more than the {limit} that it may hold", key=key)
        return Blob(data, version)

    def stream(self, key: str, *, size: int) -> Iterator[bytes]:
        """Yield the object's bytes in order."""
        self._convert(key, *_parsed(key))
        return self._scratch.memory.stream(key, size=size)

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below ``prefix`` after converting the runs there; one that cannot be has no objects."""
        found = [Entry(keys.STORE_MARKER, len(_RECORD.to_bytes()), EPOCH)]
        for key in self.tree.keys:
            for alias in self._model(key).aliases:
                with suppress(ArtifactStoreError):  # a pointer to nothing: a reader of it is told
                    place = keys.pointer(key, alias)
                    found.append(Entry(place, len(self._bytes(place)), EPOCH))
            for run_id, run in self._model(key).runs.items():
                place = keys.run_prefix(key, run_id)
                if place.startswith(prefix) or prefix.startswith(place):
                    with suppress(ArtifactStoreError):  # a listing is total; a reader of the run is told
                        self._manifest(run)
                        found += self._scratch.memory.list(place)
        return iter(sorted((entry for entry in found if entry.key.startswith(prefix)), key=lambda entry: entry.key))

    def children(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below ``prefix``, in order. Above the runs nothing is converted to tell them."""
        model, rest = _parsed(prefix)
        if model is not None and rest:
            try:
                self._convert(prefix, model, rest)
            except ObjectNotFound:
                return iter(())
            return self._scratch.memory.children(prefix)
        names = {keys.STORE_MARKER} if not prefix else set()
        for key in self.tree.keys:
            if not prefix:
                names.add(keys.type_prefix(key.model_type))
            elif keys.model_prefix(key) == prefix:
                below = self._model(key)
                names |= {keys.pointer(key, alias)[len(prefix) :] for alias in below.aliases}
                names |= {keys.run_prefix(key, run_id)[len(prefix) :] for run_id in below.runs}
            elif keys.model_prefix(key).startswith(prefix):
                names.add(keys.model_prefix(key)[len(prefix) :])
        return iter(sorted(names))

    def close(self) -> None:
        """End the threads of this process."""
        self._scratch.close()

    # ------------------------------------------------------------ what there is

    def _bytes(self, key: str) -> bytes:
        if key == keys.STORE_MARKER:
            return _RECORD.to_bytes()
        model, rest = _parsed(key)
        if model is not None and len(rest) == 1:
            named = self._model(model).aliases.get(keys.alias_in(rest[0]) or "")
            if named is not None:
                return self._pointer(named)
        self._convert(key, model, rest)
        blob = self._scratch.memory.read(key, limit=1 << 62)
        assert blob is not None
        return blob.data

    def _pointer(self, alias: OldAlias) -> bytes:
        if alias.run is None:
            raise copy.copy(alias.error) if alias.error is not None else Corrupt(f"{alias.source} names no run")
        manifest = self._manifest(alias.run)
        mark = sha256(canonical([alias.name, manifest.digest]))[:32]
        note = PublishInfo(mark, manifest.created_at, "an old tree", f"as in {alias.source}")
        return advance(None, alias.key, alias.name, manifest, note).pointer.to_bytes()

    def _convert(self, key: str, model: ModelKey | None, rest: tuple[str, ...]) -> None:
        """Bring the run that the object ``key`` belongs to into ``memory``, unless it is there."""
        run_id = keys.run_in(rest[0]) if rest else None
        run = None if model is None or run_id is None else self._model(model).runs.get(run_id)
        if run is None:
            raise ObjectNotFound(key)
        self._manifest(run)

    def _model(self, key: ModelKey) -> _Model:
        with self._lock:
            if key not in self._models:
                model = _Model(aliases={alias.name: alias for alias in self.tree.aliases if alias.key == key})
                for run in self.tree.runs:
                    if run.key == key:
                        model.runs.setdefault(run.run_id or self._derived_id(run), run)
                self._models[key] = model
            return self._models[key]

    def _derived_id(self, run: OldRun) -> RunId:
        """Return the id of a run that has none in the tree; the run has to be read for it."""
        try:
            return self._conversion(run).run_id
        except ArtifactStoreError:  # reading the run raises it again
            return open_old(run).spare_id

    # ------------------------------------------------------------ converting, each once

    def _conversion(self, run: OldRun) -> Conversion:
        return self._once(self._conversions, run, lambda: convert(open_old(run), self._own))

    def _manifest(self, run: OldRun) -> Manifest:
        return self._once(self._manifests, run, lambda: self._committed(run))

    def _committed(self, run: OldRun) -> Manifest:
        try:
            with self._scratch.draft(self._conversion(run)) as draft:
                return draft.commit().manifest
        finally:  # what it was made from is not needed any more
            self._conversions.pop(run.source, None)

    def _once(self, known: dict[str, T | ArtifactStoreError], run: OldRun, make: Callable[[], T]) -> T:
        with self._lock:
            if run.source not in known:
                try:
                    known[run.source] = make()
                except ArtifactStoreError as error:
                    known[run.source] = error
            found = known[run.source]
        if isinstance(found, ArtifactStoreError):
            raise copy.copy(found) from found
        return found

    @property
    def _lock(self) -> threading.RLock:
        """One lock per process: a thread that a fork left behind in the parent may hold the parent's for ever."""
        return self._locks.setdefault(this_process(), threading.RLock())

    # ------------------------------------------------------------ nothing is written

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise Unsupported(self.read_only)

    write = put_file = delete = _refuse


def _own(registry: CodecRegistry) -> tuple[type, ...]:
    """Return the classes of the caller's that the codecs of agents were given."""
    refs = [CodecRef(name, 1) for name in ("sb3", "sb3-contrib")]
    try:
        found = {name: kind for ref in refs for name, kind in own_classes(registry.for_ref(ref)).items()}
    except CodecUnavailable:  # of a registry without them, which converts no agent
        return ()
    return tuple(found.values())


def _parsed(key: str) -> tuple[ModelKey | None, tuple[str, ...]]:
    """Return the model that a key belongs to, if it does, and the names below it, those of folders with their slash."""
    parts = re.findall(r"[^/]*/|[^/]+", key)
    model_type = keys.model_type_in(parts[0]) if len(parts) > 1 else None
    if model_type is None:
        return None, ()
    symbol = keys.symbol_in(parts[1])
    if symbol is not None:
        return ModelKey(model_type, symbol), tuple(parts[2:])
    return ModelKey(model_type), tuple(parts[1:])
