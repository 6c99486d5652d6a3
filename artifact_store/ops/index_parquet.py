"""The copies of the index in Parquet: for other programs, and for questions about very many runs.

What is in them is what the lines say, metrics as doubles. A copy is no part of the index: it may be missing, and is
made again from the lines. Only pyarrow's own reader reads it.

Why: docs/decisions/0025-an-index-that-is-never-the-truth.md
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from artifact_store.core.documents import read_time, write_time
from artifact_store.core.index_query import Question
from artifact_store.core.index_rows import BlockHead, Order, RowDict, is_sound, metric_number
from artifact_store.errors import Corrupt
from artifact_store.wording import brief

Copy = bytes | Path
"""A Parquet file: its bytes, or where it is on this machine."""

_GROUP: Final = 50_000
"""Rows that are held at once."""
_HEAD: Final = b"artifact-store"
"""Under which name the file has the head of the block, as the first line of the lines has it."""


_NAMES: Final = ("model", "run_id", "state")
"""Columns that each row has."""
_ENCODED: Final = ("model", "metrics.key_value.key", "tags.key_value.key")
"""Columns of which each text is stored once, and read once."""


def can_copy() -> bool:
    """Tell whether pyarrow and numpy can be imported; nothing is imported."""
    return all(importlib.util.find_spec(name) is not None for name in ("pyarrow", "numpy"))


def _schema(pa: Any, *, encoded: bool = False) -> Any:
    """Return the columns: as they are written, or as they are read, with numbers in the place of some texts."""
    text = pa.string()
    name = pa.dictionary(pa.int32(), text) if encoded else text
    return pa.schema(
        [
            ("model", name),
            ("model_type", text),
            ("symbol", text),
            ("run_id", text),
            ("state", text),
            ("generation", pa.int64()),
            ("created_at", pa.timestamp("us", tz="UTC")),
            ("description", text),
            ("metrics", pa.map_(name, pa.float64())),
            ("tags", pa.map_(name, text)),
            ("files", pa.int64()),
            ("size", pa.int64()),
            ("manifest_sha256", text),
        ]
    )


def written(head: BlockHead, rows: Iterable[RowDict]) -> bytes:
    """Return these rows as a Parquet file; ``Corrupt``: pyarrow refuses one. Holds a part of them at a time."""
    with _refusals():
        return _written(head, rows)


def _written(head: BlockHead, rows: Iterable[RowDict]) -> bytes:
    pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    schema, out, left = _schema(pa).with_metadata({_HEAD: head.line}), io.BytesIO(), iter(rows)
    with pq.ParquetWriter(out, schema, compression="zstd", write_page_checksum=True) as writer:
        while part := [_cells(head.generation, row) for row in islice(left, _GROUP)]:
            writer.write_table(pa.Table.from_pylist(part, schema=schema), row_group_size=_GROUP)
    return out.getvalue()


def _cells(generation: int, row: RowDict) -> dict[str, Any]:
    """Return a row as pyarrow takes it; a row that is not one of ours only says which run it is about."""
    if not is_sound(row):
        row = {"model": row["model"], "run_id": row["run_id"], "state": "large"}
    cells = {**row, "generation": generation}
    if row["state"] == "live":
        cells["created_at"] = datetime.fromisoformat(row["created_at"])
        cells["metrics"] = [(name, metric_number(value)) for name, value in row["metrics"].items()]
        cells["tags"] = list(row["tags"].items())
    return cells


# ---------------------------------------------------------------- reading


def head_of(copy: Copy, generation: int) -> BlockHead:
    """Return the head of a block from its copy; ``Corrupt`` if pyarrow does not read it, or it has none."""
    with _refusals():
        metadata = _opened(copy).schema_arrow.metadata or {}
        return BlockHead.parse(metadata[_HEAD].decode("utf-8"), generation, f"the copy {generation} of the index")


def best(
    copies: Sequence[Copy], question: Question, hidden: Collection[Order], model: str | None = None
) -> list[RowDict]:
    """Return rows among which those are that a question with an order and a number wants, of blocks newest first.

    ``hidden`` are runs that are known otherwise. Rows of runs that only say that their manifest has to be read are
    returned as well.

    Raises:
        Corrupt: pyarrow refuses a copy, or it is none of ours. The lines have the answer as well.
    """
    with _refusals():
        return _Search(question, hidden, model).through(copies)


@contextmanager
def _refusals() -> Iterator[None]:
    """Translate what pyarrow says of what is no copy of the index, and of what cannot become one."""
    pa = importlib.import_module("pyarrow")
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, IndexError) as error:
        raise Corrupt(f"a copy of the index in Parquet cannot be had: {brief(error)}") from error


def _opened(copy: Copy) -> Any:
    pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    source = pa.BufferReader(copy) if isinstance(copy, bytes) else pa.memory_map(str(copy))
    return pq.ParquetFile(source, read_dictionary=list(_ENCODED), page_checksum_verification=True)


class _Search:
    """One pass over copies: columns are read row group by row group, and of each only the first rows are kept."""

    def __init__(self, question: Question, hidden: Collection[Order], model: str | None) -> None:
        assert question.order is not None
        self.question, self.order, self.model = question, question.order, model
        self.hidden = set(hidden)
        self.pa, self.np = importlib.import_module("pyarrow"), importlib.import_module("numpy")
        self.pc = importlib.import_module("pyarrow.compute")

    def through(self, copies: Sequence[Copy]) -> list[RowDict]:
        found: list[RowDict] = []
        for place, copy in enumerate(copies):
            file = self._checked(_opened(copy))
            for number in range(file.metadata.num_row_groups):
                found += self._of_group(file, number)
            if place < len(copies) - 1:
                self.hidden |= self._orders(file)
        return found

    def _checked(self, file: Any) -> Any:
        """Return a file if its row groups are such as we write; nothing of them was read yet."""
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        if not file.schema_arrow.equals(_schema(self.pa, encoded=True), check_metadata=False):
            raise Corrupt("a copy of the index has other columns")
        if any(group.total_byte_size > _LARGE or group.num_rows > _GROUP for group in groups):
            raise Corrupt("a copy of the index has a row group that is too large")
        return file

    def _orders(self, file: Any) -> set[Order]:
        names = file.read(columns=["model", "run_id"])
        return set(zip(names["model"].to_pylist(), names["run_id"].to_pylist(), strict=True))

    def _of_group(self, file: Any, number: int) -> list[RowDict]:
        """Return the rows of a row group that may be wanted."""
        np, needed = self.np, [*_NAMES, *self._asked_for()]
        table = file.read_row_group(number, columns=needed).combine_chunks()
        if any(table[name].null_count for name in _NAMES):
            raise Corrupt("a copy of the index has a row that names no run")
        wanted = self._are(table["state"], "live") & self._admitted(table)
        large = self._are(table["state"], "large")
        if self.model is not None:
            ours = self._are(table["model"], self.model)
            wanted, large = wanted & ours, large & ours
        places, unread = self._not_hidden(table, np.flatnonzero(wanted)), self._not_hidden(table, np.flatnonzero(large))
        chosen = np.r_[self._first(table, places) if len(places) else places, unread]
        if not len(chosen):
            return []
        rest = file.read_row_group(number, columns=[name for name in _schema(self.pa).names if name not in needed])
        parts = [part.take(self.pa.array(chosen)).to_pylist() for part in (table, rest)]
        return [_row(one | other) for one, other in zip(*parts, strict=True)]

    def _are(self, column: Any, text: str) -> Any:
        """Return which values are this text."""
        return self.np.asarray(self.pc.fill_null(self.pc.equal(column, text), False), dtype=bool)

    def _asked_for(self) -> set[str]:
        said = {condition.kind for condition in self.question.conditions}
        timed = self.order.metric is None or self.question.since is not None or self.question.until is not None
        return said | ({"created_at"} if timed else set()) | ({"metrics"} if self.order.metric is not None else set())

    def _admitted(self, table: Any) -> Any:
        """Return which rows fit the conditions."""
        np, fits = self.np, self.np.ones(table.num_rows, dtype=bool)
        for condition in self.question.conditions:
            rows, values = self._values(table[condition.kind], condition.name)
            fitting = (condition.admits({condition.kind: {condition.name: value}}) for value in values.to_pylist())
            met = np.zeros(table.num_rows, dtype=bool)
            met[rows] = np.fromiter(fitting, bool, len(rows))
            fits &= met
        for bound, keeps in ((self.question.since, self.pc.greater_equal), (self.question.until, self.pc.less)):
            if bound is not None:
                moment = self.pa.scalar(read_time(bound), type=self.pa.timestamp("us", tz="UTC"))
                fits &= self.pc.fill_null(keeps(table["created_at"], moment), False).to_numpy(zero_copy_only=False)
        return fits

    def _values(self, column: Any, name: str) -> tuple[Any, Any]:
        """Return at which rows a map has the name, and the values there."""
        array, np = column.combine_chunks(), self.np
        array = array.chunk(0) if isinstance(array, self.pa.ChunkedArray) else array
        offsets, code = array.offsets.to_numpy(), array.keys.dictionary.index(name).as_py()
        codes = array.keys.indices.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
        places = np.flatnonzero(codes == code) + offsets[0]
        return np.searchsorted(offsets, places, side="right") - 1, array.items.take(self.pa.array(places))

    def _not_hidden(self, table: Any, places: Any) -> Any:
        if not self.hidden or not len(places):
            return places
        ids = self.pa.array(sorted({run_id for _, run_id in self.hidden}), type=self.pa.string())
        doubtful = self.pc.is_in(table["run_id"], value_set=ids).to_numpy(zero_copy_only=False).astype(bool)
        orders = zip(*(table[name].filter(doubtful).to_pylist() for name in ("model", "run_id")), strict=True)
        for place, order in zip(self.np.flatnonzero(doubtful), orders, strict=True):
            doubtful[place] = order in self.hidden
        return places[~doubtful[places]]

    def _first(self, table: Any, places: Any) -> Any:
        """Return the first of the places by the order: of each model, or altogether; of equal ones the newer."""
        np, question = self.np, self.question
        missing, value = np.ones(table.num_rows, dtype=bool), np.zeros(table.num_rows)
        if self.order.metric is None:
            missing[:] = False
            value[:] = table["created_at"].cast(self.pa.int64()).to_numpy(zero_copy_only=False)
        else:
            rows, values = self._values(table["metrics"], self.order.metric)
            numbers = values.to_numpy(zero_copy_only=False)
            missing[rows] = np.isnan(numbers)
            value[rows] = np.nan_to_num(numbers, nan=0.0, posinf=np.inf, neginf=-np.inf)
        codes = table["model"].combine_chunks().indices.to_numpy()
        models = np.r_[0, np.cumsum(codes[1:] != codes[:-1])][places]
        missing, value = missing[places], value[places] * (-1.0 if self.order.descending else 1.0)
        if question.per_model is None:
            chosen = np.lexsort((-places, models, value, missing))[: question.limit]
        else:
            by = np.lexsort((-places, value, missing, models))
            begins = np.searchsorted(models[by], models[by])
            chosen = by[np.arange(len(by)) - begins < question.per_model]
        return places[chosen]


_LARGE: Final = 256 << 20
"""Bytes of a row group when it is read."""


def _row(cells: dict[str, Any]) -> RowDict:
    """Return a row as the lines have it; ``Corrupt`` if it is none."""
    row = {name: value for name, value in cells.items() if name != "generation"}
    if row["state"] == "live":
        row["created_at"] = row["created_at"] and write_time(row["created_at"])
        row["metrics"], row["tags"] = dict(row["metrics"] or ()), dict(row["tags"] or ())
    if not is_sound(row):
        raise Corrupt("a copy of the index has a row that is none")
    return row
