"""The command ``validate``: can every model that is published be used, and does it predict as it did?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from artifact_store.cli import output, program
from artifact_store.cli.completing import RefName
from artifact_store.cli.session import Command, Session, bulk_options, check_root, pass_session
from artifact_store.core.compatibility import Compatibility
from artifact_store.core.references import has_selector
from artifact_store.errors import InvalidOption, ModelNotFound
from artifact_store.legacy.trees.single_file import old_models
from artifact_store.ops.golden import Predictions
from artifact_store.ops.validate import ModelReport
from artifact_store.ops.verdict import Verdict, worst
from artifact_store.problems import Problem
from artifact_store.storage.options import LOCAL, parse_url
from artifact_store.store import ArtifactStore


@click.command("validate", cls=Command, short_help="Load every model, repeat its predictions.")
@click.argument("ref", type=RefName(), required=False)
@click.option(
    "--prefer", multiple=True, metavar="ALIAS", help="Take this alias first; may be repeated.  [best_wf, then latest]"
)
@click.option("--allow-code", is_flag=True, help="Decode what could run code, since you trust its author.")
@click.option("--strict", is_flag=True, help="Also end with 1 if a model cannot be checked here.")
@bulk_options
@pass_session
def validate_command(
    session: Session,
    ref: str | None,
    *,
    prefer: tuple[str, ...],
    allow_code: bool,
    strict: bool,
    jobs: int | None,
    resume: Path | None,
) -> int:
    """Find, read, load and try every model, as a trader would take it: best_wf, else latest, else the newest run.

    With REF only one model (gru/BTCEUR), one model type (gru), or the very run that is named (gru/BTCEUR@production).
    A model without golden predictions is as good as it loads. Ends with status 1 if something is wrong with any. What
    cannot be checked here, for want of a predictor, a library or your consent to run its code, is not wrong.
    The store may also be an old tree, or one old model file, which is read in place.
    """
    with _opened(session) as store:
        notes = check_root(store)
        if notes and not store.models():
            raise ModelNotFound(f"there is no model to validate in {store.url}; {notes[0]}")
        if prefer and ref is not None and has_selector(ref):
            raise InvalidOption(f"{ref} names its run already: leave out --prefer, or name the model alone")
        with session.bar("Validating") as bar:
            first = {"prefer": prefer} if prefer else {}
            how: dict[str, Any] = {"allow_code": allow_code, "jobs": jobs, "resume": resume, **first}
            checked = store.validate(ref, announce=bar.reach, **how)
        session.answer(_document(store.url, checked), _lines(checked))
    return verdict_status(worst(report.verdict for report in checked), strict=strict)


def _opened(session: Session) -> ArtifactStore:
    """Return the store, or the old tree that lies where it should be."""
    place = parse_url(session.arguments()["url"])
    old = old_models(place.prefix) if place.scheme == LOCAL else None
    if old is None:
        return session.store()
    session.warn(old.problems)
    return ArtifactStore.open_legacy(place.prefix)


def verdict_status(verdict: Verdict, *, strict: bool) -> int:
    """Return how the command ends."""
    return program.OK if verdict is Verdict.SOUND or (verdict is Verdict.UNCHECKED and not strict) else program.PROBLEMS


def _document(url: str, checked: Sequence[ModelReport]) -> dict[str, Any]:
    return {
        "store": url,
        "ok": all(report.ok for report in checked),
        "verdict": worst(report.verdict for report in checked),
        "models": [
            {
                "key": str(report.key),
                "ok": report.ok,
                "verdict": report.verdict,
                "run": report.run or None,
                "steps": list(report.steps),
                "files": report.files,
                "loaded": list(report.loaded),
                "predictions": predictions_document(report.predictions),
                "environment_verdict": None if report.environment is None else report.environment.to_json(),
                "notes": list(report.notes),
                "seconds": round(report.seconds, 3),
                "problems": problems_document(report.problems),
                "unchecked": problems_document(report.unchecked),
            }
            for report in checked
        ],
    }


def problems_document(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return findings as JSON."""
    return [{"where": problem.where, **program.error_document(problem.error)} for problem in problems]


def problem_lines(problems: Iterable[Problem], colour: str) -> Iterator[str]:
    """Yield a line for each finding."""
    for problem in problems:
        yield f"{click.style(type(problem.error).__name__, fg=colour, bold=True)} {output.safe(str(problem))}"


def predictions_document(predictions: Predictions | None) -> dict[str, Any] | None:
    """Return what came of golden predictions as JSON, in which an infinite difference is text."""
    if predictions is None:
        return None
    difference = predictions.difference
    return {
        "outcome": predictions.outcome,
        "difference": str(difference) if difference is not None and math.isinf(difference) else difference,
        "tolerance": predictions.tolerance,
    }


def _brief(predictions: Predictions | None) -> str:
    """Return what came of golden predictions, with the numbers only where they say more than ``equal``."""
    if predictions is None:
        return "-"
    return str(predictions.outcome) if predictions.difference == 0 else str(predictions)


def _lines(checked: Sequence[ModelReport]) -> Iterator[str]:
    head = ("model", "run", "taken as", "predictions", "environment", "result")
    rows = [
        [
            report.key.display_name,
            report.run.rpartition(":")[2] or "-",
            _why(report),
            _brief(report.predictions),
            "-" if report.environment is None else str(report.environment.verdict),
            _result(report),
        ]
        for report in checked
    ]
    yield from output.table(head, rows)
    yield ""
    yield from _environments(checked)
    for report in checked:
        yield from problem_lines(report.problems, "red")
        yield from problem_lines(report.unchecked, "yellow")
        for note in report.notes:
            yield f"{click.style('note', bold=True)} {report.key.display_name}: {output.safe(note)}"
    wrong = sum(not report.ok for report in checked)
    unchecked = sum(report.verdict is Verdict.UNCHECKED for report in checked)
    silent = sum(report.predictions is not None and report.predictions.outcome == "no example" for report in checked)
    summary = f"{output.count(len(checked), 'model')}: {wrong or 'none'} with problems"
    summary += f", {unchecked} cannot be checked here" if unchecked else ""
    yield summary + (f", {silent} without golden predictions." if silent else ".")


def _environments(reports: Sequence[ModelReport]) -> Iterator[str]:
    """Yield what makes an environment risky, once for all the models of which it is true."""
    models: dict[str, list[str]] = {}
    for report in reports:
        for remark in report.environment.remarks if report.environment is not None else ():
            if remark.verdict is Compatibility.RISKY:
                models.setdefault(str(remark), []).append(str(report.key))
    for remark_text, keys in models.items():
        yield f"{click.style('risky', fg='yellow', bold=True)} {output.safe(remark_text)}: {', '.join(keys)}"


def _why(report: ModelReport) -> str:
    last = report.steps[-1] if report.steps else ""
    if not report.run:
        return "-"
    if not last:
        return "named"
    return last.partition(": ")[0].rpartition("@")[2] if f"{report.key}@" in last else "newest"


def _result(report: ModelReport) -> str:
    if report.verdict is not Verdict.SOUND:
        return "WRONG" if report.verdict is Verdict.WRONG else "unchecked"
    return "ok" if report.run else "nothing published"
