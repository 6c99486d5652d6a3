"""Whether what a caller was told is true: judged by what a sound client reads before, after, and after a repetition.

Nothing here knows how the store works. The rules:

1. Told that it is done: it is done, exactly once, and nothing else has changed. A listing carries no digest; where a
   byte of one flipped, a list may show less, and what removes may leave some of what was there, and nothing else.
2. Told an error: it is one of ours, and one that this fault explains; so never a conflict, where nobody else writes.
   What is there is one of the states that the operation passes through. If the error is not ``OutcomeUnknown``, then
   nothing has happened, and nothing will: a write that is still on its way would make that a lie. ``committed`` names a
   run that is there.
3. Every moment is sound: all invariants hold, nothing is half visible, also after a late write has landed.
4. Done again by a client that meets no faults it succeeds, or says truthfully that it is done already; and no late
   write changes anything after that.
5. Against a dead storage it costs no more seconds and no more requests than it may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from artifact_store.core.pointer import Pointer
from artifact_store.errors import ArtifactStoreError, Conflict, OutcomeUnknown
from tests.proofs.matrix.bench import Told, Trial
from tests.proofs.matrix.views import View

OK, ERROR, UNKNOWN = "ok", "error", "unknown"


@dataclass(frozen=True)
class Verdict:
    """How it ended, and what is wrong about that."""

    ending: str
    violations: tuple[str, ...] = ()
    told: str = ""


def judge(trial: Trial) -> Verdict:
    """Return the verdict on one trial."""
    states = list(trial.operation.passes(trial.before))
    died = any(strike.fault.deadly for strike in trial.strikes) and trial.told.error is not None
    raised = errors_of(trial)
    violations = []
    if trial.met < len(trial.strikes):
        violations.append("the fault was never met, so nothing was tried")
    violations += _sound(trial)
    if died:
        ending = OK
        violations += _reached(trial, states, "after the process died")
    elif raised:
        unknown = any(isinstance(error, OutcomeUnknown) for error in raised)
        ending = UNKNOWN if unknown else ERROR
        violations += _wrong_errors(trial, raised, states)
    else:
        ending = OK
        violations += _false_success(trial, states)
    violations += _repetition(trial)
    violations += _cost(trial)
    return Verdict(ending, tuple(violations), spoken(trial.told))


def errors_of(trial: Trial) -> list[BaseException]:
    """The error that was raised, or those that a report holds: a plan and a migration go on after a failure."""
    if trial.told.error is not None:
        return [trial.told.error]
    value = trial.told.value
    if _is_success(trial):
        return []
    found = [problem.error for problem in getattr(value, "problems", ())]
    for part in (*getattr(value, "runs", ()), *getattr(value, "aliases", ())):
        found += [part.error] if part.error is not None else []
    return found


def _blurred(trial: Trial) -> bool:
    """Whether a byte of a listing flipped."""
    return any(strike.fault.name == "flipped byte" and strike.point.what == "LIST" for strike in trial.strikes)


def _is_success(trial: Trial) -> bool:
    """Whether what was returned is right."""
    value, operation = trial.told.value, trial.operation
    return operation.told(value) or (_blurred(trial) and operation.partly(value))


def _sound(trial: Trial) -> Iterator[str]:
    for moment in ("after", "late", "final", "last"):
        view: View | None = getattr(trial, moment)
        if view is not None:
            yield from (f"{moment}: {broken}" for broken in view.broken)


def _false_success(trial: Trial, states: list[View]) -> Iterator[str]:
    value, done = trial.told.value, states[-1]
    if not _is_success(trial):
        yield f"told {value!r}, which is no success, and no error either"
    if trial.operation.tidy and _blurred(trial):  # rule 4 holds what was left: the repetition has to remove it
        yield from _reached(trial, states, "told that it is done")
        if new := trial.after.left - trial.before.left:
            yield f"told that it is done, and it left what was not there: {sorted(new)}"
        return
    for moment in ("after", "late"):
        view: View | None = getattr(trial, moment)
        if view is not None and view != done:
            yield f"false success: told that it is done, and {moment} there is: {view}; not: {done}"
    if trial.operation.tidy and trial.after.left and not getattr(value, "notes", ()):
        yield f"false success: told that all is removed, and there is {sorted(trial.after.left)}"
    pointer = value if isinstance(value, Pointer) else getattr(getattr(value, "published", None), "pointer", None)
    if pointer is not None and pointer.write_id not in trial.after.write_ids:
        yield f"false success: the publish {pointer.write_id} is in no history"


def _wrong_errors(trial: Trial, raised: list[BaseException], states: list[View]) -> Iterator[str]:
    allowed = (OutcomeUnknown, *(kind for strike in trial.strikes for kind in strike.fault.allows))
    for error in raised:
        if not isinstance(error, ArtifactStoreError):
            yield f"an untyped exception: {error!r}"
        elif not isinstance(error, allowed):
            what = "false conflict" if isinstance(error, Conflict) else "an error that this fault does not explain"
            yield f"{what}: {spoken(Told(error=error))}"
        committed = getattr(error, "committed", None)
        if committed is not None and committed not in trial.after.runs:
            yield f"told that {committed} is committed, and it is not there"
    yield from _reached(trial, states, "after an error")
    if trial.operation.whole and not any(isinstance(error, OutcomeUnknown) for error in raised):
        nothing = states[1] if any(getattr(error, "committed", None) for error in raised) else states[0]
        for moment in ("after", "late"):
            view: View | None = getattr(trial, moment)
            if view is not None and view != nothing:
                yield f"told that it failed, and {moment} there is: {view}; not: {nothing}"


def _reached(trial: Trial, states: list[View], when: str) -> Iterator[str]:
    """What is there is a state that the operation passes through; a late write may only lead further."""
    at = 0
    for moment in ("after", "late"):
        view: View | None = getattr(trial, moment)
        if view is None:
            continue
        if view not in states[at:]:
            yield f"{when}, {moment}, there is what no such operation leads to: {view}"
        else:
            at = states.index(view)


def _repetition(trial: Trial) -> Iterator[str]:
    if trial.repeated is None or trial.final is None:
        return
    error = trial.repeated.error
    if error is None and not trial.operation.told(trial.repeated.value):
        yield f"repeated without faults, it returned {trial.repeated.value!r}"
    if error is not None and not isinstance(error, trial.operation.already):
        yield f"repeated without faults, it raised {spoken(trial.repeated)}"
    if not trial.operation.final(trial.final):
        yield f"after the repetition there is: {trial.final}"
    if trial.last is not None and trial.last != trial.final:
        yield f"a late write changed what there was, to: {trial.last}; from: {trial.final}"


def _cost(trial: Trial) -> Iterator[str]:
    if trial.limit is None:
        return
    seconds, requests = trial.limit
    asked = len(trial.trace) - trial.first
    if trial.seconds > seconds:
        yield f"it took {trial.seconds:.1f} s, and may take {seconds:.1f} s"
    if asked > requests:
        yield f"it asked {asked} times after the storage was dead, and may ask {requests} times"


def spoken(told: Told) -> str:
    if told.error is None:
        return "done"
    return f"{type(told.error).__name__}: {told.error}"[:300]
