"""The command ``watch``: a line for each run that an alias comes to name, until it is interrupted."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any

import click

from artifact_store.cli import output
from artifact_store.cli.completing import RefName
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.core.documents import write_time
from artifact_store.core.references import RunRef
from artifact_store.run import Run


@click.command("watch", cls=Command, short_help="Follow an alias: a line for each new run.")
@click.argument("ref", type=RefName())
@click.argument("command", nargs=-1, metavar="[-- COMMAND...]")
@click.option(
    "--every",
    type=click.FloatRange(0.1),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks: at least so many, and up to a quarter more.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many lines.")
@pass_session
def watch_command(session: Session, ref: str, command: tuple[str, ...], every: float, count: int | None) -> None:
    """Print the run that the alias REF names, and each one that it names from now on, until Ctrl-C.

    COMMAND runs for each of them, with ARTIFACT_STORE_REF set to the run. With --json each line is a document. A run
    whose files are not as they were saved is passed over.
    """
    alias = RunRef.parse(ref)
    told = 0
    with session.store() as store, store.watch(ref, load=_compared, every=every, golden=False) as watched:
        run: Run | None = watched.run
        while run is not None:
            _tell(session, alias, run)
            _follow(command, run)
            told += 1
            run = watched.wait(after=run) if count is None or told < count else None


def _compared(run: Run) -> None:
    """Compare every file of a run with its manifest, and decode none."""
    for name in run.files:
        with run.open(name):
            pass


def _tell(session: Session, alias: RunRef, run: Run) -> None:
    if session.as_json:
        document: dict[str, Any] = {"alias": str(alias), "ref": str(run.ref), "created_at": write_time(run.created_at)}
        click.echo(json.dumps(document))
    else:
        click.echo(f"{output.time(run.created_at)}  {output.ref(run.ref)}")


def _follow(command: Sequence[str], run: Run) -> None:
    if not command:
        return
    done = subprocess.run([*command], env={**os.environ, "ARTIFACT_STORE_REF": str(run.ref)}, check=False)  # noqa: S603
    if done.returncode:
        click.echo(f"{command[0]} ended with status {done.returncode}", err=True)
