"""Goals as a picture: how far each row is from its goal, as SVG that needs no library."""

from __future__ import annotations

import math
from html import escape

from benchmarks.model import Report, RowResult, Verdict

LABEL, WIDTH, LINE, TOP = 420, 460, 20, 40
SPAN = 4.0
"""The scale goes from a quarter of a goal to four times it; what is beyond ends at the edge."""
COLOURS = {True: "#2a7f62", False: "#b3432b"}


def svg(report: Report) -> str:
    """Draw a bar for each goal that was measured, on a logarithmic scale on which every goal is the same line."""
    found = [(row, verdict) for row in report.rows for verdict in row.verdicts() if verdict.value is not None]
    height = TOP + LINE * len(found) + 10
    goal = x(1.0)
    ticks = [
        f'<text x="{x(part):.0f}" y="{TOP - 12}" text-anchor="middle">{part:g} x goal</text>'
        for part in (0.25, 0.5, 1, 2, 4)
    ]
    bars = [bar(TOP + LINE * place, row, verdict) for place, (row, verdict) in enumerate(found)]
    size = f'width="{LABEL + WIDTH + 80}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        f'<rect width="100%" height="{height}" fill="white"/>',
        *ticks,
        *bars,
        f'<line x1="{goal:.0f}" x2="{goal:.0f}" y1="{TOP - 6}" y2="{height}" stroke="black" stroke-width="1.5"/>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def x(part: float) -> float:
    """Return where a multiple of a goal is."""
    held = min(max(part, 1 / SPAN), SPAN)
    return LABEL + WIDTH * (math.log(held) / math.log(SPAN) + 1) / 2


def bar(y: int, row: RowResult, verdict: Verdict) -> str:
    """Draw one goal."""
    goal = verdict.goal
    value = verdict.value or 0.0
    end = x(value / goal.limit)
    label = f"{row.name}: {goal.way}, {goal.measure}" + (f" / {goal.over}" if goal.over else "")
    return (
        f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(label)}</text>'
        f'<rect x="{LABEL}" y="{y + 2}" width="{max(end - LABEL, 2):.0f}" height="{LINE - 6}" '
        f'fill="{COLOURS[bool(verdict.met)]}"/>'
        f'<text x="{end + 4:.0f}" y="{y + 12}">{value:.3g} (goal {goal.limit:.3g})</text>'
    )
