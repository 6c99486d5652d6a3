"""The proof in its short form, with the workers that need no cluster; what it counts, it counts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.proofs.cluster.killed import _unlike, make_store, trial

pytest.importorskip("joblib")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the table of processes of Linux")
def test_every_verdict_is_there_once_after_the_driver_was_killed(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    labels, damaged = make_store(url, 300)
    assert len(labels) == 300
    assert len(damaged) == 4
    result = trial("loky", url, labels, damaged, tmp_path, every=3600)
    assert result.violations == ["no worker was killed: ask for more --runs, or a smaller --kill-every"]
    assert 0 < result.at_the_kill < 300


def test_what_is_missing_twice_or_odd_is_counted() -> None:
    assert _unlike("run", ["a", "b"], ["b", "a"]) == []
    assert _unlike("run", ["a", "a", "c"], ["a", "b"]) == [
        "1 runs twice, such as a",
        "1 runs missing, such as b",
        "1 runs that are none, such as c",
    ]
