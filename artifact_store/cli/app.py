"""The program ``artifact-store``: the options that hold for all commands, and the commands."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from artifact_store._version import __version__
from artifact_store.cli import program

ENGINES = ("auto", "local", "memory", "obstore", "fsspec")

_STORE, _ENDPOINT, _PROFILE, _OPTION, _TIMEOUT, _MIN_RATE, _STAGING, _JSON = program.store_options()
_ENGINE = click.Option(["--engine"], type=click.Choice(ENGINES), help="The storage client; auto unless given.")
_SIGNER = click.Option(
    ["--signer", "key"],
    type=program.HomePath(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"Sign what is saved and published with this private key; its password may be in {program.PASSWORD}.",
)
_TRUSTED = click.Option(
    ["--trusted-key", "trusted"],
    multiple=True,
    type=program.HomePath(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A public key of another who signs here: --signer publishes over what it has signed.",
)
_COMPRESSION = click.Option(
    ["--compression"],
    type=click.Choice(["zstd"]),
    help="Store files that become much smaller as frames of zstd; whoever loads needs the extra zstd.",
)
_CACHE = click.Option(
    ["--cache"],
    type=program.HomePath(file_okay=False, path_type=Path),
    envvar=program.CACHE,
    show_envvar=True,
    metavar="FOLDER",
    help="Keep fetched files there by content, so that what did not change is not fetched again.",
)
_CACHE_SIZE = click.Option(
    ["--cache-size"], metavar="SIZE", help="The most that the cache may hold, such as 10GB; what was used last stays."
)
_OFFLINE = click.Option(
    ["--offline"], is_flag=True, help="Load what the cache has seen last, and ask the storage nothing."
)
_PLACE = (_STORE, _ENDPOINT, _PROFILE, _ENGINE, _OPTION, _TIMEOUT, _MIN_RATE)
_HERE = (_CACHE, _CACHE_SIZE, _OFFLINE, _STAGING, _JSON)


LOOKING: Final = {
    "ls": "show.ls_command",
    "show": "show.show_command",
    "history": "show.history_command",
    "watch": "watch.watch_command",
    "du": "usage.du_command",
    "diff": "compare.diff_command",
    "verify": "check.verify_command",
    "validate": "validate.validate_command",
    "doctor": "doctor.doctor_command",
    "report": "report.report_command",
}
PUBLISHING: Final = {
    "promote": "publish.promote_command",
    "rollback": "publish.rollback_command",
    "retire": "publish.retire_command",
    "annotate": "annotate.annotate_command",
}
CLEARING: Final = {
    "delete": "housekeeping.delete_command",
    "undelete": "housekeeping.undelete_command",
    "prune": "housekeeping.prune_command",
    "gc": "housekeeping.gc_command",
    "index": "index.index_command",
    "cache": "cache.cache_command",
    "config": "config.config_command",
    "completion": "completion.completion_command",
}
TRUSTING: Final = {"keygen": "trust.keygen_command", "sign": "trust.sign_command"}
MOVING: Final = {
    "get": "files.get_command",
    "put": "files.put_command",
    "cp": "copy.cp_command",
    "migrate": "legacy.migrate_command",
    "export": "copy.export_command",
    "import": "copy.import_command",
}
_COMMANDS: Final = LOOKING | PUBLISHING | CLEARING | TRUSTING | MOVING


class _Commands(program.ProgramGroup):
    """The commands, each of which is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in order."""
        return sorted({*_COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, function = _COMMANDS[cmd_name].partition(".")
        command: click.Command = getattr(import_module(f"artifact_store.cli.{module}"), function)
        return command


@click.group(
    cls=_Commands,
    problems="verify, validate, doctor or cache verify found something wrong, a step of prune or gc failed, "
    "diff --exit-code: they differ",
    params=[*_PLACE, _SIGNER, _TRUSTED, _COMPRESSION, *_HERE],
)
@click.version_option(__version__, prog_name="artifact-store")
@click.pass_context
def app(
    context: click.Context, /, *, endpoint_url: str | None, profile: str | None, options: tuple[str, ...], **others: Any
) -> None:
    """Look at a store of trained models, publish and roll back, check every byte, and move files in and out.

    Credentials come from the environment, from --profile, or from --option; they are never printed.
    """
    from artifact_store.cli.session import Session
    from artifact_store.ops.remembering import OfflineWarning

    given = program.storage_options(options, endpoint_url=endpoint_url, profile=profile)
    context.obj = Session(options=given, **others)
    context.with_resource(warnings.catch_warnings())
    warnings.simplefilter("always", OfflineWarning)
    warnings.showwarning = context.obj.tell
    context.with_resource(context.obj.heard())
    if os.environ.get("NO_COLOR"):
        context.color = False
