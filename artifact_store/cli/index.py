"""The command ``index``: how fresh the catalog index is, and how it is written. Listings are complete without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from artifact_store.cli import output, program
from artifact_store.cli.session import Command, Session, check_root, pass_session
from artifact_store.cli.validate import problems_document
from artifact_store.core.documents import write_time
from artifact_store.ops.index_handle import IndexStatus
from artifact_store.ops.index_writing import Compaction
from artifact_store.store import ArtifactStore


@click.command("index", cls=Command, short_help="Look at the catalog index, or write it.")
@click.option("--status", "how", flag_value="status", default=True, help="Show how fresh it is. This is the default.")
@click.option("--compact", "how", flag_value="compact", help="Write what was saved and deleted since. gc does it, too.")
@click.option("--rebuild", "how", flag_value="rebuild", help="Make it anew from the manifests of all runs.")
@pass_session
def index_command(session: Session, *, how: str) -> int:
    """Look at the catalog index, from which listings take what they show of runs, or write it.

    It is made from the manifests and never the truth: without it everything works, and listings read every manifest.
    """
    with session.store() as store:
        notes = check_root(store)
        written = None
        if how != "status" and not notes:
            written = _write(session, store.index.compact if how == "compact" else store.index.rebuild)
        status = store.index.status()
        session.answer(_document(store, status, written), _lines(status, written))
        session.note(notes)
        problems = [*(written.problems if written is not None else ()), *([status.problem] if status.problem else [])]
        session.warn(problems)
    return program.PROBLEMS if problems else program.OK


def _write(session: Session, write: Callable[..., Compaction]) -> Compaction:
    with session.bar("Reading manifests") as bar:
        return write(progress=bar.reach)


def _document(store: ArtifactStore, status: IndexStatus, written: Compaction | None) -> dict[str, Any]:
    problems = [*(written.problems if written is not None else ()), *([status.problem] if status.problem else [])]
    document: dict[str, Any] = {
        "store": store.url,
        "generation": status.generation,
        "at": None if status.at is None else write_time(status.at),
        "files": list(status.files),
        "size": status.size,
        "rows": status.rows,
        "unsettled": status.unsettled,
        "problems": problems_document(problems),
    }
    if written is not None:
        document["written"] = {
            "generation": written.generation,
            "rows": written.rows,
            "settled": written.settled,
            "detail": written.detail,
        }
    return document


def _lines(status: IndexStatus, written: Compaction | None) -> Iterator[str]:
    if written is not None:
        rows = output.count(written.rows, "row")
        detail = output.safe(written.detail)
        yield f"Written, with {rows}{'; ' * bool(detail)}{detail}." if written else f"Nothing was written: {detail}."
    if status.at is None:
        yield "There is no index that can be read." if status.problem else "There is no index yet."
    else:
        yield from output.fields(
            [
                ("written", f"{output.time(status.at)} UTC"),
                ("size", f"{output.size(status.size)} in {output.count(len(status.files), 'file')}"),
                ("rows", str(status.rows)),
                *(("file", file) for file in status.files),
            ]
        )
    if status.unsettled:
        what = output.count(status.unsettled, "save or deletion", "saves and deletions")
        yield f"{what} since then: listings look at these runs themselves."
