"""What a command-line program over a store needs: options, exit statuses, and answers for people and for machines.

Public: ``artifact-store`` itself, and programs of other distributions, are made of it.

>>> @click.command(cls=program.Program)
... @click.argument("key")
... def main(*, key: str, as_json: bool, **where: Any) -> int:
...     with program.open_store(**where) as store:
...         runs = [str(run.run_id) for run in store.runs(key)]
...     program.answer({"runs": runs}, program.table(["run"], [[run] for run in runs]), as_json=as_json)
...     return program.OK

An error that a user can fix ends as one sentence on stderr, or as a JSON document, with the exit status of its family.
A fault of the program itself is not caught: its traceback is wanted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from artifact_store import errors
from artifact_store.cli import output
from artifact_store.cli.output import safe, table
from artifact_store.storage.home import at_home
from artifact_store.storage.patience import MIN_RATE

if TYPE_CHECKING:
    from artifact_store.ops.keypairs import Signer
    from artifact_store.store import ArtifactStore

__all__ = [
    "FAMILIES",
    "INTERRUPTED",
    "OK",
    "PROBLEMS",
    "VARIABLE",
    "HomePath",
    "Program",
    "ProgramGroup",
    "answer",
    "error_document",
    "exit_status",
    "finite",
    "load_signer",
    "open_store",
    "safe",
    "store_arguments",
    "store_options",
    "table",
]

VARIABLE: Final = "ARTIFACT_STORE_URL"
"""The environment variable that names the store where ``--store`` does not."""
CACHE: Final = "ARTIFACT_STORE_CACHE"
"""The environment variable that names the folder for fetched files where ``--cache`` does not."""
PASSWORD: Final = "ARTIFACT_STORE_KEY_PASSWORD"  # noqa: S105 -- the name of a variable
"""The environment variable that has the password of a private key."""

OK: Final = 0
PROBLEMS: Final = 1
INTERRUPTED: Final = 130
TIMEOUT: Final = 60.0
"""Seconds for one storage operation: a person who looks at it waits longer for an answer than for an error."""
FAMILIES: Final[Mapping[type[errors.ArtifactStoreError], int]] = {
    errors.InvalidInput: 2,
    errors.NotFound: 3,
    errors.Conflict: 4,
    errors.OutcomeUnknown: 5,
    errors.Unavailable: 6,
    errors.AccessDenied: 7,
    errors.Untrusted: 10,  # before Corrupt, of which one of them is a child
    errors.Corrupt: 8,
    errors.Unsupported: 9,
}
"""The exit status of each family of errors; the first family that fits counts."""
_MISUSE: Final = FAMILIES[errors.InvalidInput]

_EXPLAINED: Final = """\b
Exit status:
   0  done
   1  {problems}
   2  the command, a name or an option is wrong (InvalidInput)
   3  what was named is not there (NotFound)
   4  another writer was first; nothing of theirs was changed (Conflict)
   5  the write may have landed; look before you repeat it (OutcomeUnknown)
   6  the storage could not do it now; try again later (Unavailable)
   7  the credentials or permissions do not allow it (AccessDenied)
   8  the stored bytes are damaged; do not use them (Corrupt)
   9  something has to be installed or upgraded, or cannot do this (Unsupported)
  10  the policy does not trust it (Untrusted)
 130  interrupted
"""


class _Command(click.Command):
    """A command that ends with our exit statuses, and says what went wrong in a sentence or in JSON."""

    def __init__(
        self, *args: Any, problems: str = "something was found wrong", interrupted: str = "interrupted", **kwargs: Any
    ) -> None:
        self._interrupted = interrupted
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": output.WIDTH}
        usual = {"epilog": _EXPLAINED.format(problems=problems), "context_settings": settings}
        super().__init__(*args, **{**usual, **kwargs})

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 -- click's signature
        **extra: Any,
    ) -> Any:
        """Run the program and exit."""

        def run() -> Any:
            return super(_Command, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)

        if not standalone_mode:
            return run()
        output.never_fail()
        as_json = "--json" in (sys.argv[1:] if args is None else args)
        sys.exit(exit_status(run, as_json=as_json, interrupted=self._interrupted))


class HomePath(click.Path):
    """A path, in which a leading ``~`` is the home folder: no shell replaces that of ``--key=~/mine.key``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, as :class:`click.Path` does; of one that has to exist, say what may have been meant."""
        if isinstance(value, str) and value.startswith("~"):
            try:
                value = str(at_home(value))
            except errors.InvalidOption as unknown:
                self.fail(str(unknown), param, ctx)
        if self.exists and not os.path.lexists(value):
            from artifact_store.nearby import nothing_at

            self.fail(nothing_at(Path(value)), param, ctx)
        return super().convert(value, param, ctx)


class Program(_Command):
    """A command with the options of a store (:func:`store_options`).

    All but ``as_json`` are the arguments of :func:`open_store`. What its function returns is the exit status.
    ``problems`` says in the help what the status 1 means, and ``interrupted`` what is said after a Ctrl-C.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(store_options())


class ProgramGroup(_Command, click.Group):
    """A group of commands that ends in the same way; its options are up to the program (:func:`store_options`)."""


def store_options() -> list[click.Option]:
    """Return new options that say which store, how to reach it, and whether a machine reads the answer.

    In this order: ``--store``, ``--endpoint-url``, ``--profile``, ``--option``, ``--timeout``, ``--min-rate``,
    ``--staging`` and ``--json``.
    """
    return [
        click.Option(
            ["--store", "url"],
            envvar=VARIABLE,
            show_envvar=True,
            metavar="URL",
            help="A folder, s3://bucket/prefix ..., or a name of `artifact-store config`.",
        ),
        click.Option(["--endpoint-url"], metavar="URL", help="Of an S3 server other than Amazon's."),
        click.Option(["--profile"], metavar="NAME", help="Of the AWS configuration."),
        click.Option(
            ["--option", "options"], multiple=True, metavar="NAME=VALUE", help="A storage option; may be repeated."
        ),
        click.Option(
            ["--timeout"],
            type=click.FloatRange(0, min_open=True),
            metavar="SECONDS",
            help=f"For one storage operation, its repetitions included; {TIMEOUT:g} unless given.",
        ),
        click.Option(
            ["--min-rate"],
            type=click.FloatRange(0, min_open=True),
            metavar="BYTES",
            help="A second, beyond the timeout: what the line to the server has to make, for all that is under way; "
            f"{MIN_RATE} unless given.",
        ),
        click.Option(
            ["--staging"],
            type=HomePath(file_okay=False, path_type=Path),
            metavar="FOLDER",
            help="For temporary files; else below the root of a folder, or in TMPDIR.",
        ),
        click.Option(
            ["--json", "as_json"], is_flag=True, help="One JSON document on stdout; errors as JSON on stderr."
        ),
    ]


def open_store(
    url: str | None,
    *,
    endpoint_url: str | None = None,
    profile: str | None = None,
    options: Sequence[str] = (),
    timeout: float | None = None,
    min_rate: float | None = None,
    staging: Path | None = None,
) -> ArtifactStore:
    """Return the store that the options name, or that a configuration names. Nothing is read or written there yet.

    Raises:
        InvalidOption: no store was named, or an option means nothing.
        EndpointNotAllowed: a project's configuration names an endpoint that the user has not allowed.
    """
    from artifact_store.storage.open import opened_or_why_not
    from artifact_store.store import ArtifactStore

    given = storage_options(options, endpoint_url=endpoint_url, profile=profile)
    found = store_arguments(url, given, timeout=timeout, min_rate=min_rate, staging=staging)
    store = opened_or_why_not(partial(ArtifactStore, **found))
    del url, endpoint_url, options, given, found  # a report of an error may show the variables of each frame
    if isinstance(store, errors.ArtifactStoreError):
        raise store
    return store


def store_arguments(url: str | None, options: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """Return the arguments of :class:`~artifact_store.ArtifactStore`: what is given, before what a configuration says.

    ``None`` is not given. A person at a terminal is asked about an endpoint that a project's configuration names.

    Raises:
        InvalidOption: no store was named, or the configuration means nothing.
        EndpointNotAllowed: a project's configuration names an endpoint that the user has not allowed.
    """
    from artifact_store.configuration.named import arguments
    from artifact_store.storage.options import StorageOptions, Unshown

    found = arguments(url, load_signer, ask=_ask)
    merged = {**found.pop("storage_options", {}), **options}
    told = {name: value for name, value in given.items() if value is not None}
    held = {"storage_options": StorageOptions.of(merged)} if merged else {}
    return Unshown({"timeout": TIMEOUT, **found, **told, **held})


def _ask(question: str) -> bool | None:
    """Ask a person; ``None`` if there is none at the terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return click.confirm(question, err=True)


def load_signer(path: Path) -> Signer:
    """Return the signer of a private key; its password is in the environment, or asked for."""
    from artifact_store.ops.keypairs import Signer, read_key_file

    return Signer.from_pem(path, _password(path) if b"ENCRYPTED" in read_key_file(path) else None)


def _password(path: Path) -> str:
    told = os.environ.get(PASSWORD)
    return str(click.prompt(f"Password of {path}", hide_input=True, err=True)) if told is None else told


def storage_options(
    options: Iterable[str], *, endpoint_url: str | None = None, profile: str | None = None
) -> dict[str, Any]:
    """Return the storage options that the command line gives.

    Raises:
        click.BadParameter: as :func:`parse_options`.
    """
    given = parse_options(options)
    given |= {"endpoint_url": endpoint_url} if endpoint_url else {}
    given |= {"profile": profile} if profile else {}
    return given


def parse_options(values: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE``; true, false, and values in braces or brackets are JSON, anything else is text.

    Raises:
        click.BadParameter: it is written otherwise. The value is not repeated, since it may be a secret.
    """
    found: dict[str, Any] = {}
    for value in values:
        name, equals, given = value.partition("=")
        if not equals or not name:
            raise click.BadParameter("it is written NAME=VALUE.", param_hint="--option")
        try:
            found[name] = json.loads(given) if given in {"true", "false"} or given[:1] in {"{", "["} else given
        except (ValueError, RecursionError):  # the error itself holds what was written
            raise click.BadParameter(
                f"the value of {name} begins like JSON, and is not JSON.", param_hint="--option"
            ) from None
    return found


def exit_status(run: Callable[[], object], *, as_json: bool, interrupted: str = "interrupted") -> int:
    """Return the exit status of ``run``, after saying on stderr what went wrong."""
    try:
        status = run()
    except click.Abort:
        text = f"{interrupted[:1].upper()}{interrupted[1:]}."
        _tell(_document("Interrupted", "interrupted", "Interrupted", interrupted) if as_json else text)
        return INTERRUPTED
    except click.ClickException as error:
        if as_json:
            code = errors.InvalidInput.code
            _tell(_document(type(error).__name__, code, "InvalidInput", error.format_message()))
        else:
            error.show(sys.stderr)
        return _MISUSE
    except (errors.ArtifactStoreError, OSError) as error:
        lines = "\n".join(safe(line) for line in str(error).splitlines())
        _tell(error_document(error) if as_json else f"{click.style('Error:', fg='red', bold=True)} {lines}")
        return _family(error)[1]
    return status if isinstance(status, int) else OK


def error_document(error: BaseException) -> dict[str, Any]:
    """Return an error as JSON: its type, its family, the text, and the plain ones among its attributes."""
    code = error.code if isinstance(error, errors.ArtifactStoreError) else errors.InvalidInput.code
    details = {name: value for name, value in vars(error).items() if _is_plain(value)}
    return _document(type(error).__name__, code, _family(error)[0], str(error), details)


def answer(document: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print a JSON document for machines, or lines for people."""
    if as_json:
        click.echo(json.dumps(document, indent=2, allow_nan=False))
        return
    for line in lines:
        click.echo(line)


def finite(value: float) -> float | None:
    """Return a number that JSON can hold, or ``None`` for NaN and the infinities."""
    return value if value - value == 0 else None


def _family(error: BaseException) -> tuple[str, int]:
    for family, status in FAMILIES.items():
        if isinstance(error, family):
            return family.__name__, status
    return "InvalidInput", _MISUSE  # of the operating system, about a path that was named


def _document(
    kind: str, code: str, family: str, message: str, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {"type": kind, "code": code, "family": family, "message": message, "details": details or {}}


def _tell(error: str | Mapping[str, Any]) -> None:
    """Print what went wrong on stderr: a sentence, or a JSON document."""
    click.echo(error if isinstance(error, str) else json.dumps({"error": error}, indent=2), err=True)


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_plain(part) for name, part in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, str | int | float)
