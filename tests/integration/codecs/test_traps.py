"""A file that runs a command when it is decoded does so only where that was allowed, and then it really does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from artifact_store import ArtifactStore
from artifact_store.errors import RiskRefused
from tests.unit.test_codec_skops import Malicious, Trap

pytestmark = pytest.mark.windows


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


def test_the_trap_works(trap: Trap) -> None:
    """With the list that skops reads out of the file itself, a transformer does run the command."""
    data = skops.io.dumps(FunctionTransformer(os.system, validate=False))
    loaded = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    loaded.transform(trap.command)
    assert trap.sprung


def test_looking_and_verifying_run_nothing(tmp_path: Path, trap: Trap) -> None:
    with ArtifactStore(tmp_path / "other") as store, store.new_run("custom") as draft:
        draft.add("model", Malicious(trap.command), codec="joblib")
        run = draft.commit()
        assert run.verify(predict=True).ok
        assert store.verify().ok
        with pytest.raises(RiskRefused):
            store.load("custom")
        assert not trap.sprung
        run.load(allow_code=True)
        assert trap.sprung
