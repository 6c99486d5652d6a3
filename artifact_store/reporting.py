"""The part of the façade that makes reports: pages about a store, for a browser and without a server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from artifact_store.core import keys
from artifact_store.ops.context import Context

if TYPE_CHECKING:
    from artifact_store.bulk.work import Announce
    from artifact_store.report.placing import Reported
    from artifact_store.report.serving import ReportServer


class Reporting:
    """What shows a store to people."""

    _context: Context

    def report(
        self,
        folder: str | os.PathLike[str],
        *,
        details: int | None = 20,
        metric: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        announce: Announce | None = None,
    ) -> Reported:
        """Write pages about all models into a folder, and return what was written: open its ``index.html``.

        A report needs no server, makes no request, and has the same bytes as long as the store has. One that is there
        is replaced; pages of models that are gone are removed. Metrics, tags and publishes are those of all runs.
        Nothing is decoded. What is damaged is on the pages, and in ``problems`` of the result.

        Args:
            folder: a new or empty folder, one that holds a report, or a URL, but not among the runs of a store: in
                the store itself it is ``_report``.
            details: of how many of the newest runs of each model there is everything (features, files, environment),
                besides those that an alias names; ``None``: of all runs, whose manifests are then read.
            metric: what the overview and the plots show first, where a model has it; else what most of its runs have.
            storage_options: of the folder, where it is a URL outside of this store.
            announce: told how many files are written, of how many.

        Raises:
            NotAStore: the root holds something else.
            InvalidOption: the folder holds something else, or is among the runs.
            ReportUnavailable: Jinja2 is not installed.
            Unavailable, AccessDenied, StorageFull: nothing was written, or only a part; the call can be repeated.
        """
        from artifact_store.report.gather import check_details, gathered
        from artifact_store.report.pages import rendered, templates
        from artifact_store.report.placing import ReportPlace

        made_with, place = templates(), ReportPlace.of(self._context, folder, storage_options)
        check_details(details)
        place.check()
        shown = gathered(self._context, details)
        count = len(shown.models) + len(keys.REPORT_ASSETS)
        return place.write(rendered(shown, made_with, metric), count, shown, announce)

    def serve_report(self, *, port: int = 0, details: int | None = 20, metric: str | None = None) -> ReportServer:
        """Return a server of this machine for the same pages as they are now: ``url``, ``serve_forever()``.

        It answers only requests to ``127.0.0.1`` by this name. ``port=0`` takes a free one.

        Raises:
            InvalidOption: the port is taken.
            NotAStore, ReportUnavailable, Unavailable, AccessDenied: as for :meth:`report`.
        """
        from artifact_store.report.gather import gathered
        from artifact_store.report.pages import rendered, templates
        from artifact_store.report.serving import ReportServer

        made_with = templates()
        return ReportServer(dict(rendered(gathered(self._context, details), made_with, metric)), port)
