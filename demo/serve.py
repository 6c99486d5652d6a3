"""The other half of the demonstration, started by run.py: a process that has only the store, and trusts nothing.

It loads what was published, feeds it frames as they come in real life, and compares every prediction, bit for bit,
with what the training process wrote down.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from market import MARKETS, Market, features
from show import Checks, lines, paragraph, title

from artifact_store import ArtifactStore, ArtifactStoreError, FeatureSchema, Run, errors
from artifact_store.cli import text

RENAMED = {"volatility_20": "Volatility 20"}


@click.command()
@click.option("--store", "url", required=True)
@click.option("--endpoint-url")
@click.option("--expected", "path", type=click.Path(exists=True, path_type=Path), required=True)
def main(url: str, endpoint_url: str | None, path: Path) -> None:
    """Load what run.py saved, and check it."""
    text.never_fail()
    expected = json.loads(path.read_text(encoding="utf-8"))
    checks = Checks()
    try:
        with ArtifactStore(url, storage_options={"endpoint_url": endpoint_url} if endpoint_url else None) as store:
            title(f"Load in another process ({os.getpid()}), and predict")
            for market in MARKETS:
                predict(store, market, expected[market.symbol], checks)
            title("Find the run to trade with")
            for market in MARKETS:
                find(store, market, expected[market.symbol], checks)
            title("Refuse the wrong columns")
            for market in MARKETS:
                refuse(store, market, checks)
            title("Roll back")
            for market in MARKETS:
                roll_back(store, market, expected[market.symbol], checks)
            title("Verify every stored byte")
            verify(store, checks)
    except ArtifactStoreError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(checks.report())


def as_it_comes(market: Market) -> pd.DataFrame:
    """Return the features as other programs deliver them: the columns in any order, and one too many."""
    frame = features(market).assign(comment="live")
    order = np.random.default_rng(7).permutation(frame.shape[1])
    return frame.iloc[:, order]


def said(model: Any, inputs: Any) -> list[str]:
    """Return the predictions of a model, each as its exact hexadecimal."""
    return [float(value).hex() for value in model.predict(inputs)]


def schema_of(run: Run) -> FeatureSchema:
    """Return the features that a run of the demonstration was saved with."""
    assert run.features is not None
    return run.features


def predict(store: ArtifactStore, market: Market, expected: Mapping[str, Any], checks: Checks) -> None:
    """Load ``latest`` and compare what it says with what it said when it was trained."""
    run = store.get(f"lightgbm/{market.symbol}")
    checks.check(run.run_id == expected["latest"], f"{run.key}@latest is {run.run_id}, the run that was saved last")
    model, frame = run.load(), as_it_comes(market).iloc[-expected["rows"] :]
    answers = said(model, schema_of(run).prepare(frame))
    checks.check(
        answers == expected["runs"][run.run_id],
        f"{len(answers)} predictions as in the training process, bit for bit: columns shuffled, one too many",
    )
    example = run.load_example()
    assert example is not None
    again = model.predict(example.inputs)
    checks.check(np.array_equal(again, example.outputs), f"{len(again)} golden predictions of the run, bit for bit")
    last = f"{frame.index[-1]:{'%Y-%m-%d %H:%M' if market.intraday else '%Y-%m-%d'}}"
    note(f"After the last bar, {last}, it says {100 * float.fromhex(answers[-1]):.1f} % for a rise.")
    top = ", ".join(str(name) for name in run.load("feature_importance")["feature"][:3])
    note(f"It looks most at {top}, says the table of feature_importance that was saved with it.")


def find(store: ArtifactStore, market: Market, expected: Mapping[str, Any], checks: Checks) -> None:
    """Ask which run to trade with: the best one walking forward, not the last one."""
    run = store.find(f"lightgbm/{market.symbol}")
    checks.check(run.run_id == expected["best"], run.found_by[-1])


def refuse(store: ArtifactStore, market: Market, checks: Checks) -> None:
    """Offer what LightGBM alone would take without a word."""
    run = store.get(f"lightgbm/{market.symbol}")
    schema, model = schema_of(run), run.load()
    frame = features(market)[list(schema.selected_names)]
    right, wrong = said(model, frame), said(model, frame[frame.columns[::-1]])
    differ = sum(a != b for a, b in zip(right, wrong, strict=True))
    note(
        f"{run.key}: LightGBM alone takes the columns in another order; {differ:,} of {len(wrong):,} answers are wrong."
    )
    try:
        schema.prepare(as_it_comes(market).rename(columns=RENAMED))
    except errors.FeatureMismatch as error:
        checks.check(error.suggestions == RENAMED, "a frame with a renamed column is refused:")
        note(str(error))
    else:
        checks.check(False, "a frame with a renamed column is refused")
    try:
        schema.prepare(features(market).to_numpy()[:, 1:])
    except errors.FeatureMismatch as error:
        checks.check(True, "an array that lacks a column is refused:")
        note(str(error))
    else:
        checks.check(False, "an array that lacks a column is refused")


def roll_back(store: ArtifactStore, market: Market, expected: Mapping[str, Any], checks: Checks) -> None:
    """Publish the run before the last one again, and see that it is what is loaded now."""
    ref = f"lightgbm/{market.symbol}@latest"
    store.rollback(ref, reason="demonstration")
    run = store.get(ref)
    checks.check(run.run_id == expected["before"], f"{ref} is {run.run_id} again, the run before")
    answers = said(run.load(), schema_of(run).prepare(as_it_comes(market).iloc[-expected["rows"] :]))
    checks.check(answers == expected["runs"][run.run_id], f"{len(answers)} predictions of that run, bit for bit")
    rows = [[str(of.seq), text.time(of.at), str(of.run_id), of.reason] for of in store.history(ref)[-3:]]
    lines(text.table(("seq", "published (UTC)", "run", "reason"), rows, indent=10))


def verify(store: ArtifactStore, checks: Checks) -> None:
    """Read every run of the demonstration again and compare the digests."""
    for market in MARKETS:
        report = store.verify(f"lightgbm/{market.symbol}")
        runs, files = len(report.runs), sum(run.files for run in report)
        size = text.size(sum(run.bytes for run in report))
        claim = f"lightgbm/{market.symbol}: {text.count(runs, 'run')}, {text.count(files, 'file')}, {size} are as saved"
        checks.check(report.ok, claim)
        for problem in report.problems:
            note(str(problem))


def note(words: str) -> None:
    """Print something below a check."""
    paragraph(words, indent=10)


if __name__ == "__main__":
    main()
