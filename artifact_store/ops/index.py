"""The catalog index in the storage: notices that are written, and blocks that are read. Never the truth.

A **notice** is an object without content that says by its name which run is about to be saved, deleted or brought back.
A **block** has a row for each of many runs; :mod:`artifact_store.ops.index_writing` makes it from manifests, and
settles the notices that it has seen to be true. A reader takes a row only where no unsettled notice is about its run.

Why: docs/decisions/0025-an-index-that-is-never-the-truth.md
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Final

from artifact_store.core import index_rows, keys
from artifact_store.core.index_rows import MAX_LINE, NEWLINE, REBUILD, BlockHead, Group, Notice, Order, RowDict
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    Corrupt,
    NotFound,
    ObjectNotFound,
    Unavailable,
)
from artifact_store.ops import index_parquet
from artifact_store.ops.context import Context
from artifact_store.problems import Problem
from artifact_store.storage.base import Entry
from artifact_store.storage.retry import with_retry

Advance = Callable[[int, int], object]
"""Called with how many runs were read, of how many."""

Block = index_parquet.Copy
"""A block as it is stored: its bytes, or of a copy in Parquet where it is on this machine."""

LINES: Final = "jsonl.gz"
PARQUET: Final = "parquet"
MAX_BYTES: Final = 256 << 20
"""Bytes of a block as it is stored; more is refused before it is read."""
_EXPANDS: Final = 100
"""How many times as large as it is stored a block may be."""
_PIECE: Final = 1 << 20
_LONGEST: Final = 32 << 20
"""Bytes of the first line, which names notices; other lines are far shorter."""

# ---------------------------------------------------------------- notices


def announce(context: Context, kind: str, key: ModelKey, run_id: str, token: str) -> None:
    """Write the notice that a manifest is about to be written or replaced.

    Raises:
        Unavailable, AccessDenied, StorageFull: it could not be written in time; what it announces must not be done,
            if that would make a row of the index wrong.
    """
    context.records.create_notice(keys.index_notice(kind, key, run_id, token))


def announce_save(context: Context, key: ModelKey, run_id: str, token: str) -> None:
    """Write the notice of a save, if that can be done."""
    with suppress(ArtifactStoreError):  # without it listings find the run by its name
        announce(context, "saved", key, run_id, token)


# ---------------------------------------------------------------- what is there


@dataclass(frozen=True, slots=True)
class Survey:
    """The objects of the index, by one listing."""

    notices: Mapping[str, tuple[Notice, Entry]] = field(default_factory=dict)
    blocks: Mapping[int, Mapping[str, Entry]] = field(default_factory=dict)
    """By generation, then by form."""

    @property
    def size(self) -> int:
        """The bytes of all blocks of lines: no fewer than those in force have."""
        return sum(forms[LINES].size for forms in self.blocks.values() if LINES in forms)

    @property
    def newest(self) -> int | None:
        """The generation of the block that says which others count, or ``None`` without any."""
        return max((number for number, forms in self.blocks.items() if LINES in forms), default=None)


def survey(context: Context) -> Survey:
    """Return what is below ``_index/``: a listing, one request for each thousand."""
    return sorted_out(context.records.objects(keys.INDEX))


def sorted_out(entries: Sequence[Entry]) -> Survey:
    """Return these objects by what they are; what is nothing of ours is left out."""
    notices: dict[str, tuple[Notice, Entry]] = {}
    blocks: dict[int, dict[str, Entry]] = {}
    for entry in entries:
        name = entry.key.removeprefix(keys.INDEX)
        if found := keys.index_block_in(name):
            blocks.setdefault(found[0], {})[found[1]] = entry
        elif notice := Notice.named(name):
            notices[name] = notice, entry
    return Survey(notices, blocks)


def read_noticed(
    context: Context, notices: Sequence[Notice], problems: list[Problem], advance: Advance | None = None
) -> dict[Order, Manifest | Tombstone | None]:
    """Return what stands in the place of the manifest of each run that a notice is about; what is damaged is left out.

    Raises:
        Unavailable, AccessDenied: the storage does not answer.
    """
    runs = {notice.order: (notice.key, notice.run_id) for notice in notices}
    found: dict[Order, Manifest | Tombstone | None] = {}

    def read(run: tuple[ModelKey, RunId]) -> Manifest | Tombstone | None:
        try:
            return context.records.run(*run).value
        except NotFound:
            return None

    with closing(context.workers.ahead(runs.values(), read)) as records:
        for done, ((key, run_id), record) in enumerate(records, start=1):
            try:
                found[str(key), run_id] = record.result()
            except (Unavailable, AccessDenied):
                raise
            except ArtifactStoreError as error:
                problems.append(Problem(f"{key}:{run_id}", error))
            if advance is not None:
                advance(done, len(runs))
    return found


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class Index:
    """The blocks that are in force, as they are stored, and which notices nobody has dealt with yet."""

    survey: Survey
    head: BlockHead
    blocks: Sequence[tuple[int, Block]]
    """Generation and block, newest first."""

    @cached_property
    def unsettled(self) -> list[Notice]:
        """The notices that came since, oldest name first: what a row says of their runs may not hold any more."""
        return [notice for name, (notice, _) in sorted(self.survey.notices.items()) if name not in self.head.settled]

    @cached_property
    def doubtful(self) -> frozenset[Order]:
        """The runs that they are about."""
        return frozenset(notice.order for notice in self.unsettled)

    def groups(self, key: ModelKey | None = None, newer: Sequence[RowDict] = ()) -> Iterator[Group]:
        """Yield each model with its rows, of one model or of all, in order; ``Corrupt`` where a block is damaged.

        ``newer`` rows, in their order, take the place of those in the index.
        """
        return index_rows.merged([newer, *(self.block_rows(*block, key) for block in self.blocks)])

    def count(self) -> int:
        """Return how many rows its blocks have; every byte is read. ``Corrupt``: a block is damaged."""
        return sum(
            lines.count(NEWLINE) + (number > 0)  # the first line is the head
            for generation, data in self.blocks
            for number, lines in enumerate(_lines(_in_memory(data), repr(keys.index_block(generation, LINES))))
        )

    @staticmethod
    def block_rows(generation: int, data: Block, key: ModelKey | None = None) -> Iterator[RowDict]:
        """Yield the rows of one block of lines."""
        what = repr(keys.index_block(generation, LINES))
        text = None if key is None else index_rows.needle(key)
        for number, lines in enumerate(_lines(_in_memory(data), what)):
            wanted = lines.partition(NEWLINE)[2] if number == 0 else lines  # without the head
            if text is not None:
                wanted = NEWLINE.join(line for line in wanted.split(NEWLINE) if text in line)
            if wanted:
                yield from index_rows.parse_lines(wanted, what)


def open_index(context: Context, found: Survey | None = None, form: str = LINES) -> Index | None:
    """Return the index, or ``None`` where there is none: a listing, the newest block, and the others at once.

    Raises:
        Corrupt: it is damaged, or has not all of it in this form.
        FormatTooNew: a newer release wrote it.
    """
    found = found or survey(context)
    if found.newest is None:
        return None
    newest = fetch_block(context, found, found.newest, form)
    head = _head(newest, found.newest)
    with context.workers.all_beside(
        [partial(fetch_block, context, found, number, form) for number in head.blocks]
    ) as older:
        pass
    blocks = [(head.generation, newest), *zip(head.blocks, (block.result() for block in older), strict=True)]
    return Index(found, head, blocks)


def _in_memory(block: Block) -> bytes:
    assert isinstance(block, bytes)  # lines always are
    return block


def _head(block: Block, generation: int) -> BlockHead:
    where = keys.index_block(generation, LINES)
    if isinstance(block, Path) or block.startswith(b"PAR1"):
        return index_parquet.head_of(block, generation)
    return BlockHead.parse(next(_lines(block, repr(where))).partition(NEWLINE)[0], generation, repr(where))


def fetch_block(context: Context, found: Survey, generation: int, form: str = LINES) -> Block:
    """Return a block as it is stored, or where a copy is on this machine; ``Corrupt`` if it is missing or too large."""
    entry = found.blocks.get(generation, {}).get(form)
    where = keys.index_block(generation, form)
    if entry is None or entry.size > MAX_BYTES:
        raise Corrupt(f"{where!r} is missing from the index, or too large; {REBUILD}", key=where)
    place = context.backend.local_path(where) if form == PARQUET else None
    return stored_bytes(context, entry) if place is None else place


def stored_bytes(context: Context, entry: Entry) -> bytes:
    """Return an object of the index; ``Corrupt`` if it is gone, or of another size than was listed."""

    def read() -> bytes:
        return b"".join(context.backend.stream(entry.key, size=entry.size))

    try:
        return with_retry(read, context.retry)
    except ObjectNotFound as error:
        raise Corrupt(f"{entry.key!r} of the index is gone; {REBUILD}", key=entry.key) from error


def _lines(data: bytes, what: str) -> Iterator[str]:
    """Yield the lines of a block, many at a time, and never more than it may expand to."""
    left, total, longest = b"", 0, _LONGEST
    for piece in _expanded(data, what):
        total += len(piece)
        if total > _EXPANDS * len(data) + _PIECE:
            raise Corrupt(f"{what} expands to more than {_EXPANDS} times its size; {REBUILD}")
        whole, end, left = (left + piece).rpartition(b"\n")
        if end:
            longest = MAX_LINE  # of the lines behind the first
        if len(left) > longest:
            raise Corrupt(f"{what} has a line without an end; {REBUILD}")
        if end:
            try:
                yield whole.decode("utf-8")
            except UnicodeDecodeError as error:
                raise Corrupt(f"{what} is not text; {REBUILD}") from error
    if left or not total:
        raise Corrupt(f"{what} was cut short; {REBUILD}")


def _expanded(data: bytes, what: str) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=31)
    try:
        for start in range(0, len(data), _PIECE):
            pending = data[start : start + _PIECE]
            while pending and not decoder.eof:
                yield decoder.decompress(pending, _PIECE)
                pending = decoder.unconsumed_tail
        yield decoder.flush()
    except zlib.error as error:
        raise Corrupt(f"{what} is damaged: {error}; {REBUILD}") from error
    if not decoder.eof:
        raise Corrupt(f"{what} was cut short; {REBUILD}")


def compressed(lines: Iterator[bytes], count: Callable[[], None] = lambda: None) -> bytes:
    """Return a block as it is stored; ``count`` is called for each line."""
    encoder = zlib.compressobj(wbits=31)
    pieces: list[bytes] = []
    for line in lines:
        pieces.append(encoder.compress(line + b"\n"))
        count()
    return b"".join([*filter(None, pieces), encoder.flush()])
