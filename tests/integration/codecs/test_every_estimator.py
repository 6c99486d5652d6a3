"""Every estimator of scikit-learn that is fitted, saved and loaded says the same, or is refused with a way out that works.

``REFUSED`` is the whole list of those that are refused, so that none joins them unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import is_regressor
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401 -- more of them
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

from artifact_store import ArtifactStore
from artifact_store.errors import NotEncodable
from tests.cases import each

pytestmark = [pytest.mark.nightly, pytest.mark.filterwarnings("ignore")]
RANDOM = np.random.default_rng(0)
X, FRESH = np.abs(RANDOM.normal(size=(60, 4))), np.abs(RANDOM.normal(size=(9, 4)))
LABELS, NUMBERS = (X[:, 0] > 0.6).astype(int), X[:, 0] * 2 + X[:, 1]
TEXTS = ["one two three", "two three four", "three four five one"] * 5
FACTS = [{"a": 1, "b": 2}, {"a": 3}]

REFUSED = {
    # what holds raw indices, trees or objects that native code follows
    *("Birch", "BisectingKMeans", "HDBSCAN", "Isomap", "KernelDensity", "LocallyLinearEmbedding", "SplineTransformer"),
    # functions, and text that is read as a pattern
    *("CountVectorizer", "DictVectorizer", "FeatureAgglomeration", "FeatureHasher", "HashingVectorizer"),
    *("TfidfVectorizer", "TunedThresholdClassifierCV", "IterativeImputer"),
    # sparse matrices
    *("SparseRandomProjection", "SpectralEmbedding"),
}
LINE, ODDS = Ridge(), LogisticRegression()
VOTERS = [("a", ODDS), ("b", DecisionTreeClassifier(max_depth=2))]
JUDGES = [("a", LINE), ("b", DecisionTreeRegressor(max_depth=2))]
MADE_WITH: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("ClassifierChain", "MultiOutputClassifier", "OneVsOneClassifier", "OneVsRestClassifier"), (ODDS,)),
    **dict.fromkeys(("OutputCodeClassifier", "FixedThresholdClassifier", "TunedThresholdClassifierCV"), (ODDS,)),
    **dict.fromkeys(("SelfTrainingClassifier",), (ODDS,)),
    **dict.fromkeys(("RegressorChain", "MultiOutputRegressor", "RFE", "RFECV", "SelectFromModel"), (LINE,)),
    **dict.fromkeys(("SequentialFeatureSelector",), (LINE,)),
    **dict.fromkeys(("StackingClassifier", "VotingClassifier"), (VOTERS,)),
    **dict.fromkeys(("StackingRegressor", "VotingRegressor"), (JUDGES,)),
    **dict.fromkeys(("GridSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"), (LINE, {"alpha": [0.1, 1]})),
    "RandomizedSearchCV": (LINE, {"alpha": [0.1, 1]}),
    "Pipeline": ([("a", StandardScaler()), ("b", ODDS)],),
    "FeatureUnion": ([("a", StandardScaler())],),
    "ColumnTransformer": ([("a", StandardScaler(), [0, 1])],),
    "SparseCoder": (np.eye(4),),
    "FrozenEstimator": (Ridge().fit(X, NUMBERS),),
    **dict.fromkeys(("CCA", "PLSCanonical", "PLSSVD", "GaussianRandomProjection", "SparseRandomProjection"), (2,)),
}
FITTED_ON: dict[str, tuple[tuple[Any, ...], Any]] = {
    **dict.fromkeys(("CountVectorizer", "HashingVectorizer", "TfidfVectorizer"), ((TEXTS,), TEXTS)),
    **dict.fromkeys(("DictVectorizer", "FeatureHasher"), ((FACTS,), FACTS)),
    **dict.fromkeys(("LabelBinarizer", "LabelEncoder"), ((LABELS,), LABELS)),
    "MultiLabelBinarizer": (([(1, 2), (3,)],), [(1,), (2, 3)]),
    "PatchExtractor": ((RANDOM.normal(size=(3, 8, 8)),), RANDOM.normal(size=(3, 8, 8))),
    "IsotonicRegression": ((X[:, 0], NUMBERS), X[:, 0]),
    "KernelCenterer": ((X @ X.T,), X @ X.T),
    **dict.fromkeys(("CCA", "PLSCanonical", "PLSSVD"), ((X, X[:, :2]), FRESH)),
    **dict.fromkeys(("MultiOutputRegressor", "RegressorChain"), ((X, X[:, :2]), FRESH)),
    **dict.fromkeys(("MultiOutputClassifier", "ClassifierChain"), ((X, np.c_[LABELS, 1 - LABELS]), FRESH)),
}
ASKED = ("predict", "predict_proba", "decision_function", "transform", "score_samples", "kneighbors", "embedding_")
BY_CHANCE = {"BernoulliRBM"}
"""It says another thing of the same rows each time."""


def fitted() -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of each estimator, one that was fitted, and what to ask it about."""
    for name, kind in all_estimators():
        made = kind(*MADE_WITH.get(name, ()))
        targets = NUMBERS if is_regressor(made) or name.endswith("SearchCV") else LABELS
        if name.startswith("MultiTask"):
            targets = X[:, :2]
        given, asked = FITTED_ON.get(name, ((X, targets), FRESH))
        yield name, made.fit(*given), asked


def said(model: Any, rows: Any) -> dict[str, Any]:
    found = {}
    for ask in ASKED:
        answer = getattr(model, ask, None)
        if callable(answer):
            try:
                answer = answer(rows)
            except (ValueError, TypeError, AttributeError) as error:  # some ask for rows of another kind
                answer = type(error).__name__
        found[ask] = answer
    return found


def same(one: Any, other: Any) -> bool:
    if sparse.issparse(one):
        return same(one.toarray(), other.toarray())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return np.array_equal(one, other, equal_nan=getattr(np.asarray(one).dtype, "kind", "") == "f")


def test_every_estimator_says_the_same_or_is_refused_with_a_way_out_that_works(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    refused = {}
    for case in each(fitted()):
        with case as (name, model, rows):
            answers = said(model, rows)
            try:
                store.save(model, f"estimators/{name}")
            except NotEncodable as error:
                refused[name] = str(error)
                store.save(model, f"estimators/{name}", codec="joblib")
            again = store.get(f"estimators/{name}").load(allow_code=name in refused)
            for ask, answer in said(again, rows).items():
                assert name in BY_CHANCE or answer is None or same(answer, answers[ask]), ask
    assert {*refused} == REFUSED
    assert all("name codec='joblib'" in told for told in refused.values())
