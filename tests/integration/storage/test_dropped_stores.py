"""A store that nothing refers to any more is collected, with its clients: programs open one for each task."""

from __future__ import annotations

import gc
import weakref

import pytest

from artifact_store import ArtifactStore


@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
def test_a_store_that_was_not_closed_is_collected_with_its_clients(engine, seaweed, seaweed_prefix):
    store = ArtifactStore(seaweed.url(seaweed_prefix), engine=engine, storage_options=seaweed.storage_options())
    store.save({"n": 1}, "gru/BTCEUR")
    assert store.load("gru/BTCEUR") == {"n": 1}
    backend = store._context.backend
    kept = [weakref.ref(backend), weakref.ref(backend._clients if engine == "obstore" else backend._calls)]
    if engine == "fsspec":
        kept.append(weakref.ref(backend._calls.recipe.get()))
    del store, backend
    gc.collect()
    assert [one() for one in kept] == [None] * len(kept)
