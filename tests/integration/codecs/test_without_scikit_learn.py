"""What comes back of a preprocessor in a process that has no scikit-learn."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from artifact_store import ArtifactStore, FeatureSchema
from tests.unit.test_array_preprocessor import FRAME, same_bits


@pytest.mark.windows
def test_a_store_gives_back_a_preprocessor_that_prepares_without_scikit_learn(tmp_path: Path) -> None:
    """In a new process, where scikit-learn and scipy cannot even be imported."""
    scaler = make_pipeline(SimpleImputer(), StandardScaler()).fit(FRAME.where(FRAME > -1))
    with ArtifactStore(tmp_path / "store") as store:
        store.save(
            {"weights": [1.0]},
            "gru/BTCEUR",
            components={"preprocessor": scaler},
            features=FeatureSchema.from_frame(FRAME),
        )
    shuffled = FRAME[["low", "open", "high"]]
    np.save(tmp_path / "shuffled.npy", shuffled.to_numpy())
    program = """
import sys
sys.modules.update(dict.fromkeys(("sklearn", "scipy", "joblib", "skops")))  # any import of one fails
import numpy as np, pandas as pd
from artifact_store import ArtifactStore
run = ArtifactStore(sys.argv[1] + "/store").get("gru/BTCEUR")
frame = pd.DataFrame(np.load(sys.argv[1] + "/shuffled.npy"), columns=["low", "open", "high"])
made = run.features.prepare(frame, run.load("preprocessor"))
np.save(sys.argv[1] + "/made.npy", made)
assert not any(sys.modules.get(name) for name in ("sklearn", "scipy", "joblib", "skops"))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = scaler.transform(FRAME)
    assert same_bits(np.load(tmp_path / "made.npy"), expected)
