"""The program ``python -m artifact_models.train``: its options, its bars, and the tables that it prints."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from artifact_models import indexing
from artifact_models.trading.adapters import recipe_of
from artifact_models.trading.interrupt import Interrupt
from artifact_models.trading.market import Market, check_plain, file_of
from artifact_models.trading.score import Score
from artifact_models.trading.train import Outcome, TrainRequest, train_and_save
from artifact_store import Run
from artifact_store.cli import program


class Terminal:
    """Shows the progress on stderr: bars on a terminal, and a line when a stage begins or ends."""

    def __init__(
        self, *, lines: bool = True, bars: bool | None = None, check: Callable[[], None] = lambda: None
    ) -> None:
        self._lines, self._check = lines, check
        self._bars = sys.stderr.isatty() if bars is None else bars
        self._bar: Any = None

    def stage(self, name: str) -> indexing.Report:
        """Begin a bar, or say what begins. The function that is returned also notices a Ctrl-C."""
        if self._bars:
            from tqdm import tqdm

            self._bar = tqdm(desc=name, file=sys.stderr, leave=False)
        else:
            self.done(f"training: {name}")
        bar = self._bar

        def report(step: int, total: int, measured: Mapping[str, float]) -> None:
            self._check()
            if bar is None:
                return
            bar.total = total
            bar.update(step - bar.n)
            if measured:
                bar.set_postfix({name: f"{value:.4f}" for name, value in measured.items()})

        return report

    def done(self, words: str) -> None:
        """End the bar, and print a line."""
        self._check()
        self.close()
        if self._lines:
            click.echo(words, err=True)

    def close(self) -> None:
        """Leave the line that a bar stands on."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@click.command(
    cls=program.Program,
    problems="what was saved is not sound, and not published",
    interrupted="interrupted; what was saved before is whole",
)
@click.option("--model", metavar="FAMILY", required=True, help="gru, lightgbm, ppo, or one that was installed.")
@click.option("--symbol", required=True, help="What the candles are of; the runs are saved as MODEL/SYMBOL.")
@click.option(
    "--data", type=program.HomePath(path_type=Path), required=True, help="Candles as CSV, or a folder of SYMBOL.csv."
)
@click.option("--walk-forward", type=click.IntRange(0), default=0, metavar="N", help="Folds; the best becomes best_wf.")
@click.option(
    "--validate/--no-validate",
    default=True,
    show_default=True,
    help="Publish only what was loaded back and repeats its predictions.",
)
@click.option("--if-better", is_flag=True, help="Leave best_wf alone unless the best fold beats the one it names.")
@click.option("--select", metavar="NAME,...", help="The features that the model is given; all without.")
@click.option(
    "--select-reason", metavar="TEXT", default="", help="Why it is those: kept with the features of each run."
)
@click.option(
    "-c",
    "--config",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the training, such as epochs=20 or env.window=8; may be repeated.",
)
@click.option(
    "--cost",
    type=click.FloatRange(0, 1, max_open=True),
    default=1e-4,
    show_default=True,
    help="Of a trade, as a part of its value.",
)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--time-format", metavar="FORMAT", help="strptime's, for times that could mean two things.")
def train_command(
    *,
    model: str,
    symbol: str,
    data: Path,
    walk_forward: int,
    validate: bool,
    if_better: bool,
    select: str | None,
    select_reason: str,
    settings: tuple[str, ...],
    cost: float,
    seed: int,
    time_format: str | None,
    as_json: bool,
    **where: Any,
) -> int:
    """Train a model on candles, save it as MODEL/SYMBOL and publish it as latest.

    With --walk-forward N, N models are trained before on the bars up to some moment and tested on those after it. Each
    is saved, none is published as latest, and the best of them becomes best_wf, which the trader prefers. What does not
    come back from the store as it was is saved, and neither published nor promoted.
    """
    check_plain(symbol)
    request = TrainRequest(
        recipe=recipe_of(model),
        walk_forward=walk_forward,
        config=parse_settings(settings),
        selected=[name.strip() for name in select.split(",")] if select else None,
        select_reason=select_reason,
        cost=cost,
        seed=seed,
        if_better=if_better,
        validate=validate,
    )
    market = Market.read(symbol, file_of(symbol, data), time_format=time_format)
    with Interrupt() as interrupt, program.open_store(**where) as store:
        terminal = Terminal(lines=not as_json, bars=False if as_json else None, check=interrupt.check)
        try:
            outcome = train_and_save(store, market, request, terminal)
        finally:
            terminal.close()
    program.answer(_document(outcome), _lines(outcome, market), as_json=as_json)
    return program.OK if outcome.latest.published else program.PROBLEMS


def parse_settings(values: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE``; what JSON can read is JSON, anything else is text.

    Raises:
        click.BadParameter: it is written otherwise. What was written is not repeated, since it may be a secret.
    """
    found: dict[str, Any] = {}
    for value in values:
        name, equals, given = value.partition("=")
        if not equals or not name:
            raise click.BadParameter("it is written NAME=VALUE.", param_hint="--config")
        try:
            found[name] = json.loads(given)
        except (ValueError, RecursionError):
            found[name] = given
    return found


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "key": str(outcome.latest.key),
        "latest": outcome.latest.run_id,
        "published": bool(outcome.latest.published),
        "validated": _verdict(outcome.latest),
        "best_wf": outcome.best.run.run_id if outcome.best else None,
        "promoted": outcome.promoted,
        "overall": {name: program.finite(value) for name, value in outcome.overall.metrics("").items()}
        if outcome.overall
        else None,
        "folds": [
            {
                "fold": of.fold.number,
                "run": of.run.run_id,
                "train_rows": of.fold.train_end,
                **{name: program.finite(value) for name, value in of.score.metrics("").items()},
            }
            for of in outcome.folds
        ],
    }


def _verdict(run: Run) -> str | None:
    validation = run.published.validation if run.published is not None else None
    return None if validation is None else str(validation.verdict)


def _lines(outcome: Outcome, market: Market) -> Iterator[str]:
    if outcome.overall is not None:
        yield from program.table(HEAD, [*fold_rows(outcome, market), ["all", "", *cells(outcome.overall)]])
        yield ""
    yield f"{outcome.latest.ref} {outcome.latest.published}"
    if outcome.promoted:
        yield outcome.promoted


HEAD = ("fold", "tested on", "rows", "majority", "accuracy", "AUC", "IC", "Sharpe", "hold")


def fold_rows(outcome: Outcome, market: Market) -> list[list[str]]:
    """Return the folds as rows of a table under ``HEAD``."""
    made = []
    for of in outcome.folds:
        begin, end = market.frame.index[of.fold.test.start], market.frame.index[of.fold.test.stop - 1]
        made.append([str(of.fold.number), f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}", *cells(of.score)])
    return made


def cells(of: Score) -> list[str]:
    """Return a score as the cells of a table."""
    show: Callable[[float, str], str] = lambda value, form: format(value, form) if math.isfinite(value) else "-"  # noqa: E731
    shares = [show(100 * value, ".1f") + " %" for value in (of.majority, of.accuracy)]
    return [
        f"{of.rows:,}",
        *shares,
        show(of.auc, ".3f"),
        show(of.ic, "+.3f"),
        show(of.sharpe, "+.2f"),
        show(of.hold, "+.2f"),
    ]
