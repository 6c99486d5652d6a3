"""Is a history of concurrent operations on a pointer linearizable? Decided in the time that sorting it takes.

The definition is that of M. P. Herlihy and J. M. Wing, "Linearizability: A Correctness Condition for Concurrent
Objects", ACM TOPLAS 12 (3), 1990. A history is linearizable if

* responses can be added to some of its pending operations, and the other pending ones be left out, so that
* the complete history is equivalent to a *legal sequential* one, in which
* every operation that had ended before another began (real time) comes before it.

An operation that ended in ``OutcomeUnknown`` is pending for ever: it may take effect at any moment after its call,
or never. One that was refused had no effect, and is a read of what it was told was there. The property is local
(their theorem 1), so every pointer can be checked by itself.

Deciding this is NP-complete for a register in general (P. B. Gibbons and E. Korach, "Testing Shared Memories",
SIAM J. Comput. 26 (4), 1997), and simple here, since every publish says which place it has in the one order that there
can be: its ``seq``, under a write id that is used once. Let the history of the pointer, read after everything has
landed, be the writes 1 … n. Give write ``s`` the rank 2s, and every read of ``s`` the rank 2s + 1. The only candidates
for a linearization are the orders by rank, and one of them respects real time exactly if no operation had ended
before one of a lower rank began. (Where no such pair exists, order by rank and, among reads of one value, by
their calls.) What is not in the history was never written: only an unknown operation may be missing from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.proofs.linear.history import End, Entry, Operation, Rule


class Violation(NamedTuple):
    """One thing that cannot be explained, of one ``kind``."""

    kind: str
    text: str


FORK = "fork"
"""Two writes were told, or were seen, to have the same ``seq``."""
LOST = "lost acknowledgement"
"""A write was acknowledged, or read, and the history does not have it there."""
TWICE = "twice"
"""One operation, or one write id, is in the history more than once."""
INVENTED = "never written"
"""Something was read that nobody wrote."""
UNDEAD = "refused and there"
"""An operation that was refused or failed had its effect all the same."""
REAL_TIME = "real time"
"""An operation that began after another had ended comes before it."""
ILLEGAL = "illegal"
"""A publish is not what its operation may publish at this place, or a refusal had no reason."""
HOLE = "hole"
"""The history skips a ``seq``."""
KINDS = (FORK, LOST, REAL_TIME, TWICE, INVENTED, UNDEAD, ILLEGAL, HOLE)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The operations by their marks, and the history by ``seq`` as it was at the end."""

    operations: Sequence[Operation]
    final: Sequence[Entry]
    by_mark: dict[str, Operation]
    by_seq: dict[int, Entry]

    def sightings(self) -> Iterator[tuple[Operation, Entry]]:
        """Yield every publish that an operation returned, read or was told of."""
        for operation in self.operations:
            if operation.seen is not None:
                yield operation, operation.seen
            for entry in operation.whole or ():
                yield operation, entry


def check(operations: Sequence[Operation], final: Sequence[Entry]) -> list[Violation]:
    """Return everything about the history of one pointer that has no explanation.

    ``final`` is its history, read after the last operation has ended and every delayed write has landed or failed.
    Marks are unique among the operations.
    """
    by_mark = {operation.mark: operation for operation in operations}
    assert len(by_mark) == len(operations), "two operations have the same mark"
    evidence = _Evidence(operations, final, by_mark, {entry.seq: entry for entry in final})
    return [violation for part in _PARTS for violation in part(evidence)]


def _sequence(evidence: _Evidence) -> Iterator[Violation]:
    for place, entry in enumerate(evidence.final, start=1):
        if entry.seq != place:
            yield Violation(HOLE, f"the publish after {place - 1} has the seq {entry.seq}")
            break
    for operation in evidence.operations:
        if operation.whole is None:
            continue
        last = 0 if operation.seen is None else operation.seen.seq
        if [entry.seq for entry in operation.whole] != list(range(1, last + 1)):
            yield Violation(HOLE, f"{operation.label} read a history that does not lead up to {operation.seen}")


def _forks(evidence: _Evidence) -> Iterator[Violation]:
    told: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for operation, entry in evidence.sightings():
        told[entry.seq].setdefault(entry.write_id, operation.label)
    for seq, writes in sorted(told.items()):
        if len(writes) > 1:
            yield Violation(FORK, f"seq {seq} is of several writes: {writes}")


def _repeats(evidence: _Evidence) -> Iterator[Violation]:
    for name in ("write_id", "mark"):
        places: defaultdict[str, set[int]] = defaultdict(set)
        for entry in (*evidence.final, *(entry for _, entry in evidence.sightings())):
            places[getattr(entry, name)].add(entry.seq)
        for value, seqs in places.items():
            if len(seqs) > 1:
                yield Violation(TWICE, f"{name} {value} is at {sorted(seqs)}")


def _origins(evidence: _Evidence) -> Iterator[Violation]:
    """Everything that is in the history, or was seen, was made by an operation that may have made it."""
    seen = dict.fromkeys(evidence.final, "the history")
    for operation, entry in evidence.sightings():
        seen.setdefault(entry, operation.label)
    for entry, where in seen.items():
        maker = evidence.by_mark.get(entry.mark)
        if maker is None or not maker.writes:
            yield Violation(INVENTED, f"nobody wrote {entry}, which {where} has")
        elif maker.end in {End.REFUSED, End.FAILED}:
            yield Violation(UNDEAD, f"{maker.label} was {maker.end.name.lower()} ({maker.error}); {where} has {entry}")


def _lost(evidence: _Evidence) -> Iterator[Violation]:
    lost: dict[Entry, str] = {}
    for operation, entry in evidence.sightings():
        if evidence.by_seq.get(entry.seq) != entry:
            lost.setdefault(entry, operation.label)
    for entry, who in lost.items():
        yield Violation(LOST, f"{who} was told {entry}; the history has {evidence.by_seq.get(entry.seq)} there")


class _Placed(NamedTuple):
    rank: int
    begun: int
    ended: int | None
    label: str


def _real_time(evidence: _Evidence) -> Iterator[Violation]:
    placed = list(_places(evidence))
    by_begin = sorted(placed, key=lambda one: one.begun)
    by_end = sorted((one for one in placed if one.ended is not None), key=lambda one: one.ended or 0)
    highest: _Placed | None = None
    ended = iter(by_end)
    following = next(ended, None)
    for one in by_begin:
        while following is not None and following.ended is not None and following.ended < one.begun:
            if highest is None or following.rank > highest.rank:
                highest = following
            following = next(ended, None)
        if highest is not None and highest.rank > one.rank:
            yield Violation(
                REAL_TIME,
                f"{one.label} (rank {one.rank}) began after {highest.label} (rank {highest.rank}) had ended, "
                "and comes before it",
            )


def _places(evidence: _Evidence) -> Iterator[_Placed]:
    """Give every operation that had an effect or saw one its place in the only order that is possible."""
    for entry in evidence.final:
        maker = evidence.by_mark.get(entry.mark)
        if maker is not None and maker.writes:
            end = maker.ended if maker.end is End.OK else None
            yield _Placed(2 * entry.seq, maker.begun, end, maker.label)
    for operation in evidence.operations:
        reads = not operation.writes and operation.end is End.OK
        told = operation.end is End.REFUSED and operation.seen is not None
        if reads or told:
            seq = 0 if operation.seen is None else operation.seen.seq
            yield _Placed(2 * seq + 1, operation.begun, operation.ended, operation.label)


def _legal(evidence: _Evidence) -> Iterator[Violation]:
    """Every publish is one that its operation may make at its place in the order."""
    for place, entry in enumerate(evidence.final):
        operation = evidence.by_mark.get(entry.mark)
        if operation is None or not operation.writes:
            continue  # never written: told elsewhere
        if not _may_publish(operation, entry, evidence.final, place):
            yield Violation(ILLEGAL, f"{operation.label} published {entry}, where it may not")
        if operation.end is End.OK and operation.seen is None:
            yield Violation(ILLEGAL, f"{operation.label} ended well and was told of no publish")


def _may_publish(operation: Operation, entry: Entry, final: Sequence[Entry], place: int) -> bool:
    found = final[place - 1] if place else None
    match operation.rule:
        case Rule.RETIRE:
            return entry.run_id is None and found is not None
        case Rule.ROLLBACK:
            return entry.run_id is not None and entry.run_id == _served_before(final[:place])
        case Rule.EXPECT if operation.expected != (0 if found is None else found.seq):
            return False
        case Rule.NEWER if found is not None and found.run_id is not None and found.run_id >= (entry.run_id or ""):
            return False
    return entry.run_id == operation.run_id


def _served_before(before: Sequence[Entry]) -> str | None:
    """What served last before the current run first did; for a retired alias, what it named last."""
    runs = [entry.run_id for entry in before]
    current = runs[-1] if runs else None
    earlier = runs if current is None else runs[: runs.index(current)]
    return next((run for run in reversed(earlier) if run is not None), None)


def _refusals(evidence: _Evidence) -> Iterator[Violation]:
    """A refusal names a publish of somebody else that explains it."""
    for operation in evidence.operations:
        if operation.end is not End.REFUSED or not operation.writes:
            continue
        if not _explained(operation, evidence):
            yield Violation(ILLEGAL, f"{operation.label} was refused for {operation.seen}, which is no reason")


def _explained(operation: Operation, evidence: _Evidence) -> bool:
    seen = operation.seen
    if operation.rule is Rule.EXPECT and (0 if seen is None else seen.seq) != operation.expected:
        return True
    if operation.rule is Rule.NEWER and seen is not None and (seen.run_id or "") >= (operation.run_id or ""):
        return True
    # it was overtaken: then what it saw at last was written after it had begun to look
    if seen is not None:
        maker = evidence.by_mark.get(seen.mark)
        return maker is not None and _may_land_after(maker, operation.begun)
    # what overtook it could not be read: it was one that could land while this one was at work
    return any(
        other.writes and other.begun <= operation.ended and _may_land_after(other, operation.begun)
        for other in evidence.operations
        if other is not operation and other.end in {End.OK, End.UNKNOWN}
    )


def _may_land_after(operation: Operation, moment: int) -> bool:
    return operation.end is not End.OK or operation.ended >= moment


_PARTS: tuple[Callable[[_Evidence], Iterator[Violation]], ...] = (
    _sequence,
    _forks,
    _repeats,
    _origins,
    _lost,
    _real_time,
    _legal,
    _refusals,
)
