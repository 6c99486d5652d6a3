"""What both programs share: the options that name a store, tables, and how they end.

No traceback for what a user can mend: a sentence on stderr, or with ``--json`` a document, and an exit status for each
family of errors, the same as those of ``artifact-store``. A fault of the program itself is not caught.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import FrameType
from typing import Any, Final, Self

import click

from artifact_store import ArtifactStore, errors

OK: Final = 0
PROBLEMS: Final = 1
INTERRUPTED: Final = 130
VARIABLE: Final = "ARTIFACT_STORE_URL"
WIDTH: Final = 110

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
EXPLAINED: Final = """\b
Exit status:
   0  done
   1  trade: at least one model could not be used; train: what was saved is not sound, and not published
   2  the command, a name, an option or the data are wrong
   3  what was named is not there
   4  another writer was first; nothing of theirs was changed
   5  a write may have landed; look before you repeat it
   6  the storage could not do it now; try again later
   7  the credentials or permissions do not allow it
   8  the stored bytes are damaged; do not use them
   9  something has to be installed or upgraded
  10  the policy does not trust it
 130  interrupted
"""


class Program(click.Command):
    """A command that takes the options of a store, and ends with our exit statuses."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}
        super().__init__(*args, **{"epilog": EXPLAINED, "context_settings": settings, **kwargs})
        self.params.extend(_store_options())

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
            return super(Program, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)

        if not standalone_mode:
            return run()
        for stream in (sys.stdout, sys.stderr):  # a console that cannot show a character shows its code
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")
        given = sys.argv[1:] if args is None else args
        sys.exit(ending(run, as_json="--json" in given))


def _store_options() -> list[click.Option]:
    return [
        click.Option(
            ["--store", "url"],
            envvar=VARIABLE,
            show_envvar=True,
            metavar="URL",
            help="A folder, s3://bucket/prefix ...",
        ),
        click.Option(["--endpoint-url"], metavar="URL", help="Of an S3 server other than Amazon's."),
        click.Option(["--profile"], metavar="NAME", help="Of the AWS configuration."),
        click.Option(["--option", "options"], multiple=True, metavar="NAME=VALUE", help="A storage option."),
        click.Option(
            ["--json", "as_json"], is_flag=True, help="One JSON document on stdout; errors as JSON on stderr."
        ),
    ]


def open_store(
    url: str | None, *, endpoint_url: str | None = None, profile: str | None = None, options: Sequence[str] = ()
) -> ArtifactStore:
    """Return the store that the options name. Nothing is read or written yet.

    Raises:
        InvalidOption: nobody said which.
    """
    if not url:
        raise errors.InvalidOption(
            f"which store? Give --store URL, or set {VARIABLE}: a folder, s3://bucket/prefix ..."
        )
    given: dict[str, Any] = parse_pairs(options, "--option", is_json=_is_json_option)
    given |= {"endpoint_url": endpoint_url} if endpoint_url else {}
    given |= {"profile": profile} if profile else {}
    return ArtifactStore(url, storage_options=given or None)


def _is_json_option(value: str) -> bool:
    """Tell whether a storage option is JSON: a key of digits is text."""
    return value in {"true", "false"} or value[:1] in {"{", "["}


def parse_pairs(values: Sequence[str], option: str, *, is_json: Callable[[str], bool] = bool) -> dict[str, Any]:
    """Read ``NAME=VALUE``; what JSON can read is JSON where it may be, anything else is text.

    Raises:
        click.BadParameter: it is none. What was written is not repeated, since it may be a secret.
    """
    found: dict[str, Any] = {}
    for value in values:
        name, equals, given = value.partition("=")
        if not equals or not name:
            raise click.BadParameter("it is written NAME=VALUE.", param_hint=option)
        try:
            found[name] = json.loads(given) if is_json(given) else given
        except json.JSONDecodeError:
            found[name] = given
    return found


_UNITS: Final[Mapping[str, str]] = {"d": "days", "h": "hours", "m": "minutes"}


def read_age(context: click.Context, option: click.Parameter, value: str | None) -> timedelta | None:
    """Read a length of time: ``30d``, ``12h`` or ``90m``; the callback of an option.

    Raises:
        click.BadParameter: it is none.
    """
    if value is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,5})([dhm])", value)
    if found is None:
        raise click.BadParameter("it is written 30d, 12h or 90m.", ctx=context, param=option)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def ending(run: Callable[[], object], *, as_json: bool) -> int:
    """Return the exit status of ``run``, after telling on stderr what went wrong."""
    try:
        status = run()
    except click.Abort:
        tell("Interrupted", "Interrupted", "interrupted; what was saved before is whole", as_json=as_json)
        return INTERRUPTED
    except click.ClickException as error:
        if as_json:
            tell(type(error).__name__, "InvalidInput", error.format_message(), as_json=True)
        else:
            error.show(sys.stderr)
        return FAMILIES[errors.InvalidInput]
    except (errors.ArtifactStoreError, OSError) as error:
        family, status = family_of(error)
        tell(type(error).__name__, family, str(error), as_json=as_json)
        return status
    return status if isinstance(status, int) else OK


_IMPORTING: Final = "<frozen importlib._bootstrap>"
"""The file of every frame that imports something."""


class Interrupt:
    """Ctrl-C that cannot get lost: Python drops an exception that is raised while an object is being freed.

    As a context manager it raises ``KeyboardInterrupt`` at once where it can, and :meth:`check` raises it where that
    was in vain, or had to wait: an exception in the middle of an import of torch aborts the process. Outside of the
    main thread, where no signal arrives, it does nothing.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: tuple[Any, Any] | None = None

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if somebody has pressed Ctrl-C since the beginning."""
        if self._asked:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle), sys.unraisablehook
            sys.unraisablehook = self._unraisable
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            handler, sys.unraisablehook = self._before
            signal.signal(signal.SIGINT, handler)
            self._before = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number
        self._asked = True
        while frame is not None:
            if frame.f_code.co_filename == _IMPORTING:
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    def _unraisable(self, lost: Any) -> None:
        assert self._before is not None
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            self._before[1](lost)


def family_of(error: BaseException) -> tuple[str, int]:
    """Return the family of an error and its exit status."""
    for family, status in FAMILIES.items():
        if isinstance(error, family):
            return family.__name__, status
    return "InvalidInput", FAMILIES[errors.InvalidInput]  # of the operating system, about a path that was named


def tell(kind: str, family: str, message: str, *, as_json: bool) -> None:
    """Print an error on stderr."""
    if as_json:
        document = {"error": {"type": kind, "family": family, "message": message}}
        click.echo(json.dumps(document, indent=2), err=True)
        return
    words = "\n".join(safe(line) for line in message.splitlines())
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {words}", err=True)


def answer(document: Mapping[str, Any], lines: Iterator[str], *, as_json: bool) -> None:
    """Print the one or the other: a JSON document for machines, lines for people."""
    if as_json:
        click.echo(json.dumps(document, indent=2, allow_nan=False))
        return
    for line in lines:
        click.echo(line)


def number(value: float) -> float | None:
    """Return a number that JSON knows, or nothing."""
    return value if value - value == 0 else None


def safe(text: str) -> str:
    """Return text from elsewhere for a terminal: what is not printable is escaped, so that it cannot command it."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table: a head, a rule, and the rows."""
    cells = [[safe(cell) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[place]) for row in cells)]) for place, name in enumerate(head)]
    for line in (head, ["-" * width for width in widths], *cells):
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
