"""What a report shows, as it is read from the store: the rows of the index, histories, and the manifests of some runs.

A run that is broken is among the problems. A storage that does not answer ends the report before anything is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from artifact_store.core.index_rows import Row
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import Publish
from artifact_store.core.references import RunRef
from artifact_store.errors import AccessDenied, ArtifactStoreError, InvalidOption, NotFound, Unavailable
from artifact_store.ops import index_runs, listing, resolve, signing
from artifact_store.ops.context import Context
from artifact_store.problems import Problem
from artifact_store.report.details import Describer
from artifact_store.wording import brief

DETAILED: Final = 20
"""Of how many runs of a model, the newest ones, a report has everything, besides those that an alias names."""


@dataclass(slots=True)
class ModelShown:
    """What is shown of one model."""

    key: ModelKey
    rows: list[Row] = field(default_factory=list)
    """Its runs, newest first."""
    histories: dict[str, Sequence[Publish]] = field(default_factory=dict)
    """Every publish of each alias, oldest first."""
    details: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By run id."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to show: of a model whose runs are all deleted there is not."""
        return bool(self.rows or self.histories or self.problems)

    @property
    def in_force(self) -> dict[str, Publish]:
        """What each alias names now, by name."""
        return {alias: past[-1] for alias, past in self.histories.items()}


@dataclass(slots=True)
class Shown:
    """All that a report shows."""

    store: str
    models: list[ModelShown]

    @property
    def problems(self) -> list[Problem]:
        """What could not be read."""
        return [problem for model in self.models for problem in model.problems]

    @property
    def run_count(self) -> int:
        """How many runs there are."""
        return sum(len(model.rows) for model in self.models)


def check_details(details: object) -> int | None:
    """Return of how many runs of a model everything is shown; ``None``: of all. ``InvalidOption``: it is no number."""
    if details is None or (isinstance(details, int) and not isinstance(details, bool) and details >= 0):
        return details
    raise InvalidOption(f"details is a number of runs, 0 or more, or None for all of them, not {brief(details)}")


def gathered(context: Context, details: int | None = DETAILED) -> Shown:
    """Read what a report shows.

    Raises:
        NotAStore: the root holds something else.
        Unavailable, AccessDenied: the storage does not answer.
    """
    models = {str(key): ModelShown(key) for key in listing.models_of_store(context)}
    problems: list[Problem] = []
    for row in index_runs.checked(context, None, listing.Filter(), problems):
        model = models.get(row.value["model"])
        if model is not None:  # of one that came since, the next report has it
            model.rows.append(row)
    for problem in problems:
        _raise_outage(problem.error)
        broken = RunRef.parse(problem.where).key
        models.setdefault(str(broken), ModelShown(broken)).problems.append(problem)
    _read_histories(context, models.values())
    _read_details(context, models.values(), check_details(details))
    return Shown(context.backend.url, [model for model in models.values() if model.is_shown])


def _raise_outage(error: ArtifactStoreError) -> None:
    if isinstance(error, Unavailable | AccessDenied):
        raise error


def _read_histories(context: Context, models: Collection[ModelShown]) -> None:
    def read(model: ModelShown) -> Iterator[tuple[str, Sequence[Publish] | ArtifactStoreError]]:
        for alias in listing.alias_names(context, model.key):
            try:
                yield alias, resolve.history(context, RunRef(model.key, alias, None))
            except NotFound:  # it is the file of something else
                continue
            except ArtifactStoreError as error:
                _raise_outage(error)
                yield alias, error

    with closing(
        context.tasks.ahead(models, lambda model: list(read(model)), at_once=context.records.at_once)
    ) as found:
        for model, histories in found:
            for alias, past in histories.result():
                if isinstance(past, ArtifactStoreError):
                    model.problems.append(Problem(f"{model.key}@{alias}", past))
                else:
                    model.histories[alias] = past


def _read_details(context: Context, models: Collection[ModelShown], details: int | None) -> None:
    describer = Describer(context)
    wanted = [(model, row) for model in models for row in _detailed(model, details)]

    def read(pair: tuple[ModelShown, Row]) -> tuple[Manifest, Mapping[str, Any]]:
        _, row = pair
        manifest = row.manifest if row.is_read else context.records.manifest(row.key, row.run_id)
        signing.check_signed(context, manifest)
        return manifest, describer.importances(manifest)

    gone: set[int] = set()
    with closing(context.tasks.ahead(wanted, read, at_once=context.records.at_once)) as found:
        for (model, row), record in found:
            try:
                model.details[row.run_id] = describer.details(*record.result())
            except NotFound:  # deleted since it was listed
                gone.add(id(row))
            except ArtifactStoreError as error:
                _raise_outage(error)
                model.problems.append(Problem(row.label, error))
    for model in models:
        model.rows = [row for row in model.rows if id(row) not in gone] if gone else model.rows


def _detailed(model: ModelShown, details: int | None) -> Iterator[Row]:
    """Yield the runs of which everything is shown."""
    named = {publish.run_id for publish in model.in_force.values()}
    for place, row in enumerate(model.rows):
        if details is None or place < details or row.value["run_id"] in named:
            yield row
