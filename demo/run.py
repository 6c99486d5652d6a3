"""The demonstration: train on real prices, save, load in another process, refuse wrong columns, roll back, verify.

    python demo/run.py                                  # into ./demo-store/models
    python demo/run.py --store s3://bucket/models       # credentials from the AWS_* environment
    python demo/run.py --store s3://bucket/models --endpoint-url http://localhost:9000

Ends with status 1 if a single check fails. Running it again adds runs.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from market import MARKETS, Market, csv_path, digest
from show import lines, paragraph, title
from train import RECIPES, Data, Score, Trained, chance, importance, train

from artifact_store import ArtifactStore, ArtifactStoreError, Example, FeatureSchema, Run, __version__, errors
from artifact_store.cli import text

EXAMPLE_ROWS = 32
EXPECTED_ROWS = 500
LEGEND = (
    "Two models are trained for each symbol. Every number below is out of sample. Majority: the accuracy of always "
    "naming the commoner direction. IC: the rank correlation of prediction and return. Sharpe: annualised, of "
    "following the predicted direction, after costs; hold: of buying and holding. None of this promises a profit."
)


@click.command()
@click.option("--store", "url", default="./demo-store/models", show_default=True, help="A folder, s3://bucket/prefix …")
@click.option("--endpoint-url", help="Of an S3 server other than Amazon's.")
@click.option("--quick", is_flag=True, help="Fewer folds and rounds, for tests.")
def main(url: str, endpoint_url: str | None, *, quick: bool) -> None:
    """Train on real prices, save, load in another process, refuse wrong columns, roll back, verify."""
    text.never_fail()
    try:
        with ArtifactStore(url, storage_options={"endpoint_url": endpoint_url} if endpoint_url else None) as store:
            introduce(store)
            expected = {market.symbol: train_and_save(store, market, quick=quick) for market in MARKETS}
            inventory(store)
    except (ArtifactStoreError, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(serve(url, endpoint_url, expected))


def introduce(store: ArtifactStore) -> None:
    """Say what is going to happen, and where."""
    have = store.guarantees
    holds = [
        name
        for name, holding in (
            ("create-only writes", have.create_only),
            ("compare-and-swap", have.compare_and_swap),
            ("durable", have.durable),
        )
        if holding
    ]
    title(f"artifact-store {__version__}: what was trained is what is loaded")
    lines(text.fields([("store", store.url), ("engine", f"{have.engine}: {', '.join(holds)}")], indent=2))
    click.echo()
    paragraph(LEGEND, indent=2)


def train_and_save(store: ArtifactStore, market: Market, *, quick: bool) -> dict[str, Any]:
    """Save one run for each recipe; return what the models said, for another process to compare with."""
    data = Data.load(market)
    first, last = data.table.index[0], data.table.index[-1]
    title(f"Train lightgbm/{market.symbol} in process {os.getpid()}")
    lines(
        text.fields(
            [
                ("data", f"{len(data.table):,} {market.bars} bars, {first:%Y-%m-%d} to {last:%Y-%m-%d}"),
                ("features", f"{data.table.shape[1]}, each from the bar and its past; target: does the next bar rise"),
                ("costs", f"{market.cost:.3%} of the value traded; a position is +1 or -1"),
            ],
            indent=2,
        )
    )
    answers: dict[str, Any] = {"rows": EXPECTED_ROWS, "runs": {}}
    for recipe in RECIPES:
        trained = train(data, recipe, folds=2 if quick else 5, rounds=20 if quick else None)
        show_folds(data, trained)
        run, said = save(store, data, trained)
        click.echo(f"  Saved {run.ref}, {run.published}.")
        paragraph(promote_if_better(store, run), indent=2)
        answers["runs"][run.run_id] = [float(value).hex() for value in said]
        answers["latest"], answers["before"] = run.run_id, answers.get("latest")
    answers["best"] = store.get(f"lightgbm/{market.symbol}@best_wf").run_id
    return answers


def show_folds(data: Data, trained: Trained) -> None:
    """Print one line for each fold, out of sample, and one for all of them."""
    assert trained.overall is not None
    click.echo()
    click.secho(f"  {trained.recipe.name}: walk-forward, expanding window, out of sample", bold=True)
    rows = []
    for fold, of in trained.folds:
        begin, end = data.table.index[fold.test.start], data.table.index[fold.test.stop - 1]
        rows.append([str(fold.number), f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}", f"{fold.train_end:,}", *numbers(of)])
    rows.append(["all", "", "", *numbers(trained.overall)])
    head = ("fold", "tested on", "trained", "rows", "majority", "accuracy", "AUC", "IC", "Sharpe", "hold")
    lines(text.table(head, rows, indent=2))
    click.echo(f"  A coin has an AUC of 0.5; one standard error on so many rows is {chance(trained.overall):.3f}.")


def numbers(of: Score) -> list[str]:
    """Return a score as the cells of a table."""
    shares = [f"{100 * value:.1f} %" for value in (of.majority, of.accuracy)]
    return [f"{of.rows:,}", *shares, f"{of.auc:.3f}", f"{of.ic:+.3f}", f"{of.sharpe:+.2f}", f"{of.hold:+.2f}"]


def save(store: ArtifactStore, data: Data, trained: Trained) -> tuple[Run, list[float]]:
    """Store the model with all that belongs to it, and return the run and what the model says of the last bars."""
    names = list(data.table.columns)
    recipe, overall = trained.recipe, trained.overall
    assert overall is not None
    inputs = data.table.to_numpy("float64")[:, trained.selected]
    said = trained.booster.predict(inputs)
    run = store.save(
        trained.booster,
        f"lightgbm/{data.market.symbol}",
        features=FeatureSchema(
            names,
            selected=trained.selected,
            dtypes="float64",
            nan="refuse",
            inf="refuse",
            reason="" if recipe.keep is None else f"the {recipe.keep} with the most gain in the first training window",
        ),
        components={"feature_importance": importance(trained, names)},
        config={"recipe": recipe.name, "rounds": trained.booster.num_trees(), **recipe.params},
        training_config={
            "cost": data.market.cost,
            "data": {"file": csv_path(data.market).name, "sha256": digest(data.market)},
            "folds": [{"train_rows": fold.train_end, **asdict(of)} for fold, of in trained.folds],
        },
        metrics={f"wf_{name}": value for name, value in asdict(overall).items()},
        tags={"recipe": recipe.name, "bars": data.market.bars},
        example=Example(inputs[:EXAMPLE_ROWS], said[:EXAMPLE_ROWS]),
    )
    return run, list(said[-EXPECTED_ROWS:])


def promote_if_better(store: ArtifactStore, run: Run) -> str:
    """Promote the run to ``best_wf`` if no other one has a higher out-of-sample AUC, and say what came of it."""
    alias = f"{run.key}@best_wf"
    try:
        pointer = store.promote(run, "best_wf", publish="if_better(wf_auc, max)", reason="higher walk-forward AUC")
    except errors.PointerConflict as refusal:
        return f"{alias} stays as it is: {refusal}."
    return f"{alias} names it now, seq {pointer.seq}."


def inventory(store: ArtifactStore) -> None:
    """Print what is stored now."""
    title("In the store now")
    rows = []
    for market in MARKETS:
        for run in store.runs(f"lightgbm/{market.symbol}", limit=4):
            size = sum(file.size for file in run.files.values())
            chosen = run.features
            width = f"{chosen.input_size} of {chosen.feature_count}" if chosen is not None else ""
            rows.append(
                [
                    str(run.ref),
                    run.tags.get("recipe", ""),
                    width,
                    f"{run.metrics.get('wf_auc', math.nan):.3f}",
                    text.size(size),
                ]
            )
    lines(text.table(("run (the newest of each model)", "recipe", "features", "AUC", "size"), rows, indent=2))


def serve(url: str, endpoint_url: str | None, expected: dict[str, Any]) -> int:
    """Let a new process load and check everything; return its exit status."""
    with tempfile.TemporaryDirectory(prefix="artifact-store-demo-") as folder:
        path = Path(folder) / "expected.json"
        path.write_text(json.dumps(expected), encoding="utf-8")
        command = [sys.executable, str(Path(__file__).with_name("serve.py")), "--store", url, "--expected", str(path)]
        command += ["--endpoint-url", endpoint_url] if endpoint_url else []
        return subprocess.run(command, check=False).returncode  # noqa: S603 -- our own script


if __name__ == "__main__":
    main()
