"""The program ``artifact-store``: the options that hold for all commands, and the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from artifact_store._version import __version__
from artifact_store.cli import program
from artifact_store.cli.check import verify_command
from artifact_store.cli.compare import diff_command
from artifact_store.cli.doctor import doctor_command
from artifact_store.cli.files import get_command, put_command
from artifact_store.cli.housekeeping import delete_command, gc_command, prune_command, undelete_command
from artifact_store.cli.index import index_command
from artifact_store.cli.legacy import export_command, migrate_command
from artifact_store.cli.publish import promote_command, retire_command, rollback_command
from artifact_store.cli.session import PASSWORD, Session
from artifact_store.cli.show import history_command, ls_command, show_command
from artifact_store.cli.trust import keygen_command, sign_command
from artifact_store.cli.validate import validate_command

ENGINES = ("auto", "local", "memory", "obstore", "fsspec")

_STORE, _ENDPOINT, _PROFILE, _OPTION, _TIMEOUT, _MIN_RATE, _STAGING, _JSON = program.store_options()
_ENGINE = click.Option(
    ["--engine"], type=click.Choice(ENGINES), default="auto", show_default=True, help="The storage client."
)
_SIGNER = click.Option(
    ["--signer", "key"],
    type=program.HomePath(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"Sign what is saved and published with this private key; its password may be in {PASSWORD}.",
)
_TRUSTED = click.Option(
    ["--trusted-key", "trusted"],
    multiple=True,
    type=program.HomePath(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A public key of another who signs here: --signer publishes over what it has signed.",
)


@click.group(
    cls=program.ProgramGroup,
    problems="verify, validate or doctor found something wrong, a step of prune or gc failed, "
    "diff --exit-code: they differ",
    params=[_STORE, _ENDPOINT, _PROFILE, _ENGINE, _OPTION, _TIMEOUT, _MIN_RATE, _SIGNER, _TRUSTED, _STAGING, _JSON],
)
@click.version_option(__version__, prog_name="artifact-store")
@click.pass_context
def app(
    context: click.Context, /, *, endpoint_url: str | None, profile: str | None, options: tuple[str, ...], **others: Any
) -> None:
    """Look at a store of trained models, publish and roll back, check every byte, and move files in and out.

    Credentials come from the environment, from --profile, or from --option; they are never printed.
    """
    given = program.storage_options(options, endpoint_url=endpoint_url, profile=profile)
    context.obj = Session(options=given, **others)


LOOKING = (ls_command, show_command, history_command, diff_command, verify_command, validate_command, doctor_command)
PUBLISHING = (promote_command, rollback_command, retire_command)
CLEARING = (delete_command, undelete_command, prune_command, gc_command, index_command)
TRUSTING = (keygen_command, sign_command)
MOVING = (get_command, put_command, migrate_command, export_command)
for command in (*LOOKING, *PUBLISHING, *CLEARING, *TRUSTING, *MOVING):
    app.add_command(command)
