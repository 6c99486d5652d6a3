"""The runs of a store by its index: what a listing takes from there, and what it looks at itself.

A listing that is ``checked`` lists the names of all runs as well, reads the manifest of each that the index does not
have or that a notice is about, and passes over what is in the index alone. One by the index ``only`` does not list.

Why: docs/decisions/0025-an-index-that-is-never-the-truth.md
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Final, Generic, Literal, TypeVar

from artifact_store.core.index_query import Condition, Question
from artifact_store.core.index_rows import REBUILD, Row, RowDict, is_sound
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.outline import Outline
from artifact_store.errors import ArtifactStoreError, Corrupt, InvalidOption, NotFound
from artifact_store.ops import index_parquet, listing
from artifact_store.ops.context import Context
from artifact_store.ops.index import PARQUET, Index, Survey, open_index, read_noticed, survey
from artifact_store.problems import Problem

T = TypeVar("T")
Mode = Literal["checked", "only", "off"]

_CHEAP: Final = 8 << 20
"""Bytes of an index that is read before it is known how many runs a model has."""
_WORTH: Final = 64 << 10
"""Bytes of an index that take about as long as reading one more manifest."""
_AHEAD: Final = 16


def check_index_mode(mode: object) -> None:
    """Raise ``InvalidOption`` unless this says how a listing uses the index."""
    if mode not in ("checked", "only", "off"):
        raise InvalidOption(f"index is 'checked', 'only' or 'off', not {mode!r}")


class Openings:
    """The manifests of listed runs, for those who want more of a run than its row has.

    Who asks for one after the other gets them as fast as from a listing without an index: some are fetched ahead.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._rows: dict[int, Row] = {}
        self._begun: dict[int, Future[Manifest]] = {}
        self._count, self._last = 0, -2

    def known(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield the rows, each when those behind it are known as well, as far as they come from the index."""
        behind: deque[Row] = deque()
        for row in rows:
            if not row.is_read:
                self._add(row)
            behind.append(row)
            while (row.is_read and behind) or len(behind) > _AHEAD:
                yield behind.popleft()
        yield from behind

    def _add(self, row: Row) -> None:
        self._rows[self._count] = row
        self._rows.pop(self._count - 2 * _AHEAD, None)
        row.load = partial(self._manifest, self._count)
        self._count += 1

    def _manifest(self, place: int, row: Row) -> Manifest:
        """Return the manifest of a row: the one that the row was made from, and no other.

        Raises:
            RunDeleted: the run was deleted meanwhile.
            Corrupt: it is not the manifest that the index is about.
        """
        with self._lock:
            some = range(place + 1, place + _AHEAD) if place == self._last + 1 else ()
            self._last = place
            for number in (place, *some):
                wanted = row if number == place else self._rows.get(number)
                if wanted is not None and number not in self._begun:
                    self._begun[number] = self._context.workers.submit(partial(self._read, wanted))
            future = self._begun.pop(place)
        return future.result()

    def _read(self, row: Row) -> Manifest:
        manifest = self._context.records.manifest(row.key, row.run_id)
        if Row.of(manifest).fingerprint != row.fingerprint:
            raise Corrupt(f"the index says something else of {row.label} than its manifest does; {REBUILD}")
        return manifest


# ---------------------------------------------------------------- checked


def checked(context: Context, key: ModelKey | None, wanted: listing.Filter, problems: list[Problem]) -> Iterator[Row]:
    """Yield the committed runs of a model, or of all, newest first within each: complete, as without an index."""
    if key is not None:
        yield from _of_model(context, key, wanted, problems)
        return
    index = _usable(context)
    groups = _sound(index.groups()) if index is not None else iter(())
    model, rows = "", list[RowDict]()
    for found in listing.models(context):  # in the order of the rows
        while model < str(found):
            model, rows = next(groups, (_END, []))
        names = listing.run_folders(context, found)
        known = _Known(index, rows if model == str(found) else [])
        yield from _reconciled(context, found, names, known, wanted, problems)


_END: Final = "\U0010ffff"
"""Behind every model."""


def _of_model(context: Context, key: ModelKey, wanted: listing.Filter, problems: list[Problem]) -> Iterator[Row]:
    """Yield the runs of one model; the index is read beside the listing of their names, if it is not too large."""

    def small() -> tuple[Survey, Index | None]:
        found = _surveyed(context)
        return found, _usable(context, found) if found.size <= _CHEAP else None

    with context.workers.beside(small) as read:
        names = listing.run_folders(context, key)
    found, index = read.result()
    if index is None and _CHEAP < found.size <= len(names) * _WORTH:
        index = _usable(context, found)
    rows = [row for _, group in _sound(index.groups(key)) for row in group] if index is not None else []
    yield from _reconciled(context, key, names, _Known(index, rows), wanted, problems)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the index has of one model."""

    index: Index | None
    rows: Sequence[RowDict]

    def split(self, key: ModelKey, names: Sequence[str]) -> tuple[list[RowDict], Sequence[str]]:
        """Return what there is among these names, in their order: rows to use, and runs to look at."""
        if not self.rows:
            return [], names
        model, known = str(key), {row["run_id"]: row for row in self.rows}
        doubtful = self.index.doubtful if self.index is not None else frozenset()
        listed: list[RowDict] = []
        missing: list[str] = []
        for name in names:
            row = known.get(name)
            if row is None or row["state"] == "large" or (model, name) in doubtful or not is_sound(row):
                missing.append(name)
            elif row["state"] == "live":
                listed.append(row)
        return listed, missing


def _reconciled(
    context: Context,
    key: ModelKey,
    names: Sequence[str],
    known: _Known,
    wanted: listing.Filter,
    problems: list[Problem],
) -> Iterator[Row]:
    """Yield the runs among the names below a model: by their rows, or their manifests where there is no row to use."""
    listed, missing = known.split(key, names)
    by_rows = (row for row in map(Row, listed) if wanted.admits(row))
    by_manifests = map(Row.of, _looked_for(context, key, missing, wanted, problems))
    if not missing or not listed:
        yield from by_rows if listed else by_manifests
        return
    yield from heapq.merge(by_rows, by_manifests, key=lambda row: str(row.value["run_id"]), reverse=True)


def _looked_for(
    context: Context, key: ModelKey, names: Sequence[str], wanted: listing.Filter, problems: list[Problem]
) -> Iterator[Manifest | Outline]:
    """Yield the runs among these names: in outline, or whole where the policy requires that they are signed."""
    if context.policy.require_signature:
        return listing.manifests(context, key, wanted, problems, signed=True, folders=names)
    return listing.outlines(context, key, names, wanted, problems)


def _surveyed(context: Context) -> Survey:
    """Return what there is of an index that this listing may use: nothing where signatures are required of each run."""
    if context.policy.require_signature or context.backend.read_only:
        return Survey()
    try:
        return survey(context)
    except ArtifactStoreError:  # a listing does without, and says itself if the storage does not answer
        return Survey()


def _usable(context: Context, found: Survey | None = None) -> Index | None:
    """Return the index, or ``None`` where there is none that can be read."""
    try:
        return open_index(context, _surveyed(context) if found is None else found)
    except ArtifactStoreError:
        return None


def _sound(groups: Iterator[tuple[str, list[RowDict]]]) -> Iterator[tuple[str, list[RowDict]]]:
    """Yield the groups up to where the index is damaged; the runs behind that are looked at."""
    try:
        yield from groups
    except Corrupt:
        return


# ---------------------------------------------------------------- the index only


def indexed(context: Context, key: ModelKey | None, question: Question, problems: list[Problem]) -> Iterator[RowDict]:
    """Yield the rows of the runs that the index knows, newest first within each model, and those of notices.

    Where the question has an order and a number, and there are copies in Parquet that can be read, only such runs are
    among them as it may be answered with.

    Raises:
        NotFound: there is no index.
        InvalidOption: the policy requires signatures, and the index has none.
        Corrupt: it is damaged.
    """
    if context.policy.require_signature:
        raise InvalidOption("the index proves nothing, and this policy requires signatures: leave out index='only'")
    found = survey(context)
    if found.newest is None:
        raise NotFound(f"{context.backend.url} has no index yet: `artifact-store index --rebuild` makes it")
    rows = _by_copies(context, found, key, question, problems)
    if rows is None:
        index = open_index(context, found)
        assert index is not None
        groups = index.groups(key, _fresh(context, index, problems))
        rows = (row for model, group in groups if key is None or model == str(key) for row in reversed(group))
    for value in rows:
        row = value if value["state"] != "large" else _looked_at(context, Row(value), problems)
        if row["state"] == "live":
            yield row


def _by_copies(
    context: Context, found: Survey, key: ModelKey | None, question: Question, problems: list[Problem]
) -> Iterator[RowDict] | None:
    """Return the rows that may answer a question, by the copies in Parquet; ``None`` where these do not do it."""
    counted = question.per_model is not None or question.limit is not None
    if question.order is None or not counted or not index_parquet.can_copy():
        return None
    try:
        index = open_index(context, found, PARQUET)
        assert index is not None
        copies = [copy for _, copy in index.blocks]
        best = index_parquet.best(copies, question, index.doubtful, None if key is None else str(key))
    except (Corrupt, ImportError):  # there is a module, but not the shared library below it
        return None
    fresh = [row for row in _fresh(context, index, problems) if key is None or row["model"] == str(key)]
    best += fresh
    best.sort(key=itemgetter("run_id"), reverse=True)
    return iter(sorted(best, key=itemgetter("model")))


def _fresh(context: Context, index: Index, problems: list[Problem]) -> list[RowDict]:
    """Return what is so now of the runs that notices are about."""
    seen = read_noticed(context, index.unsettled, problems)
    rows = [
        Row.none(order) if (record := seen.get(order)) is None else Row.of(record) for order in sorted(index.doubtful)
    ]
    return [row.value for row in rows]


def _looked_at(context: Context, row: Row, problems: list[Problem]) -> RowDict:
    """Return what the manifest says of a run whose row would be too long."""
    try:
        return Row.of(context.records.run(row.key, row.run_id).value).value
    except ArtifactStoreError as error:
        problems.append(Problem(row.label, error))
        return Row.none((row.value["model"], row.value["run_id"])).value


# ---------------------------------------------------------------- a listing


class Runs(Generic[T]):
    """The runs that a listing finds, in the order that was asked for; what it could not read is in ``problems``.

    Each iteration lists anew.
    """

    def __init__(
        self,
        context: Context,
        key: ModelKey | None,
        wanted: listing.Filter,
        make: Callable[[Row], T],
        *,
        where: Callable[[T], bool] | str | Sequence[str] | None = None,
        order_by: str | None = None,
        per_model: int | None = None,
        index: Mode = "checked",
    ) -> None:
        self._asked = where if callable(where) else None
        check_index_mode(index)
        texts = None if callable(where) else where
        question = Question.of(texts, order_by, per_model, wanted.limit, wanted.since, wanted.until)
        tags = (Condition("tags", name, "=", str(value)) for name, value in (wanted.tags or {}).items())
        self._question = replace(question, conditions=(*question.conditions, *tags))
        self._context, self._key, self._wanted = context, key, wanted
        self._make, self._mode = make, index
        self.problems: list[Problem] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._context.backend.url}: list(...) reads them>"

    def __iter__(self) -> Iterator[T]:
        self.problems.clear()
        question, asked, openings = self._question, self._asked, Openings(self._context)
        if self._mode == "only":
            rows = self._of_the_index(openings)
        else:
            rows = (row for row in self._rows() if question.admits(row.value))
            rows = openings.known(rows if asked is not None else question.choose(rows, attrgetter("value")))
        if asked is None:
            return map(self._make, rows)
        fitting = (pair for pair in ((row, self._make(row)) for row in rows) if asked(pair[1]))
        return (run for _, run in question.choose(fitting, lambda pair: pair[0].value))

    def _of_the_index(self, openings: Openings) -> Iterator[Row]:
        """Yield what the index alone says; where that can be, what is wanted is chosen before it is checked."""
        question = self._question
        narrowed = question if self._asked is None else Question()
        values = indexed(self._context, self._key, narrowed, self.problems)
        if question.narrows:
            values = (value for value in values if question.admits(value))
        if self._asked is None:
            values = question.choose(values, lambda value: value)
        return openings.known(Row(value).check() for value in values)

    def _rows(self) -> Iterator[Row]:
        context, key, wanted, problems = self._context, self._key, self._wanted, self.problems
        if self._mode == "checked":
            return checked(context, key, wanted, problems)
        models = listing.models(context) if key is None else [key]
        manifests = (listing.manifests(context, model, wanted, problems, signed=True) for model in models)
        return map(Row.of, chain.from_iterable(manifests))
