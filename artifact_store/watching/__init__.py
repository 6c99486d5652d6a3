"""Models that follow their alias while they are in use: polled, checked before they are served, kept on any failure.

Owns what is served, since when that is confirmed, and when it is asked for again. What an alias names is in
:mod:`artifact_store.ops.follow`, when threads run in :mod:`artifact_store.storage.poller`.

Why: docs/decisions/0027-watching-an-alias.md
"""

from artifact_store.watching.pace import WatchOptions
from artifact_store.watching.watched import Watched
from artifact_store.watching.watcher import Watcher

__all__ = ["WatchOptions", "Watched", "Watcher"]
