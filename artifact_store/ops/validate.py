"""Check every model as a trader would use it: find its run, read every byte, load all parts, repeat its predictions.

Nothing that is wrong with one model keeps the others from being checked. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifact_store.core.compatibility import EnvironmentVerdict
from artifact_store.core.errors import ArtifactStoreError, ComponentNotFound, Corrupt, ModelNotFound
from artifact_store.core.keys import ModelKey
from artifact_store.ops.audit import Problem
from artifact_store.ops.predict import Predictions, check_example

if TYPE_CHECKING:
    from artifact_store.run import Run

_NOT_DECODED = "raw"
"""The codec of plain files, which need a place to go to and are as good as their bytes."""
_REQUIRES = "requires"
"""The tag that names, with commas, the components that predicting needs besides the model."""


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What came of checking one model.

    ``run`` is the reference of the run that was taken, empty if there is none; ``steps`` say why. A model of which
    nothing is published has no run and no problem. ``loaded`` are the components that could be loaded.
    ``environment`` is advice, and makes no model wrong.
    """

    key: ModelKey
    run: str = ""
    steps: tuple[str, ...] = ()
    files: int = 0
    loaded: tuple[str, ...] = ()
    predictions: Predictions | None = None
    problems: tuple[Problem, ...] = ()
    environment: EnvironmentVerdict | None = None

    @property
    def ok(self) -> bool:
        """Nothing is wrong: what is published can be used, and predicts as it did wherever that can be compared."""
        return not self.problems


def validate(key: ModelKey, find: Callable[[ModelKey], Run]) -> ModelReport:
    """Check the run of a model that ``find`` takes. Whatever is wrong is in the report; nothing is raised for it."""
    try:
        run = find(key)
    except ModelNotFound as error:
        return ModelReport(key, steps=(str(error),))
    except ArtifactStoreError as error:
        return ModelReport(key, steps=(str(error),), problems=(Problem(str(key), error),))
    problems: list[Problem] = []
    loaded: list[str] = []
    predictions = None
    try:
        problems += run.verify().problems
        if not problems:
            problems += _load_all(run, loaded)
            problems += _lost(run)
        if not problems:
            predictions = check_example(run)
            if predictions.error is not None:
                problems.append(Problem(f"{run.ref} (predictions)", predictions.error))
    except ArtifactStoreError as error:  # the storage does not answer: one model may be on its bad part
        problems.append(Problem(str(run.ref), error))
    return ModelReport(
        key,
        str(run.ref),
        run.found_by,
        len(run.files),
        tuple(loaded),
        predictions,
        tuple(problems),
        run.environment_verdict,
    )


def _lost(run: Run) -> Iterator[Problem]:
    """Yield the components that predictions need, as the run itself says, and that it does not have."""
    for name in filter(None, map(str.strip, run.tags.get(_REQUIRES, "").split(","))):
        if name not in run.components:
            why = f"{run.ref} was trained with {name!r}, which the run does not have: save it again with {name!r}"
            yield Problem(f"{run.ref} ({name})", ComponentNotFound(why))


def _load_all(run: Run, loaded: list[str]) -> Iterator[Problem]:
    for name, component in run.manifest.components.items():
        if component.codec.name == _NOT_DECODED:
            continue
        try:
            run.load(name)
            loaded.append(name)
        except ArtifactStoreError as error:
            yield Problem(f"{run.ref} ({name})", error)
        except Exception as error:  # noqa: BLE001 -- of a codec that is not ours, or its library: a finding
            failure = Corrupt(f"{name!r} cannot be loaded: {type(error).__name__}: {error}")
            failure.__cause__ = error
            yield Problem(f"{run.ref} ({name})", failure)
