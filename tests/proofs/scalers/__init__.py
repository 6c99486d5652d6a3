"""Preprocessors as arrays, compared with each minor release of scikit-learn."""
