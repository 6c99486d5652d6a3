"""What the codec ``estimators`` makes objects of: a fixed list, shipped with us, and nothing that a file adds to it.

To the estimators of :mod:`.skops_types` come those whose indices native code follows and we can check (histogram
boosting, decision trees), those that are rebuilt from their data (neighbours), and the boosters of other libraries,
each in the file of its own codec. Not on it: what native code takes apart in a way that we cannot check (libsvm, the
older gradient boosting), and ensembles that choose columns for each of their members.

Not promised, as for skops: that *values* in an untrusted file cannot make compiled code misbehave in another way.
"""

from __future__ import annotations

from typing import Final

from artifact_store.codecs.sklearn import skops_types

_UNCHECKED: Final = frozenset(
    {f"sklearn.svm._classes.{name}" for name in ("NuSVC", "NuSVR", "OneClassSVM", "SVC", "SVR")}
    | {f"sklearn.ensemble._bagging.Bagging{kind}" for kind in ("Classifier", "Regressor")}
    | {f"sklearn.ensemble._gb.GradientBoosting{kind}" for kind in ("Classifier", "Regressor")}
    | {"sklearn.ensemble._iforest.IsolationForest"}
)
_BOOSTING: Final = "sklearn.ensemble._hist_gradient_boosting"
HISTOGRAM: Final = frozenset(
    f"{_BOOSTING}.gradient_boosting.HistGradientBoosting{kind}" for kind in ("Classifier", "Regressor")
)
NEIGHBOURS: Final = frozenset(
    {f"sklearn.neighbors._classification.{kind}NeighborsClassifier" for kind in ("K", "Radius")}
    | {f"sklearn.neighbors._regression.{kind}NeighborsRegressor" for kind in ("K", "Radius")}
    | {f"sklearn.neighbors._graph.{kind}NeighborsTransformer" for kind in ("K", "Radius")}
    | {"sklearn.neighbors._lof.LocalOutlierFactor", "sklearn.neighbors._unsupervised.NearestNeighbors"}
)
ISOTONIC: Final = "sklearn.isotonic.IsotonicRegression"
_SELECTING: Final = frozenset(
    f"sklearn.feature_selection._univariate_selection.{kind}"
    for kind in ("GenericUnivariateSelect", *(f"Select{rule}" for rule in ("Fdr", "Fpr", "Fwe", "KBest", "Percentile")))
)
LIGHTGBM: Final = frozenset(f"lightgbm.sklearn.LGBM{kind}" for kind in ("Classifier", "Ranker", "Regressor"))
XGBOOST: Final = frozenset(
    f"xgboost.sklearn.XGB{kind}" for kind in ("Classifier", "RFClassifier", "RFRegressor", "Ranker", "Regressor")
)
NEW: Final = (
    HISTOGRAM
    | NEIGHBOURS
    | _SELECTING
    | LIGHTGBM
    | XGBOOST
    | {
        ISOTONIC,
        "sklearn.compose._target.TransformedTargetRegressor",
        "sklearn.preprocessing._function_transformer.FunctionTransformer",
    }
)
"""The estimators for which this codec is chosen, and for what holds one of them."""
_PARTS: Final = frozenset(
    f"{module}.{name}" for module, names in skops_types.PARTS.items() for name in names.split()
) | {f"{_BOOSTING}.binning._BinMapper", "lightgbm.sklearn._LGBMLabelEncoder"}
OBJECTS: Final = (skops_types.ESTIMATORS - _UNCHECKED) | NEW | _PARTS
"""What is made without being called, and filled with its attributes."""
LOSSES: Final = skops_types.TYPES["LossNode"]
"""What is called with numbers."""
TYPES: Final = skops_types.TYPES["TypeNode"]
CONTAINERS: Final = (
    "sklearn.calibration.CalibratedClassifierCV",
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.feature_selection._from_model.SelectFromModel",
    *(f"sklearn.feature_selection._rfe.{kind}" for kind in ("RFE", "RFECV")),
    "sklearn.feature_selection._sequential.SequentialFeatureSelector",
    "sklearn.frozen._frozen.FrozenEstimator",
    "sklearn.model_selection._classification_threshold.FixedThresholdClassifier",
    "sklearn.semi_supervised._self_training.SelfTrainingClassifier",
    *(f"sklearn.ensemble._stacking.Stacking{kind}" for kind in ("Classifier", "Regressor")),
    *(f"sklearn.ensemble._voting.Voting{kind}" for kind in ("Classifier", "Regressor")),
    *(f"sklearn.multiclass.{kind}Classifier" for kind in ("OneVsOne", "OneVsRest", "OutputCode")),
    *(f"sklearn.multioutput.{kind}" for kind in ("ClassifierChain", "MultiOutputClassifier", "MultiOutputRegressor")),
    "sklearn.multioutput.RegressorChain",
    *(f"sklearn.pipeline.{kind}" for kind in ("FeatureUnion", "Pipeline")),
)
"""What may hold others."""
SEARCHES: Final = (
    *(f"sklearn.model_selection._search.{kind}SearchCV" for kind in ("Grid", "Randomized")),
    *(f"sklearn.model_selection._search_successive_halving.Halving{kind}SearchCV" for kind in ("Grid", "Random")),
)
