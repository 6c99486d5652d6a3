"""Train a model on candles, walk forward, save and publish: ``python -m artifact_models.train --help``.

Everything is saved as a whole or not at all, so that Ctrl-C at any moment leaves complete runs only.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import click

from artifact_models import indexing
from artifact_models.adapter import BaseModelAdapter
from artifact_models.trading import folds
from artifact_models.trading.interrupt import Interrupt
from artifact_models.trading.market import Market, check_plain, file_of
from artifact_models.trading.recipes import Recipe, recipe_of
from artifact_models.trading.score import Score, score
from artifact_models.trading.signals import Signals, signals_of
from artifact_store import ArtifactStore, FeatureSchema, IfBetter, Run, errors
from artifact_store.cli import program

BEST = "best_wf"


class Reporter(Protocol):
    """Who is told how far it is."""

    def stage(self, name: str) -> indexing.Report:
        """Begin a training, and return what is called after each of its steps."""
        ...

    def done(self, words: str) -> None:
        """End a stage with a sentence."""
        ...


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What is to be trained, and how."""

    recipe: Recipe
    walk_forward: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    selected: Sequence[int | str] | None = None
    select_reason: str = ""
    """Why those are selected; it is kept with the features."""
    cost: float = 1e-4
    seed: int = 7
    if_better: bool = False
    """Let ``best_wf`` stay as it is unless the best fold is better than the one that it names."""
    tags: Mapping[str, str] = field(default_factory=dict)
    validate: bool = True
    """Publish and promote only runs that were loaded back from the store and found sound."""


@dataclass(frozen=True, slots=True)
class FoldResult:
    """One fold: what it was tested on, how it did, and the run that it was saved as."""

    fold: folds.Fold
    score: Score
    run: Run

    @property
    def refusal(self) -> str:
        """Why it must not be promoted, where its validation was asked for and did not find it sound."""
        published = self.run.published
        return str(published.error) if published is not None and published.error is not None else ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that was saved and published."""

    latest: Run
    adapter: BaseModelAdapter
    folds: tuple[FoldResult, ...] = ()
    overall: Score | None = None
    best: FoldResult | None = None
    promoted: str = ""
    """What came of publishing the best fold, in words."""


def train(store: ArtifactStore, market: Market, request: TrainRequest, reporter: Reporter) -> Outcome:
    """Train and save every fold without publishing it, then the model of all bars as ``latest``; promote the best fold.

    Each fold is tested on later bars than it was trained on. The model of all bars is saved with the score of the
    folds together, which tells how its kind did, not what it will do.

    Raises:
        InvalidInput: the bars or the settings cannot be trained with.
        ArtifactStoreError: the store cannot take it, which is tried before anything is trained. What was saved before
            is whole.
    """
    parts = list(folds.walk_forward(market.answered, folds=request.walk_forward)) if request.walk_forward else []
    _check(store, market, request)
    results, said = [], []
    for fold in parts:
        result, signals = _train_fold(store, market, request, reporter, fold)
        results.append(result)
        said.append(signals)
    overall = _score(market, request, said, slice(parts[0].test.start, parts[-1].test.stop)) if parts else None
    adapter = _fit(market, request, market.answered, reporter.stage("all bars"))
    adapter.save(store, symbol=market.symbol, validate=request.validate, **_facts(market, request, overall, results))
    assert adapter.run is not None
    reporter.done(f"saved {adapter.run.ref}, {adapter.run.published}")
    best = _best(results, request.recipe.metric)
    promoted = _promote(store, best, request) if results else ""
    if promoted:
        reporter.done(promoted)
    return Outcome(adapter.run, adapter, tuple(results), overall, best, promoted)


def _adapter(request: TrainRequest) -> BaseModelAdapter:
    """Return the adapter to fit.

    Raises:
        InvalidOption: there is no such setting, or its value means nothing; a reason without a selection.
    """
    return request.recipe.adapter(
        config=request.config,
        selected=request.selected,
        reason=request.select_reason,
        seed=request.seed,
        cost=request.cost,
    )


def _check(store: ArtifactStore, market: Market, request: TrainRequest) -> None:
    """Raise what would be raised after the training as well: of settings, names and the store, in this order."""
    _adapter(request)
    FeatureSchema([str(name) for name in request.recipe.frame(market).columns], selected=request.selected)
    store.check_writable((request.recipe.model, market.symbol))


def _train_fold(
    store: ArtifactStore, market: Market, request: TrainRequest, reporter: Reporter, fold: folds.Fold
) -> tuple[FoldResult, Signals]:
    name = f"fold {fold.number} of {request.walk_forward}"
    adapter = _fit(market, request, fold.train_end, reporter.stage(name))
    before = adapter.lookback - 1
    seen = request.recipe.frame(market).iloc[max(fold.test.start - before, 0) : fold.test.stop]
    signals = signals_of(adapter, seen)
    found = _score(market, request, [signals], fold.test)
    adapter.save(
        store,
        symbol=market.symbol,
        metrics=_numbers(found),
        tags={**request.tags, "fold": str(fold.number), "folds": str(request.walk_forward)},
        training_config=_setting(market, request, train_rows=fold.train_end),
        data=market.data,
        publish="never",
        validate=request.validate,
    )
    assert adapter.run is not None
    result = FoldResult(fold, found, adapter.run)
    words = f"{name}: {request.recipe.metric} {getattr(found, request.recipe.metric):.3f}, saved {adapter.run.ref}"
    reporter.done(f"{words}, not sound: {result.refusal}" if result.refusal else words)
    return result, signals


def _fit(market: Market, request: TrainRequest, stop: int, report: indexing.Report) -> BaseModelAdapter:
    """Return a model that was trained on the rows before ``stop``; the latest of them decide when to stop."""
    adapter = _adapter(request)
    known, held_out = folds.split(stop)
    frame, answers = request.recipe.frame(market).iloc[:stop], request.recipe.answers(market)[:stop]
    return adapter.fit(frame, answers, list(known), list(held_out), progress=report)


def _score(market: Market, request: TrainRequest, said: Sequence[Signals], test: slice) -> Score:
    import numpy as np

    values = np.concatenate([part.values for part in said])
    positions = np.concatenate([part.positions for part in said])
    return score(
        values, market.returns[test], cost=request.cost, bars_per_year=market.bars_per_year, position=positions
    )


def _facts(
    market: Market, request: TrainRequest, overall: Score | None, results: Sequence[FoldResult]
) -> dict[str, Any]:
    told = [{"train_rows": of.fold.train_end, "run": of.run.run_id, **_numbers(of.score)} for of in results]
    return {
        "metrics": {} if overall is None else _numbers(overall),
        "tags": dict(request.tags),
        "data": market.data,
        "training_config": {
            **_setting(market, request, train_rows=market.answered),
            **({"folds": told} if told else {}),
        },
    }


def _setting(market: Market, request: TrainRequest, *, train_rows: int) -> dict[str, Any]:
    first, last = market.frame.index[0], market.frame.index[train_rows - 1]
    return {
        "data": dict(market.source),
        "rows": train_rows,
        "from": first.isoformat(),
        "until": last.isoformat(),
        "cost": request.cost,
        "seed": request.seed,
    }


def _numbers(of: Score) -> dict[str, float]:
    """Return what could be computed; a NaN is left out."""
    return {name: value for name, value in of.metrics("wf_").items() if math.isfinite(value)}


def _best(results: Sequence[FoldResult], metric: str) -> FoldResult | None:
    """Return the best fold of those that are sound and have a score."""
    known = [of for of in results if math.isfinite(getattr(of.score, metric)) and not of.refusal]
    return max(known, key=lambda of: float(getattr(of.score, metric)), default=None)


def _promote(store: ArtifactStore, best: FoldResult | None, request: TrainRequest) -> str:
    """Publish the best fold, and say what came of it."""
    metric = request.recipe.metric
    if best is None:
        return f"no fold that is sound has the metric {metric}, so none is promoted to {BEST}"
    policy = IfBetter(f"wf_{metric}", mode="max") if request.if_better else "always"
    reason = (
        f"fold {best.fold.number} of {request.walk_forward}: the highest {metric}, {getattr(best.score, metric):.3f}"
    )
    try:
        pointer = store.promote(best.run, BEST, reason=reason, publish=policy)
    except errors.PointerConflict as refusal:
        return f"{best.run.key}@{BEST} stays as it is: {refusal}"
    return f"{best.run.key}@{BEST} names {best.run.run_id}, seq {pointer.seq}: {reason}"


# ---------------------------------------------------------------- the program


class Terminal:
    """Tells on stderr how far it is: bars where somebody looks at them, and a line when a stage begins or ends."""

    def __init__(
        self, *, lines: bool = True, bars: bool | None = None, check: Callable[[], None] = lambda: None
    ) -> None:
        self._lines, self._check = lines, check
        self._bars = sys.stderr.isatty() if bars is None else bars
        self._bar: Any = None

    def stage(self, name: str) -> indexing.Report:
        """Begin a bar, or say what begins. What is returned is where a Ctrl-C is noticed that got lost."""
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
    "--data", type=click.Path(path_type=Path), required=True, help="Candles as CSV, or a folder of SYMBOL.csv."
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
def main(
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
            outcome = train(store, market, request, terminal)
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
