"""Ask one question about many things: here, one after the other, or in many processes at once, with the same answer.

A task is a pure function of a spec and a slice of references. It opens the store, asks for each reference, and closes
it. Verdicts travel as JSON, and exceptions do not: what says nothing about the thing itself, such as a storage that
does not answer, ends the whole call as it does without workers, after what is under way; the journal keeps the rest.

Why: docs/decisions/0030-bulk-work-over-joblib.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from artifact_store.bulk.journal import Journal
from artifact_store.bulk.pool import Pool, Rounds, workers_of
from artifact_store.bulk.verdicts import JSON, error_from_json, error_to_json
from artifact_store.errors import ArtifactStoreError, InvalidInput, InvalidOption, WorkerLost
from artifact_store.ops.context import check_called

S = TypeVar("S")
R = TypeVar("R")

MOST: Final = 64
"""Things in a slice: what is lost with a worker, and asked again."""
_SLICES: Final = 8
"""For each worker, where there is little to do: the last ones end together."""

Announce = Callable[[int, int], None]
"""Told how many of how many things are answered."""


class Sent(Protocol):
    """What opens a store in another process; :class:`artifact_store.StoreSpec` is one."""

    @property
    def url(self) -> str | PathLike[str]:
        """Where it is."""

    @property
    def one_process(self) -> bool:
        """Whether other processes would find another store there."""


@dataclass(frozen=True, slots=True)
class Work(Generic[S, R]):
    """A kind of bulk work, made of functions that every process can import.

    ``opened`` opens a store from its spec for as long as a slice takes; ``asking`` gets that and the arguments of the
    question, and gives the function that answers for one thing, for as long. ``lasting`` tells whether a verdict would
    be the same if it was asked for later; only such a one is kept in a journal. ``holds`` tells whether one from a
    journal is about what is there now: it gets the store, the arguments of the question, the reference and the verdict.
    ``lost`` is the verdict where every worker ended without one.
    """

    name: str
    opened: Callable[[Any], AbstractContextManager[S]]
    asking: Callable[..., AbstractContextManager[Callable[[Any], R]]]
    to_json: Callable[[R], JSON]
    from_json: Callable[[JSON], R]
    lasting: Callable[[R], bool]
    holds: Callable[[S, Mapping[str, JSON], str, R], bool]
    lost: Callable[[str, WorkerLost], R]


@dataclass(frozen=True, slots=True)
class Bulk:
    """How bulk work is done: with how many workers, with which journal, and who is told how far it is."""

    jobs: int | None = None
    resume: str | Path | None = None
    announce: Announce | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be told how far it is."""
        check_called("announce", self.announce)


@dataclass(frozen=True, slots=True)
class Inquiry(Generic[S, R]):
    """What is asked of which store: ``here`` is the store as this process has it, ``spec`` makes one for others.

    ``place`` and ``arguments`` are JSON, and all that tells one question from another.
    """

    work: Work[S, R]
    place: Mapping[str, JSON]
    arguments: Mapping[str, JSON]
    here: S
    spec: Callable[[], Sent]

    def ask(self, things: Mapping[str, Any], how: Bulk) -> list[R]:
        """Return the verdict on each thing, in their order, whatever the order in which they were answered.

        Raises:
            ArtifactStoreError: what ends the work without workers, too; the journal has the verdicts so far.
            InvalidOption: the store cannot be opened by others, or the journal answers another question.
            Unsupported: joblib is not installed.
            WorkerLost: no worker ever answered.
        """
        workers = workers_of(how.jobs)
        asked = {"work": self.work.name, **self.place, **self.arguments}
        with nullcontext() if how.resume is None else Journal(how.resume, asked) as journal:
            known = {} if journal is None else self._known(things, journal.answers)
            answers = _Answers(self.work, list(things), journal, how.announce, known)
            left = {ref: things[ref] for ref in answers.missing}
            if workers == 1 or len(left) < 2:  # noqa: PLR2004 -- one thing is no bulk
                self._here(left, answers)
            else:
                self._elsewhere(left, answers, how.jobs, workers)
        return answers.in_order()

    def _known(self, things: Iterable[str], answers: Mapping[str, JSON]) -> dict[str, R]:
        """Return the answers of a journal that count: that can be read, would be kept now, and still hold."""
        found: dict[str, R] = {}
        for ref in filter(answers.__contains__, things):
            with suppress(LookupError, TypeError, ValueError, AttributeError, InvalidInput):  # of another release
                found[ref] = self.work.from_json(answers[ref])
        return {
            ref: verdict
            for ref, verdict in found.items()
            if self.work.lasting(verdict) and self.work.holds(self.here, self.arguments, ref, verdict)
        }

    def _here(self, left: Mapping[str, Any], answers: _Answers[R]) -> None:
        with self.work.asking(self.here, **self.arguments) as ask:
            for ref, thing in left.items():
                answers.take({ref: ask(thing)})

    def _elsewhere(self, left: Mapping[str, Any], answers: _Answers[R], jobs: int | None, workers: int) -> None:
        spec, pool = self.spec(), Pool(jobs)
        if spec.one_process and not pool.is_here:
            raise InvalidOption(
                f"{spec.url} is in the memory of this process, and its workers are others: leave out jobs=, or use "
                "joblib.parallel_config(backend='threading')"
            )
        raised: list[ArtifactStoreError] = []

        def take(answer: tuple[list[tuple[str, JSON]], JSON]) -> bool:
            verdicts, why = answer
            answers.take({ref: self.work.from_json(verdict) for ref, verdict in verdicts})
            raised.extend([] if why is None else [error_from_json(why)])
            return why is None

        def lost(thing: tuple[str, Any], error: WorkerLost) -> None:
            answers.take({thing[0]: self.work.lost(thing[0], error)})

        task = partial(answer_slice, spec, self.work, dict(self.arguments))
        Rounds(pool, task, take=take, lost=lost).run(_sliced(list(left.items()), workers))
        for error in raised:
            raise error


def answer_slice(
    spec: Sent, work: Work[S, R], arguments: Mapping[str, JSON], slice_: Sequence[tuple[str, Any]]
) -> tuple[list[tuple[str, JSON]], JSON]:
    """Return the verdicts on the things of a slice as JSON, and what kept it from going on, as JSON or ``None``.

    Runs in a worker. Raises nothing that is ours.
    """
    verdicts: list[tuple[str, JSON]] = []
    try:
        with work.opened(spec) as store, work.asking(store, **arguments) as ask:
            for ref, thing in slice_:
                verdicts.append((ref, work.to_json(ask(thing))))
    except ArtifactStoreError as error:
        return verdicts, error_to_json(error)
    return verdicts, None


def _sliced(things: Sequence[tuple[str, Any]], workers: int) -> list[Sequence[tuple[str, Any]]]:
    size = max(1, min(MOST, len(things) // (workers * _SLICES)))
    return [things[start : start + size] for start in range(0, len(things), size)]


class _Answers(Generic[R]):
    """The verdicts so far, one for each thing, and the journal that keeps them."""

    def __init__(
        self,
        work: Work[Any, R],
        refs: Sequence[str],
        journal: Journal | None,
        announce: Announce | None,
        known: Mapping[str, R],
    ) -> None:
        self._work, self._refs, self._journal, self._announce = work, refs, journal, announce
        self._found = dict(known)
        self._tell()

    @property
    def missing(self) -> list[str]:
        """What is not answered."""
        return [ref for ref in self._refs if ref not in self._found]

    def take(self, verdicts: Mapping[str, R]) -> None:
        """Keep the first verdict on each thing."""
        new = {ref: verdict for ref, verdict in verdicts.items() if ref not in self._found}
        self._found.update(new)
        if self._journal is not None:
            lasting = [
                (ref, self._work.to_json(verdict)) for ref, verdict in new.items() if self._work.lasting(verdict)
            ]
            self._journal.add(lasting)
        self._tell()

    def in_order(self) -> list[R]:
        """Return the verdicts in the order of the things."""
        return [self._found[ref] for ref in self._refs]

    def _tell(self) -> None:
        if self._announce is not None:
            self._announce(len(self._found), len(self._refs))
