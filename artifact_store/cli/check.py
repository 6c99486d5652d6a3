"""The command ``verify``: reads every stored byte and compares it. Damage is its answer, not its failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from artifact_store.cli import output, program
from artifact_store.cli.completing import RefName
from artifact_store.cli.session import Command, Session, bulk_options, check_root, pass_session
from artifact_store.cli.validate import predictions_document, problem_lines, problems_document, verdict_status
from artifact_store.errors import ModelNotFound, SignatureInvalid, SignatureMissing, Untrusted, UntrustedKey
from artifact_store.ops.keypairs import PublicKey
from artifact_store.ops.verdict import Verdict
from artifact_store.ops.verify import Report, RunReport


@click.command("verify", cls=Command, short_help="Compare every stored byte.")
@click.argument("ref", type=RefName(), required=False)
@click.option("--predict", is_flag=True, help="Also repeat the golden predictions.")
@click.option(
    "--keys",
    multiple=True,
    type=program.HomePath(exists=True, dir_okay=False, path_type=Path),
    metavar="PUBLIC_KEY",
    help="Runs and aliases have to be signed by this key; may be repeated.",
)
@click.option("--strict", is_flag=True, help="Also end with 1 if predictions cannot be compared here.")
@bulk_options
@pass_session
def verify_command(
    session: Session,
    ref: str | None,
    *,
    predict: bool,
    keys: tuple[Path, ...],
    strict: bool,
    jobs: int | None,
    resume: Path | None,
) -> int:
    """Compare every stored byte with the manifests: of one run (REF), a model (gru/BTCEUR), a type (gru) or everything.

    With --keys also say by whom each run is signed. Ends with status 1 if something is wrong. Predictions that
    cannot be compared here, for want of a predictor, a library or your consent to run code, are not wrong.
    """
    trusted = {key.key_id: (path, key) for path in keys for key in [PublicKey.from_pem(path)]}
    names = {key_id: path.name for key_id, (path, _) in trusted.items()} if keys else None
    with session.store() as store:
        check_root(store)
        owners = [key for _, key in trusted.values()] if keys else None
        with session.bar("Verifying") as bar:
            report = store.verify(ref, predict=predict, keys=owners, jobs=jobs, resume=resume, announce=bar.reach)
        if not report.runs and not report.pointers:
            raise ModelNotFound(f"there is nothing{f' of {ref}' if ref else ''} to verify in {store.url}")
        session.answer(_document(store.url, report, names), _lines(report, names))
    return verdict_status(report.verdict, strict=strict)


def _document(url: str, report: Report, names: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "store": url,
        "ok": report.ok,
        "verdict": report.verdict,
        "runs": [
            {
                "ref": run.label,
                "ok": run.ok,
                "verdict": run.verdict,
                "files": run.files,
                "bytes": run.bytes,
                "problems": len(run.problems),
                "predictions": predictions_document(run.predictions),
            }
            | ({} if names is None else {"signed_by": run.signed_by, "signature": _signature(run, {})})
            for run in report
        ],
        "problems": problems_document(report.problems),
        "unchecked": problems_document(report.unchecked),
    }


def _signature(run: RunReport, names: Mapping[str, str]) -> str:
    """Return who signed a run, or in a word why its signature does not count; the problems say more."""
    if run.signed_by is not None:
        return names.get(run.signed_by, "valid")
    kinds = {SignatureMissing: "unsigned", UntrustedKey: "unknown key", SignatureInvalid: "invalid"}
    return next((word for kind, word in kinds.items() for each in run.problems if isinstance(each.error, kind)), "?")


def _lines(report: Report, names: Mapping[str, str] | None) -> Iterator[str]:
    columns = {
        "run": [run.label for run in report],
        "files": [str(run.files) for run in report],
        "size": [output.size(run.bytes) for run in report],
    }
    if names is not None:
        columns["signed by"] = [_signature(run, names) for run in report]
    columns["result"] = [_result(run) for run in report]
    if any(run.predictions for run in report):
        columns["predictions"] = [str(run.predictions or "-") for run in report]
    yield from output.table(list(columns), [list(row) for row in zip(*columns.values(), strict=True)])
    yield ""
    yield from problem_lines(report.problems, "red")
    yield from problem_lines(report.unchecked, "yellow")
    runs = output.count(len(report.runs), "run")
    files = output.count(sum(run.files for run in report), "file")
    size = output.size(sum(run.bytes for run in report))
    if report.ok:
        unknown = f"; {output.count(len(report.unchecked), 'run')} cannot be compared here" if report.unchecked else ""
        yield f"{runs}, {files}, {size}: all as saved{unknown}."
    else:
        yield f"{runs}, {files}, {size}: {output.count(len(report.problems), 'problem')}."


def _result(run: RunReport) -> str:
    if run.ok:
        return "ok" if run.verdict is Verdict.SOUND else "unchecked"
    if run.predictions is not None:
        return "WRONG"
    return "UNTRUSTED" if all(isinstance(problem.error, Untrusted) for problem in run.problems) else "DAMAGED"
