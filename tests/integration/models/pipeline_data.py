"""What the tests of the pipeline share: one configuration of a whole application, and data."""

import uuid

import numpy as np

from tests.integration.models.data import table, target

RUN = "20240816_142301"
FILES = {"gru": "model.pth", "lightgbm": "model.pkl", "ppo": "model.zip"}
CONFIG = {
    "models": {
        "gru": {"sequence_length": 5, "hidden_size": 6, "num_layers": 1, "fc_size": 4, "epochs": 2},
        "lightgbm": {"n_estimators": 8, "num_leaves": 5, "min_data_in_leaf": 5, "num_threads": 1},
        "ppo": {"timesteps": 256, "environments": 1, "env": {"window": 4}},
    },
    "symbols": ["BTCEUR", "ETHEUR"],
}
CUT = 120


def split():
    """The arguments of ``train``: rows of training and of validation, with their targets."""
    X, y = table(), target()
    return X[:CUT], y[:CUT], X[CUT:], y[CUT:]


def arrays():
    X, y, X_val, y_val = split()
    return X.to_numpy(), y, X_val.to_numpy(), y_val


def memory_root():
    return f"memory://{uuid.uuid4().hex}"


def same(one, other):
    return bool(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).max() <= 1e-6)
