"""Each family with no more than its own extra installed, and what is said where that is missing."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from artifact_models import GRUAdapter, LightGBMAdapter, PPOAdapter

from artifact_store import errors

OTHERS = {  # what neither the extra of the family nor anything that it needs would install
    "gru": ("lightgbm", "stable_baselines3", "gymnasium", "skops", "s3fs", "obstore"),
    "lightgbm": ("torch", "safetensors", "sklearn", "joblib", "stable_baselines3", "gymnasium", "obstore"),
    "ppo": ("lightgbm", "sklearn", "joblib", "skops", "s3fs", "obstore"),
}
TRAINED = {
    "gru": "GRUAdapter(sequence_length=3, hidden_size=2, fc_size=2, epochs=1)",
    "lightgbm": "LightGBMAdapter(n_estimators=2, min_child_samples=2)",
    "ppo": "PPOAdapter(config={'timesteps': 8, 'n_steps': 8, 'batch_size': 8, 'environments': 1, 'env': {'window': 2}})",
}
PROGRAM = """
import sys

sys.modules.update(dict.fromkeys({others!r}))  # none: neither found nor imported
import numpy as np
import pandas as pd
from artifact_models import GRUAdapter, LightGBMAdapter, PPOAdapter, load_adapter
from artifact_store import ArtifactStore

table = pd.DataFrame(np.random.default_rng(0).uniform(1, 2, (60, 3)), columns=["a", "b", "close"])
store = ArtifactStore({root!r})
trained = {adapter}.fit(table, np.arange(60.0), np.arange(40), np.arange(41, 60))
trained.save(store, symbol="X")
loaded = load_adapter(store.get("{family}/X"))
assert np.array_equal(loaded.predict(table), trained.predict(table))
assert store.verify(predict=True).ok
"""


@pytest.mark.parametrize("family", OTHERS)
def test_a_family_trains_and_predicts_with_its_own_extra_alone(family, tmp_path):
    program = PROGRAM.format(
        others=OTHERS[family], adapter=TRAINED[family], family=family, root=str(tmp_path / "store")
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("missing", "adapter", "library"),
    [
        ("torch", partial(GRUAdapter, scaler=None, imputer=None, sequence_length=2), "torch"),
        ("sklearn.impute", partial(GRUAdapter, sequence_length=2), "torch"),
        ("lightgbm", LightGBMAdapter, "lightgbm"),
        ("artifact_models.ppo.trainer", PPOAdapter, "stable-baselines3"),
    ],
)
def test_training_without_its_library_says_what_to_install(monkeypatch, missing, adapter, library):
    monkeypatch.setitem(sys.modules, missing, None)
    X = np.random.default_rng(0).uniform(1, 2, (20, 2))
    fresh = adapter(feature_names=["a", "close"])
    with pytest.raises(errors.Unsupported, match=rf'pip install .*"{library}>='):
        fresh.fit(X, np.zeros(20), np.arange(20), None)
    assert not fresh.is_fitted
