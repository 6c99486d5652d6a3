"""The other half of the demonstration, started by run.py: a process that has only the store, and trusts nothing.

It loads what was published, feeds it frames as they come in real life, and compares every prediction with what the
training process wrote down: bit for bit for LightGBM, within 1e-6 for what torch computes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from artifact_models import load_adapter
from artifact_models.adapter import BaseModelAdapter
from artifact_models.trading.market import live_frame
from artifact_models.trading.signals import Signals, signals_of
from artifact_models.trading.trade import HEAD, row, signals
from market import SYMBOLS
from show import Checks, lines, paragraph, title
from train import EXPECTED_BARS

from artifact_store import ArtifactStore, ArtifactStoreError, errors
from artifact_store.cli import output

FAMILIES = ("lightgbm", "gru", "ppo")
RENAMED = {"volatility_20": "Volatility 20"}


@click.command()
@click.option("--store", "url", required=True)
@click.option("--endpoint-url")
@click.option("--expected", "path", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
def main(url: str, endpoint_url: str | None, path: Path, data: Path) -> None:
    """Load what run.py saved, and check it."""
    output.never_fail()
    expected = json.loads(path.read_text(encoding="utf-8"))
    checks = Checks()
    try:
        with ArtifactStore(url, storage_options={"endpoint_url": endpoint_url} if endpoint_url else None) as store:
            title(f"Load in another process ({os.getpid()}), and predict")
            for symbol in SYMBOLS:
                for family in FAMILIES:
                    predict(store, family, symbol, data, expected[symbol], checks)
            title("Trade on paper: the best run walking forward, else the latest")
            trade(store, data, expected, checks)
            title("Refuse the wrong columns")
            for symbol in SYMBOLS:
                refuse(store, symbol, data, checks)
            title("Roll back")
            for symbol in SYMBOLS:
                roll_back(store, symbol, data, expected[symbol], checks)
            title("Verify every stored byte, and every golden prediction")
            verify(store, checks)
    except ArtifactStoreError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(checks.report())


def as_it_comes(symbol: str, data: Path) -> pd.DataFrame:
    """Return the last bars as other programs deliver them: the columns in any order, and some too many."""
    frame = live_frame(data / f"{symbol}.csv").assign(comment="live")
    order = np.random.default_rng(7).permutation(frame.shape[1])
    return frame.iloc[-EXPECTED_BARS:, order]


def agree(adapter: BaseModelAdapter, said: Signals, expected: Sequence[str]) -> bool:
    """Tell whether a model says what it said in training, as exactly as its family can."""
    before = np.array([float.fromhex(value) for value in expected])
    now = np.asarray(said.values)
    return now.shape == before.shape and bool((np.abs(now - before) <= adapter.tolerance).all())


def exactness(adapter: BaseModelAdapter) -> str:
    """Return in words how exactly predictions are compared."""
    return f"within {adapter.tolerance:g}" if adapter.tolerance else "bit for bit"


def predict(
    store: ArtifactStore, family: str, symbol: str, data: Path, expected: Mapping[str, Any], checks: Checks
) -> None:
    """Load ``latest`` and compare what it says with what it said when it was trained."""
    run = store.get(f"{family}/{symbol}")
    told = expected["families"][family]
    checks.check(run.run_id == told["latest"], f"{run.key}@latest is {run.run_id}, the run that was saved last")
    adapter, frame = load_adapter(run), as_it_comes(symbol, data)
    said = signals_of(adapter, frame)
    what = "actions" if family == "ppo" else "predictions"
    checks.check(
        agree(adapter, said, expected["runs"][run.run_id]),
        f"{len(said.values)} {what} as in the training process, {exactness(adapter)}: columns shuffled, some too many",
    )
    parts = ", ".join(name for name in run.components if not name.startswith("example"))
    note(f"Loaded {parts}. After the bar of {frame.index[-1]:%Y-%m-%d %H:%M} it says: {said.words()}.")


def trade(store: ArtifactStore, data: Path, expected: Mapping[str, Any], checks: Checks) -> None:
    """Let the paper trader find, load and ask all models at once."""
    made = signals(store, SYMBOLS, data, models=FAMILIES)
    lines(output.table(HEAD, [row(of) for of in made], indent=2))
    for of in made:
        family = expected[of.symbol]["families"][of.model]
        wanted = family["best"] or family["latest"]
        how = "of best_wf" if family["best"] else "of latest, since no fold was better than another"
        checks.check(
            of.run == wanted and not of.failed, f"{of.model}/{of.symbol}: a signal from {wanted}, the run {how}"
        )


def refuse(store: ArtifactStore, symbol: str, data: Path, checks: Checks) -> None:
    """Offer what the frameworks alone would take without a word."""
    frame = as_it_comes(symbol, data)
    adapter = load_adapter(store.get(f"lightgbm/{symbol}"))
    assert adapter.features is not None
    ordered = frame[list(adapter.features.selected_names)]
    right, wrong = (adapter.model.predict(rows) for rows in (ordered, ordered[ordered.columns[::-1]]))
    differ = int((right != wrong).sum())
    many = f"{differ:,} of {len(wrong):,} answers are wrong"
    note(f"lightgbm/{symbol}: LightGBM alone takes the columns in another order; {many}.")
    for family in FAMILIES:
        model = load_adapter(store.get(f"{family}/{symbol}"))
        try:
            model.predict(frame.rename(columns=RENAMED))
        except errors.FeatureMismatch as error:
            claim = f"{family}/{symbol}: a frame with a renamed column is refused, and the new name suggested"
            checks.check(error.suggestions == RENAMED, claim)
            last = error
        else:
            checks.check(False, f"{family}/{symbol}: a frame with a renamed column is refused")
            return
    note(str(last))


def roll_back(store: ArtifactStore, symbol: str, data: Path, expected: Mapping[str, Any], checks: Checks) -> None:
    """Publish the run before the last one again, and see that it is what is loaded now."""
    ref = f"lightgbm/{symbol}@latest"
    before = expected["families"]["lightgbm"]["before"]
    store.rollback(ref, reason="demonstration")
    run = store.get(ref)
    checks.check(run.run_id == before, f"{ref} is {run.run_id} again, the run before")
    adapter = load_adapter(run)
    said = signals_of(adapter, as_it_comes(symbol, data))
    claim = f"{len(said.values)} predictions of that run, {exactness(adapter)}"
    checks.check(agree(adapter, said, expected["runs"][run.run_id]), claim)
    rows = [[str(of.seq), output.time(of.at), str(of.run_id), of.reason] for of in store.history(ref)[-3:]]
    lines(output.table(("seq", "published (UTC)", "run", "reason"), rows, indent=10))


def verify(store: ArtifactStore, checks: Checks) -> None:
    """Read every run of the demonstration again, compare the digests, and ask every model its golden questions."""
    for symbol in SYMBOLS:
        for family in FAMILIES:
            report = store.verify(f"{family}/{symbol}", predict=True)
            runs, files = len(report.runs), sum(run.files for run in report)
            size = output.size(sum(run.bytes for run in report))
            claim = (
                f"{family}/{symbol}: {output.count(runs, 'run')}, {output.count(files, 'file')}, {size} are as saved"
            )
            checks.check(report.ok, f"{claim}, and predict the same")
            for problem in report.problems:
                note(str(problem))


def note(words: str) -> None:
    """Print something below a check."""
    paragraph(words, indent=10)


if __name__ == "__main__":
    main()
