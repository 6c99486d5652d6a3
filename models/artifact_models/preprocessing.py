"""What happens to rows before a model sees them: imputing, scaling, in the order in which they were fitted.

scikit-learn is used to fit. What is stored and loaded again predicts with numpy alone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from artifact_models.indexing import is_table, numbers
from artifact_models.libraries import library
from artifact_store import FeatureSchema, errors

SCALERS: Final = {"standard": "StandardScaler", "minmax": "MinMaxScaler", "robust": "RobustScaler"}
IMPUTERS: Final = ("mean", "median", "most_frequent")
_PARTS: Final = ("impute", "pipeline", "preprocessing")


def check_scaling(scaler: str | None, imputer: str | None) -> None:
    """Refuse what :func:`scaling` does not know, without loading scikit-learn.

    Raises:
        InvalidOption: there is no scaler or imputer of this name.
    """
    if scaler is not None and scaler not in tuple(SCALERS):
        raise errors.InvalidOption(f"scaler is one of {', '.join(SCALERS)} or None, not {scaler!r}")
    if imputer is not None and imputer not in IMPUTERS:
        raise errors.InvalidOption(f"imputer is one of {', '.join(IMPUTERS)} or None, not {imputer!r}")


def scaling(scaler: str | None = "standard", imputer: str | None = "mean") -> Any:
    """Return an unfitted preprocessor that fills holes and scales, or either, or ``None`` for neither.

    Raises:
        InvalidOption: there is no scaler or imputer of this name.
        Unsupported: scikit-learn is not installed.
    """
    check_scaling(scaler, imputer)
    if scaler is None and imputer is None:
        return None
    impute, pipeline, preprocessing = (library(f"sklearn.{part}", "gru") for part in _PARTS)
    steps: list[tuple[str, Any]] = []
    if imputer is not None:
        steps.append(("imputer", impute.SimpleImputer(strategy=imputer)))
    if scaler is not None:
        steps.append(("scaler", getattr(preprocessing, SCALERS[scaler])()))
    return pipeline.Pipeline(steps)


def fitted(preprocessor: Any, features: FeatureSchema, X: Any, train: Any) -> Any:
    """Return a copy of ``preprocessor`` that was fitted on the rows ``train`` of ``X``; one without ``fit`` itself.

    It is fitted on an array of all the columns that it will be given, in the order of the schema.

    Raises:
        FeatureMismatch: the columns are not there, or do not hold numbers.
        InvalidInput: a column holds nothing at all in the training rows, so nothing can be learnt of it.
    """
    if not hasattr(preprocessor, "fit"):
        return preprocessor
    import numpy as np
    from sklearn.base import clone

    seen = seen_by_preprocessor(features)
    wordy = [name for name in seen if features.dtypes.get(name) in ("category", "string")]
    if wordy:
        raise errors.InvalidInput(
            f"{wordy[:10]} hold categories or text, and a preprocessor is given numbers: leave these columns out, or "
            "encode them before"
        )
    known = FeatureSchema(seen, dtypes={name: features.dtypes[name] for name in seen if name in features.dtypes})
    whole = is_table(X) or features.selection_after_preprocessing
    rows = numbers(known.align(X if whole else features.select(X)))[train]
    empty = [name for name, column in zip(seen, rows.T, strict=True) if not np.isfinite(column).any()]
    if empty:
        raise errors.InvalidInput(f"{empty[:10]} hold no numbers in the training rows: leave these columns out")
    made = clone(preprocessor)
    if hasattr(made, "set_output"):
        with suppress(ValueError):  # a pipeline with a step that has none
            made.set_output(transform="default")  # a model is given arrays, and a run holds what makes them
    return made.fit(rows)


def seen_by_preprocessor(features: FeatureSchema) -> tuple[str, ...]:
    """Return the names of the columns that the preprocessor is given."""
    return features.names if features.selection_after_preprocessing else features.selected_names


def is_preprocessor(value: object) -> bool:
    """Tell whether :class:`Preprocessing` can ask it: it has ``transform``, or is callable itself."""
    return callable(getattr(value, "transform", value))


class Preprocessing:
    """A preprocessor as :meth:`artifact_store.FeatureSchema.prepare` takes it: arrays go in, whatever came.

    One that was fitted on columns with names is given them by name, so that another order than the schema's does no
    harm; what it returns is in the order of the schema.
    """

    def __init__(self, preprocessor: Any, features: FeatureSchema) -> None:
        if not is_preprocessor(preprocessor):
            raise errors.InvalidInput(
                f"a preprocessor is callable or has transform(); {type(preprocessor).__name__} has none"
            )
        self._transform = getattr(preprocessor, "transform", preprocessor)
        found = getattr(preprocessor, "feature_names_in_", None)
        self._names = None if found is None else [str(name) for name in found]
        seen = list(seen_by_preprocessor(features))
        self._in: list[int] | None = None
        if self._names is not None and self._names != seen and not features.names_inferred:
            self._in = _places(self._names, seen)
        self._out = None if self._in is None else sorted(range(len(self._in)), key=self._in.__getitem__)

    def transform(self, rows: Any) -> Any:
        """Return the preprocessed rows as an array."""
        import numpy as np

        array = numbers(rows)
        if self._in is not None:
            array = array[:, self._in]
        given = array if self._names is None else _frame(array, self._names)
        try:
            made = np.asarray(self._transform(given))
        except errors.ArtifactStoreError:
            raise
        except ValueError as error:  # scikit-learn's, on infinities and widths
            raise errors.FeatureMismatch(f"the preprocessor refuses these rows: {error}") from error
        if self._out is None:
            return made
        if made.shape != array.shape:
            raise errors.FeatureMismatch(
                f"the preprocessor made {made.shape[-1]} columns of {array.shape[-1]}, and it knows them in another "
                "order than the features: which is which cannot be told"
            )
        return made[:, self._out]


def _frame(array: Any, names: list[str]) -> Any:
    import pandas as pd

    return pd.DataFrame(array, columns=pd.Index(names))


def _places(names: list[str], seen: list[str]) -> list[int]:
    """Return where each column of the preprocessor stands among the columns that it is given.

    Raises:
        FeatureMismatch: it was fitted on other columns.
    """
    if sorted(names) != sorted(seen):
        missing = [name for name in names if name not in seen]
        raise errors.FeatureMismatch(
            f"the preprocessor was fitted on {len(names)} columns, and the model's features are {len(seen)}; "
            f"{len(missing)} of its columns are not among them: {missing[:10]}",
            missing=missing,
            extra=[name for name in seen if name not in names],
        )
    where = {name: place for place, name in enumerate(seen)}
    return [where[name] for name in names]
