"""The façade: one object that saves, publishes, finds and loads runs of models in a folder or a bucket.

It decides the order of the steps and who takes part in them; every step itself lives in ``core``, ``storage``,
``codecs`` or ``ops``.
"""

from __future__ import annotations

import platform
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from artifact_store.core import keys
from artifact_store.core.errors import (
    AliasNotFound,
    AliasRetired,
    Conflict,
    InvalidOption,
    InvalidReference,
    RunDeleted,
)
from artifact_store.core.features import FeatureSchema
from artifact_store.core.keys import ModelKey, RunId, RunRef
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import Pointer, Publish, advance
from artifact_store.core.policy import Always, Expect, Policy, parse_policy
from artifact_store.core.registry import CodecRegistry
from artifact_store.core.trust import LoadPolicy
from artifact_store.ops import audit, catalog, marker, publish, rollback
from artifact_store.ops.context import Context
from artifact_store.ops.predict import check_example
from artifact_store.run import Draft, Example, Run
from artifact_store.storage.base import Backend
from artifact_store.storage.cache import FileCache
from artifact_store.storage.open import open_backend
from artifact_store.storage.settle import Patience, patiently
from artifact_store.storage.single_writer import SingleWriter
from artifact_store.storage.transfer import Report, Workers

_RESOLVE_AGAIN = 3
"""How often ``latest`` is resolved anew when the run that it named is deleted under the reader."""


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What holds for writes through this store, and who says so."""

    engine: str
    url: str
    concurrency: marker.Concurrency
    create_only: bool
    compare_and_swap: bool
    durable: bool
    probed: bool
    """The conditions were seen to hold on this endpoint: recorded in ``_store.json``, or tried by this process."""
    reason: str
    """Why something does not hold, in a line."""


class Runs:
    """The runs that a listing found, newest first within a model. What is broken is kept in ``problems``."""

    def __init__(self, make: Callable[[list[audit.Problem]], Iterator[Run]]) -> None:
        self._make = make
        self.problems: list[audit.Problem] = []

    def __iter__(self) -> Iterator[Run]:
        self.problems.clear()
        return self._make(self.problems)


class ArtifactStore:
    """Save trained models under a folder or a bucket, and load exactly what was saved.

    ``url`` is a folder, ``s3://bucket/prefix``, ``gs://…``, ``az://…``, ``memory://name`` or anything that fsspec
    knows; or pass a ready fsspec ``filesystem`` with the path in ``url``. Making a store does no input or output.
    It may be used from many threads, after a fork, and be sent to other processes; credentials that were given as
    options are not sent.

    Args:
        url: where the root is; never with credentials in it.
        filesystem: an fsspec filesystem to use for it.
        storage_options: credentials and endpoint, in s3fs's spelling.
        engine: ``auto``, ``local``, ``memory``, ``obstore`` or ``fsspec``.
        policy: what loading may decode.
        cache: a folder that keeps fetched files by content, so that what did not change is not fetched again.
        concurrency: ``safe``, or ``single-writer`` for storage without conditional writes.
        timeout: seconds that one storage operation may take, its repetitions included.
        progress: called with a :class:`~artifact_store.Progress` as bytes move, from the threads that move them.
        registry: the codecs; those of the installed distributions unless given.
        actor: who publishes, as recorded in pointers; the machine's name unless given.
        clock: returns the time now as an aware datetime.

    Raises:
        InvalidOption: the URL or an option means nothing here.
        EngineUnavailable: the storage client is not installed.
    """

    def __init__(
        self,
        url: str | Path | None = None,
        *,
        filesystem: Any | None = None,
        storage_options: Mapping[str, Any] | None = None,
        engine: str = "auto",
        policy: LoadPolicy | None = None,
        cache: str | Path | None = None,
        concurrency: marker.Concurrency = "safe",
        timeout: float = 60.0,
        progress: Report | None = None,
        registry: CodecRegistry | None = None,
        actor: str | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        if concurrency not in {"safe", "single-writer"}:
            raise InvalidOption(f"concurrency is 'safe' or 'single-writer', not {concurrency!r}")
        backend = open_backend(
            url, filesystem=filesystem, storage_options=storage_options, engine=engine, timeout=timeout
        )
        self._setup(
            backend,
            policy=policy,
            cache=cache,
            concurrency=concurrency,
            timeout=timeout,
            progress=progress,
            registry=registry,
            actor=actor,
            clock=clock,
        )

    @classmethod
    def on(
        cls,
        backend: Backend,
        *,
        policy: LoadPolicy | None = None,
        concurrency: marker.Concurrency = "safe",
        timeout: float = 60.0,
        registry: CodecRegistry | None = None,
        actor: str | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> ArtifactStore:
        """Return a store on a ready backend, such as one of your own or a ``FaultyBackend``."""
        store = cls.__new__(cls)
        store._setup(
            backend,
            policy=policy,
            cache=None,
            concurrency=concurrency,
            timeout=timeout,
            progress=None,
            registry=registry,
            actor=actor,
            clock=clock,
        )
        return store

    def _setup(
        self,
        backend: Backend,
        *,
        policy: LoadPolicy | None,
        cache: str | Path | None,
        concurrency: marker.Concurrency,
        timeout: float,
        progress: Report | None,
        registry: CodecRegistry | None,
        actor: str | None,
        clock: Callable[[], datetime] | None,
    ) -> None:
        self._concurrency = concurrency
        self._record: marker.StoreRecord | None = None
        self._known_keys: set[str] = set()
        self._context = Context(
            backend=SingleWriter(backend) if concurrency == "single-writer" else backend,
            registry=registry or CodecRegistry(),
            policy=policy or LoadPolicy(),
            workers=Workers(),
            patience=Patience(seconds=timeout),
            cache=None if cache is None else FileCache(Path(cache)),
            report=progress,
            now=clock or _utc_now,
            new_suffix=keys.random_suffix,
            new_write_id=_new_write_id,
            actor=actor if actor is not None else platform.node() or "unknown",
        )

    def __repr__(self) -> str:
        return f"<ArtifactStore {self.url} ({self._context.backend.engine})>"

    @property
    def url(self) -> str:
        """Where the root is, without credentials."""
        return self._context.backend.url

    @property
    def guarantees(self) -> Guarantees:
        """What holds for writes here. Does no input or output: ``probed`` turns true with the first write."""
        able = self._context.backend.capabilities
        return Guarantees(
            engine=self._context.backend.engine,
            url=self.url,
            concurrency=self._concurrency,
            create_only=able.create_only,
            compare_and_swap=able.compare_and_swap,
            durable=able.durable,
            probed=self._record is not None and self._concurrency == "safe",
            reason=able.reason,
        )

    # ------------------------------------------------------------ save

    def save(
        self,
        obj: Any,
        key: str | ModelKey,
        *,
        component: str = "model",
        components: Mapping[str, Any] | None = None,
        features: FeatureSchema | None = None,
        config: Mapping[str, Any] | None = None,
        training_config: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        example: Example | None = None,
        run_id: str | None = None,
        alias: str = keys.LATEST,
        publish: str | Policy = "always",
    ) -> Run:
        """Store ``obj`` and everything that belongs to it as one run, and publish it under ``alias``.

        The run is visible whole or not at all. What could not be published for a reason of the policy is committed
        all the same: ``run.published`` is false and says why.

        Raises:
            InvalidInput: a name, an option or an object cannot be stored; nothing was written.
            RunExists: another run has the id that was asked for.
            OutcomeUnknown: a write may have landed; ``error.committed`` names the run if that much is certain.
            ArtifactStoreError: unless ``error.committed`` is set, nothing is visible.
        """
        with self.new_run(key, run_id=run_id, alias=alias, publish=publish) as draft:
            draft.features = features
            draft.config, draft.training_config = config or {}, training_config or {}
            draft.metrics, draft.tags = dict(metrics or {}), dict(tags or {})
            draft.add(component, obj)
            for name, part in (components or {}).items():
                draft.add(name, part)
            if example is not None:
                draft.add_example(example)
            return draft.commit()

    def new_run(
        self,
        key: str | ModelKey,
        *,
        run_id: str | None = None,
        alias: str = keys.LATEST,
        publish: str | Policy = "always",
    ) -> Draft:
        """Return a run to fill part by part; as a context manager it commits at the end, or stores nothing.

        Raises:
            InvalidInput: a name or the policy is outside its grammar.
        """
        return Draft(
            self._context,
            ModelKey.parse(key),
            run_id=None if run_id is None else RunId(run_id),
            alias=alias,
            policy=parse_policy(publish),
            open_store=self._open_for_writing,
            known_keys=self._known_keys,
        )

    def _open_for_writing(self) -> marker.StoreRecord:
        if self._record is None:
            context = self._context
            self._record = marker.open_for_writing(
                context.backend, self._concurrency, now=context.now, patience=context.patience
            )
        return self._record

    # ------------------------------------------------------------ find and load

    def get(self, ref: str | RunRef | ModelKey) -> Run:
        """Return the run that a reference names, without its files: one request.

        Raises:
            AliasNotFound, AliasRetired, RunNotFound, RunDeleted, AmbiguousRun: it names none, or not one.
            Corrupt: the pointer or the manifest cannot be believed.
        """
        return Run(self._context, self._resolve(RunRef.parse(ref)))

    def load(
        self,
        ref: str | RunRef | ModelKey,
        component: str = "model",
        *,
        into: Any | None = None,
        allow_code: bool = False,
        sha256: str | None = None,
    ) -> Any:
        """Return a component of the run that a reference names: two dependent steps, whatever the number of files.

        A run that is deleted meanwhile is ``RunDeleted`` if it was named by id; an alias is resolved again.
        The other arguments and errors are those of :meth:`Run.load` and :meth:`get`.
        """
        parsed = RunRef.parse(ref)
        for _ in range(_RESOLVE_AGAIN if parsed.alias is not None else 0):
            try:
                return self.get(parsed).load(component, into=into, allow_code=allow_code, sha256=sha256)
            except RunDeleted:
                continue
        return self.get(parsed).load(component, into=into, allow_code=allow_code, sha256=sha256)

    def find(
        self, key: str | ModelKey, *, prefer: tuple[str, ...] = ("best_wf", keys.LATEST), newest: bool = True
    ) -> Run:
        """Return the run to use: of the first alias in ``prefer`` that exists, else the newest publishable one.

        ``run.found_by`` tells each step. An alias that exists and cannot be read is an error, not a reason to take
        another run; runs that were kept from being published are never taken.

        Raises:
            ModelNotFound: there is nothing to take; the text tells each step.
            Corrupt, Unavailable, AccessDenied, RunDeleted: an alias cannot be read, or names a run that is gone.
        """
        found = catalog.find(self._context, ModelKey.parse(key), tuple(prefer), newest=newest)
        return Run(self._context, found.manifest, found_by=found.steps)

    def models(self) -> list[ModelKey]:
        """Return every model that has runs or aliases here, in order."""
        return catalog.models(self._context)

    def runs(
        self,
        key: str | ModelKey | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        where: Callable[[Run], bool] | None = None,
        limit: int | None = None,
    ) -> Runs:
        """Return the committed runs of a model, or of all, newest first within a model.

        ``since`` and ``until`` are aware times that ``created_at`` is compared with; ``tags`` have to be equal.
        Manifests are fetched ahead in parallel while one iterates. A broken run is no reason to stop: it is in
        ``.problems`` afterwards.
        """
        wanted = catalog.Filter(since, until, tags, None)
        chosen = None if key is None else ModelKey.parse(key)

        def make(problems: list[audit.Problem]) -> Iterator[Run]:
            count = 0
            for model in [chosen] if chosen is not None else self.models():
                for manifest in catalog.manifests(self._context, model, wanted, problems):
                    run = Run(self._context, manifest)
                    if where is not None and not where(run):
                        continue
                    if limit is not None and count >= limit:
                        return
                    count += 1
                    yield run

        return Runs(make)

    def _resolve(self, ref: RunRef) -> Manifest:
        context = self._context
        if ref.alias is None:
            run_id = ref.run_id or catalog.resolve_prefix(context, ref.key, ref.run or "")
            return patiently(lambda: publish.read_manifest(context.backend, ref.key, run_id), context.patience)
        pointer = self._pointer(ref)
        if pointer.run_id is None:
            raise AliasRetired(
                f"{ref} was retired at {pointer.at:%Y-%m-%d %H:%M:%S} UTC by {pointer.by}"
                f"{f': {pointer.reason}' if pointer.reason else ''}; promote a run to it to use it again"
            )
        manifest = patiently(lambda: publish.manifest_of(context.backend, ref.key, pointer), context.patience)
        if manifest is None:
            raise publish.dangling(ref.key, pointer)
        return manifest

    def _pointer(self, ref: RunRef) -> Pointer:
        pointer = self._seen(ref).pointer
        if pointer is None:
            raise AliasNotFound(
                f"{ref} was never published in {self.url}; "
                f"`artifact-store ls` and store.models() tell what there is, store.runs({str(ref.key)!r}) which runs"
            )
        return pointer

    def _seen(self, ref: RunRef) -> publish.SeenPointer:
        context = self._context
        alias = self._alias_of(ref)
        return patiently(lambda: publish.read_pointer(context.backend, ref.key, alias), context.patience)

    @staticmethod
    def _alias_of(ref: RunRef) -> str:
        if ref.alias is None:
            raise InvalidReference(f"{ref} names a run; this needs an alias, such as {ref.key}@{keys.LATEST}")
        return ref.alias

    # ------------------------------------------------------------ publish

    def promote(
        self,
        run: Run | str | RunRef,
        alias: str,
        *,
        reason: str = "",
        expect: str | int | None = None,
        publish: str | Policy | None = None,
    ) -> Pointer:
        """Publish a committed run under ``alias`` of its own model, and return the pointer.

        ``expect`` is the run id or the ``seq`` that has to be published now; ``publish`` any other policy.

        Raises:
            RunNotFound, RunDeleted: the run is not there (any more); the alias is as before.
            PointerConflict, MetricMissing: the policy refuses; the alias is as before.
            OutcomeUnknown: the publish may have landed.
        """
        keys.check_alias(alias)
        if expect is not None and publish is not None:
            raise InvalidOption("give either expect or publish, not both")
        policy = Expect(expect) if expect is not None else parse_policy(publish or "always")
        self._open_for_writing()
        return self._promote(self._own(run), alias, policy=policy, reason=reason, retry=True)

    def rollback(self, ref: str | RunRef | ModelKey, *, to: str | Run | None = None, reason: str = "") -> Pointer:
        """Publish again the run that served before the current one first served, or ``to``, and return the pointer.

        It is a new publish with a higher ``seq``. A second rollback goes one run further back.

        Raises:
            NothingToRollBackTo: no earlier run is left.
            PointerConflict: somebody published meanwhile; nothing was done.
        """
        parsed = RunRef.parse(ref)
        alias = self._alias_of(parsed)
        self._open_for_writing()
        seen = self._seen(parsed)
        if seen.pointer is None:
            self._pointer(parsed)
        past = patiently(
            lambda: publish.history(self._context.backend, parsed.key, alias, seen), self._context.patience
        )
        if to is None:
            manifest = rollback.choose(self._context, parsed.key, alias, past)
        else:
            wanted = RunRef(parsed.key, None, to) if isinstance(to, str) and ":" not in to else to
            manifest = self._own(wanted, key=parsed.key)
        why = reason or f"rollback from {past[-1].run_id or 'retired'}"
        return self._promote(manifest, alias, policy=Always(), reason=why, retry=False, seen=seen)

    def retire(self, ref: str | RunRef | ModelKey, *, reason: str = "") -> Pointer:
        """Let an alias name no run from now on; its history and its ``seq`` go on.

        Raises:
            AliasNotFound: it was never published.
            PointerConflict: somebody published meanwhile; nothing was done.
        """
        parsed = RunRef.parse(ref)
        alias = self._alias_of(parsed)
        self._open_for_writing()
        self._pointer(parsed)
        seen = self._seen(parsed)
        context = self._context
        step = advance(seen.pointer, parsed.key, alias, None, context.note(reason))
        return publish.swap(context.backend, parsed.key, alias, seen, step, context.patience)

    def history(self, ref: str | RunRef | ModelKey) -> list[Publish]:
        """Return every publish that an alias ever had, oldest first, the one in force last.

        Raises:
            AliasNotFound: it was never published.
            Corrupt: a part of the history is missing or damaged.
        """
        parsed = RunRef.parse(ref)
        seen = self._seen(parsed)
        if seen.pointer is None:
            self._pointer(parsed)
        alias = self._alias_of(parsed)
        return patiently(
            lambda: publish.history(self._context.backend, parsed.key, alias, seen), self._context.patience
        )

    def _promote(
        self,
        manifest: Manifest,
        alias: str,
        *,
        policy: Policy,
        reason: str,
        retry: bool,
        seen: publish.SeenPointer | None = None,
    ) -> Pointer:
        context = self._context
        return publish.promote(
            context.backend,
            alias,
            manifest,
            policy=policy,
            note=lambda: context.note(reason),
            patience=context.patience,
            retry=retry,
            seen=seen,
        )

    def _own(self, run: Run | str | RunRef, *, key: ModelKey | None = None) -> Manifest:
        """Return the manifest of a run of this store, and of ``key`` if one is given."""
        manifest = run.manifest if isinstance(run, Run) else self._resolve(RunRef.parse(run))
        if key is not None and manifest.key != key:
            raise Conflict(f"{manifest.label} is no run of {key}; an alias only names runs of its own model")
        if manifest.store_id != self._open_for_writing().store_id:
            raise Conflict(f"{manifest.label} belongs to another store; download it and save it here")
        return manifest

    # ------------------------------------------------------------ check

    def verify(self, ref: str | RunRef | ModelKey | Run | None = None, *, predict: bool = False) -> audit.Report:
        """Read every stored byte of a run (by reference), of a model (by key) or of all, and compare it.

        Damage is reported, not raised: ``report.ok``, ``report.problems``; the report iterates per run.

        Raises:
            NotFound: the reference names nothing.
            Unavailable, AccessDenied: the storage does not answer, which says nothing about the runs.
        """

        def check(manifest: Manifest) -> None:
            check_example(Run(self._context, manifest))

        golden = check if predict else None
        report = audit.Report()
        if isinstance(ref, Run):
            report.runs.append(audit.verify_run(self._context, ref.manifest, golden))
        elif ref is not None and not isinstance(ref, ModelKey) and _has_selector(ref):
            parsed = RunRef.parse(ref)
            if parsed.run_id is not None:
                report.runs.append(audit.verify_committed(self._context, parsed.key, parsed.run_id, golden))
            else:
                report.runs.append(audit.verify_run(self._context, self._resolve(parsed), golden))
        else:
            for key in self.models() if ref is None else [RunRef.parse(ref).key]:
                part = audit.verify_model(self._context, key, golden)
                report.runs += part.runs
                report.pointers += part.pointers
        return report

    def close(self) -> None:
        """End this process's threads and connections. The store can be used again; it then makes new ones."""
        self._context.workers.close()
        self._context.backend.close()

    def __enter__(self) -> ArtifactStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _has_selector(ref: str | RunRef) -> bool:
    return isinstance(ref, RunRef) or "@" in ref or ":" in ref


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _new_write_id() -> str:
    return uuid.uuid4().hex
