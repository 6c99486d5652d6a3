"""How a proof says what came of it: a table, or JSON, then what is violated, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]
MOST = 50
"""Violations that are printed; JSON has all."""


def told(tables: Mapping[str, Rows], violations: Sequence[str], *, as_json: bool) -> int:
    """Print tables by their names (that of a single one is left out) and violations; return 1 if there are any."""
    if as_json:
        print(json.dumps({**tables, "violations": violations}, indent=2))
        return int(bool(violations))
    for name, rows in tables.items():
        if rows:
            print(f"\n{name}\n{text_table(rows)}" if len(tables) > 1 else text_table(rows))
    for violation in violations[:MOST]:
        print(f"  {violation}")
    print(f"\n{len(violations)} violations")
    return int(bool(violations))


def text_table(rows: Rows) -> str:
    """Return rows that have the same columns as text: the first column to the left, the others to the right."""
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
