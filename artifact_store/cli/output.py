"""Plain text for people: tables, sizes, times, numbers. Returns text, prints none, adds nothing outside of ASCII."""

from __future__ import annotations

import math
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from artifact_store.core.shell import quoted

WIDTH = 100
"""Columns of a page where the terminal does not say how wide it is."""

_NARROWEST = 40
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024
_MANY = 1e6
_FEW = 1e-4
_NUMBER = re.compile(r"[+-]?[\d,.]+(?:e[+-]?\d+)?(?: (?:%|B|[KMGT]iB))?|nan|inf|-inf|")


def never_fail() -> None:
    """Let a console that cannot show a character show its code, instead of failing half-way through a table."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def safe(text: str) -> str:
    """Return text from a store for a terminal: what is not printable is escaped, so that it cannot command it."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def ref(reference: object) -> str:
    """Return a reference, or a key, so that it can be copied into a shell."""
    return safe(quoted(str(reference)))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 0) -> Iterator[str]:
    """Yield the lines of a table: a head, a rule, and the rows. Columns of numbers are aligned to the right."""
    cells = [[safe(cell) for cell in row] for row in rows]
    numeric = [bool(cells) and all(_NUMBER.fullmatch(row[place]) for row in cells) for place in range(len(head))]
    widths = [max(len(name), *(len(row[place]) for row in cells), 0) for place, name in enumerate(head)]
    for line in (head, ["-" * width for width in widths], *cells):
        columns = zip(line, widths, numeric, strict=True)
        padded = (cell.rjust(width) if right else cell.ljust(width) for cell, width, right in columns)
        yield (" " * indent + "  ".join(padded)).rstrip()


def fields(pairs: Sequence[tuple[str, str]], *, indent: int = 0) -> Iterator[str]:
    """Yield one line for each name and value, the values below each other."""
    width = max((len(safe(name)) for name, _ in pairs), default=0)
    for name, value in pairs:
        yield (" " * indent + f"{safe(name):{width}}  {safe(value)}").rstrip()


def page_width() -> int:
    """Return how many columns the reader sees."""
    return shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout.isatty() else WIDTH


def wrapped(head: str, text: str) -> Iterator[str]:
    """Yield a text in as many lines as the page needs: the first one behind ``head``, the others below it."""
    width = max(page_width(), len(head) + _NARROWEST)
    below = " " * len(head)
    lines = textwrap.wrap(safe(text), width, initial_indent=head, subsequent_indent=below, break_on_hyphens=False)
    yield from lines or [head.rstrip()]


def shortened(text: str, width: int) -> str:
    """Return the text, or the beginning of it and three dots, in ``width`` columns."""
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."


def size(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    value, place = float(count), 0
    while value >= _STEP and place < len(_UNITS) - 1:
        value, place = value / _STEP, place + 1
    return f"{count} B" if place == 0 else f"{value:.1f} {_UNITS[place]}"


def time(value: datetime) -> str:
    """Return an instant in UTC, to the second."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def format_number(value: float) -> str:
    """Return a metric with as many digits as one compares at a glance."""
    if isinstance(value, int) or not math.isfinite(value) or value == 0:
        return str(value)
    if _FEW <= abs(value) < _MANY:
        return f"{value:.4f}".rstrip("0").rstrip(".")
    return f"{value:.4g}"


def count(amount: int, singular: str, plural: str | None = None) -> str:
    """Return ``1 run`` or ``2 runs``."""
    return f"{amount:,} {singular if amount == 1 else plural or singular + 's'}"
