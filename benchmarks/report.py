"""What was measured, as Markdown: ``benchmarks/RESULTS.md`` is made by this and by nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.model import UNITS, Measure, Measured, Report, RowResult, Verdict

MET = {True: "met", False: "**missed**", None: "not measured"}

HEADINGS: Mapping[Measure, str] = {
    "seconds": "seconds",
    "cpu": "CPU, s",
    "requests": "requests",
    "depth": "in a row",
    "extra_mib": "extra MiB",
    "bytes": "bytes",
}


def page(report: Report, before: Report | None = None) -> str:
    """Return the whole page."""
    parts = [_head(report)]
    if any(row.goals for row in report.rows):
        parts += ["## Goals", goals(report)]
    if before is not None:
        parts += ["## Before and after", compared(before, report)]
    parts += ["## Rows", *map(_section, report.rows)]
    return "\n\n".join(parts) + "\n"


HEAD = """\
# What was measured

Made by `python benchmarks`, which says more about each row; do not edit. Medians of ways that took turns in the same
minutes, each in a process of its own: ratios mean more than times. The line adds a round trip; "in a row" is how many
requests came one after another. Extra memory is the peak above what was held before."""
QUICK = "**The sizes are those of `--quick`**: this shows that every row works, and says nothing of speed."


def _head(report: Report) -> str:
    about = "\n".join(f"- {name}: {text}" for name, text in report.about.items())
    return "\n\n".join([HEAD, about, *[QUICK] * report.quick])


def goals(report: Report) -> str:
    """Return every goal, and whether it is met."""
    head = ["row", "what", "way", "at most", "measured", ""]
    return table(head, [_goal(row, found) for row in report.rows for found in row.verdicts()])


def _goal(row: RowResult, found: Verdict) -> list[str]:
    goal = found.goal
    unit = UNITS[goal.measure]
    most = f"{goal.limit:.3g} x {goal.over} ({unit})" if goal.over else amount(goal.measure, goal.limit)
    value = found.value
    measured = "" if value is None else f"{value:.2f} x" if goal.over else amount(goal.measure, value)
    return [f"`{row.name}`", row.title, goal.way, most, measured, MET[found.met]]


def compared(before: Report, after: Report) -> str:
    """Return the ways that are in both, side by side."""
    head = ["row", "way", "measure", "before", "after", "after / before", "ratio before", "ratio after"]
    return table(head, [line for row in after.rows for line in _both(before.row(row.name), row)])


def _both(before: RowResult | None, after: RowResult) -> Iterator[list[str]]:
    for way in after.ways:
        found = before.way(way.name) if before else None
        if before is None or found is None or not way.figures or before.sizes != after.sizes:
            continue
        for measure in dict.fromkeys((after.compared, "requests", "depth")):
            old, new = found.figures.get(measure), way.figures.get(measure)
            if old is None or new is None:
                continue
            ratios = [_times(before.ratio(way.name, measure)), _times(after.ratio(way.name, measure))]
            change = _times(new / old if old else None)
            yield [
                f"`{after.name}`",
                way.name,
                UNITS[measure],
                figure(measure, old),
                figure(measure, new),
                change,
                *ratios,
            ]


def _section(row: RowResult) -> str:
    sizes = ", ".join(f"{name} {value}" for name, value in row.sizes.items())
    place = {"s3": "SeaweedFS", "line": "SeaweedFS behind the line", "local": "a folder", "memory": "memory"}[row.kind]
    turns = max((len(way.turns) for way in row.ways), default=0)
    told = "; ".join(filter(None, (place, sizes, f"{turns} turns", f"{row.took:.0f} s in all")))
    return f"### `{row.name}`: {row.title}\n\n{told}.\n\n{_ways(row)}"


def _ways(row: RowResult) -> str:
    seen = {name for way in row.ways for name in way.figures}
    shown: list[Measure] = [name for name in UNITS if name in seen]  # type: ignore[misc]
    head = ["", *(HEADINGS[name] for name in shown), f"ratio of {HEADINGS[row.compared]}"]
    lines = [_way(row, way, shown) for way in row.ways if way.figures]
    missing = "\n".join(f"- {way.name}: {_why_not(way)}" for way in row.ways if not way.figures)
    return "\n\n".join(filter(None, [table(head, lines) if lines else "", missing]))


def _why_not(way: Measured) -> str:
    if way.failed:
        return f"failed: {way.failed.splitlines()[-1]}"
    return f"left out: {way.left_out}"


def _way(row: RowResult, way: Measured, shown: Sequence[Measure]) -> list[str]:
    ratio = _times(row.ratio(way.name)) + f" of {way.over}" * (way.over not in {"", row.ways[0].name})
    figures = [figure(name, way.figures[name]) if name in way.figures else "" for name in shown]
    return [way.name, *figures, ratio if way.over else "1"]


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def figure(measure: Measure, value: float) -> str:
    """Return a figure without its unit."""
    if measure in ("seconds", "cpu"):
        return f"{value:#.3g}"
    return f"{value:,.1f}" if measure == "extra_mib" else f"{value:,.0f}"


def amount(measure: Measure, value: float) -> str:
    """Return a figure with its unit."""
    return f"{figure(measure, value)} {UNITS[measure]}"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
