"""The command ``diff``: in what two runs differ, by their manifests alone. Decodes nothing and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from artifact_store.cli import output, program
from artifact_store.cli.completing import RefName
from artifact_store.cli.session import Command, Session, pass_session
from artifact_store.ops.diff import Difference, Section

_NARROWEST = 12
_TITLES = {"training_config": "training"}


@click.command("diff", cls=Command, short_help="Say in what two runs differ.")
@click.argument("a", type=RefName())
@click.argument("b", type=RefName())
@click.option("--exit-code", is_flag=True, help="End with status 1 if they differ.")
@pass_session
def diff_command(session: Session, a: str, b: str, *, exit_code: bool) -> int:
    """Say in what two runs differ: A and B are references such as gru/BTCEUR@production or gru/BTCEUR:20240816.

    Compared are files, features, configuration, metrics, tags, codecs, origin and environment.
    """
    with session.store() as store:
        found = store.diff(a, b)
        session.answer(found.to_json(), _lines(found))
    return program.PROBLEMS if exit_code and found else program.OK


def _lines(found: Difference) -> Iterator[str]:
    yield f"a  {output.safe(found.a)}"
    yield f"b  {output.safe(found.b)}"
    yield ""
    rows = [[_TITLES.get(name, name), *row] for name, section in found.sections() if section for row in _rows(section)]
    if not rows:
        yield "No differences."
        return
    names = max(len(output.safe(" ".join(row[:2]))) for row in rows)
    width = max((output.page_width() - names - 6) // 2, _NARROWEST)
    yield from output.table(
        ("what", "name", "a", "b"),
        [[what, name, *(output.shortened(each, width) for each in pair)] for what, name, *pair in rows],
    )


def _rows(section: Section) -> Iterator[list[str]]:
    for name, value in section.removed.items():
        yield [name, _shown(value), "-"]
    for name, (one, other) in section.changed.items():
        yield [name, *_apart(one, other)]
    for name, value in section.added.items():
        yield [name, "-", _shown(value)]


def _apart(one: Any, other: Any) -> tuple[str, str]:
    """Return two values; of long lists from the first place on in which they differ."""
    if isinstance(one, list) and isinstance(other, list):
        same = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
        if same:
            return f"...{_shown(one[same:])}", f"...{_shown(other[same:])}"
    return _shown(one), _shown(other)


def _shown(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {"size", "sha256"}:
        return f"{value['sha256'][:12]} {output.size(value['size'])}"
    if isinstance(value, dict) and value.keys() == {"codec", "type"}:
        return f"{value['codec']} {value['type']}"
    if isinstance(value, float):
        return output.format_number(value)
    return value if isinstance(value, str) else json.dumps(value)
