"""The façade: one object that saves, publishes, finds and loads runs of models in a folder or a bucket.

Decides the order of the steps; every step itself lives in ``core``, ``storage``, ``codecs`` or ``ops``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from artifact_store.bulk.spec import Given, Spec
from artifact_store.clearing import Clearing
from artifact_store.core.documents import mapping
from artifact_store.core.files import Digest
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import LATEST, KeyLike, ModelKey, RunId, check_alias
from artifact_store.core.pointer import Pointer
from artifact_store.core.policy import Policy, parse_policy, promotion_policy
from artifact_store.core.references import RefLike, RunRef
from artifact_store.core.registry import CodecRegistry
from artifact_store.core.store_record import Concurrency
from artifact_store.core.trust import LoadPolicy
from artifact_store.errors import ArtifactStoreError, InvalidOption
from artifact_store.features.schema import FeatureSchema
from artifact_store.moving import Moving
from artifact_store.noting import NotedRuns
from artifact_store.ops import pointer_trust, resolve
from artifact_store.ops.context import Compression
from artifact_store.ops.keypairs import PublicKey, Signer
from artifact_store.reader import Reader
from artifact_store.reporting import Reporting
from artifact_store.run import Example, Run
from artifact_store.storage.base import Backend
from artifact_store.storage.descriptors import exhaustion_told
from artifact_store.storage.open import opened_or_why_not
from artifact_store.storage.options import StorageOptions, Unshown
from artifact_store.storage.patience import MIN_RATE
from artifact_store.storage.staging import Staging
from artifact_store.storage.transfer import Report

if TYPE_CHECKING:
    from artifact_store.draft import Draft


class ArtifactStore(Reader, Moving, Clearing, Reporting, NotedRuns):
    """Save trained models under a folder or a bucket, and load exactly what was saved.

    ``url`` is a folder, ``s3://bucket/prefix``, ``gs://…``, ``az://…``, ``memory://name`` or anything that fsspec
    knows; or pass a ready fsspec ``filesystem`` with the path in ``url``. Making a store does no input or output.
    It may be used from many threads, after a fork, and be sent to other processes, without given credentials.

    Args:
        url: where the root is, never with credentials in it; or a ready backend.
        filesystem: an fsspec filesystem to use for it.
        storage_options: credentials and endpoint, in s3fs's spelling.
        engine: ``auto``, ``local``, ``memory``, ``obstore`` or ``fsspec``.
        policy: what loading may decode, and whose signatures it demands.
        signer: signs every save and every publish, over what its own key or one of the policy's has signed.
        state: a folder that remembers what was seen of signed aliases, so that an older state put back is noticed, and
            another store at the place. Needs a signer, or a policy that requires signatures.
        staging: a folder for temporary files. Unless given, what is saved in a folder of this machine waits below its
            root, and everything else in the system's folder for temporary files (``TMPDIR``).
        cache: a folder that keeps fetched files by content, so that what did not change is not fetched again.
        cache_size: the most that it may hold, such as ``"10GB"`` or a number of bytes: what was used longest ago goes.
        offline: load what the cache has seen, and ask the storage nothing; how old it is, an ``OfflineWarning`` says.
        concurrency: ``safe``, or ``single-writer`` for storage without conditional writes.
        timeout: seconds that one storage operation may take, its repetitions included.
        min_rate: bytes a second that the line to a server has to make beyond these, for all together that this process
            has under way in one direction: the files, and the parts and ranges of large ones.
        progress: called with a :class:`~artifact_store.Progress` as bytes move, from the threads that move them.
        registry: the codecs; those of the installed distributions unless given.
        actor: who publishes, as recorded in pointers; the machine's name unless given.
        provenance: what each save records of how it came about: all (``True``), nothing (``False``), or some of ``git``
            (commit, branch, whether files were changed), ``script``, ``user``, ``host`` and ``packages``.
        compression: ``zstd`` stores files that become much smaller as frames of zstd, text for the most part; whoever
            loads needs the extra ``zstd``, and a release that knows it, and gets the plain files.
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
        storage_options: Mapping[str, Any] | StorageOptions | None = None,
        engine: str = "auto",
        policy: LoadPolicy | None = None,
        signer: Signer | None = None,
        state: str | Path | None = None,
        cache: str | Path | None = None,
        cache_size: int | str | None = None,
        offline: bool = False,
        staging: str | Path | None = None,
        concurrency: Concurrency = "safe",
        timeout: float = 30.0,
        min_rate: float = MIN_RATE,
        progress: Report | None = None,
        registry: CodecRegistry | None = None,
        actor: str | None = None,
        provenance: bool | Collection[str] = True,
        compression: Compression | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        given = Given(
            *(url, filesystem, storage_options, engine, policy, signer, state, cache, cache_size, offline),
            *(staging, concurrency, timeout, min_rate, progress, registry, actor, provenance, compression, clock),
        )
        opened = opened_or_why_not(partial(given.opened, StoreSpec))
        del url, filesystem, storage_options, given  # a report of an error may show the variables of each frame
        if isinstance(opened, ArtifactStoreError):
            raise opened
        super().__init__(*opened)

    @classmethod
    def from_config(cls, name: str | None = None, **options: Any) -> Self:
        """Return a store by its name in ``artifact_store.toml``: of the project, or of the user.

        Without a name it is the one of ``ARTIFACT_STORE_URL``, else the ``default`` of the project, else that of the
        user, else the only one there is. ``options`` are those of the class, and come before what is written
        (docs/configuration.md).

        Raises:
            InvalidOption: no file names this store, or a file means nothing.
            EndpointNotAllowed: the project's file names an endpoint that the user has not allowed.
        """
        from artifact_store.configuration.named import opened_by

        options = Unshown(options)
        return cls(**opened_by(name, options))

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
        from artifact_store.legacy.backend import open_tree

        options = Unshown(options)
        tree = open_tree(path, registry, options.get("policy"), Staging.of(options.get("staging")))
        return cls(tree, registry=registry, **options)

    def spec(self) -> StoreSpec:
        """Return what other processes need to open this store, without a secret: to be sent, or kept as JSON.

        Raises:
            InvalidOption: it was opened with credentials in its options, or with what only this process has.
        """
        return self._spec()  # type: ignore[no-any-return]

    # ------------------------------------------------------------ save

    def save(
        self,
        obj: Any,
        key: KeyLike,
        *,
        component: str = "model",
        components: Mapping[str, Any] | None = None,
        codec: str | None = None,
        ignore: Iterable[str] = (),
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
        alias: str = LATEST,
        publish: str | Policy = "always",
        validate: bool = False,
    ) -> Run:
        """Store ``obj`` and everything that belongs to it as one run, and publish it under ``alias``.

        The run is visible whole or not at all. What could not be published for a reason of the policy is committed
        all the same: ``run.published`` is false and says why. ``description`` is for people, ``parent`` is the run that
        this one was made from, and ``data`` says what it was trained on: digests, or files and folders to be hashed.
        With ``validate`` the run is published only after it was loaded back and found sound (:meth:`Run.validate`):
        ``run.published.validation`` has more. ``codec`` and ``ignore`` are those of :meth:`Draft.add`.

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
            draft.add(component, obj, codec=codec, copy=False, ignore=ignore)
            for name, part in mapping("components", components or {}).items():
                draft.add(name, part, copy=False)
            if example is not None:
                draft.add_example(example)
            return draft.commit()

    @exhaustion_told()
    def new_run(
        self,
        key: KeyLike,
        *,
        run_id: str | None = None,
        alias: str = LATEST,
        publish: str | Policy = "always",
        validate: bool = False,
    ) -> Draft:
        """Return a run to fill part by part (see :meth:`save`); as a context manager it commits, or stores nothing.

        Raises:
            InvalidInput: a name or the policy is outside its grammar.
        """
        from artifact_store.draft import Draft

        return Draft(
            self._context,
            ModelKey.parse(key),
            run_id=None if run_id is None else RunId(run_id),
            alias=alias,
            policy=parse_policy(publish),
            validate=validate,
        )

    def check_writable(self, key: KeyLike, *, alias: str = LATEST) -> None:
        """Raise unless a run of this model could be saved and published now: to be asked before a long training.

        Raises:
            ArtifactStoreError: as :meth:`Draft.check_writable`.
        """
        draft = self.new_run(key, alias=alias)
        try:
            draft.check_writable()
        finally:
            draft.discard()

    # ------------------------------------------------------------ publish

    def promote(
        self,
        run: Run | RefLike,
        alias: str,
        *,
        reason: str = "",
        expect: str | int | None = None,
        publish: str | Policy | None = None,
        vouch: Pointer | str | None = None,
    ) -> Pointer:
        """Publish a committed run under ``alias`` of its own model, and return the pointer.

        ``expect`` is the run id or the ``seq`` that has to be published now; ``publish`` any other policy. A signer
        signs the history of the alias with the pointer; of one that no trusted key has signed, only what you name with
        ``vouch``: the pointer that you looked at, from ``store.history(ref).pointer`` or ``store.aliases(key)``, or its
        ``digest``. If anything else is there, nothing is signed.

        Raises:
            RunNotFound, RunDeleted: the run is not there (any more); the alias is as before.
            PointerConflict, MetricMissing: the policy refuses, or it is not what you vouch for; the alias is as before.
            UnverifiedHistory: there is a signer, and neither its key nor a trusted one has signed the alias.
            Untrusted: there is a signer, and neither its key nor a trusted one has signed the run.
            OutcomeUnknown: the publish may have landed.
        """
        from artifact_store.ops import promote

        check_alias(alias)
        policy = promotion_policy(expect, publish)
        context = replace(self._context, vouched=pointer_trust.vouched_digest(vouch))
        if context.vouched and context.signer is None:
            raise InvalidOption("vouch signs the history of an alias: open the store with signer=...")
        pointer_trust.open_to_publish(context)
        return promote.promote(context, alias, self._own(run), policy, context.publish_info(reason))

    def rollback(self, ref: RefLike, *, to: str | Run | None = None, reason: str = "") -> Pointer:
        """Publish again the run that served before the current one first served, or ``to``, and return the pointer.

        It is a new publish with a higher ``seq``. A second rollback goes one run further back.

        Raises:
            NothingToRollBackTo: no earlier run is left.
            PointerConflict: another client published meanwhile; nothing was done.
        """
        from artifact_store.ops import promote

        parsed = RunRef.parse(ref)
        wanted = RunRef(parsed.key, None, to) if isinstance(to, str) and ":" not in to else to
        target = None if wanted is None else partial(self._own, wanted, key=parsed.key)
        return promote.roll_back(self._context, parsed, target, reason=reason)

    def retire(self, ref: RefLike, *, reason: str = "") -> Pointer:
        """Let an alias name no run from now on; its history and its ``seq`` go on.

        Raises:
            AliasNotFound: it was never published.
            PointerConflict: another client published meanwhile; nothing was done.
        """
        from artifact_store.ops import promote

        pointer_trust.open_to_publish(self._context)
        seen = resolve.published_pointer(self._context, RunRef.parse(ref))
        return promote.retire(self._context, seen, self._context.publish_info(reason))

    def sign(self, ref: Run | RefLike, signer: Signer | bytes, key: PublicKey | None = None) -> Run:
        """Sign a committed run: read every byte of it, compare, and store a signature beside it, create-only.

        Several keys may sign one run. With ``key``, a signature that was made elsewhere, such as by
        `model_signing sign key`, is stored instead: ``signer`` is then its bytes.

        Raises:
            NotFound: there is no such run.
            Corrupt: it is damaged; nothing was signed.
            SignatureInvalid: what was made elsewhere is not a signature by ``key`` of this very run.
            Conflict: something else lies where the signature belongs.
        """
        from artifact_store.ops import verify

        manifest = self._own(ref, signed=False)
        verify.sign_verified(self._context, manifest, signer, key)
        return Run(self._context, manifest)

    def accept_store(self, store_id: str) -> None:
        """Let the folder ``state`` remember this store at this place from now on, where it has seen another one.

        For a store that was replaced on purpose. Its owner tells the id, by another way than the store.

        Raises:
            InvalidOption: this store has no ``state``.
            Conflict, NotAStore: the store that is there is another one, or there is none.
        """
        pointer_trust.accept_store(self._context, store_id)

    def _own(self, run: Run | RefLike, *, key: ModelKey | None = None, signed: bool = True) -> Manifest:
        """Return the manifest of a run of this store, and of ``key`` if one is given."""
        what = run.manifest if isinstance(run, Run) else RunRef.parse(run)
        return resolve.own(self._context, what, key=key, signed=signed)


class StoreSpec(Spec):
    """Where a store is and how other processes open it, without a secret; the fields are explained at its parent."""

    __slots__ = ()

    def open(self) -> ArtifactStore:
        """Return the store, with the credentials that the variables and the profile have in this process.

        Raises:
            InvalidOption, EngineUnavailable: as for the class; or a variable is not set here.
        """
        store = ArtifactStore.__new__(ArtifactStore)
        Reader.__init__(store, self.context(), self)
        return store
