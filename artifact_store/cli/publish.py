"""The commands that move an alias: ``promote``, ``rollback`` and ``retire``. Each is one publish, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from artifact_store.cli import output
from artifact_store.cli.completing import RefName
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.cli.show import publish_document
from artifact_store.core.pointer import Pointer
from artifact_store.core.references import RunRef

_REASON = click.option("--reason", default="", metavar="TEXT", help="Recorded in the history.")


@click.command("promote", cls=Command, short_help="Publish a run under an alias.")
@click.argument("ref", type=RefName())
@click.argument("alias")
@_REASON
@click.option("--expect", metavar="RUN_ID|SEQ", help="Only if this is published now; 0: if nothing ever was.")
@click.option(
    "--vouch",
    metavar="DIGEST",
    help="Sign the history of the alias, though no trusted key has: the one that `history` printed this digest of.",
)
@pass_session
def promote_command(session: Session, ref: str, alias: str, reason: str, expect: str | None, vouch: str | None) -> None:
    """Publish the run that REF names under ALIAS of the same model."""
    expected = int(expect) if expect is not None and expect.isdecimal() else expect
    with session.store() as store:
        pointer = store.promote(ref, alias, reason=reason, expect=expected, vouch=vouch)
    session.answer(pointer_document(pointer), _sentence(pointer))


@click.command("rollback", cls=Command, short_help="Publish the run before again.")
@click.argument("ref", type=RefName())
@click.option("--to", metavar="RUN_ID", help="Another run than the one that served before.")
@_REASON
@pass_session
def rollback_command(session: Session, ref: str, to: str | None, reason: str) -> None:
    """Publish again the run that served before the current one; REF is an alias such as gru/BTCEUR@production."""
    with session.store() as store:
        pointer = store.rollback(ref, to=to, reason=reason)
    session.answer(pointer_document(pointer), _sentence(pointer))


@click.command("retire", cls=Command, short_help="Unpublish: let an alias name no run.")
@click.argument("ref", type=RefName())
@_REASON
@pass_session
def retire_command(session: Session, ref: str, reason: str) -> None:
    """Let an alias name no run from now on. Its history stays, and promote brings it back."""
    with session.store() as store:
        pointer = store.retire(ref, reason=reason)
    session.answer(pointer_document(pointer), _sentence(pointer))


def pointer_document(pointer: Pointer) -> dict[str, Any]:
    """Return a pointer as JSON, and the run that it named before."""
    before = pointer.history[-1].run_id if pointer.history else None
    return {"key": str(pointer.key), "alias": pointer.alias, **publish_document(pointer), "before": before}


def _sentence(pointer: Pointer) -> Iterator[str]:
    before = pointer.history[-1].run_id or "no run" if pointer.history else "nothing"
    now = f"names {pointer.run_id} now" if pointer.run_id is not None else "is retired"
    ref = output.ref(RunRef(pointer.key, pointer.alias))
    yield f"{ref} {output.safe(f'{now}, seq {pointer.seq}; it named {before} before.')}"
