"""The command that notes something about a run after it was saved, and how notes are shown and given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from artifact_store.cli import output
from artifact_store.cli.completing import RefName
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.core.names import ModelKey
from artifact_store.core.note import RunNotes
from artifact_store.errors import ArtifactStoreError
from artifact_store.run import Run
from artifact_store.store import ArtifactStore
from artifact_store.wording import brief

NotesOfRuns = Mapping[str, RunNotes | None] | None
"""The notes about runs by their ids, ``None`` for one or all where they could not be read."""


def named_texts(_: click.Context, option: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE, given any number of times: the callback of an option."""
    found = {}
    for value in values:
        name, equals, given = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{brief(value)} is not written NAME=VALUE.", param=option)
        found[name] = given
    return found


def named_numbers(context: click.Context, option: click.Parameter, values: Sequence[str]) -> dict[str, float]:
    """Read NAME=NUMBER, given any number of times: the callback of an option."""
    found = {}
    for name, given in named_texts(context, option, values).items():
        try:
            found[name] = float(given)
        except ValueError as error:
            raise click.BadParameter(f"{brief(given)} is not a number.", param=option) from error
    return found


@click.command("annotate", cls=Command, short_help="Note something about a run.")
@click.argument("ref", type=RefName())
@click.option("--description", default="", metavar="TEXT", help="What people should know about it.")
@click.option("--tag", "tags", multiple=True, callback=named_texts, metavar="NAME=TEXT", help="May be repeated.")
@click.option(
    "--metric", "metrics", multiple=True, callback=named_numbers, metavar="NAME=NUMBER", help="May be repeated."
)
@click.option(
    "--do-not-trade/--trade-again", default=None, help="Mark it, so that the traders pass it over; or lift the marks."
)
@click.option("--reason", default="", metavar="TEXT", help="Why.")
@pass_session
def annotate_command(
    session: Session,
    ref: str,
    *,
    description: str,
    tags: dict[str, str],
    metrics: dict[str, float],
    do_not_trade: bool | None,
    reason: str,
) -> None:
    """Add a note about the run that REF names, beside it: the run stays as it is, and notes are only added.

    With --signer the note is signed. `show` shows what was noted.
    """
    with session.store() as store:
        run = store.get(ref)
        note = run.annotate(
            description=description, tags=tags, metrics=metrics, do_not_trade=do_not_trade, reason=reason
        )
    session.answer(note.to_json(), [output.safe(f"{note.label} has the note {note.write_id} now.")])


def note_lines(notes: RunNotes) -> Iterator[str]:
    """Yield a line for each note and mark that counts, oldest first."""
    in_force = {mark.write_id for mark in notes.marks}
    counted = {note.write_id: note for note in [*notes.marks, *notes]}
    for note in sorted(counted.values(), key=lambda note: note.order):
        said = [note.description] if note.description else []
        said += [f"{name}={value}" for name, value in [*note.tags.items(), *note.metrics.items()]]
        if note.do_not_trade:
            said.append("do not trade" if note.write_id in in_force else "do not trade (lifted)")
        if note.lifts:
            said.append("trade again")
        text = f"{'; '.join(said)}{f' ({note.reason})' if note.reason else ''}"
        yield from output.fields([(f"{output.time(note.at)} {note.by}", text)], indent=2)


def notes_of_run(run: Run, problems: list[str]) -> RunNotes | None:
    """Return what was noted about a run, or ``None`` where that cannot be known."""
    try:
        found = run.notes()
    except ArtifactStoreError as error:
        problems.append(f"the notes about {run.ref}: {error}")
        return None
    problems += [str(problem) for problem in found.problems]
    return found


def notes_of_runs(store: ArtifactStore, key: ModelKey, runs: Sequence[Run], problems: list[str]) -> NotesOfRuns:
    """Return the notes about those of the runs that have some; ``None`` where that cannot be known."""
    try:
        noted = store.noted(key)
    except ArtifactStoreError as error:
        problems.append(f"the notes about {key.display_name}: {error}")
        return None
    return {run.run_id: notes_of_run(run, problems) for run in runs if run.run_id in noted}


def noted_document(notes: NotesOfRuns, run: Run) -> dict[str, Any] | None:
    """Return the notes about a run as JSON, ``None`` where they could not be read."""
    if notes is None:
        return None
    found = notes.get(run.run_id, RunNotes(str(run.ref)))
    return None if found is None else found.to_json()
