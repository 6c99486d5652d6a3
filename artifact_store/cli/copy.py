"""The commands that move runs: ``cp`` from one store to another, ``export`` into a file, and ``import`` out of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from artifact_store.cli import output, program
from artifact_store.cli.completing import RefName
from artifact_store.cli.legacy import export_old_form
from artifact_store.cli.session import Command, Session, bulk_options, pass_session
from artifact_store.storage.archive import ARCHIVE
from artifact_store.wording import brief

if TYPE_CHECKING:
    from artifact_store.bulk.copies import Copies


F = TypeVar("F", bound=Callable[..., Any])


def copy_options(command: F) -> F:
    """Add the options of what copies runs; :func:`_how` reads them."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Say what would be copied, and write nothing."),
        click.option(
            "--no-history", is_flag=True, help="Publish what an alias names once more, over whatever is there."
        ),
        click.option("--no-aliases", is_flag=True, help="Copy runs alone."),
        click.option(
            "--alias", "aliases", multiple=True, metavar="NAME", help="Copy these aliases only, of each model."
        ),
    ):
        command = option(command)
    return bulk_options(command)


def _how(aliases: Sequence[str], *, no_aliases: bool, no_history: bool, **others: Any) -> dict[str, Any]:
    """Return the arguments of a copy."""
    return {"aliases": _aliases(aliases, no_aliases=no_aliases), "history": not no_history, **others}


def _aliases(names: Sequence[str], *, no_aliases: bool) -> list[str] | None:
    """Return the aliases to take; ``None``: those that the references stand for."""
    if names and no_aliases:
        raise click.UsageError("--alias and --no-aliases say the opposite: leave out one of them")
    return [] if no_aliases else list(names) or None


@click.command("cp", cls=Command, short_help="Copy runs to another store.")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.argument("refs", type=RefName(), nargs=-1, metavar="[REF]...")
@copy_options
@pass_session
def cp_command(session: Session, /, *, source: str, target: str, refs: tuple[str, ...], **options: Any) -> int:
    """Copy runs from the store SRC to the store DST: a folder or a URL each.

    REF is an alias with its run, a run by its id, a model with all that it has, or a type; without any, everything
    is copied. Runs keep their ids, bytes and signatures, aliases their history. What is there is not copied again,
    so the command can be repeated. Ends with status 1 if something was refused.
    """
    how = _how(**options)
    with (
        session.bar("Reading" if how["dry_run"] else "Copying") as bar,
        replace(session, url=source).store() as one,
        replace(session, url=target).store() as other,
    ):
        report = one.copy(list(refs) or one.models(), other, announce=bar.reach, **how)
    return _answered(session, report)


@click.command("import", cls=Command, short_help="Copy the runs of an exported file into a store.")
@click.argument("file", type=program.HomePath(exists=True, dir_okay=False, path_type=Path))
@click.argument("refs", type=RefName(), nargs=-1, metavar="[REF]...")
@copy_options
@pass_session
def import_command(session: Session, /, *, file: Path, refs: tuple[str, ...], **options: Any) -> int:
    """Copy the runs of FILE, which `export` has written, into the store, or those that REF names.

    Every byte is compared. What is there is not copied again, so the command can be repeated.
    """
    how = _how(**options)
    with session.bar("Reading" if how["dry_run"] else "Copying") as bar, session.store() as store:
        report = store.import_from(file, list(refs) or None, announce=bar.reach, **how)
    return _answered(session, report)


def _answered(session: Session, report: Copies) -> int:
    session.answer(report.to_json(), _lines(report))
    return program.OK if report.ok else program.PROBLEMS


@click.command("export", cls=Command, short_help="Write runs into one file, or one in the old form.")
@click.argument("refs", type=RefName(), nargs=-1, required=True, metavar="REF...")
@click.argument("destination", type=program.HomePath(path_type=Path), metavar="FILE")
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Write these aliases only, of each model.")
@click.option("--no-aliases", is_flag=True, help="Write runs alone.")
@click.option("--legacy", is_flag=True, help="Write one run in the form of the old trees, below the folder FILE.")
@click.option("--pickles", is_flag=True, help="With --legacy: write pickles, which run code when they are loaded.")
@pass_session
def export_command(
    session: Session,
    *,
    refs: tuple[str, ...],
    destination: Path,
    aliases: tuple[str, ...],
    no_aliases: bool,
    legacy: bool,
    pickles: bool,
) -> None:
    """Write the runs that REF names, with their signatures and aliases, into the zip file FILE.

    It is read as a store (--store FILE), and `import` and `cp` copy from it. The same runs make the same bytes.

    With --legacy, FILE is the folder `models` of an old tree, and the files of models are pickles there, which are
    written only with --pickles. A run that is named by the alias best_wf is also written to metadata/best_wf_*, where
    old programs look first.
    """
    if legacy:
        if len(refs) != 1:
            raise click.UsageError("--legacy writes one run: name one REF")
        export_old_form(session, refs[0], destination, pickles=pickles)
        return
    if pickles:
        raise click.UsageError("--pickles belongs to --legacy")
    if destination.suffix != ARCHIVE:
        raise click.UsageError(
            f"FILE ends in {ARCHIVE}, not as {brief(destination.name)}; for an old tree add --legacy"
        )
    with session.bar("Exporting") as bar, session.store() as store:
        made = store.export(
            list(refs), destination, aliases=_aliases(aliases, no_aliases=no_aliases), announce=bar.reach
        )
    named = f" and {output.count(len(made.aliases), 'alias', 'aliases')}" if made.aliases else ""
    line = f"{output.count(len(made.runs), 'run')}{named} in {output.safe(made.path)} ({output.size(made.bytes)})."
    session.answer(made.to_json(), [line])


def _lines(report: Copies) -> Iterator[str]:
    rows = [[run.ref, run.outcome, type(run.error).__name__ if run.error else ""] for run in report]
    if rows:
        yield from output.table(("run", "result", "why not"), rows)
        yield ""
    rows = [[alias.ref, alias.outcome, type(alias.error).__name__ if alias.error else ""] for alias in report.aliases]
    if rows:
        yield from output.table(("alias", "result", "why not"), rows)
        yield ""
    for problem in report.problems:
        yield f"{click.style(type(problem.error).__name__, fg='red', bold=True)} {output.safe(str(problem.error))}"
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items())
    done = "Nothing was written. " if report.dry_run else ""
    size = output.size(sum(run.bytes for run in report))
    yield f"{done}{output.count(len(report.runs), 'run')} to {output.safe(report.target)}: {counts or 'none'} ({size})."
