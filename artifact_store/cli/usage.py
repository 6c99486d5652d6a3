"""The command ``du``: how much room a store takes, model by model."""

from __future__ import annotations

import click

from artifact_store.cli import output
from artifact_store.cli.completing import ModelName
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.ops.usage import ModelUsage

_HEAD = ("model", "runs", "files", "stored", "objects")


@click.command("du", cls=Command, short_help="Say how much room a store takes.")
@click.argument("key", type=ModelName(), required=False)
@pass_session
def du_command(session: Session, key: str | None) -> None:
    """Say how much room each model takes, or the model KEY alone, the largest first.

    `files` are those of committed runs; `stored` is everything, with history and signatures, and with what was
    deleted or never finished, which gc removes.
    """
    with session.store() as store:
        found = sorted(store.usage(key), key=lambda usage: -usage.stored)
    total = ModelUsage(
        None, *(sum(getattr(usage, name) for usage in found) for name in ("runs", "size", "objects", "stored"))
    )
    document = {"store": store.url, "models": [_document(usage) for usage in found], "total": _document(total)}
    rows = [_row(_name(usage), usage) for usage in found]
    session.answer(document, output.table(_HEAD, [*rows, _row("total", total)]))


def _name(usage: ModelUsage) -> str:
    return "(of the store)" if usage.key is None else usage.key.display_name


def _row(name: str, usage: ModelUsage) -> list[str]:
    return [name, f"{usage.runs:,}", output.size(usage.size), output.size(usage.stored), f"{usage.objects:,}"]


def _document(usage: ModelUsage) -> dict[str, object]:
    key = None if usage.key is None else str(usage.key)
    return {"key": key, "runs": usage.runs, "size": usage.size, "stored": usage.stored, "objects": usage.objects}
