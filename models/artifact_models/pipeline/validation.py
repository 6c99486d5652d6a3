"""Whether every model at a place can be loaded, and predicts as it did when it was saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from artifact_models import console
from artifact_models.families import load_adapter
from artifact_models.pipeline import locations
from artifact_models.pipeline.locations import FilePath
from artifact_models.pipeline.trainers import TRAINERS
from artifact_store import ArtifactStore, ModelKey, Run, errors

HEAD = ("model", "run", "taken as", "predictions", "result")


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one model. ``run`` is ``None`` where it could not even be found; ``error`` where it is sound."""

    key: ModelKey
    run: Run | None
    predictions: str
    error: Exception | None

    @property
    def ok(self) -> bool:
        """Whether it can be used."""
        return self.error is None

    def row(self) -> list[str]:
        """Return it as a row under ``HEAD``."""
        run = self.run
        last = run.found_by[-1] if run is not None and run.found_by else ""
        alias = last.partition(": ")[0].partition("@")[2] or ("newest" if last else "-")
        result = "ok" if self.error is None else f"WRONG ({type(self.error).__name__})"
        return [str(self.key), "-" if run is None else str(run.run_id), alias, self.predictions, result]


@dataclass(frozen=True, slots=True)
class Validation:
    """What came of all models at a place. A place without models is not sound."""

    place: str
    models: tuple[Checked, ...]

    @property
    def ok(self) -> bool:
        """Whether there are models, and all of them can be used."""
        return bool(self.models) and not self.problems

    @property
    def problems(self) -> tuple[Checked, ...]:
        """The models that cannot be used."""
        return tuple(model for model in self.models if not model.ok)

    def __iter__(self) -> Iterator[Checked]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if not self.models:
            yield console.safe(f"There are no models of the types {', '.join(TRAINERS)} at {self.place}.")
            return
        yield from console.table(HEAD, [model.row() for model in self.models])
        yield ""
        for model in self.problems:
            yield console.safe(f"{model.key}: {type(model.error).__name__}: {model.error}")
        count = len(self.models)
        yield f"{count} model{'s' * (count != 1)}: {len(self.problems) or 'none'} with problems."


def validate_model_artifacts(
    models_dir: FilePath | ArtifactStore = "./models", *, storage_options: Mapping[str, Any] | None = None
) -> Validation:
    """Load every published model at ``models_dir``, a store or an old tree; print a table, and return it.

    For each model the run is taken that a trader takes. Its bytes are compared, it is loaded, and its golden
    predictions are made again where it has some. One broken model stops no other, and raises nothing.

    Raises:
        NotAStore, ContainerNotFound: there are no models at ``models_dir``, but something else, or no bucket.
        Unavailable, AccessDenied: the place itself cannot be read.
    """
    store = locations.open_root(models_dir, storage_options)
    try:
        keys = [key for key in store.models() if key.model_type in TRAINERS]
        report = Validation(store.url, tuple(_checked(store, key) for key in keys))
        if not keys:
            locations.refuse_what_is_no_store(store)
    finally:
        if store is not models_dir:
            store.close()
    click.echo(str(report))
    return report


def _checked(store: ArtifactStore, key: ModelKey) -> Checked:
    run, predictions = None, "-"
    try:
        run = store.find(key)
        report = run.verify(predict=True)
        predictions = str(report.predictions or "-")
        error = report.problems[0].error if report.problems else _lost(run)
    except (errors.NotAStore, errors.ContainerNotFound):
        raise
    except Exception as failed:  # noqa: BLE001 -- of a library too, which met what it did not expect: the others go on
        error = failed
    return Checked(key, run, predictions, error)


def _lost(run: Run) -> Exception | None:
    """Return what is wrong with a run of which all bytes are right: a part that predicting needs is not there."""
    missing = load_adapter(run).missing
    if not missing:
        return None
    return errors.ComponentNotFound(
        f"{run.ref} was trained with {', '.join(missing)}, which the run does not have, and predictions without it "
        "would be wrong: load it with preprocessor=... if that is what is missing, and save it again"
    )
