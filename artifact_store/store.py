"""The façade: one object that saves, publishes, finds and loads runs of models in a folder or a bucket.

It decides the order of the steps and who takes part in them; every step itself lives in ``core``, ``storage``,
``codecs`` or ``ops``.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

from artifact_store.checking import Checking
from artifact_store.core import keys
from artifact_store.core.errors import InvalidOption, RunDeleted
from artifact_store.core.features import FeatureSchema
from artifact_store.core.files import Digest
from artifact_store.core.keys import KeyLike, ModelKey, RunId
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import Pointer, Publish
from artifact_store.core.policy import Expect, Never, Policy, parse_policy
from artifact_store.core.references import RefLike, RunRef
from artifact_store.core.registry import CodecRegistry
from artifact_store.core.store_record import Concurrency
from artifact_store.core.trust import LoadPolicy
from artifact_store.draft import Draft
from artifact_store.examining import Examining
from artifact_store.housekeeping import Housekeeping
from artifact_store.legacy.backend import LegacyBackend
from artifact_store.ops import catalog, marker, promote, resolve, signing
from artifact_store.ops.context import Context
from artifact_store.ops.keypairs import Signer
from artifact_store.ops.provenance import parse as parse_provenance
from artifact_store.ops.watermark import Watermarks
from artifact_store.run import Example, Run
from artifact_store.storage.base import Backend
from artifact_store.storage.cache import FileCache
from artifact_store.storage.home import at_home
from artifact_store.storage.open import open_backend
from artifact_store.storage.settle import Patience
from artifact_store.storage.single_writer import SingleWriter
from artifact_store.storage.transfer import Report, Workers

_RESOLVE_AGAIN = 3
"""How often ``latest`` is resolved anew when the run that it named is deleted under the reader."""


class ArtifactStore(Housekeeping, Checking, Examining):
    """Save trained models under a folder or a bucket, and load exactly what was saved.

    ``url`` is a folder, ``s3://bucket/prefix``, ``gs://…``, ``az://…``, ``memory://name`` or anything that fsspec
    knows; or pass a ready fsspec ``filesystem`` with the path in ``url``. Making a store does no input or output.
    It may be used from many threads, after a fork, and be sent to other processes; credentials that were given as
    options are not sent.

    Args:
        url: where the root is, never with credentials in it; or a ready backend.
        filesystem: an fsspec filesystem to use for it.
        storage_options: credentials and endpoint, in s3fs's spelling.
        engine: ``auto``, ``local``, ``memory``, ``obstore`` or ``fsspec``.
        policy: what loading may decode, and whose signatures it demands.
        signer: signs every save and every publish.
        state: a folder that remembers what was seen of signed aliases, so that an older state put back is noticed.
        cache: a folder that keeps fetched files by content, so that what did not change is not fetched again.
        concurrency: ``safe``, or ``single-writer`` for storage without conditional writes.
        timeout: seconds that one storage operation may take, its repetitions included.
        progress: called with a :class:`~artifact_store.Progress` as bytes move, from the threads that move them.
        registry: the codecs; those of the installed distributions unless given.
        actor: who publishes, as recorded in pointers; the machine's name unless given.
        provenance: what each save records of how it came about: all (``True``), nothing (``False``), or some of ``git``
            (commit, branch, whether files were changed), ``script``, ``user``, ``host`` and ``packages``.
        clock: returns the time now as an aware datetime.

    Raises:
        InvalidOption: the URL or an option means nothing here.
        EngineUnavailable: the storage client is not installed.
    """

    def __init__(
        self,
        url: str | Path | Backend | None = None,
        *,
        filesystem: Any | None = None,
        storage_options: Mapping[str, Any] | None = None,
        engine: str = "auto",
        policy: LoadPolicy | None = None,
        signer: Signer | None = None,
        state: str | Path | None = None,
        cache: str | Path | None = None,
        concurrency: Concurrency = "safe",
        timeout: float = 30.0,
        progress: Report | None = None,
        registry: CodecRegistry | None = None,
        actor: str | None = None,
        provenance: bool | Collection[str] = True,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        if concurrency not in {"safe", "single-writer"}:
            raise InvalidOption(f"concurrency is 'safe' or 'single-writer', not {concurrency!r}")
        backend = open_backend(
            url, filesystem=filesystem, storage_options=storage_options, engine=engine, timeout=timeout
        )
        if signer is not None and not isinstance(signer, Signer):
            raise InvalidOption(f"signer is a Signer: Signer.from_pem('mine.key'), not a {type(signer).__name__}")
        if state is not None and (policy is None or not policy.require_signature):
            raise InvalidOption("state remembers signed aliases; it needs a policy with require_signature=True")
        self._context = Context(
            backend=SingleWriter(backend) if concurrency == "single-writer" else backend,
            registry=registry or CodecRegistry(),
            policy=policy or LoadPolicy(),
            workers=Workers(),
            patience=Patience(seconds=timeout),
            cache=None if cache is None else FileCache(at_home(cache)),
            report=progress,
            now=clock or partial(datetime.now, UTC),
            new_suffix=keys.random_suffix,
            new_write_id=keys.random_write_id,
            actor=actor if actor is not None else platform.node() or "unknown",
            concurrency=concurrency,
            signer=signer,
            provenance=parse_provenance(provenance),
            marks=None if state is None else Watermarks(at_home(state), Patience(seconds=timeout)),
        )

    @classmethod
    def open_legacy(cls, path: str | Path, *, registry: CodecRegistry | None = None, **options: Any) -> Self:
        """Return an old tree of models, read in place: nothing is written, and no stored code runs.

        ``path`` is its folder ``models``, the one above, or that of one model type; or one file of a model, whose
        preprocessor, statistics and notes are found beside it, and which ``latest`` names. ``options`` are those of
        the class. What cannot be read is in the ``problems`` of a listing, and raises where it is asked for by name.

        Raises:
            ContainerNotFound, NotAStore: there is no such folder or file, or no old models in it.
            Unsupported: it is a file of another kind.
            InvalidOption: the policy requires signatures, and no old tree has any.
        """
        policy = options.get("policy")
        if isinstance(policy, LoadPolicy) and policy.require_signature:
            raise InvalidOption(
                f"the policy requires signatures, and an old tree has none: migrate {path} into a store with a signer, "
                "or open it with another policy"
            )
        return cls(LegacyBackend(path, registry=registry), registry=registry, **options)

    def __repr__(self) -> str:
        return f"<ArtifactStore {self.url} ({self._context.backend.engine})>"

    @property
    def url(self) -> str:
        """Where the root is, without credentials."""
        return self._context.backend.url

    @property
    def guarantees(self) -> marker.Guarantees:
        """What holds for writes here. Does no input or output: ``probed`` turns true with the first write."""
        return marker.guarantees(self._context)

    # ------------------------------------------------------------ save

    def save(
        self,
        obj: Any,
        key: KeyLike,
        *,
        component: str = "model",
        components: Mapping[str, Any] | None = None,
        features: FeatureSchema | None = None,
        config: Mapping[str, Any] | None = None,
        training_config: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        example: Example | None = None,
        description: str = "",
        parent: Run | RunRef | str | None = None,
        data: Mapping[str, Digest | str | Path] | None = None,
        run_id: str | None = None,
        alias: str = keys.LATEST,
        publish: str | Policy = "always",
        validate: bool = False,
    ) -> Run:
        """Store ``obj`` and everything that belongs to it as one run, and publish it under ``alias``.

        The run is visible whole or not at all. What could not be published for a reason of the policy is committed
        all the same: ``run.published`` is false and says why. ``description`` is for people, ``parent`` is the run that
        this one was made from, and ``data`` says what it was trained on: digests, or files and folders to be hashed.
        With ``validate`` the run is published only after it was loaded back from the storage and found sound
        (:meth:`Run.validate`): ``run.published.validation`` tells more.

        Raises:
            InvalidInput: a name, an option or an object cannot be stored, or the example is not what the model says;
                nothing was written.
            RunExists: another run has the id that was asked for.
            OutcomeUnknown: a write may have landed; ``error.committed`` names the run if that much is certain.
            ArtifactStoreError: unless ``error.committed`` is set, nothing is visible.
        """
        with self.new_run(key, run_id=run_id, alias=alias, publish=publish, validate=validate) as draft:
            draft.features = features
            draft.config, draft.training_config = config or {}, training_config or {}
            draft.metrics, draft.tags = metrics or {}, tags or {}
            draft.description, draft.parent, draft.data = description, parent, data or {}
            draft.add(component, obj)
            for name, part in (components or {}).items():
                draft.add(name, part)
            if example is not None:
                draft.add_example(example)
            return draft.commit()

    def new_run(
        self,
        key: KeyLike,
        *,
        run_id: str | None = None,
        alias: str = keys.LATEST,
        publish: str | Policy = "always",
        validate: bool = False,
    ) -> Draft:
        """Return a run to fill part by part; as a context manager it commits at the end, or stores nothing.

        ``validate`` is that of :meth:`save`.

        Raises:
            InvalidInput: a name or the policy is outside its grammar.
        """
        return Draft(
            self._context,
            ModelKey.parse(key),
            run_id=None if run_id is None else RunId(run_id),
            alias=alias,
            policy=parse_policy(publish),
            validate=validate,
        )

    def check_writable(self, key: KeyLike, *, alias: str = keys.LATEST) -> None:
        """Raise unless a run of this model could be saved and published now: to be asked before a long training.

        Raises:
            ArtifactStoreError: as :meth:`Draft.check_writable`.
        """
        draft = self.new_run(key, alias=alias)
        try:
            draft.check_writable()
        finally:
            draft.discard()

    # ------------------------------------------------------------ find and load

    def get(self, ref: RefLike) -> Run:
        """Return the run that a reference names, without its files: one request.

        Raises:
            AliasNotFound, AliasRetired, RunNotFound, RunDeleted, AmbiguousRun: it names none, or not one.
            Corrupt: the pointer or the manifest cannot be believed.
            Untrusted: the policy requires signatures; the pointer of the alias has no good one, or the run named by id.
        """
        return Run(self._context, resolve.resolve(self._context, RunRef.parse(ref)))

    def load(
        self,
        ref: RefLike,
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
        self,
        key: KeyLike,
        *,
        prefer: str | Sequence[str] = ("best_wf", keys.LATEST),
        newest: bool = True,
        max_run_age: timedelta | None = None,
    ) -> Run:
        """Return the run to use: of the first alias in ``prefer`` that exists, else the newest publishable one.

        ``run.found_by`` tells each step. An alias that exists and cannot be read is an error, not a reason to take
        another run; runs that were kept from being published are never taken. Nor is one that was saved longer ago than
        ``max_run_age`` a reason to take another.

        Raises:
            ModelNotFound: there is nothing to take; the text tells each step.
            RunTooOld: the run to take is older than ``max_run_age``.
            Corrupt, Unavailable, AccessDenied, RunDeleted: an alias cannot be read, or names a run that is gone.
        """
        aliases = [prefer] if isinstance(prefer, str) else list(prefer)
        for alias in aliases:
            keys.check_alias(alias)
        limit = catalog.check_limit(max_run_age)
        found = catalog.find(self._context, ModelKey.parse(key), aliases, newest=newest)
        catalog.check_run_age(found.manifest, limit, self._context.now())
        return Run(self._context, found.manifest, found_by=found.steps)

    def models(self) -> list[ModelKey]:
        """Return every model that has runs or aliases here, in order."""
        return catalog.models(self._context)

    def aliases(self, key: KeyLike) -> dict[str, Pointer]:
        """Return every alias of a model by name, with the pointer in force; ``run_id`` is none where it is retired.

        Raises:
            Corrupt: a pointer cannot be believed.
        """
        return catalog.aliases(self._context, ModelKey.parse(key))

    def runs(
        self,
        key: KeyLike | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Mapping[str, object] | None = None,
        where: Callable[[Run], bool] | None = None,
        limit: int | None = None,
    ) -> catalog.Runs[Run]:
        """Return the committed runs of a model, or of all, newest first within a model.

        ``since`` and ``until`` are aware times that ``created_at`` is compared with; ``tags`` have to be equal.
        Manifests are fetched ahead in parallel while one iterates. A broken run is no reason to stop: it is in
        ``.problems`` afterwards, and so is one that is not signed as the policy requires.
        """
        context = self._context
        wanted = catalog.Filter(since, until, tags, limit)
        models = None if key is None else [ModelKey.parse(key)]
        if where is not None and not callable(where):
            raise InvalidOption(
                f"where is a function of a Run, such as lambda run: run.metrics['auc'] > 0.6, not {where!r}"
            )
        return catalog.Runs(context, models, wanted, lambda manifest: Run(context, manifest), where or (lambda _: True))

    # ------------------------------------------------------------ publish

    def promote(
        self,
        run: Run | RefLike,
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
        if isinstance(policy, Never):
            raise InvalidOption("promote publishes; publish='never' means nothing here")
        self._open_to_publish()
        return promote.promote(self._context, alias, self._own(run), policy, self._context.note(reason))

    def rollback(self, ref: RefLike, *, to: str | Run | None = None, reason: str = "") -> Pointer:
        """Publish again the run that served before the current one first served, or ``to``, and return the pointer.

        It is a new publish with a higher ``seq``. A second rollback goes one run further back.

        Raises:
            NothingToRollBackTo: no earlier run is left.
            PointerConflict: somebody published meanwhile; nothing was done.
        """
        parsed = RunRef.parse(ref)
        marker.opened(self._context)
        past = resolve.history(self._context, parsed)
        if to is None:
            manifest = promote.choose(self._context, parsed, past.entries)
        else:
            wanted = RunRef(parsed.key, None, to) if isinstance(to, str) and ":" not in to else to
            manifest = self._own(wanted, key=parsed.key)
        why = reason or f"rollback from {past.entries[-1].run_id or 'retired'}"
        self._open_to_publish()
        return promote.republish(
            self._context, past.seen.value.alias, manifest, self._context.note(why), seen=past.seen
        )

    def retire(self, ref: RefLike, *, reason: str = "") -> Pointer:
        """Let an alias name no run from now on; its history and its ``seq`` go on.

        Raises:
            AliasNotFound: it was never published.
            PointerConflict: somebody published meanwhile; nothing was done.
        """
        self._open_to_publish()
        seen = resolve.published(self._context, RunRef.parse(ref))
        return promote.retire(self._context, seen, self._context.note(reason))

    def history(self, ref: RefLike) -> list[Publish]:
        """Return every publish that an alias ever had, oldest first, the one in force last.

        Raises:
            AliasNotFound: it was never published.
            Corrupt: a part of the history is missing or damaged.
            Untrusted: the policy requires a signature of the pointer, and does not find a good one.
        """
        return resolve.history(self._context, RunRef.parse(ref)).entries

    def _open_to_publish(self) -> None:
        signing.check_able(self._context)
        marker.opened(self._context)

    def _own(self, run: Run | RefLike, *, key: ModelKey | None = None, signed: bool = True) -> Manifest:
        """Return the manifest of a run of this store, and of ``key`` if one is given."""
        what = run.manifest if isinstance(run, Run) else RunRef.parse(run)
        return resolve.own(self._context, what, key=key, signed=signed)

    # ------------------------------------------------------------ end

    def close(self) -> None:
        """End this process's threads and connections. The store can be used again; it then makes new ones."""
        self._context.workers.close()
        self._context.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
