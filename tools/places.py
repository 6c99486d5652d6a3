"""The pages about places: ``docs/places.md`` and the table of measured places in ``artifact_store/FORMAT.md``.

Both are made of ``docs/places.json``, which ``python dev.py prove places --write`` writes, and of
``tools/places.toml``, which holds what is known of places that cannot be run; ``python -m tools.places`` makes them.
Starts nothing.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.processes import HERE

DATA = HERE / "docs" / "places.json"
KNOWN = HERE / "tools" / "places.toml"
PAGE = HERE / "docs" / "places.md"
FORMAT = HERE / "artifact_store" / "FORMAT.md"
BEGIN = "<!-- made of docs/places.json by `python -m tools.places` -->\n"
END = "<!-- end of what is made -->\n"
HEAD = """# Places

Where a store can live, tried: `python dev.py prove places` starts each place for real, opens a store there, lets eight
writers in four processes race for run ids and for an alias where several writers are allowed, kills a writer before
each storage operation of a save and in the middle of a large file, and reads a file of 20 MiB back. What was seen is
compared with what `store.guarantees` and `doctor` say of the place; a difference fails the run. This page is made of
`docs/places.json`, which that command writes with `--write`.

- **safe**: several writers at a time, and none of their acknowledged writes was lost.
- **single-writer**: refused unless every writer passes `concurrency="single-writer"`; then one writer was tried, and
  killed.
- **refused**: no store can be made there.
"""
Row = Mapping[str, Any]


def measured() -> list[Row]:
    """Return the rows of the last run."""
    rows: list[Row] = json.loads(DATA.read_text(encoding="utf-8"))["places"]
    return rows


def elsewhere() -> list[Row]:
    """Return the places that cannot be run."""
    rows: list[Row] = tomllib.loads(KNOWN.read_text(encoding="utf-8"))["elsewhere"]
    return rows


def page() -> str:
    """Return ``docs/places.md``."""
    rows = measured()
    parts = [HEAD, "## Seen\n", *_seen(rows), "## Why\n", *_reasons(rows), "## Not run\n", *_not_run(rows)]
    return "\n".join(parts) + "\n"


def format_table() -> str:
    """Return the part of ``FORMAT.md`` that is made."""
    ran = [row for row in measured() if not row["not_run"]]
    cells = [
        [row["title"], row["version"], row["mode"], _races(row), row["kills"] or "-", row["large"] or "-"]
        for row in ran
    ]
    return table(["place", "versions", "opens", "acknowledged and lost in races", "writer killed", "large file"], cells)


def format_page(text: str) -> str:
    """Return the text of ``FORMAT.md`` with that part in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{format_table()}\n{END}{after}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def _races(row: Row) -> str:
    if not row["creates"]:
        return "-"
    several = "" if row["mode"] == "safe" else "one writer: "
    return f"{several}creates {row['creates']}; swaps {row['swaps']}"


def _seen(rows: Sequence[Row]) -> Iterator[str]:
    head = [
        "place",
        "engine",
        "opens",
        "predicted",
        "creates of one run id",
        "swaps of one alias",
        "killed",
        "large file",
        "day",
    ]
    names = ("title", "engine", "mode", "predicted", "creates", "swaps", "kills", "large", "day")
    yield table(head, [[row[name] or "-" for name in names] for row in rows if not row["not_run"]])


def _reasons(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row["not_run"]:
            continue
        told = [f"with {row['version']}"]
        if row["refusal"]:
            told.append(f"refused: {row['refusal']}")
        told += [f"known gap ({what}): {text}" for what, text in row["gaps"].items()]
        if row["doctor"]:
            told.append(f"`doctor` names {', '.join(f'`{code}`' for code in row['doctor'])}")
        yield f"- **{row['title']}**: {'. '.join(told)}."
    yield ""


def _not_run(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row["not_run"]:
            yield f"- **{row['title']}**: {row['not_run']}"
    for row in elsewhere():
        yield f"- **{row['title']}**: {row['why']}."
        for rule, source in row["rules"]:
            yield f"  - {rule} ([source]({source}))"


def main() -> None:
    """Make both anew."""
    PAGE.write_text(page(), encoding="utf-8")
    FORMAT.write_text(format_page(FORMAT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
