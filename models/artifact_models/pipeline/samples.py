"""Separate training and validation data joined into one table with the rows of each, as an adapter takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from artifact_models import indexing
from artifact_store import FeatureSchema, errors


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows of both sets, those for training first. The order of columns and the categories are those of training."""

    X: Any
    y: Any
    train: slice
    valid: slice


def joined(X_train: Any, X_val: Any, *, names: Sequence[str] | None = None) -> Samples:
    """Return the rows of both; ``X_val`` may be ``None``. Tables are matched by name, arrays by width.

    Raises:
        FeatureMismatch: validation has other columns, or categories that were not there in training.
        InvalidInput: one is a table, and the other is not, or is one of another library.
    """
    first, second = _matched(X_train, X_val, names)
    length = indexing.count(first)
    both = first if second is None else _stacked(first, second)
    stop = length if second is None else length + indexing.count(second)
    return Samples(both, None, slice(0, length), slice(length, stop))


def labelled(X_train: Any, y_train: Any, X_val: Any, y_val: Any, *, names: Sequence[str] | None = None) -> Samples:
    """Return the rows of both with their targets.

    Raises:
        FeatureMismatch, InvalidInput: as :func:`joined`; or there are more or fewer targets than rows.
    """
    import numpy as np

    if (X_val is None) != (y_val is None):
        raise errors.InvalidInput("X_val and y_val belong together: give both, or neither")
    found = joined(X_train, X_val, names=names)
    targets = [indexing.targets(y_train, found.train.stop)]
    if y_val is not None:
        targets.append(indexing.targets(y_val, found.valid.stop - found.valid.start))
    return Samples(found.X, np.concatenate(targets), found.train, found.valid)


def check_selection(names: Sequence[str] | None, selected: Sequence[int | str] | None, X: Any) -> None:
    """Refuse positions for which there is no name: the likeliest mistake is to name the selected columns only.

    Raises:
        FeatureMismatch: with the positions, and how many names and columns there are.
    """
    if names is None or selected is None:
        return
    beyond = [place for place in selected if not isinstance(place, str) and not -1 < place < len(names)]
    if beyond:
        wide = getattr(X, "shape", (0,))[-1]
        raise errors.FeatureMismatch(
            f"selected_features has the positions {', '.join(map(str, beyond))}, and feature_names only has "
            f"{len(names)} names (positions 0 to {len(names) - 1}): feature_names takes the names of all {wide} "
            "columns of the data, also of those that are not selected"
        )


def _matched(X_train: Any, X_val: Any, names: Sequence[str] | None) -> tuple[Any, Any]:
    if not indexing.is_table(X_train):
        return indexing.numbers(X_train), None if X_val is None else _as_wide(X_val, indexing.numbers(X_train))
    if X_val is not None and type(X_val) is not type(X_train):
        raise errors.InvalidInput(
            f"training data is a {type(X_train).__name__} and validation data a {type(X_val).__name__}: give both in "
            "the same form"
        )
    table = X_train if names is None else FeatureSchema(names).select(X_train)
    seen = FeatureSchema.from_frame(table)
    schema = FeatureSchema(seen.names, categories=seen.categories)
    return table, None if X_val is None else schema.align(X_val)


def _as_wide(X_val: Any, X_train: Any) -> Any:
    if indexing.is_table(X_val):
        raise errors.InvalidInput("training data is an array and validation data a table: give both in the same form")
    array = indexing.numbers(X_val)
    if array.shape[1:] != X_train.shape[1:]:
        raise errors.FeatureMismatch(
            f"training data has the shape {X_train.shape}, and validation data {array.shape}: they need as many columns"
        )
    return array


def _stacked(first: Any, second: Any) -> Any:
    """Return one below the other, in the same kind of container."""
    if hasattr(first, "iloc"):
        import pandas as pd

        return pd.concat([first, second], ignore_index=True)
    if not indexing.is_table(first):
        import numpy as np

        return np.concatenate([first, second])
    if hasattr(first, "column_names"):
        import pyarrow as pa

        return pa.concat_tables([first, second], promote_options="permissive")
    import polars as pl

    return pl.concat([first, second], how="vertical_relaxed")
