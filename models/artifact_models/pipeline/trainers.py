"""The trainers of the earlier pipeline: train, save to a file path, load from one, and predict.

Each has an adapter and asks it. The trainers of :mod:`artifact_models.gru.trainer` and its siblings, which know no
store, are others: the adapters train with those.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from artifact_models import configuration, locations
from artifact_models.adapter import BaseModelAdapter
from artifact_models.families import adapter_class
from artifact_models.pipeline import file_paths, samples
from artifact_models.pipeline.file_paths import FilePath
from artifact_models.ppo.observation import action_space_info
from artifact_store import ArtifactStore, Run, RunRef, errors

Config = Mapping[str, Any]


class PipelineTrainer:
    """The common part of the three trainers.

    ``config`` is a dict of settings, or the configuration of a whole application, of which ``config["models"]`` has
    them under the model type; keywords change single settings. ``adapter`` does the work, and has everything that is
    not here.

    Raises:
        InvalidOption: there is no such setting, or its value means nothing.
    """

    model_type: ClassVar[str]

    def __init__(self, config: Config | None = None, *, preprocessor: Any = None, **settings: Any) -> None:
        self._preprocessor = preprocessor
        self.adapter: BaseModelAdapter = adapter_class(self.model_type)(config, preprocessor=preprocessor, **settings)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.adapter!r}>"

    # ------------------------------------------------------------ save and load

    def save_model(
        self, filepath: FilePath, symbol: str | None = None, *, storage_options: Mapping[str, Any] | None = None
    ) -> str:
        """Save the model as the run that ``filepath`` names, publish it, and return the path of the run.

        ``{root}/{type}/{symbol}/{run_id}/model.pth`` keeps that run id; without a run id one is made. The run becomes
        ``latest``; at ``{root}/metadata/best_wf_{type}_{symbol}.pt`` it becomes ``best_wf``. Its files have names of
        their own; :meth:`load_model` takes ``filepath`` all the same.

        Raises:
            InvalidOption: there is no model yet; the path names no model, or another symbol than ``symbol``.
            RunExists: there is a run at this path: a run is never overwritten.
            NotAStore: the root is an old tree, or holds something else; nothing was written.
            OutcomeUnknown, …: as :meth:`artifact_store.ArtifactStore.save`.
        """
        options = locations.out_of_sight(storage_options)
        del storage_options
        if not self.is_fitted:
            raise errors.InvalidOption(f"this {type(self).__name__} has no model yet: train it, or load one")
        place = file_paths.target(filepath, self.model_type, symbol)
        with locations.opened(place.root, options) as store:
            try:
                self._refuse_taken(store, place)
                return self.adapter.save(store, place.run_id, place.key.symbol, alias=place.alias)
            except errors.RunExists as error:
                raise errors.RunExists(f"{os.fspath(filepath)!r} is taken: {error}. {_way_out(place)}") from error

    @classmethod
    def load_model(
        cls,
        filepath: FilePath | Run,
        config: Config | None = None,
        *,
        preprocessor: Any = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return a trainer with the model that ``filepath`` names, its features and its preprocessor restored.

        It may be a path that :meth:`save_model` took, ``…/latest/model.pth``, a ``best_wf`` path, the folder or URL of
        a run, or a file in the old form, which is read without running what is stored in it. The settings are those
        that the model was saved with; what ``config`` says otherwise has no effect, and is logged. ``preprocessor`` is
        for a model that has lost its own.

        Raises:
            InvalidReference: it names no model of this type.
            NotFound: there is no such run or file.
            FeatureMismatch, Corrupt, RiskRefused, …: it cannot be loaded as it was saved.
        """
        options = locations.out_of_sight(storage_options)
        del storage_options
        run = file_paths.find_by_path(filepath, cls.model_type, storage_options=options)
        trainer = cls(preprocessor=preprocessor)
        trainer.adapter.restore(run, preprocessor=preprocessor, config=config)
        return trainer

    @staticmethod
    def _refuse_taken(store: ArtifactStore, place: file_paths.Target) -> None:
        """Refuse to save where a run is; the very same run, too, which the store itself would take for a repetition.

        Raises:
            RunExists: there is one.
        """
        if place.run_id is None:
            return
        try:
            found = store.get(RunRef(place.key, None, place.run_id))
        except errors.NotFound:
            return
        if found.run_id == place.run_id:
            raise errors.RunExists(
                f"{found.ref} was saved at {found.created_at:%Y-%m-%d %H:%M:%S} UTC; it is untouched"
            )

    # ------------------------------------------------------------ predict

    def predict(self, X: Any, **options: Any) -> Any:
        """Return the predictions for raw data: aligned by name, preprocessed and selected as in training.

        ``options`` are those of the adapter's ``predict``.

        Raises:
            InvalidOption: there is no model yet.
            FeatureMismatch: the features of the training are not there, or not as they were.
        """
        return self.adapter.predict(X, **options)

    # ------------------------------------------------------------ what its users know

    @property
    def config(self) -> dict[str, Any]:
        """All settings, the defaults included; of a loaded model those that it was trained with."""
        return self.adapter.config

    @property
    def model(self) -> Any:
        """The model itself, or ``None``."""
        return self.adapter.model

    @property
    def is_fitted(self) -> bool:
        """Whether there is a model."""
        return self.adapter.is_fitted

    @property
    def run(self) -> Run | None:
        """The run that the model was last saved as or loaded from."""
        return self.adapter.run

    @property
    def symbol(self) -> str | None:
        """The symbol of that run."""
        return None if self.adapter.run is None else self.adapter.run.key.symbol

    @property
    def feature_names(self) -> list[str]:
        """All inputs in the order of training, also those that are not selected; empty before."""
        return self.adapter.feature_names or []

    @property
    def selected_features(self) -> list[int | str] | None:
        """The positions of the features that the model itself is given; ``None`` if that is all of them."""
        found = self.adapter.selected_features
        return None if found is None else list(found)

    @property
    def feature_count(self) -> int | None:
        """How many features there are; ``None`` before a training."""
        return None if self.adapter.features is None else self.adapter.features.feature_count

    @property
    def input_size(self) -> int | None:
        """How many of them the model is given; ``None`` before a training."""
        return None if self.adapter.features is None else self.adapter.features.input_size

    # ------------------------------------------------------------ for the families

    def _fit(
        self,
        data: samples.Samples,
        names: Sequence[str] | None,
        selected: Sequence[int | str] | None,
        **options: Any,
    ) -> dict[str, Any]:
        """Train a new adapter with the settings of this one, take it, and return the result."""
        settings = configuration.settings_of_run(self.model_type, self.adapter.config, self.adapter.known_settings())
        adapter = type(self.adapter)(
            settings, feature_names=names, selected_features=selected, preprocessor=self._preprocessor, **options
        )
        history: list[dict[str, float]] = []

        def keep(_: int, __: int, scores: Mapping[str, float]) -> None:
            if scores:  # an agent has no scores during training
                history.append({name: float(value) for name, value in scores.items()})

        adapter.fit(data.X, data.y, data.train, data.valid, progress=keep)
        self.adapter = adapter
        return {**adapter.metrics, **adapter.training_config, "history": history}


class _Supervised(PipelineTrainer):
    """A trainer that learns a target for each row."""

    def train(
        self,
        X_train: Any,
        y_train: Any,
        X_val: Any = None,
        y_val: Any = None,
        feature_names: Iterable[str] | None = None,
        selected_features: Iterable[int | str] | None = None,
        *,
        selection_reason: str = "",
    ) -> dict[str, Any]:
        """Train on ``X_train``, stop by ``X_val``, and return the result: scores, and their ``history``.

        ``feature_names`` are the names of all columns, those of a table unless given; ``selected_features`` the
        positions or names of those that the model is given, all of them unless given, and ``selection_reason`` says
        why it is those. The preprocessor learns from the rows of training alone.

        Raises:
            FeatureMismatch: a position has no name, or names and data do not fit each other.
            InvalidInput: the data cannot be trained on; the trainer is as it was.
        """
        names, selected = _listed(feature_names), _listed(selected_features)
        samples.check_selection(names, selected, X_train)
        data = samples.labelled(X_train, y_train, X_val, y_val, names=names)
        return self._fit(data, names, selected, selection_reason=selection_reason)


class GRUTrainer(_Supervised):
    """A GRU on windows of rows; see :class:`~artifact_models.GRUAdapter` for the settings."""

    model_type: ClassVar[str] = "gru"


class LightGBMTrainer(_Supervised):
    """Boosted trees; see :class:`~artifact_models.LightGBMAdapter` for the settings."""

    model_type: ClassVar[str] = "lightgbm"


class PPOTrainer(PipelineTrainer):
    """An agent; see :class:`~artifact_models.PPOAdapter` for the settings."""

    model_type: ClassVar[str] = "ppo"

    def train(
        self, train_data: Any, eval_data: Any = None, feature_names: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Train on the bars of ``train_data``, trade those of ``eval_data`` once, and return how that went.

        ``feature_names`` are the columns that the agent observes; without them all but the price. The column of the
        price is kept beside them, since gains are counted in it.

        Raises:
            FeatureMismatch: there is no column of the price, or not every feature.
            InvalidInput: the data cannot be trained on; the trainer is as it was.
        """
        names, selected = _listed(feature_names), None
        if names is not None and self._price not in names:
            names, selected = [*names, self._price], list(range(len(names)))
        return self._fit(samples.joined(train_data, eval_data, names=names), names, selected)

    @property
    def observation_shape(self) -> tuple[int, ...] | None:
        """The shape of what the agent observes; ``None`` before a training."""
        return None if self.model is None else tuple(int(size) for size in self.model.observation_space.shape)

    @property
    def input_size(self) -> int | None:
        """How many numbers the agent observes; ``None`` before a training."""
        return None if self.observation_shape is None else math.prod(self.observation_shape)

    @property
    def action_space_info(self) -> dict[str, Any] | None:
        """What an action is: ``type`` (``discrete`` or ``continuous``) and ``n`` or ``shape``."""
        return None if self.model is None else action_space_info(self.model.action_space)

    @property
    def _price(self) -> str:
        price: str = (self.adapter.config.get("env") or {}).get("price", "close")
        return price


TRAINERS: Mapping[str, type[PipelineTrainer]] = {
    kind.model_type: kind for kind in (GRUTrainer, LightGBMTrainer, PPOTrainer)
}


def _way_out(place: file_paths.Target) -> str:
    free = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
    file = f"model{file_paths.SUFFIXES[place.key.model_type][0]}"
    return (
        f"A run is never overwritten: save to a path with another run id, such as .../{place.key}/{free}/{file}, or "
        f"without one (.../{place.key}/{file}), and one is made. If this repeats a save that failed, load the run"
    )


def _listed(values: Iterable[Any] | None) -> list[Any] | None:
    """Return a list, and nothing for what names nothing."""
    found = None if values is None else list(values)
    return found or None
