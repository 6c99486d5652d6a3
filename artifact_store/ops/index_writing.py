"""Write the catalog index: compact what is new into a block, make it all anew, and find what it does not need any more.

Create-only: a block has a number, and of several clients that write the same number one wins and the others have done
nothing. Nothing is removed here; ``gc`` does that, a while later, so that a reader under way finds what it has listed.

Why: docs/decisions/0025-an-index-that-is-never-the-truth.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from artifact_store.core import index_rows, keys
from artifact_store.core.index_rows import BlockHead, Notice, Row, RowDict
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.tombstone import GRACE, Tombstone
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Corrupt,
    FormatUnsupported,
    NotFound,
    Unavailable,
)
from artifact_store.ops import index_parquet, listing, opening, probe
from artifact_store.ops.context import Context
from artifact_store.ops.delete import StepResult
from artifact_store.ops.index import (
    LINES,
    MAX_BYTES,
    PARQUET,
    Advance,
    Index,
    Survey,
    compressed,
    open_index,
    read_noticed,
    survey,
)
from artifact_store.problems import Problem
from artifact_store.storage.conditional_write import Outcome

PILED: Final = 100
"""So many notices are worth a block; before that, those who list look at the runs themselves."""
REMOVED_AFTER: Final = timedelta(hours=1)
"""How long what the index does not need any more is kept: longer than any listing takes."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What came of writing a block: ``generation`` is ``None`` where there was nothing to do, or another was faster."""

    generation: int | None
    rows: int = 0
    settled: int = 0
    detail: str = ""
    problems: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return self.generation is not None


def compact(context: Context, *, grace: timedelta = GRACE, advance: Advance | None = None) -> Compaction:
    """Write a block of what is new since the last one; the first one has every run. Reads the new manifests only.

    Raises:
        NotAStore: there is no store.
        Corrupt: the index is damaged, and has to be made anew.
        AccessDenied: these credentials do not write blocks. A writer needs not.
        OutcomeUnknown: the block may be there.
    """
    opening.ensure_open_existing(context)
    now = probe.storage_time(context.backend, context.retry)
    found = survey(context)
    index = open_index(context, found)
    if index is None:
        return _whole(context, found, now, grace, advance)
    problems: list[Problem] = []
    seen = read_noticed(context, index.unsettled, problems, advance)
    settled = _settled(found, index.unsettled, seen, now, grace)
    if not settled:
        return Compaction(None, detail="nothing has happened since it was written", problems=tuple(problems))
    fresh = [Row.of(record).value for _, record in sorted(seen.items()) if record is not None]
    carried = {name: at for name, at in index.head.settled.items() if name in found.notices}
    count = index_rows.count_to_merge([found.blocks[number][LINES].size for number, _ in index.blocks], 0)
    merged = [fresh, *(Index.block_rows(*block) for block in index.blocks[:count])]
    older = tuple(generation for generation, _ in index.blocks[count:])
    head = BlockHead(_next(found), now, older, carried | settled)
    rows = (row for _, group in index_rows.merged(merged) for row in group)
    return write_block(context, head, rows, problems)


def build_anew(context: Context, *, grace: timedelta = GRACE, advance: Advance | None = None) -> Compaction:
    """Write a block of every run, from the manifests alone, whatever the index holds; the errors of :func:`compact`."""
    opening.ensure_open_existing(context)
    now = probe.storage_time(context.backend, context.retry)
    return _whole(context, survey(context), now, grace, advance)


def _whole(context: Context, found: Survey, now: datetime, grace: timedelta, advance: Advance | None) -> Compaction:
    problems: list[Problem] = []
    notices = [notice for notice, _ in found.notices.values()]  # listed before any manifest is read
    settled = _settled(found, notices, read_noticed(context, notices, problems), now, grace)
    rows = _every_row(context, problems, advance or (lambda _done, _total: None))
    return write_block(context, BlockHead(_next(found), now, (), settled), rows, problems)


def _next(found: Survey) -> int:
    number = max(found.blocks, default=0) + 1
    if not keys.is_of_index(keys.index_block(number, LINES).removeprefix(keys.INDEX)):
        raise Corrupt(
            f"the newest block of the index has the number {number - 1}, after which none can be written: remove "
            f"{keys.INDEX!r} as a whole, which loses nothing, and `artifact-store index --rebuild`",
            key=keys.INDEX,
        )
    return number


def _settled(
    found: Survey,
    notices: Iterable[Notice],
    seen: Mapping[index_rows.Order, Manifest | Tombstone | None],
    now: datetime,
    grace: timedelta,
) -> dict[str, datetime]:
    """Return the notices that are true, or too old to become so, each with the time now."""
    return {
        notice.name: now
        for notice in notices
        if notice.order in seen
        and notice.is_settled(seen[notice.order], now - found.notices[notice.name][1].modified, grace)
    }


def _every_row(context: Context, problems: list[Problem], advance: Advance) -> Iterator[RowDict]:
    """Yield a row for each run of the store, in their order: one listing for each model, and every manifest."""
    runs = [(key, run_id) for key in listing.models(context) for run_id in reversed(listing.run_ids(context, key))]
    advance(0, len(runs))

    def read(run: tuple[ModelKey, RunId]) -> RowDict:
        return Row.of(context.records.run(*run).value).value

    with closing(context.workers.ahead(runs, read)) as records:
        for done, ((key, run_id), record) in enumerate(records, start=1):
            try:
                yield record.result()
            except NotFound:  # never committed
                pass
            except (Unavailable, AccessDenied):
                raise
            except ArtifactStoreError as error:
                problems.append(Problem(f"{key}:{run_id}", error))
            advance(done, len(runs))


def write_block(
    context: Context, head: BlockHead, rows: Iterable[RowDict], problems: Sequence[Problem] = ()
) -> Compaction:
    """Write the block of this head, and where pyarrow is installed its copy in Parquet; rows are in their order."""
    counted: list[None] = []
    lines = chain([head.line], index_rows.lines_of(rows))
    body = compressed(lines, lambda: counted.append(None))
    where = keys.index_block(head.generation, LINES)
    if context.records.replace_raw(where, None, body, limit=MAX_BYTES) is Outcome.LOST:
        return Compaction(None, detail="another client wrote it at this moment", problems=tuple(problems))
    without = _copied(context, head, body)
    return Compaction(head.generation, len(counted) - 1, len(head.settled), without, tuple(problems))


def _copied(context: Context, head: BlockHead, data: bytes) -> str:
    """Write the copy in Parquet of a block of lines, where pyarrow is installed; return why there is none, if so."""
    if not index_parquet.can_copy():
        return ""
    try:
        copy = index_parquet.written(head, Index.block_rows(head.generation, data))
        context.records.replace_raw(keys.index_block(head.generation, PARQUET), None, copy, limit=MAX_BYTES)
    except (ArtifactStoreError, ImportError) as error:  # the block is there; it may lack a copy
        return f"it has no copy in Parquet: {error}"
    return ""


# ---------------------------------------------------------------- what gc does


@dataclass(frozen=True, slots=True)
class Unneeded:
    """What ``gc`` finds in the index: objects that nobody needs, with the reason and the size, and what piles up."""

    removable: Mapping[str, tuple[str, int]]
    piled: int
    """Notices that no block has dealt with."""


def unneeded(context: Context, now: datetime) -> Unneeded:
    """Return what can be removed from the index: what it has not needed for an hour, by the times of the storage.

    Once it is not needed it never is again, so a plan may be carried out later. ``now`` may be that of a client whose
    clock is wrong; then an hour is less, or more.
    """
    found = survey(context)
    try:
        index = open_index(context, found)
    except (Corrupt, FormatUnsupported):
        index = None
    if index is None or found.newest is None:
        return Unneeded({}, len(found.notices))
    removable: dict[str, tuple[str, int]] = {}
    for name, (_, entry) in found.notices.items():
        settled = index.head.settled.get(name)
        if settled is not None and now - settled >= REMOVED_AFTER:
            removable[entry.key] = "a notice that the index has dealt with", entry.size
    needed = {found.newest, *index.head.blocks}
    if now - found.blocks[found.newest][LINES].modified >= REMOVED_AFTER:
        for generation in found.blocks.keys() - needed:
            for entry in found.blocks[generation].values() if generation < found.newest else ():
                removable[entry.key] = "a block of the index that a newer one replaces", entry.size
    return Unneeded(removable, len(index.unsettled))


def take_in(context: Context) -> StepResult:
    """Take what is new into the index, as a step of a plan."""
    done = compact(context)
    return StepResult("fixed") if done else StepResult("kept", done.detail)
