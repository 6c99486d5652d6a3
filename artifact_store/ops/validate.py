"""Check a run as a trader would use it: read every byte, load all parts, compare the width, repeat its predictions.

Nothing that is wrong with one model keeps the others from being checked. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import filterfalse
from typing import Any, Protocol

from artifact_store.core.codec import KnowsCategories, KnowsInputs, check_categories, check_inputs
from artifact_store.core.compatibility import EnvironmentVerdict
from artifact_store.core.manifest import FileEntry
from artifact_store.core.names import ModelKey
from artifact_store.core.observing import unrecorded, unwrapped
from artifact_store.errors import (
    ArtifactStoreError,
    ComponentNotFound,
    Corrupt,
    FeatureMismatch,
    ModelNotFound,
    Unavailable,
)
from artifact_store.features.schema import FeatureSchema
from artifact_store.ops import verify
from artifact_store.ops.context import Context
from artifact_store.ops.golden import Predictions, check_example
from artifact_store.ops.handle import RunLike
from artifact_store.ops.verdict import Checked, Verdict, verdict_on
from artifact_store.problems import Problem

_NOT_DECODED = "raw"
"""The codec of plain files, which need a place to go to and are as good as their bytes."""
_PREPROCESSOR = "preprocessor"


@dataclass(frozen=True, slots=True)
class Validation(Checked):
    """What came of validating one run. ``loaded`` are the components that could be decoded.

    ``problems`` are what is wrong, ``unchecked`` what cannot be checked without a predictor, a library or a consent;
    ``notes`` say what is not recorded, and so is not judged.
    """

    loaded: tuple[str, ...] = ()
    predictions: Predictions | None = None
    problems: tuple[Problem, ...] = ()
    unchecked: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def compared(self) -> bool:
        """Whether golden predictions were repeated, and were equal."""
        return self.predictions is not None and self.predictions.outcome == "equal"

    def __str__(self) -> str:
        if self.verdict is Verdict.SOUND:
            return "; ".join(("sound" if self.compared else "sound, not compared (it has no example)", *self.notes))
        return f"{self.verdict}: {(*self.problems, *self.unchecked)[0]}"


def validate_run(context: Context, run: RunLike) -> Validation:
    """Return what is wrong with a run, and what cannot be checked; ``Unavailable``, which says neither, is raised."""
    failed = {
        name: _failure(run, name, f"{name!r} cannot be loaded", partial(run.load, name))
        for name, component in run.manifest.components.items()
        if component.codec.name != _NOT_DECODED
    }
    loaded = tuple(name for name, problem in failed.items() if problem is None)
    found = [problem for problem in failed.values() if problem is not None]
    found += _compare_rest(context, run, failed)
    found += _lost(run)
    found += _unlike_features(context, run, loaded)
    predictions = None
    if not any(map(_is_wrong, found)) and ("model" in loaded or "model" not in run.components):
        predictions = check_example(run)
        if predictions.error is not None:
            found.append(Problem(f"{run.ref} (predictions)", predictions.error))
    wrong, unchecked = tuple(filter(_is_wrong, found)), tuple(filterfalse(_is_wrong, found))
    notes = [f"what {name!r} was trained behind is not recorded" for name in unrecorded(run.manifest.components)]
    return Validation(loaded, predictions, wrong, unchecked, tuple(notes))


def _is_wrong(problem: Problem) -> bool:
    return verdict_on(problem.error) is Verdict.WRONG


def _failure(run: RunLike, part: str, what: str, work: Callable[[], Any]) -> Problem | None:
    """Do ``work``, and return its failure as a finding about a part of the run; ``Unavailable`` is raised."""
    try:
        work()
    except Unavailable:
        raise
    except ArtifactStoreError as error:
        return Problem(f"{run.ref} ({part})", error)
    except Exception as error:  # noqa: BLE001 -- of a codec that is not ours, or its library: a finding
        failure = Corrupt(f"{what}: {type(error).__name__}: {error}")
        failure.__cause__ = error
        return Problem(f"{run.ref} ({part})", failure)
    return None


def _compare_rest(context: Context, run: RunLike, tried: Mapping[str, Problem | None]) -> list[Problem]:
    """Compare the files that were not read when the components were decoded, or found to be damaged then."""
    components = run.manifest.components
    read = {
        path
        for name, problem in tried.items()
        for path in components[name].files
        if problem is None or isinstance(problem.error, Corrupt)
    }
    return verify.compare_files(
        context, run.manifest, [entry for entry in run.manifest.files if entry.path not in read]
    )


def _lost(run: RunLike) -> Iterator[Problem]:
    """Yield the components that predictions need, as the run itself says, and that it does not have."""
    for name in run.manifest.lost:
        why = f"{run.ref} was trained with {name!r}, which the run does not have: save it again with {name!r}"
        yield Problem(f"{run.ref} ({name})", ComponentNotFound(why))
    for found in () if run.manifest.lost else unwrapped(run.manifest.components):
        why = f"{found}, so it is given other observations than in its training: save it again with agent.get_env()"
        yield Problem(f"{run.ref} ({found.agent})", ComponentNotFound(why))


def _unlike_features(context: Context, run: RunLike, loaded: Iterable[str]) -> Iterator[Problem]:
    """Yield the models that take something else than the features say; a preprocessor may make any columns of them."""
    problem = _failure(run, "features", "the features cannot be read", lambda: run.features)
    if problem is not None:
        yield problem
        return
    features = run.features
    if features is None or _PREPROCESSOR in run.components:
        return
    for name in loaded:
        problem = _failure(
            run, name, f"the inputs of {name!r} cannot be read", partial(_check, context, run, name, features)
        )
        if problem is not None:
            yield problem


def _check(context: Context, run: RunLike, name: str, features: FeatureSchema) -> None:
    """Raise ``FeatureMismatch`` if a component is a model of other inputs, or other categories, than the features.

    Features that were found out after the training may know nothing of the categories, and are not held to them.
    """
    codec, found = context.registry.for_ref(run.manifest.components[name].codec.ref), run.load(name)
    if isinstance(codec, KnowsCategories) and features.categories:
        check_categories(name, codec.categories(found), features.selected_names, features.categories)
    if isinstance(codec, KnowsInputs):
        check_inputs(name, codec.inputs(found), features.selected_names)
        return
    width = getattr(found, "n_features_in_", None) if name == "model" else None
    if width is not None and width != features.input_size:
        raise FeatureMismatch(
            f"{name!r} takes {width} inputs, and the features that it is to get are {features.input_size}"
        )


# ---------------------------------------------------------------- all models of a store


@dataclass(frozen=True, slots=True)
class ModelReport(Checked):
    """What came of checking one model.

    ``run`` is the reference of the run that was taken, empty if there is none; ``steps`` say why. A model of which
    nothing is published has no run and no problem. ``environment`` is advice, never a problem. The rest is as in
    :class:`Validation`.
    """

    key: ModelKey
    run: str = ""
    steps: tuple[str, ...] = ()
    files: int = 0
    loaded: tuple[str, ...] = ()
    predictions: Predictions | None = None
    problems: tuple[Problem, ...] = ()
    unchecked: tuple[Problem, ...] = ()
    environment: EnvironmentVerdict | None = None
    seconds: float = field(default=0.0, compare=False)
    """How long it took, where that was measured."""
    notes: tuple[str, ...] = ()


class Validatable(RunLike, Protocol):
    """A run that can be asked for all that its report says; :class:`artifact_store.Run` is one."""

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """Its files by name."""

    @property
    def found_by(self) -> tuple[str, ...]:
        """How it was found."""

    @property
    def environment_verdict(self) -> EnvironmentVerdict:
        """Whether this process is like the one that saved it."""

    def validate(self, *, allow_code: bool = False) -> Validation:
        """Return what is wrong with it."""


def validate(key: ModelKey, find: Callable[[ModelKey], Validatable], *, allow_code: bool = False) -> ModelReport:
    """Check the run of a model that ``find`` takes. Whatever is wrong is in the report; nothing is raised for it.

    A storage that does not answer is a problem of the model, which cannot be used as long as that lasts.
    """
    try:
        run = find(key)
    except ModelNotFound as error:
        return ModelReport(key, steps=(str(error),))
    except ArtifactStoreError as error:
        return ModelReport(key, steps=(str(error),), problems=(Problem(str(key), error),))
    try:
        found = run.validate(allow_code=allow_code)
    except ArtifactStoreError as error:
        found = Validation(problems=(Problem(str(run.ref), error),))
    return ModelReport(
        key,
        str(run.ref),
        run.found_by,
        len(run.files),
        found.loaded,
        found.predictions,
        problems=found.problems,
        unchecked=found.unchecked,
        environment=run.environment_verdict,
        notes=found.notes,
    )
