"""The program: the options that hold for all commands, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from artifact_store._version import __version__
from artifact_store.cli import failures, text
from artifact_store.cli.change import promote, retire, rollback
from artifact_store.cli.check import verify
from artifact_store.cli.clear import delete, gc, prune, undelete
from artifact_store.cli.compare import diff
from artifact_store.cli.doctor import doctor
from artifact_store.cli.legacy import export, migrate
from artifact_store.cli.look import history, ls, show
from artifact_store.cli.move import get, put
from artifact_store.cli.session import PASSWORD, VARIABLE, Session, parse_options
from artifact_store.cli.trust import keygen, sign
from artifact_store.cli.validate import validate_models

ENGINES = ("auto", "local", "memory", "obstore", "fsspec")


class Application(click.Group):
    """A group that ends with our exit statuses, and says what went wrong in a sentence or in JSON."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 -- click's signature
        **extra: Any,
    ) -> Any:
        """Run a command and exit."""

        def run() -> Any:
            return super(Application, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)

        if not standalone_mode:
            return run()
        text.never_fail()
        given = sys.argv[1:] if args is None else args
        sys.exit(failures.ending(run, as_json="--json" in given))


@click.group(
    cls=Application,
    epilog=failures.EXPLAINED,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": text.WIDTH},
)
@click.version_option(__version__, prog_name="artifact-store")
@click.option(
    "--store", "url", envvar=VARIABLE, show_envvar=True, metavar="URL", help="A folder, s3://bucket/prefix ..."
)
@click.option("--endpoint-url", metavar="URL", help="Of an S3 server other than Amazon's.")
@click.option("--profile", metavar="NAME", help="Of the AWS configuration.")
@click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True, help="The storage client.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="A storage option; may be repeated.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="For one storage operation, its repetitions included.",
)
@click.option(
    "--signer",
    "key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"Sign what is saved and published with this private key; its password may be in {PASSWORD}.",
)
@click.option("--json", is_flag=True, help="One JSON document on stdout; errors as JSON on stderr.")
@click.pass_context
def app(
    context: click.Context,
    *,
    url: str | None,
    endpoint_url: str | None,
    profile: str | None,
    engine: str,
    options: tuple[str, ...],
    timeout: float,
    key: Path | None,
    json: bool,
) -> None:
    """Look at a store of trained models, publish and roll back, check every byte, and move files in and out.

    Credentials come from the environment, from --profile, or from --option; they are never printed.
    """
    given = parse_options(options)
    given |= {"endpoint_url": endpoint_url} if endpoint_url else {}
    given |= {"profile": profile} if profile else {}
    context.obj = Session(url=url, engine=engine, timeout=timeout, options=given, json=json, key=key)


LOOKING = (ls, show, history, diff, verify, validate_models, doctor)
CHANGING = (promote, rollback, retire, delete, undelete, prune, gc)
TRUSTING = (keygen, sign)
MOVING = (get, put, migrate, export)
for command in (*LOOKING, *CHANGING, *TRUSTING, *MOVING):
    app.add_command(command)
