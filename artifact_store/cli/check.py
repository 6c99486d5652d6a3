"""The command ``verify``: reads every stored byte and compares it. Damage is its answer, not its failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from artifact_store.cli import failures, text
from artifact_store.cli.session import Command, Session, pass_session, refuse_what_is_no_store
from artifact_store.cli.validate import described
from artifact_store.core.errors import ModelNotFound
from artifact_store.ops.audit import Report, RunReport


@click.command("verify", cls=Command, short_help="Compare every stored byte.")
@click.argument("ref", required=False)
@click.option("--predict", is_flag=True, help="Also repeat the golden predictions.")
@click.pass_context
@pass_session
def verify(session: Session, context: click.Context, ref: str | None, *, predict: bool) -> None:
    """Compare every stored byte with the manifests: of one run (REF), of a model (gru/BTCEUR), or of everything.

    Ends with status 1 if something is wrong.
    """
    with session.store() as store:
        report = store.verify(ref, predict=predict)
        if not report.runs and not report.pointers:
            refuse_what_is_no_store(store, store.models())
            raise ModelNotFound(f"there is nothing{f' of {ref}' if ref else ''} to verify in {store.url}")
        session.answer(_document(store.url, report), _lines(report))
    context.exit(failures.OK if report.ok else failures.PROBLEMS)


def _document(url: str, report: Report) -> dict[str, Any]:
    return {
        "store": url,
        "ok": report.ok,
        "runs": [
            {
                "ref": run.label,
                "ok": run.ok,
                "files": run.files,
                "bytes": run.bytes,
                "problems": len(run.problems),
                "predictions": described(run.predictions),
            }
            for run in report
        ],
        "problems": [{"where": problem.where, **failures.described(problem.error)} for problem in report.problems],
    }


def _lines(report: Report) -> Iterator[str]:
    head = ["run", "files", "size", "result"]
    rows = [[run.label, str(run.files), text.size(run.bytes), _result(run)] for run in report]
    if any(run.predictions for run in report):
        head.append("predictions")
        rows = [[*row, str(run.predictions or "-")] for row, run in zip(rows, report, strict=True)]
    yield from text.table(head, rows)
    yield ""
    for problem in report.problems:
        yield f"{click.style(type(problem.error).__name__, fg='red', bold=True)} {text.safe(str(problem))}"
    runs = text.count(len(report.runs), "run")
    files = text.count(sum(run.files for run in report), "file")
    size = text.size(sum(run.bytes for run in report))
    if report.ok:
        yield f"{runs}, {files}, {size}: all as saved."
    else:
        yield f"{runs}, {files}, {size}: {text.count(len(report.problems), 'problem')}."


def _result(run: RunReport) -> str:
    if run.ok:
        return "ok"
    return "DAMAGED" if run.predictions is None else "WRONG"
