"""The adapter of the GRU: raw rows in, one prediction for each window of them out.

The order of the steps is that of training: columns by name, imputer, scaler (both over all columns), windows, float32,
the selected columns, network.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Self

from artifact_models import configuration, indexing
from artifact_models.adapter import BaseModelAdapter, mismatches_logged
from artifact_models.gru.architecture import INPUT_WEIGHT, Architecture
from artifact_models.gru.trainer import GRUFit, GRUSettings, GRUTrainer
from artifact_models.gru.windows import stretch, windows
from artifact_models.preprocessing import check_scaling, scaling
from artifact_store import FeatureSchema, Run, TorchState, errors

_SCALING = {"scaler": "standard", "imputer": "mean"}
_TRAINING = "training"
"""The component that says where a training stood; predicting never reads it."""
_FOUND_OUT = ("input_size", "output_size")
"""What stands in the config of a run beside the settings: the data decide it anew."""


class GRUAdapter(BaseModelAdapter):
    """A GRU on windows of ``sequence_length`` rows: ``GRUAdapter(sequence_length=12, epochs=20)``.

    Settings are those of :class:`~artifact_models.gru.trainer.GRUSettings`, as keywords or as ``config``, and
    ``scaler`` (``standard``, ``minmax``, ``robust`` or ``None``) and ``imputer`` (``mean``, ``median``,
    ``most_frequent`` or ``None``), fitted on the training rows unless there is a ``preprocessor`` of your own.
    """

    model_type: ClassVar[str] = "gru"
    tolerance: ClassVar[float] = 1e-6
    _checkpoint: Mapping[str, Any] | None = None

    @classmethod
    def known_settings(cls) -> Collection[str]:
        """Return the names that may stand in a config."""
        return (*GRUSettings.names(), *_SCALING, *_FOUND_OUT)

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the whole config of these settings.

        Raises:
            InvalidOption: there is no such setting, or its value means nothing.
        """
        configuration.check_names("a GRU", given.keys() - set(_FOUND_OUT), [*GRUSettings.names(), *_SCALING])
        scalers = {name: given.get(name, usual) for name, usual in _SCALING.items()}
        check_scaling(**scalers)
        return {**GRUSettings.of(given).to_config(), **scalers}

    @property
    def sequence_length(self) -> int:
        """How many rows a window has."""
        length = self.config.get("sequence_length")
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise errors.Corrupt(f"the config of {self.run or self} has no usable sequence_length: {length!r}")
        return length

    def fit(self, X: Any, y: Any, train_idx: Any, valid_idx: Any, *, progress: indexing.Report | None = None) -> Self:
        """Train on windows of the rows ``train_idx`` of ``X``, a table or an array with all features.

        The target of a window is the ``y`` of its last row. Imputer and scaler see the training rows only.

        Raises:
            InvalidInput: the data cannot be trained on; the adapter is as it was.
        """
        new = copy.copy(self)
        train, valid = indexing.split(indexing.count(X), train_idx, valid_idx)
        new.features = features = self._describe(X, nan="refuse", inf="refuse")
        wordy = [name for name, dtype in features.dtypes.items() if dtype in {"string", "category"}]
        if wordy:
            raise errors.InvalidInput(
                f"a GRU takes numbers, and {wordy[:10]} hold text or categories: encode them first"
            )
        asked = self._to_train()
        own = scaling(**{name: asked.get(name, usual) for name, usual in _SCALING.items()})
        new.preprocessor = self._fit_preprocessor(features, X, train, otherwise=own)
        new.missing = ()
        new._train(GRUSettings.of(asked), X, y, train, valid, progress=progress)  # noqa: SLF001 -- one of ourselves
        vars(self).update(vars(new))
        return self

    def resume(
        self,
        X: Any,
        y: Any,
        train_idx: Any,
        valid_idx: Any,
        *,
        epochs: int,
        progress: indexing.Report | None = None,
    ) -> Self:
        """Go on with the training of this adapter, or of the run that it was loaded from, for so many epochs more.

        Schema and preprocessor stay as they are. On the same data the result is that of one training of all epochs,
        bit for bit; on other data the network is trained further. The best epoch of all is kept.

        Raises:
            InvalidOption: it has no model, or no whole number of epochs.
            ComponentNotFound: the run does not say where its training stood, or has lost its preprocessor.
            InvalidInput: the data cannot be trained on; the adapter is as it was.
        """
        self._schema()
        self._check_whole("train a new one")
        checkpoint = self._where_it_stood()
        train, valid = indexing.split(indexing.count(X), train_idx, valid_idx)
        new = copy.copy(self)
        settings = GRUSettings.of({**self._to_train(), "epochs": epochs})
        new._train(settings, X, y, train, valid, progress=progress, checkpoint=checkpoint)  # noqa: SLF001 -- as above
        vars(self).update(vars(new))
        return self

    def _train(
        self,
        settings: GRUSettings,
        X: Any,
        y: Any,
        train: Any,
        valid: Any,
        *,
        progress: indexing.Report | None,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> None:
        """Train with the schema and the preprocessor that there are, and take over what comes of it."""
        features = self.features
        assert features is not None
        result = GRUTrainer(settings).train(
            indexing.numbers(self._all_columns(features, X, self.preprocessor)),
            y,
            train,
            valid,
            feature_names=features.names,
            selected_features=features.selected,
            progress=progress,
            checkpoint=checkpoint,
        )
        self._adopt(result)
        self.run = None
        first, stop = stretch(train, self.sequence_length, self.sequence_length + self.example_rows - 1)
        self._keep_example(X, first, stop)

    def _where_it_stood(self) -> Mapping[str, Any]:
        if self._checkpoint is None and self.run is not None and _TRAINING in self.run.components:
            self._checkpoint = self.run.load(_TRAINING)
        if self._checkpoint is None:
            raise errors.ComponentNotFound(
                f"{self._name} does not say where its training stood (it has no component {_TRAINING!r}), so it cannot "
                "be resumed: fit a new adapter with its config"
            )
        if not isinstance(self._checkpoint, Mapping):
            raise self._unlike(self.run, self._checkpoint, "a checkpoint", _TRAINING)
        return self._checkpoint

    def predict(self, X: Any, *, preselected: bool = False, **matching: Any) -> Any:
        """Return one prediction for each window: ``n - sequence_length + 1`` of a table or array of n rows.

        The first belongs to row ``sequence_length - 1``. Ready windows ``(n, sequence_length, width)`` give n. Of a
        binary model these are labels, 0 and 1. For the rest see :meth:`BaseModelAdapter.predict`.

        Raises:
            FeatureMismatch: there are fewer rows than a window takes; or as there.
        """
        outputs = self._outputs(X, preselected=preselected, **matching)
        return (outputs >= 0).astype("int64") if self._is_binary else outputs

    def predict_proba(self, X: Any, *, preselected: bool = False, **matching: Any) -> Any:
        """Return the probabilities of 0 and of 1 for each window, as two columns.

        Raises:
            InvalidOption: it is not a classifier.
        """
        import numpy as np

        if not self._is_binary:
            raise errors.InvalidOption("this GRU was trained for regression and has no probabilities; use predict")
        logits = self._outputs(X, preselected=preselected, **matching).astype(np.float64)
        ones = 1 / (1 + np.exp(-logits))
        return np.column_stack((1 - ones, ones))

    @property
    def lookback(self) -> int:
        """The rows of one window."""
        return self.sequence_length

    @property
    def _is_binary(self) -> bool:
        return bool(self.config.get("objective") == "binary")

    def _outputs(self, X: Any, **options: Any) -> Any:
        from artifact_models.gru.network import outputs

        with mismatches_logged(self._name):
            ready = self._windows(X, **options)
        made = outputs(self.model, ready)
        return made[:, 0] if made.shape[1] == 1 else made

    def _windows(self, X: Any, **options: Any) -> Any:
        import numpy as np

        length = self.sequence_length
        ready = indexing.numbers(self._prepare(X, **options))
        if ready.ndim not in {2, 3} or ready.shape[-2] < length or (ready.ndim == 3 and ready.shape[1] != length):  # noqa: PLR2004
            raise errors.FeatureMismatch(
                f"this GRU takes windows of {length} rows (sequence_length); got {_spoken(ready.shape)}. Give at least "
                f"{length} rows, oldest first, or windows of exactly {length}"
            )
        self._check_width(ready.shape[-1], "what the preprocessor returned")
        with np.errstate(over="ignore"):
            ready = ready.astype(np.float32)
        if not np.isfinite(ready).all():
            raise errors.FeatureMismatch("the preprocessed rows hold numbers beyond what float32 can hold")
        return windows(ready, length) if ready.ndim == 2 else ready  # noqa: PLR2004

    def _adopt(self, result: GRUFit) -> None:
        best = result.history[result.best_epoch - 1]
        self.model = result.network
        self.config = {**self.config, **result.architecture.to_config()}
        self.metrics = dict(best)
        self._checkpoint = result.checkpoint
        self.training_config = {
            "best_epoch": result.best_epoch,
            "epochs_trained": len(result.history),
            "train_windows": result.train_windows,
            "valid_windows": result.valid_windows,
        }

    def _parts(self) -> dict[str, Any]:
        parts = {"model": TorchState(self.model.state_dict(), self.config)}
        return parts if self.preprocessor is None else {**parts, "preprocessor": self.preprocessor}

    def _supplements(self) -> dict[str, Any]:
        checkpoint = self._checkpoint
        if checkpoint is None and self.run is not None and _TRAINING in self.run.components:
            checkpoint = self.run.load(_TRAINING)
        return {} if checkpoint is None else {_TRAINING: checkpoint}

    def _restore(self, run: Run) -> None:
        from artifact_models.gru.network import restored

        stored = run.load("model")
        if not isinstance(stored, TorchState):
            raise self._unlike(run, stored, "a TorchState")
        architecture = Architecture.of(stored.state)
        if self.features is None:
            self.features = FeatureSchema.inferred(architecture.input_size, nan="refuse", inf="refuse")
        self._check_width(architecture.input_size, f"the shape of {INPUT_WEIGHT} in its state")
        self.config = {**stored.config, **self.config}
        self.model, self._checkpoint = restored(stored.state), None


def _spoken(shape: tuple[int, ...]) -> str:
    if len(shape) == 3:  # noqa: PLR2004
        return f"{shape[0]} windows of {shape[1]} rows"
    return f"{shape[0]} rows" if len(shape) == 2 else "a single row"  # noqa: PLR2004
