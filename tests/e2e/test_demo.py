"""The demonstration runs, checks everything that it claims, and its features know nothing of the future."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artifact_store import ArtifactStore
from tests.servers import SeaweedServer

DEMO = Path(__file__).parents[2] / "demo"
KEYS = ("lightgbm/EURUSD", "lightgbm/GOOGL")


def script(name: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO / name), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )


def outcomes(output: str) -> tuple[int, int]:
    return len(re.findall(r"^  ok    ", output, re.MULTILINE)), len(re.findall(r"^  FAILED", output, re.MULTILINE))


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Run the demonstration twice into its default store, and return the folder and both outputs."""
    folder = tmp_path_factory.mktemp("demo")
    done = [script("run.py", folder, "--quick") for _ in range(2)]
    assert [(run.returncode, run.stderr) for run in done] == [(0, ""), (0, "")], done[0].stdout + done[0].stderr
    return folder / "demo-store" / "models", [run.stdout for run in done]


def test_every_check_of_the_demonstration_passes(twice: tuple[Path, list[str]]) -> None:
    _, outputs = twice
    assert [outcomes(output) for output in outputs] == [(18, 0), (18, 0)]
    assert all(output.rstrip().endswith("All 18 checks passed") for output in outputs)


def test_it_fits_a_page_of_100_columns_and_prints_no_colour_into_a_pipe(twice: tuple[Path, list[str]]) -> None:
    lines = "".join(twice[1]).splitlines()
    assert [line for line in lines if len(line) > 100 and "store  " not in line] == []
    assert not any("\x1b" in line for line in lines)


def test_another_process_did_the_loading(twice: tuple[Path, list[str]]) -> None:
    output = twice[1][0]
    trained = set(re.findall(r"in process (\d+)", output))
    loaded = set(re.findall(r"in another process \((\d+)\)", output))
    assert len(trained) == len(loaded) == 1
    assert trained != loaded


def test_running_it_again_adds_runs(twice: tuple[Path, list[str]]) -> None:
    store = ArtifactStore(twice[0])
    assert [str(key) for key in store.models()] == list(KEYS)
    for key in KEYS:
        runs = list(store.runs(key))
        assert len(runs) == 4
        assert [entry.reason for entry in store.history(f"{key}@latest")] == 2 * ["", "", "demonstration"]
        best = store.get(f"{key}@best_wf")
        assert best.metrics["wf_auc"] == max(run.metrics["wf_auc"] for run in runs)


def test_a_prediction_that_differs_in_its_last_bit_fails_the_demonstration(
    twice: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(DEMO))
    import market

    store = ArtifactStore(shutil.copytree(twice[0], tmp_path / "copy"))
    expected: dict[str, Any] = {}
    for of in market.MARKETS:
        ref = f"lightgbm/{of.symbol}@latest"
        latest, before = store.get(ref), store.get(f"lightgbm/{of.symbol}:{store.history(ref)[2].run_id}")
        frame = market.features(of).iloc[-32:]
        said = {}
        for run in (latest, before):
            assert run.features is not None
            said[run.run_id] = run.load().predict(run.features.prepare(frame))
        said[latest.run_id][-1] = np.nextafter(said[latest.run_id][-1], 1)
        expected[of.symbol] = {
            "rows": len(frame),
            "runs": {run_id: [float(value).hex() for value in values] for run_id, values in said.items()},
            "latest": latest.run_id,
            "before": before.run_id,
            "best": store.get(f"lightgbm/{of.symbol}@best_wf").run_id,
        }
    path = tmp_path / "expected.json"
    path.write_text(json.dumps(expected), encoding="utf-8")
    done = script("serve.py", tmp_path, "--store", str(tmp_path / "copy"), "--expected", str(path))
    assert done.returncode == 1
    assert len(re.findall(r"^  FAILED  32 predictions as in the training", done.stdout, re.MULTILINE)) == 2
    assert outcomes(done.stdout) == (16, 2)
    assert done.stdout.rstrip().endswith("2 of 18 checks FAILED")


def test_a_store_that_cannot_be_used_ends_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine", encoding="utf-8")
    done = script("run.py", tmp_path, "--quick", "--store", str(tmp_path / "full"))
    assert done.returncode == 1
    assert "is not a store and not empty" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]


def test_it_runs_against_an_s3_server(seaweed: SeaweedServer, seaweed_prefix: str, tmp_path: Path) -> None:
    done = script(
        "run.py",
        tmp_path,
        "--quick",
        *("--store", seaweed.url(seaweed_prefix), "--endpoint-url", seaweed.endpoint),
        AWS_ACCESS_KEY_ID=seaweed.access_key,
        AWS_SECRET_ACCESS_KEY=seaweed.secret_key,
        AWS_REGION="us-east-1",
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert outcomes(done.stdout) == (18, 0)
    assert seaweed.secret_key not in done.stdout


@pytest.mark.parametrize("bars", [60, 777, 2000])
def test_no_feature_knows_a_later_bar(bars: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DEMO))
    import market

    for of in market.MARKETS:
        whole, everything = market.candles(of), market.features(of)
        with monkeypatch.context() as patched:
            patched.setattr(market, "candles", lambda _, whole=whole: whole.iloc[:bars])
            early = market.features(of)
            answers = market.next_returns(of)
        assert early.equals(everything.loc[early.index])
        assert answers.isna().tolist() == [False] * (len(answers) - 1) + [True]


def test_a_fold_is_tested_on_later_rows_than_it_was_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DEMO))
    import market

    folds = list(market.walk_forward(1001, folds=4))
    assert [fold.number for fold in folds] == [1, 2, 3, 4]
    assert all(fold.train_end < fold.test.start for fold in folds)
    assert [fold.test.start for fold in folds[1:]] == [fold.test.stop for fold in folds[:-1]]
    assert (folds[0].test.start, folds[-1].test.stop) == (500, 1001)
