"""The command ``report``: pages about a store, written to a folder or shown on this machine."""

from __future__ import annotations

import click

from artifact_store.cli import output, program
from artifact_store.cli.session import Command, Session, check_root, pass_session
from artifact_store.report.gather import DETAILED

FOLDER = "report"


@click.command("report", cls=Command, short_help="Make pages about the store for a browser.")
@click.option("--out", metavar="DIR", help=f"A folder or a URL to write to.  [default: {FOLDER}]")
@click.option("--serve", is_flag=True, help="Write nothing: show the pages on this machine until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), help="Of --serve; a free one unless given.")
@click.option(
    "--details",
    type=click.IntRange(min=0),
    default=DETAILED,
    show_default=True,
    metavar="N",
    help="Features, files and environment of the N newest runs of each model, and of those that an alias names.",
)
@click.option("--all", "everything", is_flag=True, help="Features, files and environment of every run.")
@click.option("--metric", metavar="NAME", help="What the overview shows of models that have it.")
@pass_session
def report_command(
    session: Session,
    *,
    out: str | None,
    serve: bool,
    port: int | None,
    details: int,
    everything: bool,
    metric: str | None,
) -> int:
    """Write pages about all models: aliases, metrics over time, history, runs and what differs between them.

    Open index.html of the folder; no server is needed, and nothing is requested from anywhere. DIR is new, empty, or
    holds an earlier report, which is replaced. In the store itself it is its folder _report. Ends with status 1 if
    something could not be read, which the pages say as well.
    """
    if serve and out is not None:
        raise click.UsageError("--serve writes nothing: leave out --out")
    if port is not None and not serve:
        raise click.UsageError("--port belongs to --serve")
    wanted = None if everything else details
    with session.store() as store:
        session.note(check_root(store))
        if serve:
            with store.serve_report(port=port or 0, details=wanted, metric=metric) as server:
                session.answer({"url": server.url}, [f"The report is at {server.url} (Ctrl-C ends it)."])
                server.serve_forever()
            return program.OK
        with session.bar("Writing") as bar:
            done = store.report(
                out or FOLDER,
                details=wanted,
                metric=metric,
                storage_options=session.options or None,
                announce=bar.reach,
            )
    session.warn(done.problems)
    models, runs = output.count(done.models, "model"), output.count(done.runs, "run")
    session.answer(done.to_json(), [f"{models} and {runs}: open {output.safe(done.page)} ({output.size(done.bytes)})."])
    return program.OK if done.ok else program.PROBLEMS
