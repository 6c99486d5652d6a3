"""What concerns old trees: ``migrate`` and ``export --legacy``. The old tree itself is never changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from artifact_store.cli import output, program
from artifact_store.cli.session import Command, Session, bulk_options, pass_session
from artifact_store.core.references import RunRef
from artifact_store.legacy.export import export_run
from artifact_store.legacy.migrate import migrate_tree
from artifact_store.legacy.report import Migrated, Migration

# ---------------------------------------------------------------- migrate


@click.command("migrate", cls=Command, short_help="Bring an old tree of models into a store.")
@click.argument("old", type=program.HomePath(exists=True))
@click.argument("new", required=False, metavar="[NEW]")
@click.option("--dry-run", is_flag=True, help="Read and convert everything, and write nothing.")
@bulk_options
@pass_session
def migrate_command(
    session: Session, *, old: str, new: str | None, dry_run: bool, jobs: int | None, resume: Path | None
) -> int:
    """Copy every run of the old tree OLD into the store NEW (or --store), and create its aliases there.

    OLD may also be the file of one model. No stored code runs, and the old tree stays as it is. What was copied
    before is not copied again, and an alias that exists is not moved, so the command can be repeated. Ends with
    status 1 if something was refused.
    """
    session.url = new or session.url
    with session.bar("Reading" if dry_run else "Migrating") as bar, session.store() as store:
        report = migrate_tree(
            old,
            store,
            dry_run=dry_run,
            progress=lambda step: bar.reach(step.done, step.total),
            jobs=jobs,
            resume=resume,
        )
    session.answer(report.to_json(), _lines(report))
    return program.OK if report.ok else program.PROBLEMS


def _lines(report: Migration) -> Iterator[str]:
    rows = [[_name(run), run.outcome, run.report.features.partition(" (")[0], _remark(run)] for run in report]
    if rows:
        yield from output.table(("run", "result", "features", "refused"), rows)
        yield ""
    if report.aliases:
        rows = [[f"{alias.key}@{alias.alias}", alias.run_id or "", alias.outcome] for alias in report.aliases]
        yield from output.table(("alias", "names", "result"), rows)
        yield ""
    for where, error in _refusals(report):
        yield f"{click.style(type(error).__name__, fg='red', bold=True)} {output.safe(f'{where}: {error}')}"
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items())
    done = "Nothing was written. " if report.dry_run else ""
    yield f"{done}{output.count(len(report.runs), 'run')} in {output.safe(report.old)}: {counts or 'none'}."


def _refusals(report: Migration) -> Iterator[tuple[str, BaseException]]:
    for problem in report.problems:
        yield problem.where, problem.error
    for run in report:
        if run.error is not None:
            yield run.source, run.error
        for part in run.report.refused:
            yield f"{run.source} ({part.where})", part.error
    for alias in report.aliases:
        if alias.error is not None:
            yield alias.source, alias.error


def _name(run: Migrated) -> str:
    return run.source if run.run_id is None else f"{run.key}:{run.run_id}"


def _remark(run: Migrated) -> str:
    return type(run.error).__name__ if run.error is not None else ", ".join(part.where for part in run.report.refused)


# ---------------------------------------------------------------- export


def export_old_form(session: Session, ref: str, directory: Path, *, pickles: bool) -> None:
    """Write a run below a folder `models` of an old tree, and say what was written."""
    with session.store() as store:
        run = store.get(ref)
        folder = export_run(run, directory, pickles=pickles, alias=RunRef.parse(ref).alias)
    files = sorted(path.name for path in folder.iterdir())
    document = {"ref": str(run.ref), "folder": str(folder), "files": files}
    session.answer(document, [f"{output.ref(run.ref)} is in {output.safe(str(folder))}: {', '.join(files)}."])
