"""The part of the façade that reads: find, load, list, compare and examine runs. Nothing here changes a store.

Each method parses its arguments, makes one call, and wraps what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from artifact_store.bulk.spec import Spec
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import LATEST, KeyLike, ModelKey
from artifact_store.core.pointer import Pointer
from artifact_store.core.references import RefLike, RunRef
from artifact_store.core.tombstone import GRACE
from artifact_store.doctor import diagnose
from artifact_store.errors import InvalidOption
from artifact_store.ops import listing, opening, resolve
from artifact_store.ops.context import Context
from artifact_store.ops.keypairs import PublicKey
from artifact_store.run import Run

if TYPE_CHECKING:
    from artifact_store.bulk.work import Announce
    from artifact_store.doctor.report import Diagnosis
    from artifact_store.loading import LoadedMany
    from artifact_store.ops import index_runs, verify
    from artifact_store.ops.cached import Cache
    from artifact_store.ops.diff import Difference
    from artifact_store.ops.index_handle import CatalogIndex
    from artifact_store.ops.validate import ModelReport
    from artifact_store.watching import Watched, Watcher


class Reader:
    """What can be asked of a store. Making one does no input or output."""

    def __init__(self, context: Context, sent: Spec | str) -> None:
        self._context, self._sent = context, sent

    def __repr__(self) -> str:
        if not hasattr(self, "_context"):  # a report of why it could not be opened shows it
            return f"<{type(self).__name__}, not opened>"
        return f"<{type(self).__name__} {self.url} ({self._context.backend.engine})>"

    @property
    def url(self) -> str:
        """Where the root is, without credentials."""
        return self._context.backend.url

    @property
    def guarantees(self) -> opening.Guarantees:
        """What holds for writes here. Does no input or output: ``probed`` turns true with the first write."""
        return opening.guarantees(self._context)

    @property
    def cache(self) -> Cache | None:
        """The cache that it was opened with, to look at, prune and verify; ``None`` without one."""
        from artifact_store.ops.cached import Cache

        files = self._context.cache
        return None if files is None else Cache(files)

    def exists(self) -> bool:
        """Return whether there is a ``_store.json``, even a damaged one: one small request.

        Raises:
            Unavailable, AccessDenied: the storage does not answer.
        """
        return opening.store_exists(self._context.records)

    def get(self, ref: RefLike) -> Run:
        """Return the run that a reference names, without its files: one request.

        Raises:
            AliasNotFound, AliasRetired, RunNotFound, RunDeleted, AmbiguousRun: it names no run, or several.
            Corrupt: the pointer or the manifest is damaged.
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

        def load(manifest: Manifest) -> Any:
            return Run(self._context, manifest).load(component, into=into, allow_code=allow_code, sha256=sha256)

        return resolve.use_run(self._context, RunRef.parse(ref), load)

    def load_many(
        self,
        refs: Iterable[RefLike],
        component: str = "model",
        *,
        load: Callable[[Run], Any] | None = None,
        allow_code: bool = False,
        sha256: Mapping[RefLike, str] | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> LoadedMany[Any]:
        """Load a component of each run that is named, many at once: one result for each reference, in their order.

        Each is loaded as :meth:`load` does it, and what is wrong with one stops no other: ``results.values()`` returns
        all values or raises all errors, ``result.value`` and ``result.error`` are those of one. Equal references are
        loaded once, and share their value. Files on their way take 64 MiB of memory at most, whatever their number.

        Args:
            refs: the references.
            component: what to load of each run.
            load: makes the value of a run instead, such as ``artifact_models.load_adapter``; called in other threads.
            allow_code: as for :meth:`load`, for all of them.
            sha256: as for :meth:`load`, by reference.
            progress: called after each with how many of the different references are done, and how many there are.
        """
        from artifact_store.loading import load_many

        pins = {RunRef.parse(ref): digest for ref, digest in (sha256 or {}).items()}

        def one(run: Run, ref: RunRef) -> Any:
            return run.load(component, allow_code=allow_code, sha256=pins.get(ref)) if load is None else load(run)

        return load_many(self._context, refs, one, progress)

    def watch(
        self,
        ref: RefLike,
        component: str = "model",
        *,
        load: Callable[[Run], Any] | None = None,
        allow_code: bool = False,
        every: float = 10.0,
        max_stale: timedelta | None = None,
        golden: bool = True,
        on_change: Callable[[Watched[Any]], object] | None = None,
    ) -> Watched[Any]:
        """Load what an alias names, and keep it up to date while it is used: ``watched.model``, until it is closed.

        A thread asks whether the alias was published again, by one conditional request. A new run is downloaded,
        compared, loaded and asked its golden predictions before it takes the place of the one before, which is kept
        whatever goes wrong. For many aliases see :meth:`watcher`.

        Args:
            ref: the alias, ``latest`` unless it says another.
            component: what to load of each run.
            load: makes what is served of a run instead, such as ``artifact_models.load_adapter``.
            allow_code: as for :meth:`load`, for this run and all that follow.
            every: seconds between two looks: at least so many, and up to a quarter more. While the storage is away, or
                a new run is broken, it is tried less and less often, each half minute in the end.
            max_stale: for how long to serve what the storage does not confirm, counted from the last time that it did.
                Then ``model`` raises ``Unconfirmed``. Without it, for ever: ``watched.age`` says how long.
            golden: repeat the golden predictions of a run that has some, and refuse it unless they are the same.
            on_change: called with what is watched after each change, in the thread that polls.

        Raises:
            InvalidReference: the reference names no alias.
            Unsupported: the store is opened offline.
            ArtifactStoreError: as for :meth:`load`, or the golden predictions of the run are not repeated.
        """
        from artifact_store.watching import Watcher, WatchOptions

        options = WatchOptions(every, max_stale, golden, on_change)
        return Watcher(self._context, options, alone=True).add(ref, component, load=load, allow_code=allow_code)

    def watcher(
        self,
        *,
        every: float = 10.0,
        max_stale: timedelta | None = None,
        golden: bool = True,
        on_change: Callable[[Watched[Any]], object] | None = None,
    ) -> Watcher:
        """Return what watches many aliases by one poller: ``add`` and ``add_many``. The arguments are as for ``watch``.

        Does no input or output before the first alias is added. ``Unsupported``: the store is opened offline.
        """
        from artifact_store.watching import Watcher, WatchOptions

        return Watcher(self._context, WatchOptions(every, max_stale, golden, on_change))

    def find(
        self,
        key: KeyLike,
        *,
        prefer: str | Sequence[str] = ("best_wf", LATEST),
        newest: bool = True,
        max_run_age: timedelta | None = None,
    ) -> Run:
        """Return the run to use: of the first alias in ``prefer`` that exists, else the newest publishable one.

        ``run.found_by`` has each step. An alias that exists and cannot be read is an error, not a reason to take
        another run; runs that were kept from being published are never taken. Nor is one that was saved longer ago than
        ``max_run_age`` a reason to take another.

        Raises:
            ModelNotFound: there is nothing to take; the text has each step.
            RunTooOld: the run to take is older than ``max_run_age``.
            Corrupt, Unavailable, AccessDenied, RunDeleted: an alias cannot be read, or names a run that is gone.
        """
        found = listing.find_run(self._context, ModelKey.parse(key), prefer, newest=newest, max_run_age=max_run_age)
        return Run(self._context, found.manifest, found_by=found.steps)

    def models(self) -> list[ModelKey]:
        """Return every model that has runs or aliases here, in order.

        Raises:
            NotAStore: there is something else here.
        """
        return listing.models_of_store(self._context)

    def aliases(self, key: KeyLike) -> dict[str, Pointer]:
        """Return every alias of a model by name, with the pointer in force; ``run_id`` is ``None`` where it is retired.

        Raises:
            Corrupt: a pointer is damaged.
        """
        return listing.aliases(self._context, ModelKey.parse(key))

    def runs(
        self,
        key: KeyLike | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Mapping[str, object] | None = None,
        where: Callable[[Run], bool] | str | Sequence[str] | None = None,
        order_by: str | None = None,
        per_model: int | None = None,
        limit: int | None = None,
        index: index_runs.Mode = "checked",
    ) -> index_runs.Runs[Run]:
        """Return the committed runs of a model, or of all, newest first within a model.

        ``since`` and ``until`` are aware times that ``created_at`` is compared with; ``tags`` have to be equal.
        ``where`` is a function of a run, or conditions as text: ``"sharpe > 1.2"``, ``"tags.fold = 7"``. ``order_by``
        is a metric or ``created_at``, with ``-`` for the largest first; runs without that number come last.
        ``per_model`` is how many runs of each model there are at most: the first ones in that order.

        What the catalog index (``store.index``) has of a run is taken from there, and its manifest is read when more is
        asked of it. The listing is complete: the names of all runs are listed, and the manifest of each that the index
        does not know is read, in parallel and ahead. ``index="only"`` lists no names: it has what the index has, and
        what was saved and deleted since by clients that told the index. ``index="off"`` reads every manifest. A broken
        run does not stop the listing: it is in ``.problems`` afterwards, and so is one that is not signed as the policy
        requires; under such a policy the index is not used.
        """
        from artifact_store.ops.index_runs import Runs

        return Runs(
            self._context,
            None if key is None else ModelKey.parse(key),
            listing.Filter(since, until, tags, limit),
            partial(Run, self._context),
            where=where,
            order_by=order_by,
            per_model=per_model,
            index=index,
        )

    @property
    def index(self) -> CatalogIndex:
        """The catalog index: how fresh it is, where its files are, and how to write it. Does no input or output."""
        from artifact_store.ops.index_handle import CatalogIndex

        return CatalogIndex(self._context)

    def history(self, ref: RefLike) -> resolve.History:
        """Return every publish that an alias ever had, oldest first, the one in force last: a list with ``pointer``.

        Raises:
            AliasNotFound: it was never published.
            Corrupt: a part of the history is missing or damaged.
            Untrusted: the policy requires a signature of the pointer, and does not find a good one.
        """
        return resolve.history(self._context, RunRef.parse(ref))

    def diff(self, a: Run | RefLike, b: Run | RefLike) -> Difference:
        """Return in what two runs differ: true as a value if they do. Reads their manifests and decodes nothing.

        Raises:
            NotFound: a reference names nothing.
            SignatureMissing, SignatureInvalid, UntrustedKey: the policy requires signatures of both.
        """
        from artifact_store.ops.diff import compare_signed

        one, other = (run.manifest if isinstance(run, Run) else self.get(run).manifest for run in (a, b))
        return compare_signed(self._context, one, other)

    def verify(
        self,
        ref: RefLike | Run | None = None,
        *,
        predict: bool = False,
        keys: Sequence[PublicKey] | None = None,
        jobs: int | None = None,
        resume: str | Path | None = None,
        announce: Announce | None = None,
    ) -> verify.Report:
        """Read every stored byte of a run (by reference), of a model or a type (by key) or of all, and compare it.

        With ``keys``, or under a policy that requires it, runs and aliases have to be signed, by one of these keys.
        Damage is reported, not raised: ``report.ok``, ``report.problems``; the report iterates per run. Predictions
        that nothing here can compare are in ``report.unchecked``.

        Of many runs, ``jobs`` are checked at once, by the workers of ``joblib.parallel_config`` or else by processes of
        this machine; ``resume`` is a file that keeps what was found, so that the same call goes on after a crash; and
        ``announce`` is told how many are done, of how many. The report is the same.

        Raises:
            NotFound: the reference names nothing, or there is no store.
            Unavailable, AccessDenied: the storage does not answer, which says nothing about the runs.
            InvalidOption: other processes cannot open the store, or ``resume`` holds the answers to another question.
        """
        from artifact_store.bulk.checks import verify_many
        from artifact_store.bulk.work import Bulk
        from artifact_store.ops import verify
        from artifact_store.ops.golden import check_example

        context = self._context if keys is None else verify.trusting(self._context, keys)
        golden = (lambda manifest: check_example(Run(self._context, manifest))) if predict else None
        check = partial(verify_many, context, self._spec, predict=predict, how=Bulk(jobs, resume, announce))
        what = ref.manifest if isinstance(ref, Run) else ref
        return verify.verify(context, what, golden=golden, check=check)

    def validate(
        self,
        ref: RefLike | None = None,
        *,
        prefer: str | Sequence[str] = ("best_wf", LATEST),
        allow_code: bool = False,
        jobs: int | None = None,
        resume: str | Path | None = None,
        announce: Announce | None = None,
    ) -> list[ModelReport]:
        """Find the run of a model, of each of a type, or of all, as :meth:`find` does, and :meth:`Run.validate` it.

        A reference with an alias or an id names the run itself. Whatever is wrong is in the reports. ``allow_code`` is
        that of :meth:`Run.validate`, ``jobs``, ``resume`` and ``announce`` are those of :meth:`verify`.

        Raises:
            ModelNotFound: there is no such model.
            InvalidOption: as for :meth:`verify`.
        """
        from artifact_store.bulk.checks import validate_many, validated_refs
        from artifact_store.bulk.work import Bulk

        refs = validated_refs(self._context, ref)
        wanted = [prefer] if isinstance(prefer, str) else list(prefer)
        how = Bulk(jobs, resume, announce)
        return validate_many(self._context, self._spec, refs, prefer=wanted, allow_code=allow_code, how=how)

    def _spec(self) -> Any:
        """Return the spec of this store, or raise ``InvalidOption`` with the reason why it has none."""
        if isinstance(self._sent, str):
            raise InvalidOption(self._sent)
        return self._sent

    def doctor(
        self,
        *,
        deep: bool = False,
        probes: bool = True,
        grace: timedelta = GRACE,
        announce: Callable[[int], None] | None = None,
    ) -> Diagnosis:
        """Examine the store and its environment, and return every finding with its remedy.

        One listing, one read for each run, alias and block of history; with ``deep`` every byte of every file. What is
        younger than ``grace`` may be under way. ``probes=False`` writes no throw-away objects, for clients that may
        not write; clock and conditions are then not probed. ``announce`` is called with the bytes that ``deep`` reads.

        ``report.ok`` is false if a finding is an error; ``report.repair()`` is the plan to repair what is safe.
        What cannot be found out is a finding as well: damage, refusals and a dead server are reported, not raised.
        """
        return diagnose(self._context, deep=deep, probes=probes, grace=grace, announce=announce)

    def close(self) -> None:
        """End this process's threads and connections. The store can be used again; it then makes new ones."""
        self._context.tasks.close()
        self._context.workers.close()
        self._context.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
