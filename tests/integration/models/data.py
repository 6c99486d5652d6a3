"""Small tables and models for the tests of the model families; torch on one thread."""

import uuid
from functools import cache

import numpy as np
import pandas as pd
import torch
from artifact_models import GRUAdapter, LightGBMAdapter

from artifact_store import ArtifactStore

torch.set_num_threads(1)


def new_store():
    return ArtifactStore(f"memory://{uuid.uuid4().hex}")


ROWS, TRAIN, VALID = 160, np.arange(120), np.arange(120, 160)
NAMES = ["open", "high", "low", "close", "volume", "rsi"]
SELECTED = ["close", "rsi", "low"]


@cache
def _table():
    rng = np.random.default_rng(7)
    table = pd.DataFrame(rng.normal(size=(ROWS, len(NAMES))).cumsum(axis=0) + 50, columns=NAMES)
    table["volume"] *= 1e4
    return table


def table():
    return _table().copy()


def with_session():
    made = table()
    made["session"] = pd.Categorical(np.array(["asia", "europe", "us"])[np.arange(ROWS) % 7 % 3])
    return made


def target():
    close = _table()["close"]
    session = np.arange(ROWS) % 7 % 3
    return (close.diff().fillna(0) + _table()["rsi"].diff().fillna(0) + session).to_numpy()


def shuffled(frame):
    """The same columns in another order, and two that no model knows."""
    columns = list(frame.columns)
    return frame[columns[1::2] + columns[::2]].assign(comment=1.0, spread=2.0)


def small_gru(**changes):
    settings = {
        "sequence_length": 5,
        "hidden_size": 6,
        "num_layers": 2,
        "fc_size": 4,
        "epochs": 2,
        "learning_rate": 0.01,
    }
    return GRUAdapter(selected_features=changes.pop("selected_features", SELECTED), **{**settings, **changes})


def small_trees(**changes):
    settings = {"n_estimators": 30, "num_leaves": 6, "min_data_in_leaf": 5, "num_threads": 1, "learning_rate": 0.2}
    return LightGBMAdapter(selected_features=changes.pop("selected_features", SELECTED), **{**settings, **changes})


@cache
def fitted_gru():
    return small_gru().fit(table(), target(), TRAIN, VALID)


@cache
def fitted_trees():
    return small_trees().fit(table(), target(), TRAIN, VALID)


@cache
def fitted_session_trees():
    return small_trees(selected_features=["close", "session", "rsi"]).fit(with_session(), target(), TRAIN, VALID)
