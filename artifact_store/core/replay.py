"""The history of an alias that was copied from another store: which documents say the same there.

Every publish keeps its place, its time, who made it, and its write id, so that what was copied once is recognised.
"""

from __future__ import annotations

from collections.abc import Sequence

from artifact_store.canonical import sha256
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import BLOCK, GATHERED, Advance, HistoryBlock, Pointer, Publish, embeddable


def parting(one: Sequence[Publish], other: Sequence[Publish]) -> int:
    """Return how many publishes two histories have in common from their beginning."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def replay(
    seen: Pointer | None, key: ModelKey, alias: str, past: Sequence[Publish], manifest: Manifest | None
) -> Advance:
    """Return what has to be written so that an alias has the history ``past``, of which the last is in force.

    ``seen`` is the pointer that is there, whose history is the beginning of ``past``; ``manifest`` is that of the run
    in force, ``None`` if the alias is retired. What is in the archive and what is not is as if each publish had been
    made here.
    """
    archived = max(0, -(-(len(past) - GATHERED) // BLOCK) * BLOCK)
    archive = None if seen is None else seen.archive
    blocks = []
    for begin in range(0 if seen is None else seen.archived, archived, BLOCK):
        block = HistoryBlock(
            model_type=key.model_type,
            symbol=key.symbol,
            alias=alias,
            entries=tuple(past[begin : begin + BLOCK]),
            previous=archive,
        )
        blocks.append(block)
        archive = sha256(block.to_bytes())
    pointer = Pointer(
        **{name: getattr(past[-1], name) for name in Publish.FIELDS},
        model_type=key.model_type,
        symbol=key.symbol,
        alias=alias,
        manifest=None if manifest is None else embeddable(manifest.to_bytes()),
        history=tuple(past[archived:-1]),
        archive=archive,
    )
    return Advance(pointer, tuple(blocks))
