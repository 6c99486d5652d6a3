"""Predict with what a run holds, in the plainest way: components, features, a few lines of torch or numpy, no adapter."""

from __future__ import annotations

from typing import Any

import numpy as np

from artifact_store import ArtifactStore, Run
from tests.legacy_cases import REFUSED, LegacyCase


def run_of(store: ArtifactStore, case: LegacyCase) -> Run:
    """The run that was made of a case, found by where it lay."""
    key = case.model_type if case.symbol is None else f"{case.model_type}/{case.symbol}"
    source = case.relative if "best_wf" in case.path else case.relative.rpartition("/")[0]
    (run,) = store.runs(key, tags={"legacy_source": source})
    return run


def check(run: Run, case: LegacyCase) -> None:
    """Compare what the run predicts with what the old model predicted."""
    {"gru": _check_gru, "lightgbm": _check_lightgbm, "ppo": _check_ppo}[case.model_type](run, case)


def close(found: Any, expected: Any, tolerance: float) -> None:
    if tolerance:
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    else:
        np.testing.assert_array_equal(found, expected)


def _check_gru(run: Run, case: LegacyCase) -> None:
    arrays = case.expected()
    state = run.load().state
    close(gru(state, arrays["network_input"]), arrays["y"], case.tolerance)
    schema = run.features
    assert schema is not None
    if case.name in {REFUSED, "wf_gru_pt"}:  # what went through a preprocessor already is all that can go in
        return
    shuffled = case.frame().sample(frac=1, axis=1, random_state=1)
    rows = schema.prepare(shuffled, run.load("preprocessor"))
    length = int(arrays["sequence_length"])
    windows = np.stack([np.asarray(rows)[end - length : end] for end in range(length, len(rows) + 1)])
    close(gru(state, windows.astype(np.float32)), arrays["y"], case.tolerance)


def gru(state: Any, windows: Any) -> Any:
    """``h, _ = gru(x)``, ``fc2(relu(fc1(h[:, -1])))``, from the tensors alone."""
    import torch

    layers = sum(name.startswith("gru.weight_ih_l") for name in state)
    hidden, width = state["gru.weight_hh_l0"].shape[1], state["gru.weight_ih_l0"].shape[1]
    network = torch.nn.GRU(width, hidden, layers, batch_first=True).eval()
    network.load_state_dict({name.removeprefix("gru."): part for name, part in state.items() if name[:3] == "gru"})
    linear = torch.nn.functional.linear
    with torch.no_grad():
        last = network(torch.from_numpy(np.ascontiguousarray(windows)))[0][:, -1]
        found = linear(
            torch.relu(linear(last, state["fc1.weight"], state["fc1.bias"])), state["fc2.weight"], state["fc2.bias"]
        )
    return found.squeeze(-1).numpy()


def _check_lightgbm(run: Run, case: LegacyCase) -> None:
    arrays = case.expected()
    model, schema = run.load(), run.features
    assert schema is not None
    if schema.names_inferred:
        rows = arrays["X"] if schema.feature_count == arrays["X"].shape[1] else arrays["X"][:, arrays["selected"]]
    else:
        rows = case.frame().sample(frac=1, axis=1, random_state=1)
    given = schema.prepare(rows)
    close(model.predict(given), arrays["y"], case.tolerance)
    if "proba" in arrays:
        close(model.predict_proba(given), arrays["proba"], case.tolerance)


def _check_ppo(run: Run, case: LegacyCase) -> None:
    arrays = case.expected()
    schema = run.features
    assert schema is not None
    assert schema.observation is not None
    assert schema.observation.shape == arrays["raw_obs"].shape[1:]
    seen = arrays["raw_obs"]
    if "obs_mean" in arrays:
        seen = run.load("model_vecnormalize").normalize_obs(seen)
        assert run.requires == ("model_vecnormalize",)
    close(seen, arrays["policy_input"], 0)
    actions, _ = run.load().predict(seen, deterministic=True)
    close(actions, arrays["actions"], case.tolerance)
