"""The part of the façade that moves runs between stores: the same bytes, manifest, signatures and history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_store.bulk.spec import Spec
from artifact_store.core.references import RefLike
from artifact_store.errors import InvalidOption
from artifact_store.ops import listing
from artifact_store.ops.context import Context, check_called
from artifact_store.storage.home import at_home
from artifact_store.wording import brief

if TYPE_CHECKING:
    from artifact_store.bulk.copies import Copies
    from artifact_store.bulk.work import Announce
    from artifact_store.ops.export_runs import Exported


class Moving:
    """What moves runs from this store to another one."""

    _context: Context
    _spec: Callable[[], Spec]

    def copy(
        self,
        refs: RefLike | Iterable[RefLike],
        other: Moving,
        *,
        aliases: Iterable[str] | None = None,
        history: bool = True,
        dry_run: bool = False,
        jobs: int | None = None,
        resume: str | Path | None = None,
        announce: Announce | None = None,
    ) -> Copies:
        """Copy runs to another store: under the same ids, with the same bytes, manifests and signatures.

        A run is compared with its manifest on the way, and is there whole or not at all. One that is there is not
        copied again, and what an interrupted copy left is used, so the call can be repeated. A run in the target of
        the same id and other content stays as it is, and so does an alias with another history: both are in the report.

        Args:
            refs: one or a list. An alias stands for itself and its run, an id for a run, a model for all of its runs
                and aliases, a type for all of its models.
            other: the store to copy to; it is made if its root is empty.
            aliases: the names of the aliases to copy, of each model that is named; ``[]`` for none.
            history: copy every publish of an alias, at the same times, by the same people, for the same reasons. The
                history that the alias has there has to be the beginning of that. Without, the run is published once
                more there, over whatever it names. What a history names is copied only if it is named as well.
            dry_run: write nothing.
            jobs: copy so many runs at once, as for :meth:`verify`; both stores have to be open to other processes.
            resume: a file that keeps what was done, as for :meth:`verify`.
            announce: told how many runs are done, of how many.

        Raises:
            NotFound: a reference names nothing, or there is no store.
            InvalidOption: it is the same store; or other processes cannot open one of them.
            NotAStore, Corrupt, Unsupported, ConditionsUnsupported: nothing can be written to ``other``.
            Unavailable, AccessDenied, OutcomeUnknown: a storage does not answer. What was copied is whole.
        """
        from artifact_store.bulk.copies import Pair, PairSpec, copy_many, wanted
        from artifact_store.bulk.work import Bulk

        if not isinstance(other, Moving):
            raise InvalidOption(f"other is the store to copy to, such as ArtifactStore('s3://…'), not {brief(other)}")
        what = wanted(self._context, _listed(refs), aliases)
        return copy_many(
            Pair(self._context, other._context),
            lambda: PairSpec(self._spec(), other._spec()),
            what,
            history=history,
            dry_run=dry_run,
            how=Bulk(jobs, resume, announce),
        )

    def export(
        self,
        refs: RefLike | Iterable[RefLike],
        path: str | Path,
        *,
        aliases: Iterable[str] | None = None,
        announce: Announce | None = None,
    ) -> Exported:
        """Write runs into one zip file, ``path``, with their signatures and aliases, as they are stored here.

        ``ArtifactStore(path)`` reads it as a store: to load from it, to :meth:`verify` it without this one, or to
        :meth:`copy` from it. The same runs, signatures and histories make the same bytes. An export that is there is
        replaced in one step. ``refs`` and ``aliases`` are those of :meth:`copy`; ``announce`` is told how many
        bytes are written, of how many.

        Raises:
            NotFound: a reference names nothing, or there is no store.
            DigestMismatch, Corrupt, Untrusted: a run is damaged, or not signed as the policy requires; no file is made.
            InvalidOption: there is something else at ``path``; or an alias names a run that is not exported.
            AccessDenied, StorageFull: the file cannot be written.
        """
        from artifact_store.bulk.copies import wanted
        from artifact_store.ops.export_runs import export_runs

        check_called("announce", announce)
        what = wanted(self._context, _listed(refs), aliases)
        return export_runs(self._context, what.manifests(self._context), what.aliases, at_home(path), announce)

    def import_from(
        self,
        path: str | Path,
        refs: RefLike | Iterable[RefLike] | None = None,
        *,
        aliases: Iterable[str] | None = None,
        history: bool = True,
        dry_run: bool = False,
        jobs: int | None = None,
        resume: str | Path | None = None,
        announce: Announce | None = None,
    ) -> Copies:
        """Copy what an export holds to this store, or the part that ``refs`` name, as :meth:`copy` does.

        Raises:
            NotAStore, ContainerNotFound, Corrupt: ``path`` is no export, is not there, or is damaged.
        """
        from artifact_store.bulk.copies import Pair, PairSpec, copy_many, wanted
        from artifact_store.bulk.work import Bulk

        spec = Spec(path, policy=self._context.policy)
        with spec.opened() as source:
            named = listing.models_of_store(source) if refs is None else _listed(refs)
            return copy_many(
                Pair(source, self._context),
                lambda: PairSpec(spec, self._spec()),
                wanted(source, named, aliases),
                history=history,
                dry_run=dry_run,
                how=Bulk(jobs, resume, announce),
            )

    def mirror(
        self,
        other: Moving,
        *,
        dry_run: bool = False,
        jobs: int | None = None,
        resume: str | Path | None = None,
        announce: Announce | None = None,
    ) -> Copies:
        """Copy every run and every alias that another store lacks, as :meth:`copy` does; nothing is removed there."""
        return self.copy(
            listing.models_of_store(self._context), other, dry_run=dry_run, jobs=jobs, resume=resume, announce=announce
        )


def _listed(refs: RefLike | Iterable[RefLike]) -> Iterable[RefLike]:
    """Return the references, which may be a single one; a tuple is a key."""
    one = isinstance(refs, str | tuple) or not isinstance(refs, Iterable)
    return [refs] if one else refs  # type: ignore[list-item,return-value]
