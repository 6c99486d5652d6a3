"""How much room a store takes: of each model its committed runs, and all that is stored for it. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from artifact_store.core import keys
from artifact_store.core.names import ModelKey
from artifact_store.ops.context import Context


class Sized(Protocol):
    """A committed run."""

    @property
    def key(self) -> ModelKey:
        """Of which model."""

    @property
    def size(self) -> int:
        """Bytes of its files."""


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What a model takes, or with ``key=None`` what belongs to no model, such as the catalog index.

    ``stored - size`` is what history, signatures and manifests take, and what was deleted or never finished, which
    ``gc`` removes once it is old enough.
    """

    key: ModelKey | None
    runs: int
    """Committed runs."""
    size: int
    """Bytes of their files."""
    objects: int
    """All objects that are stored for it."""
    stored: int
    """Bytes of these."""


def measure(context: Context, runs: Iterable[Sized], key: ModelKey | None) -> list[ModelUsage]:
    """Return what each model takes, in order, what belongs to none last; of ``key`` alone if one is given."""
    objects: Counter[ModelKey | None] = Counter()
    stored, count, size = objects.copy(), objects.copy(), objects.copy()
    for entry in context.records.objects("" if key is None else keys.model_prefix(key)):
        owner = keys.model_of(entry.key)
        if key in (None, owner):
            objects[owner] += 1
            stored[owner] += entry.size
    for run in runs:
        count[run.key] += 1
        size[run.key] += run.size
    ordered = [
        *sorted(owner for owner in {*objects, *count} if owner is not None),
        *([None] if None in objects else []),
    ]
    return [ModelUsage(owner, count[owner], size[owner], objects[owner], stored[owner]) for owner in ordered]
