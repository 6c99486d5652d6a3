"""The command ``validate``: can every model that is published be used, and does it predict as it did?"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click

from artifact_store.cli import failures, text
from artifact_store.cli.session import Command, Session, pass_session, refuse_what_is_no_store
from artifact_store.core.errors import ModelNotFound
from artifact_store.core.keys import ModelKey
from artifact_store.core.references import RunRef, has_selector
from artifact_store.ops.predict import Predictions
from artifact_store.ops.validate import ModelReport, validate
from artifact_store.run import Run
from artifact_store.store import ArtifactStore

Timed = tuple[ModelReport, float]


@click.command("validate", cls=Command, short_help="Load every model, repeat its predictions.")
@click.argument("ref", required=False)
@click.pass_context
@pass_session
def validate_models(session: Session, context: click.Context, ref: str | None) -> None:
    """Find, read, load and try every model, as a trader would take it: best_wf, else latest, else the newest run.

    With REF only one model (gru/BTCEUR), one model type (gru), or the very run that is named (gru/BTCEUR@production).
    A model without golden predictions is as good as it loads. Ends with status 1 if something is wrong with any.
    """
    with session.store() as store:
        models, find = _chosen(store, ref)
        checked = list(_check(session, models, find))
        if not any(report.run or report.problems for report, _ in checked):
            refuse_what_is_no_store(store, models)
        session.answer(_document(store.url, checked), _lines(checked))
    context.exit(failures.OK if all(report.ok for report, _ in checked) else failures.PROBLEMS)


def _chosen(store: ArtifactStore, ref: str | None) -> tuple[list[ModelKey], Callable[[ModelKey], Run]]:
    """Return which models to check, and how to find the run of each.

    Raises:
        ModelNotFound: there is none.
    """
    if ref is not None and has_selector(ref):
        named = RunRef.parse(ref)
        return [named.key], lambda _: store.get(named)
    models = store.models()
    if ref is not None:
        key = ModelKey.parse(ref)
        models = [each for each in models if key.covers(each)]
    if not models:
        raise ModelNotFound(f"there is no model{f' {ref}' if ref else ''} to validate in {store.url}")
    return models, store.find


def _check(session: Session, models: Sequence[ModelKey], find: Callable[[ModelKey], Run]) -> Iterator[Timed]:
    if not session.shows_progress:
        yield from (_timed(key, find) for key in models)
        return
    told: Any = click.progressbar(models, label="Validating", file=sys.stderr, item_show_func=_name)
    with told as bar:
        for key in bar:
            yield _timed(key, find)


def _timed(key: ModelKey, find: Callable[[ModelKey], Run]) -> Timed:
    begun = time.perf_counter()
    return validate(key, find), time.perf_counter() - begun


def _name(key: ModelKey | None) -> str:
    return "" if key is None else text.safe(key.display_name)


def _document(url: str, checked: Iterable[Timed]) -> dict[str, Any]:
    return {
        "store": url,
        "ok": all(report.ok for report, _ in checked),
        "models": [
            {
                "key": str(report.key),
                "ok": report.ok,
                "run": report.run or None,
                "steps": list(report.steps),
                "files": report.files,
                "loaded": list(report.loaded),
                "predictions": described(report.predictions),
                "seconds": round(seconds, 3),
                "problems": [
                    {"where": problem.where, **failures.described(problem.error)} for problem in report.problems
                ],
            }
            for report, seconds in checked
        ],
    }


def described(predictions: Predictions | None) -> dict[str, Any] | None:
    """Return what came of golden predictions as JSON, in which an infinite difference is text."""
    if predictions is None:
        return None
    difference = predictions.difference
    return {
        "outcome": predictions.outcome,
        "difference": str(difference) if difference is not None and math.isinf(difference) else difference,
        "tolerance": predictions.tolerance,
    }


def _lines(checked: Sequence[Timed]) -> Iterator[str]:
    head = ("model", "run", "taken as", "files", "loaded", "predictions", "seconds", "result")
    rows = [
        [
            report.key.display_name,
            report.run.rpartition(":")[2] or "-",
            _why(report),
            str(report.files),
            ", ".join(name for name in report.loaded if not name.startswith("example_")) or "-",
            str(report.predictions or "-"),
            f"{seconds:.2f}",
            _result(report),
        ]
        for report, seconds in checked
    ]
    yield from text.table(head, rows)
    yield ""
    for problem in (problem for report, _ in checked for problem in report.problems):
        yield f"{click.style(type(problem.error).__name__, fg='red', bold=True)} {text.safe(str(problem))}"
    wrong = sum(not report.ok for report, _ in checked)
    silent = sum(report.predictions is not None and report.predictions.outcome == "no example" for report, _ in checked)
    summary = f"{text.count(len(checked), 'model')}: {wrong or 'none'} with problems"
    yield summary + (f", {silent} without golden predictions." if silent else ".")


def _why(report: ModelReport) -> str:
    last = report.steps[-1] if report.steps else ""
    if not report.run:
        return "-"
    if not last:
        return "named"
    return last.partition(": ")[0].rpartition("@")[2] if f"{report.key}@" in last else "newest"


def _result(report: ModelReport) -> str:
    if not report.ok:
        return "WRONG"
    return "ok" if report.run else "nothing published"
