"""Attributes that native code of scikit-learn trusts, and names of them that would hide what it checks itself.

scikit-learn compares rows with what was fitted in methods of its estimators. So no attribute may have the name of one;
and what else decides how wide an array is, where a place in it is, or how many threads there are, is looked at here.
Every check takes the class, its attributes and numpy, and raises ``Corrupt``.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Mapping
from functools import cached_property, lru_cache, partial
from typing import Any, Final

from artifact_store.codecs.files import dotted
from artifact_store.errors import Corrupt

MAX_JOBS: Final = 1024
"""Threads that a stored estimator may ask for: with more than a machine starts, native code ends the process."""
_LAST_PLACE: Final = 624
"""The last place in a Mersenne Twister, which reads there without a look."""
_THREADS: Final = ("n_jobs", "n_threads", "_n_threads")
_BY_VALUE: Final = "OUS"
"""Kinds of categories that are looked up one by one; others are searched, and have to be in order for that."""


def demand(met: Any, why: str) -> None:
    """Raise ``Corrupt`` unless something is so."""
    if not met:
        raise Corrupt(f"an estimator leads out of itself: {why}")


def check_attributes(kind: type, state: Mapping[str, Any], np: Any) -> None:
    """Refuse attributes that hide a method, ask for too many threads, or belong to another array."""
    for name, value in state.items():
        demand(not _is_method(kind, name), f"its {name[:40]} is in the place of a method")
        if name in _THREADS:
            whole = isinstance(value, numbers.Integral) and int(value) <= MAX_JOBS
            demand(value is None or whole, f"its {name} is no number up to {MAX_JOBS}, use None")
    check = _CHECKS.get(dotted(kind))
    if check is not None:
        check(state, np)


def check_random_state(generator: Any) -> None:
    """Refuse a ``RandomState`` that would read beside its numbers."""
    place = generator.get_state(legacy=False)["state"].get("pos", 0)
    demand(0 <= place <= _LAST_PLACE, "a random state is at no place of its own")


def check_depth(left: Any, right: Any, depth: Any, np: Any) -> None:
    """Refuse a decision tree that is deeper than it says, by which scikit-learn reserves room for a way through it.

    The children of its inner nodes are nodes behind them.
    """
    inner = np.flatnonzero(left != -1)
    reached = np.bincount(np.concatenate((left[inner], right[inner])), minlength=len(left))
    demand(type(depth) is int and 0 <= depth <= len(left) and (reached <= 1).all(), "a decision tree has no such depth")
    level = np.zeros(1, np.intp)
    for _ in range(depth):
        level = level[left[level] != -1]
        level = np.concatenate((left[level], right[level]))
    demand((left[level] == -1).all(), "a decision tree is deeper than it says")


def _check_preprocessor(state: Mapping[str, Any], np: Any) -> None:
    """Refuse histogram boosting whose own preprocessor may give other columns than its trees take."""
    made, width = state.get("_preprocessor"), state.get("n_features_in_")
    if made is None:
        return
    own = vars(made)
    steps = [step for step in own["transformers_"] if step[:2] != ("remainder", "drop")]
    kinds = [dotted(type(made)), *(dotted(type(step[1])) for step in steps)]
    demand(kinds == _PREPROCESSOR and own["transformer_weights"] is None, "boosting has a preprocessor of another kind")
    (_, _, categories), (_, plain, others) = steps
    masks = [isinstance(mask, np.ndarray) and mask.dtype == bool for mask in (categories, others)]
    demand(all(masks) and categories.shape == (width,), "its preprocessor takes other columns")
    demand(np.array_equal(others, ~categories), "its preprocessor gives other columns")
    demand(isinstance(plain.func, partial), "its preprocessor changes columns")


@lru_cache(1 << 12)
def _is_method(kind: type, name: str) -> bool:
    """Tell whether a class has a method of this name, be it one that depends on what is inside."""
    found = inspect.getattr_static(kind, name, None)
    how = type(found)
    return hasattr(how, "__get__") and not hasattr(how, "__set__") and not isinstance(found, cached_property)


def _check_clusters(state: Mapping[str, Any], np: Any) -> None:
    centers = state.get("cluster_centers_")
    if centers is not None:
        fits = isinstance(centers, np.ndarray) and centers.shape[1:] == (state["n_features_in_"],)
        demand(fits, "clusters have centres of other features")


def _check_encoder(state: Mapping[str, Any], np: Any) -> None:
    """Refuse an encoder that would put a category into a column that it does not have."""
    if "_n_features_outs" not in state:
        return
    lists = state["categories_"]
    grouped = state["_default_to_infrequent_mappings"] if state.get("_infrequent_enabled") else [None] * len(lists)
    dropped = state.get("_drop_idx_after_grouping")
    dropped = [None] * len(lists) if dropped is None else list(dropped)
    demand(len(grouped) == len(lists) == len(dropped) == len(state["_n_features_outs"]), "it encodes other features")
    for known, groups, drop, count in zip(lists, grouped, dropped, state["_n_features_outs"], strict=True):
        demand(isinstance(known, np.ndarray) and known.ndim == 1 and _in_order(known, np), "categories in no order")
        most = len(known)
        if groups is not None:
            demand(len(groups) == len(known) and (groups >= 0).all(), "it groups other categories")
            most = int(groups.max()) + 1
        demand(drop is None or 0 <= drop < most, "it leaves out a category that there is not")
        demand(count == most - (drop is not None), "it has other columns than categories")


def _in_order(known: Any, np: Any) -> bool:
    if known.dtype.kind in _BY_VALUE:
        return True
    plain = known[~np.isnan(known)] if known.dtype.kind == "f" else known
    return bool((plain[:-1] <= plain[1:]).all())


def _check_labels(state: Mapping[str, Any], np: Any) -> None:
    del np
    cached = state.get("_cached_dict")
    if cached is not None:
        demand(sorted(cached.values()) == [*range(len(cached))], "labels have other columns than there are")


_PREPROCESSOR: Final = [
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.preprocessing._encoders.OrdinalEncoder",
    "sklearn.preprocessing._function_transformer.FunctionTransformer",
]
_CHECKS: Final = {
    **{f"sklearn.cluster._kmeans.{kind}": _check_clusters for kind in ("KMeans", "MiniBatchKMeans")},
    **{
        f"sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoosting{kind}": _check_preprocessor
        for kind in ("Classifier", "Regressor")
    },
    "sklearn.preprocessing._encoders.OneHotEncoder": _check_encoder,
    "sklearn.preprocessing._label.MultiLabelBinarizer": _check_labels,
}
