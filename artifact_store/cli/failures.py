"""What the command line ends with: an exit status for each family of errors, and a sentence or a JSON document.

No traceback for what a user can mend. A fault of the program itself is not caught: its traceback is wanted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from artifact_store.cli import text
from artifact_store.core import errors

OK: Final = 0
PROBLEMS: Final = 1
INTERRUPTED: Final = 130

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
_MISUSE: Final = FAMILIES[errors.InvalidInput]

EXPLAINED: Final = """\b
Exit status:
   0  done
   1  verify, validate or doctor found something wrong, a step of prune or gc failed, diff --exit-code: they differ
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


def ending(run: Callable[[], object], *, as_json: bool) -> int:
    """Return the exit status of ``run``, after telling on stderr what went wrong."""
    try:
        status = run()
    except click.Abort:
        click.echo("Interrupted." if not as_json else _document("Interrupted", "Interrupted", "interrupted"), err=True)
        return INTERRUPTED
    except click.ClickException as error:
        _tell_misuse(error, as_json=as_json)
        return _MISUSE
    except errors.ArtifactStoreError as error:
        _tell(error, as_json=as_json)
        return _status(error)[1]
    except OSError as error:
        _tell(error, as_json=as_json)
        return _MISUSE
    return status if isinstance(status, int) else OK


def described(error: BaseException) -> dict[str, Any]:
    """Return an error as JSON: its type, its family, the text, and the plain ones among its attributes."""
    return {
        "type": type(error).__name__,
        "family": _status(error)[0],
        "message": str(error),
        "details": {name: value for name, value in vars(error).items() if _is_plain(value)},
    }


def _status(error: BaseException) -> tuple[str, int]:
    for family, status in FAMILIES.items():
        if isinstance(error, family):
            return family.__name__, status
    return "InvalidInput", _MISUSE  # of the operating system, about a path that was named


def _tell(error: BaseException, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": described(error)}, indent=2), err=True)
        return
    message = "\n".join(text.safe(line) for line in str(error).splitlines())
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {message}", err=True)


def _tell_misuse(error: click.ClickException, *, as_json: bool) -> None:
    if as_json:
        click.echo(_document(type(error).__name__, "InvalidInput", error.format_message()), err=True)
    else:
        error.show(sys.stderr)


def _document(kind: str, family: str, message: str) -> str:
    return json.dumps({"error": {"type": kind, "family": family, "message": message, "details": {}}}, indent=2)


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_plain(part) for name, part in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, str | int | float)
