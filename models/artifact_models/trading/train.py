"""Train a model on candles, walk forward, save and publish.

Everything is saved as a whole or not at all, so that Ctrl-C at any moment leaves complete runs only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from artifact_models import indexing
from artifact_models.adapter import BaseModelAdapter
from artifact_models.trading import folds
from artifact_models.trading.adapters import new_adapter
from artifact_models.trading.market import Market
from artifact_models.trading.recipes import Recipe
from artifact_models.trading.score import Score, score
from artifact_models.trading.signals import Signals, signals_of
from artifact_store import ArtifactStore, FeatureSchema, IfBetter, Run, errors

BEST = "best_wf"


class Reporter(Protocol):
    """Receives the progress of a training."""

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


def train_and_save(store: ArtifactStore, market: Market, request: TrainRequest, reporter: Reporter) -> Outcome:
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
    return new_adapter(
        request.recipe,
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
    known, held_out = folds.hold_out(stop)
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
