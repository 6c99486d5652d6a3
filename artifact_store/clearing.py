"""The part of the façade that deletes: runs by name or by rule, and what they and broken saves leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from artifact_store.core.names import KeyLike, ModelKey, RunId
from artifact_store.core.references import RefLike, RunRef
from artifact_store.core.tombstone import GRACE
from artifact_store.ops import opening, resolve
from artifact_store.ops.context import Context
from artifact_store.run import Run

if TYPE_CHECKING:
    from artifact_store.ops import prune
    from artifact_store.ops.plan import Plan
    from artifact_store.ops.usage import ModelUsage, Sized


class Clearing:
    """What removes runs from this store: each call returns a plan, which does nothing before it is applied."""

    _context: Context
    runs: Callable[..., Iterable[Sized]]

    def delete(self, run: Run | RefLike, *, reason: str = "") -> Plan:
        """Return the plan to delete one run, which is named by its full id.

        Applied, it hides the run from every reader; its files stay until ``gc`` sweeps them after the grace period,
        and :meth:`undelete` brings it back until then. Its id is never used again.

        Raises:
            RunNotFound, RunDeleted: it is not there (any more).
            RunInUse: an alias names it; promote another run there first, or retire the alias.
        """
        from artifact_store.ops import prune

        return prune.plan_delete(self._context, *self._named(run, "delete"), reason=reason)

    def undelete(self, ref: Run | RefLike) -> Run:
        """Bring back a deleted run, and return it. One that was not deleted is returned as it is.

        Raises:
            RunNotFound: no such run was ever committed.
            RunDeleted: its files are gone.
            OutcomeUnknown: it may be back.
        """
        from artifact_store.ops import delete

        named = self._named(ref, "undelete")
        opening.ensure_open_existing(self._context)
        return Run(self._context, delete.undelete(self._context, *named))

    def prune(
        self,
        key: KeyLike | None = None,
        *,
        keep_last: int | None = None,
        keep_best: Sequence[object] | prune.Best | None = None,
        older_than: timedelta | datetime | None = None,
        grace: timedelta = GRACE,
        reason: str = "",
    ) -> Plan:
        """Return the plan to delete the runs of a model, or of each model, that no rule keeps.

        A run stays if it is one of the newest ``keep_last``, one of the best by ``keep_best`` (``("sharpe", 3)``, or
        ``("loss", 3, "min")``), or not ``older_than`` that. Always safe are what an alias names (to pin a run, promote
        it to an alias of its own), what one named until less than ``grace`` ago, the last two runs of every alias, and
        what a rollback would serve. The plan says of every run why it goes or stays. Of a model in which no run has the
        metric of ``keep_best``, every run stays, and that is one of the plan's ``problems``.

        Raises:
            InvalidOption: nothing says what to keep, or a value means nothing.
            ModelNotFound: nothing is stored of the model.
        """
        from artifact_store.ops import prune

        rules = prune.Rules(keep_last, prune.Best.of(keep_best), older_than, grace)
        return prune.plan_prune(self._context, None if key is None else ModelKey.parse(key), rules, reason=reason)

    def gc(self, *, grace: timedelta = GRACE) -> Plan:
        """Return the plan to sweep what was deleted, and to clear what was never committed, at least ``grace`` ago.

        Committed runs are never touched. The grace period has to be longer than any save takes. Nothing is planned
        in an empty root, as a note of the plan says, and nothing is ever touched in one that is not a store.

        Raises:
            NotAStore: the root holds something else.
        """
        from artifact_store.ops import gc

        return gc.plan_gc(self._context, grace=grace)

    def usage(self, key: KeyLike | None = None) -> list[ModelUsage]:
        """Return how much room each model takes, in order, and with ``key=None`` last what belongs to no model.

        Lists the runs, as :meth:`runs` does, and every object. What cannot be read counts as stored and as no run.

        Raises:
            NotAStore: there is something else here.
        """
        from artifact_store.ops.usage import measure

        model = None if key is None else ModelKey.parse(key)
        opening.check_store(self._context.records)
        return measure(self._context, self.runs(model), model)

    def _named(self, run: Run | RefLike, what: str) -> tuple[ModelKey, RunId]:
        """Return the model and the full id of a run that was committed here."""
        return resolve.named(self._context, run.manifest if isinstance(run, Run) else RunRef.parse(run), what)
