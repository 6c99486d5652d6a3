"""The page ``docs/kept.md``, made of ``docs/zoo.json``, which ``python dev.py prove zoo --write`` writes.

``python -m tools.zoo`` makes it anew. Starts nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from tools.places import table
from tools.processes import HERE

DATA = HERE / "docs" / "zoo.json"
PAGE = HERE / "docs" / "kept.md"
HEAD = """# What is kept

Models and data in the shapes that people have them in, tried: `python dev.py prove zoo` makes each of them, saves it,
loads it in a fresh process, without the libraries that loading does not need, and compares types, dtypes, order and
bits. This page is made of `docs/zoo.json`, which that command writes with `--write`.

- **equal**: it comes back as it was.
- **refused**: the save fails before anything is written, and says which column or part it is and what to do instead.
  That was done, and what was made so came back equal.

Not kept anywhere: the bits of a NaN in a table, the class of a time zone (its name is), chunks and the order of
dictionaries of Arrow, the order of keys in JSON, gradients, devices, and attributes that somebody gave to an object
beside its own.
"""
Row = Mapping[str, Any]


def measured() -> Mapping[str, Any]:
    """Return the last run: its environment and its makings."""
    found: Mapping[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return found


def write(found: Mapping[str, Any]) -> None:
    """Keep a run, without the families that it did not try, which stay as they are, and make the page anew."""
    kept = list(measured()["makings"]) if DATA.exists() else []
    tried = {row["family"] for row in found["makings"]}
    rows = [*(row for row in kept if row["family"] not in tried), *found["makings"]]
    rows.sort(key=lambda row: row["family"])  # the makings of a family stay in their order
    text = json.dumps({"environment": found["environment"], "makings": rows}, indent=1, ensure_ascii=False)
    DATA.write_text(text + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return ``docs/kept.md``."""
    found = measured()
    versions = ", ".join(f"{name} {version}" for name, version in found["environment"].items())
    parts = [HEAD, f"{len(found['makings'])} makings, tried with {versions}.\n", *_families(found["makings"])]
    return "\n".join(parts)


def _families(rows: Sequence[Row]) -> Iterator[str]:
    for family, found in groupby(rows, key=lambda row: str(row["family"])):
        yield f"## {family.capitalize().replace('_', ' ')}\n"
        yield table(["what", "codec", "result"], [[row["name"], f"`{row['codec']}`", _result(row)] for row in found])


def _result(row: Row) -> str:
    if row["refusal"]:
        return f"refused: {' '.join(row['refusal'].split())}"
    return f"equal; {row['kept']}" if row["kept"] else "equal"


def main() -> None:
    """Make the page anew."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
