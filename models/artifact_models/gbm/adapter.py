"""The adapter of LightGBM: raw rows in, values, labels or probabilities out.

Columns are found by name, which LightGBM itself does not do, and categories have the codes that they had in training.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Self

from artifact_models import indexing
from artifact_models.adapter import BaseModelAdapter, mismatches_logged
from artifact_models.gbm import parameters
from artifact_models.gbm.trainer import BINARY, MULTICLASS, GBMFit, LightGBMTrainer
from artifact_store import FeatureSchema, Run, errors

_CLASSES = "classes"
"""Where the config of a run has the labels, which the data decide anew."""
_MADE_UP = re.compile(r"Column_\d+")


class LightGBMAdapter(BaseModelAdapter):
    """Boosted trees: ``LightGBMAdapter(objective="binary", num_leaves=15)``, or the same as ``config``.

    Parameters are LightGBM's own; see :class:`~artifact_models.gbm.trainer.LightGBMTrainer`. Of a run that was saved
    otherwise, ``model`` may be a booster or what an estimator of LightGBM comes back as.
    """

    model_type: ClassVar[str] = "lightgbm"

    _importances: Any = None

    @classmethod
    def known_settings(cls) -> Collection[str]:
        """Return the names that may stand in a config, LightGBM's aliases included."""
        return (*parameters.known(), _CLASSES)

    @classmethod
    def spelled(cls, part: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters under LightGBM's main names.

        Raises:
            InvalidOption: one has two values, under two names.
        """
        return parameters.spelled(part)

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the whole config of these parameters.

        Raises:
            InvalidOption: there is no such parameter, or its value means nothing.
            Unsupported: LightGBM, which knows its parameters, is not installed.
        """
        return LightGBMTrainer(_without_classes(given)).params

    def fit(self, X: Any, y: Any, train_idx: Any, valid_idx: Any, *, progress: indexing.Report | None = None) -> Self:
        """Train on the rows ``train_idx`` of ``X``, a table or an array with all features; stop by ``valid_idx``.

        Text is refused: make it categorical, so that its values are known from now on. Classifiers take any labels.

        Raises:
            InvalidInput: the data cannot be trained on; the adapter is as it was.
        """
        new = copy.copy(self)
        train, valid = indexing.split(indexing.count(X), train_idx, valid_idx)
        new.features = features = self._describe(X)
        text = [name for name in features.selected_names if features.dtypes.get(name) == "string"]
        if text:
            raise errors.InvalidInput(
                f"{text[:10]} hold text: make them categorical, so that each value keeps its code"
            )
        new.preprocessor = self._fit_preprocessor(features, X, train)
        result = LightGBMTrainer(_without_classes(self._to_train())).train(
            _as_pandas(self._all_columns(features, X, new.preprocessor)),
            y,
            train,
            valid,
            feature_names=features.names,
            selected_features=features.selected,
            progress=progress,
        )
        new._adopt(result)  # noqa: SLF001 -- another one of ourselves
        new.training_config |= {"train_rows": len(train), "valid_rows": len(valid)}
        new.run, new.missing = None, ()
        first = int(train[0])
        new._keep_example(X, first, first + self.example_rows)  # noqa: SLF001 -- as above
        vars(self).update(vars(new))
        return self

    def predict(self, X: Any, *, preselected: bool = False, **matching: Any) -> Any:
        """Return a value for each row; a label where the labels are known (``classes``), as in scikit-learn.

        A booster that was saved without its labels returns what ``Booster.predict`` says, probabilities for
        instance. For the rest see :meth:`BaseModelAdapter.predict`.
        """
        found = self.model_matrix(X, preselected=preselected, **matching)
        if self.classes is None or hasattr(self.model, "classes_"):
            return self._asked(self.model.predict, found)
        import numpy as np

        return np.asarray(self.classes)[self._probabilities(found).argmax(axis=1)]

    def predict_proba(self, X: Any, *, preselected: bool = False, **matching: Any) -> Any:
        """Return one column of probabilities for each class, in the order of ``classes``.

        Raises:
            InvalidOption: it is not a classifier.
        """
        return self._probabilities(self.model_matrix(X, preselected=preselected, **matching))

    def model_matrix(self, X: Any, *, preselected: bool = False, **matching: Any) -> Any:
        """Return exactly what LightGBM is given for ``X``: an array, or a pandas table where there are categories.

        Raises:
            FeatureMismatch: see :meth:`BaseModelAdapter.predict`; or the run knows no categories, and its model does.
        """
        with mismatches_logged(self._name):
            return self._matrix(X, preselected=preselected, **matching)

    def _matrix(self, X: Any, *, preselected: bool, **matching: Any) -> Any:
        prepared = self._prepare(X, preselected=preselected, **matching)
        if hasattr(prepared, "to_frame") and not indexing.is_table(prepared):  # a pandas Series: one row
            prepared = prepared.to_frame().T
        ready = _as_pandas(prepared)
        if not indexing.is_table(ready):
            ready = ready.reshape(1, -1) if ready.ndim == 1 else ready
        if len(ready.shape) != 2:  # noqa: PLR2004 -- rows and columns
            raise errors.FeatureMismatch(f"LightGBM predicts from single rows; got windows of shape {ready.shape}")
        self._refuse_codes(ready)
        return ready

    @property
    def classes(self) -> list[Any] | None:
        """The labels in the order of the probabilities, where they are known."""
        found = getattr(self.model, "classes_", None)
        if found is not None:
            return list(found.tolist())
        labels = self.config.get(_CLASSES)
        return labels if isinstance(labels, list) else None  # a number of classes, in settings of the caller

    @property
    def feature_importance(self) -> Any:
        """A table of ``feature`` and ``importance`` (gain, largest first), or ``None`` if none was kept."""
        if self._importances is None and self.run is not None and "feature_importance" in self.run.components:
            self._importances = self.run.load("feature_importance")
        return self._importances

    @property
    def booster(self) -> Any:
        """LightGBM's own model."""
        return getattr(self.model, "booster_", self.model)

    def _probabilities(self, found: Any) -> Any:
        import numpy as np

        if hasattr(self.model, "predict_proba"):
            return self._asked(self.model.predict_proba, found)
        objective = str(self.booster.dump_model(num_iteration=1).get("objective", "")).partition(" ")[0]
        if objective not in (*BINARY, *MULTICLASS):
            raise errors.InvalidOption(
                f"this model's objective is {objective or 'its own'!r}: it has no probabilities; use predict"
            )
        made = self._asked(self.model.predict, found)
        return np.column_stack((1 - made, made)) if objective in BINARY else made

    def _refuse_codes(self, ready: Any) -> None:
        """Refuse what is given to a booster that recorded other columns of categories, or none, in an older run."""
        recorded = len(self.booster.pandas_categorical or ())
        found = sum(hasattr(dtype, "categories") for dtype in ready.dtypes) if indexing.is_table(ready) else 0
        if found != recorded:
            raise errors.FeatureMismatch(
                f"the model recorded {recorded} columns of categories in training, and these rows have {found}: "
                "nothing tells which of its codes means what. Save it with the features of the pandas table that it "
                "was trained on: FeatureSchema.from_frame(table)"
            )

    def _asked(self, question: Any, found: Any) -> Any:
        """Return LightGBM's answer, or its refusal as one of ours."""
        import lightgbm

        try:
            return question(found)
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise errors.FeatureMismatch(f"LightGBM refuses these rows: {error}") from error

    def _adopt(self, result: GBMFit) -> None:
        import pandas as pd

        self.model = result.booster
        self.config = _without_classes(self._to_train())
        if result.classes is not None:
            self.config[_CLASSES] = list(result.classes)
        self.metrics = dict(result.scores)
        self.training_config = {"best_iteration": result.best_iteration}
        table = pd.DataFrame({"feature": list(result.importances), "importance": list(result.importances.values())})
        self._importances = table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model}
        return parts if self.preprocessor is None else {**parts, "preprocessor": self.preprocessor}

    def _supplements(self) -> dict[str, Any]:
        table = self.feature_importance
        return {} if table is None else {"feature_importance": table}

    def _restore(self, run: Run) -> None:
        self.model, self._importances = run.load("model"), None
        if not hasattr(self.booster, "num_feature"):
            raise self._unlike(run, self.model, "a model of LightGBM")
        width = int(self.booster.num_feature())
        if self.features is None:
            names = self.booster.feature_name()
            known = not self.booster.pandas_categorical and not any(map(_MADE_UP.fullmatch, names))
            self.features = FeatureSchema(names) if known else FeatureSchema.inferred(width)
        if self.preprocessor is None or self.features.has_selection:
            self._check_width(width, "num_feature() of the booster")
        outputs = max(int(self.booster.num_model_per_iteration()), 2)
        if self.classes is not None and len(self.classes) != outputs:
            raise errors.Corrupt(
                f"the model of {run.ref} has {outputs} classes, and {len(self.classes)} labels are recorded "
                "('classes' in its config): they are not those that it was trained on"
            )


def _without_classes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config without the labels; a number under that name is a setting of the caller, and stays."""
    return {name: value for name, value in config.items() if name != _CLASSES or not isinstance(value, list)}


def _as_pandas(prepared: Any) -> Any:
    """Return a table of polars or arrow, which has no categories, as pandas; anything else as it is."""
    return prepared.to_pandas() if hasattr(prepared, "to_pandas") else prepared
