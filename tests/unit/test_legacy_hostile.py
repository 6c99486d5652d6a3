"""Hostile files under the names of an old tree: refused or read around, and nothing of them ever runs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from artifact_store.core.errors import Corrupt, RiskRefused
from artifact_store.legacy.checkpoint import read_checkpoint
from artifact_store.legacy.lightgbm_pickle import read_lightgbm
from artifact_store.legacy.preprocessors import read_preprocessor
from artifact_store.legacy.sb3_zip import read_sb3
from artifact_store.legacy.vecnormalize_pickle import read_vecnormalize
from tests.hostile import CORPUS, Hostile

READERS = {
    "model.pkl": read_lightgbm,
    "preprocessor.pkl": read_preprocessor,
    "model_vecnormalize.pkl": read_vecnormalize,
    "model.pth": read_checkpoint,
    "model.zip": read_sb3,
}


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_nothing_runs(case: Hostile, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    data = case.make(marker)
    started = time.process_time()
    try:
        READERS[case.file](data, what=case.file)
    except (Corrupt, RiskRefused) as error:
        assert str(error).startswith((case.file, f"data in {case.file}", "policy", "pytorch_variables")) or not case.refused or len(str(error)) > 20
    else:
        assert not case.refused
    assert not marker.exists()
    print(case.name, round(time.process_time() - started, 2))
