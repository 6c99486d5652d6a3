"""Validated saves under faults: no alias may be left on a model that does not load and predict."""
