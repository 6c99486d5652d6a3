"""The part of the façade that moves runs between stores: the same bytes, manifest, signatures and history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_store.bulk.spec import Spec
from artifact_store.bulk.work import Announce, Bulk
from artifact_store.core.references import RefLike
from artifact_store.ops import listing
from artifact_store.ops.context import Context

if TYPE_CHECKING:
    from artifact_store.bulk.copies import Copies


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
            Unavailable, AccessDenied, OutcomeUnknown: a storage does not answer. What was copied is whole.
        """
        from artifact_store.bulk.copies import Pair, PairSpec, copy_many, wanted

        one = isinstance(refs, str | tuple) or not isinstance(refs, Iterable)
        what = wanted(self._context, [refs] if one else refs, aliases)  # type: ignore[list-item,arg-type]
        return copy_many(
            Pair(self._context, other._context),
            lambda: PairSpec(self._spec(), other._spec()),
            what,
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
