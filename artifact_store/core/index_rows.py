"""The catalog index as values: a row for each run, the head of a block, and how blocks become one.

The index is made from manifests and never the truth: what stands in it is a copy for listings. Rows come from outside,
so each is checked when it is used. Does no input or output; :mod:`artifact_store.ops.index` does.

Why: docs/decisions/0025-an-index-that-is-never-the-truth.md
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from pydantic_core import from_json

from artifact_store.canonical import canonical, sha256
from artifact_store.core import keys
from artifact_store.core.documents import FORMAT, NON_FINITE, read_time, write_time
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.outline import Outline
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import Corrupt, FormatTooNew, InvalidInput
from artifact_store.wording import brief

NEWLINE: Final = "\n"
MAX_LINE: Final = 64 << 10
"""Bytes of a line; a run that would need more has a row that only says so."""
SMALL: Final = 2 << 20
"""Bytes of a block that is always merged into the next one."""
LARGEST: Final = 128 << 20
"""Bytes of a block that is never merged again."""
_FACTOR = 4
"""A block is merged with what is new while it is at most so many times as large."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_STATES = ("live", "gone", "large")
_SAID = ("created_at", "description", "files", "manifest_sha256", "size", "tags")

RowDict = Mapping[str, Any]
"""A row as JSON: what :class:`Row` reads."""
Order = tuple[str, str]
"""How rows are sorted: by the model as a reference names it, then by the run id."""


class Row:
    """What the index has of one run, or the same of a manifest that was just read.

    ``state`` is ``live``; ``gone`` for a run that was deleted; or ``large`` for one whose row would be too long, so
    that its manifest has to be read.
    """

    __slots__ = ("_manifest", "load", "value")

    def __init__(self, value: RowDict, manifest: Manifest | bytes | None = None) -> None:
        self.value, self._manifest = value, manifest
        self.load: Callable[[Row], Manifest] | None = None
        """Reads the manifest, where the row was not made from it."""

    @property
    def is_read(self) -> bool:
        """Whether the manifest, or its bytes, are there already."""
        return self._manifest is not None

    @property
    def manifest(self) -> Manifest:
        """The manifest that the row is about; ``Corrupt`` if what the row lacks is not as the format demands."""
        if self._manifest is None:
            assert self.load is not None
            self._manifest = self.load(self)
        elif isinstance(self._manifest, bytes):
            self._manifest = Manifest.from_bytes(self._manifest, what=f"the manifest of {self.label}")
        return self._manifest

    @classmethod
    def of(cls, record: Manifest | Outline | Tombstone) -> Row:
        """Return the row of what stands in the place of a manifest."""
        about = {
            "model": str(record.key),
            "model_type": record.model_type,
            "run_id": record.run_id,
            "symbol": record.symbol,
        }
        if isinstance(record, Tombstone):
            return cls({**about, "state": "gone"})
        value = {
            **about,
            "created_at": record.written_at if isinstance(record, Outline) else write_time(record.created_at),
            "description": record.description,
            "files": len(record.files),
            "manifest_sha256": record.digest,
            "metrics": dict(record.metrics),
            "size": record.size,
            "state": "live",
            "tags": dict(record.tags),
        }
        return cls(value, record if isinstance(record, Manifest) else record.to_bytes())

    @classmethod
    def none(cls, order: Order) -> Row:
        """Return the row that says of a run that it is not there, whatever older rows say."""
        return cls({"model": order[0], "run_id": order[1], "state": "gone"})

    @property
    def key(self) -> ModelKey:
        """Which model it is a run of."""
        return _key(self.value["model"])

    @property
    def run_id(self) -> RunId:
        """Its id."""
        return RunId(self.value["run_id"])

    @property
    def label(self) -> str:
        """``type/symbol:run_id``."""
        return f"{self.value['model']}:{self.value['run_id']}"

    @property
    def created_at(self) -> datetime:
        """When it was saved; ``Corrupt`` if there is no such day."""
        try:
            return _moment(self.value["created_at"])
        except ValueError as error:
            raise Corrupt(f"a row of the index is not one: {error}; {REBUILD}") from error

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags."""
        return self.value["tags"]  # type: ignore[no-any-return]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Its metrics, as a manifest has them."""
        return self.value["metrics"]  # type: ignore[no-any-return]

    @property
    def description(self) -> str:
        """What its saver wants people to know about it."""
        return self.value["description"]  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return self.value["size"]  # type: ignore[no-any-return]

    @property
    def file_count(self) -> int:
        """How many files it has."""
        return self.value["files"]  # type: ignore[no-any-return]

    @property
    def line(self) -> bytes:
        """The row as a line of a block; of one that is too long, or none of ours, only its run, if that is one."""
        with suppress(ValueError, OverflowError, Corrupt):  # it came from outside, and holds what no row has
            line, is_live = canonical(self.value), self.value["state"] == "live"
            if len(line) < MAX_LINE and is_sound(self.value) and (self.created_at if is_live else True):
                return line
        key = self.key
        about = {"model": str(key), "model_type": key.model_type, "run_id": self.run_id, "symbol": key.symbol}
        return canonical({**about, "state": "large"})

    @property
    def fingerprint(self) -> str:
        """The digest of all that a sound row says of a run that is there, in whichever form of the index it stands."""
        metrics = {name: metric_number(number) or 0.0 for name, number in self.metrics.items()}  # 0.0 for -0.0 as well
        said = {**{name: self.value[name] for name in _SAID}, "metrics": metrics}
        return sha256(json.dumps(said, sort_keys=True).encode("ascii"))

    def check(self) -> Row:
        """Return this row if it is what a compaction would have written; ``Corrupt``: something else is in it."""
        try:
            _key(self.value["model"])
            RunId(self.value["run_id"])
        except InvalidInput as error:
            raise Corrupt(f"a row of the index is not one: {error}; {REBUILD}") from error
        if not is_sound(self.value):
            raise Corrupt(f"a row of the index is not one: {brief(self.label)} has not what a row has; {REBUILD}")
        return self


@lru_cache(maxsize=1024)
def _key(model: str) -> ModelKey:
    """Read a model; many rows are about the same."""
    return ModelKey.parse(model)


REBUILD: Final = "`artifact-store index --rebuild` makes the index anew"


def is_sound(row: RowDict) -> bool:
    """Tell whether the row of a run that is there has what one has, apart from the names; any other row has nothing."""
    if row["state"] != "live":
        return True
    created, digest = row.get("created_at"), row.get("manifest_sha256")
    numbers, tags = row.get("metrics"), row.get("tags")
    return (
        isinstance(created, str)
        and _TIME.fullmatch(created) is not None
        and isinstance(digest, str)
        and _DIGEST.fullmatch(digest) is not None
        and isinstance(numbers, dict)
        and None not in map(metric_number, numbers.values())
        and isinstance(tags, dict)
        and all(isinstance(value, str) for value in tags.values())
        and isinstance(row.get("description"), str)
        and _is_count(row.get("files"))
        and _is_count(row.get("size"))
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def metric_number(value: object) -> float | None:
    """Return a metric as a double, the texts for NaN and infinities included; ``None`` if a manifest cannot have it."""
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return None
    return NON_FINITE.get(value) if isinstance(value, str) else None


# ---------------------------------------------------------------- lines


def lines_of(rows: Iterable[RowDict]) -> Iterator[bytes]:
    """Yield rows as the lines of a block, without those that are about no run: another hand may have written them."""
    for row in rows:
        with suppress(InvalidInput):  # it is about no run
            yield Row(row).line


def parse_lines(text: str, what: str) -> list[RowDict]:
    """Decode lines of a block at once. Only the names of model and run, and the state, are checked.

    Raises:
        Corrupt: a line is not a JSON object, or does not say which run it is about.
    """
    try:
        rows: list[RowDict] = from_json(f"[{text.replace(NEWLINE, ',')}]")
    except ValueError as error:
        raise Corrupt(f"{what} is not lines of JSON: {brief(str(error))}; {REBUILD}") from error
    if len(rows) != text.count(NEWLINE) + 1 or not all(map(_is_named, rows)):
        raise Corrupt(f"{what} has a line that names no run; {REBUILD}")
    return rows


def _is_named(row: object) -> bool:
    named = isinstance(row, dict) and isinstance(row.get("model"), str) and isinstance(row.get("run_id"), str)
    return named and row.get("state") in _STATES  # type: ignore[attr-defined]


def needle(key: ModelKey) -> str:
    """Return the text that stands in each line of a block about this model."""
    return f'"model":{canonical(str(key)).decode()},'


Group = tuple[str, list[RowDict]]
"""A model, by its text, with its rows, oldest run first."""


def merged(blocks: Sequence[Iterable[RowDict]]) -> Iterator[Group]:
    """Yield each model with the newest row of each of its runs, of sorted blocks; the newest block comes first.

    Holds the rows of one model at a time.
    """
    streams = [_grouped(age, rows) for age, rows in enumerate(blocks)]
    for model, found in groupby(heapq.merge(*streams, key=itemgetter(0, 1)), key=itemgetter(0)):
        groups = [rows for _, _, rows in found]
        if len(groups) == 1:
            yield model, groups[0]
            continue
        newest = {row["run_id"]: row for rows in reversed(groups) for row in rows}
        yield model, [newest[run_id] for run_id in sorted(newest)]


def _grouped(age: int, rows: Iterable[RowDict]) -> Iterator[tuple[str, int, list[RowDict]]]:
    for model, found in groupby(rows, key=itemgetter("model")):
        yield model, age, list(found)


# ---------------------------------------------------------------- heads


@dataclass(frozen=True, slots=True)
class Notice:
    """An announcement that the manifest of a run is about to be written, or to be replaced: look at it."""

    name: str
    """Below the folder of the index; other clients know it by this."""
    kind: str
    key: ModelKey
    run_id: RunId
    token: str

    @classmethod
    def named(cls, name: str) -> Notice | None:
        """Return the notice of this name below the folder of the index, or ``None`` if it is none."""
        found = keys.index_notice_in(name)
        return None if found is None else cls(name, *found)

    @property
    def order(self) -> Order:
        """The run that it is about."""
        return str(self.key), self.run_id

    def is_settled(self, record: Manifest | Tombstone | None, age: timedelta, grace: timedelta) -> bool:
        """Tell whether what it announces has happened, by what stands in the place of the manifest now, or never will.

        A deletion is known by its own write id, so that a mark that is late is not taken for one that was undone.
        """
        if age >= grace:
            return True
        if self.kind == "saved":
            return record is not None
        if self.kind == "gone":
            return isinstance(record, Tombstone) and record.write_id.startswith(self.token)
        return isinstance(record, Manifest)


@dataclass(frozen=True, slots=True)
class BlockHead:
    """The first line of a block: of which older ones it needs the rows, and which notices it has dealt with."""

    generation: int
    at: datetime
    """The storage's time when the compaction began."""
    blocks: tuple[int, ...] = ()
    """The older generations that are still in force, newest first."""
    settled: Mapping[str, datetime] = field(default_factory=dict)
    """Notices by name, each with the time of the compaction that dealt with it first."""

    @property
    def line(self) -> bytes:
        """The head as the first line of a block."""
        at: dict[str, list[str]] = {}
        for name, moment in sorted(self.settled.items()):
            at.setdefault(write_time(moment), []).append(name)
        head = {"at": write_time(self.at), "blocks": list(self.blocks), "format": FORMAT, "generation": self.generation}
        return canonical({"index": {**head, "settled": at}})

    @classmethod
    def parse(cls, line: str, generation: int, what: str) -> BlockHead:
        """Read the first line of the block of this generation.

        Raises:
            FormatTooNew: a newer release wrote it.
            Corrupt: it is no head, or that of another block.
        """
        try:
            value = json.loads(line)["index"]
            if int(value["format"].partition(".")[0]) > int(FORMAT.partition(".")[0]):
                raise FormatTooNew(f"{what} has format {brief(value['format'])}: upgrade artifact-store")
            blocks = tuple(map(int, value["blocks"]))
            settled_at = [(_moment(at), names) for at, names in value["settled"].items()]
            settled = {str(name): at for at, names in settled_at for name in names}
            head = cls(value["generation"], _moment(value["at"]), blocks, settled)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise Corrupt(f"{what} does not begin with the head of a block: {brief(str(error))}; {REBUILD}") from error
        every = [generation, *blocks]
        if head.generation != generation or min(every) < 0 or sorted(set(every), reverse=True) != every:
            raise Corrupt(f"{what} names other blocks than it can have; {REBUILD}")
        return head


def _moment(value: object) -> datetime:
    found = read_time(value)
    assert isinstance(found, datetime)
    return found


def count_to_merge(sizes: Sequence[int], added: int) -> int:
    """Return how many of the newest blocks go into the next one, by their sizes in bytes, newest first.

    So a row is written again a few times only, however many runs there are, and there are few blocks.
    """
    total = added
    for count, size in enumerate(sizes):
        if size > LARGEST or (size > SMALL and size > _FACTOR * total):
            return count
        total += size
    return len(sizes)
