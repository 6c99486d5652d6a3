"""Choose what a rollback publishes. Reads only; the publish itself is :func:`artifact_store.ops.publish.promote`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from artifact_store.core.errors import NotFound, NothingToRollBackTo
from artifact_store.core.keys import ModelKey, RunId
from artifact_store.core.manifest import Manifest
from artifact_store.core.pointer import Publish
from artifact_store.ops.context import Context
from artifact_store.ops.publish import read_manifest
from artifact_store.storage.settle import patiently


def candidates(past: Sequence[Publish]) -> Iterator[RunId]:
    """Yield what may be served again, best first: what served before the current run *first* served, and so on back.

    So a second rollback goes one further back instead of returning to what the first one left. A retired alias goes
    back to what it named last.
    """
    current = past[-1].run_id
    first = next(place for place, entry in enumerate(past) if entry.run_id == current)
    before = past[:-1] if current is None else past[:first]
    tried = {current}
    for entry in reversed(before):
        if entry.run_id is not None and entry.run_id not in tried:
            tried.add(entry.run_id)
            yield RunId(entry.run_id)


def choose(context: Context, key: ModelKey, alias: str, past: Sequence[Publish]) -> Manifest:
    """Return the run that a rollback of the alias serves again; deleted runs are passed over.

    Raises:
        NothingToRollBackTo: no earlier run is left.
    """
    for run_id in candidates(past):
        try:
            return patiently(lambda run_id=run_id: read_manifest(context.backend, key, run_id), context.patience)  # type: ignore[misc]
        except NotFound:
            continue
    raise NothingToRollBackTo(f"{key}@{alias} never named another run that still exists; promote the one that you want")
