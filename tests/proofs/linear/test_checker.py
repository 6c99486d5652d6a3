"""The checker against histories made by hand: good ones pass, and each kind of bad one is found for what it is."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from tests.proofs.linear import checker
from tests.proofs.linear.checker import check
from tests.proofs.linear.history import End, Entry, Operation, Rule

RUN = "20240101_000000"
OTHER = "20240102_000000"


def entry(seq, mark=None, *, run_id=RUN, write_id=None):
    mark = mark or f"w{seq}"
    return Entry(seq, write_id or f"id-{mark}", mark, run_id)


def wrote(seq, begun, ended, *, mark=None, rule=Rule.PROMOTE, end=End.OK, seen="own", run_id=RUN, **more):
    mark = mark or f"w{seq}"
    published = None if rule is Rule.RETIRE else run_id
    told = entry(seq, mark, run_id=published) if seen == "own" and end is End.OK else None if seen == "own" else seen
    return Operation(mark, rule, begun, ended, end, told, run_id, **more)


def read(seq, begun, ended, *, mark="r", seen="own", **more):
    found = (entry(seq) if seq else None) if seen == "own" else seen
    return Operation(mark, Rule.READ, begun, ended, End.OK, found, **more)


def kinds(operations, final):
    return {violation.kind for violation in check(operations, final)}


HISTORY = (entry(1), entry(2), entry(3))
WRITES = (wrote(1, 0, 10), wrote(2, 20, 30), wrote(3, 40, 50))

GOOD = {
    "nothing at all": ([], []),
    "one after the other": (WRITES, HISTORY),
    "reads of what is there": ([*WRITES, read(2, 31, 39)], HISTORY),
    "a read before anything": ([*WRITES, read(0, 0, 9)], HISTORY),
    "a read beside a write sees the old": ([*WRITES, read(1, 15, 25)], HISTORY),
    "a read beside a write sees the new": ([*WRITES, read(2, 15, 25)], HISTORY),
    "two reads beside one write, the later one sees the new": (
        [*WRITES, read(1, 21, 23, mark="a"), read(2, 24, 26, mark="b")],
        HISTORY,
    ),
    "writes beside each other in any order": ([wrote(2, 0, 30), wrote(1, 5, 20), wrote(3, 6, 21)], HISTORY),
    "an unknown that never landed": ([*WRITES, wrote(9, 11, 12, mark="u", end=End.UNKNOWN)], HISTORY),
    "an unknown that landed long after it was given up": (
        [*WRITES[:2], wrote(3, 0, 1, end=End.UNKNOWN), read(2, 100, 101, mark="a"), read(3, 102, 103, mark="b")],
        HISTORY,
    ),
    "a refused one that was told what beat it": (
        [*WRITES, wrote(9, 15, 32, mark="x", end=End.REFUSED, seen=entry(2), rule=Rule.RETIRE)],
        HISTORY,
    ),
    "a refused one that could not be told what beat it": (
        [*WRITES, wrote(9, 15, 32, mark="x", end=End.REFUSED)],
        HISTORY,
    ),
    "what was expected was there": ([*WRITES[:2], wrote(3, 40, 50, rule=Rule.EXPECT, expected=2)], HISTORY),
    "what was expected was not there": (
        [*WRITES, wrote(9, 60, 61, mark="x", rule=Rule.EXPECT, expected=2, end=End.REFUSED, seen=entry(3))],
        HISTORY,
    ),
    "a newer run": (
        [*WRITES, wrote(4, 60, 61, rule=Rule.NEWER, run_id=OTHER)],
        [*HISTORY, entry(4, run_id=OTHER)],
    ),
    "retired and rolled back": (
        [*WRITES, wrote(4, 60, 61, rule=Rule.RETIRE), wrote(5, 70, 71, rule=Rule.ROLLBACK)],
        [*HISTORY, entry(4, run_id=None), entry(5)],
    ),
    "rolled back to what was there before": (
        [
            wrote(1, 0, 1),
            wrote(2, 2, 3, run_id=OTHER),
            wrote(3, 4, 5, run_id=OTHER),
            wrote(4, 6, 7, rule=Rule.ROLLBACK),
        ],
        [entry(1), entry(2, run_id=OTHER), entry(3, run_id=OTHER), entry(4)],
    ),
    "the whole history": ([*WRITES, read(2, 31, 39, whole=HISTORY[:2])], HISTORY),
    "a failure that did nothing": ([*WRITES, wrote(9, 0, 99, mark="x", end=End.FAILED)], HISTORY),
}

BAD = {
    "two were told the same seq": ([*WRITES, wrote(3, 40, 50, mark="fork")], HISTORY, {checker.FORK, checker.LOST}),
    "two readers saw another write at one seq": (
        [*WRITES, wrote(3, 0, 1, mark="u", end=End.UNKNOWN), read(3, 51, 52, seen=entry(3, "u"))],
        HISTORY,
        {checker.FORK, checker.LOST},
    ),
    "an acknowledged write is not there": ([*WRITES, wrote(4, 60, 61)], HISTORY, {checker.LOST}),
    "an acknowledged write was replaced": (
        [*WRITES[:2], wrote(3, 40, 50, mark="gone"), wrote(3, 0, 1, end=End.UNKNOWN)],
        HISTORY,
        {checker.LOST},
    ),
    "an acknowledged write is there with another run": (
        WRITES,
        [entry(1), entry(2, run_id=OTHER), entry(3)],
        {checker.LOST, checker.ILLEGAL},
    ),
    "a stale read": ([*WRITES, read(1, 31, 39)], HISTORY, {checker.REAL_TIME}),
    "a read of nothing after something": ([*WRITES, read(0, 31, 39)], HISTORY, {checker.REAL_TIME}),
    "a later read sees less": (
        [*WRITES, read(2, 21, 22, mark="a"), read(1, 23, 24, mark="b")],
        HISTORY,
        {checker.REAL_TIME},
    ),
    "a read of what was written afterwards": ([*WRITES, read(3, 31, 39)], HISTORY, {checker.REAL_TIME}),
    "a read of an unknown before it was called": (
        [*WRITES[:2], wrote(3, 60, 61, end=End.UNKNOWN), read(3, 51, 52)],
        HISTORY,
        {checker.REAL_TIME},
    ),
    "a write before one that had ended": (
        [wrote(1, 20, 30), wrote(2, 0, 10), WRITES[2]],
        HISTORY,
        {checker.REAL_TIME},
    ),
    "a refusal for what was long gone": (
        [*WRITES, wrote(9, 45, 60, mark="x", end=End.REFUSED, seen=entry(1), rule=Rule.EXPECT, expected=3)],
        HISTORY,
        {checker.REAL_TIME},
    ),
    "a read of what nobody wrote": (
        [*WRITES, read(2, 31, 39, seen=entry(2, "ghost"))],
        HISTORY,
        {checker.INVENTED, checker.FORK, checker.LOST},
    ),
    "a history with what nobody wrote": (WRITES[:2], HISTORY, {checker.INVENTED}),
    "a history with what a reader wrote": ([*WRITES[:2], read(0, 0, 1, mark="w3")], HISTORY, {checker.INVENTED}),
    "an unknown that is there twice": (
        [*WRITES[:2], wrote(3, 0, 1, end=End.UNKNOWN)],
        [*HISTORY, entry(4, "w3", write_id="again")],
        {checker.TWICE},
    ),
    "a write id that is there twice": (
        [*WRITES, wrote(4, 60, 61, end=End.UNKNOWN)],
        [*HISTORY, entry(4, write_id="id-w3")],
        {checker.TWICE},
    ),
    "a refused one that is there": (
        [*WRITES[:2], wrote(3, 40, 50, end=End.REFUSED, seen=entry(2))],
        HISTORY,
        {checker.UNDEAD, checker.ILLEGAL},
    ),
    "a failed one that is there": ([*WRITES[:2], wrote(3, 40, 50, end=End.FAILED)], HISTORY, {checker.UNDEAD}),
    "a refusal without a reason": (
        [*WRITES, wrote(9, 60, 70, mark="x", end=End.REFUSED, seen=entry(3))],
        HISTORY,
        {checker.ILLEGAL},
    ),
    "a refusal that names nothing, beside which nothing was written": (
        [*WRITES, wrote(9, 60, 70, mark="x", end=End.REFUSED)],
        HISTORY,
        {checker.ILLEGAL},
    ),
    "a refusal of what was expected": (
        [*WRITES, wrote(9, 60, 70, mark="x", rule=Rule.EXPECT, expected=3, end=End.REFUSED, seen=entry(3))],
        HISTORY,
        {checker.ILLEGAL},
    ),
    "another run than was asked for": (
        [*WRITES[:2], wrote(3, 40, 50, run_id=OTHER, seen=entry(3))],
        HISTORY,
        {checker.ILLEGAL},
    ),
    "published over what was not expected": (
        [*WRITES[:2], wrote(3, 40, 50, rule=Rule.EXPECT, expected=1)],
        HISTORY,
        {checker.ILLEGAL},
    ),
    "published over a newer one": ([*WRITES[:2], wrote(3, 40, 50, rule=Rule.NEWER)], HISTORY, {checker.ILLEGAL}),
    "rolled back to what was there already": (
        [*WRITES[:2], wrote(3, 40, 50, rule=Rule.ROLLBACK)],
        HISTORY,
        {checker.ILLEGAL},
    ),
    "acknowledged without a publish": (
        [*WRITES[:2], wrote(3, 40, 50, seen=None)],
        HISTORY,
        {checker.ILLEGAL},
    ),
    "a hole": ([WRITES[0], WRITES[2]], [entry(1), entry(3)], {checker.HOLE}),
    "a history that begins late": (WRITES[1:], HISTORY[1:], {checker.HOLE}),
    "a hole in what a reader was told": ([*WRITES, read(2, 31, 39, whole=HISTORY[1:2])], HISTORY, {checker.HOLE}),
    "another history in what a reader was told": (
        [*WRITES, read(2, 31, 39, whole=(entry(1, run_id=OTHER), entry(2)))],
        HISTORY,
        {checker.LOST},
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_passes(name):
    assert check(*GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_found_for_what_it_is(name):
    operations, final, expected = BAD[name]
    assert kinds(operations, final) == expected


def sequential(steps, dice):
    """What clients see of a pointer that takes effect at one moment of each call: linearizable by construction."""
    operations, final, now = [], [], 0
    for number in range(steps):
        now += dice.randrange(1, 10)
        begun, ended = now - dice.randrange(25), now + dice.randrange(25)
        if dice.random() < 0.5:
            seen = final[-1] if final else None
            operations.append(Operation(f"r{number}", Rule.READ, begun, ended, End.OK, seen))
            continue
        made = entry(len(final) + 1, f"m{number}")
        final.append(made)
        unknown = dice.random() < 0.2
        ended = dice.randrange(begun, ended + 1) if unknown else ended
        operations.append(
            Operation(f"m{number}", Rule.PROMOTE, begun, ended, End.UNKNOWN if unknown else End.OK, None if unknown else made, RUN)
        )  # fmt: skip
    return operations, final


def brute_force(operations, final):
    """Search a linearization step by step, as the definition has it."""
    writes = {made.mark: made.seq for made in final}
    calls = []
    for one in operations:
        if one.rule is Rule.READ:
            calls.append((one.begun, one.ended, "read", one.seen.seq if one.seen else 0))
        elif one.mark in writes:
            calls.append((one.begun, one.ended if one.end is End.OK else float("inf"), "write", writes[one.mark]))

    def search(left, state):
        if not left:
            return True
        first_end = min(calls[which][1] for which in left)
        for which in left:
            begun, _, kind, seq = calls[which]
            if begun > first_end:
                continue
            fits, after = (seq == state, state) if kind == "read" else (seq == state + 1, seq)
            if fits and search(left - {which}, after):
                return True
        return False

    return search(frozenset(range(len(calls))), 0)


def test_it_agrees_with_a_search_through_all_orders():
    dice, verdicts = random.Random(1), Counter()
    for _ in range(600):
        operations, final = sequential(9, dice)
        assert check(operations, final) == []
        assert brute_force(operations, final)
        spoilt, shift = dice.randrange(len(operations)), dice.randrange(-60, 60)
        one = operations[spoilt]
        operations[spoilt] = replace(one, begun=one.begun + shift, ended=one.ended + shift)
        verdict = brute_force(operations, final)
        assert (check(operations, final) == []) is verdict
        verdicts[verdict] += 1
    assert min(verdicts[True], verdicts[False]) > 100


def test_long_histories_are_no_trouble():
    operations, final = sequential(30_000, random.Random(1))
    assert check(operations, final) == []
    operations.append(read(1, operations[-1].ended + 100, operations[-1].ended + 101, seen=final[0]))
    assert kinds(operations, final) == {checker.REAL_TIME}
