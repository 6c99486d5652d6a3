"""scikit-learn's estimators and preprocessors: as arrays, as skops, and last as joblib."""
