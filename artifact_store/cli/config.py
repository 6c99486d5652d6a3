"""The commands ``config`` and ``config allow``: which stores have names, and what each setting comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from artifact_store.cli import output, program
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.configuration.named import Configuration
from artifact_store.errors import InvalidOption
from artifact_store.storage.options import StorageOptions
from artifact_store.storage.redaction import redact

_HIDDEN = "(not shown)"
_VARIABLES = (program.VARIABLE, program.CACHE)


class _Shown(Command, click.Group):
    """A group that has an answer of its own as well."""


@click.group("config", cls=_Shown, invoke_without_command=True, short_help="Show the stores that have names.")
@click.pass_context
def config_command(context: click.Context) -> None:
    """Show the stores that artifact_store.toml names, in a project or of yours, and where each setting comes from.

    An argument comes before a variable of the environment, this before the project's file, this before your own.
    """
    if context.invoked_subcommand is None:
        session = context.ensure_object(Session)
        configuration = Configuration()
        session.answer(_document(configuration), _lines(configuration))


@config_command.command("allow", cls=Command, short_help="Allow the endpoint of a project's file.")
@click.argument("name")
@pass_session
def allow_command(session: Session, name: str) -> None:
    """Let requests for the store NAME be signed with your credentials for the endpoint that a project's file has.

    Asked once: another endpoint, place or file is asked for anew.
    """
    endpoint = Configuration().endpoint(name)
    if endpoint is None:
        raise InvalidOption(f"the store {name} takes no yes: no file of a project names an endpoint for it")
    endpoint.allow()
    document = {"store": endpoint.store, "url": endpoint.url, "endpoint": endpoint.endpoint, "file": str(endpoint.file)}
    line = f"{output.safe(endpoint.endpoint)} may be asked for the store {name} of {output.safe(str(endpoint.file))}."
    session.answer(document, [line])


def _document(configuration: Configuration) -> dict[str, Any]:
    default = configuration.default
    return {
        "files": {"project": _path(configuration.project), "user": _path(configuration.user)},
        "default": None if default is None else {"name": default.value, "from": default.source},
        "environment": _environment(),
        "stores": {name: _store(configuration, name) for name in configuration.names},
    }


def _path(path: Path | None) -> str | None:
    return str(path) if path is not None and path.is_file() else None


def _environment() -> dict[str, str]:
    return {name: redact(os.environ[name]) for name in _VARIABLES if os.environ.get(name)}


def _store(configuration: Configuration, name: str) -> dict[str, Any]:
    endpoint = configuration.endpoint(name)
    settings = {
        setting: {"value": _shown(setting, found.value), "from": found.source}
        for setting, found in configuration.settings(name).items()
    }
    return {"settings": settings, "endpoint_allowed": None if endpoint is None else endpoint.is_allowed}


def _shown(setting: str, value: Any) -> Any:
    """Return a value without what may be a credential in it."""
    if setting != "storage_options":
        return value
    private = StorageOptions.of(value).private
    return {name: _HIDDEN if name in private else option for name, option in value.items()}


def _lines(configuration: Configuration) -> Iterator[str]:
    document = _document(configuration)
    missing = "none" if configuration.project is None else str(configuration.project)
    there = "" if document["files"]["user"] else " (not there yet)"
    yield from output.fields(
        [
            ("project's file", missing),
            ("your own file", f"{configuration.user}{there}"),
            *[(name, value) for name, value in document["environment"].items()],
            *(
                [("default", f"{document['default']['name']} ({document['default']['from']})")]
                if document["default"]
                else []
            ),
        ]
    )
    rows = list(_rows(document["stores"]))
    if rows:
        yield ""
        yield from output.table(("store", "setting", "value", "from"), rows)
    for name, store in document["stores"].items():
        if store["endpoint_allowed"] is False:
            yield ""
            yield f"The endpoint of {name} is not allowed yet: artifact-store config allow {name}"


def _rows(stores: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, store in stores.items():
        for setting, found in store["settings"].items():
            yield [name, setting, str(found["value"]), found["from"]]
