"""Adapters of old models: read in place, they predict what they did, or say what is missing."""

import numpy as np
import pytest
from artifact_models import GRUAdapter, LightGBMAdapter, load_adapter
from artifact_models.adapter import BaseModelAdapter

from artifact_store import ArtifactStore, errors
from tests.integration.models.data import new_store
from tests.legacy_cases import CASES, REFUSED, of_type, old_tree

pytestmark = pytest.mark.xdist_group("test_old_trees")  # its fixtures take long

PLAIN_FILES = {"wf_gru_pt", "wf_lgbm_pkl"}
"""Best models of a walk-forward: files without a folder of their own, and no names."""
UNNAMED = {"wf_gru_pt"}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    return {name: old_tree(tmp_path_factory.mktemp(name), name) for name in ("main", "windows")}


@pytest.fixture(scope="module")
def stores(trees):
    return {name: ArtifactStore.open_legacy(root) for name, root in trees.items()}  # which convert each run once


def run_of(stores, case):
    store = stores[case.tree]
    key = f"{case.model_type}/{case.symbol}" if case.symbol else case.model_type
    return store.get(f"{key}@best_wf" if case.name in PLAIN_FILES else f"{key}:{case.run_id}")


def shuffled(frame):
    return frame[list(frame.columns)[::-1]].assign(comment=1.0)


@pytest.mark.parametrize(
    "case", [c for c in of_type("gru") if c.name not in {REFUSED, *UNNAMED}], ids=lambda case: case.name
)
def test_a_gru_takes_raw_frames(stores, case):
    adapter, expected = load_adapter(run_of(stores, case)), case.expected()
    frame = case.frame()
    found = (
        adapter.predict(shuffled(frame))
        if not adapter.features.names_inferred
        else adapter.predict(frame, by_position=True)
    )
    assert np.abs(found - expected["y"]).max() <= case.tolerance
    ready = adapter.predict(expected["network_input"], preselected=True)
    assert np.abs(ready - expected["y"]).max() <= case.tolerance


@pytest.mark.parametrize("case", of_type("lightgbm"), ids=lambda case: case.name)
def test_lightgbm_takes_raw_frames(stores, case):
    adapter, expected = load_adapter(run_of(stores, case)), case.expected()
    frame, options = shuffled(case.frame()), {}
    if adapter.features.names_inferred:  # then the caller has to know the columns, and to say so
        with pytest.raises(errors.FeatureMismatch, match="by_position=True"):
            adapter.predict(frame)
        chosen = expected["selected"].tolist() or list(range(len(case.columns)))
        frame, options = case.frame().iloc[:, chosen], {"by_position": True}
    np.testing.assert_array_equal(adapter.predict(frame, **options), expected["y"])
    if "proba" in expected:
        np.testing.assert_array_equal(adapter.predict_proba(frame, **options), expected["proba"])


def test_names_that_nobody_knows_refuse_a_frame_and_take_ready_windows(stores):
    adapter, expected = load_adapter(run_of(stores, CASES["wf_gru_pt"])), CASES["wf_gru_pt"].expected()
    assert adapter.features.names_inferred
    with pytest.raises(errors.FeatureMismatch, match="inferred"):
        adapter.predict(CASES["wf_gru_pt"].frame())
    assert np.abs(adapter.predict(expected["network_input"]) - expected["y"]).max() <= 1e-6


def test_a_preprocessor_that_was_refused_is_missed_and_can_be_given(stores):
    case = CASES[REFUSED]
    adapter, expected = load_adapter(run_of(stores, case)), case.expected()
    with pytest.raises(errors.ComponentNotFound, match="preprocessor"):
        adapter.predict(case.frame())
    assert np.abs(adapter.predict(expected["network_input"], preselected=True) - expected["y"]).max() <= 1e-6


def test_a_path_into_an_old_tree_is_understood(trees, stores):
    case = CASES["gru_full_selected"]
    folder = trees["main"] / "gru" / "BTCEUR"
    for path in (folder / case.run_id, str(folder / case.run_id), f"{folder}:{case.run_id}"):
        for adapter in (GRUAdapter.load(path), GRUAdapter().load(path), BaseModelAdapter.load(path)):
            assert adapter.run.run_id == case.run_id
            assert np.abs(adapter.predict(shuffled(case.frame())) - case.expected()["y"]).max() <= case.tolerance
    latest = stores["main"].get("gru/BTCEUR@latest").run_id
    assert GRUAdapter.load(folder).run.run_id == GRUAdapter.load(folder / "latest").run.run_id == latest
    with pytest.raises(errors.NotFound):
        LightGBMAdapter.load(trees["main"] / "lightgbm" / "NOSUCH")
    with pytest.raises(errors.InvalidReference, match="the type 'lightgbm': load it with LightGBMAdapter"):
        GRUAdapter.load(trees["main"] / "lightgbm" / "BTCEUR")
    for name in ("x" * 5000, "x" * 5000 + "/gru/X"):
        with pytest.raises(errors.InvalidInput):
            GRUAdapter.load(trees["main"] / name)
    for file in (folder / case.run_id / "model.pth", trees["main"] / "metadata" / "best_wf_gru_BTCEUR.pt"):
        with pytest.raises(errors.InvalidReference, match="is a file: name the folder of the run"):
            GRUAdapter.load(file)


def test_an_old_model_can_be_saved_as_a_new_run(stores):
    store = new_store()
    for case in (CASES["gru_full_selected"], CASES["lgbm_classifier_binary"], CASES["lgbm_booster_categorical"]):
        old = load_adapter(run_of(stores, case))
        old.save(store, symbol=case.symbol)
        new = load_adapter(store.get(f"{case.model_type}/{case.symbol}"))
        assert np.abs(new.predict(shuffled(case.frame())) - case.expected()["y"]).max() <= case.tolerance
    assert store.verify(predict=True).ok
