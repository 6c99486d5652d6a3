"""The demonstration: train three families on real prices, save, load in another process, trade on paper, roll back.

    python demo/run.py                                  # into ./demo-store/models
    python demo/run.py --store s3://bucket/models       # credentials from the AWS_* environment
    python demo/run.py --store s3://bucket/models --endpoint-url http://localhost:9000

Ends with status 1 if a single check fails. Running it again adds runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from artifact_models.trading.market import Market
from artifact_models.trading.score import chance
from artifact_models.trading.train import Outcome, train_and_save
from artifact_models.trading.train_program import HEAD, Terminal, cells, fold_rows
from market import SAMPLES, SYMBOLS, Sample, lay_out
from show import lines, paragraph, title
from train import PLANS, Plan, last_said, train_request

from artifact_store import ArtifactStore, ArtifactStoreError, Run, __version__, errors
from artifact_store.cli import output

LEGEND = (
    "Every number below is out of sample: a fold is tested on later bars than its model was trained on. Majority: the "
    "accuracy of always naming the commoner direction. AUC: 0.5 is a coin. IC: the rank correlation of signal and "
    "return. Sharpe: annualised, of following the model, after costs; hold: of buying and holding. The agents are "
    "trained for seconds and know next to nothing. None of this promises a profit."
)


@click.command()
@click.option("--store", "url", default="./demo-store/models", show_default=True, help="A folder, s3://bucket/prefix …")
@click.option("--endpoint-url", help="Of an S3 server other than Amazon's.")
@click.option("--quick", is_flag=True, help="Fewer folds and steps, for tests.")
def main(url: str, endpoint_url: str | None, *, quick: bool) -> None:
    """Train on real prices, save, load in another process, refuse wrong columns, roll back, verify."""
    output.never_fail()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for networks this small, threads only wait for each other
    options = {"endpoint_url": endpoint_url} if endpoint_url else None
    try:
        with tempfile.TemporaryDirectory(prefix="artifact-store-demo-") as folder:
            lay_out(Path(folder))
            with ArtifactStore(url, storage_options=options) as store:
                introduce(store)
                expected = {of.symbol: train_market(store, of, Path(folder), quick=quick) for of in SAMPLES}
                inventory(store)
            status = serve(url, endpoint_url, Path(folder), expected)
    except (ArtifactStoreError, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(status)


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
    lines(output.fields([("store", store.url), ("engine", f"{have.engine}: {', '.join(holds)}")], indent=2))
    click.echo()
    paragraph(LEGEND, indent=2)


def train_market(store: ArtifactStore, sample: Sample, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Train and save every plan; return what the models said, for another process to compare with."""
    market = Market.read(sample.symbol, folder / f"{sample.symbol}.csv")
    first, last = market.frame.index[0], market.frame.index[-1]
    title(f"Train on {sample.symbol} in process {os.getpid()}")
    lines(
        output.fields(
            [
                ("data", f"{len(market.frame):,} {sample.bars} bars, {first:%Y-%m-%d} to {last:%Y-%m-%d}"),
                ("features", f"{market.features.shape[1]}, each from the bar and its past"),
                ("question", "does the next bar rise? The agent decides what to hold, and sees its account, too"),
                ("costs", f"{sample.cost:.3%} of the value traded"),
            ],
            indent=2,
        )
    )
    runs: dict[str, Any] = {}
    families: dict[str, dict[str, Any]] = {}
    best: list[str] = []
    for plan in PLANS:
        outcome = train_plan(store, market, plan, sample, best, quick=quick)
        if plan.keep is None and plan.family == "lightgbm":
            best = [str(name) for name in outcome.latest.load("feature_importance")["feature"]]
        said = last_said(outcome.adapter, market)
        runs[outcome.latest.run_id] = [float(value).hex() for value in said.values]
        family = families.setdefault(plan.family, {})
        family["latest"], family["before"] = outcome.latest.run_id, family.get("latest")
    for name, family in families.items():
        family["best"] = best_of(store, f"{name}/{sample.symbol}")
    return {"runs": runs, "families": families}


def train_plan(
    store: ArtifactStore, market: Market, plan: Plan, sample: Sample, best: list[str], *, quick: bool
) -> Outcome:
    """Walk forward, save every fold and the model of all bars, and print how it went."""
    click.echo()
    asked = train_request(plan, sample.cost, best, quick=quick)
    outcome = train_and_save(store, market, asked, Terminal(lines=False))
    chosen = f", the {plan.keep} features with the most gain" if plan.keep else ""
    click.secho(f"  {plan.family}, {plan.name}{chosen}: walking forward, out of sample", bold=True)
    assert outcome.overall is not None
    rows = [*fold_rows(outcome, market), ["all", "", *cells(outcome.overall)]]
    lines(output.table(HEAD, rows, indent=2))
    click.echo(f"  One standard error of the AUC of a coin on so many bars is {chance(outcome.overall):.3f}.")
    click.echo(f"  Saved {outcome.latest.ref}, {outcome.latest.published}.")
    paragraph(f"{outcome.promoted}.", indent=2)
    return outcome


def best_of(store: ArtifactStore, key: str) -> str | None:
    """Return the run that ``best_wf`` names, if any fold could be judged."""
    try:
        return store.get(f"{key}@best_wf").run_id
    except errors.AliasNotFound:
        return None


def inventory(store: ArtifactStore) -> None:
    """Print what is published now."""
    title("In the store now")
    rows = []
    for symbol in SYMBOLS:
        for family in dict.fromkeys(plan.family for plan in PLANS):
            runs = list(store.runs(f"{family}/{symbol}"))
            for alias, pointer in store.aliases(f"{family}/{symbol}").items():
                rows.append(
                    [f"{family}/{symbol}@{alias}", *described(store.get(f"{family}/{symbol}:{pointer.run_id}"))]
                )
            rows[-1][-1] = f"{len(runs)}"
    lines(output.table(("alias", "run", "recipe", "features", "size", "runs"), rows, indent=2))


def described(run: Run) -> list[str]:
    """Return a run as cells of a table."""
    chosen = run.features
    width = f"{chosen.input_size} of {chosen.feature_count}" if chosen is not None else ""
    fold = f", fold {run.tags['fold']}" if "fold" in run.tags else ""
    size = output.size(sum(file.size for file in run.files.values()))
    return [str(run.run_id), run.tags.get("recipe", "") + fold, width, size, ""]


def serve(url: str, endpoint_url: str | None, folder: Path, expected: dict[str, Any]) -> int:
    """Let a new process load and check everything; return its exit status."""
    path = folder / "expected.json"
    path.write_text(json.dumps(expected), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).with_name("serve.py")), "--store", url]
    command += ["--expected", str(path), "--data", str(folder)]
    command += ["--endpoint-url", endpoint_url] if endpoint_url else []
    return subprocess.run(command, check=False).returncode  # noqa: S603 -- our own script


if __name__ == "__main__":
    main()
