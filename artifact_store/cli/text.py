"""Plain text for people: tables, sizes, times, numbers. Returns text, prints none, adds nothing outside of ASCII."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024
_MANY = 1e6
_FEW = 1e-4


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 0) -> Iterator[str]:
    """Yield the lines of a table: a head, a rule, and the rows. Columns of numbers are aligned to the right."""
    numeric = [bool(rows) and all(_is_number(row[place]) for row in rows) for place in range(len(head))]
    widths = [max(len(name), *(len(row[place]) for row in rows), 0) for place, name in enumerate(head)]
    for cells in (head, ["-" * width for width in widths], *rows):
        columns = zip(cells, widths, numeric, strict=True)
        padded = (cell.rjust(width) if right else cell.ljust(width) for cell, width, right in columns)
        yield (" " * indent + "  ".join(padded)).rstrip()


def fields(pairs: Sequence[tuple[str, str]], *, indent: int = 0) -> Iterator[str]:
    """Yield one line for each name and value, the values below each other."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        yield (" " * indent + f"{name:{width}}  {value}").rstrip()


def size(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    value, place = float(count), 0
    while value >= _STEP and place < len(_UNITS) - 1:
        value, place = value / _STEP, place + 1
    return f"{count} B" if place == 0 else f"{value:.1f} {_UNITS[place]}"


def time(value: datetime) -> str:
    """Return an instant in UTC, to the second."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def number(value: float) -> str:
    """Return a metric with as many digits as one compares at a glance."""
    if isinstance(value, int) or not math.isfinite(value) or value == 0:
        return str(value)
    if _FEW <= abs(value) < _MANY:
        return f"{value:.4f}".rstrip("0").rstrip(".")
    return f"{value:.4g}"


def count(amount: int, singular: str, plural: str | None = None) -> str:
    """Return ``1 run`` or ``2 runs``."""
    return f"{amount:,} {singular if amount == 1 else plural or singular + 's'}"


def _is_number(cell: str) -> bool:
    return not cell or cell.lstrip("+-").replace(",", "").split(" ")[0].rstrip("%").replace(".", "", 1).isdigit()
