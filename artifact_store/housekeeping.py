"""The part of the façade that takes away: delete, undelete, prune and gc. Plans first; nothing goes by itself.

Composes only: the rules are in ``ops.retention`` and ``ops.survey``, the steps in ``ops.deletion``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from artifact_store.core.errors import Conflict, InvalidReference
from artifact_store.core.keys import KeyLike, ModelKey, RunId
from artifact_store.core.manifest import Manifest
from artifact_store.core.references import RefLike, RunRef
from artifact_store.ops import catalog, deletion, marker, retention, survey
from artifact_store.ops.context import Context
from artifact_store.ops.plan import Plan
from artifact_store.ops.retention import GRACE
from artifact_store.run import Run


class Housekeeping:
    """Everything here returns a plan that changes nothing before ``plan.apply()``, but for ``undelete``."""

    _context: Context

    def delete(self, run: Run | RefLike, *, reason: str = "") -> Plan:
        """Return the plan to delete one run, which is named by its full id.

        Applied, it hides the run from every reader; its files stay until ``gc`` sweeps them after the grace period,
        and :meth:`undelete` brings it back until then. Its id is never used again.

        Raises:
            RunNotFound, RunDeleted: it is not there (any more).
            RunInUse: an alias names it; promote another run there first, or retire the alias.
        """
        key, run_id = _named(run.ref if isinstance(run, Run) else run, "delete")
        self._check_ours(run, key, run_id)
        return retention.plan_delete(self._context, key, run_id, reason=reason)

    def undelete(self, ref: Run | RefLike) -> Run:
        """Bring back a deleted run, and return it. One that was not deleted is returned as it is.

        Raises:
            RunNotFound: no such run was ever committed.
            RunDeleted: its files are gone.
            OutcomeUnknown: it may be back.
        """
        key, run_id = _named(ref.ref if isinstance(ref, Run) else ref, "undelete")
        self._check_ours(ref, key, run_id)
        marker.opened_if_there(self._context)
        return Run(self._context, deletion.undelete(self._context, key, run_id))

    def prune(
        self,
        key: KeyLike | None = None,
        *,
        keep_last: int | None = None,
        keep_best: Sequence[object] | retention.Best | None = None,
        older_than: timedelta | datetime | None = None,
        grace: timedelta = GRACE,
        reason: str = "",
    ) -> Plan:
        """Return the plan to delete the runs of a model, or of each model, that no rule keeps.

        A run stays if it is one of the newest ``keep_last``, one of the best by ``keep_best`` (``("sharpe", 3)``, or
        ``("loss", 3, "min")``), or not ``older_than`` that. Always safe are what an alias names (to pin a run, promote
        it to an alias of its own), what one named until less than ``grace`` ago, the last two runs of every alias, and
        what a rollback would serve. The plan says of every run why it goes or stays.

        Raises:
            InvalidOption: nothing says what to keep, or a value means nothing.
        """
        rules = retention.Rules(keep_last, retention.Best.of(keep_best), older_than, grace)
        models = catalog.models(self._context) if key is None else [ModelKey.parse(key)]
        return retention.plan_prune(self._context, models, rules, reason=reason)

    def gc(self, *, grace: timedelta = GRACE) -> Plan:
        """Return the plan to sweep what was deleted, and to clear what was never committed, at least ``grace`` ago.

        Committed runs are never touched. The grace period has to be longer than any save takes. Nothing is planned
        in an empty root, and nothing is ever touched in one that is no store.

        Raises:
            NotAStore: the root holds something else.
        """
        retention.check_span("grace", grace)
        return survey.plan_gc(self._context, grace=grace)

    def _check_ours(self, run: Run | RefLike, key: ModelKey, run_id: RunId) -> None:
        """Raise unless there is such a run, and a handle on one is a handle on this very one.

        Raises:
            RunNotFound: no such run was ever committed here.
            Conflict: the handle is of another store, where a run has the same name.
        """
        record = self._context.records.run(key, run_id).value
        found = record.digest if isinstance(record, Manifest) else record.manifest_sha256
        if isinstance(run, Run) and found not in {None, run.manifest.digest}:
            raise Conflict(f"{run.ref} of {self._context.backend.url} is another run than the one that was given")


def _named(ref: RefLike, what: str) -> tuple[ModelKey, RunId]:
    """Return the run that a reference names by its full id.

    Raises:
        InvalidReference: it is an alias, or a part of an id, which may mean another run tomorrow.
    """
    parsed = RunRef.parse(ref)
    if parsed.run_id is None:
        raise InvalidReference(f"{parsed} does not name a run by its full id: {what} needs {parsed.key}:RUN_ID")
    return parsed.key, parsed.run_id
