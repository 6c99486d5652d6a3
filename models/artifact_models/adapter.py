"""The adapter: a model with everything that its predictions need, as one thing to fit, ask, save and load.

Owns the feature schema, the preprocessor, the golden example, and the way between a trainer, which knows no store,
and the store, which knows no trainer. What a family does in its own way is in the methods that it has to give.
"""

from __future__ import annotations

import copy
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from artifact_models import configuration, indexing, locations
from artifact_models.loading import Load, Root
from artifact_models.preprocessing import Preprocessing, fitted, is_preprocessor
from artifact_store import ArtifactStore, Digest, Example, FeatureSchema, IfBetter, ModelKey, Run, RunRef, errors

if TYPE_CHECKING:
    from artifact_models.trading.recipes import Recipe

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # what is logged here is raised as well: without logging it is not shown twice


@contextmanager
def mismatches_logged(model: object) -> Iterator[None]:
    """Log it when features are not those of the model; the error goes on to the caller."""
    try:
        yield
    except errors.FeatureMismatch as mismatch:
        log.warning("%s: %s", model, mismatch)
        raise


class BaseModelAdapter(ABC):
    """A model of one family, from training to trading.

    ``config`` has the settings of the family, and keywords (``hidden_size=8``) change single ones of it. The
    configuration of a whole application is taken as well: then the settings are those in
    ``config["models"][model_type]``. A name that the family does not know is an error. What a training has found out
    and stored beside the settings is overlooked, so that the config of a run can be given to train another one.

    ``feature_names`` are the columns to train on (all columns of the table unless given), ``selected_features`` the
    positions or names of those that the model itself is given, and ``selection_reason`` says why it is those
    (it is stored as ``features.reason``). ``preprocessor`` is fitted on the training rows if it
    has ``fit`` (a copy of it: what was passed stays as it is), and used as it is otherwise.

    Raises:
        InvalidOption: there is no such setting, with the likeliest one; or its value means nothing.

    After ``fit`` or ``load``: ``features`` is the schema, ``model`` the model, ``metrics`` and ``training_config`` tell
    of the training, ``run`` is the run that it was last loaded from or saved as, and ``missing`` names what the run
    needs for predicting and does not have.
    """

    model_type: ClassVar[str]
    tolerance: ClassVar[float] = 0.0
    """The largest difference between two predictions on the same rows that counts as no difference."""
    example_rows: ClassVar[int] = 32
    recipe: ClassVar[Recipe | None] = None
    """How the two programs train it on candles, where a family of another distribution wants that."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """The settings of the family and what they are unless the config says otherwise."""

    load = Load()
    """Load a run: ``load(path_or_ref, *, store=None, config=None, preprocessor=None, storage_options=None)``.

    ``path_or_ref`` is a :class:`~artifact_store.Run`; a folder or URL that goes on into the store
    (``./store/models/gru/BTCEUR``, which means the latest run, ``…/gru/BTCEUR/<run id>``, ``s3://…/gru/BTCEUR@best_wf``);
    or, with ``store``, a reference such as ``gru/BTCEUR@latest``. On the class it returns a new adapter, on an instance
    it fills that one, which stays as it was if anything fails. ``preprocessor`` is for a run that has lost its own.

    The settings are those that the run was saved with. ``config`` changes none of them; it may be the configuration of
    a whole application, as it is given to trainers: what in it has no effect is logged.

    Raises:
        NotFound, InvalidReference: it names no run. FeatureMismatch: the model and its names do not fit each other.
        ArtifactStoreError: the run cannot be read, decoded or trusted.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        feature_names: Iterable[str] | None = None,
        selected_features: Iterable[int | str] | None = None,
        selection_reason: str = "",
        preprocessor: Any = None,
        **changes: Any,
    ) -> None:
        self.features: FeatureSchema | None = None
        self.model: Any = None
        self.preprocessor: Any = None
        self.config: dict[str, Any] = self.checked(
            configuration.given_settings(self.model_type, config, changes, spelled=self.spelled)
        )
        self.training_config: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.example_inputs: Any = None
        self.missing: tuple[str, ...] = ()
        self.run: Run | None = None
        self._given_names = None if feature_names is None else list(feature_names)
        self._given_selection: Sequence[int | str] | None = (
            None if selected_features is None else list(selected_features)
        )
        self._given_reason = selection_reason
        if (selection_reason and not self._given_selection) or not isinstance(selection_reason, str):
            raise errors.InvalidOption(
                "selection_reason is a text that says why selected_features were selected; give both, or neither"
            )
        self._given_preprocessor = preprocessor

    def __repr__(self) -> str:
        state = "not fitted" if not self.is_fitted else repr(self.features)
        return f"<{type(self).__name__}: {state}{f', from {self.run.ref}' if self.run else ''}>"

    # ------------------------------------------------------------ what a family gives

    @abstractmethod
    def fit(self, X: Any, y: Any, train_idx: Any, valid_idx: Any, *, progress: indexing.Report | None = None) -> Self:
        """Train on the rows ``train_idx`` of ``X``, stop by those of ``valid_idx``, and return the adapter.

        ``X`` is a table or an array, ``y`` has a value for each row. Positions, slices or masks say which rows.

        Raises:
            InvalidInput: the data cannot be trained on; the adapter is as it was.
        """

    @abstractmethod
    def predict(self, X: Any, *, preselected: bool = False, **matching: Any) -> Any:
        """Return the model's predictions for a raw table (columns in any order, others beside them) or an array.

        ``X`` goes through the same steps as in training. ``preselected`` says that it holds the selected features
        only, and went through the preprocessor already. ``matching`` are the options of
        :meth:`artifact_store.FeatureSchema.prepare`: ``extra``, ``fill``, ``by_position``.

        Raises:
            FeatureMismatch: the trained features are not there, or not as they were in training.
            ComponentNotFound: the run has lost a part that predicting needs.
        """

    @abstractmethod
    def _parts(self) -> dict[str, Any]:
        """Return the components that predicting needs, by name: ``model`` and what else there is of them."""

    @abstractmethod
    def _restore(self, run: Run) -> None:
        """Set ``model`` and what else the family needs from the run.

        Everything that all families have (``features``, ``config``, ``preprocessor``) is set by then.
        """

    @classmethod
    def known_settings(cls) -> Collection[str]:
        """Return the names that may stand in a config, other spellings and stored results of a training included."""
        return cls.defaults.keys()

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the whole config of these settings, the defaults included.

        Raises:
            InvalidOption: there is no such setting, or its value means nothing.
        """
        configuration.check_names(cls.model_type, given, cls.known_settings())
        return configuration.merged(cls.defaults, given)

    @classmethod
    def spelled(cls, part: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings, which may be unknown ones, under the one name that each has in a config."""
        return configuration.merged({}, part)

    def _supplements(self) -> dict[str, Any]:
        """Return the components that belong to the run and that predicting does not need."""
        return {}

    def predict_example(self, inputs: Any, *, method: str = "predict") -> Any:
        """Return what ``method`` says to the inputs of an example, which may be arrays as wide as the selection.

        Raises:
            InvalidOption: this family has no such method.
        """
        question, features = getattr(self, method, None), self._schema()
        if question is None:
            raise errors.InvalidOption(f"{type(self).__name__} has no {method}")
        if indexing.is_table(inputs):
            return question(inputs, by_position=features.names_inferred)
        if indexing.has_names(inputs):
            return question(inputs)
        width = getattr(inputs, "shape", (None,))[-1]
        return question(inputs, preselected=features.has_selection and width == features.input_size)

    @property
    def lookback(self) -> int:
        """How many rows one prediction takes, its own included."""
        return 1

    # ------------------------------------------------------------ what its users know

    @property
    def is_fitted(self) -> bool:
        """Whether there is a model."""
        return self.model is not None

    @property
    def feature_names(self) -> list[str] | None:
        """All inputs, in the order of training."""
        return self._given_names if self.features is None else list(self.features.names)

    @property
    def selected_features(self) -> Sequence[int | str] | None:
        """The positions of the features that the model itself is given; ``None`` if that is all of them."""
        if self.features is None:
            return self._given_selection
        return list(self.features.selected) if self.features.has_selection else None

    # ------------------------------------------------------------ save and load

    def save(
        self,
        output_dir: Root,
        run_id: str | None = None,
        symbol: str | None = None,
        *,
        metrics: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        training_config: Mapping[str, Any] | None = None,
        description: str = "",
        parent: Run | RunRef | str | None = None,
        data: Mapping[str, Digest | str | Path] | None = None,
        alias: str = "latest",
        publish: str | IfBetter | Any = "always",
        validate: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> str:
        """Save everything as one run, with a golden example, and return its path or URL, which :meth:`load` takes.

        ``output_dir`` is the root of a store: a folder, a URL or a store. One that ends in ``{type}/{symbol}`` already
        is understood. The other arguments are those of :meth:`artifact_store.ArtifactStore.save`; ``metrics`` and
        ``training_config`` are added to what the training left.

        Raises:
            InvalidOption: not fitted; the path and the arguments contradict each other.
            RunExists, OutcomeUnknown, NotEncodable, …: as :meth:`artifact_store.ArtifactStore.save`.
        """
        options = locations.out_of_sight(storage_options)
        del storage_options
        if isinstance(output_dir, ArtifactStore):
            root: Root = output_dir
            key, own_id = ModelKey(self.model_type, symbol), run_id
        else:
            place = locations.to_save(output_dir, self.model_type, run_id, symbol)
            assert place.key is not None
            root = place.root if isinstance(output_dir, str) else Path(place.root)  # text may be a URL, a Path is not
            key, own_id = place.key, place.run
        with (
            locations.opened(root, options) as store,
            store.new_run(key, run_id=own_id, alias=alias, publish=publish, validate=validate) as draft,  # judges names
        ):
            draft.features = self._schema()
            parts = self._parts()
            needed = sorted({*parts, *self.missing} - {"model"})
            draft.config = self.config
            draft.training_config = {**self.training_config, **(training_config or {})}
            draft.metrics = {**self.metrics, **(metrics or {})}
            draft.tags, draft.requires = tags or {}, needed
            draft.description, draft.parent, draft.data = description, parent, data or {}
            for name, part in {**parts, **self._supplements()}.items():
                draft.add(name, part)
            example = self._example()
            if example is not None:
                draft.add_example(example)
            self.run = draft.commit()
        return self.run.url()

    def restore(self, run: Run, *, preprocessor: Any = None, config: Mapping[str, Any] | None = None) -> None:
        """Become what was saved as ``run``; if anything fails, the adapter stays as it was.

        ``config`` is compared with the settings of the run, which count, and what differs is logged.

        Raises:
            InvalidOption: it is a run of another family.
            ArtifactStoreError: as :meth:`artifact_store.Run.load`.
        """
        if run.key.model_type != self.model_type:
            raise errors.InvalidOption(
                f"{run.ref} is a run of the type {run.key.model_type!r}, and {type(self).__name__} loads "
                f"{self.model_type!r}; artifact_models.load_adapter(run) takes the right one"
            )
        new = copy.copy(self)
        new.run, new.features, new.config = run, run.features, run.config
        new.training_config, new.metrics, new.example_inputs = run.training_config, run.metrics, None
        new.preprocessor = preprocessor
        if preprocessor is None and "preprocessor" in run.components:
            new.preprocessor = run.load("preprocessor")
            if not is_preprocessor(new.preprocessor):
                raise self._unlike(run, new.preprocessor, "a preprocessor with transform()", "preprocessor")
        have = {*run.components, *(["preprocessor"] if new.preprocessor is not None else [])}
        new.missing = tuple(name for name in run.requires if name not in have)
        with mismatches_logged(run.ref):
            new._restore(run)  # noqa: SLF001 -- another one of ourselves
        if config is not None:
            configuration.log_overruled(
                self.model_type, config, new.config, self.known_settings(), spelled=self.spelled
            )
        assert new.features is not None
        if not new.features.names_inferred:  # it is trained again on the same features
            new._given_names, new._given_selection = new.feature_names, new.selected_features  # noqa: SLF001 -- as above
            new._given_reason = new.features.reason  # noqa: SLF001 -- as above
        vars(self).update(vars(new))

    # ------------------------------------------------------------ for the families

    @staticmethod
    def _unlike(run: Run, found: object, wanted: str, part: str = "model") -> errors.Corrupt:
        """Return the error of a component that is not of this family."""
        return errors.Corrupt(f"the {part} of {run.ref} holds a {type(found).__qualname__}; expected {wanted}")

    @property
    def _name(self) -> object:
        """What the log calls it."""
        return self.run.ref if self.run is not None else f"a {self.model_type} that was not saved"

    def _schema(self) -> FeatureSchema:
        """Return the schema of a fitted adapter.

        Raises:
            InvalidOption: it is not fitted.
        """
        if self.features is None or not self.is_fitted:
            raise errors.InvalidOption(f"this {type(self).__name__} has no model yet: fit it, or load a run")
        return self.features

    def _describe(self, X: Any, **options: Any) -> FeatureSchema:
        """Return the schema of training data: a table's names, dtypes and categories, or an array's width and dtype.

        Is called by ``fit`` itself, so that its warning of an array without names is seen to come from who calls that.
        """
        selected, names = self._given_selection, self._given_names
        options["reason"] = self._given_reason
        if indexing.is_table(X):
            table = X if names is None else FeatureSchema(names).select(X)
            return FeatureSchema.from_frame(table, selected=selected, **options)
        array = indexing.numbers(X)
        if array.ndim != 2:  # noqa: PLR2004 -- rows and columns
            raise errors.FeatureMismatch(f"training data has rows and columns; got {array.ndim} dimensions")
        if names is None:
            warnings.warn(
                f"this array of {array.shape[1]} columns has no names, so no later input can be checked against them: "
                "train on a table, or give feature_names",
                UserWarning,
                stacklevel=3,
            )
            names, options = list(FeatureSchema.inferred(array.shape[1]).names), {**options, "names_inferred": True}
        if len(names) != array.shape[1]:
            raise errors.FeatureMismatch(f"feature_names has {len(names)} names, and X has {array.shape[1]} columns")
        return FeatureSchema(names, selected=selected, dtypes=array.dtype.name, **options)

    def _prepare(self, X: Any, *, preselected: bool = False, **matching: Any) -> Any:
        """Return what the model is to be given: aligned, preprocessed and selected as in training.

        Raises:
            ComponentNotFound: the preprocessor that this takes is not there.
            FeatureMismatch: see :meth:`artifact_store.FeatureSchema.prepare`.
        """
        features = self._schema()
        if preselected:
            return features.prepare(X, preselected=True, **matching)
        self._check_whole("pass rows that went through it already, as wide as the selection, with preselected=True")
        if self.preprocessor is None:
            return features.prepare(X, **matching)
        return features.prepare(X, Preprocessing(self.preprocessor, features), **matching)

    def _check_whole(self, instead: str) -> None:
        """Refuse to predict without a part that the model was trained with.

        Raises:
            ComponentNotFound: there is such a part; the text says what to do.
        """
        if self.missing:
            named = " and ".join(repr(name) for name in self.missing)
            hint = "load the run with preprocessor=..., or " if "preprocessor" in self.missing else ""
            where = self.run.ref if self.run else "this model"
            raise errors.ComponentNotFound(
                f"{where} was trained with {named}, which the run does not have, and predictions without it would be "
                f"wrong: {hint}{instead}"
            )

    def _fit_preprocessor(self, features: FeatureSchema, X: Any, train: Any, *, otherwise: Any = None) -> Any:
        """Return the preprocessor, fitted on the training rows and on all the columns that it will see."""
        chosen = otherwise if self._given_preprocessor is None else self._given_preprocessor
        return None if chosen is None else fitted(chosen, features, X, train)

    def _all_columns(self, features: FeatureSchema, X: Any, preprocessor: Any) -> Any:
        """Return all columns as the preprocessor makes them, holes included: the trainer judges those that it uses."""
        everything = FeatureSchema(features.names, dtypes=features.dtypes, categories=features.categories)
        if preprocessor is None:
            return everything.prepare(X)
        return everything.prepare(X, Preprocessing(preprocessor, everything))

    def _to_train(self) -> dict[str, Any]:
        """Return the settings to train with; what the config of a loaded run holds beside is logged once."""
        return configuration.settings_of_run(self.model_type, self.config, self.known_settings())

    def _check_width(self, found: int, where: str) -> None:
        """Refuse a model that takes another number of features than its names say.

        Raises:
            FeatureMismatch: with both numbers, and where each comes from.
        """
        features = self.features
        if features is not None and features.input_size != found:
            chosen = "selects" if features.has_selection else "names"
            whose = f"the feature schema of {self.run.ref}" if self.run else "the feature schema"
            raise errors.FeatureMismatch(
                f"the model takes {found} features ({where}), and {whose} {chosen} {features.input_size} "
                f"(of {features.feature_count} names): the names are not those that it was trained on"
            )

    def _keep_example(self, X: Any, start: int, stop: int) -> None:
        """Keep a few raw rows, from which :meth:`save` makes the golden example."""
        features = self.features
        assert features is not None
        inputs = FeatureSchema(features.names).select(X) if indexing.is_table(X) else X
        if features.categories and not hasattr(inputs, "iloc"):  # an arrow dictionary of numbers cannot be stored
            inputs = self._all_columns(features, inputs, None)
        self.example_inputs = indexing.slice_rows(inputs, start, stop)

    def _example(self) -> Example | None:
        if self.missing:
            return None
        inputs = self.example_inputs
        if inputs is None and self.run is not None:
            stored = self.run.load_example()
            inputs = None if stored is None else stored.inputs
        return None if inputs is None else Example(inputs, self.predict_example(inputs))
