"""Which committed runs may go: the rules of ``delete`` and ``prune``, and what is safe from them.

Safe from pruning: what an alias names (a pin is an alias), what one named until less than the grace period ago, the
last two runs of every alias, what a rollback would serve, and what its own save may be about to publish. Looks and
decides; :mod:`artifact_store.ops.delete` carries it out, and looks at the pointers twice more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any, Final

from artifact_store.core.manifest import Manifest, PublishIntent
from artifact_store.core.names import ModelKey, RunId
from artifact_store.core.outline import Outline
from artifact_store.core.pointer import Publish
from artifact_store.core.policy import metric_value
from artifact_store.core.tombstone import GRACE
from artifact_store.errors import (
    AccessDenied,
    ArtifactStoreError,
    InvalidOption,
    MetricMissing,
    Unavailable,
)
from artifact_store.ops import delete, listing, opening, promote
from artifact_store.ops.context import Context
from artifact_store.ops.delete import StepResult, duration_text
from artifact_store.ops.plan import CarryOut, Plan, PlanStep
from artifact_store.problems import Problem

AT_ONCE: Final = 32
"""So many runs are hidden together: the pointers of their model are read before all of them and after all."""
_LAST: Final = 2
_SHOWN: Final = 8
_BEST: Final = "keep_best is (metric, number) or (metric, number, 'min')"
_PUBLISHING: Final = timedelta(hours=1)
"""How long after its commit a run may still be published by its own save."""


@dataclass(frozen=True, slots=True)
class Best:
    """Keep the ``count`` runs with the best ``metric``: the largest, or the smallest where ``mode`` is ``min``."""

    metric: str
    count: int
    mode: str = "max"

    def __post_init__(self) -> None:
        if not _is_count(self.count) or self.mode not in {"max", "min"}:
            raise InvalidOption(f"{_BEST}, not {(self.metric, self.count, self.mode)!r}")

    @classmethod
    def of(cls, value: Any) -> Best | None:
        """Read ``(metric, number)`` or ``(metric, number, mode)``."""
        if value is None or isinstance(value, Best):
            return value
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) not in {2, 3}:
            raise InvalidOption(f"{_BEST}, not {value!r}")
        return cls(str(value[0]), *value[1:])

    def choose(self, runs: Sequence[Candidate]) -> set[str]:
        """Return the ids of the best; a run without the metric, or with a NaN, is not one of them."""
        known = [run for run in runs if not math.isnan(metric_value(run, self.metric))]
        known.sort(key=lambda run: (metric_value(run, self.metric), run.run_id), reverse=True)
        if self.mode == "min":
            known.sort(key=lambda run: metric_value(run, self.metric))
        return {run.run_id for run in known[: self.count]}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the rules ask of a run: a hundred thousand of these take less room than a few thousand manifests."""

    key: ModelKey
    run_id: RunId
    size: int
    created_at: datetime
    metrics: Mapping[str, Any]
    publish: PublishIntent

    @classmethod
    def of(cls, manifest: Manifest | Outline) -> Candidate:
        """Return what is kept of a manifest."""
        run_id, size = RunId(manifest.run_id), manifest.size
        return cls(manifest.key, run_id, size, manifest.created_at, manifest.metrics, manifest.publish)

    @property
    def label(self) -> str:
        """``type/symbol:run_id``, as references are written."""
        return f"{self.key}:{self.run_id}"


@dataclass(frozen=True, slots=True)
class Rules:
    """What ``prune`` keeps of each model, beside what is safe: everything else that is old enough goes."""

    keep_last: int | None = None
    keep_best: Best | None = None
    older_than: timedelta | datetime | None = None
    grace: timedelta = GRACE

    def __post_init__(self) -> None:
        if self.keep_last is None and self.keep_best is None and self.older_than is None:
            raise InvalidOption(
                "prune needs to know what to keep: keep_last=10, keep_best=('sharpe', 3), older_than=timedelta(days=90)"
            )
        if self.keep_last is not None and not _is_count(self.keep_last):
            raise InvalidOption(f"keep_last is a number from 0, not {self.keep_last!r}")
        if isinstance(self.older_than, datetime) and self.older_than.tzinfo is None:
            raise InvalidOption("older_than is an aware datetime, such as datetime(2026, 1, 1, tzinfo=UTC)")
        if self.older_than is not None and not isinstance(self.older_than, datetime):
            check_span("older_than", self.older_than)
        check_span("grace", self.grace)

    def before(self, now: datetime) -> datetime | None:
        """Return the time before which a run has to have been saved to go."""
        if isinstance(self.older_than, timedelta):
            return now - self.older_than
        return self.older_than


def check_span(name: str, value: object) -> None:
    """Raise ``InvalidOption`` unless ``value`` is a span of time that is not negative."""
    if not isinstance(value, timedelta) or value < timedelta(0):
        raise InvalidOption(f"{name} is a span of time such as timedelta(days=7), not {value!r}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def plan_delete(context: Context, key: ModelKey, run_id: RunId, *, reason: str) -> Plan:
    """Return the plan to delete one run. Raises what :func:`artifact_store.ops.delete.mark` would raise now."""
    manifest = context.records.manifest(key, run_id)
    delete.refuse_named(key, run_id, delete.named_by(context, key, run_id))
    step = PlanStep(manifest.label, "delete", reason or "it was asked for", manifest.size, key, run_id)

    def start() -> CarryOut:
        opening.ensure_open_existing(context)
        return lambda _: _marked(context, key, [(run_id, reason)])

    return Plan([step], start, strict=True)


def _marked(
    context: Context, key: ModelKey, runs: Sequence[tuple[RunId, str]]
) -> Iterator[StepResult | ArtifactStoreError]:
    for found in delete.mark_all(context, key, runs):
        yield found if isinstance(found, ArtifactStoreError) else StepResult("deleted")


def plan_prune(context: Context, key: ModelKey | None, rules: Rules, *, reason: str) -> Plan:
    """Return the plan to prune one model, or all. What cannot be read is a problem, and what depends on it stays.

    Raises:
        ModelNotFound: nothing is stored of the model.
        NotAStore: the root holds something else. In an empty one there is nothing to do.
    """
    models = listing.models(context)
    if key is not None:
        if key not in models:
            raise listing.no_model(context, key)
        models = [key]
    notes = [] if models or opening.check_store(context.records) else [opening.no_store(context.backend)]
    problems: list[Problem] = []
    steps = [step for key in models for step in plan_model(context, key, rules, problems)]

    def start() -> CarryOut:
        opening.ensure_open_existing(context)
        again: dict[ModelKey, dict[RunId | None, PlanStep]] = {}

        def carry_out(steps: Sequence[PlanStep]) -> Iterator[StepResult | ArtifactStoreError]:
            for model, of_model in groupby(steps, key=attrgetter("key")):
                if model not in again:
                    again[model] = {found.run_id: found for found in plan_model(context, model, rules, [])}
                yield from _pruned(context, model, list(of_model), again[model], reason)

        return carry_out

    return Plan(steps, start, problems=problems, notes=notes, at_once=AT_ONCE)


def _pruned(
    context: Context,
    key: ModelKey,
    steps: Sequence[PlanStep],
    again: Mapping[RunId | None, PlanStep],
    reason: str,
) -> Iterator[StepResult | ArtifactStoreError]:
    """Yield what comes of each step, in their order: those that still are to go are marked together."""
    now = [again.get(step.run_id) for step in steps]
    going = [step for step in now if step is not None and step.action != "keep" and step.run_id is not None]
    told = [(step.run_id, reason or f"pruned: {step.reason}") for step in going if step.run_id is not None]
    marked = _marked(context, key, told) if told else iter(())
    for step in now:
        if step is None or step.action == "keep":
            yield StepResult("kept", "it is gone" if step is None else step.reason)
        else:
            yield next(marked)


def plan_model(context: Context, key: ModelKey, rules: Rules, problems: list[Problem]) -> list[PlanStep]:
    """Return what becomes of each committed run of a model, newest first.

    An alias that cannot be read is a problem, and may name any run: every run is kept. So it is if no run has the
    metric by which the best are to be kept.
    """
    now = context.now()
    names = listing.run_folders(context, key)
    runs = [Candidate.of(run) for run in listing.outlines(context, key, names, listing.Filter(), problems)]
    try:
        pasts = histories(context, key)
    except (Unavailable, AccessDenied):
        raise
    except ArtifactStoreError as error:
        problems.append(Problem(f"the aliases of {key.display_name}", error))
        return [_step(run, "an alias of the model cannot be read") for run in runs]
    safe = protected(pasts, now=now, grace=rules.grace)
    best = rules.keep_best.choose(runs) if rules.keep_best is not None else set()
    if rules.keep_best is not None and rules.keep_best.count and runs and not best:
        problems.append(Problem(key.display_name, _without_metric(key, rules.keep_best.metric, runs)))
        return [_step(run, f"no run of the model has the metric {rules.keep_best.metric}") for run in runs]
    before = rules.before(now)
    steps = []
    for place, run in enumerate(runs):
        why = safe.get(run.run_id) or _publishing(run, pasts, now, min(rules.grace, _PUBLISHING))
        if why is None and place < (rules.keep_last or 0):
            why = f"one of the newest {rules.keep_last}"
        if why is None and rules.keep_best is not None and run.run_id in best:
            why = f"one of the best {rules.keep_best.count} by {rules.keep_best.metric}"
        if why is None and before is not None and run.created_at >= before:
            why = f"saved after {before:%Y-%m-%d %H:%M:%S} UTC"
        steps.append(_step(run, why) if why is not None else _step(run, _gone(rules, before), action="delete"))
    return steps


def _without_metric(key: ModelKey, metric: str, runs: Sequence[Candidate]) -> MetricMissing:
    known = sorted({name for run in runs for name in run.metrics} - {metric})
    there = f"; there are {', '.join(known[:_SHOWN])}{', …' if len(known) > _SHOWN else ''}" if known else ""
    what = f"no run of {key.display_name} has a number as its metric {metric!r}{there}. All its runs are kept"
    return MetricMissing(what, metric=metric)


def _step(run: Candidate, why: str, *, action: Any = "keep") -> PlanStep:
    return PlanStep(run.label, action, why, run.size, run.key, run.run_id)


def _gone(rules: Rules, before: datetime | None) -> str:
    said = []
    if rules.keep_last is not None:
        said.append(f"not one of the newest {rules.keep_last}")
    if rules.keep_best is not None:
        said.append(f"not one of the best {rules.keep_best.count} by {rules.keep_best.metric}")
    if before is not None:
        said.append(f"saved before {before:%Y-%m-%d %H:%M:%S} UTC")
    return ", ".join(said)


def histories(context: Context, key: ModelKey) -> dict[str, list[Publish]]:
    """Return all that each alias of a model ever named, oldest first; raise ``Corrupt`` if a part of it is damaged."""
    records = context.records
    return {alias: records.history(records.pointer(key, alias)) for alias in listing.alias_names(context, key)}


def protected(pasts: dict[str, list[Publish]], *, now: datetime, grace: timedelta) -> dict[str, str]:
    """Return the runs that no pruning touches, each with the reason: by what the aliases name and named."""
    safe: dict[str, str] = {}
    for alias, past in pasts.items():
        if past and past[-1].run_id is not None:
            safe[past[-1].run_id] = f"{alias} names it"
    for alias, past in pasts.items():
        for entry, after in pairwise(past):
            if entry.run_id is not None and now - after.at < grace:
                safe.setdefault(entry.run_id, f"{alias} named it less than {duration_text(grace)} ago")
        named = [entry.run_id for entry in reversed(past) if entry.run_id is not None]
        for run_id in list(dict.fromkeys(named))[:_LAST]:
            safe.setdefault(run_id, f"one of the last {_LAST} that {alias} named")
        if past and (before := next(promote.rollback_candidates(past), None)) is not None:
            safe.setdefault(before, f"a rollback of {alias} would serve it")
    return safe


def _publishing(run: Candidate, pasts: dict[str, list[Publish]], now: datetime, within: timedelta) -> str | None:
    """Return why a run may be about to be published by its own save, or ``None``."""
    if run.publish.policy == "never" or now - run.created_at >= within:
        return None
    if any(entry.run_id == run.run_id for entry in pasts.get(run.publish.alias, ())):
        return None
    return f"it was saved less than {duration_text(within)} ago and may be about to be published"
