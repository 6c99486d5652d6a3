"""Whether every model at a place can be loaded, and predicts as it did when it was saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from artifact_models.families import load_adapter
from artifact_models.locations import out_of_sight
from artifact_models.pipeline import file_paths
from artifact_models.pipeline.file_paths import FilePath
from artifact_models.pipeline.trainers import TRAINERS
from artifact_store import ArtifactStore, ModelKey, Run, errors
from artifact_store.cli import program

HEAD = ("model", "run", "taken as", "predictions", "result")


@dataclass(frozen=True, slots=True)
class ModelResult:
    """The result for one model. ``run`` is ``None`` where it could not even be found; ``error`` where it is sound."""

    key: ModelKey
    run: Run | None
    predictions: str
    error: Exception | None
    verdict: str
    """``sound``, ``wrong``, or ``unchecked``: a library that it takes is missing, or it could run code."""

    @property
    def ok(self) -> bool:
        """Whether it can be used."""
        return self.error is None

    def row(self) -> list[str]:
        """Return it as a row under ``HEAD``."""
        run = self.run
        last = run.found_by[-1] if run is not None and run.found_by else ""
        alias = last.partition(": ")[0].partition("@")[2] or ("newest" if last else "-")
        word = "WRONG" if self.verdict == "wrong" else self.verdict
        result = "ok" if self.error is None else f"{word} ({type(self.error).__name__})"
        return [str(self.key), "-" if run is None else str(run.run_id), alias, self.predictions, result]


@dataclass(frozen=True, slots=True)
class ArtifactsReport:
    """The results for all models at a place. A place without models is not sound."""

    place: str
    models: tuple[ModelResult, ...]

    @property
    def ok(self) -> bool:
        """Whether there are models, and all of them can be used."""
        return bool(self.models) and not self.problems

    @property
    def problems(self) -> tuple[ModelResult, ...]:
        """The models that cannot be used."""
        return tuple(model for model in self.models if not model.ok)

    def __iter__(self) -> Iterator[ModelResult]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if not self.models:
            yield program.safe(f"There are no models of the types {', '.join(TRAINERS)} at {self.place}.")
            return
        yield from program.table(HEAD, [model.row() for model in self.models])
        yield ""
        for model in self.problems:
            yield program.safe(f"{model.key}: {type(model.error).__name__}: {model.error}")
        count = len(self.models)
        yield f"{count} model{'s' * (count != 1)}: {len(self.problems) or 'none'} with problems."


def validate_model_artifacts(
    models_dir: FilePath | ArtifactStore = "./models", *, storage_options: Mapping[str, Any] | None = None
) -> ArtifactsReport:
    """Load every published model at ``models_dir``, a store or an old tree; print a table, and return it.

    For each model the run is taken that a trader takes. It is validated (:meth:`artifact_store.Run.validate`), and
    loaded by its adapter. One broken model stops no other, and raises nothing.

    Raises:
        NotAStore, ContainerNotFound: there are no models at ``models_dir``, but something else, or no bucket.
        Unavailable, AccessDenied: the place itself cannot be read.
    """
    options = out_of_sight(storage_options)
    del storage_options
    store = file_paths.open_root(models_dir, options)
    try:
        keys = [key for key in store.models() if key.model_type in TRAINERS]
        report = ArtifactsReport(store.url, tuple(_result(store, key) for key in keys))
        if not keys:
            file_paths.refuse_other_roots(store)
    finally:
        if store is not models_dir:
            store.close()
    click.echo(str(report))
    return report


def _result(store: ArtifactStore, key: ModelKey) -> ModelResult:
    run, predictions = None, "-"
    try:
        run = store.find(key)
        found = run.validate()
        predictions = str(found.predictions or "-")
        for problem in (*found.problems, *found.unchecked):
            return ModelResult(key, run, predictions, problem.error, str(found.verdict))
        load_adapter(run)  # which a run without golden predictions was not asked for
    except (errors.NotAStore, errors.ContainerNotFound):
        raise
    except Exception as error:  # noqa: BLE001 -- of a library too, which met what it did not expect: the others go on
        return ModelResult(key, run, predictions, error, "wrong")
    return ModelResult(key, run, predictions, None, "sound")
