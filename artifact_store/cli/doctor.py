"""The command ``doctor``: what is wrong with a store and its environment, what to do about it, and the safe repairs.

It changes nothing without ``--repair --apply``; ``--no-probes`` leaves out the throw-away objects that probe the
storage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

import click

from artifact_store.cli import output, program
from artifact_store.cli.housekeeping import GRACE, plan_document
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.doctor.report import SEVERITIES, Diagnosis, Finding, Severity
from artifact_store.ops.plan import Plan, PlanResult

_TITLES: Final[Mapping[Severity, str]] = {
    "error": "Errors",
    "warning": "Warnings",
    "note": "Notes",
    "unknown": "Could not be found out",
}
_COLOURS: Final = {"error": "red", "warning": "yellow", "note": None, "unknown": "cyan"}
_STATES: Final = {"fine": "ok", "note": "note", "warning": "WARNING", "error": "ERROR", "unknown": "unknown"}
_COMMANDS: Final = ("artifact-store ", "aws ", "chmod ", "rm ")


@click.command("doctor", cls=Command, short_help="Find what is wrong, and repair what is safe.")
@click.option("--deep/--quick", default=False, help="Also read every byte of every file. Quick is the default.")
@click.option("--no-probes", is_flag=True, help="Write no throw-away objects, for clients that may only read.")
@click.option("--repair", is_flag=True, help="Show what can be repaired safely; with --apply, do it.")
@click.option("--quarantine", is_flag=True, help="Also put runs with a damaged manifest into quarantine.")
@click.option(
    "--to",
    multiple=True,
    metavar="RUN",
    help="The run that a damaged pointer is to name, where the store does not say: TYPE/SYMBOL:RUN_ID, or "
    "TYPE/SYMBOL@ALIAS=RUN_ID where several are damaged.",
)
@click.option(
    "--apply", "--yes", is_flag=True, help="Do it, and examine the store again. Without this nothing is changed."
)
@click.option("--strict", is_flag=True, help="Warnings count as errors for the exit status.")
@GRACE
@pass_session
def doctor_command(
    session: Session,
    *,
    deep: bool,
    no_probes: bool,
    repair: bool,
    quarantine: bool,
    to: tuple[str, ...],
    apply: bool,
    strict: bool,
    grace: timedelta,
) -> int:
    """Examine the store and its environment: every finding with its remedy.

    Ends with status 1 if a finding is an error, after the repairs if some were made; warnings, notes and what could
    not be found out do not count, unless --strict makes warnings count.
    """
    if (apply or quarantine or to) and not repair:
        raise click.UsageError("--apply, --quarantine and --to belong to --repair.")
    bar = session.bar("Reading")
    with session.store(bar) as store:

        def examine() -> Diagnosis:
            with bar:
                return store.doctor(deep=deep, probes=not no_probes, grace=grace, announce=bar.begin)

        found = examine()
        plan = found.repair(quarantine=quarantine, to=to) if repair else None
        applied = plan.apply() if plan is not None and apply else None
        after = found if applied is None or not applied.done else examine()
    session.answer(_document(found, plan, applied, after), _lines(found, plan, applied, after))
    session.warn(applied.problems if applied is not None else ())
    counted = after.of("error") + (after.of("warning") if strict else ())
    return program.PROBLEMS if counted else program.OK


# ---------------------------------------------------------------- for machines


def _document(found: Diagnosis, plan: Plan | None, applied: PlanResult | None, after: Diagnosis) -> dict[str, Any]:
    document = {
        "store": found.url,
        "ok": after.ok,
        "deep": found.deep,
        "counts": {severity: len(after.of(severity)) for severity in SEVERITIES},
        "looked_at": asdict(after.counts),
        "place": [{"name": fact.name, "state": fact.state, "message": fact.message} for fact in after.facts],
        "findings": [_finding(one) for one in after],
        "repair": None if plan is None else plan_document(plan, applied),
    }
    return document if after is found else document | {"before": [_finding(one) for one in found]}


def _finding(found: Finding) -> dict[str, Any]:
    names = ("code", "severity", "target", "message", "remedy", "repairable")
    return {name: getattr(found, name) for name in names}


# ---------------------------------------------------------------- for people


def _lines(found: Diagnosis, plan: Plan | None, applied: PlanResult | None, after: Diagnosis) -> Iterator[str]:
    yield from _page(found)
    if plan is not None:
        yield ""
        yield click.style("Repairs", bold=True)
        yield from _repairs(plan, applied)
    if after is not found:
        yield ""
        yield click.style("After the repairs", bold=True)
        yield from _page(after, brief=True)


def _page(found: Diagnosis, *, brief: bool = False) -> Iterator[str]:
    if not brief:
        yield click.style(output.safe(found.url), bold=True)
        first = max((len(fact.name) for fact in found.facts), default=0)
        second = max((len(_STATES[fact.state]) for fact in found.facts), default=0)
        for fact in found.facts:
            yield from output.wrapped(f"  {fact.name:{first}}  {_STATES[fact.state]:{second}}  ", fact.message)
    for severity, title in _TITLES.items():
        several = found.of(severity)
        if several:
            yield ""
            yield click.style(f"{title} ({len(several)})", bold=True, fg=_COLOURS[severity])
            for one in several:
                yield from _paragraph(one)
    yield ""
    yield _summary(found)


def _paragraph(found: Finding) -> Iterator[str]:
    """Yield a finding as a paragraph: its code and target, what is wrong, and what to do."""
    yield f"  {click.style(found.code, bold=True)}  {output.safe(found.target)}"
    yield from output.wrapped("      ", found.message)
    if found.remedy.startswith(_COMMANDS):
        yield output.safe(f"   -> {found.remedy}")  # in one piece, to be copied
    elif found.remedy:
        yield from output.wrapped("   -> ", found.remedy)


def _repairs(plan: Plan, applied: PlanResult | None) -> Iterator[str]:
    """Yield what would be done or was done, and why; what needs another option comes last."""
    rows: list[tuple[str, str, str]] = [(step.action, step.target, step.reason) for step in plan.changes]
    if applied is not None:
        rows = [(done.result, done.step.target, done.detail or done.step.reason) for done in applied]
    left = [("not done", step.target, step.reason) for step in plan.kept]
    for word, target, reason in [*rows, *left]:
        yield f"  {click.style(word, bold=True)}  {output.safe(target)}"
        yield from output.wrapped("      ", reason)
    if not plan.changes:
        yield "  There is nothing that can be repaired without a decision."
    elif applied is None:
        yield f"  {output.count(len(plan.changes), 'repair')}. Nothing has happened yet: --apply does it."
    else:
        made = sum(done.result != "kept" for done in applied)
        yield f"  {made} of {output.count(len(plan.changes), 'repair')} made."


def _summary(found: Diagnosis) -> str:
    counts = found.counts
    looked = (
        f"{output.count(counts.models, 'model')}, {output.count(counts.runs, 'run')}, "
        f"{output.count(counts.aliases, 'alias', 'aliases')}, {output.count(counts.objects, 'object')}, "
        f"{output.size(counts.bytes)}"
    )
    looked += f", {output.size(counts.bytes_read)} of them compared" if found.deep else "; --deep compares every byte"
    several = {severity: len(found.of(severity)) for severity in SEVERITIES}
    plurals = {"unknown": "unknown"}
    counted = [output.count(amount, word, plurals.get(word)) for word, amount in several.items() if amount]
    return f"{looked}: {', '.join(counted) or 'nothing is wrong'}."
