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

pytestmark = pytest.mark.xdist_group("test_demo")  # its fixtures take long

DEMO = Path(__file__).parents[3] / "demo"
SYMBOLS = ("EURUSD", "GOOGL")
FAMILIES = ("gru", "lightgbm", "ppo")
CHECKS = 34


def script(name: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO / name), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=295,
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
    assert [outcomes(output) for output in outputs] == [(CHECKS, 0), (CHECKS, 0)]
    assert all(output.rstrip().endswith(f"All {CHECKS} checks passed") for output in outputs)


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
    keys = [f"{family}/{symbol}" for family in FAMILIES for symbol in SYMBOLS]
    assert [str(key) for key in store.models()] == keys
    for key in keys:
        runs = list(store.runs(key))
        boosted = key.startswith("lightgbm")
        assert len(runs) == (12 if boosted else 6)
        reasons = [entry.reason for entry in store.history(f"{key}@latest")]
        assert reasons == 2 * (["", "", "demonstration"] if boosted else [""])


def test_best_wf_names_the_best_fold_that_there_ever_was(twice: tuple[Path, list[str]]) -> None:
    store = ArtifactStore(twice[0])
    for family, metric in (("lightgbm", "wf_auc"), ("gru", "wf_auc"), ("ppo", "wf_sharpe")):
        for symbol in SYMBOLS:
            folds = [run for run in store.runs(f"{family}/{symbol}") if "fold" in run.tags]
            best = store.get(f"{family}/{symbol}@best_wf")
            assert best.metrics[metric] == max(run.metrics.get(metric, -np.inf) for run in folds)


def expected_of(store: ArtifactStore, folder: Path) -> dict[str, Any]:
    """What run.py would have written down, computed here from what is stored."""
    from artifact_models import load_adapter
    from artifact_models.trading.market import live_frame
    from artifact_models.trading.signals import signals_of

    expected: dict[str, Any] = {}
    for symbol in SYMBOLS:
        frame = live_frame(folder / f"{symbol}.csv").iloc[-300:]
        runs, families = {}, {}
        for family in FAMILIES:
            key = f"{family}/{symbol}"
            ids = [entry.run_id for entry in store.history(f"{key}@latest") if entry.reason == ""]
            for run_id in ids[-2:]:
                values = signals_of(load_adapter(store.get(f"{key}:{run_id}")), frame).values
                runs[run_id] = [float(value).hex() for value in values]
            families[family] = {"latest": ids[-1], "before": ids[-2], "best": store.get(f"{key}@best_wf").run_id}
        expected[symbol] = {"runs": runs, "families": families}
    return expected


def test_a_prediction_that_differs_in_its_last_bit_fails_the_demonstration(
    twice: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(DEMO))
    from market import lay_out

    lay_out(tmp_path)
    store = ArtifactStore(shutil.copytree(twice[0], tmp_path / "copy"))
    expected = expected_of(store, tmp_path)
    for symbol in SYMBOLS:
        latest = expected[symbol]["families"]["lightgbm"]["latest"]
        store.promote(f"lightgbm/{symbol}:{latest}", "latest")
        values = expected[symbol]["runs"][latest]
        values[-1] = float(np.nextafter(float.fromhex(values[-1]), 1)).hex()
    path = tmp_path / "expected.json"
    path.write_text(json.dumps(expected), encoding="utf-8")
    given = ["--store", str(tmp_path / "copy"), "--expected", str(path), "--data", str(tmp_path)]
    done = script("serve.py", tmp_path, *given)
    assert done.returncode == 1, done.stdout
    assert len(re.findall(r"^  FAILED  300 predictions as in the training", done.stdout, re.MULTILINE)) == 2
    assert outcomes(done.stdout) == (CHECKS - 2, 2)
    assert done.stdout.rstrip().endswith(f"2 of {CHECKS} checks FAILED")


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
    assert outcomes(done.stdout) == (CHECKS, 0)
    assert seaweed.secret_key not in done.stdout


@pytest.mark.parametrize("bars", [60, 777, 2000])
def test_no_feature_of_the_real_prices_knows_a_later_bar(bars: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DEMO))
    import market
    from artifact_models.trading import candles, indicators

    for sample in market.SAMPLES:
        whole = candles.read_candles(market.csv_path(sample))
        everything = indicators.features(whole)
        early = indicators.features(whole.iloc[:bars])
        assert early.equals(everything.loc[early.index])
        answers = indicators.next_returns(whole.iloc[:bars])
        assert answers.isna().tolist() == [False] * (len(answers) - 1) + [True]
