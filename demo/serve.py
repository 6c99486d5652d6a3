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
from show import Checks, lines, paragraph, ready, title

from artifact_store import ArtifactStore, ArtifactStoreError, FeatureSchema, Run, errors
from artifact_store.cli import text

RENAMED = {"volatility_20": "Volatility 20"}


@click.command()
@click.option("--store", "url", required=True)
@click.option("--endpoint-url")
@click.option("--expected", "path", type=click.Path(exists=True, path_type=Path), required=True)
def main(url: str, endpoint_url: str | None, path: Path) -> None:
    """Load what run.py saved, and check it."""
    ready()
    expected = json.loads(path.read_text(encoding="utf-8"))
    checks = Checks()
    try:
        with ArtifactStore(url, storage_options={"endpoint_url": endpoint_url} if endpoint_url else None) as store:
            title(f"Load in another process ({os.getpid()}), and predict")
            for market in MARKETS:
                predict(store, market, expected[market.symbol], checks)
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


def said(run: Run, frame: pd.DataFrame) -> list[str]:
    """Return the predictions of a run for a frame, as the exact hexadecimal of each."""
    schema = run.features
    assert schema is not None
    return [float(value).hex() for value in run.load().predict(schema.prepare(frame))]


def predict(store: ArtifactStore, market: Market, expected: Mapping[str, Any], checks: Checks) -> None:
    """Load ``latest`` and compare what it says with what it said when it was trained."""
    run = store.get(f"lightgbm/{market.symbol}")
    frame = as_it_comes(market)
    answers = said(run, frame.iloc[-expected["rows"] :])
    checks.check(run.run_id == expected["latest"], f"{run.key}@latest is {run.run_id}, the run that was saved last")
    checks.check(
        answers == expected["runs"][run.run_id],
        f"{len(answers)} predictions equal to the training process's, bit for bit, columns shuffled and one extra",
    )
    example = run.load_example()
    assert example is not None
    again = run.load().predict(example.inputs)
    checks.check(np.array_equal(again, example.outputs), f"{len(again)} golden predictions of the run are repeated")
    rise = float.fromhex(answers[-1])
    click.echo(f"          After the bar of {frame.index[-1]:%Y-%m-%d %H:%M} it gives a rise {100 * rise:.1f} %.")
    show_importance(run)


def show_importance(run: Run) -> None:
    """Print what the model looks at, from the table that was saved beside it."""
    top = run.load("feature_importance").head(3)
    names = ", ".join(str(name) for name in top["feature"])
    click.echo(f"          It looks at {names} most, says its feature_importance.")


def refuse(store: ArtifactStore, market: Market, checks: Checks) -> None:
    """Offer a frame with a renamed column, which LightGBM alone would take without a word."""
    run = store.get(f"lightgbm/{market.symbol}")
    schema = run.features
    assert schema is not None
    frame = as_it_comes(market).rename(columns=RENAMED)
    try:
        schema.prepare(frame)
    except errors.FeatureMismatch as error:
        checks.check(
            error.suggestions == RENAMED, f"{run.key}: a frame with a renamed column is refused, and told why:"
        )
        paragraph(str(error), indent=10)
    else:
        checks.check(False, f"{run.key}: a frame with a renamed column is refused")
    checks.check(*narrow(schema, market))


def narrow(schema: FeatureSchema, market: Market) -> tuple[bool, str]:
    """Offer an array that is one column short."""
    try:
        schema.prepare(features(market).to_numpy()[:, 1:])
    except errors.FeatureMismatch as error:
        return True, f"an array of another width, too: {error}"
    return False, "an array of another width is refused"


def roll_back(store: ArtifactStore, market: Market, expected: Mapping[str, Any], checks: Checks) -> None:
    """Publish the run before the last one again, and see that it is what is loaded now."""
    ref = f"lightgbm/{market.symbol}@latest"
    store.rollback(ref, reason="demonstration")
    run = store.get(ref)
    checks.check(run.run_id == expected["before"], f"{ref} is {run.run_id} again, the run before")
    answers = said(run, as_it_comes(market).iloc[-expected["rows"] :])
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
            paragraph(str(problem), indent=10)


if __name__ == "__main__":
    main()
