"""The plot of a soak: what each process held over time, as one SVG with a panel for each quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, LEFT, TOP = 720, 170, 70, 50
NAMES = {"memory": "resident memory, MiB", "descriptors": "open descriptors", "threads": "threads"}
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5")


def svg(title: str, told: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """Return the plot of the samples of all processes."""
    samples = [[line for line in one if "memory" in line] for one in told]
    first = min(line["at"] for one in samples for line in one)
    last = max(line["at"] for one in samples for line in one)
    height = TOP + len(NAMES) * (HEIGHT + TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" font-family="sans-serif">',
        f'<rect width="100%" height="100%" fill="white"/><text x="{LEFT}" y="22" font-size="15">{title}</text>',
    ]
    for place, (name, label) in enumerate(NAMES.items()):
        parts.append(f'<g transform="translate({LEFT},{TOP + place * (HEIGHT + TOP)})">')
        parts += panel(name, label, samples, first, last)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


def panel(
    name: str, label: str, samples: Sequence[Sequence[Mapping[str, Any]]], first: float, last: float
) -> list[str]:
    """Return one quantity: a line for each process, from zero up, over minutes."""
    top = max(line[name] for one in samples for line in one) * 1.1 or 1
    span = max(last - first, 1e-9)
    parts = [
        f'<path d="M0,0V{HEIGHT}H{WIDTH}" fill="none" stroke="#888"/>',
        f'<text x="0" y="-6" font-size="12">{label}</text>',
        f'<text x="-6" y="{HEIGHT}" font-size="11" text-anchor="end">0</text>',
        f'<text x="-6" y="10" font-size="11" text-anchor="end">{top:.0f}</text>',
        f'<text x="{WIDTH}" y="{HEIGHT + 14}" font-size="11" text-anchor="end">{span / 60:.1f} minutes</text>',
    ]
    for number, one in enumerate(samples):
        points = [f"{(line['at'] - first) / span * WIDTH:.1f},{HEIGHT * (1 - line[name] / top):.1f}" for line in one]
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return parts
