"""The files of a report: pages made with Jinja2, and the script and the style that they share.

Every text of the store is escaped: by Jinja2 in the markup, and as JSON without ``<``, ``>`` and ``&`` in the data of a
page, which no browser runs and which the script puts into the page as text. The policy in each page forbids every
request to another place. The same store makes the same bytes: no clock and no random number is in them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from artifact_store.core import keys
from artifact_store.core.documents import write_time
from artifact_store.core.index_rows import Row, metric_number
from artifact_store.core.names import LATEST
from artifact_store.errors import ReportUnavailable
from artifact_store.installing import pip_install
from artifact_store.problems import Problem
from artifact_store.report.gather import ModelShown, Shown

if TYPE_CHECKING:
    import jinja2

HOME: Final = Path(__file__).parent
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
)
"""The Content-Security-Policy of every page: its own script and style, and no request to anywhere else."""

_POINTS: Final = 60
"""How many of the last runs the small line in the overview has."""
_WIDE, _TALL, _EDGE = 120, 28, 2
_IN_MARKUP: Final = str.maketrans({"&": "\\u0026", "<": "\\u003c", ">": "\\u003e"})
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024


def templates() -> jinja2.Environment:
    """Return the templates.

    Raises:
        ReportUnavailable: Jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as missing:
        raise ReportUnavailable(f"a report is made with Jinja2: {pip_install('report')}") from missing
    return _compiled(jinja2)


@cache
def _compiled(library: ModuleType) -> jinja2.Environment:
    """Return the templates, which are compiled once in a process."""
    made: jinja2.Environment = library.Environment(
        loader=library.FileSystemLoader(HOME / "templates"),
        autoescape=True,
        undefined=library.StrictUndefined,
        trim_blocks=True,
    )
    return made


def rendered(shown: Shown, made_with: jinja2.Environment, metric: str | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield each file of the report with its name, the pages of the models first, and ``index.html`` last.

    ``metric`` is shown first, of the models that have it.
    """
    for name in keys.REPORT_ASSETS:
        yield name, (HOME / name).read_bytes()
    page, overview = made_with.get_template("model.html"), made_with.get_template("overview.html")
    summaries = []
    for model in shown.models:
        name = keys.page(model.key)
        summary = _summary(model, name, metric)
        summaries.append(summary)
        text = page.render(
            **_frame(shown.store, "../" * name.count("/"), _data(model, summary["metric"])),
            model=summary,
            size=_size(sum(row.size for row in model.rows)),
            problems=_told(model.problems),
        )
        yield name, text.encode()
    every = [row for model in shown.models for row in model.rows]
    text = overview.render(
        **_frame(shown.store, "", "{}"),
        models=summaries,
        runs=len(every),
        size=_size(sum(row.size for row in every)),
        newest=_newest(every),
        problems=_told(shown.problems),
    )
    yield keys.REPORT_INDEX, text.encode()


def _frame(store: str, up: str, data: str) -> dict[str, Any]:
    from markupsafe import Markup

    return {"store": store, "up": up, "policy": POLICY, "data": Markup(data)}  # noqa: S704 -- JSON without <, > and &


def _told(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"where": problem.where, "text": str(problem.error)} for problem in problems]


def _summary(model: ModelShown, name: str, wanted: str | None) -> dict[str, Any]:
    """Return what the overview says of a model."""
    metric = _headline(model.rows, wanted)
    in_force = model.in_force
    serving = in_force[LATEST].run_id if LATEST in in_force else None
    row = next((row for row in model.rows if row.value["run_id"] == serving), None) or next(iter(model.rows), None)
    value = None if row is None or metric is None else metric_number(row.metrics.get(metric))
    return {
        "name": model.key.display_name,
        "link": quote(name),
        "runs": len(model.rows),
        "newest": _newest(model.rows),
        "metric": metric,
        "value": value,
        "shown": None if value is None else _number(value),
        "aliases": [
            {"name": alias, "run_id": now.run_id, "at": _moment(now), "by": now.by, "reason": now.reason}
            for alias, now in sorted(in_force.items())
        ],
        **_line(model.rows, metric),
    }


def _headline(rows: Iterable[Row], wanted: str | None) -> str | None:
    """Return the wanted metric if a run has it, else the one that most runs have, and the first of several."""
    counts = Counter(name for row in rows for name in row.metrics)
    if wanted in counts:
        return wanted
    return min(counts, key=lambda name: (-counts[name], name), default=None)


def _line(rows: Sequence[Row], metric: str | None) -> dict[str, Any]:
    """Return the points of a small line of the last runs, oldest first; none if there are no two of them."""
    found = [] if metric is None else [metric_number(row.metrics.get(metric)) for row in rows[:_POINTS]]
    values = [value for value in reversed(found) if value is not None and value - value == 0]
    if len(values) < 2:  # noqa: PLR2004 -- a line has two ends
        return {"line": "", "points": 0, "first": "", "last": ""}
    low, high = min(values), max(values)
    across, up = (_WIDE - 2 * _EDGE) / (len(values) - 1), high / 2 - low / 2 or 1.0  # halves, so that nothing overflows
    places = (
        (_EDGE + across * place, _TALL - _EDGE - (value / 2 - low / 2) / up * (_TALL - 2 * _EDGE))
        for place, value in enumerate(values)
    )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return {"line": line, "points": len(values), "first": _number(values[0]), "last": _number(values[-1])}


def _newest(rows: Iterable[Row]) -> str:
    return max((str(row.value["created_at"]) for row in rows), default="")[:16].replace("T", " ")


def _moment(publish: Any) -> str:
    return write_time(publish.at)[:16].replace("T", " ")


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def _size(count: float) -> str:
    place = 0
    while count >= _STEP and place < len(_UNITS) - 1:
        count, place = count / _STEP, place + 1
    return f"{count:.1f} {_UNITS[place]}" if place else f"{count:,} {_UNITS[0]}"


def _data(model: ModelShown, headline: str | None) -> str:
    """Return what the script of a page shows of a model, as JSON that cannot end the element around it."""
    past = [(alias, publish) for alias, every in model.histories.items() for publish in every]
    past.sort(key=lambda pair: (pair[1].at, pair[0], pair[1].seq), reverse=True)
    return _in_script(
        {
            "model": str(model.key),
            "headline": headline,
            "aliases": [[alias, now.run_id] for alias, now in sorted(model.in_force.items())],
            "history": [
                [alias, publish.seq, publish.run_id, write_time(publish.at), publish.by, publish.reason]
                for alias, publish in past
            ],
            "runs": [_run(row.value) for row in model.rows],
            "details": model.details,
        }
    )


def _run(row: Mapping[str, Any]) -> list[Any]:
    names = ("run_id", "created_at", "files", "size", "description", "metrics", "tags", "manifest_sha256")
    return [row[name] for name in names]


def _in_script(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_IN_MARKUP)
