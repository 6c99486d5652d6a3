"""Adapters of many symbols: loaded together, and kept up to date while they predict."""

import numpy as np
from artifact_models import LightGBMAdapter, load_adapter

from artifact_store import ArtifactStore
from tests.integration.models.data import fitted_trees, table

SYMBOLS = ("BTCEUR", "ETHEUR", "SOLEUR")


def test_adapters_of_many_symbols_are_loaded_at_once_and_predict(root):
    trees = fitted_trees()
    for symbol in SYMBOLS:
        trees.save(root, symbol=symbol)
    refs = [f"lightgbm/{symbol}" for symbol in SYMBOLS]
    adapters = ArtifactStore(root).load_many(refs, load=load_adapter).values()
    for adapter in adapters:
        assert isinstance(adapter, LightGBMAdapter)
        np.testing.assert_array_equal(adapter.predict(table()), trees.predict(table()))


def test_a_watched_adapter_repeats_its_golden_predictions_before_it_is_used(root):
    trees = fitted_trees()
    trees.save(root, symbol="BTCEUR")
    store = ArtifactStore(root)
    with store.watch("lightgbm/BTCEUR", load=load_adapter, every=0.05) as watched:
        first = watched.run
        assert first.load_example() is not None
        np.testing.assert_array_equal(watched.model.predict(table()), trees.predict(table()))
        trees.save(root, symbol="BTCEUR")
        assert watched.wait(60, after=first) is not None
        np.testing.assert_array_equal(watched.model.predict(table()), trees.predict(table()))
