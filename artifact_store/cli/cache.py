"""The commands ``cache ls``, ``cache prune`` and ``cache verify``: what was fetched from stores before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from artifact_store.cli import output, program
from artifact_store.cli.housekeeping import APPLY, parse_span, show_plan
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.configuration.named import Configuration
from artifact_store.ops.cached import Cache, Cached, CacheReport

_FOLDER = click.argument("folder", required=False, type=program.HomePath(file_okay=False, path_type=Path))


@click.group("cache", short_help="Look at a cache, prune and verify it.")
def cache_command() -> None:
    """Look at FOLDER, the cache of what was fetched from stores; without it, at the one of --cache."""


@cache_command.command("ls", cls=Command, short_help="List what is in a cache.")
@_FOLDER
@pass_session
def cache_ls_command(session: Session, folder: Path | None) -> None:
    """List what the cache holds, what was used last first, with sizes, the total and the limit."""
    cache = _cache(session, folder)
    entries = cache.entries()
    total = sum(entry.bytes for entry in entries)
    document = {"folder": str(cache.folder), "entries": _documents(entries), "bytes": total, "limit": cache.limit}
    session.answer(document, _listed(cache, entries, total))


@cache_command.command("prune", cls=Command, short_help="Remove what was used longest ago.")
@_FOLDER
@click.option("--size", metavar="SIZE", help="Remove until so much is left, such as 5GB.")
@click.option(
    "--older-than", callback=parse_span, metavar="SPAN", help="Remove what was not used for as long, such as 30d."
)
@APPLY
@pass_session
def cache_prune_command(
    session: Session, folder: Path | None, size: str | None, older_than: timedelta | None, *, apply: bool
) -> int:
    """Remove what was used longest ago. Processes that read it meanwhile go on, and what is used meanwhile stays."""
    if size is None and older_than is None:
        raise click.UsageError("prune needs to know what is to go: --size 5GB, --older-than 30d, or both.")
    return show_plan(session, _cache(session, folder).prune(size=size, older_than=older_than), apply=apply)


@cache_command.command("verify", cls=Command, short_help="Hash everything; damaged files go.")
@_FOLDER
@pass_session
def cache_verify_command(session: Session, folder: Path | None) -> int:
    """Hash everything in the cache, and remove what is damaged: it is fetched again when it is needed.

    Ends with status 1 if something was damaged, or could not be read.
    """
    cache = _cache(session, folder)
    report = cache.verify()
    session.answer(
        {
            "folder": str(cache.folder),
            "ok": report.ok,
            "checked": report.checked,
            "bytes": report.bytes,
            "damaged": _documents(report.damaged),
            "unreadable": _documents(report.unreadable),
        },
        _verified(report),
    )
    return program.OK if report.ok else program.PROBLEMS


def _cache(session: Session, folder: Path | None) -> Cache:
    found = {} if folder or session.cache else _configured(session)
    named = folder or session.cache or found.get("cache")
    if named is None:
        raise click.UsageError(f"which cache? Name its folder, or set {program.CACHE}.")
    return Cache(named, session.cache_size or found.get("cache_size"))


def _configured(session: Session) -> dict[str, Any]:
    """Return what a configuration says of the store, if one is named."""
    named = session.url or Configuration().default
    return session.arguments() if named else {}


def _documents(entries: list[Cached] | tuple[Cached, ...]) -> list[dict[str, Any]]:
    return [
        {
            "what": entry.what,
            "kind": entry.kind,
            "sha256": entry.sha256 if entry.kind == "file" else None,
            "bytes": entry.bytes,
            "used_at": entry.used_at.isoformat(),
            "path": str(entry.path),
        }
        for entry in entries
    ]


def _listed(cache: Cache, entries: list[Cached], total: int) -> Iterator[str]:
    if entries:
        rows = [[entry.what, output.size(entry.bytes), output.time(entry.used_at)] for entry in entries]
        yield from output.table(("what", "size", "used last (UTC)"), rows)
        yield ""
    limit = "no limit" if cache.limit is None else f"the limit is {output.size(cache.limit)}"
    yield f"{output.count(len(entries), 'entry', 'entries')}, {output.size(total)}; {limit}."


def _verified(report: CacheReport) -> Iterator[str]:
    yield from (f"Damaged, and removed: {output.safe(entry.what)}" for entry in report.damaged)
    yield from (f"Cannot be read: {output.safe(str(entry.path))}" for entry in report.unreadable)
    checked = f"{output.count(report.checked, 'entry', 'entries')}, {output.size(report.bytes)}"
    yield f"{checked}: all as fetched." if report.ok else f"{checked}: {len(report.damaged)} damaged."
