"""Train boosted trees with LightGBM, stop when validation no longer gets better, and keep the best iteration.

What comes out is a ``Booster`` and not a scikit-learn estimator: LightGBM's own text holds a booster whole, for every
language that reads it, while an estimator adds attributes that rot with two libraries' versions, and only one thing
that matters, the labels of the classes, which stand in the account of the training.

Knows neither store nor schema: a table or an array goes in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from artifact_models import configuration, indexing
from artifact_models.gbm import parameters
from artifact_models.libraries import library
from artifact_store import errors

_USUAL: Final[Mapping[str, Any]] = {"verbosity": -1, "deterministic": True, "force_row_wise": True}
"""The same data and seed give the same trees, whatever the number of threads, unless the parameters say otherwise."""
BINARY: Final = ("binary",)
MULTICLASS: Final = ("multiclass", "softmax", "multiclassova", "multiclass_ova", "ova", "ovr")


@dataclass(frozen=True, slots=True)
class GBMFit:
    """The result of a training: the booster, and how it got there."""

    booster: Any
    best_iteration: int
    scores: Mapping[str, float]
    """``valid_`` and the name of the metric, at the best iteration; empty without validation."""
    importances: Mapping[str, float]
    """The gain of all splits on each of the features that the model was given."""
    classes: tuple[Any, ...] | None
    """The labels, in the order of the probabilities, for a classifier."""
    feature_names: tuple[str, ...]
    selected_features: tuple[int, ...]


class LightGBMTrainer:
    """Train boosters with the same parameters: ``LightGBMTrainer(objective="binary", num_leaves=15).train(…)``.

    ``config`` has LightGBM's own parameters, and ``n_estimators`` and ``early_stopping_rounds`` (0 for none), or it is
    the configuration of an application with the part ``models.lightgbm``; keywords change single parameters. All of
    LightGBM's aliases are understood, and ``params`` has the main names: ``eta`` becomes ``learning_rate``.

    Raises:
        InvalidOption: there is no such parameter; one is given twice under two names; a value means nothing.
        Unsupported: LightGBM, which knows its parameters, is not installed.
    """

    def __init__(self, config: Mapping[str, Any] | None = None, **changes: Any) -> None:
        given = configuration.given_settings("lightgbm", config, changes, spelled=parameters.spelled)
        parameters.check_parameters(given)
        self.params: dict[str, Any] = {**parameters.DEFAULTS, **given}
        for name, least in (("n_estimators", 1), ("early_stopping_rounds", 0)):
            value = self.params[name]
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise errors.InvalidOption(f"{name} is a whole number from {least}, not {value!r}")
        if not isinstance(self.params["objective"], str):
            raise errors.InvalidOption("objective is the name of one: a function cannot be stored, and so not loaded")

    @property
    def is_classifier(self) -> bool:
        """Whether the objective is about classes."""
        return self.params["objective"] in (*BINARY, *MULTICLASS)

    def train(
        self,
        X: Any,
        y: Any,
        train_idx: Any,
        valid_idx: Any,
        *,
        feature_names: Sequence[str] | None = None,
        selected_features: Sequence[int] | None = None,
        progress: indexing.Report | None = None,
    ) -> GBMFit:
        """Train on the rows ``train_idx`` of ``X``, an array or a pandas table with categorical columns as such.

        ``selected_features`` are the columns that the model is given. Classifiers take any labels in ``y``.

        Raises:
            InvalidInput: rows, targets or names do not fit each other; LightGBM refuses the data or a parameter.
            Unsupported: LightGBM is not installed.
        """
        lightgbm = library("lightgbm", "lightgbm")
        table, names, selected = _checked(X, feature_names, selected_features)
        target = indexing.targets(y, indexing.count(table))
        train, valid = indexing.split(len(target), train_idx, valid_idx)
        params = {**_USUAL, **{name: value for name, value in self.params.items() if name not in parameters.OURS}}
        if params.get("force_col_wise"):  # LightGBM refuses both
            params.pop("force_row_wise")
        target, classes = self._targets(target, train, valid, params)
        spelled = spelling([names[place] for place in selected])
        history: dict[str, dict[str, list[float]]] = {}
        try:
            data = lightgbm.Dataset(_rows_of(table, train), target[train], feature_name=spelled)
            checks = [lightgbm.Dataset(_rows_of(table, valid), target[valid], reference=data)] if len(valid) else []
            booster = lightgbm.train(
                params,
                data,
                num_boost_round=self.params["n_estimators"],
                valid_sets=checks,
                valid_names=["valid"] * len(checks),
                callbacks=self._callbacks(lightgbm, history, progress, stops=bool(checks)),
            )
        except lightgbm.basic.LightGBMError as error:
            raise errors.InvalidInput(f"LightGBM refuses this: {error}") from error
        best = booster.best_iteration if booster.best_iteration > 0 else booster.num_trees()
        gains = booster.feature_importance("gain").tolist()
        return GBMFit(
            booster=booster,
            best_iteration=best,
            scores={f"valid_{name}": float(value) for name, value in booster.best_score.get("valid", {}).items()},
            importances={names[place]: gain for place, gain in zip(selected, gains, strict=True)},
            classes=classes,
            feature_names=names,
            selected_features=selected,
        )

    def _callbacks(
        self, lightgbm: Any, history: dict[str, Any], progress: indexing.Report | None, *, stops: bool
    ) -> list[Any]:
        made = [lightgbm.record_evaluation(history)] if stops else []
        if stops and self.params["early_stopping_rounds"]:
            made.append(
                lightgbm.early_stopping(
                    self.params["early_stopping_rounds"],
                    first_metric_only=bool(self.params.get("first_metric_only", False)),
                    min_delta=self.params.get("early_stopping_min_delta", 0.0),
                    verbose=False,
                )
            )
        if progress is not None:

            def tell(step: Any) -> None:
                scores = {f"{name}_{metric}": value for name, metric, value, *_ in step.evaluation_result_list or ()}
                progress(step.iteration + 1, step.end_iteration, scores)

            made.insert(0, tell)  # before early stopping, which leaves by an exception
        return made

    def _targets(
        self, target: Any, train: Any, valid: Any, params: dict[str, Any]
    ) -> tuple[Any, tuple[Any, ...] | None]:
        """Return numbers to train on, and for a classifier its labels."""
        import numpy as np

        used = target[np.concatenate((train, valid))]
        holes = used.dtype.kind == "f" and not np.isfinite(used).all()
        if holes or (not self.is_classifier and used.dtype.kind not in "fiub"):
            raise errors.InvalidInput("y holds NaN, an infinity or a value that is not a number: leave these rows out")
        if not self.is_classifier:
            return target, None
        try:
            labels = np.unique(used)
        except TypeError as error:
            raise errors.InvalidInput(f"the labels in y are of several types: {error}") from error
        absent = np.setdiff1d(labels, target[train])
        if len(absent):
            raise errors.InvalidInput(
                f"{absent[:5].tolist()} are labels of rows in valid_idx, and of none in train_idx"
            )
        if params["objective"] in BINARY and len(labels) != 2:  # noqa: PLR2004 -- binary
            raise errors.InvalidInput(
                f"a binary objective takes two labels in y; there are {len(labels)}: {labels[:5]}"
            )
        if params["objective"] in MULTICLASS:
            params["num_class"] = len(labels)
        return np.searchsorted(labels, target), tuple(labels.tolist())


def spelling(names: Sequence[str]) -> list[str]:
    """Return the names as LightGBM can hold them: signs become ``_``; if two fall together they are only counted."""
    spelled = [re.sub(r"\W", "_", name) for name in names]
    return spelled if len(set(spelled)) == len(spelled) else [f"Column_{place}" for place in range(len(names))]


def _checked(
    X: Any, feature_names: Sequence[str] | None, selected_features: Sequence[int] | None
) -> tuple[Any, tuple[str, ...], tuple[int, ...]]:
    """Return the selected columns under names that LightGBM can hold, all names, and the selected positions."""
    table = X if indexing.is_table(X) else indexing.numbers(X)
    own = indexing.column_names(table)
    if indexing.is_table(table) and not hasattr(table, "iloc"):
        raise errors.InvalidInput(
            "give an array or a pandas table to the trainer; the adapter takes all kinds of tables"
        )
    if len(table.shape) != 2:  # noqa: PLR2004 -- rows and columns
        raise errors.InvalidInput(f"training data has rows and columns; got {len(table.shape)} dimensions")
    table = table if feature_names is None else indexing.named(table, feature_names)
    width = table.shape[1]
    names = tuple(own or (f"Column_{place}" for place in range(width)) if feature_names is None else feature_names)
    if len(names) != width:
        raise errors.FeatureMismatch(f"feature_names has {len(names)} names, and X has {width} columns")
    selected = indexing.selection(width, selected_features)
    if not indexing.is_table(table):
        return table[:, list(selected)], names, selected
    chosen = table.iloc[:, list(selected)]
    return chosen.set_axis(spelling([names[place] for place in selected]), axis=1), names, selected


def _rows_of(table: Any, idx: Any) -> Any:
    return table.iloc[idx] if hasattr(table, "iloc") else table[idx]
