"""The command ``completion``: the script by which a shell completes commands, options, models, aliases and runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click
from click.shell_completion import get_completion_class

from artifact_store.cli import completing, output
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.configuration.files import user_folder
from artifact_store.errors import InvalidOption
from artifact_store.storage.home import at_home

_PROGRAM: Final = "artifact-store"
_READS: Final = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/config.fish"}
"""What each shell reads when it starts."""


@click.command("completion", cls=Command, short_help="Complete names in your shell.")
@click.argument("shell", type=click.Choice(sorted(_READS)), required=False)
@click.option("--install", is_flag=True, help="Let new shells read it: writes it, and a line into their file.")
@pass_session
def completion_command(session: Session, shell: str | None, *, install: bool) -> None:
    """Print the script that completes commands, options, models, aliases and runs in SHELL, or install it.

    SHELL is the one that runs this unless given.
    """
    chosen = shell or _current()
    completing.register()
    kind = get_completion_class(chosen)
    assert kind is not None
    script = kind(click.get_current_context().find_root().command, {}, _PROGRAM, completing.VARIABLE).source()
    if not install:
        session.answer({"shell": chosen, "script": script}, [script])
        return
    path, reader = user_folder() / f"completion.{chosen}", at_home(_READS[chosen])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8", newline="\n")
        _add_line(reader, f'source "{path}"')
    except OSError as error:
        raise InvalidOption(f"{error.filename} cannot be written: {error.strerror}; correct its permissions") from error
    line = f"New shells complete {_PROGRAM}: {output.safe(str(reader))} reads {output.safe(str(path))}."
    session.answer({"shell": chosen, "script": str(path), "read_by": str(reader)}, [line])


def _current() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in _READS:
        raise InvalidOption(f"which shell? Name it: {', '.join(sorted(_READS))}")
    return name


def _add_line(path: Path, line: str) -> None:
    """Add a line to a file unless it is there; what the file says stays as it is, be it a link."""
    before = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    if line in before.splitlines():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as opened:
        opened.write(("" if before.endswith("\n") or not before else "\n") + line + "\n")
