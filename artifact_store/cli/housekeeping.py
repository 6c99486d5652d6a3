"""The commands that remove: ``delete``, ``undelete``, ``prune`` and ``gc``. Each shows its plan first.

Without ``--apply`` nothing happens. To pin a run, promote it to an alias of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import click

from artifact_store.cli import output, program
from artifact_store.cli.completing import ModelName, RefName
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.cli.validate import problems_document
from artifact_store.ops.plan import AppliedStep, Plan, PlanResult, PlanStep
from artifact_store.ops.prune import Best
from artifact_store.wording import brief

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BEST = re.compile(r"(?P<metric>.+?):(?P<count>[0-9]{1,9})(?::(?P<mode>min|max))?")


def parse_span(_: click.Context, option: click.Parameter, value: str | None) -> timedelta | None:
    """Return a span of time as it is written on the command line."""
    if value is None:
        return None
    match = _SPAN.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{brief(value)} is not a span of time such as 30d, 12h or 45m.", param=option)
    try:
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    except OverflowError as error:
        raise click.BadParameter(f"{brief(value)} is longer than a span of time can be.", param=option) from error


def _best(_: click.Context, option: click.Parameter, value: str | None) -> Best | None:
    match = None if value is None else _BEST.fullmatch(value)
    if value is not None and match is None:
        raise click.BadParameter(f"{brief(value)} is not METRIC:N, METRIC:N:min or METRIC:N:max.", param=option)
    return None if match is None else Best(match["metric"], int(match["count"]), match["mode"] or "max")


APPLY = click.option("--apply", "--yes", is_flag=True, help="Do it. Without this, the plan is only shown.")
GRACE = click.option(
    "--grace", default="7d", callback=parse_span, metavar="SPAN", show_default=True, help="Such as 7d, 12h or 0s."
)
_REASON = click.option("--reason", default="", metavar="TEXT", help="Recorded with each deletion.")


@click.command("delete", cls=Command, short_help="Hide a run; gc removes it later.")
@click.argument("ref", type=RefName())
@_REASON
@APPLY
@pass_session
def delete_command(session: Session, ref: str, reason: str, *, apply: bool) -> int:
    """Delete the run that REF names by its full id, such as gru/BTCEUR:20240816_142301_k3f8qz.

    It is hidden at once; `undelete` brings it back until `gc` removes its files, 7 days later at the earliest.
    """
    with session.store() as store:
        return show_plan(session, store.delete(ref, reason=reason), apply=apply)


@click.command("undelete", cls=Command, short_help="Bring back a run that was deleted.")
@click.argument("ref", type=RefName())
@pass_session
def undelete_command(session: Session, ref: str) -> None:
    """Bring back the run that REF names by its full id, as long as its files are there. It asks for no --apply."""
    with session.store() as store:
        run = store.undelete(ref)
        document = {"ref": str(run.ref), "manifest_sha256": run.manifest.digest}
        session.answer(document, [f"{output.ref(run.ref)} is there, complete as it was."])


@click.command("prune", cls=Command, short_help="Delete old runs, all but those to keep.")
@click.argument("key", type=ModelName(), required=False)
@click.option("--keep-last", type=click.IntRange(min=0), metavar="N", help="Keep the newest N of each model.")
@click.option("--keep-best", callback=_best, metavar="METRIC:N[:min|max]", help="Keep the best N by a metric.")
@click.option("--older-than", callback=parse_span, metavar="SPAN", help="Delete nothing younger, such as 30d.")
@GRACE
@_REASON
@APPLY
@pass_session
def prune_command(session: Session, /, *, key: str | None, apply: bool, **rules: Any) -> int:
    """Delete the runs of the model KEY, or of every model, that no option keeps.

    Never deleted: what an alias names (to pin a run, promote it to an alias of its own), what one named less than
    the grace period ago, the last two runs of every alias, and what a rollback would serve.
    """
    if all(rules[name] is None for name in ("keep_last", "keep_best", "older_than")):
        raise click.UsageError(
            "prune needs to know what to keep: --keep-last 10, --keep-best sharpe:3, --older-than 90d, or several."
        )
    with session.store() as store:
        return show_plan(session, store.prune(key, **rules), apply=apply)


@click.command("gc", cls=Command, short_help="Remove what was deleted or never finished.")
@GRACE
@APPLY
@pass_session
def gc_command(session: Session, *, grace: timedelta, apply: bool) -> int:
    """Remove the files of runs that were deleted, and what unfinished saves have left, after the grace period.

    It never touches a committed run. The grace period has to be longer than any save takes.
    """
    with session.store() as store:
        return show_plan(session, store.gc(grace=grace), apply=apply)


def show_plan(session: Session, plan: Plan, *, apply: bool) -> int:
    """Show a plan, or carry it out, and return the exit status."""
    applied = plan.apply() if apply else None
    session.answer(plan_document(plan, applied), _lines(plan, applied))
    session.warn([*plan.problems, *(applied.problems if applied else ())])
    sound = not plan.problems and (applied is None or applied.ok)
    return program.OK if sound else program.PROBLEMS


def plan_document(plan: Plan, applied: PlanResult | None) -> dict[str, Any]:
    """Return a plan as JSON, with what came of it where it was applied."""
    steps: list[dict[str, Any]] = []
    for step, done in _outcomes(plan, applied):
        steps.append({"target": step.target, "action": step.action, "reason": step.reason, "bytes": step.bytes})
        if done is not None:
            steps[-1] |= {"result": done.result, "detail": done.detail or step.reason}
    return {
        "applied": applied is not None,
        "steps": steps,
        "changes": len(plan.changes),
        "bytes": plan.bytes if applied is None else applied.bytes,
        "notes": list(plan.notes),
        "problems": problems_document([*plan.problems, *(applied.problems if applied else ())]),
    }


def _outcomes(plan: Plan, applied: PlanResult | None) -> Iterator[tuple[PlanStep, AppliedStep | None]]:
    """Yield each step, with what came of it where it was carried out."""
    results = {} if applied is None else {one.step: one for one in applied}
    yield from ((step, results.get(step)) for step in plan)


def _lines(plan: Plan, applied: PlanResult | None) -> Iterator[str]:
    rows = []
    for step, done in _outcomes(plan, applied):
        word, why = (step.action, step.reason) if done is None else (done.result, done.detail or step.reason)
        rows.append([word, step.target, output.size(step.bytes), why])
    if rows:
        yield from output.table(("", "what", "size", "why"), rows)
        yield ""
    yield from (f"Note: {output.safe(note)}" for note in plan.notes)
    changes, kept = len(plan.changes), output.count(len(plan.kept), "thing")
    if not changes:
        yield f"Nothing to do ({kept} kept)."
    elif applied is None:
        yield (
            f"{output.count(changes, 'change')}, {output.size(plan.bytes)}; {kept} kept. "
            "Nothing has happened yet: --apply does it."
        )
    else:
        made = sum(one.result != "kept" for one in applied)
        yield f"{output.count(made, 'change')} of {changes} made, {output.size(applied.bytes)}."
