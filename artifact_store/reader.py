"""The part of the façade that reads: find, load, list, compare and examine runs. Nothing here changes a store.

Each method parses its arguments, makes one call, and wraps what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from artifact_store.core.manifest import Manifest
from artifact_store.core.names import LATEST, KeyLike, ModelKey
from artifact_store.core.pointer import Pointer
from artifact_store.core.references import RefLike, RunRef
from artifact_store.doctor import diagnose
from artifact_store.ops import diff, listing, opening, resolve, verify
from artifact_store.ops.cached import Cache
from artifact_store.ops.context import Context
from artifact_store.ops.diff import Difference
from artifact_store.ops.golden import check_example
from artifact_store.ops.keypairs import PublicKey
from artifact_store.ops.prune import GRACE
from artifact_store.run import Run

if TYPE_CHECKING:
    from artifact_store.doctor.report import Diagnosis


class Reader:
    """What can be asked of a store. Making one does no input or output."""

    def __init__(self, context: Context) -> None:
        self._context = context

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
        """Return every model that has runs or aliases here, in order."""
        return listing.models(self._context)

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
        where: Callable[[Run], bool] | None = None,
        limit: int | None = None,
    ) -> listing.Runs[Run]:
        """Return the committed runs of a model, or of all, newest first within a model.

        ``since`` and ``until`` are aware times that ``created_at`` is compared with; ``tags`` have to be equal.
        Manifests are fetched ahead in parallel while one iterates. A broken run does not stop the listing: it is in
        ``.problems`` afterwards, and so is one that is not signed as the policy requires.
        """
        context = self._context
        wanted = listing.Filter(since, until, tags, limit)
        models = None if key is None else [ModelKey.parse(key)]
        return listing.Runs(context, models, wanted, partial(Run, context), where)

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
        one, other = (run.manifest if isinstance(run, Run) else self.get(run).manifest for run in (a, b))
        return diff.compare_signed(self._context, one, other)

    def verify(
        self, ref: RefLike | Run | None = None, *, predict: bool = False, keys: Sequence[PublicKey] | None = None
    ) -> verify.Report:
        """Read every stored byte of a run (by reference), of a model or a type (by key) or of all, and compare it.

        With ``keys``, or under a policy that requires it, runs and aliases have to be signed, by one of these keys.
        Damage is reported, not raised: ``report.ok``, ``report.problems``; the report iterates per run. Predictions
        that nothing here can compare are in ``report.unchecked``.

        Raises:
            NotFound: the reference names nothing, or there is no store.
            Unavailable, AccessDenied: the storage does not answer, which says nothing about the runs.
        """
        what = ref.manifest if isinstance(ref, Run) else ref
        golden = (lambda manifest: check_example(Run(self._context, manifest))) if predict else None
        return verify.verify(self._context, what, golden=golden, trusted=keys)

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
        self._context.workers.close()
        self._context.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
