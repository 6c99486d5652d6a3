"""The part of the façade that examines: ``doctor``, which reports what is wrong with a store and what to do about it.

Composes only: what is examined, and what can be repaired, is in ``diagnosis``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from artifact_store.diagnosis.examination import Options
from artifact_store.diagnosis.examine import examine
from artifact_store.diagnosis.report import Diagnosis
from artifact_store.ops import marker, retention
from artifact_store.ops.context import Context
from artifact_store.ops.retention import GRACE


class Examining:
    """Nothing here raises on a broken store, and nothing changes one before a plan is applied."""

    _context: Context

    def exists(self) -> bool:
        """Return whether there is a ``_store.json``, be it a damaged one: one small request.

        Raises:
            Unavailable, AccessDenied: the storage does not answer.
        """
        return marker.is_there(self._context.records)

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
        retention.check_span("grace", grace)
        options = Options(deep=deep, probes=probes, grace=grace, announce=announce)
        return examine(
            self._context, options, self._context.concurrency, partial(marker.opened_if_there, self._context)
        )
