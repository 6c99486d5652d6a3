"""The commands of the program, imported as it imports them: one by one, each by its name."""

from __future__ import annotations

from collections.abc import Iterator

import click

from artifact_store.cli.app import app


def commands() -> dict[str, click.Command]:
    """Return all commands by their names, those of a group as ``cache ls``."""
    return dict(_below(app, ""))


def _below(group: click.Group, before: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from _below(command, f"{before}{name} ")
